//! Plugins: those of Otoroshi's that have a native meaning, as policies of a route, and back.
//!
//! A plugin that is switched off, or only for some paths, has no native meaning; what of its
//! configuration cannot be sent or filled in is left out. Where leaving out would let more in than
//! was meant, nobody is let in.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::model::compress::{Coding, Compress};
use crate::model::policy::{
    Auth, AuthKind, Cors, Edits, IpRules, Jwt, Maintenance, NamedValue, RateKey, RateLimit,
};
use crate::model::{Route, Upstream, defaults};

const PREFIX: &str = "cp:otoroshi.next.plugins.";
/// What every method that can be named is, where only those are known that are not served.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const READS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// What a route in the making answers.
const BUILDING: &str = "This service is under construction.\n";
/// Milliseconds that a throttling quota counts in.
const QUOTA_MS: u64 = 10_000;

/// Reads the plugins of an entity into its route.
pub(super) fn read(entity: &Value, upstream: Option<&Upstream>, route: &mut Route) {
    let plugins = entity.get("plugins").and_then(Value::as_array);
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let plain = |plugin: &&Value| {
        plugin["enabled"] == true && empty(&plugin["include"]) && empty(&plugin["exclude"])
    };
    for plugin in plugins.into_iter().flatten().filter(plain) {
        let name = plugin["plugin"].as_str().unwrap_or_default();
        let config = &plugin["config"];
        match name.strip_prefix(PREFIX).unwrap_or_default() {
            "AdditionalHeadersIn" => set(config, &mut route.request_headers),
            "AdditionalHeadersOut" => set(config, &mut route.response_headers),
            "AllowHttpMethods" => route.allow_methods = methods(config),
            "ApikeyCalls" => prove(apikeys(entity, config), route),
            // What cannot be checked is not let in.
            "AuthModule" | "MultiAuthModule" | "SimpleBasicAuth" => {
                prove(apikeys_for(vec![NOT_SUPPORTED.to_owned()]), route);
            }
            "BuildMode" => route.maintenance = Some(building()),
            "Cors" => route.cors = cors(config),
            "GzipResponseCompressor" => route.compress = Some(compress(config)),
            "IpAddressAllowedList" => allow(config, route.ip.get_or_insert_default()),
            "IpAddressBlockList" => {
                let rules = route.ip.get_or_insert_default();
                rules.deny.extend(networks(config));
            }
            "JwtVerification" | "JwtVerificationOnly" => {
                if let Some(auth) = tokens(config) {
                    prove(auth, route);
                }
            }
            "LocalTokenBucket" => route.rate_limit = bucket(config),
            "MaintenanceMode" => route.maintenance = Some(Maintenance::default()),
            "NgServiceQuotas" => route.rate_limit = quota(config),
            "OverrideHost" => {
                let server = upstream.and_then(|upstream| upstream.servers.first());
                let host = server.and_then(|server| server.address.clone());
                route.host_rewrite = host.filter(|host| is_host(host));
            }
            "ReadOnlyCalls" => route.allow_methods = READS.map(str::to_owned).to_vec(),
            "RemoveHeadersIn" => remove(config, &mut route.request_headers),
            "RemoveHeadersOut" => remove(config, &mut route.response_headers),
            "RequestBodyLengthLimiter" => {
                let most = config.get("max_length").and_then(Value::as_u64);
                route.max_body_bytes = most.filter(|most| *most < 1 << 53);
            }
            _ => {}
        }
    }
}

/// The plugins that say what the policies of a route do.
pub(super) fn show(route: &Route, upstream: Option<&Upstream>) -> Vec<Value> {
    let mut shown = Vec::new();
    let mut add = |name: &str, config: Value| {
        shown.push(super::route::plugin(&format!("{PREFIX}{name}"), config));
    };
    let server = upstream.and_then(|upstream| upstream.servers.first());
    let own_host = server.and_then(|server| server.address.as_ref());
    if route.host_rewrite.is_some() && route.host_rewrite.as_ref() == own_host {
        add("OverrideHost", json!({}));
    }
    match &route.maintenance {
        Some(one) if *one == building() => add("BuildMode", json!({})),
        Some(one) if one.enabled => add("MaintenanceMode", json!({})),
        _ => {}
    }
    show_entry(route, &mut add);
    if let Some(auth) = &route.auth {
        show_auth(auth, &mut add);
    }
    show_limits(route, &mut add);
    let both = [
        (&route.request_headers, "In"),
        (&route.response_headers, "Out"),
    ];
    for (edits, way) in both {
        if let Some(edits) = edits {
            show_edits(edits, way, &mut add);
        }
    }
    if let Some(compress) = &route.compress {
        add(
            "GzipResponseCompressor",
            json!({"allowed_list": compress.types}),
        );
    }
    shown
}

