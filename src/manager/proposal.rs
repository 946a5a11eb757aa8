//! Transactions that depend on what the document is: on its ETag, or on what a merge patch meets.
//!
//! The manager looks at the document when it is their turn, with all before them taken in, and makes an
//! ordinary fresh transaction of them or refuses. From there on they are like any other.

use std::io;
use std::sync::Arc;

use super::{ClientName, Event, Handle, Manager, Stopped, Submitted};
use crate::document::{Hash, Value};
use crate::patch::{PointerBuf, merge_part};
use crate::transaction::{MAX_PAYLOAD_BYTES, Name, Transaction};

/// Whether something is to be done to a part of this hash; to one that is not there, if there is none.
pub type Condition = Box<dyn Fn(Option<&Hash>) -> bool + Send + Sync>;

/// A transaction to be.
pub struct Proposal {
    /// The part of the document that it is about.
    pub part: PointerBuf,
    /// What must hold of that at the proposal's turn; none if any will do.
    pub condition: Option<Condition>,
    /// What to do to it.
    pub content: Content,
    /// What its client calls it; none if this node names it.
    pub client: Option<ClientName>,
}

/// What to do to the document.
#[derive(Clone, Debug)]
pub enum Content {
    /// The text of a JSON Patch of the whole document.
    Patch(Box<str>),
    /// A JSON Merge Patch (RFC 7396) of the part.
    Merge(Value),
}

/// What became of a [`Proposal`].
#[derive(Clone, Debug)]
pub enum Decision {
    /// It was made a transaction.
    Submitted(Submitted),
    /// The condition does not hold: the part's hash is this one, if it is there.
    Moved(Option<Hash>),
    /// As a JSON Patch it has so many bytes, which is more than a transaction may have.
    TooLarge(usize),
}

/// A proposal on its way to the manager.
pub(super) struct Proposed {
    proposal: Arc<Proposal>,
    /// What the transaction will be called.
    name: Name,
    reply: oneshot::Sender<Decision>,
}

impl Handle {
    /// Has the manager create a transaction from `proposal`, of this node with the next Id unless its
    /// client has named it. One that a client has named may be known.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn propose(&self, proposal: Proposal) -> Result<Decision, Stopped> {
        let proposal = Arc::new(proposal);
        let event = |name, reply| {
            let proposal = proposal.clone();
            Event::Propose(Proposed { proposal, name, reply })
        };
        if let Some(ClientName { name, .. }) = &proposal.client {
            return self.ask(|reply| event(name.clone(), reply)).await;
        }
        let taken = |decision: &Decision| match decision {
            Decision::Submitted(Submitted::Known { next_id }) => Some(*next_id),
            _ => None,
        };
        self.with_next_name(event, taken).await
    }
}

impl Manager {
    pub(super) async fn decide(&mut self, proposed: Proposed) -> io::Result<()> {
        let Proposed { proposal, name, reply } = proposed;
        let decision = self.decision(&proposal, name).await?;
        // Who asked may have gone; what was made of it stays.
        reply.send(decision).ok();
        Ok(())
    }

