//! Header transforms: fields set on a request or a response. A transform with a comma in it
//! replaces text within a field, for which there is no native word.

use super::convert::authority;
use super::options::Options;
use super::unsaid::kept;
use crate::model::faults::{Report, at_key};
use crate::model::policy::{Edits, NamedValue};
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
    route.request_headers = up;
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
        let authority = server.map(authority).unwrap_or_default();
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
            if value.contains(',') {
                kept(place, "text within a field is not replaced", report);
            } else if name.eq_ignore_ascii_case("host") {
                kept(place, "the host is that of the server", report);
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
