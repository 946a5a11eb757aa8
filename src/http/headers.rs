//! The headers of an answer.

use std::borrow::Cow;

/// How many bytes the headers of most answers have at most.
const USUAL_BYTES: usize = 192;

/// The headers of an answer in the order in which they are sent. They are kept as the lines that are sent, since most
/// are never looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Each with its line end.
    lines: String,
}

impl Headers {
    /// Adds a header. Control characters in the value (a CR LF above all) become spaces, so that a text from outside
    /// cannot begin another header.
    pub fn add(&mut self, name: &'static str, value: &str) {
        self.push(name, &without_controls(value));
    }

    /// Adds a header whose value is a number, behind a text of the program's own.
    pub fn add_number(&mut self, name: &'static str, prefix: &str, number: u64) {
        self.begin_line(name);
        self.lines.push_str(prefix);
        self.lines.push_str(itoa::Buffer::new().format(number));
        self.lines.push_str("\r\n");
    }

    /// Pushes a line with a value that has no control characters.
    fn push(&mut self, name: &str, value: &str) {
        self.begin_line(name);
        self.lines.push_str(value);
        self.lines.push_str("\r\n");
    }

    /// Begins a line, whose name is that of another header here or in the program's text.
    fn begin_line(&mut self, name: &str) {
        if self.lines.is_empty() {
            self.lines.reserve(USUAL_BYTES);
        }
        self.lines.push_str(name);
        self.lines.push_str(": ");
    }

    /// The value of the first header of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All of them, name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.lines().filter_map(|line| line.split_once(": "))
    }

    /// Changes the value of the header of that name, if there is one.
    pub fn replace(&mut self, name: &str, value: &str) {
        let (mut changed, value) = (Self::default(), without_controls(value));
        for (found, old) in self.iter() {
            changed.push(found, if found == name { &value } else { old });
        }
        *self = changed;
    }

    /// Removes those whose names are not kept.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let mut kept = Self::default();
        self.iter()
            .filter(|(name, _)| is_kept(name))
            .for_each(|(name, value)| kept.push(name, value));
        *self = kept;
    }

    /// Adds others.
    pub fn extend(&mut self, others: &Self) {
        self.lines.push_str(&others.lines);
    }

    /// The lines, each with its line end.
    pub(super) fn lines(&self) -> &str {
        &self.lines
    }
}

/// A text with spaces for its control characters, of which most have none.
fn without_controls(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte >= b' ' && byte != 0x7f) {
        return text.into();
    }
    let is_control = |character: char| character.is_ascii_control() && character != '\t';
    text.replace(is_control, " ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_that_can_be_changed() {
        let mut headers = Headers::default();
        headers.add("ETag", "\"a: b\"");
        headers.add("Empty", "");
        headers.add_number("Length", "", 7);
        headers.add_number("Id", "a.", u64::MAX);
        let lines = "ETag: \"a: b\"\r\nEmpty: \r\nLength: 7\r\nId: a.18446744073709551615\r\n";
        assert_eq!(headers.lines(), lines);
        assert_eq!((headers.get("etag"), headers.get("Empty")), (Some("\"a: b\""), Some("")));
        headers.replace("ETag", "c");
        headers.replace("Other", "c");
        headers.retain(|name| !["Empty", "Id"].contains(&name));
        let mut others = Headers::default();
        others.add("Vary", "d");
        headers.extend(&others);
        assert!(headers.iter().eq([("ETag", "c"), ("Length", "7"), ("Vary", "d")]));
    }

    #[test]
    fn a_value_cannot_begin_a_header_of_its_own() {
        let mut headers = Headers::default();
        headers.add("Location", "/й\r\nSet-Cookie: b\0\tc\x7f");
        assert_eq!(headers.lines(), "Location: /й  Set-Cookie: b \tc \r\n");
    }
}
