//! Standard output, and values as they are printed there.

use std::io::{self, Write};
use std::ops::ControlFlow;

use super::failure::Failure;
use crate::config::Form;
use crate::document::Value;

/// What comes of printing: a break if whoever reads it has gone. A command that only prints is done then.
pub type Printed = Result<ControlFlow<()>, Failure>;

/// Prints something at once.
pub fn print(bytes: &[u8]) -> Printed {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::failed(format_args!("standard output: {error}"))),
    }
}

/// A value as it is printed, with a line feed.
pub fn formatted(value: &Value, form: Form) -> Vec<u8> {
    let mut text = match (form, value.as_str()) {
        (Form::Raw, Some(text)) => text.as_bytes().to_vec(),
        (Form::Pretty, _) => pretty(value),
        _ => value.to_text(),
    };
    text.push(b'\n');
    text
}

/// The JSON text of a value with a member or element a line.
pub fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("a value always has a JSON text")
}
