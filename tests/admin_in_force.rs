//! A change that has been answered is in force on every core.

mod common;

use common::admin::{body, epoch};
use common::{ADMIN, RawClient, Ringway, on_both_drivers};
use serde_json::json;

const ROUNDS: usize = 250;

#[test]
fn the_next_request_to_every_core_is_served_by_an_answered_change() {
    on_both_drivers(|driver| {
        // Two connections to two workers: which one has which is the kernel's choice, so there are
        // enough of them that both workers have some.
        let ringway = Ringway::start(&format!("{ADMIN}workers: 2\n"), driver);
        let mut clients: Vec<RawClient> = Vec::new();
        loop {
            clients.push(RawClient::connect(ringway.address()));
            let client = clients.last_mut().unwrap();
            let answer = client.exchange(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(answer.status(), 404);
            let cores = body(&ringway.admin().get("/cores"));
            let served = |core: &serde_json::Value| core["connections"].as_u64() > Some(0);
            if cores["cores"].as_array().unwrap().iter().all(served) {
                break;
            }
            assert!(
                clients.len() < 64,
                "one worker has all connections: {cores}"
            );
        }
        let mut admin = ringway.admin();
        let route = json!({"path_prefix": "/new/", "respond": {"body": "new"}});
        let mut last = 0;
        for round in 0..ROUNDS {
            let answer = admin.post("/routes", &route);
            assert_eq!(answer.status(), 201, "{}", answer.text());
            assert!(epoch(&answer) > last);
            last = epoch(&answer);
            for client in &mut clients {
                let served = client.exchange(b"GET /new/ HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(
                    (served.status(), served.text().as_str()),
                    (200, "new"),
                    "{round}"
                );
            }
            let answer = admin.delete("/routes/%2Fnew%2F");
            assert_eq!(answer.status(), 200, "{}", answer.text());
            for client in &mut clients {
                let served = client.exchange(b"GET /new/ HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(served.status(), 404, "{round}");
            }
        }
        drop((clients, admin));
        ringway.finish();
    });
}
