//! `ringway origin`: a small HTTP/1.1 server to put behind a proxy.
//!
//! It answers with bodies of fixed sizes, echoes, counts, waits, streams and upgrades, so that
//! quickstart, the tests and a person with curl have something to talk to. `answer` says what each
//! path does, `body` makes the bodies. It is hyper on tokio: an implementation that is not ours,
//! so that it does not share our mistakes.

mod answer;
mod body;

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

/// How long requests in flight may take once the origin is told to stop.
const DRAIN: Duration = Duration::from_secs(1);

/// How long accepting rests after an error (most likely: no descriptors left).
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// What `ringway origin` is told.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The local IP address.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub address: IpAddr,
    /// The local TCP port; 0 lets the kernel choose.
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// How many threads serve.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
}

/// Serves until SIGINT or SIGTERM.
pub fn run(args: &Args) -> ExitCode {
    match listen_and_serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => " Choose another port with --port.",
                io::ErrorKind::AddrNotAvailable => " Choose an address of this machine.",
                _ => "",
            };
            eprintln!(
                "ringway origin cannot serve on {}:{}: {error}.{advice}",
                args.address, args.port
            );
            ExitCode::FAILURE
        }
    }
}

/// Serves what comes in on `listener` until `stop` becomes true or its sender is dropped; then
/// gives requests in flight a second to finish.
///
/// It blocks, and takes the thread for itself. Several threads may serve clones of one listener.
///
/// # Errors
/// When the runtime or the listener cannot be set up.
pub fn serve(listener: TcpListener, stop: watch::Receiver<bool>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    runtime()?.block_on(async {
        accept(tokio::net::TcpListener::from_std(listener)?, stop).await;
        Ok(())
    })
}

fn listen_and_serve(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind((args.address, args.port))?;
    let (stopper, stop) = watch::channel(false);
    let runtime = runtime()?;
    // Before the line that says that we listen: whoever reads it may signal at once.
    let stopped = runtime.block_on(async { stop_signal() })?;
    println!("origin listening on {}", listener.local_addr()?);
    let threads = (0..args.threads)
        .map(|_| {
            let listener = listener.try_clone()?;
            let stop = stop.clone();
            thread::Builder::new()
                .name("origin".to_owned())
                .spawn(move || serve(listener, stop))
        })
        .collect::<io::Result<Vec<_>>>()?;
    runtime.block_on(stopped);
    stopper.send_replace(true);
    for thread in threads {
        match thread.join() {
            Ok(served) => served?,
            Err(_) => return Err(io::Error::other("a thread panicked")),
        }
    }
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A future that is ready at the first SIGINT or SIGTERM from now on.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Waits until `stop` becomes true or nobody is left who could make it so.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept(listener: tokio::net::TcpListener, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, stop.clone()));
                }
                Err(_) => time::sleep(ACCEPT_REST).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    // What is left after the drain ends with the set.
    let _ = time::timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn serve_connection(stream: TcpStream, mut stop: watch::Receiver<bool>) {
    // Without it a response that goes out in two writes waits for the client's delayed ACK.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer::answer))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // A client that breaks off is its own business: the origin serves on.
    let _ = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}
