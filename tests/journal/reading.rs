//! Reads a journal's files through, in the way that a start does.

use patchmesh::internals::journal::{Extent, FileReader, OpenError, read_through};
use patchmesh::internals::transaction::Transaction;

/// How far the journal goes, and its transactions from the position of the last mark on.
pub fn collect(reader: &FileReader) -> Result<(Extent, Vec<Transaction>), OpenError> {
    let mut transactions = Vec::new();
    let extent = read_through(reader, &mut |_, batch| {
        transactions.extend(batch);
        Ok(())
    })?;
    Ok((extent, transactions))
}
