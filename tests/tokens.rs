//! Promise: a route that asks for a signed token lets in who has one, by keys that change while it
//! runs, and a chain of proofs lets in who has any of them.

mod common;

use common::tls::{TlsServer, certificate};
use common::tokens::*;
use common::*;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// A request with more field lines.
fn with(lines: &str) -> String {
    format!("GET /case HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n")
}

fn bearer(token: &str) -> String {
    with(&format!("Authorization: Bearer {token}"))
}

fn claims() -> Value {
    json!({"exp": in_seconds(60), "iss": "me", "aud": "shop", "sub": "ann", "plan": "gold"})
}

fn configuration(auth: &str, origin: &ScriptedOrigin) -> String {
    format!(
        "upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: {}}}]}}]\n\
         routes: [{{id: it, path: /case, upstream: u, auth: {auth}, \
         request_headers: {{set: [{{name: x-plan, value: \"{{claim.plan}}\"}}]}}}}]\n",
        origin.address().port()
    )
}

#[test]
fn a_token_opens_and_names_its_bearer() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("in"));
        let keys = json!([rsa_jwk("one", RSA_1_MODULUS), ec_jwk()]);
        let auth = format!(
            "{{type: jwt, realm: shop, jwt: {{keys: {keys}, algorithms: [RS256, ES256], \
             issuers: [me], audiences: [shop], claims: [{{name: plan, value: gold}}]}}}}"
        );
        let ringway = Ringway::start(&configuration(&auth, &origin), driver);
        for token in [rs256(RSA_1, "one", &claims()), es256(&claims())] {
            let lines = format!("Authorization: Bearer {token}\r\nX-Consumer-Name: forged");
            assert_eq!(exchange(ringway.address(), with(&lines)).text(), "in");
        }
        for request in origin.requests() {
            assert_eq!(request.all("x-consumer-name"), ["ann"]);
            assert_eq!(request.all("x-plan"), ["gold"]);
            assert!(request.field("authorization").is_some());
        }
        let changed = |key: &str, value: Value| {
            let mut claims = claims();
            claims[key] = value;
            rs256(RSA_1, "one", &claims)
        };
        let hmac = hs(Algorithm::HS256, RSA_1_MODULUS.as_bytes(), &claims());
        for token in [
            rs256(RSA_2, "one", &claims()),
            rs256(RSA_1, "two", &claims()),
            changed("exp", json!(in_seconds(-60))),
            changed("iss", json!("you")),
            changed("aud", json!("bank")),
            changed("plan", json!("free")),
            hmac,
            "no.token.atall".to_owned(),
        ] {
            let refused = exchange(ringway.address(), bearer(&token));
            own_answer(&refused, 401);
            let challenge = refused.field("www-authenticate");
            assert_eq!(challenge, Some("Bearer realm=\"shop\""), "{token}");
        }
        own_answer(&exchange(ringway.address(), with("X: y")), 401);
        assert_eq!(origin.requests().len(), 2);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_token_may_stand_elsewhere_and_stay_behind() {
    let origin = ScriptedOrigin::answering(ok("in"));
    let auth = format!(
        "{{type: jwt, jwt: {{keys: [{}], algorithms: [RS256], strip: true, \
         from: [{{header: x-token}}, {{cookie: t}}, {{query: t}}]}}}}",
        rsa_jwk("one", RSA_1_MODULUS)
    );
    let ringway = Ringway::start(&configuration(&auth, &origin), Driver::IoUring);
    let token = rs256(RSA_1, "one", &claims());
    let header = with(&format!("X-Token: {token}"));
    assert_eq!(exchange(ringway.address(), header).text(), "in");
    let cookie = with(&format!("Cookie: a=b; t={token}"));
    assert_eq!(exchange(ringway.address(), cookie).text(), "in");
    let query = with("X: y").replace("/case", &format!("/case?a=1&t={token}"));
    assert_eq!(exchange(ringway.address(), query).text(), "in");
    own_answer(&exchange(ringway.address(), bearer(&token)), 401);
    assert_eq!(origin.requests()[0].field("x-token"), None);
    assert_eq!(origin.targets()[2], "/case?a=1");
    ringway.finish();
    origin.finish();
}

#[test]
fn keys_of_a_url_are_fetched_and_followed() {
    on_both_drivers(|driver| {
        let issuer = ScriptedOrigin::start(|connection, number| {
            let key = match number {
                0 => rsa_jwk("one", RSA_1_MODULUS),
                _ => rsa_jwk("two", RSA_2_MODULUS),
            };
            let set = json!({"keys": [key]}).to_string();
            if connection.request().is_some() {
                connection.write(format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nContent-Length: {}\r\n\r\n{set}",
                    set.len()
                ));
            }
        });
        let origin = ScriptedOrigin::answering(ok("in"));
        let url = format!("http://{}/keys", issuer.address());
        let auth = format!("{{type: jwt, jwt: {{jwks_url: \"{url}\", algorithms: [RS256]}}}}");
        let ringway = Ringway::start(&configuration(&auth, &origin), driver);
        let status =
            |pair, id| exchange(ringway.address(), bearer(&rs256(pair, id, &claims()))).status();
        wait_until("the first key opens", || {
            (status(RSA_1, "one") == 200).then_some(())
        });
        wait_until("the second key opens", || {
            (status(RSA_2, "two") == 200).then_some(())
        });
        assert_eq!(status(RSA_1, "one"), 401, "the first key is gone");
        ringway.finish();
        origin.finish();
        issuer.finish();
    });
}

