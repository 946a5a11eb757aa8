//! What the document's tree costs, beside serde_json's `Value`, and what its goals are.
//!
//! - Time to read and to write JSON text of 10 MB, to replace a value by name, to insert and remove in an
//!   array of a million elements, to copy, to clone, to drop.
//! - Memory, in a process that does nothing else: bytes a byte of JSON text, and of what writes copy that are
//!   done beside a clone. How much one write copies at most is counted by `cargo bench --bench allocations`.
//!
//! Ratios are the median over rounds in which both take turns. `cargo bench --bench document -- --check`
//! measures for some seconds what does not depend on the machine, and fails if a goal is missed by more
//! than the slack. Names of sections (`text`, `replacing`, `elements`, `sharing`, `memory`) as arguments measure
//! only these.

#[path = "../common/median.rs"]
mod median;
mod memory;
#[path = "../common/memory.rs"]
mod private;
mod rows;
mod shapes;
mod speed;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use rows::Row;
use speed::Extent;

/// As the node has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// As many times its goal a figure may be: machines differ in their caches, and are noisy.
const SLACK: f64 = 1.3;

/// What misses its goal is measured again, so often in all: a machine may be busy with something else.
const ATTEMPTS: usize = 4;

/// What is measured, by its name.
type Section = (&'static str, fn(Extent) -> Vec<Row>);

const SECTIONS: [Section; 5] = [
    ("text", speed::reading_and_writing),
    ("replacing", speed::replacing),
    ("elements", speed::elements),
    ("sharing", speed::sharing),
    ("memory", memory::rows),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some([first, rest @ ..]) = arguments.get(..)
        && first == memory::CHILD
    {
        memory::measure(rest);
        return ExitCode::SUCCESS;
    }
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has("--check") {
        return check();
    }
    let is_named = SECTIONS.iter().any(|(name, _)| has(name));
    println!("| what | measured | goal |\n| --- | --- | --- |");
    for (_, rows) in SECTIONS.iter().filter(|(name, _)| !is_named || has(name)) {
        rows(Extent::All).iter().for_each(Row::print);
    }
    ExitCode::SUCCESS
}

fn check() -> ExitCode {
    let mut missed = false;
    for (_, rows) in SECTIONS {
        let holds = (1..=ATTEMPTS).any(|_| {
            let mut rows = rows(Extent::Check);
            rows.retain(|row| row.unit.is_relative());
            rows.iter().for_each(Row::print);
            rows.iter().all(|row| row.figure <= row.goal * SLACK)
        });
        missed |= !holds;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
