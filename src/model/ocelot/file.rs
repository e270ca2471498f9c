//! The typed FileConfiguration: the fields of `Ocelot.Configuration.File`, release 25, with the
//! older names that it still takes. A field that is not there says nothing: global options and
//! defaults come later.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Texts by name.
pub(super) type Texts = BTreeMap<String, String>;

/// The whole document.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FileConfiguration {
    pub(super) routes: Vec<FileRoute>,
    pub(super) dynamic_routes: Vec<FileRoute>,
    pub(super) aggregates: Vec<FileAggregate>,
    pub(super) global_configuration: FileGlobal,
    pub(super) ringway: Value,
}

/// One route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FileRoute {
    pub(super) upstream_path_template: String,
    pub(super) upstream_http_method: Vec<String>,
    pub(super) upstream_host: String,
    pub(super) upstream_header_templates: Texts,
    pub(super) upstream_header_transform: Texts,
    pub(super) downstream_path_template: String,
    pub(super) downstream_scheme: Option<String>,
    pub(super) downstream_host_and_ports: Vec<HostAndPort>,
    pub(super) downstream_http_method: Option<String>,
    pub(super) downstream_http_version: Option<String>,
    pub(super) downstream_http_version_policy: Option<String>,
    pub(super) downstream_header_transform: Texts,
    pub(super) priority: Option<i64>,
    pub(super) route_is_case_sensitive: bool,
    pub(super) key: Option<String>,
    pub(super) load_balancer_options: LoadBalancerOptions,
    pub(super) cache_options: CacheOptions,
    pub(super) file_cache_options: CacheOptions,
    pub(super) rate_limit_options: Option<RateLimitOptions>,
    #[serde(rename = "QoSOptions")]
    pub(super) qos_options: QosOptions,
    pub(super) authentication_options: AuthenticationOptions,
    pub(super) route_claims_requirement: Texts,
    pub(super) add_claims_to_request: Texts,
    pub(super) add_headers_to_request: Texts,
    pub(super) add_queries_to_request: Texts,
    pub(super) change_downstream_path_template: Texts,
    pub(super) security_options: SecurityOptions,
    pub(super) http_handler_options: HttpHandlerOptions,
    pub(super) timeout: Option<i64>,
    pub(super) delegating_handlers: Vec<String>,
    pub(super) dangerous_accept_any_server_certificate_validator: bool,
    pub(super) request_id_key: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) service_namespace: Option<String>,
}

/// Several routes that are asked at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FileAggregate {
    pub(super) route_keys: Vec<String>,
    pub(super) upstream_path_template: String,
    pub(super) upstream_host: String,
    pub(super) upstream_http_method: Option<Vec<String>>,
    pub(super) upstream_header_templates: Texts,
    pub(super) route_is_case_sensitive: bool,
    pub(super) priority: Option<i64>,
    pub(super) route_keys_config: Vec<RouteKeyConfig>,
    pub(super) aggregator: Option<String>,
}

/// What a route of an aggregate is asked for: each value that another's answer has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RouteKeyConfig {
    pub(super) route_key: String,
    pub(super) json_path: String,
    pub(super) parameter: String,
}

/// What holds for all routes that do not say otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FileGlobal {
    pub(super) base_url: Option<String>,
    pub(super) service_discovery_provider: ServiceDiscoveryProvider,
    pub(super) downstream_scheme: Option<String>,
    pub(super) downstream_http_version: Option<String>,
    pub(super) downstream_http_version_policy: Option<String>,
    pub(super) timeout: Option<i64>,
    pub(super) security_options: SecurityOptions,
    pub(super) upstream_header_transform: Texts,
    pub(super) downstream_header_transform: Texts,
    pub(super) authentication_options: AuthenticationOptions,
    pub(super) cache_options: CacheOptions,
    pub(super) http_handler_options: HttpHandlerOptions,
    pub(super) load_balancer_options: LoadBalancerOptions,
    #[serde(rename = "QoSOptions")]
    pub(super) qos_options: QosOptions,
    pub(super) rate_limit_options: Option<RateLimitOptions>,
}

/// A server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostAndPort {
    pub(super) host: String,
    pub(super) port: Option<i64>,
}

/// Where servers would be found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ServiceDiscoveryProvider {
    pub(super) host: Option<String>,
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
}

/// How requests are spread.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LoadBalancerOptions {
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
    pub(super) key: Option<String>,
    pub(super) route_keys: Vec<String>,
}

/// What of the answers is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CacheOptions {
    pub(super) ttl_seconds: Option<i64>,
    pub(super) region: Option<String>,
    pub(super) header: Option<String>,
    pub(super) enable_content_hashing: Option<bool>,
    pub(super) route_keys: Vec<String>,
}

/// How many requests may come in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RateLimitOptions {
    pub(super) enable_rate_limiting: Option<bool>,
    pub(super) limit: Option<i64>,
    pub(super) period: Option<String>,
    pub(super) wait: Option<String>,
    pub(super) period_timespan: Option<f64>,
    pub(super) client_id_header: Option<String>,
    pub(super) client_whitelist: Option<Vec<String>>,
    pub(super) status_code: Option<i64>,
    pub(super) http_status_code: Option<i64>,
    pub(super) quota_message: Option<String>,
    pub(super) quota_exceeded_message: Option<String>,
    pub(super) enable_headers: Option<bool>,
    pub(super) disable_rate_limit_headers: Option<bool>,
    pub(super) route_keys: Vec<String>,
}

/// How long a server may take, and when it is left alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct QosOptions {
    pub(super) timeout: Option<i64>,
    pub(super) timeout_value: Option<i64>,
    pub(super) minimum_throughput: Option<i64>,
    pub(super) exceptions_allowed_before_breaking: Option<i64>,
    pub(super) break_duration: Option<i64>,
    pub(super) duration_of_break: Option<i64>,
    pub(super) failure_ratio: Option<f64>,
    pub(super) sampling_duration: Option<i64>,
    pub(super) route_keys: Vec<String>,
}

/// Who may come in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AuthenticationOptions {
    pub(super) authentication_provider_key: Option<String>,
    pub(super) authentication_provider_keys: Vec<String>,
    pub(super) allowed_scopes: Vec<String>,
    pub(super) allow_anonymous: Option<bool>,
    pub(super) route_keys: Vec<String>,
}

/// Which addresses may come in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SecurityOptions {
    #[serde(rename = "IPAllowedList")]
    pub(super) allowed: Vec<String>,
    #[serde(rename = "IPBlockedList")]
    pub(super) blocked: Vec<String>,
    pub(super) exclude_allowed_from_blocked: bool,
}

/// How servers are spoken to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HttpHandlerOptions {
    pub(super) allow_auto_redirect: Option<bool>,
    pub(super) max_connections_per_server: Option<i64>,
    pub(super) use_cookie_container: Option<bool>,
    pub(super) use_proxy: Option<bool>,
    pub(super) use_tracing: Option<bool>,
    pub(super) route_keys: Vec<String>,
}
