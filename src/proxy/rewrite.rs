//! Rewrite: what the server is asked, made of the request and of what its route says.

use super::policy::{Drafts, Passed, RequestEdits};
use super::understand::Understood;
use crate::epoch::Settings;
use crate::model::config::Underscores;
use crate::table::{Forward, Found, Rewrite, Source};
use crate::wire::compose::{self, Forwarding, RequestPlan};
use crate::wire::head::Body;

/// A request on its way to a server.
pub(super) struct Outbound<'a, 'b, 's> {
    pub(super) request: &'a Understood<'b, 's>,
    pub(super) found: &'a Found<'a>,
    pub(super) to: &'a Forward,
    pub(super) settings: &'a Settings,
    /// What a client of HTTP/1.0 asks for that names no host.
    pub(super) upstream: &'a str,
    /// Who asks.
    pub(super) client: &'a Forwarding,
    /// Whether the client's own forwarding fields are believed.
    pub(super) trusted: bool,
    /// What the policies of the route change.
    pub(super) passed: Option<&'a Passed<'a>>,
}

impl Outbound<'_, '_, '_> {
    /// The protocol to change to. A request with a body keeps its protocol, and so does every
    /// connection that would change to HTTP/2: what follows would no longer be understood here.
    pub(super) fn upgrade(&self) -> Option<&[u8]> {
        let head = &self.request.head;
        let is_h2c = |protocol: &[u8]| {
            protocol
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
        };
        head.upgrade
            .filter(|protocol| head.body == Body::None && !is_h2c(protocol))
    }

    /// Writes the head for the server; `path` is space for a rewritten path, `drafts` for what else
    /// changes.
    pub(super) fn compose(&self, path: &mut Vec<u8>, drafts: &mut Drafts, out: &mut Vec<u8>) {
        let head = &self.request.head;
        let path: &[u8] = match self.to.rewrite {
            Rewrite::Keep => self.request.path,
            _ => {
                path.clear();
                let query = self.request.query.unwrap_or_default();
                let source = Source {
                    captures: &self.found.captures,
                    claims: self.passed.and_then(Passed::claims),
                    fields: &self.request.fields,
                };
                self.to
                    .rewrite
                    .apply(self.request.path, query, &source, path);
                path
            }
        };
        let asked_host = if head.host_text.is_empty() {
            self.upstream.as_bytes()
        } else {
            head.host_text
        };
        let edits = self.passed.map(RequestEdits);
        let (query, host) = match self.passed {
            None => (self.request.query, None),
            Some(passed) => passed.query_and_host(self.request.query, drafts),
        };
        let drops = self.settings.underscores == Underscores::Drop;
        let plan = RequestPlan {
            path,
            host: host.unwrap_or(asked_host),
            asked_host,
            query,
            edits: match &edits {
                Some(edits) => Some(edits),
                None => None,
            },
            client: self.client,
            trusted: self.trusted,
            upgrade: self.upgrade(),
            drop_underscores: drops && head.has_underscores,
            wants_trailers: !self.settings.trailers.is_empty(),
        };
        compose::request(head, &plan, out);
    }
}
