//! The command line: a documented [`Config`] and a pure [`parse`].

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::source::{MAX_NAME_BYTES, Source};

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

/// More threads than this are a mistake: all writes go through one task.
const MOST_THREADS: usize = 64;

/// What is final is kept for so long, unless something else is asked for.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// What is not final by then is void, unless something else is asked for.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);

/// A longer duration is a mistake: a hundred years.
const MOST_DAYS: u64 = 36_500;

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

/// A node to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Where it listens: `host:port`.
    pub address: String,
    /// The path of its replication stream, `/ws` unless given.
    pub path: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls {
            f.write_str("wss://")?;
        }
        f.write_str(&self.address)?;
        if self.path == "/ws" { Ok(()) } else { f.write_str(&self.path) }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl FromStr for Peer {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        parse_peer(text)
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
    use lexopt::Arg::{Long, Short, Value};

    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut name, mut data, mut new_life, mut rebuild_from) = (None, None, false, None);
    let mut token = token.filter(|token| !token.is_empty());
    let mut threads = None;
    let (mut is_primary, mut keep, mut horizon) = (false, None, None);
    let (mut certificate, mut key, mut ca) = (None, None, None);
    let mut values = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("source") => name = Some(text(parser.value().map_err(usage)?)?),
            Long("token") => token = Some(text(parser.value().map_err(usage)?)?),
            Long("data") => data = Some(directory(parser.value().map_err(usage)?)?),
            Long("threads") => threads = Some(thread_count(parser.value().map_err(usage)?)?),
            Long("primary") => is_primary = true,
            Long("keep") => keep = Some(duration("--keep", parser.value().map_err(usage)?)?),
            Long("horizon") => {
                horizon = Some(duration("--horizon", parser.value().map_err(usage)?)?);
            }
            Long("tls-cert") => {
                certificate = Some(tls_file("--tls-cert", parser.value().map_err(usage)?)?);
            }
            Long("tls-key") => {
                key = Some(tls_file("--tls-key", parser.value().map_err(usage)?)?);
            }
            Long("tls-ca") => {
                ca = Some(tls_file("--tls-ca", parser.value().map_err(usage)?)?);
            }
            Long("new-life") => new_life = true,
            Long("rebuild-from") => rebuild_from = Some(parser.value().map_err(usage)?),
            Value(value) => values.push(value),
            _ => return Err(usage(argument.unexpected())),
        }
    }
    if let Some(name) = &name {
        check_name(name)?;
    }
    if let Some(token) = &token {
        check_token(token)?;
    }
    if (new_life || rebuild_from.is_some()) && values.first().is_none_or(|first| first != "verify")
    {
        return Err(usage("--new-life and --rebuild-from belong to verify"));
    }
    let tls = TlsFiles { own: own_files(certificate, key)?, ca };
    let remote = |(address, is_tls)| {
        let (token, tls) = (token.clone(), tls.clone());
        Remote { address, is_tls, token, tls }
    };
    let command = values.first().and_then(|first| first.to_str()).unwrap_or_default();
    if matches!(command, "verify" | "backup" | "restore" | "promote" | "peers") {
        let of_node = [
            ("--threads", threads.is_some()),
            ("--primary", is_primary),
            ("--keep", keep.is_some()),
            ("--horizon", horizon.is_some()),
        ];
        if let Some((option, _)) = of_node.iter().find(|(_, is_given)| *is_given) {
            return Err(usage(format!("{option} belongs to a node that is to run")));
        }
    }
    match (command, &values[1.min(values.len())..]) {
        ("verify", [_]) if rebuild_from.is_none() && name.is_some() => {
            Err(usage("with verify, --source belongs to --rebuild-from"))
        }
        ("verify", [data]) => {
            let mend = match rebuild_from {
                Some(peer) => {
                    let peer = remote(rebuild_peer(&peer)?);
                    Some(Mend::RebuildFrom { peer, name, despite_loss: new_life })
                }
                None => new_life.then_some(Mend::NewLife),
            };
            Ok(Command::Verify { data: data.into(), mend })
        }
        ("verify", _) => Err(usage("verify takes one argument: the data directory")),
        ("backup", [from, file]) => {
            let node = node_url(from)?.map(|node| BackupFrom::Node(remote(node)));
            let from = node.unwrap_or_else(|| BackupFrom::Directory(from.into()));
            Ok(Command::Backup { from, file: file.into() })
        }
        ("backup", _) => Err(usage(
            "backup takes two arguments: a data directory or the URL of a node, and a file",
        )),
        ("restore", [file, data]) => {
            Ok(Command::Restore { file: file.into(), data: data.into(), name })
        }
        ("restore", _) => Err(usage("restore takes two arguments: a file and a data directory")),
        ("promote", [node]) => {
            Ok(Command::Promote { node: remote(running_node("promote", node)?) })
        }
        ("promote", _) => Err(usage("promote takes one argument: the URL of a node")),
        ("peers", [order, node, peer @ ..]) => {
            let order = peers_order(order, peer)?;
            Ok(Command::Peers { node: remote(running_node("peers", node)?), order })
        }
        ("peers", _) => Err(usage("peers takes list, add or remove, and the URL of a node")),
        _ => {
            let (address, peers) = addresses(values)?;
            if is_primary && data.is_none() {
                return Err(usage(
                    "--primary needs --data: a primary that forgets what it made final would \
                     make it void",
                ));
            }
            let threads = threads.unwrap_or(1);
            let (keep, horizon) = (keep.unwrap_or(KEEP), horizon.unwrap_or(HORIZON));
            Ok(Command::Run(Config {
                address,
                peers,
                name,
                data,
                token,
                threads,
                is_primary,
                keep,
                horizon,
                tls,
            }))
        }
    }
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

