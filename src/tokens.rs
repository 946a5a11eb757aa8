//! Tokens and their rights. A node has no token, one token with all rights, or a file of tokens, which can be
//! read again while the node runs.
//!
//! ```text
//! # for the page that shows it
//! 5f3a9c read
//! 81b2d0 write
//! c0ffee peer
//! ```
//!
//! A presented token is compared with all tokens, by their hashes. So the time that takes reveals neither the
//! token nor its place.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use async_channel::{Receiver, Sender};
use sha2::{Digest, Sha256};

use crate::locks::Mutex;

/// A larger file is no file of tokens.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The most tokens in a file: the token of each request is compared with all of them.
const MAX_TOKENS: usize = 256;

/// What a token allows. Each right includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To read the document and all about it, but not the replication stream.
    Read,
    /// To write to it.
    Write,
    /// To replicate, and to change which peers there are and which node is the primary.
    Peer,
}

/// The hash of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// What is wrong with a file of tokens, and in which line; none if it is about the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    line: Option<usize>,
    why: String,
}

/// The tokens of a node as they are now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<TokenStore>);

#[derive(Debug)]
struct TokenStore {
    file: Option<PathBuf>,
    list: Mutex<List>,
}

/// Some tokens.
#[derive(Default)]
struct List {
    tokens: Vec<(TokenHash, Right)>,
    /// The token that is shown to peers.
    of_peers: Option<Arc<str>>,
    /// A channel that closes when this list is replaced.
    lives: Option<(Sender<Infallible>, Receiver<Infallible>)>,
}

impl Right {
    fn named(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Peer].into_iter().find(|right| right.name() == name)
    }

    /// Its name in a file of tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Peer => "peer",
        }
    }
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn is(&self, other: &Self) -> bool {
        let both = self.0.iter().zip(other.0);
        both.fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
    }
}

impl Tokens {
    /// One token with all rights. Without a token everybody may do all.
    pub fn one(token: Option<&str>) -> Self {
        let list = List {
            tokens: token.map(|token| (TokenHash::of(token), Right::Peer)).into_iter().collect(),
            of_peers: token.map(Arc::from),
            lives: None,
        };
        Self(Arc::new(TokenStore { file: None, list: Mutex::new(list) }))
    }

    /// The tokens in a file. It is read now, and again by [`read_again`](Self::read_again).
    ///
    /// # Errors
    /// If it cannot be read, or is not a file of tokens.
    pub fn in_file(file: &Path) -> Result<Self, TokenError> {
        let list = Mutex::new(List::read(file)?);
        Ok(Self(Arc::new(TokenStore { file: Some(file.to_owned()), list })))
    }

    /// Reads the file again. Returns the number of tokens.
    ///
    /// # Errors
    /// If it cannot be read, or is not a file of tokens. Then the tokens stay as they are.
    pub fn read_again(&self) -> Result<usize, TokenError> {
        if let Some(file) = &self.0.file {
            let list = List::read(file)?;
            // The old list is dropped outside of the lock. That wakes those who wait in [`lost`](Self::lost).
            let _before = std::mem::replace(&mut *self.list(), list);
        }
        Ok(self.list().tokens.len())
    }

    /// The file, if they are in one.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Whether there are none, so that everybody may do all.
    pub fn are_none(&self) -> bool {
        self.list().tokens.is_empty()
    }

    /// The right of a presented token; none if it is unknown.
    pub fn right(&self, presented: &TokenHash) -> Option<Right> {
        self.list().right(presented)
    }

    /// The token that is shown to peers.
    pub fn of_peers(&self) -> Option<Arc<str>> {
        self.list().of_peers.clone()
    }

