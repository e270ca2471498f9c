//! Anything that can be declared is read back as it was, and nothing that is written makes the
//! reader or the checks panic.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::model::config::Config;
use crate::model::document::Format;
use crate::model::route::{Condition, Redirect, Respond, Retry, RetryOn, Route};
use crate::model::upstream::{
    AllDown, CircuitBreaker, ConnectionPool, Hash, HashBy, HealthCheck, LoadBalancer, Outlier,
    Queue, Server, Sticky, Tls, Upstream,
};
use crate::model::{checks, read};

fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(b"abcXYZ019-_.".to_vec()), 1..20)
        .prop_map(|bytes| bytes.into_iter().map(char::from).collect())
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter)
}

fn condition() -> impl Strategy<Value = Condition> {
    let parts = (word(), prop::option::of(text()), prop::option::of(text()));
    parts.prop_map(|(name, value, regex)| Condition { name, value, regex })
}

fn redirect() -> impl Strategy<Value = Redirect> {
    (text(), 301..=308u16).prop_map(|(to, status)| Redirect { to, status })
}

fn respond() -> impl Strategy<Value = Respond> {
    let headers = prop::collection::btree_map(word(), text(), 0..3);
    (200..600u16, headers, text()).prop_map(|(status, headers, body)| Respond {
        status,
        headers,
        body,
    })
}

/// A route with some of what it can do beside passing on, and nothing else.
fn policies() -> impl Strategy<Value = Route> {
    let all = json!({
        "traffic_split": [
            {"upstream": "a", "weight": 90},
            {"upstream": "b", "weight": 0, "header": {"name": "x", "value": "1"},
             "cookie": {"name": "c", "regex": "a+"}},
        ],
        "split_sticky": {"cookie": "part", "max_age_s": 60},
        "allow_methods": ["GET"],
        "ip": {"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16", "fd00::/8"]},
        "cors": {"allow_origins": ["*"], "allow_methods": ["PUT"], "allow_headers": ["x-a"],
                 "expose_headers": ["x-b"], "allow_credentials": true, "max_age_s": 5},
        "auth": {"type": "chain", "realm": "r", "any": [
            {"type": "basic", "users": [{"name": "u", "secret_hash": "x"}]},
            {"type": "api_key", "entities": ["group_a"]},
            {"type": "jwt", "jwt": {"algorithms": ["RS256"], "jwks_url": "http://a", "leeway_s": 5,
                "from": [{"cookie": "t"}], "claims": [{"name": "a", "value": "b"}], "strip": true}},
            {"type": "forward_auth", "forward": {"upstream": "a", "allow_on_failure": true}},
        ]},
        "cache": {"ttl_s": 5, "region": "r", "vary": ["a"], "hash_body": true, "statuses": [200],
                  "max_body_bytes": 5, "wait_ms": 6, "stale_s": 7, "authorized": "separate",
                  "keep_set_cookie": true, "client_control": true, "ignore_cache_control": true},
        "compress": {"codings": ["br"], "min_bytes": 5, "types": ["text/*"]},
        "mirror": "a", "mirror_percent": 5,
        "rate_limit": {"requests_per_second": 5, "burst_size": 6, "period_ms": 60000, "key": "header", "header": "x",
                       "max_keys": 7},
        "maintenance": {"enabled": false, "status": 500, "body": "b", "content_type": "t",
                        "retry_after_s": 1, "allow": ["::1/128"]},
        "request_headers": {"add": [{"name": "a", "value": "{path}"}]},
        "upstream_headers": [{"name": "a", "value": ""}],
        "request_query": {"remove": ["a"]}, "request_query_first": true,
        "method_rewrite": "POST",
        "aggregate": {"parts": [{"key": "a", "route": "a", "path": "/{x}/{value}",
                                 "for_each": "$[*].a"}], "max_bytes": 5},
        "host_rewrite": "h",
        "response_headers": {"set": [{"name": "a", "value": "b"}]},
        "error_pages": [{"statuses": [502], "body": "{status}"}, {"body": "x"}],
    });
    let all: Vec<(String, Value)> = all.as_object().unwrap().clone().into_iter().collect();
    let count = all.len();
    prop::sample::subsequence(all, 0..=count)
        .prop_map(|some| serde_json::from_value(Value::Object(some.into_iter().collect())).unwrap())
}

