//! Pages of other origins (CORS, in the Fetch Standard): which may use the interface, and the headers for their
//! browsers.
//!
//! Before a browser sends a request that no form could send, it asks whether it may (a preflight). It gives a
//! page an answer only if that allows the page's origin; so errors do too, and a page can tell them apart.
//! Credentials are tokens that the page itself sends. There are no cookies, so
//! `Access-Control-Allow-Credentials` is never sent.

use crate::config::Origins;
use crate::http::{Headers, Request, Response};

/// The headers of an answer that a page may read, besides those that every page may.
const EXPOSED: &str = "ETag, Location, Preference-Applied, Retry-After, Patchmesh-Bytes, Patchmesh-Change, \
                       Patchmesh-Clock, Patchmesh-Id, Patchmesh-Length, Patchmesh-Source";

/// The headers that a page may send, besides those that every page may.
const ALLOWED: &str = "Accept, Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, Prefer, \
                       Patchmesh-Id, Patchmesh-Length, Patchmesh-Source";

/// For how many seconds a browser need not ask again. Browsers remember no longer.
const MAX_AGE: &str = "7200";

/// The origins whose pages may use the interface.
#[derive(Clone, Debug, Default)]
pub struct Cors(Origins);

impl Cors {
    /// The rule for these origins.
    pub fn new(origins: Origins) -> Self {
        Self(origins)
    }

    /// Whether the command line names origins.
    pub fn is_set(&self) -> bool {
        self.0 != Origins::default()
    }

    /// Whether pages of this origin may use the interface.
    pub fn allow(&self, origin: &str) -> bool {
        match &self.0 {
            Origins::All => true,
            Origins::These(origins) => {
                origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
            }
        }
    }

    /// Whether the request is a preflight for an allowed page.
    pub fn is_preflight(&self, request: &Request) -> bool {
        request.method() == "OPTIONS"
            && request.header("Access-Control-Request-Method").is_some()
            && request.header("Origin").is_some_and(|origin| self.allow(origin))
    }

    /// The headers for the browser that every answer to this request has.
    pub fn headers(&self, request: &Request) -> Headers {
        let mut headers = Headers::default();
        if let Some(origin) = request.header("Origin").filter(|origin| self.allow(origin)) {
            let origin = if self.0 == Origins::All { "*" } else { origin };
            headers.add("Access-Control-Allow-Origin", origin);
            headers.add("Access-Control-Expose-Headers", EXPOSED);
        }
        headers
    }
}

/// The answer to a preflight for a path with these methods. A preflight carries no token, and needs none.
pub fn preflight(request: &Request, methods: String) -> Response {
    let response = Response::new(204)
        .with_header("Access-Control-Allow-Methods", methods)
        .with_header("Access-Control-Allow-Headers", ALLOWED)
        .with_header("Access-Control-Max-Age", MAX_AGE);
    // A page on the internet, and a node in a private network (Private Network Access).
    if request.header("Access-Control-Request-Private-Network") == Some("true") {
        return response.with_header("Access-Control-Allow-Private-Network", "true");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    fn these(origins: &[&str]) -> Cors {
        Cors::new(Origins::These(origins.iter().map(|origin| (*origin).to_owned()).collect()))
    }

    #[test]
    fn only_pages_of_these_origins_are_told_that_they_may() {
        let all = Cors::new(Origins::All);
        let listed = these(&["https://app.example", "http://localhost:3000"]);
        for (allowed, origin, expected) in [
            (&listed, "https://app.example", Some("https://app.example")),
            (&listed, "http://localhost:3000", Some("http://localhost:3000")),
            (&listed, "http://app.example", None),
            (&listed, "https://app.example:8443", None),
            (&listed, "https://app.example.evil", None),
            (&listed, "null", None),
            (&all, "https://app.example", Some("*")),
            (&all, "null", Some("*")),
            (&these(&[]), "https://app.example", None),
        ] {
            let text = |method: &str, more: &str| {
                request(format!(
                    "{method} /get HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n"
                ))
            };
            let headers = allowed.headers(&text("GET", ""));
            assert_eq!(headers.get("Access-Control-Allow-Origin"), expected, "{origin}");
            let asked = "Access-Control-Request-Method: PATCH\r\n";
            assert_eq!(allowed.is_preflight(&text("OPTIONS", asked)), expected.is_some());
            assert!(!allowed.is_preflight(&text("OPTIONS", "")), "it asks for nothing");
            assert!(!allowed.is_preflight(&text("GET", asked)));
        }
        let own = request("GET /get HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(all.headers(&own), Headers::default(), "no browser asks that");
    }

    #[test]
    fn a_preflight_says_what_a_page_may_send() {
        let asked = |more: &str| {
            let text =
                format!("OPTIONS /get HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n{more}\r\n");
            preflight(&request(text), "GET, PATCH".into())
        };
        let answer = asked("");
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("Access-Control-Allow-Methods"), Some("GET, PATCH"));
        assert!(answer.header("Access-Control-Allow-Headers").unwrap().contains("Authorization"));
        assert!(answer.header("Access-Control-Max-Age").is_some());
        let private = "Access-Control-Allow-Private-Network";
        assert_eq!(answer.header(private), None);
        let answer = asked("Access-Control-Request-Private-Network: true\r\n");
        assert_eq!(answer.header(private), Some("true"));
    }
}
