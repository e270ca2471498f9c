//! Promise: each ocelot.json of the corpus (tests/corpus/ocelot) starts as it is, comes back
//! unchanged, and routes as the file beside it says: `REQUEST => HOST PATH`, or a status. Together
//! they have every field that Ocelot has.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::admin::body;
use common::ocelot::{FILE, OcelotClient, folded, settings};
use common::{Driver, Ringway, new_directory};
use ringway::model::{self, Format};
use ringway::proxy::explain;
use serde_json::Value;

/// Every field of a FileConfiguration, release 25 and the older names, by the object that has it.
const FIELDS: [(&str, &str); 12] = [
    ("", "Routes DynamicRoutes Aggregates GlobalConfiguration"),
    (
        "Routes",
        "UpstreamPathTemplate UpstreamHttpMethod UpstreamHost UpstreamHeaderTemplates \
         UpstreamHeaderTransform DownstreamPathTemplate DownstreamScheme DownstreamHostAndPorts \
         DownstreamHttpMethod DownstreamHttpVersion DownstreamHttpVersionPolicy \
         DownstreamHeaderTransform Priority RouteIsCaseSensitive Key FileCacheOptions \
         RouteClaimsRequirement AddClaimsToRequest AddHeadersToRequest AddQueriesToRequest \
         ChangeDownstreamPathTemplate SecurityOptions Timeout DelegatingHandlers \
         DangerousAcceptAnyServerCertificateValidator RequestIdKey Metadata ServiceName \
         ServiceNamespace",
    ),
    ("Routes.DownstreamHostAndPorts", "Host Port"),
    (
        "Routes.FileCacheOptions",
        "TtlSeconds Region Header EnableContentHashing",
    ),
    (
        "Aggregates",
        "RouteKeys RouteKeysConfig UpstreamPathTemplate UpstreamHost UpstreamHttpMethod \
         UpstreamHeaderTemplates RouteIsCaseSensitive Priority Aggregator",
    ),
    ("Aggregates.RouteKeysConfig", "RouteKey JsonPath Parameter"),
    (
        "GlobalConfiguration",
        "BaseUrl RequestIdKey ServiceDiscoveryProvider DownstreamScheme DownstreamHttpVersion \
         DownstreamHttpVersionPolicy Timeout Metadata MetadataOptions SecurityOptions \
         UpstreamHeaderTransform DownstreamHeaderTransform",
    ),
    (
        "GlobalConfiguration.ServiceDiscoveryProvider",
        "Scheme Host Port Type Token ConfigurationKey PollingInterval Namespace",
    ),
    (
        "GlobalConfiguration.MetadataOptions",
        "CurrentCulture NumberStyle Separators StringSplitOption TrimChars",
    ),
    ("Routes.SecurityOptions", SECURITY),
    ("GlobalConfiguration.SecurityOptions", SECURITY),
    (
        "GlobalConfiguration",
        "AuthenticationOptions CacheOptions HttpHandlerOptions LoadBalancerOptions QoSOptions \
         RateLimitOptions",
    ),
];

const SECURITY: &str = "IPAllowedList IPBlockedList ExcludeAllowedFromBlocked";

/// Options that a route has, and all routes together, then with `RouteKeys`.
const OPTIONS: [(&str, &str); 6] = [
    (
        "AuthenticationOptions",
        "AuthenticationProviderKey AuthenticationProviderKeys AllowedScopes AllowAnonymous",
    ),
    (
        "CacheOptions",
        "TtlSeconds Region Header EnableContentHashing",
    ),
    (
        "HttpHandlerOptions",
        "AllowAutoRedirect MaxConnectionsPerServer PooledConnectionLifetimeSeconds \
         UseCookieContainer UseProxy UseTracing",
    ),
    ("LoadBalancerOptions", "Type Key Expiry"),
    (
        "QoSOptions",
        "Timeout TimeoutValue MinimumThroughput ExceptionsAllowedBeforeBreaking BreakDuration \
         DurationOfBreak FailureRatio SamplingDuration",
    ),
    (
        "RateLimitOptions",
        "EnableRateLimiting Limit Period Wait PeriodTimespan ClientIdHeader ClientWhitelist \
         StatusCode HttpStatusCode QuotaMessage QuotaExceededMessage KeyPrefix \
         RateLimitCounterPrefix EnableHeaders DisableRateLimitHeaders",
    ),
];

