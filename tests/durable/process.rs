//! A node as a child of any command that runs it, which may end at any moment.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client;
use crate::harness::{self, Port, Scratch, wait_for};

/// A process whose output goes to files, so that it can be read whatever becomes of it.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Runs `patchmesh ARGUMENTS`.
    pub fn start(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::start_by(scratch, &[], arguments)
    }

    /// Runs `COMMAND patchmesh ARGUMENTS`.
    pub fn start_by(scratch: &Scratch, command: &[&str], arguments: &[&str]) -> Self {
        let number = fastrand::u64(..);
        let stdout = scratch.path(format_args!("{number}.stdout"));
        let stderr = scratch.path(format_args!("{number}.stderr"));
        let child = prefixed(command)
            .args(arguments)
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self { child, stdout, stderr }
    }

    /// A node on `address` with the data directory `data` and these other arguments, when it listens.
    #[track_caller]
    pub fn node(
        scratch: &Scratch,
        address: impl ToString,
        data: &Path,
        others: &[&str],
    ) -> (Self, SocketAddr) {
        Self::node_by(scratch, &[], address, data, others)
    }

    /// The same by another command.
    #[track_caller]
    pub fn node_by(
        scratch: &Scratch,
        command: &[&str],
        address: impl ToString,
        data: &Path,
        others: &[&str],
    ) -> (Self, SocketAddr) {
        let address = address.to_string();
        let mut arguments = vec![address.as_str(), "--data", data.to_str().unwrap()];
        arguments.extend(others);
        let mut node = Self::start_by(scratch, command, &arguments);
        let address = node.address();
        (node, address)
    }

    /// A node on the port `here`, with a data directory, and its peer on the port `there`, in memory.
    #[track_caller]
    pub fn pair_by(
        scratch: &Scratch,
        command: &[&str],
        [here, there]: &[Port; 2],
        data: &Path,
    ) -> (Self, Self) {
        let (here, there) = (here.to_string(), there.to_string());
        let (node, address) = Self::node_by(scratch, command, &here, data, &[&there]);
        let mut peer = Self::start(scratch, &[&there, &here]);
        peer.address();
        client::wait_until_connected(address);
        (node, peer)
    }

    /// Where it listens, as it says when it has begun to.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        let line = wait_for("the node to start", || {
            let line = self.stdout();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || line.ends_with('\n'), "{ended:?}: {}", self.stderr());
            line.ends_with('\n').then_some(line)
        });
        let (_, rest) = line.split_once("listens on ").unwrap_or_else(|| panic!("{line:?}"));
        rest.split(", ").next().unwrap().parse().unwrap()
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// The last line on its standard error.
    pub fn last_words(&self) -> String {
        self.stderr().lines().last().unwrap_or_default().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        // Sent to one that has ended and was not waited for, it does nothing.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, unless it has ended by itself: that is a failure.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.wait_for_exit();
        assert_eq!(status.signal(), Some(9), "{status}: {}", self.stderr());
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{status}: {}", self.stderr());
    }

    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait_for("the process to end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.stdout(), self.stderr());
        }
    }
}

/// Runs `patchmesh ARGUMENTS` to its end, and returns its exit status and its standard output and error.
#[track_caller]
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = harness::run(prefixed(&[]).args(arguments));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// `COMMAND patchmesh`.
fn prefixed(command: &[&str]) -> Command {
    let binary = harness::binary();
    let Some((program, arguments)) = command.split_first() else { return binary };
    let mut command = Command::new(program);
    command.args(arguments).arg(binary.get_program()).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("PATCHMESH_TOKEN");
    command
}
