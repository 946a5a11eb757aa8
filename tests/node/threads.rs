//! A node that runs its tasks by several threads.

use serde_json::json;

use crate::harness::{Client, node, wait_until_equal};

#[test]
fn each_reads_what_it_has_written_and_nodes_become_equal() {
    const WRITERS: usize = 4;
    const WRITES: usize = 200;
    let first = node().argument("--threads").argument(3).start();
    let second = node().argument("--threads").argument(2).peer(first.address).start();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let first = &first;
            scope.spawn(move || {
                let mut client = Client::connect(first.address);
                for number in 0..WRITES {
                    let path = format!("/{writer}");
                    let patch = json!([{"op": "add", "path": path, "value": number}]);
                    let patch = patch.to_string();
                    let headers = first.headers();
                    client.request("POST", "/replace", &headers, patch.as_bytes());
                    let read = client.request("GET", &format!("/get/{writer}"), &headers, b"");
                    assert_eq!(read.text(), number.to_string());
                }
            });
        }
    });
    assert_eq!(first.length(), (WRITERS * WRITES) as u64);
    wait_until_equal(&[&first, &second]);
}
