//! Listing: filter, sort, paginate, project, in this order; bad values are named.

mod common;

use common::apis::{ROUTES, json_of, lines_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, ok};
use serde_json::{Value, json};

/// Twelve routes `r00` to `r11`, every third of team `red`.
fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(APIS, Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    for number in 0..12 {
        let mut entity = route(
            &format!("r{number:02}"),
            &format!("h{number}.local"),
            origin.address(),
        );
        entity["name"] = json!(format!(
            "{} {}",
            if number % 2 == 0 { "Public" } else { "hidden" },
            11 - number
        ));
        entity["metadata"] = json!({"team": if number % 3 == 0 { "red" } else { "blue" }});
        entity["enabled"] = json!(number != 5);
        json_of(&client.post(ROUTES, &entity), 201);
    }
    (ringway, origin, client)
}

fn ids(client: &ApisClient, query: &str) -> Vec<String> {
    let list = json_of(&client.get(&format!("{ROUTES}?{query}")), 200);
    let id = |entity: &Value| {
        entity["id"]
            .as_str()
            .expect("an id")
            .trim_start_matches('r')
            .to_owned()
    };
    list.as_array().expect("a list").iter().map(id).collect()
}

#[test]
fn every_parameter_does_what_the_seed_says() {
    let (ringway, origin, client) = start();
    for (query, expected) in [
        ("filter.id=r03", "03"),
        ("filter.enabled=false", "05"),
        ("filter.metadata.team=red", "00 03 06 09"),
        ("filter./metadata/team=red", "00 03 06 09"),
        ("filter.$.metadata.team=red", "00 03 06 09"),
        ("filter.$.backend.targets[0].weight=1&filter.id=r01", "01"),
        ("filter.metadata.team=red&filter.name=Public%2011", "00"),
        ("filter.frontend.domains=h7.local", "07"),
        ("filter.missing=x", ""),
        ("filtered=name:PUBLIC", "00 02 04 06 08 10"),
        ("filtered=name:public%201|hidden%208,metadata.team:b", "10"),
        ("filtered=name:public&filter.metadata.team=red", "00 06"),
        (
            "sorted=name:false&filtered=name:hidden",
            "11 01 09 07 05 03",
        ),
        (
            "sorted=metadata.team:true,id:false&pageSize=5",
            "00 03 06 09 01",
        ),
        ("sorted=id:true&page=2&pageSize=5", "06 05 04 03 02"),
        ("sorted=id&page=3&pageSize=5", "10 11"),
        ("page=9&pageSize=5", ""),
        ("in_mem=true&filter.id=r03", "03"),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(ids(&client, query), expected, "{query}");
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn the_number_of_pages_is_that_of_what_was_found() {
    let (ringway, origin, client) = start();
    for (query, pages) in [
        ("", "-1"),
        ("page=2", "-1"),
        ("pageSize=5", "3"),
        ("pageSize=5&filter.metadata.team=red", "1"),
        ("pageSize=12", "1"),
        ("pageSize=5&filter.id=x", "0"),
    ] {
        let answer = client.get(&format!("{ROUTES}?{query}"));
        assert_eq!(answer.field("x-pages"), Some(pages), "{query}");
    }
    assert_eq!(
        client.get(&format!("{ROUTES}/r01")).field("x-pages"),
        Some("-1")
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let (ringway, origin, client) = start();
    let one = json_of(
        &client.get(&format!(
            "{ROUTES}/r01?fields=id,frontend.domains,/metadata/team"
        )),
        200,
    );
    let kind = "routes.proxy.otoroshi.io/v1";
    assert_eq!(
        one,
        json!({"id": "r01", "frontend": {"domains": ["h1.local"]}, "metadata": {"team": "blue"},
               "kind": kind})
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn a_bad_value_is_refused_by_name() {
    let (ringway, origin, client) = start();
    for (query, name) in [
        ("page=abc", "page"),
        ("page=0", "page"),
        ("pageSize=-1", "pageSize"),
        ("pageSize=0", "pageSize"),
        ("sorted=name:maybe", "sorted"),
        ("filtered=name", "filtered"),
        ("fields=$.[", "fields"),
        ("filter.$.[=x", "filter.$.["),
        ("pretty=2", "pretty"),
        ("envelope=x", "envelope"),
    ] {
        let body = json_of(&client.get(&format!("{ROUTES}?{query}")), 400);
        assert_eq!(body["error"], "bad_request", "{query}");
        let description = body["error_description"].as_str().unwrap();
        assert!(
            description.starts_with(&format!("{name}: ")),
            "{query}: {description}"
        );
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn a_long_list_is_streamed() {
    let (ringway, origin, client) = start();
    const COUNT: usize = 10_000;
    let line = |number: usize| {
        json!({"id": format!("b{number}"), "name": "n", "frontend": {"domains": [format!("b{number}.local")]},
               "backend": {"targets": [{"hostname": "10.0.0.9", "port": 80}]}})
        .to_string()
    };
    let lines: Vec<String> = (0..COUNT).map(line).collect();
    let bulk = client.typed(
        "POST",
        &format!("{ROUTES}/_bulk"),
        "application/x-ndjson",
        &lines.join("\n"),
    );
    let created = lines_of(&bulk);
    assert_eq!(created.len(), COUNT);
    assert!(
        created.iter().all(|line| line["status"] == 201),
        "{:?}",
        created.first()
    );
    let before = ringway.resident_bytes();
    let answer = client.send(
        "GET",
        &format!("{ROUTES}?fields=id"),
        &[("Accept", "application/x-ndjson")],
        "",
    );
    let listed = lines_of(&answer);
    assert_eq!(listed.len(), COUNT + 12);
    assert_eq!(listed[12]["id"], "b0");
    assert_eq!(listed[COUNT + 11]["id"], format!("b{}", COUNT - 1));
    // Whole, the list would be some twenty megabytes of values.
    let answer = client.send("GET", ROUTES, &[("Accept", "application/x-ndjson")], "");
    assert!(answer.body.len() > 10_000_000);
    let grown = ringway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "listing takes {grown} bytes");
    ringway.finish();
    origin.finish();
}