/// Where from and how a request may come in.
fn show_entry(route: &Route, add: &mut impl FnMut(&str, Value)) {
    if let Some(ip) = &route.ip {
        let lists = [
            ("IpAddressAllowedList", &ip.allow),
            ("IpAddressBlockList", &ip.deny),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            add(name, json!({"addresses": list}));
        }
    }
    if let Some(cors) = &route.cors {
        add("Cors", show_cors(cors));
    }
    if route.allow_methods == READS {
        add("ReadOnlyCalls", json!({}));
    } else if !route.allow_methods.is_empty() {
        let allowed = &route.allow_methods;
        add(
            "AllowHttpMethods",
            json!({"allowed": allowed, "forbidden": []}),
        );
    }
}

/// How much may come in.
fn show_limits(route: &Route, add: &mut impl FnMut(&str, Value)) {
    let limit = route.rate_limit.as_ref();
    match limit.filter(|limit| limit.key == RateKey::Route) {
        Some(limit) if limit.period_ms == QUOTA_MS => {
            add(
                "NgServiceQuotas",
                json!({"throttling_quota": limit.burst_size}),
            );
        }
        Some(limit) => add(
            "LocalTokenBucket",
            json!({
                "capacity": limit.burst_size,
                "refill_amount": limit.requests_per_second,
                "refill_interval": limit.period_ms,
            }),
        ),
        None => {}
    }
    if let Some(most) = route.max_body_bytes {
        add("RequestBodyLengthLimiter", json!({"max_length": most}));
    }
}

fn show_edits(edits: &Edits, way: &str, add: &mut impl FnMut(&str, Value)) {
    if !edits.remove.is_empty() {
        let config = json!({"header_names": edits.remove});
        add(&format!("RemoveHeaders{way}"), config);
    }
    if !edits.set.is_empty() {
        let each = edits
            .set
            .iter()
            .map(|one| (one.name.clone(), json!(one.value)));
        let headers: Map<String, Value> = each.collect();
        add(
            &format!("AdditionalHeaders{way}"),
            json!({"headers": headers}),
        );
    }
}

/// A further proof. Otoroshi asks for each of several, and one alone would let more in: then
/// nobody is let in.
fn prove(auth: Auth, route: &mut Route) {
    route.auth = Some(match route.auth.take() {
        None => auth,
        Some(_) => apikeys_for(vec![NOT_SUPPORTED.to_owned()]),
    });
}

/// What no key is authorised for.
const NOT_SUPPORTED: &str = "nobody: this proof is not supported";

fn apikeys_for(entities: Vec<String>) -> Auth {
    Auth {
        entities,
        ..Auth::of(AuthKind::ApiKey)
    }
}

/// The keys that are for this route or one of its groups.
fn apikeys(entity: &Value, config: &Value) -> Auth {
    let id = entity.get("id").and_then(Value::as_str).unwrap_or_default();
    let groups = entity.get("groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    let mut entities = vec![format!("route_{id}")];
    entities.extend(groups.map(|group| format!("group_{group}")));
    entities.truncate(ENTITIES_MAX);
    let keys = apikeys_for(entities);
    if config.get("mandatory") != Some(&Value::Bool(false)) {
        return keys;
    }
    Auth {
        any: vec![keys, Auth::of(AuthKind::Anonymous)],
        ..Auth::of(AuthKind::Chain)
    }
}

/// The most that a native route may have.
const ENTITIES_MAX: usize = 64;
const VERIFIERS_MAX: usize = 16;

fn tokens(config: &Value) -> Option<Auth> {
    let mut verifiers = texts(config, "verifiers");
    verifiers.extend(
        config
            .get("verifier")
            .and_then(Value::as_str)
            .map(str::to_owned),
    );
    if verifiers.is_empty() {
        return None;
    }
    verifiers.truncate(VERIFIERS_MAX);
    let jwt = Jwt {
        verifiers,
        ..Jwt::default()
    };
    Some(Auth {
        jwt: Some(Box::new(jwt)),
        ..Auth::of(AuthKind::Jwt)
    })
}

fn show_auth(auth: &Auth, add: &mut impl FnMut(&str, Value)) {
    match auth.kind {
        AuthKind::ApiKey if !auth.entities.is_empty() => add("ApikeyCalls", json!({})),
        AuthKind::Chain => {
            let has = |has: fn(&Auth) -> bool| auth.any.iter().any(has);
            let is_open = has(|one| one.kind == AuthKind::Anonymous);
            if is_open && has(|one| !one.entities.is_empty()) {
                add("ApikeyCalls", json!({"mandatory": false}));
            }
        }
        AuthKind::Jwt => {
            let jwt = auth.jwt.as_ref().filter(|jwt| !jwt.verifiers.is_empty());
            if let Some(jwt) = jwt {
                add("JwtVerification", json!({"verifiers": jwt.verifiers}));
            }
        }
        _ => {}
    }
}

/// Adds what of `headers` can be sent: no expressions, and no fields that Ringway writes itself.
fn set(config: &Value, edits: &mut Option<Edits>) {
    let headers = config.get("headers").and_then(Value::as_object);
    let edits = edits.get_or_insert_default();
    for (name, value) in headers.into_iter().flatten().take(EDITS_MAX) {
        let Some(value) = value.as_str().filter(|_| is_name(name)) else {
            continue;
        };
        let plain = |byte: u8| !byte.is_ascii_control() && byte != b'{' && byte != b'}';
        if value.len() <= VALUE_MAX && value.bytes().all(plain) {
            edits.set.push(NamedValue {
                name: name.clone(),
                value: value.to_owned(),
            });
        }
    }
    edits.set.truncate(EDITS_MAX);
}

fn remove(config: &Value, edits: &mut Option<Edits>) {
    let edits = edits.get_or_insert_default();
    let names = ["header_names", "names", "headers"];
    let names = names.iter().flat_map(|key| texts(config, key));
    edits.remove.extend(names.filter(|name| is_name(name)));
    edits.remove.truncate(EDITS_MAX);
}

/// The most that a native route may have.
const EDITS_MAX: usize = 64;
const VALUE_MAX: usize = 4_096;

fn is_name(name: &str) -> bool {
    crate::model::checks::is_free_field(name) && name.len() <= 256
}

fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (1..=512).contains(&host.len()) && host.bytes().all(plain)
}

