//! Listener: connections of the admin API, within limits.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::amend::Amend;
use super::core::Core;
use super::dialect;
use super::guard;
use super::request::{Answer, EPOCH, Request, read_body, set};
use super::stall::Stall;

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Fields of a head.
const FIELDS_MAX: usize = 100;
/// How long to wait after a connection could not be accepted; there is no descriptor left then.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts connections for ever.
pub(super) async fn listen(core: Rc<Core>, listener: TcpListener) {
    let most = core.state.borrow().config.admin.limits.max_connections as usize;
    let open = Rc::new(());
    loop {
        match listener.accept().await {
            Ok((stream, from)) if Rc::strong_count(&open) <= most => {
                tokio::task::spawn_local(connection(core.clone(), stream, from, open.clone()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(message = "an admin connection was not accepted", %error);
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Serves a connection; `_open` counts it while it lasts.
async fn connection(core: Rc<Core>, stream: TcpStream, from: SocketAddr, _open: Rc<()>) {
    let _ = stream.set_nodelay(true);
    let within = within(&core);
    let stream = TokioIo::new(Amend::new(Stall::new(stream, within)));
    let service = service_fn(move |request| {
        let core = core.clone();
        async move { Ok::<_, Infallible>(serve(&core, request, from).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(within)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(stream, service);
    if let Err(error) = served.await {
        tracing::debug!(message = "an admin connection ended early", %error);
    }
}

/// How long a client may take for each of its parts.
pub(super) fn within(core: &Core) -> Duration {
    Duration::from_millis(core.state.borrow().config.admin.limits.timeout_ms)
}

async fn serve(core: &Rc<Core>, request: hyper::Request<Incoming>, from: SocketAddr) -> Answer {
    let from = dialect::client(core, &request).unwrap_or(from);
    dialect::prepare(core, &request).await;
    let path = request.uri().path().to_owned();
    let shows_token = request.headers().contains_key(AUTHORIZATION);
    let apikey = |request: &_| dialect::recognise(core, request);
    let admitted = match dialect::is_open(core, &path) {
        true => core.guard.borrow_mut().admit_anybody(&request, from),
        false => core.guard.borrow_mut().admit(&request, from, apikey),
    };
    let principal = match admitted {
        Ok(principal) => principal,
        Err(problem) => return dialect::refusal(core, &path, shows_token, problem),
    };
    let changes = guard::is_write(&request);
    let (parts, body) = request.into_parts();
    if dialect::is_stream(&parts) {
        let request = Request::new(parts, Bytes::new(), from, principal);
        return dialect::stream(core, &request, body).await;
    }
    let most = core.state.borrow().config.admin.limits.max_body_bytes as usize;
    let result = match read_body(body, most, within(core)).await {
        Ok(body) => {
            let request = Request::new(parts, body, from, principal);
            let result = dialect::answer(core, &request).await;
            if let (true, Err(problem), Some(audit)) = (changes, &result, &core.audit) {
                let status = problem.status.as_u16();
                audit
                    .note(&request.writer(), status, core.epoch(), &[])
                    .await;
            }
            result
        }
        Err(problem) => Err(problem),
    };
    let mut answer =
        result.unwrap_or_else(|problem| dialect::refusal(core, &path, shows_token, problem));
    if !answer.headers().contains_key(EPOCH) {
        set(&mut answer, EPOCH, &core.epoch().to_string());
    }
    answer
}
