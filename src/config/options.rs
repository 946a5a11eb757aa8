//! The options of a command line, and what stands beside them.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{check_origin, need_tls};
use super::{Command, LogFormat, Origins, OwnFiles, Remote, TlsFiles, UsageError, usage};
use crate::source::{MAX_NAME_BYTES, Source};

/// More threads than this are a mistake: all writes go through one task.
const MOST_THREADS: usize = 64;

/// A longer duration is a mistake: a hundred years.
pub const MOST_DAYS: u64 = 36_500;

/// What is given. None and false are what is not.
#[derive(Default)]
pub struct Options {
    pub name: Option<String>,
    pub data: Option<PathBuf>,
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    pub origins: Option<Origins>,
    pub log_format: Option<LogFormat>,
    pub threads: Option<usize>,
    pub is_primary: bool,
    pub keep: Option<Duration>,
    pub horizon: Option<Duration>,
    pub tls: TlsFiles,
    pub new_life: bool,
    pub rebuild_from: Option<OsString>,
    /// What is no option, in its order.
    pub values: Vec<OsString>,
}

impl Options {
    /// Reads all arguments, or up to one that asks for something else. `token` is the environment's.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        token: Option<String>,
    ) -> Result<ControlFlow<Command, Self>, UsageError> {
        use lexopt::Arg::{Long, Short, Value};

        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self::default();
        let (mut certificate, mut key) = (None, None);
        while let Some(argument) = parser.next().map_err(usage)? {
            match argument {
                Short('h') | Long("help") => return Ok(ControlFlow::Break(Command::Help)),
                Short('V') | Long("version") => return Ok(ControlFlow::Break(Command::Version)),
                Long("source") => options.name = Some(text(value(&mut parser)?)?),
                Long("token") => options.token = Some(text(value(&mut parser)?)?),
                Long("token-file") => {
                    options.token_file = Some(file("--token-file", value(&mut parser)?)?)
                }
                Long("allow-origin") => options.allow_origin(value(&mut parser)?)?,
                Long("log-format") => options.log_format = Some(log_format(value(&mut parser)?)?),
                Long("data") => options.data = Some(directory(value(&mut parser)?)?),
                Long("threads") => options.threads = Some(thread_count(value(&mut parser)?)?),
                Long("primary") => options.is_primary = true,
                Long("keep") => options.keep = Some(duration("--keep", value(&mut parser)?)?),
                Long("horizon") => {
                    options.horizon = Some(duration("--horizon", value(&mut parser)?)?)
                }
                Long("tls-cert") => {
                    certificate = Some(tls_file("--tls-cert", value(&mut parser)?)?)
                }
                Long("tls-key") => key = Some(tls_file("--tls-key", value(&mut parser)?)?),
                Long("tls-ca") => options.tls.ca = Some(tls_file("--tls-ca", value(&mut parser)?)?),
                Long("new-life") => options.new_life = true,
                Long("rebuild-from") => options.rebuild_from = Some(value(&mut parser)?),
                Value(other) => options.values.push(other),
                _ => return Err(usage(argument.unexpected())),
            }
        }
        options.tls.own = own_files(certificate, key)?;
        if options.token.is_some() && options.token_file.is_some() {
            return Err(usage("--token and --token-file exclude each other"));
        }
        if options.token_file.is_none() {
            options.token = options.token.or(token.filter(|token| !token.is_empty()));
        }
        if let Some(name) = &options.name {
            check_name(name)?;
        }
        if let Some(token) = &options.token {
            check_token(token)?;
        }
        Ok(ControlFlow::Continue(options))
    }

    fn allow_origin(&mut self, value: OsString) -> Result<(), UsageError> {
        let text = text(value)?;
        let origins = std::mem::take(&mut self.origins).unwrap_or_default();
        self.origins = Some(match (origins, text.as_str()) {
            (Origins::All, _) | (_, "*") => Origins::All,
            (Origins::These(mut origins), text) => {
                origins.push(check_origin(text)?);
                Origins::These(origins)
            }
        });
        Ok(())
    }

    /// The first of those that only a node that is to run has.
    pub fn of_node(&self) -> Option<&'static str> {
        let of_node = [
            ("--allow-origin", self.origins.is_some()),
            ("--log-format", self.log_format.is_some()),
            ("--threads", self.threads.is_some()),
            ("--primary", self.is_primary),
            ("--keep", self.keep.is_some()),
            ("--horizon", self.horizon.is_some()),
        ];
        of_node.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
    }

    /// A running node that listens at `address`, and whether it speaks TLS.
    pub fn remote(&self, (address, is_tls): (String, bool)) -> Remote {
        let (token, token_file) = (self.token.clone(), self.token_file.clone());
        Remote { address, is_tls, token, token_file, tls: self.tls.clone() }
    }
}

