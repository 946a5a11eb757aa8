//! What values take, in processes that do nothing else: what the process has for itself.

use std::io::{BufReader, Write};
use std::process::{Command, Stdio};

use fastrand::Rng;
use patchmesh::internals::document::Value;

use crate::private::memory;
use crate::rows::{Row, Unit};
use crate::shapes::{MB, SHAPES, Shape, key, records};
use crate::speed::Extent;

/// How many members there are at first, and how often one is changed.
const MEMBERS: usize = 200_000;
const CHANGES: usize = 400_000;

/// How many writes are done beside a clone.
const WRITES: usize = 1000;

/// The argument by which a process is one that measures; what it measures follows.
pub const CHILD: &str = "--child";

/// Bytes a byte of text, for each shape, as it is read and after random changes; and what a write takes.
pub fn rows(extent: Extent) -> Vec<Row> {
    let measured = |(index, shape): (usize, &Shape)| {
        let text = shape.text(MEMBERS, true);
        let figures = child(&["shape".into(), index.to_string()], &text);
        let row = |when, figure| {
            Row::new(format!("memory of {}{when}", shape.name), figure, Unit::BytesPerByte, 4.0)
        };
        [row("", figures[0]), row(", after 400,000 random changes", figures[1])]
    };
    let mut rows: Vec<_> = SHAPES.iter().enumerate().flat_map(measured).collect();
    if extent == Extent::All {
        let (text, records) = records(100 * MB);
        let figures = child(&["writes".into(), records.to_string()], &text);
        let what = "memory of a write, of 1,000 beside a clone of 100 MB";
        rows.push(Row::new(what, figures[0], Unit::KibibytesPerWrite, 8.0));
    }
    rows
}

/// Has a fresh process read this text and measure.
fn child(arguments: &[String], text: &str) -> Vec<f64> {
    let program = std::env::current_exe().expect("it has a path");
    let mut child = Command::new(program)
        .arg(CHILD)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started once more");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let output = String::from_utf8(output.stdout).expect("it writes numbers");
    output.split_whitespace().map(|figure| figure.parse().expect("it writes numbers")).collect()
}

/// What such a process does.
pub fn measure(arguments: &[String]) {
    let [what, number] = arguments else { panic!("it is started with two arguments") };
    let number: usize = number.parse().expect("it is a number");
    let before = memory(std::process::id());
    // Not from a buffer of the whole, the room of which would count.
    let mut value: Value =
        serde_json::from_reader(BufReader::new(std::io::stdin())).expect("it is JSON");
    let grown = || (memory(std::process::id()) as f64) - before as f64;
    if what == "writes" {
        let (clone, before) = (value.clone(), grown());
        write_spread(&mut value, number);
        println!("{}", (grown() - before) / WRITES as f64 / 1024.0);
        drop(clone);
        return;
    }
    let of_text = |grown: f64, value: &Value| {
        grown / value.pieces().map(|piece| piece.len()).sum::<usize>() as f64
    };
    let fresh = grown();
    let fresh = of_text(fresh, &value);
    change(&mut value, &SHAPES[number]);
    let changed = grown();
    println!("{fresh} {}", of_text(changed, &value));
}

fn write_spread(document: &mut Value, records: usize) {
    for write in 0..WRITES {
        let key = key(write * (records / WRITES));
        let changed = document.change_member("records", |records| {
            records.change_member(&key, |record| record.set_member("version", Value::default()))
        });
        changed.flatten().expect("it is there");
    }
}

fn change(document: &mut Value, shape: &Shape) {
    let mut rng = Rng::with_seed(1);
    for _ in 0..CHANGES {
        let number = rng.usize(..2 * MEMBERS);
        if rng.bool() {
            document.remove_member(&key(number));
        } else {
            let value = serde_json::from_str(&shape.value(number)).expect("it is JSON");
            document.set_member(&key(number), value);
        }
    }
}
