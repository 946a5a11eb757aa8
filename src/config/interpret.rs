//! Makes a [`Command`] of the flags and arguments that are given.

use std::time::Duration;

use super::address::{check_address, check_origin, node_url, parse_peer};
use super::flags::*;
use super::given::Given;
use super::{
    BackupFrom, ClientCommand, ClientOrder, Command, Config, Input, Mend, Origins, OwnFiles, Peer,
    PeersOrder, PrintForm, Remote, TlsFiles, UsageError, Write, WriteKind, usage, values,
};

/// How long final transactions are kept one by one, unless `--keep` says another time.
const KEEP_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A transaction that is older when it reaches the primary is void, unless `--horizon` says another time.
const HORIZON_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a client gives up, unless `--timeout` says another time.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

type Parsed<T> = Result<T, UsageError>;

pub fn run(given: &Given) -> Parsed<Command> {
    let address = given.argument(0, |text| check_address(text).map(str::to_owned))?;
    let config = Config {
        peers: node_peers(given, &address)?,
        address,
        name: given.value(&SOURCE, values::node_name)?,
        data: given.path(&DATA)?,
        token: given.value(&TOKEN, values::token)?,
        token_file: given.path(&TOKEN_FILE)?,
        origins: origins(given)?,
        log_format: given.value(&LOG_FORMAT, values::log_format)?.unwrap_or_default(),
        threads: given.value(&THREADS, values::thread_count)?.unwrap_or(1),
        connections: given.value(&MAX_CONNECTIONS, values::connection_count)?.unwrap_or(1024),
        is_primary: given.has(&PRIMARY),
        keep: given.duration(&KEEP)?.unwrap_or(KEEP_DEFAULT),
        horizon: given.duration(&HORIZON)?.unwrap_or(HORIZON_DEFAULT),
        tls: tls_files(given)?,
    };
    match given.name(&PRIMARY) {
        Some(primary) if config.data.is_none() => Err(usage(format!(
            "{primary} needs --data: a primary that forgets what it made final would make it void"
        ))),
        _ => Ok(Command::Run(config)),
    }
}

fn node_peers(given: &Given, address: &str) -> Parsed<Vec<Peer>> {
    let mut peers: Vec<Peer> = Vec::new();
    for index in 1..given.arguments.len() {
        let listed = given.argument(index, |text| {
            let parts = text.split(',').map(str::trim).filter(|peer| !peer.is_empty());
            parts.map(parse_peer).collect::<Parsed<Vec<_>>>()
        })?;
        for peer in listed {
            // All nodes may be started with one and the same list of peers.
            if peer.address != address && !peers.contains(&peer) {
                peers.push(peer);
            }
        }
    }
    Ok(peers)
}

fn origins(given: &Given) -> Parsed<Origins> {
    let origins = given.values(&ALLOW_ORIGIN, |name, value| match values::utf8(value)? {
        "*" => Ok(None),
        text => check_origin(text).map(Some).map_err(|error| usage(format!("{name}: {error}"))),
    })?;
    // If one of them is `*`, all are meant.
    Ok(origins.into_iter().collect::<Option<_>>().map_or(Origins::All, Origins::These))
}

fn tls_files(given: &Given) -> Parsed<TlsFiles> {
    let certificate = given.value(&TLS_CERT, values::tls_file)?;
    let key = given.value(&TLS_KEY, values::tls_file)?;
    let own = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(OwnFiles { certificate, key }),
        (Some(_), None) => {
            return Err(usage("--tls-cert needs --tls-key, the key of that certificate"));
        }
        (None, Some(_)) => {
            return Err(usage("--tls-key needs --tls-cert, the certificate of that key"));
        }
    };
    Ok(TlsFiles { own, ca: given.value(&TLS_CA, values::tls_file)? })
}

/// Running nodes, each given by its address and whether it speaks TLS.
fn remotes(given: &Given, nodes: Vec<(String, bool)>) -> Parsed<Vec<Remote>> {
    let token = given.value(&TOKEN, values::token)?;
    let token_file = given.path(&TOKEN_FILE)?;
    let tls = tls_files(given)?;
    let remotes = nodes.into_iter().map(|(address, is_tls)| {
        let (token, token_file, tls) = (token.clone(), token_file.clone(), tls.clone());
        Remote { address, is_tls, token, token_file, tls }
    });
    Ok(remotes.collect())
}

fn remote(given: &Given, node: (String, bool)) -> Parsed<Remote> {
    Ok(remotes(given, vec![node])?.remove(0))
}

pub fn verify(given: &Given) -> Parsed<Command> {
    let peer = given.value(&REBUILD_FROM, |name, value| {
        values::node(values::utf8(value)?).map_err(|error| usage(format!("{name}: {error}")))
    })?;
    let name = given.value(&SOURCE, values::node_name)?;
    // The variable may be meant for the node that runs with this directory.
    if peer.is_none() && given.name(&SOURCE).as_deref() == Some("--source") {
        return Err(given.error("--source belongs to --rebuild-from"));
    }
    let is_new_life = given.has(&NEW_LIFE);
    let mend = match peer {
        Some(peer) => {
            Some(Mend::RebuildFrom { peer: remote(given, peer)?, name, despite_loss: is_new_life })
        }
        None => is_new_life.then_some(Mend::NewLife),
    };
    Ok(Command::Verify { data: given.file(0)?, mend })
}

