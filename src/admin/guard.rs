//! Guard: who may come in. It stands in front of every dialect, and turns a credential of any kind
//! into one principal with one set of rights.
//!
//! The order matters: the rate first, so that guessing is slow; then what a browser is made to do
//! against its user's will; then the key; then what the key may do.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use hyper::{Method, Request};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::dialect::{self, Access};
use super::problem::Problem;
use super::rate::Rate;
use crate::model::config::{Admin, Role};
use crate::model::secret::SecretError;

/// Wrong keys that one address may show at once, and then per second; more is 429 for a while,
/// whatever it shows.
const WRONG_KEYS: u32 = 20;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may come in.
pub(super) struct Guard {
    keys: Vec<Key>,
    allowed_hosts: Vec<String>,
    requests: Rate,
    wrong_keys: Rate,
}

/// A key, as its hash.
struct Key {
    name: Rc<str>,
    hash: [u8; 32],
    role: Role,
}

/// Who has come in.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) name: Rc<str>,
    pub(super) role: Role,
    /// What an Apikey of the generic API may do; keys of the configuration have the role alone.
    pub(super) rights: Option<Rc<Access>>,
}

/// Why the keys of a configuration cannot be used.
#[derive(Debug, Error)]
#[error("admin.{place}: {source}")]
pub struct KeyError {
    place: String,
    source: SecretError,
}

impl Guard {
    /// The guard that a configuration asks for. Its keys are read once, here.
    pub(super) fn of(admin: &Admin) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        let mut add = |place: String, name: &str, secret: &crate::model::secret::Secret, role| {
            let key = secret
                .reveal()
                .map_err(|source| KeyError { place, source })?;
            keys.push(Key {
                name: name.into(),
                hash: Sha256::digest(key.as_bytes()).into(),
                role,
            });
            Ok(())
        };
        if admin.enabled {
            if let Some(secret) = &admin.api_key {
                add("api_key".to_owned(), "api_key", secret, Role::Write)?;
            }
            for (index, one) in admin.keys.iter().enumerate() {
                add(format!("keys[{index}].key"), &one.name, &one.key, one.role)?;
            }
        }
        Ok(Self {
            keys,
            allowed_hosts: admin
                .allowed_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            requests: Rate::of(admin.limits.requests_per_second),
            wrong_keys: Rate::of(WRONG_KEYS),
        })
    }

    /// Lets a request of anybody in, as far as its rate and what a browser is made to do allow.
    pub(super) fn admit_anybody<B>(
        &mut self,
        request: &Request<B>,
        from: SocketAddr,
    ) -> Result<Principal, Problem> {
        let address = from.ip();
        if !self.requests.take(address) || self.wrong_keys.is_empty(address) {
            return Err(Problem::new(429, "too many requests; slow down"));
        }
        self.refuse_browsers(request.headers())?;
        Ok(Principal {
            name: "nobody".into(),
            role: Role::Read,
            rights: None,
        })
    }

    /// Notes that an address has shown a credential that is none.
    pub(super) fn wrong(&mut self, from: SocketAddr) {
        self.wrong_keys.take(from.ip());
    }

    /// Lets a request in, or says why not. `apikey` recognises who has no key of the
    /// configuration.
    pub(super) fn admit<B>(
        &mut self,
        request: &Request<B>,
        from: SocketAddr,
        apikey: impl FnOnce(&Request<B>) -> Option<Principal>,
    ) -> Result<Principal, Problem> {
        self.admit_anybody(request, from)?;
        let fields = request.headers();
        let Some(principal) = self.recognise(fields).or_else(|| apikey(request)) else {
            self.wrong(from);
            return Err(Problem::new(401, "unauthorized"));
        };
        // The generic API has rights of its own, and words for what they refuse.
        let generic = dialect::is_generic(request.uri().path());
        if is_write(request) && principal.role != Role::Write && !generic {
            return Err(Problem::new(403, "this key may only read"));
        }
        Ok(principal)
    }

    /// Refuses what only a browser sends, and only when a page makes it: another site's request,
    /// or a name that was bent to this address (DNS rebinding).
    fn refuse_browsers(&self, fields: &HeaderMap) -> Result<(), Problem> {
        let Some(host) = one(fields, &HOST) else {
            return Err(Problem::new(400, "bad request"));
        };
        if !self.allows_host(host) {
            let sentence = "this Host is not allowed; list it in admin.allowed_hosts";
            return Err(Problem::new(403, sentence));
        }
        if fields.contains_key(UPGRADE) {
            return Err(Problem::new(403, "there is no upgrade here"));
        }
        if fields.contains_key(ORIGIN) && one(fields, &ORIGIN).and_then(authority) != Some(host) {
            return Err(Problem::new(403, "cross-origin requests are refused"));
        }
        let is = |name, value: &str| fields.get_all(name).iter().any(|given| given == value);
        if is(FETCH_MODE, "no-cors") || is(FETCH_SITE, "cross-site") {
            return Err(Problem::new(403, "cross-origin requests are refused"));
        }
        Ok(())
    }

    /// No one can bend an address to another one, so every address is allowed, with any port.
    fn allows_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        if bare.unwrap_or(name).parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.to_ascii_lowercase();
        name == "localhost" || self.allowed_hosts.contains(&name)
    }

    fn recognise(&self, fields: &HeaderMap) -> Option<Principal> {
        self.of_key(one(fields, &API_KEY).unwrap_or_default())
    }

    /// The holder of a key. Compares with every one, in a time that tells nothing of any.
    pub(super) fn of_key(&self, shown: &str) -> Option<Principal> {
        let hash: [u8; 32] = Sha256::digest(shown.trim().as_bytes()).into();
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.hash.ct_eq(&hash)) {
                found = Some(Principal {
                    name: key.name.clone(),
                    role: key.role,
                    rights: None,
                });
            }
        }
        found.filter(|_| !shown.is_empty())
    }
}

