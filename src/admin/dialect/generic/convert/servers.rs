//! Servers: the `backend` object of Otoroshi as servers, balancing and times, and back.

use serde_json::{Value, json};

use crate::model::upstream::{ConnectionPool, LoadBalancer, Server};
use crate::model::{Upstream, defaults};

/// The upstream that a `backend` object makes; none without a server that can be asked.
///
/// Servers that want TLS are left out: Ringway does not speak it to servers yet, and must not send
/// in the clear what was meant to be secret. Those for emergencies are left out where there are
/// others.
pub(super) fn read(name: &str, backend: &Value) -> Option<Upstream> {
    let targets = backend.get("targets").and_then(Value::as_array);
    let flag = |target: &Value, key| target.get(key) == Some(&Value::Bool(true));
    let plain = targets
        .into_iter()
        .flatten()
        .filter(|target| !flag(target, "tls"));
    let (emergency, usual): (Vec<&Value>, Vec<&Value>) =
        plain.partition(|target| flag(target, "backup"));
    let targets = if usual.is_empty() { emergency } else { usual };
    let servers: Vec<Server> = targets.into_iter().map(server).collect();
    let first = servers.first()?.weight;
    let load_balancer = if servers.iter().all(|server| server.weight == first) {
        LoadBalancer::RoundRobin
    } else {
        LoadBalancer::WeightedRoundRobin
    };
    let mut connection_pool = ConnectionPool::default();
    if let Some(connect) = time(backend, "connection_timeout") {
        connection_pool.connect_timeout_ms = connect;
    }
    Some(Upstream {
        name: name.to_owned(),
        servers,
        load_balancer,
        connection_pool,
        ..Upstream::default()
    })
}

/// The `backend` object of an upstream.
pub(super) fn show(upstream: Option<&Upstream>, backend: &mut Value) {
    let Some(upstream) = upstream else { return };
    let targets: Vec<Value> = upstream.servers.iter().map(target).collect();
    backend["targets"] = Value::Array(targets);
    backend["client"]["connection_timeout"] = json!(upstream.connection_pool.connect_timeout_ms);
}

/// A time of `client` that the native form can have.
pub(super) fn time(backend: &Value, key: &str) -> Option<u64> {
    let time = backend.get("client")?.get(key)?.as_u64()?;
    (1..=defaults::MS_MAX).contains(&time).then_some(time)
}

fn server(target: &Value) -> Server {
    let text = |key| {
        target
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let number = |key| target.get(key).and_then(Value::as_u64).unwrap_or_default();
    let hostname = text("hostname").unwrap_or_default();
    let weight = u16::try_from(number("weight")).unwrap_or(u16::MAX);
    if let Some(path) = hostname.strip_prefix(UNIX) {
        return Server {
            unix: Some(path.into()),
            weight,
            ..Server::default()
        };
    }
    Server {
        address: Some(text("ip_address").unwrap_or(hostname).to_owned()),
        port: u16::try_from(number("port")).ok(),
        weight,
        ..Server::default()
    }
}

/// How the path of a unix socket stands among host names.
const UNIX: &str = "unix:";

/// The id that a server is shown with.
pub(crate) fn target_id(hostname: &str, port: u16) -> String {
    format!("http://{hostname}:{port}")
}

fn target(server: &Server) -> Value {
    let hostname = match (&server.address, &server.unix) {
        (Some(address), _) => address.clone(),
        (None, Some(path)) => format!("{UNIX}{}", path.display()),
        (None, None) => String::new(),
    };
    let port = server.port.unwrap_or(80);
    json!({
        "id": target_id(&hostname, port),
        "hostname": hostname,
        "port": port,
        "tls": false,
        "weight": server.weight,
        "backup": false,
        "predicate": {"type": "AlwaysMatch"},
        "protocol": "HTTP/1.1",
        "ip_address": null,
        "tls_config": {
            "certs": [], "trusted_certs": [], "enabled": false, "loose": false, "trust_all": false,
        },
    })
}