/// The value of the option that was read last.
fn value(parser: &mut lexopt::Parser) -> Result<OsString, UsageError> {
    parser.value().map_err(usage)
}

fn tls_file(option: &str, value: OsString) -> Result<PathBuf, UsageError> {
    need_tls(option)?;
    file(option, value)
}

fn file(option: &str, value: OsString) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        return Err(usage(format!("{option} wants a file, and is empty")));
    }
    Ok(value.into())
}

fn own_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<OwnFiles>, UsageError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(OwnFiles { certificate, key })),
        (Some(_), None) => Err(usage("--tls-cert needs --tls-key, the key of that certificate")),
        (None, Some(_)) => Err(usage("--tls-key needs --tls-cert, the certificate of that key")),
    }
}

/// An empty path is the current directory for the system: a script's empty variable is meant by nobody.
fn directory(value: OsString) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        return Err(usage("--data wants a directory, and is empty"));
    }
    Ok(value.into())
}

fn log_format(value: OsString) -> Result<LogFormat, UsageError> {
    match text(value)?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        text => Err(usage(format!("--log-format is text or json, not {text:?}"))),
    }
}

fn thread_count(value: OsString) -> Result<usize, UsageError> {
    let text = text(value)?;
    let count = text.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| usage(format!("--threads wants 1 to {MOST_THREADS}, and is {text:?}")))
}

/// A duration as `90s`, `30m`, `24h` or `7d`.
fn duration(option: &str, value: OsString) -> Result<Duration, UsageError> {
    let text = text(value)?;
    let wrong = |why: &str| {
        usage(format!("{option} wants a duration as 90s, 30m, 24h or 7d, and is {text:?}: {why}"))
    };
    let (unit, seconds) = match text.chars().next_back() {
        Some('s') => ('s', 1),
        Some('m') => ('m', 60),
        Some('h') => ('h', 3600),
        Some('d') => ('d', 24 * 3600),
        _ => return Err(wrong("it does not end with s, m, h or d")),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("before its unit stands a whole number"));
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    match seconds {
        Some(0) => Err(wrong("it is at least 1s")),
        Some(seconds) if seconds <= MOST_DAYS * 24 * 3600 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong(&format!("it is at most {MOST_DAYS}d"))),
    }
}

fn check_token(token: &str) -> Result<(), UsageError> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage("a token has visible ASCII characters only, and at least one"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), UsageError> {
    let why = match Source::begin_life(name, 0) {
        Ok(_) => return Ok(()),
        Err(_) if name.len() > MAX_NAME_BYTES => {
            format!("it has {} bytes, and {MAX_NAME_BYTES} are allowed", name.len())
        }
        Err(error) => error.to_string(),
    };
    Err(usage(format!("{name:?} cannot name this node: {why}")))
}

/// What is given in UTF-8.
pub fn text(value: OsString) -> Result<String, UsageError> {
    value.into_string().map_err(|value| usage(format!("{value:?} is not UTF-8")))
}
