//! Bulk: a line in, a line out, in the same order and while the rest still comes.

mod common;

use std::io::Write as _;

use common::apis::{APIKEYS, ROUTES, get, json_of, lines_of, route};
use common::{APIS, ApisClient, Driver, RawClient, Ringway, ScriptedOrigin, ok, wait_until};
use serde_json::{Value, json};

const BULK: &str = "/apis/proxy.otoroshi.io/v1/routes/_bulk";
const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(APIS, Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    (ringway, origin, client)
}

fn line(id: &str, origin: &ScriptedOrigin) -> String {
    route(id, &format!("{id}.local"), origin.address()).to_string() + "\n"
}

fn bulk(client: &ApisClient, method: &str, query: &str, body: &str) -> Vec<Value> {
    let answer = client.typed(method, &format!("{BULK}{query}"), NDJSON.1, body);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    lines_of(&answer)
}

fn count(client: &ApisClient) -> u64 {
    json_of(&client.get(&format!("{ROUTES}/_count")), 200)["count"]
        .as_u64()
        .expect("a count")
}

/// A bulk request whose body comes in chunks.
struct Streamed(RawClient);

impl Streamed {
    fn begin(client: &ApisClient, query: &str) -> Self {
        let mut raw = client.raw();
        let fields = [NDJSON, ("Transfer-Encoding", "chunked")];
        raw.send(client.head("POST", &format!("{BULK}{query}"), &fields) + "\r\n");
        Self(raw)
    }

    fn send(&mut self, text: &str) {
        self.0.send(format!("{:x}\r\n{text}\r\n", text.len()));
    }

    /// Reads the head of the answer.
    fn head(&mut self) {
        let head = self.0.reader.head().expect("a head");
        assert_eq!(head.status(), 200);
    }

    /// Reads pieces of the answer until it has this many lines.
    fn lines(&mut self, count: usize) -> Vec<Value> {
        let mut text = String::new();
        while text.matches('\n').count() < count {
            let size = self.line();
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk");
            text += std::str::from_utf8(&self.0.reader.exactly(size)).expect("text");
            self.line();
        }
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.0.reader.exactly(1));
        }
        String::from_utf8(line).expect("text")
    }
}

