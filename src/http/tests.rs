//! The reader of requests. Every input is fed whole, in two parts split at every place, and byte by byte, with
//! the same result.

use super::*;

/// The result of feeding an input.
#[derive(Debug, PartialEq, Eq)]
struct FedInput {
    requests: Vec<Request>,
    end: Result<(Phase, Vec<u8>), HttpError>,
}

fn feed<'a>(limits: &Limits, parts: impl IntoIterator<Item = &'a [u8]>) -> FedInput {
    let mut decoder = Decoder::new(limits.clone());
    let mut buffer = ReadBuffer::new();
    let mut requests = Vec::new();
    for part in parts {
        buffer.push(part);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Complete(request)) => requests.push(request),
                Ok(Decoded::Incomplete | Decoded::AwaitsContinue) => break,
                Err(error) => {
                    return FedInput { requests, end: Err(error) };
                }
            }
        }
    }
    FedInput { requests, end: Ok((decoder.phase(), buffer.into_unread())) }
}

fn read_with(limits: &Limits, input: &[u8]) -> FedInput {
    let whole = feed(limits, [input]);
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        let split = feed(limits, [first, second]);
        assert_eq!(split, whole, "split at {at}: {}", input.escape_ascii());
    }
    let bytewise = feed(limits, input.chunks(1));
    assert_eq!(bytewise, whole, "byte by byte: {}", input.escape_ascii());
    whole
}

fn read(input: impl AsRef<[u8]>) -> FedInput {
    read_with(&Limits::default(), input.as_ref())
}

/// The only request in the input.
pub(crate) fn request(input: impl AsRef<[u8]>) -> Request {
    let input = input.as_ref();
    let mut outcome = read(input);
    let text = input.escape_ascii();
    assert_eq!(outcome.end, Ok((Phase::Idle, Vec::new())), "{text}");
    assert_eq!(outcome.requests.len(), 1, "{text}");
    outcome.requests.remove(0)
}

/// The status with which the input is refused as its first request.
fn refusal(input: impl AsRef<[u8]>) -> u16 {
    let input = input.as_ref();
    let outcome = read(input);
    let text = input.escape_ascii();
    assert_eq!(outcome.requests, [], "{text}");
    outcome.end.expect_err(&text.to_string()).status
}

