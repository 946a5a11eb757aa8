//! The nodes that a command names: if one does not answer, the next one is asked.

use std::time::{Duration, Instant};

use smol::Timer;

use super::failure::{CommandFailure, CommandResult, problem_kind};
use crate::backoff::Backoff;
use crate::config::{Exit, Remote};
use crate::remote::{AnswerHead, NodeAnswer, NodeFault, NodeRequest, RemoteNode, percent_encoded};

/// How long one answer may take if it need not wait for anything. After that another node is asked.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// If less time is left, no node is asked again: a late failure would only hide the earlier one.
pub const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// A node that waits for something must answer before the time is over: this long before, at most.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The problems that a node reports only of a transaction whose name it knows.
const OF_A_NAME: [&str; 3] = ["/problems/skipped", "/problems/another-request", "/problems/folded"];

/// The nodes of a command.
pub struct Nodes {
    nodes: Vec<RemoteNode>,
    /// The node that is asked first.
    at: usize,
    /// For how long they are asked.
    pub timeout: Duration,
    /// Whether they are asked for so long even if none can be reached.
    pub is_patient: bool,
}

/// The result of asking a node.
enum AskOutcome<T> {
    /// It has answered.
    Answered(T),
    /// It has not answered, or cannot now: why, and what that means.
    Not(String, Doubt),
}

/// An earlier transaction, and the node that has it.
pub struct Earlier<'a> {
    /// The address of that node.
    pub address: &'a str,
    /// Its source.
    pub source: &'a str,
    /// Its Id.
    pub id: u64,
}

impl Earlier<'_> {
    /// Waits until a node has it.
    async fn wait_at<T>(
        &self,
        node: &mut RemoteNode,
        limit: Duration,
    ) -> Result<(), AskOutcome<T>> {
        if node.address() == self.address {
            return Ok(());
        }
        let Self { source, id, .. } = self;
        let target = wait_target(source, *id, false, node_wait(limit));
        let request = NodeRequest { method: "HEAD", ..NodeRequest::get(&target) };
        let answer = match node.request(&request, limit).await {
            Ok(answer) => answer,
            // This request may be repeated.
            Err(fault) => return Err(AskOutcome::Not(fault.to_string(), Doubt::Absent)),
        };
        match answer.head.status {
            _ if !is_of_node(&request, &answer.head) => Err(AskOutcome::no_node(node)),
            200 => Ok(()),
            504 => {
                let address = node.address();
                let why = format!("{address}: it has not received transaction {id} of {source}");
                Err(AskOutcome::Not(why, Doubt::Behind))
            }
            _ => Err(AskOutcome::Not(
                format!("{}: {}", node.address(), answer.trouble()),
                Doubt::Unable,
            )),
        }
    }
}

/// What it means that a node has not done a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It cannot be reached, or is no node: nothing was sent.
    Absent,
    /// It cannot do it, for a reason that lasts: nothing was done.
    Unable,
    /// It was not asked, because it lacks an earlier transaction. It may have that soon.
    Behind,
    /// The request may have been done, or may be possible soon.
    Open,
    /// It refuses the request, and does not know whether another node has done it.
    Refused,
    /// The transaction is accepted, but was not final in time.
    Late,
}

/// Why no node has answered.
#[derive(Debug)]
pub struct Unanswered {
    /// The failure of the command.
    pub failure: CommandFailure,
    /// What is known of the effect of the request.
    pub known: KnownEffect,
}

/// What is known of the effect of a request that no node has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownEffect {
    /// It has had no effect.
    NotDone,
    /// It may have had its effect.
    Nothing,
    /// The transaction is accepted, but was not final in time.
    Accepted,
}

impl From<Unanswered> for CommandFailure {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.failure
    }
}

impl Nodes {
    pub fn new(remotes: &[Remote], timeout: Duration) -> CommandResult<Self> {
        let nodes = remotes.iter().map(|remote| RemoteNode::new(remote.clone()));
        let nodes = nodes.collect::<Result<Vec<_>, _>>().map_err(CommandFailure::failed)?;
        debug_assert!(!nodes.is_empty(), "the command line names one at least");
        Ok(Self { nodes, at: 0, timeout, is_patient: false })
    }

    /// The node that answered last, or that is asked next.
    pub fn node(&mut self) -> &mut RemoteNode {
        &mut self.nodes[self.at]
    }

    /// Goes on to the next node.
    pub fn turn(&mut self) {
        self.at = (self.at + 1) % self.nodes.len();
    }

    /// All of them.
    pub fn into_each(self) -> Vec<RemoteNode> {
        self.nodes
    }

