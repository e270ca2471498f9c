//! Ocelot: seed 000, the administration of Ocelot at a path of its own: tokens, the whole
//! configuration as one document, and the regions of the output cache.
//!
//! Reading order: `form` and `token` (how a client comes to a token), `signer` and `authority`
//! (whose tokens count), `document` (the configuration as Ocelot has it, read and replaced),
//! `traffic` (the same among the requests of clients).

mod authority;
mod document;
mod form;
mod signer;
mod token;
mod traffic;

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::header::{self, AUTHORIZATION, HeaderMap};
use hyper::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use self::authority::Authority;
use self::signer::Signer;
pub use self::signer::SignerError;
use self::traffic::Traffic;
use crate::admin::core::Core;
use crate::admin::guard::Principal;
use crate::admin::payload::Payload;
use crate::admin::problem::Problem;
use crate::admin::regions;
use crate::admin::request::{self, Answer, Request};
use crate::model::config::{Admin, Role};
use crate::model::secret::SecretError;
use crate::table::Change;

/// What is served under the path.
const TOKEN: &str = "/connect/token";
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/.well-known/openid-configuration/jwks";
const CONFIGURATION: &str = "/configuration";
const REGION: &str = "/outputcache/";

/// The administration of one process.
pub(in crate::admin) struct Administration {
    path: String,
    base_url: Option<String>,
    /// The hash of the secret, and what signs tokens for it.
    internal: Option<([u8; 32], Signer)>,
    authority: Option<Authority>,
    traffic: Option<Traffic>,
}

/// Why the administration cannot be served.
#[derive(Debug, Error)]
pub enum OcelotError {
    /// The secret cannot be had.
    #[error("admin.ocelot.secret: {0}")]
    Secret(#[from] SecretError),
    /// There is nothing to sign tokens with.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl Administration {
    /// What a configuration asks for; none if it does not.
    ///
    /// # Errors
    /// If the secret or the certificate cannot be had.
    pub(in crate::admin) fn of(admin: &Admin) -> Result<Option<Rc<Self>>, OcelotError> {
        let Some(declared) = admin.ocelot.as_ref().filter(|_| admin.enabled) else {
            return Ok(None);
        };
        let internal = match &declared.secret {
            None => None,
            Some(secret) => {
                let hash = Sha256::digest(secret.reveal()?.as_bytes()).into();
                Some((hash, Signer::of_environment()?))
            }
        };
        Ok(Some(Rc::new(Self {
            path: declared.path.clone(),
            base_url: declared.base_url.clone(),
            internal,
            authority: Authority::of(declared),
            traffic: declared.on_traffic.then(Traffic::new),
        })))
    }

    /// What brings requests on the listeners of clients here, if they may come.
    pub(in crate::admin) fn changes(&self, admin: &Admin) -> Vec<Change> {
        let traffic = self.traffic.as_ref();
        traffic.map_or_else(Vec::new, |traffic| traffic.changes(&self.path, admin))
    }

    /// The client of a request that a proxy core has passed on.
    pub(in crate::admin) fn client(&self, fields: &HeaderMap) -> Option<SocketAddr> {
        self.traffic.as_ref()?.client(fields)
    }

    /// The host that a client has asked for.
    fn asked_host<'r>(&self, fields: &'r HeaderMap) -> &'r str {
        let traffic = self.traffic.as_ref();
        let passed_on = traffic.is_some_and(|traffic| traffic.is_marked(fields));
        let name = if passed_on {
            "x-forwarded-host"
        } else {
            "host"
        };
        let host = fields.get(name).and_then(|host| host.to_str().ok());
        host.unwrap_or("localhost")
    }

    /// What of a path stands below that of the administration.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Whether a path is for everybody: what one needs to come to a token.
    pub(in crate::admin) fn is_open(&self, path: &str) -> bool {
        matches!(self.below(path), Some(TOKEN | DISCOVERY | KEYS))
    }

    /// Whether a path belongs to the administration.
    pub(in crate::admin) fn is_mine(&self, path: &str) -> bool {
        self.below(path).is_some()
    }

    /// Sees to it that the token of a request can be judged.
    pub(in crate::admin) async fn prepare(&self, fields: &HeaderMap) {
        if let (Some(authority), Some(token)) = (&self.authority, bearer(fields)) {
            authority.prepare(token).await;
        }
    }

    /// Whoever shows a token that counts.
    pub(in crate::admin) fn recognise(&self, fields: &HeaderMap) -> Option<Principal> {
        let token = bearer(fields)?;
        let internal = self.internal.as_ref();
        let name = internal
            .and_then(|(_, signer)| signer.verify(token))
            .or_else(|| self.authority.as_ref()?.verify(token))?;
        Some(Principal {
            name: name.into(),
            role: Role::Write,
            rights: None,
        })
    }

    /// Answers a request.
    pub(in crate::admin) async fn answer(&self, core: &Core, request: &Request) -> Answer {
        let below = self.below(request.path()).unwrap_or_default();
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        match below {
            TOKEN | DISCOVERY | KEYS if self.internal.is_none() => status(404),
            TOKEN if request.method == Method::POST => token::answer(self, core, request),
            TOKEN => only("POST"),
            DISCOVERY | KEYS if !is_read => only("GET, HEAD"),
            DISCOVERY => token::discovery(self, request),
            KEYS => token::keys(self),
            CONFIGURATION if is_read => document::show(core, request),
            CONFIGURATION if request.method == Method::POST => {
                document::replace(core, request).await
            }
            CONFIGURATION => only("GET, HEAD, POST"),
            _ => match region(below) {
                Some(region) if request.method == Method::DELETE => {
                    regions::drop_all(core, request, &region).await;
                    status(204)
                }
                Some(_) => only("DELETE"),
                None => status(404),
            },
        }
    }
}

/// The region of the output cache that a path names.
fn region(below: &str) -> Option<String> {
    let region = below.strip_prefix(REGION)?;
    (!region.is_empty() && !region.contains('/')).then(|| request::decode(region))?
}

/// A refusal in the words of Ocelot: a status, and for a missing or bad token a challenge.
pub(in crate::admin) fn refusal(problem: &Problem, shows_token: bool) -> Answer {
    let mut answer = status(problem.status.as_u16());
    if problem.status == StatusCode::UNAUTHORIZED {
        let challenge = if shows_token {
            "Bearer error=\"invalid_token\""
        } else {
            "Bearer"
        };
        request::set(&mut answer, header::WWW_AUTHENTICATE, challenge);
        return answer;
    }
    plain(problem.status.as_u16(), format!("{}\n", problem.error))
}

/// The token that a request shows.
fn bearer(fields: &HeaderMap) -> Option<&str> {
    let value = fields.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An answer without a body.
fn status(status: u16) -> Answer {
    let mut answer = Response::new(Payload::Whole(None));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    answer
}

fn only(methods: &'static str) -> Answer {
    let mut answer = status(405);
    request::set(&mut answer, header::ALLOW, methods);
    answer
}

fn plain(status: u16, text: String) -> Answer {
    request::text(status, "text/plain; charset=utf-8", text)
}
