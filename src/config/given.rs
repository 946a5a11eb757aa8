//! The flags and arguments that are given: by the command line, or else by the environment.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use super::commands::{COMMANDS, RUN, flags};
use super::rows::{Argument, ArgumentKind, CommandEntry, Count, Flag};
use super::{UsageError, usage, values};

/// A command with the flags and arguments that are given to it.
pub struct Given {
    pub command: &'static CommandEntry,
    pub arguments: Vec<OsString>,
    /// How many of the arguments are from the command line. The rest is from the environment.
    said: usize,
    flags: Vec<Setting>,
}

/// A flag, with its value if it has one.
struct Setting {
    flag: &'static Flag,
    value: OsString,
    is_of_environment: bool,
}

/// What a command line asks for.
pub enum Invocation {
    Do(Given),
    Help(&'static CommandEntry),
    Version,
}

/// The words of a command line, sorted.
#[derive(Default)]
struct Words {
    arguments: Vec<OsString>,
    flags: Vec<Setting>,
    is_help: bool,
    is_version: bool,
}

impl Words {
    fn read(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut words = Self::default();
        loop {
            if let Some(mut raw) = parser.try_raw_args()
                && raw.peek().is_some_and(is_negative_number)
            {
                words.arguments.extend(raw.next());
                continue;
            }
            let Some(argument) = parser.next().map_err(usage)? else { return Ok(words) };
            match argument {
                Arg::Short('h') | Arg::Long("help") => words.is_help = true,
                Arg::Short('V') | Arg::Long("version") => words.is_version = true,
                Arg::Value(argument) => words.arguments.push(argument),
                Arg::Short(_) => return Err(usage(argument.unexpected())),
                Arg::Long(name) => {
                    let Some(flag) = flags().find(|flag| flag.name == name) else {
                        return Err(usage(argument.unexpected()));
                    };
                    let value = match flag.value {
                        Some(_) => parser.value().map_err(usage)?,
                        None => OsString::new(),
                    };
                    words.flags.push(Setting { flag, value, is_of_environment: false });
                }
            }
        }
    }
}

/// Whether a word is a negative number, which looks like a short option.
fn is_negative_number(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.first() == Some(&b'-') && bytes.get(1).is_some_and(u8::is_ascii_digit)
}

impl Given {
    /// Sorts the words of a command line, and adds the variables of the environment for that command.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Invocation, UsageError> {
        let mut words = Words::read(arguments)?;
        let first = words.arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
        let named = COMMANDS.iter().find(|command| command.name == first && !first.is_empty());
        let command = named.copied().unwrap_or(&RUN);
        if words.is_help {
            return Ok(Invocation::Help(command));
        }
        if words.is_version {
            return Ok(Invocation::Version);
        }
        if named.is_some() {
            words.arguments.remove(0);
        } else if !first.is_empty() && !first.contains(':') {
            return Err(usage(format!(
                "{first:?} is no command, and no address: it has no port, as in 127.0.0.1:8080"
            )));
        }
        let Words { arguments, flags, .. } = words;
        let mut given = Self { command, said: arguments.len(), arguments, flags };
        given.check_flags()?;
        // A script or a container file may leave a variable empty: that means nothing.
        let environment = &|name: String| environment(&name).filter(|value| !value.is_empty());
        for flag in command.flags() {
            given.add(flag, environment)?;
        }
        if command.name.is_empty() {
            given.add_arguments(environment)?;
        }
        given.check_exclusions()?;
        given.check_arguments()?;
        Ok(Invocation::Do(given))
    }

    /// Adds a flag from the environment, unless the command line has it or a flag that excludes it.
    fn add(
        &mut self,
        flag: &'static Flag,
        environment: impl Fn(String) -> Option<OsString>,
    ) -> Result<(), UsageError> {
        let variable = flag.variable();
        let Some(value) = environment(variable.clone()) else { return Ok(()) };
        let is_said =
            |name| self.flags.iter().any(|said| !said.is_of_environment && said.flag.name == name);
        if is_said(flag.name) || flag.excludes.is_some_and(is_said) {
            return Ok(());
        }
        let values = match (flag.value, value.to_str()) {
            (None, Some("true")) => vec![OsString::new()],
            (None, Some("false")) => Vec::new(),
            (None, _) => {
                return Err(usage(format!("{variable} is true or false, not {value:?}")));
            }
            (Some(_), Some(text)) if flag.is_repeated => {
                text.split(',').map(|part| part.trim().into()).collect()
            }
            (Some(_), _) => vec![value],
        };
        let settings = values.into_iter();
        self.flags.extend(settings.map(|value| Setting { flag, value, is_of_environment: true }));
        Ok(())
    }

    /// Adds the arguments that the command line lacks from the environment.
    fn add_arguments(
        &mut self,
        environment: impl Fn(String) -> Option<OsString>,
    ) -> Result<(), UsageError> {
        for argument in self.command.arguments.iter().skip(self.arguments.len()) {
            let Some(value) = environment(argument.variable()) else { break };
            self.arguments.push(value);
        }
        Ok(())
    }

