//! Two replicas that have the same transactions have the same document, names and clock, in whatever order
//! and batches they came, whatever could not be kept and however often they were loaded again; and the document
//! is the one that its definition says.
//!
//! The input chooses which node does what, and the patches.

#![no_main]

#[path = "../../tests/patch/naive.rs"]
mod naive;
#[path = "../../tests/patch/random.rs"]
mod random;

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::clock::Time;
use patchmesh::internals::replica::{Bounds, Life, Outcome, Replica, Saved};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Transaction};
use patchmesh_fuzz::Bytes;
use serde_json::{Value, json};

use random::{Choices, Random};

const NOW: u64 = 1_000_000;

/// Who stamps besides the two: one that both hear in different orders each. The last one by its own Ids.
const STAMPERS: [&str; 3] = ["c~00000000^s", "d~00000000^s", "d~00000000"];

/// Whose transactions are stamped for them, and come from several sides.
const AUTHORS: [&str; 3] = ["x", "y", "client~00000000"];

/// An input that makes more takes long, and shows nothing new.
const MOST_TRANSACTIONS: usize = 120;
const MOST_WEIGHT: u64 = 20_000;

impl Choices for Bytes<'_> {
    fn below(&mut self, end: usize) -> usize {
        Bytes::below(self, end)
    }
}

fn source(text: &str) -> Source {
    text.parse().expect("a source")
}

fn time(micros: u64) -> Time {
    Time::from_micros(micros).expect("below 2^53")
}

struct Node {
    replica: Replica,
    life: Life,
    bounds: Bounds,
    journal: Vec<Transaction>,
    saved: Option<Saved>,
    /// The next Id of its own.
    next_id: u64,
    /// How much it has heard of each stamper, and of the other node's journal.
    heard: [usize; STAMPERS.len() + 1],
    /// What it takes in at once.
    inbox: Vec<Vec<Transaction>>,
}

impl Node {
    fn new(name: &str, choices: &mut Bytes) -> Self {
        let bounds = Bounds {
            recent_transactions: 1 + choices.below(8),
            recent_bytes: 1 << (6 + choices.below(8)),
            checkpoints: choices.below(4),
            checkpoint_bytes: 1 << (6 + choices.below(8)),
            checkpoint_spacing: 1 + choices.below(6) as u64,
            skipped_listed: 1000,
        };
        let life = Life::new(source(name)).expect("a life");
        Self {
            replica: Replica::new(life.clone(), bounds),
            life,
            bounds,
            journal: Vec::new(),
            saved: None,
            next_id: 1,
            heard: [0; _],
            inbox: Vec::new(),
        }
    }

    /// Takes in what is in the inbox; maybe the journal does not keep it.
    fn accept(&mut self, is_kept: bool) {
        let submissions = std::mem::take(&mut self.inbox);
        let before = self.replica.clone();
        let acceptance = self.replica.accept(submissions, time(NOW), &self.journal);
        let acceptance = acceptance.expect("a journal in memory can be read");
        for outcome in acceptance.outcomes.iter().flatten() {
            assert!(!matches!(outcome, Outcome::Early { .. }), "no time is far ahead");
        }
        if is_kept {
            let records = acceptance.records.iter();
            self.journal.extend(records.map(|record| record.transaction().expect("it was made")));
        } else {
            self.replica = before;
        }
        assert_eq!(self.replica.history().length(), self.journal.len() as u64);
    }

    /// Is loaded as it was saved, or made again from the journal.
    fn restart(&mut self, choices: &mut Bytes) {
        let before = (self.text(), self.replica.vclock().clone());
        let saved = self.saved.clone().filter(|_| choices.below(4) > 0);
        let mut resume = None;
        let mut at = 0;
        self.replica = Replica::new(self.life.clone(), self.bounds);
        if let Some(saved) = saved {
            let life = self.life.clone();
            let loaded =
                Replica::load(life, &saved.summary, &saved.document.root().to_text(), self.bounds);
            let (replica, from) = loaded.expect("what was saved can be loaded");
            at = usize::try_from(from.position).expect("it is in memory");
            (self.replica, resume) = (replica, Some(from));
        }
        while at < self.journal.len() {
            let past = self.journal[..at].to_vec();
            let count = (1 + choices.below(16)).min(self.journal.len() - at);
            let stretch = self.journal[at..at + count].to_vec();
            let recovered = self.replica.recover(at as u64, stretch, &mut resume, time(NOW), &past);
            recovered.expect("a journal in memory can be read");
            at += count;
        }
        assert_eq!((self.text(), self.replica.vclock().clone()), before, "it is what it was");
    }

    fn text(&self) -> String {
        self.replica.snapshot().root().to_string()
    }

    /// All that has to be equal if the transactions are. Why one is skipped need not be, nor since when.
    fn state(&self) -> impl PartialEq + std::fmt::Debug {
        let history = self.replica.history();
        let skipped: Vec<_> = history.skipped().iter().map(|(place, _)| place.clone()).collect();
        (
            (self.text(), self.replica.vclock().clone(), history.names().clone()),
            (skipped, history.skipped_count(), history.repeated_count(), history.length()),
        )
    }
}

