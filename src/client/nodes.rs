//! The nodes that a command names: what one does not answer is asked of the next one.

use std::time::{Duration, Instant};

use smol::Timer;

use super::failure::Failure;
use crate::backoff::Backoff;
use crate::config::{Exit, Remote};
use crate::remote::{Answer, Fault, Head, Node, Request};

/// How long one answer may take if there is nothing that it would have to wait for. After that another node is asked.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The nodes.
pub struct Nodes {
    nodes: Vec<Node>,
    /// The one that is asked first.
    at: usize,
    /// For how long they are asked.
    pub timeout: Duration,
    /// Whether they are asked for so long even if none is there.
    pub is_patient: bool,
}

/// What came of asking a node.
enum Outcome<T> {
    /// It has answered.
    Answered(T),
    /// It has not, or cannot now.
    Not {
        why: String,
        /// Whether it may have done what it was asked for.
        may_be_done: bool,
        /// Whether it has said that it is done, and not yet what becomes of it.
        is_late: bool,
    },
}

/// Why nobody has answered.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub failure: Failure,
    /// Whether what was asked for may have been done.
    pub may_be_done: bool,
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.failure
    }
}

impl Nodes {
    pub fn new(remotes: &[Remote], timeout: Duration) -> Result<Self, Failure> {
        let nodes = remotes.iter().map(|remote| Node::new(remote.clone()));
        let nodes = nodes.collect::<Result<Vec<_>, _>>().map_err(Failure::failed)?;
        debug_assert!(!nodes.is_empty(), "the command line names one at least");
        Ok(Self { nodes, at: 0, timeout, is_patient: false })
    }

    /// The node that has answered last, or will be asked next.
    pub fn node(&mut self) -> &mut Node {
        &mut self.nodes[self.at]
    }

    /// Goes over to the next node.
    pub fn turn(&mut self) {
        self.at = (self.at + 1) % self.nodes.len();
    }

    /// All of them.
    pub fn into_each(self) -> Vec<Node> {
        self.nodes
    }

    /// Asks until a node answers, and reads all of the answer. What is asked for has to be the same however
    /// often it is done.
    pub async fn request(
        &mut self,
        request: &Request<'_>,
        patience: Duration,
    ) -> Result<Answer, Unanswered> {
        let ask = async |node: &mut Node, limit| match node.request(request, limit).await {
            Ok(answer) if is_passing(answer.head.status) => Outcome::passing(node, &answer),
            Ok(answer) => Outcome::Answered(answer),
            Err(fault) => fault.into(),
        };
        self.ask_each(patience, ask).await
    }

    /// Asks until a node answers, and reads the head of the answer. The rest is to be read from the node.
    pub async fn open(&mut self, request: &Request<'_>) -> Result<Head, Unanswered> {
        let ask = async |node: &mut Node, limit| {
            let head = match node.ask(request, limit).await {
                Ok(head) if is_passing(head.status) => head,
                Ok(head) => return Outcome::Answered(head),
                Err(fault) => return fault.into(),
            };
            match node.rest(limit).await {
                Ok(body) => Outcome::passing(node, &Answer { head, body }),
                Err(fault) => fault.into(),
            }
        };
        self.ask_each(PATIENCE, ask).await
    }

    /// What it answers that is no document, as a failure.
    pub async fn refusal(&mut self, head: Head) -> Failure {
        match self.node().rest(PATIENCE).await {
            Ok(body) => Failure::of(self.node().address(), &Answer { head, body }),
            Err(fault) => Failure::new(Exit::Unreachable, fault),
        }
    }

    async fn ask_each<T>(
        &mut self,
        patience: Duration,
        mut ask: impl AsyncFnMut(&mut Node, Duration) -> Outcome<T>,
    ) -> Result<T, Unanswered> {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::default();
        let mut may_be_done = false;
        loop {
            let (mut reasons, mut was_late) = (Vec::new(), false);
            for _ in 0..self.nodes.len() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() && !reasons.is_empty() {
                    break;
                }
                match ask(self.node(), patience.min(left)).await {
                    Outcome::Answered(answer) => return Ok(answer),
                    Outcome::Not { why, may_be_done: perhaps, is_late } => {
                        may_be_done |= perhaps;
                        was_late |= is_late;
                        reasons.push(why);
                    }
                }
                self.turn();
            }
            let wait = backoff.after(Duration::ZERO, fastrand::f64());
            // If none is there, and nothing is under way, whoever asks had better know that at once.
            let is_over = !may_be_done && !self.is_patient;
            if is_over || Instant::now() + wait >= deadline {
                let kind = if was_late { Exit::Failed } else { Exit::Unreachable };
                let failure = Failure::new(kind, reasons.join("; "));
                return Err(Unanswered { failure, may_be_done });
            }
            Timer::after(wait).await;
        }
    }
}

impl<T> Outcome<T> {
    /// It says that it cannot now.
    fn passing(node: &Node, answer: &Answer) -> Self {
        Self::Not {
            why: format!("{}: {}", node.address(), answer.trouble()),
            may_be_done: true,
            is_late: answer.head.status == 504,
        }
    }
}

impl<T> From<Fault> for Outcome<T> {
    fn from(fault: Fault) -> Self {
        let may_be_done = matches!(fault, Fault::Broken(_));
        Self::Not { why: fault.to_string(), may_be_done, is_late: false }
    }
}

/// Whether a node that answers so may answer otherwise later, or another node may.
fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}
