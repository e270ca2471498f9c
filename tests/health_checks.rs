//! Promise: a server that is asked and does not answer well gets no request from any worker, until it
//! does again.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

const WELL: u8 = 0;
const WRONG_STATUS: u8 = 1;
const WRONG_BODY: u8 = 2;
const MUTE: u8 = 3;

/// Serves all requests well, and says of itself what the state says.
fn checked(state: &Arc<AtomicU8>) -> ScriptedOrigin {
    let state = Arc::clone(state);
    ScriptedOrigin::start(move |connection, _| {
        while let Some(request) = connection.request() {
            if request.target() == "/case" {
                connection.write(ok("checked"));
                continue;
            }
            assert_eq!(request.line, "GET /health?deep HTTP/1.1");
            assert_eq!(request.field("host"), Some("app.internal"));
            match state.load(Ordering::SeqCst) {
                WELL => connection.write(ok("all is well")),
                WRONG_STATUS => {
                    connection.write("HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\nall is well")
                }
                WRONG_BODY => connection.write(ok("all is ill")),
                _ => {
                    connection.reader.to_end();
                }
            }
        }
    })
}

#[test]
fn servers_go_down_and_come_up_as_they_answer() {
    on_both_drivers(|driver| {
        let state = Arc::new(AtomicU8::new(WELL));
        let (one, other) = (
            checked(&state),
            ScriptedOrigin::answering(ok("is well too")),
        );
        let servers = [&one, &other]
            .map(|origin| format!("{{address: 127.0.0.1, port: {}}}", origin.address().port()));
        let configuration = format!(
            "upstreams: [{{name: u, servers: [{}], health_check: {{path: \"/health?deep\", \
             host: app.internal, interval_ms: 20, timeout_ms: 100, expected_body: is well, \
             unhealthy_threshold: 2, healthy_threshold: 2}}}}]\n\
             routes: [{{path_prefix: /, upstream: u}}]\nworkers: 2\n",
            servers.join(", ")
        );
        let ringway = Ringway::start(&configuration, driver);
        let answers = |count: usize| -> Vec<String> {
            (0..count)
                .map(|_| exchange(ringway.address(), GET).text())
                .collect()
        };
        let is_used = |answers: &[String]| answers.iter().any(|answer| answer == "checked");
        for wrong in [WRONG_STATUS, WRONG_BODY, MUTE] {
            state.store(wrong, Ordering::SeqCst);
            // Two workers take turns by themselves: it is out when neither uses it.
            wait_until("it is out", || (!is_used(&answers(12))).then_some(()));
            assert!(!is_used(&answers(40)), "in state {wrong}");
            state.store(WELL, Ordering::SeqCst);
            wait_until("it is back", || is_used(&answers(4)).then_some(()));
        }
        ringway.cut_off();
        drop((one, other));
    });
}

#[test]
fn a_port_that_nobody_listens_on_is_found_out() {
    on_both_drivers(|driver| {
        let mut origins = Vec::from(["a", "b"].map(|name| ScriptedOrigin::answering(ok(name))));
        let servers: Vec<String> = origins
            .iter()
            .map(|origin| {
                format!(
                    "{{address: 127.0.0.1, port: {}, max_fails: 0}}",
                    origin.address().port()
                )
            })
            .collect();
        let configuration = format!(
            "upstreams: [{{name: u, servers: [{}], all_down: refuse, health_check: {{type: tcp, \
             interval_ms: 20, unhealthy_threshold: 1}}}}]\n\
             routes: [{{path_prefix: /, upstream: u, retry: {{max_retries: 0}}}}]\n",
            servers.join(", ")
        );
        let ringway = Ringway::start(&configuration, driver);
        origins.remove(0).abandon();
        wait_until("it is out", || {
            let answers = [(); 6].map(|()| exchange(ringway.address(), GET).text());
            answers.iter().all(|answer| answer == "b").then_some(())
        });
        origins.remove(0).abandon();
        wait_until("both are out", || {
            let answer = exchange(ringway.address(), GET);
            (answer.field("proxy-status") == Some("ringway; error=destination_unavailable"))
                .then_some(())
        });
        ringway.finish();
    });
}

#[test]
fn several_statuses_may_say_that_all_is_well() {
    let (sick, well) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)));
    let (says, asked) = (Arc::clone(&sick), Arc::clone(&well));
    let one = ScriptedOrigin::start(move |connection, _| {
        while let Some(request) = connection.request() {
            if request.target() == "/case" {
                connection.write(ok("checked"));
                continue;
            }
            let status = ["204 None", "418 Pot"][usize::from(says.load(Ordering::SeqCst))];
            connection.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            asked.fetch_add(1, Ordering::SeqCst);
        }
    });
    let configuration = format!(
        "upstreams: [{{name: u, all_down: refuse, servers: [{{address: 127.0.0.1, port: {}}}], \
         health_check: {{interval_ms: 20, expected_statuses: [200, 204], unhealthy_threshold: 1, \
         healthy_threshold: 1}}}}]\nroutes: [{{path_prefix: /, upstream: u}}]\n",
        one.address().port()
    );
    let ringway = Ringway::start(&configuration, Driver::IoUring);
    let status = || exchange(ringway.address(), GET).status();
    wait_until("it is asked", || {
        (well.load(Ordering::SeqCst) > 2).then_some(())
    });
    assert_eq!(status(), 200);
    sick.store(1, Ordering::SeqCst);
    wait_until("it is out", || (status() == 503).then_some(()));
    sick.store(0, Ordering::SeqCst);
    wait_until("it is back", || (status() == 200).then_some(()));
    ringway.cut_off();
    drop(one);
}
