//! A node that runs out of file descriptors says so once, and accepts again when there are some.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the node may open, itself included.
const DESCRIPTORS: usize = 40;

fn ask(mut stream: TcpStream) -> String {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("the node reads, or will");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_node_without_descriptors_pauses_and_goes_on() {
    let mut node = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" 127.0.0.1:0"))
        .arg(env!("CARGO_BIN_EXE_patchmesh"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the node starts");
    let mut line = String::new();
    let stdout = node.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("the node says where it listens");
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_suffix(',').filter(|word| word.starts_with("127.0.0.1:")))
        .expect("the line has an address");
    let connect = || {
        let stream = TcpStream::connect(address).expect("the system's queue has room");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
        stream
    };

    let idle: Vec<_> = (0..DESCRIPTORS).map(|_| connect()).collect();
    let waiting = connect();
    // Long enough for several tries to accept it.
    std::thread::sleep(Duration::from_secs(1));
    drop(idle);
    assert!(ask(waiting).starts_with("HTTP/1.1 200 OK\r\n"));

    node.kill().expect("the node still runs");
    let output = node.wait_with_output().expect("the node ended");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
}
