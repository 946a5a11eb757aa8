//! One connection: reads requests, passes them to the handler, and writes the answers.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use async_channel::{Receiver, Recv};
use smol::future;
use smol::io::{AsyncRead, AsyncWrite};

use super::alarm::Alarm;
use super::bodies::{Bodies, Held};
use super::connection_end::ConnectionEnd;
use crate::http::{
    Body, BodyPieces, CONTINUE, DateCache, Decoded, Decoder, Delivery, HttpError, HttpVersion,
    Limits, Phase, ReadBuffer, Request, Response,
};
use crate::routes::{Answer, Handler};
use crate::stream::{Stream, Takeover};

/// Answers to pipelined requests are gathered up to this size before they are written.
const GATHER_BYTES: usize = 64 * 1024;
/// A body of at most this size is copied behind its header, so that more answers can follow it in
/// the same write. A larger one is written from where it is.
const COPY_BYTES: usize = 16 * 1024;
/// How many requests and reads make one turn. If a client sends as fast as it is answered, this task never
/// waits, and without turns no other connection would be served.
const TURN_STEPS: u32 = 32;
/// How many turns the other connections get before the next request is read: in the first they write their
/// answers, and by the end of the second the first clients have sent their next requests.
const OTHERS_TURNS: u32 = 2;
/// How long a client whose connection is being closed may go on sending.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How many bytes it may send in that time.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// How a TLS client begins: a record with a handshake, of version 3 (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[22, 3];
/// How long a client on a reserved connection may take for its request.
pub(super) const RESERVED_TIME: Duration = Duration::from_secs(2);

/// A connection, what has been read from it, and what is to be written to it.
pub(super) struct Connection<'a> {
    stream: Stream,
    from: SocketAddr,
    limits: &'a Limits,
    input: ReadBuffer,
    output: Vec<u8>,
    alarm: Alarm,
    /// Until when the client must have read the piece that is being written.
    write_until: Option<Instant>,
    date: DateCache,
    shutdown: &'a Receiver<Infallible>,
    /// Waits for the shutdown. There is one for the whole connection, since a new one for every read would be
    /// registered every time. It must not be polled again after it was ready.
    shut_down: Pin<&'a mut Recv<'a, Infallible>>,
    /// Whether this connection is above the limit: it may send one vital request only.
    is_reserved: bool,
    /// How many bytes the incomplete body holds.
    held: Held,
}

/// How a wait for the client ended.
enum Awaited {
    Read(io::Result<usize>),
    TimedOut,
    ShutDown,
}

impl<'a> Connection<'a> {
    pub fn new(
        stream: Stream,
        from: SocketAddr,
        limits: &'a Limits,
        shutdown: &'a Receiver<Infallible>,
        shut_down: Pin<&'a mut Recv<'a, Infallible>>,
        is_reserved: bool,
        bodies: &Bodies,
    ) -> Self {
        Connection {
            stream,
            from,
            limits,
            input: ReadBuffer::new(),
            output: Vec::new(),
            alarm: Alarm::new(),
            write_until: None,
            date: DateCache::default(),
            shutdown,
            shut_down,
            is_reserved,
            held: bodies.begin(),
        }
    }

    /// Answers one request after the other until the connection ends or is taken over.
    pub async fn converse<H: Handler>(mut self, handler: &H) -> ConnectionEnd {
        match self.answer_all(handler).await {
            Err(end) => end,
            Ok(takeover) => {
                let (read_ahead, shutdown) = (self.input.into_unread(), self.shutdown.clone());
                ConnectionEnd::TakenOver(takeover.begin(self.stream, read_ahead, shutdown))
            }
        }
    }

    /// Answers with this error only.
    pub async fn refuse(mut self, error: HttpError) -> ConnectionEnd {
        let problem = error.clone().into();
        self.end_with_error(error, problem).await
    }

    /// Returns the takeover if an answer has one, and else why the connection ends.
    async fn answer_all<H: Handler>(&mut self, handler: &H) -> Result<Takeover, ConnectionEnd> {
        let mut decoder = Decoder::new(self.limits.clone());
        let mut phase = Phase::Idle;
        let mut deadline = None;
        let mut steps = 0_u32;
        loop {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(TURN_STEPS) {
                future::yield_now().await;
            }
            match decoder.decode(&mut self.input) {
                Ok(Decoded::Complete(request)) => {
                    if let Some(takeover) = self.answer(request, handler).await? {
                        return Ok(takeover);
                    }
                    (phase, deadline) = (Phase::Idle, None);
                    continue;
                }
                Ok(Decoded::AwaitsContinue) => self.output.extend_from_slice(CONTINUE),
                Ok(Decoded::Incomplete) if self.held.hold(decoder.body_bytes()) => {}
                Ok(Decoded::Incomplete) => {
                    let detail = "too many large requests are coming in; try again later";
                    let error = HttpError::new(503, detail);
                    return Err(self.refuse_request(error, &decoder, handler).await);
                }
                Err(error) => {
                    // From this answer a TLS client sees that there is no TLS.
                    let speaks_tls = self.input.unread().starts_with(TLS_HANDSHAKE);
                    let end = self.refuse_request(error, &decoder, handler).await;
                    return Err(if speaks_tls { ConnectionEnd::SpeaksTls } else { end });
                }
            }
            self.flush(b"").await?;
            if phase != decoder.phase() {
                (phase, deadline) = (decoder.phase(), None);
            }
            match self.read(&mut deadline, phase).await {
                Awaited::Read(Ok(0)) if phase == Phase::Idle => return Err(ConnectionEnd::Left),
                Awaited::Read(Ok(0)) => return Err(ConnectionEnd::LeftInside),
                Awaited::Read(Ok(count)) => self.input.filled(count),
                Awaited::Read(Err(error)) => return Err(ConnectionEnd::Failed(error)),
                Awaited::TimedOut => {
                    let Some(error) = self.too_late(phase) else { return Err(ConnectionEnd::Idle) };
                    return Err(self.refuse_request(error, &decoder, handler).await);
                }
                Awaited::ShutDown => return Err(ConnectionEnd::ShutDown),
            }
        }
    }

