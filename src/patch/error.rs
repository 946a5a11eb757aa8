//! Why a patch does not apply.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a patch does not apply, and where.
///
/// The same patch on the same document gives the same error on every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchError {
    /// The index of the operation that does not apply; none if the text as a whole is no JSON Patch.
    pub operation: Option<usize>,
    /// That operation's `path`, a JSON Pointer (RFC 6901); none if it has none that can be read.
    pub path: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why an operation does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The text is not a JSON Patch: what is wrong with it.
    Malformed(String),
    /// The object has no member of this name.
    NoMember(String),
    /// The array has no element at this index.
    NoElement {
        /// The index asked for, as written.
        index: String,
        /// How many elements there are.
        length: usize,
    },
    /// This token is not the index of an array's element: digits without a leading zero, or `-` if something
    /// is added.
    NotAnIndex(String),
    /// The pointer goes on into a value that is neither an object nor an array.
    NotAContainer {
        /// What it is: `a string`, `null`, and so on.
        kind: Cow<'static, str>,
        /// The token that cannot be followed.
        token: String,
    },
    /// The value is not the one that the `test` asks for; this is the beginning of the one found.
    TestFailed(String),
    /// The reason concerns the operation's `from`.
    From {
        /// The operation's `from`.
        from: String,
        /// Why.
        reason: Box<Reason>,
    },
    /// A `move` of a value to a place inside itself.
    MoveIntoItself,
    /// A removal of the whole document: a snapshot is always a value.
    RemoveWhole,
    /// The document would be nested too deep.
    TooDeep,
    /// The document would weigh too much.
    TooHeavy,
    /// The patch copies too much.
    TooMuchCopied,
    /// The patch is never applied: it arrived when its time was final for long.
    Void,
}

impl PatchError {
    /// The error of a patch that arrived more than a horizon late, and so is skipped for ever.
    pub const VOID: Self = Self { operation: None, path: None, reason: Reason::Void };

    /// Cuts its texts to `most` bytes each, with an ellipsis in place of the rest: one path may fill a
    /// payload of 1 MiB.
    pub fn cut(&mut self, most: usize) {
        if let Some(path) = &mut self.path {
            cut(path, most);
        }
        self.reason.cut(most);
    }

    /// Whether the text is no JSON Patch at all, so that it applies to no document.
    pub fn is_malformed(&self) -> bool {
        matches!(self.reason, Reason::Malformed(_))
    }
}

impl Reason {
    fn cut(&mut self, most: usize) {
        match self {
            Self::Malformed(text)
            | Self::NoMember(text)
            | Self::NoElement { index: text, .. }
            | Self::NotAnIndex(text)
            | Self::NotAContainer { token: text, .. }
            | Self::TestFailed(text) => cut(text, most),
            Self::From { from, reason } => {
                cut(from, most);
                reason.cut(most);
            }
            Self::MoveIntoItself
            | Self::RemoveWhole
            | Self::TooDeep
            | Self::TooHeavy
            | Self::TooMuchCopied
            | Self::Void => (),
        }
    }
}

/// Cuts a text to `most` bytes, with an ellipsis in place of the rest.
fn cut(text: &mut String, most: usize) {
    const ELLIPSIS: char = '…';
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len_utf8())));
        text.push(ELLIPSIS);
        // The error is kept for long, and must not keep the memory of the rest.
        text.shrink_to_fit();
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.operation {
            write!(f, "operation {operation}")?;
            if let Some(path) = &self.path {
                write!(f, " at {path:?}")?;
            }
            f.write_str(": ")?;
        }
        self.reason.fmt(f)
    }
}

impl std::error::Error for PatchError {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => f.write_str(what),
            Self::NoMember(name) => write!(f, "there is no member {name:?}"),
            Self::NoElement { index, length: 1 } => {
                write!(f, "there is no element {index}: the array has 1 element")
            }
            Self::NoElement { index, length } => {
                write!(f, "there is no element {index}: the array has {length} elements")
            }
            Self::NotAnIndex(token) => write!(f, "{token:?} is not the index of an element"),
            Self::NotAContainer { kind, token } => {
                write!(f, "there is nothing below {kind}, so no {token:?}")
            }
            Self::TestFailed(found) => write!(f, "the value is not as tested, it is {found}"),
            Self::From { from, reason } => write!(f, "from {from:?}: {reason}"),
            Self::MoveIntoItself => f.write_str("a value cannot be moved into itself"),
            Self::RemoveWhole => f.write_str("the whole document cannot be removed"),
            Self::TooDeep => f.write_str("the document would be nested too deep"),
            Self::TooHeavy => f.write_str("the document would be too large"),
            Self::TooMuchCopied => f.write_str("the patch copies too much"),
            Self::Void => f.write_str("it became known when all of its time was final for long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_others_stay() {
        let long = "ü".repeat(1000);
        let from =
            Reason::From { from: long.clone(), reason: Box::new(Reason::NoMember(long.clone())) };
        let mut error = PatchError { operation: Some(3), path: Some(long.clone()), reason: from };
        error.cut(200);
        let short = "ü".repeat(98) + "…";
        assert_eq!(short.len(), 199);
        let from =
            Reason::From { from: short.clone(), reason: Box::new(Reason::NoMember(short.clone())) };
        assert_eq!(error, PatchError { operation: Some(3), path: Some(short), reason: from });
        let kept = error.clone();
        error.cut(199);
        assert_eq!(error, kept);
        for reason in [
            Reason::Malformed(long.clone()),
            Reason::NoElement { index: long.clone(), length: 7 },
            Reason::NotAnIndex(long.clone()),
            Reason::NotAContainer { kind: "null".into(), token: long.clone() },
            Reason::TestFailed(long.clone()),
        ] {
            let mut error = PatchError { operation: None, path: None, reason };
            error.cut(50);
            assert!(error.to_string().len() < 150, "{error}");
        }
    }
}
