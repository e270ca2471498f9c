//! Beside: what a route does besides passing a request on: it asks another service first, sends a
//! copy elsewhere, or asks two servers at once. All of it is rare and boxed; a request without it
//! is not touched.

use std::rc::Rc;

use super::accept::Connection;
use super::answer::After;
use super::aside;
use super::core::Core;
use super::fault::Refusal;
use super::forward::Plan;
use super::hedge;
use super::local::{self, Stopped};
use super::pool::Pool;
use super::record::Entry;
use super::understand::Understood;
use crate::epoch::Snapshot;
use crate::net;
use crate::table::UpstreamId;
use crate::table::policy::{ForwardAuth, Policies};
use crate::wire::compose::put_field;
use crate::wire::head::Response;

/// Copies that may be under way at a time, per core; further ones are not made.
const MIRRORS_MAX: u32 = 256;
/// Bytes of a request that is copied, at the most.
const MIRRORED_BYTES_MAX: usize = 32 * 1024;
/// How long a copy may take.
const MIRROR_MS: u64 = 30_000;

/// What is done besides passing a request on.
pub(super) struct Extras {
    gate: Option<Gate>,
    /// Where a copy goes.
    mirror: Option<Rc<Pool>>,
    /// After how many milliseconds a second server is asked.
    hedge_ms: Option<u64>,
}

/// A service that is asked first.
struct Gate {
    pool: Rc<Pool>,
    request: Vec<u8>,
    limit_ms: u64,
    adds: Box<[Box<str>]>,
    allow_on_failure: bool,
}

/// What a service says of a request.
enum Word {
    /// It may go on, with these field lines.
    Yes(Vec<u8>),
    /// The client gets this instead.
    No(u16, Vec<u8>),
}

const UPSTREAM_GONE: Refusal = Refusal {
    status: 503,
    reason: "no_server",
    sentence: "the upstream of the route is gone",
};

/// Prepares what `policies` say, as long as the request is at hand.
pub(super) fn prepare(
    core: &Core,
    snapshot: &Snapshot,
    connection: &Connection,
    request: &Understood<'_, '_>,
    policies: &Policies,
) -> Result<Option<Box<Extras>>, Refusal> {
    let asked = policies.auth.as_ref().and_then(|auth| auth.asks());
    let drawn = policies
        .mirror
        .filter(|mirror| core.chance.draw() % 100 < u64::from(mirror.percent));
    let hedge_ms = policies.hedge_ms;
    if asked.is_none() && drawn.is_none() && hedge_ms.is_none() {
        return Ok(None);
    }
    let now = core.deadlines.now();
    let pool = |id: UpstreamId| {
        let declared = snapshot.table.upstream(id)?;
        Some((core.pools.of(declared, now), declared.name.clone()))
    };
    let gate = match asked {
        None => None,
        Some(asked) => {
            let (pool, name) = pool(asked.upstream).ok_or(UPSTREAM_GONE)?;
            Some(Gate {
                pool,
                request: question(asked, &name, connection, request),
                limit_ms: u64::from(asked.timeout_ms),
                adds: asked.adds.clone(),
                allow_on_failure: asked.allow_on_failure,
            })
        }
    };
    let mirror = drawn.and_then(|mirror| pool(mirror.upstream));
    Ok(Some(Box::new(Extras {
        gate,
        mirror: mirror.map(|(pool, _)| pool),
        hedge_ms,
    })))
}

