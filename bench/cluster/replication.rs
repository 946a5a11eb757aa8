//! Two nodes, one of which dials the other: how much goes through, and how fast it arrives.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::Message;

use crate::Size;
use crate::client::{Client, seen};
use crate::contest::micros;
use crate::journal::payload;
use crate::load;
use crate::median::median;
use crate::process::Process;
use crate::requests::{MEMBERS, writes};

const WRITERS: usize = 64;

/// How many writes and echoes make one round of the delay.
const ECHOES: usize = 100;

/// How long the nodes are left alone before each.
const IDLE: Duration = Duration::from_millis(15);

/// Transactions a second that 64 writers get through to a peer, beside those of a node without one.
pub fn live(size: Size) {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let single = Process::node(&[], None);
        let figures = load::run(&writes(single.address), WRITERS, size.round).expect("it answers");
        alone.push(figures.per_second());
        drop(single);

        let first = Process::node(&[], None);
        let second = Process::node(&[first.address], None);
        Client::new(second.address).wait_until_seen_of(&first);
        let begin = Instant::now();
        let figures = load::run(&writes(first.address), WRITERS, size.round).expect("it answers");
        Client::new(second.address).wait_until_seen_of(&first);
        together.push(figures.answers as f64 / begin.elapsed().as_secs_f64());
    }
    let ratio = median(alone.iter().zip(&together).map(|(alone, together)| together / alone));
    println!("\n| live replication, {WRITERS} writers | transactions/s | ratio |");
    println!("| --- | ---: | ---: |");
    println!("| a node alone | {:.0} | 1.00 |", median(alone));
    println!("| until its peer has them too | {:.0} | {ratio:.2} |", median(together));
}

impl Client {
    /// Waits until this node has seen all that `other` has.
    pub fn wait_until_seen_of(&mut self, other: &Process) {
        let vclock = Client::new(other.address).ask("GET", "/vclock", "");
        let vclock: Value = serde_json::from_str(&vclock).expect("it is JSON");
        for (source, next) in vclock.as_object().expect("a vector clock is an object") {
            self.wait_until_seen(source, next.as_u64().expect("an Id is a number"));
        }
    }
}

/// From the moment in which a client of one node has the answer to its write to that in which a
/// client of the other one has the answer to its read of it, beside echoes over a WebSocket: one for each hop.
pub fn delay(size: Size) {
    println!("\n| idle nodes | median | an echo a hop | ratio |\n| --- | ---: | ---: | ---: |");
    for hops in [1, 5] {
        let (delay, echo) = delay_over(hops, size);
        let far = if hops == 1 { "at the peer".to_owned() } else { format!("{hops} hops away") };
        println!(
            "| from an answered write to an answered read {far} | {delay:.0} µs | {echo:.0} µs | {:.2} |",
            delay / echo / f64::from(hops)
        );
    }
}

/// The medians, in microseconds, of the delay over so many hops and of an echo.
fn delay_over(hops: u32, size: Size) -> (f64, f64) {
    let mut nodes = vec![Process::node(&[], None)];
    for _ in 0..hops {
        nodes.push(Process::node(&[nodes[nodes.len() - 1].address], None));
    }
    let [first, .., last] = &nodes[..] else { panic!("there is a hop") };
    let [mut writer, mut reader] = [first, last].map(|node| Client::new(node.address));
    let mut echo = Echo::new(Process::role("serve-echo"));
    // The document stays small, since the answer to the read is all of it.
    let mut write =
        |round: usize| writer.ask("POST", "/replace", &payload((round % MEMBERS) as u64));
    let mut id = written(&write(0)).1;
    let mut rounds = Vec::new();
    for round in 0..size.rounds * ECHOES {
        // The next write's Id is known before it is made, so somebody can wait for it already.
        let source = written(&write(round)).0;
        id += 1;
        reader.send("GET", &seen(&source, id + 2), "");
        std::thread::sleep(IDLE);
        id = written(&write(round)).1;
        let answered = Instant::now();
        reader.hear();
        let delay = answered.elapsed();
        std::thread::sleep(IDLE);
        rounds.push((delay, echo.round_trip()));
    }
    let delays = rounds.iter().map(|(delay, _)| micros(*delay));
    let echoes = rounds.iter().map(|(_, echo)| micros(*echo));
    (median(delays), median(echoes))
}

/// The source and the Id of an accepted transaction.
fn written(answer: &str) -> (String, u64) {
    let transaction: Value = serde_json::from_str(answer).expect("it is JSON");
    let source = transaction["Source"].as_str().expect("a source").to_owned();
    (source, transaction["Id"].as_u64().expect("an Id"))
}

/// A WebSocket to a server that sends each message back.
struct Echo {
    socket: tungstenite::WebSocket<TcpStream>,
    _process: Process,
}

impl Echo {
    fn new(process: Process) -> Self {
        let stream = TcpStream::connect(process.address).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        let url = format!("ws://{}/", process.address);
        let (socket, _) = tungstenite::client(url, stream).expect("a handshake");
        Self { socket, _process: process }
    }

    fn round_trip(&mut self) -> Duration {
        let message = Message::text(&*payload(0));
        let begin = Instant::now();
        self.socket.send(message).expect("it reads");
        self.socket.read().expect("it answers");
        begin.elapsed()
    }
}
