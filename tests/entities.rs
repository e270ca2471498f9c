//! Promise: Apikeys, JwtVerifiers and ErrorTemplates of the generic API take effect on traffic as
//! soon as their write is answered, on the routes that refer to them.

mod common;

use common::apis::*;
use common::tokens::*;
use common::*;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

const VERIFIERS: &str = "/apis/security.otoroshi.io/v1/jwt-verifiers";
const TEMPLATES: &str = "/apis/proxy.otoroshi.io/v1/error-templates";

/// Runs `test` with a route of this auth.
fn route(auth: &str, test: impl Fn(&Ringway, &ApisClient, &ScriptedOrigin) + Sync) {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("in"));
        let configuration = format!(
            "{APIS}upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: {}}}]}}]\n\
             routes: [{{id: it, path_prefix: /case, upstream: u, {auth}}}]\n",
            origin.address().port()
        );
        let ringway = Ringway::start(&configuration, driver);
        let apis = ApisClient::connect(ringway.admin_address());
        test(&ringway, &apis, &origin);
        ringway.finish();
        origin.finish();
    });
}

fn ask(ringway: &Ringway, method: &str, lines: &str) -> Message {
    let request = format!("{method} /case HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n");
    exchange(ringway.address(), request)
}

fn key(id: &str, more: Value) -> Value {
    let mut key = json!({
        "clientId": id, "clientSecret": "s3cret", "clientName": "Ann",
        "authorizedEntities": ["group_shop"],
    });
    let more = more.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(more);
    key
}

const SHOWN: &str = "Otoroshi-Client-Id: k-1\r\nOtoroshi-Client-Secret: s3cret";

#[test]
fn an_apikey_opens_the_routes_that_it_is_for() {
    let auth = "auth: {type: api_key, entities: [route_it, group_shop]}";
    route(auth, |ringway, apis, origin| {
        own_answer(&ask(ringway, "GET", SHOWN), 401);
        json_of(&apis.post(APIKEYS, &key("k-1", json!({}))), 201);
        assert_eq!(ask(ringway, "GET", SHOWN).text(), "in");
        // k-1:s3cret
        let basic = "Authorization: Basic ay0xOnMzY3JldA==";
        assert_eq!(ask(ringway, "GET", basic).text(), "in");
        for request in origin.requests() {
            assert_eq!(request.all("x-consumer-name"), ["Ann"]);
            for gone in [
                "authorization",
                "otoroshi-client-id",
                "otoroshi-client-secret",
            ] {
                assert_eq!(request.field(gone), None, "{gone}");
            }
        }
        own_answer(&ask(ringway, "GET", &SHOWN.replace("s3cret", "guess")), 401);
        own_answer(&ask(ringway, "GET", "Otoroshi-Client-Id: k-1"), 401);
        let put = |more| json_of(&apis.put(&format!("{APIKEYS}/k-1"), &key("k-1", more)), 200);
        put(json!({"readOnly": true}));
        own_answer(&ask(ringway, "PUT", SHOWN), 403);
        assert_eq!(ask(ringway, "GET", SHOWN).text(), "in");
        put(json!({"allowClientIdOnly": true}));
        assert_eq!(ask(ringway, "GET", "Otoroshi-Client-Id: k-1").text(), "in");
        for shut in [
            json!({"enabled": false}),
            json!({"validUntil": 1_000}),
            json!({"authorizedEntities": ["group_other"]}),
        ] {
            put(shut.clone());
            assert_eq!(ask(ringway, "GET", SHOWN).status(), 401, "{shut}");
        }
        put(json!({}));
        assert_eq!(ask(ringway, "GET", SHOWN).text(), "in");
        assert_eq!(apis.delete(&format!("{APIKEYS}/k-1")).status(), 200);
        own_answer(&ask(ringway, "GET", SHOWN), 401);
    });
}

#[test]
fn the_quota_of_an_apikey_holds_over_all_workers_and_changes() {
    let auth = "auth: {type: api_key, entities: [route_it, group_shop]}";
    route(auth, |ringway, apis, origin| {
        json_of(
            &apis.post(APIKEYS, &key("k-1", json!({"dailyQuota": 3}))),
            201,
        );
        let statuses: Vec<u16> = (0..5)
            .map(|_| ask(ringway, "GET", SHOWN).status())
            .collect();
        assert_eq!(statuses, [200, 200, 200, 429, 429]);
        let refused = ask(ringway, "GET", SHOWN);
        own_answer(&refused, 429);
        let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&wait), "{wait}");
        assert_eq!(origin.requests().len(), 3);
        // What has been used stays used under another quota.
        let more = key("k-1", json!({"dailyQuota": 4}));
        json_of(&apis.put(&format!("{APIKEYS}/k-1"), &more), 200);
        assert_eq!(ask(ringway, "GET", SHOWN).text(), "in");
        own_answer(&ask(ringway, "GET", SHOWN), 429);
    });
}

fn verifier(settings: Value) -> Value {
    json!({
        "id": "v-1", "name": "v-1",
        "source": {"type": "InHeader", "name": "X-Token", "remove": "Bearer "},
        "algoSettings": settings,
        "strategy": {
            "type": "PassThrough",
            "verificationSettings": {"fields": {"iss": "me"}, "arrayFields": {"aud": "shop"}},
        },
    })
}

