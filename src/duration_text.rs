//! Durations as text: a whole number with a unit behind it, such as `500ms`, `90s` or `7d`.

use std::time::Duration;

/// A unit: its name, and how many milliseconds it has.
pub type Unit = (&'static str, u64);

pub const MILLISECONDS: Unit = ("ms", 1);
pub const SECONDS: Unit = ("s", 1000);
pub const MINUTES: Unit = ("m", 60 * SECONDS.1);
pub const HOURS: Unit = ("h", 60 * MINUTES.1);
pub const DAYS: Unit = ("d", 24 * HOURS.1);

/// Reads a duration in one of these units; none if the text is not one. A duration that does not fit is
/// [`Duration::MAX`], which is longer than any limit.
pub fn parse_duration(text: &str, units: &[Unit]) -> Option<Duration> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (_, millis) = units.iter().find(|(name, _)| *name == unit)?;
    if digits.is_empty() {
        return None;
    }
    let product = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*millis));
    Some(product.map_or(Duration::MAX, Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let units = [MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS];
        let table = [
            ("250ms", Some(Duration::from_millis(250))),
            ("0s", Some(Duration::ZERO)),
            ("090s", Some(Duration::from_secs(90))),
            ("30m", Some(Duration::from_secs(1800))),
            ("24h", Some(Duration::from_secs(24 * 3600))),
            ("7d", Some(Duration::from_secs(7 * 24 * 3600))),
            ("99999999999999999999s", Some(Duration::MAX)),
            ("18446744073709551615d", Some(Duration::MAX)),
            ("", None),
            ("7", None),
            ("s", None),
            ("ms", None),
            ("1w", None),
            ("1 s", None),
            ("+1s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1é", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration(text, &units), expected, "{text}");
        }
        assert_eq!(parse_duration("1m", &[SECONDS, MILLISECONDS]), None, "another unit");
    }
}
