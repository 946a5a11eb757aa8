//! Whatever byte, line or file of a data directory becomes another one, at rest or while the node runs:
//! never a wrong document, never something acknowledged that is lost without a word, never a panic.
//!
//! The environment variable `PATCHMESH_SEEDS` says how many histories there are, and `PATCHMESH_SEED`
//! runs one of them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::DirectoryError;
use patchmesh::internals::manager::{Handle, Manager, Outcome, Submitted};
use patchmesh::internals::transaction::Transaction;

use crate::setting::{first_failing, seeds};
use crate::story::Story;
use crate::temporary::TemporaryDirectory;

const SEEDS: u64 = 30;

/// How many transactions there are before the first checkpoint, which takes 1000.
const OLD: u64 = 1100;

const BEGIN: u64 = 1_763_888_400_000_000;

fn transaction(source: &str, id: u64, micros: u64, value: u64) -> Transaction {
    let payload = format!(r#"[{{"op":"add","path":"/member{}","value":{value}}}]"#, value % 50);
    Transaction {
        source: source.parse().expect("a source"),
        id,
        payload: payload.into(),
        time: Time::from_micros(BEGIN + micros),
        by: None,
        request: None,
        commit: None,
    }
}

/// A node in this process, on a directory or in memory.
struct Node {
    handle: Handle,
    manager: smol::Task<std::io::Result<()>>,
}

impl Node {
    fn new((manager, handle): (Manager, Handle)) -> Self {
        Self { handle, manager: smol::spawn(manager.run()) }
    }

    fn open(path: &Path) -> Result<Self, DirectoryError> {
        Manager::open(path, "node", 5).map(Self::new)
    }

    fn stop(self) {
        drop(self.handle);
        // What cannot be written any more ends it with an error.
        smol::block_on(self.manager).ok();
    }

    fn submit(&self, transactions: Vec<Transaction>) -> Vec<Submitted> {
        smol::block_on(self.handle.submit(transactions)).expect("it runs")
    }

    fn document(&self) -> String {
        self.handle.state().document().root().to_string()
    }

    fn length(&self) -> u64 {
        self.handle.journal().length()
    }
}

/// A node that has what was acknowledged, in memory.
fn model(acknowledged: &[Transaction]) -> Node {
    let node = Node::new(Manager::in_memory("model~1".parse().expect("a source")));
    for some in acknowledged.chunks(500) {
        node.submit(some.to_vec());
    }
    node
}

/// Changes something of a file; says what.
fn tamper(path: &Path, random: &mut Rng) -> String {
    let bytes = fs::read(path).expect("it is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    let put = |bytes: &[u8], at: usize| file.write_all_at(bytes, at as u64).expect("it is ours");
    let lines: Vec<usize> =
        memchr::memchr_iter(b'\n', &bytes[..end]).map(|feed| feed + 1).collect();
    let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
    match random.u8(..6) {
        0 | 1 => {
            let at = random.usize(..end);
            put(&[bytes[at] ^ (1 << random.u8(..8))], at);
            format!("{name}: a bit of the byte at {at} of {end}")
        }
        2 => {
            let at = lines[random.usize(..lines.len())] - 1;
            put(b"\x0b", at);
            format!("{name}: the line feed at {at} of {end}")
        }
        3 => {
            let at = random.usize(..end);
            let length = random.usize(1..2000).min(end - at);
            let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            put(&noise, at);
            format!("{name}: {length} bytes at {at} of {end}")
        }
        4 => {
            let at = random.usize(..end);
            file.set_len(at as u64).expect("it is ours");
            format!("{name}: cut off at {at} of {end}")
        }
        _ => {
            let line = random.usize(..lines.len());
            let begin = if line == 0 { 0 } else { lines[line - 1] };
            let mut rest = bytes[lines[line]..end].to_vec();
            rest.resize(bytes.len() - begin, 0);
            put(&rest, begin);
            format!("{name}: line {line} of {} is gone", lines.len())
        }
    }
}

struct Run {
    directory: TemporaryDirectory,
    random: Rng,
    /// What was acknowledged, in this order.
    acknowledged: Vec<Transaction>,
    next_late: u64,
    story: Story,
}

impl Run {
    fn new(seed: u64) -> Self {
        let directory = TemporaryDirectory::new("tampering");
        let random = Rng::with_seed(seed);
        Self { directory, random, acknowledged: Vec::new(), next_late: 1, story: Story::new(seed) }
    }

    fn submit(&mut self, node: &Node, transactions: Vec<Transaction>) {
        let answers = node.submit(transactions.clone());
        for (answer, mut transaction) in answers.into_iter().zip(transactions) {
            match answer {
                Ok(Outcome::Accepted(record)) => {
                    transaction.time = Some(record.place.time);
                    self.acknowledged.push(transaction);
                }
                Err(error) => self.story.push(format!("unkept: {error}")),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Writes at the end, and some that belong far back.
    fn write(&mut self, node: &Node) {
        for _ in 0..self.random.u64(1..6) {
            let length = self.acknowledged.len() as u64;
            if self.random.bool() {
                let time = self.random.u64(..OLD * 10);
                let late = transaction("late~1", self.next_late, time, self.random.u64(..1000));
                let before = self.acknowledged.len();
                self.submit(node, vec![late]);
                // One that is not accepted comes again, and nothing of its source before it does.
                self.next_late += (self.acknowledged.len() - before) as u64;
            } else {
                let fresh = transaction("fresh~1", 0, 0, self.random.u64(..1000));
                let id = length + 1_000_000;
                self.submit(
                    node,
                    vec![Transaction { id, time: Time::from_micros(BEGIN + 10 * id), ..fresh }],
                );
            }
            self.check(node);
        }
    }

    /// The node has what was acknowledged, and the document that follows from it.
    fn check(&mut self, node: &Node) {
        assert_eq!(node.length(), self.acknowledged.len() as u64);
        let model = model(&self.acknowledged);
        assert_eq!(node.document(), model.document());
        // What readers get is right, or an error.
        let from = self.random.u64(..self.acknowledged.len() as u64);
        if let Ok(records) = node.handle.journal().read_blocking(from, 50, usize::MAX) {
            let expected = self.acknowledged[from as usize..].iter().take(records.len());
            let ids = expected.map(|transaction| transaction.id);
            assert!(records.iter().map(|record| record.place.id).eq(ids));
        }
        model.stop();
    }

    fn prepare(&mut self) {
        let node = Node::open(&self.directory.0).expect("it is new");
        let old = (1..=OLD).map(|id| transaction("old~1", id, 10 * id, id)).collect::<Vec<_>>();
        let mut old = &old[..];
        while !old.is_empty() {
            let (batch, rest) = old.split_at(self.random.usize(1..200).min(old.len()));
            self.submit(&node, batch.to_vec());
            old = rest;
        }
        node.stop();
    }

    fn at_rest(&mut self) {
        self.prepare();
        // Nothing at the end that no checkpoint proves.
        let entries = fs::read_dir(&self.directory.0).expect("it is there");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("it is there").path()).collect();
        paths.sort();
        paths.retain(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0));
        let path = paths[self.random.usize(..paths.len())].clone();
        let what = if self.random.u8(..8) == 0 {
            fs::remove_file(&path).expect("it is there");
            format!("{} is gone", path.display())
        } else {
            tamper(&path, &mut self.random)
        };
        self.story.push(what);
        match Node::open(&self.directory.0) {
            Ok(node) => {
                self.check(&node);
                self.write(&node);
                node.stop();
            }
            Err(error) => self.story.push(error.to_string()),
        }
    }

    fn while_running(&mut self) {
        self.prepare();
        let node = Node::open(&self.directory.0).expect("it is good");
        self.write(&node);
        for _ in 0..self.random.usize(1..3) {
            let what = tamper(&self.directory.0.join("journal"), &mut self.random);
            self.story.push(what);
            self.write(&node);
        }
        node.stop();
        if let Ok(node) = Node::open(&self.directory.0) {
            self.check(&node);
            node.stop();
        }
    }
}

fn run(part: fn(&mut Run)) {
    assert_eq!(first_failing(&seeds(SEEDS), |seed| part(&mut Run::new(seed))), None, "seed");
}

#[test]
fn at_rest_damage_stops_the_start_or_does_no_harm() {
    run(Run::at_rest);
}

#[test]
fn while_the_node_runs_damage_is_never_served() {
    run(Run::while_running);
}
