//! OpenAPI: the description of this API (OpenAPI 3.1), made from the catalogue.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::VERSION;
use super::catalogue::{self, Behaviour, Resource};

/// The document.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

fn make() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), error_schema());
    for resource in catalogue::all() {
        add_schema(resource, &mut schemas);
        let base = format!(
            "/apis/{}/{}/{}",
            resource.group, resource.version, resource.plural
        );
        paths.insert(base.clone(), collection(resource));
        paths.insert(format!("{base}/{{id}}"), single(resource));
        for (name, what) in [
            ("_count", "How many there are"),
            ("_schema", "The JSON Schema"),
        ] {
            let get = operation(resource, name, what, json!({"type": "object"}));
            paths.insert(format!("{base}/{name}"), json!({"get": get}));
        }
        if resource.has_template {
            let get = operation(
                resource,
                "_template",
                "An entity to begin with",
                reference(resource),
            );
            paths.insert(format!("{base}/_template"), json!({"get": get}));
        }
        if resource.can.bulk {
            paths.insert(format!("{base}/_bulk"), bulk(resource));
        }
    }
    for (path, what) in [
        ("/apis/entities", "Every resource that is served"),
        ("/apis/health", "Whether all is well"),
        ("/apis/cluster", "The members of the cluster"),
        ("/apis/cluster/node/infos", "What this node is"),
        ("/apis/cluster/node/version", "The version of this node"),
        (
            "/apis/cluster/node/health",
            "Whether all is well with this node",
        ),
    ] {
        let get = json!({"summary": what, "responses": {
            "200": {"description": what, "content": {"application/json": {"schema": {}}}},
            "default": problem(),
        }});
        paths.insert(path.to_owned(), json!({"get": get}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringway: the generic resource API",
            "version": VERSION,
            "description": "Every kind of entity is served by the same URLs.",
        },
        "security": [{"basic": []}, {"client_id": [], "client_secret": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "client_id": {"type": "apiKey", "in": "header", "name": "Otoroshi-Client-Id"},
                "client_secret": {
                    "type": "apiKey", "in": "header", "name": "Otoroshi-Client-Secret",
                },
            },
        },
    })
}

/// Native forms refer to their own definitions: these become components too.
fn add_schema(resource: &Resource, schemas: &mut Map<String, Value>) {
    let mut schema = resource.form.schema().clone();
    let definitions = schema
        .as_object_mut()
        .and_then(|schema| schema.shift_remove("$defs"));
    redirect(&mut schema);
    schema["description"] = json!(match resource.behaviour {
        Behaviour::InForce => "In force as soon as it is answered.",
        Behaviour::Checked => "Checked and kept; no effect on traffic yet.",
        Behaviour::Stored => "Kept and served as it is written.",
    });
    schemas.insert(resource.kind.to_owned(), schema);
    if let Some(Value::Object(definitions)) = definitions {
        for (name, mut definition) in definitions {
            redirect(&mut definition);
            schemas
                .entry(format!("Native.{name}"))
                .or_insert(definition);
        }
    }
}

fn redirect(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/components/schemas/Native.{name}");
            }
            members.values_mut().for_each(redirect);
        }
        Value::Array(elements) => elements.iter_mut().for_each(redirect),
        _ => {}
    }
}

fn reference(resource: &Resource) -> Value {
    json!({"$ref": format!("#/components/schemas/{}", resource.kind)})
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {"error": {"type": "string"}, "error_description": {}},
    })
}

fn problem() -> Value {
    json!({
        "description": "Why it is not done",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    })
}

fn success(what: &str, schema: Value) -> Value {
    json!({"description": what, "content": {"application/json": {"schema": schema}}})
}

fn operation(resource: &Resource, name: &str, what: &str, schema: Value) -> Value {
    json!({
        "operationId": format!("{}.{}{}", resource.group, resource.plural, name),
        "summary": what,
        "tags": [resource.kind],
        "parameters": [],
        "responses": {"200": success(what, schema), "default": problem()},
    })
}

fn parameter(name: &str, schema: Value, what: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema, "description": what})
}

fn content(resource: &Resource) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": reference(resource)}}})
}

fn collection(resource: &Resource) -> Value {
    // What is shown may be projected, so only that it is a list of objects is promised.
    let list = json!({"type": "array", "items": {"type": "object"}});
    let mut get = operation(
        resource,
        "_list",
        "All entities that the caller may see",
        list,
    );
    let whole = json!({"type": "integer", "minimum": 1});
    get["parameters"] = json!([
        parameter(
            "filtered",
            json!({"type": "string"}),
            "<field>:<text>|<text>,…"
        ),
        parameter("sorted", json!({"type": "string"}), "<field>:<reversed>,…"),
        parameter("page", whole.clone(), "from 1"),
        parameter("pageSize", whole, "entities of a page"),
        parameter("fields", json!({"type": "string"}), "what is shown of each"),
        parameter("pretty", json!({"type": "boolean"}), "with line breaks"),
    ]);
    let mut path = json!({"get": get});
    if resource.can.create {
        let mut post = operation(resource, "_create", "Creates an entity", json!({}));
        post["requestBody"] = content(resource);
        post["responses"] = json!({
            "201": success("It is created", json!({"type": "object"})),
            "default": problem(),
        });
        path["post"] = post;
    }
    if resource.can.delete {
        let mut delete = operation(resource, "_delete_all", "Deletes all entities", json!({}));
        delete["responses"] =
            json!({"204": {"description": "They are gone"}, "default": problem()});
        path["delete"] = delete;
    }
    path
}

fn single(resource: &Resource) -> Value {
    let id = json!([{
        "name": "id", "in": "path", "required": true,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9.-][A-Za-z0-9._-]*$"},
    }]);
    let entity = || json!({"type": "object"});
    let mut path = json!({
        "parameters": id,
        "get": operation(resource, "_get", "One entity", entity()),
    });
    let mut add = |method: &str, name: &str, what: &str| {
        let mut operation = operation(resource, name, what, entity());
        operation["requestBody"] = content(resource);
        operation["responses"]["201"] = success("It is created", entity());
        path[method] = operation;
    };
    if resource.can.create || resource.can.update {
        add("post", "_upsert", "Creates an entity, or replaces it");
    }
    if resource.can.update {
        add("put", "_replace", "Replaces an entity");
        let mut patch = operation(resource, "_patch", "Changes an entity", entity());
        patch["requestBody"] = json!({"required": true, "content": {
            "application/merge-patch+json": {"schema": {"type": "object"}},
        }});
        path["patch"] = patch;
    }
    if resource.can.delete {
        path["delete"] = operation(resource, "_delete", "Deletes an entity", entity());
    }
    path
}

fn bulk(resource: &Resource) -> Value {
    let mut path = json!({});
    for (method, name) in [
        ("post", "create"),
        ("put", "update"),
        ("patch", "patch"),
        ("delete", "delete"),
    ] {
        let what = format!("Does {name} for each line");
        let mut one = operation(resource, &format!("_bulk_{name}"), &what, json!({}));
        let lines = json!({"application/x-ndjson": {"schema": {"type": "string"}}});
        one["requestBody"] = json!({"required": true, "content": lines});
        one["responses"]["200"]["content"] = lines;
        path[method] = one;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.push(reference.clone());
                }
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(elements) => elements.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document();
        let mut found = Vec::new();
        references(document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut names = std::collections::HashSet::new();
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                if let Some(name) = operation.get("operationId") {
                    assert!(names.insert(name.clone()), "{name}");
                }
            }
        }
    }
}
