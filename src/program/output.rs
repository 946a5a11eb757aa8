//! What the process says: on standard output, on standard error, and in its log.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::foreign::visible;
use crate::log_format::{LogFormat, LogLine, MOST_LINE_BYTES};
use log::Level;

/// How what is said on standard error is written: of all of the process.
static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Says something on standard output.
pub fn print(line: &str) -> ExitCode {
    // Whoever reads standard output may have gone; the node does not stop for that.
    writeln!(std::io::stdout(), "{line}").ok();
    ExitCode::SUCCESS
}

/// Says what is printed as a line of the log, if the log is for a program: on standard output all the same, where
/// what starts nodes looks for the address.
pub fn print_as_log(line: &str) {
    print(&match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Info, "patchmesh", line),
        _ => line.to_owned(),
    });
}

/// Says why the process ends.
pub fn fail(error: impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

/// Says something on standard error.
pub fn complain(error: impl Display) {
    let error = error.to_string();
    let line = match LOG_FORMAT.get() {
        Some(LogFormat::Json) => log_line(Level::Error, "patchmesh", &error),
        _ => format!("patchmesh: {}", visible(&error, MOST_LINE_BYTES)),
    };
    // Nor does it panic if nobody reads standard error.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A line of the log, as it is written in this process.
fn log_line(level: Level, target: &str, message: &str) -> String {
    let format = LOG_FORMAT.get().copied().unwrap_or_default();
    format.line(&LogLine { time: SystemTime::now(), level, target, message })
}

/// Begins the log, in this format.
pub fn start_log(format: LogFormat) {
    LOG_FORMAT.get_or_init(|| format);
    let environment = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(environment)
        .format(|output, record| {
            let message = record.args().to_string();
            writeln!(output, "{}", log_line(record.level(), record.target(), &message))
        })
        .init();
    // The libraries' traces have whole requests in them, and so the token.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}
