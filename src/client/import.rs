//! `import`: a document of any size, in as many transactions as it takes.

use super::change::parsed;
use super::failure::{CommandFailure, CommandResult};
use super::input;
use super::nodes::Nodes;
use super::printing::print;
use super::writer::{JSON_PATCH, TransactionWriter, WriteRequest};
use crate::config::Input;
use crate::patch::{Cut, MAX_DEPTH, MAX_WEIGHT, parse};
use crate::progress::{Progress, Unit};
use crate::transaction::MAX_PAYLOAD_BYTES;

/// The size of one transaction: large enough that few are needed, and small enough that other writers have
/// their turn.
const PIECE_BYTES: usize = 256 << 10;

/// Sets a part to the value in a file, piece by piece, and prints the name of the last transaction.
pub async fn import(
    nodes: &mut Nodes,
    pointer: &str,
    input: &Input,
    is_committed: bool,
) -> CommandResult {
    let value = input::read(input)?.value()?;
    let at = parsed(pointer)?;
    if value.depth() + at.count() > MAX_DEPTH {
        return Err(CommandFailure::failed(format_args!(
            "this is {} arrays and objects deep at {pointer:?}, and a document at most {MAX_DEPTH}; nothing was sent",
            value.depth() + at.count()
        )));
    }
    if value.weight() > MAX_WEIGHT {
        return Err(CommandFailure::failed(
            "this is larger than a document can be; nothing was sent",
        ));
    }
    let (mut count, mut bytes) = (0_u64, 0);
    for patch in Cut::whole(value.clone(), &at, PIECE_BYTES) {
        check(&patch)?;
        (count, bytes) = (count + 1, bytes + patch.len() as u64);
    }
    let mut progress = Progress::new("import", Unit::Bytes).of(bytes);
    let mut writer = TransactionWriter::new();
    for (number, patch) in (1..).zip(Cut::whole(value, &at, PIECE_BYTES)) {
        // All others are before the last one, and so final too.
        let is_committed = is_committed && number == count;
        let request = WriteRequest::new("", JSON_PATCH, patch.as_bytes(), is_committed);
        writer.write(nodes, request).await.map_err(|mut failure| {
            if number > 1 {
                let before = number - 1;
                let done = format!("; {before} of {count} transactions are done: import it again");
                failure.text.push_str(&done);
            }
            failure
        })?;
        progress.advance(patch.len() as u64);
    }
    drop(progress);
    print(&writer.name()).map(|_| ())
}

/// Checks that a node can take a patch.
fn check(patch: &str) -> CommandResult {
    if patch.len() <= MAX_PAYLOAD_BYTES {
        return Ok(());
    }
    let parsed = parse(patch).ok();
    let path = parsed.as_ref().and_then(|patch| patch.0.first()).map(|operation| operation.path());
    Err(CommandFailure::failed(format_args!(
        "the value at {:?} has {} bytes and cannot be cut, and a transaction has at most {MAX_PAYLOAD_BYTES}; \
         nothing was sent",
        path.map(|path| path.as_str()).unwrap_or_default(),
        patch.len()
    )))
}
