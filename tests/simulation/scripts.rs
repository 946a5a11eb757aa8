//! Histories of several nodes as text: commands, and below each what comes of it.
//!
//! A line that begins with `> ` is a command; the lines below it, up to an empty line, a comment or
//! the next command, are what it must print. Nodes are called as their sources. The times are those of
//! the node's wall clock, in microseconds.
//!
//! - `> ada at 10: [...]`: a user posts a patch to ada.
//! - `> ada -> bob at 20`: bob takes in what ada's journal has and bob has not seen.
//! - `> ada -> bob at 20, unkept`: the same, but bob's journal cannot grow.
//! - `> bob keeps 2 recent, a checkpoint every 3`: how much bob, who has nothing yet, keeps in memory.
//! - `> bob`: all that there is to see of bob.

use std::collections::BTreeMap;

use patchmesh::internals::clock::Time;
use patchmesh::internals::replica::{Bounds, Life, Outcome, Replica};
use patchmesh::internals::transaction::{Place, Transaction};

/// The script with what its commands print in the place of what they are said to.
pub fn rewrite(script: &str) -> String {
    let mut nodes = BTreeMap::new();
    let mut output = String::new();
    let mut is_printed = false;
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            let printed = run(&mut nodes, command).unwrap_or_else(|| panic!("no command: {line}"));
            output.extend([line, "\n", &printed]);
            is_printed = true;
            continue;
        }
        is_printed &= !line.is_empty() && !line.starts_with('#');
        if !is_printed {
            output.extend([line, "\n"]);
        }
    }
    output
}

struct Node {
    replica: Replica,
    journal: Vec<Transaction>,
    last_id: u64,
}

impl Node {
    /// One that has nothing.
    fn new(name: &str, bounds: Bounds) -> Option<Self> {
        let life = Life::new(name.parse().ok()?).ok()?;
        Some(Self { replica: Replica::new(life, bounds), journal: Vec::new(), last_id: 0 })
    }
}

/// The node of this name.
fn node<'a>(nodes: &'a mut BTreeMap<String, Node>, name: &str) -> Option<&'a mut Node> {
    if !nodes.contains_key(name) {
        nodes.insert(name.to_owned(), Node::new(name, Bounds::default())?);
    }
    nodes.get_mut(name)
}

/// Runs a command; none if it is none.
fn run(nodes: &mut BTreeMap<String, Node>, command: &str) -> Option<String> {
    if let Some((names, rest)) = command.split_once(" at ") {
        let (time, rest) = rest.split_at(rest.find([':', ',']).unwrap_or(rest.len()));
        let now = Time::from_micros(time.parse().ok()?)?;
        return match names.split_once(" -> ") {
            Some((from, to)) => {
                let journal = node(nodes, from)?.journal.clone();
                node(nodes, to)?.hear(to, journal, now, rest == ", unkept")
            }
            None => node(nodes, names)?.post(names, rest.strip_prefix(": ")?, now),
        };
    }
    if let Some((name, bounds)) = command.split_once(" keeps ") {
        let (recent, spacing) = bounds.split_once(" recent, a checkpoint every ")?;
        let bounds = Bounds {
            recent_transactions: recent.parse().ok()?,
            checkpoint_spacing: spacing.parse().ok()?,
            ..Bounds::default()
        };
        nodes.insert(name.to_owned(), Node::new(name, bounds)?);
        return Some(String::new());
    }
    nodes.get(command).map(|node| node.show(command))
}

impl Node {
    fn post(&mut self, name: &str, patch: &str, now: Time) -> Option<String> {
        self.last_id += 1;
        let (source, id) = (name.parse().ok()?, self.last_id);
        self.accept(name, vec![Transaction::fresh(source, id, patch)], now)
    }

    fn hear(
        &mut self,
        name: &str,
        journal: Vec<Transaction>,
        now: Time,
        unkept: bool,
    ) -> Option<String> {
        let vclock = self.replica.vclock();
        let is_new = |heard: &Transaction| {
            let (source, id) = heard.stamp();
            !vclock.has_seen(source, id)
        };
        let news: Vec<Transaction> = journal.into_iter().filter(is_new).collect();
        if !unkept {
            return self.accept(name, news, now);
        }
        let before = self.replica.clone();
        self.replica.accept(vec![news], now, &self.journal).unwrap();
        self.replica = before;
        Some(format!("{name} keeps nothing\n{name} has {}\n", self.replica.snapshot().root()))
    }

    fn accept(&mut self, name: &str, news: Vec<Transaction>, now: Time) -> Option<String> {
        let sent = news.clone();
        let reads = if self.replica.needs_past(std::slice::from_ref(&news)) {
            format!("{name} reads its journal\n")
        } else {
            String::new()
        };
        let acceptance = self.replica.accept(vec![news], now, &self.journal).unwrap();
        let mut lines = Vec::new();
        for (Transaction { source, id, .. }, outcome) in sent.iter().zip(&acceptance.outcomes[0]) {
            lines.push(match outcome {
                Outcome::Accepted(record) => {
                    self.journal.push(Transaction::decode(record.line.as_bytes()).ok()?);
                    format!("{name} accepts {}", label(&record.place))
                }
                Outcome::Known { next_id } => format!("{name} expects {source} {next_id}"),
                Outcome::Refused(error) => format!("{name} refuses {source} {id}: {error}"),
                Outcome::Void => panic!("there are no commits"),
                Outcome::Early { ahead_micros } => {
                    format!("{name} waits: {source} {id} is {ahead_micros} ahead")
                }
            });
        }
        for change in &acceptance.changes.listed {
            let label = label(&change.place);
            lines.push(match &change.skipped {
                Some(error) => format!("{name} skips {label} from now on: {error}"),
                None => format!("{name} applies {label} from now on"),
            });
        }
        lines.push(format!("{name} has {}\n", self.replica.snapshot().root()));
        Some(reads + &lines.join("\n"))
    }

    fn show(&self, name: &str) -> String {
        let mut lines = vec![format!("{name} has {}", self.replica.snapshot().root())];
        let expects: Vec<String> =
            self.replica.vclock().iter().map(|(source, next)| format!("{source} {next}")).collect();
        lines.push(format!("{name} expects {}", expects.join(", ")));
        for (place, skip) in self.replica.history().skipped().iter() {
            let since = skip.since.map_or(0, Time::as_micros);
            let error = &skip.error;
            lines.push(format!("{name} skips {} since {since}: {error}", label(place)));
        }
        lines.join("\n") + "\n"
    }
}

fn label(Place { time, source, id }: &Place) -> String {
    format!("{source} {id} @{}", time.as_micros())
}
