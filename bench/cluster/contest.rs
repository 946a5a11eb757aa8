//! Contenders under the same load, in turns.

use std::time::Duration;

use crate::Size;
use crate::load::{self, Figures, Target};
use crate::median::median;
use crate::usage::Usage;

/// One server under load.
pub struct Contender<'a> {
    pub name: &'a str,
    pub target: Target,
    /// Its process.
    pub process: u32,
}

/// What one round showed of a contender.
struct Round {
    figures: Figures,
    /// What the contender used for it.
    used: Duration,
}

/// Puts the contenders under the load of so many connections, and prints a table row for each: the
/// first is the one that the others are compared to.
pub fn contest(what: &str, contenders: &[Contender], connections: &[usize], size: Size) {
    println!(
        "\n| {what} | connections | a second | p50 | p99 | CPU each | load's CPU each | × |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for &connections in connections {
        let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        // The first round fills caches and is not counted.
        for counted in std::iter::once(false).chain(std::iter::repeat_n(true, size.rounds)) {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                let round = round(contender, connections, size.round);
                if counted {
                    rounds.push(round);
                }
            }
        }
        for (contender, other) in contenders.iter().zip(&rounds) {
            let ratio = ratio(&rounds[0], other);
            print(contender.name, connections, other, ratio);
        }
    }
}

fn round(contender: &Contender, connections: usize, time: Duration) -> Round {
    let before = Usage::of(contender.process);
    let figures = load::run(&contender.target, connections, time)
        .unwrap_or_else(|error| panic!("{}: {error}", contender.name));
    Round { figures, used: Usage::of(contender.process).since(before) }
}

/// How many times as many answers the first gave as the other.
fn ratio(first: &[Round], other: &[Round]) -> f64 {
    median(first.iter().zip(other).map(|(first, other)| {
        let [first, other] = [first, other].map(|round| round.figures.per_second());
        first / other
    }))
}

fn print(name: &str, connections: usize, rounds: &[Round], ratio: f64) {
    let of_all = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let each = |time: Duration, round: &Round| micros(time) / round.figures.answers as f64;
    println!(
        "| {name} | {connections} | {:.0} | {:.0} µs | {:.0} µs | {:.1} µs | {:.1} µs | {ratio:.2} |",
        of_all(&|round| round.figures.per_second()),
        of_all(&|round| micros(round.figures.latency(0.5))),
        of_all(&|round| micros(round.figures.latency(0.99))),
        of_all(&|round| each(round.used, round)),
        of_all(&|round| each(round.figures.own, round)),
    );
}

/// So many microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
