//! The commands.

mod check;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A reverse proxy and API gateway for Linux.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration file and name every fault in it
    Check(check::Args),
    /// Print the JSON Schema of the configuration, or its reference
    Schema(schema::Args),
}

impl Cli {
    /// Does what the command line says.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match &self.command {
            Command::Check(args) => check::run(args),
            Command::Schema(args) => schema::run(args),
        }
    }
}
