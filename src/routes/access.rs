//! Which requests are allowed.

use std::net::IpAddr;

use super::cors::Cors;
use super::table::{Action, Routed};
use crate::http::{HttpError, Request, Response, split_at_first};
use crate::tokens::{Right, TokenHash, Tokens};

/// The rules by which requests are allowed.
#[derive(Clone, Debug)]
pub struct Access {
    /// The tokens and their rights.
    tokens: Tokens,
    /// Whether the node listens on loopback addresses only.
    loopback: bool,
    /// The host of the address that it was started with, which may be a name.
    own_host: String,
    /// The other origins whose web pages may use the node.
    cors: Cors,
}

impl Access {
    /// The rules of a node that listens on the addresses `listening`, which are those of `own_host`.
    pub fn new(tokens: Tokens, cors: Cors, listening: &[IpAddr], own_host: &str) -> Self {
        Self {
            tokens,
            loopback: listening.iter().all(IpAddr::is_loopback),
            own_host: own_host.to_owned(),
            cors,
        }
    }

    /// The other origins whose web pages may use the node.
    pub fn cors(&self) -> &Cors {
        &self.cors
    }

    /// Allows a request that names this node by one of its names.
    ///
    /// # Errors
    /// 403 for a request that a foreign web page made a browser send.
    pub fn check_names(&self, request: &Request) -> Result<(), Response> {
        self.check_host(request)?;
        self.check_origin_host(request)
    }

    /// Allows a request that has the right `need`.
    ///
    /// # Errors
    /// 401 without a token; 403 if the token or the page's origin does not allow it.
    pub fn check(&self, request: &Request, need: Option<Right>) -> Result<(), Response> {
        self.check_origin(request)?;
        self.check_token(request, need)
    }

    /// A foreign page can let its own name point to this machine's address. For the browser it then comes from
    /// here, but the request carries that name as its Host (DNS rebinding).
    fn check_host(&self, request: &Request) -> Result<(), Response> {
        let Some(host) = request.host() else { return Ok(()) };
        if !self.loopback || !self.tokens.are_none() || is_loopback(host) || self.is_own(host) {
            return Ok(());
        }
        let detail = format!(
            "this node listens on a loopback address without a token, and answers only requests \
             whose Host is a loopback address, localhost or the name that it was started with, not \
             {host:?}"
        );
        Err(Response::problem(403, detail))
    }

    /// The same for a node that is reachable by others. A page differs from other clients by its Origin header,
    /// which every write and every WebSocket has. A Host that is an address cannot be forged in this way.
    fn check_origin_host(&self, request: &Request) -> Result<(), Response> {
        let Some(host) = request.host() else { return Ok(()) };
        if !self.tokens.are_none() || request.header("Origin").is_none() {
            return Ok(());
        }
        let name = host_name(host);
        let is_address = name.parse::<IpAddr>().is_ok();
        if is_address || name.eq_ignore_ascii_case("localhost") || self.is_own(host) {
            return Ok(());
        }
        let detail = format!(
            "this node has no token, and serves web pages only under a Host that is an address, \
             localhost or the name that it was started with, not {host:?}: start it as \
             `patchmesh {name}:PORT`, or give it a token"
        );
        Err(Response::problem(403, detail))
    }

    /// A foreign web page must not write to this node: browsers name the page's origin when they post. Nor may
    /// it read the stream if `--allow-origin` says which pages may.
    fn check_origin(&self, request: &Request) -> Result<(), Response> {
        let Some(origin) = request.header("Origin") else { return Ok(()) };
        let action = Routed::of(request).action();
        let does = match request.method() {
            "GET" if action == Some(Action::Stream) && self.cors.is_set() => "read",
            "GET" | "HEAD" | "OPTIONS" => return Ok(()),
            _ => "write to",
        };
        if is_of_host(origin, request.host()) || self.cors.allow(origin) {
            return Ok(());
        }
        let detail = format!(
            "a page of {origin:?} must not {does} this node, which --allow-origin would let it do"
        );
        Err(Response::problem(403, detail))
    }

    fn is_own(&self, host: &str) -> bool {
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        bare(host_name(host)) == bare(&self.own_host)
    }

    fn check_token(&self, request: &Request, need: Option<Right>) -> Result<(), Response> {
        let Some(needed) = need.filter(|_| !self.tokens.are_none()) else { return Ok(()) };
        let presented = presented(request)?;
        let detail = match presented.map(|presented| self.tokens.right(&presented)) {
            Some(Some(right)) if right >= needed => return Ok(()),
            Some(Some(right)) => {
                let (needed, right) = (needed.name(), right.name());
                let detail = format!("this needs the right {needed}, and the token has {right}");
                return Err(Response::problem(403, detail));
            }
            Some(None) => {
                "this is not the token that the node was started with, nor one in its file"
            }
            None => "this node wants the header Authorization: Bearer TOKEN",
        };
        Err(Response::problem(401, detail).with_header("WWW-Authenticate", "Bearer"))
    }

