//! A proxy with a cache, and origins that tell how often they were asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::{Driver, Ringway, ScriptedOrigin};

/// A route `it` for `/case` with this cache, and further sections.
pub fn configuration(origin: &ScriptedOrigin, cache: &str, further: &str) -> String {
    let port = origin.address().port();
    format!(
        "upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: {port}, max_fails: 0}}]}}]\n\
         routes: [{{id: it, path_prefix: /case, upstream: u, retry: {{max_retries: 0}}, \
         cache: {{{cache}}}}}]\n{further}"
    )
}

/// Starts with this cache.
pub fn start(driver: Driver, origin: &ScriptedOrigin, cache: &str) -> Ringway {
    Ringway::start(&configuration(origin, cache, ""), driver)
}

/// A request for what is below `/case`.
pub fn get(path: &str, lines: &str) -> String {
    format!("GET /case{path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
}

/// Answers with the number of the request, over all connections, and these field lines.
pub fn counting(lines: &'static str) -> ScriptedOrigin {
    let count = AtomicUsize::new(0);
    ScriptedOrigin::start(move |connection, _| {
        while let Some(request) = connection.request() {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let body = match request.method() {
                "HEAD" => String::new(),
                _ => number.to_string(),
            };
            let length = number.to_string().len();
            let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n");
            connection.write(format!("{head}{body}"));
        }
    })
}

/// Takes one request after the other and answers each when it is told to: with bytes, or by
/// closing.
pub fn held() -> (ScriptedOrigin, mpsc::Sender<Option<Vec<u8>>>) {
    let (answer, answers) = mpsc::channel::<Option<Vec<u8>>>();
    let answers = Mutex::new(answers);
    let origin = ScriptedOrigin::start(move |connection, _| {
        while connection.request().is_some() {
            let answer = answers.lock().unwrap().recv();
            match answer.ok().flatten() {
                Some(answer) => connection.write(answer),
                None => return,
            }
        }
    });
    (origin, answer)
}
