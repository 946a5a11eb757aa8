//! Compares documents with a peer that counts the same transactions.

use super::end::ReceivingEnd;
use super::upstream_status::Divergence;
use super::{MAX_PEER_SOURCES, Upstream};
use crate::manager::StateHash;

impl Upstream {
    /// Compares this node's state with the peer's.
    ///
    /// # Errors
    /// If they differ now and did not differ at the last comparison.
    pub(super) async fn compare(&self, theirs: &StateHash) -> Result<(), ReceivingEnd> {
        let state = self.handle.state();
        let vclock = state.stamps();
        if !theirs.is_of(vclock) {
            return Ok(());
        }
        if vclock.sources() <= MAX_PEER_SOURCES {
            self.status().vclock = Some(vclock.clone());
        }
        let Some(ours) = self.handle.state_hash().await else { return Ok(()) };
        if ours.clock != theirs.clock {
            return Ok(());
        }
        let agrees = ours.state == theirs.state;
        let mut status = self.status();
        let peer = status.named().to_string();
        status.agrees = Some(agrees);
        let before = status.divergence.take();
        if !agrees {
            let (here, there) = (ours.state.to_string(), theirs.state.to_string());
            if before.is_none() {
                status.divergences += 1;
                log::error!(
                    "peer {peer}: it counts the same transactions and has another document: state hash \
                     {here} here, {there} there. {}",
                    Divergence::CURE
                );
            }
            status.divergence = Some(Divergence { here, there });
            if before.is_none() {
                return Err(ReceivingEnd::Diverged);
            }
        } else if before.is_some() {
            log::info!("peer {peer}: it has the same document again");
        }
        Ok(())
    }
}
