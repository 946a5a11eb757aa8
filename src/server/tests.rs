//! The server over real sockets, with a handler that does what the path says. The clients are blocking, and
//! write a whole request before they read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use smol::Task;

use super::*;
use crate::http::{Body, Request, Response};
use crate::routes::Answer;

/// More than a socket's buffers hold.
static LARGE: LazyLock<Arc<[u8]>> = LazyLock::new(|| vec![b'x'; 32 << 20].into());

/// The pieces of a large answer. Each is full of its number.
const PIECE: u64 = 64 << 10;
const PIECES: u64 = 320;

/// How many pieces were made, for each path `/pieces/NUMBER`.
static MADE: [AtomicU64; 20] = [const { AtomicU64::new(0) }; 20];

/// Gets a message when the pieces of `/endless` are dropped.
static ENDLESS_ENDED: LazyLock<(Sender<()>, Receiver<()>)> =
    LazyLock::new(async_channel::unbounded);

fn piece(number: u64) -> Vec<u8> {
    vec![number as u8; PIECE as usize]
}

fn in_pieces(length: u64, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Response {
    Response::new(200).with_body("text/plain", Body::in_pieces(length, pieces, || true))
}

struct EndlessPieces;

impl Iterator for EndlessPieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        Some(piece(0))
    }
}

impl Drop for EndlessPieces {
    fn drop(&mut self) {
        ENDLESS_ENDED.0.try_send(()).expect("the channel has room");
    }
}

struct Script;

impl Handler for Script {
    async fn answer<'a>(&'a self, request: &Request, _from: SocketAddr) -> Answer<'a> {
        let text = |text: String| Response::new(200).with_body("text/plain", text);
        if request.path() == "/later" {
            return Answer::Later(Box::pin(future::pending()));
        }
        Answer::Response(match request.path() {
            "/large" => Response::new(200).with_body("text/plain", LARGE.clone()),
            "/pieces" => in_pieces(PIECES * PIECE + 1, (0..PIECES).map(piece).chain([vec![b'.']])),
            "/few" => in_pieces(4, ["1", "23", "", "4"].map(Vec::from).into_iter()),
            "/missing" => in_pieces(4, ["1", "23"].map(Vec::from).into_iter()),
            "/beyond" => in_pieces(4, ["1", "23", "456"].map(Vec::from).into_iter()),
            "/endless" => in_pieces(u64::MAX, EndlessPieces),
            path if path.starts_with("/pieces/") => {
                let reader: usize = path["/pieces/".len()..].parse().expect("a number");
                let made = move |number| {
                    MADE[reader].fetch_add(1, Ordering::Relaxed);
                    piece(number)
                };
                in_pieces(PIECES * PIECE, (0..PIECES).map(made))
            }
            "/panic" => panic!("as the test wants it"),
            "/slow" => {
                Timer::after(Duration::from_millis(300)).await;
                text("slow".to_owned())
            }
            "/hang" => future::pending().await,
            path => text(format!("{} {path} {}", request.method(), request.body.len())),
        })
    }

    fn is_vital(&self, request: &Request) -> bool {
        request.path() == "/vital"
    }

    fn complete(&self, _: &Request, response: Response) -> Response {
        response.with_header("Completed", "yes")
    }
}

struct TestServer {
    address: SocketAddr,
    shutdown: Sender<Infallible>,
    served: Task<()>,
}

fn start(limits: Limits) -> TestServer {
    let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
    let listeners =
        smol::block_on(Listeners::bind(&any, Security::default())).expect("a free port");
    let address = listeners.addresses()[0];
    let (shutdown, receiver) = async_channel::bounded(1);
    let served = smol::spawn(async move {
        let executor = Executor::new();
        let served = serve(&executor, listeners, Arc::new(Script), limits, receiver);
        executor.run(served).await;
    });
    TestServer { address, shutdown, served }
}

