//! The commands of the `ringway` binary, one file each.

pub mod origin;
