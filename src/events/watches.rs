//! The parts of the document that are read live, and what is new in each of them.
//!
//! At each beat the document is compared with that of the beat before, along the pointers that are read.
//! Values that both documents share are not looked into, so a part costs nothing as long as nothing around it
//! changes. If a part has changed, its event is made once, for all readers that know the part as it was.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use async_channel::Receiver;

use super::event::{Event, EventKind, PartChange};
use crate::document::Value;
use crate::fanout::Fanout;
use crate::http::Coding;
use crate::locks::Mutex;
use crate::manager::{Edition, Handle};
use crate::patch::{Operation, Patch, Pointer, PointerBuf, find, parse};

/// How many bytes of shared events are kept until the next beat.
const MOST_NEWS_BYTES: usize = 16 << 20;

/// Up to this size patches are processed at once, while others wait.
const LIGHT_BYTES: usize = 256 << 10;

/// The parts that are read.
#[derive(Default)]
pub struct Watches(Mutex<WatchTree>);

/// Invariant: each reader that is [aligned](Watching::align) knows its part as it was at some beat, and was
/// woken at each later beat that changed it.
#[derive(Default)]
struct WatchTree {
    root: WatchBranch,
    /// The document at the last beat, as long as there are readers.
    edition: Option<Arc<Edition>>,
    /// Those for which the last beat has made an event.
    news: Vec<Weak<Watch>>,
    /// Those with a reader that knows a later change than the last beat.
    ahead: Vec<Weak<Watch>>,
}

/// What is read at a pointer and below.
#[derive(Default)]
struct WatchBranch {
    watch: Option<Arc<Watch>>,
    /// By pointers of one token.
    kids: BTreeMap<PointerBuf, WatchBranch>,
}

/// A part that is read.
struct Watch {
    pointer: PointerBuf,
    beats: Fanout,
    latest: Mutex<LatestNews>,
}

/// The last change of a part.
struct LatestNews {
    /// The number of the last change of this part, up to the last beat.
    changed: u64,
    news: Option<Arc<News>>,
}

/// What was new at one beat.
#[derive(Debug)]
pub struct News {
    /// For readers that know the part as it was after a change from this one
    since: u64,
    /// up to this one.
    until: u64,
    /// The change after which they know it then.
    pub leads_to: u64,
    /// Whether the part is there then.
    pub is_there: bool,
    /// The event for them.
    pub event: Event,
}

/// What is new for a reader.
pub enum ReaderNews {
    /// Nothing since the last beat.
    Nothing,
    /// A shared event.
    News(Arc<News>),
    /// Something for which there is no shared event that fits this reader.
    Missed,
}

/// One reader of a part. It ends when this is dropped.
pub struct Watching<'a> {
    watches: &'a Watches,
    watch: Arc<Watch>,
}

impl Watches {
    /// Begins to watch a part.
    pub fn watch(&self, pointer: &Pointer, handle: &Handle) -> Watching<'_> {
        let mut tree = self.0.lock();
        let edition =
            tree.edition.get_or_insert_with(|| Arc::new(handle.state_for_changes().edition()));
        let changed = edition.change();
        let mut branch = &mut tree.root;
        let mut rest = pointer;
        while let Some((token, behind)) = rest.split_front() {
            branch = branch.kids.entry(PointerBuf::from_tokens([token])).or_default();
            rest = behind;
        }
        let watch = branch.watch.get_or_insert_with(|| {
            let latest = Mutex::new(LatestNews { changed, news: None });
            Arc::new(Watch { pointer: pointer.to_buf(), beats: Fanout::default(), latest })
        });
        Watching { watches: self, watch: watch.clone() }
    }

    /// Wakes the readers of parts that have changed since the last beat. `id` makes the id of a change.
    pub fn beat(&self, handle: &Handle, id: impl Fn(u64) -> String) {
        let mut tree = self.0.lock();
        let Some(before) = tree.edition.clone() else { return };
        let now = handle.state_for_changes().edition();
        if now.change() == before.change() {
            return;
        }
        for watch in std::mem::take(&mut tree.news).iter().filter_map(Weak::upgrade) {
            watch.latest.lock().news = None;
        }
        let beat = Beat { before: &before, now: &now, id: id(now.change()) };
        tree.news = beat.tell(&tree.root);
        for watch in std::mem::take(&mut tree.ahead).iter().filter_map(Weak::upgrade) {
            watch.beats.wake();
        }
        tree.edition = Some(Arc::new(now));
    }
}

/// Whether these patches may be processed at once, while others wait.
pub fn are_light(patches: &[Arc<str>]) -> bool {
    patches.iter().map(|patch| patch.len()).sum::<usize>() <= LIGHT_BYTES
}

/// The operations of the patches without `test`: it has succeeded here, and not all readers compare numbers
/// in the same way.
pub fn operations(patches: &[Arc<str>]) -> Vec<Operation> {
    let operations = patches.iter().flat_map(|patch| {
        let Patch(operations) = parse(patch).expect("a patch that was applied is one");
        operations
    });
    operations.filter(|operation| !matches!(operation, Operation::Test { .. })).collect()
}

/// The difference between two beats.
struct Beat<'a> {
    before: &'a Edition,
    now: &'a Edition,
    id: String,
}

