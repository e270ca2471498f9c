//! Promise: Ocelot's administration works as its own acceptance tests ask (those that do not need
//! .NET), started with an ocelot.json as it is.

mod common;

use std::io::{BufRead, BufReader};

use common::admin::body;
use common::ocelot::{FILE, OcelotClient, folded, route, settings, start, start_in};
use common::{Ringway, ScriptedOrigin, exchange, new_directory, ok, wait_until};
use serde_json::{Value, json};

fn origin() -> ScriptedOrigin {
    ScriptedOrigin::answering(ok("hello"))
}

fn document(server: std::net::SocketAddr) -> Value {
    json!({
        "Routes": [route("/foo", "/foo", server), route("/test", "/test", server)],
        "GlobalConfiguration": {
            "RequestIdKey": "RequestId",
            "ServiceDiscoveryProvider": {"Scheme": "https", "Host": "127.0.0.1", "Port": 123},
        },
    })
}

fn get(ringway: &Ringway, path: &str) -> u16 {
    exchange(
        ringway.address(),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    )
    .status()
}

#[test]
fn without_a_token_it_is_401_and_with_one_200() {
    let origin = origin();
    let ringway = start(&document(origin.address()));
    let mut client = OcelotClient::connect(ringway.admin_address());
    let answer = client.get();
    assert_eq!((answer.status(), answer.text()), (401, String::new()));
    assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
    client.token = Some("rubbish".to_owned());
    let answer = client.get();
    assert_eq!(answer.status(), 401);
    let challenge = Some("Bearer error=\"invalid_token\"");
    assert_eq!(answer.field("www-authenticate"), challenge);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    assert_eq!(client.get().status(), 200);
    drop(client);
    ringway.finish();
}

#[test]
fn the_configuration_is_that_of_the_file() {
    let origin = origin();
    let document = document(origin.address());
    let ringway = start(&document);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let answer = client.get();
    assert_eq!(
        answer.field("content-type"),
        Some("application/json; charset=utf-8")
    );
    let shown = body(&answer);
    assert_eq!(folded(&shown), folded(&document));
    assert_eq!(shown["routes"][0]["upstreamHttpMethod"], json!(["GET"]));
    assert_eq!(shown["globalConfiguration"]["requestIdKey"], "RequestId");
    let pretty = client.send("GET", "/configuration?pretty=true", &[], "");
    assert!(
        pretty.text().starts_with("{\n  \"routes\""),
        "{}",
        pretty.text()
    );
    let etag = answer.field("etag").expect("an entity tag");
    let seen = client.send("GET", "/configuration", &[("If-None-Match", etag)], "");
    assert_eq!(seen.status(), 304);
    drop(client);
    ringway.finish();
}

#[test]
fn what_is_posted_is_echoed_shown_and_in_the_files() {
    let origin = origin();
    let directory = new_directory();
    let other = directory.join("ocelot.Staging.json");
    std::fs::write(&other, "{}").unwrap();
    let environment = [("ASPNETCORE_ENVIRONMENT", "Staging")];
    let ringway = start_in(directory, &document(origin.address()), &environment);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let mut edited = body(&client.get());
    edited["routes"][0]["downstreamPathTemplate"] = json!("/moved");
    edited["routes"][0]["metadata"] = json!({"Team": "one", "nothing": null});
    edited["routes"][1]["ofNoUse"] = json!([1, {"Two": 3}]);
    edited["globalConfiguration"]["baseUrl"] = json!("http://elsewhere");
    let posted = client.post(&edited);
    assert_eq!(posted.status(), 200, "{}", posted.text());
    assert_eq!(body(&posted), edited);
    assert_eq!(body(&client.get()), edited);
    let text = std::fs::read_to_string(ringway.config_path()).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    assert!(
        text.contains("\n  \"Routes\": [\n"),
        "PascalCase, two spaces: {text}"
    );
    assert_eq!(std::fs::read_to_string(&other).unwrap(), text);
    let own = file.as_object_mut().unwrap().remove("Ringway").unwrap();
    assert_eq!(own, settings(), "the settings stay as they are");
    assert_eq!(folded(&file), folded(&edited));
    drop(client);
    // Another process starts with what was written.
    let ringway = Ringway::start_file(ringway.kill(), FILE, common::Driver::Epoll, &[]);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    assert_eq!(body(&client.get()), edited);
    assert_eq!(get(&ringway, "/foo"), 200);
    assert_eq!(origin.targets().last().unwrap(), "/moved");
    drop(client);
    ringway.finish();
}

