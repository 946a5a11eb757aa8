//! What won against a skipped transaction, as JSON.

use serde::Serialize;

use super::bad_request;
use crate::clock::Time;
use crate::http::{Request, Response};
use crate::manager::State;
use crate::patch::{NoRequirement, PatchError, Pointer};
use crate::query::Untold;
use crate::replica::history::cause::{Because, NoWinner};
use crate::source::Source;

/// How many bytes of a path are shown.
const PATH_BYTES: usize = 200;

/// The member `because` of a skipped transaction.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ShownBecause<'a> {
    Winner(ShownWinner<'a>),
    /// There is no winner, and why.
    None {
        none: String,
    },
    /// The winner was not searched, or not found, and why.
    Unknown {
        unknown: &'static str,
    },
}

/// The transaction that changed what the failing operation needed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShownWinner<'a> {
    source: &'a Source,
    id: u64,
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<(&'a Source, u64)>,
    /// How many transactions are before it in the history.
    #[serde(rename = "index")]
    index: u64,
    #[serde(rename = "committed")]
    committed: bool,
    /// Its last operation that changed the value there.
    #[serde(rename = "operation", skip_serializing_if = "Option::is_none")]
    operation: Option<usize>,
    /// The place that was changed.
    #[serde(rename = "path")]
    path: String,
}

impl<'a> ShownBecause<'a> {
    /// From the result of a search; none if there was no search.
    pub fn of(because: Option<&'a Because>, state: &State) -> Self {
        let none = match because {
            Some(Ok(winner)) => {
                let (place, (source, id)) = (&winner.placed.place, winner.placed.name());
                return Self::Winner(ShownWinner {
                    source,
                    id,
                    time: place.time,
                    by: winner.placed.by(),
                    index: winner.index,
                    committed: state.is_committed(place),
                    operation: winner.operation,
                    path: cut(winner.pointer.as_str()),
                });
            }
            Some(Err(none)) => none,
            None => {
                let unknown = "it was not looked for in so long a list; /transaction tells it";
                return Self::Unknown { unknown };
            }
        };
        let none = match none {
            NoWinner::NotSkipped => {
                return Self::Unknown { unknown: "it is not skipped any more" };
            }
            NoWinner::Needless(NoRequirement::Never) => "it applies to no document".into(),
            NoWinner::Needless(NoRequirement::TooLarge) => "the document would be too large".into(),
            NoWinner::Needless(NoRequirement::Own(path)) => {
                format!("its own operations changed {} before", named(path))
            }
            NoWinner::Unchanged(path) => {
                format!("nothing before it has changed {}", named(path))
            }
            NoWinner::Folded(path) => {
                format!("nothing that is kept has changed {} before it", named(path))
            }
        };
        Self::None { none }
    }

    /// For a transaction that is void.
    pub fn void() -> Self {
        Self::None { none: PatchError::VOID.to_string() }
    }

    /// For a search that failed.
    pub fn untold(why: &Untold) -> Self {
        let unknown = match why {
            Untold::Beyond(_) | Untold::Folded(_) => "what is looked for is not kept any more",
            Untold::TooLong => "looking for it takes too long",
            Untold::Journal(_) => "a part of the journal cannot be read",
            Untold::Stopped => "the node is stopping",
        };
        Self::Unknown { unknown }
    }
}

fn named(pointer: &Pointer) -> String {
    if pointer.is_root() {
        "the whole document".into()
    } else {
        format!("{:?}", cut(pointer.as_str()))
    }
}

/// A path, cut like the path of an operation that does not apply.
fn cut(path: &str) -> String {
    let end = path.floor_char_boundary(PATH_BYTES);
    if end < path.len() { format!("{}…", &path[..end]) } else { path.into() }
}

/// Whether a request wants the winner: yes, unless it says no.
pub fn is_wanted(request: &Request) -> Result<bool, Response> {
    match request.query_parameter("because")?.as_deref() {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => {
            Err(bad_request(format!("the query parameter because is {other:?}, not true or false")))
        }
    }
}
