//! `status`: shows how nodes are, a line each.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::failure::{CommandFailure, CommandResult};
use super::nodes::{Nodes, PATIENCE, is_of_node, no_node};
use super::printing::print;
use crate::config::Exit;
use crate::foreign::visible;
use crate::remote::{NodeFault, NodeRequest, RemoteNode};

/// How many characters of a hash are shown: enough to see which nodes are equal.
const HASH_CHARACTERS: usize = 8;

/// The longest text of a node that is shown.
const TEXT_BYTES: usize = 400;

const HEADINGS: [&str; COLUMNS] =
    ["NODE", "NAME", "TRANSACTIONS", "HASH", "PEERS", "LAG", "COMMIT", "TROUBLE"];
const COLUMNS: usize = 8;

/// What stands in a cell without a value.
const NOTHING: &str = "-";

/// The answer of `/peers`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PeersBody {
    source: String,
    length: u64,
    commit: Option<CommitAge>,
    hash: Option<ShownHash>,
    upstreams: Vec<ShownUpstream>,
}

#[derive(Debug, Deserialize)]
struct CommitAge {
    age_ms: u64,
}

#[derive(Debug, Deserialize)]
struct ShownHash {
    state: String,
}

#[derive(Debug, Deserialize)]
struct ShownUpstream {
    state: String,
    behind: Option<u64>,
}

/// The answer of `/healthz`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HealthBody {
    detail: String,
    troubles: Vec<TroubleDetail>,
}

#[derive(Debug, Deserialize)]
struct TroubleDetail {
    detail: String,
}

/// One row: how a node is.
struct NodeRow {
    address: String,
    /// None if the node does not say it.
    shown: Option<PeersBody>,
    /// What is wrong; none if all is well.
    trouble: Option<String>,
    is_reached: bool,
}

/// Prints how the nodes are.
pub async fn status(nodes: Nodes, is_json: bool) -> CommandResult {
    let limit = nodes.timeout.min(PATIENCE);
    // All are asked at the same time; the rows are in the order of the command line.
    let tasks = nodes.into_each().into_iter().map(|node| smol::spawn(row(node, limit)));
    let tasks: Vec<_> = tasks.collect();
    let mut rows = Vec::new();
    for row in tasks {
        rows.push(row.await);
    }
    // The reader may be gone; the exit status tells the main thing.
    let text = if is_json { rows.iter().map(object).collect() } else { table(&rows) };
    _ = print(text.as_bytes())?;
    let name =
        |rows: Vec<&NodeRow>| rows.iter().map(|row| &*row.address).collect::<Vec<_>>().join(", ");
    let unreached: Vec<_> = rows.iter().filter(|row| !row.is_reached).collect();
    let troubled: Vec<_> = rows.iter().filter(|row| row.trouble.is_some()).collect();
    if !unreached.is_empty() {
        let text = format!("not reached: {}", name(unreached));
        return Err(CommandFailure::new(Exit::Unreachable, text));
    }
    if !troubled.is_empty() {
        return Err(CommandFailure::failed(format_args!("not well: {}", name(troubled))));
    }
    Ok(())
}

async fn row(mut node: RemoteNode, limit: Duration) -> NodeRow {
    let address = node.address().to_owned();
    match ask(&mut node, limit).await {
        Ok((shown, trouble)) => NodeRow { address, shown, trouble, is_reached: true },
        Err(fault) => {
            let why = fault.to_string();
            // The row names the node already.
            let why = why.strip_prefix(&format!("{address}: ")).unwrap_or(&why).to_owned();
            NodeRow { address, shown: None, trouble: Some(why), is_reached: false }
        }
    }
}

/// What a node says of itself, and its trouble.
async fn ask(
    node: &mut RemoteNode,
    limit: Duration,
) -> Result<(Option<PeersBody>, Option<String>), NodeFault> {
    let request = NodeRequest::get("/healthz");
    let health = node.request(&request, limit).await?;
    if !is_of_node(&request, &health.head) {
        return Err(NodeFault::Unreachable(no_node(node)));
    }
    let peers = node.request(&NodeRequest::get("/peers"), limit).await?;
    let shown = (peers.head.status == 200).then(|| peers.read::<PeersBody>().ok()).flatten();
    let trouble = match (health.head.status, health.read::<HealthBody>()) {
        (200, _) if shown.is_some() => None,
        (200, _) => Some(peers.trouble()),
        (503, Ok(HealthBody { detail, troubles })) if !detail.is_empty() => {
            let all = troubles.iter().map(|trouble| &*trouble.detail);
            let all: Vec<_> = all.collect();
            Some(if all.is_empty() { detail } else { all.join("; ") })
        }
        _ => Some(health.trouble()),
    };
    Ok((shown, trouble))
}

