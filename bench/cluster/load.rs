//! A closed-loop load: so many connections, each with one request under way at a time.
//!
//! One thread serves all of them over epoll. It does as little as it can: requests are bytes made
//! beforehand, and of an answer only its end is looked for, and whether it is the one hoped for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::protocol::{Answer, Protocol};
use crate::usage::Usage;

/// No answer of the measured requests is longer.
const ANSWER_BYTES: usize = 64 << 10;

/// How long nothing may happen at all.
const SILENCE_LIMIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Whom to ask what.
pub struct Target {
    pub address: SocketAddr,
    pub protocol: Protocol,
    /// What is asked, in turn.
    pub requests: Vec<Vec<u8>>,
}

/// What came of a load.
pub struct Figures {
    pub answers: usize,
    pub taken: Duration,
    /// From the moment before a request is written to that after its answer is read, sorted.
    latencies: Vec<Duration>,
    /// What this process used for it.
    pub own: Duration,
}

impl Figures {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.taken.as_secs_f64()
    }

    /// The latency that this share of the requests did not pass.
    pub fn latency(&self, share: f64) -> Duration {
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies[index.min(self.latencies.len() - 1)]
    }
}

struct Connection {
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    input: Vec<u8>,
    filled: usize,
    asked: Instant,
    next: usize,
}

impl Connection {
    fn open(target: &Target, number: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        target.protocol.greet(&mut stream, number)?;
        let own = |request: &Vec<u8>| target.protocol.of_connection(request, number);
        let requests = target.requests.iter().map(own).collect();
        stream.set_nonblocking(true)?;
        let (input, asked) = (vec![0; ANSWER_BYTES], Instant::now());
        Ok(Self { stream, requests, input, filled: 0, asked, next: number })
    }

    fn ask(&mut self) -> io::Result<()> {
        let request = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.asked = Instant::now();
        // What one connection asks at a time always fits the socket's buffer.
        self.stream.write_all(request)
    }

    /// Reads what has come; says whether the answer is complete.
    fn hear(&mut self, target: &Target) -> io::Result<bool> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        match target.protocol.answer(&self.input[..self.filled]) {
            Answer::Incomplete => Ok(false),
            Answer::Complete => {
                self.filled = 0;
                Ok(true)
            }
            Answer::Refused => {
                let text = String::from_utf8_lossy(&self.input[..self.filled]);
                Err(io::Error::other(format!("the answer is {text}")))
            }
        }
    }
}

/// Asks `target` over so many connections for as long, and waits for the last answers.
pub fn run(target: &Target, connections: usize, time: Duration) -> io::Result<Figures> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let connection = Connection::open(target, number)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, &connection.stream, data, epoll::EventFlags::IN)?;
        open.push(connection);
    }
    let mut latencies = Vec::new();
    let mut events = Vec::with_capacity(connections);
    let usage = Usage::own_thread();
    let begin = Instant::now();
    for connection in &mut open {
        connection.ask()?;
    }
    let mut under_way = connections;
    while under_way > 0 {
        events.clear();
        if epoll::wait(&epoll, spare_capacity(&mut events), Some(&SILENCE_LIMIT))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        for event in &events {
            let connection = &mut open[event.data.u64() as usize];
            if !connection.hear(target)? {
                continue;
            }
            latencies.push(connection.asked.elapsed());
            if begin.elapsed() < time {
                connection.ask()?;
            } else {
                under_way -= 1;
            }
        }
    }
    let taken = begin.elapsed();
    let own = Usage::own_thread().since(usage);
    latencies.sort_unstable();
    Ok(Figures { answers: latencies.len(), taken, latencies, own })
}
