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

pub(super) struct OneField(pub(super) Option<&'static str>);

impl Fields for OneField {
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == b"x-a" && self.0.is_some_and(|value| accept(value.as_bytes()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Arc<model::Route>),
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

pub(super) fn blank() -> model::Route {
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
        table
            .find(question)
            .map(|found| found.route.id().to_string())
    })
}

pub(super) fn table(routes: &[model::Route]) -> Table {
    Table::compile(routes, &[]).expect("a valid table")
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => route().prop_map(|route| Step::Put(Arc::new(route))),
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
                    Change::PutRoute { route: route.clone(), age }
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
                let won = verdicts.iter().filter(wins).map(|verdict| verdict.route.id().to_string());
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
