use super::*;

/// The wall clock at the beginning of each test.
const MICROS: u64 = 1_764_000_000_000_000;

fn report(node: &str) -> Report {
    Report {
        node: node.parse().unwrap(),
        address: format!("{}:1", node.split('~').next().unwrap()),
        length: 0,
        committed: None,
        primary: false,
        hash: None,
        viewers: 0,
        reads: Vec::new(),
    }
}

fn read(node: &str) -> ReportedPeer {
    ReportedPeer {
        address: "a:1".into(),
        node: Some(node.parse().unwrap()),
        state: PeerState::Connected,
        since_ms: 0,
        heard_ms: None,
        lazy: false,
        behind: None,
        delay_ms: None,
        agrees: None,
    }
}

fn told(node: &str, number: u64, age: Duration) -> ToldReport {
    ToldReport { number, told_ms: age.as_millis() as u64, report: Arc::new(report(node)) }
}

fn process(number: u64) -> ProcessId {
    ProcessId { number, generation: 0 }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The nodes that are kept, each with its number and its age in seconds.
fn shown(members: &mut Members, now: Instant) -> String {
    let others = members.others(now);
    let others = others
        .iter()
        .map(|told| format!("{} {} {}", told.report.node, told.number, told.told_ms / 1000));
    others.collect::<Vec<_>>().join(", ")
}

#[test]
fn of_each_node_the_latest_report_is_kept_and_grows_old() {
    let (mut members, begin) = (Members::default(), Instant::now());
    members.tell(report("own~00000000"), MICROS, begin);
    // When; which report, of which age, comes; whether it is news; what is kept then.
    for (at, node, number, age, is_news, expected) in [
        (0, "b~00000000", 7, 3, true, "b~00000000 7 3"),
        (2, "b~00000000", 7, 0, false, "b~00000000 7 5"),
        (2, "b~00000000", 6, 0, false, "b~00000000 7 5"),
        (3, "a~00000000", 1, 0, true, "a~00000000 1 0, b~00000000 7 6"),
        (3, "b~00000000", 8, 1, true, "a~00000000 1 0, b~00000000 8 1"),
        // It is about this node itself.
        (4, "own~00000000", 9, 0, false, "a~00000000 1 1, b~00000000 8 2"),
        // From the future; and too old.
        (
            4,
            "c~00000000",
            MICROS + MAX_AHEAD_MICROS + 1,
            0,
            false,
            "a~00000000 1 1, b~00000000 8 2",
        ),
        (4, "c~00000000", 1, 600, false, "a~00000000 1 1, b~00000000 8 2"),
        (602, "b~00000000", 9, 0, true, "a~00000000 1 599, b~00000000 9 0"),
        (603, "c~00000000", 1, 598, true, "b~00000000 9 1, c~00000000 1 598"),
    ] {
        let now = begin + seconds(at);
        let reports = Reports::new(vec![told(node, number, seconds(age))]);
        assert_eq!(members.hear(reports, process(1), MICROS, now), is_news, "{node} {number}");
        assert_eq!(shown(&mut members, now), expected);
    }
}

#[test]
fn another_life_takes_the_place_of_a_silent_one() {
    let (mut members, begin) = (Members::default(), Instant::now());
    // Two nodes that are there at the same time stay two nodes, whatever their names are.
    for (at, node, number, expected) in [
        (0, "a~00000000", 1, "a~00000000 1 0"),
        (50, "a~11111111", 2, "a~00000000 1 50, a~11111111 2 0"),
        (59, "b~00000000", 3, "a~00000000 1 59, a~11111111 2 9, b~00000000 3 0"),
        (60, "b~00000000", 4, "a~11111111 2 10, b~00000000 4 0"),
        (599, "b~00000000", 5, "a~11111111 2 549, b~00000000 5 0"),
    ] {
        let now = begin + seconds(at);
        members.hear(Reports::new(vec![told(node, number, seconds(0))]), process(1), MICROS, now);
        assert_eq!(shown(&mut members, now), expected);
    }
}

#[test]
fn a_restarted_process_is_heard_even_if_its_clock_went_back() {
    let now = Instant::now();
    let (mut other, mut first) = (Members::default(), Members::default());
    let pass = |from: &Members, to: &mut Members| {
        let (reports, _) = from.since(0, &GossipReader::default(), now);
        to.hear(Reports::new(reports), process(1), MICROS, now)
    };
    for number in [MICROS, MICROS + 1, MICROS + 2] {
        first.tell(report("a~00000000"), MICROS, now);
        assert!(pass(&first, &mut other));
        assert_eq!(shown(&mut other, now), format!("a~00000000 {number} 0"));
    }
    let mut second = Members::default();
    second.tell(report("a~00000000"), MICROS - 1000, now);
    assert!(!pass(&second, &mut other));
    // It hears of a report that it is said to have made, and goes on from there.
    assert!(!pass(&other, &mut second));
    second.tell(report("a~00000000"), MICROS - 1000, now);
    assert!(pass(&second, &mut other));
    // The other life has no reports any more.
    second.tell(report("a~11111111"), MICROS, now);
    let (told, _) = second.since(0, &GossipReader::default(), now);
    assert_eq!(told.len(), 1);
}

#[test]
fn a_process_goes_on_from_the_number_that_it_is_said_to_have_used() {
    let now = Instant::now();
    let micros = MICROS - 2 * MAX_AHEAD_MICROS;
    for (number, expected) in [(MICROS, MICROS + 1), (MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)] {
        let mut members = Members::default();
        members.begin("a~00000000".parse().unwrap());
        let reports = Reports::new(vec![told("a~00000000", number, seconds(0))]);
        assert!(!members.hear(reports, process(1), micros, now));
        members.tell(report("a~00000000"), micros, now);
        let (told, _) = members.since(0, &GossipReader::default(), now);
        assert_eq!(told.iter().map(|told| told.number).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn nodes_that_listen_at_all_addresses_are_different_nodes() {
    for (address, expected) in [
        ("10.0.0.7:8080", "a~11111111 2 60"),
        ("0.0.0.0:8080", "a~00000000 1 61, a~11111111 2 60"),
        ("[::]:8080", "a~00000000 1 61, a~11111111 2 60"),
    ] {
        let (mut members, begin) = (Members::default(), Instant::now());
        for (node, number) in [("a~00000000", 1), ("a~11111111", 2)] {
            let mut told = told(node, number, seconds(0));
            Arc::make_mut(&mut told.report).address = address.into();
            let now = begin + seconds(number - 1);
            members.hear(Reports::new(vec![told]), process(1), MICROS, now);
        }
        assert_eq!(shown(&mut members, begin + seconds(61)), expected, "{address}");
    }
}

#[test]
fn a_reader_is_sent_each_report_once() {
    let (mut members, now) = (Members::default(), Instant::now());
    members.tell(report("own~00000000"), MICROS, now);
    for (from, node) in [(1, "a~00000000"), (1, "b~00000000"), (2, "c~00000000")] {
        let reports = Reports::new(vec![told(node, 7, seconds(0))]);
        assert!(members.hear(reports, process(from), MICROS, now));
    }
    let names = |version: u64, reader: u64, members: &Members| {
        let node = "reader~00000000".parse().unwrap();
        let reader = GossipReader { node: Some(&node), process: Some(process(reader)) };
        let (told, next) = members.since(version, &reader, now);
        assert_eq!(next, members.version());
        told.iter().map(|told| told.report.node.life_name().unwrap()).collect::<Vec<_>>().join(" ")
    };
    // In the order of arrival.
    assert_eq!(names(0, 9, &members), "own a b c");
    // Not those that it has passed on itself.
    assert_eq!(names(0, 2, &members), "own a b");
    assert_eq!(names(0, 1, &members), "own c");
    assert_eq!(names(2, 9, &members), "b c");
    assert_eq!(names(members.version(), 9, &members), "");
    members.hear(Reports::new(vec![told("a~00000000", 8, seconds(0))]), process(2), MICROS, now);
    assert_eq!(names(4, 9, &members), "a");
    // Nor those of nodes that it reads itself, except at the beginning.
    let mut reader = told("reader~00000000", 7, seconds(0));
    Arc::make_mut(&mut reader.report).reads = vec![
        read("own~00000000"),
        read("a~00000000"),
        ReportedPeer { state: PeerState::Waiting, ..read("b~00000000") },
    ];
    members.hear(Reports::new(vec![reader]), process(9), MICROS, now);
    for node in ["a~00000000", "b~00000000"] {
        let reports = Reports::new(vec![told(node, 9, seconds(0))]);
        assert!(members.hear(reports, process(1), MICROS, now));
    }
    members.tell(report("own~00000000"), MICROS, now);
    assert_eq!(names(5, 9, &members), "b own");
    assert_eq!(names(0, 9, &members), "c a b own");
}

#[test]
fn the_kept_reports_and_each_message_are_bounded() {
    let (mut members, begin) = (Members::default(), Instant::now());
    members.tell(report("own~00000000"), MICROS, begin);
    for number in 0..2 * MOST_NODES as u64 {
        let mut told = told(&format!("n{number:03}~00000000"), number, seconds(0));
        let read = ReportedPeer { address: "x".repeat(512), ..read("a~00000000") };
        Arc::make_mut(&mut told.report).reads = vec![read; MOST_READS];
        let now = begin + Duration::from_millis(number);
        members.hear(Reports::new(vec![told]), process(1), MICROS, now);
        assert!(members.members.len() <= MOST_NODES);
    }
    let now = begin + seconds(1);
    // The nodes with the latest reports are kept, and this node.
    let first = format!("n{:03}~00000000", MOST_NODES + 1);
    assert!(shown(&mut members, now).starts_with(&first), "{}", shown(&mut members, now));
    // There is no room for an older report.
    assert!(!members.hear(
        Reports::new(vec![told("o~00000000", 1, seconds(9))]),
        process(1),
        MICROS,
        now
    ));
    assert_eq!(members.interval(), LONGEST_INTERVAL);
    let (mut version, mut count) = (0, 0);
    while version < members.version() {
        let (told, next) = members.since(version, &GossipReader::default(), now);
        let text = serde_json::to_string(&Reports::new(told.clone())).unwrap();
        assert!(text.len() < 1 << 18, "{}", text.len());
        assert!(serde_json::from_str::<Reports>(&text).is_ok());
        (version, count) = (next, count + told.len());
    }
    assert_eq!(count, MOST_NODES);
}

/// A mesh in memory, whose links carry new reports now and then.
struct Mesh {
    nodes: Vec<Members>,
    /// From which node, to which node, and up to which version all was sent.
    links: Vec<(usize, usize, u64)>,
    clocks: Vec<u64>,
    /// The number of the process of each node.
    processes: Vec<u64>,
    now: Instant,
    /// How many times each report crossed each link.
    crossed: BTreeMap<(usize, usize, Source, u64), u32>,
}

impl Mesh {
    fn name(node: usize) -> String {
        format!("n{node}~00000000")
    }

    fn tell(&mut self, node: usize) {
        self.clocks[node] += 1;
        let read_here = self.links.iter().filter(|link| link.1 == node);
        let reads = read_here.map(|link| read(&Self::name(link.0))).collect();
        let report = Report { reads, ..report(&Self::name(node)) };
        self.nodes[node].tell(report, self.clocks[node], self.now);
    }

    fn cross(&mut self, link: usize) {
        let (from, to, version) = self.links[link];
        let node = Self::name(to).parse().unwrap();
        let reader = GossipReader { node: Some(&node), process: Some(process(self.processes[to])) };
        let (told, version) = self.nodes[from].since(version, &reader, self.now);
        for told in &told {
            let key = (from, to, told.report.node.clone(), told.number);
            *self.crossed.entry(key).or_default() += 1;
        }
        self.links[link].2 = version;
        let text = serde_json::to_string(&Reports::new(told)).unwrap();
        let reports = serde_json::from_str(&text).unwrap();
        let process = process(self.processes[from]);
        self.nodes[to].hear(reports, process, MICROS, self.now);
    }
}

#[test]
fn in_any_mesh_each_node_gets_the_last_report_of_each_other() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (count, goes_back) = (random.usize(2..8), random.bool());
        // A ring, so that all nodes are reached, and some more links.
        let mut links: Vec<_> = (0..count).map(|node| (node, (node + 1) % count, 0)).collect();
        for _ in 0..random.usize(..12) {
            let (from, to) = (random.usize(..count), random.usize(..count));
            if from != to && !links.iter().any(|link| (link.0, link.1) == (from, to)) {
                links.push((from, to, 0));
            }
        }
        let nodes = std::iter::repeat_with(Members::default).take(count).collect();
        let clocks = (0..count).map(|_| MICROS + random.u64(..1_000_000)).collect();
        let (now, crossed) = (Instant::now(), BTreeMap::new());
        let processes = (0..count as u64).collect();
        let mut mesh = Mesh { nodes, links, clocks, processes, now, crossed };
        (0..count).for_each(|node| mesh.tell(node));
        for _ in 0..random.usize(..300) {
            mesh.now += Duration::from_millis(random.u64(..20));
            let node = random.usize(..count);
            match random.u32(..20) {
                // A node restarts, maybe with a clock that went back, and its streams begin again.
                0 => {
                    mesh.nodes[node] = Members::default();
                    mesh.processes[node] += 100;
                    mesh.clocks[node] = match goes_back {
                        true => MICROS + random.u64(..1_000_000),
                        false => mesh.clocks[node] + random.u64(..1_000_000),
                    };
                    for link in &mut mesh.links {
                        if link.0 == node || link.1 == node {
                            link.2 = 0;
                        }
                    }
                    mesh.crossed.clear();
                }
                1..4 => mesh.tell(node),
                _ => mesh.cross(random.usize(..mesh.links.len())),
            }
            let most = mesh.crossed.values().max().copied().unwrap_or_default();
            assert!(most <= 1, "seed {seed}: a report crossed a link {most} times");
        }
        let settle = |mesh: &mut Mesh| {
            for _ in 0..2 * count {
                (0..mesh.links.len()).for_each(|link| mesh.cross(link));
            }
        };
        // Then a restarted node is sent the report that has a greater number, or that one is forgotten.
        if goes_back {
            settle(&mut mesh);
            mesh.now += FORGOTTEN_AFTER;
        }
        (0..count).for_each(|node| mesh.tell(node));
        settle(&mut mesh);
        for node in 0..count {
            let now = mesh.now;
            let others = mesh.nodes[node].others(now);
            assert_eq!(others.len(), count - 1, "seed {seed}");
            for told in others {
                let teller = (0..count)
                    .find(|other| told.report.node.as_str() == Mesh::name(*other))
                    .unwrap();
                assert_eq!(told.number, mesh.nodes[teller].number, "seed {seed}: {node}");
            }
        }
    }
}
