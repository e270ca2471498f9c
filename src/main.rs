//! The command line of Ringway.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringway::allocator::Allocator;
use ringway::cli;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

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
    /// Say everything that is wrong with a configuration file
    Check(cli::check::Args),
    /// Print the JSON Schema of the configuration, or its reference
    Schema(cli::schema::Args),
    /// Say which route a request would take, and why
    Explain(cli::explain::Args),
    /// Print what a configuration keeps of a secret
    Hash(cli::hash::Args),
    /// Start a proxy and an origin to try things with
    Quickstart(cli::quickstart::Args),
    /// Start the bundled origin alone
    Origin(cli::origin::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => cli::run::run(&args),
        Command::Check(args) => cli::check::run(&args),
        Command::Schema(args) => cli::schema::run(&args),
        Command::Explain(args) => cli::explain::run(&args),
        Command::Hash(args) => cli::hash::run(&args),
        Command::Quickstart(args) => cli::quickstart::run(&args),
        Command::Origin(args) => cli::origin::run(&args),
    }
}
