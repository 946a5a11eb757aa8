//! `/peers`: this node, its peers and its readers; `POST` and `DELETE` change the peers.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::primary::CommitStatus;
use super::{Routes, bad_request, json, preconditions};
use crate::clock::{Time, VectorClock};
use crate::config::Peer;
use crate::http::{Request, Response, percent_decode};
use crate::manager::{StateHash, wall_clock};
use crate::mesh::downstream::DownstreamStatus;
use crate::mesh::upstream::{Done, NotDone, PeerChange, UnfitPeer, UpstreamStatus};
use crate::source::Source;

#[derive(Serialize)]
struct ShownPeers {
    source: Source,
    /// The time at this node, to which the other times can be compared.
    time: Time,
    /// How many transactions the history has.
    length: u64,
    /// How many of them are folded into a document, and so not kept one by one.
    begins: u64,
    /// How many records the journal has had.
    position: u64,
    /// None if no commit is known.
    commit: Option<CommitStatus>,
    /// How many transactions are final, and how many are not.
    committed: u64,
    tentative: u64,
    vclock: VectorClock,
    /// None if it is not computed, since the document is large and changes.
    hash: Option<StateHash>,
    /// Whether another patchmesh node has read this one since it started.
    was_read: bool,
    upstreams: Vec<UpstreamStatus>,
    downstreams: Vec<DownstreamStatus>,
}

/// The body of a `POST`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    address: String,
}

/// Answers a `GET`.
pub async fn list(routes: &Routes) -> Response {
    let state = routes.handle.state();
    let position = state.journal_length();
    json(&ShownPeers {
        source: routes.handle.source(),
        time: wall_clock(),
        length: state.length(),
        begins: state.begin().index,
        position,
        commit: routes.commit(&state),
        committed: state.committed_length(),
        tentative: state.tentative(),
        vclock: routes.own_vclock(&state),
        hash: routes.handle.state_hash().await,
        was_read: routes.downstreams.were_read(),
        upstreams: routes.peers.statuses(),
        downstreams: routes.downstreams.status(&routes.handle),
    })
}

/// Adds a peer.
pub async fn add(routes: &Routes, request: &Request) -> Result<Response, Response> {
    let peer = addition(&request.body).map_err(bad_request)?;
    preconditions::check_untagged(request)?;
    let done = routes.peers.change(PeerChange::Add(peer.clone())).await.map_err(refusal)?;
    Ok(answer_to_add(&peer, done))
}

/// Removes the peer of this name.
pub async fn remove(routes: &Routes, request: &Request, name: &str) -> Result<Response, Response> {
    let peer = named(name).map_err(|why| Response::problem(404, why))?;
    if routes.peers.statuses().iter().any(|status| status.address == peer.to_string()) {
        preconditions::check_untagged(request)?;
    }
    let done = routes.peers.change(PeerChange::Remove(peer.clone())).await.map_err(refusal)?;
    Ok(answer_to_remove(&peer, done))
}

fn addition(body: &[u8]) -> Result<Peer, String> {
    let wrong = |error: &dyn Display| {
        format!("the body is not {{\"address\":\"host:port\"}}: {error}; nothing was changed")
    };
    let Addition { address } = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
    address.parse::<Peer>().map_err(|error| format!("{error}; nothing was changed"))
}

fn named(name: &str) -> Result<Peer, String> {
    let name = percent_decode(name)
        .ok_or_else(|| "the path is not UTF-8 in correct percent-encoding".to_owned())?;
    name.parse::<Peer>().map_err(|error| format!("this node has no such peer: {error}"))
}

fn answer_to_add(peer: &Peer, done: Done) -> Response {
    let shown = json!({"address": peer.to_string(), "kept": done.is_kept});
    Response { status: if done.is_new { 201 } else { 200 }, ..json(&shown) }
}

fn answer_to_remove(peer: &Peer, done: Done) -> Response {
    if !done.is_kept {
        return Response::new(204);
    }
    let detail =
        "the command line names this peer, so the node dials it again after its next start";
    json(&json!({"address": peer.to_string(), "kept": true, "detail": detail}))
}

fn refusal(why: NotDone) -> Response {
    let status = match why {
        NotDone::Unfit(UnfitPeer::Itself) => 400,
        NotDone::Unfit(UnfitPeer::TooMany) => 409,
        NotDone::Absent => 404,
        NotDone::Unkept(_) | NotDone::Late | NotDone::Stopping => 503,
    };
    Response::problem(status, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_so() {
        for (body, expected) in [
            (r#"{"address":"b:1"}"#, Ok("b:1")),
            (r#"{"address":"ws://[::1]:8080/mesh/ws"}"#, Ok("[::1]:8080/mesh/ws")),
            ("", Err("EOF")),
            ("[]", Err("the body is not")),
            (r#"{"adress":"b:1"}"#, Err("unknown field `adress`")),
            (r#"{"address":7}"#, Err("invalid type")),
            (r#"{"address":"b"}"#, Err("it has no port")),
            (r#"{"address":"b:70000"}"#, Err("the port is not a number")),
            (r#"{"address":"http://b:1"}"#, Err("a peer is host:port, ws:// or wss://")),
            (r#"{"address":"b:1,c:1"}"#, Err("is not an address")),
        ] {
            match (addition(body.as_bytes()), expected) {
                (Ok(peer), expected) => assert_eq!(Ok(peer.to_string().as_str()), expected),
                (Err(why), Err(part)) => assert!(why.contains(part), "{body}: {why}"),
                (Err(why), Ok(_)) => panic!("{body}: {why}"),
            }
        }
    }

    #[test]
    fn a_path_names_a_peer() {
        for (name, expected) in [
            ("b:1", Some("b:1")),
            ("b:1/mesh/ws", Some("b:1/mesh/ws")),
            ("%5Bfe80::1%25eth0%5D:80", Some("[fe80::1%eth0]:80")),
            ("b%3A1", Some("b:1")),
            ("", None),
            ("b", None),
            ("b:1%", None),
        ] {
            let found = named(name).ok().map(|peer| peer.to_string());
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn each_outcome_has_a_status() {
        let peer = "b:1".parse().unwrap();
        for (is_new, is_kept, added, removed) in
            [(true, true, 201, 200), (true, false, 201, 204), (false, true, 200, 200)]
        {
            let done = Done { is_new, is_kept };
            assert_eq!(answer_to_add(&peer, done).status, added);
            assert_eq!(answer_to_remove(&peer, done).status, removed);
        }
        for (why, status) in [
            (NotDone::Unfit(UnfitPeer::Itself), 400),
            (NotDone::Unfit(UnfitPeer::TooMany), 409),
            (NotDone::Absent, 404),
            (NotDone::Unkept("the disk is full".into()), 503),
            (NotDone::Late, 503),
        ] {
            assert_eq!(refusal(why).status, status);
        }
    }
}
