//! The simulation of one seed: nodes, the streams between them, wall clocks, users, and what goes
//! wrong.

use std::collections::BTreeSet;

use fastrand::Rng;
use patchmesh::clock::{Time, VectorClock};
use patchmesh::replica::Bounds;
use patchmesh::source::Source;
use patchmesh::transaction::Transaction;

use crate::definition::{Number, fold, order};
use crate::lab::Lab;
use crate::network::{Link, Origin, Stream, topology};
use crate::node::{Disk, Growth, Node, Turn};
use crate::patches;
use crate::tally::Tally;

const MINUTE_MICROS: u64 = 60_000_000;
const DAY_MICROS: u64 = 24 * 60 * MINUTE_MICROS;

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
    acknowledged: Vec<Number>,
}

/// What is the same for the whole of a simulation.
struct Plan {
    /// Transactions that are yet to be created.
    writes: usize,
    /// How many of them are created at once at most.
    burst: usize,
    /// How coarse the wall clocks are.
    quantum_micros: u64,
    /// How much time passes at most from one step to the next.
    pace_micros: u64,
    /// How far wall clocks are off at most.
    skew_micros: u64,
    /// Of how many of a thousand steps something goes wrong.
    faults: u32,
}

/// Sends transactions that no node of ours has made, and takes none.
struct Stranger {
    source: Source,
    /// The one node that hears it, where it leaves the time to that, as plain nodes do.
    plain: Option<usize>,
    journal: Vec<Transaction>,
}

impl Plan {
    fn new(rng: &mut Rng) -> Self {
        let writes = match rng.u32(0..20) {
            0..10 => rng.usize(3..30),
            10..19 => rng.usize(30..100),
            _ => rng.usize(100..300),
        };
        let skew_minutes = [0, 0, 1, 5, 5, 5, 180, 180][rng.usize(0..8)];
        Self {
            writes,
            burst: [1, 5, 40][rng.usize(0..3)],
            quantum_micros: [1, 1, 1000, MINUTE_MICROS][rng.usize(0..4)],
            pace_micros: [2, 1000, 100_000, MINUTE_MICROS][rng.usize(0..4)],
            skew_micros: skew_minutes * MINUTE_MICROS,
            faults: [0, 10, 30, 70][rng.usize(0..4)],
        }
    }

