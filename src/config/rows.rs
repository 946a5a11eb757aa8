//! What a row of the tables says: [`Flag`]s, [`Argument`]s, [`CommandEntry`]s and [`Exit`]s.
//!
//! The command line is read by these rows, and `--help`, the completions and the man page are made of them.

use super::given::Given;
use super::{Command, UsageError};

/// A flag, `--name` or `--name VALUE`, and also the environment variable [`Flag::variable`].
#[derive(Debug)]
pub struct Flag {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// What its value is; none if it is given or not.
    pub value: Option<ValueEntry>,
    /// Whether it may be given again, for more. The environment variable has commas between them.
    pub is_repeated: bool,
    /// The flag that cannot be given with it.
    pub excludes: Option<&'static str>,
    /// What it does, in a few words.
    pub help: &'static str,
    /// What else there is to say about it, in whole sentences.
    pub more: &'static str,
}

/// What is given to a flag, or as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueEntry {
    /// What it is called, in capital letters.
    pub name: &'static str,
    /// What it can be.
    pub kind: ValueKind,
}

/// What a value can be, as far as a shell can complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing that a shell knows.
    Text,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// An argument of a command, by its place.
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
    /// Once or not. None follows that must be given.
    Optional,
    /// At least once. None follows.
    Some,
    /// Any number of times. None follows.
    Any,
}

/// A command.
#[derive(Debug)]
pub struct CommandEntry {
    /// The first word; "" runs a node.
    pub name: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else there is to say about it, in whole sentences.
    pub more: &'static str,
    /// What follows its name.
    pub arguments: &'static [Argument],
    /// What flags it takes.
    pub flags: &'static [&'static [&'static Flag]],
    /// How it can end besides [`Exit::Done`] and [`Exit::Usage`].
    pub exits: &'static [Exit],
    /// How it is used.
    pub example: &'static str,
    /// Makes a command of what was given.
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
    /// The environment variable that gives it too.
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
    /// The environment variable that gives it too, if it belongs to a node that is to run.
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

    /// How its command line begins: the program, its name and its arguments.
    pub fn usage(&self) -> String {
        let words = ["patchmesh", self.name].map(str::to_owned);
        let arguments = self.arguments.iter().map(Argument::usage);
        let words = words.into_iter().chain(arguments).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// All ways in which it can end, in their order.
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
