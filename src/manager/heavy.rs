//! Values that keep nobody waiting when they are dropped.

use std::ops::Deref;

use crate::document::Value;
use crate::drops;

/// Up to so many values are freed where they are dropped, which takes less than a tenth of a millisecond.
const FREED_IN_PLACE: usize = 1000;

/// A value that may be heavy. If nobody else holds it any more when it is dropped, or much of it, another
/// thread frees that.
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
