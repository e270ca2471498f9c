//! `ringway explain`: which route a request would take, and why, without sending it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use crate::proxy::{Explanation, explain};

/// What to explain.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The configuration, JSON or YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The request, as in 'GET http://host/path?query'.
    #[arg(long, value_name = "REQUEST")]
    pub request: String,
    /// A field of the request, as in 'Name: value'; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub fields: Vec<String>,
}

/// Prints the explanation.
pub fn run(args: &Args) -> ExitCode {
    let Some(config) = super::load(&args.config) else {
        return ExitCode::FAILURE;
    };
    let Some((method, url)) = args.request.split_once(' ') else {
        eprintln!("--request is a method, a space and a URL, as in 'GET http://host/path'");
        return ExitCode::FAILURE;
    };
    match explain(&config, method.trim(), url.trim(), &args.fields) {
        Ok(explanation) => {
            print(&explanation);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print(explanation: &Explanation) {
    for line in &explanation.verdicts {
        println!("{line}");
    }
    for line in &explanation.policies {
        println!("policy {line}");
    }
    println!("outcome: {}", explanation.outcome);
    if let Some(head) = &explanation.forwarded {
        println!("server picked by: {}", explanation.upstream);
        println!("retries: {}", explanation.retries);
        println!("request as forwarded:");
        head.lines().for_each(|line| println!("    {line}"));
    }
}
