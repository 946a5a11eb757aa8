//! `/healthz`: whether the node is well; `/healthz/live`: whether its process works; `/healthz/ready`: whether
//! it takes reads and writes.
//!
//! There is one list of troubles. Each kind is found by one small function of [`FINDERS`]; all get the same
//! readings. Something that may be intended, or may be a mistake, is only a remark.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::{Routes, json};
use crate::http::{Problem, Request, Response};
use crate::manager::{Counters, LastCommit};
use crate::mesh::downstream::UNREAD;
use crate::mesh::upstream::{Divergence, UpstreamStatus};
use crate::replica::{Difference, MAX_AHEAD_MICROS};
use crate::transaction::Name;

/// How long one turn of the manager may take before the process counts as stuck. It is longer than any replay,
/// since a restart would only begin the replay again.
const LIVE_LIMIT: Duration = Duration::from_secs(30);

/// Something that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Its kind: the last part of the problem's type.
    pub kind: &'static str,
    /// What is wrong, in a sentence for a person.
    pub detail: String,
    /// Whether the node does not take reads and writes while it lasts.
    #[serde(skip)]
    pub blocks: bool,
}

/// Something that may be intended. The node is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Its kind.
    pub kind: &'static str,
    /// What was noticed, in a sentence for a person.
    pub detail: String,
}

/// The readings from which troubles are found.
pub struct HealthReadings {
    /// The manager's counters.
    pub counters: Counters,
    /// The last commit that counts.
    pub commit: Option<LastCommit>,
    /// The damage of the journal, if there is any.
    pub damage: Option<String>,
    /// Why new transactions would be lost, if the journal's file is not in its place.
    pub loss: Option<String>,
    /// Why the node must take the document of another node, if it must.
    pub difference: Option<Difference>,
    /// The streams from the peers.
    pub upstreams: Vec<UpstreamStatus>,
    /// Whether another patchmesh node has read this one since its start.
    pub was_read: bool,
}

/// One function for each kind of trouble, the most urgent one first.
const FINDERS: [fn(&HealthReadings, &mut Vec<Trouble>); 8] = [
    journal_lost,
    journal_full,
    journal_damaged,
    clock_ahead,
    difference,
    divergence,
    two_primaries,
    peer_clock_ahead,
];

fn journal_lost(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    troubles.extend(readings.loss.iter().map(|why| {
        let detail = format!(
            "the journal's file is not in its place, so transactions are refused; reads go on: {why}"
        );
        Trouble { kind: "journal-lost", detail, blocks: true }
    }));
}

fn journal_damaged(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    troubles.extend(readings.damage.iter().map(|damage| {
        let detail = format!(
            "the journal is damaged: {damage}; what does not need that part goes on. To mend it, stop \
             the node, and: patchmesh verify DIR --rebuild-from PEER"
        );
        Trouble { kind: "journal-damaged", detail, blocks: false }
    }));
}

fn journal_full(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    if readings.counters.journal_full {
        let detail = "the journal cannot grow, so transactions are refused; reads go on".into();
        troubles.push(Trouble { kind: "journal-full", detail, blocks: true });
    }
}

fn clock_ahead(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    let ahead_micros = readings.counters.ahead_micros;
    if ahead_micros <= MAX_AHEAD_MICROS {
        return;
    }
    let detail = format!(
        "this node has transactions with times {} s ahead of its wall clock, so it creates none for \
         {} s; reads go on; one of the clocks was wrong or is",
        ahead_micros / 1_000_000,
        (ahead_micros - MAX_AHEAD_MICROS).div_ceil(1_000_000)
    );
    troubles.push(Trouble { kind: "clock-ahead", detail, blocks: true });
}

fn difference(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    let named = |Name { source, id }: &Name| format!("commit {id} of {source}");
    troubles.extend(readings.difference.iter().map(|difference| {
        let what = match difference {
            Difference::Hash(commit) => {
                format!("the document at {} is another one here than it says", named(commit))
            }
            Difference::Lacks(commit) => {
                format!("{} came without all of what it makes final", named(commit))
            }
            Difference::Outside(commit) => {
                let commit = commit.as_ref().map_or_else(String::new, |commit| {
                    format!(": {}, and those before it, do not contain it", named(commit))
                });
                format!("this node has folded away what is not final any more{commit}")
            }
        };
        let detail = format!(
            "{what}. The node takes the document of a peer that agrees, as soon as it reaches one; until then \
             it says of nothing that it is final"
        );
        Trouble { kind: "difference", detail, blocks: false }
    }));
}

