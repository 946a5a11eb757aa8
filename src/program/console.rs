//! The output of the process: standard output, standard error, and the log.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::SystemTime;

use log::Level;

use crate::foreign::visible;
use crate::log_format::{LogFormat, LogLine, MOST_LINE_BYTES};

/// The format of standard error and of the log, for the whole process.
static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Prints a line to standard output.
pub fn print(line: &str) -> ExitCode {
    // If nobody reads standard output any more, the node does not stop.
    writeln!(std::io::stdout(), "{line}").ok();
    ExitCode::SUCCESS
}

/// Prints a line to standard output, as a line of the log if that is JSON. A program that starts nodes looks there
/// for the address.
pub fn print_as_log(line: &str) {
    print(&match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Info, "patchmesh", line),
        _ => line.to_owned(),
    });
}

/// Prints why the process ends.
pub fn fail(error: impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

/// Prints a line to standard error.
pub fn complain(error: impl Display) {
    let error = error.to_string();
    let line = match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Error, "patchmesh", &error),
        _ => format!("patchmesh: {}", visible(&error, MOST_LINE_BYTES)),
    };
    // If nobody reads standard error, it does not panic.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A line of the log in the format of this process.
fn log_line(level: Level, target: &str, message: &str) -> String {
    let format = LOG_FORMAT.get().copied().unwrap_or_default();
    format.line(&LogLine { time: SystemTime::now(), level, target, message })
}

/// Starts the log, in this format.
pub fn start_log(format: LogFormat) {
    LOG_FORMAT.get_or_init(|| format);
    let environment = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(environment)
        .format(|output, record| {
            let message = record.args().to_string();
            writeln!(output, "{}", log_line(record.level(), record.target(), &message))
        })
        .init();
    // Traces of libraries contain whole requests, with the token in them.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}
