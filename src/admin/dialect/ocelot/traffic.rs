//! Traffic: the administration on the listeners of clients too, by a route of the table that leads
//! to the admin listener. No API shows it, and none can take it away.
//!
//! The route shows a mark that only this process knows; for a request that has it the client is who
//! the proxy core says. Keys of the admin API do not pass this way: here only tokens count.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::HeaderMap;
use subtle::ConstantTimeEq as _;

use crate::admin::dialect::generic::random_text;
use crate::model::config::Admin;
use crate::model::policy::{Edits, NamedValue};
use crate::model::upstream::{Server, Upstream};
use crate::model::{Route, defaults};
use crate::table::{AGE_MAX, Change};

/// The field with the mark.
const MARK: &str = "x-ringway-administration";
/// The id of the route, and the name of its upstream: no declared ones can be like this.
const NAME: &str = "+administration";
/// Bytes of the mark.
const MARK_BYTES: usize = 32;
/// How long the admin core may take to answer: somewhat longer than it waits for the cores.
const WITHIN_MS: u64 = 70_000;

/// The way from the listeners of clients.
pub(super) struct Traffic {
    mark: String,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            mark: random_text(MARK_BYTES),
        }
    }

    /// The route and the upstream; the port of `admin` is known.
    pub(super) fn changes(&self, path: &str, admin: &Admin) -> Vec<Change> {
        let address = match admin.address {
            IpAddr::V4(any) if any.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(any) if any.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            own => own,
        };
        let upstream = Upstream {
            name: NAME.to_owned(),
            servers: vec![Server {
                address: Some(address.to_string()),
                port: Some(admin.port),
                max_fails: 0,
                ..Server::default()
            }],
            ..Upstream::default()
        };
        let set = NamedValue {
            name: MARK.to_owned(),
            value: self.mark.clone(),
        };
        let route = Route {
            id: Some(NAME.to_owned()),
            rank: i32::MAX,
            path_prefix: Some(path.to_owned()),
            upstream: Some(NAME.to_owned()),
            host_rewrite: Some(SocketAddr::new(address, admin.port).to_string()),
            request_headers: Some(Edits {
                remove: vec!["x-api-key".to_owned()],
                set: vec![set],
                ..Edits::default()
            }),
            read_timeout_ms: WITHIN_MS,
            total_timeout_ms: defaults::MS_MAX,
            max_response_bytes: u64::MAX >> 11,
            max_body_bytes: Some(u64::from(admin.limits.max_body_bytes)),
            ..Route::default()
        };
        vec![
            Change::PutUpstream(Box::new(upstream)),
            Change::PutRoute {
                route: Arc::new(route),
                age: AGE_MAX,
            },
        ]
    }

    /// Whether a request came this way.
    pub(super) fn is_marked(&self, fields: &HeaderMap) -> bool {
        fields
            .get(MARK)
            .is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(self.mark.as_bytes())))
    }

    /// The client of a request that came this way.
    pub(super) fn client(&self, fields: &HeaderMap) -> Option<SocketAddr> {
        let client = fields.get("x-real-ip").filter(|_| self.is_marked(fields))?;
        let address: IpAddr = client.to_str().ok()?.parse().ok()?;
        Some(SocketAddr::new(address, 0))
    }
}
