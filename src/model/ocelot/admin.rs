//! What a person declares about Ocelot's administration API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::Secret;

/// Ocelot's administration API on the admin listener: the whole configuration as one document, for
/// whoever has a token. `secret`, `authority` or both say who gives them.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OcelotAdmin {
    /// Where it is served.
    #[schemars(regex(pattern = r"^(/[A-Za-z0-9._~-]+)+$"))]
    #[schemars(extend("x-expect" = "a path such as /administration"))]
    pub path: String,
    /// The secret of the client `admin`, for which `POST <path>/connect/token` gives tokens. They
    /// are signed with the certificate that OCELOT_CERTIFICATE names, or with a key of this
    /// process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// An identity server whose tokens are taken too: the URL below which its
    /// `.well-known/openid-configuration` stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub authority: Option<String>,
    /// The audience that tokens of the identity server must have; without it any will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub audience: Option<String>,
    /// Whether the identity server is asked over TLS only. The certificates of this machine, or
    /// those that SSL_CERT_FILE names, vouch for it.
    pub require_https_metadata: bool,
    /// Whether it is served on the listeners of clients too. There only tokens count, no keys of
    /// the admin API.
    pub on_traffic: bool,
    /// The URL that the discovery document names, without `path`; made of the request if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub base_url: Option<String>,
}

impl Default for OcelotAdmin {
    fn default() -> Self {
        Self {
            path: "/administration".to_owned(),
            secret: None,
            authority: None,
            audience: None,
            require_https_metadata: true,
            on_traffic: false,
            base_url: None,
        }
    }
}
