//! Explain: what the rooms would do with a request, in words, without sending it.

use std::net::{IpAddr, Ipv4Addr};

use super::fault::Refusal;
use super::policy::{Drafts, Passed};
use super::rewrite::Outbound;
use super::understand::{Space, Understood, understand};
use crate::epoch::Settings;
use crate::model::Config;
use crate::table::policy::{Evidence, Filling, Proof};
use crate::table::{Action, Aggregate, Forward, Found, Table, Upstream};
use crate::wire::compose::Forwarding;
use crate::wire::head::Slots;

/// What would become of a request.
#[derive(Debug, Default)]
pub struct Explanation {
    /// A sentence for each route that was looked at, the winner first.
    pub verdicts: Vec<String>,
    /// What happens, as a sentence.
    pub outcome: String,
    /// How the upstream picks its server, and from which.
    pub upstream: String,
    /// What the policies of the route say, a sentence each.
    pub policies: Vec<String>,
    /// When the request would be sent again.
    pub retries: String,
    /// The head that a server would get.
    pub forwarded: Option<String>,
}

/// Explains a request as the data plane would take it: `url` is absolute, each of `fields` a line.
///
/// # Errors
/// If the configuration makes no table.
pub fn explain(
    config: &Config,
    method: &str,
    url: &str,
    fields: &[String],
) -> Result<Explanation, crate::table::CompileError> {
    let enabled = config.routes.iter().filter(|route| route.enabled);
    let routes: Vec<_> = enabled.flat_map(crate::model::Route::each).collect();
    let table = Table::compile(&routes, &config.upstreams)?;
    let settings = Settings::of(config);
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or(url)
        .split(['/', '?'])
        .next()
        .unwrap_or_default();
    let mut text = format!("{method} {url} HTTP/1.1\r\n");
    if !fields
        .iter()
        .any(|line| line.to_ascii_lowercase().starts_with("host:"))
    {
        text.push_str(&format!("Host: {host}\r\n"));
    }
    fields
        .iter()
        .for_each(|line| text.push_str(&format!("{}\r\n", line.trim())));
    text.push_str("\r\n");
    let mut slots = Slots::new();
    let mut space = Space::default();
    Ok(
        match understand(text.as_bytes(), &mut slots, &mut space, &settings) {
            Err(refusal) => refused(refusal),
            Ok(None) => Explanation {
                outcome: "the request is not complete".to_owned(),
                ..Explanation::default()
            },
            Ok(Some(request)) => routed(&table, &settings, &request),
        },
    )
}

fn refused(refusal: Refusal) -> Explanation {
    let outcome = format!("refused with {}: {}", refusal.status, refusal.sentence);
    Explanation {
        outcome,
        ..Explanation::default()
    }
}

fn routed(table: &Table, settings: &Settings, request: &Understood<'_, '_>) -> Explanation {
    let question = request.question();
    let verdicts = table
        .explain(&question)
        .iter()
        .map(ToString::to_string)
        .collect();
    let Some(found) = table.find(&question) else {
        let outcome = "no route matches: 404".to_owned();
        return Explanation {
            verdicts,
            outcome,
            ..Explanation::default()
        };
    };
    let explanation = match &found.route.action {
        Action::Forward(to) => forwarded(table, settings, request, &found, to),
        Action::Aggregate(aggregate) => joined(table, request, &found, aggregate),
        Action::Redirect(redirect) => {
            let mut location = Vec::new();
            redirect.location(&question, &found.captures, &mut location);
            let location = String::from_utf8_lossy(&location);
            let outcome = format!("redirected with {} to {location}", redirect.status);
            Explanation {
                outcome,
                ..Explanation::default()
            }
        }
        Action::Respond(respond) => {
            let outcome = format!(
                "answered with {} and {} bytes",
                respond.status,
                respond.body.len()
            );
            Explanation {
                outcome,
                ..Explanation::default()
            }
        }
    };
    let policies = match &found.route.policies {
        Some(policies) => {
            let evidence = Evidence {
                method: request.head.method,
                fields: &request.fields,
                query: request.query.unwrap_or_default(),
                counts: false,
            };
            policies.explain(table, &evidence, CLIENT)
        }
        None => Vec::new(),
    };
    Explanation {
        verdicts,
        policies,
        ..explanation
    }
}

