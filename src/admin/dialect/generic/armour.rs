//! Armour: an entity as a Kubernetes object, and back.

use serde_json::{Value, json};

/// The `apiVersion` of every armoured entity, whatever its group: so Otoroshi's own resource
/// definitions have it.
const API_VERSION: &str = "proxy.otoroshi.io/v1";

/// Puts an entity into armour.
pub(crate) fn put_on(kind: &str, name: &str, entity: Value) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": entity,
    })
}

/// Takes the armour off a document that has it: what is in `spec`, with its name.
pub(crate) fn take_off(mut document: Value) -> Value {
    let is_armoured =
        document.get("apiVersion").is_some() && document.get("spec").is_some_and(Value::is_object);
    if !is_armoured {
        return document;
    }
    let name = document.pointer("/metadata/name").cloned();
    let mut spec = document
        .get_mut("spec")
        .map(Value::take)
        .unwrap_or_default();
    if let Value::Object(members) = &mut spec
        && !members.contains_key("name")
    {
        members.insert("name".to_owned(), name.unwrap_or_else(|| json!("no name")));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_comes_off() {
        let entity = json!({"id": "r", "name": "n", "enabled": true});
        let armoured = put_on("Route", "n", entity.clone());
        assert_eq!(armoured["metadata"]["name"], "n");
        assert_eq!(take_off(armoured), entity);
    }

    #[test]
    fn the_name_comes_from_the_metadata_where_the_spec_has_none() {
        let bare = json!({"apiVersion": "v", "spec": {"id": "r"}});
        assert_eq!(take_off(bare)["name"], "no name");
        let named = json!({"apiVersion": "v", "metadata": {"name": "m"}, "spec": {"id": "r"}});
        assert_eq!(take_off(named)["name"], "m");
        let plain = json!({"id": "r", "spec": {}});
        assert_eq!(take_off(plain.clone()), plain);
    }
}
