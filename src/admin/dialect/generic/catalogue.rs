//! Catalogue: the registry of kinds. Everything that is served is served because it stands here:
//! the resources themselves, `/apis/entities`, the schemas, the templates, the OpenAPI document.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::form::{self, Form};
use crate::admin::entity::Kind;

/// The group of Ringway's own forms.
const NATIVE_GROUP: &str = "ringway";

/// One kind of resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    /// The member that names an entity.
    pub(crate) id_key: &'static str,
    pub(crate) behaviour: Behaviour,
    pub(crate) view: View,
    pub(crate) deprecated: bool,
    pub(crate) can: Can,
    /// Whether there is a template of it.
    pub(crate) has_template: bool,
    pub(crate) form: Form,
}

/// What an entity does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behaviour {
    /// It is in force.
    InForce,
    /// It is fully checked; its effect on traffic comes later.
    Checked,
    /// It is kept and served, no more.
    Stored,
}

/// What a resource is a view of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum View {
    /// A route in Otoroshi's form.
    Route,
    /// An upstream in Otoroshi's form.
    Backend,
    /// An entity as it is stored.
    Stored(Kind),
}

/// What the kind itself allows; a key may allow less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Can {
    pub(crate) create: bool,
    pub(crate) update: bool,
    pub(crate) delete: bool,
    pub(crate) bulk: bool,
}

/// The one GlobalConfig.
pub(crate) const GLOBAL_ID: &str = "global";

impl Resource {
    /// What is stored of it.
    pub(crate) fn stored(&self) -> Kind {
        match self.view {
            View::Route => Kind::Route,
            View::Backend => Kind::Upstream,
            View::Stored(kind) => kind,
        }
    }

    /// Whether its entities are in Ringway's own form: those of other resources, seen otherwise.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.view, View::Stored(Kind::Route | Kind::Upstream))
    }

    /// `proxy.otoroshi.io/Route`, or `routes.proxy.otoroshi.io/v1`.
    pub(crate) fn label(&self, style: KindStyle) -> String {
        match style {
            KindStyle::Doc => format!("{}.{}/{}", self.plural, self.group, self.version),
            KindStyle::Code => format!("{}/{}", self.group, self.kind),
        }
    }

    /// The word for it in audit actions: `ROUTE`.
    pub(crate) fn audit_name(&self, plural: bool) -> String {
        let name = if plural { self.plural } else { self.singular };
        name.to_uppercase().replace('-', "_")
    }

    /// As `/apis/entities` shows it.
    pub(crate) fn describe(&self, with_schema: bool) -> Value {
        json!({
            "kind": self.kind,
            "plural_name": self.plural,
            "singular_name": self.singular,
            "group": self.group,
            "version": {
                "name": self.version,
                "served": true,
                "deprecated": self.deprecated,
                "storage": true,
                "schema": if with_schema { self.form.schema().clone() } else { Value::Null },
            },
            "behaviour": self.behaviour.name(),
        })
    }

    /// Whether the segments of a URL mean this resource.
    fn is(&self, group: &str, version: &str, entity: &str) -> bool {
        let one_of = |given: &str, own: &str| given == own || given == "any" || given == "all";
        one_of(group, self.group)
            && one_of(version, self.version)
            && (entity == self.plural || entity == self.kind)
    }
}

impl Behaviour {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Checked => "checked",
            Self::Stored => "stored",
        }
    }
}

pub(crate) use crate::model::config::KindStyle;

/// Every resource, in the order in which wildcards find them.
pub(crate) fn all() -> &'static [Resource] {
    &CATALOGUE
}

/// The resource that the segments of a URL mean.
pub(crate) fn find(group: &str, version: &str, entity: &str) -> Option<&'static Resource> {
    all()
        .iter()
        .find(|resource| resource.is(group, version, entity))
}

/// The resource that is a stored kind as it is.
#[cfg(test)]
pub(crate) fn of_stored(kind: Kind) -> Option<&'static Resource> {
    all()
        .iter()
        .find(|resource| resource.view == View::Stored(kind))
}

