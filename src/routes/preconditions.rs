//! Conditional requests (RFC 9110, section 13): `If-Match` and `If-None-Match`, alike on reads and writes.
//!
//! The condition is on what the request names: of a read that is what it would get, of a write what it
//! would change. There are no dates to compare, since nothing here has a `Last-Modified`.

use crate::http::{Request, Response};

/// What a request demands of the thing that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: it must be one of these.
    one_of: Option<Tags>,
    /// `If-None-Match`: it must be none of these.
    none_of: Option<Tags>,
}

/// The value of such a header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: any, if there is something at all.
    Any,
    /// These. What is no entity tag is left out, and so is like nothing.
    Listed(Vec<Tag>),
}

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// What stands between the quotation marks.
    opaque: String,
}

/// What comes of preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They hold: the request is carried out.
    Holds,
    /// The one that reads has it already: 304.
    NotModified,
    /// They do not hold, this header does not: 412.
    Fails(&'static str),
}

impl Preconditions {
    /// The preconditions of a request; none if it has no such header.
    pub fn of(request: &Request) -> Option<Self> {
        let tags = |name| {
            let mut values = request.header_values(name).peekable();
            values.peek().is_some().then(|| Tags::parse(values))
        };
        let (one_of, none_of) = (tags("If-Match"), tags("If-None-Match"));
        (one_of.is_some() || none_of.is_some()).then_some(Self { one_of, none_of })
    }

    /// Compares them with the entity tag of what there is, if there is something, in the order of
    /// RFC 9110, 13.2.2. `If-Match` compares strongly, `If-None-Match` weakly.
    ///
    /// Our own tags are never weak. What there is can be without one: then `tag` is empty.
    pub fn verdict(&self, is_read: bool, tag: Option<&str>) -> Verdict {
        let has = |tags: &Tags, weakly: bool| match (tags, tag) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::Listed(tags), Some(tag)) => {
                let mut like = tags.iter().filter(|tag| weakly || !tag.is_weak);
                !tag.is_empty() && like.any(|listed| listed.opaque == tag)
            }
        };
        if self.one_of.as_ref().is_some_and(|tags| !has(tags, false)) {
            Verdict::Fails("If-Match")
        } else if self.none_of.as_ref().is_none_or(|tags| !has(tags, true)) {
            Verdict::Holds
        } else if is_read {
            Verdict::NotModified
        } else {
            Verdict::Fails("If-None-Match")
        }
    }
}

impl Tags {
    fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut tags = Vec::new();
        for mut rest in values {
            loop {
                rest = rest.trim_start_matches([' ', '\t', ',']);
                if rest.is_empty() {
                    break;
                }
                let (tag, is_weak) = match rest.strip_prefix("W/") {
                    Some(tag) => (tag, true),
                    None => (rest, false),
                };
                let quoted = tag.strip_prefix('"').and_then(|tag| tag.split_once('"'));
                rest = match quoted {
                    Some((opaque, after)) => {
                        tags.push(Tag { is_weak, opaque: opaque.to_owned() });
                        after
                    }
                    None => {
                        let (element, after) = rest.split_once(',').unwrap_or((rest, ""));
                        if element.trim() == "*" {
                            return Self::Any;
                        }
                        after
                    }
                };
            }
        }
        Self::Listed(tags)
    }
}

/// The answer to a read, as its preconditions want it. They count only if it would be a success without
/// them (RFC 9110, 13.2.1).
pub fn answer_to_read(request: &Request, response: Response) -> Response {
    if !matches!(response.status, 200..=299) {
        return response;
    }
    let Some(preconditions) = Preconditions::of(request) else { return response };
    let etag = response.header("ETag");
    let tag = etag.map_or("", |etag| etag.trim_matches('"'));
    match preconditions.verdict(true, Some(tag)) {
        Verdict::Holds => response,
        Verdict::NotModified => not_modified(response),
        Verdict::Fails(header) => {
            let detail = match etag {
                Some(etag) => format!("{header} does not hold: the ETag is {etag} now"),
                None => format!("{header} does not hold: there is no ETag"),
            };
            let mut refusal = Response::problem(412, detail);
            let is_of_success = |name| matches!(name, "Content-Type" | "Cache-Control");
            let others = response.headers.into_iter().filter(|(name, _)| !is_of_success(*name));
            refusal.headers.extend(others);
            refusal
        }
    }
}

