//! Asks a running node over HTTP: who it is, or to be the primary.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use crate::config::{authority, host_and_port};
use crate::source::Source;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A running node.
pub struct Node<'a> {
    address: &'a str,
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Peers {
    source: Source,
}

#[derive(Deserialize)]
struct Promoted {
    epoch: u64,
}

impl<'a> Node<'a> {
    /// The node that listens at `address`.
    pub fn new(address: &'a str, token: Option<&'a str>) -> Self {
        Self { address, token }
    }

    /// Its source.
    pub async fn source(&mut self) -> Result<Source, String> {
        let peers: Peers = serde_json::from_slice(&self.get("/peers").await?)
            .map_err(|error| format!("{}/peers: {error}", self.address))?;
        Ok(peers.source)
    }

    /// Has it begin the next epoch as the primary. Says which.
    pub async fn promote(&self) -> Result<u64, String> {
        let promoted: Promoted = serde_json::from_slice(&self.request("POST", "/primary").await?)
            .map_err(|error| format!("{}/primary: {error}", self.address))?;
        Ok(promoted.epoch)
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        self.request("GET", path).await
    }

    async fn request(&self, method: &str, path: &str) -> Result<Vec<u8>, String> {
        let timeout = async {
            Timer::after(ANSWER_LIMIT).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        let answer = self.ask(method, path).or(timeout).await;
        let answer = answer.map_err(|error| format!("{}: {error}", self.address))?;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&answer) {
            Ok(httparse::Status::Complete(length)) => length,
            _ => return Err(format!("{}: what answers is no node", self.address)),
        };
        let body = &answer[head..];
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        match response.code {
            Some(200 | 202) if length == Some(body.len()) => Ok(body.to_vec()),
            Some(200 | 202) => Err(format!("{}: the answer is cut off", self.address)),
            Some(401) => Err(format!("{}: it wants another token", self.address)),
            code => {
                // What went wrong there (RFC 9457), if it says so.
                let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let detail = problem["detail"].as_str().unwrap_or("and not why");
                let code = code.unwrap_or_default();
                Err(format!("{}: it answers {code}, {}", self.address, detail))
            }
        }
    }

    async fn ask(&self, method: &str, path: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(host_and_port(self.address)).await?;
        let authorization = self.token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n{}\r\n",
            authority(self.address),
            authorization.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}