/// What the parts of an aggregate would ask for; values that come with an answer are not known.
fn joined(
    table: &Table,
    request: &Understood<'_, '_>,
    found: &Found<'_>,
    aggregate: &Aggregate,
) -> Explanation {
    let query = request.query.unwrap_or_default();
    let parts = aggregate.parts.iter().map(|part| {
        let mut target = Vec::new();
        part.put_target(request.path, query, &found.captures, b"value", &mut target);
        let target = String::from_utf8_lossy(&target);
        let path = target.split('?').next().unwrap_or_default();
        let key = String::from_utf8_lossy(&part.key);
        let there = match table.find_by_id(&part.route, path.as_bytes()) {
            Some(_) => "",
            None => " (which has no such path)",
        };
        let each = match part.for_each {
            Some(_) => ", once for each value",
            None => "",
        };
        format!("{key} by route {}{there} as {target}{each}", part.route)
    });
    let parts: Vec<String> = parts.collect();
    Explanation {
        outcome: format!("answered with 200 and one object of {}", parts.join(", ")),
        ..Explanation::default()
    }
}

/// No client is there; this stands for one in documentation (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn forwarded(
    table: &Table,
    settings: &Settings,
    request: &Understood<'_, '_>,
    found: &Found<'_>,
    to: &Forward,
) -> Explanation {
    let mut path = Vec::new();
    let mut composed = Vec::new();
    let client = Forwarding::of(CLIENT);
    let policies = found.route.policies.as_ref();
    let method = policies.and_then(|one| one.method_for(request.head.method));
    let request = &request.with_method(method.unwrap_or(request.head.method));
    let passed = policies.map(|policies| Passed {
        policies,
        filling: Filling {
            client_ip: client.address(),
            consumer: b"",
            claims: None,
            fields: &request.fields,
            host: request.host,
            method: request.head.method.as_bytes(),
            path: request.path,
            query: request.query.unwrap_or_default(),
            route: policies.route.as_bytes(),
            captures: &found.captures,
        },
        proof: Proof::default(),
        upstream: None,
        shape: None,
        fill: None,
    });
    let upstream = table.upstream(to.upstream);
    let name = upstream.map_or("(gone)", |upstream| &upstream.name);
    let client = &client;
    Outbound {
        request,
        found,
        to,
        settings,
        upstream: name,
        client,
        trusted: false,
        passed: passed.as_ref(),
    }
    .compose(&mut path, &mut Drafts::default(), &mut composed);
    Explanation {
        verdicts: Vec::new(),
        outcome: format!("forwarded to upstream {name} by route {}", found.route.id()),
        upstream: upstream.map_or_else(String::new, |upstream| servers_of(upstream)),
        policies: Vec::new(),
        retries: to.terms.retries.describe(),
        forwarded: Some(String::from_utf8_lossy(&composed).into_owned()),
    }
}

/// How the upstream picks its server, and from which.
fn servers_of(upstream: &Upstream) -> String {
    let servers = upstream.servers.iter();
    let servers = servers.map(|server| match (server.drain, server.backup) {
        (true, _) => format!("{} (draining)", server.name),
        (_, true) => format!("{} (backup)", server.name),
        _ => server.name.to_string(),
    });
    let servers: Vec<String> = servers.collect();
    let secure = upstream.secure.as_ref().map(|secure| secure.describe());
    format!(
        "{}, among {}{}",
        upstream.spread.describe(),
        servers.join(", "),
        secure.map_or_else(String::new, |how| format!(", {how}"))
    )
}
