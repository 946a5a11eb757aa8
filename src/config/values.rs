//! Reads values of flags and arguments. `name` is the flag or the variable, for errors.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::IgnoredAny;

use super::address::{check_address, need_tls, node_url};
use super::rows::ArgumentKind;
use super::{Input, LogFormat, UsageError, usage};
use crate::duration_text::{DAYS, HOURS, MINUTES, SECONDS, parse_duration};
use crate::source::{MAX_NAME_BYTES, Source};

/// More threads than this are a mistake: all writes go through one task.
const MOST_THREADS: usize = 64;

/// More connections than this are a mistake: no machine has as many descriptors for one process.
const MOST_CONNECTIONS: usize = 1_000_000;

/// A longer duration is a mistake: this is a hundred years.
pub const MOST_DAYS: u64 = 36_500;
const LONGEST: Duration = Duration::from_millis(MOST_DAYS * DAYS.1);

/// A value in UTF-8.
pub fn utf8(value: &OsStr) -> Result<&str, UsageError> {
    value.to_str().ok_or_else(|| usage(format!("{value:?} is not UTF-8")))
}

/// A path. An empty one is refused: for the system it is the current directory, but more likely a script's
/// variable is empty.
pub fn path(name: &str, kind: ArgumentKind, value: &OsStr) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        let wanted = if kind == ArgumentKind::Directory { "directory" } else { "file" };
        return Err(usage(format!("{name} wants a {wanted}, and is empty")));
    }
    Ok(value.into())
}

pub fn tls_file(name: &str, value: &OsStr) -> Result<PathBuf, UsageError> {
    need_tls(name)?;
    path(name, ArgumentKind::File, value)
}

pub fn log_format(name: &str, value: &OsStr) -> Result<LogFormat, UsageError> {
    match value.to_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(usage(format!("{name} is text or json, not {value:?}"))),
    }
}

pub fn thread_count(name: &str, value: &OsStr) -> Result<usize, UsageError> {
    count(name, value, MOST_THREADS)
}

pub fn connection_count(name: &str, value: &OsStr) -> Result<usize, UsageError> {
    count(name, value, MOST_CONNECTIONS)
}

fn count(name: &str, value: &OsStr, most: usize) -> Result<usize, UsageError> {
    let count = value.to_str().and_then(|text| text.parse().ok());
    let count = count.filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| usage(format!("{name} wants 1 to {most}, and is {value:?}")))
}

/// A duration as `90s`, `30m`, `24h` or `7d`.
pub fn duration(name: &str, value: &OsStr) -> Result<Duration, UsageError> {
    let text = utf8(value)?;
    let wrong = |why: &str| {
        usage(format!("{name} wants a duration as 90s, 30m, 24h or 7d, and is {text:?}: {why}"))
    };
    match parse_duration(text, &[SECONDS, MINUTES, HOURS, DAYS]) {
        None => Err(wrong("it is a whole number with s, m, h or d behind it")),
        Some(Duration::ZERO) => Err(wrong("it is at least 1s")),
        Some(duration) if duration > LONGEST => Err(wrong(&format!("it is at most {MOST_DAYS}d"))),
        Some(duration) => Ok(duration),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub fn token(name: &str, value: &OsStr) -> Result<String, UsageError> {
    let token = value.to_str().filter(|token| is_token(token));
    token.map(str::to_owned).ok_or_else(|| {
        usage(format!("{name}: a token has visible ASCII characters only, and at least one"))
    })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of a node.
pub fn node_name(name: &str, value: &OsStr) -> Result<String, UsageError> {
    let text = utf8(value)?;
    let why = match Source::begin_life(text, 0) {
        Ok(_) => return Ok(text.to_owned()),
        Err(_) if text.len() > MAX_NAME_BYTES => {
            format!("it has {} bytes, and {MAX_NAME_BYTES} are allowed", text.len())
        }
        Err(error) => error.to_string(),
    };
    Err(usage(format!("{name}: {text:?} cannot name this node: {why}")))
}

/// A transaction, as `SOURCE/ID`.
pub fn transaction(name: &str, value: &OsStr) -> Result<(String, u64), UsageError> {
    let split = value.to_str().and_then(|text| text.rsplit_once('/'));
    let transaction = split.and_then(|(source, id)| {
        let id = is_number(id).then(|| id.parse().ok())??;
        (!source.is_empty()).then(|| (source.to_owned(), id))
    });
    transaction.ok_or_else(|| {
        usage(format!("{name} wants SOURCE/ID, as 127.0.0.1:8080~f49dl5ko/17, and is {value:?}"))
    })
}

/// A JSON Pointer (RFC 6901).
pub fn pointer(text: &str) -> Result<String, UsageError> {
    let wrong = |why: &str| usage(format!("{text:?} is not a JSON Pointer: {why}"));
    if !text.is_empty() && !text.starts_with('/') {
        return Err(wrong("it begins with /, as in /list/0, or is empty for the whole document"));
    }
    let mut escapes = text.split('~').skip(1);
    if !escapes.all(|escape| escape.starts_with(['0', '1'])) {
        return Err(wrong("behind ~ stands 0 for ~ itself, or 1 for /"));
    }
    Ok(text.to_owned())
}

/// JSON; a file, if there is a `@` before its name or if the text looks like a file's name and not like JSON;
/// or `-` for standard input.
pub fn input(text: &str) -> Result<Input, UsageError> {
    if text == "-" {
        return Ok(Input::Stdin);
    }
    if let Some(file) = text.strip_prefix('@') {
        return Ok(Input::File(path("@", ArgumentKind::File, file.as_ref())?));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(Input::Text(text.to_owned())),
        Err(_) if is_file_name(text) => Ok(Input::File(text.into())),
        Err(error) => Err(usage(format!(
            "{text:?} is not JSON: {error}; a text stands in quotes, as in '\"text\"', and a file's name has a . \
             or / in it, or @ before it"
        ))),
    }
}

/// Whether a text that is not JSON looks like a file's name.
fn is_file_name(text: &str) -> bool {
    let may_begin = |first: char| !first.is_ascii_digit() && !"{[\"-".contains(first);
    text.starts_with(may_begin) && text.contains(['.', '/'])
}

/// Nodes, given by URLs or addresses with commas between them: the address of each, and whether it speaks TLS.
pub fn nodes(text: &str) -> Result<Vec<(String, bool)>, UsageError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let nodes = parts.map(node).collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() {
        return Err(usage("the URL of a node is empty"));
    }
    Ok(nodes)
}

/// A node, given by its address or a URL: its address, and whether it speaks TLS.
pub fn node(text: &str) -> Result<(String, bool), UsageError> {
    match node_url(text.as_ref())? {
        Some(node) => Ok(node),
        None if text.contains("://") => {
            Err(usage(format!("{text:?} is not the URL of a node, as http://127.0.0.1:8080")))
        }
        None => Ok((check_address(text)?.to_owned(), false)),
    }
}

/// The first token in a file of tokens. Commands show it to nodes.
///
/// # Errors
/// Why it has none.
pub fn first_token(text: &str) -> Result<String, UsageError> {
    let words = text.lines().filter_map(|line| line.split_whitespace().next());
    let token = words.into_iter().find(|word| !word.starts_with('#')).unwrap_or_default();
    if is_token(token) { Ok(token.to_owned()) } else { Err(usage("its first line has no token")) }
}
