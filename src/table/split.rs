//! A split of a route's requests over several upstreams.

use super::condition::{Condition, Fields};
use super::error::CompileError;
use super::upstream::UpstreamId;
use crate::model;
use crate::wire::{hash, pairs};

/// Upstreams that share the requests of a route.
#[derive(Debug)]
pub struct Split {
    targets: Box<[Target]>,
    total: u64,
    sticky: Option<Sticky>,
}

#[derive(Debug)]
struct Target {
    upstream: UpstreamId,
    /// What the cookie of the split has for it: the hash of its name, in hexadecimal.
    number: Box<str>,
    weight: u64,
    header: Option<Condition>,
    cookie: Option<Condition>,
}

#[derive(Debug)]
struct Sticky {
    cookie: Box<str>,
    attributes: Box<str>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Part<'t> {
    /// The upstream.
    pub upstream: UpstreamId,
    /// What the client is to keep: a cookie's name, value and attributes.
    pub keep: Option<(&'t str, &'t str, &'t str)>,
}

impl Split {
    pub(super) fn compile(
        id: &str,
        route: &model::Route,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
    ) -> Result<Option<Self>, CompileError> {
        if route.traffic_split.is_empty() {
            return Ok(None);
        }
        let condition = |condition: &Option<model::route::Condition>, fold: bool| match condition {
            None => Ok(None),
            Some(one) if fold => {
                Condition::compile(id, one, one.name.to_ascii_lowercase()).map(Some)
            }
            Some(one) => Condition::compile(id, one, one.name.clone()).map(Some),
        };
        let targets = route.traffic_split.iter().map(|target| {
            let found = upstream(&target.upstream);
            Ok(Target {
                upstream: found.ok_or_else(|| CompileError::UnknownUpstream {
                    route: id.into(),
                    upstream: target.upstream.clone(),
                })?,
                number: format!("{:016x}", hash::of(target.upstream.as_bytes())).into(),
                weight: u64::from(target.weight),
                header: condition(&target.header, true)?,
                cookie: condition(&target.cookie, false)?,
            })
        });
        let targets: Box<[Target]> = targets.collect::<Result<_, CompileError>>()?;
        Ok(Some(Self {
            total: targets.iter().map(|target| target.weight).sum(),
            targets,
            sticky: route.split_sticky.as_ref().map(Sticky::of),
        }))
    }

    /// Where a request goes: where one of its fields or cookies brings it, else where its client
    /// has been, else by chance; `draw` is a random number.
    pub fn part<F: Fields>(&self, fields: &F, draw: u64) -> Option<Part<'_>> {
        let to = |target: &Target| Part {
            upstream: target.upstream,
            keep: None,
        };
        if let Some(brought) = self
            .targets
            .iter()
            .find(|target| target.is_asked_for(fields))
        {
            return Some(to(brought));
        }
        if let Some(known) = self.sticky.as_ref().and_then(|sticky| {
            self.targets
                .iter()
                .filter(|target| target.weight > 0)
                .find(|target| {
                    has_cookie(fields, &sticky.cookie, &|v| v == target.number.as_bytes())
                })
        }) {
            return Some(to(known));
        }
        let drawn = self.drawn(draw)?;
        let sticky = self.sticky.as_ref();
        let keep = sticky.map(|sticky| (&*sticky.cookie, &*drawn.number, &*sticky.attributes));
        Some(Part { keep, ..to(drawn) })
    }

    /// The upstreams of all parts.
    pub fn upstreams(&self) -> impl Iterator<Item = UpstreamId> {
        self.targets.iter().map(|target| target.upstream)
    }

    /// The share of each part, for `explain`.
    pub fn shares(&self) -> impl Iterator<Item = (UpstreamId, u64)> {
        self.targets
            .iter()
            .map(|target| (target.upstream, target.weight))
    }

    fn drawn(&self, draw: u64) -> Option<&Target> {
        let mut left = ((u128::from(draw) * u128::from(self.total)) >> 64) as u64;
        self.targets.iter().find(|target| {
            let found = left < target.weight;
            left = left.saturating_sub(target.weight);
            found
        })
    }
}

impl Target {
    fn is_asked_for<F: Fields>(&self, fields: &F) -> bool {
        let by_header = self.header.as_ref().is_some_and(|header| {
            fields.any(header.name().as_bytes(), &mut |value| header.accepts(value))
        });
        by_header
            || self.cookie.as_ref().is_some_and(|cookie| {
                has_cookie(fields, cookie.name(), &|value| cookie.accepts(value))
            })
    }
}

fn has_cookie<F: Fields>(fields: &F, name: &str, accept: &dyn Fn(&[u8]) -> bool) -> bool {
    fields.any(b"cookie", &mut |field| {
        pairs::cookie(field, name.as_bytes()).is_some_and(accept)
    })
}

impl Sticky {
    fn of(declared: &model::policy::SplitSticky) -> Self {
        let mut attributes = "; Path=/; HttpOnly; SameSite=Lax".to_owned();
        if let Some(seconds) = declared.max_age_s {
            attributes.push_str(&format!("; Max-Age={seconds}"));
        }
        Self {
            cookie: declared.cookie.as_str().into(),
            attributes: attributes.into(),
        }
    }
}
