//! What one write costs the server for each of many readers.
//!
//! All share the machine, but what counts is the processor time that the server uses. An event stream gathers what
//! comes within 20 ms, so its figure is not that of one delivery. 900 readers need `ulimit -n 4096`.

mod parts;
mod readers;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use crate::Size;
use crate::median::median;
use crate::memory::memory;
use crate::process::Process;
use crate::usage::Usage;
use readers::Readers;
use server::{Kind, Server};

pub use parts::parts;

/// How far apart writes are.
const INTERVALS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];

/// How long the last write may be on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many rounds of [`Size::round`] make one of these: processor time is told in steps of 10 ms.
const ROUNDS: u32 = 4;

/// A node's two kinds of stream, beside another product if there is one: its name, its address, its process.
pub fn fanout(size: Size, against: Option<(&str, SocketAddr, u32)>) {
    // The readers of one round may not have left yet when those of the next one come.
    let node = Process::node_with(&[], None, &["--max-connections", "2048"]);
    let own = |kind| Server { kind, address: node.address, process: node.id() };
    let other = against.map(|(product, address, process)| {
        let kind = Kind::of_product(product).expect("it is redis or nats");
        Server { kind, address, process }
    });
    let servers: Vec<_> =
        other.into_iter().chain([own(Kind::WebSocket), own(Kind::Events)]).collect();
    println!("\n| readers | a write each | server | CPU for each write and reader | × |");
    println!("| ---: | ---: | --- | ---: | ---: |");
    for &count in size.readers {
        for interval in INTERVALS {
            row(&servers, count, interval, size);
        }
    }
    if against.is_none() {
        idle(size.idle);
    }
}

/// Prints what each server needs; the first is the one that the others are compared to.
fn row(servers: &[Server], count: usize, interval: Duration, size: Size) {
    let mut rounds: Vec<Vec<f64>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..size.rounds.min(3) {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            rounds.push(round(server, count, interval, size.round * ROUNDS));
        }
    }
    for (server, own) in servers.iter().zip(&rounds) {
        let ratio = median(own.iter().zip(&rounds[0]).map(|(own, first)| own / first));
        println!(
            "| {count} | {} ms | {} | {:.2} µs | {ratio:.2} |",
            interval.as_millis(),
            server.kind.name(),
            median(own.iter().copied()),
        );
    }
}

/// The server's processor time for each write and reader, in microseconds.
fn round(server: &Server, count: usize, interval: Duration, time: Duration) -> f64 {
    let readers = Readers::new(server, count);
    let mut writer = server.writer();
    // The first one shows that all are there.
    writer.write();
    readers.wait_for(1, PATIENCE);
    let before = Usage::of(server.process);
    let writes = writer.write_for(interval, time);
    readers.wait_for(u64::from(writes) + 1, PATIENCE);
    let used = Usage::of(server.process).since(before);
    used.as_secs_f64() * 1e6 / f64::from(writes) / count as f64
}

/// Prints what readers of `/ws` take of memory to whom nothing is sent.
fn idle(count: usize) {
    let node = Process::node(&[], None);
    let server = Server { kind: Kind::WebSocket, address: node.address, process: node.id() };
    let before = memory(node.id());
    let readers = Readers::new(&server, count);
    server.writer().write();
    readers.wait_for(1, PATIENCE);
    let taken = memory(node.id()).saturating_sub(before);
    println!(
        "\n{count} idle readers of /ws take {:.1} MiB of the node's memory, {:.1} KiB each",
        taken as f64 / f64::from(1 << 20),
        taken as f64 / 1024.0 / count as f64
    );
}
