//! Rounds in which the contenders take turns, so that a slow moment of the machine meets all of them.

use std::time::Duration;

use crate::contender::{Case, Contender, Subject};
use crate::median::median;

/// In how many rounds those take part of whom one transaction fills a turn many times over: the
/// pseudo-code, which needs a second for the largest document, give or take little.
const ROUNDS_OF_THE_SLOW: usize = 3;

/// For each contender, what a transaction took in each round, in seconds.
pub struct Rounds<'a> {
    contenders: &'a [Contender],
    seconds: Vec<Vec<f64>>,
}

impl<'a> Rounds<'a> {
    /// So many rounds, in each of which a contender's turn is at least so long.
    pub fn run(
        subject: &mut Subject,
        case: &Case,
        contenders: &'a [Contender],
        rounds: usize,
        turn: Duration,
    ) -> Self {
        let transactions: Vec<u64> = contenders
            .iter()
            .map(|contender| {
                let mut transactions = 1;
                // Twice, since the machine may have been away for as long as a turn.
                while (0..2).any(|_| contender.run(subject, case, transactions) < turn) {
                    transactions *= 2;
                }
                transactions
            })
            .collect();
        let mut seconds = vec![Vec::new(); contenders.len()];
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                // Nobody is always the one who comes after the pseudo-code.
                let index = (round + turn) % contenders.len();
                let (contender, transactions) = (contenders[index], transactions[index]);
                if transactions == 1 && round >= ROUNDS_OF_THE_SLOW {
                    continue;
                }
                if transactions > 1 {
                    // Nor does anybody find the caches filled by another.
                    contender.run(subject, case, transactions / 4);
                }
                let taken = contender.run(subject, case, transactions).as_secs_f64();
                seconds[index].push(taken / transactions as f64);
            }
        }
        Self { contenders, seconds }
    }

    /// How many transactions a second are done, in the middle of all rounds.
    pub fn per_second(&self, contender: Contender) -> f64 {
        1.0 / median(self.seconds(contender).iter().copied())
    }

    /// How many times as long the one takes as the other, in the middle of all rounds.
    pub fn ratio(&self, one: Contender, other: Contender) -> f64 {
        // There may be fewer rounds of one.
        let pairs = self.seconds(one).iter().zip(self.seconds(other));
        median(pairs.map(|(one, other)| one / other))
    }

    fn seconds(&self, contender: Contender) -> &[f64] {
        let index = self.contenders.iter().position(|other| *other == contender);
        &self.seconds[index.expect("it takes part")]
    }
}
