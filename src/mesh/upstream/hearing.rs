//! Which peers this node has read to the end of their journals.

use super::upstream_status::UpstreamStatus;
use crate::commit::PeersHeard;
use crate::manager::Hearing;

/// What the statuses of all upstreams say about that. A peer counts unless it is plain or is this node
/// itself. If it has not answered yet, that is not known, so it counts. A peer can be reached if the last
/// completed try led to a stream, however that stream ended.
pub fn hearing(upstreams: &[UpstreamStatus]) -> Hearing {
    let counted = || upstreams.iter().filter(|upstream| !upstream.is_left_aside);
    let unread = || counted().filter(|upstream| !upstream.read_to_end);
    let is_one_read = counted().any(|upstream| upstream.read_to_end);
    let heard = if unread().next().is_none() {
        PeersHeard::All
    } else if is_one_read && unread().all(|upstream| upstream.is_reached == Some(false)) {
        PeersHeard::Reachable
    } else {
        PeersHeard::Less
    };
    Hearing { heard, unread: unread().map(|upstream| upstream.named().to_string()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    /// A peer after these events. `x`: a try failed. `c`: a stream began. `p`: a stream from a plain node
    /// began. `i`: a stream from this node itself began. `e`: the journal was read to its end. `l`: the
    /// stream was lost.
    fn peer(happened: &str) -> UpstreamStatus {
        let now = Time::from_micros(1).unwrap();
        let mut status = UpstreamStatus::new("a:1".into(), now);
        for event in happened.chars() {
            match event {
                'c' | 'p' | 'i' => {
                    status.begin(None, now);
                    status.is_left_aside = event != 'c';
                }
                'e' => status.read_to_end = true,
                'x' => {
                    status.is_reached = Some(false);
                    status.fail("refused".into(), None, now);
                }
                _ => status.fail("lost".into(), None, now),
            }
        }
        status
    }

    #[test]
    fn hearing_follows_from_the_events_of_each_peer() {
        use PeersHeard::{All, Less, Reachable};
        let table: [(&[&str], PeersHeard, usize); 19] = [
            (&[], All, 0),
            (&["p", "pl", "i"], All, 0),
            (&["ce", "celx", "p"], All, 0),
            // Not tried yet, although another peer was read.
            (&[""], Less, 1),
            (&["ce", ""], Less, 1),
            // All are down, and none was read: at least one must be, if there are any.
            (&["x"], Less, 1),
            (&["x", "x", "p"], Less, 2),
            (&["x", "i"], Less, 1),
            (&["ce", "x"], Reachable, 1),
            (&["celx", "xxx"], Reachable, 1),
            (&["ce", "x", "p"], Reachable, 1),
            // Connected, and not read to the end yet.
            (&["c"], Less, 1),
            (&["ce", "c"], Less, 1),
            (&["ce", "xc"], Less, 1),
            // Lost before it was read to the end: it may still be there.
            (&["ce", "cl"], Less, 1),
            (&["ce", "clx"], Reachable, 1),
            (&["ce", "clxc"], Less, 1),
            (&["ce", "xpcl"], Less, 1),
            (&["ce", "xce"], All, 0),
        ];
        for (happened, heard, unread) in table {
            let peers: Vec<_> = happened.iter().map(|happened| peer(happened)).collect();
            let hearing = hearing(&peers);
            assert_eq!((hearing.heard, hearing.unread.len()), (heard, unread), "{happened:?}");
        }
    }
}
