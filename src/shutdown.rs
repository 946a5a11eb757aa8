//! How the parts of a node learn that it stops: a channel through which nothing is sent is closed.

use std::convert::Infallible;

use async_channel::{Receiver, RecvError};

/// Waits until the channel is closed.
pub async fn closed(channel: &Receiver<Infallible>) {
    let Err(RecvError) = channel.recv().await;
}
