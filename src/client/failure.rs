//! Why a command failed.

use std::fmt;

use crate::config::Exit;
use crate::remote::NodeAnswer;

/// Why a command failed, in words and as an exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailure {
    /// For scripts.
    pub exit: Exit,
    /// For a person.
    pub text: String,
}

/// The result of a command, or of a step of it.
pub type CommandResult<T = ()> = Result<T, CommandFailure>;

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CommandFailure {
    pub(super) fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, text: text.to_string() }
    }

    pub(super) fn failed(text: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, text)
    }

    /// Why a node refuses a request, in its words.
    pub(super) fn of(address: &str, answer: &NodeAnswer) -> Self {
        let exit = match answer.head.status {
            404 => Exit::NotFound,
            409 if problem_kind(answer) == "/problems/no-primary" => Exit::Failed,
            409 | 412 => Exit::DoesNotApply,
            _ => Exit::Failed,
        };
        Self::new(exit, format_args!("{address}: {}", answer.trouble()))
    }
}

/// The type of the problem in an answer (RFC 9457); empty if it has none.
pub(super) fn problem_kind(answer: &NodeAnswer) -> String {
    let problem: serde_json::Value = answer.read().unwrap_or_default();
    problem["type"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::AnswerHead;

    #[test]
    fn each_answer_has_an_exit_status() {
        for (status, body, expected, text) in [
            (400, r#"{"detail":"not a JSON Patch"}"#, 1, "it answers 400, not a JSON Patch"),
            (401, "", 1, "it wants another token"),
            (404, r#"{"detail":"there is nothing"}"#, 4, "it answers 404, there is nothing"),
            (409, r#"{"type":"/problems/does-not-apply"}"#, 3, "it answers 409, and not why"),
            (409, r#"{"type":"/problems/no-primary","detail":"none"}"#, 1, "409, none"),
            (412, "<html>", 3, "it answers 412, and not why"),
        ] {
            let head = AnswerHead { status, ..AnswerHead::default() };
            let failure = CommandFailure::of("a:1", &NodeAnswer { head, body: body.into() });
            assert_eq!(failure.exit.code(), expected, "{body}");
            assert!(failure.to_string().contains(text), "{failure}");
        }
    }
}
