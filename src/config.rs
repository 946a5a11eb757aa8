//! The command line: a documented [`Config`] and a pure [`parse`].

mod address;
mod options;
mod order;

use std::ffi::OsString;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use address::{check_address, node_url, parse_peer};
use options::{Options, text};

pub use crate::log_format::LogFormat;
pub use address::{Peer, authority, host_and_port};
pub use order::{Change, ClientCommand, Form, Input, Order, Write};

/// What `--help` prints.
pub const HELP: &str = "\
patchmesh: one JSON document, kept on several nodes at once

Usage: patchmesh ADDRESS [PEER ...] [OPTIONS]
       patchmesh verify DIR [--new-life]
                        [--rebuild-from PEER [--token TOKEN] [--source NAME]]
       patchmesh backup DIR|http://host:port FILE [--token TOKEN]
       patchmesh restore FILE DIR [--source NAME]
       patchmesh promote http://host:port [--token TOKEN]
       patchmesh peers list|add|remove http://host:port [PEER] [--token TOKEN]
       With TLS: https://host:port, wss://host:port, and the options --tls-...

  ADDRESS            host:port to listen on; port 0 takes a free one
  PEER               host:port or ws://host:port of a node to receive from, or
                     wss://host:port if it speaks TLS; several as arguments of
                     their own or separated by commas

Options:
  --source NAME      this node's name [default: ADDRESS]
  --data DIR         keep the journal in DIR [default: in memory, until the node ends]
  --token TOKEN      what clients and peers must present; also sent to peers
                     [default: the environment variable PATCHMESH_TOKEN, else none;
                     prefer that: everyone on the machine sees a command line]
  --token-file FILE  instead, the tokens in FILE; what talks to a node shows the first
  --allow-origin ORIGIN
                     let web pages of ORIGIN, as https://app.example, use this node;
                     again for more, * for all
  --log-format FORMAT
                     write the log as text, or as json, an object a line [default: text]
  --threads N        answer, dial and replicate by N threads [default: 1]
  --primary          say which part of the history is final: one node of a mesh,
                     which needs --data
  --keep DURATION    keep single what became final within so long, as 90s, 30m,
                     24h or 7d, and of what is older only the document [default: 24h]
  --horizon DURATION as the primary, make void what reaches it later than so long
                     after it was written [default: 30d]
  --tls-cert FILE    speak TLS only, and show the certificate in FILE (PEM)
  --tls-key FILE     the key of that certificate (PEM)
  --tls-ca FILE      trust the CAs in FILE (PEM) only, and have clients show a
                     certificate that they signed, too [default: trust those
                     that the system trusts, and ask clients for none]
  -h, --help         print this
  -V, --version      print the version

verify checks a data directory which no node uses, backup copies its journal to
a file, or that of a running node, and restore makes a data directory from such
a file, with a new life of its source. FILE may be - for standard output and
input. If a journal is damaged, or lacks what it had once, verify --rebuild-from
makes a new one of what PEER has and of what can still be read, and puts that in
its place; verify --new-life goes on with what is there, without what is lost.

promote has a running node take the place of a primary that is gone for good.
What that node has not heard of the old one is void then: promote the one that
has heard most.

peers lists the peers of a running node, or has it receive from PEER too, or no
more. A node with --data keeps what was added. A peer that its command line names
is back after the next start.

Two nodes on one machine:
  patchmesh 127.0.0.1:8080 127.0.0.1:8081
  patchmesh 127.0.0.1:8081 127.0.0.1:8080

The options --tls-... and wss:// need a build with the feature tls.

The environment variable RUST_LOG sets what is logged: error, warn, info (the default), debug.
";

/// What is final is kept for so long, unless something else is asked for.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// What is not final by then is void, unless something else is asked for.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);

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
    /// Print [`HELP`].
    Help,
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