/// Whether a request is to change something.
pub(super) fn is_write<B>(request: &Request<B>) -> bool {
    let explains = request.uri().path().trim_start_matches("/v1") == "/explain";
    !explains && !matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The value of a field that is there exactly once.
fn one<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f str> {
    let mut values = fields.get_all(name).iter();
    let value: Option<&HeaderValue> = values.next();
    value
        .filter(|_| values.next().is_none())
        .and_then(|value| value.to_str().ok())
}

/// The authority of an origin such as `http://localhost:9180`.
fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guard() -> Guard {
        let admin = json!({
            "enabled": true, "api_key": "root", "allowed_hosts": ["Admin.internal"],
            "keys": [{"name": "eyes", "key": "look"}],
        });
        Guard::of(&serde_json::from_value(admin).unwrap()).unwrap()
    }

    fn status(method: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/routes");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let from = SocketAddr::from(([127, 0, 0, 1], 5));
        let admitted = guard().admit(&request.body(()).unwrap(), from, |_| None);
        admitted.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    #[test]
    fn keys_are_compared_whole_and_once() {
        let host = ("host", "127.0.0.1:9180");
        for (fields, expected) in [
            (vec![host, ("x-api-key", "root")], 200),
            (vec![host, ("x-api-key", " root ")], 200),
            (vec![host, ("x-api-key", "look")], 200),
            (vec![host, ("x-api-key", "roo")], 401),
            (vec![host, ("x-api-key", "")], 401),
            (vec![host], 401),
            (
                vec![host, ("x-api-key", "root"), ("x-api-key", "root")],
                401,
            ),
            (vec![("x-api-key", "root")], 400),
        ] {
            assert_eq!(status("GET", &fields), expected, "{fields:?}");
        }
        assert_eq!(status("POST", &[host, ("x-api-key", "root")]), 200);
        assert_eq!(status("POST", &[host, ("x-api-key", "look")]), 403);
    }

    #[test]
    fn only_names_that_are_listed_may_be_hosts() {
        for (host, expected) in [
            ("localhost:9180", 200),
            ("LOCALHOST", 200),
            ("[::1]:9180", 200),
            ("10.1.2.3:80", 200),
            ("admin.internal:9180", 200),
            ("evil.example:9180", 403),
            ("127.0.0.1.evil.example", 403),
        ] {
            assert_eq!(
                status("GET", &[("host", host), ("x-api-key", "root")]),
                expected,
                "{host}"
            );
        }
    }

    #[test]
    fn what_a_page_makes_a_browser_send_is_refused() {
        let base = [("host", "localhost:9180"), ("x-api-key", "root")];
        for (field, expected) in [
            (("origin", "http://localhost:9180"), 200),
            (("origin", "http://evil.example"), 403),
            (("origin", "http://localhost:9181"), 403),
            (("origin", "null"), 403),
            (("sec-fetch-mode", "no-cors"), 403),
            (("sec-fetch-mode", "cors"), 200),
            (("sec-fetch-site", "cross-site"), 403),
            (("upgrade", "websocket"), 403),
        ] {
            assert_eq!(
                status("POST", &[base[0], base[1], field]),
                expected,
                "{field:?}"
            );
        }
    }
}
