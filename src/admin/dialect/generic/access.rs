//! Access: what the holder of an Apikey may do here.
//!
//! An Apikey that is authorised for the group of the admin API may come in. Its metadata narrow
//! what it may do: `otoroshi-access-rights` the tenants and teams, as in Otoroshi,
//! `ringway-kinds` what it may do with each kind. Without them it may do everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::catalogue::Resource;

/// The group that lets a key into the admin API.
pub(crate) const ADMIN_GROUP: &str = "group_admin-api-group";
/// The same as the id of a route.
const ADMIN_ROUTE: &str = "route_admin-api-service";
/// The same by its older name.
const ADMIN_SERVICE: &str = "service_admin-api-service";
/// The metadata with tenants and teams.
const RIGHTS: &str = "otoroshi-access-rights";
/// The metadata with flags per kind.
const KINDS: &str = "ringway-kinds";

/// What somebody may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    read_only: bool,
    /// None: every tenant and team.
    places: Option<Vec<Places>>,
    /// None: every kind.
    kinds: Option<BTreeMap<String, Vec<Flag>>>,
}

/// A tenant and teams of it, each as `name:rw`.
#[derive(Clone, Debug, Deserialize)]
struct Places {
    tenant: String,
    #[serde(default)]
    teams: Vec<String>,
}

/// What may be done with entities of a kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum Flag {
    #[serde(rename = "canBulk")]
    Bulk,
    #[serde(rename = "canCreate")]
    Create,
    #[serde(rename = "canDelete")]
    Delete,
    #[serde(rename = "canRead")]
    Read,
    #[serde(rename = "canUpdate")]
    Update,
}

impl Rights {
    /// The rights of an Apikey; none if it is not for this API, or not valid `now`.
    pub(crate) fn of(apikey: &Value, now_ms: u64) -> Option<Self> {
        if apikey.get("enabled") == Some(&Value::Bool(false)) {
            return None;
        }
        let until = apikey.get("validUntil").and_then(Value::as_u64);
        if until.is_some_and(|until| until < now_ms) {
            return None;
        }
        let entities = apikey.get("authorizedEntities").and_then(Value::as_array);
        let is_admin = |entity: &Value| {
            matches!(
                entity.as_str(),
                Some(ADMIN_GROUP | ADMIN_ROUTE | ADMIN_SERVICE)
            )
        };
        if !entities.is_some_and(|entities| entities.iter().any(is_admin)) {
            return None;
        }
        let metadata = |key: &str| apikey.get("metadata")?.get(key)?.as_str();
        // What cannot be read allows nothing.
        let places = metadata(RIGHTS).map(|text| serde_json::from_str(text).unwrap_or_default());
        let kinds = metadata(KINDS).map(|text| serde_json::from_str(text).unwrap_or_default());
        let read_only = apikey.get("readOnly") == Some(&Value::Bool(true));
        Some(Self {
            read_only,
            places,
            kinds,
        })
    }

    /// Rights to look at everything.
    pub(crate) fn to_read() -> Self {
        Self {
            read_only: true,
            ..Self::default()
        }
    }

    /// Whether `flag` holds for the kind.
    pub(crate) fn allows(&self, resource: &Resource, flag: Flag) -> bool {
        if self.read_only && flag != Flag::Read {
            return false;
        }
        let Some(kinds) = &self.kinds else {
            return true;
        };
        let flags = [resource.plural, resource.kind, "*"]
            .into_iter()
            .find_map(|key| kinds.get(key));
        flags.is_some_and(|flags| flags.contains(&flag))
    }

