//! Aggregates: several routes that are asked at once, as native aggregates.
//!
//! A part asks for the path that the upstream template of its route makes of the placeholders of
//! the aggregate, so the route takes it as it would take it from a client. One route alone is not
//! joined with anything: the aggregate is that route under another path.

use super::convert::{One, giving, headers, id_of, methods};
use super::file::{FileAggregate, FileConfiguration, FileRoute};
use super::options::Options;
use super::template::{Names, Piece, Template, matched, place as place_of};
use crate::model::aggregate::{Aggregate, Part};
use crate::model::defaults::MS_MAX;
use crate::model::faults::{Report, at_key};
use crate::model::route::{Respond, Route};
use crate::model::upstream::Upstream;
use crate::wire::json;

/// Bytes of one part, and of all; Ocelot has no bound.
const PART_BYTES: u64 = 8 << 20;
const BYTES: u64 = 32 << 20;
/// Requests that one may become; Ocelot has no bound.
const REQUESTS: u16 = 256;

/// The methods that an aggregate has where it says nothing.
const METHODS: [&str; 1] = ["GET"];

/// The native route of the aggregate at `place`, and its upstream if it has one of its own.
pub(super) fn convert(
    aggregate: &FileAggregate,
    file: &FileConfiguration,
    rank: i32,
    place: &str,
    report: &mut Report,
) -> (Route, Option<Upstream>) {
    let members = members(aggregate, &file.routes);
    let stated = as_route(aggregate);
    if let [(_, member)] = members.as_slice() {
        let route = renamed(member, stated);
        let options = Options {
            route: &route,
            global: &file.global_configuration,
        };
        let one = One {
            options,
            place,
            report,
        };
        return one.convert(rank);
    }
    let mut route = Route {
        id: Some(id_of(&stated, "aggregate")),
        rank,
        host: Some(stated.upstream_host.clone()).filter(|host| !host.is_empty()),
        ignore_case: !stated.route_is_case_sensitive,
        methods: methods(&stated.upstream_http_method),
        total_timeout_ms: MS_MAX,
        ..Route::default()
    };
    let template = Template::read(&stated.upstream_path_template);
    giving(
        matched(&template, stated.route_is_case_sensitive),
        &mut route,
    );
    headers(&stated, &mut route, &mut Names::default());
    match parts(aggregate, &members, &template) {
        Ok(parts) => {
            route.aggregate = Some(Aggregate {
                parts,
                max_part_bytes: PART_BYTES,
                max_bytes: BYTES,
                max_requests: REQUESTS,
            });
        }
        Err((member, why)) => {
            let what = format!("requests of this aggregate are answered with 501: {why}");
            report.warn(at_key(place, member), what, "");
            route.respond = Some(Respond {
                status: 501,
                headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
                body: format!("{member}: {why}\n"),
            });
        }
    }
    (route, None)
}

/// The routes that it asks, each with its key.
fn members<'f>(
    aggregate: &'f FileAggregate,
    routes: &'f [FileRoute],
) -> Vec<(&'f String, &'f FileRoute)> {
    let mut keys: Vec<&String> = Vec::new();
    for key in &aggregate.route_keys {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let route = |key: &String| {
        let mut routes = routes.iter();
        routes.find(|route| route.key.as_ref() == Some(key))
    };
    keys.into_iter()
        .filter_map(|key| Some((key, route(key)?)))
        .collect()
}

/// What `member` does with the requests that `stated` matches.
fn renamed(member: &FileRoute, stated: FileRoute) -> FileRoute {
    FileRoute {
        upstream_path_template: stated.upstream_path_template,
        upstream_http_method: stated.upstream_http_method,
        upstream_host: stated.upstream_host,
        upstream_header_templates: stated.upstream_header_templates,
        route_is_case_sensitive: stated.route_is_case_sensitive,
        priority: stated.priority,
        ..member.clone()
    }
}

/// What an aggregate matches, as a route that matches the same.
pub(super) fn as_route(aggregate: &FileAggregate) -> FileRoute {
    let methods = aggregate.upstream_http_method.clone();
    FileRoute {
        upstream_path_template: aggregate.upstream_path_template.clone(),
        upstream_http_method: methods.unwrap_or_else(|| METHODS.map(str::to_owned).to_vec()),
        upstream_host: aggregate.upstream_host.clone(),
        upstream_header_templates: aggregate.upstream_header_templates.clone(),
        route_is_case_sensitive: aggregate.route_is_case_sensitive,
        priority: aggregate.priority,
        ..FileRoute::default()
    }
}

fn parts(
    aggregate: &FileAggregate,
    members: &[(&String, &FileRoute)],
    template: &Template,
) -> Result<Vec<Part>, (&'static str, &'static str)> {
    if aggregate
        .aggregator
        .as_ref()
        .is_some_and(|name| !name.is_empty())
    {
        return Err(("Aggregator", "it is code of the gateway"));
    }
    if members.is_empty() {
        return Err(("RouteKeys", "there is nobody to ask"));
    }
    let each = members.iter().enumerate().map(|(index, (key, member))| {
        let mut configs = aggregate.route_keys_config.iter();
        let config = configs.find(|config| config.route_key == **key && index > 0);
        if config.is_some_and(|config| json::Path::parse(&config.json_path).is_none()) {
            return Err(("RouteKeysConfig", "its JsonPath has what is not known here"));
        }
        let parameter = config.map(|config| config.parameter.as_str());
        Ok(Part {
            key: (*key).clone(),
            route: id_of(member, ""),
            path: path(member, template, parameter),
            for_each: config.map(|config| config.json_path.clone()),
        })
    });
    each.collect()
}

/// The path for which a member is asked, with its query.
fn path(member: &FileRoute, template: &Template, parameter: Option<&str>) -> String {
    let own = Template::read(&member.upstream_path_template);
    let mut names = Names::default();
    if let Some(parameter) = parameter {
        let value = "{value}".to_owned();
        names.of_claims.insert(parameter.to_owned(), value);
    }
    let put = |pieces: &[Piece], text: &mut String| {
        for piece in pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Place(name) => {
                    text.push_str(&place_of(name, template, &names, &mut Vec::new()));
                }
            }
        }
    };
    let mut text = String::new();
    put(&own.path, &mut text);
    if let Some(query) = &own.query {
        text.push('?');
        put(query, &mut text);
    }
    text
}
