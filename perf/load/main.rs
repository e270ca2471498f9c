//! Load for measuring a proxy: an origin and a checking client, both in one busy-polling thread.
//!
//! In one thread neither of them ever waits for the other's wake-up, and a thread that polls never
//! sleeps, so the proxy under test pays for no interrupt to a sleeping CPU. `perf/run` drives it;
//! by hand: `load both --origin 127.0.0.1:9000 --target 127.0.0.1:8080`.
//!
//! It writes `begin` and `end` on lines of their own when the measured window starts and ends,
//! then one line of JSON with times in microseconds. With `--turns` it keeps connections to several
//! targets open and loads one at a time: it writes `ready`, then reads the number of a target from
//! a line of its input, loads that one for a window, waits for its last response, and writes a line
//! of JSON. Between turns it sleeps, and nothing is under way.

mod body;
mod calibrate;
mod client;
mod measure;
mod origin;
mod poll;
mod websocket;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use client::{Client, Phase};
use measure::{Window, cpu_nanos};
use origin::Origin;
use poll::{Poller, Side};

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// The origin alone; it sleeps when it has nothing to do, and runs until it is killed.
    Origin,
    /// The client alone.
    Load,
    /// Both in one thread.
    Both,
    /// Print how fast this CPU is right now.
    Calibrate,
}

/// Origin and load for measuring a proxy.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    mode: Mode,
    /// Where the origin listens.
    #[arg(long, default_value = "127.0.0.1:9000")]
    origin: SocketAddr,
    /// The proxies under test; more than one only with `--turns`.
    #[arg(long, default_value = "127.0.0.1:8080", value_delimiter = ',')]
    target: Vec<SocketAddr>,
    /// Load the targets in turns, as the input says.
    #[arg(long)]
    turns: bool,
    /// Busy connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Connections besides that make one request each before the warm-up and then stay silent.
    #[arg(long, default_value_t = 0)]
    pub(crate) idle: usize,
    /// Length of the measured window.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of load before the window.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// What is asked for: /0 /100 /1k /4k /16k /32k /64k /128k /256k /1m, or /chunked16k.
    #[arg(long, default_value = "/1k")]
    pub(crate) path: String,
    /// Bytes that a response body must have, where the path does not say it.
    #[arg(long)]
    pub(crate) expect: Option<u64>,
    /// POST a body of this many bytes; the answer must be its length.
    #[arg(long)]
    pub(crate) post: Option<usize>,
    /// Ask for a WebSocket on each connection and echo messages of this many bytes; one is a
    /// request.
    #[arg(long, conflicts_with_all = ["post", "one_request_each"],
          value_parser = clap::value_parser!(u16).range(126..))]
    pub(crate) websocket: Option<u16>,
    /// Open a connection for each request, from 16 loopback addresses in turn.
    #[arg(long)]
    pub(crate) one_request_each: bool,
    /// Open loop: this many requests per second, whatever the responses do.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Sleep when there is nothing to do, for an open loop beside others on its CPU.
    #[arg(long, requires = "rate")]
    sleep: bool,
}

