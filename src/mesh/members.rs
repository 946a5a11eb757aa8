//! The nodes of a mesh, as far as this node knows them by their reports.
//!
//! Each node makes [`Report`]s about itself and passes on those of others. The latest one of each node is
//! kept. A process numbers its reports by the wall clock, so that those of a later process have greater
//! numbers. Since the clocks of nodes differ, a report carries its age, which grows with the time that it
//! rests in a node.
//!
//! A peer can report anything about a third node, as it can about itself. But it can have no more kept than
//! [`MOST_NODES`] reports of bounded size, and keep no node longer than [`FORGOTTEN_AFTER`] after that node's
//! last report.
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

/// How many nodes are kept.
pub const MOST_NODES: usize = 256;

/// After this time without a report a node counts as silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(60);

/// After this time without a report a node is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// About how many bytes of reports go into one message: much less than a reader takes.
const MESSAGE_BYTES: usize = 64 << 10;

/// How often a node makes a report if nothing happens. In a mesh of many nodes less often, so that a link
/// carries about one report a second.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
const INTERVAL_A_NODE: Duration = Duration::from_secs(1);

/// The latest report of each node.
#[derive(Debug, Default)]
pub struct Members {
    /// The source of this node, once it is set.
    own: Option<Source>,
    /// The greatest number that this node has given to a report, or is said to have given.
    number: u64,
    members: BTreeMap<Source, KeptReport>,
    /// How many reports were kept in all.
    version: u64,
}

#[derive(Debug)]
struct KeptReport {
    number: u64,
    /// How old the report was when it came, and when it came.
    age: Duration,
    came: Instant,
    /// The version with which it was kept.
    version: u64,
    /// The process that passed it on. `None` for the reports of this node.
    from: Option<ProcessId>,
    report: Arc<Report>,
}

impl KeptReport {
    fn age(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.came)
    }

    /// Whether this reader has passed the report on itself. A node's own report is sent back to a later
    /// process of it, which then goes on from its number.
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
    /// How many reports were kept in all. A reader that knows one version lacks those of later ones.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How long after its last report this node makes another one, if nothing happens.
    pub fn interval(&self) -> Duration {
        let nodes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        INTERVAL_A_NODE.saturating_mul(nodes).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// Sets the source of this node, before it hears reports of an earlier process of it.
    pub fn begin(&mut self, node: Source) {
        self.own = Some(node);
    }

    /// Keeps a report of this node. `micros` is the time of its wall clock.
    pub fn tell(&mut self, report: Report, micros: u64, now: Instant) {
        self.forget(now);
        if let Some(before) = self.own.replace(report.node.clone())
            && before != report.node
        {
            // The node goes on under another life.
            self.members.remove(&before);
        }
        // An earlier process of this node may have made it, and this one has heard it before its own first
        // report.
        let known = self.members.get(&report.node).map_or(0, |member| member.number);
        let number = micros.max(self.number.max(known) + 1).min(MAX_SAFE_INTEGER);
        self.number = number;
        self.keep(ToldReport { number, told_ms: 0, report: Arc::new(report) }, None, now);
    }

    /// Takes in reports from a process of a peer. Returns whether one of them is news. `micros` is the time
    /// of the wall clock.
    pub fn hear(&mut self, reports: Reports, from: ProcessId, micros: u64, now: Instant) -> bool {
        let before = self.version;
        for told in reports.into_iter() {
            let node = &told.report.node;
            if Some(node) == self.own.as_ref() {
                // It is from an earlier process of this node, if the clock went back, or it is forged. The
                // numbers go on from there.
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

    /// Whether there is room for another node with a report of this age. If all places are taken, the node
    /// with the oldest report goes.
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

    /// Forgets old reports, and silent nodes of which there is another life.
    pub fn forget(&mut self, now: Instant) {
        let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
        // In containers many nodes listen at all addresses and have the same name, so these may be different
        // nodes.
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

    /// The next reports for a reader that was sent all up to `version`: as many as fit into one message, and
    /// the version up to which it then has all.
    pub fn since(
        &self,
        version: u64,
        reader: &GossipReader<'_>,
        now: Instant,
    ) -> (Vec<ToldReport>, u64) {
        let mut members: Vec<_> =
            self.members.values().filter(|member| member.version > version).collect();
        members.sort_unstable_by_key(|member| member.version);
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

    /// The nodes that a reader reads itself, by its own report: it hears of them directly. So in a mesh in
    /// which each node reads each other node, a report crosses a link once, and not once for each node.
    fn read_by(&self, reader: &GossipReader<'_>) -> Vec<&Source> {
        let member = reader.node.and_then(|node| self.members.get(node));
        let reads = member.into_iter().flat_map(|member| &member.report.reads);
        let reads = reads.filter(|read| read.state == PeerState::Connected);
        reads.filter_map(|read| read.node.as_ref()).collect()
    }

    /// The reports of all nodes but this one, in the order of their names.
    pub fn others(&mut self, now: Instant) -> Vec<ToldReport> {
        self.forget(now);
        let others = self.members.iter().filter(|(node, _)| self.own.as_ref() != Some(node));
        others.map(|(_, member)| member.told(now)).collect()
    }
}

/// A reader of reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct GossipReader<'a> {
    /// Its source.
    pub node: Option<&'a Source>,
    /// Its process.
    pub process: Option<ProcessId>,
}

#[cfg(test)]
mod tests;
