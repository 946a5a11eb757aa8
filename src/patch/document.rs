//! The document, and the two steps that every operation comes down to: put a value at a pointer, and
//! take one from there.

use std::io::Write;

use json_patch::jsonptr::Token;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation,
};
use serde_json::{Map, Value};

use super::equality::equal;
use super::error::{PatchError, Reason};
use super::{Pointer, PointerBuf};

/// How many arrays and objects may lie in one another. With the value in the innermost one this
/// makes 128 levels, the most that serde_json reads back.
pub const MAX_DEPTH: usize = 127;

/// The greatest weight of a document: 1 GiB. Every value weighs 32 bytes and those of its string,
/// every member's name 32 bytes and its own. This is about the memory that the
/// document takes, and independent of the machine.
pub const MAX_WEIGHT: u64 = 1 << 30;

/// The greatest effort that one patch may be: the weight of what it copies or has to measure to
/// move, and one for each array element that it shifts. Without it a patch of a megabyte could copy
/// and remove gigabytes thousands of times over.
pub const MAX_EFFORT: u64 = 1 << 30;

const VALUE_WEIGHT: u64 = 32;

/// How much of a value an error shows, in bytes.
const EXCERPT_BYTES: usize = 64;

/// A JSON value that patches are applied to; at first `{}`.
///
/// Invariants: `weight` is the weight of `root` and at most [`MAX_WEIGHT`]; `root` is at most
/// [`MAX_DEPTH`] deep. Its JSON text can therefore always be read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Value,
    weight: u64,
}

impl Default for Document {
    fn default() -> Self {
        Self { root: Value::Object(Map::new()), weight: VALUE_WEIGHT }
    }
}

impl Document {
    /// A document with this content; none where it passes [`MAX_DEPTH`] or [`MAX_WEIGHT`].
    pub fn new(root: Value) -> Option<Self> {
        let Measure { weight, depth } = Measure::of(&root);
        (weight <= MAX_WEIGHT && depth <= MAX_DEPTH).then_some(Self { root, weight })
    }

    /// The content.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The part of the content at `pointer`; none where there is nothing.
    pub fn get(&self, pointer: &Pointer) -> Option<&Value> {
        resolve(&self.root, pointer).ok()
    }

    /// Its weight, as [`MAX_WEIGHT`] defines it.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Applies the operations of `patch` in their order, all of them or none, and gives back the
    /// inverse: the patch that makes the new document the old one again.
    ///
    /// # Errors
    /// The first operation that does not apply. The document is then what it was.
    pub fn apply(&mut self, patch: Patch) -> Result<Patch, PatchError> {
        let mut application = Application::new(self, patch.len(), MAX_EFFORT);
        for (index, operation) in patch.0.into_iter().enumerate() {
            if let Err((path, reason)) = application.step(operation) {
                let inverse = application.inverse();
                self.revert(inverse);
                return Err(PatchError {
                    operation: Some(index),
                    path: Some(path.to_string()),
                    reason,
                });
            }
        }
        Ok(application.inverse())
    }

    /// Takes back a patch by the inverse that [`apply`](Self::apply) gave for it. The document must
    /// be the one which that patch left.
    pub fn revert(&mut self, inverse: Patch) {
        // Every state on the way back is one from the way forth, so no limit is passed.
        let mut application = Application::new(self, inverse.len(), u64::MAX);
        for operation in inverse.0 {
            application.step(operation).expect("an inverse applies to what its patch left");
        }
    }
}

/// About the memory that a patch takes, in bytes.
pub fn weight(patch: &Patch) -> u64 {
    let operation_weight = |operation: &PatchOperation| {
        let other = match operation {
            PatchOperation::Add(AddOperation { value, .. })
            | PatchOperation::Replace(ReplaceOperation { value, .. })
            | PatchOperation::Test(TestOperation { value, .. }) => Measure::of(value).weight,
            PatchOperation::Move(MoveOperation { from, .. })
            | PatchOperation::Copy(CopyOperation { from, .. }) => name_weight(from.as_str()),
            PatchOperation::Remove(_) => 0,
        };
        name_weight(operation.path().as_str()) + other
    };
    patch.iter().map(operation_weight).sum()
}

/// A patch being applied: the document, and what takes it back to where it was.
///
/// Invariant: before and after each step, the document is the old one with the steps so far, and
/// `undo`, applied from its end to its beginning, takes it back.
struct Application<'a> {
    document: &'a mut Document,
    undo: Vec<PatchOperation>,
    effort_left: u64,
}

