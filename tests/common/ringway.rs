//! `ringway run` with a configuration of the test's, and the checks that end every test.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use super::message::{Framing, Message};
use super::{AdminClient, Driver, Process, wait_until};

/// A proxy that serves one configuration. Every test ends with `finish`.
pub struct Ringway {
    process: Process,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    directory: PathBuf,
    /// The name of the configuration file there.
    file: &'static str,
    files_at_start: u64,
    finished: bool,
    /// Whether the directory outlives this.
    kept: bool,
    expected: Option<&'static str>,
}

/// What the process says of itself.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// The sum of a figure over all cores.
    pub fn sum(&self, figure: &str) -> u64 {
        let cores = self.0["cores"].as_array().expect("cores in the status");
        let of = |core: &Value| core[figure].as_u64();
        let sum: Option<u64> = cores.iter().map(of).sum();
        sum.unwrap_or_else(|| panic!("no figure {figure} in {}", self.0))
    }

    pub fn open_files(&self) -> u64 {
        self.0["open_files"]
            .as_u64()
            .expect("open_files in the status")
    }
}

/// A configuration that forwards everything to one server.
pub fn forwarding(origin: SocketAddr) -> String {
    format!(
        "upstreams: [{{name: origin, servers: [{{address: {}, port: {}}}]}}]\n\
         routes: [{{path_prefix: /, upstream: origin}}]\n",
        origin.ip(),
        origin.port()
    )
}

/// The same to a server on a unix socket.
pub fn forwarding_to_unix(path: &Path) -> String {
    format!(
        "upstreams: [{{name: origin, servers: [{{unix: {}}}]}}]\n\
         routes: [{{path_prefix: /, upstream: origin}}]\n",
        path.display()
    )
}

/// The name of the configuration, where a test does not say otherwise.
const FILE: &str = "ringway.yaml";

impl Ringway {
    /// Starts one worker with this configuration (YAML; without `listeners` there is one), and
    /// waits until it is ready.
    pub fn start(configuration: &str, driver: Driver) -> Self {
        let directory = new_directory();
        Self::start_in(directory, configuration, driver)
    }

    /// As `start`, with a directory (that `new_directory` made) for its files.
    pub fn start_in(directory: PathBuf, configuration: &str, driver: Driver) -> Self {
        Self::write(&directory, configuration);
        Self::start_again(directory, driver)
    }

    /// As `start`, with these variables.
    pub fn start_with(configuration: &str, driver: Driver, environment: &[(&str, &str)]) -> Self {
        let directory = new_directory();
        Self::write(&directory, configuration);
        Self::start_file(directory, FILE, driver, environment)
    }

    fn write(directory: &Path, configuration: &str) {
        let path = directory.join(FILE);
        let mut text = configuration.to_owned();
        if !text.contains("listeners:") {
            text.push_str("listeners: [{address: 127.0.0.1, port: 0}]\n");
        }
        if !text.contains("workers:") {
            text.push_str("workers: 1\n");
        }
        std::fs::write(&path, text).expect("the configuration is written");
    }

    /// As `start_in`, with the configuration that is in the directory.
    pub fn start_again(directory: PathBuf, driver: Driver) -> Self {
        Self::start_file(directory, FILE, driver, &[])
    }

    /// Starts with the file of this name in the directory, and with these variables.
    pub fn start_file(
        directory: PathBuf,
        file: &'static str,
        driver: Driver,
        environment: &[(&str, &str)],
    ) -> Self {
        let path = directory.join(file);
        let config = path.to_str().unwrap();
        let arguments = ["run", "--config", config, "--driver", driver.name()];
        let process = Process::start_with(arguments, environment);
        process.wait_for(0, |line| message(line, "ready"));
        let lines = process.lines();
        let listening = lines.iter().filter_map(|line| message(line, "listening"));
        let address = |entry: Value| entry["address"].as_str().unwrap().parse().unwrap();
        let admin = lines
            .iter()
            .find_map(|line| message(line, "admin listening"));
        let mut ringway = Self {
            process,
            addresses: listening.map(address).collect(),
            admin: admin.map(address),
            directory,
            file,
            files_at_start: 0,
            finished: false,
            kept: false,
            expected: None,
        };
        ringway.files_at_start = ringway.files_at_rest();
        ringway
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The addresses of all listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the admin API.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.expect("an admin block in the configuration")
    }

