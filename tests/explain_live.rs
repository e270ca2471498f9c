//! Promise: `POST /explain` says what each policy of the route would decide, and what every worker
//! knows of the servers; what a worker knows outlives a change of the configuration.

mod common;

use common::admin::body;
use common::*;
use serde_json::{Value, json};

fn start(driver: Driver, good: &ScriptedOrigin, dead: u16) -> Ringway {
    let configuration = format!(
        "{ADMIN}upstreams: [{{name: u, all_down: refuse, circuit_breaker: {{}}, servers: [\
         {{address: 127.0.0.1, port: {}}}, \
         {{address: 127.0.0.1, port: {dead}, max_fails: 2, fail_timeout_ms: 600000}}]}}]\n\
         routes: [{{id: it, path_prefix: /x, upstream: u, retry: {{max_retries: 2}}, \
         ip: {{deny: [10.0.0.0/8]}}, allow_methods: [GET], compress: {{}}, \
         rate_limit: {{requests_per_second: 1000, burst_size: 1000, key: route}}}}]\n",
        good.address().port()
    );
    Ringway::start(&configuration, driver)
}

/// A port where nobody listens.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What the workers know of the server that nobody listens for.
fn known(said: &Value, dead: u16) -> Vec<Value> {
    let name = format!("127.0.0.1:{dead}");
    let workers = said["workers"].as_array().expect("workers");
    let servers = workers
        .iter()
        .filter_map(|worker| worker["servers"].as_array());
    servers
        .flatten()
        .filter(|server| server["server"] == name)
        .cloned()
        .collect()
}

#[test]
fn what_workers_know_is_explained_and_outlives_an_epoch() {
    on_both_drivers(|driver| {
        let good = ScriptedOrigin::answering(ok("in"));
        let dead = dead_port();
        let ringway = start(driver, &good, dead);
        let mut admin = ringway.admin();
        let asked = json!({"path": "/x?a=1", "client": "10.1.1.1",
                           "headers": {"accept-encoding": "br"}});
        let said = body(&admin.post("/explain", &asked));
        assert_eq!(said["route"], "it");
        let policies = said["policies"].to_string();
        for sentence in [
            "ip: 10.1.1.1 may not come in",
            "allow_methods: GET is served",
            "rate_limit: 1000 requests per 1000 ms",
            "compress: zstd, br, gzip, from 1024 bytes; br",
        ] {
            assert!(policies.contains(sentence), "{policies}");
        }
        assert_eq!(said["balancing"]["servers"][0]["up"], true);
        assert!(said["retries"].as_str().unwrap().contains('2'), "{said}");
        assert_eq!(
            known(&said, dead),
            Vec::<Value>::new(),
            "no request has been there"
        );
        // Each worker finds out by itself that nobody listens there.
        for clients in &mut admin::clients_of_each_worker(&ringway) {
            for _ in 0..8 {
                let answer = clients[0].exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(answer.status(), 200);
            }
        }
        let is_out = |said: &Value| {
            let known = known(said, dead);
            let count = said["workers"].as_array().unwrap().len();
            let out =
                |one: &&Value| one["out_ms"].as_u64().unwrap() > 1_000 && one["on_trial"] == true;
            known.len() == count && known.iter().filter(out).count() == count
        };
        let said = body(&admin.post("/explain", &asked));
        assert!(is_out(&said), "{said}");
        for worker in said["workers"].as_array().unwrap() {
            assert_eq!(worker["circuit"], "closed", "{said}");
            assert_eq!(worker["waiting"], 0);
        }
        // A change of the upstream that leaves the server its name.
        let mut upstream = body(&admin.get("/upstreams/u"));
        upstream["retry_budget_percent"] = json!(30);
        assert_eq!(admin.put("/upstreams/u", &upstream).status(), 200);
        let said = body(&admin.post("/explain", &asked));
        assert!(is_out(&said), "the judgement is gone: {said}");
        ringway.finish();
        good.finish();
    });
}
