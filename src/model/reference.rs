//! The reference part of `docs/configuration.md`, printed from the schema.