#[test]
fn a_jwt_verifier_decides_on_the_routes_that_name_it() {
    let auth = "auth: {type: jwt, jwt: {verifiers: [v-1]}}";
    route(auth, |ringway, apis, _| {
        let claims = json!({"exp": in_seconds(60), "iss": "me", "aud": ["shop"], "sub": "ann"});
        let shown = |token: &str| ask(ringway, "GET", &format!("X-Token: Bearer {token}")).status();
        let hs512 = hs(Algorithm::HS512, b"between us", &claims);
        assert_eq!(shown(&hs512), 401, "no verifier accepts it yet");
        let settings = json!({"type": "HSAlgoSettings", "size": 512, "secret": "between us"});
        json_of(&apis.post(VERIFIERS, &verifier(settings)), 201);
        assert_eq!(shown(&hs512), 200);
        let other = json!({"exp": in_seconds(60), "iss": "you", "aud": ["shop"]});
        assert_eq!(shown(&hs(Algorithm::HS512, b"between us", &other)), 401);
        let pem = |inside: &str| {
            format!("-----BEGIN PUBLIC KEY-----\n{inside}\n-----END PUBLIC KEY-----\n")
        };
        let put = |settings: Value| {
            json_of(
                &apis.put(&format!("{VERIFIERS}/v-1"), &verifier(settings)),
                200,
            )
        };
        put(json!({"type": "RSAlgoSettings", "size": 256, "publicKey": pem(RSA_1_PEM)}));
        assert_eq!(shown(&rs256(RSA_1, "any", &claims)), 200);
        assert_eq!(shown(&rs256(RSA_2, "any", &claims)), 401);
        assert_eq!(shown(&hs512), 401, "the secret is not the key any more");
        put(json!({"type": "ESAlgoSettings", "size": 256, "publicKey": pem(EC_PEM)}));
        assert_eq!(shown(&es256(&claims)), 200);
        let broken = verifier(json!({"type": "RSAlgoSettings", "size": 256, "publicKey": "x"}));
        assert_eq!(apis.put(&format!("{VERIFIERS}/v-1"), &broken).status(), 400);
        assert_eq!(
            shown(&es256(&claims)),
            200,
            "a refused write changes nothing"
        );
        assert_eq!(apis.delete(&format!("{VERIFIERS}/v-1")).status(), 200);
        assert_eq!(shown(&es256(&claims)), 401);
    });
}

#[test]
fn an_error_template_is_the_page_of_its_route_or_of_all() {
    route("allow_methods: [GET]", |ringway, apis, _| {
        let template = |id: &str, text: &str| {
            let page = format!("<b>{text} ${{status}}</b> ${{message}}");
            json!({"serviceId": id, "name": id, "template40x": page, "template50x": page})
        };
        let refused = || ask(ringway, "PUT", "X: y");
        let unknown = || get(ringway, "a.example", "/nowhere");
        own_answer(&refused(), 405);
        json_of(&apis.post(TEMPLATES, &template("it", "mine")), 201);
        let page = refused();
        assert_eq!(
            page.text(),
            "<b>mine 405</b> this method is not served here"
        );
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
        own_answer(&unknown(), 404);
        json_of(&apis.post(TEMPLATES, &template("global", "all")), 201);
        assert_eq!(
            unknown().text(),
            "<b>all 404</b> no route matches the request"
        );
        assert_eq!(
            refused().text(),
            "<b>mine 405</b> this method is not served here"
        );
        // A route that is written anew keeps the page of its template.
        let path = "/apis/ringway/v1/native-routes/it";
        let mut native = json_of(&apis.get(path), 200);
        native["allow_methods"] = json!(["POST"]);
        assert_eq!(apis.put(path, &native).status(), 200, "{native}");
        assert!(refused().text().starts_with("<b>mine 405</b>"));
        assert_eq!(apis.delete(&format!("{TEMPLATES}/it")).status(), 200);
        assert!(refused().text().starts_with("<b>all 405</b>"));
        assert_eq!(apis.delete(&format!("{TEMPLATES}/global")).status(), 200);
        own_answer(&refused(), 405);
        own_answer(&unknown(), 404);
    });
}

#[test]
fn the_configuration_has_pages_for_all_routes() {
    let pages = "error_pages: [{statuses: [404], content_type: text/plain, \
                 body: \"{status} {reason}\"}, {statuses: [502, 504], body: \"broken: {message}\"}]\n";
    let configuration = format!(
        "{pages}upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: 1}}]}}]\n\
         routes: [{{path: /case, upstream: u}}]\n"
    );
    let ringway = Ringway::start(&configuration, Driver::IoUring);
    let unknown = get(&ringway, "a.example", "/nowhere");
    assert_eq!(
        (unknown.status(), unknown.text()),
        (404, "404 Not Found".to_owned())
    );
    assert_eq!(unknown.field("content-type"), Some("text/plain"));
    let broken = get(&ringway, "a.example", "/case");
    assert_eq!(broken.status(), 502);
    assert!(broken.text().starts_with("broken: "), "{}", broken.text());
    ringway.finish();
}
