//! Servers: the `backend` object of Otoroshi as servers, balancing and times, and back.

use serde_json::{Value, json};

use crate::model::upstream::{
    ConnectionPool, Hash, HashBy, HealthCheck, LoadBalancer, Server, Sticky, Tls,
};
use crate::model::{Upstream, defaults};

/// The upstream that a `backend` object makes; none without a server that can be asked.
///
/// All servers of an upstream are spoken to in one manner, that of the first that can be asked.
/// Those that want another are left out: what was meant to be secret must not go in the clear.
pub(super) fn read(name: &str, backend: &Value) -> Option<Upstream> {
    let targets = backend.get("targets").and_then(Value::as_array);
    let targets = || targets.into_iter().flatten();
    let tls = targets().find_map(manner)?;
    let alike = targets().filter(|target| manner(target).as_ref() == Some(&tls));
    let mut servers: Vec<Server> = alike.map(server).collect();
    servers.first()?;
    // Where all are for emergencies there is no other to wait for.
    if servers.iter().all(|server| server.backup) {
        servers.iter_mut().for_each(|server| server.backup = false);
    }
    let Balancing {
        load_balancer,
        hash,
        sticky,
    } = balancing(&backend["load_balancing"], &mut servers);
    let mut connection_pool = ConnectionPool::default();
    if let Some(connect) = time(backend, "connection_timeout") {
        connection_pool.connect_timeout_ms = connect;
    }
    Some(Upstream {
        name: name.to_owned(),
        servers,
        tls,
        load_balancer,
        hash,
        sticky,
        health_check: health_check(&backend["health_check"]),
        connection_pool,
        ..Upstream::default()
    })
}

/// The `backend` object of an upstream.
pub(super) fn show(upstream: Option<&Upstream>, backend: &mut Value) {
    let Some(upstream) = upstream else { return };
    let targets = upstream.servers.iter();
    let targets = targets.map(|server| target(server, upstream.tls.as_ref()));
    let targets: Vec<Value> = targets.collect();
    backend["targets"] = Value::Array(targets);
    backend["load_balancing"] = show_balancing(upstream);
    backend["health_check"] = match &upstream.health_check {
        None => Value::Null,
        Some(check) => show_health_check(check),
    };
    backend["client"]["connection_timeout"] = json!(upstream.connection_pool.connect_timeout_ms);
}

/// How requests are spread, in native words.
struct Balancing {
    load_balancer: LoadBalancer,
    hash: Option<Hash>,
    sticky: Option<Sticky>,
}

/// The name of the cookie that keeps a client with its server.
const TRACKING: &str = "otoroshi-tracking";

fn balancing(declared: &Value, servers: &mut [Server]) -> Balancing {
    let name = |key: &str| {
        let name = declared.get(key)?.as_str()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=256).contains(&name.len()) && name.bytes().all(plain);
        fits.then(|| name.to_owned())
    };
    let by = |by: HashBy, key: &str| {
        let name = name(key)?;
        Some(Hash {
            by,
            name: Some(name),
            load_bound_percent: None,
        })
    };
    let kind = declared
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let hash = match kind {
        "HeaderHash" => by(HashBy::Header, "header_name"),
        "CookieHash" => by(HashBy::Cookie, "cookie_name"),
        "QueryHash" => by(HashBy::Query, "query_name"),
        _ => None,
    };
    let even = servers
        .windows(2)
        .all(|pair| pair[0].weight == pair[1].weight);
    let load_balancer = match kind {
        _ if hash.is_some() => LoadBalancer::ConsistentHash,
        "LeastConnections" => LoadBalancer::LeastConn,
        "Random" => LoadBalancer::Random,
        "IpAddressHash" => LoadBalancer::IpHash,
        "PowerOfTwoRandomChoices" | "BestResponseTime" | "WeightedBestResponseTime" => {
            LoadBalancer::PeakEwma
        }
        _ if even => LoadBalancer::RoundRobin,
        _ => LoadBalancer::WeightedRoundRobin,
    };
    if kind == "NaiveFailover" {
        servers
            .iter_mut()
            .skip(1)
            .for_each(|server| server.backup = true);
    }
    Balancing {
        load_balancer,
        hash,
        sticky: (kind == "Sticky").then(|| Sticky {
            cookie: TRACKING.to_owned(),
            max_age_s: None,
            secure: false,
        }),
    }
}

fn show_balancing(upstream: &Upstream) -> Value {
    let hash = upstream.hash.as_ref();
    let name = hash.and_then(|hash| hash.name.as_ref());
    match (upstream.load_balancer, hash.map(|hash| hash.by)) {
        (LoadBalancer::ConsistentHash, Some(HashBy::Header)) => {
            json!({"type": "HeaderHash", "header_name": name})
        }
        (LoadBalancer::ConsistentHash, Some(HashBy::Cookie)) => {
            json!({"type": "CookieHash", "cookie_name": name})
        }
        (LoadBalancer::ConsistentHash, Some(HashBy::Query)) => {
            json!({"type": "QueryHash", "query_name": name})
        }
        (LoadBalancer::ConsistentHash, _) | (LoadBalancer::IpHash, _) => {
            json!({"type": "IpAddressHash"})
        }
        (LoadBalancer::LeastConn, _) => json!({"type": "LeastConnections"}),
        (LoadBalancer::Random, _) => json!({"type": "Random"}),
        (LoadBalancer::PeakEwma, _) => json!({"type": "PowerOfTwoRandomChoices"}),
        _ if upstream.sticky.is_some() => json!({"type": "Sticky"}),
        _ => json!({"type": "RoundRobin"}),
    }
}