static CATALOGUE: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let mut list = in_force();
    list.extend(checked());
    list.extend(stored());
    list
});

const ALL: Can = Can {
    create: true,
    update: true,
    delete: true,
    bulk: true,
};

/// A resource of the usual sort.
fn resource(group: &'static str, names: [&'static str; 4], form: Form) -> Resource {
    let [kind, plural, singular, id_key] = names;
    Resource {
        group,
        version: "v1",
        kind,
        plural,
        singular,
        id_key,
        behaviour: Behaviour::Stored,
        view: View::Stored(Kind::of_list(plural).unwrap_or(Kind::Route)),
        deprecated: false,
        can: ALL,
        has_template: true,
        form,
    }
}

fn in_force() -> Vec<Resource> {
    let native = |names, form, kind| Resource {
        view: View::Stored(kind),
        ..resource(NATIVE_GROUP, names, form)
    };
    let only_update = Can {
        create: false,
        update: true,
        delete: false,
        bulk: false,
    };
    let list = vec![
        Resource {
            view: View::Route,
            ..resource(
                "proxy.otoroshi.io",
                ["Route", "routes", "route", "id"],
                form::route(),
            )
        },
        Resource {
            view: View::Backend,
            ..resource(
                "proxy.otoroshi.io",
                ["Backend", "backends", "backend", "id"],
                form::backend(),
            )
        },
        resource(
            "apim.otoroshi.io",
            ["Apikey", "apikeys", "apikey", "clientId"],
            form::apikey(),
        ),
        resource(
            "organize.otoroshi.io",
            ["ServiceGroup", "service-groups", "service-group", "id"],
            form::service_group(),
        ),
        Resource {
            can: only_update,
            ..resource(
                "config.otoroshi.io",
                ["GlobalConfig", "global-configs", "global-config", "id"],
                form::global_config(),
            )
        },
        native(
            ["NativeRoute", "native-routes", "native-route", "id"],
            form::native("Route"),
            Kind::Route,
        ),
        native(
            ["Upstream", "upstreams", "upstream", "name"],
            form::native("Upstream"),
            Kind::Upstream,
        ),
    ];
    let in_force = |resource| Resource {
        behaviour: Behaviour::InForce,
        ..resource
    };
    let documents = documents_in_force().into_iter();
    list.into_iter().chain(documents).map(in_force).collect()
}

/// Documents that have an effect on traffic.
fn documents_in_force() -> [Resource; 2] {
    [
        resource(
            "security.otoroshi.io",
            ["JwtVerifier", "jwt-verifiers", "jwt-verifier", "id"],
            form::jwt_verifier(),
        ),
        resource(
            "proxy.otoroshi.io",
            [
                "ErrorTemplate",
                "error-templates",
                "error-templates",
                "serviceId",
            ],
            form::error_template(),
        ),
    ]
}

fn checked() -> Vec<Resource> {
    let list = vec![resource(
        "pki.otoroshi.io",
        ["Certificate", "certificates", "certificate", "id"],
        form::certificate(),
    )];
    let checked = |resource| Resource {
        behaviour: Behaviour::Checked,
        ..resource
    };
    list.into_iter().map(checked).collect()
}

const ANALYTICS: &str = "analytics.otoroshi.io";
const APIS: &str = "apis.otoroshi.io";
const CORAZA: &str = "coraza-waf.extensions.otoroshi.io";
const GREEN_SCORE: &str = "green-score.extensions.otoroshi.io";
const ORGANIZE: &str = "organize.otoroshi.io";
const PLUGINS: &str = "plugins.otoroshi.io";
const PROXY: &str = "proxy.otoroshi.io";
const SECURITY: &str = "security.otoroshi.io";
const WORKFLOWS: &str = "workflows.extensions.otoroshi.io";

