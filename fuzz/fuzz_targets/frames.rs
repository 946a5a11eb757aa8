//! Both ends of a WebSocket, over a stream in memory: what is heard does not depend on how the bytes were
//! cut on their way, a turn ends, what waits to be written is bounded, and what comes is a transaction, a
//! note or a reason to close.
//!
//! The input begins with two bytes that say which end it is, whether the other side reads, and whether what
//! follows are bytes or the choices that make frames; then come eight bytes that say where it is cut.

#![no_main]

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_tungstenite::tungstenite::handshake::client::Request;
use async_tungstenite::tungstenite::{Error, Message};
use libfuzzer_sys::fuzz_target;
use patchmesh::internals::manager::StateHash;
use patchmesh::internals::mesh::websocket::{Note, Readiness, Socket, SocketLimits};
use patchmesh::internals::transaction::Transaction;
use patchmesh_fuzz::Bytes;
use smol::io::{AsyncRead, AsyncWrite};

/// As at a downstream, but the messages are smaller, so that the limit is met.
const LIMITS: SocketLimits = SocketLimits { message_bytes: 2048, read_buffer_bytes: 4 << 10 };

/// What the end of a stream may read in one turn, four buffers and the one that is read then; and hear.
const BYTES_A_TURN: usize = 5 * LIMITS.read_buffer_bytes;
const MESSAGES_A_TURN: usize = 256;

/// What may be written besides the pongs: a close frame of 125 bytes, and the request of a handshake.
const MOST_WRITTEN: usize = 131 + 1024;

/// What a pong has beside its payload.
const PONG_HEADER: usize = 6;

fuzz_target!(|input: &[u8]| {
    let mut choices = Bytes(input);
    let (kind, how) = (choices.byte(), choices.byte());
    let end = match kind % 4 {
        0 | 1 => End::Server,
        2 => End::Client { shakes_hands: true },
        _ => End::Client { shakes_hands: false },
    };
    let cuts = choices.take(8).to_vec();
    let (bytes, expected) = match how % 2 {
        0 => (choices.0.to_vec(), None),
        _ => frames(end, choices),
    };
    let reads = how & 2 == 0;
    let Some(whole) = hear(end, &bytes, &[], reads) else { return };
    if let Some(expected) = expected
        && reads
    {
        let heard = &whole.messages[..expected.len().min(whole.messages.len())];
        assert_eq!(heard, expected, "of {whole:?}");
    }
    for pieces in [&cuts[..], &[1]] {
        if (pieces.len() > 1 || how & 4 != 0)
            && let Some(cut) = hear(end, &bytes, pieces, reads)
        {
            assert_eq!(cut, whole);
        }
    }
});

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Whoever was dialed.
    Server,
    /// Whoever dials, and is answered well or by the input.
    Client { shakes_hands: bool },
}

/// All that can be seen of what became of the bytes.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    end: String,
}

/// The other side, which sends these bytes and then ends the stream.
struct Other<'a> {
    bytes: &'a [u8],
    at: usize,
    /// So many bytes of a handshake come in one piece: one of many small pieces is refused.
    handshake: usize,
    /// How many bytes come at a time after it, again and again; 0 is nothing for now. All, if there are none.
    pieces: &'a [u8],
    piece: usize,
    reads: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// How much was read in this turn.
    read: usize,
    written: usize,
}

impl Other<'_> {
    fn next_piece(&mut self) -> usize {
        self.piece += 1;
        usize::from(self.pieces[self.piece % self.pieces.len()])
    }
}

impl AsyncRead for Other<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let piece = match self.handshake.checked_sub(self.at) {
            _ if self.pieces.is_empty() => usize::MAX,
            Some(rest @ 1..) => rest,
            _ => self.next_piece(),
        };
        if piece == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(buffer.len()).min(piece);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        self.shared.lock().expect("no holder panics").read += count;
        Poll::Ready(Ok(count))
    }
}

impl Readiness for Other<'_> {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Other<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.lock().expect("no holder panics");
        // It takes the request of a handshake in any case.
        if !self.reads && self.at > 0 {
            return Poll::Pending;
        }
        shared.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    /// There is always something to do, so a task that sleeps would never be woken.
    fn expect(&self) {
        assert!(self.0.swap(false, Ordering::Relaxed), "it would wait for ever");
    }
}

/// Polls a future until it is ready.
fn finish<T>(future: impl Future<Output = T>, woken: &Woken, context: &mut Context) -> T {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(context) {
            Poll::Ready(value) => return value,
            Poll::Pending => woken.expect(),
        }
    }
}

