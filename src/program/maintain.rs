//! The commands for data directories and for running nodes, with their output.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::console::{complain, fail, print};
use crate::config::{BackupFrom, Mend, PeersOrder, Remote};
use crate::foreign::visible;
use crate::log_format::{MOST_LINE_BYTES, rfc3339};
use crate::maintenance::{self, Failure, PeerStatus, Plan, Rebuilt, Restored};

/// Prints the result of a command.
fn print_outcome(outcome: Result<String, Failure>) -> ExitCode {
    match outcome {
        Ok(text) => print(&text),
        Err(error) => fail(error),
    }
}

/// Checks a directory, or repairs it.
pub fn verify(data: &Path, mend: Option<Mend>) -> ExitCode {
    print_outcome(match mend {
        None => {
            maintenance::verify(data, &mut std::io::stdout()).map(|()| "all is well".to_owned())
        }
        Some(Mend::NewLife) => begin_new_life(data),
        Some(Mend::RebuildFrom { peer, name, despite_loss }) => {
            let plan = Plan { data, peer: &peer, name: name.as_deref(), despite_loss };
            smol::block_on(rebuild(&plan))
        }
    })
}

fn begin_new_life(data: &Path) -> Result<String, Failure> {
    let (length, source) = maintenance::begin_new_life(data, fastrand::u64(..))?;
    let data = data.display();
    Ok(format!("transactions in {data}: {length}; its source is {source} from now on"))
}

async fn rebuild(plan: &Plan<'_>) -> Result<String, Failure> {
    let mut told = |what: &str| complain(what);
    let rebuilt = maintenance::rebuild(plan, fastrand::u64(..), &mut told).await?;
    let Rebuilt { received, carried, source, old } = rebuilt;
    let old = old.map(|old| format!("; the old journal is {}", old.display())).unwrap_or_default();
    let (peer, data) = (plan.peer, plan.data.display());
    Ok(format!(
        "transactions in {data}: {received} of {peer} and {carried} that only the old journal had; \
         its source is {source} from now on{old}"
    ))
}

/// Copies a journal to a file.
pub fn backup(from: &BackupFrom, file: &Path) -> ExitCode {
    match smol::block_on(maintenance::backup(from, file)) {
        // The backup is on standard output, so nothing else may be.
        Ok(_) if file == Path::new("-") => ExitCode::SUCCESS,
        Ok(length) => print(&format!("transactions in {}: {length}", file.display())),
        Err(error) => fail(error),
    }
}

/// Makes a directory from such a file.
pub fn restore(file: &Path, data: &Path, name: Option<&str>) -> ExitCode {
    let restored = maintenance::restore(file, data, name, fastrand::u64(..));
    print_outcome(restored.map(|Restored { length, source, is_cut_off }| {
        if is_cut_off {
            complain(format_args!(
                "{}: it ends within a batch, of which nothing was taken; if it is a backup, its end is \
                 missing",
                file.display()
            ));
        }
        format!("transactions in {}: {length}; its source is {source}", data.display())
    }))
}

/// Makes a running node the primary.
pub fn promote(node: &Remote) -> ExitCode {
    let promoted = smol::block_on(maintenance::promote(node));
    print_outcome(promoted.map(|epoch| format!("{node} is the primary from epoch {epoch} on")))
}

/// Lists or changes a running node's peers.
pub fn peers(node: &Remote, order: &PeersOrder) -> ExitCode {
    print_outcome(smol::block_on(tell_peers(node, order)))
}

/// Lists or changes a running node's peers, and returns the text to print.
async fn tell_peers(node: &Remote, order: &PeersOrder) -> Result<String, Failure> {
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

/// The line for a peer and its state.
fn peer_line(peer: &PeerStatus) -> String {
    let time = |micros| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
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