#[test]
fn the_very_next_request_takes_the_new_route() {
    let origin = origin();
    let mut settings = settings();
    settings["workers"] = json!(2);
    let mut first = document(origin.address());
    first["Ringway"] = settings;
    let ringway = start(&first);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let foo = json!({"Routes": [route("/foo", "/foo", origin.address())]});
    let bar = json!({"Routes": [route("/foo", "/bar", origin.address())]});
    for _ in 0..10 {
        for (document, target) in [(&bar, "/bar"), (&foo, "/foo")] {
            assert_eq!(client.post(document).status(), 200);
            for _ in 0..4 {
                assert_eq!(get(&ringway, "/foo"), 200);
                assert_eq!(origin.targets().last().unwrap(), target);
            }
        }
    }
    assert_eq!(get(&ringway, "/test"), 404, "what was left out is gone");
    drop(client);
    ringway.finish();
}

#[test]
fn it_works_under_a_base_url_of_its_own() {
    let origin = origin();
    let mut own = settings();
    own["admin"]["ocelot"]["base_url"] = json!("http://gateway.test:8000");
    let mut document = document(origin.address());
    document["GlobalConfiguration"]["BaseUrl"] = json!("http://gateway.test:8000");
    document["Ringway"] = own;
    let ringway = start(&document);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    assert_eq!(client.get().status(), 200);
    let discovery = client.send("GET", "/.well-known/openid-configuration", &[], "");
    let base = "http://gateway.test:8000/administration";
    assert_eq!(
        body(&discovery)["token_endpoint"],
        format!("{base}/connect/token")
    );
    drop(client);
    ringway.finish();
}

#[test]
fn whoever_watches_is_told_of_a_post() {
    let origin = origin();
    let ringway = start(&document(origin.address()));
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let watch = ringway.admin().open("/watch");
    let mut lines = BufReader::new(watch.writer());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).unwrap();
    }
    let smaller = json!({"Routes": [route("/foo", "/foo", origin.address())]});
    assert_eq!(client.post(&smaller).status(), 200);
    while !line.contains("ocelot-test") {
        line.clear();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "the stream goes on"
        );
    }
    drop((client, lines, watch));
    ringway.finish();
}

#[test]
fn a_refused_document_changes_nothing_and_says_everything() {
    let origin = origin();
    let ringway = start(&document(origin.address()));
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let before = (
        client.get().text(),
        std::fs::read(ringway.config_path()).unwrap(),
    );
    let server = origin.address();
    let mut no_server = route("/c", "/c", server);
    no_server["DownstreamHostAndPorts"] = json!([]);
    let mut limited = route("/d", "/d", server);
    limited["RateLimitOptions"] = json!({"EnableRateLimiting": true, "Limit": 0, "Period": "x"});
    let mut proved = route("/e", "/e", server);
    proved["AuthenticationOptions"] = json!({"AuthenticationProviderKey": "Nobody"});
    let mut version = route("/f", "/f", server);
    version["DownstreamHttpVersion"] = json!("one");
    let wrong = json!({"Routes": [
        route("a", "/a//b", server), route("/{x}/{x}", "http://b", server),
        route("/b", "/b", server), route("/b", "/c", server), no_server, limited, proved, version,
    ], "Aggregates": [{"UpstreamPathTemplate": "/all", "RouteKeys": ["none"]}]});
    let answer = client.post(&wrong);
    assert_eq!(answer.status(), 400);
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let text = answer.text();
    let start = "ConfigurationRepositoryException: FileValidationFailedError: ";
    assert!(text.starts_with(start) && text.ends_with('\n'), "{text}");
    for message in [
        "Upstream Path Template a doesnt start with forward slash",
        "Downstream Path Template /a//b contains double forward slash, Ocelot does not support",
        "Downstream Path Template http://b contains scheme",
        "UpstreamPathTemplate '/{x}/{x}' has duplicated placeholder",
        "route /b has duplicate",
        "When not using service discovery DownstreamHostAndPorts must be set and not empty or \
         Ocelot cannot find your service!",
        "RateLimitOptions.Limit is negative or zero for the route /d",
        "RateLimitOptions.Period does not contain integer then ms (millisecond), s (second), m \
         (minute), h (hour), d (day) e.g. 1m for 1 minute period",
        "AuthenticationProviderKey:'Nobody',AllowedScopes:[] is unsupported authentication \
         provider",
        "'DownstreamHttpVersion' is not in the correct format.",
        "Routes for aggregateRoute /all either do not exist or do not have correct ServiceName \
         property",
    ] {
        assert!(text.contains(message), "{message}\n{text}");
    }
    for body in ["", "{", "[]", "{\"Routes\": 1}"] {
        let answer = client.send("POST", "/configuration", &[], body);
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
    }
    let after = (
        client.get().text(),
        std::fs::read(ringway.config_path()).unwrap(),
    );
    assert_eq!(before, after);
    assert_eq!(get(&ringway, "/foo"), 200);
    drop(client);
    ringway.finish();
}

