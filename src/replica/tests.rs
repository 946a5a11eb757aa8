use super::*;

fn transaction(source: &str, id: u64, payload: &str, time: Option<u64>) -> Transaction {
    let time = time.map(|micros| Time::from_micros(micros).unwrap());
    Transaction { time, ..Transaction::fresh(source.parse().unwrap(), id, payload) }
}

const NOW: u64 = 1_000_000;

/// The life of the nodes here.
const ME: &str = "me~00000000";

/// A replica with its journal.
struct TestNode {
    replica: Replica,
    journal: Vec<Transaction>,
}

impl Default for TestNode {
    fn default() -> Self {
        let life = Life::new(ME.parse().unwrap()).unwrap();
        Self { replica: Replica::new(life, Bounds::default()), journal: Vec::new() }
    }
}

impl TestNode {
    fn accept(&mut self, transactions: &[Transaction]) -> Acceptance {
        let now = Time::from_micros(NOW).unwrap();
        let submissions = vec![transactions.to_vec()];
        let acceptance = self.replica.accept(submissions, now, &self.journal).unwrap();
        let decode = |record: &Record| Transaction::decode(record.line.as_bytes()).unwrap();
        self.journal.extend(acceptance.records.iter().map(decode));
        acceptance
    }

    fn accept_one(&mut self, transaction: Transaction) -> Outcome {
        self.accept(&[transaction]).outcomes.remove(0).remove(0)
    }

    fn text(&self) -> String {
        self.replica.snapshot().root().to_string()
    }

    fn skipped(&self) -> Vec<(String, u64)> {
        let skipped = self.replica.history().skipped().iter();
        skipped.map(|(place, _)| (place.source.to_string(), place.id)).collect()
    }
}

fn accepted(transaction: &Transaction) -> Outcome {
    Outcome::Accepted(Record::new(transaction.place().unwrap(), &transaction.payload))
}

const SET_A: &str = r#"[{"op":"add","path":"/a","value":1}]"#;
const SET_B: &str = r#"[{"op":"add","path":"/b","value":2}]"#;
const REMOVE_A: &str = r#"[{"op":"remove","path":"/a"}]"#;
const REMOVE_B: &str = r#"[{"op":"remove","path":"/b"}]"#;