    fn check_flags(&self) -> Result<(), UsageError> {
        let takes = |command: &CommandEntry, name| command.flags().any(|flag| flag.name == name);
        for Setting { flag, .. } in &self.flags {
            if takes(self.command, flag.name) {
                continue;
            }
            let takers = COMMANDS.iter().filter(|command| takes(command, flag.name));
            let takers: Vec<_> = takers
                .map(|command| match command.name {
                    "" => "a node that is to run",
                    name => name,
                })
                .collect();
            return Err(usage(format!("--{} belongs to {}", flag.name, takers.join(", "))));
        }
        Ok(())
    }

    fn check_exclusions(&self) -> Result<(), UsageError> {
        for setting in &self.flags {
            let excluded =
                self.flags.iter().find(|other| setting.flag.excludes == Some(other.flag.name));
            if let Some(other) = excluded {
                return Err(usage(format!(
                    "{} and {} exclude each other",
                    setting.name(),
                    other.name()
                )));
            }
        }
        Ok(())
    }

    fn check_arguments(&self) -> Result<(), UsageError> {
        let Self { command, arguments, .. } = self;
        let given = arguments.len();
        let is_needed = |argument: &&Argument| matches!(argument.count, Count::One | Count::Some);
        let needed = command.arguments.iter().take_while(is_needed).count();
        if given < needed {
            let Argument { value, help, .. } = &command.arguments[given];
            return Err(usage(match command.name {
                "" => "the address to listen on is missing".to_owned(),
                name => format!("{name}: {} is missing: {help}", value.name),
            }));
        }
        let is_endless = |argument: &Argument| matches!(argument.count, Count::Some | Count::Any);
        let surplus = arguments.get(command.arguments.len());
        match surplus {
            Some(surplus) if !command.arguments.last().is_some_and(is_endless) => {
                let names = command.arguments.iter().map(Argument::usage).collect::<Vec<_>>();
                Err(usage(format!(
                    "{} takes {}, and {surplus:?} is one argument too many",
                    command.name,
                    names.join(" ")
                )))
            }
            _ => Ok(()),
        }
    }

    /// An argument in UTF-8, read by `read`. An error names its variable if it is from the environment.
    pub fn argument<T>(
        &self,
        index: usize,
        read: impl Fn(&str) -> Result<T, UsageError>,
    ) -> Result<T, UsageError> {
        let value = values::utf8(&self.arguments[index]).and_then(&read);
        if index < self.said {
            return value;
        }
        // A repeated argument has one variable.
        let argument = &self.command.arguments[index.min(self.command.arguments.len() - 1)];
        value.map_err(|error| usage(format!("{}: {error}", argument.variable())))
    }

    /// An argument that is a file or a directory.
    pub fn file(&self, index: usize) -> Result<PathBuf, UsageError> {
        let argument = &self.command.arguments[index];
        values::path(argument.value.name, argument.value.kind, &self.arguments[index])
    }

    /// An error of the command line as a whole.
    pub fn error(&self, error: impl fmt::Display) -> UsageError {
        usage(format!("{}: {error}", self.command.name))
    }

    fn setting(&self, flag: &Flag) -> Option<&Setting> {
        // The last one counts. The environment never has a flag that the command line has.
        self.flags.iter().rfind(|setting| setting.flag.name == flag.name)
    }

    /// The name by which a flag was given: `--name`, or its variable.
    pub fn name(&self, flag: &Flag) -> Option<String> {
        self.setting(flag).map(Setting::name)
    }

    pub fn has(&self, flag: &Flag) -> bool {
        self.setting(flag).is_some()
    }

    /// The value of a flag, read by `read`, which also gets the name by which the flag was given.
    pub fn value<T>(
        &self,
        flag: &Flag,
        read: impl Fn(&str, &OsStr) -> Result<T, UsageError>,
    ) -> Result<Option<T>, UsageError> {
        self.setting(flag).map(|setting| read(&setting.name(), &setting.value)).transpose()
    }

    /// All values of a flag that may be repeated.
    pub fn values<T>(
        &self,
        flag: &Flag,
        read: impl Fn(&str, &OsStr) -> Result<T, UsageError>,
    ) -> Result<Vec<T>, UsageError> {
        let settings = self.flags.iter().filter(|setting| setting.flag.name == flag.name);
        settings.map(|setting| read(&setting.name(), &setting.value)).collect()
    }

    pub fn path(&self, flag: &Flag) -> Result<Option<PathBuf>, UsageError> {
        let kind = flag.value.map_or(ArgumentKind::Text, |value| value.kind);
        self.value(flag, |name, value| values::path(name, kind, value))
    }

    pub fn duration(&self, flag: &Flag) -> Result<Option<Duration>, UsageError> {
        self.value(flag, values::duration)
    }
}

impl Setting {
    fn name(&self) -> String {
        if self.is_of_environment { self.flag.variable() } else { format!("--{}", self.flag.name) }
    }
}
