//! What `/peers` shows of an upstream.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::{Time, VectorClock};
use crate::mesh::named::Named;
use crate::mesh::roster::Roster;

/// How it stands with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// It is dialed for the first time.
    Connecting,
    /// Its journal is received, and nothing says that this will not go on.
    Connected,
    /// It is down: the last stream failed or there was none, and whatever was tried since has not
    /// shown yet that it works.
    Waiting,
}

/// One upstream as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamStatus {
    /// The peer that is dialed.
    pub address: String,
    /// The source of the node that answered last; none if it does not say, as plain nodes do not.
    pub node: Option<String>,
    /// How it stands with it.
    pub state: PeerState,
    /// Since when.
    pub since: Time,
    /// When something was last heard of it.
    pub heard: Option<Time>,
    /// Why the last stream ended, or what is wrong with this one; none if all is well.
    pub error: Option<String>,
    /// How many tries have failed since it is down.
    pub failures: u64,
    /// How far its times are ahead of this node's clock, in milliseconds, if that is why it is down.
    pub ahead_ms: Option<u64>,
    /// Whether the peer is told to send only what it has, not the transactions: they come from others.
    pub lazy: bool,
    /// Whether it was read to the end of its journal since this node has started; only a patchmesh
    /// node says so.
    pub read_to_end: bool,
    /// Whether the last try that is over led to a stream; none if none is over since this node has started.
    #[serde(skip)]
    pub is_reached: Option<bool>,
    /// Whether it is no patchmesh node, or this node itself, as far as is known: then it is not asked what was
    /// committed.
    #[serde(skip)]
    pub is_left_aside: bool,
    /// How many transactions came, known ones among them.
    pub received: u64,
    /// How many of them were left out, since their author has lost their order or begun to count anew.
    pub left_out: u64,
    /// How many of its bases this node has taken.
    pub bases: u64,
    /// How many of its bases broke off, or were not as they should be.
    pub torn_bases: u64,
    /// How many transactions that it has this node lacks, as far as the peer has said, every ten seconds, how many
    /// it has still to send; at most, if some of them have come from others. None if it does not say, as plain
    /// nodes do not, or is down.
    pub behind: Option<u64>,
    /// How old the last transaction was when it came, in milliseconds; none if it had no `Time`.
    pub delay_ms: Option<u64>,
    /// Whether the peer has the same document, as far as could be told when both had last accepted
    /// the same transactions; none if that was not so yet.
    pub agrees: Option<bool>,
    /// The state hashes of this node and of the peer, if they differ though both nodes have
    /// accepted the same transactions.
    pub divergence: Option<Divergence>,
    /// What the peer has seen of each source, as far as it is known: from what it sent on this
    /// connection, and from its state hash if that is this node's. None if nothing is.
    pub vclock: Option<VectorClock>,
    /// How often that began.
    #[serde(skip)]
    pub divergences: u64,
}

/// What others are to hear of soon if it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gist {
    state: PeerState,
    lazy: bool,
    differs: bool,
}

/// A status that is being changed. If others are to hear of that soon, it is said when this is dropped.
pub struct Changing<'a> {
    status: MutexGuard<'a, UpstreamStatus>,
    before: Gist,
    roster: &'a Roster,
}

impl<'a> Changing<'a> {
    /// Of one that is in the mesh of this roster.
    pub fn begin(status: &'a Mutex<UpstreamStatus>, roster: &'a Roster) -> Self {
        let status = status.lock().unwrap_or_else(PoisonError::into_inner);
        Self { before: status.gist(), status, roster }
    }
}

impl Deref for Changing<'_> {
    type Target = UpstreamStatus;

    fn deref(&self) -> &UpstreamStatus {
        &self.status
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut UpstreamStatus {
        &mut self.status
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if self.status.gist() != self.before {
            self.roster.stir();
        }
    }
}

impl UpstreamStatus {
    /// What others are to hear of soon if it changes.
    pub fn gist(&self) -> Gist {
        Gist { state: self.state, lazy: self.lazy, differs: self.agrees == Some(false) }
    }

    /// Of a peer that is about to be dialed for the first time.
    pub fn new(address: String, now: Time) -> Self {
        Self {
            address,
            node: None,
            state: PeerState::Connecting,
            since: now,
            heard: None,
            error: None,
            failures: 0,
            ahead_ms: None,
            lazy: false,
            read_to_end: false,
            is_reached: None,
            is_left_aside: false,
            received: 0,
            left_out: 0,
            bases: 0,
            torn_bases: 0,
            behind: None,
            delay_ms: None,
            agrees: None,
            divergence: None,
            vclock: None,
            divergences: 0,
        }
    }

