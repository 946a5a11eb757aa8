//! Which module may use which. The core knows no I/O; the parts around it meet in the manager's handle.

mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use paths::{Named, named};

/// For each module, the modules of this crate that it may use besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("foreign", &[]),
    ("log_format", &["foreign"]),
    ("source", &[]),
    ("clock", &["source"]),
    ("json_text", &[]),
    ("transaction", &["source", "clock", "json_text"]),
    ("commit", &["source", "clock", "transaction"]),
    ("locks", &[]),
    ("shared", &[]),
    ("names", &["source", "shared"]),
    ("document", &["json_text"]),
    ("patch", &["document"]),
    (
        "replica",
        &["source", "clock", "transaction", "commit", "shared", "names", "document", "patch"],
    ),
    ("drops", &[]),
    ("histogram", &[]),
    ("fanout", &["locks"]),
    ("blocking", &[]),
    ("shutdown", &[]),
    ("progress", &[]),
    ("backoff", &[]),
    ("http", &["locks"]),
    ("tokens", &["locks"]),
    ("duration_text", &[]),
    ("config", &["source", "duration_text", "log_format"]),
    ("journal", &["blocking", "source", "clock", "transaction", "histogram", "json_text", "locks"]),
    (
        "manager",
        &[
            "blocking",
            "source",
            "clock",
            "transaction",
            "commit",
            "document",
            "drops",
            "fanout",
            "histogram",
            "locks",
            "patch",
            "replica",
            "journal",
            "progress",
        ],
    ),
    (
        "query",
        &["blocking", "source", "clock", "transaction", "patch", "replica", "journal", "manager"],
    ),
    ("stream", &["blocking", "config"]),
    ("remote", &["config", "http::ReadBuffer", "stream"]),
    (
        "events",
        &[
            "blocking", "document", "patch", "manager", "fanout", "http", "locks", "shutdown",
            "stream",
        ],
    ),
    (
        "mesh",
        &[
            "blocking",
            "source",
            "clock",
            "transaction",
            "commit",
            "names",
            // A base is taken apart for the wire, and put together again.
            "document",
            "patch",
            "replica::Base",
            "replica::base",
            "replica::Refusal",
            // A report from further ahead is not believed, as a transaction is not.
            "replica::MAX_AHEAD_MICROS",
            // Which peers were added is kept beside the journal.
            "journal::PeerList",
            "manager",
            "query",
            "backoff",
            "config",
            "fanout",
            "foreign",
            "histogram",
            "locks",
            "shutdown",
            "stream",
            "tokens",
        ],
    ),
    (
        "routes",
        &[
            "blocking",
            "source",
            "clock",
            "transaction",
            "document",
            "patch",
            "replica::history",
            "replica::Difference",
            "replica::Placed",
            "replica::MAX_AHEAD_MICROS",
            "manager",
            "query",
            "duration_text",
            "http",
            "histogram",
            "shutdown",
            "stream",
            "tokens",
            // A peer is named as in the command line.
            "config::Peer",
            "config::Origins",
        ],
    ),
    ("server", &["http", "locks", "routes", "shutdown", "stream"]),
    (
        "maintenance",
        // It reads what a running node has as a new peer does.
        &[
            "blocking",
            "source",
            "clock",
            "transaction",
            "config",
            "journal",
            "manager",
            "progress",
            "remote",
            "mesh::websocket",
        ],
    ),
    (
        "client",
        &[
            "blocking",
            "source",
            "clock::MAX_SAFE_INTEGER",
            "transaction::MAX_PAYLOAD_BYTES",
            "document",
            "patch",
            "backoff",
            "config",
            "foreign",
            "progress",
            // What is exported has its name only when it is whole.
            "journal::NewFile",
            "remote",
        ],
    ),
    ("node", &["*"]),
    (
        "embed",
        &["config", "document", "locks", "manager", "node", "patch", "shutdown", "transaction"],
    ),
    (
        "program",
        &["blocking", "client", "config", "foreign", "log_format", "maintenance", "node", "tokens"],
    ),
    ("internals", &["*"]),
];

