//! Which nodes are dialed: those of the command line, and those added at run time.
//!
//! Only those added at run time are stored. So a peer of the command line that is removed comes back at the
//! next start.

use std::fmt;

use crate::config::Peer;

/// More peers than this are a mistake: each one costs a connection and a task.
pub const MOST_PEERS: usize = 256;

/// The set of peers. Pure: no I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The addresses of this node itself.
    own: Vec<String>,
    /// From the command line.
    given: Vec<Peer>,
    /// Added at run time, and stored.
    added: Vec<Peer>,
    current: Vec<Peer>,
}

/// Why a peer cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfitPeer {
    /// The address is that of this node.
    Itself,
    /// There are [`MOST_PEERS`] already.
    TooMany,
}

impl fmt::Display for UnfitPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("this is the address of this node itself"),
            Self::TooMany => write!(f, "this node has {MOST_PEERS} peers, and no more are allowed"),
        }
    }
}

impl Membership {
    /// The set at the start of a node whose addresses are `own`, from the command line and from the stored
    /// list.
    pub fn new(own: Vec<String>, given: Vec<Peer>, added: Vec<Peer>) -> Self {
        let mut current: Vec<Peer> = Vec::new();
        for peer in given.iter().chain(&added) {
            if !own.contains(&peer.address) && !current.contains(peer) {
                current.push(peer.clone());
            }
        }
        Self { own, given, added, current }
    }

    /// The peers, in the order in which they were added.
    pub fn current(&self) -> &[Peer] {
        &self.current
    }

    /// The peers to store.
    pub fn added(&self) -> &[Peer] {
        &self.added
    }

    /// Whether the command line names this peer.
    pub fn is_given(&self, peer: &Peer) -> bool {
        self.given.contains(peer)
    }

    /// Adds a peer. Returns whether it is new.
    ///
    /// # Errors
    /// If it may not be added.
    pub fn add(&mut self, peer: &Peer) -> Result<bool, UnfitPeer> {
        if self.own.contains(&peer.address) {
            return Err(UnfitPeer::Itself);
        }
        if self.current.contains(peer) {
            return Ok(false);
        }
        if self.current.len() >= MOST_PEERS {
            return Err(UnfitPeer::TooMany);
        }
        self.current.push(peer.clone());
        if !self.is_given(peer) {
            self.added.push(peer.clone());
        }
        Ok(true)
    }

    /// Removes a peer. Returns whether it was there.
    pub fn remove(&mut self, peer: &Peer) -> bool {
        let before = self.current.len();
        self.current.retain(|other| other != peer);
        self.added.retain(|other| other != peer);
        self.current.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(texts: &str) -> Vec<Peer> {
        texts.split_whitespace().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(peers: &[Peer]) -> String {
        peers.iter().map(Peer::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn peers_come_from_the_command_line_and_from_changes() {
        // The command line, the stored list, what happens; then who is dialed, and what is stored.
        for (given, kept, happens, current, added) in [
            ("", "", "", "", ""),
            ("b:1", "c:1 b:1", "", "b:1 c:1", "c:1 b:1"),
            // Stored by a node at another address, and then started at this one.
            ("b:1", "a:1", "", "b:1", "a:1"),
            ("b:1", "", "+c:1", "b:1 c:1", "c:1"),
            ("b:1", "", "=b:1 +c:1 =c:1", "b:1 c:1", "c:1"),
            ("b:1", "c:1", "-c:1 /c:1", "b:1", ""),
            ("b:1", "c:1", "-b:1 /b:1", "c:1", "c:1"),
            ("b:1", "", "-b:1 +b:1", "b:1", ""),
            ("b:1", "b:1", "-b:1", "", ""),
            ("", "", "+b:1 +b:1/mesh/ws", "b:1 b:1/mesh/ws", "b:1 b:1/mesh/ws"),
            ("", "", "!a:1 !127.0.0.1:1 !a:1/mesh/ws", "", ""),
        ] {
            let own = vec!["a:1".to_owned(), "127.0.0.1:1".to_owned()];
            let mut membership = Membership::new(own, peers(given), peers(kept));
            for word in happens.split_whitespace() {
                let (what, peer) = word.split_at(1);
                let peer: Peer = peer.parse().unwrap();
                match what {
                    "+" => assert_eq!(membership.add(&peer), Ok(true), "{happens}"),
                    "=" => assert_eq!(membership.add(&peer), Ok(false), "{happens}"),
                    "!" => assert_eq!(membership.add(&peer), Err(UnfitPeer::Itself), "{happens}"),
                    what => assert_eq!(membership.remove(&peer), what == "-", "{happens}"),
                }
            }
            let found = (shown(membership.current()), shown(membership.added()));
            assert_eq!(found, (current.to_owned(), added.to_owned()), "{happens}");
        }
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let mut membership = Membership::new(vec![], vec![], vec![]);
        let peer = |number: usize| format!("n{number}:1").parse().unwrap();
        for number in 0..MOST_PEERS {
            assert_eq!(membership.add(&peer(number)), Ok(true));
        }
        assert_eq!(membership.add(&peer(MOST_PEERS)), Err(UnfitPeer::TooMany));
        assert_eq!(membership.add(&peer(0)), Ok(false));
        assert!(membership.remove(&peer(0)));
        assert_eq!(membership.add(&peer(MOST_PEERS)), Ok(true));
    }
}
