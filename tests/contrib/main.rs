//! What contrib has for the command line is made of the tables in `src/config`, and works.
//!
//! `PATCHMESH_REWRITE=1 cargo test --test contrib` writes it anew. What needs a program that is not there is skipped
//! and says so.

mod completions;
mod man;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use patchmesh::internals::config::COMMANDS;

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib")
}

#[test]
fn contrib_follows_the_tables() {
    for (name, text) in [
        ("completions/patchmesh.bash", completions::bash()),
        ("completions/_patchmesh", completions::zsh()),
        ("completions/patchmesh.fish", completions::fish()),
        ("man/patchmesh.1", man::page()),
    ] {
        let path = contrib().join(name);
        if std::env::var_os("PATCHMESH_REWRITE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // The other tests read it meanwhile.
            let new = path.with_extension("new");
            fs::write(&new, &text).unwrap();
            fs::rename(new, &path).unwrap();
        }
        let is_true = fs::read_to_string(&path).is_ok_and(|there| there == text);
        assert!(
            is_true,
            "contrib/{name}: write it anew by PATCHMESH_REWRITE=1 cargo test --test contrib"
        );
    }
}

#[test]
fn readme_names_all_commands_and_the_flags_of_a_node() {
    let readme = fs::read_to_string(contrib().parent().unwrap().join("README.md")).unwrap();
    let words: Vec<_> =
        readme.split(|letter: char| !letter.is_alphanumeric() && letter != '-').collect();
    for command in COMMANDS {
        assert!(command.name.is_empty() || words.contains(&command.name), "{}", command.name);
        for flag in command.flags().filter(|_| command.name.is_empty()) {
            assert!(words.contains(&&*format!("--{}", flag.name)), "--{}", flag.name);
        }
    }
}

/// What a program prints, standard error behind standard output; none if it is not there.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contrib");
    fs::create_dir_all(folder.join("a folder")).unwrap();
    fs::write(folder.join("a file"), "").unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).current_dir(folder).env("LC_ALL", "C.UTF-8");
    let Ok(output) = command.output() else {
        // The macros' output is only seen if a test fails.
        writeln!(std::io::stderr(), "SKIPPED: what needs {program}").ok();
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(text).unwrap())
}

/// Lines, and the words that complete them.
const COMPLETED: [(&str, &[&str]); 14] = [
    ("patchmesh pe", &["peers"]),
    ("patchmesh re", &["remove", "restore"]),
    ("patchmesh --pri", &["--primary"]),
    ("patchmesh 127.0.0.1:8080 --data ", &["a folder"]),
    ("patchmesh 127.0.0.1:8080 --log-format ", &["json", "text"]),
    ("patchmesh get --p", &["--pretty"]),
    ("patchmesh get http://127.0.0.1:8080 --c", &["--committed"]),
    ("patchmesh peers ", &["add", "list", "remove"]),
    ("patchmesh peers a", &["add"]),
    ("patchmesh peers list ", &[]),
    ("patchmesh import http://127.0.0.1:8080,b:1 /list a", &["a file", "a folder"]),
    ("patchmesh set 127.0.0.1:8080 /list a", &["a file", "a folder"]),
    ("patchmesh restore 'f' ", &["a folder"]),
    ("patchmesh get --timeout ", &[]),
];

/// Checks the words that complete each line, one a line in what `complete` answers.
fn check_completed(complete: impl Fn(&str) -> Option<String>) {
    for (line, expected) in COMPLETED {
        let Some(answer) = complete(line) else { return };
        // fish puts what it is behind a tab, and a slash behind a folder, and quotes what has a space.
        let words = answer.lines().map(|line| line.split('\t').next().unwrap_or_default());
        let words = words.map(|word| word.trim_end_matches('/').replace('\\', ""));
        let mut words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        words.sort_unstable();
        assert_eq!(words, expected, "{line:?}: {answer}");
    }
}

#[test]
fn bash_completes_what_fits() {
    let file = contrib().join("completions/patchmesh.bash");
    let script = r#"source "$1"; COMP_LINE=$2 COMP_POINT=${#2}
        read -ra COMP_WORDS <<<"$2"; [[ $2 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _patchmesh; printf '%s\n' "${COMPREPLY[@]}""#;
    check_completed(|line| output("bash", &["-c", script, "bash", file.to_str()?, line]));
    // As bash takes it apart.
    let script = r#"source "$1"; COMP_LINE='patchmesh a:1 --log-format=j' COMP_POINT=28
        COMP_WORDS=(patchmesh a : 1 --log-format = j) COMP_CWORD=6
        _patchmesh; printf '%s\n' "${COMPREPLY[@]}""#;
    if let Some(answer) = output("bash", &["-c", script, "bash", file.to_str().unwrap()]) {
        assert_eq!(answer, "json\n");
    }
}

#[test]
fn fish_completes_what_fits() {
    let file = contrib().join("completions/patchmesh.fish");
    let script = "source $argv[1]; complete -C $argv[2]";
    check_completed(|line| output("fish", &["--no-config", "-c", script, file.to_str()?, line]));
}

#[test]
fn zsh_reads_its_completions() {
    let file = contrib().join("completions/_patchmesh");
    if let Some(answer) = output("zsh", &["-f", "-n", file.to_str().unwrap()]) {
        assert_eq!(answer, "");
    }
}

#[test]
fn the_man_page_has_no_fault() {
    let page = contrib().join("man/patchmesh.1");
    let page = page.to_str().unwrap();
    if let Some(faults) = output("mandoc", &["-T", "lint", "-W", "error", page]) {
        assert_eq!(faults, "");
    }
    if let Some(faults) = output("groff", &["-man", "-ww", "-z", page]) {
        assert_eq!(faults, "");
    }
    if let Some(text) = output("man", &["-l", "-P", "cat", page]) {
        for said in ["patchmesh get URL [POINTER]", "PATCHMESH_TOKEN_FILE", "--token-file FILE"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
