//! Large values, which another thread frees.

use std::ops::Deref;

use crate::document::Value;
use crate::drops;

/// Up to so many values are freed on the spot, which takes less than a tenth of a millisecond.
const FREED_IN_PLACE: usize = 1000;

/// A value that may be heavy. If it is dropped, and most of it is not shared, another thread frees it.
#[derive(Clone, Debug)]
pub struct Heavy(Value);

impl From<Value> for Heavy {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Deref for Heavy {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        let weight = self.0.weight();
        if weight > drops::LIGHT && self.0.has_alone_more_than(FREED_IN_PLACE) {
            drops::send(std::mem::take(&mut self.0), weight);
        }
    }
}