impl Beat<'_> {
    /// Wakes the readers of what has changed. Returns the watches for which an event was made.
    fn tell(&self, root: &WatchBranch) -> Vec<Weak<Watch>> {
        let (before, after) = (Some(self.before.root()), Some(self.now.root()));
        let mut changes = Vec::new();
        root.changes(before, after, &mut changes);
        if let Some(watch) = &root.watch
            && changes.first().is_none_or(|change| !change.watch.pointer.is_root())
        {
            // A reader of the whole document is sent each change, also if the document is equal to the one
            // before.
            changes.push(ChangedPart { watch, before, after });
        }
        if changes.is_empty() {
            return Vec::new();
        }
        let patches = self.now.since(self.before.change());
        // Large patches are left to the readers.
        let is_little = patches.as_deref().is_none_or(are_light);
        let operations = patches.filter(|_| is_little).map(|patches| operations(&patches));
        let (mut bytes, mut told) = (0, Vec::new());
        for change in changes {
            let may_make = is_little && bytes < MOST_NEWS_BYTES;
            let event = may_make.then(|| self.event(&change, operations.as_deref())).flatten();
            if let Some(event) = &event {
                bytes += event.part(Coding::Chunked).len();
                told.push(Arc::downgrade(change.watch));
            }
            let mut latest = change.watch.latest.lock();
            let (since, until, leads_to) =
                (latest.changed, self.before.change(), self.now.change());
            let is_there = change.after.is_some();
            latest.changed = leads_to;
            latest.news =
                event.map(|event| Arc::new(News { since, until, leads_to, is_there, event }));
            drop(latest);
            change.watch.beats.wake();
        }
        told
    }

    /// The event for a changed part. `None` if it is large.
    fn event(&self, change: &ChangedPart, operations: Option<&[Operation]>) -> Option<Event> {
        let pointer = &change.watch.pointer;
        let told = operations.map_or(PartChange::Anew, |operations| {
            PartChange::of(operations, pointer, self.now.root(), change.before.is_some())
        });
        match told {
            PartChange::Patch(line) => Event::new(EventKind::Patch, &self.id, &line),
            PartChange::None | PartChange::Anew => Event::anew(&self.id, change.after),
        }
    }
}

/// A part that has changed.
struct ChangedPart<'a> {
    watch: &'a Arc<Watch>,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl WatchBranch {
    /// Finds what has changed here and below, this part first. It goes no deeper than the document.
    fn changes<'a>(
        &'a self,
        before: Option<&'a Value>,
        after: Option<&'a Value>,
        found: &mut Vec<ChangedPart<'a>>,
    ) {
        let is_same = match (before, after) {
            (None, None) => true,
            (Some(before), Some(after)) => before.is_same(after),
            _ => false,
        };
        if is_same {
            return;
        }
        if let Some(watch) = &self.watch
            && before != after
        {
            found.push(ChangedPart { watch, before, after });
        }
        for (token, kid) in &self.kids {
            let part = |value: Option<&'a Value>| value.and_then(|value| find(value, token));
            kid.changes(part(before), part(after), found);
        }
    }

    /// Removes a watch, and the branches that lead only to it.
    fn remove(&mut self, rest: &Pointer) {
        let Some((token, behind)) = rest.split_front() else {
            self.watch = None;
            return;
        };
        let token = PointerBuf::from_tokens([token]);
        if let Some(kid) = self.kids.get_mut(&token) {
            kid.remove(behind);
            if kid.is_empty() {
                self.kids.remove(&token);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.watch.is_none() && self.kids.is_empty()
    }
}

impl Watching<'_> {
    /// A channel that has an item when there may be something new, and at first.
    pub fn subscribe(&self) -> Receiver<()> {
        self.watch.beats.subscribe()
    }

    /// The document at the last beat.
    pub fn edition(&self) -> Arc<Edition> {
        let tree = self.watches.0.lock();
        tree.edition.clone().expect("it is there as long as somebody reads")
    }

    /// Whether a reader that knows the part as it was after the change `known` can go on with the news of the
    /// beats. If not, it is woken at the next beat: what it knows may be a state between two beats.
    pub fn align(&self, known: u64) -> bool {
        let mut tree = self.watches.0.lock();
        let number = tree.edition.as_ref().map_or(0, |edition| edition.change());
        match known.cmp(&number) {
            Ordering::Equal => return true,
            Ordering::Greater => tree.ahead.push(Arc::downgrade(&self.watch)),
            // There was a beat meanwhile.
            Ordering::Less => self.watch.beats.wake(),
        }
        false
    }

    /// What is new for an aligned reader that knows the part as it was after the change `known`.
    pub fn look(&self, known: u64) -> ReaderNews {
        let latest = self.watch.latest.lock();
        match &latest.news {
            _ if known >= latest.changed => ReaderNews::Nothing,
            Some(news) if (news.since..=news.until).contains(&known) => {
                ReaderNews::News(news.clone())
            }
            _ => ReaderNews::Missed,
        }
    }

    /// The change up to which such a reader knows the part, if there is nothing new.
    pub fn knows_up_to(&self, known: u64) -> u64 {
        let tree = self.watches.0.lock();
        let number = tree.edition.as_ref().map_or(0, |edition| edition.change());
        let is_unchanged = known >= self.watch.latest.lock().changed;
        if is_unchanged { known.max(number) } else { known }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut tree = self.watches.0.lock();
        // One of the two is that of the tree.
        if Arc::strong_count(&self.watch) == 2 {
            tree.root.remove(&self.watch.pointer);
            if tree.root.is_empty() {
                tree.edition = None;
                tree.news.clear();
                tree.ahead.clear();
            }
        }
    }
}
