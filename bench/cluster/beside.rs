//! Writes, and reads of a part, while somebody else reads the whole of a large document again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Size;
use crate::client::Client;
use crate::load::{self, Figures, Target};
use crate::process::Process;
use crate::protocol::{Protocol, http_request};

/// How many members are put in by one patch.
const MEMBERS_A_PATCH: usize = 5000;

/// About how many bytes of text a member has.
const MEMBER_BYTES: usize = 80;

/// How many different members are written to and read.
const PATHS: usize = 1000;

/// Latencies with large documents.
pub fn beside(size: Size) {
    println!("\nBeside one who reads the whole document in a loop: milliseconds, p50 / p99\n");
    println!(
        "| document | write alone | write beside | part beside | reads of the whole a second |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for &megabytes in size.documents {
        let node = Process::node(&[], None);
        let members = fill(node.address, megabytes * 1_000_000 / MEMBER_BYTES);
        let paths = (0..PATHS).map(|number| number * members / PATHS);
        let write = |number| {
            let patch = format!(r#"[{{"op":"replace","path":"/k{number}/at","value":{number}}}]"#);
            http_request("POST", "/replace", &patch)
        };
        let read = |number| http_request("GET", &format!("/get/k{number}"), "");
        let target =
            |requests| Target { address: node.address, protocol: Protocol::Http, requests };
        let writes = target(paths.clone().map(write).collect());
        let reads = target(paths.map(read).collect());

        let time = size.round * 3;
        let alone = load::run(&writes, 1, time).expect("it answers");
        let begin = Instant::now();
        let ((beside, part), whole) = while_read(node.address, || {
            let run = |target| load::run(target, 1, time).expect("it answers");
            (run(&writes), run(&reads))
        });
        println!(
            "| {megabytes} MB | {} | {} | {} | {:.1} |",
            shown(&alone),
            shown(&beside),
            shown(&part),
            whole as f64 / begin.elapsed().as_secs_f64()
        );
    }
}

/// Makes a document of so many members, and says how many they are.
fn fill(address: SocketAddr, members: usize) -> usize {
    let mut client = Client::new(address);
    let numbers: Vec<usize> = (0..members).collect();
    for numbers in numbers.chunks(MEMBERS_A_PATCH) {
        let add = |number: &usize| {
            format!(
                r#"{{"op":"add","path":"/k{number}","value":{{"at":{number},"text":"{:050}"}}}}"#,
                number
            )
        };
        let operations: Vec<String> = numbers.iter().map(add).collect();
        client.ask("POST", "/replace", &format!("[{}]", operations.join(",")));
    }
    members
}

/// Does `work` while a thread reads the whole document in a loop; says how often it has.
fn while_read<T>(address: SocketAddr, work: impl FnOnce() -> T) -> (T, usize) {
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let stream = TcpStream::connect(address).expect("it listens");
            let mut stream = BufReader::with_capacity(256 << 10, stream);
            while !over.load(Ordering::Relaxed) {
                read_whole(&mut stream);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    });
    (done, count.into_inner())
}

fn read_whole(stream: &mut BufReader<TcpStream>) {
    let request = http_request("GET", "/get", "");
    stream.get_mut().write_all(&request).expect("it reads");
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("it answers");
        match line.trim_end().to_ascii_lowercase().strip_prefix("content-length: ") {
            Some(text) => length = text.parse().expect("a length is a number"),
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let body = std::io::copy(&mut stream.take(length), &mut std::io::sink());
    assert_eq!(body.expect("the body comes"), length);
}

fn shown(figures: &Figures) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (half, most) = (figures.latency(0.5), figures.latency(0.99));
    format!("{:.2} / {:.2}", milliseconds(half), milliseconds(most))
}
