//! What values and patches weigh, and how deep values are.

use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, ReplaceOperation,
    TestOperation,
};
use serde_json::{Map, Value};

pub const VALUE_WEIGHT: u64 = 32;

/// What a value weighs, and how many arrays and objects lie in one another in it.
#[derive(Clone, Copy)]
pub struct Measure {
    pub weight: u64,
    pub depth: usize,
}

impl Measure {
    /// Most values in patches are no containers: those are measured where this is called.
    #[inline]
    pub fn of(value: &Value) -> Self {
        let weight = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => VALUE_WEIGHT,
            Value::String(text) => VALUE_WEIGHT + text.len() as u64,
            Value::Array(elements) => return Self::of_array(elements),
            Value::Object(members) => return Self::of_object(members),
        };
        Self { weight, depth: 0 }
    }

    fn of_array(elements: &[Value]) -> Self {
        let mut measure = Self { weight: VALUE_WEIGHT, depth: 1 };
        elements.iter().for_each(|element| measure.include(element));
        measure
    }

    fn of_object(members: &Map<String, Value>) -> Self {
        let mut measure = Self { weight: VALUE_WEIGHT, depth: 1 };
        for (name, value) in members {
            measure.weight += name_weight(name);
            measure.include(value);
        }
        measure
    }

    /// Adds what lies in the container measured.
    fn include(&mut self, value: &Value) {
        let inside = Self::of(value);
        self.weight += inside.weight;
        self.depth = self.depth.max(inside.depth + 1);
    }
}

pub fn name_weight(name: &str) -> u64 {
    VALUE_WEIGHT + name.len() as u64
}

/// About the memory that a patch takes, in bytes.
pub fn weight(patch: &Patch) -> u64 {
    let operation_weight = |operation: &PatchOperation| {
        let other = match operation {
            PatchOperation::Add(AddOperation { value, .. })
            | PatchOperation::Replace(ReplaceOperation { value, .. })
            | PatchOperation::Test(TestOperation { value, .. }) => Measure::of(value).weight,
            PatchOperation::Move(MoveOperation { from, .. })
            | PatchOperation::Copy(CopyOperation { from, .. }) => name_weight(from.as_str()),
            PatchOperation::Remove(_) => 0,
        };
        name_weight(operation.path().as_str()) + other
    };
    patch.iter().map(operation_weight).sum()
}
