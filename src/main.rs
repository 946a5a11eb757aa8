//! The patchmesh command: arguments, node, wait for a signal, exit status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_signal::{Signal, Signals};
use log::Level;
use mimalloc::MiMalloc;
use patchmesh::config::{self, Command, Config, Mend, PeersOrder, Remote};
use patchmesh::foreign::visible;
use patchmesh::log_format::{Line, LogFormat, MOST_LINE_BYTES};
use patchmesh::maintenance::{self, Failure, PeerStatus, Plan, Rebuilt, Restored};
use patchmesh::node::Node;
use smol::Executor;
use smol::stream::StreamExt;

/// The exit status of a bad command line.
const USAGE: u8 = 2;

/// How what is said on standard error is written: of all of the process.
static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Most of what a node allocates is small, and kept for long. With glibc's allocator a start and
/// catching up take 1.4 times the processor time, though up to 45 % less memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs all tasks of a node, on the main thread and on as many more as are asked for. Even what waits for
/// signals is one of them: what is polled beside the executor is polled again whenever any task is.
static EXECUTOR: Executor<'static> = Executor::new();

fn main() -> ExitCode {
    // A file that may not grow further is an error of the write then, and does not end the process.
    let _file_too_large = Signals::new([Signal::Xfsz]);
    let token = std::env::var("PATCHMESH_TOKEN").ok();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let command = config::parse(arguments.iter().cloned(), token);
    start_log(match &command {
        Ok(Command::Run(config)) => config.log_format,
        Ok(_) => LogFormat::Text,
        Err(_) => LogFormat::asked_for(&arguments, std::env::var_os("PATCHMESH_LOG_FORMAT")),
    });
    match command {
        Ok(Command::Run(config)) => {
            for number in 1..config.threads {
                // It ends with the process.
                let thread = std::thread::Builder::new().name(format!("executor-{number}"));
                let begun =
                    thread.spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
                if let Err(error) = begun {
                    return fail(format_args!("cannot begin a thread: {error}"));
                }
            }
            smol::block_on(EXECUTOR.run(EXECUTOR.spawn(run(config))))
        }
        Ok(Command::Verify { data, mend: None }) => {
            match maintenance::verify(&data, &mut std::io::stdout()) {
                Ok(()) => print("all is well"),
                Err(error) => fail(error),
            }
        }
        Ok(Command::Verify { data, mend: Some(Mend::NewLife) }) => {
            match maintenance::begin_new_life(&data, fastrand::u64(..)) {
                Ok((length, source)) => print(&format!(
                    "{length} transactions are in {}, whose source is {source} from now on",
                    data.display()
                )),
                Err(error) => fail(error),
            }
        }
        Ok(Command::Verify {
            data,
            mend: Some(Mend::RebuildFrom { peer, name, despite_loss }),
        }) => {
            let plan = Plan { data: &data, peer: &peer, name: name.as_deref(), despite_loss };
            let mut told = |what: &str| complain(what);
            let rebuilt = maintenance::rebuild(&plan, fastrand::u64(..), &mut told);
            match smol::block_on(rebuilt) {
                Ok(Rebuilt { received, carried, source, old }) => print(&format!(
                    "{received} transactions of {peer} and {carried} that only the old journal had are in \
                     {}, whose source is {source} from now on{}",
                    data.display(),
                    old.map(|old| format!("; the old journal is {}", old.display()))
                        .unwrap_or_default()
                )),
                Err(error) => fail(error),
            }
        }
        Ok(Command::Backup { from, file }) => {
            match smol::block_on(maintenance::backup(&from, &file)) {
                // Nothing else may be on standard output then.
                Ok(_) if file == Path::new("-") => ExitCode::SUCCESS,
                Ok(length) => print(&format!("{length} transactions are in {}", file.display())),
                Err(error) => fail(error),
            }
        }
        Ok(Command::Restore { file, data, name }) => {
            match maintenance::restore(&file, &data, name.as_deref(), fastrand::u64(..)) {
                Ok(Restored { length, source, is_cut_off }) => {
                    if is_cut_off {
                        complain(format_args!(
                            "{}: it ends within a batch, of which nothing was taken; if it is a \
                             backup, its end is missing",
                            file.display()
                        ));
                    }
                    print(&format!(
                        "{length} transactions are in {}, whose source is {source}",
                        data.display()
                    ))
                }
                Err(error) => fail(error),
            }
        }
        Ok(Command::Promote { node }) => match smol::block_on(maintenance::promote(&node)) {
            Ok(epoch) => print(&format!("{node} is the primary from epoch {epoch} on")),
            Err(error) => fail(error),
        },
        Ok(Command::Peers { node, order }) => match smol::block_on(peers(&node, &order)) {
            Ok(text) => print(&text),
            Err(error) => fail(error),
        },
        Ok(Command::Help) => print(config::HELP.trim_end()),
        Ok(Command::Version) => print(concat!("patchmesh ", env!("CARGO_PKG_VERSION"))),
        Err(error) => {
            complain(format_args!("{error}; see patchmesh --help"));
            ExitCode::from(USAGE)
        }
    }
}

