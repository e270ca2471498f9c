//! Join: makes all parts at once, and their answers one object.

use std::cell::Cell;
use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::fetch::Fetch;
use super::{Aggregation, Ended};
use crate::net;
use crate::proxy::accept::Connection;
use crate::proxy::core::Core;
use crate::proxy::forward::Plan;
use crate::proxy::local::Stopped;
use crate::table::{Aggregate, Part};
use crate::wire::json;

/// How often it is looked whether the client is still there.
const LOOK: Duration = Duration::from_millis(500);

/// What the parts are made with.
pub(super) struct Joint<'a> {
    pub(super) connection: &'a Connection,
    pub(super) core: &'a Core,
    pub(super) aggregation: &'a Aggregation,
    pub(super) aggregate: &'a Aggregate,
    /// Of the request.
    pub(super) body: &'a [u8],
    /// The tick at which all must be done.
    pub(super) total: u64,
    /// Bytes that the parts may still have, all together.
    pub(super) left: Cell<usize>,
}

/// The bodies of the parts, by the place of the part.
type Bodies = Vec<Vec<Vec<u8>>>;

impl Joint<'_> {
    /// The object with the bodies of all parts.
    pub(super) async fn join(&self) -> Result<Vec<u8>, Ended> {
        let parts = &self.aggregate.parts;
        let mut bodies: Bodies = parts.iter().map(|_| Vec::new()).collect();
        let is_later = |index: usize, part: &Part| index > 0 && part.for_each.is_some();
        let mut jobs = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if !is_later(index, part) {
                jobs.push((index, self.prepare(part, b"")?));
            }
        }
        let mut made = jobs.len();
        self.room_for(made)?;
        self.fetch(jobs, &mut bodies).await?;
        let mut jobs = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let Some(path) = part.for_each.as_ref().filter(|_| index > 0) else {
                continue;
            };
            let first = bodies.first().and_then(|all| all.first());
            let values = values(path, first.map_or(&[][..], |body| body));
            made += values.len();
            self.room_for(made)?;
            for value in &values {
                jobs.push((index, self.prepare(part, value)?));
            }
        }
        self.fetch(jobs, &mut bodies).await?;
        Ok(object(parts, &bodies))
    }

    fn room_for(&self, requests: usize) -> Result<(), Ended> {
        if requests <= self.aggregate.requests_max {
            return Ok(());
        }
        let sentence = format!(
            "the request would become {requests} requests, and the most is {}",
            self.aggregate.requests_max
        );
        Err(Ended::Stopped(bad_part(sentence), None))
    }

    /// Makes all of `jobs` at once; the first that fails ends the others.
    async fn fetch(&self, jobs: Vec<(usize, Plan)>, bodies: &mut Bodies) -> Result<(), Ended> {
        type Making<'m> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Ended>> + 'm>>;
        let mut under_way: Vec<(usize, Option<Making<'_>>, Vec<u8>)> = Vec::new();
        for (index, plan) in jobs {
            let making: Making<'_> = Box::pin(self.one(index, plan));
            under_way.push((index, Some(making), Vec::new()));
        }
        let mut watch = pin!(self.watch());
        std::future::poll_fn(|context| {
            let mut pending = false;
            for (_, making, body) in &mut under_way {
                let Some(future) = making else { continue };
                match future.as_mut().poll(context) {
                    Poll::Pending => pending = true,
                    Poll::Ready(Ok(made)) => (*making, *body) = (None, made),
                    Poll::Ready(Err(ended)) => return Poll::Ready(Err(ended)),
                }
            }
            if !pending {
                return Poll::Ready(Ok(()));
            }
            watch.as_mut().poll(context).map(|()| Err(Ended::Gone))
        })
        .await?;
        for (index, _, body) in under_way {
            if let Some(place) = bodies.get_mut(index) {
                place.push(body);
            }
        }
        Ok(())
    }

    async fn one(&self, index: usize, mut plan: Plan) -> Result<Vec<u8>, Ended> {
        let fetch = Fetch {
            core: self.core,
            body: self.body,
            bytes_max: self.aggregate.part_bytes_max,
            left: &self.left,
            total: self.total,
        };
        let fetched = fetch.run(&mut plan).await;
        fetched.map_err(|failed| {
            let key = self.aggregate.parts.get(index);
            let key = key.map(|part| String::from_utf8_lossy(&part.key));
            let stopped = failed.told(&key.unwrap_or_default());
            Ended::Stopped(stopped, plan.shape.take())
        })
    }

    /// Ends when the client is gone.
    async fn watch(&self) {
        loop {
            net::sleep(LOOK).await;
            if self.connection.stream.is_broken() {
                return;
            }
        }
    }
}

/// That a part is not what it should be.
pub(super) fn bad_part(sentence: String) -> Stopped {
    Stopped {
        status: 502,
        reason: "bad_part",
        sentence: sentence.into(),
        lines: Vec::new(),
    }
}

/// The different scalar values that `path` finds in `body`, in their order.
fn values(path: &json::Path, body: &[u8]) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut values = Vec::new();
    path.find(body, &mut |found| {
        let mut value = Vec::new();
        if json::put_scalar(found, &mut value) && seen.insert(value.clone()) {
            values.push(value);
        }
    });
    values
}

/// The object: under each key the body of its part, a list where it was made several times.
fn object(parts: &[Part], bodies: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let bytes: usize = bodies.iter().flatten().map(|body| body.len() + 1).sum();
    let mut out = Vec::with_capacity(bytes + 64 * parts.len());
    out.push(b'{');
    for (part, made) in parts.iter().zip(bodies) {
        let (first, others) = match made.split_first() {
            None => continue,
            Some(split) => split,
        };
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&part.key);
        out.push(b':');
        if !others.is_empty() {
            out.push(b'[');
        }
        out.extend_from_slice(first);
        for other in others {
            out.push(b',');
            out.extend_from_slice(other);
        }
        if !others.is_empty() {
            out.push(b']');
        }
    }
    out.push(b'}');
    out
}
