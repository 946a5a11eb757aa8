//! What convergence costs: the usual path, on which transactions come at the end of the history, and
//! late arrivals, for which all that is after them is taken back and applied again.
//!
//! All transactions are of one kind, 100 bytes that replace a record's name, and all of them apply. A
//! replica takes in some 40,000 before it is measured, so that its history has its full length. Only
//! [`Replica::accept`] is timed: what it is given is made before, and what it gives back for the
//! journal is dropped or kept after.
//!
//! After criterion's own report comes a table, in Markdown. Its ratios are medians over rounds in which
//! the two that are compared take turns, so that a slow moment of the machine meets both of them. What
//! takes seconds is in the table only. With the argument `late` only late batches are measured.
//!
//! With `--check` it takes a second or two, and fails if a late batch costs more times than [`MOST`] says what the part of
//! the history costs that it reaches back over. Time here is the thread's processor time, so that a busy machine is no matter.

#[path = "common/records.rs"]
mod records;
#[path = "common/thread_time.rs"]
mod thread_time;

use std::hint::black_box;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use mimalloc::MiMalloc;
use patchmesh::internals::clock::Time;
use patchmesh::internals::commit::Commit;
use patchmesh::internals::patch::{Document, parse};
use patchmesh::internals::replica::{Acceptance, Bounds, Life, Past, PastPlace, Replica};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Place, Record, Transaction};
use records::{key, records};
use serde_json::json;
use thread_time::thread_time;

/// The same as a node's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const KB: usize = 1000;
const SIZES: [(&str, usize); 2] = [("1 KB", KB), ("1 MB", KB * KB)];

/// More than the recent part of a history has.
const SETTLED: u64 = 40_000;

/// How many transactions are made before the clock starts, at most.
const BATCH: u64 = 1000;

/// How long a contender's turn in a round of the table is, at least, and how many rounds there are.
const TURN: Duration = Duration::from_millis(20);
const ROUNDS: usize = 15;

/// How many rounds there are of what takes long.
const LONG_ROUNDS: usize = 3;

/// How many transactions are taken back for a late one.
const TAKEN_BACK: [u64; 3] = [1, 100, 10_000];

/// How many transactions of one of two writers come at once.
const WRITERS_BATCHES: [u64; 4] = [1, 10, 100, 1000];

/// How many of a peer's transactions come at once after it was cut off, and of how many batches only
/// some are measured, since all would take minutes.
const CATCH_UP_BATCHES: [(u64, Option<u64>); 3] =
    [(1024, Some(6)), (65_536, None), (262_144, None)];

/// How long the history is that is checked.
const CHECKED: u64 = 100_000;

/// Over how many of its last ones a late batch comes, and how many times at most it costs what these cost: they are
/// taken back and applied again once, whatever the size of the batch.
const MOST: [(u64, f64); 2] = [(2 * BATCH, 3.5), (CHECKED / 2, 2.2)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |argument: &str| arguments.iter().any(|other| other == argument);
    // Without `--bench`, which is cargo's, criterion runs everything once.
    let is_test = has("--test") || !has("--bench");
    let is_measured = !is_test && !has("--list");
    if has("--check") {
        return check();
    }
    if has("late") {
        print(&late_batches(1_000_000));
        return ExitCode::SUCCESS;
    }

    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .nresamples(2000)
        .sample_size(10)
        .configure_from_args();
    let mut table = Vec::new();
    for contest in contests() {
        let mut contenders = contest.contenders();
        report(&mut criterion, &contest, &mut contenders);
        if is_measured {
            table.push(contest.row(&mut contenders));
        }
    }
    criterion.final_summary();
    if is_measured || is_test {
        // A test has no time for a million.
        let history = if is_test { 10_000 } else { 1_000_000 };
        table.extend(late_batches(history));
        table.push(earliest(history));
        table
            .extend(CATCH_UP_BATCHES.map(|(batch, samples)| catch_up(history / 2, batch, samples)));
    }
    if is_measured {
        print(&table);
    }
    ExitCode::SUCCESS
}

