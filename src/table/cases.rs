//! Single cases: what rewrites make, what is refused, how upstreams keep their numbers.

use super::tests::{OneField, blank, table};
use super::*;

fn route(text: &str) -> model::Route {
    serde_json::from_str(text).expect("a valid route")
}

fn upstream(name: &str, address: &str) -> model::Upstream {
    let server = format!(r#"{{"address": "{address}", "port": 80}}"#);
    let text = format!(r#"{{"name": "{name}", "servers": [{server}]}}"#);
    serde_json::from_str(&text).expect("a valid upstream")
}

fn rewritten(declared: &str, path: &str) -> String {
    let table = Table::compile(&[route(declared)], &[upstream("u", "127.0.0.1")]).expect("valid");
    let fields = OneField(None);
    let path = path.as_bytes();
    let question = Question {
        host: b"h",
        path,
        query: b"a=b",
        method: b"GET",
        fields: &fields,
    };
    let found = table.find(&question).expect("a match");
    let mut into = Vec::new();
    let source = Source {
        captures: &found.captures,
        claims: None,
        fields: &fields,
    };
    match &found.route.action {
        Action::Forward(forward) => forward.rewrite.apply(path, b"a=b", &source, &mut into),
        Action::Redirect(redirect) => redirect.location(&question, &found.captures, &mut into),
        Action::Aggregate(_) | Action::Respond(_) => {}
    }
    String::from_utf8(into).expect("text")
}

#[test]
fn captures_go_into_rewrites_and_redirects() {
    let template = r#"{"path_template": "/u/{id}/{rest*}", "upstream": "u",
        "rewrite_template": "/v2/{rest}/{id}"}"#;
    assert_eq!(rewritten(template, "/u/7%20/a/b"), "/v2/a/b/7%20");
    assert_eq!(rewritten(template, "/u/7/"), "/v2//7");
    let bare = r#"{"path_template": "/{rest*}", "upstream": "u", "rewrite_template": "{rest}"}"#;
    assert_eq!(rewritten(bare, "/a/b"), "/a/b");
    assert_eq!(rewritten(bare, "/"), "/");
    let regex = r#"{"path_regex": "/(x)?(?P<one>[a-z]+)-(?P<two>\\d+)(?P<no>!)?", "upstream": "u",
        "rewrite_template": "/{two}/{one}{no}"}"#;
    assert_eq!(rewritten(regex, "/abc-12"), "/12/abc");
    let redirect = r#"{"path_template": "/old/{id}",
        "redirect": {"to": "https://{host}/new/{id}{query}#{path}"}}"#;
    assert_eq!(rewritten(redirect, "/old/9"), "https://h/new/9?a=b#/old/9");
}

#[test]
fn what_cannot_be_compiled_is_refused_with_its_reason() {
    for (declared, reason) in [
        (
            r#"{"path": "a", "upstream": "u"}"#,
            "route 'a': the path 'a' does not start with '/'",
        ),
        (
            r#"{"path_template": "/a{b}", "upstream": "u"}"#,
            "route '/a{b}': the path '/a{b}' has a brace out of place; a capture is a whole \
             segment, like '/{id}'",
        ),
        (
            r#"{"path_template": "/{r*}/b", "upstream": "u"}"#,
            "route '/{r*}/b': the path '/{r*}/b' has '{name*}' before its end",
        ),
        (
            r#"{"path": "/a", "upstream": "v"}"#,
            "route '/a': there is no upstream 'v'",
        ),
        (
            r#"{"path": "/a"}"#,
            "route '/a': give exactly one of 'upstream', 'redirect', 'respond' and \
             'aggregate'",
        ),
        (
            r#"{"path": "/a", "upstream": "u", "rewrite_template": "/{x}"}"#,
            "route '/a': '/{x}' uses a capture that the path does not have",
        ),
        (
            r#"{"path": "/a", "host": "a/b", "upstream": "u"}"#,
            "route 'a/b/a': 'a/b' is not a host; write a name, or '*.' and a name",
        ),
    ] {
        let refused = Table::compile(&[route(declared)], &[upstream("u", "127.0.0.1")]);
        assert_eq!(
            refused.err().map(|error| error.to_string()).as_deref(),
            Some(reason)
        );
    }
    for regex in ["a)|(?:b", "(", "(?:a{1000}){1000}"] {
        let route = model::Route {
            path_regex: Some(regex.into()),
            ..blank()
        };
        let refused = Table::compile(&[route], &[]);
        assert!(
            matches!(refused, Err(CompileError::Regex { .. })),
            "{regex}"
        );
    }
}

