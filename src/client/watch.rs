//! `watch`: prints a part now, and whenever it changes.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use smol::Timer;
use smol::future::FutureExt;

use super::event_decoder::{EventDecoder, ReceivedEvent};
use super::export::target;
use super::failure::CommandResult;
use super::nodes::Nodes;
use super::printing::{Printed, formatted, print};
use crate::backoff::Backoff;
use crate::blocking::unblock;
use crate::config::PrintForm;
use crate::patch::{Document, parse};
use crate::remote::{NodeRequest, RemoteNode};

/// How long a stream may be silent. A node sends something every 15 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// Prints a part, a line for each change, until nobody reads standard output any more.
pub async fn watch(
    nodes: &mut Nodes,
    pointer: &str,
    form: PrintForm,
    tell: &mut dyn FnMut(&str),
) -> CommandResult {
    let unread = async {
        unblock(hang_up).await;
        Ok(())
    };
    watch_on(nodes, pointer, form, tell).or(unread).await
}

async fn watch_on(
    nodes: &mut Nodes,
    pointer: &str,
    form: PrintForm,
    tell: &mut dyn FnMut(&str),
) -> CommandResult {
    let target = target(pointer, false);
    let (mut view, mut backoff) = (WatchedPart::default(), Backoff::default());
    loop {
        let begun = Instant::now();
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(view.last.as_deref().map(|last| ("Last-Event-ID", last)));
        let head =
            nodes.open(&NodeRequest { headers: &headers, ..NodeRequest::get(&target) }).await?;
        if head.status != 200 {
            return Err(nodes.refusal(head).await);
        }
        // A node that was reached once is waited for.
        nodes.is_patient = true;
        let mut show = |part: Option<&Document>| match part {
            Some(part) => print(&formatted(part.root(), form)),
            None => {
                tell(&format!("there is nothing at {pointer:?}"));
                Ok(ControlFlow::Continue(()))
            }
        };
        let Ended { why, has_come } = match follow(nodes.node(), &mut view, &mut show).await? {
            ControlFlow::Continue(ended) => ended,
            ControlFlow::Break(()) => return Ok(()),
        };
        tell(&format!("{why}; trying again"));
        // The same node continues where its stream ended. Another node may be behind it.
        if !has_come {
            nodes.turn();
        }
        Timer::after(backoff.after(begun.elapsed(), fastrand::f64())).await;
    }
}

/// How a stream has ended.
struct Ended {
    why: String,
    /// Whether it has brought anything.
    has_come: bool,
}

/// Shows the values in the stream of a node, and returns why the stream has ended; a break if nobody reads any
/// more.
async fn follow(
    node: &mut RemoteNode,
    view: &mut WatchedPart,
    show: &mut dyn FnMut(Option<&Document>) -> Printed,
) -> CommandResult<ControlFlow<(), Ended>> {
    let mut events = EventDecoder::default();
    let mut has_come = false;
    let why = 'stream: loop {
        let piece = match node.piece(SILENCE_LIMIT).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break format!("{}: the stream has ended", node.address()),
            Err(fault) => break fault.to_string(),
        };
        has_come = true;
        if let Err(why) = events.push(&piece) {
            break format!("{}: {why}", node.address());
        }
        while let Some(event) = events.pop() {
            match view.take(event) {
                Ok(false) => {}
                Ok(true) if show(view.part.as_ref())?.is_break() => {
                    return Ok(ControlFlow::Break(()));
                }
                Ok(true) => {}
                Err(why) => {
                    // The next stream begins anew.
                    view.last = None;
                    break 'stream format!("{}: {why}", node.address());
                }
            }
        }
    };
    Ok(ControlFlow::Continue(Ended { why, has_come }))
}

/// Waits until nobody can read standard output any more. A file can always be read.
fn hang_up() {
    let stdout = io::stdout();
    loop {
        // That it is closed is reported in any case.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            Ok(_) if !polled[0].revents().is_empty() => return,
            // Polling does not work here. The next write will tell.
            _ => std::thread::park(),
        }
    }
}

/// What is known of the part that is watched.
#[derive(Debug, Default)]
struct WatchedPart {
    /// The id of the last event.
    last: Option<String>,
    /// The part; none if there is nothing, or nothing is known yet.
    part: Option<Document>,
    /// Whether anything is known.
    is_known: bool,
}

impl WatchedPart {
    /// Takes an event. Returns whether the part has changed.
    fn take(&mut self, event: ReceivedEvent) -> Result<bool, String> {
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
            // The stream has no news up to this id.
            "" if data.is_empty() => {
                self.last = event.id.or(self.last.take());
                return Ok(false);
            }
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
        let mut view = WatchedPart::default();
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
            ("", "y.10", "", Ok(Some(false))),
        ] {
            let last = view.last.clone();
            let event = ReceivedEvent {
                kind: kind.into(),
                id: Some(id.into()),
                data: data.as_bytes().to_vec(),
            };
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
