//! Commands that are clients of running nodes.

use std::path::PathBuf;
use std::time::Duration;

use super::Remote;

/// A command that is a client of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCommand {
    /// The nodes, at least one. If one does not answer, the next one is asked. [`ClientOrder::Status`] and
    /// [`ClientOrder::Wait`] are about all of them.
    pub nodes: Vec<Remote>,
    /// What is to be done.
    pub order: ClientOrder,
    /// How long nodes are asked before the command fails. A write with [`Write::is_committed`] and
    /// [`ClientOrder::Wait`] wait so long in all; [`ClientOrder::Watch`] gives up if it has reached no node for
    /// so long.
    pub timeout: Duration,
}

/// What is to be done. Each pointer is a valid JSON Pointer; "" is the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOrder {
    /// Print a part.
    Get {
        /// Which one.
        pointer: String,
        /// Whether as it is final (`at=committed`).
        is_committed: bool,
        /// How it is printed.
        form: PrintForm,
    },
    /// Change a part.
    Write(Write),
    /// Open a part in an editor, and send the changes.
    Edit {
        /// Which one.
        pointer: String,
        /// Whether to wait until it is final.
        is_committed: bool,
    },
    /// Print a part now and at each change, a line each.
    Watch {
        /// Which one.
        pointer: String,
        /// How it is printed: on one line, so not [`PrintForm::Pretty`].
        form: PrintForm,
    },
    /// Set a part to a document of any size, in as many transactions as that takes.
    Import {
        /// Which one.
        pointer: String,
        /// The document: never [`Input::Text`].
        input: Input,
        /// Whether to wait until it is final.
        is_committed: bool,
    },
    /// Write a part to a file.
    Export {
        /// Which one.
        pointer: String,
        /// The file; none is standard output.
        file: Option<PathBuf>,
        /// Whether as it is final (`at=committed`).
        is_committed: bool,
        /// How it is written: not [`PrintForm::Raw`].
        form: PrintForm,
    },
    /// Print how the nodes are, a line each.
    Status {
        /// Whether each line is a JSON object.
        is_json: bool,
    },
    /// Wait until all of the nodes are ready, and perhaps for a transaction.
    Wait {
        /// The transaction that they must have, by its source and Id.
        transaction: Option<(String, u64)>,
        /// Whether that transaction must be final; without one, everything that the node has at first.
        is_committed: bool,
    },
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The part that is changed.
    pub pointer: String,
    /// The change.
    pub change: WriteKind,
    /// Whether to wait until it is final (`wait=committed`).
    pub is_committed: bool,
}

/// A change of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// It is set to this value, whether or not there was one.
    Set(Input),
    /// This merge patch (RFC 7396) is applied to it.
    Merge(Input),
    /// This JSON Patch (RFC 6902), whose paths are relative to it, is applied to it.
    Patch(Input),
    /// It is removed.
    Remove,
}

/// Where JSON is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The argument itself, which is JSON.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintForm {
    /// As JSON on one line.
    #[default]
    Compact,
    /// As JSON, a member or element a line.
    Pretty,
    /// A string as its text, without quotes; all else as JSON on one line.
    Raw,
}