    /// Waits until the presented token does not have the right `needed` any more. If the tokens are not in a
    /// file, this never ends.
    pub async fn lost(&self, presented: TokenHash, needed: Right) {
        loop {
            let lives = {
                let list = self.list();
                if list.right(&presented) < Some(needed) {
                    return;
                }
                list.lives.as_ref().map(|(_, lives)| lives.clone())
            };
            match lives {
                Some(lives) => drop(lives.recv().await),
                None => std::future::pending().await,
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock()
    }
}

impl List {
    fn read(file: &Path) -> Result<Self, TokenError> {
        let text = read_text(file).map_err(|error| TokenError::whole(error.to_string()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, TokenError> {
        let mut list = Self { lives: Some(async_channel::bounded(1)), ..Self::default() };
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: &str| TokenError { line: Some(index + 1), why: why.to_owned() };
            let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
            let (token, right) = match words.collect::<Vec<_>>()[..] {
                [] => continue,
                [_] => return Err(wrong("behind the token stands read, write or peer")),
                [token, right] => (token, right),
                _ => return Err(wrong("there is more than a token and its right")),
            };
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(wrong("a token has visible ASCII characters only"));
            }
            let Some(right) = Right::named(right) else {
                return Err(wrong("a right is read, write or peer"));
            };
            if list.tokens.len() == MAX_TOKENS {
                return Err(wrong(&format!("there are more than {MAX_TOKENS} tokens")));
            }
            let hashed = TokenHash::of(token);
            if list.right(&hashed).is_some() {
                return Err(wrong("this token is in a line before it"));
            }
            if right == Right::Peer && list.of_peers.is_none() {
                list.of_peers = Some(token.into());
            }
            list.tokens.push((hashed, right));
        }
        match list.tokens.is_empty() {
            true => Err(TokenError::whole("there is no token in it")),
            false => Ok(list),
        }
    }

    fn right(&self, presented: &TokenHash) -> Option<Right> {
        let mut found = None;
        for (token, right) in &self.tokens {
            if token.is(presented) {
                found = Some(*right);
            }
        }
        found
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token for peers stays out: this text may come into a log.
        f.debug_struct("List").field("count", &self.tokens.len()).finish_non_exhaustive()
    }
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

impl TokenError {
    fn whole(why: impl Into<String>) -> Self {
        Self { line: None, why: why.into() }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::poll_once;

    #[test]
    fn a_file_has_a_token_and_its_right_a_line() {
        let list = List::parse(
            "# all of them\n\na read # the page\n  b\twrite\r\nc peer\nd peer\nf# read #",
        )
        .unwrap();
        for (token, right) in [
            ("a", Some(Right::Read)),
            ("b", Some(Right::Write)),
            ("c", Some(Right::Peer)),
            ("d", Some(Right::Peer)),
            ("e", None),
            ("", None),
            ("#", None),
            ("f#", Some(Right::Read)),
        ] {
            assert_eq!(list.right(&TokenHash::of(token)), right, "{token}");
        }
        assert_eq!(list.of_peers.as_deref(), Some("c"));
        assert_eq!(List::parse("a write").unwrap().of_peers, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("", "there is no token in it"),
            ("# a read\n\n", "there is no token in it"),
            ("a read\nb\n", "line 2: behind the token stands read, write or peer"),
            ("a read\n\n\nb reads\n", "line 4: a right is read, write or peer"),
            ("a READ", "line 1: a right is read, write or peer"),
            ("a read write", "line 1: there is more than a token and its right"),
            ("ä read", "line 1: a token has visible ASCII characters only"),
            ("a read\na peer\n", "line 2: this token is in a line before it"),
        ] {
            assert_eq!(List::parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
        let lines = |count: usize| (0..count).map(|n| format!("{n} read\n")).collect::<String>();
        assert_eq!(List::parse(&lines(256)).unwrap().tokens.len(), 256);
        let expected = "line 257: there are more than 256 tokens";
        assert_eq!(List::parse(&lines(257)).unwrap_err().to_string(), expected);
        let absent = Tokens::in_file(Path::new("/nowhere/tokens")).unwrap_err();
        assert!(absent.to_string().contains("No such file"), "{absent}");
    }

    #[test]
    fn no_token_is_in_what_is_logged() {
        let text = format!("{:?} {:?}", Tokens::one(Some("s3cret")), List::parse("s3cret peer"));
        assert!(text.contains("count: 1") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn who_loses_a_right_hears_of_it_once_it_is_gone() {
        let lists = Tokens::one(None);
        let set = |text: &str| *lists.list() = List::parse(text).unwrap();
        let presented = TokenHash::of("a");
        set("a peer");
        smol::block_on(async {
            let mut as_peer = Box::pin(lists.lost(presented, Right::Peer));
            let mut as_reader = Box::pin(lists.lost(presented, Right::Read));
            assert!(poll_once(&mut as_peer).await.is_none());
            assert!(poll_once(&mut as_reader).await.is_none());
            set("b read\na peer");
            assert!(poll_once(&mut as_peer).await.is_none(), "it is there again");
            assert!(poll_once(&mut as_reader).await.is_none());
            set("a write");
            assert!(poll_once(&mut as_peer).await.is_some());
            assert!(poll_once(&mut as_reader).await.is_none(), "it may still read");
            set("b peer");
            assert!(poll_once(&mut as_reader).await.is_some());
            let forever = Tokens::one(Some("a"));
            assert!(poll_once(&mut Box::pin(forever.lost(presented, Right::Peer))).await.is_none());
        });
    }
}
