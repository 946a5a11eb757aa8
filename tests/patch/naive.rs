//! JSON Patch a second time, from the text of RFC 6902. Whatever is wrong, it says no more than that, and
//! it works on a copy.

use serde_json::{Number, Value};

/// The document after the operation; none if that does not apply.
pub fn step(document: &Value, operation: &Value) -> Option<Value> {
    let path = operation["path"].as_str()?;
    let from = operation["from"].as_str();
    let value = operation.get("value");
    match operation["op"].as_str()? {
        "add" => add(document, path, value?),
        "remove" => remove(document, path),
        "replace" if path.is_empty() => value.cloned(),
        // "A remove followed by an add at the same location".
        "replace" => add(&remove(document, path)?, path, value?),
        "move" => {
            let from = from?;
            let value = get(document, &tokens(from))?;
            if path == from {
                return Some(document.clone());
            }
            // "The from location MUST NOT be a proper prefix of the path location."
            if tokens(path).starts_with(&tokens(from)) {
                return None;
            }
            add(&remove(document, from)?, path, value)
        }
        "copy" => add(document, path, get(document, &tokens(from?))?),
        "test" => same(get(document, &tokens(path))?, value?).then(|| document.clone()),
        _ => None,
    }
}

pub fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|t| t.replace("~1", "/").replace("~0", "~")).collect()
}

pub fn get<'a>(value: &'a Value, tokens: &[String]) -> Option<&'a Value> {
    let Some((token, rest)) = tokens.split_first() else { return Some(value) };
    let inner = match value {
        Value::Object(members) => members.get(token)?,
        Value::Array(elements) => &elements[index(token, elements.len())?],
        _ => return None,
    };
    get(inner, rest)
}

fn add(document: &Value, path: &str, value: &Value) -> Option<Value> {
    if path.is_empty() {
        return Some(value.clone());
    }
    edit(document, &tokens(path), |container, token| {
        match container {
            Value::Object(members) => drop(members.insert(token.to_owned(), value.clone())),
            Value::Array(elements) if token == "-" => elements.push(value.clone()),
            Value::Array(elements) => {
                elements.insert(index(token, elements.len() + 1)?, value.clone());
            }
            _ => return None,
        }
        Some(())
    })
}

fn remove(document: &Value, path: &str) -> Option<Value> {
    // A document is always a value, so the root stays.
    edit(document, &tokens(path), |container, token| match container {
        Value::Object(members) => members.remove(token).map(drop),
        Value::Array(elements) => {
            let index = index(token, elements.len())?;
            elements.remove(index);
            Some(())
        }
        _ => None,
    })
}

/// A copy of `value` with the container changed in which the last token names something.
fn edit(
    value: &Value,
    tokens: &[String],
    change: impl Fn(&mut Value, &str) -> Option<()>,
) -> Option<Value> {
    fn descend<'a>(value: &'a mut Value, tokens: &[String]) -> Option<&'a mut Value> {
        let Some((token, rest)) = tokens.split_first() else { return Some(value) };
        let inner = match value {
            Value::Object(members) => members.get_mut(token)?,
            Value::Array(elements) => {
                let index = index(token, elements.len())?;
                &mut elements[index]
            }
            _ => return None,
        };
        descend(inner, rest)
    }
    let (last, parents) = tokens.split_last()?;
    let mut copy = value.clone();
    change(descend(&mut copy, parents)?, last)?;
    Some(copy)
}

/// An index is whatever is written as one.
fn index(token: &str, end: usize) -> Option<usize> {
    (0..end).find(|index| index.to_string() == token)
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => digits(left) == digits(right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.keys().eq(right.keys()) && left.iter().all(|(name, l)| same(l, &right[name]))
        }
        (left, right) => left == right,
    }
}

/// The number's exact decimal digits, as many as there are.
fn digits(number: &Number) -> String {
    match number.as_f64() {
        _ if !number.is_f64() => number.to_string(),
        Some(0.0) | None => "0".to_owned(),
        Some(double) if double.fract() == 0.0 => format!("{double:.0}"),
        Some(double) => format!("{double:e}"),
    }
}