fn check() -> ExitCode {
    let mut node = Node::new(KB, Some(Journal::default()));
    let each = node.append(CHECKED, BATCH).as_secs_f64() / CHECKED as f64;
    let mut is_exceeded = false;
    for (over, most) in MOST {
        let rounds: Vec<_> = (0..LONG_ROUNDS).map(|_| node.late_batch(BATCH, over)).collect();
        let ratio = median(&rounds, Duration::as_secs_f64) / (each * over as f64);
        println!(
            "{BATCH} over the last {over} of {CHECKED}: {ratio:.2} times the cost of these, at most {most}"
        );
        is_exceeded |= ratio > most;
    }
    if is_exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Makes payloads for a document of so many records, no two alike.
struct Payloads {
    records: u64,
    made: u64,
}

impl Payloads {
    fn next(&mut self) -> Box<str> {
        // A prime stride, so that neighbours in the history are not neighbours in the document.
        let key = key((self.made * 7919 % self.records) as usize);
        self.made += 1;
        json!([{
            "op": "replace", "path": format!("/records/{key}/name"),
            "value": format!("Name number {:>12}", self.made)
        }])
        .to_string()
        .into()
    }
}

/// A replica and its journal.
struct Node {
    replica: Replica,
    /// Kept only if a replay may need it.
    journal: Option<Journal>,
    payloads: Payloads,
    /// The time of the last transaction. That of the nth one in order is n.
    time: u64,
    next_id: u64,
}

/// The writers. The one whose transactions are late is before the other if times are equal.
const LATE: &str = "a~late";
const USUAL: &str = "b~usual";

/// The source of its commits.
const PRIMARY: &str = "p~00000000^1";

impl Node {
    /// A node that has a document of so many bytes.
    fn new(bytes: usize, journal: Option<Journal>) -> Self {
        let records = records(bytes);
        let payloads = Payloads { records: records.len() as u64, made: 0 };
        let life = Life::new(USUAL.parse().expect("it is a source")).expect("it is short");
        let (replica, time, next_id) = (Replica::new(life, Bounds::default()), 0, 0);
        let mut node = Self { replica, journal, payloads, time, next_id };
        let patch = json!([{"op": "add", "path": "", "value": {"records": records}}]);
        let first = Transaction { payload: patch.to_string().into(), ..node.in_order(1).remove(0) };
        node.accept(vec![first]);
        node
    }

    /// The same, once the recent part of the history has its full length.
    fn settled(bytes: usize) -> Self {
        let mut node = Self::new(bytes, None);
        node.append(SETTLED, BATCH);
        node
    }

    fn transaction(&mut self, source: &str, time: u64) -> Transaction {
        self.next_id += 1;
        let source = source.parse().expect("it is a source");
        Transaction {
            time: Time::from_micros(time),
            ..Transaction::fresh(source, self.next_id, self.payloads.next())
        }
    }

    fn in_order(&mut self, count: u64) -> Vec<Transaction> {
        let first = self.time + 1;
        self.time += count;
        (first..first + count).map(|time| self.transaction(USUAL, time)).collect()
    }

    /// How long it takes to accept these at once.
    fn accept(&mut self, transactions: Vec<Transaction>) -> Duration {
        let (count, now) = (transactions.len(), self.now());
        let submissions = vec![transactions];
        let start = thread_time();
        let acceptance = match &self.journal {
            Some(journal) => self.replica.accept(submissions, now, journal),
            None => self.replica.accept(submissions, now, &OutOfReach),
        };
        let Acceptance { outcomes, records, .. } = acceptance.expect("the journal can be read");
        drop(black_box(outcomes));
        let taken = thread_time() - start;
        assert_eq!(records.len(), count, "all are accepted");
        assert_eq!(self.replica.history().skipped_count(), 0, "and all apply");
        if let Some(journal) = &mut self.journal {
            journal.extend(records);
        }
        taken
    }

    /// Makes all final that is there.
    fn commit(&mut self) {
        let [primary, usual] = [PRIMARY, USUAL].map(|source| source.parse().expect("a source"));
        let until = self.now();
        let clock = [(usual, self.next_id + 1)].into();
        let commit = Commit { epoch: 1, after: None, until, clock, horizon: 3600, hash: None };
        self.time += 1;
        let name = Name { source: primary, id: 1 };
        self.accept(vec![Transaction::commit(name, self.now(), commit)]);
    }

    fn now(&self) -> Time {
        Time::from_micros(self.time).expect("it is small")
    }

    /// Fresh transactions, each submitted on its own.
    fn fresh(&mut self, count: u64) -> Duration {
        let mut fresh = self.in_order(count);
        fresh.iter_mut().for_each(|transaction| transaction.time = None);
        let submissions: Vec<_> = fresh.into_iter().map(|fresh| vec![vec![fresh]]).collect();
        let now = self.now();
        let start = thread_time();
        for submission in submissions {
            let acceptance = self.replica.accept(submission, now, &OutOfReach);
            let acceptance = acceptance.expect("nothing is read");
            assert_eq!(black_box(acceptance).records.len(), 1, "it is accepted");
        }
        thread_time() - start
    }

    /// Ordered transactions at the end, so many at once.
    fn append(&mut self, count: u64, batch: u64) -> Duration {
        in_batches(count, batch, |batch| {
            let transactions = self.in_order(batch);
            self.accept(transactions)
        })
    }

    /// Late transactions, each on its own and before the last `taken_back` of those in order.
    fn late(&mut self, count: u64, taken_back: u64) -> Duration {
        (0..count).map(|_| self.late_batch(1, taken_back)).sum()
    }

    /// Late transactions at once, with places that are spread over the last `over` of those in order.
    fn late_batch(&mut self, count: u64, over: u64) -> Duration {
        self.late_batch_from(self.time - over + 1, count, over)
    }

    /// The same, spread over `over` of those in order from the time `first` on.
    fn late_batch_from(&mut self, first: u64, count: u64, over: u64) -> Duration {
        let times = (0..count).map(|number| first + number * over / count);
        let late = times.map(|time| self.transaction(LATE, time)).collect();
        self.accept(late)
    }

    /// Ordered transactions of two writers who write at the same time. So many of one come at once,
    /// then as many of the other with times between theirs.
    fn two_writers(&mut self, count: u64, batch: u64) -> Duration {
        in_batches(count.div_ceil(2), batch, |batch| {
            let usual = self.in_order(batch);
            self.accept(usual) + self.late_batch(batch, batch)
        })
    }
}

fn in_batches(count: u64, batch: u64, mut run: impl FnMut(u64) -> Duration) -> Duration {
    let (whole, rest) = (count / batch, count % batch);
    let mut taken: Duration = (0..whole).map(|_| run(batch)).sum();
    if rest > 0 {
        taken += run(rest);
    }
    taken
}

/// The journal of what stays within the recent part of the history.
struct OutOfReach;

impl Past for OutOfReach {
    fn places(&self, _: u64) -> io::Result<Vec<PastPlace>> {
        unreachable!("the recent part is at hand")
    }

    fn payloads(&self, _: u64, _: usize) -> io::Result<Vec<Box<str>>> {
        unreachable!("the recent part is at hand")
    }
}

/// A journal in memory, read as a node does: so many records at once, and decoded anew. For each block the least time
/// is known.
#[derive(Default)]
struct Journal {
    records: Vec<Record>,
    least: Vec<Time>,
}

const STRETCH: usize = 1024;
const BLOCK: usize = 1024;

impl Journal {
    fn extend(&mut self, records: Vec<Record>) {
        for record in records {
            let (block, time) = (self.records.len() / BLOCK, record.place.time);
            match self.least.get_mut(block) {
                Some(least) => *least = time.min(*least),
                None => self.least.push(time),
            }
            self.records.push(record);
        }
    }

    fn records(&self, position: u64, most: usize) -> impl Iterator<Item = Record> {
        self.records.iter().skip(position as usize).take(most).cloned()
    }
}

impl Past for Journal {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        Ok(self.records(position, STRETCH).map(PastPlace::from).collect())
    }

    fn next_up_to(&self, position: u64, time: Time) -> u64 {
        let first = position as usize / BLOCK;
        let later = self.least.iter().skip(first).take_while(|least| **least > time).count();
        let next = (first + later) * BLOCK;
        next.min(self.records.len()).max(position as usize) as u64
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let payload = |record: Record| record.payload().expect("it was encoded");
        Ok(self.records(position, most.min(STRETCH)).map(payload).collect())
    }
}

