//! The command line as a client of running nodes: get, set, merge, patch, edit, remove, watch, import, export,
//! status and wait.
//!
//! What one node does not answer is asked of the next one, until the time is over. So that this is right for
//! writes too, each names its transaction, which has its effect once, however often and wherever it is sent. What is printed on standard output is for programs; all else is told to a person.

mod difference;
mod edit;
mod events;
mod failure;
mod import;
mod input;
mod nodes;
mod output;
mod read;
mod status;
mod wait;
mod watch;
mod write;
mod writer;

use crate::config::{ClientCommand, Order};
use nodes::Nodes;

pub use failure::Failure;

/// Does what a command asks. What a person should know meanwhile is `told`.
///
/// # Errors
/// If it cannot be done; why.
pub async fn run(command: &ClientCommand, told: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let ClientCommand { nodes: remotes, order, timeout } = command;
    let mut nodes = Nodes::new(remotes, *timeout)?;
    match order {
        Order::Get { pointer, is_committed, form } => {
            read::get(&mut nodes, pointer, *is_committed, *form).await
        }
        Order::Export { pointer, file, is_committed, form } => {
            let file = file.as_deref();
            read::export(&mut nodes, pointer, *is_committed, *form, file).await
        }
        Order::Write(write) => write::write(&mut nodes, write).await,
        Order::Edit { pointer, is_committed } => {
            edit::edit(&mut nodes, pointer, *is_committed, told).await
        }
        Order::Watch { pointer, form } => watch::watch(&mut nodes, pointer, *form, told).await,
        Order::Import { pointer, input, is_committed } => {
            import::import(&mut nodes, pointer, input, *is_committed).await
        }
        Order::Status { is_json } => status::status(nodes, *is_json).await,
        Order::Wait { transaction, is_committed } => {
            let transaction = transaction.as_ref().map(|(source, id)| (source.as_str(), *id));
            wait::wait(nodes, transaction, *is_committed).await
        }
    }
}
