//! A patch being applied, and the two steps that all operations are made of: put a value at a pointer, and
//! take one from there.

use super::error::{PatchError, Reason};
use super::operation::{Operation, Patch};
use super::pointer::{
    Lookup, Token, around, change, depth, is_inside, no_element, no_member, not_a_container,
    resolve,
};
use super::{Document, MAX_DEPTH, MAX_WEIGHT, PointerBuf};
use crate::document::{Value, ValueKind, equal};

/// How much of a value an error shows, in bytes.
const EXCERPT_BYTES: usize = 64;

/// A patch being applied: the document, the operations to come, and those that take it back.
///
/// Invariant: before and after each step, the document is the old one with the steps so far. The first
/// `undos` operations, applied from the last to the first, take the document back; those from `next` on are
/// to come. So the inverse is made in the memory of the patch.
pub struct Application<'a> {
    document: &'a mut Document,
    operations: Vec<Operation>,
    undos: usize,
    next: usize,
    /// The weight that may still be copied.
    copies_left: u64,
}

/// What was at the place where a value was put.
enum PutTarget {
    /// A value, which was swapped with the new one.
    Value,
    /// An object without that member.
    Gap,
    /// An array; the new value is now its element at this index.
    Element(usize),
}

/// At which path an operation does not apply, and why.
struct StepError {
    path: PointerBuf,
    reason: Box<Reason>,
}

impl<'a> Application<'a> {
    /// Begins to apply a patch that may copy this weight at most.
    pub fn new(document: &'a mut Document, patch: Patch, most_copied: u64) -> Self {
        let Patch(operations) = patch;
        Self { document, operations, undos: 0, next: 0, copies_left: most_copied }
    }

    /// Applies the operations up to the end, or to the first that fails.
    pub fn run(&mut self) -> Result<(), PatchError> {
        for index in 0..self.operations.len() {
            let operation = std::mem::take(&mut self.operations[self.next]);
            self.next += 1;
            if let Err(StepError { path, reason }) = self.step(operation) {
                let path = Some(path.as_str().to_owned());
                return Err(PatchError { operation: Some(index), path, reason: *reason });
            }
        }
        Ok(())
    }

    /// The patch that takes back the steps so far.
    pub fn inverse(self) -> Patch {
        let mut undo = self.operations;
        undo.truncate(self.undos);
        undo.reverse();
        // A history keeps the inverse for long, and the room of `test` operations is empty in it.
        if undo.len() * 2 < undo.capacity() {
            undo.shrink_to_fit();
        }
        Patch(undo)
    }

    /// Applies one operation. If that fails, it says at which path and why.
    fn step(&mut self, operation: Operation) -> Result<(), StepError> {
        match operation {
            Operation::Add { path, value } => self.add(path, value),
            Operation::Remove { path } => self.remove(path),
            Operation::Replace { path, value } => self.replace(path, value),
            Operation::Move { from, path } => self.move_value(from, path),
            Operation::Copy { from, path } => match self.copied(from.as_str()) {
                Ok(value) => self.add(path, value),
                Err(reason) => Err(StepError { path, reason }),
            },
            Operation::Test { path, value } => match self.test(path.as_str(), &value) {
                Ok(()) => Ok(()),
                Err(reason) => Err(StepError { path, reason }),
            },
        }
    }

    fn undo(&mut self, operation: Operation) {
        if self.undos < self.next {
            self.operations[self.undos] = operation;
        } else {
            self.operations.insert(self.undos, operation);
            self.next += 1;
        }
        self.undos += 1;
    }

    /// Fails if the step just done, which was at `path`, made the document too heavy.
    fn weigh(&self, path: &PointerBuf) -> Result<(), StepError> {
        if self.document.weight() <= MAX_WEIGHT {
            Ok(())
        } else {
            Err(StepError { path: path.clone(), reason: Reason::TooHeavy.into() })
        }
    }