/// What is left of a transaction if nothing can come late and nothing is undone: its payload is
/// read and applied.
struct Bare {
    document: Document,
    payloads: Payloads,
    /// Whether its line for the wire and the journal is encoded as well.
    encodes: bool,
}

impl Bare {
    fn new(bytes: usize, encodes: bool) -> Self {
        let records = records(bytes);
        let payloads = Payloads { records: records.len() as u64, made: 0 };
        let document = Document::new(json!({"records": records})).expect("it is within the limits");
        Self { document, payloads, encodes }
    }

    fn run(&mut self, count: u64) -> Duration {
        let payloads: Vec<_> = (0..count).map(|_| self.payloads.next()).collect();
        let source: Source = USUAL.parse().expect("it is a source");
        let time = Time::from_micros(1_763_888_400_123_456).expect("it is small");
        let start = thread_time();
        for payload in payloads {
            let patch = parse(black_box(&payload)).expect("it is a JSON Patch");
            black_box(self.document.apply(patch)).expect("it applies");
            if self.encodes {
                let place = Place { time, source: source.clone(), id: 1 };
                black_box(Record::new(place, &payload));
            }
        }
        thread_time() - start
    }
}

/// Something that is measured beside what it is compared to.
struct Contest {
    what: String,
    kind: Kind,
    size: &'static str,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Fresh { encodes: bool },
    Ordered { batch: u64 },
    Late { taken_back: u64 },
    TwoWriters { batch: u64 },
}

