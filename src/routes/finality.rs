//! `wait=committed`: a write that is answered when its outcome is final.
//!
//! Such a request costs nothing while it waits: it is looked at only after a commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use smol::Timer;
use smol::future::FutureExt;

use super::get::untold;
use super::waiting::{LONGEST_WAIT, WAIT, duration};
use super::write::{accepted, with_members};
use super::{Answer, Routes, bad_request, client_name};
use crate::http::{Problem, Request, Response};
use crate::manager::{ClientName, Standing, State, Stopped};
use crate::patch::PatchError;
use crate::replica::history::Fate;
use crate::transaction::{Name, Record};

/// How long a request waits for its transaction to be final.
#[derive(Clone, Copy, Debug)]
pub struct Finality {
    begun: Instant,
    longest: Duration,
}

impl Finality {
    /// How long this request waits; none if it does not wait. `state` is called only if it does.
    ///
    /// # Errors
    /// 400 if the parameters are malformed, and 409 if no primary is known.
    pub fn of(
        request: &Request,
        state: impl FnOnce() -> Arc<State>,
    ) -> Result<Option<Self>, Response> {
        let timeout = request.query_parameter("timeout")?;
        match request.query_parameter("wait")?.as_deref() {
            Some("committed") => {}
            Some(text) => {
                let detail = format!("a write waits with wait=committed only, and not wait={text}");
                return Err(bad_request(detail));
            }
            None if timeout.is_some() => {
                return Err(bad_request("there is timeout without wait=committed"));
            }
            None => return Ok(None),
        }
        let longest = match timeout {
            None => WAIT,
            Some(text) => duration("timeout", &text)?,
        };
        check_if_waits(&state(), "nothing was changed")?;
        Ok(Some(Self { begun: Instant::now(), longest: longest.min(LONGEST_WAIT) }))
    }

    /// The answer when the outcome of a transaction is final. `client` is the name that a client gave it, if
    /// one did.
    pub fn outcome(
        self,
        routes: &Routes,
        record: Record,
        client: Option<ClientName>,
    ) -> Answer<'_> {
        let outcome = async move {
            let (Ok(response) | Err(response)) = self.settle(routes, record, client).await;
            response
        };
        Answer::Later(Box::pin(outcome))
    }

    async fn settle(
        self,
        routes: &Routes,
        record: Record,
        client: Option<ClientName>,
    ) -> Result<Response, Response> {
        let waited = self.wait(routes, &record);
        let state = routes.unless_stopping(waited).await?;
        let standing = match state.recent_standing(&record.place) {
            Some(standing) => standing,
            None => {
                let stamp = Name { source: record.place.source.clone(), id: record.place.id };
                let found = routes.query.record(&stamp).await.map_err(untold)?;
                found.ok_or_else(|| client_name::not_found(&stamp))?.1
            }
        };
        match client {
            // The first transaction of its name is before it, and so is final too.
            Some(client) if standing.fate == Fate::Repeated => {
                let (first, standing) = client_name::first(&routes.query, &client).await?;
                settled(&first, &standing)
            }
            _ => settled(&record, &standing),
        }
    }

    /// Waits until the outcome of the transaction is final, and returns a state in which it is.
    async fn wait(self, routes: &Routes, record: &Record) -> Result<Arc<State>, Response> {
        let commits = routes.handle.subscribe_to_commits();
        let committed = async {
            loop {
                commits.recv().await.map_err(|_| Stopped)?;
                let state = routes.handle.state();
                if state.is_committed(&record.place) {
                    return Ok(state);
                }
            }
        };
        let too_late = async {
            Timer::at(self.begun + self.longest).await;
            Err(self.not_yet(record))
        };
        committed.or(too_late).await
    }

    fn not_yet(self, record: &Record) -> Response {
        let (source, id) = record.name();
        let detail = format!(
            "transaction {id} of {source} is accepted, and was not final within {:?}; /transaction tells what \
             becomes of it",
            self.longest
        );
        Problem::new(504, detail)
            .with_kind("/problems/not-final-yet", "The transaction is accepted, and not final yet")
            .with_member("transaction", line(record))
            .into()
    }
}

/// The answer to a client whose transaction has this standing.
///
/// # Errors
/// If it is not applied.
pub fn settled(record: &Record, standing: &Standing) -> Result<Response, Response> {
    let skip = match &standing.fate {
        Fate::Applied | Fate::Repeated => {
            return Ok(accepted(record, false));
        }
        Fate::Skipped(skip) => skip,
    };
    let error = if standing.is_void {
        Some(&PatchError::VOID)
    } else {
        skip.as_ref().map(|skip| &skip.error)
    };
    let since = if standing.is_committed { "for good" } else { "since an earlier one came in" };
    let problem = match error {
        Some(error) => {
            let detail = format!("the transaction is skipped, {since}: {error}");
            with_members(Problem::new(409, detail), error)
        }
        None => Problem::new(409, format!("the transaction is skipped, {since}")),
    };
    Err(problem
        .with_kind("/problems/skipped", "The transaction is skipped")
        .with_member("transaction", line(record))
        .into())
}

/// Whether this node knows what is final, or will know it: the primary begins after the first write.
///
/// # Errors
/// If it does not: why, and the `consequence`.
pub fn check_if_waits(state: &State, consequence: &str) -> Result<(), Response> {
    let begins = state.last_commit().is_none() && state.counters().is_to_commit;
    if begins && state.difference().is_none() { Ok(()) } else { check(state, consequence) }
}

/// Whether this node knows what is final.
///
/// # Errors
/// If it does not: why, and the `consequence`.
pub fn check(state: &State, consequence: &str) -> Result<(), Response> {
    if state.last_commit().is_none() {
        let (title, detail) = if state.counters().is_to_commit {
            let detail = format!(
                "this node is the primary, and nothing is final yet: it begins some seconds after the first \
                 write, once it has heard its peers; {consequence}"
            );
            ("Nothing is final yet", detail)
        } else {
            let detail = format!(
                "this node knows of no primary, so that nothing is final; {consequence}. One node of the mesh \
                 is started with --primary, and is known to others with its first commit: after a write at that \
                 node, or one without wait=committed at any other"
            );
            ("No primary is known", detail)
        };
        return Err(Problem::new(409, detail).with_kind("/problems/no-primary", title).into());
    }
    if state.difference().is_some() {
        let detail = format!(
            "this node has to take the document of another one, see /healthz, and does not know what is final; \
             {consequence}"
        );
        let problem =
            Problem::new(503, detail).with_kind("/problems/difference", "Not all is well");
        return Err(Response::from(problem).with_header("Retry-After", "1"));
    }
    Ok(())
}

fn line(record: &Record) -> Value {
    serde_json::from_str(&record.line).expect("what the journal has is JSON")
}
