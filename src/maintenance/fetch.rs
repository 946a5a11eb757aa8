//! Asks a running node over HTTP: who it is, to be the primary, or for its peers.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Time;
use crate::config::{Remote, authority};
use crate::source::Source;
use crate::stream::{Security, Stream};

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A running node.
pub struct Node<'a> {
    remote: &'a Remote,
}

/// Connects to a running node.
pub async fn connect(remote: &Remote) -> Result<Stream, String> {
    let Remote { address, is_tls, tls, .. } = remote;
    let stream = Security::load(tls)?.dial(address, *is_tls).await;
    stream.map_err(|error| format!("{address}: {error}"))
}

#[derive(Deserialize)]
struct Peers {
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
    /// How it stands with it.
    pub state: String,
    /// Since when.
    pub since: Time,
    /// When something was last heard of it.
    pub heard: Option<Time>,
    /// Whether it is told to send what it has, and not the transactions.
    #[serde(default)]
    pub lazy: bool,
    /// How many of its transactions the node lacks, as far as that is known.
    pub behind: Option<u64>,
    /// What is wrong.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    kept: bool,
}

#[derive(Deserialize)]
struct Promoted {
    epoch: u64,
}

impl<'a> Node<'a> {
    /// The node that is reached so.
    pub fn new(remote: &'a Remote) -> Self {
        Self { remote }
    }

    fn failed(&self, error: impl Display) -> String {
        format!("{}: {error}", self.remote.address)
    }

    /// Its source.
    pub async fn source(&mut self) -> Result<Source, String> {
        Ok(self.shown().await?.source)
    }

    /// Its peers.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, String> {
        Ok(self.shown().await?.upstreams)
    }

    /// Has it receive from a peer too. Says whether it does so after its next start.
    pub async fn add_peer(&self, peer: &str) -> Result<bool, String> {
        let body = serde_json::json!({"address": peer}).to_string();
        let answer = self.request("POST", "/peers", &body).await?;
        Ok(self.read::<Changed>("/peers", &answer)?.kept)
    }

    /// Has it receive from a peer no more. Says whether it does so after its next start.
    pub async fn remove_peer(&self, peer: &str) -> Result<bool, String> {
        let path = format!("/peers/{}", percent_encoded(peer));
        let answer = self.request("DELETE", &path, "").await?;
        Ok(!answer.is_empty() && self.read::<Changed>(&path, &answer)?.kept)
    }

    /// Has it begin the next epoch as the primary. Says which.
    pub async fn promote(&self) -> Result<u64, String> {
        let answer = self.request("POST", "/primary", "").await?;
        Ok(self.read::<Promoted>("/primary", &answer)?.epoch)
    }

    async fn shown(&self) -> Result<Peers, String> {
        self.read("/peers", &self.request("GET", "/peers", "").await?)
    }

    fn read<T: DeserializeOwned>(&self, path: &str, answer: &[u8]) -> Result<T, String> {
        serde_json::from_slice(answer)
            .map_err(|error| format!("{}{path}: {error}", self.remote.address))
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let timeout = async {
            Timer::after(ANSWER_LIMIT).await;
            Err(self.failed(io::Error::from(io::ErrorKind::TimedOut)))
        };
        let answer = self.ask(method, path, body).or(timeout).await?;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&answer) {
            Ok(httparse::Status::Complete(length)) => length,
            _ => return Err(self.failed("what answers is no node")),
        };
        let body = &answer[head..];
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        match response.code {
            Some(204) => Ok(Vec::new()),
            Some(200..=202) if length == Some(body.len()) => Ok(body.to_vec()),
            Some(200..=202) => Err(self.failed("the answer is cut off")),
            Some(401) => Err(self.failed("it wants another token")),
            code => {
                // What went wrong there (RFC 9457), if it says so.
                let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let detail = problem["detail"].as_str().unwrap_or("and not why");
                let code = code.unwrap_or_default();
                Err(self.failed(format_args!("it answers {code}, {detail}")))
            }
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let Remote { address, token, .. } = self.remote;
        let mut stream = connect(self.remote).await?;
        let authorization =
            token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n{body}",
            authority(address),
            body.len(),
            authorization.unwrap_or_default()
        );
        let mut answer = Vec::new();
        let asked = async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
        };
        asked.await.map_err(|error| self.failed(error))?;
        Ok(answer)
    }
}

/// A text as a part of a path.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b':' | b'/' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_peer_is_named_in_a_path() {
        for (peer, path) in [
            ("b.lan:80/mesh/ws", "b.lan:80/mesh/ws"),
            ("[fe80::1%eth0]:80", "%5Bfe80::1%25eth0%5D:80"),
        ] {
            assert_eq!(super::percent_encoded(peer), path);
        }
    }
}
