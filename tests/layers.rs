//! Who may use whom. The core knows no I/O; the parts around it meet in the manager's handle.

use std::fs;
use std::path::{Path, PathBuf};

/// For each module, the modules of this crate that it may use besides itself.
const MAY_USE: [(&str, &[&str]); 19] = [
    ("source", &[]),
    ("clock", &["source"]),
    ("transaction", &["source", "clock"]),
    ("names", &["source"]),
    ("patch", &[]),
    ("replica", &["source", "clock", "transaction", "names", "patch"]),
    ("http", &[]),
    ("config", &["source"]),
    ("websocket", &[]),
    ("journal", &["source", "clock", "transaction"]),
    ("manager", &["source", "clock", "transaction", "patch", "replica", "journal"]),
    ("query", &["source", "transaction", "patch", "replica", "journal", "manager"]),
    ("downstream", &["source", "clock", "transaction", "manager", "websocket"]),
    ("events", &["clock", "patch", "manager", "http"]),
    ("upstream", &["source", "clock", "transaction", "names", "manager", "websocket", "config"]),
    (
        "routes",
        &[
            "source",
            "clock",
            "transaction",
            "patch",
            "replica::history",
            "replica::Placed",
            "replica::MAX_AHEAD_MICROS",
            "manager",
            "query",
            "http",
        ],
    ),
    ("server", &["http", "routes", "downstream", "events"]),
    ("maintenance", &["source", "transaction", "config", "journal", "manager"]),
    ("node", &["*"]),
];

/// Besides those above: the routes hand out sessions and show how the streams are.
const ROUTES_MAY_SHOW: [&str; 3] = ["downstream", "events", "upstream"];

const CORE: [&str; 6] = ["source", "clock", "transaction", "names", "patch", "replica"];

/// What the core must not know: sockets, files, tasks, the wall clock, chance, logs.
const OUTSIDE: [&str; 12] = [
    "smol",
    "async_",
    "futures_",
    "std::net",
    "std::fs",
    "std::io::Read",
    "std::time",
    "std::thread",
    "std::sync::Mutex",
    "fastrand",
    "log::",
    "std::env",
];

fn module_files(module: &str) -> Vec<PathBuf> {
    fn below(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join(format!("{module}.rs"))];
    below(&source.join(module), &mut files);
    files
}

/// The lines of a module's files that are part of the product.
fn product_lines(module: &str) -> Vec<(PathBuf, String)> {
    let mut lines = Vec::new();
    for file in module_files(module) {
        if file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap();
        for line in product.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            lines.push((file.clone(), line.to_owned()));
        }
    }
    lines
}

#[test]
fn every_module_has_its_place() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(MAY_USE.iter().any(|(name, _)| *name == module), "{module} is not in the table");
    }
}

#[test]
fn modules_use_only_what_is_below_them() {
    for (module, may_use) in MAY_USE {
        let allowed = |used: &str| {
            let is = |name: &str| {
                used.strip_prefix(name).is_some_and(|rest| {
                    !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
                })
            };
            may_use.contains(&"*")
                || is(module)
                || may_use.iter().any(|name| is(name))
                || (module == "routes" && ROUTES_MAY_SHOW.iter().any(|name| is(name)))
        };
        for (file, line) in product_lines(module) {
            for (at, prefix) in line.match_indices("crate::") {
                assert!(allowed(&line[at + prefix.len()..]), "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn the_core_knows_nothing_of_the_outside() {
    for module in CORE {
        for (file, line) in product_lines(module) {
            for outside in OUTSIDE {
                assert!(!line.contains(outside), "{}: {line}", file.display());
            }
        }
    }
}
