use std::time::{Duration, Instant};

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn clock(text: &str) -> VectorClock {
    let entries = text.split_whitespace().map(|entry| entry.split_once(':').unwrap());
    entries.map(|(source, next)| (source.parse().unwrap(), next.parse().unwrap())).collect()
}

fn process(number: u64) -> ProcessId {
    ProcessId { number, generation: 0 }
}

fn summary(have: &str, from: u64, to: u64) -> HaveSummary {
    HaveSummary { have: clock(have), from, to }
}

/// A tree of links that were read to their end, each to the process of its number.
fn tree(links: u64) -> (BroadcastTree, Vec<LinkId>) {
    let mut tree = BroadcastTree::new(fastrand::Rng::with_seed(1));
    let ids: Vec<_> = (0..links).map(|number| tree.begin(Some(process(number)))).collect();
    ids.iter().for_each(|id| tree.reaches_end(*id));
    orders(&mut tree);
    (tree, ids)
}

/// The pings for the peers, by the numbers of their links.
fn pings(tree: &mut BroadcastTree) -> Vec<(u64, String)> {
    let ordered = tree.ordered();
    let pings = ordered.into_iter().filter_map(|id| Some((id.0, tree.ping(id)?.to_string())));
    pings.collect()
}

/// The orders among them.
fn orders(tree: &mut BroadcastTree) -> Vec<(u64, String)> {
    pings(tree).into_iter().filter(|(_, ping)| !ping.starts_with("proof")).collect()
}

#[test]
fn links_that_bring_nothing_new_become_lazy_but_for_the_last_one() {
    let (mut tree, ids) = tree(3);
    tree.settle(ids[1], 0, KNOWN_IN_A_ROW - 1, true);
    tree.settle(ids[1], 1, 0, true);
    tree.settle(ids[1], 0, KNOWN_IN_A_ROW - 1, true);
    assert_eq!(orders(&mut tree), []);
    tree.settle(ids[1], 0, 1, true);
    tree.settle(ids[2], 0, KNOWN_IN_A_ROW, true);
    assert_eq!(orders(&mut tree), [(1, "lazy".into()), (2, "lazy".into())]);
    tree.settle(ids[0], 0, 10 * KNOWN_IN_A_ROW, true);
    assert_eq!(orders(&mut tree), []);
    assert_eq!(
        ids[..2].iter().map(|id| tree.links[id].mode).collect::<Vec<_>>(),
        [LinkMode::Eager, LinkMode::Lazy]
    );
    // A link that is not read to its end does not count as eager, and is never made lazy.
    let begun = tree.begin(None);
    tree.settle(begun, 0, 10 * KNOWN_IN_A_ROW, true);
    tree.settle(ids[0], 0, KNOWN_IN_A_ROW, true);
    assert_eq!(orders(&mut tree), []);
    tree.reaches_end(begun);
    tree.settle(ids[0], 0, KNOWN_IN_A_ROW, true);
    assert_eq!(orders(&mut tree), [(0, "lazy".into())]);
}

#[test]
fn of_links_that_bring_little_new_the_least_becomes_lazy_one_at_a_time() {
    let (mut tree, ids) = tree(4);
    let settle = |tree: &mut BroadcastTree, id, news, known| {
        tree.settle(id, news, known, true);
        // Something new comes now and then.
        tree.settle(id, 1, 0, true);
    };
    settle(&mut tree, ids[0], 40, 10);
    settle(&mut tree, ids[1], 20, 25);
    settle(&mut tree, ids[2], 5, 30);
    assert_eq!(orders(&mut tree), [], "none has a full window");
    settle(&mut tree, ids[1], 5, 25);
    assert_eq!(orders(&mut tree), [(2, "lazy".into())]);
    settle(&mut tree, ids[1], 20, 25);
    assert_eq!(orders(&mut tree), [], "what is counted begins anew");
    settle(&mut tree, ids[1], 5, 25);
    assert_eq!(orders(&mut tree), [(1, "lazy".into())]);
}

