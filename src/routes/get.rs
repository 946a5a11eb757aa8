//! `/get`: the document or a part of it, now or in the past.

use std::sync::Arc;

use smol::future::FutureExt;

use super::waiting::{LENGTH, View, Wait};
use super::{Routes, bad_request, finality, gone, number, preconditions};
use crate::events::body_of;
use crate::http::{Problem, Request, Response};
use crate::manager::{Reading, Representation};
use crate::patch::PointerBuf;
use crate::query::Untold;

/// The vector clock of the document, if that is the document now.
const CLOCK: &str = "Patchmesh-Clock";

/// The last change of the document. An event stream shows it too if its last id has the same beginning and at
/// least this number.
pub const CHANGE: &str = "Patchmesh-Change";

/// The length of the JSON text in bytes, without any coding.
const BYTES: &str = "Patchmesh-Bytes";

/// What is offered if it is not known what is final.
const OTHERWISE: &str = "/get has the document now";

/// A longer clock is not sent in a header: clients would refuse it. `/vclock` has it.
const CLOCK_BYTES: usize = 4 << 10;

/// Answers a request for the document, or for the part at `pointer`, which is percent-encoded as in the path.
pub async fn get(routes: &Routes, request: &Request, pointer: &str) -> Result<Response, Response> {
    let pointer = part_named(pointer)?;
    let view = match request.query_parameter("at")?.as_deref() {
        None => View::Now,
        Some("committed") => View::Committed,
        Some(_) => {
            for other in ["after", "seen", "source", "id", "wait"] {
                if request.query_parameter(other)?.is_some() {
                    let detail =
                        format!("the past does not change: there is no {other} with at=NUMBER");
                    return Err(bad_request(detail));
                }
            }
            let count = number(request, "at")?.unwrap_or_default();
            let answer = as_it_was(routes, count, pointer);
            return routes.unless_stopping(answer).await;
        }
    };
    let wait = Wait::of(request, &pointer, view)?;
    if view == View::Committed {
        let check = if wait.is_some() { finality::check_if_waits } else { finality::check };
        check(&routes.handle.state(), OTHERWISE)?;
    }
    if let Some(wait) = &wait {
        let waited = async {
            wait.wait(&routes.handle).await.map_err(|response| {
                response.with_number(LENGTH, view.length(&routes.handle.state()))
            })
        };
        let lost = async { Err(routes.access.lost(request).await) };
        routes.unless_stopping(waited.or(lost)).await?;
    }
    match view {
        View::Now => as_it_is(routes, pointer, wait).await,
        View::Committed => as_committed(routes, pointer, wait).await,
    }
}

/// The JSON Pointer in a path, where it is percent-encoded.
pub fn part_named(pointer: &str) -> Result<PointerBuf, Response> {
    if pointer.is_empty() {
        return Ok(PointerBuf::new());
    }
    let pointer = crate::http::percent_decode(pointer)
        .ok_or_else(|| bad_request("the path is not UTF-8 in correct percent-encoding"))?;
    PointerBuf::parse(pointer).map_err(|error| {
        let pointer = error.decompose().1;
        bad_request(format!(
            "{pointer:?} is not a JSON Pointer (RFC 6901): ~ is followed by 0 or 1"
        ))
    })
}

/// The document now. `wait` is what the client has waited for, if it has.
async fn as_it_is(
    routes: &Routes,
    pointer: PointerBuf,
    wait: Option<Wait>,
) -> Result<Response, Response> {
    let name = pointer.to_string();
    let Reading { part, state } = routes.handle.read(&pointer).await;
    let is_known = wait.is_some_and(|wait| wait.is_known(&state));
    let mut response = answer(routes, &name, part, is_known);
    if let Some(clock) = state.vclock().ascii(CLOCK_BYTES) {
        response = response.with_header(CLOCK, clock);
    }
    let change = routes.events.id(state.change());
    Ok(response.with_header(CHANGE, change).with_number(LENGTH, state.length()))
}

/// The final document. `wait` is what the client has waited for, if it has.
async fn as_committed(
    routes: &Routes,
    pointer: PointerBuf,
    wait: Option<Wait>,
) -> Result<Response, Response> {
    let state = routes.handle.state();
    finality::check(&state, OTHERWISE)?;
    let part = View::Committed.document(&state).and_then(|document| document.get(&pointer));
    let part = match part {
        Some(part) => Some(routes.handle.represent(part).await),
        None => None,
    };
    let is_known = wait.is_some_and(|wait| wait.is_known(&state));
    let response = answer(routes, &pointer.to_string(), part, is_known);
    Ok(response.with_number(LENGTH, View::Committed.length(&state)))
}

/// The document after the first `count` transactions of the history.
async fn as_it_was(routes: &Routes, count: u64, pointer: PointerBuf) -> Result<Response, Response> {
    let name = pointer.to_string();
    match routes.query.document_at(count, pointer).await {
        Ok((part, length)) => Ok(answer(routes, &name, part, false).with_number(LENGTH, length)),
        Err(Untold::Beyond(length)) => {
            let detail = format!("the history has {length} transactions, so there is no {count}");
            let problem = Problem::new(404, detail).with_member("length", length);
            Ok(Response::from(problem).with_number(LENGTH, length))
        }
        Err(error) => Err(untold(error)),
    }
}

/// The answer if something of the past cannot be read.
pub fn untold(error: Untold) -> Response {
    match error {
        Untold::Beyond(length) => {
            Response::problem(404, format!("the history has {length} transactions"))
        }
        Untold::Folded(begins) => {
            let detail = format!(
                "this is final and old, and a document stands for it: what is kept begins at {begins}"
            );
            gone(detail, begins)
        }
        Untold::TooLong => {
            let detail = "this is far back, and takes too long while others ask for the past too; \
                          try again later";
            Response::problem(503, detail).with_header("Retry-After", "10")
        }
        Untold::Journal(error) => Response::problem(500, error.to_string()),
        Untold::Stopped => Response::from(crate::manager::Stopped),
    }
}

/// The part at `pointer` as an answer. `is_known` says that the client has it already.
fn answer(
    routes: &Routes,
    pointer: &str,
    part: Option<Arc<Representation>>,
    is_known: bool,
) -> Response {
    let Some(part) = part else {
        let detail = format!("there is nothing at {pointer:?} in the document");
        return Problem::new(404, detail).with_member("path", pointer).into();
    };
    let response = Response::new(200)
        .with_body("application/json", body_of(&part, &routes.handle, &routes.in_flight))
        .with_header("ETag", format!("\"{}\"", part.hash()))
        .with_number(BYTES, part.digest().length())
        .with_header("Cache-Control", "no-cache");
    if is_known { preconditions::not_modified(response) } else { response }
}
