//! Login: who the holder of an Apikey is, and the sessions of the dashboard.
//!
//! The credential comes as Basic (RFC 7617, padded or not), as the fields `Otoroshi-Client-Id` and
//! `Otoroshi-Client-Secret`, or as the cookie of a session that was begun with one of these.

use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::access::Rights;
use super::random_text;
use super::seeds::admin_id;
use crate::admin::clock::now_ms;
use crate::admin::core::Core;
use crate::admin::entity::Kind;
use crate::admin::guard::Principal;
use crate::model::config::Role;
use crate::wire::base64::LENIENT;

/// Sessions at one time; the oldest ends for a new one.
const SESSIONS_MAX: usize = 1_024;
/// How long a session lasts.
pub(crate) const SESSION_SECONDS: u64 = 8 * 60 * 60;
/// The cookie of a session.
const COOKIE_NAME: &str = "ringway_session";

/// Sessions by the hash of their secret.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<[u8; 32], Session>);

#[derive(Debug)]
struct Session {
    client_id: String,
    until_ms: u64,
}

/// The principal of a request that shows the credential of an Apikey.
pub(in crate::admin) fn recognise(core: &Core, fields: &HeaderMap) -> Option<Principal> {
    if let Some((id, secret)) = credential(fields) {
        return of_apikey(core, &id, Some(&secret));
    }
    let cookie = cookie(fields)?;
    let now = now_ms();
    let hash = hash(cookie);
    let client_id = {
        let sessions = core.sessions.borrow();
        let session = sessions
            .0
            .get(&hash)
            .filter(|session| session.until_ms > now)?;
        session.client_id.clone()
    };
    of_apikey(core, &client_id, None)
}

/// Begins a session for the Apikey `client_id`: the cookie.
pub(crate) fn begin(core: &Core, client_id: &str) -> String {
    let now = now_ms();
    let secret = random_text(32);
    let mut sessions = core.sessions.borrow_mut();
    sessions.0.retain(|_, session| session.until_ms > now);
    if sessions.0.len() >= SESSIONS_MAX {
        let oldest = sessions
            .0
            .iter()
            .min_by_key(|(_, session)| session.until_ms);
        if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
            sessions.0.remove(&oldest);
        }
    }
    let until_ms = now + SESSION_SECONDS * 1_000;
    sessions.0.insert(
        hash(&secret),
        Session {
            client_id: client_id.to_owned(),
            until_ms,
        },
    );
    format!("{COOKIE_NAME}={secret}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict")
}

/// Ends the session of a request: the cookie that says so.
pub(crate) fn end(core: &Core, fields: &HeaderMap) -> String {
    if let Some(cookie) = cookie(fields) {
        core.sessions.borrow_mut().0.remove(&hash(cookie));
    }
    format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

/// Who shows the secret of the first admin key and no name, as health probes do: they may look.
pub(in crate::admin) fn monitor(core: &Core, shown: &str) -> Option<Principal> {
    let id = admin_id(&core.state.borrow().config.admin)?;
    of_apikey(core, &id, Some(shown))?;
    let rights = Some(Rc::new(Rights::to_read()));
    Some(Principal {
        name: Rc::from("monitoring"),
        role: Role::Read,
        rights,
    })
}

/// The principal of an Apikey; without a secret to show, one who has shown it before.
fn of_apikey(core: &Core, id: &str, secret: Option<&str>) -> Option<Principal> {
    let apikeys = Kind::of_list("apikeys")?;
    let state = core.state.borrow();
    let apikey = state.of_kind(apikeys).get(id)?.value();
    if let Some(secret) = secret {
        let own = apikey.get("clientSecret")?.as_str()?;
        // Hashes have one length, so comparing them tells nothing of the secret.
        if !bool::from(hash(own).ct_eq(&hash(secret))) {
            return None;
        }
    }
    let rights = Rights::of(&apikey, now_ms())?;
    let role = if rights.is_read_only() {
        Role::Read
    } else {
        Role::Write
    };
    Some(Principal {
        name: Rc::from(id),
        role,
        rights: Some(Rc::new(rights)),
    })
}

/// Client id and secret, as the fields have them.
fn credential(fields: &HeaderMap) -> Option<(String, String)> {
    let one = |name: &str| {
        let mut values = fields.get_all(name).iter();
        values
            .next()
            .filter(|_| values.next().is_none())?
            .to_str()
            .ok()
    };
    if let (Some(id), Some(secret)) = (one("otoroshi-client-id"), one("otoroshi-client-secret")) {
        return Some((id.to_owned(), secret.to_owned()));
    }
    basic(one(AUTHORIZATION.as_str())?)
}

fn basic(field: &str) -> Option<(String, String)> {
    let (scheme, rest) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(LENIENT.decode(rest.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn cookie(fields: &HeaderMap) -> Option<&str> {
    let values = fields
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

/// The hash of a text, in hexadecimal.
pub(crate) fn hash_text(text: &str) -> String {
    hash(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_padded_and_unpadded() {
        let expected = Some(("admin".to_owned(), "secret:1".to_owned()));
        for (field, expected) in [
            ("Basic YWRtaW46c2VjcmV0OjE=", expected.clone()),
            ("basic YWRtaW46c2VjcmV0OjE", expected),
            ("Basic %%%", None),
            ("Basic YWRtaW4=", None),
            ("Bearer YWRtaW46c2VjcmV0OjE=", None),
            ("", None),
        ] {
            assert_eq!(basic(field), expected, "{field}");
        }
    }
}