/// The same of a node that is given by its URL; none if it is not.
fn node_url(value: &OsString) -> Result<Option<(String, bool)>, UsageError> {
    let Some((scheme, rest)) = value.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(None);
    };
    let (is_tls, path) = match scheme {
        "http" => (false, "/"),
        "https" => (true, "/"),
        "ws" => (false, "/ws"),
        "wss" => (true, "/ws"),
        _ => return Ok(None),
    };
    if is_tls {
        need_tls(&format!("{value:?}"))?;
    }
    let address = rest.strip_suffix(path).or(rest.strip_suffix('/')).unwrap_or(rest);
    if address.contains('/') {
        return Err(usage(format!(
            "{value:?}: the URL of a node is {scheme}://host:port, without a path"
        )));
    }
    Ok(Some((check_address(&of_url(address))?.to_owned(), is_tls)))
}

/// Refuses `what` if this program cannot speak TLS.
fn need_tls(what: &str) -> Result<(), UsageError> {
    if cfg!(feature = "tls") {
        return Ok(());
    }
    Err(usage(format!("{what}: this build has no TLS; build with --features tls")))
}

fn tls_file(option: &str, value: OsString) -> Result<PathBuf, UsageError> {
    need_tls(option)?;
    if value.is_empty() {
        return Err(usage(format!("{option} wants a file, and is empty")));
    }
    Ok(value.into())
}

fn own_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<OwnFiles>, UsageError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(OwnFiles { certificate, key })),
        (Some(_), None) => Err(usage("--tls-cert needs --tls-key, the key of that certificate")),
        (None, Some(_)) => Err(usage("--tls-key needs --tls-cert, the certificate of that key")),
    }
}

/// An address that stood in a URL, in which the % before a zone may be percent-encoded.
fn of_url(address: &str) -> String {
    address.replacen("%25", "%", 1)
}

/// An empty path is the current directory for the system: a script's empty variable is meant by nobody.
fn directory(value: OsString) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        return Err(usage("--data wants a directory, and is empty"));
    }
    Ok(value.into())
}

fn thread_count(value: OsString) -> Result<usize, UsageError> {
    let text = text(value)?;
    let count = text.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| usage(format!("--threads wants 1 to {MOST_THREADS}, and is {text:?}")))
}

/// A duration as `90s`, `30m`, `24h` or `7d`.
fn duration(option: &str, value: OsString) -> Result<Duration, UsageError> {
    let text = text(value)?;
    let wrong = |why: &str| {
        usage(format!("{option} wants a duration as 90s, 30m, 24h or 7d, and is {text:?}: {why}"))
    };
    let (unit, seconds) = match text.chars().next_back() {
        Some('s') => ('s', 1),
        Some('m') => ('m', 60),
        Some('h') => ('h', 3600),
        Some('d') => ('d', 24 * 3600),
        _ => return Err(wrong("it does not end with s, m, h or d")),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("before its unit stands a whole number"));
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    match seconds {
        Some(0) => Err(wrong("it is at least 1s")),
        Some(seconds) if seconds <= MOST_DAYS * 24 * 3600 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong(&format!("it is at most {MOST_DAYS}d"))),
    }
}

