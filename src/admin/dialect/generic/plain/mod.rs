//! Plain: the routes that come by the million, read without a tree of values.
//!
//! [`Plain::read`] takes a line that says only what `line` lists, with one domain and servers, and
//! makes the native route and its text of it. Whatever else a line says, and whatever is wrong
//! with it, is left to the general way. What both can read, both make the same of: a test holds
//! the two together.

mod line;
mod usual;

use serde::Serialize;
use serde_json::json;

use self::line::{Line, Target, Text};
use super::convert;
use crate::admin::entity::Text as Packed;
use crate::model::route::Also;
use crate::model::{Route, Upstream, checks};

/// The most servers of a route that is read here; their numbers are in the order of their texts.
const TARGETS_MAX: usize = 10;
/// Members of `metadata` that the server sets.
const TIMES: [&str; 2] = ["created_at", "updated_at"];
/// The member that marks the delta of a list, and so has no delta of its own.
const LIST: &str = "_t";

/// Where routes and their texts are composed, one line after the other.
#[derive(Debug)]
pub(crate) struct Buffers {
    delta: Vec<u8>,
    text: Vec<u8>,
    route: Route,
}

/// A plain route.
#[derive(Debug)]
pub(crate) struct Plain<'l> {
    line: Line<'l>,
    first: First,
}

/// The host and path of a route, and what is forwarded.
#[derive(Debug)]
enum First {
    /// A host of so many bytes, then a start of paths that is taken off.
    Bare(usize),
    /// Anything else.
    Other(Box<Also>),
}

impl<'l> Plain<'l> {
    /// Reads a line; none if it is not plain, or not right.
    pub(crate) fn read(line: &'l [u8]) -> Option<Self> {
        let line: Line<'l> = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
        let [domain] = line.frontend.domains.as_slice() else {
            return None;
        };
        let servers = &line.backend.targets;
        let is_asked = |target: &Target<'_>| {
            let hostname = &*target.hostname.0;
            target.port > 0 && !hostname.is_empty() && !hostname.starts_with("unix:")
        };
        let is_plain = (1..=TARGETS_MAX).contains(&servers.len())
            && servers.iter().all(is_asked)
            && line.has_only_defaults()
            && !line.texts().any(|(name, _)| name == LIST);
        if !is_plain {
            return None;
        }
        if let Some(host) = line.bare_host(&domain.0) {
            let first = First::Bare(host);
            return Some(Self { line, first });
        }
        let strip = line.frontend.strip_path != Some(false);
        let exact = line.frontend.exact == Some(true);
        let root = line.backend.root.as_ref().map_or("/", |root| &root.0);
        let rewrite = line.backend.rewrite == Some(true);
        let first = convert::read_domain(&domain.0, exact, (strip, root, rewrite));
        // What would be shown in other words than it was written in needs the general way.
        let shown = convert::show_domain(&first);
        let is_same = shown.domain == domain.0
            && shown.exact == exact
            && (shown.strip, shown.root.as_str(), shown.rewrite) == (strip, root, rewrite);
        let first = First::Other(first.into());
        is_same.then_some(Self { line, first })
    }

    /// The id of the route.
    pub(crate) fn id(&self) -> &str {
        &self.line.id.0
    }

    /// What its servers are told apart by, put into `key`: routes with the same key share an
    /// upstream.
    pub(crate) fn servers_key(&self, key: &mut Vec<u8>) {
        key.clear();
        for target in &self.line.backend.targets {
            key.extend_from_slice(&target.hostname.0.len().to_le_bytes());
            key.extend_from_slice(target.hostname.0.as_bytes());
            key.extend_from_slice(&target.port.to_le_bytes());
            key.extend_from_slice(&weight(target).to_le_bytes());
        }
    }

    /// The upstream of its own.
    pub(crate) fn upstream(&self) -> Option<Upstream> {
        let targets = self.line.backend.targets.iter().map(|target| {
            json!({
                "hostname": target.hostname.0, "port": target.port, "weight": weight(target),
            })
        });
        convert::own_upstream(targets.collect())
    }

    /// The native route with its servers in `upstream`, and its text; none if there may be
    /// something wrong with it.
    pub(crate) fn native<'b>(
        self,
        upstream: &str,
        buffers: &'b mut Buffers,
    ) -> Option<(&'b Route, Packed)> {
        let Buffers { delta, text, route } = buffers;
        let Self { line, first } = self;
        set(&mut route.id, &line.id.0);
        set(&mut route.upstream, upstream);
        route.methods.clear();
        let methods = line.frontend.methods.iter().flatten();
        let methods = methods.map(|method| method.0.clone().into_owned());
        route.methods.extend(methods);
        match first {
            First::Bare(host) => put_bare(line.frontend.domains.first()?, host, route),
            First::Other(first) => convert::put_first(*first, route),
        }
        if !checks::is_plain(route) {
            return None;
        }
        if let Some(text) = line.usual(route, text) {
            return Some((route, text));
        }
        line.delta(delta);
        let kept = std::str::from_utf8(delta).ok()?;
        let declared = Declared {
            id: route.id.as_deref()?,
            host: route.host.as_deref(),
            path_prefix: route.path_prefix.as_deref(),
            path: route.path.as_deref(),
            methods: &route.methods,
            upstream,
            rewrite_pattern: route.rewrite_pattern.as_deref(),
            rewrite_replacement: &route.rewrite_replacement,
            connect_timeout_ms: route.connect_timeout_ms,
            extensions: (!kept.is_empty()).then_some(Extensions { generic: kept }),
        };
        text.clear();
        serde_json::to_writer(&mut *text, &declared).ok()?;
        let text = std::str::from_utf8(text).ok()?.into();
        Some((route, text))
    }
}

