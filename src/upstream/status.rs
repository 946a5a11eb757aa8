//! What `/peers` shows of an upstream.

use serde::Serialize;

use crate::clock::{Time, VectorClock};

/// What the task does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It dials.
    Connecting,
    /// It receives.
    Connected,
    /// It waits for the next try.
    Waiting,
}

/// One upstream as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamStatus {
    /// The peer that is dialed.
    pub address: String,
    /// What the task does at the moment.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// Why the last stream ended; none where all is well.
    pub error: Option<String>,
    /// How many transactions came, known ones among them.
    pub received: u64,
    /// How old the last transaction was when it came, in milliseconds; none where it had no `Time`.
    pub delay_ms: Option<u64>,
    /// Whether the peer has the same document, as far as could be told when both had last accepted
    /// the same transactions; none where that was not so yet.
    pub agrees: Option<bool>,
    /// The state hashes of this node and of the peer, where they differ though both nodes have
    /// accepted the same transactions.
    pub divergence: Option<Divergence>,
    /// What the peer has seen of each source, as far as it is known: from what it sent on this
    /// connection, and from its state hash where that is this node's. None where nothing is.
    pub vclock: Option<VectorClock>,
    /// How often that began.
    #[serde(skip)]
    pub divergences: u64,
}

/// Two hashes that must never differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// This node's.
    pub here: String,
    /// The peer's.
    pub there: String,
}
