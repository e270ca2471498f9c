//! The table against a matcher that is nothing but the rules, on tables made to collide.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::route::Condition;

/// A request with one possible field.
#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
    query: &'static str,
    method: &'static str,
    field: Option<&'static str>,
}

struct OneField(Option<&'static str>);

impl Fields for OneField {
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == b"x-a" && self.0.is_some_and(|value| accept(value.as_bytes()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Box<model::Route>),
    Remove(usize),
}

const HOSTS: [&str; 4] = ["a.test", "b.a.test", "*.test", "*.a.test"];
const REQUEST_HOSTS: [&str; 6] = [
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "x.test",
    "test",
    "other",
];
const SEGMENTS: [&str; 3] = ["a", "b", "ab"];
const REGEXES: [&str; 5] = ["/.*", "/a(/.*)?", "/[ab]+", "/a|/b/.*", "/(ab|a)/b"];
const QUERIES: [&str; 5] = ["", "q=1", "q=%31", "z&q=22", "q=3"];

// === generators ===

fn literal_path() -> impl Strategy<Value = String> {
    (vec(select(&SEGMENTS[..]), 0..4), any::<bool>()).prop_map(|(segments, slash)| {
        let path = format!("/{}", segments.join("/"));
        if slash && path.len() > 1 {
            path + "/"
        } else {
            path
        }
    })
}

fn template_path() -> impl Strategy<Value = String> {
    let segment = select(&["a", "b", "ab", "{1}", "{2}"][..]);
    (vec(segment, 0..4), select(&["", "/", "/{rest*}"][..])).prop_map(|(segments, end)| {
        let segments = segments.iter().enumerate();
        let path = segments.map(|(at, segment)| match segment.strip_prefix('{') {
            Some(_) => format!("/{{p{at}}}"),
            None => format!("/{segment}"),
        });
        let path = path.collect::<String>() + end;
        if path.is_empty() { "/".into() } else { path }
    })
}

fn with_path(route: model::Route) -> impl Strategy<Value = model::Route> {
    let path = prop_oneof![
        3 => literal_path().prop_map(|path| (0, path)),
        2 => literal_path().prop_map(|path| (1, path)),
        3 => template_path().prop_map(|path| (2, path)),
        1 => select(&REGEXES[..]).prop_map(|path| (3, path.to_owned())),
    ];
    path.prop_map(move |(kind, path)| {
        let mut route = route.clone();
        *match kind {
            0 => &mut route.path_prefix,
            1 => &mut route.path,
            2 => &mut route.path_template,
            _ => &mut route.path_regex,
        } = Some(path);
        route
    })
}

fn condition(name: &'static str) -> impl Strategy<Value = Vec<Condition>> {
    let bare = Condition {
        name: name.into(),
        value: None,
        regex: None,
    };
    let value = Condition {
        value: Some("1".into()),
        ..bare.clone()
    };
    let regex = Condition {
        regex: Some("1|22".into()),
        ..bare.clone()
    };
    prop_oneof![
        6 => Just(Vec::new()),
        1 => Just(vec![bare]),
        1 => Just(vec![value.clone()]),
        1 => Just(vec![regex.clone()]),
        1 => Just(vec![value, regex]),
    ]
}

fn route() -> impl Strategy<Value = model::Route> {
    let methods =
        prop_oneof![3 => Just(vec![]), 1 => Just(vec!["GET"]), 1 => Just(vec!["PUT", "GET"])];
    let rank = prop_oneof![4 => Just(0), 1 => -1..2];
    let host = option::of(select(&HOSTS[..]));
    let parts = (0..12, rank, host, methods, condition("X-A"), condition("q"));
    let route = parts.prop_map(|(id, rank, host, methods, headers, query)| model::Route {
        id: Some(format!("r{id}")),
        rank,
        host: host.map(Into::into),
        methods: methods.into_iter().map(Into::into).collect(),
        headers,
        query,
        ..blank()
    });
    route.prop_flat_map(with_path)
}

fn routes() -> impl Strategy<Value = Vec<model::Route>> {
    vec(route(), 0..24).prop_map(|mut routes| {
        for (index, route) in routes.iter_mut().enumerate() {
            route.id = Some(format!("r{index}"));
        }
        routes
    })
}

fn request() -> impl Strategy<Value = Request> {
    let path = prop_oneof![9 => literal_path(), 1 => Just("*".to_owned())];
    let fields = option::of(select(&["1", "22", "3"][..]));
    let parts = (
        select(&REQUEST_HOSTS[..]),
        path,
        select(&QUERIES[..]),
        select(&["GET", "HEAD", "PUT"][..]),
    );
    (parts, fields).prop_map(|((host, path, query, method), field)| Request {
        host: host.into(),
        path,
        query,
        method,
        field,
    })
}

fn blank() -> model::Route {
    let blank = r#"{"respond": {}}"#;
    serde_json::from_str(blank).expect("a route without a path")
}

// === the rules, as they are written in the documentation ===

/// What the order compares, first to last; then the age.
type Rank = (i32, usize, bool, usize, usize, u8, usize);

fn matches(route: &model::Route, request: &Request) -> bool {
    let holds = |condition: &Condition, value: Option<&str>| match (value, condition) {
        (None, _) => false,
        (
            Some(value),
            Condition {
                value: Some(wanted),
                ..
            },
        ) => value == wanted,
        (Some(value), Condition { regex: Some(_), .. }) => value == "1" || value == "22",
        (Some(_), _) => true,
    };
    let query = match request.query {
        "q=1" | "q=%31" => Some("1"),
        "z&q=22" => Some("22"),
        "q=3" => Some("3"),
        _ => None,
    };
    let host = match &route.host {
        None => true,
        Some(host) => match host.strip_prefix('*') {
            Some(suffix) => request.host.ends_with(suffix),
            None => *host == request.host,
        },
    };
    host && path_matches(route, &request.path)
        && (route.methods.is_empty() || route.methods.iter().any(|method| method == request.method))
        && route
            .headers
            .iter()
            .all(|field| holds(field, request.field))
        && route.query.iter().all(|parameter| holds(parameter, query))
}

fn path_matches(route: &model::Route, path: &str) -> bool {
    if !path.starts_with('/') {
        return false;
    }
    if let Some(exact) = &route.path {
        return path == exact;
    }
    if let Some(prefix) = &route.path_prefix {
        let slash = format!("{}/", prefix.trim_end_matches('/'));
        return path.starts_with(&slash) || !prefix.ends_with('/') && path == prefix;
    }
    let regex = route.path_template.as_ref().map_or_else(
        || route.path_regex.clone().expect("some path"),
        |template| {
            let segments = template.split('/').map(|segment| match segment {
                "{rest*}" => ".*",
                capture if capture.starts_with('{') => "[^/]+",
                literal => literal,
            });
            segments.collect::<Vec<_>>().join("/")
        },
    );
    let regex = regex::Regex::new(&format!("^(?:{regex})$")).expect("a valid regex");
    regex.is_match(path)
}

fn rank(route: &model::Route) -> Rank {
    let host = match route.host.as_deref() {
        None => 0,
        Some(host) if host.starts_with('*') => host.len(),
        Some(_) => usize::MAX,
    };
    let template = route.path_template.as_deref();
    let kind = match template {
        Some(template) if template.ends_with("*}") => 2,
        Some(_) => 3,
        None if route.path.is_some() => 3,
        None if route.path_prefix.is_some() => 1,
        None => 0,
    };
    let path = [&route.path, &route.path_prefix, &route.path_template];
    let path = path.into_iter().flatten().next().map_or("", |path| path);
    let literal = path.split('/').filter(|segment| !segment.starts_with('{'));
    let segments = literal
        .clone()
        .filter(|segment| !segment.is_empty())
        .count();
    let text = literal.map(str::len).sum::<usize>() + path.matches('/').count();
    let conditions =
        usize::from(!route.methods.is_empty()) + route.headers.len() + route.query.len();
    (
        route.rank,
        host,
        route.path.is_some(),
        segments,
        text,
        kind,
        conditions,
    )
}

/// The id of the route that must win; `routes` are in the order of their age.
fn winner<'r>(
    routes: impl Iterator<Item = &'r model::Route>,
    request: &Request,
) -> Option<&'r str> {
    let matching = routes
        .enumerate()
        .filter(|(_, route)| matches(route, request));
    let winner = matching.max_by_key(|(age, route)| (rank(route), Reverse(*age)));
    winner.and_then(|(_, route)| route.id.as_deref())
}