#[test]
fn each_verb_answers_line_by_line() {
    let (ringway, origin, client) = start();
    let both = line("a", &origin) + &line("b", &origin);
    let done = |word: &str, status: u16, id: &str| json!({"status": status, word: true, "id": id, "id_field": "id"});
    assert_eq!(
        bulk(&client, "POST", "", &both),
        [done("created", 201, "a"), done("created", 201, "b")]
    );
    let lines = bulk(
        &client,
        "PUT",
        "",
        &(line("a", &origin) + &line("x", &origin)),
    );
    assert_eq!(lines[0], done("updated", 200, "a"));
    assert_eq!(
        (&lines[1]["status"], &lines[1]["error"]),
        (&json!(404), &json!("bad_entity"))
    );
    assert_eq!(lines[1]["error_description"], "entity does not exists");
    let patch = json!([{"op": "replace", "path": "/description", "value": "d"}]);
    let patches = json!({"id": "b", "patch": patch}).to_string()
        + "\n"
        + &json!({"id": "x", "patch": patch}).to_string();
    let lines = bulk(&client, "PATCH", "", &patches);
    assert_eq!(lines[0], done("updated", 200, "b"));
    assert_eq!(lines[1]["status"], 400);
    assert_eq!(
        lines[1]["error_description"],
        json!({"error": "entity not found"})
    );
    assert_eq!(
        json_of(&client.get(&format!("{ROUTES}/b")), 200)["description"],
        "d"
    );
    let lines = bulk(&client, "DELETE", "", "{\"id\":\"a\"}\n{\"id\":\"x\"}\n");
    assert_eq!(lines[0], done("deleted", 200, "a"));
    assert_eq!(lines[1]["status"], 404);
    assert_eq!(count(&client), 1);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_line_that_fails_says_why_and_the_rest_goes_on() {
    let (ringway, origin, client) = start();
    let long = format!("{{\"id\":\"{}\"}}\n", "x".repeat(1 << 20));
    let body = line("a", &origin)
        + "\n{broken\n"
        + "[1]\n"
        + "{\"id\":\"n\",\"name\":7}\n"
        + &long
        + &line("b", &origin)
        + line("c", &origin).trim_end();
    let lines = bulk(&client, "POST", "", &body);
    let statuses: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(
        statuses,
        [201, 400, 400, 400, 400, 201, 201]
            .map(|status| json!(status))
            .iter()
            .collect::<Vec<_>>()
    );
    let numbers: Vec<&Value> = lines[1..5].iter().map(|line| &line["line"]).collect();
    assert_eq!(
        numbers,
        [3, 4, 5, 6]
            .map(|number| json!(number))
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(lines[3]["entity"]["id"], "n");
    assert!(
        lines[3]["error_description"].to_string().contains("/name"),
        "{}",
        lines[3]
    );
    assert!(
        lines[4]["error_description"].to_string().contains("bytes"),
        "{}",
        lines[4]
    );
    assert_eq!(count(&client), 3);
    ringway.finish();
    origin.finish();
}

#[test]
fn results_flow_while_the_input_still_comes() {
    let (ringway, origin, client) = start();
    for query in ["", "?_group=4", "?_group=99"] {
        let mut stream = Streamed::begin(&client, query);
        for number in 0..5 {
            let id = format!("r{number}{}", query.len());
            stream.send(&line(&id, &origin));
            if number == 0 {
                stream.head();
            }
            let lines = stream.lines(1);
            assert_eq!(lines[0]["id"], id, "{query}");
            assert_eq!(
                get(&ringway, &format!("{id}.local"), "/").status(),
                200,
                "{query}"
            );
        }
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn order_is_that_of_the_input_whatever_the_group() {
    let (ringway, origin, client) = start();
    const COUNT: usize = 5_000;
    for group in [1, 9] {
        let ids: Vec<String> = (0..COUNT)
            .map(|number| format!("g{group}-{number}"))
            .collect();
        let body: String = ids.iter().map(|id| line(id, &origin)).collect();
        let lines = bulk(&client, "POST", &format!("?_group={group}"), &body);
        let answered: Vec<&str> = lines
            .iter()
            .map(|line| line["id"].as_str().unwrap())
            .collect();
        assert_eq!(answered, ids.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!(count(&client), 2 * COUNT as u64);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_client_that_goes_away_leaves_what_it_was_answered_for() {
    let (ringway, origin, client) = start();
    let mut stream = Streamed::begin(&client, "");
    stream.send(&(line("a", &origin) + &line("b", &origin)));
    stream.head();
    let answered = stream.lines(2);
    assert_eq!(answered.len(), 2);
    let half = line("c", &origin);
    let (half, _) = half.split_at(half.len() / 2);
    stream.send(half);
    stream.0.reset();
    wait_until("only what was answered", || {
        (count(&client) == 2).then_some(())
    });
    let list = json_of(&client.get(&format!("{ROUTES}?fields=id")), 200);
    let ids: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&json!("a"), &json!("b")]);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_reader_that_takes_nothing_stops_the_reading() {
    let (ringway, origin, client) = start();
    let before = ringway.resident_bytes();
    let mut raw = client.raw();
    let fields = [NDJSON, ("Transfer-Encoding", "chunked")];
    raw.send(client.head("POST", BULK, &fields) + "\r\n");
    let mut writer = raw.writer();
    writer
        .set_write_timeout(Some(std::time::Duration::from_secs(2)))
        .unwrap();
    // Lines that fail: their answers are as long as they are, and nothing of them is kept.
    let text = format!(
        "{{\"id\":\"x\",\"name\":7,\"own\":\"{}\"}}\n",
        "y".repeat(60_000)
    );
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    let mut sent = 0;
    while sent < 200 << 20 {
        match writer.write(chunk.as_bytes()) {
            Ok(0) | Err(_) => break,
            Ok(more) => sent += more,
        }
    }
    assert!(sent < 200 << 20, "the sender is made to wait");
    let grown = ringway.resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes");
    raw.reset();
    drop(writer);
    ringway.finish();
    origin.finish();
}

#[test]
fn atomic_is_all_or_nothing_in_one_epoch() {
    let (ringway, origin, client) = start();
    let epoch = |client: &ApisClient| {
        let answer = client.get(&format!("{ROUTES}/_count"));
        answer
            .field("x-ringway-epoch")
            .expect("an epoch")
            .parse::<u64>()
            .unwrap()
    };
    let before = epoch(&client);
    let body = line("a", &origin) + "{\"id\":\"b\",\"name\":7}\n" + &line("c", &origin);
    let lines = bulk(&client, "POST", "?atomic=true", &body);
    let statuses: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(
        statuses,
        [400, 400, 400]
            .map(|status| json!(status))
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(lines[0]["error"], "not_applied");
    assert_eq!(lines[1]["error"], "bad_request");
    assert_eq!((count(&client), epoch(&client)), (0, before));
    let body: String = (0..3_000)
        .map(|number| line(&format!("r{number}"), &origin))
        .collect();
    let lines = bulk(&client, "POST", "?atomic=true", &body);
    assert!(lines.iter().all(|line| line["status"] == 201));
    assert_eq!((count(&client), epoch(&client)), (3_000, before + 1));
    ringway.finish();
    origin.finish();
}

#[test]
fn plain_lines_and_others_may_stand_side_by_side() {
    let (ringway, origin, client) = start();
    let mut other = route("b", "b.local", origin.address());
    other["frontend"]["headers"] = json!({"x-version": "2"});
    let body = line("a", &origin)
        + &format!("{other}\n")
        + &line("a", &origin)
        + &line("c", &origin)
        + "{\"id\":\"d\",\"name\":7}\n"
        + &line("e", &origin);
    let lines = bulk(&client, "POST", "", &body);
    let statuses: Vec<u64> = lines
        .iter()
        .map(|line| line["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 201, 400, 201, 400, 201]);
    assert_eq!(lines[2]["error_description"], "entity already exists");
    for (host, status) in [
        ("a.local", 200),
        ("b.local", 404),
        ("c.local", 200),
        ("e.local", 200),
    ] {
        assert_eq!(get(&ringway, host, "/").status(), status, "{host}");
    }
    // One by one and in bulk the same comes of a line.
    let shown = |id: &str| json_of(&client.get(&format!("{ROUTES}/{id}")), 200);
    let entity = route("c", "c.local", origin.address());
    let put = client.post(&format!("{ROUTES}/c"), &entity);
    assert_eq!(put.field("otoroshi-entity-updated"), Some("false"));
    let mut changed = route("a", "changed.local", origin.address());
    changed["description"] = json!("of another host");
    changed["metadata"] = json!({"team": "x"});
    let lines = bulk(&client, "PUT", "", &format!("{changed}\n"));
    assert_eq!(lines[0]["updated"], true);
    assert_eq!(shown("a")["description"], "of another host");
    assert_eq!(shown("a")["metadata"]["team"], "x");
    assert_eq!(get(&ringway, "changed.local", "/").status(), 200);
    assert_eq!(get(&ringway, "a.local", "/").status(), 404);
    ringway.finish();
    origin.finish();
}

#[test]
fn many_lines_share_an_epoch() {
    let (ringway, origin, client) = start();
    let body: String = (0..4_000)
        .map(|number| line(&format!("r{number}"), &origin))
        .collect();
    bulk(&client, "POST", "", &body);
    let answer = client.get(&format!("{ROUTES}/_count"));
    let epoch: u64 = answer.field("x-ringway-epoch").unwrap().parse().unwrap();
    assert!(epoch < 200, "{epoch} epochs for 4000 lines");
    ringway.finish();
    origin.finish();
}

#[test]
fn every_kind_has_it_and_only_as_lines() {
    let (ringway, origin, client) = start();
    let key = json!({"clientId": "k", "clientSecret": "s", "clientName": "K"}).to_string();
    let answer = client.typed("POST", &format!("{APIKEYS}/_bulk"), NDJSON.1, &key);
    assert_eq!(
        lines_of(&answer),
        [json!({"status": 201, "created": true, "id": "k", "id_field": "clientId"})]
    );
    for (kind, error) in [
        ("application/json", "bad_content_type"),
        ("", "bad_content_type"),
    ] {
        let refused = json_of(&client.typed("POST", BULK, kind, ""), 400);
        assert_eq!(refused["error"], error);
    }
    json_of(
        &client.typed("POST", "/apis/any/any/nothing/_bulk", NDJSON.1, ""),
        404,
    );
    assert_eq!(
        client
            .typed("POST", BULK, "application/x-ndjson; charset=utf-8", "")
            .status(),
        200
    );
    let refused = client.typed("POST", &format!("{BULK}?_group=x"), NDJSON.1, "");
    assert!(
        json_of(&refused, 400)["error_description"]
            .to_string()
            .contains("_group")
    );
    ringway.finish();
    origin.finish();
}
