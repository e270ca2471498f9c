//! The command line of Ringway.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringway::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A reverse proxy and API gateway: io_uring, one pinned thread per core, managed at run time.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve by a configuration file
    Run(cli::run::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => cli::run::run(&args),
    }
}
