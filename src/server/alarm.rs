//! The timer of a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use smol::Timer;

/// A timer whose deadline every request moves.
///
/// To set a timer costs a registration and a wake-up of the reactor, and most deadlines are moved long before
/// they are reached. So the timer is set again only if it would ring too late. If it rings too early, it is set
/// to the present deadline.
pub(super) struct Alarm {
    timer: Timer,
    rings_at: Option<Instant>,
}

impl Alarm {
    /// A timer that never rings.
    pub fn new() -> Self {
        Alarm { timer: Timer::never(), rings_at: None }
    }

    /// Is ready when the deadline is over.
    pub fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.rings_at.is_none_or(|rings_at| deadline < rings_at) {
                self.timer.set_at(deadline);
                self.rings_at = Some(deadline);
            }
            if Pin::new(&mut self.timer).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.rings_at = None;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
