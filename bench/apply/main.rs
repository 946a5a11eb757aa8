//! How many transactions a second are applied, and how that compares.
//!
//! These contenders do the same transactions side by side:
//! - `patchmesh`: [`Document::apply`](patchmesh::internals::patch::Document::apply) of a patch that has been
//!   read; it gives back the inverse.
//! - `patchmesh, inverse kept`: the same.
//! - `patchmesh from text`: reads the payload as well, as the node does for every transaction.
//! - `json_patch`: that crate's own `patch`, of a patch that has been read.
//! - `text to Value, no more` and `text to Patch, no more`: serde_json reads the payload as JSON, or as
//!   json_patch's `Patch`; nothing is applied.
//! - `pseudo-code`: the assignment taken by its letter: the snapshot is a string, which is read,
//!   patched and written again for every transaction; so is the payload.
//!
//! Who is charged with what: each with all that it allocates and frees until it is done with a
//! transaction. `patchmesh` and `patchmesh from text` use up the patch, which becomes the inverse, and
//! are charged with the freeing of that, and of the values taken out of the document in it.
//! `json_patch` borrows the patch; somebody has to free it, but who is charged with that is nobody. So
//! the comparison of these two is strict on patchmesh. `patchmesh, inverse kept` frees the inverses
//! after the clock has stopped, so that here nobody is charged with the freeing of patches; the node
//! keeps them too, for as long as a transaction may have to be taken back. Reading is charged with the
//! freeing of what was read.
//!
//! The documents stay as they are: after a few hundred transactions the clock stops and all of them
//! are taken back.
//!
//! After criterion's own report comes a table in Markdown: how many transactions a second, how
//! many times as fast that is as another contender from the same start, patch or text, and how many
//! times as long as the reading alone. Each number is the median over rounds in which the contenders
//! take turns.
//!
//! `cargo bench --bench apply -- --check` measures for some seconds the ratios that do not depend on the
//! machine, and fails if one is worse than it was. How often transactions allocate is counted by
//! `cargo bench --bench allocations`: a counting allocator would favour here who allocates less.

mod cases;
mod check;
mod contender;
#[path = "../common/median.rs"]
mod median;
#[path = "../common/records.rs"]
mod records;
mod rounds;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};

use cases::{KB, KINDS, SIZES};
use contender::{Case, Contender, Subject};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |argument: &str| arguments.iter().any(|other| other == argument);
    if has("--check") {
        return check::check();
    }
    // Without `--bench`, which is cargo's, criterion runs everything once.
    let is_test = has("--test") || !has("--bench");
    let sizes = if is_test { &SIZES[..2] } else { &SIZES };

    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .nresamples(2000)
        .sample_size(10)
        .configure_from_args();
    let mut rows = Vec::new();
    for &(size, bytes) in sizes {
        let mut subject = Subject::new(bytes);
        for kind in &KINDS {
            let case = Case::new(kind, &subject);
            report(&mut criterion, &mut subject, &case, size);
            if !is_test && !has("--list") {
                rows.push(table::row(&mut subject, &case, size));
            }
        }
    }
    criterion.final_summary();
    if !rows.is_empty() {
        table::print(&rows);
    }
    ExitCode::SUCCESS
}

fn report(criterion: &mut Criterion, subject: &mut Subject, case: &Case, size: &str) {
    let mut group = criterion.benchmark_group(case.name);
    group.throughput(Throughput::Elements(1));
    for contender in Contender::ALL {
        // There the patch no longer matters, and the table has it anyway.
        let is_slow = contender == Contender::PseudoCode && subject.text.len() > KB * KB * 10;
        if is_slow && case.name != KINDS[0].name {
            continue;
        }
        group.bench_function(BenchmarkId::new(contender.name(), size), |bencher| {
            bencher.iter_custom(|transactions| contender.run(subject, case, transactions));
        });
    }
    group.finish();
}
