//! The routes, in one table: it says which methods and parameters a path takes, and who may use it. The answers
//! to `OPTIONS` and 404 are made from it. `docs/openapi.json` describes the same, as a test checks.

use std::borrow::Cow;

use super::bad_request;
use crate::http::{Request, Response};
use crate::tokens::Right;

/// A path, and what its methods do.
pub struct Route {
    /// The path as OpenAPI writes it. A parameter in braces is at the end, and may contain slashes.
    pub path: &'static str,
    /// One for each method. `HEAD` is allowed wherever `GET` is, and `OPTIONS` everywhere.
    pub operations: &'static [RouteOperation],
}

/// What a method does at a path.
pub struct RouteOperation {
    pub method: &'static str,
    pub action: Action,
    /// The right that a token must have; none if no token is needed, since nothing secret is shown.
    pub need: Option<Right>,
    pub parameters: Parameters,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Home,
    Page,
    Client,
    Description,
    Document,
    Write,
    Clock,
    Stream,
    Log,
    History,
    Transaction,
    Conflicts,
    Peers,
    Mesh,
    AddPeer,
    RemovePeer,
    Promote,
    Metrics,
    Health,
}

/// Which query parameters are accepted.
#[derive(Clone, Copy, Debug)]
pub enum Parameters {
    /// Any: unknown ones do no harm, or later versions may send more.
    Any,
    /// Only these, each once. With an unknown one the client means something that would not be done.
    Only(&'static [&'static str]),
}

const fn get(action: Action, need: Option<Right>, parameters: Parameters) -> RouteOperation {
    RouteOperation { method: "GET", action, need, parameters }
}

const fn post(action: Action, need: Option<Right>, parameters: Parameters) -> RouteOperation {
    RouteOperation { method: "POST", action, need, parameters }
}

const ANY: Parameters = Parameters::Any;
const PLAIN: Parameters = Parameters::Only(&["pretty"]);
const DOCUMENT: Parameters = Parameters::Only(&[
    "at",
    "after",
    "seen",
    "source",
    "id",
    "wait",
    "pretty",
    "last-event-id",
    "token",
]);
const WRITE: Parameters = Parameters::Only(&["wait", "timeout", "pretty"]);
/// For lists that always have a line for each element.
const LINES: Parameters = Parameters::Only(&["from", "limit"]);
const CONFLICTS: Parameters = Parameters::Only(&["from", "limit", "because", "pretty"]);

const DOCUMENT_OPERATIONS: &[RouteOperation] = &[
    get(Action::Document, Some(Right::Read), DOCUMENT),
    RouteOperation {
        method: "PATCH",
        action: Action::Write,
        need: Some(Right::Write),
        parameters: WRITE,
    },
];

/// All routes.
pub const ROUTES: &[Route] = &[
    Route { path: "/", operations: &[get(Action::Home, None, ANY)] },
    Route { path: "/test", operations: &[get(Action::Page, None, ANY)] },
    Route { path: "/client.js", operations: &[get(Action::Client, None, ANY)] },
    Route { path: "/openapi.json", operations: &[get(Action::Description, None, PLAIN)] },
    Route { path: "/get", operations: DOCUMENT_OPERATIONS },
    Route { path: "/get/{pointer}", operations: DOCUMENT_OPERATIONS },
    Route { path: "/replace", operations: &[post(Action::Write, Some(Right::Write), WRITE)] },
    Route { path: "/post", operations: &[post(Action::Write, Some(Right::Write), WRITE)] },
    Route { path: "/vclock", operations: &[get(Action::Clock, Some(Right::Read), PLAIN)] },
    Route { path: "/ws", operations: &[get(Action::Stream, Some(Right::Peer), ANY)] },
    Route { path: "/log", operations: &[get(Action::Log, Some(Right::Read), LINES)] },
    Route { path: "/history", operations: &[get(Action::History, Some(Right::Read), LINES)] },
    Route {
        path: "/transaction",
        operations: &[get(
            Action::Transaction,
            Some(Right::Read),
            Parameters::Only(&["source", "id", "because", "pretty"]),
        )],
    },
    Route {
        path: "/conflicts",
        operations: &[get(Action::Conflicts, Some(Right::Read), CONFLICTS)],
    },
    Route {
        path: "/peers",
        operations: &[
            get(Action::Peers, Some(Right::Read), PLAIN),
            post(Action::AddPeer, Some(Right::Peer), PLAIN),
        ],
    },
    Route {
        path: "/peers/{address}",
        operations: &[RouteOperation {
            method: "DELETE",
            action: Action::RemovePeer,
            need: Some(Right::Peer),
            parameters: PLAIN,
        }],
    },
    Route { path: "/mesh", operations: &[get(Action::Mesh, Some(Right::Read), PLAIN)] },
    Route { path: "/primary", operations: &[post(Action::Promote, Some(Right::Peer), PLAIN)] },
    Route { path: "/metrics", operations: &[get(Action::Metrics, Some(Right::Read), ANY)] },
    Route { path: "/healthz", operations: &[get(Action::Health, None, ANY)] },
    Route { path: "/healthz/live", operations: &[get(Action::Health, None, ANY)] },
    Route { path: "/healthz/ready", operations: &[get(Action::Health, None, ANY)] },
];

