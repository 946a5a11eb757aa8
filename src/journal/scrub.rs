//! The scrub: reads a journal in use again and again, so that damage is found while a peer still has what is
//! needed to mend it.
//!
//! A start from a checkpoint reads only what follows it. So the whole journal and the base are read once soon
//! after the start, and then slowly for ever. Every second the scrub also checks that the file is still at
//! its path.

use std::time::{Duration, Instant};

use smol::Timer;

use super::reader::{Checked, FileReader};
use crate::blocking::unblock;

/// About how many bytes are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// How many bytes a second are read right after the start, and as long as damage is known: to find the rest
/// of the damage, or that it is mended.
const SOON_BYTES_A_SECOND: u64 = 8 << 20;

/// How long a later pass takes, unless the disk or the processor is too slow for that.
const PASS_TIME: Duration = Duration::from_secs(3600);

/// The rest after a piece is at least this many times as long as reading it took.
const RESTS: u32 = 99;

/// How often the scrub checks that the file is still at its path.
const TICK: Duration = Duration::from_secs(1);

/// A pass over the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    /// Whether it must be done soon.
    is_urgent: bool,
    /// The position to read on from.
    next: u64,
    /// Whether damage was known when it began, and whether it has found damage.
    knew: bool,
    found: bool,
}

impl Pass {
    fn new(is_urgent: bool, knew: bool) -> Self {
        Self { is_urgent, next: 0, knew, found: false }
    }

    /// How long to rest after `bytes` of `total` bytes were read in the time `took`.
    fn rest(self, bytes: u64, total: u64, took: Duration) -> Duration {
        if self.is_urgent {
            let due = Duration::from_secs_f64(bytes as f64 / SOON_BYTES_A_SECOND as f64);
            return due.saturating_sub(took);
        }
        let share = bytes as f64 / total.max(1) as f64;
        PASS_TIME.mul_f64(share.min(1.0)).saturating_sub(took).max(took * RESTS)
    }

    /// The pass that goes on after `checked`, and whether earlier damage is now known to be mended.
    fn after(self, checked: &Checked, knows: bool) -> (Self, bool) {
        let found = self.found || checked.damage.is_some();
        match checked.next {
            Some(next) => (Self { next, found, ..self }, false),
            None => {
                let is_mended = self.knew && !found;
                let knows = knows && !is_mended;
                (Self::new(knows, knows), is_mended)
            }
        }
    }
}

/// Reads the journal for ever.
pub async fn watch(reader: FileReader) {
    let mut pass = Pass::new(true, false);
    loop {
        let (from, reading, begin) = (pass.next, reader.clone(), Instant::now());
        let checked = unblock(move || reading.check(from, PIECE_BYTES)).await;
        let rest = pass.rest(checked.bytes, reader.bytes(), begin.elapsed());
        let is_mended;
        (pass, is_mended) = pass.after(&checked, reader.damage().is_some());
        if is_mended {
            reader.is_mended();
        }
        let until = Instant::now() + rest.max(Duration::from_millis(1));
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            Timer::at(until.min(now + TICK)).await;
            let looking = reader.clone();
            // This logs and notes what it finds.
            unblock(move || looking.check_place(looking.end()).ok()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::reader::DamagedFile;
    use crate::journal::scan::{Damage, DamageCause};

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_hundred_megabytes_are_read_within_twenty_seconds_and_then_once_an_hour() {
        let took = Duration::from_millis(2);
        for (is_urgent, total, least, most) in [
            (true, 100 * MIB, 10, 15),
            (false, 100 * MIB, 3590, 3600),
            (false, MIB, 3590, 3600),
            // Two milliseconds a piece: with rests of 99 times that, a pass takes longer.
            (false, 100_000 * MIB, 19_000, 21_000),
        ] {
            let pass = Pass::new(is_urgent, false);
            let piece = pass.rest(MIB, total, took) + took;
            let all = piece * u32::try_from(total / MIB).unwrap();
            assert!((least..=most).contains(&all.as_secs()), "{is_urgent} {total}: {all:?}");
        }
    }

    #[test]
    fn a_slow_disk_is_given_time() {
        let took = Duration::from_secs(3);
        assert_eq!(Pass::new(true, false).rest(MIB, MIB, took), Duration::ZERO);
        assert_eq!(Pass::new(false, false).rest(0, 0, took), took * RESTS);
    }

    #[test]
    fn damage_makes_passes_urgent_until_one_finds_none() {
        let good = |next| Checked { next, bytes: 1, damage: None };
        let bad = |next| {
            let damage = Damage { offset: 1, why: DamageCause::Missing };
            let damage = Some(DamagedFile { file: "journal".into(), damage });
            Checked { next, bytes: 1, damage }
        };
        let first = Pass::new(true, false);
        let (pass, mended) = first.after(&good(Some(4)), false);
        assert_eq!((pass, mended), (Pass { next: 4, ..first }, false));
        // None was found; but damage that a reader has found meanwhile is not forgotten.
        assert_eq!(pass.after(&good(None), false), (Pass::new(false, false), false));
        assert_eq!(pass.after(&good(None), true), (Pass::new(true, true), false));
        let (pass, _) = pass.after(&bad(Some(5)), true);
        let (pass, mended) = pass.after(&good(None), true);
        assert_eq!((pass, mended), (Pass::new(true, true), false));
        let (pass, _) = pass.after(&good(Some(5)), true);
        assert_eq!(pass.after(&good(None), true), (Pass::new(false, false), true));
    }
}
