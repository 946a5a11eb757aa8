//! Conditional requests (RFC 9110, section 13): `If-Match` and `If-None-Match`, alike on reads and writes.
//!
//! The condition is about the resource of the request: the answer of a read, the part that a write changes.
//! There are no dates to compare, since nothing here has a `Last-Modified`.

use super::form::Form;
use crate::http::{Request, Response};

/// The conditions of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: it must be one of these.
    one_of: Option<TagList>,
    /// `If-None-Match`: it must be none of these.
    none_of: Option<TagList>,
}

/// The value of a conditional header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TagList {
    /// `*`: anything that exists.
    Any,
    /// These tags. An element that is no entity tag is left out, and so matches nothing.
    Listed(Vec<Tag>),
}

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// The hash of the plain text.
    hash: String,
    form: Form,
}

/// The result of checking the preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionVerdict {
    /// They hold: the request is done.
    Holds,
    /// The reader has this already: 304.
    NotModified,
    /// This header does not hold: 412.
    Fails(&'static str),
}

impl Preconditions {
    /// The preconditions of a request; none if it has no such header.
    pub fn of(request: &Request) -> Option<Self> {
        let tags = |name| {
            let mut values = request.header_values(name).peekable();
            values.peek().is_some().then(|| TagList::parse(values))
        };
        let (one_of, none_of) = (tags("If-Match"), tags("If-None-Match"));
        (one_of.is_some() || none_of.is_some()).then_some(Self { one_of, none_of })
    }

    /// Checks them in the order of RFC 9110, 13.2.2. `hash` is that of the present text, if there is something.
    /// For a read, `reader` is the form that it wants. `If-Match` compares strongly, `If-None-Match` weakly.
    ///
    /// Our own tags are never weak. If the resource has no tag, `hash` is empty.
    ///
    /// All forms have one content, so a tag of one form stands for all. But a reader has the content only if it
    /// can read the form that it has.
    pub fn verdict(&self, reader: Option<Form>, hash: Option<&str>) -> PreconditionVerdict {
        let has = |tags: &TagList, is_like: &dyn Fn(&Tag) -> bool| match (tags, hash) {
            (_, None) => false,
            (TagList::Any, Some(_)) => true,
            (TagList::Listed(tags), Some(hash)) => {
                !hash.is_empty() && tags.iter().any(|tag| tag.hash == hash && is_like(tag))
            }
        };
        let is_read_as = |tag: &Tag| reader.is_none_or(|form| form.includes(tag.form));
        if self.one_of.as_ref().is_some_and(|tags| !has(tags, &|tag| !tag.is_weak)) {
            PreconditionVerdict::Fails("If-Match")
        } else if self.none_of.as_ref().is_none_or(|tags| !has(tags, &is_read_as)) {
            PreconditionVerdict::Holds
        } else if reader.is_some() {
            PreconditionVerdict::NotModified
        } else {
            PreconditionVerdict::Fails("If-None-Match")
        }
    }

    /// The form that a reader of this hash has already: the wanted one, if it has that.
    fn known_form(&self, wanted: Form, hash: &str) -> Option<Form> {
        let Some(TagList::Listed(tags)) = &self.none_of else { return None };
        let known = tags.iter().filter(|tag| tag.hash == hash && wanted.includes(tag.form));
        known.map(|tag| tag.form).max_by_key(|form| *form == wanted)
    }
}

