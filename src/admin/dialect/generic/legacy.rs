//! Legacy: the older endpoints of Otoroshi that its command line still calls, `/api/…`.
//!
//! Most are other names of resources. The whole of the state goes out and comes in as one
//! document, or a line per entity.

use hyper::{Method, header};
use serde_json::{Map, Value, json};

use super::act::{Step, new_id};
use super::body::Content;
use super::catalogue::{self, GLOBAL_ID, Resource};
use super::fault::Fault;
use super::media::{AnswerType, BodyType};
use super::view::Viewer;
use super::{Call, Flag, VERSION, on_resource, other, write};
use crate::admin::audit::Action;
use crate::admin::request::{self, Answer};

/// Names that the older endpoints have for resources.
const NAMES: [(&str, &str); 8] = [
    ("auths", "auth-modules"),
    ("data-exporter-configs", "data-exporters"),
    ("groups", "service-groups"),
    ("verifiers", "jwt-verifiers"),
    ("services", "service-descriptors"),
    ("client-validators", "drafts"),
    ("globalconfig", "global-configs"),
    ("tcp-services", "tcp-services"),
];

/// Answers `/api/…`.
pub(crate) async fn answer(call: &Call<'_>, rest: &[&str]) -> Result<Answer, Fault> {
    let method = &call.request.method;
    match rest {
        ["version"] => call.whole(200, None, other::version()),
        ["infos"] => call.whole(200, None, other::infos(call)),
        ["otoroshi.json"] if method == Method::POST => import(call).await,
        ["otoroshi.json"] => export(call),
        ["globalconfig"] => on_resource(call, named("global-configs")?, Some(GLOBAL_ID)).await,
        ["plugins", "all"] => call.whole(200, None, plugins()),
        ["tunnels", "infos"] => call.whole(200, None, json!({"enabled": false})),
        ["routes", id, "apikeys"] if method == Method::POST => apikey_of_route(call, id).await,
        ["apikeys", id, "bearer"] => bearer(call, id),
        ["tcp", "services", rest @ ..] if rest.len() <= 1 => {
            on_resource(call, named("tcp-services")?, rest.first().copied()).await
        }
        [plural, rest @ ..] if rest.len() <= 1 => {
            let older = NAMES.iter().find(|(older, _)| older == plural);
            let plural = older.map_or(*plural, |(_, plural)| *plural);
            on_resource(call, named(plural)?, rest.first().copied()).await
        }
        _ => Err(Fault::not_found("there is no such endpoint")),
    }
}

fn named(plural: &str) -> Result<&'static Resource, Fault> {
    catalogue::find("any", "any", plural).ok_or_else(|| Fault::not_found("resource not found"))
}

/// The plugins that have an effect here.
fn plugins() -> Value {
    let plugin = |id: &str, name: &str| {
        json!({
            "id": id, "name": name, "description": name, "default_config": {},
            "plugin_type": "ng", "plugin_visibility": "userland",
        })
    };
    json!([
        plugin("cp:otoroshi.next.plugins.Redirection", "Redirection"),
        plugin("cp:otoroshi.next.plugins.StaticResponse", "Static response"),
    ])
}

/// A new key for one route.
async fn apikey_of_route(call: &Call<'_>, id: &str) -> Result<Answer, Fault> {
    let resource = named("apikeys")?;
    call.allow(resource, Flag::Create)?;
    let given = super::body::read(Some("application/json"), &call.request.body, false)?;
    let Content::Entity(mut apikey) = given else {
        return Err(Fault::bad_content_type());
    };
    let entities = json!([format!("route_{id}")]);
    if let Some(members) = apikey.as_object_mut() {
        members
            .entry("clientId")
            .or_insert_with(|| json!(new_id(resource)));
        members
            .entry("clientSecret")
            .or_insert_with(|| json!(super::random_text(32)));
        members
            .entry("clientName")
            .or_insert_with(|| json!("New apikey"));
        members.insert("authorizedEntities".to_owned(), entities);
    }
    let step = Step::Create(Content::Entity(apikey));
    let written = write::commit(call, resource, step, Action::of("CREATE", "APIKEY")).await?;
    call.whole(201, Some(resource), written.outcome.entity)
}

