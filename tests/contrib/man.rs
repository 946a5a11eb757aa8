//! The man page, made of the tables of the command line.

use std::fmt::Write;

use patchmesh::internals::config::{COMMANDS, CommandEntry, Exit, flags};

/// A page in the making. What is written to it is text, never a request of roff.
struct Page(String);

impl Page {
    /// A request or macro with its arguments, as they are.
    fn request(&mut self, request: &str) {
        writeln!(self.0, ".{request}").expect("a string takes all");
    }

    /// A line of text.
    fn line(&mut self, line: &str) {
        let text = escaped(line);
        let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
        writeln!(self.0, "{guard}{text}").expect("a string takes all");
    }

    /// Text of which `words` are bold.
    fn bold(&mut self, words: &str) {
        writeln!(self.0, "\\fB{}\\fR", escaped(words)).expect("a string takes all");
    }

    /// A term and what is said of it.
    fn entry(&mut self, term: &str, text: &[&str]) {
        self.request("TP");
        self.bold(term);
        for line in text.iter().filter(|line| !line.is_empty()) {
            self.line(line);
        }
    }

    fn example(&mut self, line: &str) {
        self.request("PP");
        self.request("RS 4");
        self.request("nf");
        self.line(line);
        self.request("fi");
        self.request("RE");
    }
}

/// Text without what roff would read as marks.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('~', "\\(ti")
        .replace('^', "\\(ha")
}

fn sentence(text: &str) -> String {
    // What is no word stays as it is.
    let is_word = |word: &str| word.chars().all(char::is_alphabetic);
    if !text.split([' ', ',']).next().is_some_and(is_word) {
        return format!("{text}.");
    }
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

pub fn page() -> String {
    let mut page = Page(
        ".\\\" Made of the tables in src/config by PATCHMESH_REWRITE=1 cargo test \\-\\-test contrib\n".into(),
    );
    page.request(&format!(
        "TH PATCHMESH 1 \"\" \"patchmesh {}\" \"User Commands\"",
        env!("CARGO_PKG_VERSION")
    ));
    // No word is divided: a flag would be another one.
    page.request("nh");
    page.request("ad l");
    page.request("SH NAME");
    page.line("patchmesh - one JSON document, kept on several nodes at once");
    page.request("SH SYNOPSIS");
    for (index, command) in COMMANDS.iter().enumerate() {
        if index > 0 {
            page.request("br");
        }
        page.bold(&format!("{} [FLAG ...]", command.usage()));
    }
    page.request("SH DESCRIPTION");
    page.line("Nodes keep one JSON document. Each takes writes at any time, also while it is cut off from the others, and \
               nodes that have heard the same writes have the same document.");
    page.line("The first argument says what is to be done. If it is an address, a node is run.");
    page.request("SH COMMANDS");
    for command in COMMANDS {
        of_command(&mut page, command);
    }
    of_flags(&mut page);
    of_environment(&mut page);
    page.request("SH EXIT STATUS");
    for exit in Exit::ALL {
        page.entry(&exit.code().to_string(), &[&sentence(exit.meaning())]);
    }
    page.0
}

fn of_command(page: &mut Page, command: &CommandEntry) {
    page.request(&format!("SS {}", escaped(&command.usage())));
    page.line(&sentence(command.summary));
    if !command.more.is_empty() {
        page.line(command.more);
    }
    for argument in command.arguments {
        page.entry(argument.value.name, &[&sentence(argument.help)]);
    }
    let names: Vec<_> = command.flags().map(|flag| format!("--{}", flag.name)).collect();
    page.entry("FLAG", &[&format!("Any of {}.", names.join(", "))]);
    page.example(command.example);
}

fn of_flags(page: &mut Page) {
    page.request("SH FLAGS");
    page.line("Each flag belongs to the commands that name it above.");
    for flag in flags() {
        page.entry(&flag.usage(), &[&sentence(flag.help), flag.more]);
    }
    page.entry(
        "-h, --help",
        &["Prints what there is to say about the command, or about all of them."],
    );
    page.entry("-V, --version", &["Prints the version."]);
}

fn of_environment(page: &mut Page) {
    page.request("SH ENVIRONMENT");
    page.line("Each flag is an environment variable, too. The command line wins, and a variable of a flag that the \
               command does not take is ignored. A flag without a value is true or false there.");
    page.request("PD 0");
    let run = COMMANDS.iter().filter(|command| command.name.is_empty());
    for argument in run.flat_map(|command| command.arguments) {
        page.entry(&argument.variable(), &[&format!("{} of a node.", argument.value.name)]);
    }
    for flag in flags() {
        page.entry(&flag.variable(), &[&format!("As --{}.", flag.name)]);
    }
    page.entry("RUST_LOG", &["What a node logs: error, warn, info (the default) or debug."]);
    page.entry("EDITOR", &["The editor that edit opens."]);
    page.request("PD");
}
