//! Nothing is lost on the way from one form to the other, whichever is first.

use proptest::prelude::*;

use super::*;

fn filled(mut entity: Value) -> Value {
    ROUTE.fill(&mut entity);
    entity
}

fn there_and_back(entity: &Value) -> Value {
    let native = route_to_native(entity.clone()).unwrap();
    route_to_generic(&native.route, native.upstream.as_ref())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        Just("Regex(a|b)".to_owned()),
        Just("Exists()".to_owned()),
        Just("Wildcard(a*)".to_owned()),
        Just("/".to_owned()),
        Just("/x".to_owned()),
        Just("${token.sub}".to_owned()),
    ]
}

fn texts() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-z]{1,3}", text(), 0..3).prop_map(|map| {
        map.into_iter()
            .map(|(key, value)| (key, json!(value)))
            .collect()
    })
}

fn domain() -> impl Strategy<Value = String> {
    (
        "(|\\*|\\*\\.a\\.io|b\\.io|B\\.io)",
        "(/(v1|:id|:a-b|x\\*|\\$n<[0-9]+>)?){0,3}",
    )
        .prop_map(|(host, path)| host + &path)
}

fn target() -> impl Strategy<Value = Value> {
    (
        "[a-z]{1,3}",
        1u16..,
        any::<bool>(),
        0u16..3,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(hostname, port, tls, weight, backup, more)| {
            let mut target = json!({
                "hostname": hostname, "port": port, "tls": tls && more, "weight": weight,
                "backup": backup && more,
            });
            if more {
                target["ip_address"] = json!("10.0.0.1");
                target["own"] = json!({"x": 1});
            }
            target
        })
}

fn backend() -> impl Strategy<Value = Value> {
    let targets = proptest::collection::vec(target(), 0..4);
    (
        targets,
        text(),
        any::<bool>(),
        0u64..20,
        0u64..5_000_000_000,
        prop_oneof![
            text(),
            Just("HeaderHash".to_owned()),
            Just("Sticky".to_owned()),
            Just("NaiveFailover".to_owned()),
            Just("LeastConnections".to_owned()),
            Just("BestResponseTime".to_owned()),
        ],
    )
        .prop_map(|(targets, root, rewrite, retries, time, balancing)| {
            json!({
                "targets": targets, "root": root, "rewrite": rewrite,
                "load_balancing": {"type": balancing, "header_name": "x-a"},
                "client": {"retries": retries, "idle_timeout": time, "connection_timeout": time},
                "health_check": if rewrite { json!({"enabled": true, "url": "/h"}) } else { Value::Null },
            })
        })
}

fn plugins() -> impl Strategy<Value = Value> {
    let id = prop_oneof![
        Just(REDIRECTION),
        Just(STATIC_RESPONSE),
        Just("cp:x.OverrideHost"),
        Just("cp:otoroshi.next.plugins.OverrideHost"),
        Just("cp:otoroshi.next.plugins.ApikeyCalls"),
        Just("cp:otoroshi.next.plugins.JwtVerification"),
        Just("cp:otoroshi.next.plugins.AdditionalHeadersIn"),
        Just("cp:otoroshi.next.plugins.RemoveHeadersOut"),
        Just("cp:otoroshi.next.plugins.IpAddressAllowedList"),
        Just("cp:otoroshi.next.plugins.IpAddressBlockList"),
        Just("cp:otoroshi.next.plugins.AllowHttpMethods"),
        Just("cp:otoroshi.next.plugins.ReadOnlyCalls"),
        Just("cp:otoroshi.next.plugins.Cors"),
        Just("cp:otoroshi.next.plugins.MaintenanceMode"),
        Just("cp:otoroshi.next.plugins.BuildMode"),
        Just("cp:otoroshi.next.plugins.GzipResponseCompressor"),
        Just("cp:otoroshi.next.plugins.LocalTokenBucket"),
        Just("cp:otoroshi.next.plugins.NgServiceQuotas"),
        Just("cp:otoroshi.next.plugins.RequestBodyLengthLimiter"),
    ];
    let config = prop_oneof![
        Just(json!({"to": "https://b.io/", "code": 302})),
        Just(json!({"status": 204, "headers": {"a": "b"}})),
        Just(json!({"status": "x", "to": 1})),
        Just(json!({"headers": {"x-a": "b", "Via": "c", "x-e": "${token.sub}"}})),
        Just(json!({"header_names": ["x-a", "a b"]})),
        Just(json!({"addresses": ["10.0.0.0/8", "::1", "nonsense"]})),
        Just(json!({"allowed": ["GET", "x"], "forbidden": ["PUT"]})),
        Just(json!({"allow_origin": "https://a.io", "allow_methods": ["PUT"], "max_age": 5})),
        Just(json!({"verifiers": ["v-1"], "mandatory": false})),
        Just(json!({"allowed_list": ["text/html"], "max_length": 10})),
        Just(json!({"capacity": 5, "refill_amount": 2, "throttling_quota": 7})),
        delta::tests::any_value(),
    ];
    let one = (id, config, any::<bool>()).prop_map(
        |(id, config, enabled)| json!({"plugin": id, "config": config, "enabled": enabled}),
    );
    proptest::collection::vec(one, 0..3).prop_map(Value::from)
}

