//! The part of the history that is not in memory, read from the journal.

use std::collections::VecDeque;

use super::placed::Placed;
use crate::transaction::{Place, Transaction};

/// How many stretches of the journal are held at once while it is read in the order of the history:
/// the sources that wrote at the same time stand in as many stretches.
const STRETCHES: usize = 16;

/// The journal as the core sees it: what was accepted, by position.
pub trait Past {
    /// Why it cannot be read.
    type Error;

    /// A stretch of ordered transactions from `position` on, as long as is handy to read at once;
    /// empty where the journal ends there.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    fn read(&self, position: u64) -> Result<Vec<Transaction>, Self::Error>;
}

/// The transactions after a place, in the order of the history.
///
/// First only their places are collected, and sorted; their payloads are read when their turn comes.
pub struct Suffix {
    /// What is left, the next one last.
    rest: Vec<(Place, u64)>,
    /// For each of the rest the least position among it and those after it.
    least: Vec<u64>,
    read: u64,
    stretches: VecDeque<(u64, Vec<Option<Transaction>>)>,
}

impl Suffix {
    /// What the journal has from `position` on and the history after the place `after`.
    pub fn collect<P: Past>(
        past: &P,
        after: Option<&Place>,
        position: u64,
    ) -> Result<Self, P::Error> {
        Self::collect_first(past, after, position, u64::MAX)
    }

    /// The same, but only the first `most` of it in the order of the history. All of the journal is
    /// read for that, as any of it may be late; but only about so many places are held.
    pub fn collect_first<P: Past>(
        past: &P,
        after: Option<&Place>,
        position: u64,
        most: u64,
    ) -> Result<Self, P::Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut rest: Vec<(Place, u64)> = Vec::new();
        let mut read = 0;
        loop {
            if most == 0 {
                break;
            }
            let stretch = past.read(position + read)?;
            if stretch.is_empty() {
                break;
            }
            if rest.len() / 2 > most {
                rest.select_nth_unstable(most);
                rest.truncate(most);
            }
            for transaction in stretch {
                if let Some(place) = transaction.place()
                    && after.is_none_or(|after| place > *after)
                {
                    rest.push((place, position + read));
                }
                read += 1;
            }
        }
        rest.sort_unstable_by(|left, right| right.cmp(left));
        rest.drain(..rest.len().saturating_sub(most));
        let mut least: Vec<u64> = rest.iter().map(|(_, position)| *position).collect();
        for at in 1..least.len() {
            least[at] = least[at].min(least[at - 1]);
        }
        Ok(Self { rest, least, read, stretches: VecDeque::new() })
    }

    /// How many transactions were read to collect it.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Leaves out the next `count` transactions.
    pub fn skip(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.rest.truncate(self.rest.len().saturating_sub(count));
    }

    /// The next place.
    pub fn peek(&self) -> Option<&Place> {
        self.rest.last().map(|(place, _)| place)
    }

    /// The least position of what is left.
    pub fn least_position(&self) -> Option<u64> {
        self.least.get(self.rest.len().checked_sub(1)?).copied()
    }

    /// The next transaction.
    pub fn next<P: Past>(&mut self, past: &P) -> Result<Option<Placed>, P::Error> {
        let Some((place, position)) = self.rest.pop() else { return Ok(None) };
        let held = self.stretches.iter().position(|(begin, stretch)| {
            (*begin..*begin + stretch.len() as u64).contains(&position)
        });
        let held = match held {
            Some(held) => held,
            None => {
                if self.stretches.len() == STRETCHES {
                    self.stretches.pop_front();
                }
                let stretch = past.read(position)?.into_iter().map(Some).collect();
                self.stretches.push_back((position, stretch));
                self.stretches.len() - 1
            }
        };
        let (begin, stretch) = &mut self.stretches[held];
        let transaction = stretch
            .get_mut((position - *begin) as usize)
            .and_then(Option::take)
            .expect("each position is read once, and what was read once can be read again");
        Ok(Some(Placed { place, position, payload: transaction.payload }))
    }
}
