//! Explain: what the policies of a route say to one request, in words, without counting it.

use std::net::IpAddr;

use super::prove;
use crate::proxy::affinity;
use crate::proxy::understand::Understood;
use crate::table::Table;
use crate::table::policy::Policies;

/// A sentence for each policy, in the order in which they are looked at.
pub(in crate::proxy) fn explain(
    policies: &Policies,
    table: &Table,
    request: &Understood<'_, '_>,
    client: IpAddr,
) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(maintenance) = &policies.maintenance {
        said.push(match maintenance.lets_in(&client) {
            true => format!("maintenance: {client} is served all the same"),
            false => format!("maintenance: answered with {}", maintenance.status),
        });
    }
    if let Some(rules) = &policies.ip {
        let verdict = if rules.admit(&client) {
            "may"
        } else {
            "may not"
        };
        said.push(format!("ip: {client} {verdict} come in"));
    }
    if let Some(cors) = &policies.cors {
        said.push(match affinity::field(request.head.fields, "origin") {
            None => "cors: no other origin asks".to_owned(),
            Some(origin) => {
                let verdict = if cors.admits(origin) {
                    "may"
                } else {
                    "may not"
                };
                format!("cors: {} {verdict} ask", String::from_utf8_lossy(origin))
            }
        });
    }
    if !policies.methods.is_empty() {
        let method = request.head.method;
        let verdict = match policies.serves(method) {
            true => "is served",
            false => "is 405",
        };
        said.push(format!("allow_methods: {method} {verdict}"));
    }
    if let Some(auth) = &policies.auth {
        let verdict = match prove::who(auth, request) {
            Some(name) => format!("the request comes from {name}"),
            None => "the request proves nothing: 401".to_owned(),
        };
        said.push(format!("auth: {}; {verdict}", auth.describe()));
    }
    if let Some(limit) = &policies.limit {
        said.push(format!("rate_limit: {}", limit.describe()));
    }
    if let Some(split) = &policies.split {
        let name = |id| {
            table
                .upstream(id)
                .map_or("(gone)", |upstream| &*upstream.name)
        };
        let shares: Vec<String> = split
            .shares()
            .map(|(id, weight)| format!("{weight} to {}", name(id)))
            .collect();
        said.push(format!("traffic_split: {}", shares.join(", ")));
    }
    for (edits, what) in [
        (&policies.request, "request_headers"),
        (&policies.query, "request_query"),
        (&policies.response, "response_headers"),
    ] {
        if !edits.is_empty() {
            said.push(format!("{what}: {}", edits.describe()));
        }
    }
    if !policies.pages.is_empty() {
        said.push(format!("error_pages: {}", policies.pages.len()));
    }
    said
}
