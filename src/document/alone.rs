//! Which parts of a value are not shared.

use super::Value;
use super::btree;
use super::value::Repr;

impl Value {
    /// Whether more than `most` values in it are not shared, and so are freed if it is dropped. This looks at
    /// `most` values at most.
    pub fn has_alone_more_than(&self, most: usize) -> bool {
        let mut left = most;
        !self.all_alone(&mut left)
    }

    /// Counts them down from `left`. Returns whether `left` was enough for all.
    fn all_alone(&self, left: &mut usize) -> bool {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        match &self.0 {
            Repr::Array { length, items, .. } => {
                let items = (!items.is_shared()).then(|| items.items(*length));
                items.into_iter().flatten().all(|element| element.all_alone(left))
            }
            Repr::Object { length, items, .. } => {
                let items = (!items.is_shared()).then(|| items.items(*length));
                items.into_iter().flatten().all(|member| member.value.all_alone(left))
            }
            Repr::LongArray { kids, .. } => {
                btree::all_alone(kids, &mut |element| element.all_alone(left))
            }
            Repr::LongObject { kids, .. } => {
                btree::all_alone(kids, &mut |member| member.value.all_alone(left))
            }
            _ => true,
        }
    }
}
