//! One session on `/ws`: sends this node's journal to whoever connects, and only sends.
//!
//! A session is a cursor over the journal. It holds no queue: it reads the next batch when the last one
//! is written, and waits for the journal to grow where it ends. So a slow reader costs the node
//! nothing and loses nothing. What arrives is looked at only to see that the other side lives.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use futures_util::Sink;
use serde::Serialize;
use smol::Timer;
use smol::future::FutureExt;
use smol::net::TcpStream;
use smol::stream::Stream;

use crate::clock::{Time, VectorClock};
use crate::manager::{Handle, wall_clock};
use crate::websocket;

/// How often the other side is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the other side may be silent before it is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// How many transactions, and about how many bytes of them, are written in one go.
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 256 << 10;

/// How many messages are heard before other tasks get their turn.
const MESSAGES_A_TURN: usize = 64;

/// The largest message that is taken in; none has a meaning here.
const MAX_HEARD_BYTES: usize = 64 << 10;

/// How long a plain node that found a message too large has to wait when it comes again, as it
/// would come at once, get the same messages and go, for ever.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(10);

/// How many addresses that found a message too large are remembered.
const TOO_LARGE_ADDRESSES: usize = 1024;

/// What is known of all sessions.
#[derive(Default)]
pub struct Downstreams {
    open: Mutex<Vec<Weak<Progress>>>,
    too_large: Mutex<HashMap<IpAddr, Instant>>,
}

/// How far one session is.
#[derive(Debug)]
struct Progress {
    address: SocketAddr,
    position: AtomicU64,
    since: Time,
}

/// One session as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct DownstreamStatus {
    /// Whom the journal is sent to.
    pub address: String,
    /// The position in the journal of the next transaction to send.
    pub position: u64,
    /// How many transactions are behind that.
    pub behind: u64,
    /// When the session began.
    pub since: Time,
}

impl Downstreams {
    /// The open sessions, by address, where the journal has `length` transactions.
    pub fn status(&self, length: u64) -> Vec<DownstreamStatus> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = open
            .iter()
            .filter_map(Weak::upgrade)
            .map(|progress| {
                let position = progress.position.load(Ordering::Relaxed);
                DownstreamStatus {
                    address: progress.address.to_string(),
                    position,
                    behind: length.saturating_sub(position),
                    since: progress.since,
                }
            })
            .collect();
        list.sort_by(|left, right| left.address.cmp(&right.address));
        list
    }

    fn begin(&self, address: SocketAddr) -> Arc<Progress> {
        let progress =
            Arc::new(Progress { address, position: AtomicU64::new(0), since: wall_clock() });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|progress| progress.strong_count() > 0);
        open.push(Arc::downgrade(&progress));
        progress
    }

    fn found_too_large(&self, address: IpAddr) {
        let now = Instant::now();
        let mut found = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|_, at| now.duration_since(*at) < TOO_LARGE_PAUSE);
        if found.len() < TOO_LARGE_ADDRESSES {
            found.insert(address, now);
        }
    }

    fn pause(&self, address: IpAddr) -> Option<Duration> {
        let found = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        TOO_LARGE_PAUSE.checked_sub(found.get(&address)?.elapsed())
    }
}

/// A session that has been agreed on and not yet begun.
pub struct Session {
    /// To read the journal from.
    pub handle: Handle,
    /// Where sessions are listed.
    pub downstreams: Arc<Downstreams>,
    /// Who connected.
    pub address: SocketAddr,
    /// What they have seen; none where they did not say, as plain nodes do not.
    pub since: Option<VectorClock>,
}

/// Why a session ended.
enum End {
    /// The other side closed, or is gone.
    Closed,
    /// The other side closed since a message was too large for it.
    TooLarge,
    /// It was silent for [`SILENCE_LIMIT`].
    Silent,
    /// The node is stopping.
    Stopping,
    /// The stream failed.
    Failed(Error),
    /// The journal could not be read.
    Journal(std::io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the other side"),
            Self::TooLarge => {
                f.write_str("closed by the other side: a message is too large for it")
            }
            Self::Silent => write!(f, "silent for {} s, given up", SILENCE_LIMIT.as_secs()),
            Self::Stopping => f.write_str("this node is stopping"),
            Self::Failed(error) => error.fmt(f),
            Self::Journal(error) => write!(f, "the journal cannot be read: {error}"),
        }
    }
}

/// What a session waits for.
enum Event {
    Heard(Option<Result<Message, Error>>),
    Flushed(Result<(), Error>),
    Grown,
    Tick,
    Stop,
}