#[test]
fn a_long_lack_is_asked_for_once_from_its_beginning() {
    let (mut tree, ids) = tree(4);
    ids[1..].iter().for_each(|id| tree.settle(*id, 0, KNOWN_IN_A_ROW, true));
    orders(&mut tree);
    let (begin, settled) = (Instant::now(), clock("a:5"));
    // What is settled is not lacking, nor what has come on another link.
    assert_eq!(tree.hear(ids[1], summary("a:5", 0, 7), &settled, begin), None);
    tree.receive(ids[0], &"a".parse().unwrap(), 7);
    assert_eq!(tree.hear(ids[1], summary("a:8", 7, 10), &settled, begin), None);
    let due = tree.hear(ids[1], summary("a:9 b:1", 10, 12), &settled, begin).unwrap();
    assert!(due >= begin + PATIENCE && due <= begin + PATIENCE + PATIENCE_CHANCE);
    let other = tree.hear(ids[2], summary("a:9", 20, 21), &settled, begin).unwrap();
    let third = tree.hear(ids[3], summary("a:9 b:1 c:1", 30, 31), &settled, begin).unwrap();
    assert_eq!(tree.look(ids[1], &settled, due - MILLI), Some(due));
    assert_eq!(orders(&mut tree), []);
    let due = due.max(other).max(third);
    assert_eq!(tree.look(ids[1], &settled, due), None);
    // Transactions that were only received may still be lost.
    assert_eq!(orders(&mut tree), [(1, "eager 7".into())]);
    // The link has to bring that, but not what its peer does not have. If it does not bring it, the next link
    // is asked.
    let promised = due + PATIENCE + PATIENCE_CHANCE;
    assert_eq!(tree.look(ids[2], &settled, due), Some(promised));
    assert_eq!(orders(&mut tree), []);
    tree.look(ids[3], &settled, due);
    assert_eq!(orders(&mut tree), [(3, "eager 30".into())]);
    tree.end(ids[3], &settled, due);
    assert_eq!(tree.look(ids[2], &settled, promised), None);
    assert_eq!(orders(&mut tree), [(2, "eager 20".into())]);
}

#[test]
fn a_peer_that_announces_too_much_must_send_it() {
    let (mut tree, ids) = tree(2);
    tree.settle(ids[1], 0, KNOWN_IN_A_ROW, true);
    orders(&mut tree);
    let (now, settled) = (Instant::now(), clock(""));
    for note in 0..70_u64 {
        let have = (0..1000).map(|n| (format!("s{note}-{n}").parse().unwrap(), 2)).collect();
        let due = tree.hear(ids[1], HaveSummary { have, from: note, to: note + 1 }, &settled, now);
        if due.is_none() {
            assert_eq!(note, 65);
            assert_eq!(orders(&mut tree), [(1, "eager 0".into())]);
            return;
        }
    }
    panic!("it says ever more");
}

#[test]
fn a_link_that_ends_is_replaced_at_once() {
    let now = Instant::now();
    // What the two lazy links have announced, and their pings if the eager one ends, with `a:5` settled.
    for (first, second, expected) in [
        ("a:6", "", vec![(1, "eager 0".to_owned())]),
        ("", "a:6", vec![(2, "eager 0".to_owned())]),
        ("a:6", "a:6", vec![(1, "eager 0".to_owned())]),
        ("a:6", "b:6", vec![(1, "eager 0".to_owned()), (2, "eager 0".to_owned())]),
        ("", "", vec![(2, "eager".to_owned())]),
        ("a:5", "", vec![(1, "eager 9".to_owned())]),
    ] {
        let (mut tree, ids) = tree(3);
        ids[1..].iter().for_each(|id| tree.settle(*id, 0, KNOWN_IN_A_ROW, true));
        orders(&mut tree);
        for (id, have) in ids[1..].iter().zip([first, second]).filter(|(_, have)| !have.is_empty())
        {
            tree.hear(*id, summary(have, 0, 9), &clock("a:5"), now);
        }
        tree.end(ids[0], &clock("a:5"), now);
        assert_eq!(orders(&mut tree), expected, "{first} {second}");
    }
}

#[test]
fn links_between_two_nodes_go_the_same_way() {
    let now = Instant::now();
    let (mut tree, ids) = tree(2);
    tree.mirror(&process(7), LinkOrder::Lazy, now);
    tree.mirror(&process(1), LinkOrder::Lazy, now);
    assert_eq!(orders(&mut tree), [(1, "lazy".into())]);
    tree.mirror(&process(1), LinkOrder::Lazy, now);
    tree.mirror(&process(0), LinkOrder::Lazy, now);
    assert_eq!(orders(&mut tree), [], "the last one stays eager");
    tree.hear(ids[1], summary("a:5", 3, 4), &clock("a:5"), now);
    tree.mirror(&process(1), LinkOrder::Eager(Some(17)), now);
    // The order with the position goes first.
    tree.mirror(&process(1), LinkOrder::Lazy, now);
    tree.settle(ids[1], 0, 10 * KNOWN_IN_A_ROW, true);
    assert_eq!(orders(&mut tree), [(1, "eager 4".into())]);
    tree.mirror(&process(1), LinkOrder::Lazy, now);
    tree.mirror(&process(1), LinkOrder::Eager(None), now);
    assert_eq!(orders(&mut tree), [], "it was not told to be lazy");
}

