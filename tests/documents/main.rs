//! Links in README, CHANGELOG and docs/ lead somewhere: to a file that is there, and to a heading that it has. A
//! link that shows a name of the code, such as [`name`](../src/file.rs), leads to a file with that name in it.

mod log_lines;

use std::fs;
use std::path::{Path, PathBuf};

/// What `[text](target)` has, and in which line.
struct Link {
    line: usize,
    text: String,
    target: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    })
}

fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, rest) in prose(text) {
        let mut parts = rest.split("](");
        let mut before = parts.next().unwrap_or_default();
        for part in parts {
            let Some((target, after)) = part.split_once(')') else { break };
            let text = before.rsplit('[').next().unwrap_or_default();
            links.push(Link { line, text: text.into(), target: target.into() });
            before = after;
        }
    }
    links
}

/// What a heading is called in links, as GitHub does it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|kept| kept.is_alphanumeric() || "-_".contains(*kept)).collect()
}

fn has_heading(text: &str, wanted: &str) -> bool {
    let headings =
        prose(text).filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' '));
    headings.into_iter().any(|heading| anchor(heading) == wanted)
}

/// What is wrong with a link of the document at `path`, if anything.
fn fault(path: &Path, link: &Link) -> Option<String> {
    if link.target.contains("://") {
        return None;
    }
    let (file, heading) = link.target.split_once('#').unwrap_or((&link.target, ""));
    let file = if file.is_empty() { path.to_owned() } else { path.parent()?.join(file) };
    if !file.exists() {
        return Some("there is no such file".into());
    }
    let Ok(text) = fs::read_to_string(&file) else { return None };
    if !heading.is_empty() && !has_heading(&text, heading) {
        return Some("there is no such heading".into());
    }
    let name = link.text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    let is_there = name.is_none_or(|name| text.contains(&format!(" {name}")));
    (!is_there).then(|| "that file does not have the name".into())
}

#[test]
fn links_lead_somewhere() {
    let (mut count, mut faults) = (0, Vec::new());
    for path in documents() {
        let links = links(&fs::read_to_string(&path).unwrap());
        count += links.len();
        faults.extend(links.iter().filter_map(|link| {
            let Link { line, text, target } = link;
            Some(format!("{}:{line}: [{text}]({target}): {}", path.display(), fault(&path, link)?))
        }));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 20, "{count} links");
}

#[test]
fn each_kind_of_trouble_is_explained() {
    let health = fs::read_to_string(root().join("src/routes/health.rs")).unwrap();
    let health = health.split("#[cfg(test)]").next().unwrap();
    let kinds = health.split("kind: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let kinds: Vec<_> = kinds.collect();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for kind in kinds {
        assert!(operations.contains(&format!("\n| `{kind}`")), "docs/operations.md lacks {kind}");
    }
}

#[test]
fn what_is_planted_is_found() {
    let text = "# A page\n[`fold`](nowhere.rs) and [`nowhere_to_be_found`](src/lib.rs),\n\
                [here](README.md#no-such-heading), [`replica`](src/lib.rs)\n```\n[no](link)\n```\n";
    let is_wrong = |link: &Link| fault(&root().join("planted.md"), link).is_some();
    let found: Vec<_> = links(text).iter().map(is_wrong).collect();
    assert_eq!(found, [true, true, true, false]);
    assert!(has_heading(text, "a-page"));
}
