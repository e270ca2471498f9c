//! Convert: the routes of a FileConfiguration as native routes and upstreams.
//!
//! Each route gets an upstream of its own, so that breakers and pools are as apart as they are in
//! Ocelot. Its id is made of what it matches, so it stays the same when others come and go, and
//! what a core knows of it stays too. The order of Ocelot (a route with a host, then priority, then
//! the place in the file) is said with ranks, all below 0: routes of other dialects come before
//! them.
//! What would be wrong to serve as if nothing had been said (other schemes, claims, discovery) is
//! answered with an error; everything else that native has no word for is a warning.

use sha2::{Digest, Sha256};

use super::claims::{Claims, Refused};
use super::file::{FileConfiguration, FileRoute, HostAndPort};
use super::options::{Balance, Options};
use super::template::{Names, Template, Translated, translate};
use super::unsaid::kept;
use super::{aggregates, security, transform, unsaid};
use crate::model::balance::LoadBalancer;
use crate::model::defaults::MS_MAX;
use crate::model::faults::{Report, at_index, at_key};
use crate::model::policy::ErrorPage;
use crate::model::route::{Condition, Respond, Retry, RetryOn, Route};
use crate::model::schema::EXACT_MAX;
use crate::model::upstream::{ConnectionPool, Server, Tls, Upstream};

/// The most bytes of an id that are taken from a path.
const SLUG_BYTES_MAX: usize = 96;
/// Connections to the servers of a route, per worker; Ocelot has no bound.
const CONNECTIONS: u32 = 16_384;
/// Of these, how many may be kept without a request.
const IDLE: u32 = 64;
/// How long a connection is kept without a request; the default of .NET.
const IDLE_MS: u64 = 60_000;

/// What a document says in native words.
#[derive(Debug, Default)]
pub(super) struct Converted {
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Vec<Upstream>,
    /// Where in the document each route stands.
    pub(super) places: Vec<String>,
}

/// Converts all routes. What cannot be said is a warning.
pub(super) fn convert(file: &FileConfiguration, report: &mut Report) -> Converted {
    let mut converted = Converted::default();
    let joined: Vec<FileRoute> = file.aggregates.iter().map(aggregates::as_route).collect();
    let all: Vec<&FileRoute> = file.routes.iter().chain(&joined).collect();
    let mut ranks = ranks(&all).into_iter();
    for ((index, route), rank) in file.routes.iter().enumerate().zip(ranks.by_ref()) {
        let place = at_index("$.Routes", index);
        let options = Options {
            route,
            global: &file.global_configuration,
        };
        let one = One {
            options,
            place: &place,
            report,
        };
        let (native, upstream) = one.convert(rank);
        converted.routes.push(native);
        converted.upstreams.extend(upstream);
        converted.places.push(place);
    }
    for ((index, aggregate), rank) in file.aggregates.iter().enumerate().zip(ranks) {
        let place = at_index("$.Aggregates", index);
        let (native, upstream) = aggregates::convert(aggregate, file, rank, &place, report);
        converted.routes.push(native);
        converted.upstreams.extend(upstream);
        converted.places.push(place);
    }
    if !file.dynamic_routes.is_empty() {
        kept(
            "$.DynamicRoutes",
            "there is no service discovery yet",
            report,
        );
    }
    converted
}

/// The rank of each route: the first one to be taken has -1.
fn ranks(routes: &[&FileRoute]) -> Vec<i32> {
    let mut order: Vec<(usize, &FileRoute)> = routes.iter().copied().enumerate().collect();
    let priority = |route: &FileRoute| {
        let is_last = Template::read(&route.upstream_path_template).is_catch_all();
        if is_last {
            0
        } else {
            route.priority.unwrap_or(1)
        }
    };
    // Stable: equal ones stay in the order of the file.
    order.sort_by_key(|(_, route)| {
        (
            route.upstream_host.is_empty(),
            std::cmp::Reverse(priority(route)),
        )
    });
    let mut ranks = vec![0; routes.len()];
    for (place, (index, _)) in order.iter().enumerate() {
        if let Some(rank) = ranks.get_mut(*index) {
            *rank = -1 - i32::try_from(place).unwrap_or(i32::MAX - 1);
        }
    }
    ranks
}

/// One route on its way.
pub(super) struct One<'f, 'r> {
    pub(super) options: Options<'f>,
    pub(super) place: &'r str,
    pub(super) report: &'r mut Report,
}

