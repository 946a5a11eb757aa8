//! Asks a running node over HTTP: who it is, to be the primary, or for its peers.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::Time;
use crate::config::Remote;
use crate::remote::{ANSWER_LIMIT, NodeAnswer, NodeRequest, RemoteNode, percent_encoded};
use crate::source::Source;

/// A running node.
pub struct NodeControl {
    asked: RemoteNode,
}

#[derive(Deserialize)]
struct PeersAnswer {
    source: Source,
    #[serde(default)]
    upstreams: Vec<PeerStatus>,
}

/// One of a running node's peers.
#[derive(Debug, Deserialize)]
pub struct PeerStatus {
    /// Where it listens.
    pub address: String,
    /// The source of the node that answered last.
    pub node: Option<String>,
    /// The state of the connection.
    pub state: String,
    /// The time at which that state began.
    pub since: Time,
    /// The time of the last message from it.
    pub heard: Option<Time>,
    /// Whether it only announces transactions and does not send them.
    #[serde(default)]
    pub lazy: bool,
    /// How many of its transactions the node lacks, if that is known.
    pub behind: Option<u64>,
    /// What is wrong.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct ChangeAnswer {
    kept: bool,
}

#[derive(Deserialize)]
struct PromotionAnswer {
    epoch: u64,
}

impl NodeControl {
    /// A client of this node. It is not connected yet.
    pub fn new(remote: &Remote) -> Result<Self, String> {
        Ok(Self { asked: RemoteNode::new(remote.clone())? })
    }

    /// Its source.
    pub async fn source(&mut self) -> Result<Source, String> {
        Ok(self.shown().await?.source)
    }

    /// Its peers.
    pub async fn peers(&mut self) -> Result<Vec<PeerStatus>, String> {
        Ok(self.shown().await?.upstreams)
    }

    /// Adds a peer. Returns whether it stays one after the next start.
    pub async fn add_peer(&mut self, peer: &str) -> Result<bool, String> {
        let body = serde_json::json!({"address": peer}).to_string();
        let answer = self.request("POST", "/peers", &body).await?;
        Ok(self.read::<ChangeAnswer>("/peers", &answer)?.kept)
    }

    /// Removes a peer. Returns whether it is one again after the next start.
    pub async fn remove_peer(&mut self, peer: &str) -> Result<bool, String> {
        let path = format!("/peers/{}", percent_encoded(peer));
        let answer = self.request("DELETE", &path, "").await?;
        Ok(answer.head.status != 204 && self.read::<ChangeAnswer>(&path, &answer)?.kept)
    }

    /// Makes it the primary. Returns its epoch.
    pub async fn promote(&mut self) -> Result<u64, String> {
        let answer = self.request("POST", "/primary", "").await?;
        Ok(self.read::<PromotionAnswer>("/primary", &answer)?.epoch)
    }

    async fn shown(&mut self) -> Result<PeersAnswer, String> {
        let answer = self.request("GET", "/peers", "").await?;
        self.read("/peers", &answer)
    }

    fn failed(&self, error: impl Display) -> String {
        format!("{}: {error}", self.asked.address())
    }

    fn read<T: DeserializeOwned>(&self, path: &str, answer: &NodeAnswer) -> Result<T, String> {
        answer.read().map_err(|error| format!("{}{path}: {error}", self.asked.address()))
    }

    async fn request(
        &mut self,
        method: &str,
        target: &str,
        body: &str,
    ) -> Result<NodeAnswer, String> {
        let request =
            NodeRequest { method, target, body: body.as_bytes(), ..NodeRequest::default() };
        let answer = self.asked.request(&request, ANSWER_LIMIT).await;
        let answer = answer.map_err(|fault| fault.to_string())?;
        match answer.head.status {
            200..=299 => Ok(answer),
            _ => Err(self.failed(answer.trouble())),
        }
    }
}