    /// Waits until this request is not allowed any more, and says why.
    pub async fn lost(&self, request: &Request) -> Response {
        let need = Routed::of(request).need;
        loop {
            match self.end(request) {
                Some(end) => end.await,
                None => std::future::pending().await,
            }
            if let Err(response) = self.check_token(request, need) {
                return response;
            }
        }
    }

    /// A future that ends when this request is not allowed any more; none if that cannot happen.
    pub fn end(&self, request: &Request) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.tokens.file()?;
        let needed = Routed::of(request).need?;
        let (tokens, presented) = (self.tokens.clone(), presented(request).ok()??);
        Some(async move { tokens.lost(presented, needed).await })
    }
}

/// The token that a request presents.
fn presented(request: &Request) -> Result<Option<TokenHash>, HttpError> {
    if let Some(token) = request.header("Authorization").and_then(bearer) {
        return Ok(Some(TokenHash::of(token)));
    }
    // A browser cannot send this header with the handshake of a WebSocket or with an event source.
    let is_live = match Routed::of(request).action() {
        Some(Action::Stream) => true,
        Some(Action::Document) => super::get_events::are_wanted(request),
        _ => false,
    };
    let token = if is_live { request.query_parameter("token")? } else { None };
    Ok(token.as_deref().map(TokenHash::of))
}

