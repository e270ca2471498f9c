//! A client of the admin API.

use std::net::SocketAddr;

use serde_json::Value;

use super::Ringway;
use super::client::RawClient;
use super::message::Message;

/// The key in `ADMIN`.
pub const KEY: &str = "secret-admin-key";

/// The admin block of a configuration, on a port that the kernel chooses.
pub const ADMIN: &str = "admin: {enabled: true, port: 0, api_key: secret-admin-key, \
                         keys: [{name: eyes, key: look-only}]}\n";

/// One kept connection to the admin API.
pub struct AdminClient {
    client: RawClient,
    address: SocketAddr,
    key: String,
}

impl AdminClient {
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_key(address, KEY)
    }

    pub fn with_key(address: SocketAddr, key: &str) -> Self {
        Self {
            client: RawClient::connect(address),
            address,
            key: key.to_owned(),
        }
    }

    pub fn get(&mut self, path: &str) -> Message {
        self.send("GET", path, &[], "")
    }

    pub fn head(&mut self, path: &str) -> Message {
        self.send("HEAD", path, &[], "")
    }

    pub fn delete(&mut self, path: &str) -> Message {
        self.send("DELETE", path, &[], "")
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Message {
        self.send("POST", path, &[], &body.to_string())
    }

    pub fn put(&mut self, path: &str, body: &Value) -> Message {
        self.send("PUT", path, &[], &body.to_string())
    }

    pub fn patch(&mut self, path: &str, body: &Value) -> Message {
        self.send("PATCH", path, &[], &body.to_string())
    }

    /// A request with further fields.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Message {
        let fields = [&[("X-API-Key", self.key.as_str())], fields].concat();
        let asked = (method, path);
        self.client.ask(asked, self.address, &fields, body)
    }

    /// Sends a GET and leaves its answer to be read as it comes.
    pub fn open(mut self, path: &str) -> RawClient {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\n\r\n",
            self.address, self.key
        );
        self.client.send(request);
        self.client
    }
}

/// Clients of each worker, at least one each: the kernel chooses which worker has a connection.
pub fn clients_of_each_worker(ringway: &Ringway) -> Vec<Vec<RawClient>> {
    const CLIENTS_MAX: usize = 64;
    let mut admin = ringway.admin();
    let mut accepted = || {
        let cores = body(&admin.get("/cores"));
        let of = |core: &Value| core["accepted"].as_u64().expect("a count");
        let cores = cores["cores"].as_array().expect("cores");
        cores.iter().map(of).collect::<Vec<_>>()
    };
    let mut before = accepted();
    let mut clients: Vec<Vec<RawClient>> = before.iter().map(|_| Vec::new()).collect();
    for _ in 0..CLIENTS_MAX {
        let mut client = RawClient::connect(ringway.address());
        let answer = client.exchange("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status(), 404);
        let after = accepted();
        let mut grown = before.iter().zip(&after);
        let worker = grown.position(|(before, after)| after > before);
        clients[worker.expect("a worker took it")].push(client);
        before = after;
        if clients.iter().all(|clients| !clients.is_empty()) {
            return clients;
        }
    }
    panic!("one worker has all connections");
}

/// The body of an answer.
#[track_caller]
pub fn body(answer: &Message) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Checks status and body.
#[track_caller]
pub fn expect(answer: &Message, status: u16, expected: Value) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(body(answer), expected);
}

/// Checks status and error.
#[track_caller]
pub fn expect_error(answer: &Message, status: u16, error: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(body(answer)["error"], error, "{}", answer.text());
}

/// The epoch of an answer.
#[track_caller]
pub fn epoch(answer: &Message) -> u64 {
    answer
        .field("x-ringway-epoch")
        .expect("an epoch")
        .parse()
        .expect("a number")
}
