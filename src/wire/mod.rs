//! Byte formats: what HTTP/1.1 looks like on the wire, without sockets and without a runtime.
//!
//! Every parser here takes bytes and returns slices of them, a typed fault, or "more bytes are
//! needed". Nothing blocks, nothing allocates once warm, and no input may cause a panic: these
//! files are the first to see what a stranger sends.

#![forbid(unsafe_code)]

pub mod authority;
pub mod base64;
pub mod cache_control;
pub mod chunk;
pub mod compose;
pub mod date;
pub mod field;
pub mod hash;
pub mod head;
pub mod json;
pub mod ndjson;
pub mod pairs;
pub mod path;
pub mod trailer;
