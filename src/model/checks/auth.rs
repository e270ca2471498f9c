//! Proofs of who asks: settings that belong together, names that can be sent, keys that are keys.

use std::collections::HashSet;

use super::text::{is_field_value, is_token};
use crate::model::faults::{Report, at_index, at_key, quoted};
use crate::model::policy::{Algorithm, Auth, AuthKind, ForwardAuth, Jwt, TokenPlace};
use crate::model::secret::Secret;

/// Whether the proof may be a token, whose claims texts can use.
pub(super) fn has_claims(auth: &Auth) -> bool {
    auth.kind == AuthKind::Jwt || auth.any.iter().any(has_claims)
}

pub(super) fn check(auth: &Auth, place: &str, report: &mut Report) {
    belongings(auth, place, report);
    match auth.kind {
        AuthKind::Anonymous => {}
        AuthKind::ApiKey => credentials(auth, "keys", place, report),
        AuthKind::Basic => credentials(auth, "users", place, report),
        AuthKind::Chain => chain(auth, place, report),
        AuthKind::ForwardAuth => match &auth.forward {
            Some(forward) => check_forward(forward, &at_key(place, "forward"), report),
            None => report.fault(place, "nobody is named to ask", "add forward"),
        },
        AuthKind::Jwt => match &auth.jwt {
            Some(jwt) => check_jwt(jwt, &at_key(place, "jwt"), report),
            None => report.fault(place, "it does not say what a token must be", "add jwt"),
        },
    }
    if !auth.require.is_empty() && !has_claims(auth) {
        let what = "claims come with tokens, and this type has none";
        report.fault(
            at_key(place, "require"),
            what,
            "remove it, or write type: jwt",
        );
    }
    for (index, method) in auth.exempt_methods.iter().enumerate() {
        if !is_token(method) {
            let place = at_index(&at_key(place, "exempt_methods"), index);
            let what = format!("{} is not a method", quoted(method));
            report.fault(place, what, "write one such as OPTIONS");
        }
    }
    if !is_token(&auth.header) {
        let what = format!("{} is not the name of a field", quoted(&auth.header));
        report.fault(at_key(place, "header"), what, "write one such as x-api-key");
    }
    if !is_field_value(&auth.realm) || auth.realm.contains(['"', '\\']) {
        let what = format!("{} cannot be sent as a realm", quoted(&auth.realm));
        let instead = "leave out quotes and backslashes";
        report.fault(at_key(place, "realm"), what, instead);
    }
}

/// What belongs to another type of auth.
fn belongings(auth: &Auth, place: &str, report: &mut Report) {
    let given = [
        ("users", AuthKind::Basic, !auth.users.is_empty()),
        ("keys", AuthKind::ApiKey, !auth.keys.is_empty()),
        ("entities", AuthKind::ApiKey, !auth.entities.is_empty()),
        ("jwt", AuthKind::Jwt, auth.jwt.is_some()),
        ("forward", AuthKind::ForwardAuth, auth.forward.is_some()),
        ("any", AuthKind::Chain, !auth.any.is_empty()),
    ];
    let own = match auth.kind {
        AuthKind::Basic => "users",
        AuthKind::ApiKey => "keys",
        _ => "what belongs to it",
    };
    for (key, kind, given) in given {
        if given && kind != auth.kind {
            let what = "they do not belong to this type of auth";
            report.fault(at_key(place, key), what, format!("move them to {own}"));
        }
    }
}

fn credentials(auth: &Auth, list: &str, place: &str, report: &mut Report) {
    let credentials = match auth.kind {
        AuthKind::Basic => &auth.users,
        _ => &auth.keys,
    };
    if credentials.is_empty() && auth.entities.is_empty() {
        report.fault(place, "nobody may come in", format!("add {list}"));
    }
    let mut names = HashSet::new();
    for (index, one) in credentials.iter().enumerate() {
        let place = at_key(&at_index(&at_key(place, list), index), "name");
        let sendable = is_field_value(&one.name) && !one.name.contains(':');
        if !sendable {
            let what = format!("{} cannot be sent as a name", quoted(&one.name));
            report.fault(place, what, "leave out colons and control characters");
        } else if auth.kind == AuthKind::Basic && !names.insert(&one.name) {
            let what = format!("{} is there twice", quoted(&one.name));
            report.fault(place, what, "give each user a name of its own");
        }
    }
}

