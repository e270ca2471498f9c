//! What Ocelot refuses, in Ocelot's words: every fault of a document at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::file::{FileAggregate, FileConfiguration, FileRoute, Texts};
use super::options::{Options, period_ms};
use super::template::Template;
use crate::model::faults::{Report, at_index, at_key};

/// Checks all routes and aggregates.
pub(super) fn check(file: &FileConfiguration, report: &mut Report) {
    let mut seen = Seen::default();
    for (index, route) in file.routes.iter().enumerate() {
        let place = at_index("$.Routes", index);
        let options = Options {
            route,
            global: &file.global_configuration,
        };
        check_route(route, &options, &place, report);
        if seen.has(route) {
            let what = format!("route {} has duplicate", route.upstream_path_template);
            report.fault(&place, what, "");
        }
        let is_get = |method: &String| method.eq_ignore_ascii_case("GET");
        let has_twin = file.aggregates.iter().any(|aggregate| {
            aggregate.upstream_path_template == route.upstream_path_template
                && aggregate.upstream_host == route.upstream_host
                && route.upstream_http_method.iter().any(is_get)
        });
        if has_twin {
            let name = &route.upstream_path_template;
            report.fault(&place, format!("route {name} has duplicate aggregate"), "");
        }
    }
    let mut seen = HashSet::new();
    for (index, aggregate) in file.aggregates.iter().enumerate() {
        let place = at_index("$.Aggregates", index);
        check_aggregate(file, aggregate, &place, report);
        let name = &aggregate.upstream_path_template;
        if !seen.insert((name, &aggregate.upstream_host)) {
            report.fault(
                &place,
                format!("aggregate {name} has duplicate aggregate"),
                "",
            );
        }
    }
}

/// The keys of all providers of proofs that routes ask for, each with its place.
pub(super) fn providers(file: &FileConfiguration) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (index, route) in file.routes.iter().enumerate() {
        let options = Options {
            route,
            global: &file.global_configuration,
        };
        let place = at_key(&at_index("$.Routes", index), "AuthenticationOptions");
        let keys = options.providers().into_iter();
        all.extend(keys.map(|key| (place.clone(), key.to_owned())));
    }
    all
}

/// The methods of the routes before, by what else they match.
#[derive(Default)]
struct Seen<'f>(HashMap<(&'f str, &'f str, &'f Texts), Methods>);

#[derive(Default)]
struct Methods {
    /// Whether one of them takes every method.
    all: bool,
    some: HashSet<String>,
}

impl<'f> Seen<'f> {
    /// Whether a route before takes requests that this one would take.
    fn has(&mut self, route: &'f FileRoute) -> bool {
        let key = (
            route.upstream_path_template.as_str(),
            route.upstream_host.as_str(),
            &route.upstream_header_templates,
        );
        let before = self.0.entry(key).or_default();
        let own = route.upstream_http_method.iter();
        let own: HashSet<String> = own.map(|method| method.to_ascii_uppercase()).collect();
        let overlap = if own.is_empty() {
            before.all || !before.some.is_empty()
        } else {
            before.all || own.iter().any(|method| before.some.contains(method))
        };
        before.all |= own.is_empty();
        before.some.extend(own);
        overlap
    }
}

fn check_route(route: &FileRoute, options: &Options<'_>, place: &str, report: &mut Report) {
    let templates = [
        (
            "Upstream Path Template",
            "UpstreamPathTemplate",
            &route.upstream_path_template,
        ),
        (
            "Downstream Path Template",
            "DownstreamPathTemplate",
            &route.downstream_path_template,
        ),
    ];
    for (title, member, template) in templates {
        check_template(title, member, template, &at_key(place, member), report);
    }
    check_limit(route, place, report);
    check_servers(route, options, place, report);
    for (member, value) in [
        ("DownstreamHttpVersion", &route.downstream_http_version),
        (
            "DownstreamHttpVersionPolicy",
            &route.downstream_http_version_policy,
        ),
    ] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else {
            continue;
        };
        let is_good = if member == "DownstreamHttpVersion" {
            is_version(value)
        } else {
            POLICIES.contains(&value)
        };
        if !is_good {
            let what = format!("'{member}' is not in the correct format.");
            report.fault(at_key(place, member), what, "");
        }
    }
}

const POLICIES: [&str; 3] = [
    "RequestVersionExact",
    "RequestVersionOrHigher",
    "RequestVersionOrLower",
];

