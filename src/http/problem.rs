//! Errors as answers.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Response, reason_phrase};

/// An error for people and programs: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of problem it is, as a URI reference.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind of problem, for a person.
    pub title: Cow<'static, str>,
    /// The status code.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// More members. None of them has the name of a field above.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// A problem of type `about:blank`, which says no more than its status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Problem {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(reason_phrase(status)),
            status,
            detail: detail.into(),
            members: Map::new(),
        }
    }

    /// Sets the type and its title.
    pub fn with_kind(mut self, kind: &'static str, title: &'static str) -> Self {
        self.kind = Cow::Borrowed(kind);
        self.title = Cow::Borrowed(title);
        self
    }

    /// Adds a member.
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let mut body = serde_json::to_vec(&problem).expect("strings and JSON values are JSON");
        body.push(b'\n');
        Response::new(problem.status)
            .with_body("application/problem+json", body)
            // Some caches would keep a 404 or a 410 (RFC 9111, 4.2.2).
            .with_header("Cache-Control", "no-store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpError;

    #[test]
    fn a_problem_says_what_rfc_9457_asks_for() {
        let plain = Response::problem(404, "nothing there");
        assert_eq!(plain.status, 404);
        assert_eq!(plain.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            plain.body.at_hand(),
            concat!(
                r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"nothing there"}"#,
                "\n"
            )
            .as_bytes()
        );
        let full: Response = Problem::new(409, "no")
            .with_kind("/problems/patch", "The patch does not apply")
            .with_member("operation", 0)
            .with_member("path", "/a")
            .into();
        assert_eq!(
            full.body.at_hand(),
            concat!(
                r#"{"type":"/problems/patch","title":"The patch does not apply","status":409,"detail":"no","operation":0,"path":"/a"}"#,
                "\n"
            )
            .as_bytes()
        );
        let error = HttpError::new(431, "too much");
        assert_eq!(error.to_string(), "431 Request Header Fields Too Large: too much");
        assert_eq!(Response::from(error).status, 431);
    }
}
