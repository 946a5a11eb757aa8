//! The last steps that led to the document, for readers that keep a copy of it.
//!
//! A step is a patch that was applied, or the inverse of one that was taken back for a late arrival. A copy of an
//! earlier document to which the steps since then are applied is the document as it is now. Steps are noted only
//! while somebody reads them, and as many as the bounds allow; a reader that is further behind starts with the
//! document again.

use std::sync::Arc;

use crate::shared::Sequence;

/// How many steps are kept, and how many bytes of them.
const STEPS: usize = 4096;
const BYTES: usize = 4 << 20;

/// The latest steps.
///
/// Invariant: `steps` are the last ones of all that were done to the document, and `end` is the number of the
/// change that they lead to. What is not noted counts as a change as well, before which there are no steps.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    steps: Sequence<Arc<str>>,
    bytes: usize,
    end: u64,
    noting: bool,
    /// The number of the last change when somebody last read.
    read_at: u64,
}

impl Changes {
    /// Notes a step, the text of a JSON Patch, that was done to the document.
    pub fn note(&mut self, patch: impl FnOnce() -> Arc<str>) {
        if !self.noting {
            return self.cut();
        }
        let patch = patch();
        let bytes = patch.len();
        self.bytes += bytes;
        self.steps.push(patch, bytes);
        self.end += 1;
        while self.steps.len() > STEPS || self.bytes > BYTES {
            self.bytes -= self.steps.front().map_or(0, |oldest| oldest.len());
            self.steps.drop_front();
            if self.read_at + (self.steps.len() as u64) < self.end {
                // Nobody has read any of what is kept: nobody reads any more.
                self.clear();
                self.noting = false;
                return;
            }
        }
    }

    /// Drops the steps: the document was made anew, or changed by a step that is not noted.
    pub fn cut(&mut self) {
        if !self.steps.is_empty() {
            self.clear();
        }
        self.end += 1;
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.bytes = 0;
    }

    /// Notes steps from now on, since somebody reads them.
    pub fn want(&mut self) {
        self.noting = true;
        self.read_at = self.end;
    }

    /// The number of the last change. Later ones have greater numbers.
    pub fn last(&self) -> u64 {
        self.end
    }

    /// The steps since the change of that number, in their order; none if that is too far back, or they were not
    /// noted.
    pub fn since(&self, number: u64) -> Option<Vec<Arc<str>>> {
        let behind = usize::try_from(self.end.checked_sub(number)?).ok()?;
        let kept = self.steps.len().checked_sub(behind)?;
        Some(self.steps.iter_from(kept).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(changes: &mut Changes, text: &str) {
        changes.note(|| text.into());
    }

    #[test]
    fn steps_are_noted_from_the_first_reader_on() {
        let mut changes = Changes::default();
        let earliest = changes.last();
        assert_eq!(changes.since(earliest), Some(Vec::new()));
        note(&mut changes, "before");
        assert_eq!(changes.since(earliest), None);
        let first = changes.last();
        assert_eq!(changes.since(first), Some(Vec::new()));
        changes.want();
        note(&mut changes, "a");
        let second = changes.last();
        note(&mut changes, "b");
        assert_eq!(changes.since(first), Some(vec!["a".into(), "b".into()]));
        assert_eq!(changes.since(second), Some(vec!["b".into()]));
        changes.cut();
        assert_eq!(changes.since(second), None);
        let third = changes.last();
        note(&mut changes, "c");
        assert_eq!(changes.since(third), Some(vec!["c".into()]));
    }

    #[test]
    fn a_reader_too_far_behind_starts_again_and_without_readers_nothing_is_noted() {
        let mut changes = Changes::default();
        let first = changes.last();
        changes.want();
        (0..STEPS).for_each(|_| note(&mut changes, "x"));
        assert_eq!(changes.since(first).unwrap().len(), STEPS);
        let second = changes.last();
        changes.want();
        note(&mut changes, "y");
        assert_eq!(changes.since(first), None);
        assert_eq!(changes.since(second), Some(vec!["y".into()]));
        (0..STEPS).for_each(|_| note(&mut changes, "z"));
        assert!(!changes.noting && changes.steps.is_empty());
        assert_eq!(changes.since(second), None);
        assert_ne!(changes.last(), first);
    }

    /// Random histories with late arrivals near and far, transactions that are given up again, and checkpoints; and
    /// readers that read at random moments.
    #[test]
    fn the_steps_since_any_version_lead_to_the_document() {
        use crate::clock::Time;
        use crate::patch::{Document, parse};
        use crate::replica::history::{Bounds, History, Placed};
        use crate::transaction::Transaction;

        let now = Time::from_micros(1 << 40).unwrap();
        let bounds = Bounds { recent_transactions: 20, checkpoint_spacing: 9, ..Bounds::default() };
        let (mut patched, mut put) = (0, 0);
        for seed in 0..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut history = History::new(bounds);
            let mut journal: Vec<Transaction> = Vec::new();
            history.want_changes();
            let mut copies = vec![(history.changes().last(), Document::default()); 3];
            for id in 1..=300 {
                let back = if random.u8(..10) == 0 { random.u64(..200) } else { random.u64(..5) };
                let (member, value) = (random.u8(..6), random.u8(..));
                let payload = match random.u8(..6) {
                    0 => format!(r#"[{{"op":"remove","path":"/{member}"}}]"#),
                    1 => format!(r#"[{{"op":"add","path":"/{member}","value":[{value}]}}]"#),
                    2 => format!(r#"[{{"op":"add","path":"/{member}/0","value":{value}}}]"#),
                    3 => {
                        format!(r#"[{{"op":"move","from":"/{member}","path":"/{}"}}]"#, member / 2)
                    }
                    4 => format!(
                        r#"[{{"op":"remove","path":"/{member}/0"}},{{"op":"copy","from":"","path":"/x"}},{{"op":"remove","path":"/x"}}]"#
                    ),
                    _ => format!(r#"[{{"op":"replace","path":"/{member}","value":{value}}}]"#),
                };
                let transaction = Transaction {
                    time: Time::from_micros((1000_u64 + 2 * id).saturating_sub(back)),
                    ..Transaction::fresh("a".parse().unwrap(), id, payload)
                };
                let placed = Placed {
                    place: transaction.place().unwrap(),
                    named: None,
                    position: journal.len() as u64,
                    payload: transaction.payload.clone(),
                };
                let (before, new) = (history.clone(), journal.len() as u64);
                journal.push(transaction);
                history.insert(vec![placed], new, now, &journal).unwrap();
                if random.u8(..20) == 0 {
                    journal.pop();
                    history = before;
                }
                history.checkpoint_where_due(journal.len() as u64);
                let (version, copy) = random.choice(&mut copies).unwrap();
                match history.changes().since(*version) {
                    None => {
                        *copy = history.document().clone();
                        put += 1;
                    }
                    Some(steps) => {
                        for step in steps {
                            copy.apply(parse(&step).unwrap()).unwrap();
                        }
                        patched += 1;
                    }
                }
                history.want_changes();
                *version = history.changes().last();
                assert_eq!(&*copy, history.document(), "seed {seed}, after {id}");
            }
        }
        assert!(patched > 5000 && put > 500, "{patched} {put}");
    }

    #[test]
    fn a_step_that_is_too_large_is_not_kept() {
        let mut changes = Changes::default();
        let first = changes.last();
        note(&mut changes, &"x".repeat(BYTES + 1));
        assert_eq!(changes.since(first), None);
        assert_eq!(changes.bytes, 0);
    }
}
