//! Probe: asks servers whether they are well, away from the proxy cores.
//!
//! Each server of an upstream with a `health_check` has a task of its own. What the answers mean is
//! decided by a [`Judge`]; a change of it becomes a change of the table and so an epoch: all cores
//! learn of it together. A server counts as up until it has failed often enough.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::model::upstream::{HealthCheck, HealthCheckKind};
use crate::table::{Change, Endpoint, Peer, Server, Table, Upstream};

/// The most bytes of an answer that are looked at.
const BODY_MAX: usize = 64 * 1024;
/// Answers that may wait to be judged.
const REPORTS_MAX: usize = 1_024;

/// The servers that are asked.
pub(super) struct Prober {
    probes: HashMap<Name, Probe>,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
}

/// Upstream and server.
type Name = (String, String);

/// One server that is asked.
struct Probe {
    spec: Spec,
    judge: Judge,
    task: AbortHandle,
}

/// What a server is asked, and where.
#[derive(Clone, PartialEq)]
struct Spec {
    check: HealthCheck,
    endpoints: Vec<Endpoint>,
    host: String,
    /// How it is spoken to over TLS, if it is.
    secure: Option<Peer>,
}

struct Report {
    name: Name,
    well: bool,
}

/// What a row of answers means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Judge {
    up: bool,
    /// Answers in a row that speak against `up`.
    against: u32,
}

impl Prober {
    /// Nobody is asked yet.
    pub(super) fn new() -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        Self {
            probes: HashMap::new(),
            reports,
            reporter,
        }
    }

    /// Asks the servers of `table` that are to be asked, and no others.
    pub(super) fn follow(&mut self, table: &Table) {
        let mut before = std::mem::take(&mut self.probes);
        for upstream in table.upstreams() {
            let Some(check) = &upstream.check else {
                continue;
            };
            for (index, server) in upstream.servers.iter().enumerate() {
                let name = (upstream.name.to_string(), server.name.to_string());
                let Some(spec) = Spec::of(check, upstream, (index, server)) else {
                    continue;
                };
                let known = before.remove(&name);
                let probe = match known {
                    Some(known) if known.spec == spec => known,
                    known => {
                        let judge = Judge {
                            up: server.up,
                            against: 0,
                        };
                        if let Some(known) = known {
                            known.task.abort();
                        }
                        self.begin(&name, spec, judge)
                    }
                };
                self.probes.insert(name, probe);
            }
        }
        before.into_values().for_each(|gone| gone.task.abort());
    }

    /// Waits for the next server that goes down or comes up.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            let Some(report) = self.reports.recv().await else {
                return std::future::pending().await;
            };
            let Some(probe) = self.probes.get_mut(&report.name) else {
                continue;
            };
            if let Some(up) = probe.judge.note(report.well, &probe.spec.check) {
                let (upstream, server) = report.name;
                tracing::info!(message = "health", upstream, server, up);
                return Change::Health {
                    upstream,
                    server,
                    up,
                };
            }
        }
    }

    fn begin(&self, name: &Name, spec: Spec, judge: Judge) -> Probe {
        let (asked, name, reporter) = (spec.clone(), name.clone(), self.reporter.clone());
        let task = tokio::task::spawn_local(async move {
            // Not all at once: each begins somewhere in its first interval.
            tokio::time::sleep(asked.interval(0, 100)).await;
            loop {
                let report = Report {
                    name: name.clone(),
                    well: asked.is_well().await,
                };
                if reporter.send(report).await.is_err() {
                    break;
                }
                tokio::time::sleep(asked.interval(90, 110)).await;
            }
        });
        Probe {
            spec,
            judge,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.probes.values().for_each(|probe| probe.task.abort());
    }
}

impl Judge {
    /// Notes an answer; says whether the server is up from now on, if that has changed.
    fn note(&mut self, well: bool, check: &HealthCheck) -> Option<bool> {
        if well == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = match self.up {
            true => check.unhealthy_threshold,
            false => check.healthy_threshold,
        };
        if self.against < enough {
            return None;
        }
        *self = Self {
            up: well,
            against: 0,
        };
        Some(well)
    }
}

