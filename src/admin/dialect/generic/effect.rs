//! Effect: what Apikeys, JwtVerifiers and ErrorTemplates mean for traffic.

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::model::Route;
use crate::model::consumer::{Consumer, Quotas};
use crate::model::policy::{Algorithm, ErrorPage, Jwt as Declared, TokenPlace};
use crate::model::route::Condition;
use crate::table::policy::{Jwt, KeySet, KeysFault};
use crate::table::{Change, CompileError};
use crate::wire::base64::LENIENT;

/// The template that stands for all routes without one of their own.
const GLOBAL: &str = "global";

/// What of the table changes with a document of this list; without a value it goes.
///
/// # Errors
/// If a verifier has a key that is none.
pub(in crate::admin) fn effects(
    list: &str,
    id: &str,
    value: Option<&Value>,
) -> Result<Vec<Change>, CompileError> {
    Ok(match (list, value) {
        ("apikeys", Some(value)) => vec![Change::PutConsumer(Box::new(consumer(id, value)))],
        ("apikeys", None) => vec![Change::RemoveConsumer(id.to_owned())],
        ("jwt-verifiers", Some(value)) => vec![match verifier(id, value)? {
            Some(jwt) => Change::PutVerifier {
                id: id.to_owned(),
                jwt: Box::new(jwt),
            },
            None => Change::RemoveVerifier(id.to_owned()),
        }],
        ("jwt-verifiers", None) => vec![Change::RemoveVerifier(id.to_owned())],
        ("error-templates", value) if id == GLOBAL => {
            vec![Change::Pages(value.map(pages).unwrap_or_default())]
        }
        _ => Vec::new(),
    })
}

/// Gives a route the pages of its template; what it says itself goes first.
pub(in crate::admin) fn dress(route: &mut Route, template: Option<&Value>) {
    let Some(template) = template else { return };
    route.error_pages.extend(pages(template));
    if let Some(maintenance) = &mut route.maintenance
        && let Some(body) = text(template, "templateMaintenance")
    {
        maintenance.body = places(body);
        maintenance.content_type = HTML.to_owned();
    }
}

const HTML: &str = "text/html; charset=utf-8";

fn pages(template: &Value) -> Vec<ErrorPage> {
    let classes = [("template40x", 400..=499), ("template50x", 500..=599)];
    let each = classes.into_iter().filter_map(|(key, statuses)| {
        Some(ErrorPage {
            statuses: statuses.collect(),
            status: None,
            content_type: HTML.to_owned(),
            body: places(text(template, key)?),
        })
    });
    each.collect()
}

/// Otoroshi's places as ours.
fn places(template: &str) -> String {
    let known = [
        ("${status}", "{status}"),
        ("${message}", "{message}"),
        ("${cause}", "{message}"),
        ("${otoroshiMessage}", "{message}"),
        ("${errorId}", ""),
    ];
    let start = template.to_owned();
    known
        .iter()
        .fold(start, |text, (place, ours)| text.replace(place, ours))
}

fn consumer(id: &str, value: &Value) -> Consumer {
    let flag = |key: &str| value.get(key) == Some(&Value::Bool(true));
    let quota = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(u64::MAX);
    let entities = value.get("authorizedEntities").and_then(Value::as_array);
    let entities = entities.into_iter().flatten().filter_map(Value::as_str);
    let mut entities: Vec<String> = entities.map(str::to_owned).collect();
    entities.extend(text(value, "authorizedGroup").map(|group| format!("group_{group}")));
    let more = value.get("authorizations").and_then(Value::as_array);
    entities.extend(
        more.into_iter()
            .flatten()
            .filter_map(|one| Some(format!("{}_{}", text(one, "kind")?, text(one, "id")?))),
    );
    Consumer {
        id: id.to_owned(),
        name: text(value, "clientName").unwrap_or(id).to_owned(),
        secret: text(value, "clientSecret").unwrap_or_default().to_owned(),
        entities,
        enabled: value.get("enabled") != Some(&Value::Bool(false)),
        read_only: flag("readOnly"),
        id_only: flag("allowClientIdOnly"),
        valid_until_ms: value.get("validUntil").and_then(Value::as_u64),
        quotas: Quotas {
            throttling: quota("throttlingQuota"),
            daily: quota("dailyQuota"),
            monthly: quota("monthlyQuota"),
        },
    }
}