/// A row as a line of JSON.
fn object(row: &NodeRow) -> String {
    let NodeRow { address, shown, trouble, is_reached } = row;
    let known = shown.as_ref();
    let upstreams = known.map(|shown| &*shown.upstreams);
    let object = json!({
        "node": address,
        "reached": is_reached,
        "name": known.map(|shown| &shown.source),
        "transactions": known.map(|shown| shown.length),
        "hash": known.and_then(|shown| shown.hash.as_ref()).map(|hash| &hash.state),
        "peers": upstreams.map(<[_]>::len),
        "connected": upstreams.map(connected),
        "lag": upstreams.map(lag),
        "commit_age_ms": known.and_then(|shown| shown.commit.as_ref()).map(|commit| commit.age_ms),
        "trouble": trouble,
    });
    format!("{object}\n")
}

fn table(rows: &[NodeRow]) -> String {
    let mut cells = vec![HEADINGS.map(str::to_owned)];
    cells.extend(rows.iter().map(cells_of));
    let mut widths = [0; COLUMNS];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for row in &cells {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

fn cells_of(row: &NodeRow) -> [String; COLUMNS] {
    let nothing = || NOTHING.to_owned();
    let trouble = row.trouble.as_ref().map_or_else(nothing, |trouble| visible(trouble, TEXT_BYTES));
    let Some(PeersBody { source, length, commit, hash, upstreams }) = &row.shown else {
        let [name, length, hash, peers, lag, commit] = std::array::from_fn(|_| nothing());
        return [row.address.clone(), name, length, hash, peers, lag, commit, trouble];
    };
    let hash = hash.as_ref().map(|hash| hash.state.chars().take(HASH_CHARACTERS).collect());
    [
        row.address.clone(),
        visible(source, TEXT_BYTES),
        length.to_string(),
        hash.unwrap_or_else(nothing),
        format!("{}/{}", connected(upstreams), upstreams.len()),
        lag(upstreams).to_string(),
        commit.as_ref().map_or_else(nothing, |commit| age(commit.age_ms)),
        trouble,
    ]
}

/// How many of the peers are connected.
fn connected(upstreams: &[ShownUpstream]) -> usize {
    upstreams.iter().filter(|upstream| upstream.state == "connected").count()
}

/// How many transactions the node lacks.
fn lag(upstreams: &[ShownUpstream]) -> u64 {
    upstreams.iter().filter_map(|upstream| upstream.behind).sum()
}

/// An age for a person.
fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_stands_below_each_other() {
        let upstream = |state: &str, behind| ShownUpstream { state: state.to_owned(), behind };
        let shown = PeersBody {
            source: "a~12345678".into(),
            length: 1234,
            commit: Some(CommitAge { age_ms: 3_999 }),
            hash: Some(ShownHash { state: "b4a071d585620cb0".into() }),
            upstreams: vec![upstream("connected", Some(3)), upstream("waiting", None)],
        };
        let rows = [
            NodeRow { address: "a:1".into(), shown: Some(shown), trouble: None, is_reached: true },
            NodeRow {
                address: "long.example:80".into(),
                shown: None,
                trouble: Some("no\nsuch host".into()),
                is_reached: false,
            },
        ];
        let expected = [
            "NODE             NAME        TRANSACTIONS  HASH      PEERS  LAG  COMMIT  TROUBLE",
            "a:1              a~12345678  1234          b4a071d5  1/2    3    3s      -",
            "long.example:80  -           -             -         -      -    -       no\\nsuch host",
        ];
        assert_eq!(table(&rows), expected.join("\n") + "\n");
        let objects = rows.each_ref().map(object);
        let found: [serde_json::Value; 2] =
            objects.map(|object| serde_json::from_str(&object).unwrap());
        let expected = [
            json!({
                "node": "a:1", "reached": true, "name": "a~12345678", "transactions": 1234,
                "hash": "b4a071d585620cb0", "peers": 2, "connected": 1, "lag": 3,
                "commit_age_ms": 3999, "trouble": null,
            }),
            json!({
                "node": "long.example:80", "reached": false, "name": null, "transactions": null,
                "hash": null, "peers": null, "connected": null, "lag": null,
                "commit_age_ms": null, "trouble": "no\nsuch host",
            }),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_age_has_the_unit_that_fits() {
        for (millis, expected) in
            [(0, "0s"), (119_999, "119s"), (120_000, "2m"), (7_200_000, "2h"), (864_000_000, "10d")]
        {
            assert_eq!(age(millis), expected);
        }
    }
}
