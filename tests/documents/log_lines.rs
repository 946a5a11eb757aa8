//! docs/operations.md says of each line of level WARN or ERROR what it asks of whoever reads it. A row of its table
//! names a line by parts of it that stay the same, with `...` between them.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Lines that are put together elsewhere: the file and the text of the statement, where its texts are, and what they
/// have.
const ELSEWHERE: [(&str, &str, &str, &[&str]); 7] = [
    (
        "manager/committer.rs",
        "{line}",
        "manager/committer.rs",
        &[
            "there are two primaries",
            "is the primary no more",
            "there is no further epoch: nothing is made final",
            "this node makes nothing final before it has read all its peers to their end",
            "this node makes nothing final before it has read the peers that it can reach",
            "this node is the primary, and cannot make final what is written",
        ],
    ),
    (
        "node.rs",
        "{trouble}",
        "stream/security.rs",
        &[
            "the certificate of this node expires at {}: start it with a new one before that",
            "the certificate of this node {what}: others refuse it; start it with a new one",
        ],
    ),
    (
        "node.rs",
        "{UNREAD}",
        "mesh/downstream/downstreams.rs",
        &["no other patchmesh node has read it"],
    ),
    (
        "mesh/upstream/trouble.rs",
        "peer {}: {ITSELF}",
        "mesh/upstream.rs",
        &["the peer has this node's own source"],
    ),
    (
        "mesh/downstream.rs",
        "downstream {reader}: {end}",
        "mesh/downstream.rs",
        &["closed by the other side: a message is too large for it"],
    ),
    ("server.rs", "{from}: {end}", "http/body.rs", &BROKEN_OFF),
    ("events.rs", "events to {address}: {end}", "http/body.rs", &BROKEN_OFF),
];

const BROKEN_OFF: [&str; 2] = [
    "the answer has not the length that it says (a bug)",
    "its client reads so slowly that too much has changed",
];

/// A statement that logs with such a level, or may.
#[derive(Debug)]
struct Statement {
    file: String,
    text: String,
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code without tests, its texts in one line each.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut lines = code.split("\\\n");
    let mut joined = lines.next().unwrap_or_default().to_owned();
    lines.for_each(|line| joined.push_str(line.trim_start()));
    joined
}

/// The first text of a statement that begins there.
fn first_text(statement: &str) -> &str {
    let text = statement.split_once('"').map_or("", |(_, text)| text);
    let mut end = 0;
    while let Some(found) = text[end..].find('"') {
        end += found;
        if !text[..end].ends_with('\\') {
            return &text[..end];
        }
        end += 1;
    }
    text
}

/// What a file logs with such a level.
fn statements(file: &str, code: &str) -> Vec<Statement> {
    let macros = ["log::warn!(", "log::error!(", "log::log!("];
    let begins = macros.iter().flat_map(|name| code.match_indices(name));
    let texts = begins.map(|(begin, _)| first_text(&code[begin..]));
    texts.map(|text| Statement { file: file.to_owned(), text: text.to_owned() }).collect()
}

/// The parts of each row of the table.
fn rows(document: &str) -> Vec<Vec<String>> {
    let table = document.split("## What the log asks of you").nth(1).expect("there is the section");
    let table = table.split("\n## ").next().unwrap_or_default();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let parts = |cell: &str| {
        let parts = cell.split("...").map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    cells.map(|(cell, _)| parts(cell)).collect()
}

/// Whether a text has these parts, in this order.
fn has(text: &str, parts: &[String]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.find(part.as_str()) {
        Some(found) => {
            rest = &rest[found + part.len()..];
            true
        }
        None => false,
    })
}

/// What a statement says, as far as it is known here.
fn texts(statement: &Statement) -> Vec<String> {
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(file, text, ..)| (*file, *text) == (&statement.file, &statement.text));
    let Some((.., file, texts)) = elsewhere else { return vec![statement.text.clone()] };
    let there = code(&fs::read_to_string(root().join("src").join(file)).unwrap());
    for text in *texts {
        assert!(there.contains(text), "src/{file} does not have {text:?}");
    }
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What has no row, and rows that nothing has.
fn faults(statements: &[Statement], rows: &[Vec<String>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = vec![false; rows.len()];
    for statement in statements {
        for text in texts(statement) {
            let found: Vec<_> = (0..rows.len()).filter(|row| has(&text, &rows[*row])).collect();
            if found.is_empty() {
                faults.push(format!("src/{}: no row for {text:?}", statement.file));
            }
            found.into_iter().for_each(|row| used[row] = true);
        }
    }
    for (row, _) in rows.iter().zip(used).filter(|(_, used)| !used) {
        faults.push(format!("nothing says {row:?}"));
    }
    faults
}

#[test]
fn each_warning_and_error_has_its_row() {
    let src = root().join("src");
    let mut all = Vec::new();
    for path in source_files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        all.extend(statements(&name, &code(&fs::read_to_string(&path).unwrap())));
    }
    let rows = rows(&fs::read_to_string(root().join("docs/operations.md")).unwrap());
    let letters = |row: &[String]| row.iter().map(String::len).sum::<usize>();
    assert!(rows.iter().all(|row| letters(row) >= 10), "a row that fits everything: {rows:#?}");
    let faults = faults(&all, &rows);
    assert!(faults.is_empty(), "docs/operations.md: {}", faults.join("\n"));
    assert!(all.len() > 50, "{} statements", all.len());
}

#[test]
fn a_line_without_a_row_and_a_row_without_a_line_are_found() {
    let planted = "log::warn!(\n    \"it is \\\"{a}\\\" \\\n     and goes on\", a);\nlog::info!(\"no\");\n\
                   #[cfg(test)]\nmod tests { log::error!(\"no\") }";
    let found = statements("planted.rs", &code(planted));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text, "it is \\\"{a}\\\" and goes on");
    let document = "# a\n## What the log asks of you\n| line | what |\n| `it is ... goes on` | b |\n\
                    ## c\n| `d` | e |\n";
    assert_eq!(faults(&found, &rows(document)), Vec::<String>::new());
    assert_eq!(faults(&found, &rows(&document.replace("goes on", "ends"))).len(), 2);
}
