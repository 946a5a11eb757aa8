//! `watch`: a part now, and then whenever it changes.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use smol::Timer;

use super::events::{Event, Events};
use super::failure::{Failure, Kind};
use super::nodes::{Nodes, PATIENCE};
use super::output::{Printed, formatted, print};
use super::read::target;
use crate::backoff::Backoff;
use crate::config::Form;
use crate::patch::{Document, parse};
use crate::remote::Request;

/// How long a stream may be silent. A node says something every 15 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// Prints a part, a line each time that it is another one, until nobody reads that any more.
pub async fn watch(
    nodes: &mut Nodes,
    pointer: &str,
    form: Form,
    told: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let mut view = View::default();
    let mut backoff = Backoff::default();
    // Since when no node is reached, and whether that was told.
    let (mut lost, mut is_told) = (Instant::now(), false);
    loop {
        let (begun, mut is_reached) = (Instant::now(), false);
        let mut show = |part: Option<&Document>| match part {
            Some(part) => print(&formatted(part.root(), form)),
            None => {
                told(&format!("there is nothing at {pointer:?}"));
                Ok(ControlFlow::Continue(()))
            }
        };
        let why = match follow(nodes, pointer, &mut view, &mut is_reached, &mut show).await {
            Ok(why) => why,
            Err(End::Gone) => return Ok(()),
            Err(End::Failed(failure)) => return Err(failure),
        };
        let mut lasted = Duration::ZERO;
        if is_reached {
            (lost, is_told, lasted) = (Instant::now(), false, begun.elapsed());
        } else if lost.elapsed() >= nodes.timeout {
            return Err(Failure::new(Kind::Unreachable, why));
        }
        if !is_told {
            told(&format!("{why}; trying again"));
            is_told = true;
        }
        nodes.turn();
        Timer::after(backoff.after(lasted, fastrand::f64())).await;
    }
}

/// Why nothing more is to be printed.
enum End {
    /// Nobody reads it.
    Gone,
    /// No node will tell more.
    Failed(Failure),
}

/// Follows the stream of one node, and says why it has ended.
async fn follow(
    nodes: &mut Nodes,
    pointer: &str,
    view: &mut View,
    is_reached: &mut bool,
    show: &mut dyn FnMut(Option<&Document>) -> Printed,
) -> Result<String, End> {
    let target = target(pointer, false);
    let mut headers = vec![("Accept", "text/event-stream")];
    let last = view.last.clone();
    headers.extend(last.as_deref().map(|last| ("Last-Event-ID", last)));
    let request = Request { headers: &headers, ..Request::get(&target) };
    let node = nodes.node();
    let head = match node.ask(&request, PATIENCE).await {
        Ok(head) => head,
        Err(fault) => return Ok(fault.to_string()),
    };
    if head.status != 200 {
        let status = head.status;
        let failure = nodes.refusal(head).await;
        let is_passing = status == 429 || status >= 500;
        return if is_passing { Ok(failure.text) } else { Err(End::Failed(failure)) };
    }
    *is_reached = true;
    let mut events = Events::default();
    loop {
        let wrong = |node: &crate::remote::Node, why: &str| format!("{}: {why}", node.address());
        let piece = match node.piece(SILENCE_LIMIT).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(wrong(node, "the stream has ended")),
            Err(fault) => return Ok(fault.to_string()),
        };
        if let Err(why) = events.push(&piece) {
            return Ok(wrong(node, why));
        }
        while let Some(event) = events.pop() {
            match view.take(event) {
                Ok(true) => match show(view.part.as_ref()) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Err(End::Gone),
                    Err(failure) => return Err(End::Failed(failure)),
                },
                Ok(false) => {}
                Err(why) => {
                    // From the beginning.
                    view.last = None;
                    return Ok(wrong(node, &why));
                }
            }
        }
    }
}

/// What is known of a part.
#[derive(Debug, Default)]
struct View {
    /// The id of the last event.
    last: Option<String>,
    /// The part; none if there is nothing, or nothing is known yet.
    part: Option<Document>,
    /// Whether anything is known.
    is_known: bool,
}

impl View {
    /// Takes an event, and says whether the part is another one than before.
    fn take(&mut self, event: Event) -> Result<bool, String> {
        let data = str::from_utf8(&event.data).map_err(|error| error.to_string())?;
        let part = match event.kind.as_str() {
            "put" => {
                let value: crate::document::Value = serde_json::from_str(data)
                    .map_err(|error| format!("it sends what is no JSON: {error}"))?;
                let part = Document::new(value);
                Some(part.ok_or("it sends what is larger than a document can be")?)
            }
            "patch" => {
                let mut part = self.part.clone().ok_or("it sends a change of nothing")?;
                let applied = parse(data).and_then(|patch| part.apply(patch).map(drop));
                applied
                    .map_err(|error| format!("it sends a change that does not apply: {error}"))?;
                Some(part)
            }
            "gone" => None,
            _ => return Ok(false),
        };
        self.last = event.id.or(self.last.take());
        let is_new = !std::mem::replace(&mut self.is_known, true) || part != self.part;
        self.part = part;
        Ok(is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_tells_what_is_new() {
        let mut view = View::default();
        for (kind, id, data, expected) in [
            ("patch", "x.0", "[]", Err("a change of nothing")),
            ("put", "x.1", r#"{"n":1}"#, Ok(Some(true))),
            ("put", "y.1", r#"{"n": 1}"#, Ok(Some(false))),
            ("put", "y.2", r#"{"n":1.0}"#, Ok(Some(true))),
            ("patch", "y.3", r#"[{"op":"replace","path":"/n","value":2}]"#, Ok(Some(true))),
            ("patch", "y.4", r#"[{"op":"add","path":"/n","value":2}]"#, Ok(Some(false))),
            ("patch", "y.5", r#"[{"op":"remove","path":"/m"}]"#, Err("does not apply")),
            ("hello", "y.5", "", Ok(None)),
            ("put", "y.6", "{", Err("no JSON")),
            ("gone", "y.7", "", Ok(Some(true))),
            ("gone", "y.8", "", Ok(Some(false))),
            ("put", "y.9", "null", Ok(Some(true))),
        ] {
            let last = view.last.clone();
            let event =
                Event { kind: kind.into(), id: Some(id.into()), data: data.as_bytes().to_vec() };
            match (view.take(event), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected.unwrap_or_default(), "{id}");
                    let expected = expected.map(|_| id.to_owned()).or(last);
                    assert_eq!(view.last, expected, "{id}");
                }
                (Err(why), Err(part)) => {
                    assert!(why.contains(part), "{why}");
                    assert_eq!(view.last, last, "{id}");
                }
                (found, _) => panic!("{id}: {found:?}"),
            }
        }
    }
}
