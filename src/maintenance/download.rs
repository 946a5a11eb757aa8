//! Downloads the base and the journal of a running node, as a new peer does.

use std::future::poll_fn;
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use smol::Timer;
use smol::future::FutureExt;

use crate::blocking::unblock;
use crate::config::{Remote, authority};
use crate::journal::StoredBase;
use crate::mesh::websocket::transfer::{Arrived, Assembler};
use crate::mesh::websocket::{Note, SILENCE_LIMIT, Socket, SocketLimits};
use crate::remote::connect;
use crate::transaction::{MAX_ENCODED_BYTES, Record, Transaction};

/// How long finding, connecting and shaking hands may take in all.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

const LIMITS: SocketLimits =
    SocketLimits { message_bytes: MAX_ENCODED_BYTES, read_buffer_bytes: 64 << 10 };

/// The stream of a running node.
pub struct Download {
    address: String,
    socket: Socket,
    /// An item that was received and not used yet.
    next: Option<Received>,
}

/// An item of the stream.
enum Received {
    Record(Record),
    Base(Box<Arrived>),
    End,
}

impl Download {
    /// Dials a running node, and reads its base, if it has folded something away.
    ///
    /// # Errors
    /// If that is not possible, with the reason.
    pub async fn open(node: &Remote) -> Result<(Self, Option<StoredBase>), String> {
        let address = &node.address;
        let limit = async {
            Timer::after(DIAL_LIMIT).await;
            Err(format!("{address}: no answer within {} s", DIAL_LIMIT.as_secs()))
        };
        let socket = dial(node).or(limit).await?;
        let mut stream = Self { address: address.to_owned(), socket, next: None };
        match stream.hear().await? {
            Received::Base(arrived) => {
                // To read a large document takes a while.
                let base = unblock(|| arrived.read()).await.map_err(|why| stream.bad(why))?;
                // The new journal begins right after the base, so its position is 0.
                let (summary, document) = (base.summary(), base.document.root().to_text());
                Ok((stream, Some(StoredBase { position: 0, summary, document })))
            }
            heard => {
                stream.next = Some(heard);
                Ok((stream, None))
            }
        }
    }

    /// The next record; none after the last.
    ///
    /// # Errors
    /// If the stream breaks off, or has something wrong in it, with the reason.
    pub async fn next(&mut self) -> Result<Option<Record>, String> {
        let heard = match self.next.take() {
            Some(heard) => heard,
            None => self.hear().await?,
        };
        match heard {
            Received::Record(record) => Ok(Some(record)),
            Received::End => {
                self.next = Some(Received::End);
                Ok(None)
            }
            Received::Base(_) => Err(self.bad("a base behind its beginning".into())),
        }
    }

    /// Closes the stream after its end.
    pub async fn close(self) {
        self.socket.close(CloseCode::Normal, "all is read").await;
    }

    async fn hear(&mut self) -> Result<Received, String> {
        let mut assembler = Assembler::default();
        loop {
            let limit = async {
                Timer::after(SILENCE_LIMIT).await;
                Err(format!("silent for {} s", SILENCE_LIMIT.as_secs()))
            };
            let message = async {
                let heard = poll_fn(|context| self.socket.poll_heard(context)).await;
                heard.map_err(|fault| fault.to_string())
            };
            let message = message.or(limit).await.map_err(|why| self.bad(why))?;
            let text = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(frame) => {
                    let reason = frame.as_ref().map_or("", |frame| &*frame.reason);
                    return Err(self.bad(format!("it ends the stream: {reason:?}; try again")));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            match Note::decode(text) {
                Some(Ok(Note::End(_))) if !assembler.is_under_way() => return Ok(Received::End),
                Some(note) => {
                    let arrived = note.and_then(|note| assembler.take(note));
                    if let Some(arrived) = arrived.map_err(|why| self.bad(why))? {
                        return Ok(Received::Base(Box::new(arrived)));
                    }
                }
                None if assembler.is_under_way() => {
                    return Err(self.bad("a transaction inside a base".into()));
                }
                None => {
                    let bad = |why: String| self.bad(why);
                    let transaction =
                        Transaction::decode(text).map_err(|error| bad(error.to_string()))?;
                    // Encoded again by this program, so that no line of a journal is another node's text.
                    let record = Record::read(&transaction.encode());
                    let record = record.map_err(|error| bad(error.to_string()))?;
                    let record =
                        record.ok_or_else(|| bad("a transaction without Time".to_owned()))?;
                    return Ok(Received::Record(record));
                }
            }
        }
    }

    fn bad(&self, why: String) -> String {
        format!("{}/ws: {why}", self.address)
    }
}

async fn dial(node: &Remote) -> Result<Socket, String> {
    let Remote { address, token, .. } = node;
    let failed = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let stream = connect(node).await?;
    let request = format!("ws://{}/ws?v=2", authority(address)).into_client_request();
    let mut request = request.map_err(|error| failed(&error))?;
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        request.headers_mut().insert(header::AUTHORIZATION, value.map_err(|error| failed(&error))?);
    }
    match Socket::dial(request, stream, LIMITS).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) if answer.status() == StatusCode::UNAUTHORIZED => {
            Err(failed(&"it wants another token"))
        }
        Err(Error::Http(answer)) => {
            // The node may say what is wrong (RFC 9457).
            let body = answer.body().as_deref().unwrap_or_default();
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or("and not why");
            Err(failed(&format_args!("it answers {}, {detail}", answer.status())))
        }
        Err(error) => Err(failed(&error)),
    }
}