/// A check whose URL has a path that can be asked for.
fn health_check(declared: &Value) -> Option<HealthCheck> {
    if declared.get("enabled") != Some(&Value::Bool(true)) {
        return None;
    }
    let url = declared.get("url").and_then(Value::as_str).unwrap_or("/");
    let path = match url.split_once("://") {
        None => url,
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
    };
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !path.starts_with('/') || !plain {
        return None;
    }
    let statuses = declared.get("healthyStatuses").and_then(Value::as_array);
    let statuses = statuses.into_iter().flatten().filter_map(Value::as_u64);
    let statuses = statuses.filter(|status| (200..=599).contains(status));
    let timeout = declared.get("timeout").and_then(Value::as_u64);
    let timeout = timeout.filter(|time| (1..=defaults::MS_MAX).contains(time));
    Some(HealthCheck {
        path: path.to_owned(),
        timeout_ms: timeout.unwrap_or(CHECK_TIMEOUT_MS),
        expected_statuses: statuses.take(64).map(|status| status as u16).collect(),
        ..HealthCheck::default()
    })
}

/// How long an answer to a check may take where nothing is said.
const CHECK_TIMEOUT_MS: u64 = 5_000;

fn show_health_check(check: &HealthCheck) -> Value {
    json!({
        "enabled": true,
        "url": check.path,
        "timeout": check.timeout_ms,
        "healthyStatuses": check.expected_statuses,
    })
}

/// A time of `client` that the native form can have.
pub(super) fn time(backend: &Value, key: &str) -> Option<u64> {
    let time = backend.get("client")?.get(key)?.as_u64()?;
    (1..=defaults::MS_MAX).contains(&time).then_some(time)
}

/// How a server is spoken to, under TLS or not; none if that cannot be said natively: then it is
/// not asked. Certificates that Otoroshi holds are not files.
fn manner(target: &Value) -> Option<Option<Tls>> {
    if !is_set(target, "tls") {
        return Some(None);
    }
    let hostname = text(target, "hostname").unwrap_or_default();
    if hostname.starts_with(UNIX) {
        return None;
    }
    let config = target.get("tls_config").unwrap_or(&Value::Null);
    let in_force = is_set(config, "enabled");
    let names = |key| {
        let list = config.get(key).and_then(Value::as_array);
        in_force && list.is_some_and(|list| !list.is_empty())
    };
    let verify = !in_force || !(is_set(config, "loose") || is_set(config, "trust_all"));
    if names("certs") || (verify && names("trusted_certs")) {
        return None;
    }
    let named = text(target, "ip_address").map(|_| hostname.to_owned());
    Some(Some(Tls {
        server_name: named.filter(|name| !name.is_empty()),
        verify,
        ..Tls::default()
    }))
}

fn is_set(object: &Value, key: &str) -> bool {
    object.get(key) == Some(&Value::Bool(true))
}

fn text<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    let text = object.get(key).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

fn server(target: &Value) -> Server {
    let text = |key| text(target, key);
    let number = |key| target.get(key).and_then(Value::as_u64).unwrap_or_default();
    let hostname = text("hostname").unwrap_or_default();
    let weight = u16::try_from(number("weight")).unwrap_or(u16::MAX);
    if let Some(path) = hostname.strip_prefix(UNIX) {
        return Server {
            unix: Some(path.into()),
            weight,
            backup: target.get("backup") == Some(&Value::Bool(true)),
            ..Server::default()
        };
    }
    Server {
        address: Some(text("ip_address").unwrap_or(hostname).to_owned()),
        port: u16::try_from(number("port")).ok(),
        weight,
        backup: target.get("backup") == Some(&Value::Bool(true)),
        ..Server::default()
    }
}

/// How the path of a unix socket stands among host names.
const UNIX: &str = "unix:";

/// The id that a server is shown with, where it is spoken to in the clear.
pub(crate) fn target_id(hostname: &str, port: u16) -> String {
    format!("http://{hostname}:{port}")
}

fn target(server: &Server, tls: Option<&Tls>) -> Value {
    let address = match (&server.address, &server.unix) {
        (Some(address), _) => address.clone(),
        (None, Some(path)) => format!("{UNIX}{}", path.display()),
        (None, None) => String::new(),
    };
    let is_ip = address.parse::<std::net::IpAddr>().is_ok();
    let name = tls.and_then(|tls| tls.server_name.clone());
    let (hostname, ip_address) = match name.filter(|_| is_ip) {
        Some(name) => (name, Some(address)),
        None => (address, None),
    };
    let port = server.port.unwrap_or(80);
    let id = match tls {
        Some(_) => format!("https://{hostname}:{port}"),
        None => target_id(&hostname, port),
    };
    let trusting = tls.is_some_and(|tls| !tls.verify);
    json!({
        "id": id,
        "hostname": hostname,
        "port": port,
        "tls": tls.is_some(),
        "weight": server.weight,
        "backup": server.backup,
        "predicate": {"type": "AlwaysMatch"},
        "protocol": "HTTP/1.1",
        "ip_address": ip_address,
        "tls_config": {
            "certs": [], "trusted_certs": [], "enabled": trusting, "loose": trusting,
            "trust_all": false,
        },
    })
}
