//! Options: what a route says, then what holds for all routes, then the default, field by field.

use super::file::{
    CacheOptions, FileGlobal, FileRoute, HttpHandlerOptions, LoadBalancerOptions, QosOptions,
    RateLimitOptions, SecurityOptions, Texts,
};
use crate::model::balance::{Hash, HashBy, LoadBalancer};
use crate::model::cache::Cache;
use crate::model::defaults::MS_MAX;
use crate::model::health::CircuitBreaker;
use crate::model::policy::{RateAlgorithm, RateHeaders, RateKey, RateLimit};

/// Seconds that a server may take when nobody says anything.
const TIMEOUT_S: i64 = 90;
/// The cookie of CookieStickySessions that says none.
const SESSION_COOKIE: &str = ".AspNetCore.Session";
/// The field with the client's id when nobody names one.
const CLIENT_ID: &str = "Oc-Client";
/// The field that tells kept answers apart when nobody names one.
const CACHE_CONTROL: &str = "OC-Cache-Control";
/// The longest that an answer is kept.
const TTL_S_MAX: u32 = 31_536_000;
const QUOTA_MESSAGE: &str = "API calls quota exceeded! Maximum admitted {0} per {1}.";
/// What the circuit breaker of Ocelot takes for what is not said.
const FAILURE_RATIO: f64 = 0.8;
const SAMPLING_MS: i64 = 30_000;
const BREAK_MS: i64 = 5_000;
const THROUGHPUT_MIN: i64 = 2;

/// The options of one route.
pub(super) struct Options<'f> {
    pub(super) route: &'f FileRoute,
    pub(super) global: &'f FileGlobal,
}

/// How a server of several is picked.
pub(super) enum Balance {
    /// Always the first.
    First,
    By(LoadBalancer, Option<Hash>),
    /// A word that only code of the gateway's own would know.
    Unknown(String),
}

impl<'f> Options<'f> {
    /// Whether the global options with these `RouteKeys` are for the route.
    pub(super) fn is_for(&self, keys: &[String]) -> bool {
        keys.is_empty()
            || self
                .route
                .key
                .as_ref()
                .is_some_and(|key| keys.contains(key))
    }

