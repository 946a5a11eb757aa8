//! patchmesh

pub mod clock;
pub mod patch;
pub mod source;
pub mod transaction;
