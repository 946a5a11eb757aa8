//! The commit of a chain that covers a stamp first.

use std::collections::BTreeMap;

use crate::source::Source;

/// For each source, up to which Id it is covered by which commit.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<Source, Vec<Step>>);

/// From this commit on the Ids below `next` are covered. Both increase from step to step.
#[derive(Clone, Copy, Debug)]
struct Step {
    next: u64,
    commit: usize,
}

impl Coverage {
    /// Notes that `commit` covers the Ids of `source` below `next`. Commits are to be noted in their order.
    pub fn add(&mut self, commit: usize, source: &Source, next: u64) {
        let step = Step { next, commit };
        let Some(steps) = self.0.get_mut(source) else {
            self.0.insert(source.clone(), vec![step]);
            return;
        };
        match steps.last_mut() {
            Some(last) if last.next >= next => {}
            Some(last) if last.commit == commit => last.next = next,
            _ => steps.push(step),
        }
    }

    /// The first commit that covers the Id of `source`.
    pub fn first(&self, source: &Source, id: u64) -> Option<usize> {
        let steps = self.0.get(source)?;
        let at = steps.partition_point(|step| step.next <= id);
        steps.get(at).map(|step| step.commit)
    }
}
