//! Writes: `POST /replace`, `POST /post`, and `PATCH /get` of the document or a part.

use std::borrow::Cow;

use super::client_name::{ID, SOURCE};
use super::finality::{self, Finality};
use super::get::{CHANGE, part_named};
use super::preconditions::{self, PreconditionVerdict, Preconditions};
use super::{Answer, Routes, bad_request, client_name};
use crate::document::{Hash, Value};
use crate::http::{Problem, Request, Response};
use crate::manager::{
    ClientName, Condition, Content, Decision, Handle, Outcome, Proposal, Submitted,
};
use crate::patch::{PatchError, PointerBuf, of_part, parse};
use crate::replica::MAX_AHEAD_MICROS;
use crate::transaction::{MAX_PAYLOAD_BYTES, Record};

/// The preference for a minimal answer (RFC 7240).
const MINIMAL: &str = "return=minimal";

const MERGE_PATCH: &str = "application/merge-patch+json";

/// How many bytes of a path or of another text a problem shows.
const PROBLEM_TEXT_BYTES: usize = 4 << 10;

/// Applies the body, a JSON Merge Patch if the content type says so, else a JSON Patch, to the part at
/// `pointer`, which is percent-encoded as in the path.
pub async fn write<'a>(
    routes: &'a Routes,
    request: &Request,
    pointer: &str,
) -> Result<Answer<'a>, Response> {
    let handle = &routes.handle;
    let part = part_named(pointer)?;
    check_coding(request)?;
    let text = std::str::from_utf8(&request.body)
        .map_err(|error| bad_request(format!("the body is not UTF-8: {error}")))?;
    if text.starts_with('\u{feff}') {
        let detail = "the body begins with a byte order mark, which JSON does not have (RFC 8259, \
                      section 8.1): send it without; nothing was changed";
        return Err(bad_request(detail));
    }
    let preconditions = Preconditions::of(request);
    let client = client_name::of(request, || handle.source())?;
    let finality = Finality::of(request, || handle.last_state())?;
    let is_minimal = prefers_minimal(request);
    let is_merge = request.media_type().eq_ignore_ascii_case(MERGE_PATCH);
    let content = if is_merge {
        Content::Merge(merge_patch(text)?)
    } else {
        let text = of_whole(text, &part)?;
        if preconditions.is_none() {
            // Without conditions it needs no turn of its own.
            let submitted = handle.create(&text, client.as_ref()).await?;
            let answer = answer(routes, submitted, client, finality, is_minimal).await?;
            return Ok(of_success(routes, is_minimal, answer));
        }
        Content::Patch(text.into())
    };
    let submitted = propose(handle, part, preconditions, content, client.clone()).await?;
    let answer = answer(routes, submitted, client, finality, is_minimal).await?;
    Ok(of_success(routes, is_minimal, answer))
}

/// Adds to a success the change from which on a live read shows the write. If the client wants a minimal
/// answer, only the transaction's name is left.
fn of_success<'a>(routes: &'a Routes, is_minimal: bool, answer: Answer<'a>) -> Answer<'a> {
    let add = move |mut response: Response| match response.status {
        200..=299 => {
            if is_minimal && response.status != 204 {
                response.status = 204;
                response.headers.retain(|name| name != "Content-Type");
                response.headers.add("Preference-Applied", MINIMAL);
                response.body = "".into();
            }
            let change = routes.handle.change();
            response.headers.add_number(CHANGE, routes.events.id_prefix(), change);
            response
        }
        _ => response,
    };
    match answer {
        Answer::Response(response) => add(response).into(),
        Answer::Later(later) => Answer::Later(Box::pin(async move { add(later.await) })),
        other => other,
    }
}

/// Turns a patch of `part` into one of the whole document.
fn of_whole<'a>(text: &'a str, part: &PointerBuf) -> Result<Cow<'a, str>, Response> {
    if part.is_root() {
        return Ok(text.into());
    }
    let patch = parse(text).map_err(|error| patch_problem(&error))?;
    let patch = of_part(patch, part);
    let text = serde_json::to_string(&patch).expect("a patch always has a JSON text");
    if text.len() > MAX_PAYLOAD_BYTES { Err(too_large(text.len())) } else { Ok(text.into()) }
}

/// The answer to a client for the outcome of its transaction.
async fn answer<'a>(
    routes: &'a Routes,
    submitted: Submitted,
    client: Option<ClientName>,
    finality: Option<Finality>,
    is_minimal: bool,
) -> Result<Answer<'a>, Response> {
    match submitted {
        Ok(Outcome::Accepted(record)) => {
            if let Some(finality) = finality {
                return Ok(finality.outcome(routes, record, client));
            }
            Ok(accepted(&record, is_minimal).into())
        }
        Ok(Outcome::Refused(error)) => Err(patch_problem(&error).into()),
        // A new transaction is later than everything that is final.
        Ok(Outcome::Void) => Err(patch_problem(&PatchError::VOID).into()),
        Err(error) => {
            let is_full = error.kind() == std::io::ErrorKind::StorageFull;
            let status = if is_full { 507 } else { 503 };
            Err(Response::problem(status, format!("{error}; nothing was changed")))
        }
        Ok(Outcome::Early { ahead_micros }) => Err(too_early(ahead_micros)),
        Ok(Outcome::Known { .. }) if let Some(client) = client => {
            let (first, standing) = client_name::first(&routes.query, &client).await?;
            match finality {
                Some(finality) => Ok(finality.outcome(routes, first, Some(client))),
                None => Ok(finality::settled(&first, &standing)?.into()),
            }
        }
        Ok(Outcome::Known { .. }) => {
            let detail = "peers are still sending this node its own earlier transactions, or \
                          its source has no Ids left; nothing was changed";
            Err(Response::problem(503, detail))
        }
    }
}