    fn add(&mut self, path: PointerBuf, mut value: Value) -> Result<(), StepError> {
        let put = admit(path.as_str(), &value)
            .and_then(|()| put(&mut self.document.root, path.as_str(), &mut value));
        match put {
            Ok(met) => {
                let weighed = self.weigh(&path);
                self.undo(undo_put(path, met, value));
                weighed
            }
            Err(reason) => Err(StepError { path, reason }),
        }
    }

    fn remove(&mut self, path: PointerBuf) -> Result<(), StepError> {
        let mut value = Value::default();
        match take(&mut self.document.root, path.as_str(), &mut value) {
            Ok(()) => {
                self.undo(Operation::Add { path, value });
                Ok(())
            }
            Err(reason) => Err(StepError { path, reason }),
        }
    }

    fn replace(&mut self, path: PointerBuf, mut value: Value) -> Result<(), StepError> {
        let replaced = admit(path.as_str(), &value).and_then(|()| {
            change(&mut self.document.root, path.as_str(), |place| {
                std::mem::swap(place, &mut value);
                Ok(())
            })
        });
        match replaced {
            Ok(()) => {
                let weighed = self.weigh(&path);
                self.undo(Operation::Replace { path, value });
                weighed
            }
            Err(reason) => Err(StepError { path, reason }),
        }
    }

    /// A copy of the value at `from`. The two share memory until one of them is changed.
    fn copied(&mut self, from: &str) -> Lookup<Value> {
        let value = resolve(&self.document.root, from).map_err(|reason| at_from(from, reason))?;
        let left = self.copies_left.checked_sub(value.weight());
        self.copies_left = left.ok_or(Reason::TooMuchCopied)?;
        Ok(value.clone())
    }

    fn test(&self, path: &str, value: &Value) -> Lookup<()> {
        let found = resolve(&self.document.root, path)?;
        if equal(found, value) { Ok(()) } else { Err(Reason::TestFailed(excerpt(found)).into()) }
    }

    /// A remove at `from` and an add of that value at `path`, as RFC 6902 section 4.4 says.
    fn move_value(&mut self, from: PointerBuf, path: PointerBuf) -> Result<(), StepError> {
        let mut old = Value::default();
        let root = &mut self.document.root;
        let met = match carry(root, from.as_str(), path.as_str(), &mut old) {
            Ok(Some(met)) => met,
            Ok(None) => return Ok(()),
            Err(reason) => return Err(StepError { path, reason }),
        };
        let weighed = self.weigh(&path);
        let put_back = match undo_put(path, met, old) {
            Operation::Remove { path } if !is_inside(from.as_str(), path.as_str()) => {
                self.undo(Operation::Move { from: path, path: from });
                return weighed;
            }
            put_back => put_back,
        };
        // A move back is not allowed if `from` is inside `path`; and if an old value has to come back to
        // `path` as well, the two steps would shift each other's pointers. So the inverse puts `path` in
        // order first, and then adds the value at `from`.
        let value = resolve(&self.document.root, put_back.path().as_str());
        let value = value.expect("the value was just put there").clone();
        self.undo(Operation::Add { path: from, value });
        self.undo(put_back);
        weighed
    }
}

/// Takes the value at `from` and puts it at `path`; if it cannot be put there, it stays where it is. Returns
/// what was at `path`, and leaves the old value in `value`; none if `from` is `path`.
fn carry(root: &mut Value, from: &str, path: &str, value: &mut Value) -> Lookup<Option<PutTarget>> {
    if is_inside(path, from) {
        return Err(Reason::MoveIntoItself.into());
    }
    if from == path {
        return match resolve(root, from) {
            Ok(_) => Ok(None),
            Err(reason) => Err(at_from(from, reason)),
        };
    }
    let (container, inner_from, inner_path) = around(from, path);
    let carried = change(root, container, |container| {
        if let Err(reason) = take(container, inner_from, value) {
            return Ok(Err(at_from(from, reason)));
        }
        let put = admit(path, value).and_then(|()| put(container, inner_path, value));
        if put.is_err() {
            let back = self::put(container, inner_from, value);
            assert!(back.is_ok(), "what was just taken fits where it was");
        }
        Ok(put.map(Some))
    });
    carried.unwrap_or_else(|reason| Err(at_from(from, reason)))
}