    fn bounds(rng: &mut Rng) -> Bounds {
        if rng.u32(0..6) == 0 {
            return Bounds::default();
        }
        let greatest_recent = [1, 4, 16, 65, 300][rng.usize(0..5)];
        Bounds {
            recent_transactions: rng.usize(0..greatest_recent),
            recent_bytes: if rng.u32(0..5) == 0 { rng.u64(0..2000) } else { 1 << 20 },
            checkpoints: rng.usize(0..5),
            checkpoint_bytes: if rng.u32(0..8) == 0 { rng.usize(0..600) } else { 1 << 20 },
            checkpoint_spacing: [1, 2, rng.u64(1..17)][rng.usize(0..3)],
            checkpoint_weights: 0,
            skipped_listed: 1 << 20,
        }
    }
}

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
                let mut node = Node::new(source, Plan::bounds(&mut lab.rng));
                node.clock_error = clock_error(&plan, &mut lab.rng);
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
            let plain = lab.rng.bool().then_some(hearer);
            pairs.push((origin, hearer));
            if plain.is_none() {
                let others = (0..count).filter(|node| *node != hearer && lab.rng.bool());
                pairs.extend(others.map(|node| (origin, node)));
            }
            strangers.push(Stranger { source, plain, journal: Vec::new() });
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
            acknowledged: Vec::new(),
            lab,
        }
    }

    /// Things happen until all transactions were created.
    fn run(&mut self) {
        while self.plan.writes > 0 {
            self.step += 1;
            self.time_micros += self.lab.rng.u64(0..self.plan.pace_micros);
            if self.lab.percent(1) {
                let index = self.lab.rng.usize(0..self.nodes.len());
                let now = self.now(index);
                self.lab.note(|_| format!("{index} is saved"));
                self.nodes[index].save(now, &mut self.lab);
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
        for _ in 0..count {
            let node = &mut self.nodes[index];
            let payload = patches::patch(&mut self.lab.rng, node.replica().snapshot().root());
            self.lab.note(|_| format!("{index} creates {}: {payload}", node.next_id));
            let (source, id) = (node.source.clone(), node.next_id);
            node.next_id += 1 + u64::from(self.lab.percent(10));
            node.inbox.push_back(Transaction { source, id, payload, time: None });
        }
    }

    fn write_strangely(&mut self, index: usize) {
        let Self { lab, strangers, nodes, links, .. } = self;
        let heard_by = links.iter().find(|link| link.from == Origin::Stranger(index));
        let node = &nodes[heard_by.expect("a stranger is heard").to];
        let stranger = &mut strangers[index];
        let payload = patches::careless_patch(&mut lab.rng, node.replica().snapshot().root());
        let id = match stranger.journal.last() {
            None => lab.rng.u64(0..2),
            Some(last) => last.id + lab.rng.u64(1..3),
        };
        // Nobody says that its times grow with its Ids.
        let skew = self.plan.skew_micros.max(10);
        let time_micros = match node.model().history().last() {
            Some(last) if lab.rng.bool() => lab.book.place(last.number).time.as_micros(),
            _ => self.time_micros - skew + lab.rng.u64(0..2 * skew),
        };
        let time = if stranger.plain.is_some() { None } else { Time::from_micros(time_micros) };
        let source = stranger.source.clone();
        let transaction = Transaction { source, id, payload, time };
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
            let Transaction { source, id, .. } = transaction;
            stream.since.as_ref().is_none_or(|since| !since.has_seen(source, *id))
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

    fn disk(&mut self, index: usize) -> Disk {
        let fails = |lab: &mut Lab, faults: u32| lab.rng.u32(0..1000) < faults;
        let mut disk = Disk::SOUND;
        // What is recent is not read, so most of these are never noticed.
        if fails(&mut self.lab, 10 * self.plan.faults) {
            disk.most_reads = self.lab.rng.u32(0..6);
        }
        if self.step < self.full_until[index] || fails(&mut self.lab, self.plan.faults) {
            disk.growth = Growth::Full;
        } else if fails(&mut self.lab, self.plan.faults) {
            disk.growth = Growth::Crash;
        }
        disk
    }

    /// A transaction that a node has, with another time or payload.
    fn forgery(&mut self, index: usize) -> Option<Transaction> {
        let Lab { book, rng, .. } = &mut self.lab;
        let mut forgery = book.transaction(*rng.choice(self.nodes[index].journal())?).clone();
        if rng.bool() {
            forgery.payload = format!("{} ", forgery.payload).into();
        } else {
            let micros = forgery.time.map_or(0, Time::as_micros);
            forgery.time = Time::from_micros(micros - 5 + rng.u64(0..5));
        }
        book.number(&forgery).is_none().then_some(forgery)
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
        if disk.growth == Growth::Full && self.lab.percent(20) {
            // Whoever was told that it is not kept comes again, and again.
            for _ in 0..self.lab.rng.u32(0..30) {
                if node.accept(submissions.clone(), now, disk, &mut self.lab) == Turn::Ended {
                    return self.crash(index);
                }
            }
        }
        let turn = node.accept(submissions, now, disk, &mut self.lab);
        self.lab.note(|book| {
            for number in &node.journal()[length..] {
                println!("    {length}.. {}", book.record(*number).line);
            }
            let skipped: Vec<_> =
                node.replica().history().skipped().keys().map(|at| (&at.source, at.id)).collect();
            format!("    {turn:?}: {}, skipped {skipped:?}", node.replica().snapshot().root())
        });
        self.acknowledged.extend(&node.journal()[length..]);
        if turn != Turn::Ended && !node.journal().is_empty() {
            node.check_whereabouts(self.lab.rng.usize(0..node.journal().len()), &self.lab.book);
        }
        let own = node.model().next_id(&node.source);
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

    /// Something goes wrong.
    fn fail(&mut self) {
        let node = self.lab.rng.usize(0..self.nodes.len());
        let link = self.lab.rng.usize(0..self.links.len());
        match self.lab.rng.u32(0..10) {
            0..2 => self.crash(node),
            2..4 => {
                self.nodes[node].clock_error = clock_error(&self.plan, &mut self.lab.rng);
                let error = self.nodes[node].clock_error;
                self.lab.note(|_| format!("{node}: the clock is off by {error} µs from now on"));
            }
            4 => {
                self.full_until[node] = self.step + self.lab.rng.u64(0..300);
                self.lab.note(|_| format!("{node}: the disk is full for a while"));
            }
            5..7 => {
                let blocked_until = self.step + self.lab.rng.u64(0..100);
                self.cut(link, blocked_until);
            }
            7 => {
                // A partition: some on one side, the others on the other.
                let sides: Vec<bool> = self.nodes.iter().map(|_| self.lab.rng.bool()).collect();
                let blocked_until = self.step + self.lab.rng.u64(0..300);
                for index in 0..self.links.len() {
                    let Link { from, to, .. } = self.links[index];
                    if let Origin::Node(from) = from
                        && sides[from] != sides[to]
                    {
                        self.cut(index, blocked_until);
                    }
                }
            }
            _ => {
                // The stream goes back, and sends again what it has sent.
                let Self { lab, links, .. } = self;
                if let Some(stream) = &mut links[link].stream
                    && stream.submitted.is_none()
                {
                    stream.answered = lab.rng.usize(0..=stream.answered);
                    lab.note(|_| format!("link {link} repeats from {}", stream.answered));
                }
            }
        }
    }

    fn cut(&mut self, index: usize, blocked_until: u64) {
        let link = &mut self.links[index];
        link.stream = None;
        link.blocked_until = blocked_until;
        self.lab.note(|_| format!("link {index} from {:?} to {} is cut", link.from, link.to));
    }

    /// A node ends, loses what is not in its journal, and starts again.
    fn crash(&mut self, index: usize) {
        self.lab.note(|_| format!("{index} restarts"));
        for link in &mut self.links {
            if link.to == index || link.from == Origin::Node(index) {
                link.stream = None;
            }
        }
        let now = self.now(index);
        if self.lab.percent(30) {
            self.nodes[index].bounds = Plan::bounds(&mut self.lab.rng);
        }
        self.nodes[index].restart(now, &mut self.lab);
    }

    /// All is well from now on: the clocks are right, nothing breaks, and everything arrives.
    fn drain(&mut self) {
        self.lab.note(|_| "all is well from now on".into());
        self.plan = Plan { quantum_micros: 1, faults: 0, ..self.plan };
        self.time_micros += DAY_MICROS;
        self.nodes.iter_mut().for_each(|node| node.clock_error = 0);
        self.full_until.fill(0);
        // In each round what is new anywhere goes one link further; a round more finds nothing new.
        for _ in 0..self.nodes.len() + 2 {
            if self.is_drained() {
                return;
            }
            for index in 0..self.links.len() {
                let length = self.length(self.links[index].from);
                let repeats = self.lab.percent(20);
                let Self { lab, links, nodes, .. } = self;
                let link = &mut links[index];
                if link.stream.is_none() {
                    connect(link, repeats, &nodes[link.to], lab);
                }
                if let Some(stream) = &mut link.stream {
                    (stream.sent, stream.submitted) = (length, Some(length));
                }
            }
            for node in 0..self.nodes.len() {
                while !self.nodes[node].inbox.is_empty()
                    || self.links.iter().any(|link| {
                        link.to == node
                            && link.stream.as_ref().is_some_and(|stream| stream.submitted.is_some())
                    })
                {
                    self.turn(node);
                }
            }
        }
        assert!(self.is_drained(), "transactions never come to rest");
    }

    fn is_drained(&self) -> bool {
        let has_arrived = |link: &Link| {
            let length = self.length(link.from);
            link.stream.as_ref().is_some_and(|stream| stream.answered == length)
        };
        self.nodes.iter().all(|node| node.inbox.is_empty()) && self.links.iter().all(has_arrived)
    }

    /// All nodes have the same, and what the definition says.
    fn check_end(&mut self) {
        let restarted = self.lab.rng.usize(0..self.nodes.len());
        self.crash(restarted);
        let numbers = |node: &Node| node.journal().iter().copied().collect::<BTreeSet<Number>>();
        let set = numbers(&self.nodes[0]);
        let lost = self.acknowledged.iter().find(|number| !set.contains(number));
        assert_eq!(lost, None, "an acknowledged transaction is gone");

        let book = &self.lab.book;
        let (text, skipped) =
            fold(set.iter().map(|number| book.transaction(*number).clone()).collect());
        let vclock = self.nodes[0].replica().vclock();
        for (index, node) in self.nodes.iter().enumerate() {
            assert_eq!(numbers(node), set, "the transactions of {index}");
            assert_eq!(node.replica().vclock(), vclock, "the vector clock of {index}");
            assert_eq!(
                node.replica().snapshot().root().to_string(),
                text,
                "the document of {index}"
            );
            let history = node.replica().history();
            let found = history.skipped().iter().map(|(place, skip)| (place.clone(), &skip.error));
            let expected = skipped
                .iter()
                .map(|(transaction, error)| (transaction.place().expect("it is ordered"), error));
            assert!(found.eq(expected), "what {index} skips: {:?}", history.skipped());
            node.check(book);
            (0..node.journal().len()).step_by(5).for_each(|at| node.check_whereabouts(at, book));
        }

        let mut places: Vec<_> = set.iter().map(|number| book.place(*number)).collect();
        places.sort_by(|left, right| order(left, right));
        let is_tie = |pair: &&[&_]| {
            let [left, right]: [&patchmesh::transaction::Place; 2] = [pair[0], pair[1]];
            left.time == right.time && left.source != right.source
        };
        self.lab.tally.ties += places.windows(2).filter(is_tie).count() as u64;
        self.lab.tally.transactions += set.len() as u64;
        self.lab.tally.skipped += skipped.len() as u64;
    }
}

fn clock_error(plan: &Plan, rng: &mut Rng) -> i64 {
    let skew = i64::try_from(plan.skew_micros).expect("it is some hours");
    rng.i64(-skew..=skew)
}

fn connect(link: &mut Link, repeats: bool, receiver: &Node, lab: &mut Lab) {
    lab.tally.connections += 1;
    let is_plain = matches!(link.from, Origin::Stranger(_));
    let vclock: &VectorClock = receiver.replica().vclock();
    link.stream = Some(Stream::new((!repeats && !is_plain).then(|| vclock.clone())));
}
