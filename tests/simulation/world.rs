//! The simulation of one seed: nodes, the streams between them, and users.

mod end;
mod faults;
mod plan;

use patchmesh::internals::clock::Time;
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Transaction};

use crate::definition::Number;
use crate::journal::{Disk, Growth};
use crate::lab::Lab;
use crate::network::{Link, Origin, Stream, topology};
use crate::node::{Node, Turn};
use crate::patches;
use crate::tally::Tally;
use plan::Plan;

/// When the simulations begin.
const BEGIN_MICROS: u64 = 1_763_888_400_000_000;

/// Names of sources: some begin alike, and the order of bytes is neither that of numbers nor that of
/// UTF-16.
const SOURCES: [&str; 10] =
    ["a", "a~1", "a~10", "a~9", "B~1", "b~1", "é~1", "\u{ff5e}~1", "😀~1", "z"];

/// Runs the simulation of a seed, and says what has happened in it.
pub fn simulate(seed: u64, traced: bool) -> Tally {
    let mut world = World::new(Lab::new(seed, traced));
    world.run();
    world.drain();
    world.check_end();
    world.lab.tally
}

struct World {
    lab: Lab,
    plan: Plan,
    /// The true time, which no node knows, in microseconds.
    time_micros: u64,
    step: u64,
    nodes: Vec<Node>,
    /// Until which step the disk of each node is full.
    full_until: Vec<u64>,
    links: Vec<Link>,
    strangers: Vec<Stranger>,
    /// What clients have called by names of their own, and sent to some node: they may send it again.
    named: Vec<Transaction>,
    /// What any node has accepted and journaled: none of it may ever be gone.
    acknowledged: Vec<Number>,
}

/// Sends transactions that no node of ours has made, or that it has heard of one.
struct Stranger {
    source: Source,
    kind: Kind,
    journal: Vec<Transaction>,
}

/// What a stranger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It gives its transactions their times.
    Ordering,
    /// It leaves the time to the node that hears it, as plain nodes do, and mostly counts up. It may restart, and
    /// count from the beginning again.
    Plain,
    /// The same, but its Ids come in any order.
    Careless,
    /// It forwards what it hears of a node without the times, as plain nodes do. This is how much it has
    /// heard.
    Forwarder { of: usize, heard: usize },
}

/// The clients' source.
const CLIENT: &str = "client~00000000";

impl World {
    fn new(mut lab: Lab) -> Self {
        let plan = Plan::new(&mut lab.rng);
        let mut sources = SOURCES;
        lab.rng.shuffle(&mut sources);
        let mut sources =
            sources.iter().map(|name| name.parse::<Source>().expect("it is a source"));
        let count = lab.rng.usize(2..8);
        let nodes: Vec<Node> = sources
            .by_ref()
            .take(count)
            .map(|source| {
                let mut node = Node::new(source, plan::bounds(&mut lab.rng));
                node.clock_error = plan.clock_error(&mut lab.rng);
                node
            })
            .collect();
        let (name, pairs) = topology(count, &mut lab.rng);
        lab.note(|_| format!("{count} nodes, {name}: {pairs:?}"));
        for (index, node) in nodes.iter().enumerate() {
            lab.note(|_| {
                let Node { source, bounds, clock_error, .. } = node;
                format!("{index}: {source}, clock off by {clock_error} µs, {bounds:?}")
            });
        }
        let mut pairs: Vec<_> =
            pairs.into_iter().map(|(from, to)| (Origin::Node(from), to)).collect();
        let mut strangers = Vec::new();
        for source in sources {
            if !lab.percent(25) {
                continue;
            }
            let origin = Origin::Stranger(strangers.len());
            let hearer = lab.rng.usize(0..count);
            let kind = match lab.rng.u32(0..5) {
                0..2 => Kind::Ordering,
                2 => Kind::Plain,
                3 => Kind::Careless,
                _ => Kind::Forwarder { of: lab.rng.usize(0..count), heard: 0 },
            };
            pairs.push((origin, hearer));
            if lab.rng.bool() {
                let others = (0..count).filter(|node| *node != hearer && lab.rng.bool());
                pairs.extend(others.map(|node| (origin, node)));
            }
            lab.note(|_| format!("{source} is a stranger: {kind:?}"));
            strangers.push(Stranger { source, kind, journal: Vec::new() });
        }
        let links = pairs
            .into_iter()
            .map(|(from, to)| {
                let speed = [5, 30, 100][lab.rng.usize(0..3)];
                let most = [1, 5, usize::MAX][lab.rng.usize(0..3)];
                Link { from, to, speed, most, blocked_until: 0, stream: None }
            })
            .collect();
        Self {
            plan,
            time_micros: BEGIN_MICROS,
            step: 0,
            full_until: vec![0; nodes.len()],
            nodes,
            links,
            strangers,
            named: Vec::new(),
            acknowledged: Vec::new(),
            lab,
        }
    }

