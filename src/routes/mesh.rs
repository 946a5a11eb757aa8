//! `/mesh`: the last reports of all nodes of the mesh.

use serde::Serialize;

use super::{Routes, json};
use crate::http::Response;
use crate::mesh::members::Report;
use crate::source::Source;

#[derive(Serialize)]
struct ShownMesh<'a> {
    /// This node.
    node: &'a Source,
    /// This one first, then the others by their names.
    nodes: Vec<ShownMember<'a>>,
}

#[derive(Serialize)]
struct ShownMember<'a> {
    /// How old its report is.
    told_ms: u64,
    #[serde(flatten)]
    report: &'a Report,
}

/// Answers a `GET`.
pub async fn list(routes: &Routes) -> Response {
    let own = routes.gossip.report().await;
    let others = routes.gossip.others();
    let others = others.iter().filter(|other| other.report.node != own.node);
    let others = others.map(|other| ShownMember { told_ms: other.told_ms, report: &other.report });
    let nodes = std::iter::once(ShownMember { told_ms: 0, report: &own }).chain(others).collect();
    json(&ShownMesh { node: &own.node, nodes })
}
