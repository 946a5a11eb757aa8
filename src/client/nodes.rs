//! The nodes that a command names: what one does not answer is asked of the next one.

use std::time::{Duration, Instant};

use smol::Timer;

use super::failure::{CommandFailure, problem_kind};
use crate::backoff::Backoff;
use crate::config::{Exit, Remote};
use crate::remote::{AnswerHead, NodeAnswer, NodeFault, NodeRequest, RemoteNode, percent_encoded};

/// How long one answer may take if there is nothing that it would have to wait for. After that another node is asked.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// If less time is left, nothing is asked again: it would only hide what was told before.
pub const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// How long before the end of the time a node has to answer that waits for something, at most.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The problems that a node only tells of a transaction that it knows by its name.
const OF_A_NAME: [&str; 3] = ["/problems/skipped", "/problems/another-request", "/problems/folded"];

/// The nodes.
pub struct Nodes {
    nodes: Vec<RemoteNode>,
    /// The one that is asked first.
    at: usize,
    /// For how long they are asked.
    pub timeout: Duration,
    /// Whether they are asked for so long even if none is there.
    pub is_patient: bool,
}

/// What came of asking a node.
enum AskOutcome<T> {
    /// It has answered.
    Answered(T),
    /// It has not, or cannot now: why, and what that means.
    Not(String, Doubt),
}

/// A transaction of before, and where it was done.
pub struct Earlier<'a> {
    /// The node that has it.
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
        let (encoded, wait) = (percent_encoded(source), asked(limit).as_millis());
        let target = format!("/get?source={encoded}&id={id}&wait={wait}ms");
        let request = NodeRequest { method: "HEAD", ..NodeRequest::get(&target) };
        let answer = match node.request(&request, limit).await {
            Ok(answer) => answer,
            // This may be asked any number of times.
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

/// What it means that a node has not done what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It is not there, or is no node: nothing was asked.
    Absent,
    /// It cannot, for a reason that lasts: nothing was done.
    Unable,
    /// It was not asked, and can be soon: it lacks what comes before.
    Behind,
    /// It may have been done, or could be soon.
    Open,
    /// It refuses, and does not know whether another node has done it.
    Refused,
    /// It is done, and it is not known in time what becomes of it.
    Late,
}

/// Why nobody has answered.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub failure: CommandFailure,
    /// What is known of what was asked for.
    pub known: KnownEffect,
}

/// What is known of what was asked for, if nobody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownEffect {
    /// It was not done.
    NotDone,
    /// It may have been done.
    Nothing,
    /// It is done, and it is not known in time what becomes of it.
    Accepted,
}

impl From<Unanswered> for CommandFailure {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.failure
    }
}

impl Nodes {
    pub fn new(remotes: &[Remote], timeout: Duration) -> Result<Self, CommandFailure> {
        let nodes = remotes.iter().map(|remote| RemoteNode::new(remote.clone()));
        let nodes = nodes.collect::<Result<Vec<_>, _>>().map_err(CommandFailure::failed)?;
        debug_assert!(!nodes.is_empty(), "the command line names one at least");
        Ok(Self { nodes, at: 0, timeout, is_patient: false })
    }

    /// The node that has answered last, or will be asked next.
    pub fn node(&mut self) -> &mut RemoteNode {
        &mut self.nodes[self.at]
    }

    /// Goes over to the next node.
    pub fn turn(&mut self) {
        self.at = (self.at + 1) % self.nodes.len();
    }

    /// All of them.
    pub fn into_each(self) -> Vec<RemoteNode> {
        self.nodes
    }

    /// Asks until a node answers, and reads all of the answer. What is asked for has to be the same however
    /// often it is done. Once it may have been done, a node that does not know it by its name is not believed that
    /// it cannot be done. Of what builds on an earlier transaction a node is asked when it has that.
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

    /// Asks until a node answers, and reads the head of the answer. The rest is to be read from the node.
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

    /// What it answers that is no document, as a failure.
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
                // If none can do it, and nothing is under way, whoever asks had better know that at once.
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

/// How long a node is asked to wait if so much time is left, so that its answer is there in time.
pub fn asked(left: Duration) -> Duration {
    left - (left / 4).min(ANSWER_TIME)
}

impl<T> AskOutcome<T> {
    /// What answers is something else.
    fn no_node(node: &mut RemoteNode) -> Self {
        node.disconnect();
        Self::Not(no_node(node), Doubt::Absent)
    }

    /// It says that it cannot now.
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

/// Whether a node that answers so may answer otherwise later, or another node may.
fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}

/// What is told of something that answers as no node does.
pub fn no_node(node: &RemoteNode) -> String {
    format!("{}: what answers is no patchmesh node", node.address())
}

/// Whether a node answers so, and not a server that knows no such request, or takes any.
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
        // It repeats the name that the request gives.
        (200..=299, _) => ["Patchmesh-Source", "Patchmesh-Id"].into_iter().all(|name| {
            let mut headers = request.headers.iter();
            let given = headers.find(|(given, _)| *given == name).map(|(_, value)| *value);
            given.is_none() || given == head.header(name)
        }),
        (404, _) => is("application/problem+json"),
        _ => true,
    }
}

/// Whether a node says this of a transaction that it knows by its name.
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
            assert_eq!(asked(Duration::from_secs(left)).as_millis(), expected);
        }
    }
}
