//! What an upstream tells its peer in the payload of a ping.

use std::fmt;

/// The content of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// An order to the downstream.
    Order(LinkOrder),
    /// A number. Its pong shows that the process at the other end is there now.
    Proof(u64),
}

/// An order to a downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOrder {
    /// Send summaries.
    Lazy,
    /// Send transactions, from this position of the journal on, or from the current one.
    Eager(Option<u64>),
}

impl LinkOrder {
    /// Reads the payload of a ping. `None` if it is not an order.
    ///
    /// # Errors
    /// If it is an order that is not valid; why, for a person.
    pub fn decode(payload: &[u8]) -> Option<Result<Self, String>> {
        match payload {
            b"lazy" => Some(Ok(Self::Lazy)),
            b"eager" => Some(Ok(Self::Eager(None))),
            _ => {
                let position = std::str::from_utf8(payload.strip_prefix(b"eager ")?);
                let is_number = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
                let position =
                    position.ok().filter(is_number).and_then(|digits| digits.parse().ok());
                let position = position.map(|position| Self::Eager(Some(position)));
                Some(position.ok_or_else(|| "eager is not followed by a position".to_owned()))
            }
        }
    }
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => order.fmt(f),
            Self::Proof(number) => write!(f, "proof {number}"),
        }
    }
}

impl fmt::Display for LinkOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lazy => f.write_str("lazy"),
            Self::Eager(None) => f.write_str("eager"),
            Self::Eager(Some(position)) => write!(f, "eager {position}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        for order in [
            LinkOrder::Lazy,
            LinkOrder::Eager(None),
            LinkOrder::Eager(Some(0)),
            LinkOrder::Eager(Some(17)),
        ] {
            assert_eq!(LinkOrder::decode(order.to_string().as_bytes()), Some(Ok(order)));
        }
        for payload in ["", "proof 1", "lazy 1", "0f3a", "eagerly", "Lazy"] {
            assert_eq!(LinkOrder::decode(payload.as_bytes()), None, "{payload}");
        }
        for payload in ["eager ", "eager -1", "eager +1", "eager x", "eager 18446744073709551616"] {
            assert!(LinkOrder::decode(payload.as_bytes()).unwrap().is_err(), "{payload}");
        }
    }
}