fn retry() -> impl Strategy<Value = Retry> {
    let words = vec![
        RetryOn::Connect,
        RetryOn::Closed,
        RetryOn::Timeout,
        RetryOn::Status,
    ];
    let on = prop::sample::subsequence(words, 0..=4);
    let statuses = prop::collection::vec(408..=599u16, 0..4);
    let parts = (0..=10u8, on, statuses, prop::option::of(1..9_000_000u64));
    parts.prop_map(|(max_retries, on, statuses, per_try_timeout_ms)| Retry {
        max_retries,
        on,
        statuses,
        per_try_timeout_ms,
        hedge_after_ms: per_try_timeout_ms.map(|ms| ms.div_ceil(2)),
    })
}

prop_compose! {
    fn route()(
        id in prop::option::of(word()),
        rank: i32,
        (host, path_prefix, path, path_template, path_regex) in (
            prop::option::of(text()), prop::option::of(text()), prop::option::of(text()),
            prop::option::of(text()), prop::option::of(text()),
        ),
        methods in prop::collection::vec(word(), 0..3),
        headers in prop::collection::vec(condition(), 0..3),
        query in prop::collection::vec(condition(), 0..3),
        (upstream, redirect, respond) in (
            prop::option::of(word()), prop::option::of(redirect()), prop::option::of(respond()),
        ),
        (rewrite_pattern, rewrite_replacement, rewrite_template) in
            (prop::option::of(text()), text(), prop::option::of(text())),
        (connect_timeout_ms, send_timeout_ms, read_timeout_ms, total_timeout_ms) in
            (1..9_000_000u64, 1..9_000_000u64, 1..9_000_000u64, 1..9_000_000u64),
        max_response_bytes in 0..1u64 << 53,
        max_body_bytes in prop::option::of(0..1u64 << 53),
        enabled: bool,
        retry in retry(),
        policies in policies(),
    ) -> Route {
        Route {
            id, enabled, rank, host, path_prefix, path, path_template, path_regex, methods, headers, query,
            upstream, redirect, respond, rewrite_pattern, rewrite_replacement, rewrite_template,
            connect_timeout_ms, send_timeout_ms, read_timeout_ms, total_timeout_ms,
            max_response_bytes, max_body_bytes, retry,
            also: Vec::new(), extensions: Default::default(),
            ..policies
        }
    }
}

fn server() -> impl Strategy<Value = Server> {
    let unix = prop::option::of(text().prop_map(std::path::PathBuf::from));
    let parts = (
        prop::option::of(text()),
        prop::option::of(1..=u16::MAX),
        unix,
        any::<u16>(),
        (
            any::<bool>(),
            any::<bool>(),
            prop::option::of(1..=1_048_576u32),
        ),
        (any::<u32>(), 1..9_000_000u64),
    );
    parts.prop_map(
        |(address, port, unix, weight, (backup, drain, max), fails)| Server {
            address,
            port,
            unix,
            weight,
            backup,
            drain,
            max_connections: max,
            max_fails: fails.0,
            fail_timeout_ms: fails.1,
        },
    )
}

fn balancer() -> impl Strategy<Value = LoadBalancer> {
    prop::sample::select(vec![
        LoadBalancer::RoundRobin,
        LoadBalancer::WeightedRoundRobin,
        LoadBalancer::LeastConn,
        LoadBalancer::PeakEwma,
        LoadBalancer::Random,
        LoadBalancer::IpHash,
        LoadBalancer::ConsistentHash,
    ])
}

fn hash() -> impl Strategy<Value = Hash> {
    let by = prop::sample::select(vec![
        HashBy::Client,
        HashBy::Header,
        HashBy::Cookie,
        HashBy::Query,
        HashBy::Path,
    ]);
    let parts = (
        by,
        prop::option::of(word()),
        prop::option::of(101..=10_000u32),
    );
    parts.prop_map(|(by, name, load_bound_percent)| Hash {
        by,
        name,
        load_bound_percent,
    })
}

fn outlier() -> impl Strategy<Value = Outlier> {
    let parts = (
        1..=100u8,
        any::<u32>(),
        100..9_000_000u64,
        100..9_000_000u64,
    );
    parts.prop_map(
        |(error_percent, min_requests, window_ms, ejection_ms)| Outlier {
            error_percent,
            min_requests,
            window_ms,
            ejection_ms,
        },
    )
}

fn breaker() -> impl Strategy<Value = CircuitBreaker> {
    let times = (100..9_000_000u64, 100..9_000_000u64);
    let parts = (1..=100u8, any::<u32>(), times, 1..=1_000u32);
    parts.prop_map(
        |(failure_percent, min_requests, (window_ms, open_ms), trial_requests)| CircuitBreaker {
            failure_percent,
            min_requests,
            window_ms,
            open_ms,
            trial_requests,
        },
    )
}

