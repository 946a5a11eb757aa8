//! A base: what stands for the history up to a commit, on disk and on the way to another node.

mod summary;
#[cfg(test)]
pub mod tests;

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::floor::{Counted, Floor};
use crate::clock::Time;
use crate::commit::{Committed, Covered};
use crate::names::Names;
use crate::patch::Document;
use crate::source::Source;

pub use summary::{BaseSummary, More};

/// What stands for the history up to and with a commit.
///
/// Invariant: there is a commit, and a source has names if and only if `committed` has their last time.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// What remains of the past at the commit, besides the names.
    pub committed: Committed,
    /// The names that are known at the commit.
    pub names: Names,
    /// How many transactions of the history it stands for, commits not counted.
    pub length: u64,
    /// The document at the commit.
    pub document: Document,
}

/// How far the sources and the names of a base are written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    source: Option<Source>,
    name: Option<(Source, u64)>,
}

impl Written {
    fn advance(&mut self, more: &More) {
        if let Some(source) = more.last_source() {
            self.source = Some(source.clone());
        }
        if let Some((source, from)) = more.last_name() {
            self.name = Some((source.clone(), from));
        }
    }
}

impl Base {
    /// All but the document, as JSON: a [`BaseSummary`].
    ///
    /// # Panics
    /// If there is no commit.
    pub fn summary(&self) -> String {
        let summary = self.begin_summary(&mut Written::default(), usize::MAX);
        serde_json::to_string(&summary).expect("a summary always has a JSON text")
    }

    /// The greatest time in it.
    pub fn greatest_time(&self) -> Time {
        let Committed { first, clock, names, floor, .. } = &self.committed;
        let lasts = clock.values().map(|covered| covered.last).chain(names.values().copied());
        lasts.max().unwrap_or_default().max(*first).max(*floor)
    }

    /// The base at a floor at a commit.
    pub fn of(floor: &Floor) -> Self {
        Self {
            committed: Committed::clone(&floor.committed),
            names: floor.counted.names.clone(),
            length: floor.index,
            document: floor.document.clone(),
        }
    }

    /// The floor for what comes after it, which is in the journal from `position` on.
    pub fn floor(&self, position: u64) -> Floor {
        let Self { committed, names, length, document } = self.clone();
        let counted = Counted { names, ..Counted::default() };
        let (index, committed) = (length, Arc::new(committed));
        Floor { index, position, counted, committed, document, ..Floor::beginning() }
    }

    /// The base with this [`summary`](Self::summary) and document.
    ///
    /// # Errors
    /// If this is no summary, or one that no base can have: for a person, what is wrong and where.
    pub fn read(summary: &str, document: Document) -> Result<Self, String> {
        let summary: BaseSummary =
            serde_json::from_str(summary).map_err(|error| error.to_string())?;
        Ok(Self { document, ..summary.base()? })
    }

    /// All but the document, with so many entries of the clock and ranges of names in all.
    ///
    /// # Panics
    /// If there is no commit.
    pub fn begin_summary(&self, written: &mut Written, most: usize) -> BaseSummary {
        let Self { committed, length, .. } = self;
        let commit = committed.commit.clone().expect("a base has a commit");
        BaseSummary::new(commit, committed, *length, self.entries(written, most))
    }

    /// At most so many more of the entries and ranges; none if all are written.
    pub fn more_summary(&self, written: &mut Written, most: usize) -> Option<More> {
        let more = self.entries(written, most);
        (more.entries() > 0).then_some(more)
    }

    fn entries(&self, written: &mut Written, most: usize) -> More {
        let Committed { clock, names: times, .. } = &self.committed;
        let mut more = More::default();
        let behind = written.source.as_ref().map_or(Unbounded, Excluded);
        for (source, Covered { next, last }) in
            clock.range::<Source, _>((behind, Unbounded)).take(most)
        {
            more.add_covered(source, *next, *last);
        }
        let most = most - more.entries();
        let behind = written.name.as_ref().map(|(source, from)| (source, *from));
        for (source, from, next) in self.names.ranges_behind(behind).take(most) {
            more.add_names(source, times.get(source).copied().unwrap_or_default(), (from, next));
        }
        written.advance(&more);
        more
    }
}
