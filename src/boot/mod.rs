//! From arguments to running cores, and back to nothing: threads, pinning, sockets, the end.

mod cores;
mod log;
mod report;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;

use self::cores::Cores;
pub use self::report::start_logging;
use crate::admin::{self, AdminError, Control, Listening};
use crate::cache::Store;
use crate::epoch::counters::Counters;
use crate::epoch::lines::Lines;
use crate::epoch::{Inbox, Mailbox, Publisher, Snapshot, inquiries};
use crate::model::Config;
use crate::model::config::LogFormat;
use crate::model::listener::Spread;
use crate::net::{self, Bell, Driver, DriverChoice, ProbeError, Waking};
use crate::proxy::{self, CoreParts, Seats};

/// Why Ringway does not start.
#[derive(Debug, Error)]
pub enum BootError {
    /// The admin core cannot start.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened: {source}; name another in access_log.path")]
    AccessLog {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A core was named that this process may not use.
    #[error(
        "core {core} cannot be used: this process may use {usable}; change workers or admin.core"
    )]
    NoSuchCore {
        /// The core.
        core: usize,
        /// Those that can be used.
        usable: String,
    },
    /// io_uring is a must and cannot be had.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The system refused something basic.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> BootError {
    move |source| BootError::System { what, source }
}

/// What a running Ringway consists of, for whoever has to end it.
struct Running {
    workers: Vec<JoinHandle<()>>,
    log: Option<JoinHandle<()>>,
}

/// Runs Ringway until it is told to stop. `path` is where `config` was read from: what the admin
/// API changes is written there. `ready` is called with the addresses listened on, once every core
/// serves.
///
/// # Errors
/// If it cannot start; nothing is left running then.
pub fn run(
    path: Option<&Path>,
    config: Config,
    choice: DriverChoice,
    ready: impl FnOnce(&Listening) + 'static,
) -> Result<(), BootError> {
    report::raise_descriptor_limit();
    let cores = Cores::plan(&config)?;
    let driver = probe(choice)?;
    let (addresses, listeners) = bind_all(&config, driver, cores.workers.len())?;
    let (log_lines, log) = log::open(&config.access_log, cores.workers.len())?;
    let format = config.access_log.format;
    let prepared = admin::prepare(path, config)?;
    let first = prepared.first.clone();
    let acknowledged = Arc::new(admin::Acknowledged::default());
    let (bells, wakings) = bells(cores.workers.len())?;
    let seats = proxy::seats(&bells);
    let cache = cache(&first, &bells);
    let (publisher, mailboxes) = mailboxes(&first, bells, acknowledged.clone());
    let counters: Vec<Arc<Counters>> = cores.workers.iter().map(|_| Arc::default()).collect();
    let (asker, inboxes) = inquiries(cores.workers.len());
    let mailboxes = mailboxes.into_iter().zip(inboxes).collect();
    let each = seats.into_iter().zip(wakings).enumerate();
    let shared = each.map(|(worker, (seats, waking))| (seats, waking, (cache.clone(), worker)));
    let shared = shared.collect();
    let parts = parts(
        listeners, mailboxes, shared, &counters, log_lines, driver, format,
    );
    let workers = start_workers(parts, &cores, driver)?;
    let running = Running { workers, log };
    cores::pin(cores.admin);
    drop(first);
    let control = Control {
        prepared,
        publisher,
        asker,
        acknowledged,
        cache,
        counters,
        cores: cores.workers,
        driver: driver.name(),
        listening: addresses,
    };
    admin::run(control, ready).map_err(system("the admin core cannot be started"))?;
    running.join();
    Ok(())
}

fn probe(choice: DriverChoice) -> Result<Driver, BootError> {
    // On a thread of its own: a single-issuer ring belongs to the thread that made it.
    let probed = std::thread::spawn(move || net::probe(choice)).join();
    let (driver, refused) = probed.unwrap_or(Ok((Driver::Epoll, None)))?;
    if let Some(reason) = refused {
        tracing::warn!(message = "io_uring cannot be used; falling back to epoll", %reason);
    }
    Ok(driver)
}

/// One set of bound sockets for each worker.
type Bound = (Vec<SocketAddr>, Vec<Vec<(TcpListener, Spread)>>);

