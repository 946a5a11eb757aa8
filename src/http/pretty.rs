//! JSON for people: each member and each element has a line, and each level is indented by two more spaces.

use super::filter::Filter;

const INDENTATION: &[u8] = b"  ";

/// Lays out a JSON text, and ends it with a line feed.
#[derive(Debug, Default)]
pub struct Pretty {
    depth: usize,
    /// Whether the last byte has opened an array or object, which may be empty.
    is_opened: bool,
    in_string: bool,
    is_escaped: bool,
}

impl Filter for Pretty {
    fn push(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            let taken = if self.in_string {
                self.string(input, output)
            } else {
                self.byte(input[0], output);
                1
            };
            input = &input[taken..];
        }
    }

    fn finish(&mut self, output: &mut Vec<u8>) {
        output.push(b'\n');
    }
}

impl Pretty {
    /// Takes a part of a string, up to its end or the next escape. Returns the length of that part.
    fn string(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let taken = if self.is_escaped {
            self.is_escaped = false;
            1
        } else {
            match memchr::memchr2(b'"', b'\\', input) {
                Some(at) => {
                    self.is_escaped = input[at] == b'\\';
                    self.in_string = self.is_escaped;
                    at + 1
                }
                None => input.len(),
            }
        };
        output.extend_from_slice(&input[..taken]);
        taken
    }

    fn byte(&mut self, byte: u8, output: &mut Vec<u8>) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if !std::mem::take(&mut self.is_opened) {
                    self.line(output);
                }
            }
            _ if std::mem::take(&mut self.is_opened) => self.line(output),
            _ => {}
        }
        output.push(byte);
        match byte {
            b'{' | b'[' => (self.depth, self.is_opened) = (self.depth + 1, true),
            b',' => self.line(output),
            b':' => output.push(b' '),
            b'"' => self.in_string = true,
            _ => {}
        }
    }

    fn line(&self, output: &mut Vec<u8>) {
        output.push(b'\n');
        (0..self.depth).for_each(|_| output.extend_from_slice(INDENTATION));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::super::filter::tests::bytes_of;
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn it_is_laid_out_as_by_serde_json() {
        let deep = (0..120).fold(json!([1, {}]), |inner, _| json!([inner, "a"]));
        for value in [
            json!({}),
            json!([]),
            json!(-1.5e300),
            json!("a, [\"b\\\"]: {"),
            json!({"a": [], "": {"b": [{}, [], [1, 2]]}, "\\\"\u{e4}": null}),
            json!([[[1, true], false]]),
            json!((0..30_000).collect::<Vec<_>>()),
            deep,
        ] {
            let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
            let line = value.to_string() + "\n";
            let pretty = bytes_of(Body::from(line.clone()).through(Pretty::default())).unwrap();
            assert!(pretty == expected.as_bytes(), "{}", String::from_utf8_lossy(&pretty));
            let again: Value = serde_json::from_slice(&pretty).unwrap();
            assert_eq!(again, value);
            let mut by_bytes = Vec::new();
            let mut filter = Pretty::default();
            line.bytes().for_each(|byte| filter.push(&[byte], &mut by_bytes));
            filter.finish(&mut by_bytes);
            assert!(by_bytes == pretty, "it does not depend on how the text is cut");
        }
    }
}
