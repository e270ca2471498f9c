//! Policy: what the policies of a route do with a request between its routing and its way on.
//!
//! A route without policies never comes here. The order is fixed: maintenance, address, preflight,
//! method, proof of who asks, rate; then what is kept (`proxy::cache`). Whatever stops a request is
//! answered from here, with the route's error page if it has one. What is not stopped goes on with
//! its changes, and what its response is to get is composed now, while the request is at hand, and
//! kept in a shape.

mod shapes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::shapes::{Handle, Shapes};
use super::accept::Connection;
use super::affinity;
use super::cache::{Ask, Asked, Fill, Parts};
use super::client;
use super::core::Core;
use super::fault::Refusal;
use super::local::{self, Local};
use super::understand::Understood;
use crate::epoch::Snapshot;
use crate::model::policy::{RateHeaders, RateKey};
use crate::table::policy::{Claims, Denied, Evidence, Filling, Limit, Policies, Proof, Taken};
use crate::table::{Found, Respond, UpstreamId};
use crate::wire::compose::{put_decimal, put_field};
use crate::wire::field::Field;
use crate::wire::{compose, hash};

/// Where texts are composed that are parts of others; reused for every request.
#[derive(Default)]
pub(super) struct Drafts {
    /// Field lines for the response.
    pub(super) lines: Vec<u8>,
    /// The lines and the body of an answer of our own.
    answer_lines: Vec<u8>,
    body: Vec<u8>,
    query: Vec<u8>,
    host: Vec<u8>,
    /// The key under which a response is kept, and how much of it is there for every response.
    pub(super) key: Vec<u8>,
    pub(super) bare: usize,
    /// What the `Vary` of a response adds to it.
    pub(super) varied: Vec<u8>,
}

/// A request on a route with policies.
pub(super) struct Visit<'a, 'b, 's> {
    pub(super) connection: &'a Connection,
    pub(super) core: &'a Core,
    pub(super) snapshot: &'a Snapshot,
    pub(super) request: &'a Understood<'b, 's>,
    pub(super) found: &'a Found<'a>,
    pub(super) policies: &'a Arc<Policies>,
    /// Whether it is a part of another, which has no use for a whole answer.
    pub(super) is_part: bool,
}

/// A request that may go on, and what changes on its way.
pub(super) struct Passed<'a> {
    pub(super) policies: &'a Policies,
    /// What the request puts in texts; all but who asks.
    pub(super) filling: Filling<'a>,
    /// Who asks.
    pub(super) proof: Proof<'a>,
    /// The upstream that a split chose.
    pub(super) upstream: Option<UpstreamId>,
    /// What the response is to get.
    pub(super) shape: Option<Handle>,
    /// Where the response is kept.
    pub(super) fill: Option<Box<Fill>>,
}

/// What stops a request.
enum Stop {
    Refused(Refusal),
    /// A refusal that says how to do better in further lines of the draft.
    Told(Refusal),
    /// The same, with the message of the limit if it has one.
    Limited(Refusal),
    Maintenance,
    Preflight,
}

const MAINTENANCE: &str = "maintenance";
const FORBIDDEN_ADDRESS: Refusal = Refusal {
    status: 403,
    reason: "ip_denied",
    sentence: "requests from this address are not served",
};
const FORBIDDEN_ORIGIN: Refusal = Refusal {
    status: 403,
    reason: "cors_origin",
    sentence: "this origin may not ask",
};
const METHOD: Refusal = Refusal {
    status: 405,
    reason: "method_not_allowed",
    sentence: "this method is not served here",
};
const LACKS_CLAIM: Refusal = Refusal {
    status: 403,
    reason: "claim",
    sentence: "the token does not say what is asked for here",
};
const NO_CLIENT: Refusal = Refusal {
    status: 503,
    reason: "rate_limit_key",
    sentence: "the request does not have the field that its client is known by",
};
const TOO_MANY: Refusal = Refusal {
    status: 429,
    reason: "rate_limited",
    sentence: "too many requests; come back later",
};

