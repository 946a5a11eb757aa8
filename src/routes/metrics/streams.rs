//! Metrics of streams: those from peers, and those to readers.
//!
//! A node is shown by its name alone, without the suffix of its life: else its series would end with each
//! restart. The label is empty while a node has not said its name. So there is one series for each peer of this
//! node, and one for each name of a reader. Readers choose their names themselves, so there are at most
//! [`MOST_NAMES`].

use std::collections::BTreeMap;

use super::{MetricsText, seconds};
use crate::clock::Time;
use crate::mesh::downstream::{DownstreamStatus, ReaderKind};
use crate::mesh::upstream::{PeerState, UpstreamStatus};

/// How many names of readers have series of their own. The others count as readers without a name.
const MOST_NAMES: usize = 256;

/// Writes the metrics of the streams from peers.
pub fn write_upstreams(text: &mut MetricsText, upstreams: &[UpstreamStatus]) {
    let mut metric = |name: &str, kind, help, value: &dyn Fn(&UpstreamStatus) -> Option<f64>| {
        text.metric(name, kind, help);
        for upstream in upstreams {
            let node = name_of(upstream.node.as_deref());
            if let Some(value) = value(upstream) {
                text.sample(name, &[("peer", &upstream.address), ("node", &node)], value);
            }
        }
    };
    let flag = |is_so: bool| Some(f64::from(u8::from(is_so)));
    let count = |count: u64| count as f64;
    metric(
        "upstream_connected",
        "gauge",
        "Whether the peer's journal is being received",
        &|peer| flag(peer.state == PeerState::Connected),
    );
    metric(
        "upstream_since_timestamp_seconds",
        "gauge",
        "When it came to be connected, or not to be",
        &|peer| Some(timestamp(peer.since)),
    );
    metric("upstream_heard_timestamp_seconds", "gauge", "When it was last heard", &|peer| {
        peer.heard.map(timestamp)
    });
    metric(
        "upstream_lazy",
        "gauge",
        "Whether it is told to send what it has, and not the transactions",
        &|peer| flag(peer.lazy),
    );
    metric(
        "upstream_behind_transactions",
        "gauge",
        "How many of its transactions this node lacks, as far as it says so",
        &|peer| peer.behind.map(count),
    );
    metric("upstream_received_total", "counter", "Transactions that the peer sent", &|peer| {
        Some(count(peer.received))
    });
    metric(
        "upstream_left_out_total",
        "counter",
        "Those whose author has lost their order",
        &|peer| Some(count(peer.left_out)),
    );
    metric("upstream_delay_seconds", "gauge", "Age of its last one when it came", &|peer| {
        peer.delay_ms.map(seconds)
    });
    metric(
        "upstream_ahead_seconds",
        "gauge",
        "How far a peer's times are too far ahead",
        &|peer| Some(seconds(peer.ahead_ms.unwrap_or(0))),
    );
}

/// Writes the metrics of the streams to readers.
pub fn write_downstreams(text: &mut MetricsText, downstreams: &[DownstreamStatus], was_read: bool) {
    let lazy = downstreams.iter().filter(|reader| reader.lazy).count();
    let name = "downstreams";
    text.metric(name, "gauge", "Sessions that are sent the journal; pages and tools are viewers");
    for kind in ReaderKind::ALL {
        let count = downstreams.iter().filter(|reader| reader.kind == kind).count();
        text.sample(name, &[("kind", &kind.name())], count);
    }
    for (name, help, value) in [
        ("downstreams_lazy", "Those that are sent what there is, and not the transactions", lazy),
        (
            "was_read",
            "Whether another patchmesh node has read this one since its start",
            usize::from(was_read),
        ),
    ] {
        text.metric(name, "gauge", help);
        text.sample(name, &[], value);
    }
    let name = "downstream_behind_transactions";
    text.metric(name, "gauge", "How many transactions a node that reads is still to be sent");
    for (node, behind) in behind_by_name(downstreams) {
        text.sample(name, &[("node", &node)], behind);
    }
}

/// How far the slowest reader of each name is behind. All readers without a name are one. Viewers are no nodes,
/// and left out.
fn behind_by_name(downstreams: &[DownstreamStatus]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    let nodes = downstreams.iter().filter(|reader| reader.kind != ReaderKind::Viewer);
    for DownstreamStatus { node, behind, .. } in nodes {
        let mut name = name_of(node.as_deref());
        if all.len() >= MOST_NAMES && !all.contains_key(&name) {
            name.clear();
        }
        let most = all.entry(name).or_default();
        *most = (*most).max(*behind);
    }
    all
}

/// The name in a source.
fn name_of(source: Option<&str>) -> String {
    let source = source.unwrap_or_default();
    source.rsplit_once('~').map_or(source, |(name, _)| name).to_owned()
}

fn timestamp(time: Time) -> f64 {
    // In milliseconds: the clock is not more exact.
    (time.as_micros() / 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(node: Option<&str>, behind: u64) -> DownstreamStatus {
        DownstreamStatus {
            address: "a:1".into(),
            node: node.map(str::to_owned),
            kind: if node.is_some() { ReaderKind::Node } else { ReaderKind::Plain },
            position: 0,
            behind,
            lazy: false,
            since: Time::default(),
            heard: Time::default(),
        }
    }

    #[test]
    fn readers_are_told_apart_by_their_names() {
        let readers = [
            reader(Some("berlin~k3x9q2pd"), 3),
            reader(Some("berlin~00000000"), 7),
            reader(None, 1),
            reader(Some("cairo"), 0),
            reader(None, 5),
            DownstreamStatus { kind: ReaderKind::Viewer, ..reader(None, 9) },
        ];
        let expected = [("", 5), ("berlin", 7), ("cairo", 0)];
        let expected = expected.map(|(name, behind)| (name.to_owned(), behind));
        assert_eq!(behind_by_name(&readers), expected.into());
    }

    #[test]
    fn there_are_so_many_names_and_no_more() {
        let readers: Vec<_> =
            (0..1000).map(|n| reader(Some(&format!("n{n}~k3x9q2pd")), n)).collect();
        let all = behind_by_name(&readers);
        assert_eq!((all.len(), all[""], all["n7"]), (MOST_NAMES + 1, 999, 7));
    }
}
