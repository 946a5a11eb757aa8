//! What an operation that does not apply needs of the document, and which operations can have changed that.

use super::error::{PatchError, Reason};
use super::operation::{Operation, Patch};
use super::pointer::below;
use super::{Document, PointerBuf, find};
use crate::document::{Value, ValueKind, equal};

/// How many operations of a patch are tried, if their paths do not say which one it was: each may take a
/// comparison of large values.
const MOST_LOOKS: usize = 1000;

/// What an operation needs of the document.
///
/// A `test`, `replace` or `remove` needs the value at its path, a `move` or `copy` that at its `from`. A
/// value that is added needs a container with room: an object, or an array that is long enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// Where it is needed.
    pointer: PointerBuf,
    what: Needed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Needed {
    /// The value.
    Value,
    /// A container with room: an object, or an array of at least this many elements; none if no array will do.
    Room(Option<usize>),
}

/// Why an operation does not apply, if the content of the document is not the reason.
#[derive(Clone, Debug, PartialEq)]
pub enum NoRequirement {
    /// It applies to no document.
    Never,
    /// The document would be too large.
    TooLarge,
    /// The patch itself had changed what is at this place.
    Own(PointerBuf),
}

/// What an operation of a patch does at a place.
enum PatchStep {
    /// It makes what is there, or takes it away.
    Made(PointerBuf),
    /// It puts an element into an array, at an index.
    Put(PointerBuf, usize),
    /// It takes that element away.
    Taken(PointerBuf, usize),
}

impl PatchStep {
    /// What the operation removes from the document, if it removes something.
    fn taken(operation: &Operation, before: &Document) -> Option<Self> {
        let (Operation::Remove { path } | Operation::Move { from: path, .. }) = operation else {
            return None;
        };
        let element = element(path, before).map(|(array, index)| Self::Taken(array, index));
        Some(element.unwrap_or_else(|| Self::Made(path.clone())))
    }

    /// What the operation has put into the document, if it has.
    fn put(operation: &Operation, after: &Document) -> Option<Self> {
        use Operation::{Add, Copy, Move, Remove, Replace, Test};
        match operation {
            Test { .. } | Remove { .. } => None,
            Replace { path, .. } => Some(Self::Made(path.clone())),
            Add { path, .. } | Move { path, .. } | Copy { path, .. } => {
                let element = element(path, after).map(|(array, index)| Self::Put(array, index));
                Some(element.unwrap_or_else(|| Self::Made(path.clone())))
            }
        }
    }
}

/// Which element of which array is at a path, if one is: `-` is the last one.
fn element(path: &PointerBuf, document: &Document) -> Option<(PointerBuf, usize)> {
    let (array, token) = path.split_back()?;
    let found = find(document.root(), array).filter(|value| value.kind() == ValueKind::Array)?;
    let index = match token.encoded() {
        "-" => found.len().checked_sub(1),
        index => index_of(index),
    };
    Some((array.to_owned(), index?))
}

fn index_of(token: &str) -> Option<usize> {
    token.parse::<usize>().ok().filter(|index| index.to_string() == token)
}

/// What is at the place where an operation needs something.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Nothing.
    Nothing,
    /// This value, if a value is needed.
    Value(Value),
    /// An object, if room is needed.
    Object,
    /// An array, if room is needed, and whether it has room.
    Array(bool),
    /// A value that is no container, if room is needed.
    NoContainer,
}

impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(left), Self::Value(right)) => equal(left, right),
            (Self::Array(left), Self::Array(right)) => left == right,
            (left, right) => std::mem::discriminant(left) == std::mem::discriminant(right),
        }
    }
}

