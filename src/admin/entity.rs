//! The things that the admin core keeps: each declared value with its name and its history.

use serde_json::Value;

/// What sort of thing an entity is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A route, known by its `id`.
    Route,
    /// An upstream, known by its `name`.
    Upstream,
}

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
    /// The native form, as declared: what was not written is not in it.
    pub value: Value,
}

/// One step from the entities of one epoch to those of the next.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityChange {
    /// Adds an entity, or puts it in the place of the one of its kind and id.
    Put(Entity),
    /// Takes out the entity of this kind and id, if there is one.
    Remove {
        /// What it is.
        kind: Kind,
        /// Its name.
        id: String,
    },
}

// === impl Kind ===

impl Kind {
    /// Every kind, those that others refer to first.
    pub const ALL: [Self; 2] = [Self::Upstream, Self::Route];

    /// Its name in messages and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Upstream => "upstream",
        }
    }

    /// The key of its list in a configuration document.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Upstream => "upstreams",
        }
    }

    /// The key that an element of that list has its name under.
    #[must_use]
    pub fn id_key(self) -> &'static str {
        match self {
            Self::Route => "id",
            Self::Upstream => "name",
        }
    }
}
