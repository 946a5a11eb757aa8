//! The streams themselves, without a node.

use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};

use patchmesh::internals::config::{OwnFiles, TlsFiles};
use patchmesh::internals::stream::{Refused, Security, Stream};
use smol::Async;
use smol::future::{poll_once, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::Authority;
use crate::harness::PATIENCE;

fn security(authority: &Authority) -> Security {
    let own = authority.sign_loopback();
    let own = Some(OwnFiles { certificate: own.certificate, key: own.key });
    Security::load(&TlsFiles { own, ca: Some(authority.certificate.clone()) }).unwrap()
}

/// Two ends of a stream.
async fn pair(security: &Security) -> (Stream, Stream) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap().to_string();
    let accept = async {
        let (tcp, _) = listener.accept().await.unwrap();
        security.accept(tcp, PATIENCE).await.unwrap()
    };
    let (here, there) = zip(security.dial(&address, true), accept).await;
    (here.unwrap(), there)
}

#[test]
fn what_is_written_is_read_whatever_its_size() {
    let authority = Authority::new("mesh");
    smol::block_on(async {
        let (mut here, mut there) = pair(&security(&authority)).await;
        let seed: u64 = seed_of_now();
        println!("seed {seed}");
        let mut random = seed;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let texts: Vec<Vec<u8>> = (0..200)
            .map(|number| {
                vec![number as u8; next(if number % 20 == 0 { 300_000 } else { 3000 }) as usize]
            })
            .collect();
        let sent = texts.concat();
        let write = async {
            for text in &texts {
                here.write_all(text).await.unwrap();
                if text.len() % 3 == 0 {
                    here.flush().await.unwrap();
                }
            }
            here.close().await.unwrap();
            // The other direction is still open.
            let mut answer = Vec::new();
            here.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let read = async {
            let mut received = Vec::new();
            there.read_to_end(&mut received).await.unwrap();
            there.write_all(&received[..100_000]).await.unwrap();
            there.close().await.unwrap();
            received
        };
        let (answer, received) = zip(write, read).await;
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
        assert!(answer == sent[..100_000]);
    });
}

fn seed_of_now() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    time.as_nanos() as u64
}

#[test]
fn what_is_decrypted_already_is_readable() {
    let authority = Authority::new("mesh");
    smol::block_on(async {
        let (mut here, mut there) = pair(&security(&authority)).await;
        // What comes behind the handshake (tickets) may be told once, and is nothing to read.
        let mut byte = [0];
        assert!(poll_once(pin!(here.read(&mut byte))).await.is_none());
        there.write_all(b"ab").await.unwrap();
        there.flush().await.unwrap();
        for expected in [b"a", b"b"] {
            poll_fn(|context| here.poll_readable(context)).await.unwrap();
            let read = poll_once(pin!(here.read(&mut byte))).await;
            if read.is_none() {
                here.read_exact(&mut byte).await.unwrap();
            }
            assert_eq!(&byte, expected);
            if expected == b"a" {
                let again = poll_once(pin!(poll_fn(|context| here.poll_readable(context)))).await;
                assert!(again.is_some(), "one byte is left");
            }
        }
        let nothing = poll_once(pin!(poll_fn(|context| here.poll_readable(context)))).await;
        assert!(nothing.is_none());
        there.close().await.unwrap();
        poll_fn(|context| here.poll_readable(context)).await.unwrap();
        assert_eq!(here.read(&mut byte).await.unwrap(), 0);
    });
}

#[test]
fn a_writer_waits_for_a_reader() {
    let authority = Authority::new("mesh");
    smol::block_on(async {
        let (mut here, there) = pair(&security(&authority)).await;
        let block = vec![7; 1 << 20];
        let mut written = 0;
        // What the system holds for the reader is limited, and what TLS holds besides is less than a block.
        while poll_once(pin!(here.write_all(&block))).await.is_some() {
            written += 1;
            assert!(written < 100, "all is taken and nothing is read");
        }
        let writable = poll_once(pin!(poll_fn(|context| here.poll_writable(context)))).await;
        assert!(writable.is_none());
        drop(there);
        assert!(here.write_all(&block).await.is_err());
    });
}

#[test]
fn who_says_nothing_is_refused_in_time() {
    let authority = Authority::new("mesh");
    smol::block_on(async {
        let security = security(&authority);
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
        let address = listener.get_ref().local_addr().unwrap();
        for begin in [&b""[..], &[22], &[22, 3, 1, 0, 100, 1]] {
            let mut client = Async::<TcpStream>::connect(address).await.unwrap();
            client.write_all(begin).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            let time = Instant::now();
            let refused = security.accept(tcp, Duration::from_millis(100)).await.unwrap_err();
            assert!(
                matches!(&refused, Refused::Failed(error) if error.kind() == io::ErrorKind::TimedOut),
                "{refused:?}"
            );
            assert!(time.elapsed() < PATIENCE);
        }
    });
}

#[test]
fn a_stream_that_is_cut_is_no_end() {
    let authority = Authority::new("mesh");
    smol::block_on(async {
        let (mut here, there) = pair(&security(&authority)).await;
        // Not closed in order: an attacker could do that too.
        there.tcp().shutdown(std::net::Shutdown::Both).unwrap();
        let error = here.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}