/// Does what is to be done about a running node's peers, and says what was.
async fn peers(node: &Remote, order: &PeersOrder) -> Result<String, Failure> {
    Ok(match order {
        PeersOrder::List => {
            let peers = maintenance::peers(node).await?;
            let lines: Vec<String> = peers.iter().map(peer_line).collect();
            if lines.is_empty() { format!("{node} has no peers") } else { lines.join("\n") }
        }
        PeersOrder::Add(peer) => {
            let is_kept = maintenance::add_peer(node, peer).await?;
            let until = if is_kept { "" } else { " until that ends: it has no --data" };
            format!("{peer} is a peer of {node}{until}")
        }
        PeersOrder::Remove(peer) => {
            let is_kept = maintenance::remove_peer(node, peer).await?;
            let until =
                if is_kept { " until that starts again: its command line names it" } else { "" };
            format!("{peer} is no peer of {node}{until}")
        }
    })
}

/// A peer, and how it stands with it.
fn peer_line(peer: &PeerStatus) -> String {
    let time =
        |micros| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
    let PeerStatus { address, node, state, since, heard, lazy, behind, error } = peer;
    let mut line = format!("{address}: {state} since {}", time(since.as_micros()));
    if let Some(node) = node {
        line.push_str(&format!(", is {node}"));
    }
    if let Some(heard) = heard {
        line.push_str(&format!(", last heard {}", time(heard.as_micros())));
    }
    if *lazy {
        line.push_str(", lazy");
    }
    if let Some(behind @ 1..) = behind {
        let noun = if *behind == 1 { "transaction" } else { "transactions" };
        line.push_str(&format!(", {behind} {noun} to come"));
    }
    if let Some(error) = error {
        line.push_str(&format!(": {error}"));
    }
    visible(&line, MOST_LINE_BYTES)
}

async fn run(config: Config) -> ExitCode {
    // Before anything is said to run, so that a signal from then on ends it in order.
    let mut signals = match Signals::new([Signal::Int, Signal::Term]) {
        Ok(signals) => signals,
        Err(error) => return fail(format_args!("cannot wait for signals: {error}")),
    };
    let begin = async { Some(Node::bind(config, fastrand::u64(..)).await) };
    let interrupted = async {
        signals.next().await;
        None
    };
    let node = match smol::future::or(begin, interrupted).await {
        Some(Ok(node)) => node,
        Some(Err(error)) => return fail(error),
        None => return ExitCode::SUCCESS,
    };
    // On standard output, where a program that starts nodes looks for the address.
    print(&match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Info, "patchmesh", &node.to_string()),
        _ => node.to_string(),
    });
    if node.is_open_to_all() {
        log::warn!(
            "everyone who reaches {} can read and write the document: no --token was given",
            node.addresses()
        );
    }
    let open_peers = node.open_peers();
    if !open_peers.is_empty() {
        log::warn!(
            "what goes to and from {} is not kept from others: name peers that speak TLS by wss://",
            open_peers.join(", ")
        );
    }
    let (stop, shutdown) = async_channel::bounded(1);
    let wait = async move {
        if let Some(Ok(signal)) = signals.next().await {
            let name = if signal == Signal::Int { "SIGINT" } else { "SIGTERM" };
            log::info!("{name}: stopping");
        }
        drop(stop);
        // A second signal does not wait for the others' good-byes.
        signals.next().await;
        log::warn!("stopped without waiting for open connections");
        Ok(())
    };
    match smol::future::or(node.run(&EXECUTOR, shutdown), wait).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

fn print(line: &str) -> ExitCode {
    // Whoever reads standard output may have gone; the node does not stop for that.
    writeln!(std::io::stdout(), "{line}").ok();
    ExitCode::SUCCESS
}

fn fail(error: impl std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

fn complain(error: impl std::fmt::Display) {
    let error = error.to_string();
    let line = match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Error, "patchmesh", &error),
        _ => format!("patchmesh: {}", visible(&error, MOST_LINE_BYTES)),
    };
    // Nor does it panic if nobody reads standard error.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A line of the log, as it is written in this process.
fn log_line(level: Level, target: &str, message: &str) -> String {
    let format = LOG_FORMAT.get().copied().unwrap_or_default();
    format.line(&Line { time: SystemTime::now(), level, target, message })
}

fn start_log(format: LogFormat) {
    LOG_FORMAT.get_or_init(|| format);
    let environment = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(environment)
        .format(|output, record| {
            let message = record.args().to_string();
            writeln!(output, "{}", log_line(record.level(), record.target(), &message))
        })
        .init();
    // The libraries' traces have whole requests in them, and so the token.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}
