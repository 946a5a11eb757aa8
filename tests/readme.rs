//! What README shows is so: its `console` blocks are run from first to last, and answer as is shown there.
//!
//! A line that begins with `$ ` is a command, and the lines after it are what it prints on standard output. Addresses
//! get free ports. What differs from run to run (a life's suffix, times, hashes of texts with a port in them) is
//! compared as if it did not. A command that does not end (a node, what watches) goes on beside the next ones: its
//! first line is waited for when it begins, and the others at the end. A command that only reads is run again
//! until it prints what it should, since what was written at another node may be on its way.

#[path = "harness/port.rs"]
mod port;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use port::Port;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// A command of a block, and the lines that it is shown to print.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of all `console` blocks of a text.
fn steps(text: &str) -> Vec<Step> {
    let (mut steps, mut is_console) = (Vec::<Step>::new(), false);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            is_console = kind == "console";
        } else if !is_console {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            if step.shown.is_empty() && step.command.ends_with('\\') {
                step.command.push('\n');
                step.command.push_str(line);
            } else {
                step.shown.push(line.to_owned());
            }
        }
    }
    steps
}

/// Whether a command goes on until it is ended.
fn does_not_end(command: &str) -> bool {
    let mut words = command.split(' ');
    match (words.next(), words.next()) {
        (Some("patchmesh"), Some(argument)) => {
            argument == "watch" || argument.starts_with("127.0.0.1:")
        }
        (Some("curl"), _) => command.contains("text/event-stream"),
        _ => false,
    }
}

/// Whether it can be run again without an effect.
fn only_reads(command: &str) -> bool {
    let writes = [" -d ", " -X ", "patchmesh set", "patchmesh merge", "patchmesh patch"];
    let writes = writes.iter().chain(&["patchmesh remove", "patchmesh edit", "patchmesh import"]);
    !writes.into_iter().any(|write| command.contains(write))
}

/// The text without what differs from run to run.
fn lasting(text: &str) -> String {
    let mut lasting = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let count = |is_so: fn(char) -> bool| rest.chars().take_while(|next| is_so(*next)).count();
        let digits = count(|next| next.is_ascii_digit());
        let hexadecimal = count(|next| next.is_ascii_hexdigit());
        let timestamp = count(|next| next.is_ascii_digit() || "-:.TZ".contains(next));
        let life = rest.strip_prefix('~').map_or(0, |rest| {
            let is_suffix = |next: &char| next.is_ascii_lowercase() || next.is_ascii_digit();
            rest.chars().take_while(is_suffix).count()
        });
        let (length, put) = match () {
            () if life == 8 => (9, "~LIFE"),
            () if timestamp == 24 && rest[..24].ends_with('Z') => (24, "TIME"),
            () if digits == 16 => (16, "TIME"),
            () if hexadecimal >= 16 => (hexadecimal, "HASH"),
            // What is left of a word or number is no beginning of one of these.
            () if hexadecimal > 0 => (hexadecimal, &rest[..hexadecimal]),
            () => (next.len_utf8(), &rest[..next.len_utf8()]),
        };
        lasting.push_str(put);
        rest = &rest[length..];
    }
    lasting
}

/// A shell in which the commands of README are run.
struct World {
    folder: PathBuf,
    /// For each address of README, the one that stands for it.
    addresses: Vec<(String, Port)>,
    running: Vec<Running>,
}