    /// How it is named to a person: its node, if it has said who it is, and its address.
    pub fn named(&self) -> Named<'_, &str> {
        Named { node: self.node.as_deref(), address: &self.address }
    }

    /// A stream has begun. That alone does not say that it works.
    pub(super) fn begin(&mut self, node: Option<String>, now: Time) {
        self.node = node;
        self.is_reached = Some(true);
        self.heard = Some(now);
        // Every stream begins with the transactions, and has yet to say how many.
        (self.lazy, self.behind) = (false, None);
        // The peer may have lost its journal since.
        self.vclock = None;
    }

    /// What was compared with the peer was another document than this node has now.
    pub(super) fn forget_comparison(&mut self) {
        (self.agrees, self.divergence) = (None, None);
    }

    /// The stream that began then works.
    pub(super) fn works(&mut self, begun: Time) {
        if self.state != PeerState::Connected {
            (self.state, self.since) = (PeerState::Connected, begun);
            (self.error, self.failures, self.ahead_ms) = (None, 0, None);
        }
    }

    /// Something has come at `time` or later, maybe a part of a message only.
    pub(super) fn hear_since(&mut self, time: Time) {
        self.heard = self.heard.max(Some(time));
    }

    /// A stream has failed, or a try for one.
    pub(super) fn fail(&mut self, error: String, ahead_ms: Option<u64>, now: Time) {
        (self.lazy, self.behind) = (false, None);
        if self.state != PeerState::Waiting {
            (self.state, self.since) = (PeerState::Waiting, now);
        }
        self.failures += 1;
        (self.error, self.ahead_ms) = (Some(error), ahead_ms);
    }
}

/// Two hashes that must never differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// This node's.
    pub here: String,
    /// The peer's.
    pub there: String,
}

impl Divergence {
    /// What most likely led to it, and what to do.
    pub const CURE: &str = "With a primary, the next commit tells which of the two is wrong, and that one takes the \
        right document by itself. Without one: if the directory of one of the two was put back to an old copy and written to \
        before it met its peers, stop that node, and mend its directory: patchmesh verify DIR \
        --rebuild-from PEER, which keeps what both have written. If none was, please report this";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros).unwrap()
    }

    #[test]
    fn a_peer_is_down_from_its_first_failure_until_a_stream_works() {
        let mut status = UpstreamStatus::new("a:1".into(), at(1));
        let shown = |status: &UpstreamStatus| {
            (status.state, status.since, status.error.clone(), status.failures)
        };
        assert_eq!(shown(&status), (PeerState::Connecting, at(1), None, 0));
        status.begin(None, at(2));
        assert_eq!(shown(&status), (PeerState::Connecting, at(1), None, 0));
        status.works(at(2));
        status.works(at(3));
        assert_eq!(shown(&status), (PeerState::Connected, at(2), None, 0));
        status.fail("first".into(), None, at(4));
        status.begin(None, at(5));
        assert_eq!(shown(&status), (PeerState::Waiting, at(4), Some("first".into()), 1));
        status.fail("second".into(), Some(7), at(6));
        assert_eq!(shown(&status), (PeerState::Waiting, at(4), Some("second".into()), 2));
        assert_eq!(status.ahead_ms, Some(7));
        status.begin(Some("a~1".into()), at(8));
        status.works(at(8));
        assert_eq!(shown(&status), (PeerState::Connected, at(8), None, 0));
        assert_eq!((status.ahead_ms, status.heard), (None, Some(at(8))));
    }

    #[test]
    fn a_part_of_a_message_is_a_sign_of_life_too() {
        let mut status = UpstreamStatus::new("a:1".into(), at(1));
        for (time, heard) in [(5, 5), (3, 5), (6, 6)] {
            status.hear_since(at(time));
            assert_eq!(status.heard, Some(at(heard)), "{time}");
        }
    }

    #[test]
    fn what_is_said_of_a_stream_goes_with_it() {
        let mut status = UpstreamStatus::new("a:1".into(), at(1));
        let ends: [fn(&mut UpstreamStatus); 2] = [
            |status| status.fail("lost".into(), None, Time::MAX),
            |status| status.begin(None, Time::MAX),
        ];
        for end in ends {
            (status.lazy, status.behind) = (true, Some(7));
            end(&mut status);
            assert_eq!((status.lazy, status.behind), (false, None));
        }
    }
}
