//! One task a peer: dials it, reads its `/ws`, submits what comes, and dials again. Only receives.
//!
//! Streams may break, repeat and overlap in any way: the manager drops what is known. What a stream
//! may not do is leave out a transaction and go on after it, since the vector clock would then hide
//! the gap for ever. So the task submits in the order of arrival, and ends the stream at the first
//! transaction that is not kept.

mod backoff;
mod end;
mod since;
mod status;
mod trouble;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use rustix::net::sockopt;
use smol::Timer;
use smol::future::FutureExt;
use smol::net::TcpStream;
use smol::stream::Stream;

use crate::config::{Peer, authority, host_and_port};
use crate::manager::{Handle, StateHash, Stopped, Submitted, wall_clock};
use crate::transaction::{MAX_ENCODED_BYTES, Transaction};
use crate::websocket;
use backoff::{Backoff, GOOD};
use end::End;
use since::since;
use trouble::Trouble;

pub use status::{Divergence, State, UpstreamStatus};

/// How long finding, connecting and shaking hands may take in all.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// How long a peer that has pinged before may be silent. A plain node never pings.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// About how many bytes of transactions are gathered while the manager is at work on those before.
const BATCH_BYTES: usize = 1 << 20;

/// About how many where the manager has been at work for long. What comes in late makes it apply again
/// what comes after it, so a peer that was cut off for long is caught up with in few large batches.
const LATE_BATCH_BYTES: usize = 64 << 20;
const LONG_WORK: Duration = Duration::from_millis(100);

/// What a transaction takes in memory beside its payload, about, in bytes.
const TRANSACTION_BYTES: usize = 128;

/// How many messages are read before other tasks get their turn.
const MESSAGES_A_TURN: usize = 256;

/// How often a peer's silence is looked at. A stream that lives to see it was a good one.
const TICK: Duration = GOOD;

/// Of how many sources it is noted what a peer has seen.
const MAX_PEER_SOURCES: usize = 1024;

/// The task of one peer.
pub struct Upstream {
    peer: Peer,
    token: Option<String>,
    handle: Handle,
    status: Arc<Mutex<UpstreamStatus>>,
}

impl Upstream {
    /// The task for `peer`, and where its status can be read.
    pub fn new(
        peer: Peer,
        token: Option<String>,
        handle: Handle,
    ) -> (Self, Arc<Mutex<UpstreamStatus>>) {
        let status = Arc::new(Mutex::new(UpstreamStatus {
            address: peer.to_string(),
            state: State::Connecting,
            since: wall_clock(),
            error: None,
            received: 0,
            delay_ms: None,
            agrees: None,
            divergence: None,
            vclock: None,
            divergences: 0,
        }));
        (Self { peer, token, handle, status: status.clone() }, status)
    }

    /// Dials and receives, again and again, until `shutdown` closes.
    pub async fn run(self, shutdown: Receiver<Infallible>) {
        let peer = &self.peer;
        let mut backoff = Backoff::default();
        let mut trouble = Trouble::new(peer);
        loop {
            self.enter(State::Connecting, None);
            let mut lasted = Duration::ZERO;
            let end = match self.dial().or(stopping(&shutdown)).await {
                Ok(mut socket) => {
                    trouble.connected();
                    self.enter(State::Connected, None);
                    let begin = Instant::now();
                    let received = self.receive(&mut socket, &mut trouble);
                    let end = match received.or(stopping(&shutdown)).await {
                        Ok(never) => match never {},
                        Err(end) => end,
                    };
                    lasted = begin.elapsed();
                    if let Some((code, reason)) = end.farewell() {
                        websocket::close(&mut socket, code, &reason).await;
                    }
                    end
                }
                Err(end) => end,
            };
            if matches!(end, End::Stopping) {
                return;
            }
            let wait = backoff.after(lasted, fastrand::f64());
            self.enter(State::Waiting, Some(end.to_string()));
            trouble.ended(&end, lasted, wait);
            let over = async {
                Timer::after(wait).await;
                false
            };
            if over.or(async { shutdown.recv().await.is_err() }).await {
                return;
            }
        }
    }

    fn enter(&self, state: State, error: Option<String>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.state = state;
        status.since = wall_clock();
        // While it tries again, the reason for that stays to be seen.
        if error.is_some() || state == State::Connected {
            status.error = error;
        }
        if state == State::Connected {
            // It may have lost its journal since.
            status.vclock = None;
        }
    }

    async fn dial(&self) -> Result<WebSocketStream<TcpStream>, End> {
        let timeout = async {
            Timer::after(DIAL_LIMIT).await;
            Err(End::DialTimeout)
        };
        self.connect().or(timeout).await
    }

