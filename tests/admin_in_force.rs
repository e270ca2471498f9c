//! A change that has been answered is in force on every core.

mod common;

use common::admin::{clients_of_each_worker, epoch};
use common::{ADMIN, Ringway, on_both_drivers};
use serde_json::json;

const ROUNDS: usize = 1_000;

#[test]
fn the_next_request_to_every_core_is_served_by_an_answered_change() {
    on_both_drivers(|driver| {
        let ringway = Ringway::start(&format!("{ADMIN}workers: 2\n"), driver);
        let mut clients = clients_of_each_worker(&ringway);
        assert_eq!(clients.len(), 2);
        let mut admin = ringway.admin();
        let route = json!({"path_prefix": "/new/", "respond": {"body": "new"}});
        let request = "GET /new/ HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut last = 0;
        for round in 0..ROUNDS {
            let answer = admin.post("/routes", &route);
            assert_eq!(answer.status(), 201, "{}", answer.text());
            assert!(epoch(&answer) > last);
            last = epoch(&answer);
            for client in clients.iter_mut().flatten() {
                let served = client.exchange(request);
                let served = (served.status(), served.text());
                assert_eq!(served, (200, "new".to_owned()), "{round}");
            }
            let answer = admin.delete("/routes/%2Fnew%2F");
            assert_eq!(answer.status(), 200, "{}", answer.text());
            for client in clients.iter_mut().flatten() {
                assert_eq!(client.exchange(request).status(), 404, "{round}");
            }
        }
        drop((clients, admin));
        ringway.finish();
    });
}