fn generic() -> impl Strategy<Value = Value> {
    let frontend = (
        proptest::collection::vec(domain(), 0..3),
        any::<bool>(),
        any::<bool>(),
        texts(),
        texts(),
        proptest::collection::vec("(GET|POST|X)", 0..3),
    );
    let frontend = frontend.prop_map(|(domains, strip, exact, headers, cookies, methods)| {
        json!({
            "domains": domains, "strip_path": strip, "exact": exact, "headers": headers,
            "cookies": cookies, "methods": methods,
        })
    });
    let reference = proptest::option::of("[a-z]{1,4}");
    let more = delta::tests::any_value();
    (
        frontend,
        backend(),
        plugins(),
        texts(),
        reference,
        any::<bool>(),
        more,
    )
        .prop_map(
            |(frontend, backend, plugins, metadata, reference, enabled, more)| {
                filled(json!({
                    "id": "r-1", "name": "A route", "enabled": enabled, "frontend": frontend,
                    "backend": backend, "plugins": plugins, "metadata": metadata, "own": more,
                    "backend_ref": reference,
                }))
            },
        )
}

fn path() -> impl Strategy<Value = Value> {
    prop_oneof![
        "/[a-z]{0,2}".prop_map(|path| json!({"path_prefix": path})),
        "/[a-z]{0,2}".prop_map(|path| json!({"path": path})),
        Just(json!({"path_template": "/a/{id}/{rest*}"})),
        Just(json!({"path_template": "/a/{id}"})),
        Just(json!({"path_regex": "/a(b|c)+"})),
    ]
}

fn rewriting() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        ("/[a-z]{0,2}", "(/[a-z]{0,2}/?)?")
            .prop_map(|(from, to)| json!({"rewrite_pattern": from, "rewrite_replacement": to})),
        Just(json!({"rewrite_template": "/b/{id}"})),
    ]
}

fn merged(parts: Vec<Value>) -> Value {
    let each = parts
        .into_iter()
        .filter_map(|part| part.as_object().cloned());
    Value::Object(each.flatten().collect())
}

fn matched() -> impl Strategy<Value = Value> {
    let host = prop_oneof![Just(json!({})), Just(json!({"host": "b.io"}))];
    (host, path(), rewriting())
        .prop_map(|(host, path, rewriting)| merged(vec![host, path, rewriting]))
}