#[test]
fn a_request_has_what_was_sent() {
    let request = request(
        "POST /replace?a=1&b=%7B%7D HTTP/1.1\r\nHost: localhost:8080\r\nX-Empty:\r\n\
         Accept: a\r\naccept: \t b c \t\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(request.method(), "POST");
    assert_eq!(request.path(), "/replace");
    assert_eq!(request.query(), Some("a=1&b=%7B%7D"));
    assert_eq!(request.version(), HttpVersion::Http11);
    assert_eq!(request.host(), Some("localhost:8080"));
    assert!(request.keep_alive());
    assert_eq!(request.body, b"hello");
    assert_eq!(request.headers().len(), 5);
    assert_eq!(request.header("ACCEPT"), Some("a"));
    assert_eq!(request.header_values("accept").collect::<Vec<_>>(), ["a", "b c"]);
    assert_eq!(request.header("x-empty"), Some(""));
    assert_eq!(request.header("x-absent"), None);
    assert_eq!(request.query_parameter("a").unwrap().unwrap(), "1");
    assert_eq!(request.query_parameter("b").unwrap().unwrap(), "{}");
    assert_eq!(request.query_parameter("c").unwrap(), None);
}

#[test]
fn query_parameters_are_decoded_and_the_first_counts() {
    let request =
        request("GET /get/%D0%B9?a+b=c+d&x=1&x=2&%79=%41&bare&=none&bad=%f HTTP/1.0\r\n\r\n");
    assert_eq!(percent_decode(request.path()).unwrap(), "/get/й");
    let table = [("a b", "c d"), ("x", "1"), ("y", "A"), ("bare", ""), ("", "none")];
    for (name, value) in table {
        assert_eq!(request.query_parameter(name).unwrap().unwrap(), value);
    }
    assert_eq!(request.query_parameter("bad").unwrap_err().status, 400);
    assert_eq!(request.query_parameter("none").unwrap(), None);
}

#[test]
fn targets_in_every_form() {
    let table = [
        ("GET /", "/", None, "h"),
        ("GET /?", "/", Some(""), "h"),
        ("GET /a?b?c", "/a", Some("b?c"), "h"),
        ("GET //a/../b", "//a/../b", None, "h"),
        ("GET /get/ключ?{\"a\"}", "/get/ключ", Some("{\"a\"}"), "h"),
        ("GET http://x", "/", None, "x"),
        ("GET HTTPS://x/a", "/a", None, "x"),
        ("GET http://x:80?q", "/", Some("q"), "x:80"),
        ("GET HTTP://[::1]:8080/a?q", "/a", Some("q"), "[::1]:8080"),
        ("OPTIONS *", "*", None, "h"),
    ];
    for (start, path, query, host) in table {
        let request = request(format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(request.path(), path, "{start}");
        assert_eq!(request.query(), query, "{start}");
        assert_eq!(request.host(), Some(host), "{start}");
    }
    let refused = [
        "GET *",
        "GET get",
        "GET h:80",
        "CONNECT h:80",
        "GET ftp://h/",
        "GET http://",
        "GET ://h/",
        "GET http:///a",
        "GET http://u@h/",
        "GET http://h:99999/",
        "GET /a#b",
        "GET ?a",
        "GET /\x7f",
        "GET /\t",
        "GET /\0",
    ];
    for start in refused {
        assert_eq!(refusal(format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n")), 400, "{start}");
    }
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let table: [(&[u8], u16); 24] = [
        (b"GET /\r\n\r\n", 400),
        (b"GET / \r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET /  HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET\t/\tHTTP/1.1\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\n\r\n", 400),
        (b"GE(T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / http/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1\r\n\r\n", 400),
        (b"GET / HTTP/1.10\r\n\r\n", 400),
        (b"GET / HTTP/11\r\n\r\n", 400),
        (b"GET / HTTP/+.1\r\n\r\n", 400),
        (b"GET / XTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\r\n", 400),
        (b"GET /\rHTTP/1.1\r\n\r\n", 400),
        (b"\nGET / HTTP/1.1\r\n\r\n", 400),
        (b"\rGET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ];
    for (input, status) in table {
        assert_eq!(refusal(input), status, "{}", input.escape_ascii());
    }
}

#[test]
fn a_later_minor_version_is_read_as_1_1() {
    let request = request("GET / HTTP/1.7\r\nHost: h\r\n\r\n");
    assert_eq!(request.version(), HttpVersion::Http11);
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    let refused = [
        "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "Host: h\r\nContent-Length: 5\r\nContent-Length: 6",
        "Host: h\r\nContent-Length: 5, 6",
        "Host: h\r\nContent-Length: 5,",
        "Host: h\r\nContent-Length: ,5",
        "Host: h\r\nContent-Length: +5",
        "Host: h\r\nContent-Length: -5",
        "Host: h\r\nContent-Length: 0x5",
        "Host: h\r\nContent-Length: 5 5",
        "Host: h\r\nContent-Length: 5.0",
        "Host: h\r\nContent-Length: \"5\"",
        "Host: h\r\nContent-Length:",
        "Host: h\r\nContent-Length: ٥",
        "Host: h\r\nContent-Length: 18446744073709551616",
        "Host: h\r\nContent-Length: 5\r\n 5",
        "Host: h\r\nContent-Length : 5",
        "Host: h\r\nContent-Length\t: 5",
        "Host: h\r\n Content-Length: 5",
        "Host: h\r\nContent-Length: 5\n",
        "Host: h\r\nContent-Length: 5\nX: y",
        "Host: h\r\nX: y\rContent-Length: 5",
        "Host: h\r\nX: y\r\r",
        "Host: h\r\nX: \0",
        "Host: h\r\nX: \x7f",
        "Host: h\r\nX\0: y",
        "Host: h\r\nno colon",
        "Host: h\r\n: no name",
        "Host: h\r\nX: folded\r\n\tvalue",
        " Host: h",
        "X: no host",
        "Host: h\r\nHost: h",
        "Host: h\r\nhost: i",
        "Host:",
        "Host: a b",
        "Host: a/b",
        "Host: u@h",
        "Host: h:port",
        "Host: h:65536",
        "Host: h:1:2",
        "Host: [::1",
        "Host: [::g]",
        "Host: [fe80::1%eth0]:80",
        "Host: [fe80::1%25eth0]",
        "Host: [::1]x",
        "Host: ::1",
        "Host: h\r\nTransfer-Encoding: gzip",
        "Host: h\r\nTransfer-Encoding: identity",
        "Host: h\r\nTransfer-Encoding: xchunked",
        "Host: h\r\nTransfer-Encoding: chunked;q=1",
        "Host: h\r\nTransfer-Encoding: \"chunked\"",
        "Host: h\r\nTransfer-Encoding: chunked, gzip",
        "Host: h\r\nTransfer-Encoding: chunked, chunked",
        "Host: h\r\nTransfer-Encoding: chunked,",
        "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Host: h\r\nTransfer-Encoding: \x0bchunked",
        "Host: h\r\nTransfer-Encoding : chunked",
        "Host: h\r\nTransfer-Encoding:",
        "Host: h\r\nTransfer-Encoding:\r\nContent-Length: 5",
    ];
    for header in refused {
        let input = format!("POST / HTTP/1.1\r\n{header}\r\n\r\n0\r\n\r\n");
        assert_eq!(refusal(&input), 400, "{}", input.escape_debug());
    }
    assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

#[test]
fn what_can_be_read_one_way_only_is_not_refused() {
    let table = [
        ("Host: h\r\nContent-Length: 5\r\nContent-Length: 5", "hello"),
        ("Host: h\r\nContent-Length: 5, 5", "hello"),
        ("Host: h\r\nContent-Length: 005", "hello"),
        ("Host: h\r\nContent-Length:\t5 ", "hello"),
        ("HOST:h\r\nCONTENT-LENGTH:0", ""),
        ("Host: [::1]:8080", ""),
        ("Host: 127.0.0.1:", ""),
        ("Host: a-b.c_d~e:1", ""),
        ("Host: h\r\nX: \u{e9}\t~", ""),
    ];
    for (header, body) in table {
        let request = request(format!("POST / HTTP/1.1\r\n{header}\r\n\r\n{body}"));
        assert_eq!(request.body, body.as_bytes(), "{header}");
    }
}

#[test]
fn header_values_that_are_not_utf_8_are_marked() {
    let request = request(b"GET / HTTP/1.1\r\nHost: h\r\nX: a\xe9b\r\nY: c\r\n\r\n");
    assert_eq!(request.header("x"), Some("a\u{fffd}b"));
    assert_eq!(request.header("y"), Some("c"));
}

#[test]
fn chunks_are_joined_and_extensions_and_trailers_dropped() {
    let table = [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\nh\r\n4\r\nello\r\n00\r\n\r\n", "hello"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a"),
        ("5;a=b;c=\"d;e\"\r\nhello\r\n0 ; last\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n", "hello"),
    ];
    for (chunks, body) in table {
        let request = request(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n{chunks}"
        ));
        assert_eq!(request.body, body.as_bytes(), "{chunks:?}");
        assert_eq!(request.header("X-Sum"), None);
        assert_eq!(request.header("Content-Length"), None);
    }
}

#[test]
fn chunks_that_could_be_read_two_ways_are_refused() {
    let table = [
        ("\r\n", 400),
        (";a\r\n", 400),
        ("g\r\n", 400),
        ("-1\r\n", 400),
        ("+1\r\n", 400),
        ("0x1\r\n", 400),
        (" 1\r\n", 400),
        ("1 \r\n", 400),
        ("1 1\r\n", 400),
        ("1,1\r\n", 400),
        ("1\n", 400),
        ("1\r1\r\n", 400),
        ("1;a\n", 400),
        ("1;a\nb\r\n", 400),
        ("1;a\rb\r\n", 400),
        ("1;\0\r\n", 400),
        ("00000000000000001\r\n", 400),
        ("fffffffffffffffff\r\n", 400),
        ("ffffffffffffffff\r\n", 413),
        ("100001\r\n", 413),
        ("1\r\nab\r\n", 400),
        ("1\r\na\n", 400),
        ("1\r\na\rb", 400),
        ("1\r\na0\r\n\r\n", 400),
        ("0\r\nX: y\n\r\n", 400),
        ("0\r\nX : y\r\n\r\n", 400),
        ("0\r\nX: y\r\n z\r\n\r\n", 400),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", 400),
    ];
    for (chunks, status) in table {
        let input =
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(refusal(input), status, "{chunks:?}");
    }
}

#[test]
fn the_connection_goes_on_where_the_client_says_so() {
    let table = [
        ("HTTP/1.1\r\nHost: h", true),
        ("HTTP/1.1\r\nHost: h\r\nConnection: close", false),
        ("HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, CLOSE", false),
        ("HTTP/1.1\r\nHost: h\r\nConnection: closed", true),
        ("HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close", false),
        ("HTTP/1.0", false),
        ("HTTP/1.0\r\nConnection: Keep-Alive", true),
        ("HTTP/1.0\r\nConnection: keep-alive, close", false),
    ];
    for (rest, keep_alive) in table {
        let request = request(format!("GET / {rest}\r\n\r\n"));
        assert_eq!(request.keep_alive(), keep_alive, "{rest}");
    }
}

#[test]
fn tokens_are_found_in_any_case_and_in_any_line() {
    let request = request(
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: x,Upgrade\r\n\
         Upgrade: WebSocket\r\n\r\n",
    );
    assert!(request.has_token("connection", "upgrade"));
    assert!(request.has_token("Upgrade", "websocket"));
    assert!(!request.has_token("Upgrade", "web"));
    assert!(!request.has_token("Absent", "x"));
}

#[test]
fn unknown_transfer_codings_are_not_implemented() {
    for codings in ["gzip, chunked", "x\r\nTransfer-Encoding: chunked", ", chunked"] {
        let input = format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {codings}\r\n\r\n");
        assert_eq!(refusal(input), 501, "{codings}");
    }
}

#[test]
fn only_100_continue_can_be_expected() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect:";
    assert_eq!(refusal(format!("{head} tea\r\n\r\n")), 417);
    assert_eq!(refusal(format!("{head} 100-continue, tea\r\n\r\n")), 417);
    assert_eq!(request(format!("{head} 100-Continue\r\n\r\n1")).body, b"1");
    let old = "POST / HTTP/1.0\r\nExpect: tea\r\n\r\n";
    assert_eq!(request(old).version(), HttpVersion::Http10);
}

#[test]
fn a_client_that_waits_is_told_once_to_go_on() {
    let steps = |input: &[&str]| -> Vec<&str> {
        let mut decoder = Decoder::new(Limits::default());
        let mut buffer = ReadBuffer::new();
        let mut steps = Vec::new();
        for part in input {
            buffer.push(part.as_bytes());
            steps.push(match decoder.decode(&mut buffer).expect("well-formed") {
                Decoded::Incomplete => "more",
                Decoded::AwaitsContinue => "continue",
                Decoded::Complete(_) => "done",
            });
        }
        steps
    };
    let length = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let chunked =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    let empty = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n";
    let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(steps(&[length, "a", "b"]), ["continue", "more", "done"]);
    assert_eq!(steps(&[chunked, "0\r\n", "\r\n"]), ["continue", "more", "done"]);
    assert_eq!(steps(&[&format!("{length}a"), "b"]), ["more", "done"]);
    assert_eq!(steps(&[&format!("{length}ab")]), ["done"]);
    assert_eq!(steps(&[empty]), ["done"]);
    assert_eq!(steps(&[old, "a"]), ["more", "done"]);
}

#[test]
fn pipelined_requests_come_out_one_by_one() {
    let outcome = read(
        "\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\
         abc\r\n\r\nPOST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nd\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHo",
    );
    let requests: Vec<_> =
        outcome.requests.iter().map(|request| (request.path(), request.body.as_slice())).collect();
    assert_eq!(requests, [("/1", &b""[..]), ("/2", b"abc"), ("/3", b"d")]);
    let rest = b"GET /4 HTTP/1.1\r\nHo".to_vec();
    assert_eq!(outcome.end, Ok((Phase::Header, rest)));
}

#[test]
fn what_follows_a_request_is_left_in_the_buffer() {
    let mut buffer = ReadBuffer::new();
    buffer.push(b"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n\x81\x85\x00\x01");
    let mut decoder = Decoder::new(Limits::default());
    assert!(matches!(decoder.decode(&mut buffer), Ok(Decoded::Complete(_))));
    assert_eq!(buffer.into_unread(), b"\x81\x85\x00\x01");
}

#[test]
fn the_phase_says_what_is_missing() {
    let table = [
        ("", Phase::Idle),
        ("\r", Phase::Idle),
        ("\r\n\r\n", Phase::Idle),
        ("G", Phase::Header),
        ("GET / HTTP/1.1\r\n", Phase::Header),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r", Phase::Header),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Phase::Idle),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", Phase::Body),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", Phase::Body),
    ];
    for (input, expected) in table {
        let (phase, _) = read(input).end.expect("well-formed so far");
        assert_eq!(phase, expected, "{input:?}");
    }
}

#[test]
fn every_limit_holds_to_the_byte() {
    let limits = Limits {
        request_line_bytes: 40,
        header_bytes: 60,
        headers: 3,
        body_bytes: 10,
        ..Limits::default()
    };
    let status = |input: String| match read_with(&limits, input.as_bytes()).end {
        Ok((phase, _)) => {
            assert_eq!(phase, Phase::Idle, "{input}");
            200
        }
        Err(error) => error.status,
    };
    // The longest accepted one, and the shortest refused one.
    let line = |bytes: usize| {
        let target = "a".repeat(bytes - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: h\r\n\r\n")
    };
    assert_eq!(status(line(40)), 200);
    assert_eq!(status(line(41)), 414);
    assert_eq!(status("A".repeat(43)), 414);

    let header = |bytes: usize| {
        let value = "a".repeat(bytes - "Host: h\r\nX: \r\n\r\n".len());
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {value}\r\n\r\n")
    };
    assert_eq!(status(header(60)), 200);
    assert_eq!(status(header(61)), 431);
    assert_eq!(status(format!("GET / HTTP/1.1\r\n{}", "A".repeat(60))), 431);

    let headers = |count: usize| {
        let others = "X: y\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: h\r\n{others}\r\n")
    };
    assert_eq!(status(headers(3)), 200);
    assert_eq!(status(headers(4)), 431);

    let body = |bytes: usize| {
        let body = "a".repeat(bytes);
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n{body}")
    };
    assert_eq!(status(body(10)), 200);
    assert_eq!(status(body(11)), 413);
    let length = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert_eq!(status(length.to_owned()), 413);

    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = |sizes: [usize; 2]| {
        let chunk = |size| format!("{size:x}\r\n{}\r\n", "a".repeat(size));
        format!("{chunked}{}{}0\r\n\r\n", chunk(sizes[0]), chunk(sizes[1]))
    };
    assert_eq!(status(chunks([4, 6])), 200);
    assert_eq!(status(chunks([4, 7])), 413);

    // Extensions of all chunks and the trailers have one limit together.
    let spare = |extensions: [usize; 2], trailer: usize| {
        let extension = |bytes: usize| format!(";{}", "a".repeat(bytes - 1));
        let [first, last] = extensions.map(extension);
        let trailer = format!("X: {}\r\n", "a".repeat(trailer - "X: \r\n".len()));
        format!("{chunked}1{first}\r\na\r\n0{last}\r\n{trailer}\r\n")
    };
    assert_eq!(status(spare([20, 20], 20)), 200);
    assert_eq!(status(spare([21, 20], 20)), 431);
    assert_eq!(status(spare([20, 20], 21)), 431);
    assert_eq!(status(spare([61, 1], 20)), 431);
    assert_eq!(status(format!("{chunked}1;{}", "a".repeat(80))), 431);

    let empty_lines = |count: usize| "\r\n".repeat(count) + &line(40);
    assert_eq!(status(empty_lines(4)), 200);
    assert_eq!(status(empty_lines(5)), 400);
}

#[test]
fn the_default_limits_are_those_of_the_design() {
    let body = 1024 * 1024;
    let table = [
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8178)), 200),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8179)), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(99)), 200),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(100)), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(16368)), 200),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(16369)), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {body}\r\n\r\n"), 200),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body + 1), 413),
    ];
    for (input, expected) in table {
        let outcome = feed(&Limits::default(), [input.as_bytes()]);
        let status = outcome.end.map_or_else(|error| error.status, |_| 200);
        assert_eq!(status, expected, "{} bytes", input.len());
    }
}

