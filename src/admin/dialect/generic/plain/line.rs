//! Line: what a plain route may say, as it stands in its line.
//!
//! What has no native meaning may be there if it is what nobody would have to write; the texts of
//! these defaults are those of the form.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::admin::dialect::generic::{convert, form};

/// A text, taken from the line where it stands there as it is.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(transparent)]
pub(super) struct Text<'l>(#[serde(borrow)] pub(super) Cow<'l, str>);

/// A value that is only looked at as a text.
type Raw<'l> = Option<&'l RawValue>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'l> {
    #[serde(borrow)]
    pub(super) id: Text<'l>,
    #[serde(borrow)]
    pub(super) name: Text<'l>,
    #[serde(borrow)]
    pub(super) description: Option<Text<'l>>,
    #[serde(borrow)]
    pub(super) tags: Option<Vec<Text<'l>>>,
    #[serde(borrow)]
    pub(super) metadata: Option<Texts<'l>>,
    #[serde(borrow)]
    pub(super) frontend: Frontend<'l>,
    #[serde(borrow)]
    pub(super) backend: Backend<'l>,
    enabled: Option<bool>,
    debug_flow: Option<bool>,
    export_reporting: Option<bool>,
    capture: Option<bool>,
    #[serde(borrow)]
    groups: Raw<'l>,
    #[serde(borrow)]
    bound_listeners: Raw<'l>,
    #[serde(borrow)]
    backend_ref: Raw<'l>,
    #[serde(borrow)]
    plugins: Raw<'l>,
    #[serde(borrow, rename = "_loc")]
    place: Raw<'l>,
    /// What answers have; nobody looks at it.
    #[serde(borrow, rename = "kind")]
    _kind: Raw<'l>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frontend<'l> {
    #[serde(borrow)]
    pub(super) domains: Vec<Text<'l>>,
    #[serde(borrow)]
    pub(super) methods: Option<Vec<Text<'l>>>,
    pub(super) strip_path: Option<bool>,
    pub(super) exact: Option<bool>,
    #[serde(borrow)]
    headers: Raw<'l>,
    #[serde(borrow)]
    cookies: Raw<'l>,
    #[serde(borrow)]
    query: Raw<'l>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backend<'l> {
    #[serde(borrow)]
    pub(super) targets: Vec<Target<'l>>,
    #[serde(borrow)]
    pub(super) root: Option<Text<'l>>,
    pub(super) rewrite: Option<bool>,
    #[serde(borrow)]
    load_balancing: Raw<'l>,
    #[serde(borrow)]
    client: Raw<'l>,
    #[serde(borrow)]
    health_check: Raw<'l>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target<'l> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) id: Option<Text<'l>>,
    #[serde(borrow)]
    pub(super) hostname: Text<'l>,
    pub(super) port: u16,
    pub(super) weight: Option<u16>,
    tls: Option<bool>,
    backup: Option<bool>,
    #[serde(borrow)]
    predicate: Raw<'l>,
    #[serde(borrow)]
    protocol: Raw<'l>,
    #[serde(borrow)]
    ip_address: Raw<'l>,
    #[serde(borrow)]
    tls_config: Raw<'l>,
}

/// Texts by their names, each name once.
#[derive(Debug, Default)]
pub(super) struct Texts<'l>(pub(super) Vec<(Text<'l>, Text<'l>)>);

/// The most of them; more are for the general way.
const TEXTS_MAX: usize = 32;

/// What these members are where nobody writes them, as texts.
struct Defaults {
    groups: String,
    place: String,
    load_balancing: String,
    client: String,
    predicate: String,
    protocol: String,
    tls_config: String,
}

static DEFAULTS: LazyLock<Defaults> = LazyLock::new(|| {
    let mut entity = serde_json::json!({"backend": {"targets": [{}]}});
    form::route().fill(&mut entity);
    let at = |pointer: &str| entity.pointer(pointer).map(Value::to_string);
    let at = |pointer: &str| at(pointer).unwrap_or_default();
    Defaults {
        groups: at("/groups"),
        place: at("/_loc"),
        load_balancing: at("/backend/load_balancing"),
        client: at("/backend/client"),
        predicate: at("/backend/targets/0/predicate"),
        protocol: at("/backend/targets/0/protocol"),
        tls_config: at("/backend/targets/0/tls_config"),
    }
});

// === impl Line ===

impl Line<'_> {
    /// Whether all that has no native meaning, or another than most, is as if nobody wrote it.
    pub(super) fn has_only_defaults(&self) -> bool {
        let defaults = &*DEFAULTS;
        let flags = [self.debug_flow, self.export_reporting, self.capture];
        self.enabled != Some(false)
            && flags.into_iter().all(|flag| flag != Some(true))
            && is(self.groups, &defaults.groups)
            && is(self.bound_listeners, "[]")
            && is(self.backend_ref, "null")
            && is(self.plugins, "[]")
            && is(self.place, &defaults.place)
            && self.frontend.has_only_defaults()
            && self.backend.has_only_defaults(defaults)
    }
}

impl Frontend<'_> {
    fn has_only_defaults(&self) -> bool {
        is(self.headers, "{}") && is(self.cookies, "{}") && is(self.query, "{}")
    }
}

impl Backend<'_> {
    fn has_only_defaults(&self, defaults: &Defaults) -> bool {
        is(self.load_balancing, &defaults.load_balancing)
            && is(self.client, &defaults.client)
            && is(self.health_check, "null")
            && self.targets.iter().all(|target| {
                target.tls != Some(true)
                    && target.backup != Some(true)
                    && is(target.predicate, &defaults.predicate)
                    && is(target.protocol, &defaults.protocol)
                    && is(target.ip_address, "null")
                    && is(target.tls_config, &defaults.tls_config)
            })
    }
}

/// Whether a member is not there, or has nothing, or its default.
fn is(member: Raw<'_>, default: &str) -> bool {
    member.is_none_or(|member| matches!(member.get(), "null") || member.get() == default)
}

/// A text that may be missing, but not nothing.
fn present<'de: 'l, 'l, D>(deserializer: D) -> Result<Option<Text<'l>>, D::Error>
where
    D: Deserializer<'de>,
{
    Text::deserialize(deserializer).map(Some)
}

// === impl Target ===

impl Target<'_> {
    /// The id that it is shown with if it has none.
    pub(super) fn shown_id(&self) -> String {
        convert::target_id(&self.hostname.0, self.port)
    }
}

// === impl Texts ===

impl<'de: 'l, 'l> Deserialize<'de> for Texts<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'l> Visitor<'l> for TextsVisitor {
    type Value = Texts<'l>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by their names")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Texts<'l>, A::Error> {
        let mut texts: Vec<(Text<'l>, Text<'l>)> = Vec::new();
        while let Some((name, text)) = map.next_entry()? {
            if texts.len() == TEXTS_MAX || texts.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("for the general way"));
            }
            texts.push((name, text));
        }
        Ok(Texts(texts))
    }
}
