//! What became of transactions: `/transaction` and `/conflicts`.

use serde::Serialize;

use super::get::untold;
use super::winner::ShownBecause;
use super::{bad_request, json, named_transaction, number, winner};
use crate::clock::Time;
use crate::http::{Request, Response};
use crate::manager::SkippedPage;
use crate::patch::PatchError;
use crate::query::{self, FoundTransaction, Query};
use crate::replica::history::{Fate, Skip};
use crate::source::Source;
use crate::transaction::Place;

/// How many skipped transactions an answer has at most. Their texts are short, so this bounds the bytes too.
const CONFLICTS: usize = 200;

/// Why a transaction is skipped, as JSON. Empty if that is not known any more.
#[derive(Default, Serialize)]
pub struct ShownSkip {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
}

impl From<&Skip> for ShownSkip {
    fn from(Skip { error, since }: &Skip) -> Self {
        Self { since: *since, ..Self::from(error) }
    }
}

impl From<&PatchError> for ShownSkip {
    fn from(PatchError { operation, path, reason }: &PatchError) -> Self {
        let (path, reason) = (path.clone(), Some(reason.to_string()));
        Self { operation: *operation, path, reason, since: None }
    }
}

/// The answer of `/transaction`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownTransaction<'a> {
    source: &'a Source,
    id: u64,
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<(&'a Source, u64)>,
    #[serde(rename = "state")]
    state: &'static str,
    /// How many transactions are before it in the history; none if it is void, and so not in the history.
    #[serde(rename = "index", skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(flatten)]
    outcome: ShownOutcome<'a>,
}

/// What both answers show of an outcome.
#[derive(Serialize)]
struct ShownOutcome<'a> {
    /// Whether it is final.
    committed: bool,
    #[serde(flatten)]
    reason: ShownSkip,
    /// The winner, if the transaction is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<ShownBecause<'a>>,
}

/// Where in the history a transaction is, and whether it is applied.
pub async fn transaction(query: &Query, request: &Request) -> Result<Response, Response> {
    let (source, id) = named_transaction(request)?
        .ok_or_else(|| bad_request("the query parameters source and id are missing"))?;
    let Some(told) = query.transaction(source.clone(), id).await.map_err(untold)? else {
        let detail = format!("this node has no transaction {id} of {source}");
        return Err(Response::problem(404, detail));
    };
    let FoundTransaction { record, index, standing } = &told;
    let (place, (source, id)) = (&record.place, record.name());
    let by = record.by();
    let (state, reason) = match &standing.fate {
        _ if standing.is_void => ("void", ShownSkip::from(&PatchError::VOID)),
        Fate::Applied => ("applied", ShownSkip::default()),
        Fate::Skipped(skip) => {
            ("skipped", skip.as_deref().map(ShownSkip::from).unwrap_or_default())
        }
        Fate::Repeated => ("repeated", ShownSkip::default()),
    };
    let (time, index, committed) = (place.time, *index, standing.is_committed);
    let is_wanted = winner::is_wanted(request)?;
    let found = if is_wanted { query.because(&told).await } else { None };
    let because = found.as_ref().map(|found| match found {
        Ok((because, state)) => ShownBecause::of(Some(because), state),
        Err(why) => ShownBecause::untold(why),
    });
    let outcome = ShownOutcome { committed, reason, because };
    Ok(json(&ShownTransaction { source, id, time, by, state, index, outcome }))
}

/// One skipped transaction in the answer of `/conflicts`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownConflict<'a> {
    source: &'a Source,
    id: u64,
    time: Time,
    #[serde(rename = "kind")]
    kind: &'static str,
    #[serde(flatten)]
    outcome: ShownOutcome<'a>,
}

/// A page of the transactions that are skipped now, in the order of the history: the last ones, unless `from`
/// says how many to leave out.
pub async fn conflicts(query: &Query, request: &Request) -> Result<Response, Response> {
    #[derive(Serialize)]
    struct ShownConflicts<'a> {
        /// How many are skipped in all, void ones included.
        count: u64,
        /// How many of them are void, as far as the reasons are known.
        void: u64,
        /// How many have no effect because one of the same name is before them. These are not listed.
        repeated: u64,
        /// How many skipped ones are before the first one of this list.
        from: u64,
        skipped: Vec<ShownConflict<'a>>,
    }
    let from = number(request, "from")?;
    let limit = number(request, "limit")?.unwrap_or(CONFLICTS).min(CONFLICTS);
    let is_wanted = winner::is_wanted(request)?;
    let query::Conflicts { page, because, state } = query.conflicts(from, limit, is_wanted).await;
    let SkippedPage { count, void, repeated, from, skipped } = &page;
    let skipped = skipped.iter().map(|(place, skip)| {
        let (Place { source, id, time }, is_void) = (place, skip.error == PatchError::VOID);
        let kind = if is_void { "void" } else { "skipped" };
        let (reason, committed) = (ShownSkip::from(&**skip), state.is_committed(place));
        let because = is_wanted.then(|| match because.get(place) {
            _ if is_void => ShownBecause::void(),
            because => ShownBecause::of(because, &state),
        });
        let outcome = ShownOutcome { committed, reason, because };
        ShownConflict { source, id: *id, time: *time, kind, outcome }
    });
    let (count, void, repeated, from) = (*count, *void, *repeated, *from);
    Ok(json(&ShownConflicts { count, void, repeated, from, skipped: skipped.collect() }))
}
