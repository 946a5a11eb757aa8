//! Which reports of other nodes one reader was sent.

use std::pin::Pin;
use std::task::Context;

use async_channel::Receiver;
use smol::stream::Stream as _;

use crate::mesh::members::GossipReader;
use crate::mesh::roster::Roster;

/// How far a reader knows the reports in this node's roster.
pub struct Following {
    woken: Pin<Box<Receiver<()>>>,
    /// The version up to which it was sent all.
    told: u64,
    /// The version at the time when the task last asked to be woken. `None` if it has not asked.
    seen: Option<u64>,
    /// Whether the last message had no room for all.
    has_more: bool,
}

impl Following {
    /// A reader that was sent nothing yet.
    pub fn begin(roster: &Roster) -> Self {
        Self { woken: Box::pin(roster.subscribe()), told: 0, seen: None, has_more: false }
    }

    /// Whether there may be a new report. If not, the task is woken when there is. This is called with each
    /// delivery: if nothing is new, it reads one number.
    pub fn has_news(&mut self, roster: &Roster, context: &mut Context<'_>) -> bool {
        if self.has_more {
            return true;
        }
        let version = roster.version();
        // The channel is filled a little after the version grows, so this version may have been seen before.
        if self.seen == Some(version) && self.woken.is_empty() {
            return false;
        }
        if self.woken.as_mut().poll_next(context).is_ready() {
            self.seen = None;
            return true;
        }
        self.seen = Some(version);
        false
    }

    /// The next message. `None` if the reader knows all.
    pub fn message(&mut self, roster: &Roster, reader: &GossipReader<'_>) -> Option<String> {
        let (text, told) = roster.message(self.told, reader);
        // Reports that came after the last wake-up wait for the next one. If reports come as fast as they are
        // sent, there would be no end otherwise.
        (self.told, self.has_more) = (told, told < roster.version());
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::mesh::members::Reports;
    use crate::mesh::tree::ProcessId;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A peer passes on a report of another node.
    fn hear(roster: &Roster, number: u64) {
        let hash = "00000000000000000000000000000000";
        let reports = serde_json::json!([{"number": number, "told_ms": 0, "report": {
            "node": "a~00000000", "address": "a:1", "length": 0, "committed": null, "primary": false,
            "hash": {"clock": hash, "state": hash}, "viewers": 0, "reads": [],
        }}]);
        let reports: Reports = serde_json::from_value(reports).unwrap();
        roster.hear(reports, ProcessId { number: 1, generation: 0 });
    }

    #[test]
    fn reports_without_end_are_sent_only_after_a_wake_up() {
        let roster = Roster::default();
        let mut following = Following::begin(&roster);
        let mut context = Context::from_waker(Waker::noop());
        let reader = GossipReader::default();
        let mut told = 0;
        for number in 1..10 {
            hear(&roster, number);
            if following.has_news(&roster, &mut context) {
                told += u32::from(following.message(&roster, &reader).is_some());
            }
        }
        assert_eq!(told, 1);
        roster.wake();
        assert!(following.has_news(&roster, &mut context));
        assert!(following.message(&roster, &reader).is_some_and(|text| text.contains(":9,")));
        assert!(!following.has_news(&roster, &mut context));
    }

    #[test]
    fn no_wake_up_is_lost_if_the_version_is_seen_before_it() {
        let roster = Roster::default();
        let mut following = Following::begin(&roster);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        // It has seen the version already when the channel is filled.
        following.seen = Some(roster.version());
        for number in 1..4 {
            assert!(following.has_news(&roster, &mut context));
            following.message(&roster, &GossipReader::default());
            assert!(!following.has_news(&roster, &mut context));
            hear(&roster, number);
            roster.wake();
            assert_eq!(wakes.0.load(Ordering::SeqCst), number as usize);
            // As above.
            following.seen = Some(roster.version());
        }
    }
}
