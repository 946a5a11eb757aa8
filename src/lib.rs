//! patchmesh

pub mod clock;
pub mod journal;
pub mod manager;
pub mod patch;
pub mod replica;
pub mod source;
pub mod transaction;
