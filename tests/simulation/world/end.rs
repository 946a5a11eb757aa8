//! The end of a simulation: all is well, everything arrives, and all nodes are compared.

use std::collections::BTreeSet;

use patchmesh::internals::transaction::Place;

use super::plan::{MINUTE_MICROS, Plan};
use super::{World, connect};
use crate::definition::{Number, fold, order};
use crate::network::Link;
use crate::node::Node;

const DAY_MICROS: u64 = 24 * 60 * MINUTE_MICROS;

impl World {
    /// All is well from now on: the clocks are right, nothing breaks, and everything arrives.
    pub fn drain(&mut self) {
        self.lab.note(|_| "all is well from now on".into());
        self.plan = Plan { quantum_micros: 1, faults: 0, ..self.plan };
        // The right time has come to all that was ahead of it.
        self.time_micros += DAY_MICROS + 2 * self.plan.skew_micros;
        self.nodes.iter_mut().for_each(|node| node.clock_error = 0);
        self.full_until.fill(0);
        // In each round what is new anywhere goes one link further; a round more finds nothing new.
        for _ in 0..self.nodes.len() + 2 {
            if self.is_drained() {
                return;
            }
            for index in 0..self.links.len() {
                let length = self.length(self.links[index].from);
                let repeats = self.lab.percent(20);
                let Self { lab, links, nodes, .. } = self;
                let link = &mut links[index];
                if link.stream.is_none() {
                    connect(link, repeats, &nodes[link.to], lab);
                }
                if let Some(stream) = &mut link.stream {
                    (stream.sent, stream.submitted) = (length, Some(length));
                }
            }
            for node in 0..self.nodes.len() {
                while !self.nodes[node].inbox.is_empty()
                    || self.links.iter().any(|link| {
                        link.to == node
                            && link.stream.as_ref().is_some_and(|stream| stream.submitted.is_some())
                    })
                {
                    self.turn(node);
                }
            }
        }
        assert!(self.is_drained(), "transactions never come to rest");
    }

    fn is_drained(&self) -> bool {
        let has_arrived = |link: &Link| {
            let length = self.length(link.from);
            link.stream.as_ref().is_some_and(|stream| stream.answered == length)
        };
        self.nodes.iter().all(|node| node.inbox.is_empty()) && self.links.iter().all(has_arrived)
    }

    /// All nodes have the same, and what the definition says.
    pub fn check_end(&mut self) {
        for index in 0..self.nodes.len() {
            if self.lab.percent(40) {
                self.nodes[index].save(&mut self.lab);
                self.crash(index);
            }
        }
        let numbers = |node: &Node| node.journal().iter().copied().collect::<BTreeSet<Number>>();
        let set = numbers(&self.nodes[0]);
        let lost = self.acknowledged.iter().find(|number| !set.contains(number));
        assert_eq!(lost, None, "an acknowledged transaction is gone");

        let book = &self.lab.book;
        let (text, skipped) =
            fold(set.iter().map(|number| book.transaction(*number).clone()).collect());
        let vclock = self.nodes[0].replica().vclock();
        for (index, node) in self.nodes.iter().enumerate() {
            assert_eq!(numbers(node), set, "the transactions of {index}");
            assert_eq!(node.replica().vclock(), vclock, "the vector clock of {index}");
            assert_eq!(
                node.replica().snapshot().root().to_string(),
                text,
                "the document of {index}"
            );
            let history = node.replica().history();
            let found = history.skipped().iter().map(|(place, skip)| (place.clone(), &skip.error));
            let expected = skipped
                .iter()
                .map(|(transaction, error)| (transaction.place().expect("it is ordered"), error));
            assert!(found.eq(expected), "what {index} skips: {:?}", history.skipped());
            node.check(book);
        }

        let mut places: Vec<_> = set.iter().map(|number| book.place(*number)).collect();
        places.sort_by(|left, right| order(left, right));
        let is_tie = |pair: &&[&_]| {
            let [left, right]: [&Place; 2] = [pair[0], pair[1]];
            left.time == right.time && left.source != right.source
        };
        self.lab.tally.ties += places.windows(2).filter(is_tie).count() as u64;
        self.lab.tally.transactions += set.len() as u64;
        self.lab.tally.skipped += skipped.len() as u64;
        self.lab.tally.repeated += self.nodes[0].replica().history().repeated_count();
    }
}
