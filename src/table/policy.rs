//! What a route does beside passing requests on, compiled: one box, which a core looks for once
//! per request and which a route without policies does not have.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use super::auth::{Auth, ForwardAuth, Group, Known, digest};
pub use super::cache::{Authorized, Cache};
pub use super::compress::Compress;
pub use super::consumer::{Consumer, Shut};
pub use super::cors::{Cors, is_of_cors};
pub use super::edit::{Edits, Filling, Text};
use super::error::CompileError;
pub use super::jwt::{Claims, Jwt, KeySet, KeysFault, Rejected};
pub use super::limit::{Limit, Taken};
pub use super::prove::{Denied, Evidence, Proof};
pub use super::require::Required;
pub use super::split::{Part, Split};
use super::upstream::UpstreamId;
use crate::cache::Regions;
use crate::model;

/// What a route does beside passing requests on.
#[derive(Debug)]
pub struct Policies {
    /// The route's id.
    pub route: Arc<str>,
    /// The methods that are served; none means all.
    pub methods: Box<[Box<str>]>,
    /// The line that names them.
    pub allow_line: Box<[u8]>,
    /// Which clients may come in.
    pub ip: Option<IpRules>,
    /// Cross-origin requests.
    pub cors: Option<Cors>,
    /// Who may come in.
    pub auth: Option<Auth>,
    /// What the claims of a token must be.
    pub require: Box<[Required]>,
    /// Methods that need no proof.
    exempt: Box<[Box<str>]>,
    /// How many requests may come in.
    pub limit: Option<Limit>,
    /// What every request is answered with.
    pub maintenance: Option<Maintenance>,
    /// Changes to the fields of the request.
    pub request: Edits,
    /// Changes to the query.
    pub query: Edits,
    /// The method that the server gets.
    method: Option<Box<str>>,
    /// The host that the server gets.
    pub host: Option<Text>,
    /// Changes to the fields of the response.
    pub response: Edits,
    /// Upstreams that share the requests.
    pub split: Option<Split>,
    /// After how many milliseconds a second server is asked.
    pub hedge_ms: Option<u64>,
    /// Which responses are kept.
    pub cache: Option<Cache>,
    /// Which responses are compressed.
    pub compress: Option<Compress>,
    /// Who gets a copy of the requests.
    pub mirror: Option<Mirror>,
    /// The bodies of our own answers.
    pub pages: Box<[ErrorPage]>,
}

/// An upstream that gets a copy of requests.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// The upstream.
    pub upstream: UpstreamId,
    /// Of how many requests, in percent.
    pub percent: u8,
}

/// Which clients may come in.
#[derive(Clone, Debug)]
pub struct IpRules {
    allow: Box<[IpNet]>,
    deny: Box<[IpNet]>,
}

/// What every request is answered with.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// The status.
    pub status: u16,
    /// The field lines.
    pub lines: Box<[u8]>,
    /// The body.
    pub body: Box<[u8]>,
    allow: Box<[IpNet]>,
}

/// The body of an answer that we make ourselves.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    statuses: Box<[u16]>,
    /// The status that the answer has instead.
    pub status: Option<u16>,
    /// The line that says what the body is.
    pub line: Box<[u8]>,
    /// The body, with the places that are filled in.
    body: Box<str>,
}

// === impl Policies ===