/// Hears all that there is, and takes leave as the ends of a stream do. None if a handshake came in so many
/// pieces that this alone is a reason to end it.
fn hear(end: End, bytes: &[u8], pieces: &[u8], reads: bool) -> Option<Outcome> {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
        Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    // Nothing but pauses would be nothing.
    let pieces = if pieces.iter().all(|piece| *piece == 0) { &[] } else { pieces };
    let answered = [ANSWER, bytes].concat();
    let is_answered = end == End::Client { shakes_hands: true };
    let bytes = if is_answered { &answered } else { bytes };
    let handshake = match end {
        End::Server => 0,
        End::Client { .. } => {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            end.map_or(bytes.len(), |end| end + 4)
        }
    };
    let shared = Arc::new(Mutex::new(Shared::default()));
    let other = Other { bytes, at: 0, handshake, pieces, piece: 0, reads, shared: shared.clone() };
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);

    let mut messages = Vec::new();
    let mut socket = match end {
        // What came with the handshake is read ahead.
        End::Server => finish(Socket::accept(other, Vec::new(), LIMITS), &woken, &mut context),
        End::Client { .. } => {
            let request = Request::builder()
                .uri("ws://h/ws")
                .header("Host", "h")
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", KEY)
                .body(())
                .expect("it is a request");
            match finish(Socket::dial(request, other, LIMITS), &woken, &mut context) {
                Ok((socket, _)) => socket,
                Err(Error::AttackAttempt) if !is_answered => return None,
                Err(error) => {
                    assert!(!is_answered, "{error}");
                    return Some(Outcome { messages, end: error.to_string() });
                }
            }
        }
    };
    let (mut turn, mut pongs) = (0, 0);
    let fault = loop {
        match socket.poll_heard(&mut context) {
            Poll::Ready(Ok(message)) => {
                turn += 1;
                look_at(&message);
                if let Message::Ping(payload) = &message {
                    pongs += PONG_HEADER + payload.len();
                }
                messages.push(message);
            }
            Poll::Ready(Err(fault)) => break fault,
            Poll::Pending => {
                woken.expect();
                assert!(turn <= MESSAGES_A_TURN, "{turn} messages in a turn");
                let mut shared = shared.lock().expect("no holder panics");
                assert!(shared.read <= BYTES_A_TURN, "{} bytes in a turn", shared.read);
                (turn, shared.read) = (0, 0);
            }
        }
    };
    let end = format!("{fault:?}");
    if let Some((code, reason)) = fault.farewell()
        && reads
    {
        finish(socket.close(code, reason), &woken, &mut context);
    }
    let written = shared.lock().expect("no holder panics").written;
    assert!(written <= pongs + MOST_WRITTEN, "{written} bytes are written for {pongs} of pongs");
    Some(Outcome { messages, end })
}

/// What an upstream makes of a message.
fn look_at(message: &Message) {
    let text = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        Message::Ping(payload) => {
            if let Ok(text) = std::str::from_utf8(payload)
                && let Ok(state) = text.parse::<StateHash>()
            {
                assert_eq!(state.to_string(), text);
            }
            return;
        }
        Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
    };
    assert!(text.len() <= LIMITS.message_bytes);
    match Transaction::decode(text) {
        Ok(transaction) => {
            assert!(!matches!(Note::decode(text), Some(Ok(_))), "a note is no transaction");
            assert_eq!(Transaction::decode(transaction.encode().as_bytes()), Ok(transaction));
        }
        Err(_) => drop(Note::decode(text)),
    }
}

/// Frames as they should be, and what is to be heard of them; then maybe something else.
fn frames(end: End, mut choices: Bytes) -> (Vec<u8>, Option<Vec<Message>>) {
    const TEXTS: [&str; 5] = [
        "",
        r#"{"End":17}"#,
        r#"{"Source":"a~k3x9q2pd","Id":1,"Payload":"[]","Time":1}"#,
        "äöü€😀",
        "patchmesh-state 00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff",
    ];
    let masked = end == End::Server;
    let mut bytes = Vec::new();
    let mut messages = Vec::new();
    while !choices.is_empty() {
        let what = choices.below(8);
        let text = TEXTS[choices.below(TEXTS.len())].repeat(1 + choices.below(16));
        let control = choices.byte();
        let control = |bytes: &mut Vec<u8>, messages: &mut Vec<Message>| {
            let payload = vec![control; usize::from(control % 126)];
            let (opcode, message) = match control % 2 {
                0 => (0x89, Message::Ping(payload.clone().into())),
                _ => (0x8a, Message::Pong(payload.clone().into())),
            };
            push_frame(bytes, opcode, masked, &payload);
            messages.push(message);
        };
        match what {
            0 => control(&mut bytes, &mut messages),
            // What is wrong, or not; nothing more is known of what is heard then.
            7 => {
                let (first, count) = (choices.byte(), choices.below(300));
                let payload = choices.take(count);
                push_frame(&mut bytes, first, masked ^ (first % 5 == 0), payload);
                bytes.extend_from_slice(choices.0);
                break;
            }
            _ => {
                let opcode = if what < 5 { 0x1 } else { 0x2 };
                let mut rest = text.as_bytes();
                let mut first = opcode;
                for _ in 0..choices.below(4) {
                    let (part, next) = rest.split_at(choices.below(rest.len() + 1));
                    push_frame(&mut bytes, first, masked, part);
                    (first, rest) = (0, next);
                    if choices.below(2) == 0 {
                        control(&mut bytes, &mut messages);
                    }
                }
                push_frame(&mut bytes, 0x80 | first, masked, rest);
                messages.push(match opcode {
                    0x1 => Message::text(text),
                    _ => Message::binary(text.into_bytes()),
                });
            }
        }
    }
    // One that is too large ends it.
    let most = messages.iter().position(|message| message.len() > LIMITS.message_bytes);
    messages.truncate(most.unwrap_or(messages.len()));
    let is_heard = end != End::Client { shakes_hands: false };
    (bytes, is_heard.then_some(messages))
}

fn push_frame(bytes: &mut Vec<u8>, first: u8, masked: bool, payload: &[u8]) {
    const MASK: [u8; 4] = [1, 2, 3, 0];
    bytes.push(first);
    let mask = u8::from(masked) << 7;
    match payload.len() {
        length @ 0..126 => bytes.push(mask | length as u8),
        length => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend_from_slice(payload);
    }
}
