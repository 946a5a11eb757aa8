//! `/get` as a stream of events.

use std::net::SocketAddr;

use super::get::part_named;
use super::{Answer, Routes};
use crate::events::EventStream;
use crate::http::{Body, Coding, Request, Response};
use crate::patch::MAX_DEPTH;
use crate::stream::Takeover;

const MEDIA_TYPE: &str = "text/event-stream";

/// Whether a request wants events, and not rather JSON. It must name their media type: a client that accepts
/// any type may not expect an answer without an end.
pub fn are_wanted(request: &Request) -> bool {
    let weight = |range: &str| {
        let mut ranges = request.weighted("Accept");
        ranges.find(|(name, _)| name.eq_ignore_ascii_case(range)).map(|(_, weight)| weight)
    };
    let Some(events) = weight(MEDIA_TYPE) else { return false };
    let json = ["application/json", "application/*", "*/*"].into_iter().find_map(weight);
    events > 0.0 && events >= json.unwrap_or(0.0)
}

/// Begins to send the events of the part at `pointer`, which is percent-encoded as in the path.
pub fn agree(
    routes: &Routes,
    request: &Request,
    from: SocketAddr,
    pointer: &str,
) -> Result<Answer<'static>, Response> {
    for other in ["at", "after", "seen", "source"] {
        if request.query_parameter(other)?.is_some() {
            let detail =
                format!("there are no events with {other}=; they are of what is there now");
            return Err(Response::problem(406, detail));
        }
    }
    let part = part_named(pointer)?;
    if part.count() > MAX_DEPTH {
        let detail = format!("no document is more than {MAX_DEPTH} deep, so nothing can be there");
        return Err(Response::problem(404, detail));
    }
    let last = match request.header("Last-Event-ID") {
        Some(id) => Some(id.to_owned()),
        None => request.query_parameter("last-event-id")?.map(Into::into),
    };
    let response = Response::new(200)
        .with_body(MEDIA_TYPE, Body::Stream)
        .with_header("Cache-Control", "no-store")
        // A proxy that gathers answers would hold the events back.
        .with_header("X-Accel-Buffering", "no");
    if request.method() == "HEAD" {
        return Ok(response.into());
    }
    let session = EventStream {
        handle: routes.handle.clone(),
        events: routes.events.clone(),
        in_flight: routes.in_flight.clone(),
        address: from,
        part,
        last,
        coding: Coding::of(request.version()),
    };
    // No requests follow an answer without an end.
    let run = |stream, _, shutdown| session.run(stream, shutdown);
    Ok(Answer::TakeOver(response, Takeover::new(run)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    #[test]
    fn events_are_for_those_who_name_them() {
        let table = [
            ("text/event-stream", true),
            ("Text/Event-Stream; q=0.5", true),
            ("application/json, text/event-stream", true),
            ("text/event-stream;q=0", false),
            ("text/event-stream; q=0.0, */*", false),
            ("text/event-stream, */*", true),
            ("application/json, text/event-stream;q=0.5", false),
            ("application/json;q=0.5, text/event-stream;charset=utf-8;q=0.6", true),
            ("application/json;q=0.1, */*, text/event-stream;q=0.5", true),
            ("text/event-stream;q=0.5, */*", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("", false),
        ];
        for (accept, expected) in table {
            let head = format!("GET /get HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(are_wanted(&request(head)), expected, "{accept}");
        }
    }
}