impl Policies {
    /// Compiles what `route` says, under the id `id`; none if it says nothing of all that.
    /// `captures` are what its path captures, `before` is what it said until now: limits that are
    /// the same go on counting.
    pub(super) fn compile(
        id: &str,
        route: &model::Route,
        captures: &[&str],
        before: Option<&Self>,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
        regions: &Regions,
    ) -> Result<Option<Arc<Self>>, CompileError> {
        if !has_any(route) {
            return Ok(None);
        }
        let policies = Self {
            route: id.into(),
            methods: route
                .allow_methods
                .iter()
                .map(|m| m.as_str().into())
                .collect(),
            allow_line: format!("Allow: {}\r\n", route.allow_methods.join(", "))
                .into_bytes()
                .into(),
            ip: route.ip.as_ref().map(IpRules::of),
            cors: route.cors.as_ref().map(Cors::of),
            auth: match &route.auth {
                Some(auth) => Some(Auth::of(id, auth, upstream)?),
                None => None,
            },
            require: Self::required(id, route, captures)?,
            exempt: route
                .auth
                .iter()
                .flat_map(|auth| &auth.exempt_methods)
                .map(|method| method.as_str().into())
                .collect(),
            limit: route
                .rate_limit
                .as_ref()
                .map(|limit| Limit::of(limit, before.and_then(|before| before.limit.as_ref()))),
            maintenance: route
                .maintenance
                .as_ref()
                .filter(|maintenance| maintenance.enabled)
                .map(Maintenance::of),
            request: Edits::request(id, route, captures)?,
            query: Edits::query(id, route, captures)?,
            method: route.method_rewrite.as_deref().map(Into::into),
            host: match &route.host_rewrite {
                Some(text) => Some(Text::parse(id, text, captures)?),
                None => None,
            },
            response: Edits::of(id, route.response_headers.as_ref(), captures)?,
            split: Split::compile(id, route, upstream)?,
            hedge_ms: route.retry.hedge_after_ms,
            cache: Cache::of(id, route, regions),
            compress: route.compress.as_ref().map(Compress::of),
            mirror: match &route.mirror {
                None => None,
                Some(name) => Some(Mirror {
                    upstream: upstream(name).ok_or_else(|| CompileError::UnknownUpstream {
                        route: id.into(),
                        upstream: name.clone(),
                    })?,
                    percent: route.mirror_percent.unwrap_or(100),
                }),
            },
            pages: route.error_pages.iter().map(ErrorPage::of).collect(),
        };
        Ok(Some(Arc::new(policies)))
    }

    fn required(
        id: &str,
        route: &model::Route,
        captures: &[&str],
    ) -> Result<Box<[Required]>, CompileError> {
        let declared = route.auth.iter().flat_map(|auth| &auth.require);
        declared
            .map(|one| Required::of(id, one, captures))
            .collect()
    }

    /// Who may come in, for requests of this method.
    #[inline]
    pub fn auth_for(&self, method: &str) -> Option<&Auth> {
        let auth = self.auth.as_ref()?;
        let is_exempt = self.exempt.iter().any(|exempt| **exempt == *method);
        (!is_exempt).then_some(auth)
    }

    /// The method that the server gets instead of this one; HEAD stays what it is, as its answer
    /// has no body.
    #[inline]
    pub fn method_for(&self, method: &str) -> Option<&str> {
        self.method.as_deref().filter(|_| method != "HEAD")
    }

    /// Whether filling in its texts needs what the path captures.
    pub(super) fn uses_captures(&self) -> bool {
        self.request.use_captures()
            || self.query.use_captures()
            || self.response.use_captures()
            || self.host.as_ref().is_some_and(Text::uses_captures)
            || self.require.iter().any(Required::uses_captures)
    }

    /// Whether a method is served.
    pub fn serves(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|known| **known == *method)
    }

    /// Whether something changes on the way of the response.
    pub fn changes_response(&self) -> bool {
        !self.response.is_empty() || self.cors.is_some() || self.compress.is_some()
    }

    /// Whether something is done besides passing a request on.
    pub fn has_extras(&self) -> bool {
        let asks = self.auth.as_ref().is_some_and(|auth| auth.asks().is_some());
        asks || self.mirror.is_some() || self.hedge_ms.is_some()
    }

    /// The page for our own answer of this status.
    pub fn page(&self, status: u16) -> Option<&ErrorPage> {
        self.pages.iter().find(|page| page.is_for(status))
    }
}