pub fn backup(given: &Given) -> Parsed<Command> {
    let node = node_url(&given.arguments[0])?;
    let from = match node {
        Some(node) => BackupFrom::Node(remote(given, node)?),
        None => BackupFrom::Directory(given.file(0)?),
    };
    Ok(Command::Backup { from, file: given.file(1)? })
}

pub fn restore(given: &Given) -> Parsed<Command> {
    let name = given.value(&SOURCE, values::node_name)?;
    Ok(Command::Restore { file: given.file(0)?, data: given.file(1)?, name })
}

pub fn promote(given: &Given) -> Parsed<Command> {
    let node = given.argument(0, values::node)?;
    Ok(Command::Promote { node: remote(given, node)? })
}

pub fn peers(given: &Given) -> Parsed<Command> {
    let peer = || match given.arguments.len() {
        3 => given.argument(2, parse_peer),
        _ => Err(given.error("PEER is missing: host:port of the peer to add or remove")),
    };
    let order = given.argument(0, |order| match order {
        "list" if given.arguments.len() > 2 => Err(given.error("list takes no PEER")),
        "list" => Ok(PeersOrder::List),
        "add" => Ok(PeersOrder::Add(peer()?)),
        "remove" => Ok(PeersOrder::Remove(peer()?)),
        _ => Err(given.error(format!("it takes list, add or remove, not {order:?}"))),
    })?;
    let node = given.argument(1, values::node)?;
    Ok(Command::Peers { node: remote(given, node)?, order })
}

/// A client's command for the nodes of its first argument. One of them is enough.
fn client(given: &Given, order: ClientOrder) -> Parsed<Command> {
    let nodes = given.argument(0, values::nodes)?;
    of_nodes(given, nodes, order)
}

/// A client's command for the nodes of all its arguments.
fn of_all(given: &Given, order: ClientOrder) -> Parsed<Command> {
    let nodes = (0..given.arguments.len()).map(|index| given.argument(index, values::nodes));
    of_nodes(given, nodes.collect::<Parsed<Vec<_>>>()?.concat(), order)
}

fn of_nodes(given: &Given, nodes: Vec<(String, bool)>, order: ClientOrder) -> Parsed<Command> {
    let nodes = remotes(given, nodes)?;
    let timeout = given.duration(&TIMEOUT)?.unwrap_or(TIMEOUT_DEFAULT);
    Ok(Command::Client(ClientCommand { nodes, order, timeout }))
}

/// The pointer behind the nodes; that of the whole document if there is none.
fn pointer(given: &Given) -> Parsed<String> {
    if given.arguments.len() < 2 { Ok(String::new()) } else { given.argument(1, values::pointer) }
}

fn form(given: &Given) -> PrintForm {
    match (given.has(&PRETTY), given.has(&RAW)) {
        (true, _) => PrintForm::Pretty,
        (_, true) => PrintForm::Raw,
        _ => PrintForm::Compact,
    }
}

pub fn get(given: &Given) -> Parsed<Command> {
    let (pointer, form) = (pointer(given)?, form(given));
    client(given, ClientOrder::Get { pointer, is_committed: given.has(&COMMITTED), form })
}

fn write(given: &Given, change: WriteKind) -> Parsed<Command> {
    let (pointer, is_committed) = (pointer(given)?, given.has(&COMMITTED));
    client(given, ClientOrder::Write(Write { pointer, change, is_committed }))
}

pub fn set(given: &Given) -> Parsed<Command> {
    write(given, WriteKind::Set(given.argument(2, values::input)?))
}

pub fn merge(given: &Given) -> Parsed<Command> {
    write(given, WriteKind::Merge(given.argument(2, values::input)?))
}

pub fn patch(given: &Given) -> Parsed<Command> {
    write(given, WriteKind::Patch(given.argument(2, values::input)?))
}

pub fn remove(given: &Given) -> Parsed<Command> {
    write(given, WriteKind::Remove)
}

pub fn edit(given: &Given) -> Parsed<Command> {
    client(
        given,
        ClientOrder::Edit { pointer: pointer(given)?, is_committed: given.has(&COMMITTED) },
    )
}

pub fn watch(given: &Given) -> Parsed<Command> {
    client(given, ClientOrder::Watch { pointer: pointer(given)?, form: form(given) })
}

pub fn import(given: &Given) -> Parsed<Command> {
    let (pointer, is_committed) = (pointer(given)?, given.has(&COMMITTED));
    let file = given.file(2)?;
    let input = if file.as_os_str() == "-" { Input::Stdin } else { Input::File(file) };
    client(given, ClientOrder::Import { pointer, input, is_committed })
}

pub fn export(given: &Given) -> Parsed<Command> {
    let (pointer, is_committed) = (pointer(given)?, given.has(&COMMITTED));
    let file = if given.arguments.len() < 3 { None } else { Some(given.file(2)?) };
    let file = file.filter(|file| file.as_os_str() != "-");
    client(given, ClientOrder::Export { pointer, file, is_committed, form: form(given) })
}

pub fn status(given: &Given) -> Parsed<Command> {
    of_all(given, ClientOrder::Status { is_json: given.has(&JSON) })
}

pub fn wait(given: &Given) -> Parsed<Command> {
    let transaction = given.value(&TRANSACTION, values::transaction)?;
    of_all(given, ClientOrder::Wait { transaction, is_committed: given.has(&COMMITTED) })
}