    /// Things happen until all transactions were created.
    fn run(&mut self) {
        while self.plan.writes > 0 {
            self.step += 1;
            self.time_micros += self.lab.rng.u64(0..self.plan.pace_micros);
            if self.lab.percent(3) {
                self.save_or_restart();
            }
            if self.lab.rng.u32(0..1000) < self.plan.faults {
                self.fail();
            }
            match self.lab.rng.u32(0..100) {
                0..15 => self.write(),
                15..60 => {
                    let link = self.lab.rng.usize(0..self.links.len());
                    self.stir(link);
                }
                _ => {
                    let node = self.lab.rng.usize(0..self.nodes.len());
                    self.turn(node);
                }
            }
        }
    }

    /// A node writes down what it can begin with again, or ends in good order and does so.
    fn save_or_restart(&mut self) {
        // To the first ones it happens more often, so that what was saved is used.
        let last = self.lab.rng.usize(0..self.nodes.len());
        let index = self.lab.rng.usize(0..=last);
        if self.lab.percent(30) {
            return self.crash(index);
        }
        self.lab.note(|_| format!("{index} is saved"));
        self.nodes[index].save(&mut self.lab);
    }

    /// Users, or strangers, create a few transactions.
    fn write(&mut self) {
        let count =
            [1, 1, 1, 2, 3, self.plan.burst][self.lab.rng.usize(0..6)].min(self.plan.writes);
        self.plan.writes -= count;
        if !self.strangers.is_empty() && self.lab.percent(20) {
            let stranger = self.lab.rng.usize(0..self.strangers.len());
            (0..count).for_each(|_| self.write_strangely(stranger));
            return;
        }
        let index = self.lab.rng.usize(0..self.nodes.len());
        if self.lab.percent(20) {
            (0..count).for_each(|_| self.write_by_name(index));
            return;
        }
        for _ in 0..count {
            let node = &mut self.nodes[index];
            let payload = patches::patch(&mut self.lab.rng, &node.json());
            self.lab.note(|_| format!("{index} creates {}: {payload}", node.next_id));
            let (source, id) = (node.source.clone(), node.next_id);
            node.next_id += 1 + u64::from(self.lab.percent(10));
            node.inbox.push_back(Transaction::fresh(source, id, payload));
        }
    }

    /// A client creates a transaction that it calls by a name of its own, or sends one to this node that it
    /// has sent to some node before.
    fn write_by_name(&mut self, index: usize) {
        let Self { lab, nodes, named, .. } = self;
        let node = &mut nodes[index];
        let transaction = match lab.rng.choice(&*named) {
            Some(before) if lab.rng.bool() => before.clone(),
            before => {
                let before = before.cloned();
                let payload = patches::patch(&mut lab.rng, &node.json());
                if let Some(before) = before
                    && lab.percent(30)
                {
                    // It does not play by the rules: another one of the same name.
                    let request = Some("other".into());
                    node.inbox.push_back(Transaction { payload, request, ..before });
                    return;
                }
                let source = CLIENT.parse().expect("it is a source");
                let request = Some(format!("{}", named.len()).into());
                Transaction { request, ..Transaction::fresh(source, named.len() as u64, payload) }
            }
        };
        lab.note(|_| format!("a client sends to {index}: {}", transaction.encode()));
        if transaction.id == named.len() as u64 {
            named.push(transaction.clone());
        }
        node.inbox.push_back(transaction);
    }

