//! The members of a FileConfiguration: their names, and what each holds.
//!
//! Names are matched whatever their case, as Ocelot does; a value that is written as a text
//! (`"Port": "80"`) is taken for what it says. From these tables come the typed form, the
//! PascalCase of the file and the camelCase of the administration API.

use serde_json::{Map, Number, Value};

use crate::model::faults::{Report, at_index, at_key, quoted};

/// What a member holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Whatever it is.
    Any,
    Bool,
    Int,
    /// Texts by names that are the writer's own.
    Map,
    Number,
    Object(Members),
    Objects(Members),
    Text,
    Texts,
}

/// The members of an object.
type Members = &'static [(&'static str, Form)];

/// How names are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Naming {
    /// As the administration API shows them: `routes`, `qoSOptions`.
    Camel,
    /// As the file has them: `Routes`, `QoSOptions`.
    Pascal,
}

use Form::{Any, Bool, Int, Map as Texted, Number as Real, Object, Objects, Text, Texts};

/// The member in which Ringway keeps what Ocelot has no word for.
pub const OWN: &str = "Ringway";

/// The members of the whole document.
pub(super) const DOCUMENT: Form = Object(&[
    ("Routes", Objects(ROUTE)),
    ("DynamicRoutes", Objects(ROUTE)),
    ("Aggregates", Objects(AGGREGATE)),
    ("GlobalConfiguration", Object(GLOBAL)),
    (OWN, Any),
]);

const ROUTE: Members = &[
    ("UpstreamPathTemplate", Text),
    ("UpstreamHttpMethod", Texts),
    ("UpstreamHost", Text),
    ("UpstreamHeaderTemplates", Texted),
    ("UpstreamHeaderTransform", Texted),
    ("DownstreamPathTemplate", Text),
    ("DownstreamScheme", Text),
    (
        "DownstreamHostAndPorts",
        Objects(&[("Host", Text), ("Port", Int)]),
    ),
    ("DownstreamHttpMethod", Text),
    ("DownstreamHttpVersion", Text),
    ("DownstreamHttpVersionPolicy", Text),
    ("DownstreamHeaderTransform", Texted),
    ("Priority", Int),
    ("RouteIsCaseSensitive", Bool),
    ("Key", Text),
    ("LoadBalancerOptions", Object(BALANCER)),
    ("CacheOptions", Object(CACHE)),
    ("FileCacheOptions", Object(CACHE)),
    ("RateLimitOptions", Object(RATE)),
    ("QoSOptions", Object(QUALITY)),
    ("AuthenticationOptions", Object(AUTHENTICATION)),
    ("RouteClaimsRequirement", Texted),
    ("AddClaimsToRequest", Texted),
    ("AddHeadersToRequest", Texted),
    ("AddQueriesToRequest", Texted),
    ("ChangeDownstreamPathTemplate", Texted),
    ("SecurityOptions", Object(SECURITY)),
    ("HttpHandlerOptions", Object(HANDLER)),
    ("Timeout", Int),
    ("DelegatingHandlers", Texts),
    ("DangerousAcceptAnyServerCertificateValidator", Bool),
    ("RequestIdKey", Text),
    ("Metadata", Texted),
    ("ServiceName", Text),
    ("ServiceNamespace", Text),
];

const AGGREGATE: Members = &[
    ("RouteKeys", Texts),
    (
        "RouteKeysConfig",
        Objects(&[("RouteKey", Text), ("JsonPath", Text), ("Parameter", Text)]),
    ),
    ("UpstreamPathTemplate", Text),
    ("UpstreamHost", Text),
    ("UpstreamHttpMethod", Texts),
    ("UpstreamHeaderTemplates", Texted),
    ("RouteIsCaseSensitive", Bool),
    ("Priority", Int),
    ("Aggregator", Text),
];

const GLOBAL: Members = &[
    ("BaseUrl", Text),
    ("RequestIdKey", Text),
    (
        "ServiceDiscoveryProvider",
        Object(&[
            ("Scheme", Text),
            ("Host", Text),
            ("Port", Int),
            ("Type", Text),
            ("Token", Text),
            ("ConfigurationKey", Text),
            ("PollingInterval", Int),
            ("Namespace", Text),
        ]),
    ),
    ("DownstreamScheme", Text),
    ("DownstreamHttpVersion", Text),
    ("DownstreamHttpVersionPolicy", Text),
    ("Timeout", Int),
    ("Metadata", Texted),
    (
        "MetadataOptions",
        Object(&[
            ("CurrentCulture", Text),
            ("NumberStyle", Text),
            ("Separators", Texts),
            ("StringSplitOption", Text),
            ("TrimChars", Texts),
        ]),
    ),
    ("SecurityOptions", Object(SECURITY)),
    ("UpstreamHeaderTransform", Texted),
    ("DownstreamHeaderTransform", Texted),
    ("AuthenticationOptions", Object(AUTHENTICATION)),
    ("CacheOptions", Object(CACHE)),
    ("HttpHandlerOptions", Object(HANDLER)),
    ("LoadBalancerOptions", Object(BALANCER)),
    ("QoSOptions", Object(QUALITY)),
    ("RateLimitOptions", Object(RATE)),
];

