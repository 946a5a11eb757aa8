use super::*;
use crate::clock::MAX_SAFE_INTEGER;
use crate::commit::{Commit, Committed, Covered};
use crate::names::Names;
use crate::patch::PointerBuf;
use crate::replica::Base;

fn start() -> (Handle, smol::Task<io::Result<()>>) {
    let (manager, handle) = Manager::in_memory("me~1".parse().unwrap());
    (handle, smol::spawn(manager.run()))
}

fn add(path: &str) -> Box<str> {
    format!(r#"[{{"op":"add","path":"{path}","value":1}}]"#).into()
}

async fn text(handle: &Handle, pointer: &str) -> Option<String> {
    let pointer = PointerBuf::parse(pointer).unwrap();
    handle.state().document().get(&pointer).map(|part| part.to_string())
}

#[test]
fn an_acknowledged_transaction_is_in_the_journal_and_in_the_snapshot() {
    smol::block_on(async {
        let (handle, _task) = start();
        let Ok(Outcome::Accepted(record)) = handle.create(&add("/a"), None).await.unwrap() else {
            panic!("it applies");
        };
        assert_eq!(record.place.id, 1);
        assert_eq!(handle.journal().length(), 1);
        assert_eq!(handle.state().length(), 1);
        assert!(handle.state().has(&record.place.source, 1));
        assert_eq!(text(&handle, "").await.unwrap(), r#"{"a":1}"#);
        assert_eq!(text(&handle, "/a").await.unwrap(), "1");
        assert_eq!(text(&handle, "/b").await, None);
    });
}

#[test]
fn what_each_write_asks_for_does_not_count_as_read() {
    let (manager, handle) = Manager::in_memory("me~1".parse().unwrap());
    let (last, change, generation) = (handle.last_state(), handle.change(), handle.generation());
    assert_eq!((last.change(), last.generation()), (change, generation));
    assert!(!manager.publisher.take_note_of_readers());
    handle.state();
    assert!(manager.publisher.take_note_of_readers());
}

#[test]
fn a_refused_one_leaves_a_gap_in_the_ids_and_nothing_else() {
    smol::block_on(async {
        let (handle, _task) = start();
        let refused = handle.create(&add("/a/b"), None).await.unwrap();
        assert!(matches!(refused, Ok(Outcome::Refused(_))));
        assert_eq!(handle.journal().length(), 0);
        let Ok(Outcome::Accepted(record)) = handle.create(&add("/a"), None).await.unwrap() else {
            panic!("it applies");
        };
        assert_eq!(record.place.id, 2);
        assert_eq!(handle.state().counters().refused, 1);
    });
}

#[test]
fn unknown_ids_of_the_own_source_are_taken_in_and_counted_on_from() {
    smol::block_on(async {
        let (handle, _task) = start();
        let earlier = Transaction {
            time: Time::from_micros(1),
            ..Transaction::fresh(handle.source(), 40, add("/old"))
        };
        handle.submit(vec![earlier]).await.unwrap();
        let Ok(Outcome::Accepted(record)) = handle.create(&add("/new"), None).await.unwrap() else {
            panic!("it applies");
        };
        assert_eq!(record.place.id, 41);
        assert_eq!(text(&handle, "").await.unwrap(), r#"{"new":1,"old":1}"#);
    });
}

#[test]
fn requests_at_once_reach_the_journal_in_the_order_of_their_ids() {
    smol::block_on(async {
        let (handle, _task) = start();
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let handle = handle.clone();
                smol::spawn(async move { handle.create(&add(&format!("/{number}")), None).await })
            })
            .collect();
        for task in tasks {
            assert!(matches!(task.await, Ok(Ok(Outcome::Accepted(_)))));
        }
        let records = handle.journal().read(0, 1000, usize::MAX).await.unwrap();
        assert!(records.iter().map(|record| record.place.id).eq(1..=200));
    });
}

#[test]
fn growth_wakes_a_subscriber_once_however_much_there_was() {
    smol::block_on(async {
        let (handle, _task) = start();
        let grown = handle.subscribe();
        for path in ["/a", "/b", "/c"] {
            handle.create(&add(path), None).await.unwrap().unwrap();
        }
        assert_eq!(grown.recv().await, Ok(()));
        assert!(grown.try_recv().is_err());
    });
}

#[test]
fn who_writes_is_answered_before_others_are_sent_it() {
    let (manager, handle) = Manager::in_memory("me~1".parse().unwrap());
    // One thread, on which who is woken first goes on first.
    let executor = smol::LocalExecutor::new();
    let _task = executor.spawn(manager.run());
    let (say, said) = async_channel::unbounded();
    smol::block_on(executor.run(async {
        let grown = handle.subscribe();
        grown.recv().await.unwrap();
        let says = say.clone();
        let reads = executor.spawn(async move {
            grown.recv().await.unwrap();
            says.try_send("sent").unwrap();
        });
        let writes = executor.spawn(async move {
            handle.create(&add("/a"), None).await.unwrap().unwrap();
            say.try_send("answered").unwrap();
        });
        reads.await;
        writes.await;
        assert_eq!([said.recv().await, said.recv().await], [Ok("answered"), Ok("sent")]);
    }));
}

#[test]
fn while_the_manager_rests_from_late_arrivals_more_of_them_wait_and_nothing_else() {
    const LENGTH: u64 = 30_000;
    let ordered = |source: &str, id, micros| Transaction {
        time: Time::from_micros(micros),
        ..Transaction::fresh(source.parse().unwrap(), id, add(&format!("/{}", id % 100)))
    };
    smol::block_on(async {
        let (handle, task) = start();
        handle
            .submit((1..=LENGTH).map(|id| ordered("p~1", id, 1000 + id)).collect())
            .await
            .unwrap();
        let begin = Instant::now();
        handle.submit(vec![ordered("q~1", 1, 100)]).await.unwrap();
        let (took, begin) = (begin.elapsed(), Instant::now());
        let late = ["q~1", "r~1"].map(|source| handle.submit(vec![ordered(source, 2, 50)]));
        let mut late = late.map(Box::pin);
        for late in &mut late {
            assert!(smol::future::poll_once(late).await.is_none());
        }
        // It would have to be applied again when those are taken in.
        let mut behind_them = Box::pin(handle.submit(vec![ordered("s~1", 1, 1001 + LENGTH)]));
        assert!(smol::future::poll_once(&mut behind_them).await.is_none());
        let known = handle.submit(vec![ordered("p~1", 1, 1001)]).await.unwrap();
        assert!(matches!(known[..], [Ok(Outcome::Known { next_id })] if next_id == LENGTH + 1));
        handle.create(&add("/fresh"), None).await.unwrap().unwrap();
        let is_in_time = begin.elapsed() < took / 2;
        for late in late {
            assert!(matches!(late.await.unwrap()[..], [Ok(Outcome::Accepted(_))]));
        }
        assert!(matches!(behind_them.await.unwrap()[..], [Ok(Outcome::Accepted(_))]));
        let records = handle.journal().read(LENGTH, 10, usize::MAX).await.unwrap();
        let ids = records.iter().map(|record| (record.place.source.as_str(), record.place.id));
        let mut ids: Vec<_> = ids.collect();
        ids[2..].sort_unstable();
        // On a machine that is busy with other things the rest may have been over before.
        if is_in_time {
            assert_eq!(ids, [("q~1", 1), ("me~1", 1), ("q~1", 2), ("r~1", 2), ("s~1", 1)]);
        }
        // What is held back when all are gone is dropped.
        let late = handle.submit(vec![ordered("q~1", 3, 10)]);
        assert_eq!(smol::future::poll_once(late).await.map(|late| late.is_ok()), None);
        drop(handle);
        task.await.unwrap();
    });
}

#[test]
fn while_much_is_applied_again_others_are_answered_from_the_last_state() {
    const LENGTH: u64 = 20 * MOST_APPLIED_HERE as u64;
    let ordered = |source: &str, id| Transaction {
        time: Time::from_micros(id),
        ..Transaction::fresh(source.parse().unwrap(), id, add(&format!("/{}", id % 100)))
    };
    let (manager, handle) = Manager::in_memory("me~1".parse().unwrap());
    // All of it is done by this thread, but for what is left to another one.
    let executor = smol::LocalExecutor::new();
    let task = executor.spawn(manager.run());
    smol::block_on(executor.run(async {
        let all = (2..LENGTH + 2).map(|id| ordered("p~1", id)).collect();
        assert_eq!(handle.submit(all).await.unwrap().len() as u64, LENGTH);
        let mut late = Box::pin(handle.submit(vec![ordered("q~1", 1)]));
        let mut looks = 0;
        while smol::future::poll_once(&mut late).await.is_none() {
            let state = handle.state();
            assert_eq!(state.has(&"q~1".parse().unwrap(), 1), state.length() > LENGTH);
            looks += u32::from(state.length() == LENGTH);
            smol::future::yield_now().await;
        }
        assert!(looks > 10, "{looks}");
        assert_eq!(handle.state().length(), LENGTH + 1);
        drop(late);
        drop(handle);
        task.await.unwrap();
    }));
}

#[test]
fn the_manager_ends_with_its_last_handle() {
    smol::block_on(async {
        let (handle, task) = start();
        let grown = handle.subscribe();
        assert_eq!(grown.recv().await, Ok(()), "it may have grown before");
        drop(handle);
        task.await.unwrap();
        assert!(grown.recv().await.is_err(), "who waits is told");
    });
}

#[test]
fn what_peers_say_of_ids_and_times_does_not_stop_writes_here() {
    smol::block_on(async {
        let (manager, handle) = Manager::in_memory("me~00000001".parse().unwrap());
        let _task = smol::spawn(manager.run());
        handle.create(&add("/a"), None).await.unwrap().unwrap();
        let me = handle.source();
        // A commit that covers all Ids which this life could ever use: it goes on as another one.
        let until = wall_clock();
        let clock = [(me.clone(), MAX_SAFE_INTEGER + 1)].into();
        let commit = Commit { epoch: 1, after: None, until, clock, horizon: 1, hash: None };
        let name = Name { source: "other~00000000^1".parse().unwrap(), id: 1 };
        handle.submit(vec![Transaction::commit(name.clone(), until, commit)]).await.unwrap();
        let written = handle.create(&add("/b"), None).await.unwrap();
        assert!(matches!(written, Ok(Outcome::Accepted(_))), "{written:?}");
        assert_ne!(handle.source(), me);
        // A base whose times are still to come would have all that is written here wait for them.
        let last = Time::from_micros(until.as_micros() + 2 * 3_600_000_000).unwrap();
        let covered = Covered { next: 8, last };
        let commit = Some(Name { id: 7, ..name.clone() });
        let clock = [(name.source, covered)].into();
        let committed = Committed { commit, clock, first: until, ..Committed::default() };
        let document = handle.state().document().clone();
        let base = Base { committed, names: Names::default(), length: 1, document };
        let taken = handle.take_base(base, "peer".into()).await.unwrap();
        let BaseOutcome::Failed(why) = taken else { panic!("{taken:?}") };
        assert!(why.contains("ahead of this node's clock"), "{why}");
        let written = handle.create(&add("/c"), None).await.unwrap();
        assert!(matches!(written, Ok(Outcome::Accepted(_))), "{written:?}");
    });
}