    fn phase_time(&self, phase: Phase) -> Duration {
        let time = match phase {
            Phase::Idle => self.limits.idle_time,
            Phase::Header => self.limits.header_time,
            Phase::Body => self.limits.body_time,
        };
        if self.is_reserved { time.min(RESERVED_TIME) } else { time }
    }

    /// Answers one request. Returns the takeover if the answer has one.
    async fn answer<H: Handler>(
        &mut self,
        request: Request,
        handler: &H,
    ) -> Result<Option<Takeover>, ConnectionEnd> {
        let (version, head_only) = (request.version(), request.method() == "HEAD");
        let may_go_on = request.keep_alive();
        let answer = if self.is_reserved && !handler.is_vital(&request) {
            log::debug!(
                "{}: refused, there are {} connections",
                self.from,
                self.limits.connections
            );
            let detail = "there are too many connections; try again later";
            let problem = Response::problem(503, detail).with_header("Retry-After", "1");
            handler.complete(&request, problem).into()
        } else {
            handler.answer(&request, self.from).await
        };
        // An answer that takes long should not hold memory that others wait for.
        drop(request);
        self.held.hold(0);
        let (response, takeover) = match answer {
            Answer::Response(response) => (response, None),
            Answer::Later(later) => {
                self.flush(b"").await?;
                (later.await, None)
            }
            Answer::TakeOver(response, takeover) => (response, Some(takeover)),
        };
        let is_shut_down = self.shutdown.is_closed();
        // Without chunks the body ends with the connection.
        let is_open = version == HttpVersion::Http10 && !response.body.has_length();
        let keep_alive =
            may_go_on && takeover.is_none() && !is_open && !is_shut_down && !self.is_reserved;
        let goes_on = takeover.is_some() || keep_alive;
        let delivery =
            Delivery { version, head_only, keep_alive, date: self.date.text(SystemTime::now()) };
        match response.encode(&delivery, &mut self.output) {
            Body::Pieces(pieces) => self.write_pieces(pieces, version).await?,
            body => self.write(body.at_hand()).await?,
        }
        if takeover.is_some() {
            self.flush(b"").await?;
        }
        if goes_on {
            return Ok(takeover);
        }
        self.flush(b"").await?;
        self.linger().await;
        Err(if is_shut_down { ConnectionEnd::ShutDown } else { ConnectionEnd::AskedFor })
    }

    /// The error for a request that did not come in time; none if nothing of it came.
    fn too_late(&self, phase: Phase) -> Option<HttpError> {
        let part = match phase {
            Phase::Idle => return None,
            Phase::Header => "header",
            Phase::Body => "body",
        };
        let time = self.phase_time(phase);
        let detail = format!("the {part} of the request did not come within {time:?}");
        Some(HttpError::new(408, detail))
    }

    /// Writes an error as the last answer, with the headers that every answer to its request has, if the
    /// request is known.
    async fn refuse_request<H: Handler>(
        &mut self,
        error: HttpError,
        decoder: &Decoder,
        handler: &H,
    ) -> ConnectionEnd {
        let problem = error.clone().into();
        let problem = match decoder.request() {
            Some(request) => handler.complete(request, problem),
            None => problem,
        };
        self.end_with_error(error, problem).await
    }

    /// Writes an error as the last answer.
    async fn end_with_error(&mut self, error: HttpError, problem: Response) -> ConnectionEnd {
        let delivery = Delivery {
            version: HttpVersion::Http11,
            head_only: false,
            keep_alive: false,
            date: self.date.text(SystemTime::now()),
        };
        let body = problem.encode(&delivery, &mut self.output);
        if let Err(end) = self.flush(body.at_hand()).await {
            return end;
        }
        self.linger().await;
        ConnectionEnd::Refused(error)
    }

