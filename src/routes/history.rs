//! `/history`: the transactions in the order in which they count, and what becomes of each.

use serde::Serialize;

use super::fate::Reason;
use super::get::untold;
use super::number;
use crate::clock::Time;
use crate::http::{Request, Response};
use crate::manager::Handle;
use crate::replica::Placed;
use crate::replica::history::at::{Fate, Listed};
use crate::source::Source;

/// How many transactions are given unless asked for fewer or more, and at most.
const LIMIT: usize = 200;
const MOST: usize = 1000;

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    /// How many are before it in the history.
    index: u64,
    /// How many are before it in this node's journal, which has them in the order of arrival.
    position: u64,
    #[serde(rename = "Source")]
    source: &'a Source,
    #[serde(rename = "Id")]
    id: u64,
    #[serde(rename = "Time")]
    time: Time,
    #[serde(rename = "By", skip_serializing_if = "Option::is_none")]
    by: Option<(&'a Source, u64)>,
    #[serde(rename = "Payload")]
    payload: &'a str,
    skipped: Option<Reason>,
    /// Whether one of the same name is before it, so that it has no effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    /// Whether it is so far back that it would not be listed if it were skipped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
}

/// Answers a request for a part of the history.
pub async fn history(handle: &Handle, request: &Request) -> Result<Response, Response> {
    let from = number(request, "from")?.unwrap_or(0);
    let limit = number(request, "limit")?.unwrap_or(LIMIT).min(MOST);
    let listing = handle.list(from, limit).await.map_err(untold)?;
    let mut lines = Vec::new();
    for Listed { index, placed, fate } in listing.listed {
        let unknown = fate == Fate::Unknown;
        let repeated = fate == Fate::Repeated;
        let Placed { place, position, payload, .. } = &placed;
        let skipped = match fate {
            Fate::Skipped(skip) => Some(Reason::from(skip)),
            Fate::Applied | Fate::Repeated | Fate::Unknown => None,
        };
        let line = Line {
            index,
            position: *position,
            source: placed.name().0,
            id: placed.name().1,
            time: place.time,
            by: placed.named.is_some().then_some((&place.source, place.id)),
            payload,
            skipped,
            repeated,
            unknown,
        };
        serde_json::to_writer(&mut lines, &line).expect("memory takes every JSON text");
        lines.push(b'\n');
    }
    Ok(Response::new(200)
        .with_body("application/x-ndjson", lines)
        .with_header("Cache-Control", "no-store")
        .with_header("Patchmesh-Length", listing.length.to_string()))
}
