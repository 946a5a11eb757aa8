//! Request to answer: what each path of the HTTP interface does.

mod access;
mod client_name;
mod events;
mod fate;
mod finality;
mod get;
mod health;
mod history;
mod metrics;
mod page;
mod peers;
mod preconditions;
mod primary;
mod upgrade;
mod wait;
mod write;

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use async_channel::Receiver;
use serde::Serialize;
use smol::future::FutureExt;

use crate::clock::VectorClock;
use crate::events::Events;
use crate::http::{Body, Full, InFlight, Problem, Request, Response};
use crate::manager::{Handle, State, Stopped, wall_clock};
use crate::mesh::downstream::{Downstreams, Session};
use crate::mesh::tree::Process;
use crate::mesh::upstream::Peers;
use crate::query::Query;
use crate::source::Source;
use crate::stream::Takeover;

use primary::CommitStatus;

pub use access::Access;
pub use metrics::Requests;

/// What the handlers hold.
pub struct Routes {
    /// To the manager.
    pub handle: Handle,
    /// To the past.
    pub query: Arc<Query>,
    /// Who may come in.
    pub access: Access,
    /// What those who read live share.
    pub events: Arc<Events>,
    /// The sessions on `/ws`.
    pub downstreams: Arc<Downstreams>,
    /// The peers that are dialed.
    pub peers: Arc<Peers>,
    /// Counts the answers.
    pub requests: Requests,
    /// Bounds what is written at the same time.
    pub in_flight: InFlight,
    /// Closes when the node stops: who waits for something is then told so.
    pub stopping: Receiver<Infallible>,
}

/// What is done about a request.
pub enum Answer<'a> {
    /// This is sent.
    Response(Response),
    /// This is sent when it is known. The request is not needed for that.
    Later(Later<'a>),
    /// This is sent, and then somebody else goes on with the connection: as a WebSocket, or with a body that
    /// does not end.
    TakeOver(Response, Takeover),
}

/// A response that takes its time.
pub type Later<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

impl From<Response> for Answer<'_> {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<Problem> for Answer<'_> {
    fn from(problem: Problem) -> Self {
        Self::Response(problem.into())
    }
}

impl From<Stopped> for Response {
    fn from(_: Stopped) -> Self {
        Response::problem(503, "the node is stopping")
    }
}

impl Routes {
    /// Answers `request`, which came from the address `from`.
    pub async fn answer<'a>(&'a self, request: &Request, from: SocketAddr) -> Answer<'a> {
        let is_read = matches!(request.method(), "GET" | "HEAD");
        let mut answer = match self.dispatch(request, from).await {
            Ok(Answer::Response(response)) if is_read => {
                preconditions::answer_to_read(request, response).into()
            }
            Ok(answer) => answer,
            Err(response) => response.into(),
        };
        let response = match &mut answer {
            Answer::Response(response) | Answer::TakeOver(response, _) => response,
            Answer::Later(later) => {
                let later = std::mem::replace(later, Box::pin(std::future::pending()));
                return Answer::Later(Box::pin(async {
                    let response = later.await;
                    self.requests.count(response.status);
                    response
                }));
            }
        };
        if is_read && document_pointer(request.path()).is_some() {
            // It may be the document, or events.
            response.headers.push(("Vary", "Accept".into()));
        }
        if request.method() != "HEAD" && !Self::is_vital(request) {
            let body = std::mem::replace(&mut response.body, Body::Static(b""));
            match self.in_flight.admit(body) {
                Ok(body) => response.body = body,
                Err(Full(_)) if is_read => {
                    let detail = "too much is being sent to others; try again later";
                    *response = Response::problem(503, detail).with_header("Retry-After", "1");
                }
                // What became of a write is always told.
                Err(Full(body)) => response.body = body,
            }
        }
        self.requests.count(response.status);
        answer
    }

    /// Whether the request is answered even if there are too many connections: what says how the node
    /// is, and the streams of other nodes.
    pub fn is_vital(request: &Request) -> bool {
        match request.path() {
            "/healthz" | "/healthz/live" | "/healthz/ready" | "/metrics" => true,
            "/ws" => upgrade::is_of_a_node(request),
            _ => false,
        }
    }

    async fn dispatch<'a>(
        &'a self,
        request: &Request,
        from: SocketAddr,
    ) -> Result<Answer<'a>, Response> {
        self.access.check(request)?;
        let path = request.path();
        let allowed = methods(path).ok_or_else(|| {
            let detail = format!(
                "there is no {path:?}; there are /test, /get, /replace (or /post), /vclock, /ws, \
                 /log, /history, /transaction, /conflicts, /peers, /primary, /metrics and /healthz"
            );
            Response::problem(404, detail)
        })?;
        only(request, allowed)?;
        if request.method() == "OPTIONS" {
            return Ok(Response::new(204).with_header("Allow", allowed.join(", ")).into());
        }
        if let Some(pointer) = document_pointer(path) {
            if request.method() == "PATCH" {
                return write::write(self, request, pointer).await;
            }
            if events::are_wanted(request) {
                return events::agree(self, request, from, pointer);
            }
            return Ok(get::get(self, request, pointer).await?.into());
        }
        Ok(match path {
            "/" => Response::new(302).with_header("Location", "/test").into(),
            "/test" => page::response().into(),
            "/replace" | "/post" => write::write(self, request, "").await?,
            "/vclock" => json(&self.own_vclock(&self.handle.state())).into(),
            "/log" => self.unless_stopping(history::log(&self.query, request)).await?.into(),
            "/history" => {
                self.unless_stopping(history::history(&self.query, request)).await?.into()
            }
            "/transaction" => {
                self.unless_stopping(fate::transaction(&self.query, request)).await?.into()
            }
            "/conflicts" => fate::conflicts(&self.query, request)?.into(),
            "/peers" if request.method() == "POST" => {
                self.unless_stopping(peers::add(self, request)).await?.into()
            }
            "/peers" => peers::list(self).await.into(),
            path if let Some(peer) = named_peer(path) => {
                self.unless_stopping(peers::remove(self, peer)).await?.into()
            }
            "/primary" => primary::promote(self).await?.into(),
            "/metrics" => self.metrics().into(),
            "/healthz" | "/healthz/live" | "/healthz/ready" => health::health(self, request).into(),
            _ => {
                let (response, hello) =
                    upgrade::agree(request, &self.handle.source(), &self.process())?;
                let session = Session {
                    handle: self.handle.clone(),
                    downstreams: self.downstreams.clone(),
                    address: from,
                    hello,
                };
                let run = |stream, read_ahead, shutdown| session.run(stream, read_ahead, shutdown);
                Answer::TakeOver(response, Takeover::new(run))
            }
        })
    }

    /// This process, as its streams are now.
    fn process(&self) -> Process {
        self.downstreams.neighbours.process(self.handle.generation())
    }

    /// Waits for an answer that takes its time, and no longer than the node runs.
    async fn unless_stopping<T>(
        &self,
        answer: impl Future<Output = Result<T, Response>>,
    ) -> Result<T, Response> {
        let stopped = async {
            match self.stopping.recv().await {
                Ok(never) => match never {},
                Err(_) => Err(Stopped.into()),
            }
        };
        answer.or(stopped).await
    }

    /// The vector clock, with this node's source always in it.
    fn own_vclock(&self, state: &State) -> VectorClock {
        let mut vclock = (**state.vclock()).clone();
        vclock.include(&self.handle.source());
        vclock
    }

    fn commit(&self, state: &State) -> Option<CommitStatus> {
        CommitStatus::of(&state.last_commit()?, &self.handle.source(), wall_clock())
    }

    fn metrics(&self) -> Response {
        let state = self.handle.state();
        let position = state.journal_length();
        let text = metrics::text(&metrics::Readings {
            counters: state.counters(),
            length: state.length(),
            begins: state.begin().index,
            records: position - self.handle.journal().begin().min(position),
            void: state.void(),
            committed: state.committed_length(),
            tentative: state.tentative(),
            commit: self.commit(&state),
            is_damaged: self.handle.journal().damage().is_some(),
            divergences: self.peers.divergences(),
            requests: &self.requests,
            upstreams: &self.peers.statuses(),
            downstreams: &self.downstreams.status(&self.handle),
            was_read: self.downstreams.were_read(),
        });
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        let response = Response::new(200).with_body(content_type, text.into_bytes());
        response.with_header("Cache-Control", "no-store")
    }
}