#[test]
fn an_upstream_keeps_its_number_and_its_addresses() {
    let ports = |table: &Table, id| {
        let upstream = table.upstream(id).expect("the upstream");
        (upstream.version, upstream.servers[0].endpoints.len())
    };
    let first = Table::compile(&[], &[upstream("u", "Name.test")]).expect("valid");
    let id = first.upstream_id("u").expect("a number");
    assert_eq!(ports(&first, id), (1, 0));
    let addresses = vec!["127.0.0.1".parse().expect("an address"); 2];
    let resolve = Change::Resolve {
        name: "name.test".into(),
        addresses,
    };
    let second = first.change(std::slice::from_ref(&resolve)).expect("valid");
    assert_eq!(ports(&second, id), (2, 2));
    assert_eq!(ports(&first, id), (1, 0));
    assert_eq!(
        ports(&second.change(&[resolve]).expect("valid"), id),
        (2, 2)
    );
    let again = Change::PutUpstream(upstream("u", "name.test").into());
    assert_eq!(ports(&second.change(&[again]).expect("valid"), id), (2, 2));
    let mut heavier = upstream("u", "name.test");
    heavier.servers[0].weight = 9;
    let heavier = second
        .change(&[Change::PutUpstream(heavier.into())])
        .expect("valid");
    assert_eq!(ports(&heavier, id), (3, 2));
    let replaced = heavier.replace(&[], &[upstream("v", "w"), upstream("u", "name.test")]);
    let replaced = replaced.expect("valid");
    assert_eq!(replaced.upstream_id("u"), Some(id));
    assert_eq!(ports(&replaced, id), (4, 2));
    let moved = Change::PutUpstream(upstream("u", "other.test").into());
    let moved = replaced.change(&[moved]).expect("valid");
    assert_eq!(ports(&moved, id), (5, 0));
    let mut names = moved
        .server_names()
        .map(|(name, _)| name)
        .collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names, ["other.test", "w"]);
}

#[test]
fn an_upstream_in_use_stays_and_a_number_is_not_used_again() {
    let plain = |id: &str| {
        route(&format!(
            r#"{{"id": "{id}", "path": "/{id}", "upstream": "u"}}"#
        ))
    };
    let routes = [plain("a"), plain("b")];
    let table = Table::compile(&routes, &[upstream("u", "127.0.0.1")]).expect("valid");
    let id = table.upstream_id("u").expect("a number");
    let remove = Change::RemoveUpstream("u".into());
    let refused = table.change(std::slice::from_ref(&remove)).err();
    assert!(matches!(
        refused,
        Some(CompileError::UpstreamInUse { routes: 2, .. })
    ));
    let put_back = [
        remove.clone(),
        Change::PutUpstream(upstream("u", "127.0.0.2").into()),
    ];
    assert_eq!(
        table.change(&put_back).expect("valid").upstream_id("u"),
        Some(id)
    );
    let all = [
        remove,
        Change::RemoveRoute("a".into()),
        Change::RemoveRoute("b".into()),
    ];
    let emptied = table.change(&all).expect("valid");
    assert_eq!((emptied.upstream_count(), emptied.upstream(id)), (0, None));
    let anew = emptied
        .change(&[Change::PutUpstream(upstream("u", "127.0.0.1").into())])
        .expect("valid");
    assert_ne!(anew.upstream_id("u"), Some(id));
}

