//! The form of an answer: JSON in one line or on many lines (`?pretty`), compressed by gzip or not. Each form
//! of a part has its own entity tag, made of the hash of the plain text: `"HASH"`, `"HASH-p"`, `"HASH-z"`,
//! `"HASH-p-z"`.

use super::bad_request;
use crate::http::{Body, Gzips, HttpVersion, Pretty, Request, Response, is_gzip_wanted};

/// A smaller body is not compressed: it fits into one packet anyway.
const LEAST_BYTES: u64 = 1024;

const PRETTY: &str = "-p";
const GZIP: &str = "-z";

/// The form of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub is_pretty: bool,
    pub is_gzip: bool,
}

impl Form {
    /// The form that a request wants.
    ///
    /// # Errors
    /// 400 if that is malformed.
    pub fn of(request: &Request) -> Result<Self, Response> {
        let is_pretty = match request.query_parameter("pretty")?.as_deref() {
            None | Some("0" | "false") => false,
            Some("" | "1" | "true") => true,
            Some(other) => {
                return Err(bad_request(format!(
                    "the query parameter pretty is {other:?}, not true or false"
                )));
            }
        };
        // In HTTP/1.0 a compressed body that broke off would look complete.
        let is_gzip = request.version() == HttpVersion::Http11 && is_gzip_wanted(request);
        Ok(Self { is_pretty, is_gzip })
    }

    /// Whether a client that wants this form can read the form `other`.
    pub fn includes(self, other: Self) -> bool {
        other.is_pretty == self.is_pretty && other.is_gzip <= self.is_gzip
    }