impl TestServer {
    fn connect(&self) -> TestClient {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
        TestClient { stream }
    }

    /// The answer that a new client gets for a path.
    fn ask(&self, path: &str) -> String {
        let mut client = self.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        client.rest()
    }

    /// Asks until the server has noticed the end of another connection.
    fn ask_until_there_is_room(&self) {
        let begin = Instant::now();
        while !self.ask("/").contains("200 OK") {
            assert!(begin.elapsed() < Duration::from_secs(5), "there is still no room");
        }
    }

    /// Shuts down, and returns how long that took.
    fn stop(self) -> Duration {
        let begin = Instant::now();
        self.shutdown.close();
        smol::block_on(self.served);
        begin.elapsed()
    }
}

struct TestClient {
    stream: TcpStream,
}

impl TestClient {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the server reads");
    }

    fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }

    /// The result of one read. Empty at the end.
    fn read(&mut self) -> String {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).expect("an answer or the end");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// Everything up to the end of the connection, which must be clean.
    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).expect("an end that is not a reset");
        text
    }

    /// The status line and the headers of the next answer.
    fn headers(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.extend(self.bytes(1));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// Whether the connection ends in any way, without another byte.
    fn is_cut(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0; 1]), Ok(1..))
    }
}

fn patient() -> Limits {
    Limits::default()
}

/// Limits that are short enough for a test.
fn impatient() -> Limits {
    Limits {
        header_time: Duration::from_millis(200),
        body_time: Duration::from_millis(200),
        idle_time: Duration::from_millis(200),
        write_time: Duration::from_millis(200),
        ..Limits::default()
    }
}

#[test]
fn what_slow_bodies_hold_is_bounded() {
    const MIB: usize = 1 << 20;
    let server = start(Limits::default());
    let post = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {MIB}\r\n\r\n");
    let most = "x".repeat(MIB - 1);
    let slow: Vec<TestClient> = (0..bodies::MOST_BYTES / MIB + 1)
        .map(|_| {
            let mut client = server.connect();
            client.send(&post);
            client.send(&most);
            client
        })
        .collect();
    let begin = Instant::now();
    loop {
        let mut client = server.connect();
        client.send(&post);
        // More than a small body, and not all of it: the answer comes before the rest.
        client.send(&most[..MIB / 2]);
        client.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("not zero");
        let mut answer = [0; 12];
        if client.stream.read(&mut answer).is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 503");
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "it is taken in");
    }
    assert!(server.ask("/").contains("200 OK"), "small ones are answered");
    drop(slow);
    server.stop();
}

#[test]
fn who_is_answered_later_keeps_nobody_out() {
    const MIB: usize = 1 << 20;
    let server = start(Limits::default());
    let large = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {MIB}\r\n\r\n{}",
            "x".repeat(MIB)
        )
    };
    let later: Vec<TestClient> = (0..bodies::MOST_BYTES / MIB * 3 / 2)
        .map(|_| {
            let mut client = server.connect();
            // Earlier requests are answered meanwhile.
            client.send("GET /before HTTP/1.1\r\nHost: h\r\n\r\n");
            client.send(&large("/later"));
            assert!(client.headers().contains("200 OK"));
            client
        })
        .collect();
    let mut client = server.connect();
    client.send(&large("/now"));
    assert!(client.headers().contains("200 OK"));
    drop(later);
    server.stop();
}

#[test]
fn pipelined_requests_are_answered_in_order_and_in_one_write() {
    let server = start(patient());
    let mut client = server.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.send(&(request("/1") + &request("/2") + &request("/3")));
    let answers = client.read();
    let place = |body: &str| answers.find(body).expect("the answer is there");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert!(place("GET /1 0") < place("GET /2 0"));
    assert!(place("GET /2 0") < place("GET /3 0"));
}

