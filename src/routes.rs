//! From a request to its answer: what each path of the HTTP interface does.

mod access;
mod answer;
mod client_name;
mod cors;
mod fate;
mod finality;
mod form;
mod get;
mod get_events;
mod health;
mod history;
mod mesh;
mod metrics;
mod page;
mod peers;
mod preconditions;
mod primary;
mod table;
mod upgrade;
mod waiting;
mod winner;
mod write;

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use async_channel::Receiver;
use serde::Serialize;
use smol::future::FutureExt;

use crate::blocking::unblock;
use crate::clock::VectorClock;
use crate::events::EventStreams;
use crate::histogram::Histogram;
use crate::http::{Body, Full, Gzips, Headers, InFlight, Problem, Request, Response};
use crate::manager::{Handle, State, Stopped, wall_clock};
use crate::mesh::downstream::{Downstream, Downstreams};
use crate::mesh::gossip::Gossip;
use crate::mesh::tree::ProcessId;
use crate::mesh::upstream::Peers;
use crate::query::Query;
use crate::shutdown::closed;
use crate::source::Source;
use crate::stream::Takeover;

use form::Form;
use metrics::Answering;
use primary::CommitStatus;
use table::{Action, Routed};

pub use access::Access;
pub use answer::{Answer, Handler};
pub use cors::Cors;
pub use metrics::Requests;

/// What the routes use to answer.
pub struct Routes {
    /// The way to the manager.
    pub handle: Handle,
    /// The way to the past.
    pub query: Arc<Query>,
    /// Which requests are allowed.
    pub access: Access,
    /// The events for all live readers.
    pub events: Arc<EventStreams>,
    /// The sessions on `/ws`.
    pub downstreams: Arc<Downstreams>,
    /// The reports of the nodes of the mesh.
    pub gossip: Arc<Gossip>,
    /// The peers that are dialed.
    pub peers: Arc<Peers>,
    /// Counts the answers.
    pub requests: Requests,
    /// Bounds the answers that are in flight at the same time.
    pub in_flight: InFlight,
    /// Bounds the answers that are compressed at the same time.
    pub gzips: Gzips,
    /// Closes when the node stops. Requests that wait are then answered with an error.
    pub stopping: Receiver<Infallible>,
}

impl From<Stopped> for Response {
    fn from(_: Stopped) -> Self {
        Response::problem(503, "the node is stopping")
    }
}

impl Handler for Routes {
    async fn answer<'a>(&'a self, request: &Request, from: SocketAddr) -> Answer<'a> {
        let routed = Routed::of(request);
        let answering = Answering::begin(request, routed);
        let is_read = matches!(request.method(), "GET" | "HEAD");
        let common = self.common_headers(request, routed);
        let wanted = Form::of(request);
        // If the form is malformed, the answer is an error, which has the plain form.
        let form = wanted.as_ref().copied().unwrap_or_default();
        let is_head = request.method() == "HEAD";
        let mut answer = match self.dispatch(request, from, routed, wanted).await {
            Ok(Answer::Response(response)) if is_read => {
                preconditions::answer_to_read(request, form, form.name(response)).into()
            }
            Ok(Answer::TakeOver(response, takeover)) => {
                let takeover = match self.access.end(request) {
                    Some(end) => takeover.until(end),
                    None => takeover,
                };
                Answer::TakeOver(response, takeover)
            }
            Ok(answer) => answer,
            Err(response) => response.into(),
        };
        let response = match &mut answer {
            Answer::Response(response) | Answer::TakeOver(response, _) => response,
            Answer::Later(later) => {
                let later = std::mem::replace(later, Box::pin(std::future::pending()));
                return Answer::Later(Box::pin(async move {
                    let mut response = form.give(later.await, is_head, &self.gzips);
                    response.headers.extend(&common);
                    self.requests.count(answering, response.status);
                    response
                }));
            }
        };
        if !is_head && !is_vital(request, routed) {
            let body = std::mem::replace(&mut response.body, Body::Static(b""));
            match self.in_flight.admit(body) {
                Ok(body) => response.body = body,
                Err(Full(_)) if is_read => {
                    let detail = "too much is being sent to others; try again later";
                    *response = Response::problem(503, detail).with_header("Retry-After", "1");
                }
                // The outcome of a write is always told.
                Err(Full(body)) => response.body = body,
            }
        }
        let given = std::mem::replace(response, Response::new(500));
        *response = form.give(given, is_head, &self.gzips);
        response.headers.extend(&common);
        match &answer {
            Answer::TakeOver(response, _) => self.requests.count_endless(response.status),
            Answer::Response(response) => self.requests.count(answering, response.status),
            Answer::Later(_) => (),
        }
        answer
    }

    fn is_vital(&self, request: &Request) -> bool {
        is_vital(request, Routed::of(request))
    }

    fn complete(&self, request: &Request, mut response: Response) -> Response {
        response.headers.extend(&self.common_headers(request, Routed::of(request)));
        response
    }
}

impl Routes {
    fn common_headers(&self, request: &Request, routed: Routed<'_>) -> Headers {
        let mut headers = self.access.cors().headers(request);
        let varies_by = match routed.action() {
            // The answer may be the document, or events.
            Some(Action::Document) => "Accept, Accept-Encoding",
            Some(Action::Stream) => "",
            _ if matches!(request.method(), "GET" | "HEAD") => "Accept-Encoding",
            _ => "",
        };
        if !varies_by.is_empty() {
            headers.add("Vary", varies_by);
        }
        if self.access.cors().is_set() {
            headers.add("Vary", "Origin");
        }
        headers
    }

