//! Reload: what of a changed file comes into force at once, and what is only reported.
//!
//! Values (timeouts, limits, how requests are read) are taken over without a word to any
//! connection. Routes and upstreams belong to the admin API: where the file differs from them this
//! is reported, and applied only when asked for. What is made once at the start (listeners,
//! workers, logs, the store) needs a restart.

use std::collections::HashSet;

use super::commit::{Difference, Operation, Write, Writer, name};
use super::condition::Conditions;
use super::entity::{Entity, Kind};
use super::state::State;
use crate::model::Config;
use crate::model::config::StoreKind;

/// Differences that are named one by one.
const NAMED_MAX: usize = 100;

/// What a reload came to.
#[derive(Debug, Default)]
pub(super) struct Reloaded {
    /// The epoch that has it.
    pub(super) epoch: u64,
    /// The sections whose values were taken over.
    pub(super) applied: Vec<&'static str>,
    /// Where the file still differs from what is in force.
    pub(super) pending: Vec<String>,
    /// Routes and upstreams that were changed.
    pub(super) differences: Vec<Difference>,
}

/// The present configuration with the values of the file, and the sections that differ.
pub(super) fn settings(present: &Config, file: &Config) -> (Config, Vec<&'static str>) {
    let mut next = present.clone();
    let mut changed = Vec::new();
    let mut note = |differs: bool, section| {
        if differs {
            changed.push(section);
        }
    };
    note(present.timeouts != file.timeouts, "timeouts");
    note(present.limits != file.limits, "limits");
    note(present.http != file.http, "http");
    note(present.forwarded != file.forwarded, "forwarded");
    note(present.error_pages != file.error_pages, "error_pages");
    next.error_pages.clone_from(&file.error_pages);
    next.timeouts = file.timeouts;
    next.limits = file.limits;
    next.http.clone_from(&file.http);
    next.forwarded.clone_from(&file.forwarded);
    (next, changed)
}

/// The sections of the file that only a restart brings into force.
pub(super) fn needs_restart(present: &Config, file: &Config) -> Vec<String> {
    let mut admin = file.admin.clone();
    // What stands for "let the kernel choose" was filled in at the start.
    if admin.port == 0 {
        admin.port = present.admin.port;
    }
    let sections = [
        ("listeners", present.listeners != file.listeners),
        ("workers", present.workers != file.workers),
        ("access_log", present.access_log != file.access_log),
        ("admin", present.admin != admin),
        ("store", present.store != file.store),
        ("dns", present.dns != file.dns),
    ];
    let differ = sections.into_iter().filter(|(_, differs)| *differs);
    differ
        .map(|(section, _)| format!("{section} differs in the file: restart to apply"))
        .collect()
}

/// Where the routes and upstreams of the file differ from those in force.
pub(super) fn structural(state: &State, file: &[Entity]) -> Vec<String> {
    let mut found = Vec::new();
    let mut count = 0_usize;
    let mut note = |sentence: String| {
        count += 1;
        if count <= NAMED_MAX {
            found.push(sentence);
        }
    };
    for entity in file {
        let Entity { kind, id, .. } = entity;
        match state.of_kind(*kind).get(id) {
            None => note(format!("{} {id} is only in the file", name(*kind))),
            Some(kept) if !kept.means(&entity.value()) => {
                note(format!("{} {id} differs in the file", name(*kind)));
            }
            Some(_) => {}
        }
    }
    for kind in kinds(state.config.store.kind).iter().copied() {
        let of_kind = file.iter().filter(|entity| entity.kind == kind);
        let in_file: HashSet<&str> = of_kind.map(|entity| entity.id.as_str()).collect();
        for id in state.of_kind(kind).ids().filter(|id| !in_file.contains(id)) {
            note(format!("{} {id} is not in the file", name(kind)));
        }
    }
    if count > NAMED_MAX {
        found.push(format!("and {} more", count - NAMED_MAX));
    }
    found
}

/// The kinds that the file has the last word about: all if it is the store, or else those that
/// it declares anew.
fn kinds(store: StoreKind) -> &'static [Kind] {
    match store {
        StoreKind::File => &Kind::ALL,
        StoreKind::Embedded => &Kind::TRAFFIC,
    }
}

/// The write that brings the routes and upstreams of the file into force.
pub(super) fn exchange(by: Writer, entities: Vec<Entity>, store: StoreKind) -> Write {
    let kinds = kinds(store);
    let operation = Operation::Exchange { entities, kinds };
    Write {
        by,
        operation,
        conditions: Conditions::default(),
        dry_run: false,
        force: true,
    }
}
