//! Random patches of every operation, on a document so small that patches made at the same time are
//! often in each other's way.

use fastrand::Rng;
use serde_json::{Value, json};

/// What is no JSON Patch, or one with an operation that is none.
const MALFORMED: [&str; 8] = [
    "",
    "no patch",
    "{}",
    r#"["add","/a",1]"#,
    r#"[{"op":"add","path":"/a"}]"#,
    r#"[{"op":"add","path":"a","value":1}]"#,
    r#"[{"op":"add","path":"/a","value":1},{"op":"grow","path":"/a"}]"#,
    r#"[{"op":"add","path":"/a","value":1}"#,
];

/// Members' names, as tokens of a pointer.
const NAMES: [&str; 6] = ["a", "b", "l", "o", "x~1y", "é"];

/// Tokens that mostly lead nowhere.
const WILD: [&str; 10] = ["a", "b", "l", "o", "0", "1", "-", "01", "", "~0"];

/// A document with more values than this is cut down again.
const MANY_VALUES: usize = 30;

/// A patch that may or may not apply to `document`.
pub fn patch(rng: &mut Rng, document: &Value) -> Box<str> {
    let mut places = Vec::new();
    list(document, String::new(), &mut places);
    let operations = match rng.u32(0..100) {
        0 => 0,
        1..60 => 1,
        60..80 => 2,
        80..95 => 3,
        _ => 6,
    };
    let mut patch: Vec<Value> = Vec::new();
    if rng.u32(0..8) == 0 {
        // What is written depends on what was read.
        let (path, value) = existing(rng, &places);
        patch.push(json!({"op": "test", "path": path, "value": value}));
    }
    patch.extend((0..operations).map(|_| operation(rng, &places)));
    json!(patch).to_string().into()
}

/// A patch of which little is to be hoped, as it was made for another document or is none.
pub fn careless_patch(rng: &mut Rng, document: &Value) -> Box<str> {
    if rng.u32(0..4) == 0 {
        return MALFORMED[rng.usize(0..MALFORMED.len())].into();
    }
    patch(rng, document)
}

/// Every value of the document with its pointer.
fn list<'a>(value: &'a Value, path: String, places: &mut Vec<(String, &'a Value)>) {
    places.push((path.clone(), value));
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                list(value, format!("{path}/{token}"), places);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                list(value, format!("{path}/{index}"), places);
            }
        }
        _ => (),
    }
}

fn operation(rng: &mut Rng, places: &[(String, &Value)]) -> Value {
    let crowded = places.len() > MANY_VALUES;
    if !places[0].1.is_object() && rng.u32(0..3) != 0 {
        // Below a scalar there is nothing to be in each other's way about.
        let value = json!({"a": {"b": [1, 2]}, "l": [new_value(rng, 1)], "o": {}});
        return json!({"op": "replace", "path": "", "value": value});
    }
    let (existing, value) = existing(rng, places);
    if crowded && rng.bool() {
        // It is the large parts that have to go.
        let (path, _) = &places[rng.usize(1..places.len())];
        let top = path[1..].find('/').map_or(&path[..], |end| &path[..=end]);
        return json!({"op": "remove", "path": top});
    }
    match rng.u32(0..100) {
        0..35 => json!({"op": "add", "path": target(rng, places), "value": new_value(rng, 2)}),
        35..50 => json!({"op": "remove", "path": existing}),
        50..62 => json!({"op": "replace", "path": existing, "value": new_value(rng, 1)}),
        62..77 => {
            let path = beside(rng, places, existing);
            json!({"op": "move", "from": existing, "path": path})
        }
        77..92 => {
            let path = beside(rng, places, existing);
            json!({"op": "copy", "from": existing, "path": path})
        }
        _ => {
            let value = if rng.u32(0..4) == 0 { new_value(rng, 1) } else { value.clone() };
            json!({"op": "test", "path": existing, "value": value})
        }
    }
}

/// Some value with its pointer; seldom the root, as little is left of a document after that.
fn existing<'a, 'b>(rng: &mut Rng, places: &'b [(String, &'a Value)]) -> (&'b str, &'a Value) {
    let first = usize::from(places.len() > 1 && rng.u32(0..30) != 0);
    let (path, value) = &places[rng.usize(first..places.len())];
    (path, value)
}

/// Where something can be added: mostly a member or an element of what is there.
fn target(rng: &mut Rng, places: &[(String, &Value)]) -> String {
    let (path, container) = rng.choice(places).expect("the root is a place");
    match container {
        _ if rng.u32(0..12) == 0 => {
            (0..rng.usize(1..4)).map(|_| format!("/{}", WILD[rng.usize(0..WILD.len())])).collect()
        }
        Value::Array(_) if rng.bool() => format!("{path}/-"),
        Value::Array(elements) => format!("{path}/{}", rng.usize(0..=elements.len())),
        Value::Object(_) => format!("{path}/{}", NAMES[rng.usize(0..NAMES.len())]),
        // A scalar is replaced.
        _ if !path.is_empty() || rng.bool() => path.clone(),
        _ => format!("/{}", NAMES[rng.usize(0..NAMES.len())]),
    }
}

/// Where the value at `from` is moved or copied to: also over another value, and over one in which it
/// lies itself.
fn beside(rng: &mut Rng, places: &[(String, &Value)], from: &str) -> String {
    match rng.u32(0..10) {
        0..5 => target(rng, places),
        5..8 => existing(rng, places).0.to_owned(),
        _ => {
            let ends: Vec<usize> = from.match_indices('/').map(|(at, _)| at).collect();
            let first = usize::from(rng.u32(0..20) != 0);
            match ends.get(first..).and_then(|ends| rng.choice(ends)) {
                Some(end) => from[..*end].to_owned(),
                None => target(rng, places),
            }
        }
    }
}

fn new_value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u32(0..if depth == 0 { 8 } else { 12 }) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(rng.u32(0..3)),
        3 => json!(f64::from(rng.u32(0..3))),
        4 => json!(-0.0),
        5 => json!(0.1),
        6 => json!("s"),
        7 => json!("é\"\n"),
        8 | 9 => (0..rng.usize(0..4)).map(|_| new_value(rng, depth - 1)).collect(),
        _ => (0..rng.usize(0..3))
            .map(|_| (NAMES[rng.usize(0..4)].to_owned(), new_value(rng, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
