//! What `--help` prints, made of the tables. It fits a terminal of 80 columns.

use std::fmt::Write;

use super::commands::{COMMANDS, RUN};
use super::rows::{CommandEntry, Exit, Flag};

/// The width of the narrowest terminal.
const COLUMNS: usize = 80;

/// The help of a command. That of the command that runs a node is about the whole program.
pub fn help(command: &CommandEntry) -> String {
    if command.name.is_empty() { of_all() } else { of_command(command) }
}

fn of_all() -> String {
    let mut text = format!(
        "patchmesh: one JSON document, kept on several nodes at once\n\n\
         Usage: {} [FLAG ...]\n       patchmesh COMMAND ... (patchmesh COMMAND --help says more)\n\n",
        RUN.usage()
    );
    let commands = COMMANDS.iter().filter(|command| !command.name.is_empty());
    let rows = commands.map(|command| (usage_of_arguments(command), command.summary.to_owned()));
    table(&mut text, rows.collect());
    text.push_str("\nA node:\n");
    let arguments = RUN
        .arguments
        .iter()
        .map(|argument| (argument.value.name.to_owned(), argument.help.to_owned()));
    table(&mut text, arguments.chain(flag_rows(RUN.flags())).collect());
    ending(&mut text, &Exit::ALL, RUN.example);
    text
}

fn of_command(command: &CommandEntry) -> String {
    let mut text = format!(
        "patchmesh {}: {}\n\nUsage: {} [FLAG ...]\n\n",
        command.name,
        command.summary,
        command.usage()
    );
    let arguments = command.arguments.iter();
    let arguments =
        arguments.map(|argument| (argument.value.name.to_owned(), argument.help.to_owned()));
    table(&mut text, arguments.chain(flag_rows(command.flags())).collect());
    if !command.more.is_empty() {
        text.push('\n');
        wrap(&mut text, command.more);
    }
    ending(&mut text, &command.exits(), command.example);
    text
}

/// A command's name and arguments, without the name of the program.
fn usage_of_arguments(command: &CommandEntry) -> String {
    let usage = command.usage();
    usage.strip_prefix("patchmesh ").unwrap_or(&usage).to_owned()
}

fn flag_rows(flags: impl Iterator<Item = &'static Flag>) -> impl Iterator<Item = (String, String)> {
    let rows = flags.map(|flag| (flag.usage(), flag.help.to_owned()));
    rows.chain([("-h, --help".to_owned(), "print this; -V or --version, the version".to_owned())])
}

fn ending(text: &mut String, exits: &[Exit], example: &str) {
    let exits = exits.iter().map(|exit| format!("{} {}", exit.code(), exit.meaning()));
    let exits = exits.collect::<Vec<_>>().join(", ");
    text.push_str("\nEach flag is also an environment variable, as PATCHMESH_TOKEN of --token.\n");
    wrap(text, &format!("Exit status: {exits}"));
    write!(text, "\nExample: {example}\n").expect("a string takes all");
}

/// Writes rows of two columns.
fn table(text: &mut String, rows: Vec<(String, String)>) {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        writeln!(text, "  {left:width$}  {right}").expect("a string takes all");
    }
}

/// Writes prose in lines that fit.
fn wrap(text: &mut String, prose: &str) {
    let mut column = 0;
    for word in prose.split_whitespace() {
        if column > 0 && column + 1 + word.len() >= COLUMNS {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
}
