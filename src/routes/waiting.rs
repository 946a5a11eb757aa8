//! Waiting for a transaction, for more than a client knows, or for a part to change.

use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;

use super::form::Form;
use super::preconditions::{PreconditionVerdict, Preconditions};
use super::{bad_request, named_transaction, parameter};
use crate::clock::VectorClock;
use crate::document::Value;
use crate::duration_text::{MILLISECONDS, SECONDS, Unit, parse_duration};
use crate::http::{Problem, Request, Response};
use crate::manager::{Handle, Reading, State, Stopped};
use crate::patch::{Document, PointerBuf};
use crate::source::Source;

/// How long a request waits by default, and at most.
pub const WAIT: Duration = Duration::from_secs(30);
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The shortest time between two looks of a long wait: if others write all the time, most changes are not those
/// that are waited for. At first it is a share of the time waited.
const PACE: Duration = Duration::from_millis(10);
const PACE_SHARE: u32 = 8;

/// Looking takes at most this share of the time (1 / 10), since for a large part it is work. The time of a look
/// includes its wait for other looks, so the share holds for all waiting requests together.
const LOOK_SHARE: u32 = 10;

/// The length of the history. Each answer of `/get` has it, and a request may repeat it.
pub const LENGTH: &str = "Patchmesh-Length";

/// Which document a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The document now.
    Now,
    /// The final document.
    Committed,
}

impl View {
    /// The document; none if it is not known what is final.
    pub fn document(self, state: &State) -> Option<&Document> {
        match self {
            Self::Now => Some(state.document()),
            Self::Committed => state.committed_document(),
        }
    }

    /// How many transactions have made it.
    pub fn length(self, state: &State) -> u64 {
        match self {
            Self::Now => state.length(),
            Self::Committed => state.committed_length(),
        }
    }

    fn has(self, state: &State, source: &Source, id: u64) -> bool {
        match self {
            Self::Now => state.has(source, id),
            Self::Committed => state.has_committed(source, id),
        }
    }

    fn subscribe(self, handle: &Handle) -> Receiver<()> {
        match self {
            Self::Now => handle.subscribe(),
            Self::Committed => handle.subscribe_to_commits(),
        }
    }
}

/// What a request waits for.
pub struct Wait {
    view: View,
    until: Until,
    longest: Duration,
}

enum Until {
    /// Until the node has everything in this clock.
    Seen(VectorClock),
    /// Until the node has everything in this clock, and more.
    After(VectorClock),
    /// Until the node has this transaction.
    Transaction(Source, u64),
    /// Until the length of the history is another.
    OtherLength(u64),
    /// Until the part at this pointer is not as in `If-None-Match`, or exists if there is `If-Match`. The form
    /// is the one that the reader wants.
    OtherPart(PointerBuf, Preconditions, Form),
}

/// The result of a look.
enum LookResult {
    /// The wait is over.
    There,
    /// Nothing is new. When the time is over, the client is told that it knows all.
    Unmoved,
    /// Something is missing. When the time is over, the client is told what.
    Missing(Problem),
}

impl Wait {
    /// What a request for the part at `pointer` waits for; none if it does not wait.
    pub fn of(
        request: &Request,
        pointer: &PointerBuf,
        view: View,
    ) -> Result<Option<Self>, Response> {
        let clock =
            |name| parameter(request, name, "a vector clock", |text| serde_json::from_str(text));
        let wait = match request.query_parameter("wait")? {
            None => None,
            Some(text) => Some(duration("wait", &text)?),
        };
        let named = [
            clock("after")?.map(Until::After),
            clock("seen")?.map(Until::Seen),
            named_transaction(request)?.map(|(source, id)| Until::Transaction(source, id)),
        ];
        if view == View::Committed && matches!(named, [Some(_), ..] | [_, Some(_), _]) {
            let detail = "after and seen are about what this node has, final or not, and at=committed is not; \
                          source with id is about one transaction";
            return Err(bad_request(detail));
        }
        let mut named = named.into_iter().flatten();
        let until = match (named.next(), named.next()) {
            (Some(until), None) => until,
            (Some(_), Some(_)) => {
                let detail = "of after, seen and source with id there can be one: which is meant?";
                return Err(bad_request(detail));
            }
            // The headers say what the client knows. They count only if it wants to wait.
            (None, _) if wait.is_none() => return Ok(None),
            (None, _) => match (known_length(request)?, Preconditions::of(request)) {
                (Some(length), _) => Until::OtherLength(length),
                (None, Some(preconditions)) => {
                    Until::OtherPart(pointer.clone(), preconditions, Form::of(request)?)
                }
                (None, None) => return Ok(None),
            },
        };
        Ok(Some(Self { view, until, longest: wait.unwrap_or(WAIT).min(LONGEST_WAIT) }))
    }

