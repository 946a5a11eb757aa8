//! What both ends of a replication stream do alike.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use smol::Timer;
use smol::future::FutureExt;
use smol::net::TcpStream;
use smol::stream::Stream;

/// How long a close handshake may take: plain nodes never answer one.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The longest reason of a close frame: 125 bytes less the code (RFC 6455 section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Closes a socket and says why, and waits a little for the other side to close too.
pub async fn close(socket: &mut WebSocketStream<TcpStream>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
    let frame = CloseFrame { code, reason: reason.into() };
    let handshake = async {
        // Where the frame cannot be written, the other side is gone, and there is nobody to wait for.
        if socket.close(Some(frame)).await.is_ok() {
            drain(socket).await;
        }
    };
    handshake.or(limit()).await;
}

/// Answers the other side's close, and waits a little for the stream to end.
pub async fn finish(socket: &mut WebSocketStream<TcpStream>) {
    drain(socket).or(limit()).await;
}

async fn drain(socket: &mut WebSocketStream<TcpStream>) {
    while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut *socket).poll_next(context)).await {
        // The other side may talk without end; the time limit and other tasks get their turn.
        smol::future::yield_now().await;
    }
}

async fn limit() {
    Timer::after(CLOSE_LIMIT).await;
}
