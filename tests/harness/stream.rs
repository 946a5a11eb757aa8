//! A reader of `/ws`.

use std::net::TcpStream;
use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

use super::{Node, PATIENCE};

/// An open `/ws`, at its reading end.
pub struct Stream {
    pub socket: WebSocket<TcpStream>,
}

impl Stream {
    /// Opens a target, such as `/ws?since=…`.
    #[track_caller]
    pub fn open(node: &Node, target: &str) -> Self {
        Self::try_open(node, target, &node.headers()).unwrap()
    }

    /// Opens a target, or says why that is not possible.
    pub fn try_open(
        node: &Node,
        target: &str,
        headers: &[(&str, String)],
    ) -> Result<Self, Box<Error>> {
        let stream = TcpStream::connect_timeout(&node.address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}{target}", node.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name = tungstenite::http::HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tungstenite::client::client(request, stream) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(other) => panic!("{other}"),
        }
    }

    /// The next message, which has to be a transaction, and not a part of a document.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_line()).unwrap()
    }

    /// The next message as it is, but for the parts of a document.
    #[track_caller]
    pub fn next_line(&mut self) -> String {
        loop {
            let line = self.next_message();
            if !line.starts_with(r#"{"Source":"~base","#) {
                return line;
            }
        }
    }

    /// The next message as it is.
    #[track_caller]
    pub fn next_message(&mut self) -> String {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => (),
                other => panic!("a stream has text messages, not {other:?}"),
            }
        }
    }

    /// Reads on up to the close frame.
    #[track_caller]
    pub fn close_frame(&mut self) -> CloseFrame {
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < PATIENCE, "the stream is not closed");
            if let Message::Close(frame) = self.socket.read().unwrap() {
                return frame.expect("a close frame with a code");
            }
        }
    }
}

/// A text as it stands in a query.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
