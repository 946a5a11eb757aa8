//! What users of the interface read and write on real nodes, as it changes: one file a family of claims, each test
//! one claim.

mod committed;
mod conditions;
mod events;
mod forms;
mod limits;
mod merge;
mod node;
mod openapi;
mod origins;
mod past;
mod peer;
mod peers;
mod tokens;
mod wait;