impl Line<'_> {
    /// Writes what the line says and a native route has no word for, as a delta; nothing if there
    /// is nothing.
    fn delta(&self, out: &mut Vec<u8>) {
        out.clear();
        // In the order of the names, as `convert::delta` has it.
        let mut delta = Delta { out };
        delta.targets(&self.backend.targets);
        if let Some(description) = self.description.as_ref().filter(|text| !text.0.is_empty()) {
            delta.replaced("description", "", &description.0);
        }
        delta.texts(&mut self.texts().collect::<Vec<_>>());
        if self.name != self.id {
            delta.replaced("name", &self.id.0, &self.name.0);
        }
        delta.tags(self.tags.as_deref().unwrap_or_default());
        if !delta.out.is_empty() {
            delta.out.push(b'}');
        }
    }

    /// Bytes of the host of a domain, if what is forwarded is the path below it, as most say, and
    /// no letter of it needs a second look.
    fn bare_host(&self, domain: &str) -> Option<usize> {
        let is_asked = self.frontend.strip_path != Some(false)
            && self.frontend.exact != Some(true)
            && self.backend.root.as_ref().is_none_or(|root| root.0 == "/")
            && self.backend.rewrite != Some(true);
        let is_bare =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-/".contains(&byte);
        let is_bare = domain.bytes().all(is_bare) && !domain.ends_with('/');
        let host = domain.find('/').unwrap_or(domain.len());
        (is_asked && is_bare && host > 0).then_some(host)
    }

    /// The metadata, without the times that the server sets.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.metadata.iter().flat_map(|texts| &texts.0);
        let texts = texts.map(|(name, text)| (&*name.0, &*text.0));
        texts.filter(|(name, _)| !TIMES.contains(name))
    }
}

fn weight(target: &Target<'_>) -> u16 {
    target.weight.unwrap_or(1)
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            delta: Vec::new(),
            text: Vec::new(),
            route: convert::blank_of_generic(),
        }
    }
}

