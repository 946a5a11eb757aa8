//! When two values are equal.

use super::item::Item;
use super::value::{Items, Repr, Value};

/// Whether two values are equal as the `test` operation asks (RFC 6902 section 4.6): numbers by value,
/// so that 1 equals 1.0; strings by their characters; arrays element by element; objects member by
/// member.
pub fn equal(left: &Value, right: &Value) -> bool {
    // Equal values have equal weights and depths, since all numbers weigh the same.
    left.sum() == right.sum() && equal_by(left, right, &numbers_equal)
}

/// Two values are the same if their texts are the same.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        let same = |left: &Repr, right: &Repr| match (left, right) {
            (Repr::Int(left), Repr::Int(right)) => left == right,
            (Repr::Uint(left), Repr::Uint(right)) => left == right,
            (Repr::Float(left), Repr::Float(right)) => left.to_bits() == right.to_bits(),
            _ => false,
        };
        self.sum() == other.sum() && equal_by(self, other, &same)
    }
}

impl Value {
    /// Whether both are the same memory, and so equal. A value in place, such as a number, never is.
    pub fn is_same(&self, other: &Self) -> bool {
        if let (Repr::Text(left), Repr::Text(right)) = (&self.0, &other.0) {
            return std::ptr::eq(&left.slice, &right.slice);
        }
        if let (Some(left), Some(right)) = (self.array_items(), other.array_items()) {
            return left.is_same(&right);
        }
        let items = self.object_items().zip(other.object_items());
        items.is_some_and(|(left, right)| left.is_same(&right))
    }
}

fn equal_by(left: &Value, right: &Value, numbers: &impl Fn(&Repr, &Repr) -> bool) -> bool {
    match (&left.0, &right.0) {
        (Repr::Null, Repr::Null) => true,
        (Repr::Bool(left), Repr::Bool(right)) => left == right,
        (
            Repr::Int(_) | Repr::Uint(_) | Repr::Float(_),
            Repr::Int(_) | Repr::Uint(_) | Repr::Float(_),
        ) => numbers(&left.0, &right.0),
        (Repr::Text(left), Repr::Text(right)) => {
            std::ptr::eq(&left.slice, &right.slice) || left.slice == right.slice
        }
        (Repr::Short(..), _) => left.text() == right.text(),
        _ => {
            if let (Some(left), Some(right)) = (left.array_items(), right.array_items()) {
                return all_equal(left, right, |left, right| equal_by(left, right, numbers));
            }
            if let (Some(left), Some(right)) = (left.object_items(), right.object_items()) {
                return all_equal(left, right, |left, right| {
                    left.name == right.name && equal_by(&left.value, &right.value, numbers)
                });
            }
            false
        }
    }
}

fn all_equal<T: Item>(left: Items<T>, right: Items<T>, equal: impl Fn(&T, &T) -> bool) -> bool {
    left.is_same(&right)
        || (left.len() == right.len()
            && left.iter().zip(right.iter()).all(|(left, right)| equal(left, right)))
}

/// Compares the numbers themselves: neither is rounded to the other's type.
fn numbers_equal(left: &Repr, right: &Repr) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left == right,
        // At most one of them is an integer, so they can be equal only as two fractions.
        (None, None) => matches!((left, right), (Repr::Float(l), Repr::Float(r)) if l == r),
        _ => false,
    }
}

/// The number as an integer, if its value is an integer and not far beyond the 64-bit types.
fn integer(number: &Repr) -> Option<i128> {
    /// Every double beyond this is greater than all 64-bit integers, and is compared as a double.
    const LARGEST: f64 = 18_446_744_073_709_551_616.0;
    match *number {
        Repr::Int(number) => Some(number.into()),
        Repr::Uint(number) => Some(number.into()),
        // The cast is exact: an integral double in this range fits into an i128.
        Repr::Float(double) => {
            (double.fract() == 0.0 && double.abs() < LARGEST).then_some(double as i128)
        }
        _ => None,
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let table = [
            ("1", "1.0", true),
            ("1", "1e0", true),
            ("0", "-0.0", true),
            ("-1", "-1.0", true),
            ("100", "1E+2", true),
            ("1", "1.5", false),
            ("1", "-1", false),
            ("0.1", "0.1", true),
            ("0.1", "0.10000000000000001", true),
            ("9007199254740993", "9007199254740992.0", false),
            ("9007199254740992", "9007199254740992.0", true),
            ("18446744073709551615", "18446744073709551616", false),
            ("18446744073709551616", "1.8446744073709551616e19", true),
            ("-9223372036854775808", "-9223372036854775808.0", true),
            ("1e300", "1e300", true),
            ("1e300", "1e301", false),
            ("1", "\"1\"", false),
            ("0", "null", false),
            ("0", "false", false),
        ];
        for (left, right, expected) in table {
            let [left, right]: [Value; 2] =
                [left, right].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(equal(&left, &right), expected, "{left} and {right}");
            assert_eq!(equal(&right, &left), expected, "{right} and {left}");
        }
    }

    #[test]
    fn containers_are_compared_by_their_content() {
        let table = [
            ("{}", "[]", false),
            ("{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1.0}", true),
            ("{\"a\":1}", "{\"a\":1,\"b\":2}", false),
            ("{\"a\":1}", "{\"b\":1}", false),
            ("[1,2]", "[2,1]", false),
            ("[1,2]", "[1,2,3]", false),
            ("[[],{}]", "[[],{}]", true),
            ("\"\\u00e9\"", "\"é\"", true),
            ("\"e\\u0301\"", "\"é\"", false),
        ];
        for (left, right, expected) in table {
            let [left, right]: [Value; 2] =
                [left, right].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(equal(&left, &right), expected, "{left} and {right}");
        }
    }
}
