//! patchmesh

pub mod clock;
pub mod source;
pub mod transaction;
