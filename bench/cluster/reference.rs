//! What nodes are compared to that is no product: servers that do nothing, and an echo.
//!
//! Each runs in a process of its own, on one thread, and says its address in its first line.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use patchmesh::internals::clock::Time;
use patchmesh::internals::patch::{Document, parse};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Record};
use tungstenite::Message;

/// What a node answers to a request like the measured ones.
const TRANSACTION: &str = r#"{"Source":"bench~00000000","Id":123456,"Payload":"[{\"op\":\"add\",\"path\":\"/member07\",\"value\":\"value 00000000000000000007 of a hundred bytes or so\"}]","Time":1763888400123456}"#;

/// What a server on hyper does with a request.
#[derive(Clone)]
pub enum HyperWork {
    /// It reads the body, and answers the bytes of a transaction.
    Nothing,
    /// It applies the body to a document, keeps the record, and answers it. No server of JSON Patches does less.
    Applying(Arc<Mutex<Applied>>),
}

/// A document, and what was applied to it.
pub struct Applied {
    source: Source,
    document: Document,
    records: Vec<Record>,
}

impl HyperWork {
    /// Applying to an empty document.
    pub fn applying() -> Self {
        let source = "bench~00000000".parse().expect("it is a source");
        let (document, records) = (Document::default(), Vec::new());
        Self::Applying(Arc::new(Mutex::new(Applied { source, document, records })))
    }
}

impl Applied {
    fn apply(&mut self, payload: &str) -> Bytes {
        let patch = parse(payload).expect("the load sends patches");
        self.document.apply(patch).expect("the patches of the load apply");
        let (id, since) = (self.records.len() as u64, SystemTime::UNIX_EPOCH.elapsed());
        let micros = since.expect("the clock is right").as_micros() as u64;
        let time = Time::from_micros(micros).expect("the clock is right");
        let record = Record::new(Place { time, source: self.source.clone(), id }, payload);
        let answer = Bytes::copy_from_slice(record.line.as_bytes());
        self.records.push(record);
        answer
    }
}

/// A server on hyper and tokio's current-thread runtime.
pub fn hyper(work: HyperWork) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("there is a runtime").block_on(async {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(any).await.expect("a free port");
        println!("{}", listener.local_addr().expect("it is bound"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("it is a socket");
            let work = work.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|request| answer(request, &work));
                let server = hyper::server::conn::http1::Builder::new();
                // Where the client leaves inside a request, that is its own affair.
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}

async fn answer(
    request: Request<Incoming>,
    work: &HyperWork,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // One that does not come to its end is answered to nobody.
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let answer = match work {
        HyperWork::Nothing => Bytes::from_static(TRANSACTION.as_bytes()),
        HyperWork::Applying(applied) => {
            let payload = std::str::from_utf8(&body).expect("the load sends text");
            applied.lock().expect("nobody panicked").apply(payload)
        }
    };
    let mut response = Response::new(Full::new(answer));
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
