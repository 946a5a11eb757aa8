//! The accept loop, the connection loop, and the hand-over after an upgrade.
//!
//! The rules:
//!
//! - Each connection has a task, which answers its requests in the order in which they came. What goes wrong
//!   there, even a panic, ends only that connection.
//! - No client can make the node wait for ever: every wait for a client has a time limit ([`Limits`]), and so
//!   has the wait for the end of all connections.
//! - A shutdown interrupts only the wait for the next bytes, never an answer: a request that was received is
//!   answered, with `Connection: close`.
//! - A client can read why it is refused. To close a socket that has unread bytes would reset the connection,
//!   so the bytes that still come are read and dropped first.
//!
//! Left out on purpose: the server does not notice that a client left while its request is being answered.

mod alarm;
mod bodies;
mod complaints;
mod connection;
mod connection_end;
mod listeners;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::future::{self, FutureExt};
use smol::{Async, Executor, Task, Timer};

use crate::http::{HttpError, Limits};
use crate::routes::Handler;
use crate::shutdown::closed;
use crate::stream::{self, Refused, Security};

use bodies::Bodies;
use complaints::Complaints;
use connection::{Connection, RESERVED_TIME};
use connection_end::ConnectionEnd;

pub use listeners::Listeners;

/// How long the accept loop pauses when it runs out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long the connections may take to end after the shutdown.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);
/// How many connections above the limit are kept free for vital requests, and for telling all others that there
/// are too many. Any more are just closed.
const RESERVED: usize = 64;

/// Accepts connections until `shutdown` is closed, and answers their requests in tasks of `executor`. Returns
/// when every connection has ended, or after three seconds.
pub async fn serve<H: Handler>(
    executor: &Executor<'_>,
    mut listeners: Listeners,
    handler: Arc<H>,
    limits: Limits,
    shutdown: Receiver<Infallible>,
) {
    // Nothing is ever sent here. Every connection holds a sender, and so does this function. So the number of
    // senders tells the number of connections, and the channel closes when all have ended. A task that panics
    // drops its sender like any other.
    let (alive, all_ended) = async_channel::bounded::<Infallible>(1);
    // Tasks that have ended stay here until there are many.
    let mut tasks: Vec<Task<()>> = Vec::new();
    let limits = Arc::new(limits);
    let bodies = Bodies::default();
    let complaints = Arc::new(Complaints::default());
    while let Some(accepted) = accept(&mut listeners, &shutdown).await {
        match accepted {
            Ok((tcp, from)) => {
                let client = AcceptedClient {
                    tcp,
                    from,
                    security: listeners.security().clone(),
                    complaints: complaints.clone(),
                    limits: limits.clone(),
                    shutdown: shutdown.clone(),
                    bodies: bodies.clone(),
                };
                if tasks.len() > 2 * alive.sender_count() {
                    tasks.retain(|task| !task.is_finished());
                }
                tasks.extend(admit(executor, client, alive.clone(), &handler));
            }
            Err(error) if is_of_one_connection(&error) => {
                log::debug!("a connection failed before it was accepted: {error}");
            }
            Err(error) => {
                complaints.of_accepting(&error);
                let pause = async {
                    Timer::after(ACCEPT_PAUSE).await;
                };
                future::or(pause, closed(&shutdown)).await;
            }
        }
    }
    // From here on the system refuses connections, and resets those in its queue.
    drop(listeners);
    drop(alive);
    wait_for_all(&all_ended, tasks).await;
}

/// Waits until all connections have ended, or drops their tasks when the time is over.
async fn wait_for_all(all_ended: &Receiver<Infallible>, tasks: Vec<Task<()>>) {
    let ended = async {
        closed(all_ended).await;
        true
    };
    let deadline = async {
        Timer::after(SHUTDOWN_TIME).await;
        false
    };
    if !future::or(ended, deadline).await {
        let count = all_ended.sender_count();
        log::warn!("{count} connections have not ended within {SHUTDOWN_TIME:?} and are abandoned");
        // They hold the handler. The caller wants it to end too.
        drop(tasks);
        closed(all_ended).await;
    }
}