#[test]
fn what_a_process_sends_counts_as_known_once_it_has_proven_itself() {
    let (mut tree, ids) = tree(2);
    let source: Source = "a".parse().unwrap();
    let known = |tree: &BroadcastTree, number| tree.known_of(&process(number)).cloned();
    tree.sent(ids[0], &source, 5);
    tree.pong(ids[0], b"proof 1");
    tree.sent(ids[0], &source, 5);
    assert_eq!(known(&tree, 0), Some(clock("")));
    tree.pong(ids[0], b"proof 0");
    tree.sent(ids[0], &source, 6);
    assert_eq!((known(&tree, 0), known(&tree, 1)), (Some(clock("a:7")), Some(clock(""))));
    // What comes until the next pong may be from before.
    tree.is_read_by(&process(0));
    assert_eq!(pings(&mut tree), [(0, "proof 1".into())]);
    tree.sent(ids[0], &source, 7);
    tree.pong(ids[0], b"proof 0");
    tree.sent(ids[0], &source, 7);
    assert_eq!(known(&tree, 0), Some(clock("")));
    tree.pong(ids[0], b"proof 1");
    tree.sent(ids[0], &source, 7);
    tree.hear(ids[0], summary("b:3 c:9", 0, 1), &clock("b:1"), Instant::now());
    assert_eq!(known(&tree, 0), Some(clock("a:8 b:3")), "of what is known here");
    let again = ProcessId { generation: 1, ..process(0) };
    assert_eq!(tree.known_of(&again), None);
    tree.end(ids[0], &clock(""), Instant::now());
    assert_eq!(known(&tree, 0), None);
}

#[test]
fn a_downstream_goes_on_from_where_nothing_is_left_out() {
    let mut herald = Herald::new(clock("a:5"), 10);
    let mut flow = Flow::default();
    assert_eq!(flow.follow(LinkOrder::Eager(Some(99)), 7, herald.last()), Ok(7), "it is eager");
    assert_eq!(flow.follow(LinkOrder::Lazy, 7, herald.last()), Ok(7));
    assert!(flow.is_lazy() && flow.sends(7) && !flow.sends(10));
    let announcement = herald.announce(&clock("a:5 b:2"), 12).clone();
    assert_eq!(
        flow.summary(7, &announcement),
        None,
        "the journal is sent up to where it became lazy"
    );
    assert_eq!(flow.summary(10, &announcement), Some(ReaderSummary::Shared));
    assert_eq!(announcement.summary, summary("b:2", 10, 12));
    assert_eq!(flow.summary(10, &announcement), None);
    herald.announce(&clock("a:6 b:2"), 13);
    let announcement = herald.announce(&clock("a:6 b:3"), 15).clone();
    assert_eq!(
        flow.summary(10, &announcement),
        Some(ReaderSummary::Own(summary("a:6 b:3", 12, 15)))
    );
    let unfit = flow.follow(LinkOrder::Eager(Some(16)), 10, &announcement).unwrap_err();
    assert_eq!(unfit.to_string(), "eager 16: it was told of what is before position 15");
    assert_eq!(flow.follow(LinkOrder::Eager(Some(12)), 10, &announcement), Ok(12));
    assert_eq!(flow.follow(LinkOrder::Lazy, 12, &announcement), Ok(12));
    // What is before 15 is not sent yet. The reader names a position that it heard before it was made lazy.
    assert_eq!(flow.follow(LinkOrder::Eager(Some(15)), 12, &announcement), Ok(12));
    assert_eq!(flow.follow(LinkOrder::Lazy, 15, &announcement), Ok(15));
    assert_eq!(flow.follow(LinkOrder::Eager(None), 15, &announcement), Ok(15));
    assert_eq!(flow.follow(LinkOrder::Lazy, 15, &announcement), Ok(15));
    assert_eq!(flow.follow(LinkOrder::Eager(Some(3)), 15, &announcement), Ok(15), "that was sent");
}

#[test]
fn announcements_are_rarer_if_there_are_many_readers() {
    for (readers, millis) in [(0, 100), (6, 100), (12, 200), (24, 400), (31, 500), (99, 500)] {
        assert_eq!(Herald::interval(readers).as_millis(), millis, "{readers}");
    }
}
