//! Which parts of the document are read live, and what is new of each.
//!
//! At each beat the document is compared with what it was at the beat before, along the pointers that are
//! read. What both share is not gone into, so a part costs nothing for as long as nothing around it changes.
//! Of what did change the event is made once, for all who know the part as it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::Receiver;

use super::event::{Change, Event, Kind};
use crate::document::Value;
use crate::fanout::Fanout;
use crate::manager::{Handle, Heavy, State};
use crate::patch::{Operation, Patch, Pointer, PointerBuf, find, parse};

/// The parts that are read.
#[derive(Default)]
pub struct Watches(Mutex<Tree>);

/// Invariant: every part that is read was compared with the document as it was at the change `number`, and
/// no reader lacks anything of what it was then that it was not woken for.
#[derive(Default)]
struct Tree {
    root: Branch,
    number: u64,
    /// The document then, as long as somebody reads.
    before: Option<Heavy>,
}

/// What is read at a place and below.
#[derive(Default)]
struct Branch {
    watch: Option<Arc<Watch>>,
    /// By pointers of one token.
    kids: BTreeMap<PointerBuf, Branch>,
}

/// A part that is read.
struct Watch {
    pointer: PointerBuf,
    beats: Fanout,
    latest: Mutex<Latest>,
}

/// What is known of a part's changes.
struct Latest {
    /// Behind this change there was none of this part, up to the last beat.
    changed: u64,
    news: Option<Arc<News>>,
}

/// What was new at one beat.
#[derive(Debug)]
pub struct News {
    /// It is for those who know the part as it was since this change,
    since: u64,
    /// up to this one,
    until: u64,
    /// and leads them to this one.
    pub leads_to: u64,
    /// Whether the part is there then.
    pub is_there: bool,
    /// What they are told.
    pub event: Event,
}

/// What there is for a reader.
pub enum Look {
    /// Nothing: it knows the part as it is, or was at the last beat.
    Nothing,
    /// This.
    News(Arc<News>),
    /// Something, which is to be made for this reader.
    Missed,
}

/// A reader's place among those who read a part. It ends when this is dropped.
pub struct Watching<'a> {
    watches: &'a Watches,
    watch: Arc<Watch>,
}

impl Watches {
    /// Begins to watch a part.
    pub fn watch(&self, pointer: &Pointer, handle: &Handle) -> Watching<'_> {
        let mut tree = self.lock();
        if tree.before.is_none() {
            let state = handle.state_for_changes();
            (tree.number, tree.before) = (state.change(), Some(state.heavy_document()));
        }
        let changed = tree.number;
        let mut branch = &mut tree.root;
        let mut rest = pointer;
        while let Some((token, behind)) = rest.split_front() {
            branch = branch.kids.entry(PointerBuf::from_tokens([token])).or_default();
            rest = behind;
        }
        let watch = branch.watch.get_or_insert_with(|| {
            let latest = Mutex::new(Latest { changed, news: None });
            Arc::new(Watch { pointer: pointer.to_buf(), beats: Fanout::default(), latest })
        });
        Watching { watches: self, watch: watch.clone() }
    }

    /// Wakes those who read a part that has changed since the last beat. `id` names a change.
    pub fn beat(&self, handle: &Handle, id: impl Fn(u64) -> String) {
        let mut tree = self.lock();
        let Some(before) = &tree.before else { return };
        let state = handle.state_for_changes();
        let (until, leads_to) = (tree.number, state.change());
        if leads_to == until {
            return;
        }
        let operations = state.changes_since(until).map(|patches| operations(&patches));
        let mut changes = Vec::new();
        tree.root.changes(Some(before), Some(state.document().root()), &mut changes);
        if let Some(watch) = &tree.root.watch
            && changes.first().is_none_or(|change| !change.watch.pointer.is_root())
        {
            // Who reads the whole document hears of each change, also if it is as before.
            let root = Some(state.document().root());
            changes.push(Changed { watch, before: Some(before), after: root });
        }
        let id = id(leads_to);
        for Changed { watch, before, after } in changes {
            let event = event_of(watch, operations.as_deref(), &state, before, after, &id);
            let mut latest = lock(&watch.latest);
            let (since, is_there) = (latest.changed, after.is_some());
            latest.changed = leads_to;
            latest.news =
                event.map(|event| Arc::new(News { since, until, leads_to, is_there, event }));
            drop(latest);
            watch.beats.wake();
        }
        (tree.number, tree.before) = (leads_to, Some(state.heavy_document()));
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        lock(&self.0)
    }
}

/// What was done, without what was only tested: it held, and not every reader compares numbers alike.
pub fn operations(patches: &[Arc<str>]) -> Vec<Operation> {
    let operations = patches.iter().flat_map(|patch| {
        let Patch(operations) = parse(patch).expect("a patch that was applied is one");
        operations
    });
    operations.filter(|operation| !matches!(operation, Operation::Test { .. })).collect()
}

/// What the readers of a part that has changed are told; none if it is large, or not known.
fn event_of(
    watch: &Watch,
    operations: Option<&[Operation]>,
    state: &State,
    before: Option<&Value>,
    after: Option<&Value>,
    id: &str,
) -> Option<Event> {
    let change = operations.map_or(Change::Anew, |operations| {
        Change::of(operations, &watch.pointer, state.document(), before.is_some())
    });
    match change {
        Change::Patch(line) => Event::new(Kind::Patch, id, &line),
        Change::None | Change::Anew => Event::anew(id, after),
    }
}

/// A part that is not what it was.
struct Changed<'a> {
    watch: &'a Watch,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl Branch {
    /// Finds what has changed here and below, the part here first. No deeper than the document.
    fn changes<'a>(
        &'a self,
        before: Option<&'a Value>,
        after: Option<&'a Value>,
        found: &mut Vec<Changed<'a>>,
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
            found.push(Changed { watch, before, after });
        }
        for (token, kid) in &self.kids {
            let part = |value: Option<&'a Value>| value.and_then(|value| find(value, token));
            kid.changes(part(before), part(after), found);
        }
    }

    /// Takes a watch away, and the branches that lead only to it.
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
    /// A channel that has something in it when there may be something new, and at first.
    pub fn subscribe(&self) -> Receiver<()> {
        self.watch.beats.subscribe()
    }

    /// What there is for a reader that knows the part as it was after the change `known`.
    pub fn look(&self, known: u64) -> Look {
        let latest = lock(&self.watch.latest);
        match &latest.news {
            _ if known >= latest.changed => Look::Nothing,
            Some(news) if (news.since..=news.until).contains(&known) => Look::News(news.clone()),
            _ => Look::Missed,
        }
    }

    /// The change up to which such a reader knows the part, if there is nothing new.
    pub fn knows_up_to(&self, known: u64) -> u64 {
        let tree = self.watches.lock();
        let is_unchanged = known >= lock(&self.watch.latest).changed;
        if is_unchanged { known.max(tree.number) } else { known }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut tree = self.watches.lock();
        // The tree holds it, too.
        if Arc::strong_count(&self.watch) == 2 {
            tree.root.remove(&self.watch.pointer);
            if tree.root.is_empty() {
                tree.before = None;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
