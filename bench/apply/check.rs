//! Whether patchmesh is still as fast as it was, beside others in the same process: what does not
//! depend on the machine.

use std::process::ExitCode;
use std::time::Duration;

use crate::cases::{KINDS, SIZES};
use crate::contender::{Case, Contender, Subject};
use crate::rounds::Rounds;

/// What was measured: for a kind of transactions and a size of the document, the time of applying a
/// patch to json_patch's; and that of reading and applying it to the reading of its text as a
/// `Value`.
const MEASURED: [(&str, &str, f64, f64); 10] = [
    ("replace by key", "1 KB", 0.40, 1.05),
    ("append to an array", "1 KB", 0.63, 1.04),
    ("five operations", "1 KB", 0.41, 1.25),
    ("replace, then a failing test", "1 KB", 0.39, 1.30),
    ("move", "1 KB", 0.58, 1.50),
    ("replace by key", "1 MB", 0.45, 1.27),
    ("append to an array", "1 MB", 0.78, 1.12),
    ("five operations", "1 MB", 0.53, 1.50),
    ("replace, then a failing test", "1 MB", 0.42, 1.66),
    ("move", "1 MB", 0.63, 1.80),
];

/// As many times what was measured is let pass: machines differ in their caches, and are noisy.
const SLACK: f64 = 1.3;

/// What is too slow is measured again, so often in all: a machine may be busy with something else.
const ATTEMPTS: usize = 4;

const TURN: Duration = Duration::from_millis(8);
const ROUNDS: usize = 9;

/// Measures everything, says what it found, and fails if a bound is exceeded.
pub fn check() -> ExitCode {
    let mut exceeded = false;
    for (size, bytes) in SIZES {
        let bounds: Vec<_> = MEASURED.iter().filter(|measured| measured.1 == size).collect();
        if bounds.is_empty() {
            continue;
        }
        let mut subject = Subject::new(bytes);
        for &(name, _, apply, from_text) in bounds {
            let kind = KINDS.iter().find(|kind| kind.name == name).expect("there is such a kind");
            let case = Case::new(kind, &subject);
            let bounds = [apply * SLACK, from_text * SLACK];
            let holds = (1..=ATTEMPTS).any(|_| check_case(&mut subject, &case, size, bounds));
            exceeded |= !holds;
        }
    }
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn check_case(subject: &mut Subject, case: &Case, size: &str, bounds: [f64; 2]) -> bool {
    use Contender::{JsonPatch, Patchmesh, PatchmeshFromText, ReadValue};
    let contenders = [Patchmesh, PatchmeshFromText, JsonPatch, ReadValue];
    let rounds = Rounds::run(subject, case, &contenders, ROUNDS, TURN);
    let [apply, from_text] =
        [rounds.ratio(Patchmesh, JsonPatch), rounds.ratio(PatchmeshFromText, ReadValue)];
    let holds = apply <= bounds[0] && from_text <= bounds[1];
    println!(
        "{} {}, {size}: {apply:.2} of json_patch's time (at most {:.2}), from text {from_text:.2} \
         of reading it as a Value (at most {:.2})",
        if holds { "ok      " } else { "too slow" },
        case.name,
        bounds[0],
        bounds[1]
    );
    holds
}
