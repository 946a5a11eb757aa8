//! Shapes of meshes: which node reads which.

/// Each pair is a reader and the node that it dials.
pub type Pairs = Vec<(usize, usize)>;

/// Each node reads each other one.
pub fn full(nodes: usize) -> Pairs {
    (0..nodes)
        .flat_map(|one| {
            (0..nodes).filter(move |other| *other != one).map(move |other| (one, other))
        })
        .collect()
}

/// Each node reads the next one and the one before.
pub fn ring(nodes: usize) -> Pairs {
    both_ways((0..nodes).map(|node| (node, (node + 1) % nodes)))
}

/// A ring, so that all are connected, and links by chance until the nodes have `degree` neighbours on average.
pub fn random(nodes: usize, degree: usize, random: &mut fastrand::Rng) -> Pairs {
    let mut links: Vec<_> = (0..nodes).map(|node| (node, (node + 1) % nodes)).collect();
    while links.len() < nodes * degree / 2 {
        let (one, other) = (random.usize(..nodes), random.usize(..nodes));
        if one != other && !links.contains(&(one, other)) && !links.contains(&(other, one)) {
            links.push((one, other));
        }
    }
    both_ways(links.into_iter())
}

/// Each node reads the next ones, which do not read it.
pub fn one_way(nodes: usize, degree: usize) -> Pairs {
    (0..nodes)
        .flat_map(|node| (1..=degree).map(move |step| (node, (node + step * step) % nodes)))
        .collect()
}

fn both_ways(links: impl Iterator<Item = (usize, usize)>) -> Pairs {
    links.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}