impl Requirement {
    /// What a patch that does not apply to the document needs of it. If its own operations have inserted or
    /// removed elements of an array before, the place is the one that it was before them.
    ///
    /// # Errors
    /// If it needs nothing.
    pub fn of(patch: &Patch, document: &Document) -> Result<Self, NoRequirement> {
        let failed = document.clone().apply(patch.clone()).err();
        let Some(PatchError { operation: Some(number), reason, .. }) = failed else {
            return Err(NoRequirement::Never);
        };
        let operation = &patch.0[number];
        let need = Self::of_operation(operation, &reason)?;
        // The operations before that one, and its own first step.
        let mut own = patch.0[..number].to_vec();
        if let (Operation::Move { from, .. }, Needed::Room(_)) = (operation, need.what) {
            own.push(Operation::Remove { path: from.clone() });
        }
        let (mut then, mut steps) = (document.clone(), Vec::new());
        for operation in own {
            let from = PatchStep::taken(&operation, &then);
            let put = operation.clone();
            then.apply(Patch(vec![operation])).expect("they applied before the one that failed");
            steps.extend(from.into_iter().chain(PatchStep::put(&put, &then)));
        }
        let seen = need.seen(&then);
        let pointer = need.pointer.clone();
        let first = steps.iter().rev().try_fold(need, Self::before);
        first.filter(|first| first.seen(document) == seen).ok_or(NoRequirement::Own(pointer))
    }

    /// What was needed before a step of the patch; none if the step itself made what is there.
    fn before(mut self, step: &PatchStep) -> Option<Self> {
        let (array, index, is_put) = match step {
            PatchStep::Made(path) => {
                let (own, path) = (self.pointer.as_str(), path.as_str());
                return below(own, path).is_none().then_some(self);
            }
            PatchStep::Put(array, index) => (array, *index, true),
            PatchStep::Taken(array, index) => (array, *index, false),
        };
        if let (true, Needed::Room(Some(least))) = (*array == self.pointer, &mut self.what) {
            *least = if is_put { least.saturating_sub(1) } else { least.saturating_add(1) };
        }
        let inner = self.pointer.as_str().strip_prefix(array.as_str());
        let Some(inner) = inner.and_then(|inner| inner.strip_prefix('/')) else {
            return Some(self);
        };
        let (token, rest) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
        let Some(own) = index_of(token).filter(|own| *own >= index) else { return Some(self) };
        let own = match is_put {
            true if own == index => return None,
            true => own - 1,
            false => own.checked_add(1)?,
        };
        self.pointer = PointerBuf::parse(format!("{array}/{own}{rest}")).ok()?;
        Some(self)
    }

    fn of_operation(operation: &Operation, reason: &Reason) -> Result<Self, NoRequirement> {
        use Operation::{Add, Copy, Move, Remove, Replace, Test};
        let value =
            |pointer: &PointerBuf| Ok(Self { pointer: pointer.clone(), what: Needed::Value });
        match (reason, operation) {
            (Reason::MoveIntoItself | Reason::RemoveWhole, _) => Err(NoRequirement::Never),
            (Reason::TooHeavy, _) => Err(NoRequirement::TooLarge),
            (
                Reason::From { .. } | Reason::TooDeep | Reason::TooMuchCopied,
                Move { from, .. } | Copy { from, .. },
            ) => value(from),
            // What it puts there is too deep for that place in any document.
            (Reason::TooDeep, _) => Err(NoRequirement::Never),
            (_, Test { path, .. } | Replace { path, .. } | Remove { path }) => value(path),
            (_, Add { path, .. } | Move { path, .. } | Copy { path, .. }) => {
                let (container, token) = path.split_back().ok_or(NoRequirement::Never)?;
                let least = match token.encoded() {
                    "-" => Some(0),
                    index => index_of(index),
                };
                Ok(Self { pointer: container.to_owned(), what: Needed::Room(least) })
            }
        }
    }

    /// The place of the value that is needed, or of the container that has to have room.
    pub fn pointer(&self) -> &PointerBuf {
        &self.pointer
    }

