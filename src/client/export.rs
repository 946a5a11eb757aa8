//! `get` and `export`: read a part from a node.

use std::path::Path;

use super::failure::{CommandFailure, CommandResult};
use super::nodes::{Nodes, PATIENCE};
use super::printing::{Destination, formatted};
use crate::config::{Exit, PrintForm};
use crate::document::Value;
use crate::progress::{Progress, Unit};
use crate::remote::{NodeRequest, RemoteNode, percent_encoded};

/// Prints a part.
pub async fn get(
    nodes: &mut Nodes,
    pointer: &str,
    is_committed: bool,
    form: PrintForm,
) -> CommandResult {
    copy(nodes, pointer, is_committed, form, &mut Destination::Standard).await
}

/// Writes a part to a file, which appears only when it is complete, or to standard output.
pub async fn export(
    nodes: &mut Nodes,
    pointer: &str,
    is_committed: bool,
    form: PrintForm,
    path: Option<&Path>,
) -> CommandResult {
    let Some(path) = path else {
        return get(nodes, pointer, is_committed, form).await;
    };
    let mut output = Destination::at(path)?;
    copy(nodes, pointer, is_committed, form, &mut output).await?;
    output.finish()
}

/// The value of a part.
pub async fn value(nodes: &mut Nodes, pointer: &str) -> CommandResult<Value> {
    tagged(nodes, pointer).await.map(|(value, _)| value)
}

/// The value of a part, and its ETag.
pub async fn tagged(nodes: &mut Nodes, pointer: &str) -> CommandResult<(Value, String)> {
    let head = nodes.open(&NodeRequest::get(&target(pointer, false))).await?;
    if head.status != 200 {
        return Err(nodes.refusal(head).await);
    }
    let tag = head.header("ETag").unwrap_or_default().to_owned();
    Ok((rest(nodes.node()).await?, tag))
}

/// The value in a node's answer.
async fn rest(node: &mut RemoteNode) -> CommandResult<Value> {
    let body = node.rest(PATIENCE).await;
    let body = body.map_err(|fault| CommandFailure::new(Exit::Unreachable, fault))?;
    serde_json::from_slice(&body).map_err(|error| {
        CommandFailure::failed(format_args!(
            "{}: what it answers is no JSON: {error}",
            node.address()
        ))
    })
}

/// The request target at which a part is read and written.
pub fn target(pointer: &str, is_committed: bool) -> String {
    let query = if is_committed { "?at=committed" } else { "" };
    format!("/get{}{query}", percent_encoded(pointer))
}

/// Writes a part in this form: compact piece by piece as it comes, or formatted as a whole.
async fn copy(
    nodes: &mut Nodes,
    pointer: &str,
    is_committed: bool,
    form: PrintForm,
    output: &mut Destination<'_>,
) -> CommandResult {
    let head = nodes.open(&NodeRequest::get(&target(pointer, is_committed))).await?;
    if head.status != 200 {
        return Err(nodes.refusal(head).await);
    }
    let node = nodes.node();
    if form != PrintForm::Compact {
        return output.write(&formatted(&rest(node).await?, form)).map(|_| ());
    }
    let broken = |fault| CommandFailure::new(Exit::Unreachable, fault);
    // On a terminal the user sees the part itself.
    let mut progress = (!output.is_terminal()).then(|| Progress::new("read", Unit::Bytes));
    if let Some(length) = head.header("Content-Length").and_then(|length| length.parse().ok()) {
        progress = progress.map(|progress| progress.of(length));
    }
    while let Some(piece) = node.piece(PATIENCE).await.map_err(broken)? {
        if output.write(&piece)?.is_break() {
            break;
        }
        if let Some(progress) = &mut progress {
            progress.advance(piece.len() as u64);
        }
    }
    Ok(())
}