#[test]
fn large_answers_and_small_ones_keep_their_order() {
    let server = start(patient());
    let mut client = server.connect();
    client.get("/1");
    client.get("/large");
    client.send("GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let answers = client.rest();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert!(answers.len() > LARGE.len());
    assert!(answers.ends_with("\r\n\r\nGET /3 0"));
}

#[test]
fn answers_in_pieces_are_like_others() {
    let server = start(patient());
    let mut client = server.connect();
    client.send("HEAD /pieces HTTP/1.1\r\nHost: h\r\n\r\n");
    for path in ["/few", "/pieces", "/1", "/few"] {
        client.get(path);
    }
    let head = client.headers();
    assert!(head.contains("\r\nContent-Length: 20971521\r\n"), "{head}");
    assert!(client.headers().contains("\r\nContent-Length: 4\r\n"));
    assert_eq!(client.bytes(4), b"1234");
    assert!(client.headers().contains("\r\nContent-Length: 20971521\r\n"));
    for number in 0..PIECES {
        assert!(client.bytes(PIECE as usize) == piece(number), "{number}");
    }
    assert_eq!(client.bytes(1), b".");
    client.headers();
    assert_eq!(client.bytes(8), b"GET /1 0");
    client.headers();
    assert_eq!(client.bytes(4), b"1234");
    client.send("GET /few HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /few HTTP/1.0\r\n\r\n");
    assert!(client.headers().contains("\r\nConnection: keep-alive\r\n"));
    assert_eq!(client.bytes(4), b"1234");
    assert!(client.rest().ends_with("\r\nContent-Length: 4\r\nConnection: close\r\n\r\n1234"));
}

#[test]
fn pieces_are_made_at_the_pace_of_each_reader() {
    // How much of an unread answer the system takes.
    const SYSTEM: u64 = 8 << 20;
    let server = start(patient());
    let mut clients: Vec<TestClient> = (0..MADE.len())
        .map(|reader| {
            let mut client = server.connect();
            rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 64 << 10)
                .expect("a size that the system has");
            client.get(&format!("/pieces/{reader}"));
            client.headers();
            client
        })
        .collect();
    for number in 0..PIECES {
        for (reader, client) in clients.iter_mut().enumerate() {
            assert!(client.bytes(PIECE as usize) == piece(number), "{number}");
            let ahead = MADE[reader].load(Ordering::Relaxed) - number;
            assert!(ahead <= SYSTEM / PIECE + 1, "{ahead} pieces are made ahead");
        }
        if number % 32 == 0 {
            assert!(server.ask("/").contains("200 OK"));
        }
    }
    assert!(server.stop() < Duration::from_secs(1));
}

#[test]
fn pieces_end_with_their_reader() {
    let server = start(impatient());
    let mut gone = server.connect();
    gone.get("/endless");
    gone.bytes(1 << 20);
    drop(gone);
    ENDLESS_ENDED.1.recv_blocking().expect("the sender is kept");
    let mut stalled = server.connect();
    stalled.get("/endless");
    ENDLESS_ENDED.1.recv_blocking().expect("the sender is kept");
    // A client that reads some bytes of a piece now and then, and never the whole piece in time.
    let mut trickling = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&trickling.stream, 4 << 10)
        .expect("a size that the system has");
    trickling.get("/endless");
    while ENDLESS_ENDED.1.try_recv().is_err() {
        trickling.bytes(256);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.ask("/").contains("200 OK"));
}