/// Times so many transactions.
type Contender = Box<dyn FnMut(u64) -> Duration>;

fn contests() -> Vec<Contest> {
    let mut contests = Vec::new();
    for (size, bytes) in SIZES {
        let mut add = |what: String, kind| contests.push(Contest { what, kind, size, bytes });
        add("a fresh one".into(), Kind::Fresh { encodes: false });
        add("a fresh one".into(), Kind::Fresh { encodes: true });
        add(format!("ordered ones, {BATCH} at once"), Kind::Ordered { batch: BATCH });
        for taken_back in TAKEN_BACK {
            let what = format!("one before the last {}", grouped(taken_back));
            add(what, Kind::Late { taken_back });
        }
    }
    let (size, bytes) = SIZES[0];
    for batch in WRITERS_BATCHES {
        let what = format!("two writers at the same time, {batch} at once");
        contests.push(Contest { what, kind: Kind::TwoWriters { batch }, size, bytes });
    }
    contests
}

impl Contest {
    /// The one that is measured, and the one that it is compared to.
    fn contenders(&self) -> [Contender; 2] {
        let bare = |encodes| -> Contender {
            let mut bare = Bare::new(self.bytes, encodes);
            Box::new(move |count| in_batches(count, BATCH, |count| bare.run(count)))
        };
        let node = |run: fn(&mut Node, u64, u64) -> Duration, parameter| -> Contender {
            let mut node = Node::settled(self.bytes);
            Box::new(move |count| run(&mut node, count, parameter))
        };
        let fresh =
            || node(|node, count, batch| in_batches(count, batch, |n| node.fresh(n)), BATCH);
        match self.kind {
            Kind::Fresh { encodes } => [fresh(), bare(encodes)],
            Kind::Ordered { batch } => [node(Node::append, batch), bare(false)],
            Kind::Late { taken_back } => [node(Node::late, taken_back), fresh()],
            Kind::TwoWriters { batch } => {
                [node(Node::two_writers, batch), node(Node::append, batch)]
            }
        }
    }

    fn against(&self) -> &'static str {
        match self.kind {
            Kind::Fresh { encodes: true } => "read, applied and encoded",
            Kind::Fresh { .. } | Kind::Ordered { .. } => "its payload read and applied, no more",
            Kind::Late { .. } => "a fresh one, for each taken back",
            Kind::TwoWriters { .. } => "one writer",
        }
    }

    fn row(&self, contenders: &mut [Contender; 2]) -> Row {
        let counts = contenders.each_mut().map(|contender| {
            let mut count = 1;
            while contender(count) < TURN {
                count *= 2;
            }
            count
        });
        let rounds: Vec<[f64; 2]> = (0..ROUNDS)
            .map(|_| {
                std::array::from_fn(|index| {
                    let count = counts[index];
                    contenders[index](count).as_secs_f64() / count as f64
                })
            })
            .collect();
        let ratio = |[this, other]: &[f64; 2]| match self.kind {
            // The late one itself is applied once, as if it were fresh.
            Kind::Late { taken_back } => (this - other) / taken_back as f64 / other,
            _ => this / other,
        };
        Row {
            what: self.what.clone(),
            size: self.size,
            seconds: median(&rounds, |[this, _]| *this),
            ratio: median(&rounds, ratio),
            against: self.against(),
        }
    }
}

