//! What a token must be: each rule with a token that keeps it and one that breaks it.

use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The fields of a request.
struct Lines(Vec<(&'static str, String)>);

impl Fields for Lines {
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut named = self.0.iter().filter(|line| line.0.as_bytes() == name);
        named.any(|line| accept(line.1.as_bytes()))
    }
}

fn jwt(text: Value) -> Jwt {
    let declared: policy::Jwt = serde_json::from_value(text).unwrap();
    Jwt::with_key_set("r", &declared, KeySet::of_secret(b"secret")).unwrap()
}

fn token(algorithm: jsonwebtoken::Algorithm, secret: &[u8], claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn hs256(claims: &Value) -> String {
    token(jsonwebtoken::Algorithm::HS256, b"secret", claims)
}

fn bearer(token: &str) -> Lines {
    Lines(vec![("authorization", format!("Bearer {token}"))])
}

fn verdict(jwt: &Jwt, token: &str) -> Option<Rejected> {
    jwt.verify(&bearer(token), b"", &|_| None).err()
}

fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap()
}

#[test]
fn each_rule_decides() {
    let jwt = jwt(json!({
        "algorithms": ["HS256"], "issuers": ["me"], "audiences": ["you"], "leeway_s": 10,
        "claims": [{"name": "scope", "value": "read"}, {"name": "org.id", "regex": "[0-9]+"}],
    }));
    let good = json!({
        "exp": now() + 60, "nbf": now() - 60, "iss": "me", "aud": ["x", "you"], "sub": "ann",
        "scope": "write read", "org": {"id": 7},
    });
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        verdict(&jwt, &hs256(&claims))
    };
    assert_eq!(verdict(&jwt, &hs256(&good)), None);
    for (key, value, expected) in [
        ("exp", json!(now() - 5), None),
        ("exp", json!(now() - 60), Some(Rejected::Time)),
        ("exp", Value::Null, Some(Rejected::Claim)),
        ("nbf", json!(now() + 5), None),
        ("nbf", json!(now() + 60), Some(Rejected::Time)),
        ("iss", json!("other"), Some(Rejected::Party)),
        ("iss", Value::Null, Some(Rejected::Claim)),
        ("aud", json!("them"), Some(Rejected::Party)),
        ("aud", Value::Null, Some(Rejected::Claim)),
        ("scope", json!("write"), Some(Rejected::Claim)),
        ("scope", json!(["read"]), None),
        ("scope", json!("readers"), Some(Rejected::Claim)),
        ("org", json!({"id": "x"}), Some(Rejected::Claim)),
    ] {
        assert_eq!(with(key, value.clone()), expected, "{key} {value}");
    }
}

#[test]
fn only_the_pinned_algorithms_count() {
    let jwt = jwt(json!({"algorithms": ["HS256"]}));
    let claims = json!({"exp": now() + 60});
    let other = token(jsonwebtoken::Algorithm::HS512, b"secret", &claims);
    assert_eq!(verdict(&jwt, &other), Some(Rejected::Algorithm));
    let forged = token(jsonwebtoken::Algorithm::HS256, b"guess", &claims);
    assert_eq!(verdict(&jwt, &forged), Some(Rejected::Signature));
    // `alg: none`, without a signature.
    let none = "eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9.";
    assert_eq!(verdict(&jwt, none), Some(Rejected::Malformed));
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.crit = Some(vec!["b64".to_owned()]);
    let key = EncodingKey::from_secret(b"secret");
    let critical = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    assert_eq!(verdict(&jwt, &critical), Some(Rejected::Malformed));
    let long = "a".repeat(TOKEN_MAX + 1);
    assert_eq!(verdict(&jwt, &long), Some(Rejected::Malformed));
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let set = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
    ]});
    let keys = KeySet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    let declared = json!({"algorithms": ["HS256", "EdDSA"]});
    let declared: policy::Jwt = serde_json::from_value(declared).unwrap();
    let jwt = Jwt::with_key_set("r", &declared, keys).unwrap();
    let claims = json!({"exp": now() + 60});
    assert_eq!(verdict(&jwt, &hs256(&claims)), Some(Rejected::NoKey));
    assert!(KeySet::parse(b"{\"keys\": []}").is_err());
    assert!(KeySet::parse(b"{}").is_err());
}

#[test]
fn the_token_stands_where_it_is_looked_for() {
    let jwt = jwt(json!({
        "algorithms": ["HS256"],
        "from": [{"header": "X-Token"}, {"cookie": "t"}, {"query": "token"}],
    }));
    let token = hs256(&json!({"exp": now() + 60}));
    let places = [
        (Lines(vec![("x-token", token.clone())]), String::new()),
        (
            Lines(vec![("cookie", format!("a=b; t={token}"))]),
            String::new(),
        ),
        (Lines(vec![]), format!("a=b&token={token}")),
    ];
    for (fields, query) in &places {
        assert!(
            jwt.verify(fields, query.as_bytes(), &|_| None).is_ok(),
            "{query}"
        );
    }
    let elsewhere = jwt.verify(&bearer(&token), b"", &|_| None);
    assert_eq!(elsewhere.err(), Some(Rejected::Missing));
}

#[test]
fn claims_are_texts() {
    let claims = json!({"a": 1, "b": ["x", true], "c": {"d": "e"}, "f.g": "h"});
    let claims = Claims(claims.as_object().unwrap().clone());
    for (name, text) in [
        ("a", Some("1")),
        ("b", Some("x,true")),
        ("c", None),
        ("c.d", Some("e")),
        ("f.g", Some("h")),
        ("z", None),
    ] {
        assert_eq!(claims.text(name).as_deref(), text, "{name}");
    }
}

proptest! {
    /// Whatever stands where a token is looked for: never a panic, and never let in.
    #[test]
    fn nothing_else_is_a_token(text in "[A-Za-z0-9_.=-]{0,80}", noise in any::<Vec<u8>>()) {
        let jwt = jwt(json!({"algorithms": ["HS256"], "from": [{"query": "t"}]}));
        let query = [b"t=", text.as_bytes()].concat();
        prop_assert!(jwt.verify(&Lines(vec![]), &query, &|_| None).is_err());
        prop_assert!(jwt.verify(&Lines(vec![]), &[b"t=", &*noise].concat(), &|_| None).is_err());
        prop_assert!(KeySet::parse(&noise).is_err());
    }

    /// A token of which a single character is another is not accepted.
    #[test]
    fn a_changed_token_is_refused(at in 0..1_000usize, to in "[A-Za-z0-9_-]") {
        let jwt = jwt(json!({"algorithms": ["HS256"]}));
        let token = hs256(&json!({"exp": now() + 60, "sub": "ann"}));
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        // The last character of each part has bits that belong to no byte.
        let is_last = token[at + 1..].is_empty() || token[at + 1..].starts_with('.');
        prop_assume!(changed != token && !is_last);
        prop_assert!(verdict(&jwt, &changed).is_some());
    }
}