impl<'a> Visit<'a, '_, '_> {
    /// Lets the request pass, or answers it.
    pub(super) fn pass(&self, drafts: &mut Drafts, out: &mut Vec<u8>) -> Result<Passed<'a>, Local> {
        drafts.lines.clear();
        drafts.answer_lines.clear();
        drafts.body.clear();
        let fields = self.request.head.fields;
        let peer = self.connection.address;
        let client = client::address(peer, &self.snapshot.settings.trusted, fields);
        match self.judge(client, drafts) {
            Ok(proof) => self.let_through(proof, drafts),
            Err(stop) => Err(self.answer(stop, drafts, out)),
        }
    }

    /// Goes through the policies in their order; gives the name of who has proved to be somebody.
    fn judge(&self, client: IpAddr, drafts: &mut Drafts) -> Result<Proof<'a>, Stop> {
        let policies: &'a Policies = self.policies;
        let head = &self.request.head;
        if let Some(maintenance) = &policies.maintenance
            && !maintenance.lets_in(&client)
        {
            return Err(Stop::Maintenance);
        }
        if policies
            .ip
            .as_ref()
            .is_some_and(|rules| !rules.admit(&client))
        {
            return Err(Stop::Refused(FORBIDDEN_ADDRESS));
        }
        self.cross_origin(drafts)?;
        if !policies.serves(head.method) {
            drafts.answer_lines.extend_from_slice(&policies.allow_line);
            return Err(Stop::Told(METHOD));
        }
        let proof = match policies.auth_for(head.method) {
            None => Proof::default(),
            Some(auth) => {
                let evidence = Evidence {
                    method: head.method,
                    fields: &self.request.fields,
                    query: self.request.query.unwrap_or_default(),
                    counts: true,
                };
                let proof = auth.who(&evidence, &self.snapshot.table);
                let proof = proof.map_err(|denied| self.deny(denied, drafts))?;
                self.look_at_claims(&proof)?;
                proof
            }
        };
        if let Some(limit) = &policies.limit {
            self.count(limit, client, &proof.consumer, drafts)?;
        }
        Ok(proof)
    }

    /// Whether the claims are what the route asks for.
    fn look_at_claims(&self, proof: &Proof<'a>) -> Result<(), Stop> {
        if self.policies.require.is_empty() {
            return Ok(());
        }
        let filling = self.filling();
        let with = filled(&filling, proof);
        match self.policies.require.iter().all(|one| one.holds(&with)) {
            true => Ok(()),
            false => Err(Stop::Refused(LACKS_CLAIM)),
        }
    }

    /// What stops a request that does not prove what it should.
    #[cold]
    fn deny(&self, denied: Denied, drafts: &mut Drafts) -> Stop {
        let (status, reason) = match denied {
            Denied::Unproven | Denied::Token(_) => {
                if let Some(auth) = &self.policies.auth {
                    auth.put_challenge(&mut drafts.answer_lines);
                }
                (401, "unauthorized")
            }
            Denied::Forbidden => (403, "read_only_key"),
            Denied::Quota(wait_s) => {
                put_retry_after(wait_s, drafts);
                self.core.counters.rate_limited.add(1);
                (429, "quota")
            }
        };
        Stop::Told(Refusal {
            status,
            reason,
            sentence: denied.sentence(),
        })
    }

    /// Counts the request against a limit.
    fn count(
        &self,
        limit: &Limit,
        client: IpAddr,
        consumer: &str,
        drafts: &mut Drafts,
    ) -> Result<(), Stop> {
        if limit.key == RateKey::Header {
            match affinity::field(self.request.head.fields, &limit.header) {
                Some(value) if limit.exempts(value) => return Ok(()),
                None if limit.missing_header_status.is_some() => {
                    let status = limit.missing_header_status.unwrap_or(NO_CLIENT.status);
                    return Err(Stop::Refused(Refusal {
                        status,
                        ..NO_CLIENT
                    }));
                }
                _ => {}
            }
        }
        let now = Instant::now();
        let taken = limit.take(self.rate_key(limit, client, consumer), now);
        self.put_limit(limit, taken, now, &mut drafts.lines);
        if taken.passes {
            return Ok(());
        }
        if limit.headers != RateHeaders::None {
            put_retry_after(seconds(taken.wait_ns), drafts);
        }
        self.core.counters.rate_limited.add(1);
        let status = limit.status;
        Err(Stop::Limited(Refusal { status, ..TOO_MANY }))
    }

    /// Notes what the response says of a limit.
    fn put_limit(&self, limit: &Limit, taken: Taken, now: Instant, out: &mut Vec<u8>) {
        if limit.headers == RateHeaders::None {
            return;
        }
        out.extend_from_slice(&limit.line);
        put_decimal(out, u64::from(taken.remaining));
        if limit.headers == RateHeaders::XRateLimit {
            // The names that came before the standard; the reset is a date.
            out.extend_from_slice(b"\r\nX-RateLimit-Reset: ");
            let reset = now + Duration::from_nanos(taken.wait_ns);
            self.core.dates.borrow_mut().put_iso(reset, out);
        } else {
            out.extend_from_slice(b"\r\nRateLimit-Reset: ");
            put_decimal(out, seconds(taken.wait_ns));
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Notes what the response says to another origin; stops a preflight.
    fn cross_origin(&self, drafts: &mut Drafts) -> Result<(), Stop> {
        let Some(cors) = &self.policies.cors else {
            return Ok(());
        };
        let fields = self.request.head.fields;
        let Some(origin) = affinity::field(fields, "origin") else {
            cors.put_vary(&mut drafts.lines);
            return Ok(());
        };
        let asked = affinity::field(fields, "access-control-request-method");
        let preflight = self.request.head.method == "OPTIONS" && asked.is_some();
        match (cors.admits(origin), preflight) {
            (true, true) => {
                let headers = affinity::field(fields, "access-control-request-headers");
                cors.put_preflight(origin, headers, &mut drafts.lines);
                Err(Stop::Preflight)
            }
            (false, true) => Err(Stop::Refused(FORBIDDEN_ORIGIN)),
            (true, false) => {
                cors.put_response(origin, &mut drafts.lines);
                Ok(())
            }
            (false, false) => {
                cors.put_vary(&mut drafts.lines);
                Ok(())
            }
        }
    }

    fn rate_key(&self, limit: &Limit, client: IpAddr, consumer: &str) -> u64 {
        match limit.key {
            RateKey::Route => 0,
            RateKey::Consumer if !consumer.is_empty() => hash::of(consumer.as_bytes()),
            RateKey::Consumer | RateKey::Ip => network(client),
            RateKey::Header => {
                let value = affinity::field(self.request.head.fields, &limit.header);
                hash::of(value.unwrap_or_default())
            }
        }
    }

    /// What the request puts in texts; all but who asks.
    fn filling(&self) -> Filling<'a> {
        Filling {
            client_ip: self.connection.forwarding.address(),
            consumer: b"",
            claims: None,
            fields: &self.request.fields,
            host: self.request.host,
            method: self.request.head.method.as_bytes(),
            path: self.request.path,
            query: self.request.query.unwrap_or_default(),
            route: self.policies.route.as_bytes(),
            captures: &self.found.captures,
        }
    }

    /// Notes what changes on the way of a request; or answers it with what is kept.
    fn let_through(&self, proof: Proof<'a>, drafts: &mut Drafts) -> Result<Passed<'a>, Local> {
        let policies: &'a Policies = self.policies;
        let filling = self.filling();
        let part = policies
            .split
            .as_ref()
            .and_then(|split| split.part(&self.request.fields, self.core.chance.draw()));
        if let Some((cookie, value, attributes)) = part.and_then(|part| part.keep) {
            for text in ["Set-Cookie: ", cookie, "=", value, attributes, "\r\n"] {
                drafts.lines.extend_from_slice(text.as_bytes());
            }
        }
        if !policies.response.is_empty() {
            let with = filled(&filling, &proof);
            policies.response.put_fields(&with, &mut drafts.lines);
        }
        let rules = policies.compress.as_ref();
        let coding = rules.and_then(|rules| rules.choose(&self.request.fields));
        let upstream = part.map(|part| part.upstream);
        let mut fill = None;
        if let Some(cache) = policies.cache.as_ref().filter(|_| !self.is_part) {
            let parts = Parts {
                cache,
                proof: &proof,
                filling: &filled(&filling, &proof),
                upstream,
                coding,
            };
            match (Ask { visit: self, parts }).ask(drafts) {
                Asked::Given(local) => return Err(local),
                Asked::Fill(begun) => fill = Some(begun),
                Asked::Past => {}
            }
        }
        let shaped = policies.changes_response()
            || policies.has_extras()
            || !policies.pages.is_empty()
            || !drafts.lines.is_empty();
        Ok(Passed {
            policies,
            filling,
            proof,
            upstream,
            shape: shaped
                .then(|| Shapes::take(&self.core.shapes, self.policies, &drafts.lines, coding)),
            fill,
        })
    }

    /// Answers a request that is stopped.
    #[cold]
    fn answer(&self, stop: Stop, drafts: &mut Drafts, out: &mut Vec<u8>) -> Local {
        let refusal = match stop {
            Stop::Refused(refusal) | Stop::Told(refusal) => refusal,
            Stop::Limited(refusal) => match self.message() {
                None => refusal,
                Some(message) => {
                    let Drafts {
                        lines,
                        answer_lines,
                        ..
                    } = drafts;
                    answer_lines.extend_from_slice(lines);
                    answer_lines.extend_from_slice(local::TEXT);
                    let parts = (refusal.status, &**answer_lines, message.as_bytes());
                    return local::answer_to(
                        self.core,
                        self.request,
                        parts,
                        refusal.reason,
                        true,
                        out,
                    );
                }
            },
            Stop::Preflight => {
                let parts = (204, &*drafts.lines, &b""[..]);
                return local::answer_to(self.core, self.request, parts, "preflight", true, out);
            }
            Stop::Maintenance => {
                let Some(maintenance) = &self.policies.maintenance else {
                    return self.refuse(FORBIDDEN_ADDRESS, drafts, out);
                };
                let parts = (maintenance.status, &*maintenance.lines, &*maintenance.body);
                return local::answer_to(self.core, self.request, parts, MAINTENANCE, true, out);
            }
        };
        self.refuse(refusal, drafts, out)
    }

    /// What the limit of the route tells whoever asks too often.
    fn message(&self) -> Option<&str> {
        self.policies.limit.as_ref()?.message.as_deref()
    }

    /// Refuses a request, with the page that the route has for that.
    #[cold]
    pub(super) fn refuse(&self, refusal: Refusal, drafts: &mut Drafts, out: &mut Vec<u8>) -> Local {
        let Drafts {
            lines,
            answer_lines,
            body,
            ..
        } = drafts;
        body.clear();
        answer_lines.extend_from_slice(lines);
        let mut status = refusal.status;
        let page = self.policies.page(status);
        match page.or_else(|| self.snapshot.page(status)) {
            Some(page) => {
                answer_lines.extend_from_slice(&page.line);
                status = page.status.unwrap_or(status);
                let (reason, route) = (local::phrase(status), &*self.policies.route);
                page.fill(status, reason, refusal.sentence, route, body);
            }
            None => {
                answer_lines.extend_from_slice(local::TEXT);
                body.extend_from_slice(refusal.sentence.as_bytes());
                body.push(b'\n');
            }
        }
        let parts = (status, &**answer_lines, &**body);
        local::answer_to(self.core, self.request, parts, refusal.reason, true, out)
    }
}

/// What a request puts in texts, with who asks.
fn filled<'f>(filling: &Filling<'f>, proof: &'f Proof<'_>) -> Filling<'f> {
    Filling {
        consumer: proof.consumer.as_bytes(),
        claims: proof.claims.as_deref(),
        ..*filling
    }
}

