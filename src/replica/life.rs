//! The sources by which a node stamps.

use crate::source::{Source, SourceError};

/// The current life of a node's journal, and those before it of this process.
#[derive(Clone, Debug)]
pub struct Life {
    source: Source,
    stamper: Source,
    former: Vec<Source>,
}

impl Life {
    /// A life of this source.
    ///
    /// # Errors
    /// If the source has no room for the one of its stamps.
    pub fn new(source: Source) -> Result<Self, SourceError> {
        let stamper = source.stamper()?;
        Ok(Self { source, stamper, former: Vec::new() })
    }

    /// Goes on as another life.
    ///
    /// # Errors
    /// If the source has no room for the one of its stamps.
    pub fn begin(&mut self, source: Source) -> Result<(), SourceError> {
        self.stamper = source.stamper()?;
        self.former.push(std::mem::replace(&mut self.source, source));
        Ok(())
    }

    /// The source of the transactions that this node creates.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The source by which it stamps the transactions of others.
    pub fn stamper(&self) -> &Source {
        &self.stamper
    }

    /// Whether this node may stamp a transaction of `source`: not if it can only have been created with a time, nor
    /// if `source` is a former life of this node.
    pub fn may_stamp(&self, source: &Source) -> bool {
        !source.is_reserved() && !self.former.contains(source)
    }
}
