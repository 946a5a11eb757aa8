//! The library's public interface: a node within another program.
//!
//! It shows no types of other modules, so that these can change freely.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};
use serde::{Serialize, Serializer};
use smol::Executor;

use crate::config::{self, Command};
use crate::document::Value;
use crate::locks::RwLock;
use crate::manager::{self, Outcome, Published};
use crate::node;
use crate::patch::{PatchError, Pointer, find};
use crate::shutdown::closed;
use crate::transaction::MAX_PAYLOAD_BYTES;

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct Config(config::Config);

impl Config {
    /// Reads the arguments of the `patchmesh` command: the address, the peers, and flags. Environment variables are
    /// ignored.
    ///
    /// # Errors
    /// [`Error::Usage`] for the first wrong argument, or if they are not the arguments to run a node.
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
    /// The text is no JSON Patch, or it does not apply. Nothing was changed.
    Refused(String),
    /// The node cannot take the write now, or cannot keep it. Nothing was changed.
    Unavailable(String),
    /// The node has stopped. Whether it took a write that was under way is not known.
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

/// A running node, with its own threads. It logs with the crate `log`, and reads a file of tokens once. Dropping it
/// [stops](Self::stop) it.
#[derive(Debug)]
pub struct Node {
    addresses: String,
    handle: Handle,
    /// If this is dropped, the node stops.
    stop: Option<Sender<Infallible>>,
    runs: Option<JoinHandle<Result<(), Error>>>,
}

impl Node {
    /// Starts a node. Returns when it listens and has read its data directory back.
    ///
    /// If the system limits the size of files, the signal SIGXFSZ has to be ignored, as the command does: else it
    /// ends the process when the journal reaches the limit.
    ///
    /// # Errors
    /// [`Error::Node`] if it cannot listen, or cannot use a file or its directory.
    pub fn start(config: Config) -> Result<Self, Error> {
        let (stop, shutdown) = async_channel::bounded(1);
        let (begun, begins) = async_channel::bounded(1);
        let runs = thread(0, move || run(config.0, begun, shutdown))?;
        match begins.recv_blocking() {
            Ok((addresses, handle)) => {
                Ok(Self { addresses, handle, stop: Some(stop), runs: Some(runs) })
            }
            Err(_) => Err(joined(runs).err().unwrap_or(Error::Stopped)),
        }
    }

    /// The addresses on which it listens: `address:port`, or several, separated by commas.
    pub fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The handle to read and write.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops the node, and waits until its journal is closed, for some seconds at most. Requests under way are
    /// answered, and streams end. Handles then show the last document, and cannot write.
    ///
    /// # Errors
    /// [`Error::Node`] if it had ended with an error before, for example because its disk failed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        self.handle.refuse_writes();
        self.stop = None;
        self.runs.take().map_or(Ok(()), joined)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::error!("the node within this program has ended: {error}");
        }
    }
}

/// Runs a node, tells when it has `begun`, and stops it when `shutdown` is closed.
fn run(
    config: config::Config,
    begun: Sender<(String, Handle)>,
    shutdown: Receiver<Infallible>,
) -> Result<(), Error> {
    let threads = config.threads;
    let executor = Arc::new(Executor::new());
    let (end, ended) = async_channel::bounded::<Infallible>(1);
    let helpers = (1..threads).map(|number| {
        let (executor, ended) = (executor.clone(), ended.clone());
        thread(number, move || smol::block_on(executor.run(closed(&ended))))
    });
    let helpers: Vec<_> = helpers.collect::<Result<_, _>>()?;
    let node = {
        let executor = executor.clone();
        async move {
            let node = node::Node::bind(config, fastrand::u64(..)).await;
            let node = node.map_err(|error| Error::Node(error.to_string()))?;
            let handle = Handle::of(node.handle(), executor.clone());
            // If the caller is gone, the node stops at once.
            begun.send((node.addresses(), handle.clone())).await.ok();
            drop(begun);
            let ended = node.run(&executor, shutdown).await;
            handle.refuse_writes();
            ended.map_err(|error| Error::Node(error.to_string()))
        }
    };
    let result = smol::block_on(executor.run(executor.spawn(node)));
    drop(end);
    for helper in helpers {
        // A panic belongs to a task, whose connection has ended.
        helper.join().ok();
    }
    result
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

/// Reads and writes the document of a node in the same program. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    published: Arc<Published>,
    /// None as soon as the node begins to stop: it ends when its manager has no handle any more.
    writer: Arc<RwLock<Option<Writer>>>,
}

/// Brings writes to the node.
#[derive(Clone)]
struct Writer {
    manager: manager::Handle,
    executor: Arc<Executor<'static>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.writer() {
            Some(writer) => write!(f, "Handle({})", writer.manager.source()),
            None => f.write_str("Handle(stopped)"),
        }
    }
}

impl Handle {
    fn of(manager: &manager::Handle, executor: Arc<Executor<'static>>) -> Self {
        let writer = Writer { manager: manager.clone(), executor };
        Self { published: manager.published(), writer: Arc::new(RwLock::new(Some(writer))) }
    }

    fn writer(&self) -> Option<Writer> {
        self.writer.read().clone()
    }

    fn refuse_writes(&self) {
        *self.writer.write() = None;
    }

    /// The document now. Later writes do not change the returned one.
    pub fn document(&self) -> Document {
        Document(self.published.state().document().root().clone())
    }

    /// Applies a JSON Patch (RFC 6902), a text of at most 1 MiB, whole or not at all. When this returns, the patch is
    /// in the journal, in [`document`](Self::document), and on its way to the peers. Returns the transaction's name,
    /// as `SOURCE/ID`. After the first poll the write goes on, even if the future is dropped.
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
        let Writer { manager, executor } = self.writer().ok_or(Error::Stopped)?;
        let patch = patch.to_owned();
        // This is a task of the node, since it may hold a lock that other writes wait for. A future that the caller
        // keeps, but does not poll, would hold it for ever.
        let (reply, answer) = async_channel::bounded(1);
        let create = async move {
            let outcome = manager.create(&patch, None).await;
            drop(manager);
            // The caller may be gone.
            reply.try_send(outcome).ok();
        };
        executor.spawn(create).detach();
        drop(executor);
        match answer.recv().await.map_err(|_| Error::Stopped)?? {
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

    /// A channel that has an item at first, and if there are new transactions, of this node or of peers, since it was
    /// last emptied. It is closed when the node has stopped.
    pub fn subscribe(&self) -> Receiver<()> {
        self.published.subscribe()
    }
}

/// A document, or a part of one, that does not change any more. [`Display`](fmt::Display) gives its JSON text, and
/// serde serializes it. A clone costs next to nothing, however large it is.
#[derive(Clone, PartialEq)]
pub struct Document(Value);

impl Document {
    /// The part at this JSON Pointer (RFC 6901), such as `/flags/dark`; the whole document for an empty pointer. None
    /// if there is no such part, or if the text is no pointer.
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