/// Kinds that are kept as documents: group, kind, plural, singular, id.
#[rustfmt::skip]
const STORED: [(&str, [&str; 4]); 22] = [
    (PROXY, ["RouteComposition", "route-compositions", "route-composition", "id"]),
    (PROXY, ["ServiceDescriptor", "service-descriptors", "service-descriptor", "id"]),
    (PROXY, ["TcpService", "tcp-services", "tcp-service", "id"]),
    (PROXY, ["Draft", "drafts", "draft", "id"]),
    (PROXY, ["RouteTemplate", "route-templates", "route-template", "id"]),
    (SECURITY, ["AuthModule", "auth-modules", "auth-module", "id"]),
    (SECURITY, ["AdminSession", "admin-sessions", "admin-session", "randomId"]),
    (SECURITY, ["SimpleAdminUser", "admins", "admins", "username"]),
    (SECURITY, ["AuthModuleUser", "auth-module-users", "auth-module-user", "randomId"]),
    (ORGANIZE, ["Organization", "organizations", "organization", "id"]),
    (ORGANIZE, ["Tenant", "tenants", "tenant", "id"]),
    (ORGANIZE, ["Team", "teams", "team", "id"]),
    ("events.otoroshi.io", ["DataExporter", "data-exporters", "data-exporter", "id"]),
    (PLUGINS, ["Script", "scripts", "script", "id"]),
    (PLUGINS, ["WasmPlugin", "wasm-plugins", "wasm-plugin", "id"]),
    (APIS, ["Api", "apis", "api", "id"]),
    (APIS, ["ApiSubscription", "apisubscriptions", "apisubscription", "id"]),
    (ANALYTICS, ["UserDashboard", "user-dashboards", "user-dashboard", "id"]),
    (ANALYTICS, ["UserAlert", "user-alerts", "user-alert", "id"]),
    (CORAZA, ["CorazaConfig", "coraza-configs", "coraza-config", "id"]),
    (GREEN_SCORE, ["GreenScore", "green-scores", "green-score", "id"]),
    (WORKFLOWS, ["Workflow", "workflows", "workflow", "id"]),
];

fn stored() -> Vec<Resource> {
    let can = |plural: &str| match plural {
        "admin-sessions" | "auth-module-users" => Can {
            create: false,
            update: false,
            ..ALL
        },
        "admins" => Can {
            update: false,
            ..ALL
        },
        _ => ALL,
    };
    let each = STORED.into_iter().map(|(group, names)| {
        let [_, plural, _, id_key] = names;
        let no_template = ["admin-sessions", "admins", "auth-module-users"];
        Resource {
            can: can(plural),
            deprecated: matches!(plural, "scripts" | "wasm-plugins"),
            has_template: !no_template.contains(&plural),
            ..resource(group, names, form::document(id_key))
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_url_names_one_resource() {
        for resource in all() {
            for (group, version) in [
                (resource.group, resource.version),
                (resource.group, "any"),
                (resource.group, "all"),
            ] {
                for entity in [resource.plural, resource.kind] {
                    let found = find(group, version, entity).map(|found| found.kind);
                    assert_eq!(found, Some(resource.kind), "{group}/{version}/{entity}");
                }
            }
        }
        let of = |group, entity| find(group, "v1", entity).map(|found| found.kind);
        assert_eq!(of("any", "routes"), Some("Route"));
        assert_eq!(of("all", "Apikey"), Some("Apikey"));
        assert_eq!(of("apim.otoroshi.io", "routes"), None);
        assert_eq!(find("any", "v2", "routes").map(|found| found.kind), None);
    }

    #[test]
    fn every_stored_kind_has_a_resource_of_its_own() {
        let kinds: HashSet<Kind> = all().iter().map(Resource::stored).collect();
        // Ocelot's document is shown by its own API alone.
        let others = |kind: &Kind| kind.list() != crate::model::ocelot::LIST;
        for kind in Kind::ALL.into_iter().filter(others) {
            assert!(kinds.contains(&kind), "{kind:?}");
            let resource = of_stored(kind).unwrap();
            assert_eq!(resource.id_key, kind.id_key(), "{kind:?}");
        }
        let documents = all().iter().filter(|resource| match resource.view {
            View::Stored(kind) => !matches!(kind, Kind::Route | Kind::Upstream),
            _ => false,
        });
        let lists: HashSet<&str> = documents.clone().map(|resource| resource.plural).collect();
        assert_eq!(lists.len(), documents.count());
    }
}