#[test]
fn keys_are_fetched_over_tls_from_a_server_that_is_vouched_for() {
    let directory = new_directory();
    certificate(&directory, "x");
    let server = TlsServer::start(&directory);
    server.put("keys", &json!({"keys": [rsa_jwk("one", RSA_1_MODULUS)]}));
    let origin = ScriptedOrigin::answering(ok("in"));
    let url = server.url("keys");
    let auth = format!("{{type: jwt, jwt: {{jwks_url: \"{url}\", algorithms: [RS256]}}}}");
    let configuration = configuration(&auth, &origin);
    let trusted = directory.join("c.pem");
    let environment = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let ringway = Ringway::start_with(&configuration, Driver::IoUring, &environment);
    let stranger = Ringway::start(&configuration, Driver::IoUring);
    let status = |ringway: &Ringway| {
        let token = rs256(RSA_1, "one", &claims());
        exchange(ringway.address(), bearer(&token)).status()
    };
    wait_until("the key opens", || (status(&ringway) == 200).then_some(()));
    wait_until("nobody vouches for the server", || {
        let log = stranger.log();
        let refused = log
            .iter()
            .any(|line| line.contains("the keys cannot be had"));
        refused.then_some(())
    });
    assert_eq!(status(&stranger), 401);
    ringway.finish();
    stranger.finish();
    origin.finish();
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn keys_of_a_file_are_read_again_when_they_change() {
    let folder = new_directory();
    let file = folder.join("keys.json");
    let set = |id: &str, modulus: &str| json!({"keys": [rsa_jwk(id, modulus)]}).to_string();
    std::fs::write(&file, set("one", RSA_1_MODULUS)).unwrap();
    let origin = ScriptedOrigin::answering(ok("in"));
    let path = file.display();
    let auth = format!("{{type: jwt, jwt: {{jwks_file: \"{path}\", algorithms: [RS256]}}}}");
    let ringway = Ringway::start(&configuration(&auth, &origin), Driver::IoUring);
    let status =
        |pair, id| exchange(ringway.address(), bearer(&rs256(pair, id, &claims()))).status();
    wait_until("the first key opens", || {
        (status(RSA_1, "one") == 200).then_some(())
    });
    // What is no key set changes nothing.
    std::fs::write(&file, "nonsense").unwrap();
    assert_eq!(status(RSA_1, "one"), 200);
    std::fs::write(&file, set("two", RSA_2_MODULUS)).unwrap();
    wait_until("the second key opens", || {
        (status(RSA_2, "two") == 200).then_some(())
    });
    assert_eq!(status(RSA_1, "one"), 401);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_shared_secret_is_read_from_where_it_is_named() {
    let folder = new_directory();
    let file = folder.join("secret");
    std::fs::write(&file, "between us\n").unwrap();
    let origin = ScriptedOrigin::answering(ok("in"));
    let path = file.display();
    let auth = format!("{{type: jwt, jwt: {{secret: {{file: \"{path}\"}}, algorithms: [HS512]}}}}");
    let ringway = Ringway::start(&configuration(&auth, &origin), Driver::IoUring);
    let token = hs(Algorithm::HS512, b"between us", &claims());
    assert_eq!(exchange(ringway.address(), bearer(&token)).text(), "in");
    for wrong in [
        hs(Algorithm::HS512, b"between them", &claims()),
        hs(Algorithm::HS256, b"between us", &claims()),
    ] {
        own_answer(&exchange(ringway.address(), bearer(&wrong)), 401);
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn any_proof_of_a_chain_will_do() {
    let origin = ScriptedOrigin::answering(ok("in"));
    let jwt = format!(
        "{{type: jwt, jwt: {{keys: [{}], algorithms: [RS256], strip: true}}}}",
        rsa_jwk("one", RSA_1_MODULUS)
    );
    // k-1
    let key = "{type: api_key, keys: [{name: reports, secret_hash: \
        \"sha256::7c35c5a1785d20704e44d5de4beb81c1fce91b6fe48ed7c3159af6f7f832078b\"}]}";
    let auth = format!("{{type: chain, any: [{jwt}, {key}]}}");
    let ringway = Ringway::start(&configuration(&auth, &origin), Driver::IoUring);
    let token = rs256(RSA_1, "one", &claims());
    assert_eq!(exchange(ringway.address(), bearer(&token)).text(), "in");
    assert_eq!(origin.requests()[0].field("authorization"), None);
    assert_eq!(
        exchange(ringway.address(), with("X-Api-Key: k-1")).text(),
        "in"
    );
    own_answer(&exchange(ringway.address(), with("X-Api-Key: guess")), 401);
    own_answer(&exchange(ringway.address(), bearer("a.b.c")), 401);
    ringway.finish();
    let open = format!("{{type: chain, any: [{jwt}, {{type: anonymous}}]}}");
    let ringway = Ringway::start(&configuration(&open, &origin), Driver::IoUring);
    assert_eq!(exchange(ringway.address(), bearer(&token)).text(), "in");
    assert_eq!(exchange(ringway.address(), with("X: y")).text(), "in");
    // Who shows a token that does not hold is not nobody.
    own_answer(&exchange(ringway.address(), bearer("a.b.c")), 401);
    let consumers: Vec<_> = origin.requests();
    let consumers: Vec<_> = consumers
        .iter()
        .map(|one| one.field("x-consumer-name"))
        .collect();
    assert_eq!(consumers, [Some("ann"), Some("reports"), Some("ann"), None]);
    ringway.finish();
    origin.finish();
}
