//! Begins a new life while the node runs.
//!
//! Two transactions must never have the same stamp. If other nodes know different transactions under Ids of this
//! node (its directory was put back to an old copy and written to), or if no Ids are left, it goes on as another
//! source.

use std::io;
use std::time::{Duration, Instant};

use super::Manager;
use crate::journal::AppendError;
use crate::replica::Acceptance;
use crate::source::Source;

/// The least time between two new lives, so that a peer cannot make a node begin many.
const PAUSE: Duration = Duration::from_secs(60);

/// Why a life ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum LifeEnd {
    /// It has no Ids left.
    UsedUp,
    /// Other nodes know different transactions under its Ids.
    Contradicted,
    /// A base was taken, and its transactions need new stamps.
    Rebased,
}

impl Manager {
    /// Begins a new life if the last submissions show that this one must end.
    ///
    /// # Errors
    /// If the journal cannot be used any more.
    pub(super) async fn live_on(&mut self, acceptance: &Acceptance) -> io::Result<()> {
        if acceptance.equivocations.is_empty() && !self.replica.is_used_up() {
            return Ok(());
        }
        let life = self.replica.life();
        let is_own = |source: &Source| [life.source(), life.stamper()].contains(&source);
        let contradiction = acceptance
            .equivocations
            .iter()
            .any(|equivocation| is_own(&equivocation.known.place.source));
        let cause = if self.replica.is_used_up() {
            LifeEnd::UsedUp
        } else if contradiction {
            LifeEnd::Contradicted
        } else {
            return Ok(());
        };
        if self.life_begun.is_none_or(|begun| begun.elapsed() >= PAUSE) {
            self.life_begun = Some(Instant::now());
            return self.begin_life(cause).await;
        }
        Ok(())
    }

    pub(super) async fn begin_life(&mut self, cause: LifeEnd) -> io::Result<()> {
        let old = self.replica.life().source().clone();
        let name = old.life_name().unwrap_or(old.as_str());
        let Ok(new) = Source::begin_life(name, fastrand::u64(..)) else {
            log::error!("{old} cannot go on as another source: its name is too long");
            return Ok(());
        };
        match self.journal.begin_life(&new).await {
            Ok(()) => {}
            Err(AppendError::Full(error) | AppendError::Lost(error)) => {
                log::error!(
                    "{old} cannot go on as {new}, since its journal does not take that: {error}"
                );
                return Ok(());
            }
            Err(AppendError::Broken(error)) => return Err(error),
        }
        self.replica.begin_life(new.clone()).expect("a life leaves room for its stamps");
        *self.source.write() = new.clone();
        match cause {
            LifeEnd::UsedUp => log::warn!("{old} has no Ids left; this node goes on as {new}"),
            LifeEnd::Rebased => log::warn!("this node goes on as {new}, not as {old}"),
            LifeEnd::Contradicted => log::error!(
                "a peer has other transactions under Ids of {old} than this node: its directory was \
                 put back to an old copy, and written to before it met its peers. It goes on as {new}. What \
                 it has written under those Ids stays on this node alone, and what the others have under them \
                 it lacks: stop it, and mend its directory with `patchmesh verify DIR --rebuild-from PEER`"
            ),
        }
        Ok(())
    }
}