/// Reads the arguments after the program's name. `token` is the environment's `PATCHMESH_TOKEN`.
///
/// # Errors
/// The first argument that is wrong, and why.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    token: Option<String>,
) -> Result<Command, UsageError> {
    let mut options = match Options::read(arguments, token)? {
        ControlFlow::Break(command) => return Ok(command),
        ControlFlow::Continue(options) => options,
    };
    let values = std::mem::take(&mut options.values);
    let command = values.first().and_then(|first| first.to_str()).unwrap_or_default();
    if (options.new_life || options.rebuild_from.is_some()) && command != "verify" {
        return Err(usage("--new-life and --rebuild-from belong to verify"));
    }
    if !matches!(command, "verify" | "backup" | "restore" | "promote" | "peers") {
        return run(options, values);
    }
    if let Some(option) = options.of_node() {
        return Err(usage(format!("{option} belongs to a node that is to run")));
    }
    match (command, &values[1..]) {
        ("verify", [data]) => verify(options, data),
        ("verify", _) => Err(usage("verify takes one argument: the data directory")),
        ("backup", [from, file]) => {
            let node = node_url(from)?.map(|node| BackupFrom::Node(options.remote(node)));
            let from = node.unwrap_or_else(|| BackupFrom::Directory(from.into()));
            Ok(Command::Backup { from, file: file.into() })
        }
        ("backup", _) => Err(usage(
            "backup takes two arguments: a data directory or the URL of a node, and a file",
        )),
        ("restore", [file, data]) => {
            let name = options.name;
            Ok(Command::Restore { file: file.into(), data: data.into(), name })
        }
        ("restore", _) => Err(usage("restore takes two arguments: a file and a data directory")),
        ("promote", [node]) => {
            Ok(Command::Promote { node: options.remote(running_node("promote", node)?) })
        }
        ("promote", _) => Err(usage("promote takes one argument: the URL of a node")),
        (_, [order, node, peer @ ..]) => {
            let order = peers_order(order, peer)?;
            Ok(Command::Peers { node: options.remote(running_node("peers", node)?), order })
        }
        _ => Err(usage("peers takes list, add or remove, and the URL of a node")),
    }
}

fn verify(options: Options, data: &OsString) -> Result<Command, UsageError> {
    let mend = match &options.rebuild_from {
        None if options.name.is_some() => {
            return Err(usage("with verify, --source belongs to --rebuild-from"));
        }
        None => options.new_life.then_some(Mend::NewLife),
        Some(peer) => {
            let peer = options.remote(rebuild_peer(peer)?);
            let (name, despite_loss) = (options.name, options.new_life);
            Some(Mend::RebuildFrom { peer, name, despite_loss })
        }
    };
    Ok(Command::Verify { data: data.into(), mend })
}

fn run(options: Options, values: Vec<OsString>) -> Result<Command, UsageError> {
    let (address, peers) = addresses(values)?;
    let Options { name, data, token, token_file, origins, log_format, .. } = options;
    let Options { threads, is_primary, keep, horizon, tls, .. } = options;
    if is_primary && data.is_none() {
        return Err(usage(
            "--primary needs --data: a primary that forgets what it made final would make it void",
        ));
    }
    Ok(Command::Run(Config {
        address,
        peers,
        name,
        data,
        token,
        token_file,
        origins: origins.unwrap_or_default(),
        log_format: log_format.unwrap_or_default(),
        threads: threads.unwrap_or(1),
        is_primary,
        keep: keep.unwrap_or(KEEP),
        horizon: horizon.unwrap_or(HORIZON),
        tls,
    }))
}

/// The address to listen on, and the peers.
fn addresses(values: Vec<OsString>) -> Result<(String, Vec<Peer>), UsageError> {
    let mut values = values.into_iter();
    let address = values.next().ok_or_else(|| usage("the address to listen on is missing"))?;
    let address = check_address(&text(address)?)?.to_owned();
    let mut peers: Vec<Peer> = Vec::new();
    for value in values {
        let value = text(value)?;
        for peer in value.split(',').map(str::trim).filter(|peer| !peer.is_empty()) {
            let peer = parse_peer(peer)?;
            // All nodes may be started with one and the same list of peers.
            if peer.address != address && !peers.contains(&peer) {
                peers.push(peer);
            }
        }
    }
    Ok((address, peers))
}

/// What `peers` is to do.
fn peers_order(order: &OsString, peer: &[OsString]) -> Result<PeersOrder, UsageError> {
    let parse = |peer: &OsString| parse_peer(&text(peer.clone())?);
    match (order.to_str().unwrap_or_default(), peer) {
        ("list", []) => Ok(PeersOrder::List),
        ("list", _) => Err(usage("peers list takes one argument: the URL of a node")),
        ("add", [peer]) => Ok(PeersOrder::Add(parse(peer)?)),
        ("remove", [peer]) => Ok(PeersOrder::Remove(parse(peer)?)),
        ("add" | "remove", _) => Err(usage(
            "peers add and peers remove take two arguments: the URL of a node, and a peer",
        )),
        _ => Err(usage(format!("peers takes list, add or remove, not {order:?}"))),
    }
}

/// Where the running node listens that `command` is about, and whether it speaks TLS.
fn running_node(command: &str, node: &OsString) -> Result<(String, bool), UsageError> {
    node_url(node)?.ok_or_else(|| {
        usage(format!("{node:?}: {command} wants the URL of a node, as http://127.0.0.1:8080"))
    })
}

/// The same of a node that is given by its address, or by a URL.
fn rebuild_peer(value: &OsString) -> Result<(String, bool), UsageError> {
    if let Some(node) = node_url(value)? {
        return Ok(node);
    }
    Ok((check_address(&text(value.clone())?)?.to_owned(), false))
}

fn usage(error: impl fmt::Display) -> UsageError {
    UsageError(error.to_string())
}

#[cfg(test)]
mod tests;