// === the table against the rules ===

fn ask<T>(request: &Request, then: impl FnOnce(&Question<'_, OneField>) -> T) -> T {
    then(&Question {
        host: request.host.as_bytes(),
        path: request.path.as_bytes(),
        query: request.query.as_bytes(),
        method: request.method.as_bytes(),
        fields: &OneField(request.field),
    })
}

fn found(table: &Table, request: &Request) -> Option<String> {
    ask(request, |question| {
        table.find(question).map(|found| found.route.id.to_string())
    })
}

fn table(routes: &[model::Route]) -> Table {
    Table::compile(routes, &[]).expect("a valid table")
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => route().prop_map(|route| Step::Put(Box::new(route))),
        1 => (0..12_usize).prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn find_is_what_the_rules_say(routes in routes(), requests in vec(request(), 1..24)) {
        let table = table(&routes);
        for request in &requests {
            let expected = winner(routes.iter(), request);
            let found = found(&table, request);
            prop_assert_eq!(found.as_deref(), expected, "{:?}", request);
        }
    }

    #[test]
    fn changes_end_where_compiling_would(
        steps in vec(vec(step(), 1..4), 1..12),
        requests in vec(request(), 1..24),
    ) {
        let mut changed = Table::empty();
        let mut kept = BTreeMap::<u64, model::Route>::new();
        let mut age = 0;
        for batch in &steps {
            let changes = batch.iter().map(|step| match step {
                Step::Put(route) => {
                    age += 1;
                    kept.retain(|_, other| other.id != route.id);
                    kept.insert(age, (**route).clone());
                    Change::PutRoute { route: (**route).clone(), age }
                }
                Step::Remove(id) => {
                    let id = format!("r{id}");
                    kept.retain(|_, other| other.id.as_ref() != Some(&id));
                    Change::RemoveRoute(id)
                }
            });
            let changes = changes.collect::<Vec<_>>();
            let before = changed.clone();
            let answers = requests.iter().map(|request| found(&before, request));
            let answers = answers.collect::<Vec<_>>();
            changed = changed.change(&changes).expect("a valid change");
            let routes = kept.values().cloned().collect::<Vec<_>>();
            let compiled = table(&routes);
            prop_assert_eq!(changed.route_count(), routes.len());
            prop_assert_eq!(changed.routes().count(), routes.len());
            for (request, answer) in requests.iter().zip(answers) {
                prop_assert_eq!(found(&changed, request), found(&compiled, request));
                prop_assert_eq!(found(&before, request), answer);
            }
        }
        let all = (0..12).map(|id| Change::RemoveRoute(format!("r{id}"))).collect::<Vec<_>>();
        prop_assert!(changed.change(&all).expect("a valid change").hosts.is_empty());
    }

    #[test]
    fn explain_agrees_with_find(routes in routes(), requests in vec(request(), 1..12)) {
        let table = table(&routes);
        for request in &requests {
            ask(request, |question| {
                let verdicts = table.explain(question);
                let wins = |verdict: &&Verdict<'_>| verdict.outcome == Outcome::Wins;
                let won = verdicts.iter().filter(wins).map(|verdict| verdict.route.id.to_string());
                let won = won.collect::<Vec<_>>();
                assert_eq!(won, found(&table, request).into_iter().collect::<Vec<_>>());
                assert!(won.is_empty() || verdicts[0].outcome == Outcome::Wins);
                let matching = routes.iter().filter(|route| matches(route, request)).count();
                let outranked = |verdict: &&Verdict<'_>| {
                    matches!(verdict.outcome, Outcome::Outranked(_))
                };
                assert_eq!(verdicts.iter().filter(outranked).count(), matching.saturating_sub(1));
            });
        }
    }

    #[test]
    fn no_route_makes_compiling_panic(text in "[/a{}*.()|?\\PC]{0,12}", kind in 0..8) {
        let mut route = blank();
        route.path = Some("/".into());
        let text = Some(text);
        match kind {
            0 => route.path = text,
            1 => (route.path, route.path_prefix) = (None, text),
            2 => (route.path, route.path_template) = (None, text),
            3 => (route.path, route.path_regex) = (None, text),
            4 => route.host = text,
            5 => route.upstream = text,
            _ => route.redirect = text.map(|to| model::route::Redirect { to, status: 308 }),
        }
        if route.redirect.is_some() {
            route.respond = None;
        }
        if let Ok(table) = Table::compile(&[route], &[]) {
            let request = Request {
                host: "a.test".into(),
                path: "/a//a/".into(),
                query: "",
                method: "GET",
                field: None,
            };
            prop_assert!(found(&table, &request).is_none_or(|id| !id.is_empty()));
        }
    }
}

