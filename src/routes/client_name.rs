//! Exactly once: a client names its transaction, and can send it again, here or elsewhere.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::get::untold;
use super::{bad_request, gone};
use crate::clock::MAX_SAFE_INTEGER;
use crate::http::{Problem, Request, Response};
use crate::manager::{ClientName, Standing};
use crate::query::{Query, Untold};
use crate::source::Source;
use crate::transaction::{Name, Record};

pub const SOURCE: &str = "Patchmesh-Source";
pub const ID: &str = "Patchmesh-Id";

/// The name that the client gives the transaction of this request; none if it gives none. `own` returns the
/// node's source, and is called only if there is a name.
///
/// # Errors
/// 400 if no client can give this name.
pub fn of(request: &Request, own: impl FnOnce() -> Source) -> Result<Option<ClientName>, Response> {
    let (source, id) = match (request.header(SOURCE), request.header(ID)) {
        (None, None) => return Ok(None),
        (Some(source), Some(id)) => (source, id),
        (Some(_), None) => return Err(bad_request(format!("there is {SOURCE} without {ID}"))),
        (None, Some(_)) => return Err(bad_request(format!("there is {ID} without {SOURCE}"))),
    };
    if source.contains(char::REPLACEMENT_CHARACTER) {
        // Two different names would become the same.
        return Err(bad_request(format!(
            "{SOURCE} is {source:?}, which has a byte that is not UTF-8"
        )));
    }
    let source: Source =
        source.parse().map_err(|error| bad_request(format!("{SOURCE} is {source:?}: {error}")))?;
    if source == own() {
        return Err(bad_request(format!("{SOURCE} is this node's own source; take another one")));
    }
    if source.life_name().is_none() || source.is_reserved() {
        return Err(bad_request(format!(
            "{SOURCE} is {:?}, and not a name, ~ and eight of a-z and 0-9, drawn once by each client, as in \
             phone~k3x9q2pd",
            source.as_str()
        )));
    }
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| id.parse().ok()).flatten();
    let id = number.filter(|id| *id <= MAX_SAFE_INTEGER);
    let id = id.ok_or_else(|| bad_request(format!("{ID} is not a number from 0 to 2^53 - 1")))?;
    Ok(Some(ClientName { name: Name { source, id }, request: hash(request) }))
}

/// A hash of a request's method, path, media type and body: the first half of SHA-256 in hexadecimal digits.
fn hash(request: &Request) -> Box<str> {
    let media_type = request.media_type().to_ascii_lowercase();
    let mut hasher = Sha256::new();
    for part in [request.method(), request.path(), &media_type] {
        hasher.update(part);
        // No part has a line feed, so the line feed separates them clearly.
        hasher.update("\n");
    }
    hasher.update(&request.body);
    let half = &hasher.finalize()[..16];
    half.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The first transaction of this name in the journal, and its standing.
///
/// # Errors
/// If it is the transaction of another request, or cannot be read.
pub async fn first(query: &Query, client: &ClientName) -> Result<(Record, Standing), Response> {
    let Name { source, id } = &client.name;
    let found = query.record(&client.name).await.map_err(|why| match why {
        Untold::Folded(begins) => folded(&client.name, begins),
        why => untold(why),
    })?;
    let (first, standing) = found.ok_or_else(|| not_found(&client.name))?;
    let unreadable = |error| Response::problem(500, format!("the journal cannot be read: {error}"));
    let transaction = first.transaction().map_err(unreadable)?;
    if transaction.request.as_deref() == Some(&client.request) {
        return Ok((first, standing));
    }
    let line: Value = serde_json::from_str(&first.line).expect("it was read as JSON just now");
    let detail = format!(
        "transaction {id} of {source} is that of another request; a client gives each of its \
         transactions another Id; nothing was changed"
    );
    Err(Problem::new(409, detail)
        .with_kind("/problems/another-request", "The name is taken by another request")
        .with_member("transaction", line)
        .with_member("request", &*client.request)
        .into())
}

/// The answer for a known transaction that is not found.
pub fn not_found(Name { source, id }: &Name) -> Response {
    let detail = format!("transaction {id} of {source} is known, and was not found; try again");
    Response::problem(503, detail)
}

/// The answer for a transaction that is folded into a document.
fn folded(Name { source, id }: &Name, begins: u64) -> Response {
    let detail = format!(
        "transaction {id} of {source} was accepted long ago, and is final; whether it is applied is not kept \
         any more; nothing was changed"
    );
    gone(detail, begins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    fn named(head: &str) -> Result<Option<ClientName>, u16> {
        let own = "me~00000000".parse().unwrap();
        let request = request(format!("POST /replace HTTP/1.1\r\nHost: a\r\n{head}\r\n"));
        of(&request, || own).map_err(|response| response.status)
    }

    #[test]
    fn a_client_names_its_transaction_by_a_source_of_its_own_and_a_number() {
        let name = |source: &str, id: &str| {
            named(&format!("Patchmesh-Source: {source}\r\nPatchmesh-Id: {id}\r\n"))
        };
        assert!(named("").unwrap().is_none());
        let ClientName { name: Name { source, id }, request } =
            name("phone~k3x9q2pd", "7").unwrap().unwrap();
        assert_eq!((source.as_str(), id, request.len()), ("phone~k3x9q2pd", 7, 32));
        for (source, id) in [
            ("phone", "1"),
            ("me~00000000", "1"),
            ("phone~k3x9q2pd^s", "1"),
            ("~base", "1"),
            ("\u{fffd}~k3x9q2pd", "1"),
            ("phone~k3x9q2pd", ""),
            ("phone~k3x9q2pd", "-1"),
            ("phone~k3x9q2pd", "+1"),
            ("phone~k3x9q2pd", "9007199254740992"),
        ] {
            assert_eq!(name(source, id).unwrap_err(), 400, "{source} {id}");
        }
        assert_eq!(named("Patchmesh-Id: 1\r\n").unwrap_err(), 400);
        assert_eq!(named("Patchmesh-Source: a~00000000\r\n").unwrap_err(), 400);
    }

    #[test]
    fn requests_are_the_same_if_they_ask_for_the_same() {
        let of = |method: &str, path: &str, content_type: &str, body: &str| {
            hash(&request(format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )))
        };
        let first = of("POST", "/replace", "a/b", "[]");
        assert_eq!(first, of("POST", "/replace", "A/B; charset=utf-8", "[]"));
        for other in [
            of("PATCH", "/replace", "a/b", "[]"),
            of("POST", "/post", "a/b", "[]"),
            of("POST", "/replace", "a/c", "[]"),
            of("POST", "/replace", "a/b", "[] "),
        ] {
            assert_ne!(first, other);
        }
    }
}
