//! The native document: everything that one Ringway process is told at start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::listener::Listener;
use super::ocelot::OcelotAdmin;
use super::policy::ErrorPage;
use super::route::Route;
use super::secret::Secret;
use super::upstream::Upstream;

/// The native configuration document (JSON or YAML).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where client connections come in. Every worker listens on each of them.
    pub listeners: Vec<Listener>,
    /// The cores that proxy: `"auto"` (all but the admin core), a count, or a list of core numbers.
    pub workers: Workers,
    /// How long each wait on the client's side may last, in milliseconds.
    pub timeouts: Timeouts,
    /// The most of each thing that one worker holds or takes.
    pub limits: Limits,
    /// How requests are read and re-written before they go on.
    pub http: Http,
    /// Whom to believe about `X-Forwarded-*` and `Forwarded`.
    pub forwarded: Forwarded,
    /// One line per request.
    pub access_log: AccessLog,
    /// The admin listener.
    pub admin: Admin,
    /// Resolving the names of servers; done on the admin core.
    pub dns: Dns,
    /// Where routes and upstreams are kept.
    pub store: StoreConfig,
    /// The bodies of answers that Ringway makes itself, where the route has none for that status,
    /// or where there is no route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub error_pages: Vec<ErrorPage>,
    /// Groups of servers that routes forward to.
    pub upstreams: Vec<Upstream>,
    /// Which requests go where.
    pub routes: Vec<Route>,
    /// What the generic API keeps besides: lists of entities by the plural of their kind, such as
    /// `apikeys`. They are checked when they come over that API.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entities: BTreeMap<String, Vec<serde_json::Map<String, serde_json::Value>>>,
}

/// The cores that proxy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
#[schemars(extend("x-expect" = "\"auto\", a count, or a list of core numbers"))]
pub enum Workers {
    /// `"auto"`: one worker on each core but the admin core; at least one.
    #[default]
    #[serde(with = "auto")]
    #[schemars(with = "auto::Auto")]
    Auto,
    /// This many workers, on the first cores.
    Count(#[schemars(range(min = 1, max = 1024))] u16),
    /// One worker on each of these core numbers.
    Cores(#[schemars(length(min = 1))] Vec<u16>),
}

mod auto {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize, schemars::JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Auto {
        Auto,
    }

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        Auto::Auto.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        Auto::deserialize(deserializer).map(|_| ())
    }
}

/// How long each wait on the client's side may last, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// A kept-alive connection without a request is closed after this. Not less than `header_ms`.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub idle_ms: u64,
    /// From the first byte of a request (or the accept) to the end of its head; then 408.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub header_ms: u64,
    /// Between two pieces of a request body; then 408.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub body_ms: u64,
    /// A client that takes nothing of its response for this long is closed.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub write_ms: u64,
    /// A tunnel (WebSocket) in which nothing moves for this long is closed.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub tunnel_idle_ms: u64,
    /// After SIGTERM, how long requests in flight may take to finish.
    #[schemars(range(max = defaults::MS_MAX))]
    pub drain_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_ms: defaults::idle_ms(),
            header_ms: defaults::header_ms(),
            body_ms: defaults::body_ms(),
            write_ms: defaults::write_ms(),
            tunnel_idle_ms: defaults::tunnel_idle_ms(),
            drain_ms: defaults::drain_ms(),
        }
    }
}

/// The most of each thing that one worker holds or takes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a head, request or response, line endings included; more is 431 (414 when the
    /// request line alone is longer) or 502.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_header_bytes: u32,
    /// Fields in a head; more is 431 or 502.
    #[schemars(range(min = 1, max = 256))]
    pub max_header_count: u16,
    /// Bytes of a request body; more is 413.
    pub max_body_bytes: u64,
    /// Client connections per worker; a further one is closed at once.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_connections: u32,
    /// Interim (1xx) answers that an origin may send before its answer; more is 502.
    pub max_interim_responses: u8,
    /// 256 KiB buffers for large bodies, per worker; without a free one a body moves in small
    /// pieces.
    #[schemars(range(min = 1))]
    pub large_buffers: u16,
    /// Pipes, of 256 KiB, through which large bodies go from socket to socket without being copied,
    /// per worker; without a free one a body goes through buffers. 0 copies all.
    pub pipes: u16,
    /// Bytes of all responses that are kept, over all workers, with what an entry takes beside its
    /// texts; 0 keeps none. How many entries there can be is settled with the first route that has
    /// a cache: one for every 2 KiB.
    pub cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: defaults::max_header_bytes(),
            max_header_count: defaults::max_header_count(),
            max_body_bytes: defaults::max_body_bytes(),
            max_connections: defaults::max_connections(),
            max_interim_responses: defaults::max_interim_responses(),
            large_buffers: defaults::large_buffers(),
            pipes: defaults::pipes(),
            cache_bytes: defaults::cache_bytes(),
        }
    }
}

/// How requests are read and re-written before they go on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// What to do with a field name that has an underscore in it.
    pub underscores: Underscores,
    /// What to do with an encoded slash (`%2F`) or backslash (`%5C`) in a path.
    pub encoded_slashes: EncodedSlashes,
    /// Whether `//` in a path becomes `/`.
    #[serde(default = "defaults::yes")]
    pub merge_slashes: bool,
    /// Trailer fields that may pass, by name; all others are dropped.
    pub allowed_trailers: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            underscores: Underscores::default(),
            encoded_slashes: EncodedSlashes::default(),
            merge_slashes: true,
            allowed_trailers: Vec::new(),
        }
    }
}