impl TagList {
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
                        let (hash, form) = Form::of_tag(opaque);
                        tags.push(Tag { is_weak, hash: hash.to_owned(), form });
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

/// Applies the preconditions of a read to its answer; `wanted` is the form that it wants. They count only for
/// an answer that is a success (RFC 9110, 13.2.1).
pub fn answer_to_read(request: &Request, wanted: Form, mut response: Response) -> Response {
    if !matches!(response.status, 200..=299) {
        return response;
    }
    let Some(preconditions) = Preconditions::of(request) else { return response };
    let etag = response.header("ETag");
    let (hash, form) = Form::of_tag(etag.unwrap_or_default());
    match preconditions.verdict(Some(wanted), Some(hash)) {
        PreconditionVerdict::Holds => response,
        PreconditionVerdict::NotModified => {
            // The ETag is that of the form that the reader has.
            let known = preconditions.known_form(form, hash).map(|known| known.tag(hash));
            if let Some(tag) = known {
                response.headers.retain(|name| name != "ETag");
                response = response.with_header("ETag", tag);
            }
            not_modified(response)
        }
        PreconditionVerdict::Fails(header) => {
            let detail = match etag {
                Some(etag) => format!("{header} does not hold: the ETag is {etag} now"),
                None => format!("{header} does not hold: there is no ETag"),
            };
            let mut refusal = Response::problem(412, detail);
            response.headers.retain(|name| !matches!(name, "Content-Type" | "Cache-Control"));
            refusal.headers.extend(&response.headers);
            refusal
        }
    }
}

/// The answer 304 in place of a success. [`Form::give`] takes its body away.
pub fn not_modified(mut response: Response) -> Response {
    response.status = 304;
    response
}

/// Checks the preconditions of a write to a resource that exists and has no entity tag.
pub fn check_untagged(request: &Request) -> Result<(), Response> {
    match Preconditions::of(request).map(|preconditions| preconditions.verdict(None, Some(""))) {
        Some(PreconditionVerdict::Fails(header)) => {
            let detail = format!("{header} does not hold: there is no ETag; nothing was changed");
            Err(Response::problem(412, detail))
        }
        _ => Ok(()),
    }
}

/// The answer to a write whose preconditions do not hold for this entity tag, or for nothing.
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
        use PreconditionVerdict::{Fails, Holds, NotModified};
        let (no_match, a_match) = (Fails("If-Match"), Fails("If-None-Match"));
        // The present tag is "a". Then come the results of a read, of a write, and of a write if nothing is
        // there.
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
            assert_eq!(preconditions.verdict(Some(Form::default()), Some("a")), read, "{headers}");
            assert_eq!(preconditions.verdict(None, Some("a")), write, "{headers}");
            assert_eq!(preconditions.verdict(None, None), of_nothing, "{headers}");
        }
        assert_eq!(preconditions(""), None);
    }

    #[test]
    fn a_tag_of_any_form_is_of_the_content() {
        let forms = ["", "-p", "-z", "-p-z"];
        let form = |suffix: &str| Form::of_tag(&format!("a{suffix}")).1;
        for held in forms {
            let tag = format!("\"a{held}\"");
            let wants = preconditions(&format!("If-Match: {tag}\r\n")).unwrap();
            let refuses = preconditions(&format!("If-None-Match: \"b\", {tag}\r\n")).unwrap();
            assert_eq!(wants.verdict(None, Some("a")), PreconditionVerdict::Holds, "{held}");
            assert_eq!(
                wants.verdict(None, Some("b")),
                PreconditionVerdict::Fails("If-Match"),
                "{held}"
            );
            assert_eq!(
                refuses.verdict(None, Some("a")),
                PreconditionVerdict::Fails("If-None-Match")
            );
            for wanted in forms {
                let form = form(wanted);
                assert_eq!(wants.verdict(Some(form), Some("a")), PreconditionVerdict::Holds);
                // A client that cannot read gzip does not have its form, nor does one that wants another
                // layout.
                let is_known =
                    matches!((held, wanted), ("", "-z") | ("-p", "-p-z")) || held == wanted;
                let expected = if is_known {
                    PreconditionVerdict::NotModified
                } else {
                    PreconditionVerdict::Holds
                };
                assert_eq!(refuses.verdict(Some(form), Some("a")), expected, "{held} {wanted}");
                let known = refuses.known_form(form, "a").map(|form| form.tag("a"));
                assert_eq!(known, is_known.then_some(tag.clone()), "{held} {wanted}");
            }
        }
    }

    #[test]
    fn a_read_without_success_is_answered_as_it_is() {
        let asked = request("GET /get HTTP/1.1\r\nHost: a\r\nIf-Match: \"b\"\r\n\r\n");
        let answer = |status| answer_to_read(&asked, Form::default(), Response::new(status)).status;
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
            let answer = answer_to_read(&request(text), Form::default(), Response::new(200));
            assert_eq!(answer.status, expected, "{header}");
        }
    }
}