/// What a `put` met at its place.
enum Met {
    /// A value, which was replaced.
    Value(Value),
    /// An object without that member.
    Gap,
    /// An array, in which the value now is the element at this index.
    Element(usize),
}

impl<'a> Application<'a> {
    fn new(document: &'a mut Document, operations: usize, effort: u64) -> Self {
        Self { document, undo: Vec::with_capacity(operations), effort_left: effort }
    }

    fn inverse(self) -> Patch {
        let mut undo = self.undo;
        undo.reverse();
        Patch(undo)
    }

    /// Applies one operation. Where that fails, it says at which path and why.
    fn step(&mut self, operation: PatchOperation) -> Result<(), (PointerBuf, Reason)> {
        match operation {
            PatchOperation::Add(AddOperation { path, value }) => {
                let measure = Measure::of(&value);
                self.add(path, value, measure)
            }
            PatchOperation::Remove(RemoveOperation { path }) => match self.take(&path) {
                Ok(value) => {
                    self.document.weight -= Measure::of(&value).weight;
                    self.undo.push(PatchOperation::Add(AddOperation { path, value }));
                    Ok(())
                }
                Err(reason) => Err((path, reason)),
            },
            PatchOperation::Replace(ReplaceOperation { path, value }) => self.replace(path, value),
            PatchOperation::Move(MoveOperation { from, path }) => {
                self.move_value(from, &path).map_err(|reason| (path, reason))
            }
            PatchOperation::Copy(CopyOperation { from, path }) => match self.copied(&from) {
                Ok((value, measure)) => self.add(path, value, measure),
                Err(reason) => Err((path, reason)),
            },
            PatchOperation::Test(TestOperation { path, value }) => {
                self.test(&path, &value).map_err(|reason| (path, reason))
            }
        }
    }

    fn add(
        &mut self,
        path: PointerBuf,
        value: Value,
        measure: Measure,
    ) -> Result<(), (PointerBuf, Reason)> {
        let met = match admit(&path, measure)
            .and_then(|()| self.put(&path, value).map_err(|(reason, _)| reason))
        {
            Ok(met) => met,
            Err(reason) => return Err((path, reason)),
        };
        self.document.weight += measure.weight;
        if let Met::Value(old) = &met {
            self.document.weight -= Measure::of(old).weight;
        }
        let weighed = self.weigh().map_err(|reason| (path.clone(), reason));
        self.undo.push(match met {
            Met::Value(old) => PatchOperation::Replace(ReplaceOperation { path, value: old }),
            Met::Gap => PatchOperation::Remove(RemoveOperation { path }),
            Met::Element(index) => {
                PatchOperation::Remove(RemoveOperation { path: element(path, index) })
            }
        });
        weighed
    }

    fn replace(&mut self, path: PointerBuf, value: Value) -> Result<(), (PointerBuf, Reason)> {
        let measure = Measure::of(&value);
        let place = match admit(&path, measure)
            .and_then(|()| resolve_mut(&mut self.document.root, &path))
        {
            Ok(place) => place,
            Err(reason) => return Err((path, reason)),
        };
        let old = std::mem::replace(place, value);
        self.document.weight += measure.weight;
        self.document.weight -= Measure::of(&old).weight;
        let weighed = self.weigh().map_err(|reason| (path.clone(), reason));
        self.undo.push(PatchOperation::Replace(ReplaceOperation { path, value: old }));
        weighed
    }

    /// A copy of the value at `from`, measured before it is made: the copy itself must not pass
    /// the limits.
    fn copied(&mut self, from: &Pointer) -> Result<(Value, Measure), Reason> {
        let value = resolve(&self.document.root, from).map_err(|reason| at_from(from, reason))?;
        let measure = Measure::of(value);
        spend(&mut self.effort_left, measure.weight)?;
        Ok((value.clone(), measure))
    }

    fn test(&self, path: &Pointer, value: &Value) -> Result<(), Reason> {
        let found = resolve(&self.document.root, path)?;
        if equal(found, value) { Ok(()) } else { Err(Reason::TestFailed(excerpt(found))) }
    }

