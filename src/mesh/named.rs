//! How the log names the other end of a stream.

use std::fmt;

/// `berlin~k3x9q2pd at 10.0.0.2:8080`, or only the address if the node has not named itself.
///
/// A source has no control characters, but may have others that a terminal obeys, such as those that reverse
/// the direction of text. They are escaped.
pub struct Named<'a, A> {
    /// The source of the node.
    pub node: Option<&'a str>,
    /// Its address.
    pub address: A,
}

impl<A: fmt::Display> fmt::Display for Named<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{} at {}", escaped(node), self.address),
            None => self.address.fmt(f),
        }
    }
}

/// A source as it is logged.
pub fn escaped(source: &str) -> std::str::EscapeDebug<'_> {
    source.escape_debug()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_without_what_a_terminal_obeys() {
        for (node, expected) in [
            (None, "10.0.0.2:8080"),
            (Some("berlin~k3x9q2pd"), "berlin~k3x9q2pd at 10.0.0.2:8080"),
            (
                Some("Zoë\u{202e}\u{2066}\u{200b}~k3x9q2pd"),
                r"Zoë\u{202e}\u{2066}\u{200b}~k3x9q2pd at 10.0.0.2:8080",
            ),
        ] {
            assert_eq!(Named { node, address: "10.0.0.2:8080" }.to_string(), expected);
        }
    }
}
