use fastrand::Rng;
use serde_json::{Map, Value as Json, json};

use super::{Digest, Hash, TextPieces, Value, ValueKind};

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &Value) -> String {
    String::from_utf8(value.to_text()).unwrap()
}

fn remove_element(array: &mut Value, index: usize) -> Option<Value> {
    let mut taken = Value::default();
    array.take_element(index, &mut taken).then_some(taken)
}

/// Weight and depth by a walk, as DESIGN says.
fn walk(value: &Json) -> (u64, usize) {
    let long = |bytes: usize| if bytes > 14 { 16 + bytes as u64 } else { 0 };
    let inside = |list: &mut dyn Iterator<Item = (u64, usize)>| {
        list.fold((40, 1), |(weight, depth), (more, deep)| (weight + more, depth.max(deep + 1)))
    };
    match value {
        Json::String(text) => (16 + long(text.len()), 0),
        Json::Array(elements) => inside(&mut elements.iter().map(walk)),
        Json::Object(members) => inside(&mut members.iter().map(|(name, value)| {
            let (weight, depth) = walk(value);
            (weight + 16 + long(name.len()), depth)
        })),
        _ => (16, 0),
    }
}

fn check(value: &Value, expected: &Json) {
    assert_eq!(text(value), expected.to_string());
    assert_eq!((value.weight(), value.depth()), walk(expected), "{expected}");
}

#[test]
fn a_value_takes_sixteen_bytes() {
    assert_eq!(size_of::<Value>(), 16);
    assert_eq!(size_of::<super::item::Member>(), 32);
}