const BALANCER: Members = &[
    ("Type", Text),
    ("Key", Text),
    ("Expiry", Int),
    ("RouteKeys", Texts),
];

const CACHE: Members = &[
    ("TtlSeconds", Int),
    ("Region", Text),
    ("Header", Text),
    ("EnableContentHashing", Bool),
    ("RouteKeys", Texts),
];

const RATE: Members = &[
    ("EnableRateLimiting", Bool),
    ("Limit", Int),
    ("Period", Text),
    ("Wait", Text),
    ("PeriodTimespan", Real),
    ("ClientIdHeader", Text),
    ("ClientWhitelist", Texts),
    ("StatusCode", Int),
    ("HttpStatusCode", Int),
    ("QuotaMessage", Text),
    ("QuotaExceededMessage", Text),
    ("KeyPrefix", Text),
    ("RateLimitCounterPrefix", Text),
    ("EnableHeaders", Bool),
    ("DisableRateLimitHeaders", Bool),
    ("RouteKeys", Texts),
];

const QUALITY: Members = &[
    ("Timeout", Int),
    ("TimeoutValue", Int),
    ("MinimumThroughput", Int),
    ("ExceptionsAllowedBeforeBreaking", Int),
    ("BreakDuration", Int),
    ("DurationOfBreak", Int),
    ("FailureRatio", Real),
    ("SamplingDuration", Int),
    ("RouteKeys", Texts),
];

const AUTHENTICATION: Members = &[
    ("AuthenticationProviderKey", Text),
    ("AuthenticationProviderKeys", Texts),
    ("AllowedScopes", Texts),
    ("AllowAnonymous", Bool),
    ("RouteKeys", Texts),
];

const SECURITY: Members = &[
    ("IPAllowedList", Texts),
    ("IPBlockedList", Texts),
    ("ExcludeAllowedFromBlocked", Bool),
];

const HANDLER: Members = &[
    ("AllowAutoRedirect", Bool),
    ("MaxConnectionsPerServer", Int),
    ("PooledConnectionLifetimeSeconds", Int),
    ("UseCookieContainer", Bool),
    ("UseProxy", Bool),
    ("UseTracing", Bool),
    ("RouteKeys", Texts),
];

/// The document with the names of its members written as `naming` says. Everything else stays.
#[must_use]
pub fn named(document: &Value, naming: Naming) -> Value {
    rename(document, DOCUMENT, naming)
}

fn rename(value: &Value, form: Form, naming: Naming) -> Value {
    match (form, value) {
        (Object(members), Value::Object(object)) => {
            let renamed = object.iter().map(|(given, value)| {
                let known = member(members, given);
                let name = known.map_or_else(|| given.clone(), |(name, _)| naming.write(name));
                (
                    name,
                    rename(value, known.map_or(Any, |(_, form)| form), naming),
                )
            });
            Value::Object(renamed.collect())
        }
        (Objects(members), Value::Array(list)) => {
            let each = list.iter();
            each.map(|one| rename(one, Object(members), naming))
                .collect()
        }
        _ => value.clone(),
    }
}

/// The typed form of the document: known members alone, in PascalCase, without nulls. What is
/// unknown is a warning, what cannot be read a fault.
pub(super) fn typed(document: &Value, report: &mut Report) -> Value {
    read(document, DOCUMENT, "$", report).unwrap_or_default()
}

