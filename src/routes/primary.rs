//! `POST /primary`: this node becomes the primary. And how the last commit is shown.

use serde::Serialize;
use serde_json::json;

use super::{Routes, json, preconditions};
use crate::clock::Time;
use crate::http::{Problem, Request, Response};
use crate::manager::{LastCommit, Promotion};
use crate::source::Source;

/// The last commit that counts, as `/peers` shows it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CommitStatus {
    source: Source,
    id: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The life of the primary that made the commit.
    primary: String,
    /// Whether that is this node.
    #[serde(skip)]
    pub is_own: bool,
    time: Time,
    /// How old it is, in milliseconds.
    pub age_ms: u64,
}

impl CommitStatus {
    /// How the node `own` shows a commit at the time `now`; none if its source is no epoch.
    pub fn of(commit: &LastCommit, own: &Source, now: Time) -> Option<Self> {
        let LastCommit { name, time } = commit;
        let epoch = name.source.epoch()?;
        Some(Self {
            epoch: epoch.number,
            primary: epoch.life.to_owned(),
            is_own: epoch.life == own.as_str(),
            source: name.source.clone(),
            id: name.id,
            time: *time,
            age_ms: now.micros_after(*time) / 1000,
        })
    }
}

/// Lets this node begin the next epoch.
pub async fn promote(routes: &Routes, request: &Request) -> Result<Response, Response> {
    preconditions::check_untagged(request)?;
    Ok(answer(routes.handle.promote().await?))
}

fn answer(promotion: Promotion) -> Response {
    let (status, kind, title, detail) = match promotion {
        Promotion::Begins(epoch) => {
            return Response { status: 202, ..json(&json!({"epoch": epoch})) };
        }
        Promotion::IsPrimary => {
            (409, "/problems/is-primary", "It is the primary", "this node is the primary".to_owned())
        }
        Promotion::Forgetful => (
            409,
            "/problems/no-data",
            "No data directory",
            "this node's journal is in memory, and a primary that forgets what it made final would \
             make it void: start it with --data"
                .to_owned(),
        ),
        Promotion::UsedUp => {
            (409, "/problems/no-epoch", "No further epoch", "there is no further epoch".to_owned())
        }
        Promotion::Unheard(unread) => (
            503,
            "/problems/unheard",
            "Not enough was heard",
            format!(
                "this node has not read the peers that it can reach to their end since it started, or \
                 none although it has peers; not read yet: {}",
                unread.join(", ")
            ),
        ),
    };
    let response = Response::from(Problem::new(status, detail).with_kind(kind, title));
    if status == 503 { response.with_header("Retry-After", "1") } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_an_answer_of_its_own() {
        let unread = Promotion::Unheard(vec!["a:1".into(), "b:1".into()]);
        for (promotion, status, contains) in [
            (Promotion::Begins(3), 202, "{\"epoch\":3}\n"),
            (Promotion::IsPrimary, 409, "/problems/is-primary"),
            (Promotion::Forgetful, 409, "start it with --data"),
            (Promotion::UsedUp, 409, "/problems/no-epoch"),
            (unread, 503, "not read yet: a:1, b:1"),
        ] {
            let answer = answer(promotion);
            let body = String::from_utf8(answer.body.at_hand().to_vec()).unwrap();
            assert_eq!(answer.status, status, "{body}");
            assert!(body.contains(contains), "{body}");
            assert_eq!(answer.header("Retry-After").is_some(), status == 503);
        }
    }
}
