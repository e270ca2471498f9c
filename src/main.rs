//! The `ringway` binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    ringway::cli::Cli::parse().run()
}
