//! A patch being applied, and the two steps that every operation comes down to: put a value at a
//! pointer, and take one from there.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation,
};
use serde_json::Value;
use serde_json::map::Entry;

use super::measure::{Measure, name_weight};
use super::place::{Token, depth, is_inside, no_member, not_a_container, resolve, resolve_mut};
use super::{Document, MAX_DEPTH, MAX_WEIGHT};
use crate::patch::PointerBuf;
use crate::patch::equality::equal;
use crate::patch::error::{PatchError, Reason};

/// How much of a value an error shows, in bytes.
const EXCERPT_BYTES: usize = 64;

/// A patch being applied: the document, what is still to be done, and what takes it back to where it
/// was.
///
/// Invariant: before and after each step, the document is the old one with the steps so far.
/// `operations` begins with those to come, and ends with those which, applied from the end, take the
/// document back. So the patch's own room serves for the inverse.
pub struct Application<'a> {
    document: &'a mut Document,
    operations: VecDeque<PatchOperation>,
    effort_left: u64,
}

/// What a `put` met at its place.
enum Met {
    /// A value, with which the new one has changed places.
    Value,
    /// An object without that member.
    Gap,
    /// An array, in which the value now is the element at this index.
    Element(usize),
}

impl<'a> Application<'a> {
    pub fn new(document: &'a mut Document, patch: Patch, effort: u64) -> Self {
        Self { document, operations: patch.0.into(), effort_left: effort }
    }

    /// Applies the operations up to the end, or to the first that fails.
    pub fn run(&mut self) -> Result<(), PatchError> {
        let count = self.operations.len();
        for index in 0..count {
            let Some(operation) = self.operations.pop_front() else { break };
            if let Err((path, reason)) = self.step(operation) {
                let left = count - 1 - index;
                self.operations.drain(..left);
                let path = Some(path.as_str().to_owned());
                return Err(PatchError { operation: Some(index), path, reason });
            }
        }
        Ok(())
    }

    /// What takes back the steps so far.
    pub fn inverse(self) -> Patch {
        let mut undo = Vec::from(self.operations);
        undo.reverse();
        // A history keeps it for long, and tests have left their room.
        if undo.len() * 2 < undo.capacity() {
            undo.shrink_to_fit();
        }
        Patch(undo)
    }

    /// Applies one operation. Where that fails, it says at which path and why.
    fn step(&mut self, operation: PatchOperation) -> Result<(), (PointerBuf, Reason)> {
        match operation {
            PatchOperation::Add(AddOperation { path, value }) => {
                let measure = Measure::of(&value);
                self.add(path, value, measure)
            }
            PatchOperation::Remove(RemoveOperation { path }) => match self.take(path.as_str()) {
                Ok((value, _)) => {
                    self.document.weight -= Measure::of(&value).weight;
                    self.undo(PatchOperation::Add(AddOperation { path, value }));
                    Ok(())
                }
                Err(reason) => Err((path, reason)),
            },
            PatchOperation::Replace(ReplaceOperation { path, value }) => self.replace(path, value),
            PatchOperation::Move(MoveOperation { from, path }) => self.move_value(from, path),
            PatchOperation::Copy(CopyOperation { from, path }) => {
                match self.copied(from.as_str()) {
                    Ok((value, measure)) => self.add(path, value, measure),
                    Err(reason) => Err((path, reason)),
                }
            }
            PatchOperation::Test(TestOperation { path, value }) => {
                self.test(path.as_str(), &value).map_err(|reason| (path, reason))
            }
        }
    }

    fn undo(&mut self, operation: PatchOperation) {
        self.operations.push_back(operation);
    }

    fn add(
        &mut self,
        path: PointerBuf,
        mut value: Value,
        measure: Measure,
    ) -> Result<(), (PointerBuf, Reason)> {
        let met = match admit(path.as_str(), measure)
            .and_then(|()| self.put(path.as_str(), None, &mut value))
        {
            Ok(met) => met,
            Err(reason) => return Err((path, reason)),
        };
        self.document.weight += measure.weight;
        if let Met::Value = met {
            self.document.weight -= Measure::of(&value).weight;
        }
        let weighed = self.weigh().map_err(|reason| (path.clone(), reason));
        self.undo(match met {
            Met::Value => PatchOperation::Replace(ReplaceOperation { path, value }),
            Met::Gap | Met::Element(_) => {
                PatchOperation::Remove(RemoveOperation { path: settled(path, &met) })
            }
        });
        weighed
    }