/// Besides those above: the routes hand out sessions, say which process this is, and show how the streams are and
/// what nodes tell.
const ROUTES_MAY_SHOW: [&str; 6] = [
    "mesh::downstream",
    "events",
    "mesh::upstream",
    "mesh::tree::ProcessId",
    "mesh::gossip",
    "mesh::members::Report",
];

const CORE: [&str; 10] = [
    "source",
    "clock",
    "json_text",
    "transaction",
    "commit",
    "shared",
    "names",
    "document",
    "patch",
    "replica",
];

/// What the core must not know: sockets, files, tasks, the wall clock, chance, logs.
const OUTSIDE: [&str; 12] = [
    "smol",
    "async_*",
    "futures_*",
    "std::net",
    "std::fs",
    "std::io::Read",
    "std::time",
    "std::thread",
    "std::sync::Mutex",
    "fastrand",
    "log",
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
    let mut files = vec![source_folder().join(format!("{module}.rs"))];
    below(&source_folder().join(module), &mut files);
    files
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The paths that a module's files name in what is part of the product, each with where that is.
fn product_paths(module: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in module_files(module).into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(source_folder()).unwrap().with_extension("");
        let place: Vec<_> = place.iter().map(|name| name.to_str().unwrap()).collect();
        for Named { line, path } in named(&text, &place) {
            found.push((format!("{}:{line}: {path}", file.display()), path));
        }
    }
    found
}

/// Whether `path` is `name` or below it.
fn is_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether the files of `module` may name `path`.
fn may_name(module: &str, path: &str) -> bool {
    let Some(used) = path.strip_prefix("crate::") else { return true };
    let (_, may_use) =
        MAY_USE.iter().find(|(name, _)| *name == module).expect("it is in the table");
    may_use.contains(&"*")
        || is_below(used, module)
        || may_use.iter().any(|name| is_below(used, name))
        || (module == "routes" && ROUTES_MAY_SHOW.iter().any(|name| is_below(used, name)))
}

/// Whether the core may name `path`.
fn core_may_name(path: &str) -> bool {
    !OUTSIDE.iter().any(|outside| match outside.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => is_below(path, outside),
    })
}

#[test]
fn every_module_has_its_place() {
    let lib = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let modules = lib.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
    let modules: Vec<_> = modules.collect();
    assert!(modules.len() >= CORE.len());
    for module in modules {
        assert!(MAY_USE.iter().any(|(name, _)| *name == module), "{module} is not in the table");
    }
}

#[test]
fn modules_use_only_what_is_below_them() {
    for (module, _) in MAY_USE {
        for (place, path) in product_paths(module) {
            assert!(may_name(module, &path), "{place}");
        }
    }
}

#[test]
fn what_sends_and_what_receives_do_not_know_each_other() {
    for (one, other) in [("downstream", "upstream"), ("upstream", "downstream")] {
        let (here, other) = (format!("src/mesh/{one}"), format!("crate::mesh::{other}"));
        for (place, path) in product_paths("mesh") {
            assert!(!place.contains(&here) || !is_below(&path, &other), "{place}");
        }
    }
}

#[test]
fn the_core_knows_nothing_of_the_outside() {
    for module in CORE {
        for (place, path) in product_paths(module) {
            assert!(core_may_name(&path), "{place}");
        }
    }
}

#[test]
fn what_is_planted_is_found() {
    for (module, source) in [
        (&["manager", "at"][..], "super::super::routes::Routes::new()"),
        (&["routes"], "fn f(journal: &crate::journal::Journal) {}"),
        (&["routes", "get"], "super::super::replica::Replica::default()"),
        (&["http", "head"], "use super::super::{manager::Handle};"),
        (&["clock"], "use super::replica;"),
        (&["clock"], "use crate as root;"),
    ] {
        let found = named(source, module);
        assert!(found.iter().any(|named| !may_name(module[0], &named.path)), "{source}: {found:?}");
    }
    for source in ["std::{fmt, fs}", "::smol::Timer", "async_channel::bounded(1)", "log::warn!()"] {
        let found = named(source, &["clock"]);
        assert!(found.iter().any(|named| !core_may_name(&named.path)), "{source}");
    }
}