fn bearer(call: &Call<'_>, id: &str) -> Result<Answer, Fault> {
    let resource = named("apikeys")?;
    call.allow(resource, Flag::Read)?;
    let state = call.core.state.borrow();
    let apikey = state
        .of_kind(resource.stored())
        .get(id)
        .map(|kept| kept.value());
    drop(state);
    let apikey = apikey.filter(|apikey| call.rights.sees(apikey));
    let apikey = apikey.ok_or_else(|| Fault::not_found("resource not found"))?;
    let text = |key: &str| {
        apikey
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let bearer = format!(
        "otoapk_{}_{}",
        text("clientId"),
        super::login::hash_text(&text("clientSecret"))
    );
    call.whole(200, None, json!({"bearer": bearer}))
}

/// The name of a kind in an export: `routes`, `apiKeys`, as the document has them.
fn export_key(resource: &Resource) -> String {
    let mut words = resource.plural.split('-');
    let mut key = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        key.push_str(&first.to_uppercase());
        key.push_str(rest);
    }
    if key == "apikeys" {
        "apiKeys".to_owned()
    } else {
        key
    }
}

/// The resources that make up the state: native forms are views of others.
fn whole_state() -> impl Iterator<Item = &'static Resource> {
    catalogue::all()
        .iter()
        .filter(|resource| !super::body::is_native(resource))
}

fn export(call: &Call<'_>) -> Result<Answer, Fault> {
    let accept = call
        .request
        .fields
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let lines = AnswerType::choose(accept, true) == AnswerType::Ndjson;
    let mut text = String::new();
    let mut document = Map::new();
    document.insert("label".to_owned(), json!("Otoroshi export"));
    document.insert("otoroshiVersion".to_owned(), json!(VERSION));
    for resource in whole_state() {
        call.allow(resource, Flag::Read)?;
        let entities = entities(call, resource);
        if lines {
            for entity in entities {
                let line = json!({"kind": resource.kind, "group": resource.group, "value": entity});
                text.push_str(&line.to_string());
                text.push('\n');
            }
        } else {
            document.insert(export_key(resource), Value::Array(entities));
        }
    }
    if lines {
        return Ok(request::text(200, "application/x-ndjson", text));
    }
    let config = document
        .get("globalConfigs")
        .and_then(|list| list.get(0))
        .cloned();
    document.insert("config".to_owned(), config.unwrap_or_default());
    call.whole(200, None, Value::Object(document))
}

fn entities(call: &Call<'_>, resource: &'static Resource) -> Vec<Value> {
    let viewer = Viewer::of(resource);
    let state = call.core.state.borrow();
    let all = viewer.all(&state);
    all.map(|shown| viewer.show(&shown))
        .filter(|entity| call.rights.sees(entity))
        .collect()
}

/// Takes over every entity of a document; those that are there are replaced.
async fn import(call: &Call<'_>) -> Result<Answer, Fault> {
    let field = call
        .request
        .fields
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut steps: Vec<(&'static Resource, Value)> = Vec::new();
    let unreadable = |error| Fault::bad_request(format!("this is not valid JSON: {error}"));
    if field.and_then(BodyType::read) == Some(BodyType::Ndjson) {
        for line in call.request.body.split(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let line: Value = serde_json::from_slice(line).map_err(unreadable)?;
            let kind = line.get("kind").and_then(Value::as_str).unwrap_or_default();
            let resource = whole_state().find(|resource| resource.kind == kind);
            let resource = resource.ok_or_else(|| {
                Fault::bad_request(format!("there is no kind {kind:?} to import"))
            })?;
            steps.push((resource, line.get("value").cloned().unwrap_or_default()));
        }
    } else {
        let document: Value = serde_json::from_slice(&call.request.body).map_err(unreadable)?;
        for resource in whole_state() {
            let list = document.get(export_key(resource)).and_then(Value::as_array);
            steps.extend(
                list.into_iter()
                    .flatten()
                    .map(|entity| (resource, entity.clone())),
            );
        }
    }
    // Routes refer to backends.
    steps.sort_by_key(|(resource, _)| u8::from(resource.kind != "Backend"));
    for (resource, entity) in steps {
        call.allow(resource, Flag::Update)?;
        let id = entity
            .get(resource.id_key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let step = Step::Upsert(id, Content::Entity(entity));
        let action = Action::of("UPDATE", &resource.audit_name(false));
        write::commit(call, resource, step, action).await?;
    }
    call.whole(200, None, json!({"done": true}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_key_of_its_own_in_an_export() {
        let keys: std::collections::HashSet<String> = whole_state().map(export_key).collect();
        assert_eq!(keys.len(), whole_state().count());
        assert!(keys.contains("apiKeys") && keys.contains("serviceGroups"));
    }
}
