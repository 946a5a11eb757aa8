//! `wait`: waits until nodes are ready, have a transaction, or know that it is final.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use smol::Timer;

use super::failure::{CommandFailure, CommandResult};
use super::nodes::{LEAST_PATIENCE, Nodes, PATIENCE, is_of_node, no_node, node_wait, wait_target};
use crate::backoff::Backoff;
use crate::config::Exit;
use crate::remote::{NodeAnswer, NodeRequest, RemoteNode};
use crate::source::Source;

/// The longest that a node is asked to wait at once.
const NODE_WAIT: Duration = Duration::from_secs(30);

/// Waits until all nodes are ready and have the transaction, if one is named.
pub async fn wait(
    nodes: Nodes,
    transaction: Option<(&str, u64)>,
    is_committed: bool,
) -> CommandResult {
    let deadline = Instant::now() + nodes.timeout;
    let transaction = transaction.map(|(source, id)| (source.to_owned(), id));
    let waits = nodes.into_each().into_iter().map(|node| {
        let wait = AwaitedNode { node, deadline, backoff: Backoff::default() };
        smol::spawn(wait.run(transaction.clone(), is_committed))
    });
    let waits: Vec<_> = waits.collect();
    let mut failures = Vec::new();
    for wait in waits {
        failures.extend(wait.await.err());
    }
    let Some(first) = failures.first() else { return Ok(()) };
    let is_unreachable = failures.iter().any(|failure| failure.exit == Exit::Unreachable);
    let exit = if is_unreachable { Exit::Unreachable } else { first.exit };
    let texts: Vec<_> = failures.iter().map(|failure| &*failure.text).collect();
    Err(CommandFailure::new(exit, texts.join("; ")))
}

/// One node that is waited for.
struct AwaitedNode {
    node: RemoteNode,
    deadline: Instant,
    backoff: Backoff,
}

impl AwaitedNode {
    async fn run(
        mut self,
        transaction: Option<(String, u64)>,
        is_committed: bool,
    ) -> CommandResult {
        self.answer("/healthz/ready").await?;
        match transaction {
            Some((source, id)) => self.transaction(&source, id, is_committed).await,
            None if is_committed => {
                // If the last transaction of a source is final, all of them are.
                for (source, next) in self.clock().await? {
                    if is_stamping(&source) && next > 0 {
                        self.transaction(&source, next - 1, true).await?;
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The vector clock of the node: for each source the next Id.
    async fn clock(&mut self) -> CommandResult<BTreeMap<String, u64>> {
        let answer = self.answer("/vclock").await?;
        let address = self.node.address();
        answer
            .read()
            .map_err(|error| CommandFailure::failed(format_args!("{address}/vclock: {error}")))
    }

    /// Waits until the node has a transaction, or knows that it is final.
    async fn transaction(&mut self, source: &str, id: u64, is_committed: bool) -> CommandResult {
        loop {
            let (begun, wait) = (Instant::now(), node_wait(self.left()).min(NODE_WAIT));
            let target = wait_target(source, id, is_committed, wait);
            let request = NodeRequest { method: "HEAD", ..NodeRequest::get(&target) };
            let failure = match self.once(&request, wait + PATIENCE).await? {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            let is_over = wait < NODE_WAIT && begun.elapsed() >= wait;
            let paused = if is_over { Err(failure) } else { self.pause(failure).await };
            paused.map_err(|mut failure| {
                if failure.exit == Exit::DoesNotApply {
                    failure.exit = Exit::Failed;
                } else if failure.exit == Exit::Failed {
                    let what = if is_committed { "final" } else { "there" };
                    failure.text = format!(
                        "{}: transaction {id} of {source} was not {what} in time",
                        self.node.address()
                    );
                }
                failure
            })?;
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks until the answer is 200.
    async fn answer(&mut self, target: &str) -> CommandResult<NodeAnswer> {
        loop {
            match self.once(&NodeRequest::get(target), PATIENCE).await? {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(failure).await?,
            }
        }
    }

    /// Asks once. The inner failure is one that may pass.
    async fn once(
        &mut self,
        request: &NodeRequest<'_>,
        patience: Duration,
    ) -> CommandResult<Result<NodeAnswer, CommandFailure>> {
        let patience = patience.min(self.left());
        let answer = match self.node.request(request, patience).await {
            Ok(answer) if !is_of_node(request, &answer.head) => {
                return Err(CommandFailure::new(Exit::Unreachable, no_node(&self.node)));
            }
            Ok(answer) => answer,
            Err(fault) => return Ok(Err(CommandFailure::new(Exit::Unreachable, fault))),
        };
        let address = self.node.address();
        match answer.head.status {
            200 => Ok(Ok(answer)),
            // An answer without a body does not say why. The first commit may come soon.
            409 if request.method == "HEAD" => Ok(Err(CommandFailure::new(
                Exit::DoesNotApply,
                format_args!("{address}: it knows of no primary, so that nothing is final"),
            ))),
            status if status < 500 => Err(CommandFailure::of(address, &answer)),
            _ => Ok(Err(CommandFailure::of(address, &answer))),
        }
    }

    /// Waits before the next try, unless the time is over.
    async fn pause(&mut self, failure: CommandFailure) -> CommandResult {
        let wait = self.backoff.after(Duration::ZERO, fastrand::f64());
        if wait + LEAST_PATIENCE >= self.left() {
            return Err(failure);
        }
        Timer::after(wait).await;
        Ok(())
    }
}

/// Whether a source stamps its transactions, so that its last one stands for all.
fn is_stamping(source: &str) -> bool {
    let source: Result<Source, _> = source.parse();
    source.is_ok_and(|source| source.life_name().is_some() || source.is_reserved())
}
