//! A node in this process, without its sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use patchmesh::internals::clock::VectorClock;
use patchmesh::internals::manager::{Handle, Manager, Outcome};
use patchmesh::internals::transaction::{Place, Transaction};

use crate::thread_log::logged;

pub struct Node {
    pub handle: Handle,
    manager: smol::Task<std::io::Result<()>>,
    /// What was logged when it was opened.
    pub log: Vec<String>,
}

/// What a node shows to others.
#[derive(PartialEq)]
pub struct State {
    pub length: u64,
    pub vclock: VectorClock,
    pub document: String,
    pub hash: String,
    /// Which are skipped, and why.
    pub skipped: BTreeMap<Place, String>,
}

/// In short: the hash is that of the document.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, vclock, hash, skipped, .. } = self;
        let vclock = serde_json::to_string(vclock).expect("a clock has a text");
        write!(f, "{length} transactions, {vclock}, {} skipped, {hash}", skipped.len())
    }
}

impl Node {
    /// Opens a directory, which must be good.
    pub fn start(path: &Path) -> Self {
        let (opened, log) = logged(|| Manager::open(path, "node", 5));
        let (manager, handle) = opened.expect("the directory is good");
        Self { log, ..Self::run(manager, handle) }
    }

    /// Begins to run one that is open.
    pub fn run(manager: Manager, handle: Handle) -> Self {
        Self { handle, manager: smol::spawn(manager.run()), log: Vec::new() }
    }

    pub fn stop(self) {
        drop(self.handle);
        smol::block_on(self.manager).expect("the journal can be closed");
    }

    /// Ends as kill does: no checkpoint is kept, nothing is given back.
    pub fn kill(self) {
        smol::block_on(self.manager.cancel());
    }

    /// From which position on the journal was read: 0 without a checkpoint.
    pub fn read_from(&self) -> u64 {
        let from = self
            .log
            .iter()
            .find_map(|line| line.split_once("read from ")?.1.strip_suffix(" on")?.parse().ok());
        from.unwrap_or_else(|| panic!("{:?}", self.log))
    }

    pub fn warnings(&self) -> Vec<&String> {
        self.log.iter().filter(|line| line.starts_with("WARN")).collect()
    }

    /// Submits transactions that must be accepted.
    pub fn submit(&self, transactions: Vec<Transaction>) {
        let outcomes = smol::block_on(self.handle.submit(transactions)).expect("it runs");
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(Outcome::Accepted(_))), "{outcome:?}");
        }
    }

    pub fn state(&self) -> State {
        smol::block_on(async {
            let handle = &self.handle;
            let state = handle.represented().await;
            let hash = state.representation().expect("it is represented").hash();
            let skipped = state.skipped(Some(0), usize::MAX).skipped;
            assert_eq!(state.counters().skipped, skipped.len() as u64, "all are listed");
            State {
                length: handle.journal().length(),
                vclock: (**state.vclock()).clone(),
                document: state.document().root().to_string(),
                hash: hash.to_string(),
                skipped: skipped
                    .into_iter()
                    .map(|(place, skip)| (place, skip.error.to_string()))
                    .collect(),
            }
        })
    }
}