    async fn decision(&mut self, proposal: &Proposal, name: Name) -> io::Result<Decision> {
        let Proposal { part, condition, content, client } = proposal;
        let Name { source, id } = name;
        // Who sends it again is told what became of it, whatever the document is by now.
        if self.replica.is_known(&source, id) {
            let next_id = self.replica.next_id(&source);
            return Ok(Decision::Submitted(Submitted::Known { next_id }));
        }
        if let Some(condition) = condition {
            // What is published is what all before it have led to.
            let part = self.publisher.read(part).await.part;
            let hash = part.map(|part| part.hash().clone());
            if !condition(hash.as_ref()) {
                return Ok(Decision::Moved(hash));
            }
        }
        let payload: Box<str> = match content {
            Content::Patch(text) => text.clone(),
            Content::Merge(wanted) => {
                let target = self.replica.snapshot().get(part);
                let patch = merge_part(target, part, wanted.clone());
                serde_json::to_string(&patch).expect("a patch always has a JSON text").into()
            }
        };
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Ok(Decision::TooLarge(payload.len()));
        }
        let transaction = match client {
            Some(client) => client.transaction(payload),
            None => Transaction::fresh(source, id, payload),
        };
        let mut answers = self.take_in(vec![vec![transaction]]).await?;
        let answer = answers.pop().and_then(|mut answers| answers.pop());
        Ok(Decision::Submitted(answer.expect("what is submitted is answered")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn start() -> (Handle, smol::Task<io::Result<()>>) {
        let (manager, handle) = Manager::in_memory("me~1".parse().unwrap());
        (handle, smol::spawn(manager.run()))
    }

    fn merging(wanted: serde_json::Value) -> Proposal {
        let part = PointerBuf::new();
        Proposal { part, condition: None, content: Content::Merge(wanted.into()), client: None }
    }

    fn line(decision: Decision) -> serde_json::Value {
        match decision {
            Decision::Submitted(Submitted::Accepted(record)) => {
                serde_json::from_str(&record.line).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_merge_patch_is_made_a_patch_of_the_document_at_its_turn() {
        smol::block_on(async {
            let (handle, _task) = start();
            let first = line(handle.propose(merging(json!({"a": {"b": 1}}))).await.unwrap());
            assert_eq!(first["Payload"], r#"[{"op":"add","path":"/a","value":{"b":1}}]"#);
            let second = line(handle.propose(merging(json!({"a": {"b": null}}))).await.unwrap());
            assert_eq!(second["Payload"], r#"[{"op":"remove","path":"/a/b"}]"#);
            let nothing = line(handle.propose(merging(json!({}))).await.unwrap());
            assert_eq!((&nothing["Payload"], &nothing["Id"]), (&json!("[]"), &json!(3)));
        });
    }

    #[test]
    fn of_many_at_once_that_want_the_same_document_one_gets_it() {
        smol::block_on(async {
            let (handle, _task) = start();
            let root = crate::patch::PointerBuf::new();
            let hash = handle.read(&root).await.part.unwrap().hash().to_string();
            let tasks: Vec<_> = (0..50)
                .map(|number| {
                    let text = format!(r#"[{{"op":"add","path":"/{number}","value":1}}]"#);
                    let content = Content::Patch(text.into());
                    let wanted = hash.clone();
                    let condition: Condition =
                        Box::new(move |hash| hash.is_some_and(|hash| hash.as_str() == wanted));
                    let part = root.clone();
                    let proposal =
                        Proposal { part, condition: Some(condition), content, client: None };
                    let handle = handle.clone();
                    smol::spawn(async move { handle.propose(proposal).await })
                })
                .collect();
            let mut accepted = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Decision::Submitted(Submitted::Accepted(_)) => accepted += 1,
                    Decision::Moved(now) => assert_ne!(now.unwrap().to_string(), hash),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((accepted, handle.journal().length()), (1, 1));
        });
    }

    #[test]
    fn ids_stay_in_order_among_all_that_is_created() {
        smol::block_on(async {
            let (handle, _task) = start();
            let tasks: Vec<_> = (0..100)
                .map(|number| {
                    let handle = handle.clone();
                    smol::spawn(async move {
                        if number % 2 == 0 {
                            handle.create("[]", None).await.map(|_| ())
                        } else {
                            handle.propose(merging(json!({"n": number}))).await.map(|_| ())
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let records = handle.journal().read(0, 1000, usize::MAX).await.unwrap();
            assert!(records.iter().map(|record| record.place.id).eq(1..=100));
        });
    }

    #[test]
    fn what_is_too_large_as_a_patch_is_refused() {
        smol::block_on(async {
            let (handle, _task) = start();
            let members = (0..40_000).map(|number| (number.to_string(), json!(1)));
            let decision =
                handle.propose(merging(serde_json::Value::Object(members.collect()))).await;
            assert!(matches!(decision, Ok(Decision::TooLarge(bytes)) if bytes > MAX_PAYLOAD_BYTES));
            assert_eq!(handle.journal().length(), 0);
        });
    }
}
