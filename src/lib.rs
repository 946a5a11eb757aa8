//! patchmesh

pub mod clock;
pub mod config;
pub mod downstream;
pub mod http;
pub mod journal;
pub mod manager;
pub mod node;
pub mod patch;
pub mod replica;
pub mod routes;
pub mod server;
pub mod source;
pub mod transaction;
pub mod upstream;
pub mod websocket;
