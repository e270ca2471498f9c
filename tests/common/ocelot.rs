//! A client of Ocelot's administration, and processes that serve it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::admin::body;
use super::client::RawClient;
use super::message::Message;
use super::{Driver, Ringway, new_directory};

/// The secret of the client `admin`.
pub const SECRET: &str = "secret";
/// The configuration file of every process here.
pub const FILE: &str = "ocelot.json";

/// The settings of a process of a test.
pub fn settings() -> Value {
    json!({
        "workers": 1,
        "listeners": [{"address": "127.0.0.1", "port": 0}],
        "admin": {"enabled": true, "port": 0, "api_key": super::admin::KEY,
                  "ocelot": {"secret": SECRET}},
    })
}

/// A route from one path to another of a server.
pub fn route(upstream: &str, downstream: &str, server: SocketAddr) -> Value {
    json!({
        "UpstreamPathTemplate": upstream,
        "UpstreamHttpMethod": ["GET"],
        "DownstreamPathTemplate": downstream,
        "DownstreamScheme": "http",
        "DownstreamHostAndPorts": [{"Host": server.ip().to_string(), "Port": server.port()}],
    })
}

/// Starts with this document.
pub fn start(document: &Value) -> Ringway {
    start_in(new_directory(), document, &[])
}

/// The same in a directory and an environment.
pub fn start_in(directory: PathBuf, document: &Value, environment: &[(&str, &str)]) -> Ringway {
    let mut document = document.clone();
    if document.get("Ringway").is_none() {
        document["Ringway"] = settings();
    }
    std::fs::write(directory.join(FILE), format!("{document:#}")).expect("the file is written");
    Ringway::start_file(directory, FILE, Driver::Epoll, environment)
}

/// One kept connection to the administration.
pub struct OcelotClient {
    client: RawClient,
    address: SocketAddr,
    pub token: Option<String>,
}

impl OcelotClient {
    /// A client without a token.
    pub fn connect(address: SocketAddr) -> Self {
        Self {
            client: RawClient::connect(address),
            address,
            token: None,
        }
    }

    /// A client with a token.
    pub fn with_token(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        let answer = client.ask_token(&form(SECRET));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let answer = body(&answer);
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 3600);
        client.token = Some(answer["access_token"].as_str().expect("a token").to_owned());
        client
    }

    /// Asks for a token with this form.
    pub fn ask_token(&mut self, form: &str) -> Message {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        self.send("POST", "/connect/token", &[kind], form)
    }

    pub fn get(&mut self) -> Message {
        self.send("GET", "/configuration", &[], "")
    }

    pub fn post(&mut self, document: &Value) -> Message {
        let kind = ("Content-Type", "application/json");
        self.send("POST", "/configuration", &[kind], &document.to_string())
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Message {
        let shown = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let shown = shown.as_deref().map(|shown| ("Authorization", shown));
        let fields: Vec<_> = shown.into_iter().chain(fields.iter().copied()).collect();
        let target = format!("/administration{path}");
        self.client
            .ask((method, &target), self.address, &fields, body)
    }
}

/// The form of a token request.
pub fn form(secret: &str) -> String {
    format!("client_id=admin&client_secret={secret}&scope=admin&grant_type=client_credentials")
}

/// The document with all names in lower case, to compare what is written in two ways.
pub fn folded(document: &Value) -> Value {
    match document {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), folded(value)))
            .collect(),
        Value::Array(list) => list.iter().map(folded).collect(),
        other => other.clone(),
    }
}
