//! Writing: `POST /replace`, `POST /post` and `PATCH /get`.

use serde_json::Value;

use super::bad_request;
use super::preconditions::{self, Preconditions, Verdict};
use crate::http::{Problem, Request, Response};
use crate::manager::{Condition, Content, Decision, Handle, Hash, Proposal, Submitted};
use crate::patch::PatchError;
use crate::transaction::MAX_PAYLOAD_BYTES;

const MERGE_PATCH: &str = "application/merge-patch+json";

/// Takes the body: a JSON Merge Patch where the content type says so, else a JSON Patch.
pub async fn write(handle: &Handle, request: &Request) -> Result<Response, Response> {
    check_coding(request)?;
    let text = std::str::from_utf8(&request.body)
        .map_err(|error| bad_request(format!("the body is not UTF-8: {error}")))?;
    if text.starts_with('\u{feff}') {
        let detail = "the body begins with a byte order mark, which JSON does not have (RFC 8259, \
                      section 8.1): send it without; nothing was changed";
        return Err(bad_request(detail));
    }
    let preconditions = Preconditions::of(request);
    let is_merge = request.header("Content-Type").is_some_and(|content_type| {
        let media_type = content_type.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(MERGE_PATCH)
    });
    let submitted = if is_merge {
        propose(handle, preconditions, Content::Merge(merge_patch(text)?)).await?
    } else if preconditions.is_some() {
        propose(handle, preconditions, Content::Patch(text.into())).await?
    } else {
        // This depends on nothing, so that it needs no turn of its own.
        handle.create(text).await?
    };
    match submitted {
        Submitted::Accepted(record) => {
            Ok(Response::new(200).with_body("application/json", format!("{}\n", record.line)))
        }
        Submitted::Refused(error) => Err(patch_problem(&error).into()),
        Submitted::Unkept(error) => {
            let detail = format!("the journal cannot grow: {error}; nothing was changed");
            Err(Response::problem(507, detail))
        }
        Submitted::Known { .. } | Submitted::Early { .. } => {
            let detail = "peers are still sending this node its own earlier transactions, or \
                          its source has no Ids left; nothing was changed";
            Err(Response::problem(503, detail))
        }
    }
}

/// Refuses a body that is coded: none is decoded here.
fn check_coding(request: &Request) -> Result<(), Response> {
    let codings = request.header_values("Content-Encoding").flat_map(|list| list.split(','));
    let is_none = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let mut codings = codings.map(str::trim);
    match codings.find(|coding| !is_none(coding)) {
        None => Ok(()),
        Some(coding) => {
            let detail = format!("the body has the content coding {coding:?}; send it without");
            Err(Response::problem(415, detail).with_header("Accept-Encoding", "identity"))
        }
    }
}

async fn propose(
    handle: &Handle,
    preconditions: Option<Preconditions>,
    content: Content,
) -> Result<Submitted, Response> {
    let verdict = |preconditions: &Preconditions, hash: &Hash| {
        preconditions.verdict(false, Some(hash.as_str()))
    };
    let condition = preconditions.clone().map(|preconditions| {
        let holds = move |hash: &Hash| verdict(&preconditions, hash) == Verdict::Holds;
        Box::new(holds) as Condition
    });
    match handle.propose(Proposal { condition, content }).await? {
        Decision::Submitted(submitted) => Ok(submitted),
        Decision::Moved(hash) => {
            Err(match preconditions.map(|preconditions| verdict(&preconditions, &hash)) {
                Some(Verdict::Fails(header)) => {
                    preconditions::answer_to_write(header, hash.as_str())
                }
                _ => unreachable!("the condition did not hold of this hash"),
            })
        }
        Decision::TooLarge(bytes) => {
            let detail = format!(
                "as a JSON Patch this has {bytes} bytes, and {MAX_PAYLOAD_BYTES} are allowed; \
                 nothing was changed"
            );
            Err(Response::problem(413, detail))
        }
    }
}

fn merge_patch(text: &str) -> Result<Value, Response> {
    serde_json::from_str(text).map_err(|error| {
        Problem::new(400, format!("not a JSON Merge Patch: {error}; nothing was changed"))
            .with_kind("/problems/not-a-merge-patch", "Not a JSON Merge Patch")
            .into()
    })
}

/// What a person and a program are told of a patch that does not apply.
fn patch_problem(error: &PatchError) -> Problem {
    let (status, kind, title) = if error.is_malformed() {
        (400, "/problems/not-a-json-patch", "Not a JSON Patch")
    } else {
        (409, "/problems/does-not-apply", "The patch does not apply")
    };
    Problem::new(status, format!("{error}; nothing was changed"))
        .with_kind(kind, title)
        .with_member("operation", error.operation)
        .with_member("path", error.path.clone())
        .with_member("reason", Value::String(error.reason.to_string()))
}