/// The answer 304 in place of a success.
pub fn not_modified(mut response: Response) -> Response {
    response.status = 304;
    response.headers.retain(|(name, _)| *name != "Content-Type");
    response.body = "".into();
    response
}

/// The answer to a write whose preconditions do not hold of what has this entity tag, or is not there.
pub fn answer_to_write(header: &str, tag: Option<&str>) -> Response {
    let Some(tag) = tag else {
        let detail = format!("{header} does not hold: there is nothing; nothing was changed");
        return Response::problem(412, detail);
    };
    let etag = format!("\"{tag}\"");
    let detail = format!("{header} does not hold: the ETag is {etag} now; nothing was changed");
    Response::problem(412, detail).with_header("ETag", etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    fn preconditions(headers: &str) -> Option<Preconditions> {
        Preconditions::of(&request(format!("GET /get HTTP/1.1\r\nHost: a\r\n{headers}\r\n")))
    }

    #[test]
    fn the_order_is_that_of_rfc_9110() {
        use Verdict::{Fails, Holds, NotModified};
        let (no_match, a_match) = (Fails("If-Match"), Fails("If-None-Match"));
        // What there is has the tag "a"; then what comes of a read and of a write, and of a write if
        // there is nothing.
        let table = [
            ("If-Match: \"a\"\r\n", Holds, Holds, no_match),
            ("If-Match: \"b\"\r\n", no_match, no_match, no_match),
            ("If-Match: *\r\n", Holds, Holds, no_match),
            ("If-Match: W/\"a\"\r\n", no_match, no_match, no_match),
            ("If-Match: \"b\" , \"a\"\r\n", Holds, Holds, no_match),
            ("If-Match: \"b\"\r\nIf-Match: \"a\"\r\n", Holds, Holds, no_match),
            ("If-Match: \"b,\"a\",c\"\r\n", no_match, no_match, no_match),
            ("If-Match: a\r\n", no_match, no_match, no_match),
            ("If-Match: a, \"a\"\r\n", Holds, Holds, no_match),
            ("If-Match:\r\n", no_match, no_match, no_match),
            ("If-None-Match: \"a\"\r\n", NotModified, a_match, Holds),
            ("If-None-Match: W/\"a\"\r\n", NotModified, a_match, Holds),
            ("If-None-Match: \"b\", W/\"a\"\r\n", NotModified, a_match, Holds),
            ("If-None-Match: \"b\"\r\n", Holds, Holds, Holds),
            ("If-None-Match: *\r\n", NotModified, a_match, Holds),
            ("If-None-Match: a\r\n", Holds, Holds, Holds),
            ("If-None-Match: \"*\"\r\n", Holds, Holds, Holds),
            ("If-None-Match:\r\n", Holds, Holds, Holds),
            ("If-Match: \"a\"\r\nIf-None-Match: \"a\"\r\n", NotModified, a_match, no_match),
            ("If-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n", Holds, Holds, no_match),
            ("If-None-Match: \"a\"\r\nIf-Match: \"b\"\r\n", no_match, no_match, no_match),
            ("If-Match: *\r\nIf-None-Match: *\r\n", NotModified, a_match, no_match),
        ];
        for (headers, read, write, of_nothing) in table {
            let preconditions = preconditions(headers).expect("there are some");
            assert_eq!(preconditions.verdict(true, Some("a")), read, "{headers}");
            assert_eq!(preconditions.verdict(false, Some("a")), write, "{headers}");
            assert_eq!(preconditions.verdict(false, None), of_nothing, "{headers}");
        }
        assert_eq!(preconditions(""), None);
    }

    #[test]
    fn a_read_without_success_is_answered_as_it_is() {
        let asked = request("GET /get HTTP/1.1\r\nHost: a\r\nIf-Match: \"b\"\r\n\r\n");
        let answer = |status| answer_to_read(&asked, Response::new(status)).status;
        assert_eq!((answer(200), answer(204), answer(404), answer(302)), (412, 412, 404, 302));
    }

    #[test]
    fn what_has_no_tag_is_there_all_the_same() {
        for (header, expected) in [
            ("If-Match: *", 200),
            ("If-Match: \"\"", 412),
            ("If-None-Match: *", 304),
            ("If-None-Match: \"\"", 200),
        ] {
            let text = format!("GET /vclock HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
            let answer = answer_to_read(&request(text), Response::new(200));
            assert_eq!(answer.status, expected, "{header}");
        }
    }
}
