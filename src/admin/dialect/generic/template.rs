//! Template: an entity to begin with, for each kind. Query parameters are put into it.

use serde_json::{Value, json};

use super::catalogue::{Resource, View};
use super::patch::Patch;
use crate::admin::entity::Kind;

/// Parameters that say how to answer, not what to put into the template.
const NOT_FORWARDED: [&str; 5] = ["pretty", "envelope", "fields", "in_mem", "wait"];

/// The template of a kind with `parameters` put into it; none where there is no template.
///
/// # Errors
/// The parameter that cannot be put there.
pub(crate) fn of(
    resource: &Resource,
    id: String,
    parameters: &[(String, String)],
) -> Result<Option<Value>, String> {
    if !resource.has_template {
        return Ok(None);
    }
    let mut entity = resource.form.defaults();
    begin(resource, id, &mut entity);
    for (name, value) in parameters {
        let forwarded = !NOT_FORWARDED.contains(&name.as_str());
        if !forwarded {
            continue;
        }
        let is_domain = resource.view == View::Route && name == "domain";
        let path = if is_domain {
            "frontend.domains.0"
        } else {
            name
        };
        let place = json!([{"path": path, "value": value}]);
        Patch::places(place)
            .and_then(|patch| patch.apply(&mut entity))
            .map_err(|error| format!("{name}: {error}"))?;
    }
    resource.form.fill(&mut entity);
    Ok(Some(entity))
}

/// What the defaults do not have: a name, and enough to be created as it is.
fn begin(resource: &Resource, id: String, entity: &mut Value) {
    let name = format!("New {}", resource.singular.replace('-', " "));
    let Some(members) = entity.as_object_mut() else {
        return;
    };
    let mut put = |key: &str, value: Value| {
        members.insert(key.to_owned(), value);
    };
    put(resource.id_key, json!(id));
    match resource.view {
        View::Route => {
            put("name", json!(name));
            put("frontend", json!({"domains": ["new-route.oto.tools"]}));
            put("backend", servers());
            let host = "cp:otoroshi.next.plugins.OverrideHost";
            put("plugins", json!([{"plugin": host}]));
        }
        View::Backend => {
            put("name", json!(name));
            put("backend", servers());
        }
        View::Stored(Kind::Route) => {
            put("path_prefix", json!("/new-route"));
            put("upstream", json!("new-upstream"));
        }
        View::Stored(Kind::Upstream) => {
            put(
                "servers",
                json!([{"address": "request.otoroshi.io", "port": 80}]),
            );
        }
        View::Stored(_) => {
            put("name", json!(name));
            for (key, value) in extra(resource.kind) {
                put(key, value);
            }
        }
    }
    resource.form.fill(entity);
}

fn servers() -> Value {
    json!({"targets": [{"hostname": "request.otoroshi.io", "port": 80}]})
}

/// What a kind requires besides id and name.
fn extra(kind: &str) -> Vec<(&'static str, Value)> {
    match kind {
        "Apikey" => vec![
            ("clientName", json!("New apikey")),
            ("clientSecret", json!(super::random_text(32))),
            ("authorizedEntities", json!(["group_default"])),
        ],
        "GlobalConfig" => vec![("id", json!("global")), ("name", json!("global"))],
        "JwtVerifier" => vec![
            (
                "source",
                json!({"type": "InHeader", "name": "X-JWT-Token", "remove": ""}),
            ),
            (
                "algoSettings",
                json!({"type": "HSAlgoSettings", "size": 512, "secret": "secret", "base64": false}),
            ),
            (
                "strategy",
                json!({
                    "type": "PassThrough",
                    "verificationSettings": {"fields": {}, "arrayFields": {}},
                }),
            ),
        ],
        "Certificate" => vec![("chain", json!("")), ("domain", json!("new.oto.tools"))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    #[test]
    fn every_template_is_what_its_form_allows() {
        for resource in catalogue::all() {
            let template = of(resource, "new-1".to_owned(), &[]).unwrap();
            let Some(template) = template else { continue };
            assert_eq!(resource.form.check(&template), Ok(()), "{}", resource.kind);
        }
    }

    #[test]
    fn parameters_are_put_into_it() {
        let resource = catalogue::find("any", "any", "routes").unwrap();
        let parameters = [
            ("domain", "api.example.com"),
            ("metadata.owner", "me"),
            ("pretty", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let template = of(resource, "new-1".to_owned(), &parameters)
            .unwrap()
            .unwrap();
        assert_eq!(template["frontend"]["domains"], json!(["api.example.com"]));
        assert_eq!(template["metadata"]["owner"], "me");
        assert_eq!(template["name"], "New route");
        assert_eq!(template.get("pretty"), None);
    }
}