    /// A remove at `from` and an add of that value at `path`, as RFC 6902 section 4.4 says.
    fn move_value(&mut self, from: PointerBuf, path: &Pointer) -> Result<(), Reason> {
        if is_inside(path, &from) {
            return Err(Reason::MoveIntoItself);
        }
        if from.as_str() == path.as_str() {
            let value = resolve(&self.document.root, &from);
            return value.map(drop).map_err(|reason| at_from(&from, reason));
        }
        let value = self.take(&from).map_err(|reason| at_from(&from, reason))?;
        let put = match self.sink(&from, path, &value) {
            Ok(()) => self.put(path, value),
            Err(reason) => Err((reason, value)),
        };
        let (path, old) = match put {
            Ok(Met::Value(old)) => (path.to_buf(), Some(old)),
            Ok(Met::Gap) => (path.to_buf(), None),
            Ok(Met::Element(index)) => (element(path.to_buf(), index), None),
            Err((reason, value)) => {
                let effort_left = std::mem::replace(&mut self.effort_left, u64::MAX);
                let back = self.put(&from, value);
                assert!(back.is_ok(), "what was just taken fits where it was");
                self.effort_left = effort_left;
                return Err(reason);
            }
        };
        if old.is_none() && !is_inside(&from, &path) {
            self.undo.push(PatchOperation::Move(MoveOperation { from: path, path: from }));
            return self.weigh();
        }
        // A move back is no JSON Patch where `from` lies inside `path`; and where an old value has
        // to come back to `path` as well, the two steps would shift each other's pointers. So the
        // inverse puts `path` in order first, and then adds the value at `from`, from a copy.
        let value = resolve(&self.document.root, &path).expect("the value was just put there");
        let measure = Measure::of(value);
        let value = value.clone();
        self.undo.push(PatchOperation::Add(AddOperation { path: from, value }));
        self.undo.push(match old {
            Some(old) => {
                self.document.weight -= Measure::of(&old).weight;
                PatchOperation::Replace(ReplaceOperation { path, value: old })
            }
            None => PatchOperation::Remove(RemoveOperation { path }),
        });
        self.weigh()?;
        spend(&mut self.effort_left, measure.weight)
    }