impl Session {
    /// Sends the journal, from its start and then as it grows, until the other side goes or
    /// `shutdown` closes. `read_ahead` is what was read from the stream after the handshake.
    pub async fn run(self, stream: TcpStream, read_ahead: Vec<u8>, shutdown: Receiver<Infallible>) {
        let address = self.address;
        log::debug!("downstream {address}: begins");
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_HEARD_BYTES))
            .max_frame_size(Some(MAX_HEARD_BYTES));
        let mut socket =
            WebSocketStream::from_partially_read(stream, read_ahead, Role::Server, Some(config))
                .await;
        let end = self.send(&mut socket, shutdown).await;
        let farewell = match end {
            End::TooLarge => {
                log::warn!("downstream {address}: {end}");
                self.downstreams.found_too_large(address.ip());
                None
            }
            End::Stopping => Some((CloseCode::Away, "the node is stopping")),
            End::Journal(_) => {
                log::error!("downstream {address}: {end}; it is closed");
                Some((CloseCode::Error, "the journal cannot be read"))
            }
            End::Failed(Error::Capacity(_)) => Some((CloseCode::Size, "too large")),
            End::Failed(Error::Protocol(_)) => Some((CloseCode::Protocol, "not WebSocket")),
            End::Closed | End::Silent | End::Failed(_) => None,
        };
        if let Some((code, reason)) = farewell {
            websocket::close(&mut socket, code, reason).await;
        }
        log::debug!("downstream {address}: {end}");
    }

    async fn send(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        shutdown: Receiver<Infallible>,
    ) -> End {
        if self.since.is_none()
            && let Some(pause) = self.downstreams.pause(self.address.ip())
        {
            let stopping = async { shutdown.recv().await.is_err() };
            let over = async {
                Timer::after(pause).await;
                false
            };
            if stopping.or(over).await {
                return End::Stopping;
            }
        }
        let Ok(grown) = self.handle.subscribe().await else { return End::Stopping };
        let progress = self.downstreams.begin(self.address);
        let mut ping = Timer::interval(PING_INTERVAL);
        let mut last_heard = Instant::now();
        let mut messages = 0;
        let (mut grown, mut shutdown) = (Box::pin(grown), Box::pin(shutdown));
        let mut flushing = match self.feed(socket, &progress).await {
            Ok(fed) => fed,
            Err(end) => return end,
        };
        loop {
            let event = poll_fn(|context| {
                if shutdown.as_mut().poll_next(context).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                if let Poll::Ready(message) = Pin::new(&mut *socket).poll_next(context) {
                    return Poll::Ready(Event::Heard(message));
                }
                if flushing {
                    if let Poll::Ready(result) = Pin::new(&mut *socket).poll_flush(context) {
                        return Poll::Ready(Event::Flushed(result));
                    }
                } else if grown.as_mut().poll_next(context).is_ready() {
                    return Poll::Ready(Event::Grown);
                }
                Pin::new(&mut ping).poll_next(context).map(|_| Event::Tick)
            })
            .await;
            match event {
                Event::Heard(None) => return End::Closed,
                Event::Heard(Some(Err(error))) => return End::Failed(error),
                Event::Heard(Some(Ok(Message::Close(frame)))) => {
                    websocket::finish(socket).await;
                    let too_large = frame.is_some_and(|frame| frame.code == CloseCode::Size);
                    return if too_large { End::TooLarge } else { End::Closed };
                }
                Event::Heard(Some(Ok(_))) => {
                    last_heard = Instant::now();
                    messages += 1;
                    // A reader that talks without end must not keep other tasks waiting.
                    if messages % MESSAGES_A_TURN == 0 {
                        smol::future::yield_now().await;
                    }
                }
                Event::Flushed(Err(error)) => return End::Failed(error),
                Event::Flushed(Ok(())) | Event::Grown => {
                    // A reader that is never behind its socket must not keep other tasks waiting.
                    smol::future::yield_now().await;
                    flushing = match self.feed(socket, &progress).await {
                        Ok(fed) => fed,
                        Err(end) => return end,
                    };
                }
                Event::Tick if last_heard.elapsed() >= SILENCE_LIMIT => return End::Silent,
                Event::Tick => {
                    let Ok(state) = self.handle.state_hash().await else { return End::Stopping };
                    // A peer that knows how compares it with its own; a plain one just answers.
                    let payload = state.map(|state| state.to_string()).unwrap_or_default();
                    let ping = Message::Ping(payload.into());
                    if let Err(error) = Pin::new(&mut *socket).start_send(ping) {
                        return End::Failed(error);
                    }
                    flushing = true;
                }
                Event::Stop => return End::Stopping,
            }
        }
    }

    /// Hands the socket the next batch, for one flush. Says whether there was one.
    async fn feed(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        progress: &Progress,
    ) -> Result<bool, End> {
        loop {
            let position = progress.position.load(Ordering::Relaxed);
            let journal = self.handle.journal();
            let batch =
                journal.read(position, BATCH_RECORDS, BATCH_BYTES).await.map_err(End::Journal)?;
            if batch.is_empty() {
                return Ok(false);
            }
            let mut fed = false;
            for record in &batch {
                let seen = self
                    .since
                    .as_ref()
                    .is_some_and(|seen| seen.has_seen(&record.place.source, record.place.id));
                if !seen {
                    // Without waiting for room: what is queued is this batch at the most, since
                    // the next one is fed only when all is written.
                    let message = Message::text(&*record.line);
                    Pin::new(&mut *socket).start_send(message).map_err(End::Failed)?;
                    fed = true;
                }
            }
            progress.position.store(position + batch.len() as u64, Ordering::Relaxed);
            if fed {
                return Ok(true);
            }
            // Nor must a long run of transactions that were seen.
            smol::future::yield_now().await;
        }
    }
}