/// The paths of all of them.
fn fields() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut add = |path: &str, names: &str| {
        for name in names.split_whitespace() {
            all.insert(format!("{path}.{name}").trim_start_matches('.').to_owned());
        }
    };
    FIELDS
        .into_iter()
        .for_each(|(path, names)| add(path, names));
    for (option, names) in OPTIONS {
        add(&format!("Routes.{option}"), names);
        add(&format!("GlobalConfiguration.{option}"), names);
        add(&format!("GlobalConfiguration.{option}"), "RouteKeys");
    }
    all
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/ocelot");
    let files = std::fs::read_dir(folder).expect("the corpus is there");
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    files
}

/// What a request comes to, as the files of the corpus write it.
fn outcome(config: &model::Config, request: &str) -> String {
    let (line, field) = match request.split_once(" [") {
        Some((line, field)) => (line, Some(field.trim_end_matches(']').to_owned())),
        None => (request, None),
    };
    let (method, url) = line.split_once(' ').expect("a method and a URL");
    let fields: Vec<String> = field.into_iter().collect();
    let explained = explain(config, method, url, &fields).expect("a table");
    let Some(head) = explained.forwarded else {
        let words = explained.outcome.split_whitespace();
        let mut statuses = words.filter(|word| word.parse::<u16>().is_ok());
        return statuses.next().expect("a status").to_owned();
    };
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let host = head.lines().find_map(|line| line.strip_prefix("Host: "));
    format!("{} {path}", host.expect("a host"))
}

#[test]
fn each_file_routes_as_is_said_beside_it() {
    let mut wrong = Vec::new();
    for file in corpus() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let loaded = model::read(&text, Format::Json, name).unwrap_or_else(|e| panic!("{e}"));
        let said = std::fs::read_to_string(file.with_extension("txt")).unwrap();
        for line in said.lines() {
            let (request, expected) = line.split_once(" => ").expect("REQUEST => OUTCOME");
            let found = outcome(&loaded.config, request);
            if found != expected {
                wrong.push(format!("{name}: {request} => {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_file_starts_and_comes_back_unchanged() {
    for file in corpus() {
        let text = std::fs::read_to_string(&file).unwrap();
        let directory = new_directory();
        // The settings of the test go in front: everything else of the text stays as it is.
        let open = text.find('{').unwrap();
        let own = format!("{{\"Ringway\": {},", settings());
        let document = format!("{}{own}{}", &text[..open], &text[open + 1..]);
        std::fs::write(directory.join(FILE), document).unwrap();
        let ringway = Ringway::start_file(directory, FILE, Driver::Epoll, &[]);
        let mut client = OcelotClient::with_token(ringway.admin_address());
        let shown = body(&client.get());
        // Where the text has comments, what it says stands beside it.
        let plain = std::fs::read_to_string(file.with_extension("plain")).unwrap_or(text);
        let read = serde_json::from_str(&plain).expect("plain JSON");
        assert_eq!(folded(&shown), folded(&read), "{}", file.display());
        let posted = client.post(&shown);
        assert_eq!(
            posted.status(),
            200,
            "{}: {}",
            file.display(),
            posted.text()
        );
        assert_eq!(body(&client.get()), shown, "{}", file.display());
        drop(client);
        ringway.finish();
    }
}

#[test]
fn the_corpus_has_every_field() {
    fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(name, value)| {
                let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
                into.insert(path.clone());
                paths(value, &path, into);
            }),
            Value::Array(list) => list.iter().for_each(|one| paths(one, path, into)),
            _ => {}
        }
    }
    let mut there = BTreeSet::new();
    for file in corpus() {
        let text = std::fs::read_to_string(&file).unwrap();
        if let Ok(document) = serde_json::from_str(&text) {
            paths(&document, "", &mut there);
        }
    }
    let wanted = fields();
    assert!(wanted.len() > 150, "{}", wanted.len());
    let missing: Vec<&String> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
