//! Whether this build reads and writes JSON as all nodes do.
//!
//! Cargo builds a library once, with all features that any crate of the build wants. So another crate of a
//! program that embeds this one can switch on features of serde_json with which a node would write other
//! bytes than its peers, and decide differently.

/// A text that becomes another one in a [`serde_json::Value`] if serde_json has such a feature.
const PROBE: &str = r#"{"b":[1.0e2,18446744073709551616,0.1],"a":0}"#;

/// That text as every node writes it.
const EXPECTED: &str = r#"{"a":0,"b":[100.0,1.8446744073709552e+19,0.1]}"#;

/// Makes sure that this build reads and writes JSON as all nodes do.
///
/// # Panics
/// If it does not, with the reason: no node can run in such a build.
pub fn assert_json_is_as_agreed() {
    let probe: serde_json::Value = serde_json::from_str(PROBE).expect("the probe is JSON");
    if let Err(why) = check(&probe.to_string()) {
        panic!("patchmesh cannot run in this build: {why}");
    }
}

/// Compares the text that the probe has become with the one expected.
fn check(written: &str) -> Result<(), String> {
    let feature = if written == EXPECTED {
        return Ok(());
    } else if written.find("\"b\"") < written.find("\"a\"") {
        "preserve_order, by which documents are not in the order of their names"
    } else if written.contains("18446744073709551616") {
        "arbitrary_precision, by which numbers are not 64-bit integers and doubles"
    } else {
        return Err(format!("serde_json writes {PROBE} as {written}, and not as {EXPECTED}"));
    };
    Err(format!(
        "serde_json has the feature {feature}, so that it would come to other documents than its \
         peers; `cargo tree -e features -i serde_json` shows who wants it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_is_as_agreed() {
        assert_json_is_as_agreed();
    }

    #[test]
    fn features_that_would_part_nodes_are_named() {
        for (written, why) in [
            (EXPECTED, None),
            (r#"{"b":[100.0,1.8446744073709552e+19,0.1],"a":0}"#, Some("preserve_order")),
            (r#"{"a":0,"b":[1.0e2,18446744073709551616,0.1]}"#, Some("arbitrary_precision")),
            (PROBE, Some("preserve_order")),
            (r#"{"a":0,"b":[100.0,1.8446744073709552e+19,0.10000000000000002]}"#, Some("writes")),
        ] {
            let found = check(written).err();
            let is_named = |why| found.as_ref().is_some_and(|found| found.contains(why));
            assert!(why.map_or(found.is_none(), is_named), "{written}: {found:?}");
        }
    }
}