/// Connections that take longer than this to open are a failure of the proxy.
const FILL_SECONDS: f64 = 60.0;
/// As are responses that come later than this after the end of a turn.
const DRAIN_SECONDS: f64 = 5.0;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.mode {
        Mode::Origin => serve(options.origin),
        Mode::Calibrate => calibrate::probe().map(|probe| {
            println!("{probe}");
            true
        }),
        Mode::Load | Mode::Both if options.turns => turns(&options),
        Mode::Load | Mode::Both => measure(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(address: SocketAddr) -> io::Result<bool> {
    let mut poller = Poller::new()?;
    let mut origin = Origin::listen(&poller, address)?;
    let mut ready = Vec::new();
    loop {
        poller.poll(&mut ready, None)?;
        for event in ready.drain(..) {
            match event.side {
                Side::Listener => origin.accept(&poller)?,
                _ => origin.serve(&poller, event),
            }
        }
    }
}

/// One run; `true` if no response was wrong.
fn measure(options: &Options) -> io::Result<bool> {
    let mut rig = Rig::new(options)?;
    let mut next_phase = rig.clock.now() + nanos(FILL_SECONDS);
    loop {
        let turn = rig.clock.now();
        let Rig {
            poller, clients, ..
        } = &mut rig;
        let client = &mut clients[0];
        match client.phase {
            Phase::Filling => {
                if client.fill(poller)? {
                    client.begin(poller, options.connections, Phase::WarmUp)?;
                    next_phase = turn + nanos(options.warm_up);
                } else if turn >= next_phase {
                    return Err(too_slow());
                }
            }
            Phase::WarmUp if turn >= next_phase => {
                client.phase = Phase::Measuring;
                next_phase = turn + nanos(options.seconds);
                rig.meter = Meter::begin(turn);
                say("begin")?;
            }
            Phase::Measuring if turn >= next_phase => break,
            Phase::WarmUp | Phase::Measuring => client.arrive(poller, turn),
            Phase::Resting => {}
        }
        let wait = match options.sleep {
            true => rig.clients[0].until_arrival(rig.clock.now()),
            false => Duration::ZERO,
        };
        rig.step(turn, wait)?;
    }
    say("end")?;
    let window = rig.meter.end(rig.clock.now());
    println!("{}", rig.clients[0].tally.report(&window));
    Ok(rig.clients[0].tally.faults() == 0)
}

/// Windows of one target after the other, until the input ends.
fn turns(options: &Options) -> io::Result<bool> {
    let mut rig = Rig::new(options)?;
    let last = rig.clock.now() + nanos(FILL_SECONDS);
    let mut filling = rig.clients.len();
    while filling > 0 || !rig.clients.iter().all(Client::is_at_rest) {
        let turn = rig.clock.now();
        if turn >= last {
            return Err(too_slow());
        }
        filling = 0;
        for client in &mut rig.clients {
            if client.phase == Phase::Filling {
                if client.fill(&rig.poller)? {
                    client.begin(&rig.poller, options.connections, Phase::Resting)?;
                } else {
                    filling += 1;
                }
            }
        }
        rig.step(turn, Duration::ZERO)?;
    }
    say("ready")?;
    let mut faultless = true;
    for line in io::stdin().lines() {
        let number: usize = line?.trim().parse().map_err(io::Error::other)?;
        faultless &= rig.turn(options, number)?;
    }
    Ok(faultless)
}

fn too_slow() -> io::Error {
    io::Error::other("the connections did not open in 60 s")
}

/// The thread with all that it serves.
struct Rig {
    poller: Poller,
    origin: Option<Origin>,
    clients: Vec<Client>,
    clock: Clock,
    meter: Meter,
    ready: Vec<poll::Ready>,
}

impl Rig {
    fn new(options: &Options) -> io::Result<Self> {
        if options.target.len() > 1 && !options.turns {
            return Err(io::Error::other("several targets need --turns"));
        }
        let poller = Poller::new()?;
        let origin = match options.mode {
            Mode::Both => Some(Origin::listen(&poller, options.origin)?),
            _ => None,
        };
        let clients = (0..)
            .zip(&options.target)
            .map(|(number, target)| Client::new(options, number, *target))
            .collect();
        Ok(Self {
            poller,
            origin,
            clients,
            clock: Clock(Instant::now()),
            meter: Meter::default(),
            ready: Vec::new(),
        })
    }

    /// Serves what is ready, since `turn`.
    fn step(&mut self, turn: u64, wait: Duration) -> io::Result<()> {
        let Self {
            poller,
            origin,
            clients,
            clock,
            meter,
            ready,
        } = self;
        poller.poll(ready, Some(wait))?;
        if ready.is_empty() {
            meter.idle += clock.now() - turn;
        }
        for event in ready.drain(..) {
            match (event.side, &mut *origin) {
                (Side::Client(number), _) => {
                    if let Some(client) = clients.get_mut(usize::from(number)) {
                        client.serve(poller, event, || clock.now());
                    }
                }
                (Side::Listener, Some(origin)) => origin.accept(poller)?,
                (_, Some(origin)) => origin.serve(poller, event),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// One window of one target, from rest to rest; `true` if no response was wrong.
    fn turn(&mut self, options: &Options, number: usize) -> io::Result<bool> {
        if number >= self.clients.len() {
            return Err(io::Error::other(format!("there is no target {number}")));
        }
        let began = self.clock.now();
        self.meter = Meter::begin(began);
        self.clients[number].resume(&self.poller, began);
        let end = began + nanos(options.seconds);
        loop {
            let turn = self.clock.now();
            if turn >= end {
                break;
            }
            self.clients[number].arrive(&self.poller, turn);
            self.step(turn, Duration::ZERO)?;
        }
        self.clients[number].rest();
        let last = end + nanos(DRAIN_SECONDS);
        while !self.clients[number].is_at_rest() {
            let turn = self.clock.now();
            if turn >= last {
                return Err(io::Error::other("responses did not come in 5 s"));
            }
            self.step(turn, Duration::ZERO)?;
        }
        let window = self.meter.end(self.clock.now());
        println!("{}", self.clients[number].tally.report(&window));
        Ok(self.clients[number].tally.faults() == 0)
    }
}

/// The time since the start.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    /// In nanoseconds.
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What the load thread itself did in the window; nanoseconds.
#[derive(Default)]
struct Meter {
    began: u64,
    cpu: u64,
    idle: u64,
}

impl Meter {
    fn begin(now: u64) -> Self {
        Self {
            began: now,
            cpu: cpu_nanos(),
            idle: 0,
        }
    }

    fn end(&self, now: u64) -> Window {
        let wall = (now - self.began) as f64;
        Window {
            seconds: wall / 1e9,
            idle_share: self.idle as f64 / wall,
            cpu_share: (cpu_nanos() - self.cpu) as f64 / wall,
        }
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush()
}
