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
pub use client_command::{ClientCommand, ClientOrder, Input, PartChange, PrintForm, Write};
pub use commands::{COMMANDS, flags};
pub use help::help;
pub use rows::{Argument, CommandEntry, Count, Exit, Flag, ValueEntry, ValueKind};
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
        /// What is to be done about what it lacks.
        mend: Option<Mend>,
    },
    /// Copy a journal to a file.
    Backup {
        /// Whose journal.
        from: BackupFrom,
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Make a data directory from such a file.
    Restore {
        /// The file.
        file: PathBuf,
        /// The directory, without a journal.
        data: PathBuf,
        /// The node's name; none if it stays.
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

/// What a running node is told about its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeersOrder {
    /// To say which it has.
    List,
    /// To receive from this one too.
    Add(Peer),
    /// To receive from this one no more.
    Remove(Peer),
}

/// What is to be done with a directory that has lost something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Go on with what is there, under a new life.
    NewLife,
    /// Make a new journal of what a peer has and of what can still be read.
    RebuildFrom {
        /// The peer.
        peer: Remote,
        /// The node's name; none if it stays.
        name: Option<String>,
        /// Whether to go on though something that was acknowledged is nowhere.
        despite_loss: bool,
    },
}

/// Whose journal is backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupFrom {
    /// That of a data directory which no node uses.
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
    /// What it wants to be presented.
    pub token: Option<String>,
    /// The file whose first token is that. Then `token` is none until it is read.
    pub token_file: Option<PathBuf>,
    /// What it is shown and checked by, if it speaks TLS.
    pub tls: TlsFiles,
}

/// The files of TLS, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// What this program shows of itself, and a node needs to speak TLS.
    pub own: Option<OwnFiles>,
    /// The certificates by which others are checked; none if those are that the system trusts.
    pub ca: Option<PathBuf>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, and behind it those between it and the CA's.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Of which origins besides a node's own web pages may use its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Of these, each `scheme://host` or `scheme://host:port` as browsers write it: in lower case, without the port
    /// that the scheme has anyway.
    These(Vec<String>),
    /// Of all.
    All,
}

impl Default for Origins {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

/// How a node is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens: `host:port`.
    pub address: String,
    /// The nodes it dials, each once, without itself.
    pub peers: Vec<Peer>,
    /// The node's name, from which each life's source is made; none if it is the address.
    pub name: Option<String>,
    /// Where the journal is kept; none if it is in memory.
    pub data: Option<PathBuf>,
    /// What clients and peers must present, and what is sent to peers.
    pub token: Option<String>,
    /// The file of tokens with rights that takes the place of `token`, which is none then.
    pub token_file: Option<PathBuf>,
    /// The other origins whose pages may use the interface.
    pub origins: Origins,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How many threads run its tasks.
    pub threads: usize,
    /// How many connections it answers at the same time.
    pub connections: usize,
    /// Whether it is set up as the primary. Then `data` is not none.
    pub is_primary: bool,
    /// For how long what is final is kept as single transactions.
    pub keep: Duration,
    /// How old a transaction may be when it comes to be final, if this node is the primary. It may be shorter than
    /// `keep`: the one is about what all nodes leave out, the other about what this one remembers.
    pub horizon: Duration,
    /// What it shows and checks by TLS; if it shows nothing, it listens without TLS.
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

/// Reads the arguments after the program's name, and the variables of `environment` for what they do not say.
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
