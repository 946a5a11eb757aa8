//! Makes this node's reports about itself, and has them and those of other nodes sent to its readers.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;

use crate::clock::Time;
use crate::manager::{Handle, wall_clock};
use crate::mesh::downstream::Downstreams;
use crate::mesh::members::{
    MOST_READS, Report, ReportedPeer, ToldReport, told_address, told_number,
};
use crate::mesh::roster::Roster;
use crate::mesh::upstream::{Peers, UpstreamStatus};
use crate::shutdown::closed;

/// Events within this time share one report, so that no peer can make this node report without end.
const PACE: Duration = Duration::from_millis(200);

/// The sources of a report.
pub struct Gossip {
    handle: Handle,
    peers: Arc<Peers>,
    downstreams: Arc<Downstreams>,
    /// The address at which the node listens.
    address: String,
}

/// The report that was made last.
struct LastReport {
    at: Instant,
    gist: u64,
}

impl Gossip {
    /// The gossip of a node that listens at `address`.
    pub fn new(
        handle: Handle,
        peers: Arc<Peers>,
        downstreams: Arc<Downstreams>,
        address: &str,
    ) -> Self {
        downstreams.neighbours.roster.begin(handle.source());
        Self { handle, peers, downstreams, address: told_address(address) }
    }

    /// A report about this node as it is now.
    pub async fn report(&self) -> Report {
        let hash = self.handle.state_hash().await;
        let (node, state, now) = (self.handle.source(), self.handle.last_state(), wall_clock());
        let commit = state.last_commit();
        let epoch = commit.as_ref().and_then(|commit| commit.name.source.epoch());
        let mut reads = Vec::new();
        self.peers.each(|peer| {
            if reads.len() < MOST_READS {
                reads.push(read(peer, now));
            }
        });
        Report {
            address: self.address.clone(),
            length: state.length(),
            committed: commit.as_ref().map(|_| state.committed_length()),
            primary: epoch.is_some_and(|epoch| epoch.life == node.as_str()),
            hash,
            viewers: self.downstreams.viewers(),
            reads,
            node,
        }
    }

    /// The reports of all other nodes, in the order of their names.
    pub fn others(&self) -> Vec<ToldReport> {
        self.roster().others()
    }

    /// Reports, and passes on reports of others, until `shutdown` closes.
    pub async fn run(&self, shutdown: Receiver<Infallible>) {
        self.go_on().or(closed(&shutdown)).await;
    }

    async fn go_on(&self) {
        let mut last: Option<LastReport> = None;
        let mut begin = Instant::now();
        loop {
            let due = async {
                match &last {
                    Some(last) => Timer::at(last.at + self.roster().interval()).await,
                    None => std::future::pending().await,
                };
            };
            self.roster().is_stirred().or(due).await;
            if let Some(rest) = PACE.checked_sub(begin.elapsed()) {
                Timer::after(rest).await;
            }
            begin = Instant::now();
            // Without readers the report would be made for nothing.
            if self.roster().readers() > 0 {
                self.tell(&mut last).await;
                self.roster().wake();
            } else {
                last = None;
            }
        }
    }

    /// Makes a report if the last one is old, or if something has happened since.
    async fn tell(&self, last: &mut Option<LastReport>) {
        let gist = self.gist();
        let is_told =
            |last: &LastReport| last.gist == gist && last.at.elapsed() < self.roster().interval();
        if last.as_ref().is_some_and(is_told) {
            return;
        }
        self.roster().tell(self.report().await);
        *last = Some(LastReport { at: Instant::now(), gist });
    }

    /// A hash of what must be reported soon if it changes.
    fn gist(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.peers.each(|peer| (&peer.address, peer.gist()).hash(&mut hasher));
        hasher.finish()
    }

    fn roster(&self) -> &Roster {
        &self.downstreams.neighbours.roster
    }
}

/// What a report says about a peer.
fn read(peer: &UpstreamStatus, now: Time) -> ReportedPeer {
    let ms_since = |time: Time| now.micros_after(time) / 1000;
    ReportedPeer {
        address: told_address(&peer.address),
        node: peer.node.as_ref().and_then(|node| node.parse().ok()),
        state: peer.state,
        since_ms: ms_since(peer.since),
        heard_ms: peer.heard.map(ms_since),
        lazy: peer.lazy,
        behind: peer.behind.map(told_number),
        delay_ms: peer.delay_ms,
        agrees: peer.agrees,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::members::Reports;

    #[test]
    fn others_accept_a_report_whatever_a_peer_has_said() {
        let mut peer = UpstreamStatus::new("a\t:1".into(), Time::default());
        peer.node = Some("peer~00000000".into());
        (peer.behind, peer.delay_ms, peer.heard) = (Some(u64::MAX), Some(0), Some(Time::MAX));
        let reads = vec![read(&peer, Time::MAX)];
        let report = Report {
            node: "own~00000000".parse().unwrap(),
            address: "own:1".into(),
            length: 0,
            committed: None,
            primary: false,
            hash: None,
            viewers: 0,
            reads,
        };
        let told = ToldReport { number: 1, told_ms: 0, report: Arc::new(report) };
        let text = serde_json::to_string(&Reports::new(vec![told])).unwrap();
        assert!(serde_json::from_str::<Reports>(&text).is_ok(), "{text}");
    }
}
