//! When the other side counts as gone.

use std::time::Duration;

/// How often a stream is checked. Its downstream pings then, which its upstream hears.
pub const TICK: Duration = Duration::from_secs(10);

/// How long the other side may be silent before the stream is closed.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Notices that nothing was heard for [`SILENCE_LIMIT`], at most a [`TICK`] late.
#[derive(Debug, Default)]
pub struct PeerSilence {
    signs_of_life: u64,
    ticks: u32,
}

impl PeerSilence {
    /// Another [`TICK`] has passed. `signs_of_life` is another number than at the last one if something was
    /// heard since. Returns whether the other side counts as gone.
    #[must_use]
    pub fn tick(&mut self, signs_of_life: u64) -> bool {
        if signs_of_life == self.signs_of_life {
            self.ticks += 1;
        } else {
            self.signs_of_life = signs_of_life;
            self.ticks = 0;
        }
        TICK * self.ticks >= SILENCE_LIMIT
    }

    /// Whether something was heard in the last [`TICK`].
    pub fn is_broken(&self) -> bool {
        self.ticks == 0
    }

    /// The silence until now was not the fault of the other side.
    pub fn forgive(&mut self) {
        self.ticks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tick at which a stream is given up, if something was heard before each tick in `heard`.
    fn given_up_at(heard: &[u32]) -> u32 {
        let mut silence = PeerSilence::default();
        let mut signs_of_life = 0;
        let is_silent = |tick: &u32| {
            signs_of_life += u64::from(heard.contains(tick));
            silence.tick(signs_of_life)
        };
        (1..100).find(is_silent).expect("it is given up some time")
    }

    #[test]
    fn after_three_ticks_without_a_sign_of_life_a_stream_is_given_up() {
        assert_eq!(given_up_at(&[]), 3);
        assert_eq!(given_up_at(&[1]), 4);
        assert_eq!(given_up_at(&[1, 2, 3, 4]), 7);
        assert_eq!(given_up_at(&[2, 4, 6, 8, 12]), 11);
        assert_eq!(given_up_at(&[3, 6, 9]), 12);
    }

    #[test]
    fn what_is_forgiven_does_not_count() {
        let mut silence = PeerSilence::default();
        for _ in 0..10 {
            assert!(!silence.tick(0) && !silence.tick(0));
            silence.forgive();
        }
        assert!(!silence.tick(0) && !silence.tick(0) && silence.tick(0));
    }
}
