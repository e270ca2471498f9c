//! A client of the generic API, with the first admin key.

use std::net::SocketAddr;

use serde_json::Value;

use super::client::{RawClient, exchange};
use super::message::Message;
use super::ringway::Ringway;

/// The first admin key in `APIS`.
pub const ID: &str = "admin-api-apikey-id";
pub const SECRET: &str = "admin-api-apikey-secret";

/// The same as the field that shows it.
pub const BASIC: (&str, &str) = (
    "Authorization",
    "Basic YWRtaW4tYXBpLWFwaWtleS1pZDphZG1pbi1hcGktYXBpa2V5LXNlY3JldA==",
);

/// An admin block with both APIs, on a port that the kernel chooses.
pub const APIS: &str = "admin: {enabled: true, port: 0, api_key: secret-admin-key, \
                        client_id: admin-api-apikey-id, client_secret: admin-api-apikey-secret, \
                        limits: {requests_per_second: 100000}}\n";

/// Where routes are.
pub const ROUTES: &str = "/apis/proxy.otoroshi.io/v1/routes";
/// Where backends are.
pub const BACKENDS: &str = "/apis/proxy.otoroshi.io/v1/backends";
/// Where keys are.
pub const APIKEYS: &str = "/apis/apim.otoroshi.io/v1/apikeys";

/// A client that opens a connection for each request.
pub struct ApisClient {
    address: SocketAddr,
    credential: (String, String),
}

impl ApisClient {
    pub fn connect(address: SocketAddr) -> Self {
        Self::with(address, BASIC)
    }

    /// With another credential.
    pub fn with(address: SocketAddr, (name, value): (&str, &str)) -> Self {
        Self {
            address,
            credential: (name.to_owned(), value.to_owned()),
        }
    }

    pub fn get(&self, path: &str) -> Message {
        self.send("GET", path, &[], "")
    }

    pub fn delete(&self, path: &str) -> Message {
        self.send("DELETE", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Message {
        self.json("POST", path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Message {
        self.json("PUT", path, body)
    }

    /// With a body of a type.
    pub fn typed(&self, method: &str, path: &str, kind: &str, body: &str) -> Message {
        self.send(method, path, &[("Content-Type", kind)], body)
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Message {
        self.typed(method, path, "application/json", &body.to_string())
    }

    /// A request with further fields.
    pub fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Message {
        let length = format!("Content-Length: {}\r\n", body.len());
        let head = self.head(method, path, fields);
        exchange(self.address, format!("{head}{length}\r\n{body}"))
    }

    /// The head of a request as far as it says nothing of a body.
    pub fn head(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let (name, value) = &self.credential;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !name.is_empty() {
            head += &format!("{name}: {value}\r\n");
        }
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        head
    }

    /// A connection for a request that is sent in pieces.
    pub fn raw(&self) -> RawClient {
        RawClient::connect(self.address)
    }
}

/// A route of Otoroshi's form for `domain`, to a server.
pub fn route(id: &str, domain: &str, server: SocketAddr) -> Value {
    serde_json::json!({
        "id": id, "name": id, "frontend": {"domains": [domain]},
        "backend": {"targets": [{"hostname": server.ip().to_string(), "port": server.port()}]},
    })
}

/// What the proxy answers to a request for `host`.
pub fn get(ringway: &Ringway, host: &str, path: &str) -> Message {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(ringway.address(), request)
}

/// The body of an answer as JSON, which must have this status.
#[track_caller]
pub fn json_of(answer: &Message, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The lines of an answer, each as JSON.
#[track_caller]
pub fn lines_of(answer: &Message) -> Vec<Value> {
    let text = std::str::from_utf8(&answer.body).expect("text");
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}