/// The next connection; `None` after the shutdown.
async fn accept(
    listeners: &mut Listeners,
    shutdown: &Receiver<Infallible>,
) -> Option<io::Result<(Async<TcpStream>, SocketAddr)>> {
    let shut_down = async {
        closed(shutdown).await;
        None
    };
    let accepted = async { Some(listeners.accept().await) };
    future::or(shut_down, accepted).await
}

/// Whether the error is about one connection only, so that the next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection that was accepted.
struct AcceptedClient {
    tcp: Async<TcpStream>,
    from: SocketAddr,
    security: Security,
    complaints: Arc<Complaints>,
    limits: Arc<Limits>,
    shutdown: Receiver<Infallible>,
    bodies: Bodies,
}

/// Gives the connection a task, unless there are too many. The connection ends if the task is dropped. `alive`
/// is held as long as the connection lives.
fn admit<H: Handler>(
    executor: &Executor<'_>,
    client: AcceptedClient,
    alive: Sender<Infallible>,
    handler: &Arc<H>,
) -> Option<Task<()>> {
    // One sender for each connection, with this one, and one of the accept loop.
    let connections = alive.sender_count() - 1;
    let AcceptedClient { from, limits, .. } = &client;
    let from = *from;
    if let Err(error) = client.tcp.get_ref().set_nodelay(true) {
        log::debug!("{from}: TCP_NODELAY cannot be set: {error}");
    }
    if connections > limits.connections + RESERVED {
        log::debug!("{from}: closed, there are {connections} connections");
        return None;
    }
    let is_reserved = connections > limits.connections;
    let conversation = Box::pin(converse(client, handler.clone(), is_reserved));
    Some(executor.spawn(async move {
        // A task that takes the connection over may run for long. The memory of the conversation is free by
        // then.
        let all = async {
            if let Some(task) = conversation.await {
                task.await;
            }
        };
        if AssertUnwindSafe(all).catch_unwind().await.is_err() {
            log::error!("{from}: closed, because what was done for it ended in a panic (a bug)");
        }
        drop(alive);
    }))
}

/// Answers the requests of a client. Returns the task that takes the connection over, if there is one.
async fn converse<H: Handler>(
    client: AcceptedClient,
    handler: Arc<H>,
    is_reserved: bool,
) -> Option<stream::TakeoverTask> {
    let AcceptedClient { tcp, from, security, complaints, limits, shutdown, bodies } = client;
    let time = if is_reserved { RESERVED_TIME } else { limits.header_time };
    let accepted = security.accept(tcp, time);
    let accepted = future::or(async { Some(accepted.await) }, async {
        closed(&shutdown).await;
        None
    });
    let (stream, is_refused) = match accepted.await {
        Some(Ok(stream)) => (stream, false),
        Some(Err(Refused::NoTls(stream))) => (stream, true),
        Some(Err(Refused::Failed(error))) => {
            complaints.of_handshake(from, &error);
            return None;
        }
        None => return None,
    };
    let shut_down = pin!(shutdown.recv());
    let connection =
        Connection::new(stream, from, &limits, &shutdown, shut_down, is_reserved, &bodies);
    let end = if is_refused {
        complaints.of_no_tls(from);
        let detail = "this node speaks TLS only: use https://, and wss:// for peers";
        connection.refuse(HttpError::new(400, detail)).await
    } else {
        connection.converse(&*handler).await
    };
    match end {
        ConnectionEnd::SpeaksTls => complaints.of_tls(from),
        ConnectionEnd::BrokenOff(why) => log::log!(why.level(), "{from}: {end}"),
        _ => log::debug!("{from}: {end}"),
    }
    if let ConnectionEnd::TakenOver(task) = end { Some(task) } else { None }
}

#[cfg(test)]
mod tests;
