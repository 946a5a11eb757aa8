//! Random patches on random documents do what a second implementation says, and leave no trace once
//! they are taken back.
//!
//! The second implementation, [`naive`], is written from the text of RFC 6902 and shares nothing with
//! the one that it checks, not even the reader: it takes a patch as JSON values.
//!
//! Patches come in histories: a random document, and patches applied to it one after the other. Each
//! history has a seed, which is printed where something fails. Two variables choose what is run:
//! - `PATCHMESH_PATCHES`: how many patches; 200,000 where it is not set.
//! - `PATCHMESH_SEED`: the first history's seed, 1 where it is not set; the next one's is one more.

use patchmesh::patch::{Document, parse};
use serde_json::{Map, Value, json};

const PATCHES: u64 = 200_000;
const PATCHES_A_HISTORY: u64 = 50;

#[test]
fn random_patches_do_what_the_rfc_says_and_can_be_taken_back() {
    let setting = |name: &str| {
        std::env::var(name).ok().map(|text| text.parse::<u64>().expect("the variable is a number"))
    };
    let patches = setting("PATCHMESH_PATCHES").unwrap_or(PATCHES);
    let seed = setting("PATCHMESH_SEED").unwrap_or(1);
    let seeds = seed..seed + patches.div_ceil(PATCHES_A_HISTORY);

    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let seeds = seeds.clone().skip(worker).step_by(threads);
                scope.spawn(|| seeds.map(history).fold(Tally::default(), Tally::plus))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("the worker has said what failed"))
            .fold(Tally::default(), Tally::plus)
    });
    println!("{tally:?}");
    // Where one of the two is rare, little was tried.
    let total = tally.applied + tally.refused;
    assert!(tally.applied.min(tally.refused) > total / 5, "{tally:?}");
}

#[derive(Debug, Default)]
struct Tally {
    applied: u64,
    refused: u64,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self { applied: self.applied + other.applied, refused: self.refused + other.refused }
    }
}

/// Says which history it was that failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = self;
            eprintln!("once more: PATCHMESH_SEED={seed} PATCHMESH_PATCHES={PATCHES_A_HISTORY}");
        }
    }
}

fn history(seed: u64) -> Tally {
    let _seed = Seed(seed);
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let mut document = Document::new(random.value(4)).unwrap();
    let mut tally = Tally::default();
    for _ in 0..PATCHES_A_HISTORY {
        let (patch, expected) = random.patch(document.root());
        if expected.is_ok() {
            tally.applied += 1;
        } else {
            tally.refused += 1;
        }
        check(&mut document, &patch, expected);
    }
    tally
}

/// Applies a patch, from which is expected either this document or that the operation at this index
/// does not apply.
fn check(document: &mut Document, patch: &[Value], expected: Result<Value, usize>) {
    let text = json!(patch).to_string();
    let parsed = parse(&text).unwrap();
    let before = document.clone();
    let before_text = before.root().to_string();
    let is_before = |document: &Document| is(document, &before, &before_text);

    let result = document.apply(parsed.clone());
    let after = match expected {
        Ok(root) => Document::new(root).unwrap(),
        Err(index) => {
            let error = result.expect_err(&format!("{before_text} with {text}"));
            assert_eq!(error.operation, Some(index), "{before_text} with {text}: {error}");
            assert_eq!(error.path.as_deref(), patch[index]["path"].as_str(), "{text}: {error}");
            assert!(is_before(document), "{before_text} with {text} is now {document:?}");
            return;
        }
    };
    let after_text = after.root().to_string();
    let is_after = |document: &Document| is(document, &after, &after_text);
    let inverse = result.unwrap_or_else(|error| panic!("{before_text} with {text}: {error}"));
    assert!(is_after(document), "{before_text} with {text} is not {after:?} but {document:?}");

    let inverse_text = serde_json::to_string(&inverse).unwrap();
    document.revert(inverse);
    assert!(is_before(document), "{before_text} with {text} and {inverse_text} is {document:?}");

    // The inverse is a JSON Patch like any other, and has an inverse of its own.
    document.apply(parsed).unwrap();
    let inverse = parse(&inverse_text).unwrap();
    let inverse = document
        .apply(inverse)
        .unwrap_or_else(|error| panic!("{after_text} with {inverse_text}: {error}"));
    assert!(is_before(document), "{after_text} with {inverse_text} is {document:?}");
    document.revert(inverse);
    assert!(is_after(document), "{after_text} with {inverse_text} taken back is {document:?}");
}

/// Text tells 0 from -0.0, which are equal; and the comparison tells the weights.
fn is(document: &Document, expected: &Document, text: &str) -> bool {
    let found = document.root().to_string();
    found == text && document == expected
}

/// The second implementation. Whatever is wrong, it says no more than that, and it works on a copy.
mod naive {
    use serde_json::{Number, Value};

