//! Which node hears which: topologies, and streams that are cursors over a journal.

use fastrand::Rng;
use patchmesh::internals::clock::VectorClock;

/// A stream's two ends, and the stream while there is one.
pub struct Link {
    /// Whose journal is sent.
    pub from: Origin,
    /// The node that receives it.
    pub to: usize,
    /// In how many of a hundred cases something moves when it could.
    pub speed: u32,
    /// How many transactions move at once at most.
    pub most: usize,
    /// No stream begins before this step.
    pub blocked_until: u64,
    /// The stream.
    pub stream: Option<Stream>,
}

/// The sender of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A node.
    Node(usize),
    /// Something that is no node of ours, and only sends.
    Stranger(usize),
}

/// A journal being sent. What is between two of the positions is on its way.
pub struct Stream {
    /// What the receiver has seen, so that it is left out; none if it did not say.
    pub since: Option<VectorClock>,
    /// How far the sender is.
    pub sent: usize,
    /// Up to where the receiver has submitted, and has no answer yet.
    pub submitted: Option<usize>,
    /// Up to where the receiver has got answers.
    pub answered: usize,
}

impl Stream {
    /// A stream from the journal's start.
    pub fn new(since: Option<VectorClock>) -> Self {
        Self { since, sent: 0, submitted: None, answered: 0 }
    }
}

/// The pairs of sender and receiver among some nodes. From each one there is a way to each other one.
pub fn topology(nodes: usize, rng: &mut Rng) -> (&'static str, Vec<(usize, usize)>) {
    let mut names: Vec<usize> = (0..nodes).collect();
    rng.shuffle(&mut names);
    let both = |pairs: Vec<(usize, usize)>| -> Vec<(usize, usize)> {
        pairs.into_iter().flat_map(|(left, right)| [(left, right), (right, left)]).collect()
    };
    let tree = |rng: &mut Rng| (1..nodes).map(|node| (rng.usize(0..node), node)).collect();
    let ring = || (0..nodes).map(|node| (node, (node + 1) % nodes));
    let (name, pairs): (_, Vec<(usize, usize)>) = match rng.u32(0..8) {
        0 => ("line", both((1..nodes).map(|node| (node - 1, node)).collect())),
        1 => ("ring", both(ring().collect())),
        2 => ("star", both((1..nodes).map(|node| (0, node)).collect())),
        3 => ("tree", both(tree(rng))),
        4 => (
            "mesh",
            both((0..nodes).flat_map(|node| (0..node).map(move |to| (node, to))).collect()),
        ),
        5 => {
            let mut pairs: Vec<(usize, usize)> = tree(rng);
            let more = |_| (rng.usize(0..nodes), rng.usize(0..nodes));
            pairs.extend((0..nodes).map(more).filter(|(from, to)| from != to));
            ("graph", both(pairs))
        }
        6 => ("one-way ring", ring().collect()),
        _ => {
            let mut pairs: Vec<(usize, usize)> = ring().collect();
            let more = |_| (rng.usize(0..nodes), rng.usize(0..nodes));
            pairs.extend((0..nodes).map(more).filter(|(from, to)| from != to));
            ("one-way graph", pairs)
        }
    };
    let mut pairs: Vec<_> = pairs.into_iter().map(|(from, to)| (names[from], names[to])).collect();
    pairs.sort_unstable();
    pairs.dedup();
    (name, pairs)
}
