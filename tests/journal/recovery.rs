//! A node that starts again is the node that it was: clock, document, skipped transactions and state
//! hash, with checkpoints and without, whatever came late and however it ended; and its own Ids and
//! times go on after the old ones.
//!
//! What it should be is worked out anew from the definition: the patches of all transactions applied
//! in the order of their places. `PATCHMESH_SEEDS=1000` runs as many seeds, `PATCHMESH_SEED=7` that one.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use patchmesh::internals::clock::{Time, VectorClock};
use patchmesh::internals::journal::Directory;
use patchmesh::internals::maintenance::verify;
use patchmesh::internals::manager::Outcome;
use patchmesh::internals::patch::{Document, parse};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Transaction};

use crate::node::{Node, State};
use crate::setting::{first_failing, seeds};
use crate::story::Story;
use crate::temporary::TemporaryDirectory;

/// How many seeds are run unless the environment says otherwise.
const SEEDS: u64 = 8;

/// How often the node of one seed starts.
const STARTS: usize = 7;

/// How many transactions make a node keep a checkpoint when it stops.
const WORTHWHILE: usize = 1000;

/// How many make it keep one while it runs.
const SPACING: usize = 1 << 16;

/// When the first transaction of the peers was made.
const BEGIN: u64 = 1_700_000_000_000_000;

/// What a node should be that has these transactions.
fn expected(transactions: &BTreeMap<Place, Box<str>>) -> State {
    let (mut document, mut vclock) = (Document::default(), VectorClock::default());
    let mut skipped = BTreeMap::new();
    for (place, payload) in transactions {
        vclock.advance(&place.source, place.id);
        if let Err(error) = parse(payload).and_then(|patch| document.apply(patch)) {
            skipped.insert(place.clone(), error.to_string());
        }
    }
    let root = document.root();
    State {
        length: transactions.len() as u64,
        vclock,
        document: root.to_string(),
        hash: root.digest().hash().to_string(),
        skipped,
    }
}

