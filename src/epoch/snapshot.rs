//! What a core works by between two epochs: the routing table and the settings, both immutable.

use ipnet::IpNet;

use crate::model::Config;
use crate::model::config::{EncodedSlashes, Limits, Timeouts, Underscores};
use crate::table::Table;
use crate::table::policy::ErrorPage;
use crate::wire::head::HeadLimits;
use crate::wire::path::PathRules;

/// One state of the whole configuration, known by its epoch.
pub struct Snapshot {
    /// Its number; each commit has the next one.
    pub epoch: u64,
    /// Which requests go where.
    pub table: Table,
    /// How they are read and for how long.
    pub settings: Settings,
}

impl Snapshot {
    /// The body of an answer of our own of this status, where the route has none.
    pub fn page(&self, status: u16) -> Option<&ErrorPage> {
        let mut pages = self.settings.pages.iter();
        let page = pages.find(|page| page.is_for(status));
        page.or_else(|| self.table.page(status))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The values that a core looks at while it serves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Waits on the client's side.
    pub timeouts: Timeouts,
    /// The most of each thing.
    pub limits: Limits,
    /// The most that a head may have.
    pub head: HeadLimits,
    /// How a path is brought into its normal form.
    pub path: PathRules,
    /// What to do with underscores in field names.
    pub underscores: Underscores,
    /// Trailer fields that may pass, in lower case.
    pub trailers: Box<[Box<[u8]>]>,
    /// Peers whose forwarding fields are believed.
    pub trusted: Box<[IpNet]>,
    /// The bodies of our own answers where a route has none.
    pub pages: Box<[ErrorPage]>,
}

impl Settings {
    /// The settings that a configuration declares.
    pub fn of(config: &Config) -> Self {
        Self {
            timeouts: config.timeouts,
            limits: config.limits,
            head: HeadLimits {
                bytes: config.limits.max_header_bytes as usize,
                fields: usize::from(config.limits.max_header_count),
            },
            path: PathRules {
                merge_slashes: config.http.merge_slashes,
                keep_encoded_slashes: config.http.encoded_slashes == EncodedSlashes::Keep,
            },
            underscores: config.http.underscores,
            trailers: config
                .http
                .allowed_trailers
                .iter()
                .map(|name| name.to_ascii_lowercase().into_bytes().into())
                .collect(),
            trusted: config.forwarded.trusted.clone().into(),
            pages: config.error_pages.iter().map(ErrorPage::of).collect(),
        }
    }
}
