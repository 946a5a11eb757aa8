//! Runs a node until a signal ends it.

use std::process::ExitCode;

use async_signal::{Signal, Signals};
use smol::Executor;
use smol::future::{FutureExt, yield_now};
use smol::stream::StreamExt;

use super::console::{fail, print_as_log};
use crate::blocking::unblock;
use crate::config::Config;
use crate::node::Node;
use crate::tokens::Tokens;

/// Runs all tasks of a node, on the main thread and on the other threads of `--threads`. The future that waits for
/// signals is a task too: beside the executor it would be polled whenever any task is.
static EXECUTOR: Executor<'static> = Executor::new();

/// After so many turns of tasks, the only thread looks for new input. `Executor::run` does so too.
const TICKS: usize = 200;

/// Runs a node.
pub fn run(config: Config) -> ExitCode {
    for number in 1..config.threads {
        // It ends with the process.
        let thread = std::thread::Builder::new().name(format!("executor-{number}"));
        let begun = thread.spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
        if let Err(error) = begun {
            return fail(format_args!("cannot begin a thread: {error}"));
        }
    }
    let is_only_thread = config.threads == 1;
    let node = EXECUTOR.spawn(run_node(config));
    if is_only_thread {
        smol::block_on(node.or(run_on_one_thread()))
    } else {
        smol::block_on(EXECUTOR.run(node))
    }
}

/// Runs the tasks for ever, as the only thread that does. `Executor::run` has a queue for each thread besides the common
/// one, and each task goes through both.
async fn run_on_one_thread() -> ExitCode {
    loop {
        for _ in 0..TICKS {
            EXECUTOR.tick().await;
        }
        // So that input is noticed even if there is always a task that is ready.
        yield_now().await;
    }
}

async fn run_node(config: Config) -> ExitCode {
    // Before the node reports that it runs, so that a signal from then on ends it in order.
    let mut signals = match Signals::new([Signal::Int, Signal::Term]) {
        Ok(signals) => signals,
        Err(error) => return fail(format_args!("cannot wait for signals: {error}")),
    };
    // SIGHUP, by a reload or a closed terminal, does not end the node.
    let hangups = match Signals::new([Signal::Hup]) {
        Ok(hangups) => hangups,
        Err(error) => return fail(format_args!("cannot wait for signals: {error}")),
    };
    let begin = async { Some(Node::bind(config, fastrand::u64(..)).await) };
    let interrupted = async {
        signals.next().await;
        None
    };
    let node = match smol::future::or(begin, interrupted).await {
        Some(Ok(node)) => node,
        Some(Err(error)) => return fail(error),
        None => return ExitCode::SUCCESS,
    };
    print_as_log(&node.to_string());
    // It ends with the process.
    let _reading = EXECUTOR.spawn(read_tokens(hangups, node.tokens().clone()));
    let (stop, shutdown) = async_channel::bounded(1);
    let wait = async move {
        if let Some(Ok(signal)) = signals.next().await {
            let name = if signal == Signal::Int { "SIGINT" } else { "SIGTERM" };
            log::info!("{name}: stopping");
        }
        drop(stop);
        // A second signal ends it without waiting for open connections.
        signals.next().await;
        log::warn!("stopped without waiting for open connections");
        Ok(())
    };
    match smol::future::or(node.run(&EXECUTOR, shutdown), wait).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Reads the file of tokens again at each signal, if there is one.
async fn read_tokens(mut hangups: Signals, tokens: Tokens) {
    while hangups.next().await.is_some() {
        let Some(file) = tokens.file().map(|file| file.display().to_string()) else {
            log::info!("SIGHUP: there is no --token-file that could be read again");
            continue;
        };
        let tokens = tokens.clone();
        match unblock(move || tokens.read_again()).await {
            Ok(count) => log::info!("SIGHUP: there are {count} tokens in {file}"),
            Err(error) => log::error!(
                "SIGHUP: {file}: {error}; the tokens that were read before are those that count"
            ),
        }
    }
}