    /// What is there. Values share memory with the document.
    pub fn seen(&self, document: &Document) -> Finding {
        let Some(value) = find(document.root(), &self.pointer) else { return Finding::Nothing };
        match (self.what, value.kind()) {
            (Needed::Value, _) => Finding::Value(value.clone()),
            (Needed::Room(_), ValueKind::Object) => Finding::Object,
            (Needed::Room(least), ValueKind::Array) => {
                Finding::Array(least.is_some_and(|least| value.len() >= least))
            }
            (Needed::Room(_), _) => Finding::NoContainer,
        }
    }

    /// Whether the operation may change what is there, as far as its paths say. If not, it does not change
    /// it.
    pub fn may_be_changed_by(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Test { .. } => false,
            Operation::Replace { path, .. } => self.is_related(path),
            Operation::Add { path, .. }
            | Operation::Remove { path }
            | Operation::Copy { path, .. } => self.is_moved(path),
            Operation::Move { from, path } => self.is_moved(from) || self.is_moved(path),
        }
    }

    /// Whether the two places are the same, or one is inside the other.
    fn is_related(&self, path: &PointerBuf) -> bool {
        let (own, path) = (self.pointer.as_str(), path.as_str());
        below(own, path).is_some() || below(path, own).is_some()
    }

    /// The same; or an element that comes to `path` or leaves it may move it to another index.
    fn is_moved(&self, path: &PointerBuf) -> bool {
        let is_index =
            |token: &str| token == "-" || token.bytes().all(|byte| byte.is_ascii_digit());
        let is_beside = |(array, token): (&str, &str)| {
            let inner =
                self.pointer.as_str().strip_prefix(array).and_then(|rest| rest.strip_prefix('/'));
            is_index(token)
                && inner.is_some_and(|inner| is_index(inner.split('/').next().unwrap_or(inner)))
        };
        self.is_related(path) || path.as_str().rsplit_once('/').is_some_and(is_beside)
    }

    /// The last operation of a patch that changes what is there; none if no operation does, or if it takes
    /// too long to find out. The patch applies to the document.
    pub fn changed_at(&self, patch: Patch, mut document: Document) -> Option<usize> {
        let may_be_it = |operation: &&Operation| self.may_be_changed_by(operation);
        if patch.0.iter().filter(may_be_it).count() > MOST_LOOKS {
            return None;
        }
        let (mut seen, mut last) = (self.seen(&document), None);
        for (number, operation) in patch.0.into_iter().enumerate() {
            let may_be_it = self.may_be_changed_by(&operation);
            document.apply(Patch(vec![operation])).ok()?;
            if !may_be_it {
                continue;
            }
            let now = self.seen(&document);
            if now != seen {
                (seen, last) = (now, Some(number));
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    fn document(text: &str) -> Document {
        Document::new(serde_json::from_str::<Value>(text).unwrap()).unwrap()
    }

    #[test]
    fn an_operation_needs_a_value_or_room_at_a_place() {
        let own = |pointer: &str| Err(NoRequirement::Own(PointerBuf::parse(pointer).unwrap()));
        let at = |pointer: &str| Ok((pointer.to_owned(), Needed::Value));
        let room = |pointer: &str, least| Ok((pointer.to_owned(), Needed::Room(least)));
        for (text, patch, expected) in [
            ("{}", r#"[{"op":"test","path":"/a/b","value":1}]"#, at("/a/b")),
            (r#"{"a":2}"#, r#"[{"op":"test","path":"/a","value":1}]"#, at("/a")),
            ("{}", r#"[{"op":"replace","path":"/a","value":1}]"#, at("/a")),
            ("{}", r#"[{"op":"remove","path":"/a"}]"#, at("/a")),
            ("{}", r#"[{"op":"add","path":"/a/b/c","value":1}]"#, room("/a/b", None)),
            (r#"{"a":1}"#, r#"[{"op":"add","path":"/a/-","value":1}]"#, room("/a", Some(0))),
            (r#"{"a":[]}"#, r#"[{"op":"add","path":"/a/2","value":1}]"#, room("/a", Some(2))),
            (r#"{"a":[]}"#, r#"[{"op":"add","path":"/a/02","value":1}]"#, room("/a", None)),
            ("{}", r#"[{"op":"move","from":"/a","path":"/b"}]"#, at("/a")),
            ("{}", r#"[{"op":"copy","from":"/a","path":"/b/c"}]"#, at("/a")),
            (r#"{"a":1}"#, r#"[{"op":"move","from":"/a","path":"/b/c"}]"#, room("/b", None)),
            (r#"{"a":1}"#, r#"[{"op":"copy","from":"/a","path":"/b/c"}]"#, room("/b", None)),
            // The moved element is one of those that the array has to have.
            (
                r#"{"a":[1,2]}"#,
                r#"[{"op":"move","from":"/a/0","path":"/a/2"}]"#,
                room("/a", Some(3)),
            ),
            // The patch itself changed it.
            (
                r#"{"a":1}"#,
                r#"[{"op":"replace","path":"/a","value":2},{"op":"test","path":"/a","value":1}]"#,
                own("/a"),
            ),
            (
                r#"{"a":[1,2]}"#,
                r#"[{"op":"remove","path":"/a/0"},{"op":"test","path":"/a/0","value":1}]"#,
                at("/a/1"),
            ),
            (
                r#"{"a":[1]}"#,
                r#"[{"op":"move","from":"/a","path":"/b"},{"op":"add","path":"/a/-","value":1}]"#,
                own("/a"),
            ),
            (
                r#"{"a":1}"#,
                r#"[{"op":"add","path":"/b","value":2},{"op":"test","path":"/a","value":2}]"#,
                at("/a"),
            ),
            ("{}", r#"[{"op":"remove","path":""}]"#, Err(NoRequirement::Never)),
            (
                r#"{"a":{}}"#,
                r#"[{"op":"move","from":"/a","path":"/a/b"}]"#,
                Err(NoRequirement::Never),
            ),
            (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":1}]"#, Err(NoRequirement::Never)),
            // The patch itself made it, whatever was there before.
            (
                "{}",
                r#"[{"op":"add","path":"/a","value":{}},{"op":"replace","path":"/a/b","value":2}]"#,
                own("/a/b"),
            ),
            (
                "[{}]",
                r#"[{"op":"add","path":"/0","value":{}},{"op":"test","path":"/0/b","value":2}]"#,
                own("/0/b"),
            ),
            // The patch moved the element itself: the place is the one before that.
            (
                r#"{"l":["y"]}"#,
                r#"[{"op":"add","path":"/l/0","value":"n"},{"op":"test","path":"/l/1","value":"x"}]"#,
                at("/l/0"),
            ),
            (
                r#"{"l":["b"]}"#,
                r#"[{"op":"remove","path":"/l/0"},{"op":"remove","path":"/l/0"}]"#,
                at("/l/1"),
            ),
            (
                r#"{"l":[{},{},{}],"m":[]}"#,
                r#"[{"op":"add","path":"/l/-","value":1},{"op":"move","from":"/l/0","path":"/m/0"},
                    {"op":"remove","path":"/l/2"},{"op":"test","path":"/l/1/x","value":"x"}]"#,
                at("/l/2/x"),
            ),
            (
                r#"{"l":{"1":[]}}"#,
                r#"[{"op":"add","path":"/l/0","value":1},{"op":"test","path":"/l/1/0","value":1}]"#,
                at("/l/1/0"),
            ),
            (
                r#"{"a":[1]}"#,
                r#"[{"op":"add","path":"/a/0","value":1},{"op":"add","path":"/a/3","value":1}]"#,
                room("/a", Some(2)),
            ),
        ] {
            let need = Requirement::of(&parse(patch).unwrap(), &document(text));
            let found = need.map(|need| (need.pointer.to_string(), need.what));
            assert_eq!(found, expected, "{text} {patch}");
        }
    }

    #[test]
    fn a_finding_changes_only_if_the_need_does() {
        let need = |pointer: &str, what| Requirement {
            pointer: PointerBuf::parse(pointer).unwrap(),
            what,
        };
        for (pointer, what, before, after, is_changed) in [
            ("/a", Needed::Value, "{}", r#"{"b":1}"#, false),
            ("/a", Needed::Value, "{}", r#"{"a":null}"#, true),
            ("/a", Needed::Value, r#"{"a":1}"#, r#"{"a":1.0}"#, false),
            ("/a", Needed::Value, r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#, true),
            ("/a/1", Needed::Value, r#"{"a":[1,2]}"#, r#"{"a":[0,1,2]}"#, true),
            ("/a/1", Needed::Value, r#"{"a":[1,1]}"#, r#"{"a":[1,1,1]}"#, false),
            ("/a", Needed::Room(None), r#"{"a":{}}"#, r#"{"a":{"b":2}}"#, false),
            ("/a", Needed::Room(None), r#"{"a":{}}"#, r#"{"a":[]}"#, true),
            ("/a", Needed::Room(None), r#"{"a":1}"#, r#"{"a":"x"}"#, false),
            ("/a", Needed::Room(None), r#"{"a":1}"#, "{}", true),
            ("/a", Needed::Room(Some(2)), r#"{"a":[1,2,3]}"#, r#"{"a":[1,2]}"#, false),
            ("/a", Needed::Room(Some(2)), r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, true),
        ] {
            let need = need(pointer, what);
            let is_other = need.seen(&document(before)) != need.seen(&document(after));
            assert_eq!(is_other, is_changed, "{pointer} {what:?} {before} {after}");
        }
    }

    #[test]
    fn the_last_operation_that_changed_it_is_told_unless_too_many_may_have() {
        for (others, same, expected) in [(5000, 0, Some(5000)), (0, 999, Some(0)), (0, 1000, None)]
        {
            let mut operations = vec![r#"{"op":"add","path":"/b","value":1}"#; others];
            operations.extend(vec![r#"{"op":"replace","path":"/l/1","value":7}"#; same + 1]);
            let patch = parse(&format!("[{}]", operations.join(","))).unwrap();
            let need =
                Requirement { pointer: PointerBuf::parse("/l").unwrap(), what: Needed::Value };
            assert_eq!(need.changed_at(patch, document(r#"{"l":[1,2]}"#)), expected);
        }
    }

    #[test]
    fn operations_are_ruled_out_by_their_paths() {
        for (pointer, patch, expected) in [
            ("/a/b", r#"[{"op":"add","path":"/a","value":1}]"#, true),
            ("/a/b", r#"[{"op":"add","path":"/a/b/c","value":1}]"#, true),
            ("/a/b", r#"[{"op":"replace","path":"","value":1}]"#, true),
            ("/a/b", r#"[{"op":"test","path":"/a/b","value":1}]"#, false),
            ("/a/b", r#"[{"op":"add","path":"/a/bc","value":1}]"#, false),
            ("/a/b", r#"[{"op":"move","from":"/x","path":"/a"}]"#, true),
            ("/a/b", r#"[{"op":"move","from":"/a","path":"/x"}]"#, true),
            ("/a/b", r#"[{"op":"copy","from":"/a","path":"/x"}]"#, false),
            ("/a/7/b", r#"[{"op":"remove","path":"/a/0"}]"#, true),
            ("/a/7/b", r#"[{"op":"add","path":"/a/-","value":1}]"#, true),
            ("/a/7/b", r#"[{"op":"replace","path":"/a/0","value":1}]"#, false),
            ("/a/7/b", r#"[{"op":"remove","path":"/a/x"}]"#, false),
            ("/a/7/b", r#"[{"op":"remove","path":"/a/7/c/0"}]"#, false),
            ("/0", r#"[{"op":"remove","path":"/1"}]"#, true),
            ("", r#"[{"op":"remove","path":"/1"}]"#, true),
        ] {
            let need =
                Requirement { pointer: PointerBuf::parse(pointer).unwrap(), what: Needed::Value };
            let Patch(operations) = parse(patch).unwrap();
            assert_eq!(need.may_be_changed_by(&operations[0]), expected, "{pointer} {patch}");
        }
    }
}