#[test]
fn a_fresh_transaction_is_stamped_and_applied() {
    let mut node = TestNode::default();
    let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
    assert_eq!(outcome, accepted(&transaction(ME, 1, SET_A, Some(NOW))));
    assert_eq!(node.text(), r#"{"a":1}"#);
}

#[test]
fn another_sources_transaction_is_stamped_with_an_id_of_this_node() {
    let mut node = TestNode::default();
    for (source, id, stamp_id) in [("x", 0, 1), ("c~00000000", 9, 2), ("x", 7, 3), ("x", 5, 4)] {
        let fresh =
            Transaction { request: Some("hash".into()), ..transaction(source, id, "[]", None) };
        let Outcome::Accepted(record) = node.accept_one(fresh) else { panic!("it is new") };
        assert_eq!((record.place.source.as_str(), record.place.id), ("me~00000000^s", stamp_id));
        assert_eq!((record.name().0.as_str(), record.name().1), (source, id));
        let read = record.transaction().unwrap();
        assert_eq!((read.place(), read.request.as_deref()), (Some(record.place), Some("hash")));
    }
    let clock = |clock: &VectorClock| serde_json::to_string(clock).unwrap();
    assert_eq!(clock(node.replica.vclock()), r#"{"me~00000000^s":5}"#);
    assert_eq!(clock(&node.replica.whole_vclock()), r#"{"me~00000000^s":5,"x":8}"#);
}

#[test]
fn a_known_transaction_is_dropped() {
    let mut node = TestNode::default();
    node.accept_one(transaction(ME, 4, SET_A, None));
    for id in 0..=4 {
        let outcome = node.accept_one(transaction(ME, id, "[]", None));
        assert_eq!(outcome, Outcome::Known { next_id: 5 });
    }
    node.accept_one(transaction("x", 4, "[]", None));
    assert_eq!(node.accept_one(transaction("x", 4, "[]", None)), Outcome::Known { next_id: 5 });
    for reserved in ["main~00000000^1", "me~00000000^s", "~base"] {
        let outcome = node.accept_one(transaction(reserved, 9, "[]", None));
        assert!(matches!(outcome, Outcome::Known { .. }), "{reserved}");
    }
    assert_eq!(node.journal.len(), 2);
}

#[test]
fn of_one_name_the_first_in_the_history_counts() {
    let stamped = |by: &str, id, payload, time| Transaction {
        by: Some(Name { source: by.parse().unwrap(), id }),
        ..transaction("x", 5, payload, Some(time))
    };
    // The same one stamped by two nodes, and by its own node; and one of another name.
    let [first, second, third, other] = [
        stamped("b~00000000^s", 1, REMOVE_B, 10),
        stamped("a~00000000^s", 1, SET_A, 20),
        transaction("x", 5, SET_A, Some(30)),
        Transaction { id: 6, ..stamped("a~00000000^s", 2, SET_B, 40) },
    ];
    let mut node = TestNode::default();
    node.accept(&[second.clone(), third.clone()]);
    assert_eq!(node.text(), r#"{"a":1}"#);
    assert_eq!(node.replica.history().repeated_count(), 1);
    let Acceptance { changes, contradictions, .. } = node.accept(&[first, other]);
    assert_eq!(node.text(), r#"{"b":2}"#, "the first one counts though it does not apply");
    assert_eq!((changes, node.replica.history().repeated_count()), (FateChanges::default(), 2));
    assert_eq!(contradictions.len(), 1, "{contradictions:?}");
    assert_eq!(Some(&contradictions[0].repeated), second.place().as_ref());
    // Without it the others count again.
    let now = Time::from_micros(NOW).unwrap();
    let earliest = stamped("c~00000000^s", 1, SET_B, 5);
    let before = node.replica.clone();
    node.replica.accept(vec![vec![earliest]], now, &node.journal).unwrap();
    assert_eq!(node.replica.history().repeated_count(), 3);
    node.replica = before;
    assert_eq!((node.replica.history().repeated_count(), node.text()), (2, r#"{"b":2}"#.into()));
    let known = node.accept_one(transaction("x", 5, SET_A, None));
    assert_eq!(known, Outcome::Known { next_id: 7 });
}

#[test]
fn a_submission_of_fresh_and_ordered_ones_of_one_source_loses_none() {
    let mut node = TestNode::default();
    let acceptance =
        node.accept(&[transaction("x", 1, SET_A, None), transaction("x", 2, SET_B, Some(NOW))]);
    assert_eq!(acceptance.records.len(), 2);
    assert_eq!(node.text(), r#"{"a":1,"b":2}"#);
}

#[test]
fn while_the_clock_is_far_ahead_nothing_fresh_is_stamped() {
    let mut node = TestNode::default();
    node.accept(&[transaction("x", 1, "[]", Some(NOW + MAX_AHEAD_MICROS))]);
    let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
    assert_eq!(outcome, Outcome::Early { ahead_micros: MAX_AHEAD_MICROS + 1 });
    assert_eq!((node.journal.len(), node.text().as_str()), (1, "{}"));
}

#[test]
fn a_life_ends_and_another_one_goes_on() {
    let mut node = TestNode::default();
    let last = transaction(ME, MAX_SAFE_INTEGER, SET_A, Some(10));
    assert!(!node.replica.is_used_up());
    assert_eq!(node.accept_one(last.clone()), accepted(&last));
    assert!(node.replica.is_used_up());
    let outcome = node.accept_one(transaction(ME, MAX_SAFE_INTEGER, SET_B, None));
    assert_eq!(outcome, Outcome::Known { next_id: MAX_SAFE_INTEGER + 1 });
    node.replica.begin_life("me~00000001".parse().unwrap()).unwrap();
    assert!(!node.replica.is_used_up());
    let on_its_way = node.accept_one(transaction(ME, 7, SET_B, None));
    assert!(matches!(on_its_way, Outcome::Known { .. }), "another node may have that Id");
    let next = transaction("me~00000001", 1, SET_B, None);
    assert!(matches!(node.accept_one(next), Outcome::Accepted(_)));
}

#[test]
fn a_refused_transaction_leaves_no_trace() {
    let mut node = TestNode::default();
    for payload in [REMOVE_B, "no patch"] {
        let outcome = node.accept_one(transaction(ME, 1, payload, None));
        assert!(matches!(outcome, Outcome::Refused(_)));
    }
    assert_eq!(node.replica.snapshot(), &Document::default());
    assert_eq!(node.replica.vclock(), &VectorClock::default());
    assert_eq!(node.journal, []);
}

#[test]
fn a_commit_is_passed_on_with_what_it_says() {
    let text = r#"{"Source":"main~00000000^1","Id":1,"Payload":"[]","Time":9,"Commit":{"Epoch":1,"After":null,"Until":5,"Clock":{"a~1":3},"Horizon":60}}"#;
    let acceptance = TestNode::default().accept(&[Transaction::decode(text.as_bytes()).unwrap()]);
    assert_eq!(&*acceptance.records[0].line, text);
}

#[test]
fn an_ordered_transaction_is_accepted_even_if_it_does_not_apply() {
    let mut node = TestNode::default();
    for (id, payload) in [(1, REMOVE_B), (2, "no patch")] {
        let ordered = transaction("x", id, payload, Some(id));
        assert_eq!(node.accept_one(ordered.clone()), accepted(&ordered));
    }
    assert_eq!(node.replica.snapshot(), &Document::default());
    assert_eq!(node.skipped(), [("x".into(), 1), ("x".into(), 2)]);
}

#[test]
fn a_stamp_is_later_than_all_that_was_seen() {
    let mut node = TestNode::default();
    node.accept_one(transaction("x", 1, SET_A, Some(NOW + 500)));
    let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
    assert_eq!(outcome, accepted(&transaction(ME, 1, SET_A, Some(NOW + 501))));
}

#[test]
fn the_document_follows_from_the_times_and_not_from_the_arrivals() {
    let transactions = [
        transaction("x", 1, SET_A, Some(10)),
        transaction("y", 1, REMOVE_A, Some(20)),
        transaction("x", 2, SET_B, Some(20)),
        transaction("z", 1, REMOVE_A, Some(30)),
    ];
    let orders =
        [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2], [1, 0, 2, 3]];
    for order in orders {
        let in_order = order.map(|index| transactions[index].clone());
        // Those of one source arrive in the order of their Ids.
        if order.iter().position(|at| *at == 0) > order.iter().position(|at| *at == 2) {
            continue;
        }
        let (mut one_by_one, mut together) = (TestNode::default(), TestNode::default());
        for transaction in &in_order {
            one_by_one.accept_one(transaction.clone());
        }
        together.accept(&in_order);
        for node in [one_by_one, together] {
            assert_eq!(node.text(), r#"{"b":2}"#, "{order:?}");
            assert_eq!(node.skipped(), [("z".into(), 1)], "{order:?}");
        }
    }
}

#[test]
fn a_late_arrival_can_change_the_fate_of_others_and_change_it_back() {
    let mut node = TestNode::default();
    let fates = |acceptance: Acceptance| -> Vec<(String, bool)> {
        let changes = acceptance.changes.listed.into_iter();
        changes.map(|change| (change.place.source.to_string(), change.skipped.is_some())).collect()
    };
    node.accept(&[transaction("x", 1, SET_A, Some(10)), transaction("y", 1, REMOVE_A, Some(50))]);
    let earlier = node.accept(&[transaction("z", 1, REMOVE_A, Some(40))]);
    assert_eq!(fates(earlier), [("y".into(), true)]);
    let between = node.accept(&[transaction("w", 1, SET_A, Some(45))]);
    assert_eq!(fates(between), [("y".into(), false)]);
    assert_eq!(node.replica.history().skipped_count(), 0);
}

#[test]
fn a_time_of_more_than_an_hour_ahead_is_not_accepted_yet() {
    let mut node = TestNode::default();
    let latest = NOW + MAX_AHEAD_MICROS;
    let acceptance = node.accept(&[
        transaction("x", 1, SET_A, Some(latest)),
        transaction("x", 2, SET_B, Some(latest + 7)),
        transaction("x", 3, REMOVE_A, Some(latest)),
        transaction("y", 1, REMOVE_A, None),
    ]);
    let ahead_micros = MAX_AHEAD_MICROS + 7;
    let outcomes = &acceptance.outcomes[0];
    assert_eq!(outcomes.len(), 2, "what comes after it is not taken in");
    assert_eq!(outcomes[1], Outcome::Early { ahead_micros });
    assert_eq!(node.text(), r#"{"a":1}"#);
    assert_eq!(node.replica.vclock().next_id(&"x".parse().unwrap()), 2);
}

/// What this node creates comes last in the history. Nothing could come after the greatest possible time.
#[test]
fn the_greatest_possible_time_is_not_given_out() {
    let mut node = TestNode::default();
    let mut accept = |transaction, now| {
        let submissions = vec![vec![transaction]];
        let mut acceptance = node.replica.accept(submissions, now, &node.journal).unwrap();
        acceptance.outcomes.remove(0).remove(0)
    };
    let before = Time::from_micros(Time::MAX.as_micros() - 1).unwrap();
    let own = |id| transaction(ME, id, SET_A, None);
    assert!(matches!(accept(own(1), before), Outcome::Accepted(_)));
    for now in [before, Time::MAX] {
        let outcome = accept(own(2), now);
        assert!(
            matches!(outcome, Outcome::Early { ahead_micros } if ahead_micros > MAX_AHEAD_MICROS)
        );
    }
    let last = transaction("zz~11111111", 1, SET_A, Some(Time::MAX.as_micros()));
    assert!(matches!(accept(last, Time::MAX), Outcome::Accepted(_)));
    assert!(matches!(accept(own(3), Time::MAX), Outcome::Early { .. }));
}

#[test]
fn a_clone_from_before_has_no_trace_of_what_came_since() {
    let now = Time::from_micros(NOW).unwrap();
    let mut node = TestNode::default();
    node.accept(&[transaction("x", 1, SET_A, Some(10)), transaction("y", 1, REMOVE_A, Some(50))]);
    let (text, vclock) = (node.text(), node.replica.vclock().clone());
    let submissions = vec![
        vec![transaction("z", 1, REMOVE_A, Some(40)), transaction("z", 2, SET_B, Some(60))],
        vec![transaction("w", 1, SET_A, None)],
    ];
    let before = node.replica.clone();
    let acceptance = node.replica.accept(submissions, now, &node.journal).unwrap();
    assert_eq!(acceptance.records.len(), 3);
    node.replica = before;
    assert_eq!((node.text(), node.replica.vclock()), (text, &vclock));
    assert_eq!(node.skipped(), []);
    assert_eq!(node.replica.history().length(), 2);
}

#[test]
fn the_same_id_with_another_content_is_reported_and_dropped() {
    let mut node = TestNode::default();
    let known = transaction("x", 1, SET_A, Some(10));
    node.accept(&[known.clone(), transaction("y", 1, SET_B, Some(20))]);
    assert_eq!(node.accept(std::slice::from_ref(&known)).equivocations, []);
    for other in [transaction("x", 1, SET_B, Some(10)), transaction("x", 1, SET_A, Some(15))] {
        let acceptance = node.accept(std::slice::from_ref(&other));
        assert_eq!(acceptance.outcomes, [[Outcome::Known { next_id: 2 }]]);
        let [Equivocation { known: found, dropped }] = &acceptance.equivocations[..] else {
            panic!("{acceptance:?}");
        };
        assert_eq!((Some(&found.place), dropped), (known.place().as_ref(), &other));
    }
    assert_eq!(node.text(), r#"{"a":1,"b":2}"#);
}

/// A commit of the branch `source` that covers the Ids of another one below `next`.
fn commit(source: &str, after: Option<Name>, (of, next): (&str, u64), until: u64) -> Transaction {
    let source: Source = source.parse().unwrap();
    let epoch = source.epoch().unwrap().number;
    let clock = [(of.parse().unwrap(), next)].into();
    let time = Time::from_micros(until).unwrap();
    let (until, horizon, hash) = (time, 60, None);
    let commit = crate::commit::Commit { epoch, after, until, clock, horizon, hash };
    Transaction::commit(Name { source, id: 1 }, time, commit)
}

#[test]
fn what_is_void_in_a_chain_that_loses_counts_again() {
    const SECOND: u64 = 1_000_000;
    let bounds = Bounds { checkpoint_spacing: 1, ..Bounds::default() };
    let life = Life::new(ME.parse().unwrap()).unwrap();
    let mut node = TestNode { replica: Replica::new(life, bounds), journal: Vec::new() };
    let first = commit("p~00000000^1", None, ("a~00000000", 3), 30 * SECOND);
    let after = Some(first.name());
    node.accept(&[
        transaction("x~00000000", 1, SET_A, Some(10 * SECOND)),
        transaction("a~00000000", 1, SET_B, Some(20 * SECOND)),
        transaction("b~00000000", 1, "[]", Some(25 * SECOND)),
        first,
        commit("p~00000000^2", after.clone(), ("b~00000000", 2), 200 * SECOND),
    ]);
    assert_eq!(node.text(), r#"{"b":2}"#, "what is below the floor is void");
    // What the first one covers arrives late, and all is replayed.
    node.accept(&[transaction("a~00000000", 2, "[]", Some(150 * SECOND))]);
    node.accept(&[commit("p~00000000^3", after, ("b~00000000", 2), 50 * SECOND)]);
    assert_eq!(node.text(), r#"{"a":1,"b":2}"#, "the floor is lower");
}

/// While a replay is far from its end, it keeps fewer transactions at hand than there will be then, but enough of them
/// to compare a repetition with.
#[test]
fn a_replay_of_more_than_the_recent_part_ends_as_if_all_had_come_in_order() {
    const COUNT: u64 = 13_000;
    const RECENT: usize = 6000;
    let numbered = |number| {
        let payload = match number % 7 {
            0 => format!(r#"[{{"op":"remove","path":"/{}"}}]"#, number % 13),
            _ => format!(r#"[{{"op":"add","path":"/{}","value":{number}}}]"#, number % 13),
        };
        transaction("x~00000000", number, &payload, Some(10 * number))
    };
    let early =
        transaction("y~00000000", 1, r#"[{"op":"add","path":"/early","value":[]}]"#, Some(5));
    // Their payloads are other ones; the first of the name is 4,000 and 5,000 places before, of which the latter is
    // too far to be found.
    let repeated = |stamp_id, id, after: u64| Transaction {
        by: Some(Name { source: "z~00000000^s".parse().unwrap(), id: stamp_id }),
        ..transaction("x~00000000", id, SET_A, Some(10 * after + 1))
    };
    let late = [early, repeated(1, 1000, 5000), repeated(2, 100, 5100)];
    let mut all: Vec<_> = (1..=COUNT).map(numbered).chain(late.iter().cloned()).collect();

    let bounds =
        Bounds { recent_transactions: RECENT, recent_bytes: u64::MAX, ..Bounds::default() };
    let life = Life::new(ME.parse().unwrap()).unwrap();
    let mut node = TestNode { replica: Replica::new(life, bounds), journal: Vec::new() };
    node.accept(&all[..COUNT as usize]);
    let Acceptance { contradictions, .. } = node.accept(&late);

    all.sort_by_key(Transaction::place);
    let mut in_order = TestNode::default();
    let Acceptance { contradictions: expected, .. } = in_order.accept(&all);
    assert_eq!(expected.len(), 1, "{expected:?}");
    assert_eq!(Some(&expected[0].repeated), late[1].place().as_ref());
    let places = |found: &[Contradiction]| -> Vec<_> {
        found.iter().map(|found| (found.earlier.place.clone(), found.repeated.clone())).collect()
    };
    assert_eq!(places(&contradictions), places(&expected));
    let check = |node: &TestNode, in_order: &TestNode| {
        assert_eq!(node.text(), in_order.text());
        assert_eq!(node.skipped(), in_order.skipped());
        assert_eq!(node.replica.vclock(), in_order.replica.vclock());
        let [history, expected] = [node, in_order].map(|node| node.replica.history());
        assert_eq!(history.length(), expected.length());
        assert_eq!(history.repeated_count(), expected.repeated_count());
        assert_eq!(history.skipped_count(), expected.skipped_count());
    };
    check(&node, &in_order);

    // What comes late now can be put into the recent part, which is as long as before.
    assert_eq!(node.replica.history().recent_from_end().count(), RECENT);
    let later = transaction("y~00000000", 2, SET_A, Some(10 * (COUNT - 5500) + 5));
    assert!(!node.replica.history().is_past(&later.place().unwrap()));
    node.accept_one(later.clone());
    in_order.accept_one(later);
    check(&node, &in_order);
}