    fn replace(&mut self, path: PointerBuf, mut value: Value) -> Result<(), (PointerBuf, Reason)> {
        let measure = Measure::of(&value);
        let place = match admit(path.as_str(), measure)
            .and_then(|()| resolve_mut(&mut self.document.root, path.as_str()))
        {
            Ok(place) => place,
            Err(reason) => return Err((path, reason)),
        };
        std::mem::swap(place, &mut value);
        self.document.weight += measure.weight;
        self.document.weight -= Measure::of(&value).weight;
        let weighed = self.weigh().map_err(|reason| (path.clone(), reason));
        self.undo(PatchOperation::Replace(ReplaceOperation { path, value }));
        weighed
    }

    /// A copy of the value at `from`, measured before it is made: the copy itself must not pass
    /// the limits.
    fn copied(&mut self, from: &str) -> Result<(Value, Measure), Reason> {
        let value = resolve(&self.document.root, from).map_err(|reason| at_from(from, reason))?;
        let measure = Measure::of(value);
        spend(&mut self.effort_left, measure.weight)?;
        Ok((value.clone(), measure))
    }

    fn test(&self, path: &str, value: &Value) -> Result<(), Reason> {
        let found = resolve(&self.document.root, path)?;
        if equal(found, value) { Ok(()) } else { Err(Reason::TestFailed(excerpt(found))) }
    }

    /// A remove at `from` and an add of that value at `path`, as RFC 6902 section 4.4 says.
    fn move_value(
        &mut self,
        from: PointerBuf,
        path: PointerBuf,
    ) -> Result<(), (PointerBuf, Reason)> {
        let (met, old) = match self.carry(from.as_str(), path.as_str()) {
            Ok(Some(carried)) => carried,
            Ok(None) => return Ok(()),
            Err(reason) => return Err((path, reason)),
        };
        if let Met::Value = met {
            self.document.weight -= Measure::of(&old).weight;
        }
        let weighed = self.weigh().map_err(|reason| (path.clone(), reason));
        let undo_put = match met {
            Met::Value => PatchOperation::Replace(ReplaceOperation { path, value: old }),
            Met::Gap | Met::Element(_) => {
                let path = settled(path, &met);
                if !is_inside(from.as_str(), path.as_str()) {
                    self.undo(PatchOperation::Move(MoveOperation { from: path, path: from }));
                    return weighed;
                }
                PatchOperation::Remove(RemoveOperation { path })
            }
        };
        // A move back is no JSON Patch where `from` lies inside `path`; and where an old value has
        // to come back to `path` as well, the two steps would shift each other's pointers. So the
        // inverse puts `path` in order first, and then adds the value at `from`, from a copy.
        let path = undo_put.path();
        let value = resolve(&self.document.root, path.as_str());
        let value = value.expect("the value was just put there");
        let measure = Measure::of(value);
        let afforded = weighed.and_then(|()| {
            spend(&mut self.effort_left, measure.weight).map_err(|reason| (path.to_buf(), reason))
        });
        let value = value.clone();
        self.undo(PatchOperation::Add(AddOperation { path: from, value }));
        self.undo(undo_put);
        afforded
    }

    /// Takes the value at `from` and puts it at `path`; or leaves it where that cannot be. Gives back
    /// what it met there, and the value with which it has changed places; nothing where `from` is
    /// `path`.
    fn carry(&mut self, from: &str, path: &str) -> Result<Option<(Met, Value)>, Reason> {
        if is_inside(path, from) {
            return Err(Reason::MoveIntoItself);
        }
        if from == path {
            let value = resolve(&self.document.root, from);
            return value.map(|_| None).map_err(|reason| at_from(from, reason));
        }
        let (mut value, name) = self.take(from).map_err(|reason| at_from(from, reason))?;
        match self.sink(from, path, &value).and_then(|()| self.put(path, name, &mut value)) {
            Ok(met) => Ok(Some((met, value))),
            Err(reason) => {
                let effort_left = std::mem::replace(&mut self.effort_left, u64::MAX);
                let back = self.put(from, None, &mut value);
                assert!(back.is_ok(), "what was just taken fits where it was");
                self.effort_left = effort_left;
                Err(reason)
            }
        }
    }

    /// Whether a value may be moved to where it lies deeper. One that does not sink cannot make the
    /// document too deep, and need not be measured.
    fn sink(&mut self, from: &str, path: &str, value: &Value) -> Result<(), Reason> {
        if depth(path) <= depth(from) {
            return Ok(());
        }
        let measure = Measure::of(value);
        spend(&mut self.effort_left, measure.weight)?;
        admit(path, measure)
    }

