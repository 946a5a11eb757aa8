//! What the nodes of a mesh tell of themselves, as far as it is known here.
//!
//! Each node tells how it is in a [`Report`], and passes on what others tell. Of each node the latest report is kept:
//! a process gives its reports numbers that grow, by the wall clock, so that those of a new process are later ones. How
//! old a report is travels with it, and grows while it rests somewhere, since the clocks of nodes differ.
//!
//! A peer can say of a third node what it likes, as it can of itself. What it cannot do is have more kept than
//! [`MOST_NODES`] reports of bounded size, or keep a node for longer than [`FORGOTTEN_AFTER`] after that has told
//! something last.
//!
//! Pure: no I/O, and time is an argument.

mod report;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::MAX_SAFE_INTEGER;
use crate::mesh::tree::ProcessId;
use crate::mesh::upstream::PeerState;
use crate::replica::MAX_AHEAD_MICROS;
use crate::source::Source;

pub use report::{
    MOST_READS, Report, ReportedPeer, Reports, ToldReport, told_address, told_number,
};

/// Of how many nodes the report is kept.
pub const MOST_NODES: usize = 256;

/// A node that has told nothing for so long is taken to be silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(60);

/// What a node told so long ago is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// About how many bytes of reports go into one message: much less than a reader takes.
const MESSAGE_BYTES: usize = 64 << 10;

/// How often a node tells how it is, if nothing happens: in a mesh of many nodes less often, so that what a link
/// carries of this stays about a report a second.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
const INTERVAL_A_NODE: Duration = Duration::from_secs(1);

/// The latest report of each node.
#[derive(Debug, Default)]
pub struct Members {
    /// The node that keeps them, if it has said who it is.
    own: Option<Source>,
    /// The greatest number that it has given to a report, or is said to have given.
    number: u64,
    members: BTreeMap<Source, KeptReport>,
    /// How many reports were kept in all.
    version: u64,
}

#[derive(Debug)]
struct KeptReport {
    number: u64,
    /// How old the report was when it came, and when that was.
    age: Duration,
    came: Instant,
    /// What the version was when it came.
    version: u64,
    /// Who passed it on; none for the node's own.
    from: Option<ProcessId>,
    report: Arc<Report>,
}

impl KeptReport {
    fn age(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.came)
    }

    /// Whether a reader has passed it on itself. Its own from before it began again it is told: to go on from there.
    fn is_from(&self, reader: Option<ProcessId>) -> bool {
        let number = |process: ProcessId| process.number;
        self.from.is_some() && self.from.map(number) == reader.map(number)
    }

    fn told(&self, now: Instant) -> ToldReport {
        let told_ms = self.age(now).as_millis() as u64;
        ToldReport { number: self.number, told_ms, report: self.report.clone() }
    }
}

