//! Defaults that serde and the schema share. Values of seed 001 where it has the field.

/// The longest time that can be set, 30 days in milliseconds; it fits 32 bits.
pub const MS_MAX: u64 = 2_592_000_000;
/// What a name or id is made of, in words.
pub(crate) const NAME_EXPECT: &str = "1 to 128 letters, digits, '.', '_' or '-'";

macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub(crate) fn $name() -> $type { $value })*
    };
}

defaults! {
    admin_address: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    admin_port: u16 = 9180;
    exists_status: u16 = 401;
    admin_max_body_bytes: u32 = 16_777_216;
    admin_max_connections: u32 = 256;
    admin_requests_per_second: u32 = 2_000;
    admin_timeout_ms: u64 = 10_000;
    connect_timeout_ms: u64 = 5_000;
    send_timeout_ms: u64 = 30_000;
    read_timeout_ms: u64 = 60_000;
    total_timeout_ms: u64 = 120_000;
    max_response_bytes: u64 = 33_554_432;
    max_retries: u8 = 1;
    aggregate_part_bytes: u64 = 1_048_576;
    aggregate_bytes: u64 = 8_388_608;
    aggregate_requests: u16 = 32;
    weight: u16 = 1;
    queue_timeout_ms: u64 = 1_000;
    max_fails: u32 = 3;
    fail_timeout_ms: u64 = 30_000;
    max_ejection_percent: u8 = 100;
    retry_budget_percent: u8 = 20;
    outlier_error_percent: u8 = 50;
    outlier_min_requests: u32 = 20;
    outlier_window_ms: u64 = 10_000;
    outlier_ejection_ms: u64 = 30_000;
    breaker_failure_percent: u8 = 50;
    breaker_min_requests: u32 = 20;
    breaker_window_ms: u64 = 10_000;
    breaker_open_ms: u64 = 5_000;
    breaker_trial_requests: u32 = 1;
    cors_methods: Vec<String> = ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
    cors_max_age_s: u32 = 600;
    error_content_type: String = "text/html; charset=utf-8".to_owned();
    split_weight: u16 = 100;
    realm: String = "restricted".to_owned();
    api_key_header: String = "x-api-key".to_owned();
    compress_min_bytes: u64 = 1_024;
    compress_types: Vec<String> = [
        "text/*", "application/javascript", "application/json", "application/wasm",
        "application/xml", "application/problem+json", "application/rss+xml", "image/svg+xml",
    ].map(str::to_owned).to_vec();
    cache_ttl_s: u32 = 60;
    cache_statuses: Vec<u16> = vec![200, 203, 204, 300, 301, 308, 404, 410];
    cache_max_body_bytes: u64 = 1_048_576;
    cache_wait_ms: u64 = 5_000;
    cache_bytes: u64 = 67_108_864;
    jwt_leeway_s: u16 = 30;
    jwt_consumer: String = "sub".to_owned();
    forward_auth_path: String = "/".to_owned();
    forward_auth_timeout_ms: u64 = 2_000;
    rate_per_second: u32 = 100;
    rate_period_ms: u64 = 1_000;
    rate_burst: u32 = 200;
    rate_max_keys: u32 = 65_536;
    rate_status: u16 = 429;
    check_interval_ms: u64 = 5_000;
    check_timeout_ms: u64 = 2_000;
    check_healthy: u32 = 2;
    check_unhealthy: u32 = 3;
    pool_max_connections: u32 = 64;
    pool_max_idle: u32 = 16;
    pool_idle_timeout_ms: u64 = 60_000;
    idle_ms: u64 = 60_000;
    header_ms: u64 = 10_000;
    body_ms: u64 = 30_000;
    write_ms: u64 = 30_000;
    drain_ms: u64 = 30_000;
    tunnel_idle_ms: u64 = 300_000;
    max_header_bytes: u32 = 32_768;
    max_header_count: u16 = 128;
    max_body_bytes: u64 = 33_554_432;
    max_connections: u32 = 16_384;
    max_interim_responses: u8 = 10;
    large_buffers: u16 = 64;
    pipes: u16 = 64;
    log_buffer_bytes: u32 = 1_048_576;
    backlog: u32 = 4_096;
    yes: bool = true;
    redirect_status: u16 = 308;
    respond_status: u16 = 200;
    dns_min_ttl_ms: u64 = 1_000;
    dns_max_ttl_ms: u64 = 60_000;
}