    /// Whether nothing may be changed.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether all tenants and teams are open, so that no entity needs to be looked at.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.places.is_none()
    }

    /// Whether an entity is in a tenant and team that may be read.
    pub(crate) fn sees(&self, entity: &Value) -> bool {
        self.reaches(entity, 'r')
    }

    /// Whether an entity is in a tenant and team that may be written.
    pub(crate) fn writes(&self, entity: &Value) -> bool {
        self.reaches(entity, 'w')
    }

    fn reaches(&self, entity: &Value, wish: char) -> bool {
        let Some(places) = &self.places else {
            return true;
        };
        let tenant = entity
            .pointer("/_loc/tenant")
            .and_then(Value::as_str)
            .unwrap_or(DEFAULT);
        let teams = entity.pointer("/_loc/teams").and_then(Value::as_array);
        let default = [Value::String(DEFAULT.to_owned())];
        let teams = teams.map_or(default.as_slice(), Vec::as_slice);
        places.iter().any(|place| {
            grants(&place.tenant, tenant, wish)
                && teams.iter().filter_map(Value::as_str).any(|team| {
                    place
                        .teams
                        .iter()
                        .any(|granted| grants(granted, team, wish))
                })
        })
    }
}

/// The tenant and the team of what names none.
const DEFAULT: &str = "default";

/// Whether `*:rw`, `name:r` or `name` grants a wish for `name`. Without letters both are granted.
fn grants(granted: &str, name: &str, wish: char) -> bool {
    let (place, letters) = granted.split_once(':').unwrap_or((granted, "rw"));
    let letters = if letters == "*" { "rw" } else { letters };
    let matches = match place.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == place,
    };
    matches && letters.contains(wish)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::catalogue;
    use super::*;

    fn key(more: Value) -> Value {
        let mut key = json!({"authorizedEntities": [ADMIN_GROUP]});
        json_patch::merge(&mut key, &more);
        key
    }

    #[test]
    fn only_valid_keys_of_the_admin_group_come_in() {
        for (more, expected) in [
            (json!({}), true),
            (json!({"enabled": false}), false),
            (json!({"validUntil": 999}), false),
            (json!({"validUntil": 1001}), true),
            (json!({"authorizedEntities": ["group_default"]}), false),
            (json!({"authorizedEntities": null}), false),
        ] {
            assert_eq!(
                Rights::of(&key(more.clone()), 1000).is_some(),
                expected,
                "{more}"
            );
        }
    }

    #[test]
    fn flags_are_per_kind_and_a_star_is_for_the_rest() {
        let kinds = r#"{"routes":["canRead","canCreate"],"*":["canRead"]}"#;
        let rights = Rights::of(&key(json!({"metadata": {KINDS: kinds}})), 0).unwrap();
        let route = catalogue::find("any", "any", "routes").unwrap();
        let backend = catalogue::find("any", "any", "backends").unwrap();
        assert!(rights.allows(route, Flag::Create));
        assert!(!rights.allows(route, Flag::Bulk));
        assert!(rights.allows(backend, Flag::Read));
        assert!(!rights.allows(backend, Flag::Create));
        let nonsense = Rights::of(&key(json!({"metadata": {KINDS: "{"}})), 0).unwrap();
        assert!(!nonsense.allows(route, Flag::Read));
        let reader = Rights::of(&key(json!({"readOnly": true})), 0).unwrap();
        assert!(reader.allows(route, Flag::Read) && !reader.allows(route, Flag::Update));
    }

    #[test]
    fn tenants_and_teams_say_what_is_seen_and_written() {
        let rights = r#"[{"tenant":"acme:rw","teams":["blue:r","red:rw"]}]"#;
        let rights = Rights::of(&key(json!({"metadata": {RIGHTS: rights}})), 0).unwrap();
        for (tenant, team, sees, writes) in [
            ("acme", "blue", true, false),
            ("acme", "red", true, true),
            ("acme", "green", false, false),
            ("other", "red", false, false),
        ] {
            let entity = json!({"_loc": {"tenant": tenant, "teams": [team]}});
            assert_eq!(rights.sees(&entity), sees, "{tenant} {team}");
            assert_eq!(rights.writes(&entity), writes, "{tenant} {team}");
        }
        assert!(!rights.sees(&json!({})));
        let all = Rights::of(&key(json!({})), 0).unwrap();
        assert!(all.is_everywhere() && all.writes(&json!({})));
    }
}
