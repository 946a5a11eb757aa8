//! Documents and patches out of choices, wherever these come from, and what the second implementation
//! says of them.

use serde_json::{Map, Value, json};

use crate::naive;

/// Few names, so that pointers often meet; and all that are special somewhere.
const NAMES: [&str; 9] = ["a", "b", "c", "", "/", "~1", "m~n", "0", "-"];

/// Tokens that are the index of an element nowhere, or only of a rare one.
const BAD_INDICES: [&str; 7] = ["-", "00", "01", "-1", "7", "1.0", "18446744073709551616"];

/// Makes documents and patches out of choices.
pub struct Random<C>(pub C);

/// Where choices come from.
pub trait Choices {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize;
}

impl<C: Choices> Random<C> {
    /// True so many times in a hundred.
    fn percent(&mut self, percent: usize) -> bool {
        self.0.below(100) < percent
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.below(choices.len())]
    }

    /// A value with at most so many containers in one another.
    pub fn value(&mut self, depth: usize) -> Value {
        let containers = if depth > 0 { 4 } else { 0 };
        match self.0.below(6 + containers) {
            0 => Value::Null,
            1 => (self.0.below(2) == 0).into(),
            2 | 3 => self.number(),
            4 => "".into(),
            5 => self.choose(&["x", "é", "\"\\\n", "1"]).into(),
            6 | 7 => (0..self.0.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let names = (0..self.0.below(5)).map(|_| self.choose(&NAMES).to_owned());
                let names: Vec<_> = names.collect();
                let members = names.into_iter().map(|name| (name, self.value(depth - 1)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    fn number(&mut self) -> Value {
        let integers = [0, 1, -1, i64::MIN, 1 << 53, (1 << 53) + 1];
        let doubles = [0.0, -0.0, 1.0, 0.1, -2.5e-308, 1e300, 9_007_199_254_740_992.0];
        match self.0.below(3) {
            0 => self.choose(&integers).into(),
            1 => self.choose(&doubles).into(),
            _ => self.choose(&[u64::MAX, 2, 3]).into(),
        }
    }

    /// A patch for this document, and the document that it makes or the index of the operation that
    /// does not apply.
    pub fn patch(&mut self, document: &Value) -> (Vec<Value>, Result<Value, usize>) {
        let hits = self.choose(&[70, 98]);
        let mut now = document.clone();
        let mut patch = Vec::new();
        let mut failed = None;
        for index in 0..1 + self.0.below(8) {
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
    fn operation(&mut self, document: &Value, hits: usize) -> Value {
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
                let path = match self.0.below(6) {
                    0 => ancestor(&from, self.0.below(4)).to_owned(),
                    1 if self.percent(100 - hits) => format!("{from}{}", self.token()),
                    2 => from.clone(),
                    _ => self.place(document, hits),
                };
                json!({"op": op, "from": from, "path": path})
            }
        }
    }

    /// The pointer to something that is there, as a rule.
    fn existing(&mut self, document: &Value, hits: usize) -> String {
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
            let (token, child) = &children[self.0.below(children.len())];
            pointer += &escaped(token);
            value = child;
        }
        if !self.percent(hits) {
            pointer += &self.token();
        }
        pointer
    }

    /// The pointer to where something can be added, as a rule.
    fn place(&mut self, document: &Value, hits: usize) -> String {
        let pointer = self.existing(document, hits);
        let container = ancestor(&pointer, 1);
        let container = if self.0.below(2) == 0 { container } else { &pointer };
        match naive::get(document, &naive::tokens(container)) {
            Some(Value::Object(_)) => format!("{container}{}", escaped(self.choose(&NAMES))),
            Some(Value::Array(elements)) => match self.0.below(elements.len() + 2) {
                index if index <= elements.len() => format!("{container}/{index}"),
                _ => format!("{container}/-"),
            },
            _ => pointer,
        }
    }

    fn token(&mut self) -> String {
        escaped(if self.0.below(2) == 0 { self.choose(&NAMES) } else { self.choose(&BAD_INDICES) })
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

/// A value that is equal, or almost: its integers written as doubles and its doubles as integers, if they
/// can be.
fn respelled(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(double) if !number.is_f64() => json!(double),
            Some(double) if double.fract() == 0.0 && double.abs() <= 1e15 => json!(double as i64),
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
