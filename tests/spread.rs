//! Promise: every worker has its share of the connections, however the kernel spreads them.

mod common;

use std::net::{SocketAddr, TcpStream};
use std::thread;

use common::admin::body;
use common::*;
use rustix::process::Signal;

const WORKERS: usize = 4;
const CLIENTS: usize = 1_000;
/// Connections that go and come at a time.
const BURST: usize = 50;
const BURSTS: usize = 60;
const NONE: &str = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(workers: usize, spread: &str, driver: Driver) -> Ringway {
    let listener = format!("{{address: 127.0.0.1, port: 0, spread: {spread}}}");
    let configuration = format!("{ADMIN}workers: {workers}\nlisteners: [{listener}]\n");
    Ringway::start(&configuration, driver)
}

fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(address).expect("a connection");
    (0..count).map(connect).collect()
}

/// A figure of each worker.
fn figures(admin: &mut AdminClient, figure: &str) -> Vec<usize> {
    let cores = body(&admin.get("/cores"));
    let of = |core: &serde_json::Value| core[figure].as_u64().expect("a figure") as usize;
    cores["cores"]
        .as_array()
        .expect("cores")
        .iter()
        .map(of)
        .collect()
}

/// The connections of each worker, once there are so many in all.
fn settled(admin: &mut AdminClient, count: usize) -> Vec<usize> {
    wait_until("all have come or gone", || {
        let each = figures(admin, "connections");
        (each.iter().sum::<usize>() == count).then_some(each)
    })
}

#[track_caller]
fn expect_even(each: &[usize]) {
    let even = each.iter().sum::<usize>() as f64 / each.len() as f64;
    let near = |count: &usize| (*count as f64 - even).abs() <= even / 10.0;
    assert!(each.len() == WORKERS && each.iter().all(near), "{each:?}");
}

#[test]
fn connections_that_last_are_even_and_stay_so_while_others_go_and_come() {
    on_both_drivers(|driver| {
        let ringway = start(WORKERS, "even", driver);
        let (address, mut admin) = (ringway.address(), ringway.admin());
        let mut clients: Vec<TcpStream> = thread::scope(|scope| {
            let four = [(); 4].map(|()| scope.spawn(|| connect(address, CLIENTS / 4)));
            four.into_iter()
                .flat_map(|some| some.join().unwrap())
                .collect()
        });
        expect_even(&settled(&mut admin, CLIENTS));
        // Which of them go is as good as chance; the same in each run.
        let mut place = 0;
        for _ in 0..BURSTS {
            for _ in 0..BURST {
                place = (place + 7_919) % clients.len();
                clients.swap_remove(place);
            }
            settled(&mut admin, CLIENTS - BURST);
            clients.extend(connect(address, BURST));
            expect_even(&settled(&mut admin, CLIENTS));
        }
        // The half that has been there longest goes at once.
        clients.drain(..CLIENTS / 2);
        settled(&mut admin, CLIENTS / 2);
        clients.extend(connect(address, CLIENTS / 2));
        expect_even(&settled(&mut admin, CLIENTS));
        let handed: usize = figures(&mut admin, "handed_over").iter().sum();
        assert!(handed > 0, "nothing was handed over");
        drop((clients, admin));
        ringway.finish();
    });
}

#[test]
fn a_client_is_served_where_it_was_handed_to() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let configuration = forwarding(origin.address()) + ADMIN + "workers: 4\n";
        let ringway = Ringway::start(&configuration, driver);
        let mut admin = ringway.admin();
        let served = |client: &mut RawClient| {
            let answer = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(answer.text(), "served");
        };
        let mut clients: Vec<RawClient> = Vec::new();
        for _ in 0..40 {
            let mut client = RawClient::connect(ringway.address());
            served(&mut client);
            clients.push(client);
        }
        for _ in 0..2 {
            clients.iter_mut().for_each(served);
        }
        assert_eq!(figures(&mut admin, "connections"), [10; WORKERS]);
        assert_eq!(figures(&mut admin, "requests"), [30; WORKERS]);
        drop((clients, admin));
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn the_kernel_has_its_way_where_it_is_to() {
    on_both_drivers(|driver| {
        let ringway = start(WORKERS, "kernel", driver);
        let mut admin = ringway.admin();
        let clients = connect(ringway.address(), 200);
        settled(&mut admin, 200);
        assert_eq!(figures(&mut admin, "handed_over"), [0; WORKERS]);
        drop((clients, admin));
        ringway.finish();
    });
}

#[test]
fn a_client_is_turned_away_when_all_workers_are_full_and_not_before() {
    on_both_drivers(|driver| {
        let limits = "workers: 2\nlimits: {max_connections: 3}\n";
        let ringway = Ringway::start(&format!("{ADMIN}{limits}"), driver);
        let mut admin = ringway.admin();
        let served = || {
            let mut client = RawClient::connect(ringway.address());
            assert_eq!(client.exchange(NONE).status(), 404);
            client
        };
        let mut clients: Vec<RawClient> = (0..6).map(|_| served()).collect();
        assert_eq!(figures(&mut admin, "connections"), [3, 3]);
        let mut further = RawClient::connect(ringway.address());
        assert!(further.reader.to_end().is_empty());
        for client in &mut clients {
            assert_eq!(client.exchange(NONE).status(), 404);
        }
        clients.truncate(5);
        settled(&mut admin, 5);
        let instead = served();
        drop((clients, instead, admin));
        ringway.finish();
    });
}

#[test]
fn all_workers_finish_what_is_in_flight_before_they_stop() {
    on_both_drivers(|driver| {
        let (origin, go) = ScriptedOrigin::held();
        let configuration = forwarding(origin.address()) + "workers: 4\n";
        let mut ringway = Ringway::start(&configuration, driver);
        let mut clients: Vec<RawClient> = (0..12)
            .map(|_| RawClient::connect(ringway.address()))
            .collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        ringway.wait_for_status("all are in flight", |status| status.sum("in_flight") == 12);
        ringway.process().signal(Signal::TERM);
        wait_until("new connections are refused", || {
            TcpStream::connect(ringway.address()).err()
        });
        for _ in &clients {
            go.send(()).unwrap();
        }
        for mut client in clients {
            assert_eq!(client.response().text(), "served");
            client.expect_close();
        }
        ringway.stopped();
        origin.finish();
    });
}