#[test]
fn an_answer_of_another_length_than_it_says_ends_its_connection() {
    let server = start(patient());
    for path in ["/missing", "/beyond"] {
        let mut client = server.connect();
        // At once: the connection may be closed before a later one is sent.
        let requests =
            ["/1", path, "/2"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.stream.write_all(requests.concat().as_bytes()).expect("the server is there");
        let answers = client.rest();
        assert!(answers.contains("GET /1 0HTTP/1.1 200"), "{answers}");
        assert!(!answers.contains("456") && !answers.contains("GET /2"), "{answers}");
    }
    assert!(server.ask("/").contains("200 OK"));
}

#[test]
fn many_pipelined_requests_do_not_wait_for_each_other_to_be_read() {
    let server = start(patient());
    let mut client = server.connect();
    let count = 20_000;
    let mut writer = client.stream.try_clone().expect("a second handle");
    let sender = std::thread::spawn(move || {
        let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(count - 1);
        writer.write_all(requests.as_bytes()).expect("the server reads");
        let last = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        writer.write_all(last).expect("the server reads");
    });
    assert_eq!(client.rest().matches("HTTP/1.1 200 OK\r\n").count(), count);
    sender.join().expect("all was sent");
}

#[test]
fn a_flood_of_requests_does_not_keep_others_waiting() {
    let server = start(patient());
    let mut flood = server.connect();
    let mut writer = flood.stream.try_clone().expect("a second handle");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let sender = std::thread::spawn(move || {
        let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            writer.write_all(requests.as_bytes()).expect("the server reads");
        }
        writer.shutdown(std::net::Shutdown::Write).expect("the server has not closed");
    });
    let reader = std::thread::spawn(move || flood.rest());
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    assert!(server.ask("/").contains("200 OK"));
    assert!(begin.elapsed() < Duration::from_secs(1));
    stop.send(()).expect("the flood goes on until here");
    sender.join().expect("all was sent");
    assert!(reader.join().expect("all was read").ends_with("GET / 0"));
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let server = start(patient());
    let mut client = server.connect();
    client.send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert!(client.read().ends_with("POST /p 5"));
}

#[test]
fn head_has_no_body_and_the_next_answer_follows() {
    let server = start(patient());
    let mut client = server.connect();
    client.send("HEAD /large HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    let answers = client.read();
    assert!(answers.contains("Content-Length: 33554432\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answers}");
}

#[test]
fn http_1_0_keeps_the_connection_only_if_asked_to() {
    let server = start(patient());
    let mut client = server.connect();
    client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.read().contains("\r\nConnection: keep-alive\r\n"));
    client.send("GET /2 HTTP/1.0\r\n\r\n");
    let last = client.rest();
    assert!(last.contains("\r\nConnection: close\r\n"), "{last}");
}

#[test]
fn a_request_that_comes_too_slowly_gets_408() {
    let head = "GET / HTTP/1.1\r\nHo";
    let body = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab";
    for (begin, part) in [(head, "header"), (body, "body")] {
        let server = start(impatient());
        let mut client = server.connect();
        client.get("/first");
        assert!(client.read().contains("GET /first 0"));
        client.send(begin);
        // Single bytes do not extend the time.
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(60));
            client.send("s");
        }
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.contains(&format!("the {part} of the request")), "{answer}");
    }
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let server = start(impatient());
    let begin = Instant::now();
    assert_eq!(server.connect().rest(), "");
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let mut client = server.connect();
    client.get("/1");
    assert!(client.rest().ends_with("GET /1 0"));
}

#[test]
fn the_time_of_one_phase_does_not_end_the_next() {
    let limits = Limits { header_time: Duration::from_millis(500), ..patient() };
    let server = start(limits);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\n");
        std::thread::sleep(Duration::from_millis(20));
        client.send("Host: h\r\n\r\n");
        assert!(client.read().contains("GET / 0"));
        std::thread::sleep(Duration::from_millis(700));
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let server = start(Limits { connections: 1, ..impatient() });
    let mut client = server.connect();
    client.get("/large");
    server.ask_until_there_is_room();
    let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
    while let Ok(count @ 1..) = client.stream.read(&mut buffer) {
        taken += count;
    }
    assert!(taken < LARGE.len());
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let server = start(Limits { connections: 2, ..patient() });
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        client.get("/");
        assert!(client.read().contains("200 OK"));
    }
    let refused = server.ask("/");
    assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refused}");
    assert!(refused.contains("application/problem+json"), "{refused}");
    assert!(refused.contains("\r\nCompleted: yes\r\n"), "a page can read it: {refused}");
    // A vital request is answered, one on each connection.
    let mut third = server.connect();
    third.get("/vital");
    third.get("/vital");
    let answers = third.rest();
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    drop(first);
    server.ask_until_there_is_room();
    second.get("/");
    assert!(second.read().contains("200 OK"));
}

