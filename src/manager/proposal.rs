//! Transactions that depend on the document: on its ETag, or on what a merge patch finds there.
//!
//! A proposal is decided in a turn of its own: the manager looks at the document then, and either makes an ordinary
//! fresh transaction or refuses. The hash of a large part takes longer than a turn may, so it is made before. It
//! counts only if the part has not changed until the turn.

use std::io;
use std::sync::Arc;

use super::reply::Reply;
use super::representation::{Representation, is_light};
use super::{ClientName, Handle, Manager, ManagerMessage, Outcome, Stopped, Submitted};
use crate::document::{Hash, Value};
use crate::patch::{PointerBuf, merge_part};
use crate::transaction::{MAX_PAYLOAD_BYTES, Name, Transaction};

/// How often a large part is hashed for one proposal, if it keeps changing.
const TRIES: usize = 4;

/// Whether a write to a part with this hash is allowed. The hash is none if there is no such part.
pub type Condition = Box<dyn Fn(Option<&Hash>) -> bool + Send + Sync>;

/// A transaction that a client wants, under a condition.
pub struct Proposal {
    /// The part of the document that it changes.
    pub part: PointerBuf,
    /// The condition for that part at the proposal's turn, if there is one.
    pub condition: Option<Condition>,
    /// The change.
    pub content: Content,
    /// The name that its client gives it; none if this node names it.
    pub client: Option<ClientName>,
}

/// The change of the document.
#[derive(Clone, Debug)]
pub enum Content {
    /// The text of a JSON Patch of the whole document.
    Patch(Box<str>),
    /// A JSON Merge Patch (RFC 7396) of the part.
    Merge(Value),
}

/// The outcome of a [`Proposal`].
#[derive(Clone, Debug)]
pub enum Decision {
    /// It became a transaction.
    Submitted(Submitted),
    /// The condition does not hold: the part's hash is this one, if it is there.
    Moved(Option<Hash>),
    /// As a JSON Patch it has so many bytes, more than a transaction may have.
    TooLarge(usize),
    /// The part is large, and changes faster than it can be hashed.
    Changing,
}

/// A proposal on its way to the manager.
pub(super) struct Proposed {
    proposal: Arc<Proposal>,
    /// The part with its hash, if there is a condition and the part is large.
    part: Option<Arc<Representation>>,
    /// The name of the transaction.
    name: Name,
    /// None if the part has changed since it was hashed.
    reply: Reply<Option<Decision>>,
}

impl Handle {
    /// Creates a transaction from `proposal`. Its name is that of the client, or else this node's next one. If the
    /// client has named it, it may be known already.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn propose(&self, proposal: Proposal) -> Result<Decision, Stopped> {
        self.shares.wait().await;
        let proposal = Arc::new(proposal);
        for _ in 0..TRIES {
            let part = self.heavy_part(&proposal).await;
            if let Some(decision) = self.propose_of(&proposal, part).await? {
                return Ok(decision);
            }
        }
        Ok(Decision::Changing)
    }

    /// The part for which a proposal has a condition, with its hash, if it is large.
    async fn heavy_part(&self, proposal: &Proposal) -> Option<Arc<Representation>> {
        proposal.condition.as_ref()?;
        let is_heavy = !is_light(self.state().document().get(&proposal.part)?);
        if is_heavy { self.read(&proposal.part).await.part } else { None }
    }

    async fn propose_of(
        &self,
        proposal: &Arc<Proposal>,
        part: Option<Arc<Representation>>,
    ) -> Result<Option<Decision>, Stopped> {
        let message = |name, reply| {
            let (proposal, part) = (proposal.clone(), part.clone());
            ManagerMessage::Propose(Proposed { proposal, part, name, reply })
        };
        if let Some(ClientName { name, .. }) = &proposal.client {
            return self.ask(|reply| message(name.clone(), reply)).await;
        }
        let taken = |decision: &Option<Decision>| match decision {
            Some(Decision::Submitted(Ok(Outcome::Known { next_id }))) => Some(*next_id),
            _ => None,
        };
        self.with_next_name(message, taken).await
    }
}

