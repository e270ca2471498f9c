//! Promise: aggregates, header transforms, claims, methods and placeholders of an ocelot.json come to
//! what Ocelot makes of them.

mod common;

use common::ocelot::{OcelotClient, route, settings, start, start_in};
use common::tokens::{hs, in_seconds};
use common::{Connection, Message, Ringway, ScriptedOrigin, exchange, new_directory, ok};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

fn send(ringway: &Ringway, line: &str, fields: &str) -> Message {
    let request =
        format!("{line} HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n{fields}\r\n");
    exchange(ringway.address(), request)
}

fn ask(ringway: &Ringway, path: &str, fields: &str) -> Message {
    send(ringway, &format!("GET {path}"), fields)
}

fn with(mut route: Value, more: Value) -> Value {
    json_patch::merge(&mut route, &more);
    route
}

/// Answers with its name and what it is asked for, as JSON.
fn echo(name: &'static str) -> ScriptedOrigin {
    ScriptedOrigin::start(move |connection: &mut Connection, _| {
        while let Some(request) = connection.request() {
            connection.write(ok(json!([name, request.target()]).to_string()));
        }
    })
}

#[test]
fn an_aggregate_joins_the_answers_of_its_routes() {
    let (laura, tom) = (echo("Laura"), echo("Tom"));
    let keyed = |key: &str, route: Value| with(route, json!({"Key": key}));
    let ringway = start(&json!({
        "Routes": [
            keyed("Laura", route("/laura", "/", laura.address())),
            keyed("Tom", route("/tom/{id}", "/users/{id}?fixed=1", tom.address())),
        ],
        "Aggregates": [
            {"UpstreamPathTemplate": "/simple", "RouteKeys": ["Tom", "Laura"]},
            {"UpstreamPathTemplate": "/of/{id}/{rest}", "RouteKeys": ["Laura", "Tom", "Laura"],
             "UpstreamHost": "front.test", "RouteIsCaseSensitive": true},
            {"UpstreamPathTemplate": "/last/{id}", "RouteKeys": ["Laura", "Tom"]},
            {"UpstreamPathTemplate": "/query?user={id}", "RouteKeys": ["Laura", "Tom"],
             "UpstreamHttpMethod": ["Get", "Post"]},
            {"UpstreamPathTemplate": "/alone/{id}", "RouteKeys": ["Tom"]},
            {"UpstreamPathTemplate": "/own", "RouteKeys": ["Tom", "Laura"], "Aggregator": "Mine"},
        ],
    }));
    let text = |path: &str| {
        let response = ask(&ringway, path, "");
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        response.text()
    };
    let unnamed = text("/simple");
    assert_eq!(
        unnamed,
        r#"{"Tom":["Tom","/users/%7Bid%7D?fixed=1"],"Laura":["Laura","/"]}"#
    );
    assert_eq!(
        text("/of/7/x/y?q=1"),
        r#"{"Laura":["Laura","/?q=1"],"Tom":["Tom","/users/7?fixed=1&q=1"]}"#
    );
    assert_eq!(
        ask(&ringway, "/OF/7/x", "").status(),
        404,
        "its case counts"
    );
    assert_eq!(
        text("/last/a/b"),
        r#"{"Laura":["Laura","/"],"Tom":["Tom","/users/a/b?fixed=1"]}"#
    );
    let by_query = text("/query?user=5");
    assert!(
        by_query.contains(r#"["Tom","/users/5?fixed=1&user=5"]"#),
        "{by_query}"
    );
    assert_eq!(
        text("/alone/7"),
        r#"["Tom","/users/7?fixed=1"]"#,
        "one alone is not joined"
    );
    assert_eq!(
        send(&ringway, "POST /simple", "Content-Length: 0\r\n").status(),
        404
    );
    assert_eq!(
        send(&ringway, "POST /query?user=1", "Content-Length: 0\r\n").status(),
        200
    );
    let own = ask(&ringway, "/own", "");
    assert_eq!(
        (own.status(), own.text().as_str()),
        (501, "Aggregator: it is code of the gateway\n")
    );
    // It comes back, and goes with its document.
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let mut shown = common::admin::body(&client.get());
    assert_eq!(shown["aggregates"].as_array().unwrap().len(), 6);
    assert_eq!(client.post(&shown).status(), 200);
    assert_eq!(common::admin::body(&client.get()), shown);
    shown["aggregates"].as_array_mut().unwrap().remove(0);
    assert_eq!(client.post(&shown).status(), 200);
    assert_eq!(ask(&ringway, "/simple", "").status(), 404);
    assert_eq!(ask(&ringway, "/last/1", "").status(), 200);
    drop(client);
    ringway.finish();
}

#[test]
fn an_aggregate_asks_for_what_another_answer_names() {
    let comments = ScriptedOrigin::answering(ok(
        r#"[{"user": 4, "post": "a"}, {"user": 5, "post": "a"}]"#,
    ));
    let (users, posts) = (echo("user"), echo("post"));
    let keyed = |key: &str, route: Value| with(route, json!({"Key": key}));
    let ringway = start(&json!({
        "Routes": [
            keyed("Comments", route("/comments", "/", comments.address())),
            keyed("Users", route("/details/{userId}", "/users/{userId}", users.address())),
            keyed("Posts", route("/posts/{postId}", "/{postId}", posts.address())),
        ],
        "Aggregates": [{
            "UpstreamPathTemplate": "/all", "RouteKeys": ["Comments", "Users", "Posts"],
            "RouteKeysConfig": [
                {"RouteKey": "Users", "JsonPath": "$[*].user", "Parameter": "userId"},
                {"RouteKey": "Posts", "JsonPath": "$[*].post", "Parameter": "postId"},
            ],
        }],
    }));
    let joined: Value = serde_json::from_str(&ask(&ringway, "/all", "").text()).unwrap();
    assert_eq!(
        joined["Users"],
        json!([["user", "/users/4"], ["user", "/users/5"]])
    );
    assert_eq!(
        joined["Posts"],
        json!(["post", "/a"]),
        "one value alone is no list"
    );
    ringway.finish();
}

#[test]
fn a_part_that_fails_is_the_answer() {
    let good = echo("good");
    let mute = ScriptedOrigin::start(
        |connection: &mut Connection, _| {
            while connection.request().is_some() {}
        },
    );
    let keyed = |key: &str, route: Value| with(route, json!({"Key": key}));
    let slow = keyed("slow", route("/slow", "/", mute.address()));
    let ringway = start(&json!({
        "Routes": [
            keyed("good", route("/good", "/", good.address())),
            with(slow, json!({"QoSOptions": {"Timeout": 100}})),
            with(keyed("closed", route("/closed", "/", good.address())),
                 json!({"SecurityOptions": {"IPBlockedList": ["127.0.0.1"]}})),
        ],
        "Aggregates": [
            {"UpstreamPathTemplate": "/a", "RouteKeys": ["good", "slow"]},
            {"UpstreamPathTemplate": "/b", "RouteKeys": ["good", "closed"]},
        ],
    }));
    assert_eq!(ask(&ringway, "/a", "").status(), 503);
    assert_eq!(ask(&ringway, "/b", "").status(), 403);
    ringway.finish();
}

#[test]
fn text_in_fields_is_found_and_replaced() {
    let origin = ScriptedOrigin::start(|connection: &mut Connection, _| {
        while let Some(request) = connection.request() {
            let host = request.field("host").unwrap();
            connection.write(format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{host}/a/http://{host}/\r\n\
                 X-Bbc: http://www.bbc.co.uk/1\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let server = origin.address();
    let transforms = json!({
        "UpstreamHeaderTransform": {
            "Test": "http://www.bbc.co.uk/, http://ocelot.net/",
            "x-case": "{A},  {BaseUrl}/b, not this",
            "X-Forwarded-For": "{RemoteIpAddress}",
            "X-Trace": "{TraceId}", "X-None": ", b", "X-Later": "a, {UpstreamHost}",
        },
        "DownstreamHeaderTransform": {
            "Location": "{DownstreamBaseUrl}, {BaseUrl}",
            "x-bbc": "http://www.bbc.co.uk/, http://ocelot.net/",
        },
    });
    let ringway = start(&json!({
        "Routes": [with(route("/", "/", server), transforms)],
        "GlobalConfiguration": {"BaseUrl": "http://api.test"},
    }));
    let fields = "Test: a http://www.bbc.co.uk/x http://www.bbc.co.uk/\r\nTest: other\r\n\
        X-Case: {A}!\r\nX-Later: a\r\n";
    let answer = ask(&ringway, "/", fields);
    assert_eq!(
        answer.field("location"),
        Some("http://api.test/a/http://api.test/")
    );
    assert_eq!(answer.field("x-bbc"), Some("http://ocelot.net/1"));
    let request = origin.requests().pop().unwrap();
    assert_eq!(
        request.all("test"),
        ["a http://ocelot.net/x http://ocelot.net/", "other"]
    );
    assert_eq!(request.field("x-case"), Some("http://api.test/b!"));
    assert_eq!(request.field("x-later"), Some("a"));
    ringway.finish();
}

#[test]
fn a_server_gets_another_method_where_that_is_said() {
    let origin = ScriptedOrigin::answering(ok("done"));
    let server = origin.address();
    let any = |path: &str, method: &str| {
        with(
            route(path, "/", server),
            json!({"UpstreamHttpMethod": [], "DownstreamHttpMethod": method}),
        )
    };
    let ringway = start(&json!({"Routes": [any("/post", "post"), any("/trace", "TRACE")]}));
    let put =
        "PUT /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(ask(&ringway, "/post", "").text(), "done");
    assert_eq!(exchange(ringway.address(), put).text(), "done");
    assert_eq!(send(&ringway, "DELETE /trace", "").text(), "done");
    let requests = origin.requests();
    let methods: Vec<&str> = requests.iter().map(Message::method).collect();
    assert_eq!(methods, ["POST", "POST", "DELETE"]);
    assert_eq!(requests[1].text(), "hello");
    ringway.finish();
}

#[test]
fn values_of_fields_stand_in_paths() {
    let origin = ScriptedOrigin::answering(ok("done"));
    let headers = json!({"UpstreamHeaderTemplates": {"Country": "{header:code}", "Kind": "old",
        "Accept-Language": "{header:language}"}});
    let by_country = route(
        "/in/{id}",
        "/{code}/{id}?language={language}",
        origin.address(),
    );
    let ringway = start(&json!({"Routes": [with(by_country, headers)]}));
    let fields = "Country: g b/../\r\nKind: OLD\r\nAccept-Language: d e/\r\n";
    assert_eq!(ask(&ringway, "/in/5", fields).status(), 200);
    assert_eq!(origin.targets(), ["/g%20b../5?language=d%20e/"]);
    ringway.finish();
}

const SECRET: &str = "a secret of some length for tests";

fn token(claims: Value) -> String {
    let claims = with(json!({"exp": in_seconds(600)}), claims);
    let token = hs(Algorithm::HS256, SECRET.as_bytes(), &claims);
    format!("Authorization: Bearer {token}\r\n")
}

/// The settings of a process that knows the provider `Bearer`.
fn proving() -> Value {
    let mut own = settings();
    own["entities"] = json!({"jwt-verifiers": [{
        "id": "Bearer", "name": "Bearer", "enabled": true,
        "algoSettings": {"type": "HSAlgoSettings", "size": 256, "secret": SECRET},
    }]});
    own
}

fn guarded(path: &str, origin: &ScriptedOrigin, more: Value) -> Value {
    let proof = json!({"UpstreamHttpMethod": [],
        "AuthenticationOptions": {"AuthenticationProviderKey": "Bearer"}});
    with(with(route(path, "/in", origin.address()), proof), more)
}

#[test]
fn tokens_are_asked_for_and_their_claims_looked_at() {
    let origin = ScriptedOrigin::answering(ok("done"));
    let ringway = start(&json!({
        "Routes": [
            guarded("/any", &origin, json!({})),
            guarded("/scope", &origin,
                json!({"AuthenticationOptions": {"AllowedScopes": ["read", "write"]}})),
            guarded("/role", &origin, json!({"RouteClaimsRequirement": {"Role": "Admin", "Team": "A"}})),
            guarded("/of/{user}/x", &origin, json!({"RouteClaimsRequirement": {"sub": "{user}"}})),
            guarded("/never", &origin, json!({"RouteClaimsRequirement": {"sub": "{nobody}"}})),
            guarded("/open", &origin, json!({"AuthenticationOptions": {"AllowAnonymous": true}})),
        ],
        "Ringway": proving(),
    }));
    let other = hs(
        Algorithm::HS256,
        b"another secret",
        &json!({"exp": in_seconds(600)}),
    );
    let other = format!("Authorization: Bearer {other}\r\n");
    for (path, fields, status) in [
        ("/any", String::new(), 401),
        ("/any", other, 401),
        ("/any", token(json!({"exp": in_seconds(-600)})), 401),
        ("/any", token(json!({})), 200),
        ("/open", String::new(), 200),
        ("/scope", token(json!({})), 403),
        ("/scope", token(json!({"scope": "none read"})), 200),
        ("/scope", token(json!({"scope": ["none", "write"]})), 200),
        ("/scope", token(json!({"scope": "reader"})), 403),
        ("/role", token(json!({"Role": "Admin"})), 403),
        (
            "/role",
            token(json!({"Role": ["User", "Admin"], "Team": "A"})),
            200,
        ),
        ("/of/ann/x", token(json!({"sub": "ann"})), 200),
        ("/of/bob/x", token(json!({"sub": "ann"})), 403),
        ("/never", token(json!({"sub": "ann"})), 403),
    ] {
        let answer = ask(&ringway, path, &fields);
        assert_eq!(answer.status(), status, "{path} {fields} {}", answer.text());
    }
    assert_eq!(
        send(&ringway, "OPTIONS /any", "").status(),
        200,
        "asked before a proof is there"
    );
    ringway.finish();
}

#[test]
fn claims_go_on_in_fields_queries_and_paths() {
    let origin = ScriptedOrigin::answering(ok("done"));
    let transforms = json!({
        "DownstreamPathTemplate": "/users/{userId}/{rest}",
        "AddClaimsToRequest": {"Kind": "Claims[sub] > value[0] > |"},
        "AddHeadersToRequest": {"CustomerId": "Claims[sub] > value[1] > |", "Kind": "Claims[Kind] > value",
            "Host": "Claims[sub] > value", "Odd": "what is this"},
        "AddQueriesToRequest": {"place": "Claims[LocationId] > value"},
        "ChangeDownstreamPathTemplate": {"userId": "Claims[sub] > value[1] > |"},
    });
    let mut me = guarded("/me/{rest}", &origin, json!({}));
    json_patch::merge(&mut me, &transforms);
    let nobody = with(
        route("/nobody", "/", origin.address()),
        json!({"AddHeadersToRequest": {"CustomerId": "Claims[sub] > value"}}),
    );
    let ringway = start(&json!({"Routes": [me, nobody], "Ringway": proving()}));
    let fields = token(json!({"sub": "user|7 /x", "LocationId": "a&b"})) + "CustomerId: forged\r\n";
    let answer = ask(&ringway, "/me/a/b?place=mine&q=1", &fields);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.target(), "/users/7%20x/a/b?q=1&place=a%26b");
    assert_eq!(request.all("customerid"), ["7 /x"]);
    assert_eq!(request.field("kind"), Some("user"));
    // Without a claim that goes on it is refused, and so it is without a proof.
    assert_eq!(
        ask(&ringway, "/me/a", &token(json!({"sub": "user|7"}))).status(),
        403
    );
    assert_eq!(
        ask(&ringway, "/nobody", "CustomerId: forged\r\n").status(),
        403
    );
    assert_eq!(origin.requests().len(), 1);
    ringway.finish();
}

#[test]
fn a_provider_must_be_known() {
    let origin = ScriptedOrigin::answering(ok("done"));
    let ringway = start_in(
        new_directory(),
        &json!({"Routes": [guarded("/any", &origin, json!({}))], "Ringway": proving()}),
        &[],
    );
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let shown = common::admin::body(&client.get());
    assert_eq!(client.post(&shown).status(), 200);
    let mut other = shown;
    other["routes"][0]["authenticationOptions"]["authenticationProviderKey"] = json!("Nobody");
    let refused = client.post(&other);
    assert_eq!(refused.status(), 400);
    let said = "AuthenticationProviderKey:'Nobody',AllowedScopes:[] is unsupported";
    assert!(refused.text().contains(said), "{}", refused.text());
    assert_eq!(ask(&ringway, "/any", &token(json!({}))).status(), 200);
    drop(client);
    ringway.finish();
}
