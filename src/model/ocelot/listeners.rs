//! Listeners: where Ocelot would listen, as its environment says; `Ringway.listeners` goes before.

use serde_json::{Value, json};

/// The addresses, as .NET takes them.
const URLS: &str = "ASPNETCORE_URLS";
/// Ports on every address, where there are no addresses.
const PORTS: &str = "ASPNETCORE_HTTP_PORTS";
/// The port where nothing is said.
const PORT: u16 = 5_000;

/// The listeners that the environment asks for; without a word `127.0.0.1:5000`, as Kestrel.
pub(super) fn of_environment() -> Value {
    let read = |name| std::env::var(name).unwrap_or_default();
    of(&read(URLS), &read(PORTS))
}

fn of(urls: &str, ports: &str) -> Value {
    let listener = |address: &str, port: u16| json!({"address": address, "port": port});
    let of_urls = urls.split(';').filter_map(|url| {
        let authority = url.trim().strip_prefix("http://")?.trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(match host {
            "localhost" => listener("127.0.0.1", port),
            host if host.parse::<std::net::IpAddr>().is_ok() => listener(host, port),
            // `*`, `+` and every name stand for all addresses.
            _ => listener("0.0.0.0", port),
        })
    });
    let mut found: Vec<Value> = of_urls.collect();
    if found.is_empty() {
        let ports = ports.split(';').filter_map(|port| port.trim().parse().ok());
        found = ports.map(|port| listener("0.0.0.0", port)).collect();
    }
    if found.is_empty() {
        found.push(listener("127.0.0.1", PORT));
    }
    Value::Array(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_dotnet_is_understood() {
        for (urls, ports, expected) in [
            ("", "", "127.0.0.1:5000"),
            ("http://localhost:8080", "", "127.0.0.1:8080"),
            ("http://*:80;https://*:443", "9", "0.0.0.0:80"),
            ("http://[::1]:81/", "", "::1:81"),
            ("", "8080;8081", "0.0.0.0:8080 0.0.0.0:8081"),
            ("https://*:443", "8080", "0.0.0.0:8080"),
        ] {
            let Value::Array(found) = of(urls, ports) else {
                panic!("a list")
            };
            let shown: Vec<String> = found
                .iter()
                .map(|one| format!("{}:{}", one["address"].as_str().unwrap(), one["port"]))
                .collect();
            assert_eq!(shown.join(" "), expected, "{urls} {ports}");
        }
    }
}