    /// This form, as far as the answer can have it.
    fn fit(self, response: &Response) -> Self {
        if self == Self::default() {
            return self;
        }
        let content_type = response.header("Content-Type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default();
        let is_json = matches!(media_type, "application/json" | "application/problem+json");
        let is_text = is_json
            || matches!(
                media_type,
                "application/x-ndjson" | "text/html" | "text/plain" | "text/javascript"
            );
        Self {
            is_pretty: self.is_pretty && is_json,
            is_gzip: self.is_gzip && is_text && response.body.length() >= LEAST_BYTES,
        }
    }

    /// The hash in an entity tag, with or without its quotation marks, and the form that it stands for.
    pub fn of_tag(tag: &str) -> (&str, Self) {
        let tag = tag.trim_matches('"');
        let (tag, is_gzip) = tag.strip_suffix(GZIP).map_or((tag, false), |rest| (rest, true));
        let (hash, is_pretty) = tag.strip_suffix(PRETTY).map_or((tag, false), |rest| (rest, true));
        (hash, Self { is_pretty, is_gzip })
    }

    /// The entity tag of this form of a text with this hash.
    pub fn tag(self, hash: &str) -> String {
        let suffix = |is_there, suffix| if is_there { suffix } else { "" };
        format!("\"{hash}{}{}\"", suffix(self.is_pretty, PRETTY), suffix(self.is_gzip, GZIP))
    }

    /// Sets the ETag of an answer, which is that of the plain text, to that of the form that the answer will
    /// have.
    pub fn name(self, mut response: Response) -> Response {
        let form = self.fit(&response);
        if form != Self::default() {
            set_form(&mut response, form);
        }
        response
    }

    /// Gives an answer this form, as far as it can have it. If `is_head`, its body is not sent.
    pub fn give(self, mut response: Response, is_head: bool, gzips: &Gzips) -> Response {
        if response.status == 304 {
            response.headers.retain(|name| name != "Content-Type");
            response.body = "".into();
        }
        let form = self.fit(&response);
        if form == Self::default() {
            return response;
        }
        let gzip = if form.is_gzip { gzips.begin() } else { None };
        if form.is_gzip && gzip.is_none() {
            set_form(&mut response, Self { is_gzip: false, ..form });
        }
        if gzip.is_some() {
            response.headers.add("Content-Encoding", "gzip");
        }
        let mut body = std::mem::replace(&mut response.body, Body::Static(b""));
        if is_head {
            // Its length is not worth the work.
            body = Body::Stream;
        } else {
            if form.is_pretty {
                body = body.through(Pretty::default());
            }
            if let Some(gzip) = gzip {
                body = body.through(gzip);
            }
        }
        response.body = body;
        response
    }
}

/// Changes the ETag, if there is one, to that of another form.
fn set_form(response: &mut Response, form: Form) {
    if let Some(tag) = response.header("ETag") {
        let tag = form.tag(Form::of_tag(tag).0);
        response.headers.replace("ETag", &tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    const FORMS: [(bool, bool, &str); 4] =
        [(false, false, ""), (true, false, "-p"), (false, true, "-z"), (true, true, "-p-z")];

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        for (is_pretty, is_gzip, suffix) in FORMS {
            let form = Form { is_pretty, is_gzip };
            assert_eq!(form.tag("0a"), format!("\"0a{suffix}\""));
            assert_eq!(Form::of_tag(&format!("0a{suffix}")), ("0a", form));
        }
        assert_eq!(Form::of_tag("0a-z-p"), ("0a-z", Form { is_pretty: true, is_gzip: false }));
    }

    #[test]
    fn a_request_says_which_form_it_wants() {
        let form = |target: &str, version: &str, coding: &str| {
            let text = format!(
                "GET {target} HTTP/{version}\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"
            );
            Form::of(&request(text)).map(|form| (form.is_pretty, form.is_gzip))
        };
        for (query, expected) in [
            ("", false),
            ("?pretty", true),
            ("?pretty=", true),
            ("?pretty=true", true),
            ("?a&pretty=1", true),
            ("?pretty=false", false),
            ("?pretty=0", false),
        ] {
            let target = format!("/get{query}");
            assert_eq!(form(&target, "1.1", "gzip").unwrap(), (expected, true), "{query}");
            assert_eq!(form(&target, "1.0", "gzip").unwrap(), (expected, false), "{query}");
            assert_eq!(form(&target, "1.1", "br").unwrap(), (expected, false), "{query}");
        }
        assert_eq!(form("/get?pretty=yes", "1.1", "").unwrap_err().status, 400);
    }

    #[test]
    fn an_answer_has_the_form_that_it_can_have() {
        let text = "1".repeat(2000);
        let answer = |content_type, length: usize| {
            let response = Response::new(200).with_header("ETag", "\"0a\"");
            response.with_body(content_type, text[..length].to_owned())
        };
        let json = "application/json";
        for (is_pretty, is_gzip, suffix) in FORMS {
            let form = Form { is_pretty, is_gzip };
            for (content_type, length, can_be_pretty, can_be_gzip) in [
                (json, 2000, true, true),
                (json, 1023, true, false),
                (json, 1024, true, true),
                ("text/html; charset=utf-8", 2000, false, true),
                ("application/x-ndjson", 2000, false, true),
                ("text/event-stream", 2000, false, false),
            ] {
                let given =
                    form.give(form.name(answer(content_type, length)), false, &Gzips::default());
                let is_gzip = is_gzip && can_be_gzip;
                assert_eq!(given.header("Content-Encoding").is_some(), is_gzip, "{content_type}");
                let expected = Form { is_pretty: is_pretty && can_be_pretty, is_gzip }.tag("0a");
                assert_eq!(given.header("ETag"), Some(&*expected), "{content_type} {suffix}");
                assert_eq!(given.body.at_hand().starts_with(b"1"), !is_gzip);
            }
        }
        // With too many compressions under way the answer is not compressed, and its ETag says so.
        let gzips = Gzips::default();
        let all: Vec<_> = std::iter::from_fn(|| gzips.begin()).collect();
        let form = Form { is_pretty: false, is_gzip: true };
        let given = form.give(form.name(answer(json, 2000)), false, &gzips);
        assert_eq!(
            (given.header("ETag"), given.header("Content-Encoding")),
            (Some("\"0a\""), None)
        );
        drop(all);
        let head = form.give(form.name(answer(json, 2000)), true, &gzips);
        assert_eq!((head.header("ETag"), head.body.has_length()), (Some("\"0a-z\""), false));
        let mut known = form.name(answer(json, 2000));
        known.status = 304;
        let known = form.give(known, false, &gzips);
        assert_eq!((known.header("ETag"), known.header("Content-Type")), (Some("\"0a-z\""), None));
        assert_eq!(known.header("Content-Encoding"), None);
    }
}
