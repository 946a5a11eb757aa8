//! What became of transactions: `/transaction` and `/conflicts`.

use serde::Serialize;

use super::{bad_request, json, number};
use crate::clock::Time;
use crate::http::{Request, Response};
use crate::manager::{Fate, Handle};
use crate::replica::history::{Skip, Whereabouts};
use crate::source::Source;
use crate::transaction::{Place, Record};

/// How many records of the journal are looked through in one go, and about how many bytes.
const STRETCH_RECORDS: usize = 4096;
const STRETCH_BYTES: usize = 4 << 20;

/// Why a transaction is skipped, as JSON.
#[derive(Serialize)]
pub struct Reason {
    operation: Option<usize>,
    path: Option<String>,
    reason: String,
    since: Time,
}

impl From<Skip> for Reason {
    fn from(Skip { error, since }: Skip) -> Self {
        let reason = error.reason.to_string();
        Self { operation: error.operation, path: error.path, reason, since }
    }
}

/// The answer of `/transaction`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction<'a> {
    source: &'a Source,
    id: u64,
    time: Time,
    #[serde(rename = "state")]
    state: &'static str,
    /// How many transactions come before it in the history.
    #[serde(rename = "index")]
    index: u64,
    #[serde(flatten)]
    reason: Option<Reason>,
}

/// Where in the history a transaction is, and whether it is applied.
pub async fn transaction(handle: &Handle, request: &Request) -> Result<Response, Response> {
    let source: Source = match request.query_parameter("source")? {
        None => return Err(bad_request("the query parameter source is missing")),
        Some(text) => text.parse().map_err(|error| {
            bad_request(format!("the query parameter source is {text:?}: {error}"))
        })?,
    };
    let id: u64 =
        number(request, "id")?.ok_or_else(|| bad_request("the query parameter id is missing"))?;
    let mut found = None;
    if handle.vclock().await?.has_seen(&source, id) {
        look_through(handle, 0, |record| {
            if record.place.id == id && record.place.source == source {
                found = Some(record.place.clone());
            }
            found.is_none()
        })
        .await?;
    }
    let Some(place) = found else {
        let detail = format!("this node has no transaction {id} of {source}");
        return Err(Response::problem(404, detail));
    };
    let Fate { whereabouts, skipped, unknown } = handle.fate(place.clone()).await?;
    let index = match whereabouts {
        Whereabouts::Recent { index } => index,
        Whereabouts::Past { after, index, position } => {
            index + count_between(handle, position, after.as_ref(), &place).await?
        }
    };
    let state = match skipped {
        Some(_) => "skipped",
        None if unknown => "unknown",
        None => "applied",
    };
    let Place { time, source, id } = place;
    let reason = skipped.map(Reason::from);
    Ok(json(&Transaction { source: &source, id, time, state, index, reason }))
}

/// One of the answers of `/conflicts`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Skipped<'a> {
    source: &'a Source,
    id: u64,
    time: Time,
    #[serde(flatten)]
    reason: Reason,
}

/// The transactions that are skipped now, in the order of the history.
pub async fn conflicts(handle: &Handle) -> Result<Response, Response> {
    #[derive(Serialize)]
    struct Conflicts<'a> {
        count: u64,
        skipped: Vec<Skipped<'a>>,
    }
    let count = handle.counters().await?.skipped;
    let skipped = handle.skipped().await?;
    let skipped = skipped.iter().map(|(Place { source, id, time }, skip)| Skipped {
        source,
        id: *id,
        time: *time,
        reason: skip.clone().into(),
    });
    Ok(json(&Conflicts { count, skipped: skipped.collect() }))
}

/// How many transactions are in the journal from `position` on and in the history between two places.
async fn count_between(
    handle: &Handle,
    position: u64,
    after: Option<&Place>,
    before: &Place,
) -> Result<u64, Response> {
    let mut count = 0;
    look_through(handle, position, |Record { place, .. }| {
        count += u64::from(place < before && after.is_none_or(|after| place > after));
        true
    })
    .await?;
    Ok(count)
}

/// Shows `visit` the journal from `position` on, until it has seen enough.
async fn look_through(
    handle: &Handle,
    mut position: u64,
    mut visit: impl FnMut(&Record) -> bool,
) -> Result<(), Response> {
    loop {
        let journal = handle.journal();
        let records = journal.read(position, STRETCH_RECORDS, STRETCH_BYTES).await;
        let records = records.map_err(|error| {
            Response::problem(500, format!("the journal cannot be read: {error}"))
        })?;
        position += records.len() as u64;
        if records.is_empty() || !records.iter().all(&mut visit) {
            return Ok(());
        }
        smol::future::yield_now().await;
    }
}
