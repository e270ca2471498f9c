//! Promise: tokens of the administration are given, signed and refused as IdentityServer does it,
//! and those of a shared certificate or of another identity server count too.

mod common;

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use common::admin::body;
use common::ocelot::{OcelotClient, SECRET, form, settings, start, start_in};
use common::tls::{TlsServer, certificate};
use common::{Ringway, ScriptedOrigin, new_directory, ok};
use serde_json::{Value, json};

fn bare() -> Value {
    json!({"Routes": []})
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_says_what_it_is_for() {
    let ringway = start(&bare());
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let token = client.token.clone().unwrap();
    let claims = claims(&token);
    assert_eq!(claims["iss"], "Ocelot");
    assert_eq!(claims["aud"], "Ocelot/resources");
    assert_eq!(claims["client_id"], "admin");
    assert_eq!(claims["scope"], json!(["admin"]));
    let time = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!(time("exp") - time("nbf"), 3600);
    client.token = None;
    let discovery = client.send("GET", "/.well-known/openid-configuration", &[], "");
    let discovery = body(&discovery);
    assert_eq!(discovery["issuer"], "Ocelot");
    let base = format!("http://{}/administration", ringway.admin_address());
    assert_eq!(discovery["token_endpoint"], format!("{base}/connect/token"));
    let uri = discovery["jwks_uri"].as_str().unwrap();
    let keys = client.send("GET", uri.strip_prefix(&base).unwrap(), &[], "");
    let keys = body(&keys);
    let head: Value = {
        let part = token.split('.').next().unwrap();
        serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
    };
    assert_eq!(keys["keys"][0]["kid"], head["kid"]);
    assert_eq!(
        (&head["alg"], &keys["keys"][0]["kty"]),
        (&json!("RS256"), &json!("RSA"))
    );
    drop(client);
    ringway.finish();
}

#[test]
fn every_refusal_has_its_error() {
    let ringway = start(&bare());
    let mut client = OcelotClient::connect(ringway.admin_address());
    let full = form(SECRET);
    for (form, error) in [
        (form("wrong"), "invalid_client"),
        (
            full.replace("client_id=admin", "client_id=other"),
            "invalid_client",
        ),
        (full.replace("client_id=admin&", ""), "invalid_client"),
        (full.replace("client_secret=secret&", ""), "invalid_client"),
        (
            full.replace("&grant_type=client_credentials", ""),
            "unsupported_grant_type",
        ),
        (
            full.replace("client_credentials", "magic"),
            "unsupported_grant_type",
        ),
        (
            full.replace("client_credentials", "password"),
            "unauthorized_client",
        ),
        (
            full.replace("client_credentials", "authorization_code"),
            "unauthorized_client",
        ),
        (
            full.replace("scope=admin", "scope=admin+other"),
            "invalid_scope",
        ),
        (full.replace("scope=admin", "scope=openid"), "invalid_scope"),
    ] {
        let answer = client.ask_token(&form);
        assert_eq!(answer.status(), 400, "{form}");
        assert_eq!(body(&answer), json!({ "error": error }), "{form}");
        assert_eq!(answer.field("pragma"), Some("no-cache"));
    }
    let json = [("Content-Type", "application/json")];
    for fields in [&json[..], &[]] {
        let answer = client.send("POST", "/connect/token", fields, "{}");
        assert_eq!(body(&answer), json!({"error": "invalid_request"}));
    }
    drop(client);
    ringway.finish();
}

#[test]
fn a_client_may_ask_in_every_usual_way() {
    let ringway = start(&bare());
    let mut client = OcelotClient::connect(ringway.admin_address());
    let part = |(name, value): (&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields = [
        ("client_id", "admin"),
        ("client_secret", SECRET),
        ("scope", "admin"),
        ("grant_type", "client_credentials"),
    ];
    let multipart = fields.map(part).concat() + "--b--\r\n";
    let kind = ("Content-Type", "multipart/form-data; boundary=b");
    let answer = client.send("POST", "/connect/token", &[kind], &multipart);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        answer.field("cache-control"),
        Some("no-store, no-cache, max-age=0")
    );
    let basic = format!("Basic {}", STANDARD.encode(format!("admin:{SECRET}")));
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let basic = [kind, ("Authorization", basic.as_str())];
    let grant = "grant_type=client_credentials";
    let answer = client.send("POST", "/connect/token", &basic, grant);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        body(&answer)["scope"],
        "admin",
        "the scope that is not named"
    );
    drop(client);
    ringway.finish();
}