    /// The document after the operation; none where that does not apply.
    pub fn step(document: &Value, operation: &Value) -> Option<Value> {
        let path = operation["path"].as_str()?;
        let from = operation["from"].as_str();
        let value = operation.get("value");
        match operation["op"].as_str()? {
            "add" => add(document, path, value?),
            "remove" => remove(document, path),
            "replace" if path.is_empty() => value.cloned(),
            // "A remove followed by an add at the same location".
            "replace" => add(&remove(document, path)?, path, value?),
            "move" => {
                let from = from?;
                let value = get(document, &tokens(from))?;
                if path == from {
                    return Some(document.clone());
                }
                // "The from location MUST NOT be a proper prefix of the path location."
                if tokens(path).starts_with(&tokens(from)) {
                    return None;
                }
                add(&remove(document, from)?, path, value)
            }
            "copy" => add(document, path, get(document, &tokens(from?))?),
            "test" => same(get(document, &tokens(path))?, value?).then(|| document.clone()),
            _ => None,
        }
    }

    pub fn tokens(pointer: &str) -> Vec<String> {
        pointer.split('/').skip(1).map(|t| t.replace("~1", "/").replace("~0", "~")).collect()
    }

    pub fn get<'a>(value: &'a Value, tokens: &[String]) -> Option<&'a Value> {
        let Some((token, rest)) = tokens.split_first() else { return Some(value) };
        let inner = match value {
            Value::Object(members) => members.get(token)?,
            Value::Array(elements) => &elements[index(token, elements.len())?],
            _ => return None,
        };
        get(inner, rest)
    }

    fn add(document: &Value, path: &str, value: &Value) -> Option<Value> {
        if path.is_empty() {
            return Some(value.clone());
        }
        edit(document, &tokens(path), |container, token| {
            match container {
                Value::Object(members) => drop(members.insert(token.to_owned(), value.clone())),
                Value::Array(elements) if token == "-" => elements.push(value.clone()),
                Value::Array(elements) => {
                    elements.insert(index(token, elements.len() + 1)?, value.clone());
                }
                _ => return None,
            }
            Some(())
        })
    }

    fn remove(document: &Value, path: &str) -> Option<Value> {
        // A document is always a value, so the root stays.
        edit(document, &tokens(path), |container, token| match container {
            Value::Object(members) => members.remove(token).map(drop),
            Value::Array(elements) => {
                let index = index(token, elements.len())?;
                elements.remove(index);
                Some(())
            }
            _ => None,
        })
    }

    /// A copy of `value` with the container changed in which the last token names something.
    fn edit(
        value: &Value,
        tokens: &[String],
        change: impl Fn(&mut Value, &str) -> Option<()>,
    ) -> Option<Value> {
        fn descend<'a>(value: &'a mut Value, tokens: &[String]) -> Option<&'a mut Value> {
            let Some((token, rest)) = tokens.split_first() else { return Some(value) };
            let inner = match value {
                Value::Object(members) => members.get_mut(token)?,
                Value::Array(elements) => {
                    let index = index(token, elements.len())?;
                    &mut elements[index]
                }
                _ => return None,
            };
            descend(inner, rest)
        }
        let (last, parents) = tokens.split_last()?;
        let mut copy = value.clone();
        change(descend(&mut copy, parents)?, last)?;
        Some(copy)
    }

    /// An index is whatever is written as one.
    fn index(token: &str, end: usize) -> Option<usize> {
        (0..end).find(|index| index.to_string() == token)
    }

    fn same(left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => digits(left) == digits(right),
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
            }
            (Value::Object(left), Value::Object(right)) => {
                left.keys().eq(right.keys()) && left.iter().all(|(name, l)| same(l, &right[name]))
            }
            (left, right) => left == right,
        }
    }

    /// The number's exact decimal digits, as many as there are.
    fn digits(number: &Number) -> String {
        match number.as_f64() {
            _ if !number.is_f64() => number.to_string(),
            Some(0.0) | None => "0".to_owned(),
            Some(double) if double.fract() == 0.0 => format!("{double:.0}"),
            Some(double) => format!("{double:e}"),
        }
    }
}

/// Few names, so that pointers often meet; and all that are special somewhere.
const NAMES: [&str; 9] = ["a", "b", "c", "", "/", "~1", "m~n", "0", "-"];

/// Tokens that are the index of an element nowhere, or only of a rare one.
const BAD_INDICES: [&str; 7] = ["-", "00", "01", "-1", "7", "1.0", "18446744073709551616"];

struct Random(fastrand::Rng);

