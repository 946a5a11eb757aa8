//! `set`, `merge`, `patch` and `remove`: one transaction.

use super::failure::{CommandFailure, CommandResult, problem_kind};
use super::input;
use super::nodes::Nodes;
use super::printing::print;
use super::writer::{JSON_PATCH, MERGE_PATCH, TransactionWriter, WriteRequest};
use crate::config::{Exit, Write, WriteKind};
use crate::document::Value;
use crate::patch::{Operation, Patch, PointerBuf};

/// How often a write is tried again if others change the part meanwhile.
pub const TRIES: usize = 10;

/// Sends a transaction, and prints its name.
pub async fn write(nodes: &mut Nodes, write: &Write) -> CommandResult {
    let Write { pointer, change, is_committed } = write;
    let mut writer = TransactionWriter::new();
    let is_committed = *is_committed;
    match change {
        WriteKind::Set(input) => {
            let value = input::read(input)?.value()?;
            set(nodes, &mut writer, pointer, value, is_committed).await?;
        }
        WriteKind::Merge(input) => {
            let body = input::read(input)?.value()?.to_text();
            let request = WriteRequest::new(pointer, MERGE_PATCH, &body, is_committed);
            writer.write(nodes, request).await?;
        }
        WriteKind::Patch(input) => {
            let body = input::read(input)?.patch()?;
            let request = WriteRequest::new(pointer, JSON_PATCH, &body, is_committed);
            writer.write(nodes, request).await?;
        }
        WriteKind::Remove => {
            let body = text_of(Operation::Remove { path: parsed(pointer)? });
            let request = WriteRequest::new("", JSON_PATCH, &body, is_committed);
            let answer = writer.send(nodes, request).await?;
            if !matches!(answer.head.status, 200..=299) {
                let mut failure = CommandFailure::of(nodes.node().address(), &answer);
                // The only operation does not apply if there is nothing to remove.
                let is_absent = problem_kind(&answer) == "/problems/does-not-apply";
                if is_absent && !pointer.is_empty() {
                    failure.exit = Exit::NotFound;
                }
                return Err(failure);
            }
        }
    }
    print(&writer.name()).map(|_| ())
}

/// A pointer that the command line has checked.
pub fn parsed(pointer: &str) -> CommandResult<PointerBuf> {
    PointerBuf::parse(pointer.to_owned())
        .map_err(|_| CommandFailure::failed(format_args!("{pointer:?} is not a JSON Pointer")))
}

/// Sets a part to a value. A member is added, which replaces an existing one. In an array `add` would insert
/// the value before the existing element; so if the last token is a number, the part is replaced if it is
/// there, and added if it is not.
async fn set(
    nodes: &mut Nodes,
    writer: &mut TransactionWriter,
    pointer: &str,
    value: Value,
    is_committed: bool,
) -> CommandResult {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    if last.is_empty() || !last.bytes().all(|byte| byte.is_ascii_digit()) {
        let body = text_of(Operation::Add { path: parsed(pointer)?, value });
        return writer.write(nodes, WriteRequest::new("", JSON_PATCH, &body, is_committed)).await;
    }
    let replace = Operation::Replace { path: parsed("")?, value: value.clone() };
    let ways = [
        (("If-Match", "*"), text_of(replace)),
        (("If-None-Match", "*"), text_of(Operation::Add { path: parsed("")?, value })),
    ];
    for (condition, body) in ways.iter().cycle().take(ways.len() * TRIES) {
        let request = WriteRequest::new(pointer, JSON_PATCH, body, is_committed);
        let request = WriteRequest { condition: Some(*condition), ..request };
        let answer = writer.send(nodes, request).await?;
        match answer.head.status {
            200..=299 => return Ok(()),
            412 => {}
            _ => return Err(CommandFailure::of(nodes.node().address(), &answer)),
        }
    }
    Err(CommandFailure::new(
        Exit::DoesNotApply,
        format_args!("{pointer:?} comes and goes; nothing was changed"),
    ))
}

fn text_of(operation: Operation) -> Vec<u8> {
    serde_json::to_vec(&Patch(vec![operation])).expect("a patch always has a JSON text")
}
