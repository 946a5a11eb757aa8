//! `status`: how nodes are, and an exit status that says the essence.

use crate::harness::{Port, pair, wait_for, wait_until_equal};
use crate::shell::{Said, say, url};

#[test]
fn each_node_has_a_line() {
    let (first, second) = pair();
    first.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    wait_until_equal(&[&first, &second]);
    let nobody = Port::reserve();
    let urls = [url(first.address), url(second.address), url(&nobody)];
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = wait_for("both nodes to be connected", || {
        let Said { status, out, err } = say(["status", &urls[0], &urls[1]]);
        assert_eq!((status, err.as_str()), (0, ""));
        let lines: Vec<_> = out.lines().map(cells).collect();
        (lines[1][4] == "1/1" && lines[2][4] == "1/1").then_some(lines)
    });
    let head = ["NODE", "NAME", "TRANSACTIONS", "HASH", "PEERS", "LAG", "COMMIT", "TROUBLE"];
    assert_eq!(lines[0], head);
    assert_eq!(lines[1][..3], [first.address.to_string(), first.source.clone(), "1".to_owned()]);
    assert_eq!(lines[1][3], lines[2][3], "they are equal");
    assert_eq!(lines[2][5..], ["0", "-", "-"]);
    let Said { status, out, err } = say(["status", &urls.join(",")]);
    assert_eq!(status, 5, "{out}");
    assert!(err.contains(&format!("not reached: {}", nobody.address)), "{err}");
    let Said { out: objects, .. } = say(["status", &urls.join(","), "--json"]);
    let reached = objects.lines().map(|line| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        object["reached"].as_bool().unwrap()
    });
    assert_eq!(reached.collect::<Vec<_>>(), [true, true, false]);
    let last = out.lines().last().unwrap();
    assert!(last.starts_with(&nobody.to_string()) && last.contains("refused"), "{last}");
}