impl One<'_, '_> {
    pub(super) fn convert(mut self, rank: i32) -> (Route, Option<Upstream>) {
        let file = self.options.route;
        let mut route = Route {
            id: Some(id_of(file, "")),
            rank,
            host: Some(file.upstream_host.clone()).filter(|host| !host.is_empty()),
            ignore_case: !file.route_is_case_sensitive,
            methods: methods(&file.upstream_http_method),
            ..Route::default()
        };
        let template = Template::read(&file.upstream_path_template);
        let downstream = Template::read(&file.downstream_path_template);
        let claims = Claims::of(&self.options, self.place, self.report);
        let mut names = claims.names(self.report);
        headers(file, &mut route, &mut names);
        let translated = translate(&template, &downstream, file.route_is_case_sensitive, &names);
        for what in &translated.unsaid {
            self.report
                .warn(self.at("DownstreamPathTemplate"), what, "");
        }
        giving(translated, &mut route);
        let proofs = claims.give(&mut route, self.report);
        unsaid::say(&self.options, self.place, self.report);
        let security = at_key(self.place, "SecurityOptions");
        route.ip = security::rules(self.options.security(), &security, self.report);
        route.rate_limit = self.options.rate_limit();
        if let Some(respond) = self.refusal(proofs.err()) {
            forget_forwarding(&mut route);
            route.respond = Some(respond);
            return (route, None);
        }
        let upstream = self.upstream(&mut route);
        self.forwarding(&mut route);
        (route, Some(upstream))
    }

    fn at(&self, member: &str) -> String {
        at_key(self.place, member)
    }

    /// Why a request of this route cannot be served as it is said.
    fn refusal(&mut self, claims: Option<Refused>) -> Option<Respond> {
        let file = self.options.route;
        let scheme = self.options.scheme();
        let (member, status, why) = if file
            .service_name
            .as_ref()
            .is_some_and(|name| !name.is_empty())
        {
            ("ServiceName", 503, "there is no service discovery yet")
        } else if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss") {
            let why = "servers are spoken to with http, https, ws and wss";
            ("DownstreamScheme", 502, why)
        } else if let Some((member, why)) = claims {
            (member, 403, why)
        } else {
            return None;
        };
        self.report.warn(
            self.at(member),
            format!("requests of this route are answered with {status}: {why}"),
            "",
        );
        Some(Respond {
            status,
            headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
            body: format!("{member}: {why}\n"),
        })
    }

    /// The servers, and what is known of them only here.
    fn upstream(&mut self, route: &mut Route) -> Upstream {
        let file = self.options.route;
        let mut upstream = Upstream {
            name: route.id.clone().unwrap_or_default(),
            tls: self.options.is_secure().then(|| Tls {
                verify: !file.dangerous_accept_any_server_certificate_validator,
                ..Tls::default()
            }),
            circuit_breaker: self.options.breaker(),
            connection_pool: ConnectionPool {
                max_connections: CONNECTIONS,
                max_idle: IDLE,
                idle_timeout_ms: IDLE_MS,
                ..ConnectionPool::default()
            },
            ..Upstream::default()
        };
        let mut given = file.downstream_host_and_ports.as_slice();
        match self.options.balance() {
            Balance::First => given = given.get(..1).unwrap_or_default(),
            Balance::By(balancer, hash) => {
                upstream.load_balancer = balancer;
                upstream.hash = hash;
            }
            Balance::Unknown(kind) => {
                upstream.load_balancer = LoadBalancer::RoundRobin;
                let why = format!("there is no balancer {kind}; each server has its turn");
                kept(self.at("LoadBalancerOptions"), &why, self.report);
            }
        }
        let most = self.options.max_connections();
        let port = self.options.default_port();
        let servers = given.iter().map(|server| declared(server, port, most));
        upstream.servers = servers.collect();
        route.upstream = Some(upstream.name.clone());
        let names: Vec<&str> = given.iter().map(|server| server.host.as_str()).collect();
        if let Some(first) = given.first() {
            let authority = authority(first, port);
            route.host_rewrite = Some(authority.clone());
            let is_address = |name: &&str| name.parse::<std::net::IpAddr>().is_ok();
            if names.windows(2).any(|pair| pair.first() != pair.last())
                && !names.iter().all(is_address)
            {
                let why = format!("all servers are asked for the host {authority}");
                self.report.warn(self.at("DownstreamHostAndPorts"), why, "");
            }
        }
        upstream
    }

    fn forwarding(&mut self, route: &mut Route) {
        let timeout_ms = self.options.timeout_ms();
        route.read_timeout_ms = timeout_ms;
        route.send_timeout_ms = timeout_ms;
        // The time of Ocelot ends when the response begins.
        route.total_timeout_ms = MS_MAX;
        route.max_response_bytes = EXACT_MAX;
        route.retry = Retry {
            max_retries: 1,
            on: vec![RetryOn::Connect, RetryOn::Closed],
            statuses: Vec::new(),
            per_try_timeout_ms: Some(timeout_ms),
            ..Retry::default()
        };
        route.error_pages = vec![ErrorPage {
            statuses: vec![504],
            status: Some(503),
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: "{message}\n".to_owned(),
        }];
        route.cache = self.options.cache();
        route.method_rewrite = self.options.method();
        transform::give(route, &self.options, self.place, self.report);
    }
}

