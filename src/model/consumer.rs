//! Consumers: who holds a key of the generic API, and how much they may ask for.

/// The holder of a key, as an Apikey entity declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    /// What the key is known by.
    pub id: String,
    /// Who holds it; goes to the server as `X-Consumer-Name`.
    pub name: String,
    /// The secret that proves it.
    pub secret: String,
    /// What it may be used for: `route_ID`, `group_ID` and the like.
    pub entities: Vec<String>,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// Whether it may only read.
    pub read_only: bool,
    /// Whether the id alone is enough.
    pub id_only: bool,
    /// Until when it may be used, in milliseconds since 1970.
    pub valid_until_ms: Option<u64>,
    /// How much it may ask for.
    pub quotas: Quotas,
}

/// How many requests in each window; each window begins with a round number of the clock (UTC).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quotas {
    /// In ten seconds.
    pub throttling: u64,
    /// In a day.
    pub daily: u64,
    /// In a month.
    pub monthly: u64,
}
