//! `set`, `merge`, `patch` and `remove`: one transaction.

use super::failure::{Failure, problem_kind};
use super::input;
use super::nodes::{Nodes, PATIENCE};
use super::output::print;
use super::read::target;
use super::writer::{JSON_PATCH, MERGE_PATCH, Sent, Writer};
use crate::config::{Change, Exit, Write};
use crate::document::Value;
use crate::patch::{Operation, Patch, PointerBuf};
use crate::remote::Request;

/// Sends a transaction, and prints what it is called.
pub async fn write(nodes: &mut Nodes, write: &Write) -> Result<(), Failure> {
    let Write { pointer, change, is_committed } = write;
    let mut writer = Writer::new();
    let is_committed = *is_committed;
    match change {
        Change::Set(input) => {
            let value = input::read(input)?.value()?;
            let body = text_of(setting(nodes, pointer, value).await?);
            let sent = Sent { pointer: "", media_type: JSON_PATCH, body: &body, is_committed };
            writer.write(nodes, sent).await?;
        }
        Change::Merge(input) => {
            let body = input::read(input)?.value()?.to_text();
            let sent = Sent { pointer, media_type: MERGE_PATCH, body: &body, is_committed };
            writer.write(nodes, sent).await?;
        }
        Change::Patch(input) => {
            let body = input::read(input)?.patch()?;
            let sent = Sent { pointer, media_type: JSON_PATCH, body: &body, is_committed };
            writer.write(nodes, sent).await?;
        }
        Change::Remove => {
            let body = text_of(Operation::Remove { path: parsed(pointer)? });
            let sent = Sent { pointer: "", media_type: JSON_PATCH, body: &body, is_committed };
            let answer = writer.send(nodes, sent).await?;
            if !matches!(answer.head.status, 200..=299) {
                let mut failure = Failure::of(nodes.node().address(), &answer);
                // The one operation does not apply if there is nothing to remove.
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
pub fn parsed(pointer: &str) -> Result<PointerBuf, Failure> {
    PointerBuf::parse(pointer.to_owned())
        .map_err(|_| Failure::failed(format_args!("{pointer:?} is not a JSON Pointer")))
}

/// What sets a part to a value. A member is added, which replaces one that is there. In an array that would
/// push the element there behind the new one, so what may be an element is looked for first.
async fn setting(nodes: &mut Nodes, pointer: &str, value: Value) -> Result<Operation, Failure> {
    let path = parsed(pointer)?;
    let last = pointer.rsplit('/').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        let target = target(pointer, false);
        let request = Request { method: "HEAD", ..Request::get(&target) };
        let answer = nodes.request(&request, PATIENCE).await?;
        match answer.head.status {
            200 => return Ok(Operation::Replace { path, value }),
            404 => {}
            _ => return Err(Failure::of(nodes.node().address(), &answer)),
        }
    }
    Ok(Operation::Add { path, value })
}

fn text_of(operation: Operation) -> Vec<u8> {
    serde_json::to_vec(&Patch(vec![operation])).expect("a patch always has a JSON text")
}