/// Gives a route what it matches and how that changes.
pub(super) fn giving(translated: Translated, route: &mut Route) {
    translated.give(route);
    if route.path_regex.is_some() {
        // The expression says it itself.
        route.ignore_case = false;
    }
}

/// The fields that a request must have; what stands for a whole value is added to `names`.
pub(super) fn headers(file: &FileRoute, route: &mut Route, names: &mut Names) {
    const START: &str = "{header:";
    for (name, template) in &file.upstream_header_templates {
        let whole = template
            .strip_prefix(START)
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|placeholder| !placeholder.contains(['{', '}']));
        if let Some(placeholder) = whole {
            let place = format!("{{header.{name}}}");
            names.of_fields.insert(placeholder.to_owned(), place);
        }
        let mut text = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once(START) {
            let Some((_, after)) = after.split_once('}') else {
                break;
            };
            text.push_str(&regex::escape(before));
            text.push_str(".+");
            rest = after;
        }
        text.push_str(&regex::escape(rest));
        let plain = !template.contains(START) && file.route_is_case_sensitive;
        let regex = if file.route_is_case_sensitive {
            text
        } else {
            format!("(?i:{text})")
        };
        route.headers.push(Condition {
            name: name.clone(),
            value: plain.then(|| template.clone()),
            regex: (!plain).then_some(regex),
        });
    }
}

/// An answer of our own is not forwarded, so nothing is rewritten.
fn forget_forwarding(route: &mut Route) {
    route.rewrite_template = None;
    route.rewrite_trims_slash = false;
    route.request_query = None;
    route.request_query_first = false;
    route.request_headers = None;
    route.auth = None;
    for also in &mut route.also {
        also.rewrite_template = None;
    }
}

fn declared(server: &HostAndPort, default: i64, max_connections: Option<u32>) -> Server {
    let port = server.port.filter(|port| *port != 0).unwrap_or(default);
    Server {
        address: Some(server.host.clone()),
        port: u16::try_from(port).ok(),
        max_connections,
        ..Server::default()
    }
}

/// The `Host` that a server is asked for; its scheme has a port that is not said.
pub(super) fn authority(server: &HostAndPort, default: i64) -> String {
    match server.port {
        None | Some(0) => server.host.clone(),
        Some(port) if port == default => server.host.clone(),
        Some(port) => format!("{}:{port}", server.host),
    }
}

pub(super) fn methods(given: &[String]) -> Vec<String> {
    let mut methods: Vec<String> = given
        .iter()
        .map(|method| method.trim().to_ascii_uppercase())
        .filter(|method| !method.is_empty())
        .collect();
    methods.dedup();
    methods
}

/// The id of a route: its path, so that people know it, and a hash of all that it matches; `kind`
/// tells an aggregate from a route that matches the same.
pub(super) fn id_of(file: &FileRoute, kind: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    let mut methods = methods(&file.upstream_http_method);
    methods.sort_unstable();
    for text in [&file.upstream_path_template, &file.upstream_host]
        .into_iter()
        .chain(&methods)
        .chain(
            file.upstream_header_templates
                .iter()
                .flat_map(|(name, value)| [name, value]),
        )
    {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let hash: String = hash
        .finalize()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut slug = String::from("ocelot");
    for letter in file.upstream_path_template.chars() {
        if slug.len() >= SLUG_BYTES_MAX {
            break;
        }
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    format!("{}-{hash}", slug.trim_end_matches('-'))
}