/// Whether pages of this origin come from this host.
fn is_of_host(origin: &str, host: Option<&str>) -> bool {
    origin.split_once("://").zip(host).is_some_and(|((scheme, from), host)| {
        let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let bare = |authority: &str| {
            authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
        };
        bare(from) == bare(host)
    })
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A Host without its port, and without brackets.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => split_at_first(host, b':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host_name(host);
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origins;
    use crate::http::tests::request;
    use std::net::Ipv4Addr;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn access(token: Option<&str>, listening: &[IpAddr], own_host: &str) -> Access {
        Access::new(Tokens::one(token), Cors::default(), listening, own_host)
    }

    fn status(access: &Access, text: &str) -> u16 {
        let request = request(format!("{text}\r\n"));
        let need = Routed::of(&request).need;
        let checked = access.check_names(&request).and_then(|()| access.check(&request, need));
        checked.map_or_else(|response| response.status, |()| 200)
    }

    #[test]
    fn with_a_token_only_the_open_paths_go_without() {
        let access = access(Some("s3cret"), &[LOOPBACK], "127.0.0.1");
        let table = [
            ("GET /get HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /get HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n", 200),
            ("GET /get HTTP/1.1\r\nHost: a\r\nAuthorization: bearer  s3cret\r\n", 200),
            ("GET /get HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cre\r\n", 401),
            ("GET /get HTTP/1.1\r\nHost: a\r\nAuthorization: Basic s3cret\r\n", 401),
            ("GET /get?token=s3cret HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /get?token=s3cret HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n", 200),
            ("GET /get?token=other HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n", 401),
            ("GET /log?token=s3cret HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n", 401),
            ("GET /ws?token=s3cret HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /ws?token=s3cre%74 HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /ws?token=other HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /ws HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /nothing HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /test HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /healthz HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /healthz/live HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /healthz/ready HTTP/1.1\r\nHost: a\r\n", 200),
            ("GET /healthz/other HTTP/1.1\r\nHost: a\r\n", 401),
            ("POST /test HTTP/1.1\r\nHost: a\r\n", 401),
            ("OPTIONS /test HTTP/1.1\r\nHost: a\r\n", 200),
            ("OPTIONS /get HTTP/1.1\r\nHost: a\r\n", 401),
            ("GET /get/a?token=s3cret HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n", 200),
        ];
        for (text, expected) in table {
            assert_eq!(status(&access, text), expected, "{text}");
        }
    }

    #[test]
    fn a_page_elsewhere_must_not_write() {
        let access = access(None, &[ANY], "node");
        let table = [
            ("http://node:8080", "node:8080", 200),
            ("http://NODE", "node:80", 200),
            ("https://node", "node", 200),
            ("http://evil", "node:8080", 403),
            ("http://node:8081", "node:8080", 403),
            ("http://node:8080.evil", "node:8080", 403),
            ("null", "node:8080", 403),
        ];
        for (origin, host, expected) in table {
            let head = |method| {
                format!("{method} /replace HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n")
            };
            assert_eq!(status(&access, &head("POST")), expected, "{origin} to {host}");
            assert_eq!(status(&access, &head("GET")), 200, "reading is for every origin");
        }
    }

    #[test]
    fn pages_of_allowed_origins_write_and_read_the_stream() {
        let of = |origins| Access::new(Tokens::one(None), Cors::new(origins), &[ANY], "node");
        let some = of(Origins::These(vec!["https://app.example".to_owned()]));
        let all = of(Origins::All);
        let none = access(None, &[ANY], "node");
        for (origin, at_some, at_all, at_none) in [
            ("https://app.example", 200, 200, 403),
            ("https://other.example", 403, 200, 403),
            ("http://node:8080", 200, 200, 200),
            ("null", 403, 200, 403),
        ] {
            let text =
                |start| format!("{start} HTTP/1.1\r\nHost: node:8080\r\nOrigin: {origin}\r\n");
            for write in ["POST /replace", "PATCH /get/a", "DELETE /peers/b:1", "POST /nothing"] {
                assert_eq!(status(&some, &text(write)), at_some, "{write} of {origin}");
                assert_eq!(status(&all, &text(write)), at_all, "{write} of {origin}");
                assert_eq!(status(&none, &text(write)), at_none, "{write} of {origin}");
            }
            let stream = text("GET /ws");
            assert_eq!(status(&some, &stream), at_some, "{origin}");
            assert_eq!(status(&all, &stream), at_all, "{origin}");
            assert_eq!(status(&none, &stream), 200, "any origin, unless it is said which");
            assert_eq!(status(&some, &text("GET /get")), 200, "{origin}: browsers hide the answer");
            // Under another name it may be a foreign page.
            let rebound = text("POST /replace").replace("Host: node", "Host: evil.example");
            assert_eq!(status(&all, &rebound), 403);
        }
        let no_page = "GET /ws HTTP/1.1\r\nHost: node:8080\r\n";
        assert_eq!(status(&some, no_page), 200, "a node is no page");
    }

    #[test]
    fn a_page_under_a_name_that_may_be_anybodys_is_not_served() {
        // The request of a page whose name points to this node: that name is its Host and its Origin.
        let any = access(None, &[ANY], "0.0.0.0");
        let named = access(None, &[ANY], "mesh.example");
        let loopback = access(None, &[LOOPBACK], "mesh.example");
        let with_token = access(Some("t"), &[ANY], "0.0.0.0");
        for (host, at_any, at_named, at_loopback) in [
            ("evil.example:8080", 403, 403, 403),
            ("mesh.example:8080", 403, 200, 200),
            ("mesh.example.evil.example", 403, 403, 403),
            ("192.0.2.1:8080", 200, 200, 403),
            ("192.0.2.1.evil.example", 403, 403, 403),
            ("[2001:db8::1]:8080", 200, 200, 403),
            ("localhost:8080", 200, 200, 200),
            ("127.0.0.1", 200, 200, 200),
        ] {
            for method in ["GET", "POST", "PATCH", "DELETE"] {
                let text = |authorization| {
                    format!(
                        "{method} /get HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{authorization}"
                    )
                };
                assert_eq!(status(&any, &text("")), at_any, "{method} {host}");
                assert_eq!(status(&named, &text("")), at_named, "{method} {host}");
                assert_eq!(status(&loopback, &text("")), at_loopback, "{method} {host}");
                let authorized = text("Authorization: Bearer t\r\n");
                assert_eq!(status(&with_token, &authorized), 200, "{method} {host}");
            }
            // Other clients are served under any name.
            let text = format!("POST /replace HTTP/1.1\r\nHost: {host}\r\n");
            assert_eq!(status(&any, &text), 200, "{host}");
        }
    }

    #[test]
    fn a_loopback_node_without_a_token_knows_only_loopback_names() {
        let open = access(None, &[LOOPBACK], "mesh.local");
        let with_token = access(Some("t"), &[LOOPBACK], "mesh.local");
        let beyond = access(None, &[LOOPBACK, [10, 0, 0, 1].into()], "mesh.local");
        for (host, expected) in [
            ("127.0.0.1:8080", 200),
            ("127.9.9.9", 200),
            ("localhost:8080", 200),
            ("LOCALHOST", 200),
            ("[::1]:8080", 200),
            ("[::ffff:127.0.0.1]", 200),
            ("evil.example:8080", 403),
            ("localhost.evil.example", 403),
            ("10.0.0.1", 403),
            ("[::2]", 403),
            ("mesh.local:8080", 200),
            ("Mesh.Local.", 200),
            ("mesh.local.evil.example", 403),
            ("mesh", 403),
        ] {
            let text = format!("GET /test HTTP/1.1\r\nHost: {host}\r\n");
            assert_eq!(status(&open, &text), expected, "{host}");
            assert_eq!(status(&with_token, &text), 200, "{host} with a token");
            assert_eq!(status(&beyond, &text), 200, "{host} beyond loopback");
        }
    }
}
