//! How a line of the log is written: as text for people, or as JSON for programs.
//!
//! A message is always one line: text from outside is made [`visible`], and cut.

use std::ffi::OsString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::Level;
use serde::Serialize;

use crate::foreign::visible;

/// The longest text of a line: a patch's path has up to 1 MiB.
pub const MOST_LINE_BYTES: usize = 4096;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
const DAYS_IN_400_YEARS: u64 = 400 * 365 + 97;

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-11-27T21:26:41.123Z WARN  ...`
    #[default]
    Text,
    /// One object a line, with `time`, `level`, `target` and `message`.
    Json,
}

/// What a line says, and which module says it.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// When.
    pub time: SystemTime,
    /// How urgent it is.
    pub level: Level,
    /// The module that says it.
    pub target: &'a str,
    /// What it says.
    pub message: &'a str,
}

impl LogFormat {
    /// The format in a wrong command line, so that its error is told in that format. `default` is the value in
    /// the environment.
    pub fn asked_for(arguments: &[OsString], default: Option<OsString>) -> Self {
        let (mut format, mut is_next) = (default, false);
        for argument in arguments {
            let text = argument.to_string_lossy();
            if is_next {
                format = Some(argument.clone());
            } else if let Some(value) = text.strip_prefix("--log-format=") {
                format = Some(value.into());
            }
            is_next = text == "--log-format";
        }
        if format.is_some_and(|format| format == "json") { Self::Json } else { Self::Text }
    }

    /// The line, without a line feed.
    pub fn line(self, line: &LogLine) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            time: String,
            level: &'a str,
            target: &'a str,
            message: String,
        }
        let LogLine { level, target, .. } = *line;
        let (time, message) = (rfc3339(line.time), visible(line.message, MOST_LINE_BYTES));
        match self {
            Self::Text => format!("{time} {level:5} {message}"),
            Self::Json => {
                let object = Object { time, level: level.as_str(), target, message };
                serde_json::to_string(&object).expect("strings always have a JSON text")
            }
        }
    }
}

/// The time in UTC, with milliseconds, as RFC 3339 writes it. A time before 1970 is shown as the beginning of
/// 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (year, month, day) = date(since.as_secs() / SECONDS_A_DAY);
    let second = since.as_secs() % SECONDS_A_DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milli = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of a number of days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // The calendar repeats every 400 years. So the loop ends soon, whatever the clock says.
    let mut year = 1970 + days / DAYS_IN_400_YEARS * 400;
    let mut day = days % DAYS_IN_400_YEARS;
    let days_in_year = |year| 337 + days_in_february(year);
    while day >= days_in_year(year) {
        day -= days_in_year(year);
        year += 1;
    }
    let months = [31, days_in_february(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for days in months {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (year, month, day + 1)
}

fn days_in_february(year: u64) -> u64 {
    let is_leap_year =
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap_year { 29 } else { 28 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_rfc_3339_writes_them() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (1_795_814_801_123, "2026-11-27T21:26:41.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), expected);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_has_the_date_that_http_gives_it() {
        for days in 0..DAYS_IN_400_YEARS {
            let time = UNIX_EPOCH + Duration::from_secs(days * SECONDS_A_DAY);
            // Such as `Thu, 01 Jan 1970 00:00:00 GMT`.
            let http = httpdate::fmt_http_date(time);
            let ours = rfc3339(time);
            assert_eq!(ours[..4], http[12..16], "{http}");
            assert_eq!(ours[8..10], http[5..7], "{http}");
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(&http[8..11]).unwrap() / 3 + 1;
            assert_eq!(ours[5..7].parse(), Ok(month), "{http}");
        }
    }

    #[test]
    fn a_line_is_one_line_in_each_format() {
        let line = LogLine {
            time: UNIX_EPOCH + Duration::from_millis(1_795_814_801_123),
            level: Level::Warn,
            target: "patchmesh::mesh",
            message: "peer \"b:1\":\n\u{1b}[2J",
        };
        assert_eq!(
            LogFormat::Text.line(&line),
            r#"2026-11-27T21:26:41.123Z WARN  peer "b:1":\n\u{1b}[2J"#
        );
        let json = LogFormat::Json.line(&line);
        assert!(
            json.starts_with(r#"{"time":"2026-11-27T21:26:41.123Z","level":"WARN","#),
            "{json}"
        );
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["target"], "patchmesh::mesh");
        assert_eq!(object["message"], r#"peer "b:1":\n\u{1b}[2J"#);
        assert!(!json.contains('\n'), "{json}");
        let long = "a".repeat(MOST_LINE_BYTES + 1);
        let cut = LogFormat::Text.line(&LogLine { message: &long, ..line });
        assert!(cut.ends_with("a...") && cut.len() < MOST_LINE_BYTES + 40, "{cut}");
    }

    #[test]
    fn what_is_asked_for_is_seen_in_a_bad_command_line() {
        for (arguments, default, expected) in [
            ("", None, LogFormat::Text),
            ("", Some("json"), LogFormat::Json),
            ("--nonsense --log-format json", None, LogFormat::Json),
            ("--log-format=json --nonsense", None, LogFormat::Json),
            ("--log-format=json --log-format text", None, LogFormat::Text),
            ("--log-format text", Some("json"), LogFormat::Text),
            ("json --log-format", None, LogFormat::Text),
        ] {
            let list: Vec<_> = arguments.split(' ').map(OsString::from).collect();
            let format = LogFormat::asked_for(&list, default.map(OsString::from));
            assert_eq!(format, expected, "{arguments}");
        }
    }
}