impl Route {
    /// The route of a path, and the value of its parameter with the slash before it; empty if there is no
    /// parameter.
    fn find(path: &str) -> Option<(&'static Self, &str)> {
        ROUTES.iter().find_map(|route| {
            if !route.path.ends_with('}') {
                return (path == route.path).then_some((route, ""));
            }
            let begin = route.path.bytes().position(|byte| byte == b'{')?;
            let rest = path.strip_prefix(&route.path[..begin - 1]);
            let rest = rest.filter(|rest| rest.starts_with('/'))?;
            Some((route, rest))
        })
    }

    /// The operation of a method.
    fn operation(&self, method: &str) -> Option<&'static RouteOperation> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.operations.iter().find(|operation| operation.method == method)
    }

    /// The right that `OPTIONS` needs. No route is without operations.
    fn least_need(&self) -> Option<Right> {
        self.operations.iter().map(|operation| operation.need).min().unwrap_or(Some(Right::Peer))
    }

    /// The methods as `Allow` lists them.
    pub fn methods(&self) -> String {
        methods(self.operations.iter())
    }
}

/// The methods of the whole node, as `OPTIONS *` lists them.
pub fn all_methods() -> String {
    methods(ROUTES.iter().flat_map(|route| route.operations))
}

fn methods<'a>(operations: impl Iterator<Item = &'a RouteOperation>) -> String {
    let mut methods = Vec::new();
    for operation in operations {
        if !methods.contains(&operation.method) {
            methods.push(operation.method);
            methods.extend((operation.method == "GET").then_some("HEAD"));
        }
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// What a request asks for, looked up in the table once.
#[derive(Clone, Copy)]
pub struct Routed<'a> {
    /// The route of its path; none if there is no such path.
    pub route: Option<&'static Route>,
    /// The value of the parameter in its path.
    pub rest: &'a str,
    /// The operation of its method; none if the route does not take the method.
    pub operation: Option<&'static RouteOperation>,
    /// The right that it needs, even if there is no such path or operation; none if it needs no token.
    pub need: Option<Right>,
}

impl<'a> Routed<'a> {
    /// What `request` asks for.
    pub fn of(request: &'a Request) -> Self {
        Self::find(request.method(), request.path())
    }

    /// What a request with that method to that path asks for.
    pub fn find(method: &str, path: &'a str) -> Self {
        let Some((route, rest)) = Route::find(path) else {
            return Self { route: None, rest: "", operation: None, need: Some(Right::Read) };
        };
        let operation = route.operation(method);
        let need = match operation {
            Some(operation) => operation.need,
            None if method == "OPTIONS" => route.least_need(),
            None => Some(Right::Read),
        };
        Self { route: Some(route), rest, operation, need }
    }

    /// The action; none if there is no operation.
    pub fn action(self) -> Option<Action> {
        self.operation.map(|operation| operation.action)
    }
}

/// The answer to a request for a path that does not exist.
pub fn not_found(path: &str) -> Response {
    let single = ROUTES.iter().map(|route| route.path);
    let paths: Vec<_> = single.filter(|path| *path != "/" && !path.contains('{')).collect();
    Response::problem(404, format!("there is no {path:?}; there are {}", paths.join(", ")))
}

impl Parameters {
    /// Refuses unknown and repeated parameters.
    pub fn check(self, request: &Request) -> Result<(), Response> {
        let Self::Only(known) = self else { return Ok(()) };
        if request.query().is_none() {
            return Ok(());
        }
        let mut seen: Vec<Cow<'_, str>> = Vec::new();
        for name in request.query_names() {
            let name = name?;
            if !known.contains(&&*name) {
                let known = known.join(", ");
                return Err(bad_request(format!(
                    "there is no query parameter {name:?} here, only {known}"
                )));
            }
            if seen.contains(&name) {
                let detail = format!("the query parameter {name} is there twice: which is meant?");
                return Err(bad_request(detail));
            }
            seen.push(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;
    use serde_json::{Value, json};

    #[test]
    fn a_path_has_one_route() {
        for (path, expected) in [
            ("/", Some(("/", ""))),
            ("/get", Some(("/get", ""))),
            ("/get/", Some(("/get/{pointer}", "/"))),
            ("/get/a/0", Some(("/get/{pointer}", "/a/0"))),
            ("/getter", None),
            ("/peers/b:1/mesh/ws", Some(("/peers/{address}", "/b:1/mesh/ws"))),
            ("/healthz/live", Some(("/healthz/live", ""))),
            ("/healthz/other", None),
            ("/Get", None),
            ("*", None),
            ("", None),
        ] {
            let found = Route::find(path).map(|(route, rest)| (route.path, rest));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn each_path_says_its_methods_and_who_may_use_them() {
        for (path, expected) in [
            ("/get", "GET, HEAD, PATCH, OPTIONS"),
            ("/peers", "GET, HEAD, POST, OPTIONS"),
            ("/peers/b:1", "DELETE, OPTIONS"),
            ("/replace", "POST, OPTIONS"),
        ] {
            assert_eq!(Route::find(path).unwrap().0.methods(), expected, "{path}");
        }
        assert_eq!(all_methods(), "GET, HEAD, PATCH, POST, DELETE, OPTIONS");
        for (method, path, expected) in [
            ("GET", "/get/a", Some(Right::Read)),
            ("HEAD", "/get", Some(Right::Read)),
            ("PATCH", "/get/a", Some(Right::Write)),
            ("POST", "/replace", Some(Right::Write)),
            ("GET", "/ws", Some(Right::Peer)),
            ("GET", "/peers", Some(Right::Read)),
            ("POST", "/peers", Some(Right::Peer)),
            ("DELETE", "/peers/a:1", Some(Right::Peer)),
            ("POST", "/primary", Some(Right::Peer)),
            ("GET", "/healthz/live", None),
            ("OPTIONS", "/test", None),
            ("OPTIONS", "/peers", Some(Right::Read)),
            ("PUT", "/test", Some(Right::Read)),
            ("GET", "/nothing", Some(Right::Read)),
        ] {
            assert_eq!(Routed::find(method, path).need, expected, "{method} {path}");
        }
    }

    /// `docs/openapi.json` with its references resolved.
    fn resolved<'a>(file: &'a Value, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => file.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")),
            None => value,
        }
    }

    #[test]
    fn the_description_has_each_route_and_no_other() {
        let file: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
        let mut described = Vec::new();
        for (path, item) in file["paths"].as_object().unwrap() {
            let (route, _) = Route::find(path).unwrap_or_else(|| panic!("there is no {path}"));
            assert_eq!(route.path, path);
            let mut methods = Vec::new();
            for (method, operation) in item.as_object().unwrap() {
                if method == "parameters" {
                    continue;
                }
                let method = method.to_uppercase();
                let tag = operation["tags"][0].as_str();
                let is_open = operation["security"] == json!([]);
                let need = Routed::find(&method, path).need;
                if method != "OPTIONS" {
                    let right = need.map_or("open", Right::name);
                    assert_eq!(tag, Some(right), "{method} {path}");
                }
                assert_eq!(is_open, need.is_none(), "{method} {path}");
                if let Some(RouteOperation { parameters: Parameters::Only(known), .. }) =
                    route.operation(&method)
                {
                    let parameters = operation["parameters"].as_array().unwrap().iter();
                    let of_query = parameters
                        .map(|parameter| resolved(&file, parameter))
                        .filter(|parameter| parameter["in"] == "query")
                        .map(|parameter| parameter["name"].as_str().unwrap());
                    let (mut of_query, mut known) = (of_query.collect::<Vec<_>>(), known.to_vec());
                    of_query.sort_unstable();
                    known.sort_unstable();
                    assert_eq!(of_query, known, "{method} {path}");
                }
                methods.push(method);
            }
            let mut expected: Vec<_> = route.methods().split(", ").map(str::to_owned).collect();
            methods.sort_unstable();
            expected.sort_unstable();
            assert_eq!(methods, expected, "{path}");
            described.push(path.as_str());
        }
        for route in ROUTES {
            assert!(described.contains(&route.path), "{} is not described", route.path);
        }
    }

    #[test]
    fn a_query_is_understood_or_refused() {
        let check = |query: Parameters, text: &str| {
            let asked = request(format!("GET /log?{text} HTTP/1.1\r\nHost: a\r\n\r\n"));
            query.check(&asked).map_err(|response| response.status)
        };
        for (text, expected) in [
            ("", Ok(())),
            ("from=1&limit=2", Ok(())),
            ("&from=1&&", Ok(())),
            ("%66rom=1", Ok(())),
            ("from=1&from=1", Err(400)),
            ("from=1&%66rom=1", Err(400)),
            ("From=1", Err(400)),
            ("until=1", Err(400)),
            ("=1", Err(400)),
            ("%zz=1", Err(400)),
        ] {
            assert_eq!(check(CONFLICTS, text), expected, "{text}");
            assert_eq!(check(Parameters::Any, text), Ok(()), "{text}");
        }
        assert_eq!(check(PLAIN, "a"), Err(400));
    }
}