/// Makes a domain whose host has so many bytes the host and path of a route.
fn put_bare(domain: &Text<'_>, host: usize, route: &mut Route) {
    let (host, path) = domain.0.split_at_checked(host).unwrap_or_default();
    set(&mut route.host, host);
    if path.is_empty() {
        set(&mut route.path_prefix, "/");
        route.rewrite_pattern = None;
    } else {
        set(&mut route.path_prefix, path);
        set(&mut route.rewrite_pattern, path);
    }
    route.rewrite_replacement.clear();
    route.path = None;
    route.path_template = None;
    route.path_regex = None;
    route.rewrite_template = None;
}

/// Sets a member of a route, in the place of the text that it had.
fn set(member: &mut Option<String>, text: &str) {
    let place = member.get_or_insert_default();
    place.clear();
    place.push_str(text);
}

/// A plain route as it is kept, which [`convert::declared`] says too: what every route is without
/// a word is left out, and the times of an entity without a word are those of a route, but one.
#[derive(Serialize)]
struct Declared<'r> {
    id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_prefix: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'r str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    methods: &'r [String],
    upstream: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite_pattern: Option<&'r str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    rewrite_replacement: &'r str,
    connect_timeout_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions<'r>>,
}

/// The delta, by the name of this dialect.
#[derive(Serialize)]
struct Extensions<'r> {
    generic: &'r str,
}

/// A delta as it is written.
struct Delta<'o> {
    out: &'o mut Vec<u8>,
}

impl Delta<'_> {
    fn key(&mut self, key: &str) {
        let first = self.out.is_empty();
        self.out.push(if first { b'{' } else { b',' });
        quote(key, self.out);
        self.out.push(b':');
    }

    fn replaced(&mut self, key: &str, old: &str, new: &str) {
        self.key(key);
        self.pair(old, new);
    }

    fn pair(&mut self, old: &str, new: &str) {
        self.out.push(b'[');
        quote(old, self.out);
        self.out.push(b',');
        quote(new, self.out);
        self.out.push(b']');
    }

    fn tags(&mut self, tags: &[Text<'_>]) {
        if tags.is_empty() {
            return;
        }
        self.key("tags");
        self.out.extend_from_slice(b"[[]");
        for (index, tag) in tags.iter().enumerate() {
            self.out
                .extend_from_slice(if index == 0 { b",[" } else { b"," });
            quote(&tag.0, self.out);
        }
        self.out.extend_from_slice(b"]]");
    }

    fn texts(&mut self, texts: &mut [(&str, &str)]) {
        if texts.is_empty() {
            return;
        }
        texts.sort_unstable();
        self.key("metadata");
        for (index, (name, text)) in texts.iter().enumerate() {
            self.out.push(if index == 0 { b'{' } else { b',' });
            quote(name, self.out);
            self.out.extend_from_slice(b":[");
            quote(text, self.out);
            self.out.push(b']');
        }
        self.out.push(b'}');
    }

    /// The ids of the servers: a native one has none, and is shown with one made of its address.
    fn targets(&mut self, targets: &[Target<'_>]) {
        let mut first = true;
        for (index, target) in targets.iter().enumerate() {
            let shown = target.shown_id();
            if target.id.as_ref().is_some_and(|id| id.0 == shown) {
                continue;
            }
            if std::mem::take(&mut first) {
                self.key("backend");
                self.out.extend_from_slice(b"{\"targets\":{");
            } else {
                self.out.push(b',');
            }
            self.out
                .extend_from_slice(format!("\"{index}\":{{\"id\":").as_bytes());
            match &target.id {
                Some(id) => self.pair(&shown, &id.0),
                None => {
                    self.out.push(b'[');
                    quote(&shown, self.out);
                    self.out.extend_from_slice(b",0,0]");
                }
            }
            self.out.push(b'}');
        }
        if !first {
            self.out.extend_from_slice(b",\"_t\":\"a\"}}");
        }
    }
}

/// Writes a text as JSON.
fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing to memory never fails.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests;