/// What a JwtVerifier asks of a token; none if it is disabled or its keys are not known here, so
/// that it accepts none.
fn verifier(id: &str, value: &Value) -> Result<Option<Jwt>, CompileError> {
    let settings = value.get("algoSettings").unwrap_or(&Value::Null);
    let size = settings.get("size").and_then(Value::as_u64).unwrap_or(512);
    let mut declared = Declared {
        from: value.get("source").and_then(place).into_iter().collect(),
        claims: claims(value),
        ..Declared::default()
    };
    if value.get("enabled") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    let pem = |ec| {
        let key = text(settings, "publicKey").unwrap_or_default();
        KeySet::of_pem(key, ec).map_err(|fault| unusable(id, &fault))
    };
    let keys = match text(settings, "type") {
        Some("HSAlgoSettings") => {
            let secret = text(settings, "secret").unwrap_or_default();
            declared.algorithms = vec![by_size(size, HS)];
            match settings.get("base64") == Some(&Value::Bool(true)) {
                true => {
                    let secret = LENIENT.decode(secret);
                    KeySet::of_secret(&secret.map_err(|_| unusable(id, &KeysFault::Pem))?)
                }
                false => KeySet::of_secret(secret.as_bytes()),
            }
        }
        Some("RSAlgoSettings") => {
            declared.algorithms = vec![by_size(size, RS)];
            pem(false)?
        }
        Some("ESAlgoSettings") => {
            declared.algorithms = vec![by_size(size, ES)];
            pem(true)?
        }
        Some("JWKSAlgoSettings") => {
            declared.algorithms = match text(settings, "kty") {
                Some("EC") => vec![Algorithm::ES256, Algorithm::ES384],
                _ => RS.to_vec(),
            };
            let url = text(settings, "url").unwrap_or_default();
            return Jwt::with_source(id, &declared, url).map(Some);
        }
        _ => return Ok(None),
    };
    Jwt::with_key_set(id, &declared, keys).map(Some)
}

const HS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
/// ES512 is not spoken here: a verifier that asks for it accepts no token.
const ES: [Algorithm; 3] = [Algorithm::ES256, Algorithm::ES384, Algorithm::ES384];

fn by_size(size: u64, family: [Algorithm; 3]) -> Algorithm {
    let [small, middle, large] = family;
    match size {
        256 => small,
        384 => middle,
        _ => large,
    }
}

fn unusable(id: &str, fault: &KeysFault) -> CompileError {
    CompileError::Token {
        route: id.to_owned(),
        what: format!("/algoSettings: {fault}"),
    }
}

fn place(source: &Value) -> Option<TokenPlace> {
    let name = text(source, "name")?.to_owned();
    let mut place = TokenPlace::default();
    match text(source, "type")? {
        "InHeader" => place.header = Some(name),
        "InCookie" => place.cookie = Some(name),
        _ => place.query = Some(name),
    }
    Some(place)
}

/// `verificationSettings`: values that claims must have, and elements that lists must have.
fn claims(value: &Value) -> Vec<Condition> {
    let settings = value.pointer("/strategy/verificationSettings");
    let maps = ["fields", "arrayFields"].into_iter();
    let maps = maps.filter_map(|key| settings?.get(key)?.as_object());
    maps.flat_map(Map::iter)
        .map(|(name, value)| Condition {
            name: name.clone(),
            value: Some(match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            regex: None,
        })
        .collect()
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    let text = value.get(key)?.as_str()?;
    (!text.is_empty()).then_some(text)
}