    async fn connect(&self) -> Result<WebSocketStream<TcpStream>, End> {
        let Peer { address, path } = &self.peer;
        let addresses =
            smol::net::resolve(host_and_port(address)).await.map_err(End::NoSuchHost)?;
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => End::Refused,
            _ => End::Broken(error.to_string()),
        })?;
        stream.set_nodelay(true).map_err(|error| End::Broken(error.to_string()))?;
        keep_alive(&stream).map_err(|error| End::Broken(error.to_string()))?;
        let since = since(&self.handle.stamps().await?);
        let mut request = format!("ws://{}{path}?since={since}", authority(address))
            .into_client_request()
            .map_err(|error| End::NotWebSocket(error.to_string()))?;
        if let Some(token) = &self.token {
            let value = HeaderValue::try_from(format!("Bearer {token}"))
                .expect("a token has visible ASCII characters only");
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_ENCODED_BYTES))
            .max_frame_size(Some(MAX_ENCODED_BYTES));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(End::WrongToken)
            }
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err(End::Rejected(response.status(), problem_detail(body)))
            }
            Err(Error::Io(error)) => Err(End::Broken(error.to_string())),
            Err(error) => Err(End::NotWebSocket(error.to_string())),
        }
    }

    /// Reads the stream until it ends, which is always for a reason.
    async fn receive(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        trouble: &mut Trouble<'_>,
    ) -> Result<Infallible, End> {
        let mut gathered = Gathered::default();
        let mut submission: Option<Submission> = None;
        let mut is_long = false;
        let mut long_work = Timer::never();
        let mut end: Option<End> = None;
        let mut refused = Refused { peer: &self.peer, count: 0 };
        let mut ticks = Timer::interval(TICK);
        // None until the peer pings for the first time: a plain node never does.
        let mut silent_ticks: Option<u32> = None;
        let mut messages = 0;
        loop {
            if submission.is_none() && !gathered.transactions.is_empty() {
                submission = Some(self.submit(&mut gathered));
                is_long = false;
                long_work.set_after(LONG_WORK);
            }
            // What came before the stream's end is submitted before the end is looked into.
            if submission.is_none()
                && let Some(end) = end
            {
                return Err(end);
            }
            let event = poll_fn(|context| {
                if let Some(submission) = &mut submission
                    && let Poll::Ready(answers) = submission.as_mut().poll(context)
                {
                    return Poll::Ready(Event::Answered(answers));
                }
                if end.is_none()
                    && gathered.has_room(is_long)
                    && let Poll::Ready(message) = Pin::new(&mut *socket).poll_next(context)
                {
                    return Poll::Ready(Event::Heard(message));
                }
                if Pin::new(&mut long_work).poll(context).is_ready() {
                    return Poll::Ready(Event::LongWork);
                }
                Pin::new(&mut ticks).poll_next(context).map(|_| Event::Tick)
            })
            .await;
            match event {
                Event::Answered(answers) => {
                    submission = None;
                    answers?.into_iter().try_for_each(|answer| refused.check(answer))?;
                }
                Event::Heard(message) => {
                    silent_ticks = silent_ticks.map(|_| 0);
                    match read(message) {
                        Ok(Heard::Transaction(transaction)) => gathered.push(transaction),
                        Ok(Heard::Ping(state)) => {
                            silent_ticks = Some(0);
                            if let Some(theirs) = state {
                                self.compare(&theirs).await?;
                            }
                        }
                        Ok(Heard::Other) => (),
                        Err(reason) => end = Some(reason),
                    }
                    messages += 1;
                    if messages % MESSAGES_A_TURN == 0 {
                        smol::future::yield_now().await;
                    }
                }
                Event::LongWork => is_long = submission.is_some(),
                // While there is no room, the silence is this node's own.
                Event::Tick if !gathered.has_room(is_long) => {
                    silent_ticks = silent_ticks.map(|_| 0)
                }
                Event::Tick => {
                    trouble.is_over();
                    silent_ticks = silent_ticks.map(|ticks| ticks + 1);
                    if silent_ticks.is_some_and(|ticks| TICK * ticks > SILENCE_LIMIT) {
                        return Err(End::Silent);
                    }
                }
            }
        }
    }

    /// Submits what was gathered.
    fn submit(&self, gathered: &mut Gathered) -> Submission {
        let Gathered { transactions, .. } = std::mem::take(gathered);
        {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.received += transactions.len() as u64;
            let vclock = status.vclock.get_or_insert_default();
            for (source, id) in transactions.iter().map(Transaction::stamp) {
                if vclock.next_id(source) > 0 || vclock.iter().count() < MAX_PEER_SOURCES {
                    vclock.advance(source, id);
                }
            }
            status.delay_ms = transactions
                .last()
                .and_then(|transaction| transaction.time)
                .map(|time| wall_clock().micros_after(time) / 1000);
        }
        let handle = self.handle.clone();
        Box::pin(async move { handle.submit(transactions).await })
    }

    /// Compares this node's state with a peer's: with the same transactions the document is the same.
    async fn compare(&self, theirs: &StateHash) -> Result<(), End> {
        let vclock = self.handle.stamps().await?;
        if theirs.is_of(&vclock) && vclock.iter().count() <= MAX_PEER_SOURCES {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.vclock = Some(vclock);
        }
        let Some(ours) = self.handle.state_hash().await? else { return Ok(()) };
        if ours.clock != theirs.clock {
            return Ok(());
        }
        let agrees = ours.state == theirs.state;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.agrees = Some(agrees);
        let before = status.divergence.take();
        if !agrees {
            let (here, there) = (ours.state.to_string(), theirs.state.to_string());
            if before.is_none() {
                status.divergences += 1;
                log::error!(
                    "peer {}: it has the same transactions and another document: state hash {here} \
                     here, {there} there; please report this",
                    self.peer
                );
            }
            status.divergence = Some(Divergence { here, there });
        } else if before.is_some() {
            log::info!("peer {}: it has the same document again", self.peer);
        }
        Ok(())
    }
}