fn divergence(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    for upstream in &readings.upstreams {
        if let Some(Divergence { here, there }) = &upstream.divergence {
            let peer = upstream.named();
            let detail = format!(
                "peer {peer} counts the same transactions and has another document: state hash {here} \
                 here, {there} there. {}",
                Divergence::CURE
            );
            troubles.push(Trouble { kind: "divergence", detail, blocks: false });
        }
    }
}

fn two_primaries(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    let other = readings.commit.as_ref().filter(|_| readings.counters.two_primaries);
    troubles.extend(other.map(|LastCommit { name, .. }| {
        let detail = format!(
            "this node was started with --primary, and what counts are the commits of {}, so this one makes \
             nothing final: start only one node of the mesh with --primary",
            name.source
        );
        Trouble { kind: "two-primaries", detail, blocks: false }
    }));
}

fn peer_clock_ahead(readings: &HealthReadings, troubles: &mut Vec<Trouble>) {
    troubles.extend(readings.upstreams.iter().filter_map(|upstream| {
        let seconds = upstream.ahead_ms? / 1000;
        let detail = format!(
            "peer {}: nothing is received, since its times are {seconds} s ahead of this node's \
             clock, and an hour is allowed: one of the clocks is wrong",
            upstream.named()
        );
        Some(Trouble { kind: "peer-clock-ahead", detail, blocks: false })
    }));
}

/// Finds what is only a remark.
fn remarks(readings: &HealthReadings) -> Vec<Remark> {
    let has_peers = readings.upstreams.iter().any(|upstream| !upstream.is_left_aside);
    if !has_peers || readings.was_read {
        return Vec::new();
    }
    vec![Remark { kind: "not-read", detail: UNREAD.into() }]
}

fn find(readings: &HealthReadings) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    FINDERS.iter().for_each(|finder| finder(readings, &mut troubles));
    troubles
}

/// Answers a request for one of the three paths.
pub fn health(routes: &Routes, request: &Request) -> Response {
    let busy = routes.handle.busy();
    if busy > LIVE_LIMIT {
        let detail = format!("the manager has been at work on one turn for {} s", busy.as_secs());
        return answer(&[Trouble { kind: "stuck", detail, blocks: true }], &[]);
    }
    let state = routes.handle.state();
    let (counters, commit) = (state.counters(), state.last_commit());
    let difference = state.difference().cloned();
    let journal = routes.handle.journal();
    let damage = journal.damage().map(|damage| damage.to_string());
    let (loss, upstreams) = (journal.loss(), routes.peers.statuses());
    let was_read = routes.downstreams.were_read();
    let readings =
        HealthReadings { counters, commit, damage, loss, difference, upstreams, was_read };
    let mut troubles = find(&readings);
    match request.path() {
        // The manager is not stuck, so the process works.
        "/healthz/live" => answer(&[], &[]),
        "/healthz/ready" => {
            troubles.retain(|trouble| trouble.blocks);
            answer(&troubles, &[])
        }
        _ => answer(&troubles, &remarks(&readings)),
    }
}