// === single cases ===

fn forward(text: &str) -> model::Route {
    serde_json::from_str(text).expect("a valid route")
}

fn upstream(name: &str, address: &str) -> model::Upstream {
    let server = format!(r#"{{"address": "{address}", "port": 80}}"#);
    let text = format!(r#"{{"name": "{name}", "servers": [{server}]}}"#);
    serde_json::from_str(&text).expect("a valid upstream")
}

fn rewritten(route: &str, path: &str) -> String {
    let table = Table::compile(&[forward(route)], &[upstream("u", "127.0.0.1")]).expect("valid");
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
    match &found.route.action {
        Action::Forward(forward) => forward.rewrite.apply(path, &found.captures, &mut into),
        Action::Redirect(redirect) => redirect.location(&question, &found.captures, &mut into),
        Action::Respond(_) => {}
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
    for (route, reason) in [
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
            "route '/a': give exactly one of 'upstream', 'redirect' and 'respond'",
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
        let refused = Table::compile(&[forward(route)], &[upstream("u", "127.0.0.1")]);
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
    let again = Change::PutUpstream(upstream("u", "name.test"));
    assert_eq!(ports(&second.change(&[again]).expect("valid"), id), (2, 2));
    let mut heavier = upstream("u", "name.test");
    heavier.servers[0].weight = 9;
    let heavier = second
        .change(&[Change::PutUpstream(heavier)])
        .expect("valid");
    assert_eq!(ports(&heavier, id), (3, 2));
    let replaced = heavier.replace(&[], &[upstream("v", "w"), upstream("u", "name.test")]);
    let replaced = replaced.expect("valid");
    assert_eq!(replaced.upstream_id("u"), Some(id));
    assert_eq!(ports(&replaced, id), (4, 2));
    let moved = Change::PutUpstream(upstream("u", "other.test"));
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
    let route = |id: &str| {
        forward(&format!(
            r#"{{"id": "{id}", "path": "/{id}", "upstream": "u"}}"#
        ))
    };
    let routes = [route("a"), route("b")];
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
        Change::PutUpstream(upstream("u", "127.0.0.2")),
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
        .change(&[Change::PutUpstream(upstream("u", "127.0.0.1"))])
        .expect("valid");
    assert_ne!(anew.upstream_id("u"), Some(id));
}

#[test]
fn routes_without_an_id_get_one_each() {
    let text = r#"{"path": "/a", "host": "H", "upstream": "u"}"#;
    let upstreams = [upstream("u", "::1")];
    let table = Table::compile(&[forward(text), forward(text)], &upstreams).expect("valid");
    assert!(table.route("h/a").is_some() && table.route("h/a#2").is_some());
    let named = forward(r#"{"id": "x", "path": "/a", "upstream": "u"}"#);
    let twice = Table::compile(&[named.clone(), named], &upstreams);
    assert!(matches!(twice, Err(CompileError::DuplicateRoute { .. })));
}

#[test]
fn an_explanation_is_sentences() {
    let routes = [
        forward(r#"{"id": "old", "path_prefix": "/a", "respond": {}}"#),
        forward(r#"{"id": "exact", "path": "/a", "respond": {}}"#),
        forward(r#"{"id": "put", "path": "/a", "methods": ["PUT"], "respond": {}}"#),
        forward(r#"{"id": "other", "path": "/b", "respond": {}}"#),
        forward(r#"{"id": "host", "path": "/a", "host": "b", "respond": {}}"#),
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
        .change(&[Change::PutUpstream(declared(2, check))])
        .unwrap();
    assert_eq!(ups(&table), [true, false]);
    // Nobody asks any more: it counts as up.
    let table = table
        .change(&[Change::PutUpstream(declared(2, ""))])
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
    let table = Table::compile(&[forward(split)], &upstreams).unwrap();
    let remove = Change::RemoveUpstream("b".into());
    assert!(table.change(std::slice::from_ref(&remove)).is_err());
    let without = table.change(&[Change::RemoveRoute("s".into())]).unwrap();
    assert!(without.change(&[remove]).is_ok());
    let unknown = split.replace("\"b\"", "\"c\"");
    assert!(Table::compile(&[forward(&unknown)], &upstreams).is_err());
}