    /// A client of the admin API with the key in `ADMIN`.
    pub fn admin(&self) -> AdminClient {
        AdminClient::connect(self.admin_address())
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.directory.join(self.file)
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the process says of itself now.
    pub fn status(&self) -> Status {
        let from = self.process.lines().len();
        self.process.signal(Signal::USR1);
        Status(self.process.wait_for(from, |line| message(line, "status")))
    }

    /// Asks for the status until it is as wanted.
    pub fn wait_for_status(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        wait_until(what, || Some(self.status()).filter(&wanted))
    }

    /// How many files are open when a connection has come and gone, so that the core has all that
    /// it needs. The socket is closed a moment after the connection is counted out.
    fn files_at_rest(&self) -> u64 {
        drop(TcpStream::connect(self.address()).expect("a connection"));
        let (mut count, mut times) = (0, 0);
        wait_until("the core is at rest", || {
            let status = self.status();
            times = if count == status.open_files() {
                times + 1
            } else {
                1
            };
            count = status.open_files();
            let at_rest = status.sum("accepted") == 1 && status.sum("connections") == 0;
            (at_rest && times >= 5).then_some(count)
        })
    }

    /// Bytes of memory that the process holds.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1_024
    }

    /// As `finish`, where the log is to have errors with this message.
    pub fn finish_after(mut self, message: &'static str) {
        self.expected = Some(message);
        self.finish();
    }

    /// The end of every test: everything that was taken is given back, the process stops when it
    /// is told to, and its log has nothing to be ashamed of.
    pub fn finish(self) {
        let at_rest = |status: &Status| {
            let pipes = 2 * status.sum("pipes");
            let files = self.files_at_start + status.sum("upstream_connections") + pipes;
            status.sum("connections") == 0
                && status.sum("in_flight") == 0
                && status.sum("large_buffers_out") == 0
                && status.sum("pipes_out") == 0
                && status.open_files() == files
        };
        let mut last = self.status();
        for _ in 0..1_000 {
            if at_rest(&last) {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
            last = self.status();
        }
        assert!(
            at_rest(&last),
            "{} files at start; now {last:?}",
            self.files_at_start
        );
        self.process.signal(Signal::TERM);
        self.stopped();
    }

    /// Kills the process at once, and gives the directory to start another one in.
    pub fn kill(mut self) -> PathBuf {
        self.finished = true;
        self.kept = true;
        self.process.signal(Signal::KILL);
        self.process.wait();
        self.directory.clone()
    }

    /// How many files are open when nobody is connected.
    pub fn files_at_start(&self) -> u64 {
        self.files_at_start
    }

    /// The lines of the log so far.
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    /// The end of a test in which the process had to cut off what was in flight.
    pub fn cut_off(mut self) {
        self.finished = true;
    }

    /// As `finish`, for a process that was told to stop already.
    pub fn stopped(mut self) {
        self.finished = true;
        let status = self.process.wait();
        assert_eq!(
            status.code(),
            Some(0),
            "{}",
            self.process.lines().join("\n")
        );
        let stopped = Status(self.process.wait_for(0, |line| message(line, "stopped")));
        let log = self.process.lines().join("\n");
        let figures = [
            "connections",
            "in_flight",
            "large_buffers_out",
            "pipes_out",
            "panics",
        ];
        for figure in figures {
            assert_eq!(stopped.sum(figure), 0, "{figure} in {stopped:?}");
        }
        for line in log.lines() {
            let expected = self.expected.is_some_and(|message| line.contains(message));
            let shameful = !expected && line.contains("ERROR") || line.contains("panicked");
            assert!(!shameful, "in the log: {line}");
        }
    }
}

impl Drop for Ringway {
    fn drop(&mut self) {
        if !self.kept || thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
        if thread::panicking() {
            eprintln!("the log:\n{}", self.process.lines().join("\n"));
        } else {
            assert!(self.finished, "the test did not end with finish()");
        }
    }
}

/// A fresh directory, which the proxy that uses it takes away.
pub fn new_directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringway-test-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).expect("a directory for the test");
    path
}

/// The log entry with this message, if the line is one.
fn message(line: &str, wanted: &str) -> Option<Value> {
    let entry: Value = serde_json::from_str(line).ok()?;
    (entry["message"] == wanted).then_some(entry)
}

/// Checks an answer that Ringway itself makes: short text with a length.
#[track_caller]
pub fn own_answer(response: &Message, status: u16) {
    assert_eq!(response.status(), status, "{response:?}");
    assert_eq!(
        response.framing,
        Framing::Length(response.body.len()),
        "{response:?}"
    );
    assert!(!response.body.is_empty(), "{response:?}");
    let content_type = response.field("content-type").unwrap_or_default();
    assert!(content_type.starts_with("text/plain"), "{response:?}");
}

/// Checks an answer for an upstream that failed (RFC 9209).
#[track_caller]
pub fn upstream_error(response: &Message, status: u16, error: &str) {
    own_answer(response, status);
    let expected = format!("ringway; error={error}");
    assert_eq!(
        response.field("proxy-status"),
        Some(expected.as_str()),
        "{response:?}"
    );
}