/// Whether a route says anything that only policies do.
fn has_any(route: &model::Route) -> bool {
    !route.traffic_split.is_empty()
        || !route.allow_methods.is_empty()
        || !route.upstream_headers.is_empty()
        || !route.error_pages.is_empty()
        || route.ip.is_some()
        || route.cors.is_some()
        || route.auth.is_some()
        || route.rate_limit.is_some()
        || route.retry.hedge_after_ms.is_some()
        || route.mirror.is_some()
        || route.cache.is_some()
        || route.compress.is_some()
        || route
            .maintenance
            .as_ref()
            .is_some_and(|maintenance| maintenance.enabled)
        || route.request_headers.is_some()
        || route.request_query.is_some()
        || route.method_rewrite.is_some()
        || route.host_rewrite.is_some()
        || route.response_headers.is_some()
}

// === impl IpRules ===

impl IpRules {
    fn of(declared: &model::policy::IpRules) -> Self {
        Self {
            allow: declared.allow.clone().into(),
            deny: declared.deny.clone().into(),
        }
    }

    /// Whether a client may come in.
    pub fn admit(&self, client: &IpAddr) -> bool {
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(client));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

// === impl Maintenance ===

impl Maintenance {
    fn of(declared: &model::policy::Maintenance) -> Self {
        let mut lines = format!("Content-Type: {}\r\n", declared.content_type);
        if let Some(seconds) = declared.retry_after_s {
            lines.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        Self {
            status: declared.status,
            lines: lines.into_bytes().into(),
            body: declared.body.as_bytes().into(),
            allow: declared.allow.clone().into(),
        }
    }

    /// Whether a client is served all the same.
    pub fn lets_in(&self, client: &IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(client))
    }
}

// === impl ErrorPage ===

impl ErrorPage {
    /// Compiles what is declared.
    pub fn of(declared: &model::policy::ErrorPage) -> Self {
        Self {
            statuses: declared.statuses.clone().into(),
            status: declared.status,
            line: format!("Content-Type: {}\r\n", declared.content_type)
                .into_bytes()
                .into(),
            body: declared.body.as_str().into(),
        }
    }

    /// Whether it is for answers of this status.
    pub fn is_for(&self, status: u16) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// Appends the body for this answer.
    pub fn fill(&self, status: u16, reason: &str, message: &str, route: &str, out: &mut Vec<u8>) {
        let mut rest = &*self.body;
        while let Some((before, after)) = rest.split_once('{') {
            out.extend_from_slice(before.as_bytes());
            let filled = [
                ("status}", None),
                ("reason}", Some(reason)),
                ("message}", Some(message)),
                ("route}", Some(route)),
            ]
            .into_iter()
            .find_map(|(name, text)| after.strip_prefix(name).map(|after| (text, after)));
            match filled {
                Some((Some(text), after)) => {
                    out.extend_from_slice(text.as_bytes());
                    rest = after;
                }
                Some((None, after)) => {
                    crate::wire::compose::put_decimal(out, u64::from(status));
                    rest = after;
                }
                // Any other brace is plain text: a page may well have style sheets in it.
                None => {
                    out.push(b'{');
                    rest = after;
                }
            }
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_filled_in_and_its_other_braces_stay() {
        let page = ErrorPage::of(&model::policy::ErrorPage {
            statuses: vec![],
            status: None,
            content_type: "text/html".to_owned(),
            body: "<style>p{a:b}</style>{status} {reason}: {message} ({route}) {x".to_owned(),
        });
        let mut out = Vec::new();
        page.fill(502, "Bad Gateway", "no", "r", &mut out);
        let expected = "<style>p{a:b}</style>502 Bad Gateway: no (r) {x";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn deny_goes_before_allow() {
        let rules = IpRules::of(&model::policy::IpRules {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.1.0.0/16".parse().unwrap()],
        });
        for (client, admitted) in [("10.0.0.1", true), ("10.1.0.1", false), ("9.9.9.9", false)] {
            assert_eq!(rules.admit(&client.parse().unwrap()), admitted, "{client}");
        }
    }
}