fn read(value: &Value, form: Form, place: &str, report: &mut Report) -> Option<Value> {
    let read = match (form, value) {
        (_, Value::Null) => return None,
        (Any, _) | (Bool, Value::Bool(_)) | (Real, Value::Number(_)) | (Text, Value::String(_)) => {
            Some(value.clone())
        }
        (Int, Value::Number(number)) if number.is_i64() => Some(value.clone()),
        (Bool, Value::String(text)) => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
        (Int, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (Real, Value::String(text)) => {
            let number = text.trim().parse().ok().and_then(Number::from_f64);
            number.map(Value::Number)
        }
        (Text, Value::Number(_) | Value::Bool(_)) => Some(Value::String(value.to_string())),
        (Texts, Value::Array(list)) => Some(list_of(list, Text, place, report)),
        (Objects(members), Value::Array(list)) => {
            Some(list_of(list, Object(members), place, report))
        }
        (Texted, Value::Object(object)) => {
            let each = object.iter().filter_map(|(name, value)| {
                Some((
                    name.clone(),
                    read(value, Text, &at_key(place, name), report)?,
                ))
            });
            Some(Value::Object(each.collect()))
        }
        (Object(members), Value::Object(object)) => Some(object_of(object, members, place, report)),
        _ => None,
    };
    if read.is_none() {
        let what = format!("{} is not {}", quoted(&value.to_string()), form.expected());
        report.fault(place, what, "");
    }
    read
}

fn list_of(list: &[Value], form: Form, place: &str, report: &mut Report) -> Value {
    let each = list.iter().enumerate();
    each.filter_map(|(index, one)| read(one, form, &at_index(place, index), report))
        .collect()
}

fn object_of(
    object: &Map<String, Value>,
    members: Members,
    place: &str,
    report: &mut Report,
) -> Value {
    let mut typed = Map::new();
    for (given, value) in object {
        let place = at_key(place, given);
        match member(members, given) {
            Some((name, form)) => {
                if let Some(value) = read(value, form, &place, report) {
                    typed.insert(name.to_owned(), value);
                }
            }
            None => report.warn(place, "Ocelot has no such member; it is kept as it is", ""),
        }
    }
    Value::Object(typed)
}

fn member(members: Members, given: &str) -> Option<(&'static str, Form)> {
    let mut members = members.iter();
    members
        .find(|(name, _)| name.eq_ignore_ascii_case(given))
        .copied()
}

impl Form {
    fn expected(self) -> &'static str {
        match self {
            Any => "a value",
            Bool => "true or false",
            Int => "a whole number",
            Texted | Object(_) => "an object",
            Real => "a number",
            Objects(_) => "a list of objects",
            Text => "a text",
            Texts => "a list of texts",
        }
    }
}

impl Naming {
    fn write(self, name: &str) -> String {
        match self {
            Self::Pascal => name.to_owned(),
            Self::Camel if name == OWN => name.to_owned(),
            Self::Camel => camel(name),
        }
    }
}

/// The name as Newtonsoft.Json writes it: leading capitals become small, up to the one before a
/// small letter.
fn camel(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let next_is_small = |index: usize| letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
    let small = letters.iter().enumerate().position(|(index, letter)| {
        !letter.is_ascii_uppercase() || (index > 0 && next_is_small(index))
    });
    let small = small.unwrap_or(letters.len());
    let each = letters.iter().enumerate();
    each.map(|(index, letter)| {
        if index < small {
            letter.to_ascii_lowercase()
        } else {
            *letter
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_written_as_newtonsoft_writes_them() {
        for (name, expected) in [
            ("Routes", "routes"),
            ("QoSOptions", "qoSOptions"),
            ("IPAllowedList", "ipAllowedList"),
            ("UpstreamHttpMethod", "upstreamHttpMethod"),
            ("Key", "key"),
        ] {
            assert_eq!(camel(name), expected);
        }
    }

    #[test]
    fn both_namings_hold_the_same_and_leave_what_is_not_theirs() {
        let pascal = json!({
            "Routes": [{"QoSOptions": {"TimeoutValue": null}, "Metadata": {"Some Key": "1"},
                        "Other": {"Key": 1}}],
            "GlobalConfiguration": {"BaseUrl": "http://x"}, "Ringway": {"Routes": []},
        });
        let camel = named(&pascal, Naming::Camel);
        assert_eq!(
            camel,
            json!({
                "routes": [{"qoSOptions": {"timeoutValue": null}, "metadata": {"Some Key": "1"},
                            "Other": {"Key": 1}}],
                "globalConfiguration": {"baseUrl": "http://x"}, "Ringway": {"Routes": []},
            })
        );
        assert_eq!(named(&camel, Naming::Pascal), pascal);
    }

    #[test]
    fn values_are_read_for_what_they_say() {
        let mut report = Report::default();
        let document = json!({"routes": [
            {"priority": "3", "routeIsCaseSensitive": "True", "key": null, "nonsense": 1},
        ]});
        assert_eq!(
            typed(&document, &mut report),
            json!({"Routes": [{"Priority": 3, "RouteIsCaseSensitive": true}]})
        );
        assert_eq!((report.faults.len(), report.warnings.len()), (0, 1));
        typed(&json!({"Routes": [{"Priority": "high"}]}), &mut report);
        assert_eq!(report.faults[0].path, "$.Routes[0].Priority");
    }
}
