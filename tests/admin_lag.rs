//! Promise: a core that is held up holds up no other, and the answer to a write says which it is.

#![cfg(feature = "fault-points")]

mod common;

use common::admin::{body, clients_of_each_worker, epoch};
use common::{ADMIN, AdminClient, PATIENCE, Ringway, new_directory, on_both_drivers, wait_until};
use serde_json::{Value, json};

fn route(name: &str) -> Value {
    json!({"id": name, "path": format!("/{name}"), "respond": {"body": name}})
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_held_core_is_named_and_the_others_go_on() {
    on_both_drivers(|driver| {
        let ringway = Ringway::start(&format!("{ADMIN}workers: 2\n"), driver);
        let mut clients = clients_of_each_worker(&ringway);
        let (mut free, mut held) = {
            let mut of = |worker: usize| clients[worker].pop().expect("a client");
            (of(0), of(1))
        };
        let mut admin = ringway.admin();
        assert_eq!(admin.post("/routes", &route("one")).status(), 201);

        // The second worker stands still in the middle of a request.
        let hold = new_directory();
        let fault = format!("X-Fault-Point: hold {}\r\n\r\n", hold.display());
        held.send(get("/one").replace("\r\n\r\n", &format!("\r\n{fault}")));
        wait_until("the worker is held", || {
            hold.join("reached").exists().then_some(())
        });

        let late = admin.post("/routes?wait_ms=50", &route("two"));
        assert_eq!(late.status(), 202, "{}", late.text());
        let told = body(&late);
        assert_eq!(told["epoch"], epoch(&late));
        assert_eq!(told["lagging"].as_array().map(Vec::len), Some(1), "{told}");
        assert_eq!(told["lagging"][0]["worker"], 1);
        assert_eq!(told["lagging"][0]["epoch"], epoch(&late) - 1);
        let unasked = admin.delete("/routes/one?wait=none");
        assert_eq!(unasked.status(), 202, "{}", unasked.text());
        assert_eq!(free.exchange(get("/two")).text(), "two");
        assert_eq!(free.exchange(get("/one")).status(), 404);
        let cores = body(&admin.get("/cores"));
        assert_eq!(
            (&cores["cores"][0]["lag"], &cores["cores"][1]["lag"]),
            (&json!(0), &json!(2))
        );
        assert_eq!(body(&admin.get("/status"))["in_force"], false);

        // A write that waits is answered as soon as the worker goes on.
        let address = ringway.admin_address();
        let waiting = std::thread::spawn(move || {
            AdminClient::connect(address).post("/routes?wait_ms=60000", &route("three"))
        });
        wait_until("the write is in force elsewhere", || {
            (free.exchange(get("/three")).status() == 200).then_some(())
        });
        assert!(!waiting.is_finished(), "answered while a worker is held");
        std::fs::remove_dir_all(&hold).expect("the folder is there");
        assert_eq!(waiting.join().expect("an answer").status(), 201);
        // The request that was held runs to its end on the table that it began with.
        assert_eq!(held.response().text(), "one");
        assert_eq!(held.exchange(get("/one")).status(), 404);
        assert_eq!(held.exchange(get("/three")).text(), "three");
        assert!(PATIENCE.as_secs() < 60, "the wait above is no timeout");
        drop((clients, free, held, admin));
        ringway.finish();
    });
}
