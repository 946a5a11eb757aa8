//! A node within a program of somebody's own: all that the library shows.
//!
//! What is here has no types of the rest, so that the rest can change without it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};
use serde::{Serialize, Serializer};
use smol::Executor;

use crate::config::{self, Command};
use crate::document::Value;
use crate::manager::{self, Outcome};
use crate::node;
use crate::patch::{PatchError, Pointer, find};
use crate::transaction::MAX_PAYLOAD_BYTES;

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct Config(config::Config);

impl Config {
    /// What the `patchmesh` command makes of these arguments: the address, the peers, and flags. The variables of
    /// the environment do not count.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first argument that is wrong, or if they do not ask for a node.
    pub fn new(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Error> {
        match config::parse(arguments, |_| None) {
            Ok(Command::Run(config)) => Ok(Self(config)),
            Ok(_) => Err(Error::Usage("these arguments do not run a node".to_owned())),
            Err(error) => Err(Error::Usage(error.to_string())),
        }
    }
}

/// Why something could not be done. Each says in a sentence what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument is wrong.
    Usage(String),
    /// The node cannot start, or had to end.
    Node(String),
    /// The patch is none, or does not apply. Nothing was changed.
    Refused(String),
    /// The node cannot take the write now, or cannot keep it. Nothing was changed.
    Unavailable(String),
    /// The node has stopped. Whether a write that was under way was taken is not known.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Node(why) | Self::Refused(why) | Self::Unavailable(why) => {
                f.write_str(why)
            }
            Self::Stopped => f.write_str("the node has stopped"),
        }
    }
}

impl std::error::Error for Error {}

impl From<manager::Stopped> for Error {
    fn from(manager::Stopped: manager::Stopped) -> Self {
        Self::Stopped
    }
}

/// A node that runs, on threads of its own. It stops in order if this is dropped.
#[derive(Debug)]
pub struct Node {
    addresses: String,
    handle: Handle,
    /// Dropped, it stops the node.
    stop: Option<Sender<Infallible>>,
    runs: Option<JoinHandle<Result<(), Error>>>,
}

impl Node {
    /// Starts a node. Returns when it listens and has read its data directory back.
    ///
    /// # Errors
    /// [`Error::Node`] if it cannot listen, or a file or its directory cannot be used.
    pub fn start(config: Config) -> Result<Self, Error> {
        let Config(config) = config;
        let threads = config.threads;
        let (stop, shutdown) = async_channel::bounded(1);
        let (begun, begins) = async_channel::bounded(1);
        let run = move || {
            let executor = Arc::new(Executor::new());
            let (end, ended) = async_channel::bounded::<Infallible>(1);
            let helpers = (1..threads).map(|number| {
                let (executor, ended) = (executor.clone(), ended.clone());
                thread(number, move || smol::block_on(executor.run(closed(&ended))))
            });
            let helpers: Vec<_> = helpers.collect::<Result<_, _>>()?;
            let result = smol::block_on(executor.run(async {
                let node = match node::Node::bind(config, fastrand::u64(..)).await {
                    Ok(node) => node,
                    Err(error) => return Err(Error::Node(error.to_string())),
                };
                // If nobody waits for it any more, it stops at once.
                let handle = Handle::of(node.handle().clone());
                begun.send((node.addresses(), handle.clone())).await.ok();
                drop(begun);
                let ended = node.run(&executor, shutdown).await;
                handle.let_go();
                ended.map_err(|error| Error::Node(error.to_string()))
            }));
            drop(end);
            for helper in helpers {
                // A panic is one of a task, whose connection has ended.
                helper.join().ok();
            }
            result
        };
        let runs = thread(0, run)?;
        match begins.recv_blocking() {
            Ok((addresses, handle)) => {
                Ok(Self { addresses, handle, stop: Some(stop), runs: Some(runs) })
            }
            Err(_) => Err(joined(runs).err().unwrap_or(Error::Stopped)),
        }
    }

    /// Where it listens: one `address:port`, or several with commas between.
    pub fn addresses(&self) -> &str {
        &self.addresses
    }

    /// By which it is written to and read.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops it, and waits until its journal is closed: requests that are under way are answered, streams end.
    /// Handles show what it had last, and write no more.
    ///
    /// # Errors
    /// [`Error::Node`] if it had to end before, for example since its disk failed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.begin_to_stop();
        self.runs.take().map_or(Ok(()), joined)
    }

    fn begin_to_stop(&mut self) {
        self.handle.let_go();
        self.stop = None;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.begin_to_stop();
    }
}