/// What a document is by definition, and how many transactions are skipped and repeated.
fn definition(transactions: &[Transaction]) -> (Value, u64, u64) {
    let mut transactions: Vec<&Transaction> = transactions.iter().collect();
    transactions.sort_by_key(|transaction| {
        let (source, id) = transaction.stamp();
        (transaction.time, source.as_str().to_owned(), id)
    });
    let (mut document, mut skipped, mut repeated) = (json!({}), 0, 0);
    let mut names = HashSet::new();
    for transaction in transactions {
        if !names.insert(transaction.name()) {
            repeated += 1;
            continue;
        }
        let operations: Option<Vec<Value>> = serde_json::from_str(&transaction.payload).ok();
        let applied = operations.and_then(|operations| {
            operations
                .iter()
                .try_fold(document.clone(), |document, operation| naive::step(&document, operation))
        });
        match applied {
            Some(applied) => document = applied,
            None => skipped += 1,
        }
    }
    (document, skipped, repeated)
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Bytes(input);
    let mut nodes = ["a~00000000", "b~00000000"].map(|name| Node::new(name, &mut choices));
    let mut stamped: [Vec<Transaction>; STAMPERS.len()] = [const { Vec::new() }; _];
    let mut random = Random(choices);
    let mut count = 0;
    while !random.0.is_empty() && count < MOST_TRANSACTIONS {
        let choice = random.0.below(256);
        let number = choice & 1;
        let document = nodes[number].replica.snapshot().clone();
        let payload = |random: &mut Random<Bytes>| match random.0.below(16) {
            0 => "[]".to_owned(),
            1 => "no patch".to_owned(),
            _ if document.weight() > MOST_WEIGHT => {
                r#"[{"op":"replace","path":"","value":{}}]"#.to_owned()
            }
            _ => json!(random.patch(&serde_json::to_value(document.root()).expect("it is JSON")).0)
                .to_string(),
        };
        let other: Vec<Transaction> =
            nodes[1 - number].journal[nodes[number].heard[STAMPERS.len()]..].to_vec();
        let node = &mut nodes[number];
        match choice >> 1 & 7 {
            // Its own user.
            0 => {
                let fresh = Transaction::fresh(
                    node.life.source().clone(),
                    node.next_id,
                    payload(&mut random),
                );
                node.inbox.push(vec![fresh]);
                node.next_id += 1;
                count += 1;
            }
            // Somebody else, who may say the same elsewhere.
            1 => {
                let author = source(AUTHORS[random.0.below(AUTHORS.len())]);
                let id = random.0.below(6) as u64;
                node.inbox.push(vec![Transaction::fresh(author, id, payload(&mut random))]);
                count += 1;
            }
            // What somebody else has stamped, in order.
            2 | 3 => {
                let stamper = random.0.below(STAMPERS.len());
                let stamped = &mut stamped[stamper];
                let from = node.heard[stamper];
                let most = 1 + random.0.below(4);
                if from == stamped.len() {
                    let by =
                        Name { source: source(STAMPERS[stamper]), id: 1 + stamped.len() as u64 };
                    let is_own = !STAMPERS[stamper].contains('^');
                    let name = if is_own {
                        by.clone()
                    } else {
                        let author = AUTHORS[random.0.below(AUTHORS.len())];
                        Name { source: source(author), id: random.0.below(6) as u64 }
                    };
                    let fresh = Transaction::fresh(name.source, name.id, payload(&mut random));
                    let micros = NOW - 20 + random.0.below(40) as u64;
                    let by = Some(by).filter(|_| !is_own);
                    stamped.push(Transaction { time: Some(time(micros)), by, ..fresh });
                    count += 1;
                }
                let to = stamped.len().min(from + most);
                node.inbox.push(stamped[from..to].to_vec());
                node.heard[stamper] = to;
            }
            // What the other one has.
            4 => {
                let most = other.len().min(1 + random.0.below(8));
                node.inbox.push(other[..most].to_vec());
                node.heard[STAMPERS.len()] += most;
            }
            5 if random.0.below(2) == 0 => node.saved = node.replica.save(),
            5 => node.restart(&mut random.0),
            6 if random.0.below(8) == 0 => {
                node.accept(false);
                // A stream that was not kept is dialed again, and begins anew.
                node.heard = [0; _];
            }
            _ => node.accept(true),
        }
    }

    for number in [0, 1, 0] {
        let other = nodes[1 - number].journal.clone();
        let node = &mut nodes[number];
        for (stamped, heard) in stamped.iter().zip(node.heard) {
            node.inbox.push(stamped[heard..].to_vec());
        }
        node.inbox.push(other[node.heard[STAMPERS.len()]..].to_vec());
        node.accept(true);
        node.heard = std::array::from_fn(|from| stamped.get(from).map_or(other.len(), Vec::len));
    }
    let [one, other] = &nodes;
    assert_eq!(one.state(), other.state());
    let (document, skipped, repeated) = definition(&one.journal);
    assert_eq!(one.text(), document.to_string());
    let history = one.replica.history();
    assert_eq!((history.skipped_count(), history.repeated_count()), (skipped, repeated));
});
