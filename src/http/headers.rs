//! The headers of an answer.

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
        self.push(name, |line| line.push_str(value));
    }

    /// The same with the value that `append` appends to its argument.
    pub fn add_with(&mut self, name: &'static str, append: impl FnOnce(&mut String)) {
        self.push(name, append);
    }

    /// Pushes a line, whose name is that of another header here or in the program's text.
    fn push(&mut self, name: &str, append: impl FnOnce(&mut String)) {
        if self.lines.is_empty() {
            self.lines.reserve(USUAL_BYTES);
        }
        self.lines.push_str(name);
        self.lines.push_str(": ");
        let begin = self.lines.len();
        append(&mut self.lines);
        self.blank_controls(begin);
        self.lines.push_str("\r\n");
    }

    /// Makes spaces of the control characters behind `begin`.
    fn blank_controls(&mut self, begin: usize) {
        let is_control = |byte: u8| byte.is_ascii_control() & (byte != b'\t');
        // Most values have none, so all bytes are looked at together.
        if self.lines.as_bytes()[begin..].iter().fold(false, |any, byte| any | is_control(*byte)) {
            let is_control = |character: char| character.is_ascii_control() && character != '\t';
            let value = self.lines.split_off(begin);
            self.lines.push_str(&value.replace(is_control, " "));
        }
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
        let mut changed = Self::default();
        for (found, old) in self.iter() {
            changed.push(found, |line| line.push_str(if found == name { value } else { old }));
        }
        *self = changed;
    }

    /// Removes those whose names are not kept.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let mut kept = Self::default();
        self.iter()
            .filter(|(name, _)| is_kept(name))
            .for_each(|(name, value)| kept.push(name, |line| line.push_str(value)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_that_can_be_changed() {
        let mut headers = Headers::default();
        headers.add("ETag", "\"a: b\"");
        headers.add("Empty", "");
        headers.add_with("Length", |line| line.push('7'));
        assert_eq!(headers.lines(), "ETag: \"a: b\"\r\nEmpty: \r\nLength: 7\r\n");
        assert_eq!((headers.get("etag"), headers.get("Empty")), (Some("\"a: b\""), Some("")));
        headers.replace("ETag", "c");
        headers.replace("Other", "c");
        headers.retain(|name| name != "Empty");
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