fn check_token(token: &str) -> Result<(), UsageError> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage("a token has visible ASCII characters only, and at least one"));
    }
    Ok(())
}

fn usage(error: impl fmt::Display) -> UsageError {
    UsageError(error.to_string())
}

fn text(value: OsString) -> Result<String, UsageError> {
    value.into_string().map_err(|value| usage(format!("{value:?} is not UTF-8")))
}

/// The host, an IPv6 address without its brackets, and the port of an address that was checked.
pub fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (bare, port.parse().expect("its port is a number"))
}

/// An address that was checked as a Host header and a URL have it: a zone, which is a matter of one
/// machine, is left out (RFC 9844).
pub fn authority(address: &str) -> String {
    match (address.find('%'), address.find(']')) {
        (Some(zone), Some(end)) => format!("{}{}", &address[..zone], &address[end..]),
        _ => address.to_owned(),
    }
}

fn check_name(name: &str) -> Result<(), UsageError> {
    let why = match Source::begin_life(name, 0) {
        Ok(_) => return Ok(()),
        Err(_) if name.len() > MAX_NAME_BYTES => {
            format!("it has {} bytes, and {MAX_NAME_BYTES} are allowed", name.len())
        }
        Err(error) => error.to_string(),
    };
    Err(usage(format!("{name:?} cannot name this node: {why}")))
}

/// Checks that `text` is `host:port`, with an IPv6 host in brackets.
fn check_address(text: &str) -> Result<&str, UsageError> {
    let wrong = |why: &str| usage(format!("{text:?} is not an address: {why}"));
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| wrong("it has no port, as in 127.0.0.1:8080"))?;
    port.parse::<u16>().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed {
        _ if text.len() > MAX_NAME_BYTES => Err(wrong("it is too long")),
        Some(inner) => {
            let (ip, zone) = match inner.split_once('%') {
                Some((ip, zone)) => (ip, Some(zone)),
                None => (inner, None),
            };
            let is_zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            let is_zone = |zone: &str| !zone.is_empty() && zone.bytes().all(is_zone_byte);
            match (ip.parse::<std::net::Ipv6Addr>(), zone) {
                (Err(_), _) => Err(wrong("what stands in brackets is not an IPv6 address")),
                (Ok(_), Some(zone)) if !is_zone(zone) => {
                    Err(wrong("what stands behind % names no zone, as in [fe80::1%eth0]:80"))
                }
                (Ok(ip), None) if ip.is_unicast_link_local() => Err(wrong(
                    "an address of one link only needs its interface, as in [fe80::1%eth0]:80",
                )),
                _ => Ok(text),
            }
        }
        None if host.is_empty() => Err(wrong("it has no host; 0.0.0.0 listens on all")),
        None if host.contains(':') => Err(wrong("an IPv6 host stands in brackets, as in [::1]:80")),
        None if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
            Ok(text)
        }
        None => Err(wrong("the host has a character that no host name has")),
    }
}

fn parse_peer(text: &str) -> Result<Peer, UsageError> {
    let (rest, is_tls) = match text.split_once("://") {
        None => (text, false),
        Some(("ws", rest)) => (rest, false),
        Some(("wss", rest)) => {
            need_tls(&format!("{text:?}"))?;
            (rest, true)
        }
        Some((scheme, _)) => {
            return Err(usage(format!(
                "{text:?}: a peer is host:port, ws:// or wss://, not {scheme}://"
            )));
        }
    };
    let (address, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if path.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#".contains(&byte)) {
        return Err(usage(format!("{text:?}: a peer's path has no query and no white space")));
    }
    let path = if path == "/" { "/ws" } else { path };
    let address = if rest.len() < text.len() { of_url(address) } else { address.to_owned() };
    Ok(Peer { address: check_address(&address)?.to_owned(), path: path.to_owned(), is_tls })
}

#[cfg(test)]
mod tests;