impl Members {
    /// How many reports were kept in all: who has seen those of one version lacks the later ones.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How long after its last report the node tells how it is, if nothing happens.
    pub fn interval(&self) -> Duration {
        let nodes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        INTERVAL_A_NODE.saturating_mul(nodes).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// This node says who it is, before it hears what others know of a process before this one.
    pub fn begin(&mut self, node: Source) {
        self.own = Some(node);
    }

    /// This node tells how it is; `micros` is what its wall clock says.
    pub fn tell(&mut self, report: Report, micros: u64, now: Instant) {
        self.forget(now);
        if let Some(before) = self.own.replace(report.node.clone())
            && before != report.node
        {
            // It goes on as another life.
            self.members.remove(&before);
        }
        // Maybe of a process before this one, of which it heard before it told anything itself.
        let known = self.members.get(&report.node).map_or(0, |member| member.number);
        let number = micros.max(self.number.max(known) + 1).min(MAX_SAFE_INTEGER);
        self.number = number;
        self.keep(ToldReport { number, told_ms: 0, report: Arc::new(report) }, None, now);
    }

    /// A peer's process passes reports on. Says whether one of them is news; `micros` is what the wall clock says.
    pub fn hear(&mut self, reports: Reports, from: ProcessId, micros: u64, now: Instant) -> bool {
        let before = self.version;
        for told in reports.into_iter() {
            let node = &told.report.node;
            if Some(node) == self.own.as_ref() {
                // A process before this one, if the clock went back, or somebody who pretends: this one goes on from there.
                self.number = self.number.max(told.number);
                continue;
            }
            // A number from the future would keep later reports out.
            let is_early = told.number > micros.saturating_add(MAX_AHEAD_MICROS);
            if is_early || told.age() >= FORGOTTEN_AFTER {
                continue;
            }
            let is_news = match self.members.get(node) {
                Some(member) => member.number < told.number,
                None => self.has_room(told.age(), now),
            };
            if is_news {
                self.keep(told, Some(from), now);
            }
        }
        self.version > before
    }

    /// Whether there is room for another node, of which the report is so old: that which was told longest ago
    /// goes for it.
    fn has_room(&mut self, age: Duration, now: Instant) -> bool {
        if self.members.len() < MOST_NODES {
            return true;
        }
        let others = self.members.iter().filter(|(node, _)| self.own.as_ref() != Some(node));
        let oldest = others.max_by_key(|(_, member)| member.age(now));
        let Some((node, _)) = oldest.filter(|(_, member)| member.age(now) > age) else {
            return false;
        };
        let node = node.clone();
        self.members.remove(&node);
        true
    }

    fn keep(&mut self, told: ToldReport, from: Option<ProcessId>, now: Instant) {
        self.version += 1;
        let (version, age) = (self.version, told.age());
        let ToldReport { number, report, .. } = told;
        let node = report.node.clone();
        self.members.insert(node, KeptReport { number, age, came: now, version, from, report });
    }

    /// Forgets what was told long ago, and a silent node if another life of it is there.
    pub fn forget(&mut self, now: Instant) {
        let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
        // Many listen at all addresses, in containers, and have one name: these may be nodes of their own.
        let is_everywhere = |address: &str| {
            address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified())
        };
        let place = |Report { node, address, .. }: &Report| {
            let name = node.life_name().filter(|_| !is_everywhere(address));
            (name.unwrap_or(node.as_str()).to_owned(), address.clone())
        };
        for KeptReport { number, report, .. } in self.members.values() {
            let greatest = last.entry(place(report)).or_default();
            *greatest = (*greatest).max(*number);
        }
        let own = self.own.as_ref();
        self.members.retain(|node, member| {
            let age = member.age(now);
            let is_last = last.get(&place(&member.report)) == Some(&member.number);
            own == Some(node) || age < if is_last { FORGOTTEN_AFTER } else { SILENT_AFTER }
        });
    }

    /// What a reader is to be told next, if it was told all up to `version`: what goes into one message, and up to
    /// which version it was told all then. Nothing if it knows the rest.
    pub fn since(
        &self,
        version: u64,
        reader: &GossipReader<'_>,
        now: Instant,
    ) -> (Vec<ToldReport>, u64) {
        let mut members: Vec<_> =
            self.members.values().filter(|member| member.version > version).collect();
        members.sort_by_key(|member| member.version);
        let read = if version == 0 { Vec::new() } else { self.read_by(reader) };
        let (mut told, mut bytes) = (Vec::new(), 0);
        for member in members {
            let is_told = member.from.is_some() && read.contains(&&member.report.node);
            if is_told || member.is_from(reader.process) || member.age(now) >= FORGOTTEN_AFTER {
                continue;
            }
            if bytes >= MESSAGE_BYTES {
                return (told, member.version - 1);
            }
            bytes += member.report.most_bytes();
            told.push(member.told(now));
        }
        (told, self.version)
    }

    /// The nodes that a reader reads itself, as far as it has told: it hears of them from them. So in a mesh in which
    /// each node reads each other one a report crosses a link once, and not once for each node.
    fn read_by(&self, reader: &GossipReader<'_>) -> Vec<&Source> {
        let member = reader.node.and_then(|node| self.members.get(node));
        let reads = member.into_iter().flat_map(|member| &member.report.reads);
        let reads = reads.filter(|read| read.state == PeerState::Connected);
        reads.filter_map(|read| read.node.as_ref()).collect()
    }

    /// What all nodes but this one have told, by their names.
    pub fn others(&mut self, now: Instant) -> Vec<ToldReport> {
        self.forget(now);
        let others = self.members.iter().filter(|(node, _)| self.own.as_ref() != Some(node));
        others.map(|(_, member)| member.told(now)).collect()
    }
}

/// Who is to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct GossipReader<'a> {
    /// Its source.
    pub node: Option<&'a Source>,
    /// Its process.
    pub process: Option<ProcessId>,
}

#[cfg(test)]
mod tests;
