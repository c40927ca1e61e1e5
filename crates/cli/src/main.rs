//! The offhook command.

mod allocated;
mod answer;
mod app;
mod args;
mod call;
mod demo;
mod descriptors;
mod devices;
mod failure;
mod keys;
mod live;
mod load;
mod logging;
mod loopback;
mod media_options;
mod replay;
mod serve;
mod session;
mod simulate;
mod sound;
mod stop;
mod store;
mod talk;
mod terminal;
mod token;
mod top;

use std::process::ExitCode;

use clap::Parser as _;
use offhook_sim::allocations::Counting;
use tikv_jemallocator::Jemalloc;

use crate::args::{Arguments, Command};
use crate::failure::Failure;

/// Gives back to the system what a crowd of clients needed, when it has gone. Counted, so that the demo can show that the real-time threads
/// never use it.
#[global_allocator]
static ALLOCATOR: Counting<Jemalloc> = Counting(Jemalloc);

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    logging::start(&arguments)?;
    match arguments.command {
        Command::Token(arguments) => token::run(&arguments),
        Command::Devices(arguments) => Ok(devices::run(&arguments)),
        Command::Loopback(arguments) => loopback::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Demo(arguments) => block_on(demo::run(&arguments)),
        Command::App(arguments) => block_on(app::run(&arguments)),
        Command::Store(arguments) => block_on(store::run(&arguments)),
        Command::Serve(arguments) => block_on(serve::run(&arguments)),
        Command::Top(arguments) => block_on(top::run(&arguments)),
        Command::BareWebsocketServer => block_on(load::serve_bare()),
        Command::Load(arguments) => block_on(load::run(&arguments)),
        Command::Call(arguments) => block_on(call::run(&arguments)),
        Command::Answer(arguments) => block_on(answer::run(&arguments)),
    }
}

fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::failed(format!("the asynchronous runtime does not start: {error}")))?;
    runtime.block_on(command)
}
