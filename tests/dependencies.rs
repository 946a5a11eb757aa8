//! Each crate that is used has a licence that deny.toml allows, comes from crates.io, and is there in one version
//! unless deny.toml says why not; and README says of each that patchmesh itself names what it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The texts in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// The value of a key in a line of TOML; none if the line has no such key.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    quoted(line.split_once(&format!("{key} = "))?.1).next()
}

/// The packages that are built for this machine, with all features.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version=1", "--all-features"]);
    command.args(["--filter-platform", host]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(metadata["packages"].take()).unwrap()
}

/// Whether one may choose licences among these that are all allowed. What is in parentheses has no `AND`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let alternatives = expression.replace(['(', ')'], "").replace('/', " OR ");
    alternatives
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|licence| allowed.contains(&licence)))
}

#[test]
fn each_licence_is_allowed() {
    let deny = read("deny.toml");
    let line = deny.lines().find(|line| line.starts_with("allow = ")).unwrap();
    let allowed: Vec<&str> = quoted(line).collect();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{}: {licence:?}", package["name"]);
    }
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &["MIT", "ISC"]), expected, "{expression}");
    }
}

#[test]
fn each_crate_is_of_crates_io_and_there_once_unless_there_is_a_reason() {
    let lock = read("Cargo.lock");
    let mut versions = BTreeMap::<&str, u32>::new();
    for name in lock.lines().filter(|line| line.starts_with("name = ")).flat_map(quoted) {
        *versions.entry(name).or_default() += 1;
    }
    versions.retain(|_, count| *count > 1);
    let deny = read("deny.toml");
    let skipped: BTreeMap<&str, u32> = deny
        .lines()
        .filter(|line| value(line, "reason").is_some_and(|reason| !reason.is_empty()))
        .map(|line| (value(line, "name").unwrap(), 2))
        .collect();
    assert_eq!(versions, skipped);
    for source in lock.lines().filter_map(|line| value(line, "source")) {
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index");
    }
}

#[test]
fn readme_says_what_each_dependency_is_for() {
    let packages = packages();
    let own = packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap();
    let dependencies = own["dependencies"].as_array().unwrap().iter();
    let mut named: Vec<&str> = dependencies
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect();
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## Dependencies\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let mut told = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(!cells[2].is_empty(), "{row}");
        told.extend(cells[1].split(", ").filter(|name| !name.contains(' ')));
    }
    named.sort_unstable();
    told.sort_unstable();
    assert_eq!(named, told);
}
