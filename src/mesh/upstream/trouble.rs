//! What the log says about one peer: each trouble once, not at every try, and its end.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use super::ITSELF;
use super::end::ReceivingEnd;
use crate::backoff::GOOD;
use crate::config::Peer;
use crate::mesh::named::{Named, escaped};
use crate::source::Source;

/// The trouble with one peer.
pub struct PeerTrouble {
    peer: Peer,
    /// The kind of trouble that was logged and has not ended yet.
    told: Option<Discriminant<ReceivingEnd>>,
    /// Whether it ends with a connection. If a stream failed soon after it began, only a stream that lasts
    /// ends the trouble.
    ends_with_connection: bool,
    /// Whether it ends when the peer's journal was read to its end. Not if the last stream failed soon after
    /// that.
    ends_with_journal: bool,
    read_to_end: bool,
    connected_before: bool,
    /// The node that answered last.
    node: Option<Source>,
    told_itself: bool,
}

impl PeerTrouble {
    pub fn new(peer: Peer) -> Self {
        Self {
            peer,
            told: None,
            ends_with_connection: true,
            ends_with_journal: true,
            read_to_end: false,
            connected_before: false,
            node: None,
            told_itself: false,
        }
    }

    /// A connection was made. `node` is the source of the peer, if it says so. Returns whether there is no
    /// trouble now.
    pub fn connected(&mut self, node: Option<&Source>) -> bool {
        let is_over = self.told.is_none() || self.ends_with_connection;
        if is_over {
            self.is_over();
        }
        let peer = &self.peer;
        match (node, &self.node) {
            (Some(node), None) if !self.connected_before => {
                log::info!("peer {peer}: connected, it is {}", escaped(node.as_str()));
            }
            (Some(node), Some(before)) if node != before => {
                let (node, before) = (escaped(node.as_str()), escaped(before.as_str()));
                log::info!("peer {peer}: it is {node} from now on, and was {before}");
            }
            _ if !self.connected_before => log::info!("peer {peer}: connected"),
            _ => (),
        }
        self.connected_before = true;
        self.node = node.cloned().or(self.node.take());
        self.read_to_end = false;
        is_over
    }

    /// The peer's journal was read to its end. Returns whether there is no trouble now.
    pub fn read_to_end(&mut self) -> bool {
        let is_over = self.told.is_none() || self.ends_with_journal;
        self.read_to_end = true;
        if is_over {
            self.is_over();
        }
        is_over
    }

    /// The trouble has ended, if there was any.
    pub fn is_over(&mut self) {
        if self.told.take().is_some() && self.connected_before {
            log::info!("peer {}: connected again", self.named());
        }
    }

    /// The peer is this node.
    pub fn is_itself(&mut self) {
        if !std::mem::replace(&mut self.told_itself, true) {
            log::warn!("peer {}: {ITSELF}", self.named());
        }
    }

    /// A stream ended, and another one begins at once.
    pub fn goes_on(&self, end: &ReceivingEnd) {
        log::debug!("peer {}: {end}; dialed again at once", self.named());
    }

    /// A stream ended after `lasted`, which is zero if there was none. The next try is after `wait`.
    pub fn ended(&mut self, end: &ReceivingEnd, lasted: Duration, wait: Duration) {
        let kind = discriminant(end);
        // A peer that was silent may be silent again after the next handshake.
        let was_good = lasted >= GOOD && !matches!(end, ReceivingEnd::Silent);
        self.ends_with_connection = lasted == Duration::ZERO || was_good;
        self.ends_with_journal = lasted >= GOOD || (self.ends_with_journal && !self.read_to_end);
        // That is normal if several peers send their bases at once.
        let is_told = matches!(end, ReceivingEnd::NoRoom) || self.told.replace(kind) == Some(kind);
        let peer = self.named();
        if is_told {
            log::debug!("peer {peer}: {end}; next try in {} ms", wait.as_millis());
        } else {
            log::warn!("peer {peer}: {end}; trying again until it works");
        }
    }

    fn named(&self) -> Named<'_, &Peer> {
        Named { node: self.node.as_ref().map(Source::as_str), address: &self.peer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the streams of a peer, one character each. For every `c` and `e`, a connection and an
    /// end of the journal: whether it leaves no trouble, `+` or `-`. `x`: a stream ends soon after it began;
    /// `l`: after long; `s`: after a long silence. `r`: a try fails without a stream.
    fn told(happens: &str) -> String {
        let mut trouble = PeerTrouble::new("a:1".parse().unwrap());
        let mut told = String::new();
        for event in happens.chars() {
            let is_over = match event {
                'c' => trouble.connected(None),
                'e' => trouble.read_to_end(),
                _ => {
                    let (end, lasted) = match event {
                        'x' => (ReceivingEnd::Refused, Duration::from_secs(1)),
                        'l' => (ReceivingEnd::Refused, GOOD),
                        's' => (ReceivingEnd::Silent, 4 * GOOD),
                        _ => (ReceivingEnd::Refused, Duration::ZERO),
                    };
                    trouble.ended(&end, lasted, Duration::ZERO);
                    continue;
                }
            };
            told.push(if is_over { '+' } else { '-' });
        }
        told
    }

    #[test]
    fn trouble_ends_with_an_event_that_did_not_fail_before() {
        for (happens, expected) in [
            ("c", "+"),
            ("ce", "++"),
            ("rrc", "+"),
            ("clc", "++"),
            ("cscsce", "+--+"),
            // Streams that fail soon; then some that were read to the end before.
            ("cxcxcx", "+--"),
            ("cxce", "+-+"),
            ("cxcexce", "+-+--"),
            ("cexcexce", "++----"),
            ("cexcelce", "++--++"),
            // A peer that is restarted twice within a short time.
            ("cexrrce", "++++"),
        ] {
            assert_eq!(told(happens), expected, "{happens}");
        }
    }
}
