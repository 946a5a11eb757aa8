//! When two JSON values are equal, as the `test` operation asks (RFC 6902 section 4.6).

use serde_json::{Number, Value};

/// Whether two values are equal: numbers by value, so that 1 equals 1.0; strings by their
/// characters; arrays element by element; objects member by member in any order.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers_equal(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

/// Compares the numbers themselves: neither is rounded to the other's type.
fn numbers_equal(left: &Number, right: &Number) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left == right,
        // At most one has an integer's value, so they are equal only as two fractions.
        (None, None) => left.as_f64() == right.as_f64(),
        _ => false,
    }
}

/// The number as an integer, where its value is one that a 64-bit type can hold or could compare to.
fn integer(number: &Number) -> Option<i128> {
    /// Beyond this every double is an integer, and greater than all 64-bit integers: compared as a
    /// double.
    const LARGEST: f64 = 18_446_744_073_709_551_616.0;
    if let Some(unsigned) = number.as_u64() {
        return Some(unsigned.into());
    }
    if let Some(signed) = number.as_i64() {
        return Some(signed.into());
    }
    let double = number.as_f64()?;
    // The cast is exact: an integral double within this range fits an i128.
    (double.fract() == 0.0 && double.abs() < LARGEST).then_some(double as i128)
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
