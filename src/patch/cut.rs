//! A value as JSON Patches of limited length, which are applied one after the other.
//!
//! A container that is too long for one patch is added empty, and then its parts in their order. Only `add`
//! is used, so that plain nodes can apply the patches too.

use super::Pointer;
use crate::document::{Value, ValueKind};

/// The length of the brackets around the operations of a patch.
const BRACKETS: usize = 2;

/// The text of a value is at most this many times its weight: a byte of a string may become six.
const TEXT_BYTES_OF_WEIGHT: u64 = 6;

/// The texts of the patches. Each is made only when the iterator comes to it.
pub struct Cut {
    operations: Operations,
    /// The next operation; none after the last one.
    next: Option<String>,
}

impl Cut {
    /// Patches that put `value` at `at`, in place of what is there. Each has at most `most` bytes, except one
    /// that adds a single value which cannot be cut: a long string, or a value with a long path.
    pub fn whole(value: Value, at: &Pointer, most: usize) -> Self {
        Self::new(Operations {
            first: Some(value),
            around: Vec::new(),
            path: quoted(at.as_str()),
            most,
        })
    }

    /// Patches that put the parts of `container` into the empty container at `at`.
    pub fn inside(container: Value, at: &Pointer, most: usize) -> Self {
        let around = vec![Container { value: container, next: 0, outer: 0 }];
        Self::new(Operations { first: None, around, path: quoted(at.as_str()), most })
    }

    fn new(mut operations: Operations) -> Self {
        Self { next: operations.next(), operations }
    }
}

impl Iterator for Cut {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut patch = String::from("[");
        patch.push_str(&self.next.take()?);
        self.next = self.operations.next();
        let most = self.operations.most;
        while let Some(next) = self.next.take_if(|next| patch.len() + BRACKETS + next.len() <= most)
        {
            patch.push(',');
            patch.push_str(&next);
            self.next = self.operations.next();
        }
        patch.push(']');
        Some(patch)
    }
}

/// The operations of all the patches.
struct Operations {
    /// The value as a whole; none once it is begun.
    first: Option<Value>,
    /// The containers around what comes next, from the outside in.
    around: Vec<Container>,
    /// The path of the innermost one, as it stands in a JSON string.
    path: String,
    /// How long a patch may be.
    most: usize,
}

/// A container of which not all parts are added yet.
struct Container {
    value: Value,
    /// The index of its next part.
    next: usize,
    /// The length of the path of the container around it.
    outer: usize,
}

impl Iterator for Operations {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let outer = self.path.len();
        if let Some(value) = self.first.take() {
            return Some(self.add(value, outer));
        }
        loop {
            let innermost = self.around.last_mut()?;
            let Some((name, value)) = innermost.take_next() else {
                self.path.truncate(innermost.outer);
                self.around.pop();
                continue;
            };
            let outer = self.path.len();
            push_name(&mut self.path, &name);
            return Some(self.add(value, outer));
        }
    }
}

impl Operations {
    /// The operation that adds a value at the path: the whole value if it is short or has no parts; else an
    /// empty container, and its parts come next.
    fn add(&mut self, value: Value, outer: usize) -> String {
        let mut operation = format!(r#"{{"op":"add","path":"{}","value":"#, self.path);
        let room = self.most.saturating_sub(BRACKETS + operation.len() + 1);
        let beginning = if value.weight().saturating_mul(TEXT_BYTES_OF_WEIGHT) <= room as u64 {
            value.to_text()
        } else {
            // If the first piece is shorter than that, it is the whole text.
            value.pieces_of(room + 1).next().unwrap_or_default()
        };
        let is_split = beginning.len() > room && !value.is_empty();
        let text = match value.kind() {
            ValueKind::Array if is_split => b"[]".to_vec(),
            ValueKind::Object if is_split => b"{}".to_vec(),
            _ if beginning.len() > room => value.to_text(),
            _ => beginning,
        };
        operation.push_str(str::from_utf8(&text).expect("a JSON text is UTF-8"));
        operation.push('}');
        if is_split {
            self.around.push(Container { value, next: 0, outer });
        } else {
            self.path.truncate(outer);
        }
        operation
    }
}

impl Container {
    fn take_next(&mut self) -> Option<(String, Value)> {
        let index = self.next;
        self.next += 1;
        if self.value.kind() == ValueKind::Array {
            return self.value.element(index).map(|element| (index.to_string(), element.clone()));
        }
        let member = self.value.members_from(index).next();
        member.map(|(name, value)| (name.to_owned(), value.clone()))
    }
}

/// Appends the token of a member or an element to a path (RFC 6901), as it stands in a JSON string.
fn push_name(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&quoted(&name.replace('~', "~0").replace('/', "~1")));
}

