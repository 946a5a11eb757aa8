//! The rows of the table, and whether they reach their goals.

use crate::median::median;

/// A figure, and its goal: what it is at most.
pub struct Row {
    pub what: String,
    pub figure: f64,
    pub goal: f64,
    pub unit: Unit,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    /// Of serde_json's time.
    Ratio,
    /// Bytes of memory a byte of text.
    BytesPerByte,
    KibibytesPerWrite,
    Nanoseconds,
    Microseconds,
    Milliseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Ratio => "of serde_json's time",
            Self::BytesPerByte => "bytes a byte of text",
            Self::KibibytesPerWrite => "KiB",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
        }
    }

    /// Whether it is about the same on all machines.
    pub fn is_relative(self) -> bool {
        matches!(self, Self::Ratio | Self::BytesPerByte)
    }
}

impl Row {
    pub fn new(what: impl Into<String>, figure: f64, unit: Unit, goal: f64) -> Self {
        Self { what: what.into(), figure, goal, unit }
    }

    /// One in the table.
    pub fn print(&self) {
        let goal = match self.goal {
            f64::INFINITY => String::new(),
            goal if self.figure > goal => format!("{goal} (missed)"),
            goal => goal.to_string(),
        };
        println!("| {} | {:.4} {} | {goal} |", self.what, self.figure, self.unit.name());
    }
}

/// The middle time of each of two contenders that take turns, so that a slow moment of the machine meets both, and how
/// many times as long the one takes as the other, in the middle of all turns. Times are in any unit.
pub fn turns(
    rounds: usize,
    mut one: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) -> (f64, f64, f64) {
    let pairs: Vec<_> = (0..rounds).map(|_| (one(), other())).collect();
    let middle = |figure: fn(&(f64, f64)) -> f64| median(pairs.iter().map(figure));
    (middle(|pair| pair.0), middle(|pair| pair.1), middle(|pair| pair.0 / pair.1))
}