fn methods(config: &Value) -> Vec<String> {
    let forbidden = texts(config, "forbidden");
    let mut allowed = texts(config, "allowed");
    if allowed.is_empty() && !forbidden.is_empty() {
        allowed = METHODS.map(str::to_owned).to_vec();
    }
    let token =
        |method: &String| !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    allowed.retain(|method| token(method) && !forbidden.contains(method));
    allowed.truncate(32);
    allowed
}

fn cors(config: &Value) -> Option<Cors> {
    let origin = config
        .get("allow_origin")
        .and_then(Value::as_str)
        .unwrap_or("*");
    let is_origin = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some_and(is_host)
    };
    if origin != "*" && !is_origin(origin) {
        return None;
    }
    let tokens = |key: &str| {
        let mut names = texts(config, key);
        names.retain(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        names
    };
    let methods = tokens("allow_methods");
    let age = config.get("max_age").and_then(Value::as_u64);
    Some(Cors {
        allow_origins: vec![origin.to_owned()],
        allow_methods: match methods.is_empty() {
            true => defaults::cors_methods(),
            false => methods,
        },
        allow_headers: tokens("allow_headers"),
        expose_headers: tokens("expose_headers"),
        // With `*` no browser takes them.
        allow_credentials: origin != "*" && config.get("allow_credentials") != Some(&json!(false)),
        max_age_s: age.map_or_else(defaults::cors_max_age_s, |age| age.min(86_400) as u32),
    })
}

fn show_cors(cors: &Cors) -> Value {
    json!({
        "allow_origin": cors.allow_origins.first(),
        "allow_methods": cors.allow_methods,
        "allow_headers": cors.allow_headers,
        "expose_headers": cors.expose_headers,
        "allow_credentials": cors.allow_credentials,
        "max_age": cors.max_age_s,
    })
}

/// Only these addresses; where none of them can be read, none at all.
fn allow(config: &Value, rules: &mut IpRules) {
    rules.allow.extend(networks(config));
    if rules.allow.is_empty() {
        let all = ["0.0.0.0/0", "::/0"].iter();
        rules
            .deny
            .extend(all.filter_map(|net| net.parse::<IpNet>().ok()));
    }
}

fn networks(config: &Value) -> Vec<IpNet> {
    let addresses = texts(config, "addresses").into_iter();
    let read = |text: String| {
        let net = text.parse::<IpNet>().ok();
        net.or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
    };
    addresses.filter_map(read).take(1_024).collect()
}

fn building() -> Maintenance {
    Maintenance {
        body: BUILDING.to_owned(),
        ..Maintenance::default()
    }
}

fn compress(config: &Value) -> Compress {
    let mut compress = Compress {
        codings: vec![Coding::Gzip],
        ..Compress::default()
    };
    let mut types = texts(config, "allowed_list");
    types.truncate(64);
    if !types.is_empty() {
        compress.types = types;
    }
    compress
}

fn bucket(config: &Value) -> Option<RateLimit> {
    let number = |key: &str| config.get(key).and_then(Value::as_u64);
    let interval = number("refill_interval").unwrap_or(1_000);
    limit(number("refill_amount")?, number("capacity")?, interval)
}

fn quota(config: &Value) -> Option<RateLimit> {
    let quota = config.get("throttling_quota")?.as_u64()?;
    limit(quota, quota, QUOTA_MS)
}

fn limit(rate: u64, burst: u64, period_ms: u64) -> Option<RateLimit> {
    let within = |number: u64| u32::try_from(number.clamp(1, 1_000_000)).ok();
    Some(RateLimit {
        requests_per_second: within(rate)?,
        burst_size: within(burst)?,
        period_ms: period_ms.clamp(1, defaults::MS_MAX),
        key: RateKey::Route,
        ..RateLimit::default()
    })
}

fn texts(config: &Value, key: &str) -> Vec<String> {
    let list = config.get(key).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