prop_compose! {
    fn upstream()(
        name in word(),
        servers in prop::collection::vec(server(), 1..4),
        load_balancer in balancer(),
        hash in prop::option::of(hash()),
        sticky in prop::option::of((word(), prop::option::of(1..=31_536_000u32), any::<bool>())),
        queue in prop::option::of((1..=65_536u32, 1..9_000_000u64)),
        slow_start_ms in 0..9_000_000u64,
        refuse: bool,
        outlier in prop::option::of(outlier()),
        circuit_breaker in prop::option::of(breaker()),
        (max_ejection_percent, retry_budget_percent) in (0..=100u8, 0..=100u8),
        max_connections in 1..=1_048_576u32,
        max_idle: u32,
        idle_timeout_ms in 1..9_000_000u64,
        connect_timeout_ms in 1..9_000_000u64,
    ) -> Upstream {
        Upstream {
            name,
            servers,
            tls: (idle_timeout_ms % 3 > 0).then(|| Tls {
                server_name: Some("app.test".to_owned()),
                verify: idle_timeout_ms % 3 == 1,
                ..Tls::default()
            }),
            load_balancer,
            hash,
            sticky: sticky.map(|(cookie, max_age_s, secure)| Sticky { cookie, max_age_s, secure }),
            slow_start_ms,
            queue: queue.map(|(max_requests, timeout_ms)| Queue { max_requests, timeout_ms }),
            health_check: refuse.then(HealthCheck::default),
            outlier,
            max_ejection_percent,
            circuit_breaker,
            retry_budget_percent,
            all_down: if refuse { AllDown::Refuse } else { AllDown::Try },
            connection_pool: ConnectionPool {
                max_connections, max_idle, idle_timeout_ms, connect_timeout_ms,
            },
            extensions: Default::default(),
        }
    }
}

/// A right document, to be spoilt.
fn full() -> Value {
    static FULL: OnceLock<Value> = OnceLock::new();
    let read_full = || {
        let text = include_str!("../../../config/full.yaml");
        let config = read(text, Format::Yaml, "full").unwrap().config;
        serde_json::to_value(config).unwrap()
    };
    FULL.get_or_init(read_full).clone()
}

/// Values that are wrong in many places, and right in some.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from),
        prop::sample::select(vec![
            "/{a", "*.", "a:b", "/a//b", "(", "{}", "auto", "/\r\n"
        ])
        .prop_map(Value::from),
        (word(), text()).prop_map(|(key, value)| json!({key: [value]})),
    ]
}

/// Puts `odd` at the place that `steps` lead to.
fn spoil(value: &mut Value, steps: &[prop::sample::Index], odd: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *value = odd;
        return;
    };
    match value {
        Value::Array(list) if !list.is_empty() => {
            let index = step.index(list.len());
            spoil(&mut list[index], rest, odd);
        }
        Value::Object(object) if !object.is_empty() => {
            let key = object.keys().nth(step.index(object.len())).unwrap().clone();
            spoil(&mut object[&key], rest, odd);
        }
        _ => *value = odd,
    }
}

proptest! {
    #[test]
    fn a_route_is_read_back_as_it_was(route in route()) {
        let json = serde_json::to_string(&route).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Route>(&json).unwrap(), &route);
        let yaml = serde_saphyr::to_string(&route).unwrap();
        prop_assert_eq!(&serde_saphyr::from_str::<Route>(&yaml).unwrap(), &route, "{}", yaml);
    }

    #[test]
    fn an_upstream_is_read_back_as_it_was(upstream in upstream()) {
        let json = serde_json::to_string(&upstream).unwrap();
        prop_assert_eq!(serde_json::from_str::<Upstream>(&json).unwrap(), upstream);
    }

    #[test]
    fn no_declaration_makes_the_checks_panic(
        routes in prop::collection::vec(route(), 0..4),
        upstreams in prop::collection::vec(upstream(), 0..4),
    ) {
        let config = Config { routes, upstreams, ..Config::default() };
        let report = checks::check_config(&config);
        // No listener, at the least.
        prop_assert!(!report.faults.is_empty());
    }

    #[test]
    fn no_document_makes_the_reader_panic(
        steps in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        odd in odd(),
        pretty: bool,
    ) {
        let mut value = full();
        spoil(&mut value, &steps, odd);
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let last = text.lines().count();
        for format in [Format::Json, Format::Yaml] {
            if let Err(faults) = read(&text, format, "config") {
                for fault in &faults.list {
                    prop_assert!(!fault.what.is_empty());
                    let line = fault.line.map_or(1, |line| line as usize);
                    prop_assert!((1..=last).contains(&line), "{}", fault);
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}:,&*<!|>\"'#% \\-\na-c0-9]{0,60}") {
        for format in [Format::Json, Format::Yaml] {
            let _ = read(&text, format, "config");
        }
    }
}
