//! What the mailboxes are made of, in one place.
//!
//! `tests/mailbox_model.rs` compiles `mailbox.rs` with other parts under the same names, those of
//! a model checker that tries every order in which threads can see each other's writes.

pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

pub(super) use arc_swap::ArcSwap;
pub(super) use crossbeam_channel::{Receiver, Sender, bounded};
