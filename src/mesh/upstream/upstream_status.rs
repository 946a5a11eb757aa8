//! What `/peers` shows of an upstream.

use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use serde::{Deserialize, Serialize};

use crate::clock::{Time, VectorClock};
use crate::locks::Mutex;
use crate::mesh::named::Named;
use crate::mesh::roster::Roster;

/// The state of the connection to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// The peer is dialed for the first time.
    #[default]
    Connecting,
    /// Its journal is received, and nothing is known to be wrong.
    Connected,
    /// It is down: the last stream failed, or there was none, and no later try has turned out to work.
    Waiting,
}

/// One upstream as `/peers` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UpstreamStatus {
    /// The peer that is dialed.
    pub address: String,
    /// The source of the node that answered last. `None` if it does not say: plain nodes do not.
    pub node: Option<String>,
    /// The state of the connection.
    pub state: PeerState,
    /// Since when it is in this state.
    pub since: Time,
    /// When it last gave a sign of life.
    pub heard: Option<Time>,
    /// Why the last stream ended, or what is wrong with this one. `None` if all is well.
    pub error: Option<String>,
    /// How many tries have failed since it went down.
    pub failures: u64,
    /// How far its times are ahead of this node's clock, in milliseconds, if that is why it is down.
    pub ahead_ms: Option<u64>,
    /// Whether the peer is told to send summaries, not transactions, since those come from others.
    pub lazy: bool,
    /// Whether its journal was read to the end since this node started. Only a patchmesh node tells where
    /// that is.
    pub read_to_end: bool,
    /// Whether the last completed try led to a stream. `None` if no try is completed since this node started.
    #[serde(skip)]
    pub is_reached: Option<bool>,
    /// Whether it is known to be a plain node, or this node itself. Then it is not asked for commits.
    #[serde(skip)]
    pub is_left_aside: bool,
    /// How many transactions have come, known ones included.
    pub received: u64,
    /// How many of them were left out, since their author has lost the order or counts from the beginning
    /// again.
    pub left_out: u64,
    /// How many of its bases this node has taken.
    pub bases: u64,
    /// How many of its bases broke off or were not valid.
    pub torn_bases: u64,
    /// How many of its transactions this node lacks, at most, since some of them may come from others. The
    /// peer says every ten seconds how many it still has to send. `None` if the peer does not say (plain
    /// nodes do not), or is down.
    pub behind: Option<u64>,
    /// How old the last transaction was when it came, in milliseconds. `None` if it had no `Time`.
    pub delay_ms: Option<u64>,
    /// Whether the peer had the same document when both nodes last counted the same transactions. `None` if
    /// that has not happened yet.
    pub agrees: Option<bool>,
    /// The state hashes of this node and of the peer, if they differ although both count the same
    /// transactions.
    pub divergence: Option<Divergence>,
    /// What the peer has seen of each source, as far as it is known: from its transactions on this
    /// connection, and from its state hash if that equals this node's.
    pub vclock: Option<VectorClock>,
    /// How many times that has begun.
    #[serde(skip)]
    pub divergences: u64,
}

/// The part of a status whose changes are reported to the mesh within about a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gist {
    state: PeerState,
    lazy: bool,
    differs: bool,
}

/// A status that is being changed. On drop it has a report made, if its gist has changed.
pub struct Changing<'a> {
    status: MutexGuard<'a, UpstreamStatus>,
    before: Gist,
    roster: &'a Roster,
}

impl<'a> Changing<'a> {
    /// Begins to change a status.
    pub fn begin(status: &'a Mutex<UpstreamStatus>, roster: &'a Roster) -> Self {
        let status = status.lock();
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
    /// The part whose changes are reported soon.
    pub fn gist(&self) -> Gist {
        Gist { state: self.state, lazy: self.lazy, differs: self.agrees == Some(false) }
    }

    /// The status before the peer is dialed for the first time.
    pub fn new(address: String, now: Time) -> Self {
        Self { address, since: now, ..Self::default() }
    }

    /// Its name for people: the node, if it is known, and the address.
    pub fn named(&self) -> Named<'_, &str> {
        Named { node: self.node.as_deref(), address: &self.address }
    }

    /// A stream has begun. Whether it works is not known yet.
    pub(super) fn begin(&mut self, node: Option<String>, now: Time) {
        self.node = node;
        self.is_reached = Some(true);
        self.heard = Some(now);
        // Every stream begins eager, and its peer has yet to say how many transactions it will send.
        (self.lazy, self.behind) = (false, None);
        // The peer may have lost its journal since the last stream.
        self.vclock = None;
    }

    /// Forgets the last comparison, since this node has another document now.
    pub(super) fn forget_comparison(&mut self) {
        (self.agrees, self.divergence) = (None, None);
    }

    /// The stream that began at `begun` works.
    pub(super) fn works(&mut self, begun: Time) {
        if self.state != PeerState::Connected {
            (self.state, self.since) = (PeerState::Connected, begun);
            (self.error, self.failures, self.ahead_ms) = (None, 0, None);
        }
    }

    /// Something came at `time` or later, maybe only a part of a message.
    pub(super) fn hear_since(&mut self, time: Time) {
        self.heard = self.heard.max(Some(time));
    }

    /// A stream has failed, or a try to dial.
    pub(super) fn fail(&mut self, error: String, ahead_ms: Option<u64>, now: Time) {
        (self.lazy, self.behind) = (false, None);
        if self.state != PeerState::Waiting {
            (self.state, self.since) = (PeerState::Waiting, now);
        }
        self.failures += 1;
        (self.error, self.ahead_ms) = (Some(error), ahead_ms);
    }
}

/// Two state hashes that should be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// That of this node.
    pub here: String,
    /// That of the peer.
    pub there: String,
}

impl Divergence {
    /// The most likely cause, and what to do.
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
    fn the_end_of_a_stream_resets_its_laziness_and_backlog() {
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