fn check_template(title: &str, member: &str, template: &str, place: &str, report: &mut Report) {
    if template.is_empty() {
        return report.fault(place, format!("{title} cannot be empty"), "");
    }
    let mut say = |what: &str| report.fault(place, format!("{title} {template} {what}"), "");
    if !template.starts_with('/') {
        say("doesnt start with forward slash");
    }
    if template.contains("//") {
        say(
            "contains double forward slash, Ocelot does not support this at the moment. Please \
             raise an issue in GitHib if you need this feature.",
        );
    }
    if template.contains("http://") || template.contains("https://") {
        say("contains scheme");
    }
    let read = Template::read(template);
    let names = read.names();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    if distinct.len() < names.len() {
        let what = format!("{member} '{template}' has duplicated placeholder");
        report.fault(place, what, "");
    }
}

fn check_limit(route: &FileRoute, place: &str, report: &mut Report) {
    let Some(options) = &route.rate_limit_options else {
        return;
    };
    if options.enable_rate_limiting == Some(false) {
        return;
    }
    let place = at_key(place, "RateLimitOptions");
    if options.limit.is_some_and(|limit| limit <= 0)
        || (options.limit.is_none() && options.period.is_some())
    {
        let name = &route.upstream_path_template;
        let what = format!("RateLimitOptions.Limit is negative or zero for the route {name}");
        report.fault(&place, what, "");
    }
    match options.period.as_deref() {
        None | Some("") if options.limit.is_some() => {
            report.fault(&place, "RateLimitOptions.Period is empty", "");
        }
        Some(period) if !period.is_empty() && period_ms(period).is_none() => report.fault(
            &place,
            "RateLimitOptions.Period does not contain integer then ms (millisecond), s (second), \
             m (minute), h (hour), d (day) e.g. 1m for 1 minute period",
            "",
        ),
        _ => {}
    }
}

fn check_servers(route: &FileRoute, options: &Options<'_>, place: &str, report: &mut Report) {
    const CANNOT_FIND: &str = "must be set and not empty or Ocelot cannot find your service!";
    let service = route.service_name.as_deref().unwrap_or_default();
    let provider = &options.global.service_discovery_provider;
    let has_provider = provider.host.is_some() || provider.kind.is_some();
    if !service.is_empty() {
        if !has_provider {
            let what = "Unable to start Ocelot, errors are: Unable to start Ocelot because either \
                        a Route or GlobalConfiguration are using ServiceDiscoveryOptions but no \
                        ServiceDiscoveryFinderDelegate has been registered in dependency \
                        injection container.";
            report.fault(at_key(place, "ServiceName"), what, "");
        }
        return;
    }
    let place = at_key(place, "DownstreamHostAndPorts");
    if route.downstream_host_and_ports.is_empty() {
        let what = format!("When not using service discovery DownstreamHostAndPorts {CANNOT_FIND}");
        report.fault(place, what, "");
        return;
    }
    for (index, server) in route.downstream_host_and_ports.iter().enumerate() {
        if server.host.is_empty() {
            let what = "When not using service discovery Host must be set on \
                        DownstreamHostAndPorts if you are not using Route.Host or Ocelot cannot \
                        find your service!";
            report.fault(at_index(&place, index), what, "");
        }
    }
}

fn is_version(text: &str) -> bool {
    let mut letters = text.chars();
    let digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    if !digit(letters.next()) {
        return false;
    }
    match letters.next() {
        None => true,
        Some('.' | ',') => digit(letters.next()) && letters.next().is_none(),
        Some(_) => false,
    }
}

fn check_aggregate(
    file: &FileConfiguration,
    aggregate: &FileAggregate,
    place: &str,
    report: &mut Report,
) {
    let template = &aggregate.upstream_path_template;
    let key = at_key(place, "UpstreamPathTemplate");
    check_template(
        "Upstream Path Template",
        "UpstreamPathTemplate",
        template,
        &key,
        report,
    );
    let keys: HashSet<&String> = aggregate.route_keys.iter().collect();
    let is_member = |route: &&FileRoute| route.key.as_ref().is_some_and(|key| keys.contains(key));
    let members: Vec<&FileRoute> = file.routes.iter().filter(is_member).collect();
    if members.len() != keys.len() {
        let what = format!(
            "Routes for aggregateRoute {template} either do not exist or do not have correct \
             ServiceName property"
        );
        report.fault(place, what, "");
    }
    let has_id = |route: &&FileRoute| {
        let key = route.request_id_key.as_ref();
        key.is_some_and(|key| !key.is_empty())
    };
    if members.iter().any(has_id) {
        let what = format!(
            "aggregateRoute {template} contains Route with specific RequestIdKey, this is not \
             possible with Aggregates"
        );
        report.fault(place, what, "");
    }
}
