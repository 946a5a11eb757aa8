//! Writers, one on each host, that go on whatever happens to the links.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Node, wait_for, wait_until_equal};
use crate::network::Network;

/// How many more writes show that a node goes on.
const MORE: usize = 20;

/// What the writers have had acknowledged so far, and which of them has to go on.
pub struct Writing<'a> {
    nodes: &'a [Node],
    acknowledged: Vec<AtomicUsize>,
    is_over: AtomicBool,
}

/// Ends the writers on drop, also if a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has every node written to from its own host while `meanwhile` runs. Then all nodes have to become equal, with all
/// that was acknowledged and nothing else.
pub fn write_while(network: &Network, nodes: &[Node], meanwhile: impl FnOnce(&Writing)) {
    let writing = Writing {
        nodes,
        acknowledged: nodes.iter().map(|_| AtomicUsize::new(0)).collect(),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for host in 0..nodes.len() {
            let writing = &writing;
            scope.spawn(move || {
                let _over = Over(&writing.is_over);
                network.enter(host);
                writing.write(host);
            });
        }
        let _over = Over(&writing.is_over);
        meanwhile(&writing);
    });
    wait_until_equal(&nodes.iter().collect::<Vec<_>>());
    let document: Value = serde_json::from_str(&nodes[0].document()).unwrap();
    let members = document.as_object().unwrap();
    let expected = (0..nodes.len()).flat_map(|host| {
        let count = writing.acknowledged[host].load(Ordering::Relaxed);
        (0..count).map(move |number| name(host, number))
    });
    let expected: Vec<String> = expected.collect();
    let lost: Vec<_> = expected.iter().filter(|name| !members.contains_key(*name)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(members.len(), expected.len());
}

impl Writing<'_> {
    fn write(&self, host: usize) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.acknowledged[host].load(Ordering::Relaxed);
            let path = name(host, number);
            let patch = format!(r#"[{{"op":"add","path":"/{path}","value":{number}}}]"#);
            self.nodes[host].post_patch(&patch);
            self.acknowledged[host].fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until each of these hosts has written more, and returns the last of it for each.
    #[track_caller]
    pub fn wait_for_more<const COUNT: usize>(&self, hosts: [usize; COUNT]) -> [Written; COUNT] {
        let count = |host: usize| self.acknowledged[host].load(Ordering::Relaxed);
        let wanted = hosts.map(|host| count(host) + MORE);
        wait_for("more to be written", || {
            (0..COUNT).all(|number| count(hosts[number]) > wanted[number]).then_some(())
        });
        std::array::from_fn(|number| Written { host: hosts[number], number: wanted[number] })
    }

    /// Whether a node has this.
    #[track_caller]
    pub fn has(&self, host: usize, written: &Written) -> bool {
        let target = format!("/get/{}", name(written.host, written.number));
        self.nodes[host].get(&target).status == 200
    }

    #[track_caller]
    pub fn wait_until_it_has(&self, host: usize, written: &Written) {
        wait_for(format!("what host {} wrote at host {host}", written.host), || {
            self.has(host, written).then_some(())
        });
    }
}

/// A write that is acknowledged.
pub struct Written {
    host: usize,
    number: usize,
}

/// The member that a write adds.
fn name(host: usize, number: usize) -> String {
    format!("{host}.{number}")
}