    /// Lets the client read its last answer. To close a socket that has unread bytes resets the connection, and
    /// then the client loses what it has not read yet.
    async fn linger(&mut self) {
        let close =
            |stream: Pin<&mut Stream>, context: &mut Context<'_>| stream.poll_close(context);
        if self.within_write_time(close).await.is_err() {
            return;
        }
        let mut deadline = Some(Instant::now() + LINGER_TIME);
        let mut dropped = self.input.unread().len();
        self.input.consume(dropped);
        while dropped < LINGER_BYTES {
            match self.read(&mut deadline, Phase::Body).await {
                Awaited::Read(Ok(count)) if count > 0 => dropped += count,
                _ => return,
            }
        }
    }

    /// Reads into the free space of the input; during a shutdown only bytes that are there already. If there is
    /// no deadline yet, the time of this phase begins with the first wait.
    ///
    /// Between two requests the other connections have their turn first. Under load the next request has come
    /// by then, and no system call has to wait for it.
    async fn read(&mut self, deadline: &mut Option<Instant>, phase: Phase) -> Awaited {
        if phase == Phase::Idle {
            for _ in 0..OTHERS_TURNS {
                future::yield_now().await;
            }
        }
        poll_fn(|context| {
            let stream = Pin::new(&mut self.stream);
            if let Poll::Ready(result) = stream.poll_read(context, self.input.space()) {
                return Poll::Ready(Awaited::Read(result));
            }
            if self.shut_down.as_mut().poll(context).is_ready() {
                return Poll::Ready(Awaited::ShutDown);
            }
            let time = self.phase_time(phase);
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + time);
            self.alarm.poll(deadline, context).map(|()| Awaited::TimedOut)
        })
        .await
    }

    /// Appends a body, or a piece of one, to the output, or writes both if they are large.
    async fn write(&mut self, body: &[u8]) -> Result<(), ConnectionEnd> {
        if body.len() > COPY_BYTES || self.output.len() + body.len() > GATHER_BYTES {
            return self.flush(body).await;
        }
        self.output.extend_from_slice(body);
        Ok(())
    }

    /// Writes a body piece by piece. Each is made when the one before it is written, so that only one is in
    /// memory, however slowly the client reads.
    async fn write_pieces(
        &mut self,
        mut pieces: BodyPieces,
        version: HttpVersion,
    ) -> Result<(), ConnectionEnd> {
        let coding = pieces.coding(version);
        loop {
            match pieces.next_piece() {
                // The client must read the whole piece in time, however little it reads at once: the data
                // behind the pieces is kept for it.
                Ok(Some(piece)) => {
                    self.write_until = Some(Instant::now() + self.limits.write_time);
                    // An empty chunk would be the last one.
                    if !piece.is_empty() {
                        self.output.extend_from_slice(coding.before(piece.len() as u64).as_bytes());
                        self.write(&piece).await?;
                        self.output.extend_from_slice(coding.behind().as_bytes());
                    }
                }
                Ok(None) => {
                    self.write_until = None;
                    self.output.extend_from_slice(coding.end().as_bytes());
                    return Ok(());
                }
                Err(why) => {
                    // The answers before this one are complete.
                    self.flush(b"").await?;
                    return Err(ConnectionEnd::BrokenOff(why));
                }
            }
            // To make a piece is work, so others have their turn in between. To yield is not enough: the
            // executor looks for new input only after many turns, unless all tasks wait for the system.
            self.within_write_time(|stream, context| stream.get_mut().poll_writable(context))
                .await?;
        }
    }

    /// Writes the output, and behind it a body that was not copied there.
    async fn flush(&mut self, body: &[u8]) -> Result<(), ConnectionEnd> {
        let mut output = std::mem::take(&mut self.output);
        let written = self.write_all([&output, body]).await;
        output.clear();
        self.output = output;
        written
    }

    async fn write_all(
        &mut self,
        [mut first, mut second]: [&[u8]; 2],
    ) -> Result<(), ConnectionEnd> {
        while !first.is_empty() || !second.is_empty() {
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            let write = |stream: Pin<&mut Stream>, context: &mut Context<'_>| match second {
                // One slice by itself costs the system less.
                [] => stream.poll_write(context, first),
                _ => stream.poll_write_vectored(context, &slices),
            };
            let count = self.within_write_time(write).await?;
            if count == 0 {
                return Err(ConnectionEnd::Failed(io::ErrorKind::WriteZero.into()));
            }
            let of_first = count.min(first.len());
            first = &first[of_first..];
            second = &second[count - of_first..];
        }
        self.within_write_time(|stream, context| stream.poll_flush(context)).await
    }

    /// Waits until `taken` is ready, within the time that a client has to read.
    async fn within_write_time<T>(
        &mut self,
        mut taken: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, ConnectionEnd> {
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(result) = taken(Pin::new(&mut self.stream), context) {
                return Poll::Ready(result.map_err(ConnectionEnd::Failed));
            }
            let deadline = *deadline.get_or_insert_with(|| {
                let deadline = Instant::now() + self.limits.write_time;
                self.write_until.map_or(deadline, |until| until.min(deadline))
            });
            self.alarm.poll(deadline, context).map(|()| Err(ConnectionEnd::Unread))
        })
        .await
    }
}
