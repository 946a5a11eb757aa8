//! This node's vector clock as a peer is told it.

use std::cmp::Reverse;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::clock::VectorClock;
use crate::source::Source;

/// The longest `since`, percent-encoded. With the rest it fits into the request line of any server.
const MAX_SINCE_BYTES: usize = 6 << 10;

/// Characters that need no escape in a query (RFC 3986 section 2.3, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as it is written in a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The clock as the query's `since`. If it is too long, some sources are left out, and the peer sends more
/// than necessary, which does no harm. The source of the last commit stays, since without it the peer would
/// send a base, and then those with the most transactions.
pub fn since(vclock: &VectorClock, commits: Option<&Source>) -> String {
    let encode = |clock: &VectorClock| {
        let text = serde_json::to_string(clock).expect("a vector clock always has a JSON text");
        encoded(&text)
    };
    let whole = encode(vclock);
    if whole.len() <= MAX_SINCE_BYTES {
        return whole;
    }
    let mut entries: Vec<_> = vclock.iter().collect();
    entries
        .sort_unstable_by_key(|(source, next)| (Some(*source) != commits, Reverse(*next), *source));
    let mut bytes = 0;
    let most = entries.into_iter().take_while(|(source, next)| {
        let entry = std::iter::once(((*source).clone(), *next)).collect();
        bytes += encode(&entry).len();
        bytes <= MAX_SINCE_BYTES
    });
    encode(&most.map(|(source, next)| (source.clone(), next)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(sources: u64) -> VectorClock {
        (0..sources).map(|n| (format!("node{n}~abcdefgh").parse().unwrap(), n)).collect()
    }

    fn decoded(text: &str) -> VectorClock {
        let text = percent_encoding::percent_decode_str(text).decode_utf8().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn since_is_the_percent_encoded_clock() {
        assert_eq!(since(&clock(0), None), "%7B%7D");
        assert_eq!(since(&clock(1), None), "%7B%22node0~abcdefgh%22%3A0%7D");
        let last = "node1~abcdefgh".parse().unwrap();
        assert_eq!(decoded(&since(&clock(3), Some(&last))), clock(3));
    }

    #[test]
    fn a_long_since_names_the_sources_with_the_most_transactions() {
        let text = since(&clock(1000), None);
        assert!(text.len() <= MAX_SINCE_BYTES && text.len() > MAX_SINCE_BYTES / 2);
        let named: Vec<u64> = decoded(&text).iter().map(|(_, next)| next).collect();
        let fewest = 1000 - named.len() as u64;
        assert!(named.iter().all(|next| *next >= fewest));
    }

    #[test]
    fn a_long_since_names_the_source_of_the_last_commit() {
        let commits = "node1~abcdefgh".parse().unwrap();
        let text = since(&clock(1000), Some(&commits));
        assert!(text.len() <= MAX_SINCE_BYTES);
        let named = decoded(&text);
        assert_eq!(
            (named.next_id(&commits), named.sources()),
            (1, decoded(&since(&clock(1000), None)).sources())
        );
        let unknown = "main~abcdefgh^1".parse().unwrap();
        assert_eq!(decoded(&since(&clock(1000), Some(&unknown))).next_id(&unknown), 0);
    }
}
