//! Where in a document a JSON Pointer (RFC 6901) leads.
//!
//! Pointers are walked here as text, token by token: this is faster than by jsonptr's
//! tokens, each of which can own its text, or of serde_json's `pointer`, which makes two strings a
//! token. That `~` is followed by 0 or 1, and a token preceded by `/`, is what their types promise.

use std::borrow::Cow;

use serde_json::Value;

use crate::patch::error::Reason;

/// The value at `pointer`.
pub fn resolve<'a>(root: &'a Value, mut pointer: &str) -> Result<&'a Value, Reason> {
    let mut value = root;
    while let Some((token, rest)) = split_first(pointer) {
        value = match value {
            Value::Object(members) => {
                let name = decoded(token);
                members.get(name.as_ref()).ok_or_else(|| no_member(name))?
            }
            Value::Array(elements) => {
                let index = element_index(token, elements.len(), elements.len())?;
                &elements[index]
            }
            scalar => return Err(not_a_container(scalar, token)),
        };
        pointer = rest;
    }
    Ok(value)
}

pub fn resolve_mut<'a>(root: &'a mut Value, mut pointer: &str) -> Result<&'a mut Value, Reason> {
    let mut value = root;
    while let Some((token, rest)) = split_first(pointer) {
        value = match value {
            Value::Object(members) => {
                let name = decoded(token);
                members.get_mut(name.as_ref()).ok_or_else(|| no_member(name))?
            }
            Value::Array(elements) => {
                let index = element_index(token, elements.len(), elements.len())?;
                &mut elements[index]
            }
            scalar => return Err(not_a_container(scalar, token)),
        };
        pointer = rest;
    }
    Ok(value)
}

/// The first token of a pointer and the pointer that goes on from there; none where it is the
/// whole document's.
#[inline]
fn split_first(pointer: &str) -> Option<(&str, &str)> {
    let tokens = pointer.strip_prefix('/')?;
    let end = tokens.bytes().position(|byte| byte == b'/').unwrap_or(tokens.len());
    Some(tokens.split_at(end))
}

/// The pointer to what a pointer's last token is looked up in, and that token; none where it is the
/// whole document's.
#[inline]
pub fn split_last(pointer: &str) -> Option<(&str, &str)> {
    let slash = pointer.bytes().rposition(|byte| byte == b'/')?;
    Some((&pointer[..slash], &pointer[slash + 1..]))
}

/// The name of a member that `token` stands for.
#[inline]
pub fn decoded(token: &str) -> Cow<'_, str> {
    if token.bytes().any(|byte| byte == b'~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// How many tokens a pointer has.
pub fn depth(pointer: &str) -> usize {
    pointer.bytes().filter(|byte| *byte == b'/').count()
}

/// Whether `inner` is a proper part of `outer`: whether `outer` is a proper prefix.
pub fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// The index that `token` names, below `end`, in an array of `length` elements.
pub fn element_index(token: &str, end: usize, length: usize) -> Result<usize, Reason> {
    let is_index = !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_digit())
        && (token == "0" || !token.starts_with('0'));
    if !is_index {
        return Err(not_an_index(token));
    }
    // Digits that no usize holds name an element that no array has.
    match token.parse() {
        Ok(index) if index < end => Ok(index),
        _ => Err(no_element(token, length)),
    }
}

#[cold]
pub fn no_member(name: Cow<'_, str>) -> Reason {
    Reason::NoMember(name.into_owned())
}

#[cold]
fn not_an_index(token: &str) -> Reason {
    Reason::NotAnIndex(decoded(token).into_owned())
}

#[cold]
fn no_element(token: &str, length: usize) -> Reason {
    Reason::NoElement { index: token.to_owned(), length }
}

#[cold]
pub fn not_a_container(value: &Value, token: &str) -> Reason {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Reason::NotAContainer { kind: kind.into(), token: decoded(token).into_owned() }
}