fn chain(auth: &Auth, place: &str, report: &mut Report) {
    let list = at_key(place, "any");
    if auth.any.is_empty() {
        report.fault(place, "nobody may come in", "add any");
    }
    for (index, link) in auth.any.iter().enumerate() {
        let place = at_index(&list, index);
        if !link.require.is_empty() || !link.exempt_methods.is_empty() {
            let what = "require and exempt_methods are for the whole chain";
            report.fault(&place, what, "move them to the chain");
        }
        match link.kind {
            AuthKind::Chain | AuthKind::ForwardAuth => report.fault(
                at_key(&place, "type"),
                "this type cannot be a part of a chain",
                "write another; forward_auth stands alone",
            ),
            AuthKind::Anonymous if index + 1 < auth.any.len() => report.fault(
                at_key(&place, "type"),
                "whoever proves nothing is let in here, so the rest is never looked at",
                "move it to the end",
            ),
            _ => check(link, &place, report),
        }
    }
}

fn check_forward(forward: &ForwardAuth, place: &str, report: &mut Report) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !forward.path.starts_with('/') || !forward.path.bytes().all(plain) {
        let what = format!("{} is not a path", quoted(&forward.path));
        report.fault(at_key(place, "path"), what, "write one such as /verify");
    }
    for (key, names) in [
        ("request_headers", &forward.request_headers),
        ("response_headers", &forward.response_headers),
    ] {
        for (index, name) in names.iter().enumerate() {
            let place = at_index(&at_key(place, key), index);
            super::policy::field_name(name, &place, report);
        }
    }
}

fn check_jwt(jwt: &Jwt, place: &str, report: &mut Report) {
    let sources = [
        !jwt.keys.is_empty(),
        jwt.jwks_file.is_some(),
        jwt.jwks_url.is_some(),
        jwt.secret.is_some(),
        !jwt.verifiers.is_empty(),
    ];
    if sources.iter().filter(|given| **given).count() != 1 {
        report.fault(
            place,
            "what a token is checked with must be said once",
            "give one of keys, jwks_file, jwks_url, secret and verifiers",
        );
    }
    if jwt.verifiers.is_empty() && jwt.algorithms.is_empty() {
        let what = "a token could be signed with anything";
        report.fault(place, what, "add algorithms, such as [RS256]");
    }
    let symmetric =
        |one: &Algorithm| matches!(one, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    if jwt
        .algorithms
        .iter()
        .any(|one| symmetric(one) != jwt.secret.is_some())
    {
        report.fault(
            at_key(place, "algorithms"),
            "HS256, HS384 and HS512 go with secret, all others with keys",
            "write those that go with what is given",
        );
    }
    if let Some(Secret::Plain(_)) = jwt.secret {
        report.fault(
            at_key(place, "secret"),
            "whoever may look at this route would see it",
            "write {env: NAME} or {file: PATH}",
        );
    }
    if let Some(url) = &jwt.jwks_url
        && !is_plain_url(url)
    {
        let what = format!("{} cannot be fetched", quoted(url));
        let instead = "write one such as https://id.example.com/jwks.json";
        report.fault(at_key(place, "jwks_url"), what, instead);
    }
    for (index, from) in jwt.from.iter().enumerate() {
        token_place(from, &at_index(&at_key(place, "from"), index), report);
    }
    for (index, claim) in jwt.claims.iter().enumerate() {
        let place = at_index(&at_key(place, "claims"), index);
        super::route::condition(claim, false, &place, report);
    }
}

fn token_place(from: &TokenPlace, place: &str, report: &mut Report) {
    let names = [&from.header, &from.cookie, &from.query];
    if names.into_iter().flatten().count() != 1 {
        let what = "a place is one of header, cookie and query";
        report.fault(place, what, "write one of them");
    }
    if from.header.as_ref().is_some_and(|name| !is_token(name)) {
        report.fault(
            at_key(place, "header"),
            "this is not the name of a field",
            "write a token",
        );
    }
}

/// `http://` and a host; the admin core speaks no TLS to servers yet.
fn is_plain_url(url: &str) -> bool {
    let after = |scheme| url.strip_prefix(scheme);
    let Some(rest) = after("https://").or_else(|| after("http://")) else {
        return false;
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    !host.is_empty() && !host.contains('@') && url.bytes().all(|byte| byte.is_ascii_graphic())
}
