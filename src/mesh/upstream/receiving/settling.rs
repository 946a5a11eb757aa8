//! What a stream submits to the manager, and what becomes of it.

use std::time::Duration;

use super::{Intake, LONG_WORK, Receiving};
use crate::manager::{BaseOutcome, Outcome, Submitted, wall_clock};
use crate::mesh::upstream::MAX_PEER_SOURCES;
use crate::mesh::upstream::batch::PeerBatch;
use crate::mesh::upstream::end::ReceivingEnd;
use crate::mesh::upstream::plain_peer::{PlainVerdict, SubmittedFresh};
use crate::replica::Refusal;
use crate::transaction::Transaction;

impl Receiving<'_> {
    /// Whether to submit a transaction. One with a `Time` always is.
    pub(super) async fn is_wanted(&mut self, transaction: &Transaction) -> bool {
        if transaction.time.is_some() {
            return true;
        }
        let name = transaction.name();
        // A plain node forwards these without their `Time`: commits, or the parts of a document.
        if name.source.is_reserved() {
            return false;
        }
        let handle = &self.upstream.handle;
        if name.source == handle.source() {
            // A node never stamps its own transaction again: it has it, or has lost it.
            if handle.count_on_from(&name).await {
                self.account.leave_out_own(&name);
            }
            return false;
        }
        match self.account.memory.judge(&name.source, name.id) {
            PlainVerdict::Submit => true,
            PlainVerdict::RefusedBefore => false,
            PlainVerdict::OutOfOrder => {
                self.account.leave_out(&name.source, name.id);
                self.status().left_out += 1;
                false
            }
        }
    }

    /// Submits the gathered transactions.
    pub(super) fn submit(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        {
            let mut status = self.status();
            status.heard = Some(wall_clock());
            status.received += gathered.count();
            let vclock = status.vclock.get_or_insert_default();
            for (source, id) in gathered.transactions.iter().map(Transaction::stamp) {
                if vclock.next_id(source) > 0 || vclock.sources() < MAX_PEER_SOURCES {
                    vclock.advance(source, id);
                }
            }
            let last = gathered.transactions.last().and_then(|transaction| transaction.time);
            status.delay_ms = last.map(|time| wall_clock().micros_after(time) / 1000);
        }
        self.intake = Intake::Submitting(PeerBatch::submit(gathered, &self.upstream.handle));
        self.lag.set(!std::mem::take(&mut self.has_heard_all));
        self.long_work.set_after(LONG_WORK);
    }

    /// Takes in the answers for a batch. The stream ends if a transaction was not kept: what follows must not
    /// hide that it is missing.
    pub(super) async fn settle(&mut self, answers: Vec<Submitted>) -> Result<(), ReceivingEnd> {
        let Intake::Submitting(batch) = std::mem::take(&mut self.intake) else { return Ok(()) };
        let (news, known) = news_and_known(&answers);
        self.settle_fresh(&batch.fresh, &answers).await;
        let now = wall_clock();
        for answer in answers {
            match answer {
                Ok(Outcome::Accepted(record)) => {
                    let micros = now.micros_after(record.place.time);
                    let delays = &self.upstream.handle.durations().delays;
                    delays.observe(Duration::from_micros(micros));
                }
                Ok(Outcome::Known { .. } | Outcome::Refused(_) | Outcome::Void) => (),
                Ok(Outcome::Early { ahead_micros }) => {
                    return Err(ReceivingEnd::Early(ahead_micros));
                }
                Err(error) => return Err(ReceivingEnd::Unkept(error)),
            }
        }
        if let Some(link) = &self.link {
            link.settle(news, known, self.gathered.transactions.is_empty());
        }
        self.backlog.settled(batch.count);
        self.status().behind = self.backlog.lacking(self.waiting());
        self.holds()?;
        if batch.reaches_end {
            self.reaches_end();
        }
        Ok(())
    }

    /// Takes in the answers for the transactions without `Time`.
    async fn settle_fresh(&mut self, fresh: &[SubmittedFresh], answers: &[Submitted]) {
        let before = self.account.left_out();
        for sent in fresh {
            let Some(answer) = answers.get(sent.index) else { break };
            if self.account.answer(sent, answer)
                && let Ok(Some((record, _))) = self.upstream.query.record(&sent.name).await
                && record.transaction().is_ok_and(|known| !sent.is(&known))
            {
                self.account.differs(&sent.name);
            }
        }
        self.status().left_out += self.account.left_out() - before;
    }

    /// Takes in the outcome of a base.
    pub(super) fn settle_base(&mut self, taken: BaseOutcome) -> Result<(), ReceivingEnd> {
        self.intake = Intake::Idle;
        match taken {
            BaseOutcome::InPlace => {
                {
                    let mut status = self.status();
                    status.bases += 1;
                    status.forget_comparison();
                }
                // What the peer sends after its base does not depend on this node's state.
                self.generation = self.upstream.handle.generation();
                Ok(())
            }
            // What the peer sends after the base is still all that the base does not cover.
            BaseOutcome::Refused(Refusal::Needless) => Ok(()),
            BaseOutcome::Refused(refusal) => Err(ReceivingEnd::BaseRefused(refusal)),
            BaseOutcome::Failed(why) => Err(ReceivingEnd::BaseUnkept(why)),
        }
    }
}

/// How many transactions were new, and how many known.
fn news_and_known(answers: &[Submitted]) -> (u64, u64) {
    answers.iter().fold((0, 0), |(news, known), answer| match answer {
        Ok(Outcome::Accepted(_)) => (news + 1, known),
        Ok(Outcome::Known { .. }) => (news, known + 1),
        _ => (news, known),
    })
}
