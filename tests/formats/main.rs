//! What each released version wrote is read by this one: a data directory, and what a node said to its readers.
//!
//! The recordings, and how to make those of a new version: [README.md](README.md).

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod record;
mod recording;

use harness::{PlainNode, PlainReader, Scratch, binary, node, run, wait_for};
use recording::Recording;

#[test]
fn a_directory_of_each_version_says_what_it_said_and_goes_on() {
    for recording in Recording::all() {
        let scratch = Scratch::new();
        let data = recording.copy_data(&scratch);
        let start = || node().source(&recording.name).argument("--data").argument(data.display());
        let mut running = start().start();
        recording.check_answers(&running);
        let mut plain = PlainReader::default();
        plain.read_until(&mut running.stream(), &recording.document());
        assert_eq!(running.log_lines(" ERROR "), [""; 0], "{recording}");

        running.post_patch(r#"[{"op":"add","path":"/later","value":true}]"#);
        let document = running.document();
        running.signal(rustix::process::Signal::TERM);
        assert!(running.wait_for_exit().success(), "{recording}");
        assert_eq!(start().start().document(), document, "{recording}");
        let verified = run(binary().arg("verify").arg(&data));
        assert!(verified.status.success(), "{recording}: {verified:?}");
    }
}

#[test]
fn a_stream_of_each_version_brings_the_same_document_and_clock() {
    for recording in Recording::all() {
        let peer = PlainNode::listen_as_member(recording.source());
        let reader = node().peer(peer.address()).start();
        let mut visit = peer.accept();
        recording.send(&mut visit);
        wait_for(format!("what {recording} has"), || {
            (reader.vclock() == recording.vclock()).then_some(())
        });
        // A ping has a hash of what it has.
        recording.send_last_ping(&mut visit);
        let upstream = wait_for(format!("the node to agree with {recording}"), || {
            let upstream = reader.upstream();
            (upstream["agrees"] == true).then_some(upstream)
        });
        assert_eq!(reader.document(), recording.document(), "{recording}");
        let bases = u64::from(recording.has_base());
        assert_eq!((&upstream["bases"], &upstream["torn_bases"]), (&bases.into(), &0.into()));
        let nodes = reader.get("/mesh").json()["nodes"].to_string();
        assert!(nodes.contains(recording.source()), "{recording}: {nodes}");
        for level in [" WARN ", " ERROR "] {
            assert_eq!(reader.log_lines(level), [""; 0], "{recording}");
        }
    }
}

#[test]
fn a_plain_stream_of_each_version_brings_the_same_document() {
    for recording in Recording::all() {
        let mut plain = PlainReader::default();
        recording.plain_stream().lines().for_each(|message| plain.take(message));
        assert_eq!(plain.text(), recording.document(), "{recording}");
    }
}