/// The request that a service gets about another one.
fn question(
    asked: &ForwardAuth,
    host: &str,
    connection: &Connection,
    request: &Understood<'_, '_>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(asked.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    put_field(&mut out, b"Host", host.as_bytes());
    put_field(
        &mut out,
        b"X-Forwarded-Method",
        request.head.method.as_bytes(),
    );
    put_field(&mut out, b"X-Forwarded-Proto", b"http");
    put_field(&mut out, b"X-Forwarded-Host", request.head.host_text);
    let mut target = request.path.to_vec();
    if let Some(query) = request.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    put_field(&mut out, b"X-Forwarded-Uri", &target);
    put_field(
        &mut out,
        b"X-Forwarded-For",
        connection.forwarding.address(),
    );
    for field in request.head.fields {
        if asked
            .sees
            .iter()
            .any(|name| name.eq_ignore_ascii_case(field.name))
        {
            put_field(&mut out, field.name.as_bytes(), field.value);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Does what is to be done before the request goes on. Where it does not go on, the client has its
/// answer.
pub(super) async fn before(
    connection: &Connection,
    core: &Core,
    plan: &mut Plan,
    entry: &mut Entry<'_>,
) -> Option<After> {
    let extras = plan.shape.as_mut()?.take_extras()?;
    if let Some(gate) = extras.gate
        && let Some(stopped) = gate.pass(core, plan).await
    {
        return Some(local::stop(connection, core, stopped, plan, entry).await);
    }
    if let Some(pool) = extras.mirror {
        mirror(core, pool, plan);
    }
    match extras.hedge_ms.filter(|_| plan.may_be_hedged()) {
        Some(ms) => Some(hedge::forward(connection, core, plan, ms, entry).await),
        None => None,
    }
}

/// The same for a request that is a part of an aggregate; gives what stops it. Such a request is
/// not hedged.
pub(super) async fn before_part(core: &Core, plan: &mut Plan) -> Option<Stopped> {
    let extras = plan.shape.as_mut()?.take_extras()?;
    if let Some(gate) = extras.gate
        && let Some(stopped) = gate.pass(core, plan).await
    {
        return Some(stopped);
    }
    if let Some(pool) = extras.mirror {
        mirror(core, pool, plan);
    }
    None
}

impl Gate {
    /// Asks; gives what stops the request, if anything does.
    async fn pass(&self, core: &Core, plan: &mut Plan) -> Option<Stopped> {
        let word = |response: &Response<'_, '_>| self.word(response);
        let asked = aside::ask(core, &self.pool, &self.request, self.limit_ms, word);
        match asked.await {
            Ok(Word::Yes(lines)) => {
                plan.put_lines(&lines);
                None
            }
            Ok(Word::No(status @ 300..=499, lines)) => Some(Stopped {
                status,
                reason: "forward_auth",
                sentence: "the request was not let in".into(),
                lines,
            }),
            _ if self.allow_on_failure => None,
            Ok(Word::No(..)) => Some(self.failed(502)),
            Err(fault) => Some(self.failed(fault.status().unwrap_or(502))),
        }
    }

    fn failed(&self, status: u16) -> Stopped {
        Stopped {
            status,
            reason: "forward_auth_failed",
            sentence: "whoever decides about requests cannot be asked".into(),
            lines: Vec::new(),
        }
    }

    fn word(&self, response: &Response<'_, '_>) -> Word {
        let mut lines = Vec::new();
        let let_in = (200..300).contains(&response.status);
        for field in response.fields {
            let name = field.name;
            let goes = match let_in {
                true => self.adds.iter().any(|add| add.eq_ignore_ascii_case(name)),
                false => TOLD.iter().any(|told| told.eq_ignore_ascii_case(name)),
            };
            if goes {
                put_field(&mut lines, name.as_bytes(), field.value);
            }
        }
        match let_in {
            true => Word::Yes(lines),
            false => Word::No(response.status, lines),
        }
    }
}

/// The fields of a refusal that the client gets.
const TOLD: [&str; 3] = ["location", "set-cookie", "www-authenticate"];

/// Sends a copy of the request elsewhere. Nobody waits for it, and nothing that happens to it is
/// seen by the client.
fn mirror(core: &Core, pool: Rc<Pool>, plan: &Plan) {
    let request = plan
        .whole_request()
        .filter(|bytes| bytes.len() <= MIRRORED_BYTES_MAX);
    let (Some(request), Some(core)) = (request, core.itself()) else {
        return core.counters.mirrors_dropped.add(1);
    };
    if core.mirrors.get() >= MIRRORS_MAX {
        return core.counters.mirrors_dropped.add(1);
    }
    let request = request.to_vec();
    core.mirrors.set(core.mirrors.get() + 1);
    core.counters.mirrored.add(1);
    net::spawn(async move {
        let _ = aside::ask(&core, &pool, &request, MIRROR_MS, |_| ()).await;
        core.mirrors.set(core.mirrors.get() - 1);
    });
}
