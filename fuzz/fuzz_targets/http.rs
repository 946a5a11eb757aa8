//! The reader of HTTP requests: what becomes of bytes does not depend on how they were cut on their way,
//! and what a request takes in memory is bounded.
//!
//! The input is a byte that says how many cuts there are, where they are, two bytes each, and what is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::http::{
    Decoded, Decoder, HttpError, Limits, Phase, ReadBuffer, Request, percent_decode,
};

/// Small, so that they are met.
fn limits() -> Limits {
    Limits {
        request_line_bytes: 200,
        header_bytes: 400,
        headers: 8,
        body_bytes: 300,
        ..Limits::default()
    }
}

/// The read buffer has room for twice the largest request, and not less than it has at first.
const MOST_UNREAD: usize = 64 << 10;

/// All that can be seen of what became of the bytes.
#[derive(Debug, PartialEq)]
struct Outcome {
    requests: Vec<Request>,
    end: Result<(Phase, Vec<u8>), HttpError>,
}

fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let limits = limits();
    let mut decoder = Decoder::new(limits.clone());
    let mut buffer = ReadBuffer::new();
    let mut requests: Vec<Request> = Vec::new();
    for part in parts {
        // As a connection does it: it reads as much as there is room for, and then looks at that.
        let mut rest = part;
        while !rest.is_empty() {
            let space = buffer.space();
            let count = space.len().min(rest.len());
            assert!((1..=MOST_UNREAD).contains(&space.len()));
            space[..count].copy_from_slice(&rest[..count]);
            buffer.filled(count);
            rest = &rest[count..];
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Decoded::Complete(request)) => {
                        look_at(&request, &limits);
                        requests.push(request);
                    }
                    Ok(Decoded::Incomplete | Decoded::AwaitsContinue) => break,
                    Err(error) => {
                        assert!((400..=505).contains(&error.status), "{error}");
                        return Outcome { requests, end: Err(error) };
                    }
                }
            }
            let most = limits.request_line_bytes + limits.header_bytes + limits.body_bytes;
            assert!(buffer.unread().len() <= most, "more is kept than a request can have");
        }
    }
    Outcome { requests, end: Ok((decoder.phase(), buffer.into_unread())) }
}

/// A request is within the limits, and nothing that is asked of it panics.
fn look_at(request: &Request, limits: &Limits) {
    assert!(request.body.len() <= limits.body_bytes);
    assert!(request.headers().len() <= limits.headers);
    assert!(request.path().starts_with('/') || request.path() == "*");
    for (name, _) in request.headers() {
        assert!(request.header(name).is_some());
        assert!(request.header_values(name).count() > 0);
        request.has_token(name, "close");
    }
    percent_decode(request.path());
    request.query_parameter("wait").ok();
    let _ = (request.host(), request.keep_alive(), request.version(), request.method());
}

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else { return };
    let Some((places, bytes)) = rest.split_at_checked(usize::from(count % 8) * 2) else { return };
    let whole = read([bytes]);

    let mut places: Vec<usize> = places
        .chunks(2)
        .map(|place| usize::from(u16::from_le_bytes([place[0], place[1]])) % (bytes.len() + 1))
        .collect();
    places.sort_unstable();
    let mut start = 0;
    let mut parts: Vec<&[u8]> = Vec::new();
    for place in places.into_iter().chain([bytes.len()]) {
        parts.push(&bytes[start..place]);
        start = place;
    }
    assert_eq!(read(parts), whole, "{}", bytes.escape_ascii());
    if *count & 0x40 != 0 {
        // Again and again on one connection: what is done with takes no memory.
        read(std::iter::repeat_n(bytes, 40));
    }
    if *count & 0x80 != 0 {
        assert_eq!(read(bytes.chunks(1)), whole, "{}", bytes.escape_ascii());
    }
});
