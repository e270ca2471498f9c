//! Said: what the policies of a route say to one request, in words, without counting it.

use std::net::IpAddr;

use super::Table;
use super::condition::Fields;
use super::policy::{Evidence, Policies};

impl Policies {
    /// A sentence for each policy, in the order in which they are looked at.
    pub fn explain<F: Fields>(
        &self,
        table: &Table,
        evidence: &Evidence<'_, F>,
        client: IpAddr,
    ) -> Vec<String> {
        let mut said = Vec::new();
        self.explain_entry(evidence, client, &mut said);
        self.explain_proof(table, evidence, &mut said);
        self.explain_way(table, evidence, &mut said);
        said
    }

    /// What is looked at before anybody proves anything.
    fn explain_entry<F: Fields>(
        &self,
        evidence: &Evidence<'_, F>,
        client: IpAddr,
        said: &mut Vec<String>,
    ) {
        if let Some(maintenance) = &self.maintenance {
            said.push(match maintenance.lets_in(&client) {
                true => format!("maintenance: {client} is served all the same"),
                false => format!("maintenance: answered with {}", maintenance.status),
            });
        }
        if let Some(rules) = &self.ip {
            let verdict = match rules.admit(&client) {
                true => "may",
                false => "may not",
            };
            said.push(format!("ip: {client} {verdict} come in"));
        }
        if let Some(cors) = &self.cors {
            let mut verdict = "cors: no other origin asks".to_owned();
            evidence.fields.any(b"origin", &mut |origin| {
                let may = match cors.admits(origin) {
                    true => "may",
                    false => "may not",
                };
                verdict = format!("cors: {} {may} ask", String::from_utf8_lossy(origin));
                true
            });
            said.push(verdict);
        }
        if !self.methods.is_empty() {
            let method = evidence.method;
            let verdict = match self.serves(method) {
                true => "is served",
                false => "is 405",
            };
            said.push(format!("allow_methods: {method} {verdict}"));
        }
    }

    /// Who asks, and how much.
    fn explain_proof<F: Fields>(
        &self,
        table: &Table,
        evidence: &Evidence<'_, F>,
        said: &mut Vec<String>,
    ) {
        if let Some(auth) = self.auth_for(evidence.method) {
            let verdict = match auth.who(evidence, table) {
                Ok(_) if auth.asks().is_some() => "its word decides".to_owned(),
                Ok(proof) if proof.consumer.is_empty() => "nobody in particular asks".to_owned(),
                Ok(proof) => format!("the request comes from {}", proof.consumer),
                Err(denied) => denied.sentence().to_owned(),
            };
            said.push(format!("auth: {}; {verdict}", auth.describe()));
        }
        if !self.require.is_empty() {
            let claims: Vec<&str> = self.require.iter().map(|one| one.claim()).collect();
            said.push(format!(
                "auth.require: {} must be as is said",
                claims.join(", ")
            ));
        }
        if let Some(limit) = &self.limit {
            said.push(format!("rate_limit: {}", limit.describe()));
        }
    }

    /// What changes on the way.
    fn explain_way<F: Fields>(
        &self,
        table: &Table,
        evidence: &Evidence<'_, F>,
        said: &mut Vec<String>,
    ) {
        let name = |id| {
            let upstream = table.upstream(id);
            upstream.map_or("(gone)", |upstream| &*upstream.name)
        };
        if let Some(split) = &self.split {
            let shares: Vec<String> = split
                .shares()
                .map(|(id, weight)| format!("{weight} to {}", name(id)))
                .collect();
            said.push(format!("traffic_split: {}", shares.join(", ")));
        }
        if let Some(mirror) = &self.mirror {
            let (percent, to) = (mirror.percent, name(mirror.upstream));
            said.push(format!(
                "mirror: {percent} percent of the requests are copied to {to}"
            ));
        }
        if let Some(ms) = self.hedge_ms {
            said.push(format!(
                "hedging: a second server is asked after {ms} ms without an answer"
            ));
        }
        if let Some(cache) = &self.cache {
            said.push(format!("cache: {}", cache.describe()));
        }
        if let Some(compress) = &self.compress {
            let taken = compress.choose(evidence.fields);
            let taken = taken.map_or("the client takes none of them", |coding| coding.name());
            said.push(format!("compress: {}; {taken}", compress.describe()));
        }
        for (edits, what) in [
            (&self.request, "request_headers"),
            (&self.query, "request_query"),
            (&self.response, "response_headers"),
        ] {
            if !edits.is_empty() {
                said.push(format!("{what}: {}", edits.describe()));
            }
        }
        if !self.pages.is_empty() {
            said.push(format!("error_pages: {}", self.pages.len()));
        }
    }
}
