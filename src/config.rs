//! The command line: one table of commands and flags, a documented [`Config`], and a pure [`parse`].

mod address;
mod client_command;
mod commands;
mod flags;
mod given;
mod help;
mod interpret;
mod rows;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use given::{Given, Invocation};

pub use crate::log_format::LogFormat;
pub use address::{Peer, authority, host_and_port};
pub use client_command::{ClientCommand, ClientOrder, Input, PrintForm, Write, WriteKind};
#[cfg(feature = "internals")]
pub use commands::{COMMANDS, flags};
pub use help::help;
pub use rows::Exit;
#[cfg(feature = "internals")]
pub use rows::{Argument, ArgumentKind, CommandEntry, Count, Flag};
pub use values::first_token;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a node.
    Run(Config),
    /// Check a data directory.
    Verify {
        /// The directory.
        data: PathBuf,
        /// How to mend it, if it has lost something.
        mend: Option<Mend>,
    },
    /// Copy a journal to a file.
    Backup {
        /// Which journal.
        from: BackupFrom,
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Make a data directory from a backup.
    Restore {
        /// The file.
        file: PathBuf,
        /// The directory, which has no journal yet.
        data: PathBuf,
        /// The new name of the node; none to keep the old one.
        name: Option<String>,
    },
    /// Have a running node begin the next epoch as the primary.
    Promote {
        /// The node.
        node: Remote,
    },
    /// List or change the peers of a running node.
    Peers {
        /// The node.
        node: Remote,
        /// What is to be done.
        order: PeersOrder,
    },
    /// Do something as a client of running nodes.
    Client(ClientCommand),
    /// Print this.
    Help(String),
    /// Print the version.
    Version,
}

/// A change to the peers of a running node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeersOrder {
    /// List them.
    List,
    /// Add this one: the node receives from it too.
    Add(Peer),
    /// Remove this one.
    Remove(Peer),
}

/// How to mend a directory that has lost something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Go on with the rest, under a new life.
    NewLife,
    /// Make a new journal from a peer's journal and from what can still be read.
    RebuildFrom {
        /// The peer.
        peer: Remote,
        /// The new name of the node; none to keep the old one.
        name: Option<String>,
        /// Whether to go on even if an acknowledged transaction is nowhere.
        despite_loss: bool,
    },
}

/// Which journal is backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupFrom {
    /// That of a data directory that no node uses.
    Directory(PathBuf),
    /// That of a running node.
    Node(Remote),
}

/// A running node, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it listens: `host:port`.
    pub address: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The token that it is shown.
    pub token: Option<String>,
    /// The file whose first token that is. Then `token` is none until the file is read.
    pub token_file: Option<PathBuf>,
    /// The files of TLS, if it speaks TLS.
    pub tls: TlsFiles,
}

/// The files of TLS, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that this program shows. A node without one does not speak TLS.
    pub own: Option<OwnFiles>,
    /// The CA certificates that are trusted; none for those of the system.
    pub ca: Option<PathBuf>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, followed by those between it and the CA.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The other origins whose web pages may use a node's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// These, each as `scheme://host` or `scheme://host:port`, as browsers write it: in lower case, and without
    /// the default port of the scheme.
    These(Vec<String>),
    /// All.
    All,
}

impl Default for Origins {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens: `host:port`.
    pub address: String,
    /// The nodes that it dials, each once, without itself.
    pub peers: Vec<Peer>,
    /// The name of the node, from which each life's source is made; none if it is the address.
    pub name: Option<String>,
    /// The data directory; none if the journal is in memory.
    pub data: Option<PathBuf>,
    /// The token that clients and peers must present, and that is sent to peers.
    pub token: Option<String>,
    /// A file of tokens with rights. If there is one, `token` is none.
    pub token_file: Option<PathBuf>,
    /// The other origins whose web pages may use the interface.
    pub origins: Origins,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How many threads run its tasks.
    pub threads: usize,
    /// How many connections it has at most.
    pub connections: usize,
    /// Whether it is started as the primary. Then `data` is not none.
    pub is_primary: bool,
    /// How long final transactions are kept one by one.
    pub keep: Duration,
    /// How old a transaction may be when it reaches this node, if it is the primary; an older one is void. It
    /// may be shorter than `keep`: this is about what all nodes leave out, `keep` about what this node
    /// remembers.
    pub horizon: Duration,
    /// The files of TLS. Without a certificate of its own it listens without TLS.
    pub tls: TlsFiles,
}

/// What is wrong with a command line, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Reads the arguments behind the program's name. A flag that they do not have may be a variable of
/// `environment`.
///
/// # Errors
/// The first argument or variable that is wrong, and why.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    match Given::read(arguments, environment)? {
        Invocation::Do(given) => (given.command.read)(&given),
        Invocation::Help(command) => Ok(Command::Help(help(command))),
        Invocation::Version => Ok(Command::Version),
    }
}

impl Command {
    /// The running nodes that it talks to.
    pub fn remotes_mut(&mut self) -> &mut [Remote] {
        match self {
            Self::Client(command) => &mut command.nodes,
            Self::Promote { node }
            | Self::Peers { node, .. }
            | Self::Backup { from: BackupFrom::Node(node), .. }
            | Self::Verify { mend: Some(Mend::RebuildFrom { peer: node, .. }), .. } => {
                std::slice::from_mut(node)
            }
            _ => &mut [],
        }
    }
}

fn usage(error: impl fmt::Display) -> UsageError {
    UsageError(error.to_string())
}

#[cfg(test)]
mod tests;
