//! Header transforms: fields set on a request or a response. A transform with a comma in it
//! replaces text within a field: `find, replace`.

use super::convert::authority;
use super::options::Options;
use super::unsaid::kept;
use crate::model::checks::is_free_field;
use crate::model::faults::{Report, at_key};
use crate::model::policy::{Edits, NamedValue, Replacement};
use crate::model::route::Route;

/// What Ocelot takes for its own address.
const BASE_URL: &str = "http://localhost:5000";

/// Gives a route its header transforms.
pub(super) fn give(route: &mut Route, options: &Options<'_>, place: &str, report: &mut Report) {
    let (file, global) = (options.route, options.global);
    let up = Options::transforms(
        &file.upstream_header_transform,
        &global.upstream_header_transform,
    );
    let down = Options::transforms(
        &file.downstream_header_transform,
        &global.downstream_header_transform,
    );
    let places = Places::of(options);
    let up = places.edits(&up, &at_key(place, "UpstreamHeaderTransform"), report);
    let down = places.edits(&down, &at_key(place, "DownstreamHeaderTransform"), report);
    // What is made of claims comes after them, and wins.
    if let Some(mut edits) = up {
        let claims = route.request_headers.take().unwrap_or_default();
        let is_same = |one: &NamedValue, name: &str| one.name.eq_ignore_ascii_case(name);
        edits
            .set
            .retain(|set| !claims.set.iter().any(|one| is_same(one, &set.name)));
        edits.set.extend(claims.set);
        route.request_headers = Some(edits);
    }
    route.response_headers = down;
}

/// What stands for the placeholders.
struct Places {
    base_url: String,
    downstream: String,
}

impl Places {
    fn of(options: &Options<'_>) -> Self {
        let base_url = options.global.base_url.as_deref().unwrap_or_default();
        let base_url = if base_url.is_empty() {
            BASE_URL
        } else {
            base_url
        };
        let server = options.route.downstream_host_and_ports.first();
        let port = options.default_port();
        let authority = server.map(|server| authority(server, port));
        let authority = authority.unwrap_or_default();
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            downstream: format!("{}://{authority}/", options.scheme()),
        }
    }

    fn edits(
        &self,
        transforms: &[(&str, &str)],
        place: &str,
        report: &mut Report,
    ) -> Option<Edits> {
        let mut edits = Edits::default();
        for (name, value) in transforms {
            let place = at_key(place, name);
            if name.eq_ignore_ascii_case("host") {
                kept(place, "the host is that of the server", report);
            } else if !is_free_field(name) {
                kept(place, "the proxy writes this field itself", report);
            } else if value.contains(',') {
                match self.replacement(name, value) {
                    Ok(replacement) => edits.replace.push(replacement),
                    Err(why) => kept(place, why, report),
                }
            } else {
                match self.fill(value) {
                    Some(value) => edits.set.push(NamedValue {
                        name: (*name).to_owned(),
                        value,
                    }),
                    None => kept(
                        place,
                        "it has a placeholder that nothing stands for",
                        report,
                    ),
                }
            }
        }
        (edits != Edits::default()).then_some(edits)
    }

    /// What `find, replace` says. Text after a second comma is not looked at.
    fn replacement(&self, name: &str, value: &str) -> Result<Replacement, &'static str> {
        let mut parts = value.split(',');
        let find = parts.next().unwrap_or_default();
        let with = parts.next().unwrap_or_default().trim_start();
        let mut with = with.replace("{BaseUrl}", &self.base_url);
        if find.is_empty() {
            return Err("it does not say what is to be found");
        }
        if with.contains(['{', '}']) {
            return Err("it has a placeholder that nothing stands for when it is read");
        }
        let mut find = find.to_owned();
        if find == "{DownstreamBaseUrl}" {
            find = "{server_url}".to_owned();
            if !with.ends_with('/') {
                with.push('/');
            }
        }
        Ok(Replacement {
            name: name.to_owned(),
            find,
            with,
        })
    }

    /// The value with native places; none if something in it is not known.
    fn fill(&self, value: &str) -> Option<String> {
        let value = value
            .trim()
            .replace("{BaseUrl}", &self.base_url)
            .replace("{DownstreamBaseUrl}", &self.downstream);
        let known = value
            .replace("{RemoteIpAddress}", "")
            .replace("{UpstreamHost}", "");
        let filled = value
            .replace("{RemoteIpAddress}", "{client_ip}")
            .replace("{UpstreamHost}", "{host}");
        (!known.contains(['{', '}'])).then_some(filled)
    }
}