/// What `receive` waits for.
enum Event {
    Answered(Result<Vec<Submitted>, Stopped>),
    Heard(Option<Result<Message, Error>>),
    LongWork,
    Tick,
}

/// Transactions that the manager is at work on.
type Submission = Pin<Box<dyn Future<Output = Result<Vec<Submitted>, Stopped>> + Send>>;

/// Transactions that came and are not submitted yet.
#[derive(Default)]
struct Gathered {
    transactions: Vec<Transaction>,
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, transaction: Transaction) {
        self.bytes += TRANSACTION_BYTES + transaction.payload.len();
        self.transactions.push(transaction);
    }

    /// Whether more may be gathered, where the manager has `long` been at work on those before.
    fn has_room(&self, long: bool) -> bool {
        self.bytes < if long { LATE_BATCH_BYTES } else { BATCH_BYTES }
    }
}

/// How many of a stream's transactions do not apply: those without `Time` only, from a plain node.
struct Refused<'a> {
    peer: &'a Peer,
    count: u64,
}

impl Refused<'_> {
    /// Looks at what became of a transaction. Ends the stream where it was not kept: what follows
    /// must not hide that it is missing.
    fn check(&mut self, answer: Submitted) -> Result<(), End> {
        match answer {
            Submitted::Accepted(_) | Submitted::Known { .. } => Ok(()),
            Submitted::Refused(error) => {
                self.count += 1;
                if self.count == 1 {
                    log::warn!(
                        "peer {}: a transaction without Time does not apply and is left out: \
                         {error}; further ones of this stream are only counted",
                        self.peer
                    );
                }
                Ok(())
            }
            Submitted::Early { ahead_micros } => Err(End::Early(ahead_micros)),
            Submitted::Unkept(error) => Err(End::Unkept(error)),
        }
    }
}

/// What a message means here.
enum Heard {
    Transaction(Transaction),
    /// With the peer's state, where it says it.
    Ping(Option<StateHash>),
    Other,
}

fn read(message: Option<Result<Message, Error>>) -> Result<Heard, End> {
    match message {
        Some(Ok(Message::Text(text))) => {
            Transaction::decode(text.as_bytes()).map(Heard::Transaction).map_err(End::Garbage)
        }
        // Some plain nodes send the text as binary.
        Some(Ok(Message::Binary(bytes))) => {
            Transaction::decode(&bytes).map(Heard::Transaction).map_err(End::Garbage)
        }
        Some(Ok(Message::Ping(payload))) => {
            let state = std::str::from_utf8(&payload).ok().and_then(|text| text.parse().ok());
            Ok(Heard::Ping(state))
        }
        Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(Heard::Other),
        Some(Ok(Message::Close(frame))) => {
            Err(End::Closed(frame.map(|frame| frame.to_string()).unwrap_or_default()))
        }
        Some(Err(Error::Capacity(_))) => Err(End::TooLarge),
        Some(Err(error)) => Err(End::Broken(error.to_string())),
        None => Err(End::Closed(String::new())),
    }
}

/// Has the system find out whether the peer is still there. A plain node sends nothing unless there
/// is a transaction, so that its silence says nothing.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE_LIMIT)?;
    sockopt::set_tcp_keepintvl(stream, TICK)?;
    Ok(sockopt::set_tcp_keepcnt(stream, 3)?)
}

/// Waits for `shutdown` to close.
async fn stopping<T>(shutdown: &Receiver<Infallible>) -> Result<T, End> {
    match shutdown.recv().await {
        Ok(never) => match never {},
        Err(_) => Err(End::Stopping),
    }
}

/// The `detail` of a problem (RFC 9457), where the answer is one.
fn problem_detail(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    problem["detail"].as_str().unwrap_or_default().to_owned()
}