#[test]
fn guessing_the_secret_is_slow() {
    let ringway = start(&bare());
    let mut client = OcelotClient::connect(ringway.admin_address());
    let refused = (0..200).any(|_| client.ask_token(&form("guess")).status() == 429);
    assert!(refused, "200 guesses at once");
    drop(client);
    ringway.finish();
}

#[test]
fn processes_with_one_certificate_take_each_others_tokens() {
    let directory = new_directory();
    let (pfx, pem) = certificate(&directory, "open sesame");
    let with = |file: &str| {
        let password = ("OCELOT_CERTIFICATE_PASSWORD", "open sesame");
        let environment = [("OCELOT_CERTIFICATE", file), password];
        start_in(new_directory(), &bare(), &environment)
    };
    let (one, other, stranger) = (with(&pfx), with(&pem), start(&bare()));
    let token = OcelotClient::with_token(one.admin_address()).token;
    for (ringway, status) in [(&one, 200), (&other, 200), (&stranger, 401)] {
        let mut client = OcelotClient::connect(ringway.admin_address());
        client.token.clone_from(&token);
        assert_eq!(client.get().status(), status);
    }
    for ringway in [one, other, stranger] {
        ringway.finish();
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// An identity server of the test's own.
struct Identity {
    origin: ScriptedOrigin,
    pair: KeyPair,
    name: String,
    keys: Arc<Mutex<Value>>,
}

impl Identity {
    fn start() -> Self {
        let keys = Arc::new(Mutex::new(json!({"keys": []})));
        let shown = Arc::clone(&keys);
        let origin = ScriptedOrigin::start(move |connection, _| {
            while let Some(request) = connection.request() {
                let host = request.field("host").unwrap().to_owned();
                let text = match request.target() {
                    "/id/.well-known/openid-configuration" => json!({
                        "issuer": "http://issuer", "jwks_uri": format!("http://{host}/id/keys"),
                    })
                    .to_string(),
                    "/id/keys" => shown.lock().unwrap().to_string(),
                    other => panic!("asked for {other}"),
                };
                connection.write(ok(text));
            }
        });
        let mut identity = Self {
            origin,
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
            name: String::new(),
            keys,
        };
        identity.rotate("first");
        identity
    }

    /// A new key, under this name, in the place of the one before.
    fn rotate(&mut self, name: &str) {
        self.pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        self.name = name.to_owned();
        let public = self.pair.public_key();
        let modulus = BASE64.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = BASE64.encode(public.exponent().big_endian_without_leading_zero());
        *self.keys.lock().unwrap() = json!({"keys": [
            {"kty": "RSA", "use": "sig", "kid": name, "n": modulus, "e": exponent},
            {"kty": "oct", "kid": "shared", "alg": "HS256", "k": BASE64.encode("shared")},
        ]});
    }

    fn token(&self, changes: &Value) -> String {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": "http://issuer", "aud": "gateway", "sub": "somebody",
                                "nbf": now, "exp": now + 60});
        json_patch::merge(&mut claims, changes);
        let head = json!({"alg": "RS256", "kid": self.name});
        let part = |value: &Value| BASE64.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .unwrap();
        format!("{text}.{}", BASE64.encode(signature))
    }

    fn gateway(&self, more: &Value) -> Ringway {
        let mut settings = settings();
        settings["admin"]["ocelot"] = json!({
            "authority": format!("http://{}/id", self.origin.address()),
            "require_https_metadata": false,
        });
        json_patch::merge(&mut settings["admin"]["ocelot"], more);
        start(&json!({"Routes": [], "Ringway": settings}))
    }
}

