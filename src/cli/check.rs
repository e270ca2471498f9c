//! `ringway check`: every fault of a configuration file, each with the line and the way out.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::model::checks::surroundings;
use crate::model::config::Config;
use crate::model::faults::{Fault, Report, at_index, at_key};
use crate::model::{self, Loaded};
use crate::table::{CompileError, Secure};

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file; .json, .yaml or .yml
    file: PathBuf,
}

/// Prints the faults to stderr (exit 1), or one line to stdout (exit 0). Warnings go to stderr
/// and do not change the exit status.
pub fn run(args: &Args) -> ExitCode {
    let Loaded { config, warnings } = match model::load(&args.file) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let file = args.file.display().to_string();
    let around = surroundings(&config);
    let files = files_for_tls(&config);
    for warning in warnings.iter().chain(&around).chain(&files) {
        eprintln!("{}", warning.warning_in(&file));
    }
    println!("{file}: ok: {}", summary(&config));
    ExitCode::SUCCESS
}

/// What is wrong on this machine with the files that upstreams name for TLS. Where it runs, nothing
/// starts without them.
fn files_for_tls(config: &Config) -> Vec<Fault> {
    let mut report = Report::default();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Err(CompileError::Tls { what, .. }) = Secure::of(upstream) {
            let place = at_key(&at_index("$.upstreams", index), "tls");
            report.warn(place, what, "Ringway does not start like this");
        }
    }
    report.warnings
}

fn summary(config: &Config) -> String {
    [
        counted(config.listeners.len(), "listener"),
        counted(config.upstreams.len(), "upstream"),
        counted(config.routes.len(), "route"),
    ]
    .join(", ")
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
