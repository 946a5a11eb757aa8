//! The patchmesh command: from arguments to exit status.

mod console;
mod maintain;
mod run_node;

use std::process::ExitCode;

use async_signal::{Signal, Signals};

use crate::client;
use crate::config::{self, ClientCommand, Command, Exit};
use crate::log_format::LogFormat;
use console::{complain, fail, print, start_log};

/// Runs the `patchmesh` command with the arguments of the process.
pub fn program() -> ExitCode {
    // With this handler, a file at its size limit makes a write fail, and does not end the process.
    let _file_too_large = Signals::new([Signal::Xfsz]);
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let command = config::parse(arguments.iter().cloned(), |name| std::env::var_os(name));
    start_log(match &command {
        Ok(Command::Run(config)) => config.log_format,
        Ok(_) => LogFormat::Text,
        Err(_) => LogFormat::asked_for(&arguments, std::env::var_os("PATCHMESH_LOG_FORMAT")),
    });
    match command {
        Ok(mut command) => match read_token_files(&mut command) {
            Ok(()) => act(command),
            Err(error) => fail(error),
        },
        Err(error) => {
            complain(format_args!("{error}; see patchmesh --help"));
            ExitCode::from(Exit::Usage.code())
        }
    }
}

/// Reads the token files for the nodes that a command talks to. A node that is to run reads its file itself.
fn read_token_files(command: &mut Command) -> Result<(), String> {
    for node in command.remotes_mut() {
        let Some(file) = node.token_file.take() else { continue };
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        let token =
            text.and_then(|text| config::first_token(&text).map_err(|error| error.to_string()));
        node.token = Some(token.map_err(|error| format!("{}: {error}", file.display()))?);
    }
    Ok(())
}

fn act(command: Command) -> ExitCode {
    match command {
        Command::Run(config) => run_node::run(config),
        Command::Client(command) => ask(&command),
        Command::Verify { data, mend } => maintain::verify(&data, mend),
        Command::Backup { from, file } => maintain::backup(&from, &file),
        Command::Restore { file, data, name } => maintain::restore(&file, &data, name.as_deref()),
        Command::Promote { node } => maintain::promote(&node),
        Command::Peers { node, order } => maintain::peers(&node, &order),
        Command::Help(text) => print(text.trim_end()),
        Command::Version => print(concat!("patchmesh ", env!("CARGO_PKG_VERSION"))),
    }
}

/// Runs a command that talks to running nodes.
fn ask(command: &ClientCommand) -> ExitCode {
    match smol::block_on(client::run(command, &mut |what| complain(what))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}