    /// Fails where the step just done made the document too heavy.
    fn weigh(&self) -> Result<(), Reason> {
        if self.document.weight <= MAX_WEIGHT { Ok(()) } else { Err(Reason::TooHeavy) }
    }

    /// Puts `value` where `path` says, as an add does; what was there is then in `value`. A member may
    /// get the `name` that it had elsewhere, if it is the same. Of the document's weight it sees to
    /// the members' names only.
    fn put(&mut self, path: &str, name: Option<String>, value: &mut Value) -> Result<Met, Reason> {
        let Document { root, weight } = &mut *self.document;
        let Some((parent, token)) = Token::split_last(path) else {
            std::mem::swap(root, value);
            return Ok(Met::Value);
        };
        match resolve_mut(root, parent)? {
            Value::Object(members) => {
                let name = name.filter(|name| token.is(name));
                match members.entry(name.unwrap_or_else(|| token.name().into_owned())) {
                    Entry::Occupied(mut member) => {
                        std::mem::swap(member.get_mut(), value);
                        Ok(Met::Value)
                    }
                    Entry::Vacant(gap) => {
                        *weight += name_weight(gap.key());
                        gap.insert(value.take());
                        Ok(Met::Gap)
                    }
                }
            }
            Value::Array(elements) => {
                let length = elements.len();
                let index = match token.text {
                    "-" => length,
                    _ => token.index(length + 1, length)?,
                };
                spend(&mut self.effort_left, (length - index) as u64)?;
                elements.insert(index, value.take());
                Ok(Met::Element(index))
            }
            scalar => Err(not_a_container(scalar, token)),
        }
    }

    /// Takes out the value at `path`, and a member's name, as a remove does. Of the document's weight
    /// it sees to the members' names only.
    fn take(&mut self, path: &str) -> Result<(Value, Option<String>), Reason> {
        let Document { root, weight } = &mut *self.document;
        let Some((parent, token)) = Token::split_last(path) else {
            return Err(Reason::RemoveWhole);
        };
        match resolve_mut(root, parent)? {
            Value::Object(members) => {
                let name = token.name();
                match members.remove_entry(name.as_ref()) {
                    Some((name, value)) => {
                        *weight -= name_weight(&name);
                        Ok((value, Some(name)))
                    }
                    None => Err(no_member(name)),
                }
            }
            Value::Array(elements) => {
                let length = elements.len();
                let index = token.index(length, length)?;
                spend(&mut self.effort_left, (length - index) as u64)?;
                Ok((elements.remove(index), None))
            }
            scalar => Err(not_a_container(scalar, token)),
        }
    }
}

/// Whether a value may stand at `path` without making the document too deep.
fn admit(path: &str, measure: Measure) -> Result<(), Reason> {
    // No path has more tokens than bytes, so that most need not be counted.
    if path.len() + measure.depth <= MAX_DEPTH || depth(path) + measure.depth <= MAX_DEPTH {
        Ok(())
    } else {
        Err(Reason::TooDeep)
    }
}

fn spend(effort_left: &mut u64, effort: u64) -> Result<(), Reason> {
    *effort_left = effort_left.checked_sub(effort).ok_or(Reason::TooMuchEffort)?;
    Ok(())
}

/// The pointer to where a value put at `path` now is: `-` is the element that it became.
fn settled(path: PointerBuf, met: &Met) -> PointerBuf {
    let &Met::Element(index) = met else { return path };
    let Some(array) = path.as_str().strip_suffix("/-") else { return path };
    let mut element = String::with_capacity(path.len() + 8);
    element.push_str(array);
    element.push('/');
    element.push_str(itoa::Buffer::new().format(index));
    PointerBuf::parse(element).expect("digits need no escape")
}

fn at_from(from: &str, reason: Reason) -> Reason {
    match reason {
        // The effort is the whole patch's.
        Reason::TooMuchEffort => reason,
        _ => Reason::From { from: from.to_owned(), reason: Box::new(reason) },
    }
}

/// The beginning of a value's JSON text.
fn excerpt(value: &Value) -> String {
    struct Beginning(String);
    impl fmt::Write for Beginning {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let room = EXCERPT_BYTES - self.0.len();
            self.0.push_str(&piece[..piece.floor_char_boundary(room)]);
            if piece.len() <= room { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut beginning = Beginning(String::new());
    if write!(beginning, "{value}").is_err() {
        beginning.0.push('…');
    }
    beginning.0
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
