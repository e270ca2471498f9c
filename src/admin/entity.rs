//! Entities: what the store keeps, whatever its kind.

use serde_json::Value;

/// What an entity is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A route.
    Route,
    /// An upstream.
    Upstream,
}

/// One stored thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// The id of a route, the name of an upstream.
    pub id: String,
    /// The epoch of its last change.
    pub revision: u64,
    /// The order of creation; smaller is older.
    pub age: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: u64,
    /// Its native form.
    pub value: Value,
}

/// What a commit does to one entity.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityChange {
    /// It is new, or takes the place of the one with its kind and id.
    Put(Entity),
    /// It goes.
    Remove {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
    },
}
