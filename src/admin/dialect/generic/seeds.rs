//! Seeds: the documents that are there from the start, until somebody writes them anew: the first
//! admin key, the one GlobalConfig, and what entities belong to when they say nothing.

use serde_json::{Value, json};

use super::access::ADMIN_GROUP;
use super::catalogue;
use super::{body, view};
use crate::admin::clock::started_ms;
use crate::admin::entity::{Entity, Kind};
use crate::model::config::Admin;
use crate::model::secret::{Secret, SecretError};

/// The variables that name the first admin key where the configuration does not.
const CLIENT_ID: &str = "OTOROSHI_INITIAL_ADMIN_CLIENT_ID";
const CLIENT_SECRET: &str = "OTOROSHI_INITIAL_ADMIN_CLIENT_SECRET";

/// The client id and the secret of the first admin key.
fn admin_key(admin: &Admin) -> Result<Option<(String, String)>, SecretError> {
    let Some(id) = admin_id(admin) else {
        return Ok(None);
    };
    let secret = match &admin.client_secret {
        Some(secret) => secret.reveal()?,
        None => Secret::Env(crate::model::secret::FromEnv {
            env: CLIENT_SECRET.into(),
        })
        .reveal()?,
    };
    Ok(Some((id, secret)))
}

/// The client id of the first admin key.
pub(crate) fn admin_id(admin: &Admin) -> Option<String> {
    let id = admin
        .client_id
        .clone()
        .or_else(|| std::env::var(CLIENT_ID).ok());
    id.filter(|id| !id.is_empty())
}

/// Adds to `entities` what is there from the start and is not among them.
///
/// # Errors
/// If the secret of the first admin key cannot be had.
pub(in crate::admin) fn seed(entities: &mut Vec<Entity>, admin: &Admin) -> Result<(), SecretError> {
    if !admin.enabled {
        return Ok(());
    }
    for (plural, value) in seeds(admin)? {
        let Some(kind) = Kind::of_list(plural) else {
            continue;
        };
        let id = value
            .get(kind.id_key())
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let of_kind = || entities.iter().filter(|entity| entity.kind == kind);
        if of_kind().any(|entity| entity.id == id) {
            continue;
        }
        let age = of_kind()
            .map(|entity| entity.age + 1)
            .max()
            .unwrap_or_default();
        let since = started_ms();
        entities.push(Entity {
            kind,
            id,
            revision: 0,
            age,
            created_at: since,
            updated_at: since,
            text: value.to_string().into(),
        });
    }
    Ok(())
}

fn seeds(admin: &Admin) -> Result<Vec<(&'static str, Value)>, SecretError> {
    let mut seeds = vec![
        ("global-configs", json!({})),
        (
            "service-groups",
            json!({"id": "default", "name": "default-group"}),
        ),
        (
            "service-groups",
            json!({"id": "admin-api-group", "name": "Admin API"}),
        ),
        (
            "organizations",
            json!({"id": "default", "name": "Default organization"}),
        ),
        (
            "tenants",
            json!({"id": "default", "name": "Default organization"}),
        ),
        (
            "teams",
            json!({"id": "default", "name": "Default team", "tenant": "default"}),
        ),
    ];
    if let Some((id, secret)) = admin_key(admin)? {
        let key = json!({
            "clientId": id, "clientSecret": secret, "clientName": "Admin API key",
            "authorizedEntities": [ADMIN_GROUP],
        });
        seeds.push(("apikeys", key));
    }
    for (plural, value) in &mut seeds {
        if let Some(resource) = catalogue::find("any", "any", plural) {
            body::normalise(resource, value);
            *value = view::stored(resource.stored(), value.take());
        }
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_admin_key_is_an_apikey_that_its_form_allows() {
        let admin: Admin = serde_json::from_value(
            json!({"enabled": true, "client_id": "admin", "client_secret": "s"}),
        )
        .unwrap();
        let mut entities = Vec::new();
        seed(&mut entities, &admin).unwrap();
        let count = entities.len();
        for entity in &entities {
            let resource = catalogue::of_stored(entity.kind).unwrap();
            assert_eq!(
                resource.form.check(&entity.value()),
                Ok(()),
                "{}",
                entity.id
            );
        }
        assert!(entities.iter().any(|entity| entity.id == "admin"));
        seed(&mut entities, &admin).unwrap();
        assert_eq!(entities.len(), count, "what is there is not seeded again");
    }
}