/// What to do with a field name that has an underscore in it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Underscores {
    /// The field is left out.
    #[default]
    Drop,
    /// The field goes on as it is.
    Forward,
    /// The request is refused with 400.
    Refuse,
}

/// What to do with an encoded slash or backslash in a path.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlashes {
    /// It stays encoded, in matching and in forwarding.
    Keep,
    /// The request is refused with 400.
    #[default]
    Refuse,
}

/// Whom to believe about `X-Forwarded-*` and `Forwarded`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarded {
    /// Peers whose forwarding fields are kept and appended to; those of all others are replaced.
    #[schemars(
        with = "Vec<String>",
        extend("items" = serde_json::json!({"type": "string", "format": "cidr"}))
    )]
    pub trusted: Vec<IpNet>,
}

/// One line per request.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// Where the lines go: a file, `"stdout"` or `"stderr"`. Without it nothing is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub path: Option<PathBuf>,
    /// What a line looks like.
    pub format: LogFormat,
    /// Bytes of lines per worker that may wait for the disk; what does not fit is dropped and
    /// counted.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub buffer_bytes: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            path: None,
            format: LogFormat::default(),
            buffer_bytes: defaults::log_buffer_bytes(),
        }
    }
}

/// What an access log line looks like.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// The Combined Log Format of Apache and nginx.
    Combined,
    /// One JSON object per line.
    #[default]
    Json,
}

/// The admin listener.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Whether the admin API is served.
    pub enabled: bool,
    /// Its port; not one that clients use. 0 lets the kernel choose (the log names it).
    pub port: u16,
    /// Its address; keep it private.
    pub address: std::net::IpAddr,
    /// The key that every request must show in `X-API-Key`; it may read and write. When enabled,
    /// this or `keys` is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Further keys, each with a name for the audit log and a role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_024))]
    pub keys: Vec<AdminKey>,
    /// Names that `Host` may have, beside `localhost` and IP addresses; others are refused, so
    /// that no web page can reach the API by a name of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// The most of each thing that the admin listener takes.
    pub limits: AdminLimits,
    /// The client id of the first admin key of the generic API (`/apis/`); without it the
    /// environment variable OTOROSHI_INITIAL_ADMIN_CLIENT_ID says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^:/ ]{1,256}$"))]
    #[schemars(extend("x-expect" = "1 to 256 characters without ':', '/' and spaces"))]
    pub client_id: Option<String>,
    /// The secret of that key; without it OTOROSHI_INITIAL_ADMIN_CLIENT_SECRET says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// How the generic API names the kind of an entity in its answers.
    pub kind_style: KindStyle,
    /// What the generic API answers to the creation of an entity that is there: 401 as Otoroshi
    /// does, or 409.
    #[schemars(extend("enum" = [401, 409]))]
    pub exists_status: u16,
    /// Ocelot's administration API; without it it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocelot: Option<OcelotAdmin>,
    /// A file to which one JSON line is added for each attempt to change something.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub audit_log: Option<PathBuf>,
    /// The core of the admin thread; the last one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<u16>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: false,
            port: defaults::admin_port(),
            address: defaults::admin_address(),
            api_key: None,
            keys: Vec::new(),
            allowed_hosts: Vec::new(),
            limits: AdminLimits::default(),
            client_id: None,
            client_secret: None,
            kind_style: KindStyle::default(),
            exists_status: defaults::exists_status(),
            ocelot: None,
            audit_log: None,
            core: None,
        }
    }
}

/// How an answer of the generic API names the kind of an entity.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KindStyle {
    /// As Otoroshi's manual: `routes.proxy.otoroshi.io/v1`.
    #[default]
    Doc,
    /// As Otoroshi's code: `proxy.otoroshi.io/Route`.
    Code,
}

/// A key of the admin API.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdminKey {
    /// Who holds it; stands in the audit log.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    #[schemars(extend("x-expect" = defaults::NAME_EXPECT))]
    pub name: String,
    /// The key itself, or where it stands.
    pub key: Secret,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything, change nothing.
    #[default]
    Read,
    /// Look at and change everything.
    Write,
}

/// The most of each thing that the admin listener takes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminLimits {
    /// Bytes of a request body; more is 413.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: u32,
    /// Connections; a further one is closed at once.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_connections: u32,
    /// Requests per second from one address, and as many at once; more is 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// How long a client may take to send a head or a body, to send its next request, or to take
    /// anything of its answer, in milliseconds.
    #[schemars(range(min = 100, max = 600_000))]
    pub timeout_ms: u64,
}

impl Default for AdminLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: defaults::admin_max_body_bytes(),
            max_connections: defaults::admin_max_connections(),
            requests_per_second: defaults::admin_requests_per_second(),
            timeout_ms: defaults::admin_timeout_ms(),
        }
    }
}

/// Resolving the names of servers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// A name is not asked for again sooner than this, whatever its TTL.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub min_ttl_ms: u64,
    /// A name is asked for again after this at the latest.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub max_ttl_ms: u64,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            min_ttl_ms: defaults::dns_min_ttl_ms(),
            max_ttl_ms: defaults::dns_max_ttl_ms(),
        }
    }
}

/// Where routes and upstreams are kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The configuration file itself, or a database.
    pub kind: StoreKind,
    /// The file of the database; required when embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub path: Option<PathBuf>,
}

/// The kinds of stores.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The configuration file, which is written back.
    #[default]
    File,
    /// A database of its own, for large tables; the configuration file seeds it once.
    Embedded,
}