#[test]
fn a_client_that_says_nothing_does_not_keep_what_is_reserved() {
    let server = start(Limits { connections: 1, ..patient() });
    let mut first = server.connect();
    first.get("/");
    assert!(first.read().contains("200 OK"));
    let mut silent: Vec<TestClient> = (0..RESERVED).map(|_| server.connect()).collect();
    // There is no room even for a refusal.
    assert!(server.connect().is_cut());
    assert!(silent.iter_mut().all(TestClient::is_cut));
    assert!(server.ask("/vital").contains("200 OK"));
    first.get("/");
    assert!(first.read().contains("200 OK"));
}

#[test]
fn a_client_that_is_still_sending_gets_to_read_why_it_is_refused() {
    let server = start(patient());
    let large = "x".repeat(5 << 20);
    let length = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", large.len());
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        large.len()
    );
    let table = [(length.as_str(), 413), (&chunked, 413), ("\0", 400), ("GET / HTTP/3.0\r\n", 505)];
    for (head, status) in table {
        let mut client = server.connect();
        client.send(head);
        client.send(&large);
        let answer = client.rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        let is_known = status == 413;
        assert_eq!(answer.contains("\r\nCompleted: yes\r\n"), is_known, "{answer}");
    }
}

#[test]
fn requests_before_a_bad_one_are_answered() {
    let server = start(patient());
    let mut client = server.connect();
    client.get("/1");
    client.send("BAD\r\n");
    let answers = client.rest();
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.contains("GET /1 0HTTP/1.1 400 Bad Request\r\n"), "{answers}");
}

#[test]
fn a_panic_ends_its_connection_only() {
    let server = start(Limits { connections: 2, ..patient() });
    let mut other = server.connect();
    for _ in 0..5 {
        let mut client = server.connect();
        client.get("/panic");
        assert!(client.is_cut());
    }
    other.get("/");
    assert!(other.read().contains("200 OK"));
    drop(other);
    assert!(server.stop() < Duration::from_secs(1));
}

#[test]
fn a_shutdown_ends_what_is_idle_or_half_sent_at_once() {
    let server = start(patient());
    let mut fresh = server.connect();
    let mut idle = server.connect();
    idle.get("/");
    assert!(idle.read().contains("200 OK"));
    let mut half = server.connect();
    half.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
    std::thread::sleep(Duration::from_millis(100));
    let address = server.address;
    assert!(server.stop() < Duration::from_secs(1));
    for client in [&mut fresh, &mut idle, &mut half] {
        assert!(client.is_cut());
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_shutdown_waits_for_pending_answers() {
    let server = start(patient());
    let mut client = server.connect();
    client.get("/slow");
    client.get("/not-taken-any-more");
    std::thread::sleep(Duration::from_millis(100));
    assert!(server.stop() < Duration::from_secs(1));
    let answer = client.rest();
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("slow"), "{answer}");
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let server = start(patient());
    let mut client = server.connect();
    client.get("/hang");
    std::thread::sleep(Duration::from_millis(100));
    let time = server.stop();
    assert!(time >= SHUTDOWN_TIME && time < SHUTDOWN_TIME + Duration::from_secs(2));
}

#[test]
fn only_the_faults_of_one_connection_are_passed_over_without_a_pause() {
    const EMFILE: i32 = 24;
    const ECONNABORTED: i32 = 103;
    assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
    if cfg!(target_os = "linux") {
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