/// 200 if there are no troubles; else a problem for the first one, with all of them as `troubles`. Both have
/// the remarks as `notes`, if there are any.
fn answer(troubles: &[Trouble], remarks: &[Remark]) -> Response {
    let notes = json!(remarks);
    let Some(first) = troubles.first() else {
        let mut well = json!({"status": "ok"});
        if !remarks.is_empty() {
            well["notes"] = notes;
        }
        return json(&well);
    };
    let problem = Problem::new(503, first.detail.clone());
    let mut problem = problem.with_member("troubles", json!(troubles));
    if !remarks.is_empty() {
        problem = problem.with_member("notes", notes);
    }
    (problem.kind, problem.title) =
        (format!("/problems/{}", first.kind).into(), "Not all is well".into());
    problem.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn upstream(address: &str, diverges: bool) -> UpstreamStatus {
        let divergence = diverges.then(|| Divergence { here: "1".into(), there: "2".into() });
        let now = Time::from_micros(1).unwrap();
        UpstreamStatus { divergence, ..UpstreamStatus::new(address.into(), now) }
    }

    /// The readings of a node that is well.
    fn readings() -> HealthReadings {
        HealthReadings {
            counters: Counters::default(),
            commit: None,
            damage: None,
            loss: None,
            difference: None,
            upstreams: Vec::new(),
            was_read: false,
        }
    }

    #[test]
    fn all_troubles_are_told_and_the_first_is_the_problem() {
        let readings = |journal_full, diverging: &[bool]| HealthReadings {
            counters: Counters { journal_full, ..Counters::default() },
            upstreams: diverging.iter().map(|diverges| upstream("a:1", *diverges)).collect(),
            ..self::readings()
        };
        for (readings, kinds, blocking) in [
            (readings(false, &[]), &[][..], 0),
            (readings(false, &[false]), &[], 0),
            (readings(true, &[false]), &["journal-full"], 1),
            (readings(false, &[true, false, true]), &["divergence", "divergence"], 0),
            (readings(true, &[true]), &["journal-full", "divergence"], 1),
        ] {
            let troubles = find(&readings);
            let found: Vec<_> = troubles.iter().map(|trouble| trouble.kind).collect();
            assert_eq!(found, kinds);
            assert_eq!(troubles.iter().filter(|trouble| trouble.blocks).count(), blocking);
            let answer = answer(&troubles, &[]);
            let body: serde_json::Value = serde_json::from_slice(answer.body.at_hand()).unwrap();
            let Some(first) = troubles.first() else {
                assert_eq!((answer.status, body), (200, json!({"status": "ok"})));
                continue;
            };
            assert_eq!(answer.status, 503);
            assert_eq!(body["detail"], first.detail);
            assert_eq!(body["type"], format!("/problems/{}", first.kind));
            let shown: Vec<_> = body["troubles"].as_array().unwrap().iter().collect();
            assert_eq!(shown.len(), troubles.len());
            assert_eq!(shown[0]["kind"], first.kind);
            assert_eq!(shown[0]["detail"], first.detail);
        }
    }

    #[test]
    fn that_nobody_reads_a_node_with_peers_is_noted_and_no_trouble() {
        let plain = UpstreamStatus { is_left_aside: true, ..upstream("p:1", false) };
        let peer = upstream("a:1", false);
        for (upstreams, was_read, is_noted) in [
            (vec![], false, false),
            (vec![plain.clone()], false, false),
            (vec![plain.clone(), peer.clone()], false, true),
            (vec![peer.clone()], true, false),
        ] {
            let readings = HealthReadings { upstreams, was_read, ..readings() };
            let remarks = remarks(&readings);
            assert_eq!(remarks.iter().any(|remark| remark.kind == "not-read"), is_noted);
            let full = Trouble { kind: "journal-full", detail: "full".into(), blocks: true };
            for (troubles, status) in [(find(&readings), 200), (vec![full], 503)] {
                let answer = answer(&troubles, &remarks);
                let body: serde_json::Value =
                    serde_json::from_slice(answer.body.at_hand()).unwrap();
                assert_eq!(answer.status, status);
                let detail = body["notes"][0]["detail"].as_str();
                assert_eq!(
                    detail.is_some_and(|detail| detail.contains("gets no further")),
                    is_noted
                );
            }
        }
    }

    #[test]
    fn a_second_primary_is_told() {
        let name = ("a~00000000^3".parse().unwrap(), 7).into();
        let commit = Some(LastCommit { name, time: Time::default() });
        let readings = |two_primaries| HealthReadings {
            counters: Counters { two_primaries, ..Counters::default() },
            commit: commit.clone(),
            ..readings()
        };
        assert_eq!(find(&readings(false)), []);
        let troubles = find(&readings(true));
        assert_eq!((troubles[0].kind, troubles[0].blocks), ("two-primaries", false));
        assert!(troubles[0].detail.contains("commits of a~00000000^3"), "{troubles:?}");
    }

    #[test]
    fn a_document_that_is_not_what_a_commit_says_is_told() {
        let commit = Name { source: "main~k3x9q2pd^1".parse().unwrap(), id: 7 };
        for (difference, begin) in [
            (Difference::Hash(commit.clone()), "the document at commit 7 of main~k3x9q2pd^1 is "),
            (Difference::Lacks(commit.clone()), "commit 7 of main~k3x9q2pd^1 came without "),
            (Difference::Outside(Some(commit)), "this node has folded away what is not final "),
            (Difference::Outside(None), "this node has folded away what is not final any more. "),
        ] {
            let troubles = find(&HealthReadings { difference: Some(difference), ..readings() });
            assert_eq!(troubles.len(), 1);
            assert_eq!((troubles[0].kind, troubles[0].blocks), ("difference", false));
            assert!(troubles[0].detail.starts_with(begin), "{}", troubles[0].detail);
        }
    }

    #[test]
    fn a_peer_whose_clock_is_ahead_is_told() {
        let mut ahead = upstream("a:1", false);
        ahead.ahead_ms = Some(7_200_000);
        let upstreams = vec![upstream("b:1", false), ahead];
        let troubles = find(&HealthReadings { upstreams, ..readings() });
        assert_eq!(troubles.len(), 1);
        assert_eq!((troubles[0].kind, troubles[0].blocks), ("peer-clock-ahead", false));
        assert!(
            troubles[0].detail.starts_with("peer a:1: ") && troubles[0].detail.contains("7200 s")
        );
    }
}
