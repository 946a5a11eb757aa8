//! The rows of the tables: [`Flag`]s, [`Argument`]s, [`CommandEntry`]s and [`Exit`]s.
//!
//! The command line is read by these rows; `--help`, the completions and the man page are made of them.

use super::given::Given;
use super::{Command, UsageError};

/// A flag, `--name` or `--name VALUE`, which is also the environment variable [`Flag::variable`].
#[derive(Debug)]
pub struct Flag {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// Its value; none for a flag without one.
    pub value: Option<ValueEntry>,
    /// Whether it may be repeated. In the environment variable commas stand between the values.
    pub is_repeated: bool,
    /// The flag that it excludes.
    pub excludes: Option<&'static str>,
    /// What it does, in a few words.
    pub help: &'static str,
    /// More about it, in whole sentences: for the man page, which a test makes of it.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))]
    pub more: &'static str,
}

/// The value of a flag or argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueEntry {
    /// Its name, in capital letters.
    pub name: &'static str,
    /// Which values are possible.
    pub kind: ArgumentKind,
}

/// Which values are possible, as far as a shell can complete them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any text: a shell cannot complete it.
    Text,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// An argument of a command, known by its place.
#[derive(Debug)]
pub struct Argument {
    /// What it is.
    pub value: ValueEntry,
    /// How often it is given.
    pub count: Count,
    /// What it does, in a few words.
    pub help: &'static str,
}

/// How often an argument is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Once.
    One,
    /// Once or not. No required argument follows.
    Optional,
    /// At least once. It is the last argument.
    Some,
    /// Any number of times. It is the last argument.
    Any,
}

/// A command.
#[derive(Debug)]
pub struct CommandEntry {
    /// Its name, the first word of the command line; "" for the command that runs a node.
    pub name: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// More about it, in whole sentences.
    pub more: &'static str,
    /// Its arguments.
    pub arguments: &'static [Argument],
    /// Its flags.
    pub flags: &'static [&'static [&'static Flag]],
    /// Its exit statuses besides [`Exit::Done`] and [`Exit::Usage`].
    pub exits: &'static [Exit],
    /// An example.
    pub example: &'static str,
    /// Makes a [`Command`] of the flags and arguments.
    pub(super) read: fn(&Given) -> Result<Command, UsageError>,
}

/// The exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All is done.
    Done = 0,
    /// It failed, as standard error says.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The patch does not apply, or a condition does not hold.
    DoesNotApply = 3,
    /// Nothing is at that pointer.
    NotFound = 4,
    /// None of the nodes answers.
    Unreachable = 5,
}

impl Flag {
    /// The environment variable of the flag.
    pub fn variable(&self) -> String {
        format!("PATCHMESH_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// How it is written: `--name` or `--name VALUE`.
    pub fn usage(&self) -> String {
        match self.value {
            Some(value) => format!("--{} {}", self.name, value.name),
            None => format!("--{}", self.name),
        }
    }
}

impl Argument {
    /// The environment variable of the argument, if it is one of the command that runs a node.
    pub fn variable(&self) -> String {
        let plural = if self.count == Count::Any { "S" } else { "" };
        format!("PATCHMESH_{}{plural}", self.value.name)
    }

    /// How it is written.
    pub fn usage(&self) -> String {
        let name = self.value.name;
        match self.count {
            Count::One => name.to_owned(),
            Count::Optional => format!("[{name}]"),
            Count::Some => format!("{name} ..."),
            Count::Any => format!("[{name} ...]"),
        }
    }
}

impl CommandEntry {
    /// The flags that it takes.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|flags| flags.iter().copied())
    }

    /// The beginning of its command line: the program, its name and its arguments.
    pub fn usage(&self) -> String {
        let words = ["patchmesh", self.name].map(str::to_owned);
        let arguments = self.arguments.iter().map(Argument::usage);
        let words = words.into_iter().chain(arguments).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// All its exit statuses, in their order.
    pub fn exits(&self) -> Vec<Exit> {
        let mut exits = [&[Exit::Done, Exit::Usage], self.exits].concat();
        exits.sort_unstable();
        exits
    }
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::DoesNotApply,
        Self::NotFound,
        Self::Unreachable,
    ];

    /// The exit status.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "bad command line",
            Self::DoesNotApply => "does not apply",
            Self::NotFound => "nothing there",
            Self::Unreachable => "no node answers",
        }
    }
}
