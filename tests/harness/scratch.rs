//! Places for files, and what else of the machine a test borrows.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of its own, removed on drop.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("durable-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// A path in it.
    pub fn path(&self, name: impl Display) -> PathBuf {
        self.path.join(name.to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).ok();
    }
}

/// Something done to the machine that is undone on drop.
pub struct Borrowed {
    undo: Vec<String>,
}

impl Borrowed {
    /// Does it, or says why that is not possible here.
    pub fn new(todo: &[&[&str]], undo: &[&str]) -> Option<Self> {
        // Whatever was done of it is undone.
        let borrowed = Self { undo: undo.iter().map(|word| (*word).to_owned()).collect() };
        todo.iter().all(|command| succeeds(command)).then_some(borrowed)
    }

    /// A small file system in memory at `path`.
    pub fn tmpfs(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let (text, size) = (path.to_str().unwrap(), format!("size={size}"));
        let mount: &[&str] = &["mount", "-t", "tmpfs", "-o", &size, "tmpfs", text];
        Self::new(&[mount], &["umount", "--lazy", text])
    }

    /// Makes all at and below `path` read-only.
    pub fn read_only(path: &Path) -> Option<Self> {
        let text = path.to_str().unwrap();
        let bind: &[&str] = &["mount", "--bind", text, text];
        let remount: &[&str] = &["mount", "-o", "remount,bind,ro", text];
        Self::new(&[bind, remount], &["umount", "--lazy", text])
    }

    /// Makes the directory `path` one in which nothing can be made or removed.
    pub fn immutable(path: &Path) -> Option<Self> {
        let text = path.to_str().unwrap();
        Self::new(&[&["chattr", "+i", text]], &["chattr", "-i", text])
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let words: Vec<&str> = self.undo.iter().map(String::as_str).collect();
        succeeds(&words);
    }
}

/// Whether `strace` can be used here.
pub fn has_strace() -> bool {
    succeeds(&["strace", "-e", "trace=none", "true"])
}

/// Says that a test cannot do what it is for. Cargo hides what is printed by tests that pass, so
/// this goes past it.
pub fn skip(why: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").ok();
}

fn succeeds(command: &[&str]) -> bool {
    match Command::new(command[0]).args(&command[1..]).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            eprintln!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            eprintln!("{command:?}: {error}");
            false
        }
    }
}