impl Passed<'_> {
    /// What the token says that was the proof, if one was.
    pub(super) fn claims(&self) -> Option<&Claims> {
        self.proof.claims.as_deref()
    }

    /// What the request puts in texts.
    fn filling(&self) -> Filling<'_> {
        filled(&self.filling, &self.proof)
    }

    /// The query and the host that the server gets; a host only if it is another.
    pub(super) fn query_and_host<'d>(
        &self,
        query: Option<&'d [u8]>,
        drafts: &'d mut Drafts,
    ) -> (Option<&'d [u8]>, Option<&'d [u8]>) {
        let Drafts {
            query: new_query,
            host,
            ..
        } = drafts;
        let query = if self.policies.query.is_empty() {
            query
        } else {
            new_query.clear();
            self.policies.query.edit_query(&self.filling(), new_query);
            Some(&**new_query).filter(|query| !query.is_empty())
        };
        let host = self.policies.host.as_ref().map(|text| {
            host.clear();
            text.fill(&self.filling(), host);
            &**host
        });
        (query, host)
    }
}

impl Drafts {
    /// The lines that the response is to get.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Gives a fixed answer with the lines that policies put in.
pub(super) fn respond(
    core: &Core,
    request: &Understood<'_, '_>,
    respond: &Respond,
    drafts: &mut Drafts,
    out: &mut Vec<u8>,
) -> Local {
    drafts.answer_lines.clear();
    drafts.answer_lines.extend_from_slice(&respond.fields);
    drafts.answer_lines.extend_from_slice(&drafts.lines);
    let parts = (respond.status, &*drafts.answer_lines, &*respond.body);
    local::answer_to(core, request, parts, "respond", true, out)
}

/// The changes to the fields of a request.
pub(super) struct RequestEdits<'a>(pub(super) &'a Passed<'a>);

impl compose::Edits for RequestEdits<'_> {
    fn drops_any(&self) -> bool {
        self.0.policies.request.drops_any()
    }

    fn drops(&self, name: &str) -> bool {
        self.0.policies.request.drops_field(name)
    }

    fn replaces(&self) -> bool {
        self.0.policies.request.replaces()
    }

    fn replace(&self, field: &Field<'_>, out: &mut Vec<u8>) -> bool {
        let request = &self.0.policies.request;
        request.put_replaced(field.name, field.value, "", out)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Passed {
            policies, proof, ..
        } = self.0;
        if !policies.request.is_empty() {
            policies.request.put_fields(&self.0.filling(), out);
        }
        if !proof.consumer.is_empty() {
            put_field(out, b"X-Consumer-Name", proof.consumer.as_bytes());
        }
    }
}

fn put_retry_after(seconds: u64, drafts: &mut Drafts) {
    drafts.answer_lines.extend_from_slice(b"Retry-After: ");
    put_decimal(&mut drafts.answer_lines, seconds.max(1));
    drafts.answer_lines.extend_from_slice(b"\r\n");
}

/// An IPv4 address counts for itself, an IPv6 address with the /64 that one client has.
fn network(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => hash::of(&v4.octets()),
        IpAddr::V6(v6) => hash::of(v6.octets().get(..8).unwrap_or_default()),
    }
}

/// Whole seconds, rounded up.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000)
}