/// Puts `value` where `path` says, as an add does; what was there is then in `value`.
fn put(root: &mut Value, path: &str, value: &mut Value) -> Lookup<PutTarget> {
    let Some((parent, token)) = Token::split_last(path) else {
        std::mem::swap(root, value);
        return Ok(PutTarget::Value);
    };
    change(root, parent, |container| match container.kind() {
        ValueKind::Object if container.swap_member(&token.name(), value) => Ok(PutTarget::Value),
        ValueKind::Object => Ok(PutTarget::Gap),
        ValueKind::Array => {
            let length = container.len();
            let index = match token.text {
                "-" => length,
                _ => token.index(length + 1, length)?,
            };
            container.insert_element(index, std::mem::take(value));
            Ok(PutTarget::Element(index))
        }
        _ => Err(not_a_container(container, token)),
    })
}

/// Takes out the value at `path`, as a remove does: it is then in `taken`.
fn take(root: &mut Value, path: &str, taken: &mut Value) -> Lookup<()> {
    let (parent, token) = Token::split_last(path).ok_or(Reason::RemoveWhole)?;
    change(root, parent, |container| match container.kind() {
        ValueKind::Object => {
            let name = token.name();
            let is_there = container.take_member(&name, taken);
            if is_there { Ok(()) } else { Err(no_member(name)) }
        }
        ValueKind::Array => {
            let length = container.len();
            let index = token.index(length, length)?;
            let is_there = container.take_element(index, taken);
            if is_there { Ok(()) } else { Err(no_element(token, length)) }
        }
        _ => Err(not_a_container(container, token)),
    })
}

/// Whether a value may stand at `path` without making the document too deep.
fn admit(path: &str, value: &Value) -> Lookup<()> {
    // A path has no more tokens than bytes, so most paths need not be counted.
    let value_depth = value.depth();
    if path.len() + value_depth <= MAX_DEPTH || depth(path) + value_depth <= MAX_DEPTH {
        Ok(())
    } else {
        Err(Reason::TooDeep.into())
    }
}

/// What undoes a put at `path`, after which the `old` value is left.
fn undo_put(path: PointerBuf, met: PutTarget, old: Value) -> Operation {
    match met {
        PutTarget::Value => Operation::Replace { path, value: old },
        PutTarget::Gap => Operation::Remove { path },
        PutTarget::Element(index) => Operation::Remove { path: settled(path, index) },
    }
}

/// `path` with `index` in place of a `-` at its end, which points to no element.
fn settled(path: PointerBuf, index: usize) -> PointerBuf {
    let Some(array) = path.as_str().strip_suffix("/-") else { return path };
    let mut element = String::with_capacity(path.len() + 8);
    element.push_str(array);
    element.push('/');
    element.push_str(itoa::Buffer::new().format(index));
    PointerBuf::parse(element).expect("digits need no escape")
}

#[cold]
fn at_from(from: &str, reason: Box<Reason>) -> Box<Reason> {
    Reason::From { from: from.to_owned(), reason }.into()
}

/// The beginning of a value's JSON text.
#[cold]
fn excerpt(value: &Value) -> String {
    let beginning = value.pieces_of(EXCERPT_BYTES + 1).next().unwrap_or_default();
    let mut text = String::from_utf8(beginning).expect("no piece ends inside a character");
    if text.len() > EXCERPT_BYTES {
        text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_does_not_keep_the_room_of_tests() {
        let mut document = Document::default();
        let tests = vec![r#"{"op":"test","path":"","value":{}}"#; 100].join(",");
        let patch = format!(r#"[{tests},{{"op":"add","path":"/a","value":1}}]"#);
        let inverse = document.apply(crate::patch::parse(&patch).unwrap()).unwrap();
        assert_eq!(inverse.0.len(), 1);
        assert!(inverse.0.capacity() < 10);
    }
}
