//! How a request is answered, and what answers it.

use std::net::SocketAddr;
use std::pin::Pin;

use crate::http::{Request, Response};
use crate::stream::Takeover;

/// How a request is answered.
pub enum Answer<'a> {
    /// With this response.
    Response(Response),
    /// With a response that takes time. It does not need the request.
    Later(Pin<Box<dyn Future<Output = Response> + Send + 'a>>),
    /// With this response. Then the connection is taken over, by a WebSocket or by a body without an end.
    TakeOver(Response, Takeover),
}

impl From<Response> for Answer<'_> {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// Answers the requests of a server. It is a trait, so that the server can be tested without a node.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request from this address.
    fn answer<'a>(
        &'a self,
        request: &Request,
        from: SocketAddr,
    ) -> impl Future<Output = Answer<'a>> + Send;

    /// Whether the request is answered even if there are too many connections.
    fn is_vital(&self, request: &Request) -> bool;

    /// An answer that the server made, with the headers that every answer to this request has.
    fn complete(&self, request: &Request, response: Response) -> Response;
}