fn status(ringway: &Ringway, token: String) -> u16 {
    let mut client = OcelotClient::connect(ringway.admin_address());
    client.token = Some(token);
    client.get().status()
}

#[test]
fn tokens_of_another_identity_server_count() {
    let mut identity = Identity::start();
    let ringway = identity.gateway(&json!({}));
    assert_eq!(status(&ringway, identity.token(&json!({}))), 200);
    let other_audience = identity.token(&json!({"aud": "other"}));
    assert_eq!(
        status(&ringway, other_audience),
        200,
        "the audience is not looked at"
    );
    for changes in [
        json!({"iss": "http://else"}),
        json!({"exp": 1}),
        json!({"exp": null}),
        json!({"nbf": 99_999_999_999_u64, "exp": 99_999_999_999_u64}),
    ] {
        assert_eq!(status(&ringway, identity.token(&changes)), 401, "{changes}");
    }
    // Signed with a key that everybody has, or with none.
    let part = |value: Value| BASE64.encode(value.to_string());
    let good = identity.token(&json!({}));
    let claims = good.split('.').nth(1).unwrap();
    for alg in ["none", "HS256"] {
        let head = part(json!({"alg": alg, "kid": "first"}));
        assert_eq!(status(&ringway, format!("{head}.{claims}.")), 401, "{alg}");
    }
    // There is no secret, so there are no tokens of our own.
    let mut client = OcelotClient::connect(ringway.admin_address());
    assert_eq!(client.ask_token(&form(SECRET)).status(), 404);
    drop(client);
    let old = identity.token(&json!({}));
    identity.rotate("second");
    common::wait_until("the new key is known", || {
        (status(&ringway, identity.token(&json!({}))) == 200).then_some(())
    });
    assert_eq!(status(&ringway, old), 401, "its key is gone");
    ringway.finish();
}

#[test]
fn the_audience_can_be_asked_for() {
    let identity = Identity::start();
    let ringway = identity.gateway(&json!({"audience": "gateway"}));
    assert_eq!(status(&ringway, identity.token(&json!({}))), 200);
    assert_eq!(
        status(&ringway, identity.token(&json!({"aud": "other"}))),
        401
    );
    assert_eq!(status(&ringway, identity.token(&json!({"aud": null}))), 401);
    ringway.finish();
}

#[test]
fn an_identity_server_is_asked_over_tls() {
    let directory = new_directory();
    certificate(&directory, "x");
    let identity = Identity::start();
    let server = TlsServer::start(&directory);
    let discovery = json!({"issuer": "http://issuer", "jwks_uri": server.url("keys")});
    server.put(".well-known/openid-configuration", &discovery);
    server.put("keys", &identity.keys.lock().unwrap().clone());
    let mut own = settings();
    own["admin"]["ocelot"] = json!({"authority": server.url("")});
    let document = json!({"Routes": [], "Ringway": own});
    let trusted = directory.join("c.pem");
    let trusted = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let ringway = start_in(new_directory(), &document, &trusted);
    let stranger = start(&document);
    assert_eq!(status(&ringway, identity.token(&json!({}))), 200);
    assert_eq!(
        status(&stranger, identity.token(&json!({}))),
        401,
        "nobody vouches for it"
    );
    ringway.finish();
    stranger.finish();
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_server_that_is_down_is_in_nobodys_way() {
    let identity = Identity::start();
    let ringway = identity.gateway(&json!({"secret": SECRET}));
    let token = identity.token(&json!({}));
    identity.origin.abandon();
    let mut client = OcelotClient::with_token(ringway.admin_address());
    assert_eq!(client.get().status(), 200, "a token of our own");
    let key = [("X-API-Key", common::admin::KEY)];
    let mut keyed = OcelotClient::connect(ringway.admin_address());
    let answer = keyed.send("GET", "/configuration", &key, "");
    assert_eq!(answer.status(), 200, "a key of the admin API");
    assert_eq!(status(&ringway, token), 401);
    drop((client, keyed));
    ringway.finish();
}