/// A native route, and the upstream of its own if it has one.
fn native() -> impl Strategy<Value = Native> {
    let action = prop_oneof![
        Just(json!({"upstream": "api"})),
        Just(json!({"upstream": "inline-0"})),
        Just(json!({"redirect": {"to": "/x", "status": 301}})),
        Just(json!({"respond": {"status": 201, "headers": {"a": "b"}, "body": "x"}})),
    ];
    let condition = prop_oneof![
        "[a-z]{1,2}".prop_map(|name| json!({"name": name})),
        text().prop_map(|value| json!({"name": "x", "value": value})),
        Just(json!({"name": "y", "regex": "a.*"})),
    ];
    let more = (any::<bool>(), -2i32..3, 1u64..90_000, 0u8..10).prop_map(
        |(enabled, rank, time, retries)| {
            json!({
                "id": "r-1", "enabled": enabled, "rank": rank, "send_timeout_ms": time,
                "read_timeout_ms": time, "retry": {"max_retries": retries},
                "max_body_bytes": time, "extensions": {"ocelot": {"x": 1}},
            })
        },
    );
    let parts = (
        matched(),
        action,
        proptest::collection::vec(condition, 0..4),
        proptest::collection::vec(matched(), 0..3),
        more,
        (0u16..3, 1u64..9_000),
    );
    parts.prop_map(|(matched, action, headers, also, more, (weight, time))| {
        let lists = json!({"headers": headers, "also": also, "methods": ["GET"]});
        let route = serde_json::from_value(merged(vec![matched, action, lists, more])).unwrap();
        let upstream = json!({
            "name": "inline-0", "load_balancer": "weighted_round_robin",
            "servers": [{"address": "a", "port": 80, "weight": weight}, {"unix": "/run/x"}],
            "connection_pool": {"max_connections": time, "connect_timeout_ms": time},
        });
        let native = Native {
            route,
            upstream: None,
        };
        match native.route.upstream.as_deref() {
            Some("inline-0") => {
                let upstream = Some(serde_json::from_value(upstream).unwrap());
                Native { upstream, ..native }.named()
            }
            _ => native,
        }
    })
}

proptest! {
    #[test]
    fn an_otoroshi_route_comes_back_as_it_was(entity in generic()) {
        prop_assert_eq!(there_and_back(&entity), entity);
    }

    #[test]
    fn a_native_route_comes_back_as_it_was(native in native()) {
        let entity = route_to_generic(&native.route, native.upstream.as_ref());
        let mut again = route_to_native(entity.clone()).unwrap();
        again.route.extensions.remove(DIALECT);
        prop_assert_eq!(&again, &native);
        // And once more, with what was kept.
        let kept = route_to_native(entity).unwrap();
        let entity = route_to_generic(&kept.route, kept.upstream.as_ref());
        let mut again = route_to_native(entity).unwrap();
        again.route.extensions.remove(DIALECT);
        prop_assert_eq!(again, native);
    }

    #[test]
    fn what_one_side_changes_the_other_sees(
        entity in generic(), host in "[a-z]{1,3}\\.io", rank in 1i32..9,
    ) {
        let mut native = route_to_native(entity).unwrap();
        native.route.host = Some(host);
        native.route.rank = rank;
        let entity = route_to_generic(&native.route, native.upstream.as_ref());
        let mut again = route_to_native(entity).unwrap();
        again.route.extensions.clear();
        native.route.extensions.clear();
        prop_assert_eq!(again, native);
    }

    #[test]
    fn a_backend_comes_back_as_it_was(backend in backend()) {
        let mut entity = json!({"id": "b", "name": "B", "backend": backend, "own": [1]});
        BACKEND.fill(&mut entity);
        if let Ok(upstream) = backend_to_native(entity.clone()) {
            prop_assert_eq!(backend_to_generic(&upstream), entity);
        }
    }

    #[test]
    fn no_entity_makes_it_panic(value in delta::tests::any_value(), other in delta::tests::any_value()) {
        let mut entity = json!({"frontend": value, "backend": other, "ringway": other});
        let _ = route_to_native(entity.clone());
        ROUTE.fill(&mut entity);
        let _ = route_to_native(entity);
    }
}

#[test]
fn routes_with_the_same_servers_share_an_upstream() {
    let entity = |id: &str, port: u16| {
        filled(json!({
            "id": id, "name": id, "frontend": {"domains": ["a.io/v1"]},
            "backend": {"targets": [{"hostname": "h", "port": port}], "root": "/x"},
        }))
    };
    let name = |entity| route_to_native(entity).unwrap().route.upstream.unwrap();
    assert_eq!(name(entity("a", 80)), name(entity("b", 80)));
    assert_ne!(name(entity("a", 80)), name(entity("a", 81)));
    let native = route_to_native(entity("a", 80)).unwrap().route;
    assert_eq!(native.host.as_deref(), Some("a.io"));
    assert_eq!(native.path_prefix.as_deref(), Some("/v1"));
    assert_eq!(native.rewrite_pattern.as_deref(), Some("/v1"));
    assert_eq!(native.rewrite_replacement, "/x");
}

