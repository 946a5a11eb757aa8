//! Takes a base from a peer: on a new node, after a long absence, or if this node has found that it differs.

use std::collections::BTreeMap;
use std::io;

use super::background::Background;
use super::journal_past::{STRETCH_BYTES, STRETCH_RECORDS};
use super::lives::LifeEnd;
use super::{Manager, wall_clock};
use crate::drops;
use crate::replica::history::Check;
use crate::replica::{Acceptance, Base, Difference, MAX_AHEAD_MICROS, Rebase, Refusal};
use crate::source::Source;
use crate::transaction::{Name, Record};

/// How many sources the log names if transactions of them are lost.
const LOST_TOLD: usize = 20;

/// The outcome of taking a base that a peer gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseOutcome {
    /// This node goes on from it.
    InPlace,
    /// It may not be taken.
    Refused(Refusal),
    /// It could not be kept, or the journal could not be read, for this reason.
    Failed(String),
}

/// The check of a large document against the hash of a commit, by another thread.
pub struct Checking {
    check: Check,
    work: Background<bool>,
}

impl Checking {
    fn begin(check: Check) -> Self {
        let document = check.clone();
        Self { check, work: Background::new(smol::unblock(move || document.is_right())) }
    }

    /// The comparison.
    pub fn work(&mut self) -> &mut Background<bool> {
        &mut self.work
    }
}

impl Manager {
    /// Has the document at the last commit compared with the hash of that commit, and notes the result.
    pub(super) async fn check_where_due(&mut self) {
        if let Some(Checking { check, work }) = &mut self.checking
            && work.is_done().await
            && let Some(is_right) = work.take()
        {
            let before = self.replica.difference().cloned();
            self.replica.note_check(check, is_right);
            self.checking = None;
            self.tell_difference(before.as_ref());
            self.publisher.publish(&self.replica, self.counters);
        }
        if self.checking.is_none() {
            self.checking = self.replica.check().map(Checking::begin);
        }
    }

    /// Takes a base that `peer` gave.
    ///
    /// # Errors
    /// If the journal cannot be used any more.
    pub(super) async fn take_base(&mut self, base: Base, peer: &str) -> io::Result<BaseOutcome> {
        let ahead_micros = base.greatest_time().micros_after(wall_clock());
        if ahead_micros > MAX_AHEAD_MICROS {
            let ahead = ahead_micros / 1_000_000;
            let why = format!(
                "a time in it is {ahead} s ahead of this node's clock, and an hour is allowed"
            );
            log::error!("the base that {peer} gave is not taken: {why}");
            return Ok(BaseOutcome::Failed(why));
        }
        let rebase = match self.replica.rebase(base) {
            Ok(rebase) => rebase,
            Err(refusal) => return Ok(BaseOutcome::Refused(refusal)),
        };
        let taken = self.try_take(rebase, peer).await?;
        if let Err(why) = taken {
            log::error!("the base that {peer} gave is not taken: {why}");
            return Ok(BaseOutcome::Failed(why));
        }
        Ok(BaseOutcome::InPlace)
    }

