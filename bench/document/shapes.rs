//! Documents as texts: many members of one shape.

use fastrand::Rng;

pub const MB: usize = 1000 * 1000;

/// A shape of an object's members: its name, and the member's value.
pub struct Shape {
    pub name: &'static str,
    value: fn(usize) -> String,
}

pub const SHAPES: [Shape; 5] = [
    Shape {
        name: "flags",
        value: |n| format!(r#"{{"enabled":true,"owner":"team-{}","rollout":{}}}"#, n % 10, n % 100),
    },
    Shape {
        name: "presence",
        value: |n| {
            format!(
                r#"{{"at":{},"cursor":{{"x":{},"y":{}}},"online":true}}"#,
                1_763_888_400 + n,
                n % 1000,
                n % 700
            )
        },
    },
    Shape { name: "string of 60", value: |n| format!("\"{n:060}\"") },
    Shape { name: "number", value: |n| n.to_string() },
    Shape { name: "array of 3", value: |n| format!("[{n},{},{}]", n + 1, n + 2) },
];

impl Shape {
    /// The text of a member's value.
    pub fn value(&self, number: usize) -> String {
        (self.value)(number)
    }

    /// The text of an object of so many members, sorted by name or in no order.
    pub fn text(&self, members: usize, is_sorted: bool) -> String {
        let mut numbers: Vec<_> = (0..members).collect();
        if !is_sorted {
            Rng::with_seed(1).shuffle(&mut numbers);
        }
        let members = numbers.into_iter();
        let members: Vec<_> =
            members.map(|n| format!("\"{}\":{}", key(n), self.value(n))).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The same with as many members as make about so many bytes.
    pub fn text_of(&self, bytes: usize, is_sorted: bool) -> String {
        let one = format!("\"{}\":{},", key(0), self.value(bytes / 100));
        self.text(bytes / one.len(), is_sorted)
    }
}

/// A member's name.
pub fn key(number: usize) -> String {
    format!("id-{number:07}")
}

/// `{"records":{"id-0000000":{"name":...,"version":1}, ...}}` of about so many bytes, and how many records.
pub fn records(bytes: usize) -> (String, usize) {
    let record = |n| format!(r#""{}":{{"name":"Name of record {n}","version":{n}}}"#, key(n));
    let count = (bytes / (record(bytes / 100).len() + 1)).max(1);
    let records: Vec<_> = (0..count).map(record).collect();
    (format!("{{\"records\":{{{}}}}}", records.join(",")), count)
}
