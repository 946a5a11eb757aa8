//! What is in contrib/ to run nodes by is good: the unit by the judgement of systemd's own tools, the image by a
//! build of it. It and README name flags that there are, and one version of Rust. What needs a tool that is not there
//! is skipped and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exposure that systemd finds, in tenths: it calls 1.4 OK, and a service without any measure 9.6.
const MOST_EXPOSURE: &str = "14";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn is_there(command: &str, argument: &str) -> bool {
    let there = Command::new(command).arg(argument).output().is_ok_and(|run| run.status.success());
    if !there {
        eprintln!("SKIPPED: {command} {argument} does not work here");
    }
    there
}

/// The unit, as a file that can be verified on a machine on which it is not installed.
fn unit(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("patchmesh.service");
    let text = text.replace("/usr/local/bin/patchmesh", env!("CARGO_BIN_EXE_patchmesh"));
    fs::write(&file, text).unwrap();
    file
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze").args(arguments).arg(unit).output().unwrap()
}

/// What systemd has against the unit; empty if nothing.
fn faults(unit: &Path) -> String {
    let verified = analyze(&["verify", "--man=no"], unit);
    let judged = analyze(&["security", "--offline=yes", "--threshold", MOST_EXPOSURE], unit);
    let mut faults = String::from_utf8(verified.stderr).unwrap();
    if !verified.status.success() {
        faults.push_str("it cannot be used\n");
    }
    if !judged.status.success() {
        faults.push_str(&String::from_utf8(judged.stdout).unwrap());
    }
    faults
}

#[test]
fn systemd_has_nothing_against_the_unit() {
    if !is_there("systemd-analyze", "--version") {
        return;
    }
    let text = read("contrib/patchmesh.service");
    assert_eq!(faults(&unit("unit", &text)), "");
    for (planted, instead) in [
        ("ProtectSystem=strict", "ProtectSysten=strict"),
        ("/usr/local/bin/patchmesh", "/nowhere/patchmesh"),
        ("CapabilityBoundingSet=\n", ""),
    ] {
        assert!(text.contains(planted));
        let text = text.replace(planted, instead);
        assert_ne!(faults(&unit("planted", &text)), "", "{instead}");
    }
}

/// The names of environment variables of ours in a text.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |character: char| character.is_ascii_uppercase() || character == '_';
    let words = text.split(move |character| !is_name(character));
    words.filter_map(|word| word.strip_prefix("PATCHMESH_")).filter(|name| !name.is_empty())
}

#[test]
fn each_variable_is_a_flag() {
    let help = Command::new(env!("CARGO_BIN_EXE_patchmesh")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let is_flag = |name: &str| match name {
        "ADDRESS" | "PEERS" => true,
        name => help.contains(&format!("--{} ", name.to_lowercase().replace('_', "-"))),
    };
    let mut count = 0;
    for file in
        ["contrib/patchmesh.service", "contrib/Containerfile", "docs/operations.md", "README.md"]
    {
        for name in variables(&read(file)) {
            assert!(is_flag(name), "{file}: there is no flag for PATCHMESH_{name}");
            count += 1;
        }
    }
    assert!(count > 8, "{count} variables");
    assert!(!is_flag("NONSENSE"));
}

#[test]
fn all_name_the_same_version_of_rust() {
    let manifest = read("Cargo.toml");
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    for (file, text) in [
        ("README.md", format!("(https://rustup.rs) {version} or newer")),
        ("contrib/Containerfile", format!("/rust:{version}-alpine ")),
    ] {
        assert!(read(file).contains(&text), "{file} does not have {text:?}");
    }
}

#[test]
#[ignore = "builds for minutes, and needs a container engine"]
fn the_image_becomes_healthy() {
    if !is_there("docker", "info") {
        return;
    }
    let docker = |arguments: &[&str]| {
        let run = Command::new("docker").args(arguments).current_dir(root()).output().unwrap();
        let (out, error) = (String::from_utf8(run.stdout), String::from_utf8(run.stderr));
        assert!(run.status.success(), "docker {arguments:?}: {error:?}");
        out.unwrap().trim().to_owned()
    };
    let image = format!("patchmesh-test-{}", std::process::id());
    docker(&["build", "-q", "-f", "contrib/Containerfile", "-t", &image, "."]);
    let container = docker(&["run", "-d", "--health-interval", "1s", &image]);
    let health = || docker(&["inspect", "-f", "{{.State.Health.Status}}", &container]);
    let begin = std::time::Instant::now();
    while health() != "healthy" && begin.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let (last, log) = (health(), docker(&["logs", &container]));
    docker(&["rm", "-f", "-v", &container]);
    docker(&["rmi", &image]);
    assert_eq!(last, "healthy", "{log}");
}
