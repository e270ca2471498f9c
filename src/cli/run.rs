//! `ringway run`: serves by a configuration file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use crate::boot;
use crate::net::DriverChoice;

/// What to run.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The configuration, JSON or YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What the kernel is asked with: io_uring, epoll, or the better of what it allows.
    #[arg(long, value_enum, default_value_t = DriverArg::Auto)]
    pub driver: DriverArg,
}

/// The drivers as one writes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum DriverArg {
    /// io_uring where it works, else epoll.
    Auto,
    /// io_uring or nothing.
    #[value(name = "io_uring")]
    IoUring,
    /// epoll.
    Epoll,
}

impl From<DriverArg> for DriverChoice {
    fn from(arg: DriverArg) -> Self {
        match arg {
            DriverArg::Auto => Self::Auto,
            DriverArg::IoUring => Self::IoUring,
            DriverArg::Epoll => Self::Epoll,
        }
    }
}

/// Runs until told to stop.
pub fn run(args: &Args) -> ExitCode {
    boot::start_logging(false);
    let Some(config) = super::load(&args.config) else {
        return ExitCode::FAILURE;
    };
    match boot::run(Some(&args.config), config, args.driver.into(), |_| {}) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(message = "Ringway does not start", %error);
            ExitCode::FAILURE
        }
    }
}
