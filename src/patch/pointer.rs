//! Where in a document a JSON Pointer (RFC 6901) leads.
//!
//! A pointer is followed here as text, token by token. That is faster than with jsonptr's tokens, each of
//! which may own its text, or with serde_json's `pointer`, which makes two strings of each. jsonptr's types
//! have made sure that each token begins with `/`, and that `~` is followed by 0 or 1.

use std::borrow::Cow;

use memchr::{memchr2, memrchr2};

use super::error::Reason;
use crate::document::{Value, ValueKind};

/// What was found, or why nothing was. An error is rare, so it takes little room.
pub type Lookup<T> = Result<T, Box<Reason>>;

/// The value at `pointer`.
pub fn resolve<'a>(root: &'a Value, mut pointer: &str) -> Lookup<&'a Value> {
    let mut value = root;
    while let Some((token, rest)) = Token::split_first(pointer) {
        value = match value.kind() {
            ValueKind::Object => {
                let name = token.name();
                value.member(&name).ok_or_else(|| no_member(name))?
            }
            ValueKind::Array => {
                let length = value.len();
                let index = token.index(length, length)?;
                value.element(index).ok_or_else(|| no_element(token, length))?
            }
            _ => return Err(not_a_container(value, token)),
        };
        pointer = rest;
    }
    Ok(value)
}

/// Changes the value at `pointer` by a closure.
pub fn change<R>(
    value: &mut Value,
    pointer: &str,
    change_it: impl FnOnce(&mut Value) -> Lookup<R>,
) -> Lookup<R> {
    let Some((token, rest)) = Token::split_first(pointer) else { return change_it(value) };
    match value.kind() {
        ValueKind::Object => {
            let name = token.name();
            let changed = value.change_member(&name, |member| change(member, rest, change_it));
            changed.unwrap_or_else(|| Err(no_member(name)))
        }
        ValueKind::Array => {
            let length = value.len();
            let index = token.index(length, length)?;
            let changed = value.change_element(index, |element| change(element, rest, change_it));
            changed.unwrap_or_else(|| Err(no_element(token, length)))
        }
        _ => Err(not_a_container(value, token)),
    }
}

/// A token of a pointer, as it is written there.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub text: &'a str,
    /// Whether there is a `~` in it.
    escaped: bool,
}

impl<'a> Token<'a> {
    /// The first token of a pointer and the rest of the pointer; none if it points to the whole document.
    #[inline]
    fn split_first(pointer: &'a str) -> Option<(Self, &'a str)> {
        let tokens = pointer.strip_prefix('/')?;
        let mut end = memchr2(b'/', b'~', tokens.as_bytes());
        let escaped = end.is_some_and(|end| tokens.as_bytes()[end] == b'~');
        if escaped {
            end = tokens.find('/');
        }
        let (text, rest) = tokens.split_at(end.unwrap_or(tokens.len()));
        Some((Self { text, escaped }, rest))
    }

    /// The pointer to the container in which a pointer's last token is looked up, and that token; none if it
    /// points to the whole document.
    #[inline]
    pub fn split_last(pointer: &'a str) -> Option<(&'a str, Self)> {
        let mut slash = memrchr2(b'/', b'~', pointer.as_bytes())?;
        let escaped = pointer.as_bytes()[slash] == b'~';
        if escaped {
            slash = pointer.rfind('/')?;
        }
        Some((&pointer[..slash], Self { text: &pointer[slash + 1..], escaped }))
    }

    /// The name of the member that it stands for.
    #[inline]
    pub fn name(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(self.text.replace("~1", "/").replace("~0", "~"))
        } else {
            Cow::Borrowed(self.text)
        }
    }

    /// The index that it names, below `end`, in an array of `length` elements.
    pub fn index(self, end: usize, length: usize) -> Lookup<usize> {
        let digits = self.text;
        let is_index = !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        if !is_index {
            return Err(not_an_index(self));
        }
        // Digits that do not fit into a usize name an element that no array has.
        match digits.parse() {
            Ok(index) if index < end => Ok(index),
            _ => Err(no_element(self, length)),
        }
    }
}

/// How many tokens a pointer has.
pub fn depth(pointer: &str) -> usize {
    // A byte can count 255, and the processor adds sixteen bytes at once.
    let chunks = pointer.as_bytes().chunks(255);
    chunks.map(|chunk| usize::from(chunk.iter().map(|b| u8::from(*b == b'/')).sum::<u8>())).sum()
}

/// The rest of the pointer `inner`, if it leads to the place of `outer` or into it.
pub fn below<'a>(inner: &'a str, outer: &str) -> Option<&'a str> {
    inner.strip_prefix(outer).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `inner` leads into the value at `outer`, and not to that value itself.
pub fn is_inside(inner: &str, outer: &str) -> bool {
    below(inner, outer).is_some_and(|rest| !rest.is_empty())
}

/// The pointer to the innermost container around two places, and the two pointers from there on.
pub fn around<'a>(left: &'a str, right: &'a str) -> (&'a str, &'a str, &'a str) {
    let equal = left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count();
    let end = left.as_bytes()[..equal].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    (&left[..end], &left[end..], &right[end..])
}

#[cold]
pub fn no_member(name: Cow<'_, str>) -> Box<Reason> {
    Reason::NoMember(name.into_owned()).into()
}

#[cold]
fn not_an_index(token: Token) -> Box<Reason> {
    Reason::NotAnIndex(token.name().into_owned()).into()
}

#[cold]
pub fn no_element(token: Token, length: usize) -> Box<Reason> {
    Reason::NoElement { index: token.text.to_owned(), length }.into()
}

#[cold]
pub fn not_a_container(value: &Value, token: Token) -> Box<Reason> {
    let kind = match value.kind() {
        ValueKind::Null => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String => "a string",
        ValueKind::Array => "an array",
        ValueKind::Object => "an object",
    };
    Reason::NotAContainer { kind: kind.into(), token: token.name().into_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_once() {
        let table =
            [("/a", "a"), ("/~0", "~"), ("/~1", "/"), ("/~01", "~1"), ("/~10", "/0"), ("/", "")];
        for (pointer, name) in table {
            let (token, rest) = Token::split_first(pointer).unwrap();
            assert_eq!((token.name().as_ref(), rest), (name, ""), "{pointer}");
            let (parent, token) = Token::split_last(pointer).unwrap();
            assert_eq!((parent, token.name().as_ref()), ("", name), "{pointer}");
        }
        assert!(Token::split_first("").is_none() && Token::split_last("").is_none());
    }

    #[test]
    fn two_places_lie_in_one_container() {
        for (left, right, expected) in [
            ("/a/b", "/a/c", ("/a", "/b", "/c")),
            ("/a/b", "/a", ("", "/a/b", "/a")),
            ("/a", "/ab", ("", "/a", "/ab")),
            ("/x/a", "/x/ab/c", ("/x", "/a", "/ab/c")),
            ("/a/b", "", ("", "/a/b", "")),
            ("/\u{e4}", "/\u{e5}", ("", "/\u{e4}", "/\u{e5}")),
        ] {
            assert_eq!(around(left, right), expected);
        }
    }

    #[test]
    fn all_tokens_are_counted() {
        for count in [0, 1, 2, 254, 255, 256, 1000] {
            assert_eq!(depth(&"/".repeat(count)), count);
            assert_eq!(depth(&"/ab".repeat(count)), count);
        }
    }
}
