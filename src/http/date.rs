//! The `Date` header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: the format has four digits for a year.
const LAST_DATE_SECONDS: u64 = 253_402_300_799;

/// The text of the `Date` header, made once a second.
#[derive(Debug, Default)]
pub struct DateCache {
    seconds: Option<u64>,
    text: String,
}

impl DateCache {
    /// The time in HTTP's format.
    pub fn text(&mut self, now: SystemTime) -> &str {
        // httpdate panics for years that only a wrong clock has.
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs().min(LAST_DATE_SECONDS);
        if self.seconds != Some(seconds) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            self.text = httpdate::fmt_http_date(time);
            self.seconds = Some(seconds);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_clocks_that_are_far_off_do_not_panic() {
        let mut cache = DateCache::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(cache.text(at(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.text(at(784_111_778)), "Sun, 06 Nov 1994 08:49:38 GMT");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(cache.text(before), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.text(at(300_000_000_000)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
