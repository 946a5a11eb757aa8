//! A long time's writes in little: what grows, and what must not.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::client::Wire;
use crate::harness::{PlainNode, Scratch, Visit, wait_for};
use crate::mesh::{Member, wait_until_folded};

/// What a primary has at one moment.
#[derive(Debug)]
struct Size {
    resident_bytes: u64,
    sources: usize,
    vclock_bytes: usize,
}

impl Size {
    fn of(member: &Member) -> Self {
        let node = member.node();
        let vclock = node.get("/vclock").text().len();
        Self {
            resident_bytes: node.resident_bytes(),
            sources: node.vclock().len(),
            vclock_bytes: vclock,
        }
    }
}

fn nodes_come_and_go(duration: Duration) {
    let scratch = Scratch::new();
    let mut primary = Member::new(&scratch, "primary").argument("--keep 2s --horizon 5s --primary");
    let mut guest = Member::new(&scratch, "guest").in_memory().argument("--keep 2s");
    primary.peer(guest.port.address);
    guest.peer(primary.port.address);
    primary.start();
    let begin = Instant::now();
    let (mut lives, mut written, mut sizes) = (0_u32, 0_u32, Vec::new());
    let mut wire = Wire::open(primary.port.address).unwrap();
    while begin.elapsed() < duration {
        guest.start();
        lives += 1;
        let life = Instant::now();
        let mut other = Wire::open(guest.port.address).unwrap();
        while life.elapsed() < Duration::from_secs(1) {
            for wire in [&mut wire, &mut other] {
                written += 1;
                let value = "x".repeat(1000);
                let patch = format!(
                    r#"[{{"op":"add","path":"/{}","value":"{value}{written}"}}]"#,
                    written % 50
                );
                let (status, body) = wire.post(&patch).expect("it is answered");
                assert_eq!(status, 200, "{body}");
            }
            sleep(Duration::from_millis(1));
        }
        guest.kill();
        sizes.push(Size::of(&primary));
    }
    println!("{lives} lives, {written} writes");
    // When the first lives are forgotten, all stays as it is.
    let settled = sizes.len() / 2;
    for (second, size) in sizes.iter().enumerate() {
        println!("{second} {size:?}");
        // Two sources a life, those of about a horizon, a little more than the lag of commits, and the primary's.
        assert!(size.sources < 40, "{second} s: {size:?}");
        assert!(size.vclock_bytes < 2000, "{second} s: {size:?}");
    }
    let most = |sizes: &[Size], of: fn(&Size) -> u64| sizes.iter().map(of).max().unwrap();
    let (early, late) = sizes.split_at(settled);
    let resident = |size: &Size| size.resident_bytes;
    let (before, after) = (most(early, resident), most(late, resident));
    assert!(after < before + (8 << 20), "memory grows: {before} to {after}");
    // What the guests wrote may have gone with them.
    wait_until_folded(primary.node(), u64::from(written) / 2 * 9 / 10);
    // How much there is at one moment depends on how fast the machine is. What is folded goes in the end.
    let few_bytes = (2 << 20) + u64::from(written) * 1000 / 5;
    wait_for(format!("the directory to have less than {few_bytes} bytes"), || {
        (primary.bytes() < few_bytes).then_some(())
    });
    // All stays so over a restart.
    primary.kill();
    primary.verify();
    primary.start();
    let size = Size::of(&primary);
    assert!(size.sources < 40, "{size:?}");
}

/// A peer that has heard of a new life with every message.
struct Crowd {
    visit: Visit,
    lives: u64,
}

impl Crowd {
    /// Sends so many transactions, each of a life that has only that one.
    fn send(&mut self, count: usize) {
        for _ in 0..count {
            self.lives += 1;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
            let life = format!("guest~{:08}", self.lives);
            let patch = format!(r#"[{{"op":"add","path":"/guest","value":{}}}]"#, self.lives);
            let line = json!({"Source": life, "Id": 1, "Payload": patch, "Time": now});
            self.visit.send(line.to_string());
        }
    }
}

#[test]
fn lives_that_end_leave_the_clock_and_the_base() {
    let scratch = Scratch::new();
    let peer = PlainNode::listen_as("crowd~00000000");
    let mut primary = Member::new(&scratch, "primary").argument("--keep 1s --horizon 2s --primary");
    primary.peer(peer.address());
    primary.start();
    let mut crowd = Crowd { visit: peer.accept(), lives: 0 };
    crowd.visit.send(r#"{"End":0}"#);
    let begin = Instant::now();
    let mut most = 0;
    let mut next = Duration::from_secs(1);
    while begin.elapsed() < Duration::from_secs(16) {
        crowd.send(10);
        sleep(Duration::from_millis(50));
        // It is dialed anew when the first epoch begins.
        if let Some(visit) = peer.try_accept(Duration::ZERO) {
            crowd.visit = visit;
            crowd.visit.send(r#"{"End":0}"#);
        }
        if begin.elapsed() > next {
            next += Duration::from_secs(1);
            let bases = primary.bases();
            let base =
                bases.last().and_then(|path| path.metadata().ok()).map_or(0, |file| file.len());
            let size = Size::of(&primary);
            println!("{} lives, base of {base} bytes, {size:?}", crowd.lives);
            most = most.max(size.sources);
        }
    }
    assert!(crowd.lives > 2600, "{}", crowd.lives);
    // Those of the horizon, of the lag, and of the time between two commits.
    assert!(most < 2000, "{most} of {} lives are in the clock", crowd.lives);
}

#[test]
fn nodes_that_come_and_go_leave_nothing_behind() {
    nodes_come_and_go(Duration::from_secs(16));
}

#[test]
#[ignore = "it takes minutes"]
fn nodes_that_come_and_go_for_long_leave_nothing_behind() {
    nodes_come_and_go(Duration::from_secs(300));
}