    /// Waits until a look finds it, or the time is over.
    ///
    /// # Errors
    /// 504 if something is missing then.
    pub async fn wait(&self, handle: &Handle) -> Result<(), Response> {
        let begin = Instant::now();
        let deadline = begin + self.longest;
        let (mut subscription, mut seen) = (None, None);
        loop {
            let look = Instant::now();
            let found = self.look(handle, &mut seen).await;
            let time = look.elapsed();
            match found {
                LookResult::There => return Ok(()),
                LookResult::Unmoved if look >= deadline => return Ok(()),
                LookResult::Missing(problem) if look >= deadline => return Err(problem.into()),
                LookResult::Unmoved | LookResult::Missing(_) => {}
            }
            let grown = subscription.get_or_insert_with(|| self.view.subscribe(handle));
            let growth = async {
                grown.recv().await.map_err(|_| Stopped)?;
                let pace = PACE.min(begin.elapsed() / PACE_SHARE).max(time * LOOK_SHARE);
                if look + pace > Instant::now() {
                    Timer::at(look + pace).await;
                }
                Ok::<_, Stopped>(())
            };
            let time_over = async {
                Timer::at(deadline).await;
                Ok(())
            };
            growth.or(time_over).await?;
        }
    }

    /// Looks once. `seen` is the part of the document at the last look.
    async fn look(&self, handle: &Handle, seen: &mut Option<Option<Value>>) -> LookResult {
        let unless_unmoved = |moved| if moved { LookResult::There } else { LookResult::Unmoved };
        let state = handle.state();
        match &self.until {
            Until::Seen(clock) | Until::After(clock) => {
                let vclock = state.vclock();
                match missing(vclock, clock) {
                    Some(problem) => LookResult::Missing(problem),
                    None if matches!(self.until, Until::Seen(_)) => LookResult::There,
                    None => unless_unmoved(!clock.covers(vclock)),
                }
            }
            Until::Transaction(source, id) => {
                if self.view.has(&state, source, *id) {
                    return LookResult::There;
                }
                LookResult::Missing(match self.view {
                    View::Now => not_received(*id, source, ""),
                    View::Committed => {
                        let detail =
                            format!("transaction {id} of {source} was not final in this time");
                        Problem::new(504, detail)
                    }
                })
            }
            Until::OtherLength(length) => unless_unmoved(self.view.length(&state) != *length),
            Until::OtherPart(pointer, preconditions, form) => {
                let document = self.view.document(&state);
                let part = document.and_then(|document| document.get(pointer)).cloned();
                // Parts that both share are not compared.
                if seen.as_ref() == Some(&part) {
                    return LookResult::Unmoved;
                }
                let (part, representation) = match (self.view, part) {
                    (View::Now, _) => {
                        // This may be a later state than the one above.
                        let Reading { part, state } = handle.read(pointer).await;
                        (state.document().get(pointer).cloned(), part)
                    }
                    (View::Committed, Some(part)) => {
                        let representation = handle.represent(&part).await;
                        (Some(part), Some(representation))
                    }
                    (View::Committed, None) => (None, None),
                };
                *seen = Some(part);
                let hash = representation.as_ref().map(|part| part.hash().as_str());
                unless_unmoved(match preconditions.verdict(Some(*form), hash) {
                    PreconditionVerdict::Holds => true,
                    PreconditionVerdict::NotModified => false,
                    // If nothing is there, `If-Match` waits until something is.
                    PreconditionVerdict::Fails(_) => hash.is_some(),
                })
            }
        }
    }

    /// Whether the client knows this state already. It may be later than the one of the last look.
    pub fn is_known(&self, state: &State) -> bool {
        match &self.until {
            Until::After(clock) => clock.covers(state.vclock()),
            Until::OtherLength(length) => self.view.length(state) == *length,
            // If the part is unchanged, its preconditions tell, as in any read.
            Until::OtherPart(..) | Until::Seen(_) | Until::Transaction(..) => false,
        }
    }
}

/// The length that the client knows; none if it does not say it.
fn known_length(request: &Request) -> Result<Option<u64>, Response> {
    let Some(text) = request.header(LENGTH) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| {
        bad_request(format!("the header {LENGTH} is {text:?}, which is no length: {error}"))
    })
}

/// What `vclock` lacks of `wanted`, as a problem; none if it has all.
fn missing(vclock: &VectorClock, wanted: &VectorClock) -> Option<Problem> {
    let lacks: Vec<_> =
        wanted.iter().filter(|(source, next)| vclock.next_id(source) < *next).collect();
    let (source, next) = lacks.first()?;
    let others = match lacks.len() {
        1 => String::new(),
        count => format!(", nor what is missing of {} other sources", count - 1),
    };
    Some(not_received(next - 1, source, &others))
}

fn not_received(id: u64, source: &Source, others: &str) -> Problem {
    let detail =
        format!("this node has not received transaction {id} of {source} in this time{others}");
    Problem::new(504, detail)
}

/// The value of a query parameter that is a duration: `30s`, `500ms`, or `30` for seconds.
pub fn duration(name: &str, text: &str) -> Result<Duration, Response> {
    const BARE_SECONDS: Unit = ("", SECONDS.1);
    parse_duration(text, &[SECONDS, MILLISECONDS, BARE_SECONDS]).ok_or_else(|| {
        let detail =
            format!("the query parameter {name} is {text:?}, not a duration like 30s or 500ms");
        bad_request(detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_without_a_unit_is_in_seconds() {
        let table = [
            ("30s", Some(Duration::from_secs(30))),
            ("7", Some(Duration::from_secs(7))),
            ("250ms", Some(Duration::from_millis(250))),
            ("99999999999999999999", Some(Duration::MAX)),
            ("", None),
            ("1m", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration("wait", text).ok(), expected, "{text}");
        }
    }
}
