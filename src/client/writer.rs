//! Sends transactions that have their effect once, however often and wherever they are sent.

use std::time::Duration;

use super::export::target;
use super::failure::{CommandFailure, CommandResult};
use super::nodes::{Earlier, KnownEffect, Nodes, PATIENCE, Unanswered, node_wait};
use crate::clock::MAX_SAFE_INTEGER;
use crate::remote::{NodeAnswer, NodeRequest};
use crate::source::Source;
use crate::transaction::MAX_PAYLOAD_BYTES;

/// The name of this client in the history.
const NAME: &str = "shell";

/// The longest time that a node waits for a transaction to become final.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Names and sends transactions, one after the other.
pub struct TransactionWriter {
    source: Source,
    /// The Id of the last transaction.
    id: u64,
    /// The node that has accepted the last transaction; none if none has.
    done_at: Option<String>,
}

/// One transaction to send.
#[derive(Clone, Copy)]
pub struct WriteRequest<'a> {
    /// The part that is changed.
    pub pointer: &'a str,
    /// The media type of the patch.
    pub media_type: &'a str,
    /// The patch.
    pub body: &'a [u8],
    /// Whether to wait until it is final.
    pub is_committed: bool,
    /// A conditional header (`If-Match` or `If-None-Match`), if there is a condition.
    pub condition: Option<(&'a str, &'a str)>,
}

impl<'a> WriteRequest<'a> {
    /// A write without a condition.
    pub fn new(pointer: &'a str, media_type: &'a str, body: &'a [u8], is_committed: bool) -> Self {
        Self { pointer, media_type, body, is_committed, condition: None }
    }
}

/// The media type of a JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";

/// The media type of a JSON Merge Patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

impl TransactionWriter {
    /// A writer with a new source.
    pub fn new() -> Self {
        let source = Source::begin_life(NAME, fastrand::u64(..));
        Self { source: source.expect("this names a node"), id: 0, done_at: None }
    }

    /// The name of the last transaction, as a line for `wait --transaction`.
    pub fn name(&self) -> Vec<u8> {
        format!("{}/{}\n", self.source, self.id).into_bytes()
    }

    /// Sends a transaction, which builds on the one before, until its outcome is known.
    ///
    /// # Errors
    /// If it does not apply, or its outcome is not known in time.
    pub async fn write(&mut self, nodes: &mut Nodes, request: WriteRequest<'_>) -> CommandResult {
        let answer = self.send(nodes, request).await?;
        match answer.head.status {
            200..=299 => Ok(()),
            _ => Err(CommandFailure::of(nodes.node().address(), &answer)),
        }
    }

    /// The same, but a refusal is returned as the answer.
    pub async fn send(
        &mut self,
        nodes: &mut Nodes,
        request: WriteRequest<'_>,
    ) -> CommandResult<NodeAnswer> {
        let WriteRequest { pointer, media_type, body, is_committed, condition } = request;
        if body.len() > MAX_PAYLOAD_BYTES {
            return Err(CommandFailure::failed(format_args!(
                "this has {} bytes, and a transaction has at most {MAX_PAYLOAD_BYTES}; patchmesh import makes \
                 several of a large document",
                body.len()
            )));
        }
        debug_assert!(self.id < MAX_SAFE_INTEGER, "no command writes as often");
        self.id += 1;
        let mut target = target(pointer, false);
        let mut patience = PATIENCE;
        if is_committed {
            let wait = node_wait(nodes.timeout).min(LONGEST_WAIT);
            target.push_str(&format!("?wait=committed&timeout={}ms", wait.as_millis()));
            patience += wait;
        }
        let id = self.id.to_string();
        let mut headers = vec![
            ("Content-Type", media_type),
            ("Patchmesh-Source", self.source.as_str()),
            ("Patchmesh-Id", &id),
            ("Prefer", "return=minimal"),
        ];
        headers.extend(condition);
        let request = NodeRequest { method: "PATCH", target: &target, headers: &headers, body };
        let earlier = self.done_at.as_deref().map(|address| Earlier {
            address,
            source: self.source.as_str(),
            id: self.id - 1,
        });
        let answer = nodes.request(earlier.as_ref(), &request, patience).await;
        let answer = answer.map_err(|unanswered| self.unknown(unanswered))?;
        let is_done = matches!(answer.head.status, 200..=299);
        self.done_at = is_done.then(|| nodes.node().address().to_owned());
        Ok(answer)
    }

    /// The failure if no node has answered, with what is known of the effect.
    fn unknown(&self, Unanswered { mut failure, known }: Unanswered) -> CommandFailure {
        let Self { source, id, .. } = self;
        match known {
            KnownEffect::NotDone => {}
            KnownEffect::Nothing => failure.text.push_str(&format!(
                "; whether it was done is not known: /transaction?source={source}&id={id} tells"
            )),
            KnownEffect::Accepted => failure.text.push_str(&format!(
                "; patchmesh wait --committed --transaction {source}/{id} waits until it is final"
            )),
        }
        failure
    }
}