#[test]
fn routes_without_an_id_get_one_each() {
    let text = r#"{"path": "/a", "host": "H", "upstream": "u"}"#;
    let upstreams = [upstream("u", "::1")];
    let table = Table::compile(&[route(text), route(text)], &upstreams).expect("valid");
    assert!(table.route("h/a").is_some() && table.route("h/a#2").is_some());
    let named = route(r#"{"id": "x", "path": "/a", "upstream": "u"}"#);
    let twice = Table::compile(&[named.clone(), named], &upstreams);
    assert!(matches!(twice, Err(CompileError::DuplicateRoute { .. })));
}

#[test]
fn an_explanation_is_sentences() {
    let routes = [
        route(r#"{"id": "old", "path_prefix": "/a", "respond": {}}"#),
        route(r#"{"id": "exact", "path": "/a", "respond": {}}"#),
        route(r#"{"id": "put", "path": "/a", "methods": ["PUT"], "respond": {}}"#),
        route(r#"{"id": "other", "path": "/b", "respond": {}}"#),
        route(r#"{"id": "host", "path": "/a", "host": "b", "respond": {}}"#),
    ];
    let table = table(&routes);
    let fields = OneField(None);
    let question = Question {
        host: b"h",
        path: b"/a",
        query: b"",
        method: b"GET",
        fields: &fields,
    };
    let lines = table
        .explain(&question)
        .into_iter()
        .map(|verdict| verdict.to_string());
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "'exact' wins.",
            "'old' matches too, but the winner names exactly this path.",
            "'put' has the host and the path, but not the method.",
            "'host' has the path, but is for another host.",
            "'other' has the host, but is for another path.",
        ]
    );
}

#[test]
fn what_is_known_of_a_server_survives_changes_of_its_upstream() {
    let declared = |pool: u32, check: &str| -> model::Upstream {
        let text = format!(
            r#"{{"name": "u", "servers": [{{"address": "a.test", "port": 80}},
                {{"address": "10.0.0.1", "port": 80}}],
                "connection_pool": {{"max_connections": {pool}}}{check}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let check = r#", "health_check": {}"#;
    let ups = |table: &Table| {
        let upstream = table.upstream(UpstreamId(0)).unwrap();
        upstream
            .servers
            .iter()
            .map(|server| server.up)
            .collect::<Vec<_>>()
    };
    let down = |server: &str| Change::Health {
        upstream: "u".into(),
        server: server.into(),
        up: false,
    };
    let table = Table::compile(&[], &[declared(1, check)]).unwrap();
    let table = table.change(&[down("10.0.0.1:80")]).unwrap();
    assert_eq!(ups(&table), [true, false]);
    let resolve = Change::Resolve {
        name: "a.test".into(),
        addresses: vec!["10.0.0.2".parse().unwrap()],
    };
    let table = table.change(&[resolve]).unwrap();
    let table = table
        .change(&[Change::PutUpstream(declared(2, check).into())])
        .unwrap();
    assert_eq!(ups(&table), [true, false]);
    // Nobody asks any more: it counts as up.
    let table = table
        .change(&[Change::PutUpstream(declared(2, "").into())])
        .unwrap();
    assert_eq!(ups(&table), [true, true]);
    let table = table
        .change(&[down("10.0.0.1:80"), down("gone:80")])
        .unwrap();
    assert_eq!(ups(&table), [true, true]);
}

#[test]
fn an_upstream_that_a_split_uses_stays() {
    let upstreams = ["a", "b"].map(|name| upstream(name, "127.0.0.1"));
    let split =
        r#"{"id": "s", "path": "/", "upstream": "a", "traffic_split": [{"upstream": "b"}]}"#;
    let table = Table::compile(&[route(split)], &upstreams).unwrap();
    let remove = Change::RemoveUpstream("b".into());
    assert!(table.change(std::slice::from_ref(&remove)).is_err());
    let without = table.change(&[Change::RemoveRoute("s".into())]).unwrap();
    assert!(without.change(&[remove]).is_ok());
    let unknown = split.replace("\"b\"", "\"c\"");
    assert!(Table::compile(&[route(&unknown)], &upstreams).is_err());
}