    fn write_strangely(&mut self, index: usize) {
        let Self { lab, strangers, nodes, links, .. } = self;
        let heard_by = links.iter().find(|link| link.from == Origin::Stranger(index));
        let node = &nodes[heard_by.expect("a stranger is heard").to];
        let stranger = &mut strangers[index];
        if let Kind::Forwarder { of, heard } = &mut stranger.kind {
            let journal = nodes[*of].journal().iter().skip(*heard);
            for number in journal.take(lab.rng.usize(1..5)) {
                let Transaction { source, id, payload, .. } = lab.book.transaction(*number);
                stranger.journal.push(Transaction::fresh(source.clone(), *id, payload.clone()));
                *heard += 1;
            }
            return;
        }
        if stranger.kind == Kind::Plain && lab.percent(5) {
            lab.note(|_| format!("stranger {index} counts from the beginning again"));
            stranger.journal.clear();
            let of_it = links.iter_mut().filter(|link| link.from == Origin::Stranger(index));
            of_it.for_each(|link| link.stream = None);
        }
        let payload = patches::careless_patch(&mut lab.rng, &node.json());
        let id = match stranger.journal.last() {
            _ if stranger.kind == Kind::Careless => lab.rng.u64(0..30),
            None => lab.rng.u64(0..2),
            Some(last) => last.id + lab.rng.u64(1..3),
        };
        // Nobody says that its times grow with its Ids.
        let skew = self.plan.skew_micros.max(10);
        let time_micros = match node.model().history().last() {
            Some(last) if lab.rng.bool() => lab.book.place(last.number).time.as_micros(),
            _ => self.time_micros - skew + lab.rng.u64(0..2 * skew),
        };
        let is_fresh = stranger.kind != Kind::Ordering;
        let time = if is_fresh { None } else { Time::from_micros(time_micros) };
        let source = stranger.source.clone();
        let transaction = Transaction { time, ..Transaction::fresh(source, id, payload) };
        lab.note(|_| format!("stranger {index} creates {}", transaction.encode()));
        stranger.journal.push(transaction);
    }

    /// Something moves on a link.
    fn stir(&mut self, index: usize) {
        let length = self.length(self.links[index].from);
        let (step, speed) = (self.step, self.links[index].speed);
        if !self.lab.percent(speed) {
            return;
        }
        let repeats = self.lab.percent(20);
        let Self { lab, links, nodes, .. } = self;
        let link = &mut links[index];
        let Some(stream) = &mut link.stream else {
            if link.blocked_until <= step {
                connect(link, repeats, &nodes[link.to], lab);
            }
            return;
        };
        stream.sent += lab.rng.usize(0..=length - stream.sent).min(link.most);
        if stream.submitted.is_none() && stream.sent > stream.answered {
            stream.submitted = Some(lab.rng.usize(stream.answered + 1..=stream.sent));
        }
    }

    /// How long the journal at a stream's origin is.
    fn length(&self, origin: Origin) -> usize {
        match origin {
            Origin::Node(node) => self.nodes[node].journal().len(),
            Origin::Stranger(stranger) => self.strangers[stranger].journal.len(),
        }
    }

    /// What a link has submitted.
    fn submission(&self, link: &Link) -> Option<Vec<Transaction>> {
        let stream = link.stream.as_ref()?;
        let positions = stream.answered..stream.submitted?;
        let transaction = |position| match link.from {
            Origin::Node(node) => self.lab.book.transaction(self.nodes[node].journal()[position]),
            Origin::Stranger(stranger) => &self.strangers[stranger].journal[position],
        };
        let is_new = |transaction: &&Transaction| {
            let (source, id) = transaction.stamp();
            // What a node has created itself it never stamps for others.
            let is_brought_back =
                transaction.time.is_none() && *source == self.nodes[link.to].source;
            !is_brought_back
                && stream.since.as_ref().is_none_or(|since| !since.has_seen(source, id))
        };
        Some(positions.map(transaction).filter(is_new).cloned().collect())
    }