/// A transaction as an answer: its name, and its line if the answer is not minimal. This is on the path of every write.
pub fn accepted(record: &Record, is_minimal: bool) -> Response {
    let (source, id) = record.name();
    let named =
        |response: Response| response.with_header(SOURCE, source.as_str()).with_number(ID, id);
    if is_minimal {
        return named(Response::new(204)).with_header("Preference-Applied", MINIMAL);
    }
    let line = &record.line;
    let mut body = Vec::with_capacity(line.len() + 1);
    body.extend_from_slice(line.as_bytes());
    body.push(b'\n');
    named(Response::new(200).with_body("application/json", body))
}

/// Whether a client wants a minimal answer (RFC 7240).
fn prefers_minimal(request: &Request) -> bool {
    let mut of_return = request.list("Prefer").filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("return").then(|| value.trim().trim_matches('"'))
    });
    // The first one counts.
    of_return.next() == Some("minimal")
}

/// Refuses a body with a content coding: none is decoded here.
fn check_coding(request: &Request) -> Result<(), Response> {
    let mut codings = request.list("Content-Encoding");
    match codings.find(|coding| !coding.eq_ignore_ascii_case("identity")) {
        None => Ok(()),
        Some(coding) => {
            let detail = format!("the body has the content coding {coding:?}; send it without");
            Err(Response::problem(415, detail).with_header("Accept-Encoding", "identity"))
        }
    }
}

async fn propose(
    handle: &Handle,
    part: PointerBuf,
    preconditions: Option<Preconditions>,
    content: Content,
    client: Option<ClientName>,
) -> Result<Submitted, Response> {
    let verdict = |preconditions: &Preconditions, hash: Option<&Hash>| {
        preconditions.verdict(None, hash.map(Hash::as_str))
    };
    let condition = preconditions.clone().map(|preconditions| {
        let holds =
            move |hash: Option<&Hash>| verdict(&preconditions, hash) == PreconditionVerdict::Holds;
        Box::new(holds) as Condition
    });
    match handle.propose(Proposal { part, condition, content, client }).await? {
        Decision::Submitted(submitted) => Ok(submitted),
        Decision::Moved(hash) => {
            Err(match preconditions.map(|preconditions| verdict(&preconditions, hash.as_ref())) {
                Some(PreconditionVerdict::Fails(header)) => {
                    preconditions::answer_to_write(header, hash.as_ref().map(Hash::as_str))
                }
                _ => unreachable!("the condition did not hold of this hash"),
            })
        }
        Decision::TooLarge(bytes) => Err(too_large(bytes)),
        Decision::Changing => {
            let detail = "what the condition is of is large, and changes faster than its ETag is made; \
                          nothing was changed";
            Err(Response::problem(503, detail).with_header("Retry-After", "1"))
        }
    }
}

fn too_large(bytes: usize) -> Response {
    let detail = format!(
        "as a JSON Patch this has {bytes} bytes, and {MAX_PAYLOAD_BYTES} are allowed; nothing was \
         changed"
    );
    Response::problem(413, detail)
}

/// The refusal while peers would not take a new transaction.
fn too_early(ahead_micros: u64) -> Response {
    let seconds = (ahead_micros - MAX_AHEAD_MICROS).div_ceil(1_000_000);
    let detail = format!(
        "a transaction would get a time {} s ahead of this node's wall clock, and an hour is allowed: \
         the clock of this node or of another one was wrong; this ends in {seconds} s by itself; nothing \
         was changed",
        ahead_micros / 1_000_000
    );
    let problem = Problem::new(503, detail)
        .with_kind("/problems/clock-ahead", "The clock is ahead")
        .with_member("seconds", seconds);
    Response::from(problem).with_number("Retry-After", seconds)
}

fn merge_patch(text: &str) -> Result<Value, Response> {
    serde_json::from_str(text).map_err(|error| {
        Problem::new(400, format!("not a JSON Merge Patch: {error}; nothing was changed"))
            .with_kind("/problems/not-a-merge-patch", "Not a JSON Merge Patch")
            .into()
    })
}

/// The problem for a patch that does not apply.
pub fn patch_problem(error: &PatchError) -> Problem {
    let mut error = error.clone();
    error.cut(PROBLEM_TEXT_BYTES);
    let (status, kind, title) = if error.is_malformed() {
        (400, "/problems/not-a-json-patch", "Not a JSON Patch")
    } else {
        (409, "/problems/does-not-apply", "The patch does not apply")
    };
    let problem = Problem::new(status, format!("{error}; nothing was changed"));
    with_members(problem.with_kind(kind, title), &error)
}

/// Adds the parts of a patch's error as members for programs.
pub fn with_members(problem: Problem, error: &PatchError) -> Problem {
    problem
        .with_member("operation", error.operation)
        .with_member("path", error.path.clone())
        .with_member("reason", error.reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    #[test]
    fn a_client_may_want_no_more_than_a_name() {
        for (headers, expected) in [
            ("", false),
            ("Prefer: return=minimal\r\n", true),
            ("Prefer: Return = \"minimal\"; a=b\r\n", true),
            ("Prefer: respond-async, return=minimal\r\n", true),
            ("Prefer: wait=10\r\nPrefer: return=minimal\r\n", true),
            ("Prefer: return=representation\r\n", false),
            ("Prefer: return=representation, return=minimal\r\n", false),
            ("Prefer: return\r\n", false),
            ("Prefer: minimal\r\n", false),
        ] {
            let text = format!("POST /replace HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            assert_eq!(prefers_minimal(&request(text)), expected, "{headers}");
        }
    }
}