/// The history of one seed.
struct Run {
    random: Rng,
    directory: TemporaryDirectory,
    transactions: BTreeMap<Place, Box<str>>,
    /// How many transactions each peer has made.
    made: [u64; 4],
    /// How many instants have passed.
    now: u64,
    story: Story,
    /// How many starts were from a checkpoint.
    with_checkpoint: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            directory: TemporaryDirectory::new(&format!("recovery-{seed}")),
            transactions: BTreeMap::new(),
            made: [0; 4],
            now: 5000,
            story: Story::new(seed),
            with_checkpoint: 0,
        }
    }

    fn all(&mut self) {
        for start in 0..STARTS {
            let node = Node::start(&self.directory.0);
            self.story.push(format!("start {start}: {:?}", node.log));
            self.with_checkpoint += usize::from(node.read_from() > 0);
            self.check(&node, "after a start");
            if start > 0 {
                self.create(&node);
            }
            let count = match self.random.u8(..4) {
                0 => self.random.usize(..300),
                _ => WORTHWHILE + self.random.usize(..300),
            };
            self.story.push(format!("{count} transactions"));
            self.submit(&node, count);
            self.create(&node);
            self.check(&node, "at the end");
            if self.random.u8(..4) > 0 {
                node.stop();
                self.story.push("stopped".into());
            } else {
                node.kill();
                self.story.push("killed".into());
            }
            self.tamper();
        }
        let node = Node::start(&self.directory.0);
        self.check(&node, "at the last start");
        node.kill();
    }

    fn check(&mut self, node: &Node, when: &str) {
        assert_eq!(node.state(), expected(&self.transactions), "{when}");
    }

    /// Creates some of the node's own transactions: they are after all others.
    fn create(&mut self, node: &Node) {
        if self.random.u8(..4) == 0 {
            self.submit_ahead(node);
        }
        let source = node.handle.source();
        let mut last_id = self
            .transactions
            .keys()
            .filter(|place| place.source == source)
            .map(|place| place.id)
            .max();
        for _ in 0..self.random.usize(..6) {
            let payload = self.payload();
            let made = smol::block_on(node.handle.create(&payload, None)).expect("it runs");
            let Ok(Outcome::Accepted(record)) = made else { continue };
            let place = record.place;
            assert!(Some(place.id) > last_id, "{place:?} is not after {last_id:?}");
            let end = self.transactions.last_key_value().map(|(end, _)| end);
            assert!(Some(&place) > end, "{place:?} is not after {end:?}");
            last_id = Some(place.id);
            self.transactions.insert(place, payload);
        }
    }

    /// A peer whose clock is ahead: what this node makes from then on is after that.
    fn submit_ahead(&mut self, node: &Node) {
        const HALF_AN_HOUR: u64 = 1_800_000_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_micros();
        let id = self.transactions.len() as u64 + 1;
        let transaction = Transaction {
            time: Time::from_micros(now as u64 + HALF_AN_HOUR),
            ..Transaction::fresh("ahead~1".parse().expect("a source"), id, self.payload())
        };
        self.take(node, vec![transaction]);
    }

    fn submit(&mut self, node: &Node, mut count: usize) {
        while count > 0 {
            let batch = count.min(self.random.usize(1..120));
            count -= batch;
            // A peer that was cut off sends what it made in the meantime, which is late.
            let (peer, lag) = match self.random.u8(..40) {
                0 => (0, self.random.u64(..3000)),
                1..8 => (1, self.random.u64(..60)),
                8..20 => (2, 1),
                _ => (3, 0),
            };
            let mut transactions = Vec::with_capacity(batch);
            for step in 0..batch {
                if lag < 2 {
                    self.now += 1;
                }
                self.made[peer] += 1;
                transactions.push(Transaction {
                    time: Time::from_micros(BEGIN + 1000 * (self.now - lag) + step as u64),
                    ..Transaction::fresh(
                        format!("peer{peer}~1").parse().expect("a source"),
                        self.made[peer],
                        self.payload(),
                    )
                });
            }
            self.take(node, transactions);
        }
    }

    fn take(&mut self, node: &Node, transactions: Vec<Transaction>) {
        let submitted = smol::block_on(node.handle.submit(transactions.clone()));
        for (transaction, outcome) in transactions.into_iter().zip(submitted.expect("it runs")) {
            assert!(matches!(outcome, Ok(Outcome::Accepted(_))), "{outcome:?}");
            let place = transaction.place().expect("it has a time");
            self.transactions.insert(place, transaction.payload);
        }
    }

    /// A small document that many patches do not apply to.
    fn payload(&mut self) -> Box<str> {
        let (key, value) = (self.random.u8(..6), self.random.u16(..));
        let text = match self.random.u8(..8) {
            0 | 1 => format!(r#"[{{"op":"add","path":"/{key}","value":{value}}}]"#),
            2 => format!(r#"[{{"op":"add","path":"/{key}","value":[{value}]}}]"#),
            3 => format!(r#"[{{"op":"add","path":"/{key}/-","value":{value}}}]"#),
            4 => format!(r#"[{{"op":"remove","path":"/{key}"}}]"#),
            5 => format!(r#"[{{"op":"move","from":"/{key}","path":"/{}"}}]"#, value % 6),
            6 => format!(r#"[{{"op":"copy","from":"/{key}","path":"/{}"}}]"#, value % 6),
            _ => format!(
                r#"[{{"op":"replace","path":"/{key}","value":{{"v":{value}}}}},{{"op":"test","path":"/{}","value":1}}]"#,
                value % 6
            ),
        };
        text.into()
    }

    /// Does to the checkpoints what time and people may do to them.
    fn tamper(&mut self) {
        let directory = Directory::open(&self.directory.0, false).expect("nobody uses it");
        let paths = directory.checkpoint_paths();
        let what = self.random.u8(..8);
        match (what, paths.last()) {
            (0, _) => paths.iter().for_each(|path| fs::remove_file(path).expect("it is there")),
            (1, Some(last)) => fs::remove_file(last).expect("it is there"),
            (2, Some(last)) => {
                let mut text = fs::read(last).expect("it is there");
                let at = self.random.usize(..text.len());
                text[at] ^= 1;
                fs::write(last, text).expect("it can be written");
            }
            _ => (),
        }
        self.story.push(format!("{} checkpoints, done {what} to them", paths.len()));
    }
}

#[test]
fn a_node_that_starts_again_is_what_it_was() {
    let with_checkpoint = AtomicUsize::new(0);
    let seeds = seeds(SEEDS);
    let failed = first_failing(&seeds, |seed| {
        let mut run = Run::new(seed);
        run.all();
        with_checkpoint.fetch_add(run.with_checkpoint, Ordering::Relaxed);
    });
    assert_eq!(failed, None, "seed");
    let with_checkpoint = with_checkpoint.into_inner();
    println!("{with_checkpoint} starts from a checkpoint");
    assert!(with_checkpoint > 0 || seeds.end - seeds.start < SEEDS);
}

/// Many transactions: more than are in memory, so that what is late is put in from the journal, and so
/// many that a checkpoint is kept while the node runs.
#[test]
fn a_node_with_a_long_journal_starts_again_as_what_it_was() {
    let directory = TemporaryDirectory::new("recovery-long");
    let mut run = Run { directory, ..Run::new(u64::MAX) };
    let node = Node::start(&run.directory.0);
    let mut count = 0;
    while count < SPACING + 1000 {
        let transactions: Vec<Transaction> = (0..1000)
            .map(|_| {
                run.now += 1;
                run.made[3] += 1;
                let key = run.random.u16(..300);
                let payload = match run.random.u8(..4) {
                    0 => format!(r#"[{{"op":"replace","path":"/{key}","value":{}}}]"#, run.now),
                    _ => format!(r#"[{{"op":"add","path":"/{key}","value":{}}}]"#, run.now),
                };
                Transaction {
                    time: Time::from_micros(BEGIN + 1000 * run.now),
                    ..Transaction::fresh("peer3~1".parse().expect("a source"), run.made[3], payload)
                }
            })
            .collect();
        count += transactions.len();
        run.take(&node, transactions);
    }
    let late = |id, before| Transaction {
        time: Time::from_micros(BEGIN + 1000 * (5000 + SPACING as u64 - before) + 1),
        ..Transaction::fresh(
            "late~1".parse().expect("a source"),
            id,
            format!(r#"[{{"op":"remove","path":"/{}"}}]"#, id % 300),
        )
    };
    // Within what is in memory, and before that.
    run.take(&node, vec![late(1, 20_000)]);
    run.take(&node, vec![late(2, 60_000), late(3, 40_000)]);
    run.check(&node, "at the end");
    // It was written by another thread, which may take a while.
    let kept = || {
        fs::read_dir(&run.directory.0)
            .expect("it is there")
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .any(|name| name.starts_with("checkpoint-") && !name.ends_with(".new"))
    };
    while !kept() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    node.kill();

    // The checkpoint was made before the late ones came.
    let node = Node::start(&run.directory.0);
    run.check(&node, "after a start with an old checkpoint");
    run.submit(&node, WORTHWHILE);
    run.create(&node);
    node.stop();

    let node = Node::start(&run.directory.0);
    assert!(node.read_from() > 0, "{:?}", node.log);
    run.check(&node, "after a start from a checkpoint");
    run.take(&node, vec![late(4, 65_500), late(5, 1)]);
    run.check(&node, "after late ones");
    node.kill();
}

/// Others come between all that is there: a checkpoint then stands at a place of the history before which
/// nothing of the journal can be left out.
#[test]
fn verify_finds_a_checkpoint_good_that_needs_all_of_the_journal() {
    let directory = TemporaryDirectory::new("recovery-between");
    let mut run = Run { directory, ..Run::new(u64::MAX) };
    let node = Node::start(&run.directory.0);
    for source in ["a~1", "b~1"] {
        let source: Source = source.parse().expect("a source");
        let transactions = (1..=WORTHWHILE as u64).map(|id| Transaction {
            time: Time::from_micros(BEGIN + id),
            ..Transaction::fresh(source.clone(), id, r#"[{"op":"add","path":"/a","value":1}]"#)
        });
        run.take(&node, transactions.collect());
    }
    node.stop();
    let mut report = Vec::new();
    verify(&run.directory.0, &mut report).expect("all is well");
    let report = String::from_utf8(report).expect("a text");
    assert!(report.contains("good, reads the journal from 0 on"), "{report}");
}
