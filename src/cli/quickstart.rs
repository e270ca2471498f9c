//! `ringway quickstart`: a proxy and an origin to try things with, and nothing to write first.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use tokio::sync::watch;

use super::origin;
use super::run::DriverArg;
use crate::boot::{self, BootError};
use crate::model::{self, Config};

/// What quickstart is told.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The port that the proxy listens on; 0 lets the kernel choose.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// What the kernel is asked with.
    #[arg(long, value_enum, default_value_t = DriverArg::Auto)]
    pub driver: DriverArg,
}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs both until Ctrl-C.
pub fn run(args: &Args) -> ExitCode {
    boot::start_logging(true);
    let origin = match TcpListener::bind((LOCAL, 0)).and_then(|l| Ok((l.local_addr()?, l))) {
        Ok(origin) => origin,
        Err(error) => {
            eprintln!("the bundled origin cannot listen: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (address, listener) = origin;
    let (stop, stopped) = watch::channel(false);
    let serving = std::thread::spawn(move || origin::serve(listener, stopped));
    let Some(config) = configuration(args.port, address) else {
        return ExitCode::FAILURE;
    };
    let ran = boot::run(config, args.driver.into(), move |listening| {
        if let Some(proxy) = listening.first() {
            introduce(*proxy, address);
        }
    });
    stop.send_replace(true);
    let _ = serving.join();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if matches!(error, BootError::Bind { .. }) {
                eprintln!("Port {} is in use: choose another with --port.", args.port);
            }
            ExitCode::FAILURE
        }
    }
}

/// `config/quickstart.yaml` with the ports filled in.
fn configuration(port: u16, origin: SocketAddr) -> Option<Config> {
    let text = include_str!("../../config/quickstart.yaml")
        .replacen("port: 8080", &format!("port: {port}"), 1)
        .replacen("port: 9000", &format!("port: {}", origin.port()), 1);
    match model::read(&text, model::Format::Yaml, "config/quickstart.yaml") {
        Ok(loaded) => Some(loaded.config),
        Err(faults) => {
            eprintln!("{faults}");
            None
        }
    }
}

fn introduce(proxy: SocketAddr, origin: SocketAddr) {
    println!(
        "
Ringway is running.
  proxy   http://{proxy}   (what clients talk to)
  origin  http://{origin}   (what answers; `ringway origin` alone does the same)

Try:
  curl -i http://{proxy}/1k                     # through the proxy to the origin
  curl -d 'hello' http://{proxy}/echo           # an upload that comes back
  curl -i http://{proxy}/old/page               # a redirect that Ringway makes itself
  curl -i http://{proxy}/users/7                # a template route, rewritten to /headers
  wrk -t1 -c64 -d5 http://{proxy}/1k            # some load

Ctrl-C stops both."
    );
}