fn thread<T: Send + 'static>(
    number: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    let thread = std::thread::Builder::new().name(format!("patchmesh-{number}"));
    thread.spawn(run).map_err(|error| Error::Node(format!("cannot begin a thread: {error}")))
}

fn joined(runs: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    runs.join().unwrap_or_else(|_| Err(Error::Node("the node panicked".to_owned())))
}

async fn closed(channel: &Receiver<Infallible>) {
    // Nothing can be sent by it, so this is its end.
    let Err(_) = channel.recv().await;
}

/// By which a node in the same program is written to and read. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<RwLock<Reach>>);

/// What a handle reaches.
enum Reach {
    Running(manager::Handle),
    /// What the node had last.
    Stopped(Document),
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reach() {
            Reach::Running(handle) => write!(f, "Handle({})", handle.source()),
            Reach::Stopped(_) => f.write_str("Handle(stopped)"),
        }
    }
}

impl Handle {
    fn of(handle: manager::Handle) -> Self {
        Self(Arc::new(RwLock::new(Reach::Running(handle))))
    }

    fn reach(&self) -> RwLockReadGuard<'_, Reach> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the document only: the node ends when nobody holds its manager any more.
    fn let_go(&self) {
        let document = self.document();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Reach::Stopped(document);
    }

    /// The document as it is now. It stays as it is, whatever is written later.
    pub fn document(&self) -> Document {
        match &*self.reach() {
            Reach::Running(handle) => Document(handle.state().document().root().clone()),
            Reach::Stopped(document) => document.clone(),
        }
    }

    /// Applies a JSON Patch (RFC 6902), a text of at most 1 MiB, whole or not at all. When this returns it is in the
    /// journal, in [`document`](Self::document), and on its way to the peers. Gives the transaction's name, as
    /// `SOURCE/ID`.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unavailable`] or [`Error::Stopped`].
    pub async fn patch(&self, patch: &str) -> Result<String, Error> {
        if patch.len() > MAX_PAYLOAD_BYTES {
            let bytes = patch.len();
            let why =
                format!("a patch has at most {MAX_PAYLOAD_BYTES} bytes, this one has {bytes}");
            return Err(Error::Refused(why));
        }
        let handle = match &*self.reach() {
            Reach::Running(handle) => handle.clone(),
            Reach::Stopped(_) => return Err(Error::Stopped),
        };
        match handle.create(patch, None).await? {
            Ok(Outcome::Accepted(record)) => {
                let (source, id) = record.name();
                Ok(format!("{source}/{id}"))
            }
            Ok(Outcome::Refused(error)) => Err(Error::Refused(error.to_string())),
            Ok(Outcome::Void) => Err(Error::Refused(PatchError::VOID.to_string())),
            Err(error) => Err(Error::Unavailable(error.to_string())),
            Ok(Outcome::Known { .. }) => {
                let why = "peers are still sending this node its own earlier transactions";
                Err(Error::Unavailable(why.to_owned()))
            }
            Ok(Outcome::Early { ahead_micros }) => {
                let minutes = ahead_micros / 60_000_000;
                let why = format!("other nodes' clocks are {minutes} minutes ahead of this one's");
                Err(Error::Unavailable(why))
            }
        }
    }

    /// A channel that has something in it if transactions have come, from here or from peers, since it was last
    /// emptied. It is closed when the node stops.
    pub fn subscribe(&self) -> Receiver<()> {
        match &*self.reach() {
            Reach::Running(handle) => handle.subscribe(),
            // The other end is dropped at once.
            Reach::Stopped(_) => async_channel::bounded(1).1,
        }
    }
}

/// A document, or a part of one, as it was when it was read. It is JSON: [`Display`](fmt::Display) gives its text,
/// and serde serializes it. A clone costs next to nothing, however large it is.
#[derive(Clone, PartialEq)]
pub struct Document(Value);

impl Document {
    /// The part at this JSON Pointer (RFC 6901), such as `/flags/dark`; the whole at an empty one. None if there is
    /// nothing, or if it is no pointer.
    pub fn part(&self, pointer: &str) -> Option<Self> {
        let pointer = Pointer::parse(pointer).ok()?;
        find(&self.0, pointer).cloned().map(Self)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
