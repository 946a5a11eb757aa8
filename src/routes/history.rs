//! The transactions in pages, a line each: `/log` has them in the order of arrival, `/history` in the order in
//! which they count, with the outcome of each.

use serde::Serialize;

use super::fate::ShownSkip;
use super::get::untold;
use super::number;
use crate::clock::Time;
use crate::http::{Request, Response};
use crate::query::{HistoryPage, Query};
use crate::replica::Placed;
use crate::replica::history::Fate;
use crate::replica::history::at::Listed;
use crate::source::Source;

/// How many transactions a page of `/log` has by default, and at most.
const LOG_LIMIT: usize = 1000;
const LOG_MOST: usize = 10_000;

/// The same for `/history`.
const LIMIT: usize = 200;
const MOST: usize = 1000;

/// One line of `/history`.
#[derive(Serialize)]
struct HistoryLine<'a> {
    /// How many are before it in the history.
    index: u64,
    /// How many are before it in this node's journal, in the order of arrival.
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
    /// Null if it is applied; an empty object if the reason is not known any more.
    skipped: Option<ShownSkip>,
    /// Whether it has no effect because one of the same name is before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    /// Whether this is final.
    committed: bool,
}

/// Answers a request for a part of the journal.
pub async fn log(query: &Query, request: &Request) -> Result<Response, Response> {
    let from = number(request, "from")?;
    let limit = number(request, "limit")?.unwrap_or(LOG_LIMIT).min(LOG_MOST);
    let records = query.log(from, limit).await.map_err(untold)?;
    let bytes = records.iter().map(|record| record.line.len() + 1).sum();
    let mut lines = Vec::with_capacity(bytes);
    for record in records {
        lines.extend_from_slice(record.line.as_bytes());
        lines.push(b'\n');
    }
    let response = Response::new(200).with_body("application/x-ndjson", lines);
    Ok(response.with_header("Cache-Control", "no-store"))
}

/// Answers a request for a part of the history.
pub async fn history(query: &Query, request: &Request) -> Result<Response, Response> {
    let from = number(request, "from")?;
    let limit = number(request, "limit")?.unwrap_or(LIMIT).min(MOST);
    let HistoryPage { lines: listed, state } = query.history(from, limit).await.map_err(untold)?;
    let mut lines = Vec::new();
    for Listed { index, placed, fate } in listed {
        let repeated = fate == Fate::Repeated;
        let Placed { place, position, payload, .. } = &placed;
        let skipped = match fate {
            Fate::Skipped(skip) => Some(skip.as_deref().map(ShownSkip::from).unwrap_or_default()),
            Fate::Applied | Fate::Repeated => None,
        };
        let line = HistoryLine {
            index,
            position: *position,
            source: placed.name().0,
            id: placed.name().1,
            time: place.time,
            by: placed.by(),
            payload,
            skipped,
            repeated,
            committed: state.is_committed(place),
        };
        serde_json::to_writer(&mut lines, &line).expect("memory takes every JSON text");
        lines.push(b'\n');
    }
    Ok(Response::new(200)
        .with_body("application/x-ndjson", lines)
        .with_header("Cache-Control", "no-store")
        .with_number("Patchmesh-Length", state.length()))
}
