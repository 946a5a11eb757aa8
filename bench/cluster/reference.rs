//! What nodes are compared to that is no product: servers that do nothing, and an echo.
//!
//! Each runs in a process of its own, on one thread, and says its address in its first line.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tungstenite::Message;

/// What a node answers to a request like the measured ones.
const TRANSACTION: &str = r#"{"Source":"bench~00000000","Id":123456,"Payload":"[{\"op\":\"add\",\"path\":\"/member07\",\"value\":\"value 00000000000000000007 of a hundred bytes or so\"}]","Time":1763888400123456}"#;

/// A server on hyper and tokio's current-thread runtime: reads the body of each request, and answers
/// the bytes of a transaction.
pub fn hyper() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("there is a runtime").block_on(async {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(any).await.expect("a free port");
        println!("{}", listener.local_addr().expect("it is bound"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("it is a socket");
            tokio::spawn(async move {
                let service = hyper::service::service_fn(answer);
                let server = hyper::server::conn::http1::Builder::new();
                // Where the client leaves inside a request, that is its own affair.
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // One that does not come to its end is answered to nobody.
    request.into_body().collect().await.ok();
    let mut response = Response::new(Full::new(Bytes::from_static(TRANSACTION.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// An echo over WebSocket, for one connection.
pub fn echo() {
    let mut socket = tungstenite::accept(accept(&listen())).expect("a handshake");
    while let Ok(message @ (Message::Text(_) | Message::Binary(_))) = socket.read() {
        socket.send(message).expect("the other side reads");
    }
}

/// Answers whatever comes at once with the bytes of a transaction: nothing can be cheaper, so it shows
/// what the load itself costs.
pub fn nothing() {
    let listener = listen();
    let answer = Arc::new(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{TRANSACTION}",
        TRANSACTION.len()
    ));
    loop {
        let mut stream = accept(&listener);
        let answer = answer.clone();
        std::thread::spawn(move || {
            let mut input = [0; 4096];
            while stream.read(&mut input).is_ok_and(|count| count > 0) {
                stream.write_all(answer.as_bytes()).expect("the other side reads");
            }
        });
    }
}

fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    listener
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("it is a socket");
    stream
}
