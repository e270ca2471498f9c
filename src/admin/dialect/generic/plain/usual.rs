//! Usual: the routes that say nothing but a domain, a server and a name.
//!
//! Their text is packed as it is written. It is byte for byte what the JSON of such a route comes
//! to when it is packed; a test holds the two together.

use super::line::Line;
use crate::admin::entity::Text;
use crate::admin::text::{byte_of, pack_plain};
use crate::model::Route;

const ID: u8 = byte_of(r#"{"id":""#);
const HOST: u8 = byte_of(r#"","host":""#);
const PATH_PREFIX: u8 = byte_of(r#"","path_prefix":""#);
const UPSTREAM: u8 = byte_of(r#"","upstream":""#);
const OWN_UPSTREAM: u8 = byte_of(r#"","upstream":"inline-"#);
const REWRITE_PATTERN: u8 = byte_of(r#"","rewrite_pattern":""#);
const CONNECT_TIMEOUT: u8 = byte_of(r#"","connect_timeout_ms":10000"#);
const DELTA: u8 = byte_of(r#","extensions":{"generic":"{\""#);
const TARGET: u8 = byte_of(r#"backend\":{\"targets\":{\"0\":{\"id\":[\""#);
const NO_TARGET_ID: u8 = byte_of(r#"\",0,0]},\"_t\":\"a\"}}"#);
const NAME: u8 = byte_of(r#",\"name\":[\""#);
const INSTEAD: u8 = byte_of(r#"\",\""#);
const END: u8 = byte_of(r#"\"]}"}}"#);

/// The start of the names of upstreams of their own, as the piece has it.
const OWN: &str = "inline-";
/// The time to connect, as the piece has it.
const CONNECT_TIMEOUT_MS: u64 = 10_000;

impl Line<'_> {
    /// The text of the native form `route`, composed in `out`; none if it is not usual.
    pub(super) fn usual(&self, route: &Route, out: &mut Vec<u8>) -> Option<Text> {
        let [target] = self.backend.targets.as_slice() else {
            return None;
        };
        let description = self.description.as_ref();
        let is_usual = target.id.is_none()
            && self.name != self.id
            && description.is_none_or(|text| text.0.is_empty())
            && self.tags.as_ref().is_none_or(Vec::is_empty)
            && self.texts().next().is_none()
            && route.path.is_none()
            && route.methods.is_empty()
            && route.rewrite_replacement.is_empty()
            && route.connect_timeout_ms == CONNECT_TIMEOUT_MS;
        if !is_usual {
            return None;
        }
        out.clear();
        let mut put = |piece: u8, text: &str| {
            out.push(piece);
            pack_plain(text, out)
        };
        put(ID, &self.id.0)?;
        put(HOST, route.host.as_deref()?)?;
        put(PATH_PREFIX, route.path_prefix.as_deref()?)?;
        let upstream = route.upstream.as_deref()?;
        match upstream.strip_prefix(OWN) {
            Some(rest) => put(OWN_UPSTREAM, rest)?,
            None => put(UPSTREAM, upstream)?,
        }
        if let Some(pattern) = &route.rewrite_pattern {
            put(REWRITE_PATTERN, pattern)?;
        }
        put(CONNECT_TIMEOUT, "")?;
        put(DELTA, "")?;
        put(TARGET, &target.shown_id())?;
        put(NO_TARGET_ID, "")?;
        put(NAME, &self.id.0)?;
        put(INSTEAD, &self.name.0)?;
        put(END, "")?;
        Some(Text::of_packed(out))
    }
}
