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
    /// It has not, or cannot now: why, and what that means.
    Not(String, Doubt),
}

/// What it means that a node has not done what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It is not there: nothing was asked.
    Absent,
    /// It cannot, for a reason that lasts: nothing was done.
    Unable,
    /// It may have been done, or could be soon.
    Open,
    /// It is done, and it is not known in time what becomes of it.
    Late,
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
            let (mut reasons, mut doubts) = (Vec::new(), Vec::new());
            for _ in 0..self.nodes.len() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() && !reasons.is_empty() {
                    break;
                }
                match ask(self.node(), patience.min(left)).await {
                    Outcome::Answered(answer) => return Ok(answer),
                    Outcome::Not(why, doubt) => {
                        may_be_done |= matches!(doubt, Doubt::Open | Doubt::Late);
                        reasons.push(why);
                        doubts.push(doubt);
                    }
                }
                self.turn();
            }
            let wait = backoff.after(Duration::ZERO, fastrand::f64());
            // If none can do it, and nothing is under way, whoever asks had better know that at once.
            let is_over = !may_be_done && !self.is_patient;
            if is_over || Instant::now() + wait >= deadline {
                let has_failed = |doubt: &Doubt| matches!(doubt, Doubt::Unable | Doubt::Late);
                let has_failed = doubts.iter().any(has_failed);
                let exit = if has_failed { Exit::Failed } else { Exit::Unreachable };
                let failure = Failure::new(exit, reasons.join("; "));
                return Err(Unanswered { failure, may_be_done });
            }
            Timer::after(wait).await;
        }
    }
}

impl<T> Outcome<T> {
    /// It says that it cannot now.
    fn passing(node: &Node, answer: &Answer) -> Self {
        let doubt = match answer.head.status {
            500 | 507 => Doubt::Unable,
            504 => Doubt::Late,
            _ => Doubt::Open,
        };
        Self::Not(format!("{}: {}", node.address(), answer.trouble()), doubt)
    }
}

impl<T> From<Fault> for Outcome<T> {
    fn from(fault: Fault) -> Self {
        let doubt = match fault {
            Fault::Unreachable(_) => Doubt::Absent,
            Fault::Broken(_) => Doubt::Open,
        };
        Self::Not(fault.to_string(), doubt)
    }
}

/// Whether a node that answers so may answer otherwise later, or another node may.
fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}