fn median<T>(rounds: &[T], number: impl Fn(&T) -> f64) -> f64 {
    let mut numbers: Vec<_> = rounds.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn report(criterion: &mut Criterion, contest: &Contest, contenders: &mut [Contender; 2]) {
    let mut group = criterion.benchmark_group(format!("{} to {}", contest.what, contest.against()));
    group.throughput(Throughput::Elements(1));
    let names = ["patchmesh", contest.against()];
    for (contender, name) in contenders.iter_mut().zip(names) {
        group.bench_function(BenchmarkId::new(name, contest.size), |bencher| {
            bencher.iter_custom(&mut *contender);
        });
    }
    group.finish();
}

/// A late batch of 10,000, or of as large a part of a shorter history: near the end; in the middle, written beside as
/// many; and all over the second half.
fn late_batches(history: u64) -> [Row; 3] {
    let (size, bytes) = SIZES[0];
    let count = history / 100;
    let mut node = Node::new(bytes, Some(Journal::default()));
    node.append(history, BATCH);
    // In each round comes first what it is compared to, and what the late ones come in between.
    let near: Vec<[f64; 2]> = (0..LONG_ROUNDS)
        .map(|_| {
            let end = (node.append(count, count) + node.append(count, count)) / 2;
            [node.late_batch(count, 2 * count), end].map(|taken| taken.as_secs_f64())
        })
        .collect();
    let middle: Vec<[f64; 2]> = (0..LONG_ROUNDS)
        .map(|_| {
            let end = node.append(count, count);
            let late = node.late_batch_from(node.time / 2, count, count);
            [late, end].map(|taken| taken.as_secs_f64())
        })
        .collect();
    let deep: Vec<[f64; 2]> = (0..LONG_ROUNDS)
        .map(|_| {
            let end = node.append(count, count);
            [node.late_batch(count, node.time / 2), end].map(|taken| taken.as_secs_f64())
        })
        .collect();
    let row = |over: String, rounds: &[[f64; 2]]| Row {
        what: format!("{} {over} of {}", grouped(count), grouped(history)),
        size,
        seconds: median(rounds, |[this, _]| *this),
        ratio: median(rounds, |[this, other]| this / other),
        against: "as many at the end",
    };
    [
        row(format!("over the last {}", grouped(2 * count)), &near),
        row("beside as many in the middle".into(), &middle),
        row("over the last half".into(), &deep),
    ]
}

/// The earliest transaction of all, if a primary has made all final but what was written of late.
fn earliest(history: u64) -> Row {
    let (size, bytes) = SIZES[0];
    let mut node = Node::new(bytes, Some(Journal::default()));
    node.append(history, BATCH);
    node.commit();
    node.append(BATCH, BATCH);
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| {
            let end = node.append(BATCH, BATCH);
            [node.late(1, node.time), end].map(|taken| taken.as_secs_f64())
        })
        .collect();
    Row {
        what: format!("the earliest one into {}, with a primary", grouped(history)),
        size,
        seconds: median(&rounds, |[this, _]| *this),
        ratio: median(&rounds, |[this, other]| this / other),
        against: "1,000 at the end",
    }
}

/// A node and its peer each wrote so many, all the time, and did not hear each other. Now the peer's
/// come, `batch` at once. If `samples` says so, only that many batches are measured, at equal
/// distances, and stand for all.
fn catch_up(count: u64, batch: u64, samples: Option<u64>) -> Row {
    let (size, bytes) = SIZES[0];
    let mut node = Node::new(bytes, Some(Journal::default()));
    let end = node.append(count, batch);
    let mut peers: std::vec::IntoIter<_> =
        (2..count + 2).map(|time| node.transaction(LATE, time)).collect::<Vec<_>>().into_iter();
    let mut next = |count: u64| node.accept(peers.by_ref().take(count as usize).collect());
    let taken = match samples {
        Some(samples) if samples * batch < count => {
            let share = count / samples;
            let others = (share - batch) / 2;
            let measured = (0..samples).map(|_| {
                next(others);
                let taken = next(batch);
                next(share - batch - others);
                taken
            });
            measured.sum::<Duration>().mul_f64(share as f64 / batch as f64)
        }
        _ => in_batches(count, batch, next),
    };
    let (taken, end) = (taken.as_secs_f64(), end.as_secs_f64());
    let what = format!("a peer's {} among as many, {} at once", grouped(count), grouped(batch));
    Row { what, size, seconds: taken, ratio: taken / end, against: "as many at the end" }
}

struct Row {
    what: String,
    size: &'static str,
    seconds: f64,
    ratio: f64,
    against: &'static str,
}

fn print(table: &[Row]) {
    println!("| transactions | document | time | ratio | to |");
    println!("| --- | ---: | ---: | ---: | --- |");
    for Row { what, size, seconds, ratio, against } in table {
        println!("| {what} | {size} | {} | {ratio:.2} | {against} |", time(*seconds));
    }
}

/// The time with three digits that count.
fn time(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or(units[units.len() - 1]);
    let number = seconds / unit;
    let decimals = if number < 10.0 {
        2
    } else if number < 100.0 {
        1
    } else {
        0
    };
    format!("{number:.decimals$} {name}")
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