impl Spec {
    /// What is asked of a server of `upstream`, the one at that place. None if it is to be spoken
    /// to over TLS and nobody knows how.
    fn of(
        check: &HealthCheck,
        upstream: &Upstream,
        (index, server): (usize, &Server),
    ) -> Option<Self> {
        let host = match (&check.host, server.port) {
            (Some(host), _) => host.clone(),
            (None, 0) => upstream.name.to_string(),
            (None, _) => server.name.to_string(),
        };
        Some(Self {
            check: check.clone(),
            endpoints: server.endpoints.clone(),
            host,
            secure: match &upstream.secure {
                Some(secure) => Some(secure.peer(index)?),
                None => None,
            },
        })
    }

    /// A time from `least` to `most` percent of the interval.
    fn interval(&self, least: u64, most: u64) -> Duration {
        let chance = RandomState::new().hash_one(0) % (most - least + 1);
        Duration::from_millis(self.check.interval_ms * (least + chance) / 100)
    }

    /// Whether the server answers as it should, at one of its addresses, in time.
    async fn is_well(&self) -> bool {
        let limit = Duration::from_millis(self.check.timeout_ms);
        for endpoint in &self.endpoints {
            let asked = tokio::time::timeout(limit, self.ask(endpoint)).await;
            if matches!(asked, Ok(Some(true))) {
                return true;
            }
        }
        false
    }

    async fn ask(&self, endpoint: &Endpoint) -> Option<bool> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await.ok()?;
                self.ask_over(stream).await
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await.ok()?;
                self.ask_over(stream).await
            }
        }
    }

    async fn ask_over<S>(&self, stream: S) -> Option<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        if self.check.kind == HealthCheckKind::Tcp {
            return Some(true);
        }
        let Some(Peer { config, name }) = self.secure.clone() else {
            return self.ask_http(stream).await;
        };
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .ok()?;
        self.ask_http(stream).await
    }

    async fn ask_http<S>(&self, stream: S) -> Option<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::builder()
            .method(self.check.method.as_str())
            .uri(self.check.path.as_str())
            .header("host", &self.host)
            .header("user-agent", "ringway-probe")
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let asking = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            let status = match self.check.expected_statuses.as_slice() {
                [] => status == self.check.expected_status,
                several => several.contains(&status),
            };
            let Some(expected) = &self.check.expected_body else {
                return Some(status);
            };
            let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
            let body = body.ok()?.to_bytes();
            let mut pieces = body.windows(expected.len().max(1));
            Some(status && pieces.any(|piece| piece == expected.as_bytes()))
        };
        tokio::select! {
            biased;
            answer = asking => answer,
            // The connection only moves while it is asked to; its end alone is no answer.
            Err(_) = connection => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What the first of these servers is asked.
    fn first(ports: &[u16]) -> Spec {
        let servers = ports
            .iter()
            .map(|port| json!({"address": "127.0.0.1", "port": port}));
        let upstream = json!({
            "name": "u", "servers": servers.collect::<Vec<_>>(), "tls": {"verify": false},
            "health_check": {"path": "/"},
        });
        let change = Change::PutUpstream(serde_json::from_value(upstream).unwrap());
        let table = Table::empty().change(&[change]).unwrap();
        let upstream = table.upstreams().next().unwrap();
        let check = upstream.check.as_ref().unwrap();
        Spec::of(check, upstream, (0, &upstream.servers[0])).unwrap()
    }

    #[test]
    fn another_server_under_tls_does_not_begin_it_anew() {
        let alone = first(&[1]);
        assert!(alone == first(&[1, 2]));
        assert!(alone != first(&[2, 1]));
    }

    proptest! {
        #[test]
        fn only_a_row_of_answers_turns_it(
            answers in prop::collection::vec(any::<bool>(), 0..200),
            healthy_threshold in 1..5u32,
            unhealthy_threshold in 1..5u32,
        ) {
            let check = HealthCheck {
                healthy_threshold,
                unhealthy_threshold,
                ..HealthCheck::default()
            };
            let mut judge = Judge { up: true, against: 0 };
            let mut last = Vec::new();
            for well in answers {
                last.push(well);
                let before = judge.up;
                let turned = judge.note(well, &check);
                let needed = if before { unhealthy_threshold } else { healthy_threshold } as usize;
                let row = last.iter().rev().take_while(|one| **one != before).count();
                prop_assert_eq!(turned.is_some(), row >= needed);
                if turned.is_some() {
                    prop_assert_eq!(judge.up, !before);
                    last.clear();
                }
            }
        }
    }
}