    /// Asks until a node answers, and reads the whole answer. The request must be one that may be repeated.
    /// Once it may have been done, the refusal of a node that does not know its name is not final. If it builds
    /// on an `earlier` transaction, a node is asked only when it has that.
    pub async fn request(
        &mut self,
        earlier: Option<&Earlier<'_>>,
        request: &NodeRequest<'_>,
        patience: Duration,
    ) -> Result<NodeAnswer, Unanswered> {
        let is_read = matches!(request.method, "GET" | "HEAD");
        let ask = async |node: &mut RemoteNode, limit, may_be_done: bool| {
            if let Some(earlier) = earlier
                && let Err(outcome) = earlier.wait_at(node, limit).await
            {
                return outcome;
            }
            let answer = match node.request(request, limit).await {
                Ok(answer) => answer,
                Err(fault) => return fault.into(),
            };
            if !is_of_node(request, &answer.head) {
                AskOutcome::no_node(node)
            } else if is_passing(answer.head.status) {
                AskOutcome::passing(node, &answer)
            } else if is_read || !may_be_done || is_of_name(&answer) {
                AskOutcome::Answered(answer)
            } else {
                AskOutcome::Not(format!("{}: {}", node.address(), answer.trouble()), Doubt::Refused)
            }
        };
        self.ask_each(patience, ask).await
    }

    /// Asks until a node answers, and reads the head of the answer. The caller reads the rest from the node.
    pub async fn open(&mut self, request: &NodeRequest<'_>) -> Result<AnswerHead, Unanswered> {
        let ask = async |node: &mut RemoteNode, limit, _| {
            let head = match node.ask(request, limit).await {
                Ok(head) if !is_of_node(request, &head) => return AskOutcome::no_node(node),
                Ok(head) if is_passing(head.status) => head,
                Ok(head) => return AskOutcome::Answered(head),
                Err(fault) => return fault.into(),
            };
            match node.rest(limit).await {
                Ok(body) => AskOutcome::passing(node, &NodeAnswer { head, body }),
                Err(fault) => fault.into(),
            }
        };
        self.ask_each(PATIENCE, ask).await
    }

    /// An answer that is no document, as a failure.
    pub async fn refusal(&mut self, head: AnswerHead) -> CommandFailure {
        match self.node().rest(PATIENCE).await {
            Ok(body) => CommandFailure::of(self.node().address(), &NodeAnswer { head, body }),
            Err(fault) => CommandFailure::new(Exit::Unreachable, fault),
        }
    }

    async fn ask_each<T>(
        &mut self,
        patience: Duration,
        mut ask: impl AsyncFnMut(&mut RemoteNode, Duration, bool) -> AskOutcome<T>,
    ) -> Result<T, Unanswered> {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::default();
        let mut known = KnownEffect::NotDone;
        let (mut has_failed, mut accepted) = (false, None);
        loop {
            let (mut reasons, mut is_behind) = (Vec::new(), false);
            for _ in 0..self.nodes.len() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() && !reasons.is_empty() {
                    break;
                }
                let may_be_done = known != KnownEffect::NotDone;
                match ask(self.node(), patience.min(left), may_be_done).await {
                    AskOutcome::Answered(answer) => return Ok(answer),
                    AskOutcome::Not(why, doubt) => {
                        match doubt {
                            Doubt::Absent => {}
                            Doubt::Behind => (is_behind, has_failed) = (true, true),
                            Doubt::Unable | Doubt::Refused => has_failed = true,
                            Doubt::Open if accepted.is_none() => known = KnownEffect::Nothing,
                            Doubt::Open => {}
                            Doubt::Late => {
                                (known, accepted) = (KnownEffect::Accepted, Some(why.clone()))
                            }
                        }
                        reasons.push(why);
                    }
                }
                self.turn();
            }
            let wait = backoff.after(Duration::ZERO, fastrand::f64());
            let left = deadline.saturating_duration_since(Instant::now());
            let is_over = match known {
                // If no node can do it and nothing is under way, the user should know that at once.
                KnownEffect::NotDone => !self.is_patient && !is_behind,
                KnownEffect::Nothing => false,
                KnownEffect::Accepted => left <= ANSWER_TIME,
            };
            if is_over || wait + LEAST_PATIENCE >= left {
                let has_failed = has_failed || accepted.is_some();
                let exit = if has_failed { Exit::Failed } else { Exit::Unreachable };
                let why = accepted.unwrap_or_else(|| reasons.join("; "));
                return Err(Unanswered { failure: CommandFailure::new(exit, why), known });
            }
            Timer::after(wait).await;
        }
    }
}

/// The request target at which a node waits for a transaction, or until that is final.
pub fn wait_target(source: &str, id: u64, is_committed: bool, wait: Duration) -> String {
    let (source, wait) = (percent_encoded(source), wait.as_millis());
    let at = if is_committed { "&at=committed" } else { "" };
    format!("/get?source={source}&id={id}{at}&wait={wait}ms")
}

