//! `ringway quickstart`: a proxy, its admin API and an origin to try things with, and nothing to
//! write first.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use tokio::sync::watch;

use super::origin;
use super::run::DriverArg;
use crate::admin::{AdminError, Listening};
use crate::boot::{self, BootError};
use crate::model::{self, Config};

/// What quickstart is told.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The port that the proxy listens on; 0 lets the kernel choose.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The port that the admin API listens on; 0 lets the kernel choose.
    #[arg(long, default_value_t = 9180)]
    pub admin_port: u16,
    /// What the kernel is asked with.
    #[arg(long, value_enum, default_value_t = DriverArg::Auto)]
    pub driver: DriverArg,
}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs all of it until Ctrl-C.
pub fn run(args: &Args) -> ExitCode {
    boot::start_logging(true);
    match serve(args) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{error}");
            match error {
                BootError::Bind { .. } => {
                    eprintln!("Port {} is in use: choose another with --port.", args.port);
                }
                BootError::Admin(AdminError::Bind { .. }) => {
                    let port = args.admin_port;
                    eprintln!("Port {port} is in use: choose another with --admin-port.");
                }
                _ => {}
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("quickstart cannot be prepared: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<Result<(), BootError>> {
    let listener = TcpListener::bind((LOCAL, 0))?;
    let origin = listener.local_addr()?;
    let key = new_key()?;
    let folder = Folder::new()?;
    let (path, config) = configuration(&folder.0, args, origin, &key)?;
    let (stop, stopped) = watch::channel(false);
    let serving = std::thread::spawn(move || origin::serve(listener, stopped));
    let ran = boot::run(Some(&path), config, args.driver.into(), move |listening| {
        introduce(listening, origin, &key);
    });
    stop.send_replace(true);
    let _ = serving.join();
    Ok(ran)
}

/// A folder for the configuration, which the admin API changes; it goes with the process.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("ringway-quickstart-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A key for this run: 128 bits of the kernel's randomness, in hexadecimal.
fn new_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `config/quickstart.yaml` with ports and key filled in, as a file of its own.
fn configuration(
    folder: &Path,
    args: &Args,
    origin: SocketAddr,
    key: &str,
) -> io::Result<(PathBuf, Config)> {
    let text = include_str!("../../config/quickstart.yaml")
        .replacen("port: 8080", &format!("port: {}", args.port), 1)
        .replacen("port: 9180", &format!("port: {}", args.admin_port), 1)
        .replacen("port: 9000", &format!("port: {}", origin.port()), 1)
        .replacen("api_key: example", &format!("api_key: \"{key}\""), 1);
    let path = folder.join("ringway.yaml");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    let loaded = model::load(&path).map_err(io::Error::other)?;
    Ok((path, loaded.config))
}

fn introduce(listening: &Listening, origin: SocketAddr, key: &str) {
    let (Some(proxy), Some(admin)) = (listening.clients.first(), listening.admin) else {
        return;
    };
    println!(
        "
Ringway is running.
  proxy   http://{proxy}   (what clients talk to)
  origin  http://{origin}   (what answers; `ringway origin` alone does the same)
  admin   http://{admin}   (what changes it; the key, for this run: {key})

Try:
  curl -i http://{proxy}/1k                     # through the proxy to the origin
  curl -d 'hello' http://{proxy}/echo           # an upload that comes back
  curl -i http://{proxy}/old/page               # a redirect that Ringway makes itself
  curl -i http://{proxy}/users/7                # a template route, rewritten to /headers
  wrk -t1 -c64 -d5 http://{proxy}/1k            # some load

Add a route while it runs; once the answer is there, every core serves it:
  curl -H 'X-API-Key: {key}' http://{admin}/routes
  curl -H 'X-API-Key: {key}' http://{admin}/routes -d \
'{{\"path_prefix\": \"/new/\", \"respond\": {{\"body\": \"live\"}}}}'
  curl http://{proxy}/new/
  curl -H 'X-API-Key: {key}' -X DELETE http://{admin}/routes/%2Fnew%2F

Ctrl-C stops all of it."
    );
}
