//! Writes for measuring the admin API: fills an embedded store, changes routes, floods the port.
//!
//! `perf/churn` drives it. Each mode prints one line of JSON with times in microseconds. A change
//! counts from the moment it was due, so a slow answer cannot slow down its own measurement.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use ringway::admin::entity::{Entity, EntityChange, Kind};
use ringway::admin::store::Store;
use ringway::model;
use serde_json::{Value, json};

/// Entities in one commit of a fill.
const AT_ONCE: usize = 50_000;
/// Bytes of an answer's head and body, at most.
const ANSWER_MAX: usize = 64 * 1024;

/// What is to be done.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Puts routes into the store of a configuration.
    Fill {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        routes: u64,
    },
    /// Changes one route after the other.
    Write(Load),
    /// Asks with a wrong key, as fast as it is answered.
    Flood(Load),
}

/// How the port is loaded.
#[derive(Clone, Debug, clap::Args)]
struct Load {
    #[arg(long)]
    admin: SocketAddr,
    #[arg(long)]
    key: String,
    /// How many routes there are to change.
    #[arg(long, default_value_t = 1)]
    routes: u64,
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Changes per second over all connections; without it each waits for the one before.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    micros: Vec<f64>,
    refused: u64,
    failed: u64,
    /// Connections that were closed without an answer.
    shed: u64,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let report = match Options::parse().mode {
        Mode::Fill { config, routes } => fill(&config, routes)?,
        Mode::Write(load) => run(&load, change)?,
        Mode::Flood(load) => run(&load, |_, _, _| {
            "GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: wrong\r\n\r\n".to_owned()
        })?,
    };
    println!("{report}");
    Ok(())
}

fn fill(path: &Path, routes: u64) -> Outcome<Value> {
    let config = model::load(path)?.config;
    let began = Instant::now();
    let opened = Store::open(Some(path), &config)?;
    let (mut store, mut epoch) = (opened.store, opened.epoch);
    let all: Vec<u64> = (0..routes).collect();
    for some in all.chunks(AT_ONCE) {
        epoch += 1;
        let changes: Vec<EntityChange> = some.iter().map(|number| put(*number, epoch)).collect();
        store.commit(epoch, &changes, false)?;
    }
    Ok(json!({"routes": routes, "seconds": began.elapsed().as_secs_f64()}))
}

/// A route as a person would declare one.
fn put(number: u64, epoch: u64) -> EntityChange {
    let id = format!("r{number:07}");
    EntityChange::Put(Entity {
        kind: Kind::Route,
        id: id.clone(),
        revision: epoch,
        age: 1_000 + number,
        created_at: 0,
        updated_at: 0,
        text: json!({
            "id": id,
            "host": format!("t{}.example.com", number % 1_000),
            "path_prefix": format!("/api/v1/service-{number:07}/"),
            "upstream": "origin",
        })
        .to_string()
        .into(),
    })
}

/// The `count`th change by one of the connections.
fn change(load: &Load, connection: u32, count: u64) -> String {
    let each = load.routes / u64::from(load.connections).max(1);
    let number = u64::from(connection) * each + (count * 7_919) % each.max(1);
    let body = json!({"read_timeout_ms": 10_000 + count}).to_string();
    format!(
        "PATCH /routes/r{number:07} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        load.key,
        body.len()
    )
}

fn run(load: &Load, request: fn(&Load, u32, u64) -> String) -> Outcome<Value> {
    let began = Instant::now();
    let connections = 0..load.connections;
    let threads: Vec<_> = connections
        .map(|connection| {
            let load = load.clone();
            thread::spawn(move || connection_of(&load, connection, began, request))
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a thread panicked")??;
        all.micros.extend(seen.micros);
        all.refused += seen.refused;
        all.failed += seen.failed;
        all.shed += seen.shed;
    }
    all.micros.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = (all.micros.len() as f64 * share) as usize;
        all.micros
            .get(place.min(all.micros.len().saturating_sub(1)))
    };
    Ok(json!({
        "ok": all.micros.len(),
        "refused": all.refused,
        "failed": all.failed,
        "shed": all.shed,
        "seconds": began.elapsed().as_secs_f64(),
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p99": quantile(0.99),
        "max": all.micros.last(),
    }))
}

fn connection_of(
    load: &Load,
    connection: u32,
    began: Instant,
    request: fn(&Load, u32, u64) -> String,
) -> Outcome<Seen> {
    let mut stream = TcpStream::connect(load.admin)?;
    stream.set_nodelay(true)?;
    let mut seen = Seen::default();
    let end = began + Duration::from_secs_f64(load.seconds);
    let mut buffer = vec![0; ANSWER_MAX];
    for count in 0.. {
        let due = load.rate.map_or_else(Instant::now, |rate| {
            let place = count as f64 * f64::from(load.connections) + f64::from(connection);
            began + Duration::from_secs_f64(place / rate)
        });
        if due >= end {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = stream.write_all(request(load, connection, count).as_bytes());
        match sent
            .map_err(Into::into)
            .and_then(|()| answer(&mut stream, &mut buffer))
        {
            Ok(200) => {
                let micros = Instant::now().saturating_duration_since(due).as_secs_f64() * 1e6;
                seen.micros.push(micros);
            }
            Ok(401 | 429) => seen.refused += 1,
            Ok(_) => seen.failed += 1,
            // A flood is shed: its connections are closed, and it comes again.
            Err(_) => {
                seen.shed += 1;
                stream = TcpStream::connect(load.admin)?;
            }
        }
    }
    Ok(seen)
}

/// Reads an answer with a length; gives its status.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Outcome<u16> {
    let mut filled = 0;
    loop {
        let count = stream.read(buffer.get_mut(filled..).ok_or("a long answer")?)?;
        if count == 0 {
            return Err("the connection was closed".into());
        }
        filled += count;
        let text = std::str::from_utf8(buffer.get(..filled).unwrap_or(&[]))?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.get(9..12))
            .ok_or("no status")?;
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.ok_or("no length")?.parse::<usize>()? {
            return Ok(status.parse()?);
        }
    }
}