    /// Writes the transactions that stay to the end of the journal first, and then the base. So if the process ends
    /// at any moment, the next start finds all that was acknowledged.
    async fn try_take(&mut self, mut rebase: Rebase, peer: &str) -> io::Result<Result<(), String>> {
        if let Err(why) = self.look_through(&mut rebase).await {
            return Ok(Err(why.to_string()));
        }
        if rebase.needs_life() {
            let before = self.replica.life().source().clone();
            self.begin_life(LifeEnd::Rebased).await?;
            if *self.replica.life().source() == before {
                return Ok(Err("what stays would have to be stamped by a new life".into()));
            }
        }
        let void = rebase.take_void(&self.replica);
        let life = self.replica.life();
        let (base, kept, lost) = rebase.finish(life, self.replica.next_id(life.stamper()));
        if let Err(error) = self.journal.roll().await {
            return Ok(Err(self.not_appended(error)?.to_string()));
        }
        let position = self.replica.length();
        if !kept.is_empty()
            && let Err(error) = self.journal.append(kept.clone(), false).await
        {
            return Ok(Err(self.not_appended(error)?.to_string()));
        }
        let now = wall_clock();
        if let Some(keeper) = &mut self.keeper {
            if let Err(why) = keeper.keep_base(base.clone(), position, self.replica.own()).await {
                // They are in the journal all the same, and most of them are now in it twice.
                self.with_replica(true, move |replica, past| {
                    replica.go_on_without(&kept, position, now, past)
                })
                .await?;
                return Ok(Err(why));
            }
            keeper.forget();
        }
        let before = self.replica.clone();
        let (length, commit) = (base.length, base.committed.commit.clone());
        let count = kept.len();
        self.with_replica(true, move |replica, past| {
            replica.enter(base, &kept, position, now, past)
        })
        .await?;
        self.folds.clear();
        self.counters.generation += 1;
        let commit = commit.as_ref().map_or_else(String::new, told);
        match before.difference() {
            None => log::info!(
                "this node goes on from a base that {peer} gave: it stands for {length} transactions, up to \
                 {commit}; {count} of its own stay"
            ),
            Some(_) => log::warn!(
                "this node has the right document again: it goes on from a base that {peer} gave, up to \
                 {commit}; {count} of its own transactions stay"
            ),
        }
        for (source, first, next) in lost.iter().take(LOST_TOLD) {
            log::error!(
                "of {source} what this node had of the Ids {first} to {} is lost: only its old base had it",
                next - 1
            );
        }
        self.tell_void(&void);
        self.tell_difference(before.difference());
        let last = self.publisher.publish(&self.replica, self.counters);
        drops::send((before, last), u64::MAX);
        self.drop_journal_before(position).await;
        // The base may say that all Ids of this life are used.
        self.live_on(&Acceptance::default()).await?;
        Ok(Ok(()))
    }

    /// Logs which transactions of this node turned out to be void.
    fn tell_void(&mut self, void: &[Record]) {
        self.counters.void += void.len() as u64;
        let mut by_source: BTreeMap<&Source, (u64, u64, u64)> = BTreeMap::new();
        for (source, id) in void.iter().map(Record::name) {
            let (first, last, count) = by_source.entry(source).or_insert((id, id, 0));
            (*first, *last, *count) = (id.min(*first), id.max(*last), *count + 1);
        }
        for (source, (first, last, count)) in by_source.into_iter().take(LOST_TOLD) {
            log::error!(
                "of {source} {count} of the transactions {first} to {last} are void: this node had them and the \
                 primary had not heard of them when all of their time was final for longer than the horizon"
            );
        }
    }

    async fn look_through(&self, rebase: &mut Rebase) -> io::Result<()> {
        let (journal, mut position) = (self.journal.reader(), rebase.begin());
        loop {
            let records = journal.read(position, STRETCH_RECORDS, STRETCH_BYTES).await?;
            if records.is_empty() {
                return Ok(());
            }
            for record in &records {
                rebase.look_at(record).map_err(io::Error::other)?;
            }
            position += records.len() as u64;
        }
    }

    /// If this node has found that it differs, logs it, and has its streams begin again.
    pub(super) fn tell_difference(&mut self, before: Option<&Difference>) {
        let now = self.replica.difference();
        if now == before {
            return;
        }
        let Some(now) = now else { return };
        self.counters.generation += 1;
        let what = match now {
            Difference::Hash(at) => {
                format!("the document at {} is another one than the primary's", told(at))
            }
            Difference::Lacks(at) => {
                format!("{} makes something final that is not here", told(at))
            }
            Difference::Outside(_) => {
                "what this node holds to be final is not part of what is final now".into()
            }
        };
        log::error!(
            "{what}. This node takes what is final from a peer in place of its own; until then /healthz is 503"
        );
    }
}

/// The text for a commit in the log.
fn told(Name { source, id }: &Name) -> String {
    format!("commit {id} of {source}")
}