    /// Whether a value may be moved to where it lies deeper. One that does not sink cannot make the
    /// document too deep, and need not be measured.
    fn sink(&mut self, from: &Pointer, path: &Pointer, value: &Value) -> Result<(), Reason> {
        if path.count() <= from.count() {
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

    /// Puts `value` where `path` says, as an add does, and gives back what was there; or gives back
    /// the value where that cannot be. Of the document's weight it sees to the members' names only.
    fn put(&mut self, path: &Pointer, value: Value) -> Result<Met, (Reason, Value)> {
        let Document { root, weight } = &mut *self.document;
        let Some((parent, token)) = path.split_back() else {
            return Ok(Met::Value(std::mem::replace(root, value)));
        };
        match resolve_mut(root, parent) {
            Ok(Value::Object(members)) => match members.entry(token.decoded()) {
                serde_json::map::Entry::Occupied(mut member) => {
                    Ok(Met::Value(member.insert(value)))
                }
                serde_json::map::Entry::Vacant(gap) => {
                    *weight += name_weight(gap.key());
                    gap.insert(value);
                    Ok(Met::Gap)
                }
            },
            Ok(Value::Array(elements)) => {
                let length = elements.len();
                let index = if token.encoded() == "-" {
                    Ok(length)
                } else {
                    element_index(&token, length + 1, length)
                };
                match index.and_then(|index| {
                    spend(&mut self.effort_left, (length - index) as u64).map(|()| index)
                }) {
                    Ok(index) => {
                        elements.insert(index, value);
                        Ok(Met::Element(index))
                    }
                    Err(reason) => Err((reason, value)),
                }
            }
            Ok(scalar) => Err((not_a_container(scalar, &token), value)),
            Err(reason) => Err((reason, value)),
        }
    }

    /// Takes out the value at `path`, as a remove does. Of the document's weight it sees to the
    /// members' names only.
    fn take(&mut self, path: &Pointer) -> Result<Value, Reason> {
        let Document { root, weight } = &mut *self.document;
        let Some((parent, token)) = path.split_back() else {
            return Err(Reason::RemoveWhole);
        };
        match resolve_mut(root, parent)? {
            Value::Object(members) => {
                let name = token.decoded();
                let value = members
                    .remove(name.as_ref())
                    .ok_or_else(|| Reason::NoMember(name.clone().into_owned()))?;
                *weight -= name_weight(&name);
                Ok(value)
            }
            Value::Array(elements) => {
                let length = elements.len();
                let index = element_index(&token, length, length)?;
                spend(&mut self.effort_left, (length - index) as u64)?;
                Ok(elements.remove(index))
            }
            scalar => Err(not_a_container(scalar, &token)),
        }
    }
}

/// What a value weighs, and how many arrays and objects lie in one another in it.
#[derive(Clone, Copy)]
struct Measure {
    weight: u64,
    depth: usize,
}

impl Measure {
    fn of(value: &Value) -> Self {
        let mut inside = Self { weight: 0, depth: 0 };
        match value {
            Value::Array(elements) => {
                elements.iter().for_each(|element| inside.include(element));
                inside.depth += 1;
            }
            Value::Object(members) => {
                for (name, value) in members {
                    inside.weight += name_weight(name);
                    inside.include(value);
                }
                inside.depth += 1;
            }
            Value::String(text) => inside.weight = text.len() as u64,
            Value::Null | Value::Bool(_) | Value::Number(_) => (),
        }
        inside.weight += VALUE_WEIGHT;
        inside
    }

    fn include(&mut self, value: &Value) {
        let measure = Self::of(value);
        self.weight += measure.weight;
        self.depth = self.depth.max(measure.depth);
    }
}

fn name_weight(name: &str) -> u64 {
    VALUE_WEIGHT + name.len() as u64
}

/// Whether a value may stand at `path` without making the document too deep.
fn admit(path: &Pointer, measure: Measure) -> Result<(), Reason> {
    if path.count() + measure.depth <= MAX_DEPTH { Ok(()) } else { Err(Reason::TooDeep) }
}

fn spend(effort_left: &mut u64, effort: u64) -> Result<(), Reason> {
    *effort_left = effort_left.checked_sub(effort).ok_or(Reason::TooMuchEffort)?;
    Ok(())
}

/// Whether `inner` is a proper part of `outer`: whether `outer` is a proper prefix.
fn is_inside(inner: &Pointer, outer: &Pointer) -> bool {
    inner.as_str().strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// The pointer to the element `index` of the array in which `path` names one, as `-` or so.
fn element(mut path: PointerBuf, index: usize) -> PointerBuf {
    if path.last().is_some_and(|token| token.encoded() == "-") {
        path.pop_back();
        path.push_back(index);
    }
    path
}

/// The value at `path` (RFC 6901 section 4).
fn resolve<'a>(root: &'a Value, path: &Pointer) -> Result<&'a Value, Reason> {
    path.tokens().try_fold(root, |value, token| match value {
        Value::Object(members) => {
            let name = token.decoded();
            members.get(name.as_ref()).ok_or_else(|| Reason::NoMember(name.into_owned()))
        }
        Value::Array(elements) => {
            let index = element_index(&token, elements.len(), elements.len())?;
            Ok(&elements[index])
        }
        scalar => Err(not_a_container(scalar, &token)),
    })
}

fn resolve_mut<'a>(root: &'a mut Value, path: &Pointer) -> Result<&'a mut Value, Reason> {
    path.tokens().try_fold(root, |value, token| match value {
        Value::Object(members) => {
            let name = token.decoded();
            members.get_mut(name.as_ref()).ok_or_else(|| Reason::NoMember(name.into_owned()))
        }
        Value::Array(elements) => {
            let index = element_index(&token, elements.len(), elements.len())?;
            Ok(&mut elements[index])
        }
        scalar => Err(not_a_container(scalar, &token)),
    })
}

/// The index that `token` names, below `end`, in an array of `length` elements.
fn element_index(token: &Token, end: usize, length: usize) -> Result<usize, Reason> {
    let digits = token.encoded();
    let is_index = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if !is_index {
        return Err(Reason::NotAnIndex(token.decoded().into_owned()));
    }
    // Digits that no usize holds name an element that no array has.
    match digits.parse() {
        Ok(index) if index < end => Ok(index),
        _ => Err(Reason::NoElement { index: digits.to_owned(), length }),
    }
}

fn not_a_container(value: &Value, token: &Token) -> Reason {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Reason::NotAContainer { kind: kind.into(), token: token.decoded().into_owned() }
}

fn at_from(from: &Pointer, reason: Reason) -> Reason {
    match reason {
        // The effort is the whole patch's.
        Reason::TooMuchEffort => reason,
        _ => Reason::From { from: from.to_string(), reason: Box::new(reason) },
    }
}

/// The beginning of a value's JSON text.
fn excerpt(value: &Value) -> String {
    struct Beginning(Vec<u8>);
    impl Write for Beginning {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let room = EXCERPT_BYTES - self.0.len();
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() <= room {
                Ok(bytes.len())
            } else {
                Err(std::io::ErrorKind::WriteZero.into())
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut beginning = Beginning(Vec::with_capacity(EXCERPT_BYTES));
    let whole = serde_json::to_writer(&mut beginning, value).is_ok();
    // The cut may have parted a character.
    let text = beginning.0.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if whole { text.to_owned() } else { format!("{text}…") }
}
