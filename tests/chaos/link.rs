//! A wire between a node and a peer that it dials, with everything that wires do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{sleep, spawn};
use std::time::Duration;

use rustix::net::sockopt;

/// How many bytes the system receives ahead of the wire.
const RECEIVED_BYTES: usize = 64 << 10;

/// Passes connections on to a target.
pub struct Link {
    /// Where it can be dialed.
    pub address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// No connection is let through.
    down: bool,
    /// Bytes wait.
    held: bool,
    /// How long bytes take.
    delay: Duration,
    /// After how many bytes all connections are cut, once.
    limit: Option<usize>,
    /// Nobody needs the link any more.
    ended: bool,
    open: Vec<TcpStream>,
}

impl Link {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(State::default());
        let wire = Arc::new(Wire { target, state, changed: Condvar::new() });
        let accepting = wire.clone();
        spawn(move || {
            for stream in listener.incoming() {
                if accepting.lock().ended {
                    return;
                }
                connect(&accepting, stream.unwrap());
            }
        });
        Self { address, wire }
    }

    /// Cuts all connections; new ones are good.
    pub fn cut(&self) {
        self.wire.lock().cut();
    }

    /// Cuts all connections, and each new one at once.
    pub fn go_down(&self) {
        let mut state = self.wire.lock();
        state.down = true;
        state.cut();
    }

    /// Lets nothing through, and keeps the connections and what they carry.
    pub fn hold(&self) {
        self.wire.lock().held = true;
    }

    /// Makes everything that comes through from now on late.
    pub fn delay(&self, delay: Duration) {
        self.wire.lock().delay = delay;
    }

    /// Cuts all connections when so many bytes more have come through.
    pub fn limit(&self, bytes: usize) {
        self.wire.lock().limit = Some(bytes);
    }

    /// Makes it a good wire again. What it held comes through.
    pub fn heal(&self) {
        let mut state = self.wire.lock();
        (state.down, state.held, state.delay, state.limit) = (false, false, Duration::ZERO, None);
        self.wire.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.wire.lock();
        (state.ended, state.held) = (true, false);
        state.cut();
        drop(state);
        self.wire.changed.notify_all();
        // Wakes the thread that accepts.
        TcpStream::connect(self.address).ok();
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits as long as the wire wants it, and says how many of so many bytes come through.
    fn let_through(&self, bytes: usize) -> usize {
        let delay = self.lock().delay;
        if delay > Duration::ZERO {
            sleep(delay);
        }
        let mut state = self.changed.wait_while(self.lock(), |state| state.held).unwrap();
        let Some(limit) = &mut state.limit else { return bytes };
        let through = bytes.min(*limit);
        *limit -= through;
        through
    }
}

fn connect(wire: &Arc<Wire>, near: TcpStream) {
    // Cutting and going down hold the same lock, so no connection slips through.
    let mut state = wire.lock();
    if state.down {
        return;
    }
    // If the target is gone, the caller is dropped as well.
    let Ok(far) = TcpStream::connect(wire.target) else { return };
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
        // What the wire carries is not to wait in it unseen.
        sockopt::set_socket_recv_buffer_size(stream, RECEIVED_BYTES).unwrap();
        state.open.push(stream.try_clone().unwrap());
    }
    drop(state);
    let copies = (near.try_clone().unwrap(), far.try_clone().unwrap());
    for (from, to) in [copies, (far, near)] {
        let wire = wire.clone();
        spawn(move || pump(&wire, from, to));
    }
}

/// Passes bytes in one direction, up to the end of either side.
fn pump(wire: &Wire, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        let through = wire.let_through(bytes);
        if to.write_all(&buffer[..through]).is_err() {
            break;
        }
        if through < bytes {
            let mut state = wire.lock();
            state.limit = None;
            state.cut();
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
