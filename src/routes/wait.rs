//! Waiting for the document to move: long polls, and reading what was written elsewhere.

use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::FutureExt;

use super::bad_request;
use crate::clock::VectorClock;
use crate::http::{Problem, Request, Response};
use crate::manager::Handle;

/// How long is waited unless asked for another time, and at most.
const WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The least time between two looks, once a wait has lasted: where others write all the time, most of
/// what comes is not what is waited for. Before, it is this share of the time waited.
const PACE: Duration = Duration::from_millis(10);
const PACE_SHARE: u32 = 8;

/// What a request waits for.
pub struct Wait {
    clock: VectorClock,
    /// Whether more than that has to have been seen.
    past: bool,
    longest: Duration,
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited {
    /// With what was waited for.
    Seen,
    /// With nothing new.
    Unmoved,
}

impl Wait {
    /// What a request waits for; none where it does not.
    pub fn of(request: &Request) -> Result<Option<Self>, Response> {
        let clock = |name| {
            let Some(text) = request.query_parameter(name)? else { return Ok(None) };
            let clock = serde_json::from_str(&text).map_err(|error| {
                let detail = format!("the query parameter {name} is not a vector clock: {error}");
                bad_request(detail)
            })?;
            Ok::<_, Response>(Some(clock))
        };
        let (clock, past) = match (clock("after")?, clock("seen")?) {
            (None, None) => return Ok(None),
            (Some(clock), None) => (clock, true),
            (None, Some(clock)) => (clock, false),
            (Some(_), Some(_)) => {
                return Err(bad_request("there are both after and seen: which is meant?"));
            }
        };
        let longest = match request.query_parameter("wait")? {
            None => WAIT,
            Some(text) => duration(&text).ok_or_else(|| {
                bad_request(format!("the query parameter wait is {text:?}, not like 30s or 500ms"))
            })?,
        };
        Ok(Some(Self { clock, past, longest: longest.min(LONGEST_WAIT) }))
    }

    /// Waits.
    pub async fn wait(&self, handle: &Handle) -> Result<Waited, Response> {
        let begin = Instant::now();
        let deadline = begin + self.longest;
        let mut subscription = None;
        loop {
            let look = Instant::now();
            let vclock = handle.vclock().await?;
            if vclock.covers(&self.clock) && !(self.past && self.clock.covers(&vclock)) {
                return Ok(Waited::Seen);
            }
            if look >= deadline {
                return match missing(&vclock, &self.clock) {
                    None => Ok(Waited::Unmoved),
                    Some(problem) => Err(problem.into()),
                };
            }
            let Some(grown) = &subscription else {
                // What came in between is seen when this looks again.
                subscription = Some(handle.subscribe().await?);
                continue;
            };
            let growth = async {
                // Where the manager has ended, the next look says so.
                let _ = grown.recv().await;
                let next_look = look + PACE.min(begin.elapsed() / PACE_SHARE);
                if next_look > Instant::now() {
                    Timer::at(next_look).await;
                }
            };
            let time_over = async {
                Timer::at(deadline).await;
            };
            growth.or(time_over).await;
        }
    }
}

/// What `vclock` lacks of `wanted`; none where it has all.
fn missing(vclock: &VectorClock, wanted: &VectorClock) -> Option<Problem> {
    let lacks: Vec<_> =
        wanted.iter().filter(|(source, next)| vclock.next_id(source) < *next).collect();
    let (source, next) = lacks.first()?;
    let others = match lacks.len() {
        1 => String::new(),
        count => format!(", nor what is missing of {} other sources", count - 1),
    };
    let detail = format!(
        "this node has not received transaction {} of {source} in this time{others}",
        next - 1
    );
    Some(Problem::new(504, detail))
}

/// A time such as `30s`, `500ms` or `30`, which is in seconds.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit): (_, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(digits) => (digits, Duration::from_millis),
        None => (text.strip_suffix('s').unwrap_or(text), Duration::from_secs),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More than fits is longer than the longest wait in any case.
    is_number.then(|| digits.parse().map_or(Duration::MAX, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        let table = [
            ("30s", Some(Duration::from_secs(30))),
            ("0s", Some(Duration::ZERO)),
            ("7", Some(Duration::from_secs(7))),
            ("250ms", Some(Duration::from_millis(250))),
            ("99999999999999999999s", Some(Duration::MAX)),
            ("", None),
            ("s", None),
            ("ms", None),
            ("1m", None),
            ("+1s", None),
            ("-1s", None),
            ("1.5s", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
