//! Marks: where in the text lines begin.

use std::collections::VecDeque;

use super::STRIDE;
use crate::journal::scan::Expected;

/// Where a line begins, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The offset.
    pub offset: u64,
    /// The batch.
    pub batch: u64,
    /// Which line of the batch, from 1 on. It is missing in checkpoints of older versions, from which the
    /// journal is not read on.
    #[serde(default)]
    pub line: u64,
}

impl Mark {
    /// The line that belongs there.
    pub fn expected(self) -> Expected {
        Expected::At(self.batch, self.line)
    }
}

/// Where lines begin, at regular distances.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Marks {
    /// How many strides are before the first one.
    #[serde(default, skip_serializing_if = "is_zero")]
    from: u64,
    pub(super) marks: VecDeque<Mark>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Marks {
    /// The mark of the record at `position`, if it has one.
    pub fn at(&self, position: u64) -> Option<Mark> {
        let skipped = (position / STRIDE).checked_sub(self.from)?;
        self.marks
            .get(usize::try_from(skipped).ok()?)
            .copied()
            .filter(|_| position.is_multiple_of(STRIDE))
    }

    /// The position of the next mark after the last one.
    pub fn next(&self) -> u64 {
        (self.from + self.marks.len() as u64) * STRIDE
    }

    /// The last mark, and its position.
    pub fn last(&self) -> Option<(u64, Mark)> {
        self.marks.back().map(|mark| (self.next() - STRIDE, *mark))
    }

    /// The marks of positions from `begin` to `end`.
    pub fn within(&self, begin: u64, end: u64) -> Self {
        let marks = (self.from..).zip(&self.marks).map(|(stride, mark)| (stride * STRIDE, mark));
        let marks = marks.filter(|(position, _)| (begin..=end).contains(position));
        let from = self.from.max(begin.div_ceil(STRIDE));
        Self { from, marks: marks.map(|(_, mark)| *mark).collect() }
    }

    /// Forgets the marks before `begin`.
    pub fn drop_before(&mut self, begin: u64) {
        while self.from * STRIDE < begin {
            self.from += 1;
            self.marks.pop_front();
        }
    }
}
