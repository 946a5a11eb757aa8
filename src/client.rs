//! The command line as a client of running nodes: get, set, merge, patch, edit, remove, watch, import, export,
//! status and wait.
//!
//! If one node does not answer, the next one is asked, until the time is over. So that this is right for writes
//! too, each names its transaction, which has its effect once, however often and wherever it is sent. Standard
//! output is for programs; everything else is told to a person.

mod change;
mod edit;
mod edit_patch;
mod event_decoder;
mod export;
mod failure;
mod import;
mod input;
mod nodes;
mod printing;
mod status;
mod wait;
mod watch;
mod writer;

use crate::config::{ClientCommand, ClientOrder};
use nodes::Nodes;

pub use failure::CommandResult;

/// Runs a command. `tell` gets what a person should know meanwhile.
///
/// # Errors
/// Why it cannot be done.
pub async fn run(command: &ClientCommand, tell: &mut dyn FnMut(&str)) -> CommandResult {
    let ClientCommand { nodes: remotes, order, timeout } = command;
    let mut nodes = Nodes::new(remotes, *timeout)?;
    match order {
        ClientOrder::Get { pointer, is_committed, form } => {
            export::get(&mut nodes, pointer, *is_committed, *form).await
        }
        ClientOrder::Export { pointer, file, is_committed, form } => {
            let file = file.as_deref();
            export::export(&mut nodes, pointer, *is_committed, *form, file).await
        }
        ClientOrder::Write(write) => change::write(&mut nodes, write).await,
        ClientOrder::Edit { pointer, is_committed } => {
            edit::edit(&mut nodes, pointer, *is_committed, tell).await
        }
        ClientOrder::Watch { pointer, form } => {
            watch::watch(&mut nodes, pointer, *form, tell).await
        }
        ClientOrder::Import { pointer, input, is_committed } => {
            import::import(&mut nodes, pointer, input, *is_committed).await
        }
        ClientOrder::Status { is_json } => status::status(nodes, *is_json).await,
        ClientOrder::Wait { transaction, is_committed } => {
            let transaction = transaction.as_ref().map(|(source, id)| (source.as_str(), *id));
            wait::wait(nodes, transaction, *is_committed).await
        }
    }
}