#[test]
fn text_is_written_as_serde_json_does() {
    for value in [
        "null",
        "true",
        "0",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "-0",
        "-0.0",
        "0.0",
        "1.0",
        "1e300",
        "0.1",
        "1E-7",
        "123456789012345678",
        r#""""#,
        r#""\u0000\u001f\"\\\/\b\f\n\r\t\u007f\u2028ä𝄞""#,
        r#""fourteen bytes""#,
        r#""fifteen bytes..""#,
        "[]",
        "{}",
        "[[],{}]",
        r#"{"b":1,"a":2,"b":3,"":{"z":[1,[2]]}}"#,
        r#"{"a name that is not short":1,"a name that is not shorT":{"a name that is not short":null}}"#,
    ] {
        let json: Json = serde_json::from_str(value).unwrap();
        for read in [read(value), json.clone().into()] {
            check(&read, &json);
            assert_eq!(serde_json::to_string(&read).unwrap(), json.to_string());
            assert_eq!(read.to_string(), json.to_string());
        }
    }
    for malformed in ["", "[", "{\"a\"}", "nul", "1 2", "\"\\x\"", "[1,]", "1e999"] {
        assert!(serde_json::from_str::<Value>(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn many_members_in_any_order_are_sorted_and_the_last_of_a_name_stays() {
    let mut rng = Rng::with_seed(7);
    let counts = [0, 1, 2, 63, 64, 65, 127, 128, 129, 192, 4096, 8191, 8192, 8193, 20_000];
    for (count, order) in counts.iter().flat_map(|count| (0..3).map(move |order| (*count, order))) {
        let mut members: Vec<(String, u64)> = (0..count)
            .map(|number| {
                (format!("{}{}", "long name ".repeat(number % 3), number / 2), rng.u64(..))
            })
            .collect();
        match order {
            0 => rng.shuffle(&mut members),
            1 => {
                members.sort();
                members.dedup_by(|left, right| left.0 == right.0);
            }
            // In order except for one name near the end, which is there twice.
            _ => {
                members.sort();
                if let Some(first) = members.first().cloned() {
                    members.insert(members.len() - members.len() / 10, first);
                }
            }
        }
        let list: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let expected: Json = members
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect::<Map<_, _>>()
            .into();
        let value = read(&format!("{{{}}}", list.join(",")));
        check(&value, &expected);
        for (name, _) in &members {
            assert_eq!(value.member(name).unwrap().to_string(), expected[name].to_string());
            assert!(value.member(&format!("{name}!")).is_none());
        }
    }
}

#[test]
fn long_arrays_are_read_whole() {
    for count in [63, 64, 65, 127, 128, 129, 8191, 8192, 8193, 600_000] {
        let json: Json = (0..count).collect::<Vec<u32>>().into();
        let value = read(&json.to_string());
        check(&value, &json);
        let mut array = value.clone();
        array.insert_element(count as usize / 2, Value::default());
        assert_eq!((array.len(), value.len()), (count as usize + 1, count as usize));
        assert_eq!(remove_element(&mut array, count as usize / 2), Some(Value::default()));
        assert!(array == value);
    }
}

#[test]
fn as_deep_as_is_allowed_is_read_changed_written_and_dropped_on_a_small_stack() {
    let work = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deepest = format!("{}1{}", open.repeat(127), close.repeat(127));
            let value = read(&deepest);
            assert_eq!((value.depth(), text(&value)), (127, deepest));
            let shared = value.clone();
            fn set(value: &mut Value) {
                match value.kind() {
                    ValueKind::Array => value.change_element(0, set).unwrap(),
                    ValueKind::Object => value.change_member("a", set).unwrap(),
                    _ => *value = 2u64.into(),
                }
            }
            let mut changed = value;
            set(&mut changed);
            assert!(super::equal(&shared, &shared.clone()) && changed != shared);
            assert!(serde_json::from_str::<Value>(&format!("{open}{changed}{close}")).is_err());
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
}

const NAMES: [&str; 8] =
    ["", "a", "b\n", "\u{e4}", "fourteen bytes", "fifteen bytes..", "fifteen bytes,.", "z"];

fn name(rng: &mut Rng, many: usize) -> String {
    match rng.u8(..3) {
        0 => NAMES[rng.usize(..NAMES.len())].into(),
        1 => rng.usize(..many).to_string(),
        _ => format!("a long name with {}", rng.usize(..many)),
    }
}

fn random(rng: &mut Rng, depth: usize) -> Json {
    match rng.u8(..if depth == 0 { 6 } else { 9 }) {
        0 => Json::Null,
        1 => rng.bool().into(),
        2 => rng.u64(..).into(),
        3 => rng.i64(..).into(),
        4 => json!([-0.0, 1.5, 1e300, 18446744073709551616.0][rng.usize(..4)]),
        5 => "ä\"".repeat(rng.usize(..9)).into(),
        6 => (0..rng.usize(..4)).map(|_| random(rng, depth - 1)).collect(),
        _ => {
            let members = (0..rng.usize(..4)).map(|_| (name(rng, 9), random(rng, depth - 1)));
            members.collect::<Map<_, _>>().into()
        }
    }
}

/// Does the same somewhere in both.
fn change(rng: &mut Rng, value: &mut Value, json: &mut Json, grows: bool, many: usize) {
    let inside = rng.u8(..4) == 0;
    match json {
        Json::Array(elements) => {
            let index = rng.usize(..=elements.len());
            if inside && index < elements.len() {
                let json = &mut elements[index];
                value.change_element(index, |value| change(rng, value, json, grows, many)).unwrap();
            } else if grows || rng.u8(..4) == 0 {
                let index = if rng.bool() { elements.len() } else { index };
                let new = random(rng, 2);
                value.insert_element(index, new.clone().into());
                elements.insert(index, new);
            } else if index < elements.len() {
                let removed = remove_element(value, index).unwrap();
                check(&removed, &elements.remove(index));
            } else {
                assert!(remove_element(value, index).is_none() && value.element(index).is_none());
            }
        }
        Json::Object(members) => {
            let mut name = name(rng, many);
            if (inside || !grows)
                && let Some(near) = members.range(name.clone()..).next()
            {
                name = near.0.clone();
            }
            if inside && let Some(json) = members.get_mut(&name) {
                value.change_member(&name, |value| change(rng, value, json, grows, many)).unwrap();
            } else if grows || rng.u8(..4) == 0 {
                let new = random(rng, 2);
                let old = value.set_member(&name, new.clone().into());
                assert_eq!(
                    old.map(|old| text(&old)),
                    members.insert(name, new).map(|old| old.to_string())
                );
            } else {
                let removed = value.remove_member(&name);
                assert_eq!(
                    removed.map(|old| text(&old)),
                    members.remove(&name).map(|old| old.to_string())
                );
            }
        }
        _ => {
            let new = random(rng, 3);
            (*value, *json) = (new.clone().into(), new);
        }
    }
}

trait Range {
    fn range(&self, from: std::ops::RangeFrom<String>) -> std::vec::IntoIter<(&String, &Json)>;
}

impl Range for Map<String, Json> {
    fn range(&self, from: std::ops::RangeFrom<String>) -> std::vec::IntoIter<(&String, &Json)> {
        let near = self.iter().find(|(name, _)| **name >= from.start);
        near.into_iter().collect::<Vec<_>>().into_iter()
    }
}

#[test]
fn random_changes_lead_to_the_value_of_serde_json() {
    let rounds = std::env::var("PATCHMESH_RANDOM_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(6);
    for seed in 0..rounds {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let mut json = if seed % 2 == 0 { json!({}) } else { json!([]) };
        let mut value: Value = json.clone().into();
        let many = [20, 300, 3000][rng.usize(..3)];
        let mut held: Vec<(Value, String)> = Vec::new();
        for step in 0..1500 {
            let grows = step % 1000 < 600;
            change(&mut rng, &mut value, &mut json, grows, many);
            if step % 40 == 0 {
                check(&value, &json);
                let again = read(&json.to_string());
                assert!(again == value && super::equal(&again, &value));
            }
            if rng.u8(..20) == 0 {
                held.push((value.clone(), json.to_string()));
                if held.len() > 5 {
                    held.swap_remove(rng.usize(..5));
                }
            }
        }
        for (value, expected) in held {
            assert_eq!(text(&value), expected);
        }
    }
}

#[test]
fn large_containers_grow_and_shrink_anywhere() {
    let mut rng = Rng::with_seed(3);
    let (mut array, mut object) = (read("[]"), read("{}"));
    let (mut elements, mut members) = (Vec::new(), std::collections::BTreeMap::new());
    for number in 0..40_000u64 {
        let index = if number % 3 == 0 { elements.len() } else { rng.usize(..=elements.len()) };
        array.insert_element(index, number.into());
        elements.insert(index, number);
        let name = format!("{}{number}", rng.u64(..));
        assert!(object.set_member(&name, number.into()).is_none());
        members.insert(name, number);
    }
    let verify = |array: &Value,
                  elements: &[u64],
                  object: &Value,
                  members: &std::collections::BTreeMap<String, u64>| {
        check(array, &json!(elements));
        check(object, &json!(members));
    };
    verify(&array, &elements, &object, &members);
    let (shared_array, shared_object) = (array.clone(), object.clone());
    let (all_elements, all_members) = (elements.clone(), members.clone());
    while !elements.is_empty() {
        let index = if rng.bool() { 0 } else { rng.usize(..elements.len()) };
        assert_eq!(remove_element(&mut array, index), Some(elements.remove(index).into()));
        let name = members.range(rng.u64(..).to_string()..).next().or(members.iter().next());
        let (name, number) = name.map(|(name, number)| (name.clone(), *number)).unwrap();
        assert_eq!(object.remove_member(&name), Some(number.into()));
        members.remove(&name);
        if elements.len() % 2500 == 0 {
            verify(&array, &elements, &object, &members);
        }
    }
    verify(&shared_array, &all_elements, &shared_object, &all_members);
}

#[test]
fn pieces_are_the_text_and_no_larger_than_they_say() {
    let mut rng = Rng::with_seed(1);
    let long = "x\n\u{1}\"ä𝄞".repeat(30_000);
    let list: Vec<Json> = (0..3000).map(|_| random(&mut rng, 4)).collect();
    let members: Map<_, _> = (0..3000).map(|n| (n.to_string(), random(&mut rng, 4))).collect();
    let many = json!({"long": [long, [long]], (&*long): {(&*long): long}, "list": list, "members": members, "": [[[]], {}]});
    let few = json!({"long": [&long[..50], [&long[..10]]], (&long[..50]): {"": &long[..50]}, "list": list[..50], "": [[[]], {}]});
    for (json, bytes) in
        [(&many, 64 << 10), (&many, 999), (&few, 20), (&few, 3), (&few, 2), (&few, 1)]
    {
        let value: Value = json.clone().into();
        let mut pieces: TextPieces = value.pieces_of(bytes);
        drop(value);
        let mut all = String::new();
        for piece in pieces.by_ref() {
            // A piece may end with a number, and with the ends of all containers around it.
            assert!(piece.len() < bytes + 40 && !piece.is_empty());
            all.push_str(std::str::from_utf8(&piece).unwrap());
        }
        let expected = json.to_string();
        assert!(all == expected, "{bytes}");
        assert!(pieces.next().is_none());
    }
}

#[test]
fn a_digest_is_that_of_the_text() {
    for json in [json!(null), json!({"a": [1, "\n"]}), json!("x\n".repeat(100_000))] {
        let (value, text): (Value, _) = (json.clone().into(), json.to_string());
        let digest = value.digest();
        assert_eq!(digest.length(), text.len() as u64);
        assert_eq!(*digest.hash(), Hash::of(text.as_bytes()));
        assert_eq!(digest.hash_with(b"{}"), Hash::of(format!("{text}\0{{}}").as_bytes()));
        assert_eq!(Digest::of([&text]).hash(), digest.hash());
        assert_eq!(digest.hash().to_string().parse(), Ok(digest.hash().clone()));
    }
    let digits = "0123456789abcdef0123456789abcdef";
    for malformed in ["", &digits[1..], &format!("{digits}0"), &digits.replace('a', "g")] {
        assert_eq!(malformed.parse::<Hash>(), Err(()), "{malformed}");
    }
}

#[test]
fn values_that_are_not_shared_are_counted() {
    let small = r#"{"a":[1,[2,"a text that is longer"],{}],"b":{"c":null}}"#;
    let large: Vec<u64> = (0..10_000).collect();
    let large = json!({"list": large, "members": (0..5000).map(|n| (n.to_string(), json!(n))).collect::<Map<_, _>>()});
    for (mut value, values) in [(read(small), 9), (large.into(), 15_003)] {
        let is_exactly = |value: &Value, count: usize| {
            value.has_alone_more_than(count - 1) && !value.has_alone_more_than(count)
        };
        assert!(is_exactly(&value, values));
        let shared = value.clone();
        assert!(is_exactly(&value, 1) && is_exactly(&shared, 1));
        value.set_member("new", 0u64.into());
        assert!(is_exactly(&shared, shared.len() + 1), "only its members have become its own");
        drop(value);
        assert!(is_exactly(&shared, values));
    }
}

#[test]
fn clones_are_the_same_until_one_changes() {
    let text = r#"{"list":[1,2],"members":{"a":1},"text":"a text that is longer"}"#;
    let (mut value, other) = (read(text), read(text));
    let clone = value.clone();
    assert!(value.is_same(&clone) && !value.is_same(&other));
    value.set_member("new", true.into());
    assert!(!value.is_same(&clone));
    for name in ["list", "members", "text"] {
        let member = |value: &Value| value.member(name).unwrap().clone();
        assert!(member(&value).is_same(&member(&clone)), "{name}");
        assert!(!member(&value).is_same(&member(&other)), "{name}");
    }
    assert!(!Value::from(1u64).is_same(&1u64.into()));
}