fn bad_request(detail: impl Into<String>) -> Response {
    Response::problem(400, detail)
}

/// The pointer to a part of the document, as a path has it; none if the path is another one.
fn document_pointer(path: &str) -> Option<&str> {
    path.strip_prefix("/get").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The peer that a path names; none if the path is another one.
fn named_peer(path: &str) -> Option<&str> {
    path.strip_prefix("/peers/")
}

/// The methods that a path takes; none if there is no such path.
fn methods(path: &str) -> Option<&'static [&'static str]> {
    Some(match path {
        // Of the whole node, in `OPTIONS *`.
        "*" => &["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"],
        "/replace" | "/post" | "/primary" => &["POST", "OPTIONS"],
        "/" | "/test" | "/vclock" | "/ws" | "/log" | "/history" | "/transaction" | "/conflicts"
        | "/metrics" | "/healthz" | "/healthz/live" | "/healthz/ready" => {
            &["GET", "HEAD", "OPTIONS"]
        }
        "/peers" => &["GET", "HEAD", "POST", "OPTIONS"],
        path if named_peer(path).is_some() => &["DELETE", "OPTIONS"],
        _ => return document_pointer(path).map(|_| &["GET", "HEAD", "PATCH", "OPTIONS"][..]),
    })
}

/// Refuses methods but those `allowed` (RFC 9110 section 15.5.6).
fn only(request: &Request, allowed: &[&str]) -> Result<(), Response> {
    let method = request.method();
    if allowed.contains(&method) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    let detail = format!("{} does not take {method}, only {allowed}", request.path());
    Err(Response::problem(405, detail).with_header("Allow", allowed))
}

/// A query parameter that is a number; none if it is absent.
fn number<T: FromStr<Err: Display>>(request: &Request, name: &str) -> Result<Option<T>, Response> {
    let Some(text) = request.query_parameter(name)? else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(error) => Err(bad_request(format!("the query parameter {name} is {text:?}: {error}"))),
    }
}

/// The transaction that a request names; none if it names none.
fn named_transaction(request: &Request) -> Result<Option<(Source, u64)>, Response> {
    match (request.query_parameter("source")?, number(request, "id")?) {
        (None, None) => Ok(None),
        (Some(text), Some(id)) => {
            let source = text.parse().map_err(|error| {
                bad_request(format!("the query parameter source is {text:?}: {error}"))
            })?;
            Ok(Some((source, id)))
        }
        _ => Err(bad_request("a transaction is named by both, source and id")),
    }
}

fn json(value: &impl Serialize) -> Response {
    let mut text = serde_json::to_vec(value).expect("strings and numbers always have a JSON text");
    text.push(b'\n');
    Response::new(200).with_body("application/json", text).with_header("Cache-Control", "no-store")
}