#[test]
fn what_wants_tls_is_never_sent_in_the_clear() {
    let entity = |targets: Value| {
        filled(json!({
            "id": "a", "name": "a", "frontend": {"domains": ["a.io"]},
            "backend": {"targets": targets},
        }))
    };
    for (config, tls) in [
        (json!({}), Some(json!({"verify": true}))),
        (json!({"loose": true}), Some(json!({"verify": true}))),
        (
            json!({"enabled": true, "loose": true}),
            Some(json!({"verify": false})),
        ),
        (
            json!({"enabled": true, "trust_all": true}),
            Some(json!({"verify": false})),
        ),
        (
            json!({"trusted_certs": ["c"]}),
            Some(json!({"verify": true})),
        ),
        (json!({"enabled": true, "trusted_certs": ["c"]}), None),
        (
            json!({"enabled": true, "loose": true, "certs": ["c"]}),
            None,
        ),
    ] {
        let target = json!({"hostname": "h", "port": 443, "tls": true, "tls_config": config});
        let entity = entity(json!([target]));
        let native = route_to_native(entity.clone()).unwrap();
        let upstream = native.upstream.as_ref();
        let said = upstream.and_then(|upstream| upstream.tls.as_ref());
        assert_eq!(said.map(|tls| json!(tls)), tls, "{config}");
        if upstream.is_none() {
            assert_eq!(native.route.respond.as_ref().unwrap().status, 503);
        }
        assert_eq!(route_to_generic(&native.route, upstream), entity);
    }
}

#[test]
fn servers_of_one_upstream_are_spoken_to_in_one_manner() {
    let read = |targets: Value| {
        let backend = json!({"targets": targets});
        servers::read("u", &backend).map(|upstream| {
            let names = upstream
                .servers
                .iter()
                .map(|one| one.address.clone().unwrap());
            let names: Vec<String> = names.collect();
            (names.join(" "), upstream.tls.map(|tls| tls.server_name))
        })
    };
    let plain = json!({"hostname": "p", "port": 80});
    let tls = json!({"hostname": "t", "port": 443, "tls": true});
    let named =
        |name: &str| json!({"hostname": name, "port": 443, "tls": true, "ip_address": "10.0.0.1"});
    let unix = json!({"hostname": "unix:/a", "port": 443, "tls": true});
    for (targets, names, said) in [
        (json!([plain, tls, plain]), "p p", None),
        (json!([tls, plain, tls]), "t t", Some(None)),
        (json!([unix, plain]), "p", None),
        (
            json!([named("a"), tls, named("a"), named("b")]),
            "10.0.0.1 10.0.0.1",
            Some(Some("a")),
        ),
    ] {
        let said = said.map(|name: Option<&str>| name.map(str::to_owned));
        assert_eq!(read(targets), Some((names.to_owned(), said)));
    }
    assert_eq!(read(json!([unix])), None);
}

#[test]
fn native_tls_is_shown_and_comes_back() {
    for tls in [
        json!({}),
        json!({"verify": false}),
        json!({"server_name": "a.io"}),
        json!({"ca_file": "/ca.pem", "certificate": "/c.pem", "key": "/k.pem"}),
    ] {
        for address in ["10.0.0.1", "b.io"] {
            let upstream: Upstream = serde_json::from_value(json!({
                "name": "u", "servers": [{"address": address, "port": 443}], "tls": tls,
            }))
            .unwrap();
            let mut entity = backend_to_generic(&upstream);
            assert_eq!(entity["backend"]["targets"][0]["tls"], true);
            BACKEND.fill(&mut entity);
            let back = backend_to_native(entity).unwrap();
            assert_eq!(back, upstream, "{tls} {address}");
        }
    }
}