/// A command that does not end.
struct Running {
    child: Child,
    step: Step,
    output: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme");
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        // In the order of their texts, as README's are: a clock lists sources in that order.
        let mut ports = [Port::reserve(), Port::reserve()];
        ports.sort_by_key(Port::to_string);
        let addresses = ["127.0.0.1:8080", "127.0.0.1:8081"].map(str::to_owned);
        World { folder, addresses: addresses.into_iter().zip(ports).collect(), running: Vec::new() }
    }

    fn shell(&self, command: &str, output: &Path) -> Child {
        let mut command = command.to_owned();
        for (address, port) in &self.addresses {
            command = command.replace(address, &port.to_string());
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_patchmesh")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = File::create(output).unwrap();
        // What a node says on standard error is its log, which README shows behind its first line.
        let errors = match does_not_end(&command) {
            true => Stdio::from(output.try_clone().unwrap()),
            false => Stdio::inherit(),
        };
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(match does_not_end(&command) {
            // So that it is the command that is ended, and not a shell around it.
            true => format!("exec {command}"),
            false => command.replace("curl ", "curl -sS "),
        });
        shell.current_dir(&self.folder).env("PATH", format!("{}:{path}", binary.display()));
        for (name, _) in std::env::vars_os() {
            if name == "RUST_LOG" || name.to_string_lossy().starts_with("PATCHMESH_") {
                shell.env_remove(name);
            }
        }
        shell.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap()
    }

    /// What was printed into a file, with README's addresses.
    fn printed(&self, output: &Path) -> Vec<String> {
        let mut text = std::fs::read_to_string(output).unwrap();
        for (address, port) in &self.addresses {
            text = text.replace(&port.to_string(), address);
        }
        text.lines().map(lasting).collect()
    }

    fn run(&mut self, step: Step) {
        let output = self.folder.join(format!("output-{}", self.running.len()));
        let shown: Vec<_> = step.shown.iter().map(|line| lasting(line)).collect();
        let begin = Instant::now();
        if does_not_end(&step.command) {
            let child = self.shell(&step.command, &output);
            self.running.push(Running { child, step, output });
            let running = self.running.last().unwrap();
            while !shown.first().is_none_or(|line| self.printed(&running.output).contains(line)) {
                let printed = self.printed(&running.output);
                assert!(begin.elapsed() < PATIENCE, "{:?} prints {printed:#?}", running.step);
                std::thread::sleep(PAUSE);
            }
            return;
        }
        loop {
            let mut child = self.shell(&step.command, &output);
            let status = loop {
                match child.try_wait().unwrap() {
                    Some(status) => break status,
                    None if begin.elapsed() < PATIENCE * 2 => std::thread::sleep(PAUSE),
                    None => {
                        child.kill().unwrap();
                        panic!("{:?} does not end", step.command);
                    }
                }
            };
            let printed = self.printed(&output);
            // A command that is shown to print nothing may print what it likes.
            if status.success() && (shown.is_empty() || printed == shown) {
                return;
            }
            let is_over = !only_reads(&step.command) || begin.elapsed() > PATIENCE;
            assert!(
                !is_over,
                "{}: {status}, it prints\n{printed:#?}\nand README says\n{shown:#?}",
                step.command
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits for what else those have to print that do not end.
    fn finish(&self) {
        let begin = Instant::now();
        for Running { step, output, .. } in &self.running {
            for line in &step.shown {
                while !self.printed(output).contains(&lasting(line)) {
                    let printed = self.printed(output);
                    assert!(
                        begin.elapsed() < PATIENCE,
                        "{} does not print {line:?}: {printed:#?}",
                        step.command
                    );
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for running in &mut self.running {
            running.child.kill().ok();
            running.child.wait().ok();
        }
    }
}

fn is_there(command: &str) -> bool {
    let version = Command::new(command).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

#[test]
fn what_readme_shows_is_so() {
    if !is_there("curl") || !is_there("bash") {
        eprintln!("SKIPPED: README's commands need curl and bash");
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let steps = steps(&std::fs::read_to_string(readme).unwrap());
    assert!(steps.len() >= 8, "{} commands", steps.len());
    let mut world = World::new();
    for step in steps {
        world.run(step);
    }
    world.finish();
}

#[test]
fn blocks_are_taken_apart() {
    let step = |command: &str, shown: &[&str]| Step {
        command: command.into(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    let text = "```sh\n$ no\n```\n$ no\n```console\n$ a \\\n    b\nc\n  d\n$ e\n```\nf\n";
    assert_eq!(steps(text), [step("a \\\n    b", &["c", "  d"]), step("e", &[])]);
}

#[test]
fn only_what_differs_from_run_to_run_is_passed_over() {
    for (text, expected) in [
        ("a~k3x9q2pd^s 17", "a~LIFE^s 17"),
        ("phone~k3x9", "phone~k3x9"),
        (r#"{"Id":1,"Time":1795453480317211}"#, r#"{"Id":1,"Time":TIME}"#),
        ("2026-11-27T21:26:41.123Z INFO", "TIME INFO"),
        ("23aeeb6e9975ed626b4cb7333e2abb9c", "HASH"),
        ("12345678 deadbeef é", "12345678 deadbeef é"),
    ] {
        assert_eq!(lasting(text), expected);
    }
}