    async fn dispatch<'a>(
        &'a self,
        request: &Request,
        from: SocketAddr,
        routed: Routed<'_>,
        form: Result<Form, Response>,
    ) -> Result<Answer<'a>, Response> {
        let (method, path) = (request.method(), request.path());
        self.access.check_names(request)?;
        let is_options = method == "OPTIONS";
        let allowed = || routed.route.map_or_else(table::all_methods, table::Route::methods);
        if is_options && self.access.cors().is_preflight(request) {
            return Ok(cors::preflight(request, allowed()).into());
        }
        self.access.check(request, routed.need)?;
        if routed.route.is_none() && path != "*" {
            return Err(table::not_found(path));
        }
        let Some(operation) = routed.operation else {
            let allowed = allowed();
            if is_options {
                return Ok(Response::new(204).with_header("Allow", allowed).into());
            }
            let detail = format!("{path} does not take {method}, only {allowed}");
            return Err(Response::problem(405, detail).with_header("Allow", allowed));
        };
        operation.parameters.check(request)?;
        form?;
        self.act(operation.action, request, routed.rest, from).await
    }

    /// Performs an action; `rest` is the parameter in the path.
    async fn act<'a>(
        &'a self,
        action: Action,
        request: &Request,
        rest: &str,
        from: SocketAddr,
    ) -> Result<Answer<'a>, Response> {
        let query = &*self.query;
        Ok(match action {
            Action::Home => Response::new(302).with_header("Location", "/test").into(),
            Action::Page => page::response().into(),
            Action::Client => page::client().into(),
            Action::Description => page::description().into(),
            Action::Document if get_events::are_wanted(request) => {
                get_events::agree(self, request, from, rest)?
            }
            Action::Document => get::get(self, request, rest).await?.into(),
            Action::Write => write::write(self, request, rest).await?,
            Action::Clock => json(&self.own_vclock(&self.handle.state())).into(),
            Action::Log => self.unless_stopping(history::log(query, request)).await?.into(),
            Action::History => self.unless_stopping(history::history(query, request)).await?.into(),
            Action::Transaction => {
                self.unless_stopping(fate::transaction(query, request)).await?.into()
            }
            Action::Conflicts => {
                self.unless_stopping(fate::conflicts(query, request)).await?.into()
            }
            Action::Peers => peers::list(self).await.into(),
            Action::Mesh => mesh::list(self).await.into(),
            Action::AddPeer => self.unless_stopping(peers::add(self, request)).await?.into(),
            Action::RemovePeer => {
                let peer = rest.strip_prefix('/').unwrap_or(rest);
                self.unless_stopping(peers::remove(self, request, peer)).await?.into()
            }
            Action::Promote => primary::promote(self, request).await?.into(),
            Action::Metrics => self.metrics().await.into(),
            Action::Health => health::health(self, request).into(),
            Action::Stream => {
                let (response, hello) =
                    upgrade::agree(request, &self.handle.source(), &self.process())?;
                let session = Downstream {
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

    /// This process, with its present streams.
    fn process(&self) -> ProcessId {
        self.downstreams.neighbours.process(self.handle.generation())
    }

    /// Waits for an answer, but not longer than the node runs.
    async fn unless_stopping<T>(
        &self,
        answer: impl Future<Output = Result<T, Response>>,
    ) -> Result<T, Response> {
        let stopped = async {
            closed(&self.stopping).await;
            Err(Stopped.into())
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

    async fn metrics(&self) -> Response {
        // Counting all open files, of which each connection is one, may take long. Others need not wait for
        // that.
        let process = unblock(metrics::process_text).await;
        let state = self.handle.state();
        let position = state.journal_length();
        let readings = metrics::MetricsReadings {
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
            turns: self.handle.durations().turns.counts(),
            syncs: self.handle.journal().syncs().map(Histogram::counts),
            delays: self.handle.durations().delays.counts(),
        };
        let text = metrics::text(&readings, &process);
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        let response = Response::new(200).with_body(content_type, text.into_bytes());
        response.with_header("Cache-Control", "no-store")
    }
}

/// Health, metrics and the streams of other nodes are vital.
fn is_vital(request: &Request, routed: Routed<'_>) -> bool {
    match routed.action() {
        Some(Action::Health | Action::Metrics) => true,
        Some(Action::Stream) => upgrade::is_of_a_node(request),
        _ => false,
    }
}

fn bad_request(detail: impl Into<String>) -> Response {
    Response::problem(400, detail)
}

/// The answer for what is folded into a document; `begins` is the first that is kept.
fn gone(detail: String, begins: u64) -> Response {
    Problem::new(410, detail)
        .with_kind("/problems/folded", "It is not kept any more")
        .with_member("begins", begins)
        .into()
}

/// A query parameter that is a number; none if it is absent.
fn number<T: FromStr<Err: Display>>(request: &Request, name: &str) -> Result<Option<T>, Response> {
    let Some(text) = request.query_parameter(name)? else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(error) => Err(bad_request(format!("the query parameter {name} is {text:?}: {error}"))),
    }
}

/// A query parameter, read by `read`; none if it is absent.
fn parameter<T, E: Display>(
    request: &Request,
    name: &str,
    what: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Response> {
    let Some(text) = request.query_parameter(name)? else { return Ok(None) };
    read(&text)
        .map(Some)
        .map_err(|error| bad_request(format!("the query parameter {name} is not {what}: {error}")))
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
