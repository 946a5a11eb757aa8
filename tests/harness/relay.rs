//! A wire that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Passes bytes between each client that connects to it and a target.
pub struct Relay {
    pub address: SocketAddr,
    wires: Arc<Wires>,
}

struct Wires {
    target: SocketAddr,
    stop: AtomicBool,
    down: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    /// After how many bytes from the target a connection is cut.
    limits: Mutex<Vec<u64>>,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Self {
        Self::with_limits(target, Vec::new())
    }

    /// The first connections are each cut after so many bytes from the target.
    pub fn with_limits(target: SocketAddr, mut limits: Vec<u64>) -> Self {
        limits.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wires = Arc::new(Wires {
            target,
            stop: AtomicBool::new(false),
            down: AtomicBool::new(false),
            open: Mutex::default(),
            connections: AtomicUsize::new(0),
            limits: Mutex::new(limits),
        });
        let accepting = wires.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                accepting.connect(stream.unwrap());
            }
        });
        Self { address, wires }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.wires.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Cuts all connections, and every new one at once.
    pub fn go_down(&self) {
        self.wires.down.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Lets connections be again.
    pub fn come_up(&self) {
        self.wires.down.store(false, Ordering::Relaxed);
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.wires.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.wires.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
        self.cut();
    }
}

impl Wires {
    fn connect(&self, near: TcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // Cutting and going down hold the same lock, so no connection slips through.
        let mut open = self.open.lock().unwrap();
        if self.down.load(Ordering::Relaxed) {
            return;
        }
        // If the target is gone, the client is dropped as well.
        let Ok(far) = TcpStream::connect(self.target) else { return };
        for stream in [&near, &far] {
            stream.set_nodelay(true).unwrap();
            open.push(stream.try_clone().unwrap());
        }
        let limit = self.limits.lock().unwrap().pop().unwrap_or(u64::MAX);
        let (near_copy, far_copy) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || pump(near_copy, far_copy, u64::MAX));
        std::thread::spawn(move || pump(far, near, limit));
    }
}

/// Passes bytes in one direction, up to a limit or the end of either side.
fn pump(mut from: TcpStream, mut to: TcpStream, limit: u64) {
    let mut buffer = [0; 16 << 10];
    let mut rest = limit;
    while rest > 0 {
        let Ok(bytes @ 1..) = from.read(&mut buffer) else { break };
        let bytes = bytes.min(usize::try_from(rest).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        rest -= bytes as u64;
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