impl Manager {
    pub(super) async fn decide(&mut self, proposed: Proposed) -> io::Result<()> {
        let Proposed { proposal, part, name, reply } = proposed;
        let decision = self.decision(&proposal, part.as_deref(), name).await?;
        // If the sender has gone, its transaction stays.
        reply.send(decision);
        Ok(())
    }

    async fn decision(
        &mut self,
        proposal: &Proposal,
        hashed: Option<&Representation>,
        name: Name,
    ) -> io::Result<Option<Decision>> {
        let Proposal { part, condition, content, client } = proposal;
        let Name { source, id } = name;
        // If it is sent again, the answer is the first outcome, whatever the document is now.
        if self.replica.is_known(&source, id) {
            let next_id = self.replica.next_id(&source);
            return Ok(Some(Decision::Submitted(Ok(Outcome::Known { next_id }))));
        }
        if let Some(condition) = condition {
            let part = self.replica.snapshot().get(part);
            let hash = match (hashed, part) {
                (Some(hashed), _) => Some(hashed.hash().clone()),
                (None, Some(part)) if !is_light(part) => return Ok(None),
                (None, part) => part.map(|part| part.digest().hash().clone()),
            };
            if !condition(hash.as_ref()) {
                return Ok(Some(Decision::Moved(hash)));
            }
            let is_same =
                |hashed: &Representation| part.is_some_and(|part| part.is_same(hashed.value()));
            if !hashed.is_none_or(is_same) {
                return Ok(None);
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
            return Ok(Some(Decision::TooLarge(payload.len())));
        }
        let transaction = match client {
            Some(client) => client.transaction(payload),
            None => Transaction::fresh(source, id, payload),
        };
        let mut answers = self.take_in(vec![vec![transaction]]).await?;
        let answer = answers.pop().and_then(|mut answers| answers.pop());
        Ok(Some(Decision::Submitted(answer.expect("what is submitted is answered"))))
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
            Decision::Submitted(Ok(Outcome::Accepted(record))) => {
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
                    Decision::Submitted(Ok(Outcome::Accepted(_))) => accepted += 1,
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
    fn a_condition_of_a_large_part_holds_if_that_is_still_the_same() {
        smol::block_on(async {
            let (handle, _task) = start();
            let add = |path: &str, value: &str| -> Box<str> {
                format!(r#"[{{"op":"add","path":"{path}","value":"{value}"}}]"#).into()
            };
            handle.create(&add("/large", &"x".repeat(200_000)), None).await.unwrap().unwrap();
            let part = PointerBuf::parse("/large").unwrap();
            let reading = handle.read(&part).await.part.unwrap();
            let proposal = |wanted: &Hash| {
                let wanted = wanted.clone();
                Proposal {
                    part: PointerBuf::parse("/large").unwrap(),
                    condition: Some(Box::new(move |hash| hash == Some(&wanted))),
                    content: Content::Patch(add("/large", &"y".repeat(200_000))),
                    client: None,
                }
            };
            // What else changes does not matter.
            handle.create(&add("/other", "z"), None).await.unwrap().unwrap();
            let wanted = Arc::new(proposal(reading.hash()));
            let decision = handle.propose_of(&wanted, Some(reading.clone())).await.unwrap();
            assert!(matches!(decision, Some(Decision::Submitted(Ok(Outcome::Accepted(_))))));
            // It is another one now, and has to be hashed again.
            for hashed in [Some(reading.clone()), None] {
                assert!(handle.propose_of(&wanted, hashed).await.unwrap().is_none());
            }
            match handle.propose(proposal(reading.hash())).await.unwrap() {
                Decision::Moved(Some(hash)) => assert_ne!(hash, *reading.hash()),
                other => panic!("{other:?}"),
            }
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