/// How long a node is asked to wait, so that its answer comes before the time that is left is over.
pub fn node_wait(left: Duration) -> Duration {
    left - (left / 4).min(ANSWER_TIME)
}

impl<T> AskOutcome<T> {
    /// The answer is not that of a node.
    fn no_node(node: &mut RemoteNode) -> Self {
        node.disconnect();
        Self::Not(no_node(node), Doubt::Absent)
    }

    /// The node says that it cannot now.
    fn passing(node: &RemoteNode, answer: &NodeAnswer) -> Self {
        let doubt = match answer.head.status {
            500 | 507 => Doubt::Unable,
            504 if problem_kind(answer) == "/problems/not-final-yet" => Doubt::Late,
            _ => Doubt::Open,
        };
        Self::Not(format!("{}: {}", node.address(), answer.trouble()), doubt)
    }
}

impl<T> From<NodeFault> for AskOutcome<T> {
    fn from(fault: NodeFault) -> Self {
        let doubt = match fault {
            NodeFault::Unreachable(_) => Doubt::Absent,
            NodeFault::Broken(_) => Doubt::Open,
        };
        Self::Not(fault.to_string(), doubt)
    }
}

/// Whether this node may give another answer later, or another node may.
fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}

/// The text for an answer that is not that of a node.
pub fn no_node(node: &RemoteNode) -> String {
    format!("{}: what answers is no patchmesh node", node.address())
}

/// Whether the answer is that of a node, and not that of another server.
pub fn is_of_node(request: &NodeRequest<'_>, head: &AnswerHead) -> bool {
    let content_type = head.header("Content-Type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is = |expected: &str| media_type.eq_ignore_ascii_case(expected);
    let path = request.target.split('?').next().unwrap_or_default();
    let is_document = path == "/get" || path.starts_with("/get/");
    match (head.status, request.method) {
        (200..=299, "GET" | "HEAD") if is_document => {
            is("text/event-stream") || head.header("Patchmesh-Length").is_some()
        }
        (200..=299, "GET" | "HEAD") => is("application/json"),
        // A node repeats the name in the request.
        (200..=299, _) => ["Patchmesh-Source", "Patchmesh-Id"].into_iter().all(|name| {
            let mut headers = request.headers.iter();
            let given = headers.find(|(given, _)| *given == name).map(|(_, value)| *value);
            given.is_none() || given == head.header(name)
        }),
        (404, _) => is("application/problem+json"),
        _ => true,
    }
}

/// Whether a node says this of a transaction whose name it knows.
fn is_of_name(answer: &NodeAnswer) -> bool {
    matches!(answer.head.status, 200..=299) || OF_A_NAME.contains(&&*problem_kind(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_told_from_other_servers() {
        let named = [("Patchmesh-Source", "a~12345678"), ("Patchmesh-Id", "7")];
        let html = ("Content-Type", "text/html; charset=utf-8");
        let json = ("Content-Type", "application/json");
        let problem = ("Content-Type", "application/problem+json");
        let length = ("Patchmesh-Length", "7");
        for (method, target, status, headers, expected) in [
            ("PATCH", "/get/a", 204, &named[..], true),
            ("PATCH", "/get/a", 200, &named[..1], false),
            ("PATCH", "/get/a", 200, &[named[0], ("Patchmesh-Id", "8")], false),
            ("PATCH", "/get/a", 200, &[html], false),
            ("PATCH", "/get/a", 409, &[], true),
            ("PATCH", "/get/a", 404, &[html], false),
            ("GET", "/get/a", 200, &[json, length], true),
            ("GET", "/get", 200, &[json], false),
            ("GET", "/get", 200, &[("Content-Type", "text/event-stream")], true),
            ("GET", "/get?at=committed", 200, &[html], false),
            ("HEAD", "/get/a", 404, &[problem], true),
            ("HEAD", "/get/a", 404, &[], false),
            ("GET", "/vclock", 200, &[json], true),
            ("GET", "/healthz/ready", 200, &[html], false),
            ("GET", "/healthz/ready", 503, &[html], true),
        ] {
            let request = NodeRequest { method, target, headers: &named, body: b"" };
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let head = AnswerHead { status, headers: headers.collect() };
            assert_eq!(is_of_node(&request, &head), expected, "{method} {target} {head:?}");
        }
    }

    #[test]
    fn a_node_has_time_to_answer() {
        for (left, expected) in [(4, 3_000), (8, 6_000), (60, 58_000), (0, 0)] {
            assert_eq!(node_wait(Duration::from_secs(left)).as_millis(), expected);
        }
    }
}