    /// A node takes in what waits for it, or some of it.
    fn turn(&mut self, index: usize) {
        let mut submissions: Vec<(Option<usize>, Vec<Transaction>)> = Vec::new();
        let all = self.lab.percent(60);
        for link in 0..self.links.len() {
            if self.links[link].to == index
                && (all || self.lab.rng.bool())
                && let Some(submission) = self.submission(&self.links[link])
            {
                submissions.push((Some(link), submission));
            }
        }
        self.lab.rng.shuffle(&mut submissions);
        // Those of the node itself keep their order among the others.
        let mut at = 0;
        while !self.nodes[index].inbox.is_empty() && (all || self.lab.rng.bool()) {
            let inbox = &mut self.nodes[index].inbox;
            let fresh = inbox.drain(..self.lab.rng.usize(1..=inbox.len())).collect();
            at = self.lab.rng.usize(at..=submissions.len());
            submissions.insert(at, (None, fresh));
            at += 1;
        }
        if self.plan.faults > 0 && self.lab.percent(3) {
            submissions.extend(self.forgery(index).map(|forgery| (None, vec![forgery])));
        }
        if !submissions.is_empty() {
            let disk = self.disk(index);
            self.take_in(index, submissions, disk);
        }
    }

    fn take_in(
        &mut self,
        index: usize,
        submissions: Vec<(Option<usize>, Vec<Transaction>)>,
        disk: Disk,
    ) {
        let now = self.now(index);
        let (links, submissions): (Vec<_>, Vec<_>) = submissions.into_iter().unzip();
        self.lab.note(|_| {
            let sizes: Vec<usize> = submissions.iter().map(Vec::len).collect();
            format!(
                "{index} at {}: takes {sizes:?} in from {links:?}, disk {disk:?}",
                now.as_micros()
            )
        });
        let node = &mut self.nodes[index];
        let length = node.journal().len();
        if disk.growth == Growth::Full && self.lab.percent(40) {
            // Whoever was told that it is not kept comes again, and again.
            for _ in 0..self.lab.rng.u32(0..50) {
                match node.accept(submissions.clone(), now, disk, &mut self.lab) {
                    Turn::Unkept => (),
                    Turn::Kept { .. } => break,
                    Turn::Ended => return self.crash(index),
                }
            }
        }
        let turn = node.accept(submissions, now, disk, &mut self.lab);
        self.lab.note(|book| {
            let line = |number: &Number| format!("    {}\n", book.record(*number).line);
            let lines: String = node.journal()[length..].iter().map(line).collect();
            let skipped: Vec<String> =
                node.model().skipped().map(|(number, ..)| label(book.place(number))).collect();
            let document = node.replica().snapshot().root();
            format!("{lines}    {turn:?}: {document}, skipped: {}", skipped.join(", "))
        });
        self.acknowledged.extend(&node.journal()[length..]);
        if turn != Turn::Ended && self.lab.percent(25) {
            node.check_reads(&mut self.lab);
        }
        let own = node.model().next_id(&node.source, &self.lab.book);
        node.next_id = node.next_id.max(own);
        match turn {
            Turn::Kept { early } => {
                for (link, early) in links.into_iter().zip(early) {
                    let Some(link) = link else { continue };
                    let stream = &mut self.links[link].stream;
                    match stream {
                        // What comes after the early one must not hide that it is missing.
                        _ if early => *stream = None,
                        Some(stream) => {
                            stream.answered = stream.submitted.take().expect("it was submitted");
                        }
                        None => unreachable!("it was submitted"),
                    }
                }
            }
            Turn::Unkept => {
                for link in links.into_iter().flatten() {
                    self.links[link].stream = None;
                }
            }
            Turn::Ended => self.crash(index),
        }
    }

    fn now(&self, index: usize) -> Time {
        let micros = self.time_micros.saturating_add_signed(self.nodes[index].clock_error);
        let micros = micros - micros % self.plan.quantum_micros;
        Time::from_micros(micros).expect("it is long until 2255")
    }
}

fn label(Place { source, id, .. }: &Place) -> String {
    format!("{source} {id}")
}

fn connect(link: &mut Link, repeats: bool, receiver: &Node, lab: &mut Lab) {
    lab.tally.connections += 1;
    let is_plain = matches!(link.from, Origin::Stranger(_));
    let says_since = !repeats && !is_plain;
    link.stream = Some(Stream::new(says_since.then(|| receiver.replica().vclock().clone())));
}
