//! Writing: `POST /replace`, `POST /post` and `PATCH /get`.

use serde_json::Value;

use super::bad_request;
use crate::http::{Problem, Request, Response};
use crate::manager::{Content, Decision, Handle, Proposal, Submitted};
use crate::patch::PatchError;
use crate::transaction::MAX_PAYLOAD_BYTES;

const MERGE_PATCH: &str = "application/merge-patch+json";

/// Takes the body: a JSON Merge Patch where the content type says so, else a JSON Patch.
pub async fn write(handle: &Handle, request: &Request) -> Result<Response, Response> {
    let text = std::str::from_utf8(&request.body)
        .map_err(|error| bad_request(format!("the body is not UTF-8: {error}")))?;
    let hashes = wanted_hashes(request);
    let is_merge = request.header("Content-Type").is_some_and(|content_type| {
        let media_type = content_type.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(MERGE_PATCH)
    });
    let submitted = if is_merge {
        propose(handle, hashes, Content::Merge(merge_patch(text)?)).await?
    } else if hashes.is_some() {
        propose(handle, hashes, Content::Patch(text.into())).await?
    } else {
        // This depends on nothing, so that it needs no turn of its own.
        handle.create(text).await?
    };
    match submitted {
        Submitted::Accepted(record) => {
            Ok(Response::new(200).with_body("application/json", record.line))
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

async fn propose(
    handle: &Handle,
    hashes: Option<Vec<String>>,
    content: Content,
) -> Result<Submitted, Response> {
    match handle.propose(Proposal { hashes, content }).await? {
        Decision::Submitted(submitted) => Ok(submitted),
        Decision::Moved(hash) => {
            let etag = format!("\"{hash}\"");
            let detail =
                format!("the document has changed, its ETag is {etag} now; nothing was changed");
            Err(Response::problem(412, detail).with_header("ETag", etag))
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

/// The hashes of which the document must have one (RFC 9110, 13.1.1); none where any will do. A weak
/// ETag is never the document's.
fn wanted_hashes(request: &Request) -> Option<Vec<String>> {
    let etags: Vec<_> =
        request.header_values("If-Match").flat_map(|list| list.split(',')).map(str::trim).collect();
    if etags.is_empty() || etags.contains(&"*") {
        return None;
    }
    let hash = |etag: &str| Some(etag.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    Some(etags.into_iter().filter_map(hash).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    #[test]
    fn if_match_names_strong_etags() {
        let table: [(&str, Option<&[&str]>); 7] = [
            ("", None),
            ("If-Match: *\r\n", None),
            ("If-Match: \"a\"\r\n", Some(&["a"])),
            ("If-Match: \"a\" , \"b\"\r\nIf-Match: \"c\"\r\n", Some(&["a", "b", "c"])),
            ("If-Match: W/\"a\"\r\n", Some(&[])),
            ("If-Match: a\r\n", Some(&[])),
            ("If-Match:\r\n", Some(&[])),
        ];
        for (header, expected) in table {
            let text = format!("PATCH /get HTTP/1.1\r\nHost: a\r\n{header}\r\n");
            let found = wanted_hashes(&request(text));
            let found: Option<Vec<&str>> =
                found.as_ref().map(|list| list.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{header}");
        }
    }
}
