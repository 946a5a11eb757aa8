//! Counts requests by status, and measures how long their answers took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::MetricsText;
use crate::histogram::Histogram;
use crate::http::Request;
use crate::routes::table::{Action, Routed};

/// The kinds of requests, whose times should not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestKind {
    /// A read of the document now.
    Read,
    /// A write.
    Write,
    /// A request that waits until something changes or is final.
    Wait,
    /// A read of the past.
    Past,
    /// All else.
    Other,
}

impl RequestKind {
    const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Wait, Self::Past, Self::Other];

    fn of(routed: Routed<'_>, query: Option<&str>) -> Self {
        let has = |name: &str| {
            let named = |parameter: &str| parameter.split('=').next() == Some(name);
            query.is_some_and(|query| query.split('&').any(named))
        };
        let Some(action) = routed.action() else { return Self::Other };
        match action {
            Action::Document | Action::Write if has("wait") => Self::Wait,
            Action::Document if has("at") => Self::Past,
            Action::Document => Self::Read,
            Action::Write => Self::Write,
            Action::Log | Action::History | Action::Transaction | Action::Conflicts => Self::Past,
            Action::Home
            | Action::Page
            | Action::Client
            | Action::Description
            | Action::Clock
            | Action::Stream
            | Action::Peers
            | Action::Mesh
            | Action::AddPeer
            | Action::RemovePeer
            | Action::Promote
            | Action::Metrics
            | Action::Health => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Wait => "wait",
            Self::Past => "past",
            Self::Other => "other",
        }
    }
}

/// A request that is being answered.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    kind: RequestKind,
    begin: Instant,
}

impl Answering {
    /// A request that is complete now.
    pub fn begin(request: &Request, routed: Routed<'_>) -> Self {
        let kind = RequestKind::of(routed, request.query());
        Self { kind, begin: Instant::now() }
    }
}

/// Counts answers by the first digit of their status, and how long they took, by kind.
#[derive(Debug, Default)]
pub struct Requests {
    statuses: [AtomicU64; 5],
    durations: [Histogram; RequestKind::ALL.len()],
}

impl Requests {
    /// Counts an answer that is about to be written.
    pub fn count(&self, answering: Answering, status: u16) {
        self.durations[answering.kind as usize].observe(answering.begin.elapsed());
        self.count_status(status);
    }

    /// Counts an answer without an end, such as a stream of events.
    pub fn count_endless(&self, status: u16) {
        self.count_status(status);
    }

    fn count_status(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.statuses[class].fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes the metrics of requests.
pub fn write(text: &mut MetricsText, requests: &Requests) {
    text.metric("http_requests_total", "counter", "Requests by the class of their answer");
    for (class, count) in requests.statuses.iter().enumerate() {
        let class = format!("{}xx", class + 1);
        text.sample("http_requests_total", &[("class", &class)], count.load(Ordering::Relaxed));
    }
    let name = "http_request_duration_seconds";
    text.metric(name, "histogram", "From a complete request to its answer, by kind");
    for (kind, durations) in RequestKind::ALL.into_iter().zip(&requests.durations) {
        text.histogram(name, &[("kind", &kind.name())], &durations.counts());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_of_one_kind() {
        for (method, target, expected) in [
            ("GET", "/get", RequestKind::Read),
            ("HEAD", "/get/a/0", RequestKind::Read),
            ("GET", "/get?wait=30s", RequestKind::Wait),
            ("GET", "/get/a?seen=x&wait=30s", RequestKind::Wait),
            ("GET", "/get?at=3", RequestKind::Past),
            ("GET", "/get?at=committed&wait=1s", RequestKind::Wait),
            ("PATCH", "/get/a", RequestKind::Write),
            ("POST", "/replace", RequestKind::Write),
            ("POST", "/post?waits=1", RequestKind::Write),
            ("POST", "/replace?wait=committed", RequestKind::Wait),
            ("OPTIONS", "/replace", RequestKind::Other),
            ("GET", "/log?from=1", RequestKind::Past),
            ("GET", "/metrics", RequestKind::Other),
            ("GET", "/getaway", RequestKind::Other),
            ("DELETE", "/get", RequestKind::Other),
        ] {
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (target, None),
            };
            assert_eq!(
                RequestKind::of(Routed::find(method, path), query),
                expected,
                "{method} {target}"
            );
        }
        for (index, kind) in RequestKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}