#[test]
fn routes_of_other_apis_are_in_the_document_and_survive_it() {
    let origin = origin();
    let ringway = start(&document(origin.address()));
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let mut admin = ringway.admin();
    let native = json!({"id": "mine", "path": "/mine", "respond": {"body": "native"}});
    assert_eq!(admin.post("/routes", &native).status(), 201);
    let shown = body(&client.get());
    assert_eq!(shown["Ringway"]["routes"], json!([native]));
    assert_eq!(shown["routes"].as_array().unwrap().len(), 2);
    assert_eq!(client.post(&shown).status(), 200);
    assert_eq!(body(&client.get()), shown);
    assert_eq!(get(&ringway, "/mine"), 200);
    // A route of the document that another API changes is a native one from then on.
    let of_foo = admin.get("/routes").text();
    let routes: Value = serde_json::from_str(&of_foo).unwrap();
    let all = routes["routes"].as_array().unwrap().iter();
    let mut ids = all.map(|route| route["id"].as_str().unwrap());
    let foo = ids
        .find(|id| id.starts_with("ocelot-foo-"))
        .unwrap()
        .to_owned();
    let patched = admin.patch(&format!("/routes/{foo}"), &json!({"max_body_bytes": 5}));
    assert_eq!(patched.status(), 200, "{}", patched.text());
    let shown = body(&client.get());
    assert_eq!(shown["routes"].as_array().unwrap().len(), 1);
    let own = shown["Ringway"]["routes"].as_array().unwrap();
    assert!(
        own.iter()
            .any(|route| route["id"] == *foo && route["max_body_bytes"] == 5)
    );
    assert_eq!(client.post(&shown).status(), 200);
    assert_eq!(body(&client.get()), shown);
    // One that it removes is gone, with its upstream.
    assert_eq!(admin.delete(&format!("/routes/{foo}")).status(), 200);
    let shown = body(&client.get());
    assert_eq!(
        shown["Ringway"],
        json!({"routes": [native], "upstreams": []})
    );
    // What a document leaves out goes.
    assert_eq!(client.post(&document(origin.address())).status(), 200);
    assert_eq!(get(&ringway, "/mine"), 404);
    assert_eq!(body(&client.get()).get("Ringway"), None);
    drop((client, admin));
    ringway.finish();
}

#[test]
fn a_document_over_a_native_file_is_kept_in_it() {
    let origin = origin();
    let directory = new_directory();
    let text = "workers: 1\nlisteners: [{address: 127.0.0.1, port: 0}]\nadmin: {enabled: true, \
                port: 0, ocelot: {path: /administration, secret: secret}}\n";
    let ringway = Ringway::start_in(directory, text, common::Driver::Epoll);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let empty = json!({"routes": [], "dynamicRoutes": [], "aggregates": [],
                       "globalConfiguration": {}});
    assert_eq!(body(&client.get()), empty);
    let posted = client.post(&document(origin.address()));
    assert_eq!(posted.status(), 200, "{}", posted.text());
    let shown = body(&client.get());
    drop(client);
    let ringway = Ringway::start_again(ringway.kill(), common::Driver::Epoll);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    assert_eq!(body(&client.get()), shown);
    assert_eq!(get(&ringway, "/foo"), 200);
    drop(client);
    ringway.finish();
}