impl Random {
    /// True so many times in a hundred.
    fn percent(&mut self, percent: u32) -> bool {
        self.0.u32(..100) < percent
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    fn value(&mut self, depth: usize) -> Value {
        let containers = if depth > 0 { 4 } else { 0 };
        match self.0.u32(..6 + containers) {
            0 => Value::Null,
            1 => self.0.bool().into(),
            2 | 3 => self.number(),
            4 => "".into(),
            5 => self.choose(&["x", "é", "\"\\\n", "1"]).into(),
            6 | 7 => (0..self.0.usize(..4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let names = (0..self.0.usize(..5)).map(|_| self.choose(&NAMES).to_owned());
                let names: Vec<_> = names.collect();
                let members = names.into_iter().map(|name| (name, self.value(depth - 1)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    fn number(&mut self) -> Value {
        let integers = [0, 1, -1, i64::MIN, 1 << 53, (1 << 53) + 1];
        let doubles = [0.0, -0.0, 1.0, 0.1, -2.5e-308, 1e300, 9_007_199_254_740_992.0];
        match self.0.u32(..3) {
            0 => self.choose(&integers).into(),
            1 => self.choose(&doubles).into(),
            _ => self.choose(&[u64::MAX, 2, 3]).into(),
        }
    }

    /// A patch for this document, and the document that it makes or the index of the operation that
    /// does not apply.
    fn patch(&mut self, document: &Value) -> (Vec<Value>, Result<Value, usize>) {
        let hits = self.choose(&[70, 98]);
        let mut now = document.clone();
        let mut patch = Vec::new();
        let mut failed = None;
        for index in 0..self.0.usize(1..=8) {
            let operation = self.operation(&now, hits);
            match naive::step(&now, &operation) {
                Some(next) => now = next,
                // What follows is not reached, and must not matter.
                None => failed = failed.or(Some(index)),
            }
            patch.push(operation);
        }
        (patch, failed.map_or(Ok(now), Err))
    }

    /// An operation whose pointers name something in `hits` of a hundred cases.
    fn operation(&mut self, document: &Value, hits: u32) -> Value {
        // A document that has grown large is cut down.
        let op = match count(document) {
            ..40 => {
                self.choose(&["add", "add", "remove", "replace", "move", "move", "copy", "test"])
            }
            _ => self.choose(&["remove", "replace", "move"]),
        };
        match op {
            "remove" | "replace" => {
                let mut path = self.existing(document, hits);
                if op == "remove" && path.is_empty() && self.percent(hits) {
                    path = self.existing(document, hits);
                }
                json!({"op": op, "path": path, "value": self.value(2)})
            }
            "add" => json!({"op": op, "path": self.place(document, hits), "value": self.value(2)}),
            "test" => {
                let path = self.existing(document, hits);
                let value = match naive::get(document, &naive::tokens(&path)) {
                    Some(value) if self.percent(hits) => respelled(value),
                    _ => self.value(1),
                };
                json!({"op": op, "path": path, "value": value})
            }
            _ => {
                let from = self.existing(document, hits);
                let path = match self.0.u32(..6) {
                    0 => ancestor(&from, self.0.usize(..4)).to_owned(),
                    1 if self.percent(100 - hits) => format!("{from}{}", self.token()),
                    2 => from.clone(),
                    _ => self.place(document, hits),
                };
                json!({"op": op, "from": from, "path": path})
            }
        }
    }

    /// The pointer to something that is there, as a rule.
    fn existing(&mut self, document: &Value, hits: u32) -> String {
        let mut pointer = String::new();
        let mut value = document;
        loop {
            let children: Vec<(String, &Value)> = match value {
                Value::Object(members) => {
                    members.iter().map(|(name, value)| (name.clone(), value)).collect()
                }
                Value::Array(elements) => {
                    let elements = elements.iter().enumerate();
                    elements.map(|(index, value)| (index.to_string(), value)).collect()
                }
                _ => Vec::new(),
            };
            if children.is_empty() || (!pointer.is_empty() && self.percent(30)) {
                break;
            }
            let (token, child) = &children[self.0.usize(..children.len())];
            pointer += &escaped(token);
            value = child;
        }
        if !self.percent(hits) {
            pointer += &self.token();
        }
        pointer
    }

    /// The pointer to where something can be added, as a rule.
    fn place(&mut self, document: &Value, hits: u32) -> String {
        let pointer = self.existing(document, hits);
        let container = ancestor(&pointer, 1);
        let container = if self.0.bool() { container } else { &pointer };
        match naive::get(document, &naive::tokens(container)) {
            Some(Value::Object(_)) => format!("{container}{}", escaped(self.choose(&NAMES))),
            Some(Value::Array(elements)) => match self.0.usize(..=elements.len() + 1) {
                index if index <= elements.len() => format!("{container}/{index}"),
                _ => format!("{container}/-"),
            },
            _ => pointer,
        }
    }

    fn token(&mut self) -> String {
        escaped(if self.0.bool() { self.choose(&NAMES) } else { self.choose(&BAD_INDICES) })
    }
}

fn escaped(token: &str) -> String {
    format!("/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// The pointer without its last `levels` tokens.
fn ancestor(pointer: &str, levels: usize) -> &str {
    (0..levels)
        .fold(pointer, |pointer, _| pointer.rsplit_once('/').map_or("", |(parent, _)| parent))
}

/// An equal value, its integers written as doubles and its doubles as integers where they can be.
fn respelled(value: &Value) -> Value {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) if integer.unsigned_abs() <= 1 << 53 => json!(integer as f64),
            (None, Some(double)) if double.fract() == 0.0 && double.abs() <= 1e15 => {
                json!(double as i64)
            }
            _ => value.clone(),
        },
        Value::Array(elements) => elements.iter().map(respelled).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), respelled(value))).collect()
        }
        _ => value.clone(),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}