/// A text as it stands in a JSON string.
fn quoted(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string always has a JSON text");
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::{Document, PointerBuf, parse};

    /// A text with characters that JSON or a JSON Pointer escapes, shorter than two to the power of `most`.
    pub fn random_text(random: &mut fastrand::Rng, most: u32) -> String {
        let most = 1 << random.u32(..most);
        let length = random.usize(..most);
        let character =
            |_| *random.choice(&['a', '"', '\\', '/', '~', '\n', 'é', '🦀', '0']).unwrap();
        (0..length).map(character).collect()
    }

    fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        let count = 1 << random.u32(..8);
        let count = random.usize(..count);
        match random.u8(..if depth == 0 { 3 } else { 5 }) {
            0 => random_text(random, 10).into(),
            1 => random.f64().into(),
            2 => serde_json::Value::Null,
            3 => (0..count).map(|_| random_value(random, depth - 1)).collect(),
            _ => {
                let member = |_| (random_text(random, 6), random_value(random, depth - 1));
                (0..count).map(member).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    /// Applies the patches, checks that none is too long, and returns their number.
    fn applied(value: &Value, at: &str, most: usize) -> usize {
        let mut document = Document::new(json!({"before": 1, "list": [0, [2]], "a/b": 7})).unwrap();
        let at = PointerBuf::parse(at).unwrap();
        let patches: Vec<_> = Cut::whole(value.clone(), &at, most).collect();
        for text in &patches {
            let patch = parse(text).unwrap();
            let is_one = patch.0.len() == 1;
            assert!(text.len() <= most || is_one, "{} bytes: {text:.200}", text.len());
            document.apply(patch).unwrap();
        }
        assert_eq!(document.get(&at), Some(value));
        patches.len()
    }

    #[test]
    fn the_patches_make_the_value() {
        let mut longest = 0;
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let value = Value::from(random_value(&mut random, 3));
            let at = *random.choice(&["", "/before", "/new", "/list/1", "/a~1b"]).unwrap();
            let most = random.usize(100..5000);
            longest = longest.max(applied(&value, at, most));
            assert_eq!(applied(&value, at, usize::MAX), 1);
        }
        assert!(longest > 20, "{longest}");
    }

    #[test]
    fn the_patches_are_as_long_as_may_be() {
        let list: Vec<_> = (0..2000).map(|n| json!({ "n": n })).collect();
        let patches: Vec<_> =
            Cut::inside(json!({ "list": list }).into(), &PointerBuf::new(), 4000).collect();
        let [full @ .., _] = &patches[..] else { panic!("there are many") };
        assert!(full.iter().all(|patch| (3900..=4000).contains(&patch.len())));
    }

    #[test]
    fn a_patch_is_made_when_it_is_asked_for() {
        let root: serde_json::Value = (0..1000).map(|_| "x".repeat(1000)).collect();
        let mut cut = Cut::whole(root.into(), &PointerBuf::new(), 16 << 10);
        assert_eq!(cut.by_ref().take(3).count(), 3);
        assert!(cut.operations.around[0].next < 50);
    }
}