    /// The route's options and the global ones, as far as they are for it.
    fn both<T>(&self, route: &'f T, global: &'f T, keys: &[String]) -> impl Iterator<Item = &'f T> {
        let global = self.is_for(keys).then_some(global);
        std::iter::once(route).chain(global)
    }

    pub(super) fn scheme(&self) -> String {
        let given = self.route.downstream_scheme.as_ref();
        let given = given.filter(|scheme| !scheme.is_empty());
        let scheme = given.or(self.global.downstream_scheme.as_ref());
        scheme.map_or_else(|| "http".to_owned(), |scheme| scheme.to_ascii_lowercase())
    }

    /// Whether servers are spoken to under TLS.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self.scheme().as_str(), "https" | "wss")
    }

    /// The port that the scheme has (RFC 9110 §4.2).
    pub(super) fn default_port(&self) -> i64 {
        if self.is_secure() { 443 } else { 80 }
    }

    /// The method that servers get instead of the client's.
    pub(super) fn method(&self) -> Option<String> {
        let method = self.route.downstream_http_method.as_ref()?;
        let method = method.trim().to_ascii_uppercase();
        let is_fit = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_served = !matches!(method.as_str(), "CONNECT" | "HEAD" | "TRACE");
        (is_fit && is_served).then_some(method)
    }

    /// How long a server may take until its response begins.
    pub(super) fn timeout_ms(&self) -> u64 {
        let quality = self
            .quality()
            .find_map(|one| one.timeout.or(one.timeout_value));
        let seconds = self.route.timeout.or(self.global.timeout);
        let seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(TIMEOUT_S);
        let ms = quality.filter(|ms| *ms > 0);
        let ms = ms.unwrap_or_else(|| seconds.saturating_mul(1_000));
        ms.cast_unsigned().clamp(1, MS_MAX)
    }

    fn quality(&self) -> impl Iterator<Item = &'f QosOptions> {
        let (route, global) = (&self.route.qos_options, &self.global.qos_options);
        self.both(route, global, &global.route_keys)
    }

    pub(super) fn breaker(&self) -> Option<CircuitBreaker> {
        let get = |of: fn(&QosOptions) -> Option<i64>| self.quality().find_map(of);
        let throughput = get(|one| {
            one.minimum_throughput
                .or(one.exceptions_allowed_before_breaking)
        });
        let ratio = self.quality().find_map(|one| one.failure_ratio);
        if throughput.unwrap_or_default() <= 0 && ratio.unwrap_or_default() <= 0.0 {
            return None;
        }
        let ms = |given: Option<i64>, default: i64| {
            let given = given.filter(|ms| *ms > 0).unwrap_or(default);
            given.cast_unsigned().clamp(100, MS_MAX)
        };
        let ratio = ratio.filter(|ratio| *ratio > 0.0).unwrap_or(FAILURE_RATIO);
        let throughput = throughput.unwrap_or_default().max(THROUGHPUT_MIN);
        Some(CircuitBreaker {
            failure_percent: (ratio * 100.0).clamp(1.0, 100.0) as u8,
            min_requests: u32::try_from(throughput).unwrap_or(u32::MAX),
            window_ms: ms(get(|one| one.sampling_duration), SAMPLING_MS),
            open_ms: ms(
                get(|one| one.break_duration.or(one.duration_of_break)),
                BREAK_MS,
            ),
            ..CircuitBreaker::default()
        })
    }

    pub(super) fn balance(&self) -> Balance {
        let (route, global) = (
            &self.route.load_balancer_options,
            &self.global.load_balancer_options,
        );
        let both = || self.both(route, global, &global.route_keys);
        let kind = both().find_map(|one: &LoadBalancerOptions| one.kind.as_deref());
        let kind = kind.unwrap_or_default();
        let cookie = || {
            both()
                .find_map(|one| one.key.clone())
                .filter(|key| !key.is_empty())
        };
        match kind {
            "" | "NoLoadBalancer" => Balance::First,
            "RoundRobin" => Balance::By(LoadBalancer::RoundRobin, None),
            "LeastConnection" => Balance::By(LoadBalancer::LeastConn, None),
            "CookieStickySessions" => {
                let hash = Hash {
                    by: HashBy::Cookie,
                    name: Some(cookie().unwrap_or_else(|| SESSION_COOKIE.to_owned())),
                    load_bound_percent: None,
                };
                Balance::By(LoadBalancer::ConsistentHash, Some(hash))
            }
            other => Balance::Unknown(other.to_owned()),
        }
    }

    /// Requests that may be under way to one server.
    pub(super) fn max_connections(&self) -> Option<u32> {
        let (route, global) = (
            &self.route.http_handler_options,
            &self.global.http_handler_options,
        );
        let mut both = self.both(route, global, &global.route_keys);
        let most = both.find_map(|one| one.max_connections_per_server)?;
        u32::try_from(most)
            .ok()
            .filter(|most| (1..=1_048_576).contains(most))
    }

    /// The handler options that are switched on and that nothing here stands for.
    pub(super) fn handler(&self) -> Vec<&'static str> {
        type Switch = fn(&HttpHandlerOptions) -> Option<bool>;
        let (route, global) = (
            &self.route.http_handler_options,
            &self.global.http_handler_options,
        );
        let switches: [(&'static str, Switch); 4] = [
            ("AllowAutoRedirect", |one| one.allow_auto_redirect),
            ("UseCookieContainer", |one| one.use_cookie_container),
            ("UseProxy", |one| one.use_proxy),
            ("UseTracing", |one| one.use_tracing),
        ];
        let on = |of: Switch| {
            let mut both = self.both(route, global, &global.route_keys);
            both.find_map(of) == Some(true)
        };
        let on = switches.into_iter().filter(|(_, of)| on(*of));
        on.map(|(name, _)| name).collect()
    }

    /// The rules for addresses: those of the route, or else the global ones.
    pub(super) fn security(&self) -> &'f SecurityOptions {
        let own = &self.route.security_options;
        if own.allowed.is_empty() && own.blocked.is_empty() {
            &self.global.security_options
        } else {
            own
        }
    }

    /// What of the answers is kept; the older name of the options goes first.
    pub(super) fn cache(&self) -> Option<Cache> {
        let global = &self.global.cache_options;
        let all = || {
            let both = self.both(&self.route.cache_options, global, &global.route_keys);
            std::iter::once(&self.route.file_cache_options).chain(both)
        };
        let ttl = all()
            .find_map(|one| one.ttl_seconds)
            .filter(|ttl| *ttl > 0)?;
        let text = |of: fn(&CacheOptions) -> Option<&String>| {
            let mut given = all().filter_map(of).filter(|text| !text.is_empty());
            given.next().cloned()
        };
        let header = text(|one| one.header.as_ref());
        let hashes = all().find_map(|one| one.enable_content_hashing);
        Some(Cache {
            ttl_s: u32::try_from(ttl).unwrap_or(u32::MAX).min(TTL_S_MAX),
            region: text(|one| one.region.as_ref()),
            vary: vec![header.unwrap_or_else(|| CACHE_CONTROL.to_owned())],
            hash_body: hashes.unwrap_or_default(),
            ..Cache::default()
        })
    }

    /// The keys of who may prove who asks.
    pub(super) fn providers(&self) -> Vec<&'f str> {
        let global = &self.global.authentication_options;
        let own = &self.route.authentication_options;
        let mut both = self.both(own, global, &global.route_keys);
        if own.allow_anonymous == Some(true) {
            return Vec::new();
        }
        let keys = both.find_map(|one| {
            let keys = one.authentication_provider_keys.iter();
            let keys: Vec<&str> = one
                .authentication_provider_key
                .iter()
                .chain(keys)
                .map(String::as_str)
                .filter(|key| !key.is_empty())
                .collect();
            (!keys.is_empty()).then_some(keys)
        });
        keys.unwrap_or_default()
    }

    /// The scopes of which a token must have one; none if they are not looked at.
    pub(super) fn scopes(&self) -> &'f [String] {
        let global = &self.global.authentication_options;
        let own = &self.route.authentication_options;
        let both = self.both(own, global, &global.route_keys);
        let mut scopes = both.map(|one| one.allowed_scopes.as_slice());
        scopes.find(|scopes| !scopes.is_empty()).unwrap_or_default()
    }

    /// The header transforms: those of the route, and the global ones of other names.
    pub(super) fn transforms(own: &'f Texts, global: &'f Texts) -> Vec<(&'f str, &'f str)> {
        let global = global.iter().filter(|(name, _)| !own.contains_key(*name));
        let all = own.iter().chain(global);
        all.map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        let global = self.global.rate_limit_options.as_ref();
        let global = global.filter(|global| self.is_for(&global.route_keys));
        let both: Vec<&RateLimitOptions> =
            self.route.rate_limit_options.iter().chain(global).collect();
        fn first<T>(
            all: &[&RateLimitOptions],
            of: impl Fn(&RateLimitOptions) -> Option<T>,
        ) -> Option<T> {
            all.iter().find_map(|one| of(one))
        }
        if first(&both, |one| one.enable_rate_limiting) == Some(false) {
            return None;
        }
        let limit = first(&both, |one| one.limit).filter(|limit| *limit > 0)?;
        let period = first(&both, |one| one.period.clone())?;
        let wait = first(&both, |one| {
            let wait = one.wait.as_deref().and_then(period_ms);
            wait.or_else(|| Some((one.period_timespan? * 1_000.0) as u64))
        });
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(1_000_000);
        let message = first(&both, |one| {
            one.quota_message
                .clone()
                .or_else(|| one.quota_exceeded_message.clone())
        });
        let message = message.filter(|message| !message.is_empty());
        let message = message.unwrap_or_else(|| QUOTA_MESSAGE.to_owned());
        let status = first(&both, |one| one.status_code.or(one.http_status_code));
        let shows = first(&both, |one| {
            one.enable_headers
                .or_else(|| one.disable_rate_limit_headers.map(|off| !off))
        });
        let header = first(&both, |one| one.client_id_header.clone());
        Some(RateLimit {
            requests_per_second: limit,
            burst_size: limit,
            period_ms: period_ms(&period)?.clamp(1, MS_MAX),
            key: RateKey::Header,
            header: Some(header.unwrap_or_else(|| CLIENT_ID.to_owned())),
            algorithm: RateAlgorithm::FixedWindow,
            wait_ms: wait.filter(|ms| *ms > 0).map(|ms| ms.min(MS_MAX)),
            exempt: first(&both, |one| one.client_whitelist.clone()).unwrap_or_default(),
            missing_header_status: Some(503),
            status: status
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| (400..=599).contains(status))
                .unwrap_or(429),
            message: Some(
                message
                    .replace("{0}", &limit.to_string())
                    .replace("{1}", &period),
            ),
            headers: if shows == Some(false) {
                RateHeaders::None
            } else {
                RateHeaders::XRateLimit
            },
            ..RateLimit::default()
        })
    }
}

/// A period such as `1s`, `5m` or `500ms` in milliseconds; a number alone counts them.
pub(super) fn period_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Some((number * unit) as u64).filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_units() {
        for (text, ms) in [
            ("1s", Some(1_000)),
            ("5m", Some(300_000)),
            ("1.5h", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("250ms", Some(250)),
            ("250", Some(250)),
            ("", None),
            ("s", None),
            ("0s", None),
            ("5 years", None),
        ] {
            assert_eq!(period_ms(text), ms, "{text}");
        }
    }
}
