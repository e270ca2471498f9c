//! The things that the admin core keeps: each declared value with its name and its history.

use std::fmt;

use serde_json::Value;

pub use super::text::Text;

/// What sort of thing an entity is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A route, known by its `id`.
    Route,
    /// An upstream, known by its `name`.
    Upstream,
    /// A document of the generic API.
    Document(Collection),
}

/// A collection of documents of one sort.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Collection(u8);

/// One declared thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Its name among those of its kind: the id of a route, the name of an upstream.
    pub id: String,
    /// The epoch of its last change.
    pub revision: u64,
    /// Its place in the order of creation, and its age in the table; smaller is older.
    pub age: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: u64,
    /// The native form as JSON, as declared: what was not written is not in it.
    pub text: Text,
}

/// One step from the entities of one epoch to those of the next.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityChange {
    /// Adds an entity, or puts it in the place of the one of its kind and id, which has the same
    /// age or was removed before.
    Put(Entity),
    /// Takes out the entity of this kind and id, if there is one.
    Remove {
        /// What it is.
        kind: Kind,
        /// Its name.
        id: String,
        /// Its age.
        age: u64,
    },
}

/// The key of a configuration document that holds the documents, by their lists.
pub const DOCUMENTS: &str = "entities";

/// The lists of documents, and the key that an element of each has its name under.
const COLLECTIONS: [(&str, &str); 29] = [
    ("apikeys", "clientId"),
    ("service-groups", "id"),
    ("global-configs", "id"),
    ("certificates", "id"),
    ("jwt-verifiers", "id"),
    ("error-templates", "serviceId"),
    ("route-compositions", "id"),
    ("service-descriptors", "id"),
    ("tcp-services", "id"),
    ("drafts", "id"),
    ("route-templates", "id"),
    ("auth-modules", "id"),
    ("admin-sessions", "randomId"),
    ("admins", "username"),
    ("auth-module-users", "randomId"),
    ("organizations", "id"),
    ("tenants", "id"),
    ("teams", "id"),
    ("data-exporters", "id"),
    ("scripts", "id"),
    ("wasm-plugins", "id"),
    ("apis", "id"),
    ("apisubscriptions", "id"),
    ("user-dashboards", "id"),
    ("user-alerts", "id"),
    ("coraza-configs", "id"),
    ("green-scores", "id"),
    ("workflows", "id"),
    // The FileConfiguration of Ocelot, if one was set up.
    ("ocelot", "id"),
];

// === impl Entity ===

impl Entity {
    /// The native form.
    #[must_use]
    pub fn value(&self) -> Value {
        // The text was made of a value.
        serde_json::from_str(&self.text.json()).unwrap_or_default()
    }
}

// === impl EntityChange ===

impl EntityChange {
    /// What sort of thing it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Put(entity) => entity.kind,
            Self::Remove { kind, .. } => *kind,
        }
    }

    /// The name of what it is about.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Put(entity) => &entity.id,
            Self::Remove { id, .. } => id,
        }
    }

    /// The age of what it is about.
    #[must_use]
    pub fn age(&self) -> u64 {
        match self {
            Self::Put(entity) => entity.age,
            Self::Remove { age, .. } => *age,
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Every kind, those that others refer to first.
    pub const ALL: [Self; 2 + COLLECTIONS.len()] = {
        let mut all = [Self::Upstream; 2 + COLLECTIONS.len()];
        all[1] = Self::Route;
        let mut at = 0;
        while at < COLLECTIONS.len() {
            all[2 + at] = Self::Document(Collection(at as u8));
            at += 1;
        }
        all
    };

    /// The kinds that have to do with traffic, those that others refer to first.
    pub const TRAFFIC: [Self; 2] = [Self::Upstream, Self::Route];

    /// The documents of this list.
    #[must_use]
    pub fn of_list(list: &str) -> Option<Self> {
        let at = COLLECTIONS.iter().position(|(known, _)| *known == list)?;
        Some(Self::Document(Collection(at as u8)))
    }

    /// Its name in messages and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Document(collection) => collection.list(),
        }
    }

    /// The key of its list in a configuration document; those of documents stand under
    /// [`DOCUMENTS`].
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Upstream => "upstreams",
            Self::Document(collection) => collection.list(),
        }
    }

    /// The key that an element of that list has its name under.
    #[must_use]
    pub fn id_key(self) -> &'static str {
        match self {
            Self::Route => "id",
            Self::Upstream => "name",
            Self::Document(collection) => collection.names().1,
        }
    }

    /// Its place in [`Kind::ALL`].
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Upstream => 0,
            Self::Route => 1,
            Self::Document(collection) => 2 + collection.index(),
        }
    }

    /// Whether it is a document.
    #[must_use]
    pub fn is_document(self) -> bool {
        matches!(self, Self::Document(_))
    }
}

impl Collection {
    /// Its key in a configuration document.
    #[must_use]
    pub fn list(self) -> &'static str {
        self.names().0
    }

    /// How many there are.
    pub(super) const COUNT: usize = COLLECTIONS.len();

    /// Its place among all of them, below [`Collection::COUNT`].
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn names(self) -> (&'static str, &'static str) {
        // Made from a place in the list, here alone.
        COLLECTIONS
            .get(usize::from(self.0))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.list())
    }
}
