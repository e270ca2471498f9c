//! `ringway schema`: the shape of the configuration, for editors and for people.

use std::io;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::model;

/// What to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// json: the JSON Schema; markdown: the reference tables of docs/configuration.md
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Markdown,
}

/// Prints the schema to stdout.
pub fn run(args: &Args) -> ExitCode {
    let text = match args.format {
        Format::Json => format!("{:#}\n", model::schema()),
        Format::Markdown => model::reference::markdown(),
    };
    // A reader that has seen enough, such as `head`, is no fault.
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("the schema could not be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