#[test]
fn conditions_keep_two_administrators_apart() {
    let origin = origin();
    let ringway = start(&document(origin.address()));
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let etag = client.get().field("etag").unwrap().to_owned();
    let text = document(origin.address()).to_string();
    let matches = [("If-Match", etag.as_str())];
    let smaller = json!({"Routes": [route("/foo", "/foo", origin.address())]});
    assert_eq!(client.post(&smaller).status(), 200);
    let late = client.send("POST", "/configuration", &matches, &text);
    assert_eq!(late.status(), 412, "{}", late.text());
    drop(client);
    ringway.finish();
}

#[test]
fn a_region_of_the_cache_is_emptied() {
    let ringway = start(&json!({"Routes": []}));
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let answer = client.send("DELETE", "/outputcache/unknown", &[], "");
    assert_eq!((answer.status(), answer.text()), (204, String::new()));
    for (method, path, status) in [
        ("GET", "/outputcache/unknown", 405),
        ("PUT", "/configuration", 405),
        ("GET", "/connect/token", 405),
        ("POST", "/.well-known/openid-configuration", 405),
        ("GET", "/nothing", 404),
        ("GET", "", 404),
    ] {
        let answer = client.send(method, path, &[], "");
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.field("allow").is_some(), status == 405, "{path}");
    }
    client.token = None;
    assert_eq!(
        client.send("DELETE", "/outputcache/x", &[], "").status(),
        401
    );
    drop(client);
    ringway.finish();
}

#[test]
fn what_is_not_in_effect_is_said_once() {
    let origin = origin();
    let mut one = route("/foo", "/foo", origin.address());
    one["DelegatingHandlers"] = json!(["Mine"]);
    one["Nonsense"] = json!(true);
    let ringway = start(&json!({"Routes": [one]}));
    let said = wait_until("the warnings", || {
        let log = ringway.log();
        let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
        let counts = (count("DelegatingHandlers"), count("Nonsense"));
        (counts.0 > 0 && counts.1 > 0).then_some(counts)
    });
    assert_eq!(said, (1, 1));
    ringway.finish();
}

#[test]
fn it_can_be_served_among_the_traffic() {
    let origin = origin();
    let mut own = settings();
    own["admin"]["ocelot"]["on_traffic"] = json!(true);
    let all = route("/{everything}", "/{everything}", origin.address());
    let ringway = start(&json!({"Routes": [all], "Ringway": own}));
    let mut client = OcelotClient::with_token(ringway.address());
    let shown = body(&client.get());
    assert_eq!(
        shown.get("Ringway"),
        None,
        "the way here is no route of anybody's"
    );
    let discovery = client.send("GET", "/.well-known/openid-configuration", &[], "");
    let base = format!("http://{}/administration", ringway.address());
    assert_eq!(
        body(&discovery)["jwks_uri"],
        format!("{base}/.well-known/openid-configuration/jwks")
    );
    let moved = json!({"Routes": [route("/foo", "/moved", origin.address())]});
    assert_eq!(client.post(&moved).status(), 200);
    assert_eq!(get(&ringway, "/foo"), 200);
    assert_eq!(origin.targets(), ["/moved"]);
    assert_eq!(
        client.get().status(),
        200,
        "the document cannot take the way away"
    );
    // Keys of the admin API do not come in this way, and neither do its other paths.
    client.token = None;
    let key = [("X-API-Key", common::admin::KEY)];
    assert_eq!(client.send("GET", "/configuration", &key, "").status(), 401);
    for path in ["/routes", "/administrationx", "/administration/../routes"] {
        assert_eq!(get(&ringway, path), 404, "{path}");
    }
    drop(client);
    ringway.finish();
}

#[test]
fn each_client_among_the_traffic_has_guesses_of_its_own() {
    let mut own = settings();
    own["admin"]["ocelot"]["on_traffic"] = json!(true);
    own["forwarded"] = json!({"trusted": ["127.0.0.0/8"]});
    let ringway = start(&json!({"Routes": [], "Ringway": own}));
    let mut client = OcelotClient::connect(ringway.address());
    let mut from = |address: &str, form: &str| {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let fields = [kind, ("X-Forwarded-For", address), ("X-Real-IP", address)];
        client
            .send("POST", "/connect/token", &fields, form)
            .status()
    };
    let good = common::ocelot::form(common::ocelot::SECRET);
    let bad = common::ocelot::form("guess");
    assert!((0..200).any(|_| from("192.0.2.1", &bad) == 429));
    assert_eq!(from("192.0.2.2", &good), 200);
    drop(client);
    ringway.finish();
}