fn bind_all(config: &Config, driver: Driver, workers: usize) -> Result<Bound, BootError> {
    let mut addresses = Vec::new();
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &config.listeners {
        let mut address = SocketAddr::new(listener.address, listener.port);
        refuse_taken(address)?;
        for of_worker in &mut sockets {
            let socket = net::bind(address, listener.backlog, driver)
                .map_err(|source| BootError::Bind { address, source })?;
            // Port 0 is chosen once; the siblings share what the kernel chose.
            address = socket
                .local_addr()
                .map_err(system("a socket has no address"))?;
            of_worker.push((socket, listener.spread));
        }
        addresses.push(address);
    }
    Ok((addresses, sockets))
}

/// With SO_REUSEPORT a second process of the same user would quietly share the port: look first.
fn refuse_taken(address: SocketAddr) -> Result<(), BootError> {
    if address.port() != 0 {
        drop(TcpListener::bind(address).map_err(|source| BootError::Bind { address, source })?);
    }
    Ok(())
}

/// A bell for each worker, and its other end.
fn bells(workers: usize) -> Result<(Vec<Bell>, Vec<Waking>), BootError> {
    let bells = (0..workers)
        .map(|_| net::bell())
        .collect::<Result<Vec<_>, _>>()
        .map_err(system("a socket pair cannot be made"))?;
    Ok(bells.into_iter().unzip())
}

fn mailboxes(
    first: &Arc<Snapshot>,
    bells: Vec<Bell>,
    acknowledged: Arc<admin::Acknowledged>,
) -> (Publisher, Vec<Mailbox>) {
    Publisher::new(first, bells, Arc::new(move || acknowledged.notify()))
}

/// What all workers keep of responses; it rings those who wait for one.
fn cache(first: &Snapshot, bells: &[Bell]) -> Arc<Store> {
    let ringers = bells.to_vec();
    let workers = ringers.len();
    let ring = move |worker: usize| {
        if let Some(bell) = ringers.get(worker) {
            bell.ring();
        }
    };
    let bytes = first.settings.limits.cache_bytes;
    let store = Store::new(bytes, workers, Box::new(ring));
    if first.table.keeps_responses() {
        store.prepare();
    }
    store
}

/// What a worker shares with the others beside the table: seats, what wakes it for both, and the
/// cache with its number.
type Shared = (Seats, Waking, (Arc<Store>, usize));

fn parts(
    listeners: Vec<Vec<(TcpListener, Spread)>>,
    mailboxes: Vec<(Mailbox, Inbox)>,
    shared: Vec<Shared>,
    counters: &[Arc<Counters>],
    lines: Vec<Lines>,
    driver: Driver,
    format: LogFormat,
) -> Vec<CoreParts> {
    let mut lines = lines.into_iter();
    let each = listeners
        .into_iter()
        .zip(mailboxes)
        .zip(shared)
        .zip(counters);
    each.map(
        |(((listeners, (mailbox, inbox)), (seats, waking, cache)), counters)| CoreParts {
            listeners,
            seats,
            mailbox,
            inbox,
            cache,
            waking,
            driver,
            counters: counters.clone(),
            log: lines.next().map(|lines| (lines, format)),
        },
    )
    .collect()
}

fn start_workers(
    parts: Vec<CoreParts>,
    cores: &Cores,
    driver: Driver,
) -> Result<Vec<JoinHandle<()>>, BootError> {
    let start = |(part, core): (CoreParts, usize)| {
        std::thread::Builder::new()
            .name(format!("ringway-core-{core}"))
            .spawn(move || {
                cores::pin(core);
                if let Err(error) = net::run(driver, proxy::run(part)).and_then(|ended| ended) {
                    tracing::error!(message = "a core could not start", core, %error);
                    // The admin core waits for every core: without this one there is no Ringway.
                    std::process::exit(1);
                }
            })
    };
    let started = parts
        .into_iter()
        .zip(cores.workers.iter().copied())
        .map(start);
    started
        .collect::<Result<_, _>>()
        .map_err(system("a thread cannot be started"))
}

impl Running {
    fn join(self) {
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!(message = "a core ended with a panic");
            }
        }
        if let Some(log) = self.log {
            let _ = log.join();
        }
    }
}
