//! Nodes and links in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patchmesh::internals::clock::VectorClock;
use patchmesh::internals::mesh::tree::{
    Announcement, BroadcastTree, Flow, HaveSummary, Herald, LinkId, LinkOrder, Ping, ProcessId,
    ReaderSummary,
};
use patchmesh::internals::source::Source;

/// How long a node takes to settle a batch, which is to append and publish it: mostly, and at most.
const SETTLES_MICROS: u64 = 300;
const SETTLES_LATE_MICROS: u64 = 60_000;

/// An upstream's task tells its peer what the tree says within so long.
const TELLS_MICROS: u64 = 2_000;

/// After so long a reader dials again.
const DIALS_AGAIN_MICROS: u64 = 100_000;

/// After so long a reader finds that its stream is dead.
const NOTICES_MICROS: u64 = 1_500_000;

/// What a node writes: by which node, and the how manieth.
pub type Written = (usize, u64);

/// What happens.
enum Event {
    Write {
        node: usize,
    },
    Arrive {
        link: usize,
        stream: u64,
        message: Message,
    },
    Told {
        link: usize,
        stream: u64,
        ping: Ping,
    },
    Settle {
        link: usize,
        stream: u64,
        transactions: Vec<(Written, u32)>,
    },
    Look {
        link: usize,
        stream: u64,
    },
    Announce {
        node: usize,
    },
    Dial {
        link: usize,
    },
    Break {
        link: usize,
        stream: u64,
    },
    /// An upstream looks what it is to tell its peer.
    Order {
        link: usize,
        stream: u64,
    },
}

/// What a downstream sends.
enum Message {
    Transactions(Vec<(Written, u32)>),
    End,
    Summary(HaveSummary),
    Pong(Ping),
}

/// One node.
struct Node {
    source: Source,
    process: ProcessId,
    /// What it has, in the order in which it came, and over how many links.
    journal: Vec<(Written, u32)>,
    clock: VectorClock,
    next: u64,
    tree: BroadcastTree,
    herald: Herald,
    /// Whether an announcement is to come, since something is new.
    beat_is_due: bool,
    last_beat: u64,
    frozen: bool,
    /// What came while it was frozen.
    held: Vec<Event>,
    is_broken: bool,
    reads: Vec<usize>,
    is_read_over: Vec<usize>,
    copies: u64,
    summaries: u64,
}

/// What a node is put back to.
pub struct Copy {
    journal: Vec<(Written, u32)>,
    clock: VectorClock,
    process: ProcessId,
}

/// One link, from a reader to the node that it dials.
struct Link {
    reader: usize,
    sender: usize,
    latency: u64,
    /// Which stream is the last one, if it is up.
    stream: u64,
    is_up: bool,
    id: Option<LinkId>,
    frozen: bool,
    is_cut: bool,
    /// Whether one end has forgotten the stream, and the other does not know.
    is_dead: bool,
    held: Vec<Event>,
    // What follows is the sender's.
    position: usize,
    seen: VectorClock,
    flow: Flow,
    is_told_end: bool,
    /// How many of the reader's submissions are not settled, and when the last one is.
    unsettled: usize,
    settled_at: u64,
}

/// One transaction: when it was written, and by when all that can had it.
#[derive(Clone, Copy, Default)]
pub struct Spread {
    pub begun: u64,
    pub last: u64,
    pub nodes: usize,
    pub hops: u64,
}

/// All of it.
pub struct World {
    pub now: u64,
    begin: Instant,
    queue: BinaryHeap<Reverse<Entry>>,
    count: u64,
    nodes: Vec<Node>,
    links: Vec<Link>,
    pub random: fastrand::Rng,
    pub spread: Vec<Vec<Spread>>,
    /// Of so many batches that a node settles, one takes long and one fails; none if it is 0.
    pub troubles: u64,
}

struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub fn new(nodes: usize, pairs: &[(usize, usize)], mut random: fastrand::Rng) -> Self {
        let node = |number: usize| Node {
            source: format!("n{number:04}~00000000").parse().unwrap(),
            process: ProcessId { number: number as u64, generation: 0 },
            journal: Vec::new(),
            clock: VectorClock::default(),
            next: 0,
            tree: BroadcastTree::new(fastrand::Rng::with_seed(random.u64(..))),
            herald: Herald::new(VectorClock::default(), 0),
            beat_is_due: false,
            last_beat: 0,
            frozen: false,
            held: Vec::new(),
            is_broken: false,
            reads: Vec::new(),
            is_read_over: Vec::new(),
            copies: 0,
            summaries: 0,
        };
        let nodes: Vec<_> = (0..nodes).map(node).collect();
        let spread = vec![Vec::new(); nodes.len()];
        let begin = Instant::now();
        let mut world = Self {
            now: 0,
            begin,
            queue: BinaryHeap::new(),
            count: 0,
            nodes,
            links: Vec::new(),
            random,
            spread,
            troubles: 0,
        };
        let mut latencies = std::collections::BTreeMap::new();
        for (link, (reader, sender)) in pairs.iter().enumerate() {
            let ends = (*reader.min(sender), *reader.max(sender));
            let latency = *latencies.entry(ends).or_insert_with(|| world.random.u64(50..5_000));
            world.links.push(Link {
                reader: *reader,
                sender: *sender,
                latency,
                stream: 0,
                is_up: false,
                id: None,
                frozen: false,
                is_cut: false,
                is_dead: false,
                held: Vec::new(),
                position: 0,
                seen: VectorClock::default(),
                flow: Flow::default(),
                is_told_end: false,
                unsettled: 0,
                settled_at: 0,
            });
            world.nodes[*reader].reads.push(link);
            world.nodes[*sender].is_read_over.push(link);
            let at = world.random.u64(..50_000);
            world.put(at, Event::Dial { link });
        }
        world
    }

    fn put(&mut self, after: u64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse(Entry { at: self.now + after, number: self.count, event }));
    }

    fn instant(&self) -> Instant {
        self.begin + Duration::from_micros(self.now)
    }

    /// Has a node write after a while.
    pub fn write(&mut self, node: usize, after: u64) {
        self.put(after, Event::Write { node });
    }

    pub fn freeze_node(&mut self, node: usize) {
        self.nodes[node].frozen = true;
    }

    pub fn thaw_node(&mut self, node: usize) {
        self.nodes[node].frozen = false;
        for event in std::mem::take(&mut self.nodes[node].held) {
            self.put(0, event);
        }
    }

    /// The process of a node ends; its directory stays.
    pub fn break_node(&mut self, node: usize) {
        self.nodes[node].is_broken = true;
        self.nodes[node].frozen = false;
        for event in std::mem::take(&mut self.nodes[node].held) {
            if let Event::Dial { .. } = event {
                self.put(0, event);
            }
        }
        self.nodes[node].beat_is_due = false;
        let links = [&self.nodes[node].reads[..], &self.nodes[node].is_read_over].concat();
        links.into_iter().for_each(|link| self.break_stream(link));
        let random = fastrand::Rng::with_seed(self.random.u64(..));
        let node = &mut self.nodes[node];
        node.tree = BroadcastTree::new(random);
        node.herald = Herald::new(node.clock.clone(), node.journal.len() as u64);
        node.process.number += 1_000_000;
    }

    pub fn mend_node(&mut self, node: usize) {
        self.nodes[node].is_broken = false;
    }

    /// A process with all its memory, and its directory, as it is now.
    pub fn copy_node(&self, node: usize) -> Copy {
        let node = &self.nodes[node];
        Copy { journal: node.journal.clone(), clock: node.clock.clone(), process: node.process }
    }

    /// It is put back to that. What it wrote since would be another's: so it is one that does not write.
    pub fn put_back_node(&mut self, number: usize, copy: Copy) {
        // Its readers do not know that yet.
        let streams = std::mem::take(&mut self.nodes[number].is_read_over);
        for link in &streams {
            self.links[*link].is_dead = self.links[*link].is_up;
            let (link, stream) = (*link, self.links[*link].stream);
            self.put(NOTICES_MICROS, Event::Break { link, stream });
        }
        self.break_node(number);
        self.mend_node(number);
        let Copy { journal, clock, process } = copy;
        let node = &mut self.nodes[number];
        node.is_read_over = streams;
        assert_eq!(node.next, 0);
        node.herald = Herald::new(clock.clone(), journal.len() as u64);
        (node.journal, node.clock, node.process) = (journal, clock, process);
    }

    /// Nothing goes over the links between two nodes, and nobody is told.
    pub fn freeze_link(&mut self, link: usize) {
        for link in self.both(link) {
            self.links[link].frozen = true;
        }
    }

    pub fn thaw_link(&mut self, link: usize) {
        for link in self.both(link) {
            self.links[link].frozen = false;
            for event in std::mem::take(&mut self.links[link].held) {
                self.transport(link, event);
            }
        }
    }

    pub fn cut_link(&mut self, link: usize) {
        for link in self.both(link) {
            self.links[link].is_cut = true;
            self.break_stream(link);
        }
    }

    pub fn mend_link(&mut self, link: usize) {
        for link in self.both(link) {
            self.links[link].is_cut = false;
        }
    }

    fn both(&self, link: usize) -> Vec<usize> {
        let ends = |link: &Link| (link.reader.min(link.sender), link.reader.max(link.sender));
        let of = ends(&self.links[link]);
        (0..self.links.len()).filter(|other| ends(&self.links[*other]) == of).collect()
    }

    fn break_stream(&mut self, number: usize) {
        let now = self.instant();
        let link = &mut self.links[number];
        link.held.clear();
        (link.frozen, link.is_dead) = (false, false);
        if !std::mem::take(&mut link.is_up) {
            return;
        }
        link.stream += 1;
        let (reader, id) = (link.reader, link.id.take().expect("it is up"));
        let node = &mut self.nodes[reader];
        node.tree.end(id, &node.clock, now);
        // Some are dialed again while what was sent before is still on its way.
        let within = [TELLS_MICROS, DIALS_AGAIN_MICROS][self.random.usize(..2)];
        let after = self.random.u64(..within);
        self.put(after, Event::Dial { link: number });
        self.pass_orders(reader);
    }

    /// Runs until a moment, or until nothing is to be done.
    pub fn run(&mut self, until: u64) {
        while let Some(Reverse(entry)) = self.queue.peek()
            && entry.at <= until
        {
            let Reverse(Entry { at, event, .. }) = self.queue.pop().expect("it was there");
            self.now = at;
            self.step(event);
        }
        self.now = self.now.max(until);
    }

    fn step(&mut self, event: Event) {
        let (node, link) = match &event {
            Event::Write { node } | Event::Announce { node } => (*node, None),
            Event::Arrive { link, stream, .. }
            | Event::Settle { link, stream, .. }
            | Event::Look { link, stream }
            | Event::Order { link, stream } => (self.links[*link].reader, Some((*link, *stream))),
            Event::Told { link, stream, .. } => {
                if self.links[*link].is_dead {
                    return;
                }
                (self.links[*link].sender, Some((*link, *stream)))
            }
            Event::Dial { link } => (self.links[*link].reader, None),
            Event::Break { link, stream } => {
                if self.links[*link].stream == *stream {
                    self.break_stream(*link);
                }
                return;
            }
        };
        if let Some((link, stream)) = link
            && self.links[link].stream != stream
        {
            return;
        }
        let at = &mut self.nodes[node];
        if at.is_broken {
            if let Event::Dial { .. } = event {
                self.put(DIALS_AGAIN_MICROS, event);
            }
            return;
        }
        if at.frozen {
            at.held.push(event);
            return;
        }
        match event {
            Event::Write { node } => self.writes(node),
            Event::Announce { node } => self.announces(node),
            Event::Dial { link } => self.dials(link),
            Event::Arrive { link, message, .. } => self.arrives(link, message),
            Event::Settle { link, transactions, .. } => self.settles(link, transactions),
            Event::Look { link, .. } => self.looks(link),
            Event::Order { link, .. } => self.orders(link),
            Event::Told { link, ping: Ping::Order(order), .. } => self.is_told(link, order),
            Event::Told { link, ping, .. } => self.send(link, Message::Pong(ping)),
            Event::Break { .. } => unreachable!("it concerns no node"),
        }
    }

    fn writes(&mut self, number: usize) {
        let now = self.now;
        let node = &mut self.nodes[number];
        let id = node.next;
        node.next += 1;
        self.spread[number].push(Spread { begun: now, last: now, nodes: 0, hops: 0 });
        self.accepts(number, (number, id), 0);
        self.feeds(number);
    }

    fn accepts(&mut self, number: usize, written: Written, hops: u32) {
        let source = self.nodes[written.0].source.clone();
        let node = &mut self.nodes[number];
        assert_eq!(node.clock.next_id(&source), written.1, "a gap at node {number}");
        node.clock.advance(&source, written.1);
        node.journal.push((written, hops));
        let spread = &mut self.spread[written.0][written.1 as usize];
        spread.last = self.now;
        spread.nodes += 1;
        spread.hops += u64::from(hops);
    }

    /// All streams of a node send what is new.
    fn feeds(&mut self, number: usize) {
        for link in self.nodes[number].is_read_over.clone() {
            self.feed(link);
        }
        let lazy = self.lazy_readers(number);
        let node = &mut self.nodes[number];
        if lazy > 0 && !node.beat_is_due {
            node.beat_is_due = true;
            let interval = Herald::interval(lazy).as_micros() as u64;
            let after = (node.last_beat + interval).saturating_sub(self.now);
            self.put(after, Event::Announce { node: number });
        }
    }

    fn lazy_readers(&self, number: usize) -> usize {
        let links = self.nodes[number].is_read_over.iter().map(|link| &self.links[*link]);
        links.filter(|link| link.is_up && link.flow.is_lazy()).count()
    }

    fn feed(&mut self, number: usize) {
        let link = &self.links[number];
        if !link.is_up || link.is_dead || !link.flow.sends(link.position as u64) {
            return;
        }
        let (node, process) = (&self.nodes[link.sender], self.nodes[link.reader].process);
        let known = node.tree.known_of(&process);
        let is_sent = |((author, id), _): &&(Written, u32)| {
            let source = &self.nodes[*author].source;
            !link.seen.has_seen(source, *id)
                && !known.is_some_and(|known| known.has_seen(source, *id))
        };
        let transactions: Vec<_> =
            node.journal[link.position..].iter().filter(is_sent).copied().collect();
        let position = node.journal.len();
        self.links[number].position = position;
        if !transactions.is_empty() {
            self.send(number, Message::Transactions(transactions));
        }
        if !std::mem::replace(&mut self.links[number].is_told_end, true) {
            self.send(number, Message::End);
        }
    }

    fn send(&mut self, link: usize, message: Message) {
        let stream = self.links[link].stream;
        self.transport(link, Event::Arrive { link, stream, message });
    }

    fn transport(&mut self, number: usize, event: Event) {
        let link = &mut self.links[number];
        if link.is_dead {
            return;
        }
        if link.frozen {
            link.held.push(event);
        } else {
            let latency = link.latency;
            self.put(latency, event);
        }
    }

    fn announces(&mut self, number: usize) {
        let now = self.now;
        let node = &mut self.nodes[number];
        node.beat_is_due = false;
        node.last_beat = now;
        let announcement = node.herald.announce(&node.clock, node.journal.len() as u64).clone();
        for link in node.is_read_over.clone() {
            self.summarizes(link, &announcement);
        }
    }

    fn summarizes(&mut self, number: usize, announcement: &Arc<Announcement>) {
        let link = &mut self.links[number];
        if !link.is_up || link.is_dead {
            return;
        }
        let summary = match link.flow.summary(link.position as u64, announcement) {
            None => return,
            Some(ReaderSummary::Shared) => announcement.summary.clone(),
            Some(ReaderSummary::Own(summary)) => summary,
        };
        self.send(number, Message::Summary(summary));
    }

    fn dials(&mut self, number: usize) {
        let link = &self.links[number];
        if link.is_cut || self.nodes[link.sender].is_broken || self.nodes[link.sender].frozen {
            self.put(DIALS_AGAIN_MICROS, Event::Dial { link: number });
            return;
        }
        let (reader, sender) = (link.reader, link.sender);
        let (process, seen) = (self.nodes[sender].process, self.nodes[reader].clock.clone());
        let id = self.nodes[reader].tree.begin(Some(process));
        let link = &mut self.links[number];
        link.stream += 1;
        (link.is_up, link.id, link.seen) = (true, Some(id), seen);
        (link.position, link.flow, link.is_told_end) = (0, Flow::default(), false);
        link.unsettled = 0;
        let process = self.nodes[reader].process;
        self.nodes[sender].tree.is_read_by(&process);
        self.feed(number);
        self.pass_orders(reader);
        self.pass_orders(sender);
    }

    fn arrives(&mut self, number: usize, message: Message) {
        let now = self.instant();
        let link = &mut self.links[number];
        let (reader, id, stream) = (link.reader, link.id.expect("it is up"), link.stream);
        match message {
            Message::Transactions(transactions) => {
                link.unsettled += 1;
                let mut fresh = Vec::new();
                let mut known = 0;
                for ((author, transaction), hops) in transactions {
                    let source = self.nodes[author].source.clone();
                    let node = &mut self.nodes[reader];
                    node.copies += 1;
                    node.tree.sent(id, &source, transaction);
                    if node.clock.has_seen(&source, transaction) {
                        known += 1;
                    } else {
                        node.tree.receive(id, &source, transaction);
                        fresh.push(((author, transaction), hops + 1));
                    }
                }
                let node = &mut self.nodes[reader];
                if known > 0 {
                    node.tree.settle(id, 0, known, false);
                }
                self.links[number].settled_at = self.settles_at(number);
                let after = self.links[number].settled_at - self.now;
                self.put(after, Event::Settle { link: number, stream, transactions: fresh });
            }
            Message::Pong(ping) => {
                self.nodes[reader].tree.pong(id, ping.to_string().as_bytes());
            }
            Message::End => self.nodes[reader].tree.reaches_end(id),
            Message::Summary(summary) => {
                let node = &mut self.nodes[reader];
                node.summaries += 1;
                let look = node.tree.hear(id, summary, &node.clock, now);
                self.looks_again(number, look);
            }
        }
        self.pass_orders(reader);
    }

    fn is_trouble(&mut self) -> bool {
        self.troubles > 0 && self.random.u64(..self.troubles) == 0
    }

    /// When a batch that comes now is settled: after the ones before it.
    fn settles_at(&mut self, link: usize) -> u64 {
        let is_late = self.is_trouble();
        let micros = if is_late { self.random.u64(..SETTLES_LATE_MICROS) } else { SETTLES_MICROS };
        self.links[link].settled_at.max(self.now + micros)
    }

    fn settles(&mut self, number: usize, transactions: Vec<(Written, u32)>) {
        if self.is_trouble() {
            return self.break_stream(number);
        }
        let link = &mut self.links[number];
        link.unsettled -= 1;
        let (reader, id, is_all) = (link.reader, link.id.expect("it is up"), link.unsettled == 0);
        let (mut news, mut known) = (0, 0);
        for (written, hops) in transactions {
            let source = &self.nodes[written.0].source;
            if self.nodes[reader].clock.has_seen(source, written.1) {
                known += 1;
            } else {
                news += 1;
                self.accepts(reader, written, hops);
            }
        }
        self.nodes[reader].tree.settle(id, news, known, is_all);
        self.feeds(reader);
        self.pass_orders(reader);
    }

    fn looks(&mut self, number: usize) {
        let now = self.instant();
        let (reader, id) = (self.links[number].reader, self.links[number].id.expect("it is up"));
        let node = &mut self.nodes[reader];
        let look = node.tree.look(id, &node.clock, now);
        self.looks_again(number, look);
        self.pass_orders(reader);
    }

    fn looks_again(&mut self, number: usize, look: Option<Instant>) {
        if let Some(look) = look {
            let after = look.saturating_duration_since(self.instant()).as_micros() as u64 + 1;
            let stream = self.links[number].stream;
            self.put(after, Event::Look { link: number, stream });
        }
    }

    /// Sends what a node's upstreams are to tell their peers.
    fn pass_orders(&mut self, number: usize) {
        let ordered = self.nodes[number].tree.ordered();
        for id in ordered {
            let links = self.nodes[number].reads.iter().copied();
            let Some(link) = links.into_iter().find(|link| self.links[*link].id == Some(id)) else {
                continue;
            };
            let (after, stream) = (self.random.u64(..TELLS_MICROS), self.links[link].stream);
            self.put(after, Event::Order { link, stream });
        }
    }

    fn orders(&mut self, link: usize) {
        let (reader, id) = (self.links[link].reader, self.links[link].id.expect("it is up"));
        while let Some(ping) = self.nodes[reader].tree.ping(id) {
            let stream = self.links[link].stream;
            self.transport(link, Event::Told { link, stream, ping });
        }
    }

    fn is_told(&mut self, number: usize, order: LinkOrder) {
        let now = self.instant();
        let link = &mut self.links[number];
        let (sender, process) = (link.sender, self.nodes[link.reader].process);
        let node = &mut self.nodes[sender];
        let announcement = node.herald.announce(&node.clock, node.journal.len() as u64);
        let position = link.flow.follow(order, link.position as u64, announcement);
        link.position = position.expect("the order fits") as usize;
        node.tree.mirror(&process, order, now);
        self.feed(number);
        self.pass_orders(sender);
    }

    /// How many transactions came over links, known ones among them.
    pub fn copies(&self) -> u64 {
        self.nodes.iter().map(|node| node.copies).sum()
    }

    /// How many summaries did.
    pub fn summaries(&self) -> u64 {
        self.nodes.iter().map(|node| node.summaries).sum()
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Whether all nodes have all.
    pub fn check_all_have_all(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            for author in &self.nodes {
                let next = node.clock.next_id(&author.source);
                assert_eq!(next, author.next, "node {number} of {}", author.source);
            }
        }
    }

    /// Over how many links a transaction of `author` has to go at least, to all nodes in all.
    pub fn shortest(&self, author: usize) -> u64 {
        let mut hops = vec![None; self.nodes.len()];
        hops[author] = Some(0);
        let mut next = std::collections::VecDeque::from([author]);
        while let Some(node) = next.pop_front() {
            for link in &self.nodes[node].is_read_over {
                let reader = self.links[*link].reader;
                if hops[reader].is_none() {
                    hops[reader] = hops[node].map(|hops: u64| hops + 1);
                    next.push_back(reader);
                }
            }
        }
        hops.into_iter().map(|hops| hops.expect("all are connected")).sum()
    }
}