#[test]
fn slow_bytes_cost_no_more_than_fast_ones() {
    // The longest header and the longest body, byte by byte: quadratic work would take minutes here.
    let mut input = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nX: {}\r\n\r\n",
        1024 * 1024,
        "a".repeat(16_000)
    )
    .into_bytes();
    input.resize(input.len() + 1024 * 1024, b'b');
    let outcome = feed(&Limits::default(), input.chunks(1));
    assert_eq!(outcome.requests[0].body.len(), 1024 * 1024);
}

#[test]
fn mutated_requests_never_panic_and_never_depend_on_the_split() {
    const SEEDS: u64 = 3000;
    const REQUESTS: [&str; 6] = [
        "GET /get/a?x=1 HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\n\r\n",
        "POST /replace HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "GET http://h/p HTTP/1.1\r\nHost: i\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1, 1\r\n\r\n0",
    ];
    const WORDS: [&[u8]; 24] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"0",
        b"1",
        b"a",
        b"\0",
        b"\xff",
        b"%",
        b"?",
        b"/",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: h\r\n",
        b"HTTP/1.0",
        b"chunked",
        b"ffffffff\r\n",
        b"\xc3\xa9",
    ];
    let limits = Limits {
        request_line_bytes: 60,
        header_bytes: 90,
        headers: 4,
        body_bytes: 12,
        ..Limits::default()
    };
    let mut complete = 0;
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut input = Vec::new();
        for _ in 0..random.usize(1..=3) {
            input.extend_from_slice(REQUESTS[random.usize(..REQUESTS.len())].as_bytes());
        }
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..=input.len());
            let end = random.usize(at..=input.len().min(at + 6));
            let word = WORDS[random.usize(..WORDS.len())];
            match random.u8(..5) {
                0 => drop(input.drain(at..end)),
                1 => input.truncate(at),
                2 if at < input.len() => input[at] ^= 1 << random.u8(..8),
                3 => drop(input.splice(at..end, input[at..end].repeat(2))),
                _ => drop(input.splice(at..end, word.iter().copied())),
            }
        }
        let whole = feed(&limits, [input.as_slice()]);
        complete += whole.requests.len();
        let parts = [1, 2, random.usize(1..=40)];
        for size in parts {
            let split = feed(&limits, input.chunks(size));
            assert_eq!(split, whole, "seed {seed}, parts of {size}: {}", input.escape_ascii());
        }
        let at = random.usize(..=input.len());
        let (first, second) = input.split_at(at);
        let split = feed(&limits, [first, second]);
        assert_eq!(split, whole, "seed {seed}, split at {at}: {}", input.escape_ascii());
    }
    assert!(complete > SEEDS as usize / 2, "the mutations leave too little to read: {complete}");
}

#[test]
fn proxies_close_an_idle_connection_first() {
    let of_proxies = Duration::from_secs(60);
    assert!(Limits::default().idle_time >= of_proxies + Duration::from_secs(10));
}
