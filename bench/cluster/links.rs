//! Which nodes of a mesh dial which: for each node the numbers of those that it dials.

/// How many nodes each dials if that is by chance, and the chance's seed.
const DEGREE: usize = 3;
const SEED: u64 = 1;

/// Each dials all others.
pub fn full(nodes: usize) -> Vec<Vec<usize>> {
    let all_but = |at: usize| (0..nodes).filter(move |other| *other != at).collect();
    (0..nodes).map(all_but).collect()
}

/// Each dials both neighbours.
pub fn ring(nodes: usize) -> Vec<Vec<usize>> {
    (0..nodes).map(|at| vec![(at + 1) % nodes, (at + nodes - 1) % nodes]).collect()
}

/// Each dials the next one, so that all are linked, and two more by chance.
pub fn random(nodes: usize) -> Vec<Vec<usize>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut of = |at: usize| {
        let mut links = vec![(at + 1) % nodes];
        while links.len() < DEGREE {
            let other = random.usize(..nodes);
            if other != at && !links.contains(&other) {
                links.push(other);
            }
        }
        links
    };
    (0..nodes).map(&mut of).collect()
}
