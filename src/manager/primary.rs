//! Which part of the history this node makes final, if it is the primary.

use crate::commit::Heard;

/// What this node has read of its peers since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// How much that is.
    pub heard: Heard,
    /// The peers that it has not read to their end.
    pub unread: Vec<String>,
}
