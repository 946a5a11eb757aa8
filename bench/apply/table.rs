//! The table in Markdown.

use std::time::Duration;

use crate::contender::{Case, Contender, Subject};
use crate::rounds::Rounds;

/// How long a contender's turn in a round is, at least.
const TURN: Duration = Duration::from_millis(10);
const ROUNDS: usize = 15;

const HEADER: &str = "\
| operation | document | transactions/s | × json_patch | × json_patch, nothing freed \
| from text, transactions/s | its time to Value's | its time to Patch's | × pseudo-code |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

pub fn row(subject: &mut Subject, case: &Case, size: &str) -> String {
    use Contender::{
        JsonPatch, Patchmesh, PatchmeshFromText, PatchmeshKept, PseudoCode, ReadPatch, ReadValue,
    };
    let rounds = Rounds::run(subject, case, &Contender::ALL, ROUNDS, TURN);
    let numbers = [
        rounds.per_second(Patchmesh),
        rounds.ratio(JsonPatch, Patchmesh),
        rounds.ratio(JsonPatch, PatchmeshKept),
        rounds.per_second(PatchmeshFromText),
        rounds.ratio(PatchmeshFromText, ReadValue),
        rounds.ratio(PatchmeshFromText, ReadPatch),
        rounds.ratio(PseudoCode, PatchmeshFromText),
    ];
    format!("| {} | {size} | {} |", case.name, numbers.map(rounded).join(" | "))
}

pub fn print(rows: &[String]) {
    println!("{HEADER}");
    for row in rows {
        println!("{row}");
    }
}

/// The number with two digits that count, as in 0.85, 1.2, 12 or 3,400.
fn rounded(number: f64) -> String {
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    let number = (number / unit).round() * unit;
    if number < 10.0 {
        let decimals = if number < 1.0 { 2 } else { 1 };
        return format!("{number:.decimals$}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
