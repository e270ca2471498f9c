//! Start: what must be there before a core runs, and the tasks of the admin core.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::audit::Audit;
use super::commit::route_changes;
use super::core::{Core, QUEUE_MAX};
use super::dialect::Administration;
use super::dialect::ocelot::OcelotError;
use super::entity::{Entity, Kind};
use super::guard::{Guard, KeyError};
use super::history::History;
use super::publish::{self, InForce};
use super::state::{Facts, State};
use super::store::{Opened, Store, StoreError};
use super::{Control, clock, dialect, effect, listener, writer};
use crate::epoch::{Settings, Snapshot};
use crate::model::Config;
use crate::model::secret::SecretError;
use crate::table::{Change, CompileError, Table};

/// Why the admin core cannot start.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The audit log cannot be opened.
    #[error("the audit log {path} cannot be opened: {source}; name another in admin.audit_log")]
    AuditLog {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("the admin API cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The secret of the first admin key cannot be had.
    #[error("admin.client_secret: {0}")]
    AdminKey(#[from] SecretError),
    /// The stored routes make no table.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Ocelot's administration cannot be served.
    #[error(transparent)]
    Ocelot(#[from] OcelotError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds something that is no route or upstream.
    #[error("the store has a {kind} {id:?} that cannot be read: {source}")]
    Stored {
        /// What it should be.
        kind: &'static str,
        /// Its id.
        id: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What the admin core has before any core runs.
pub struct Prepared {
    /// The first epoch.
    pub first: Arc<Snapshot>,
    config: Config,
    entities: Vec<Entity>,
    facts: Vec<Facts>,
    store: Store,
    guard: Guard,
    ocelot: Option<Rc<Administration>>,
    audit: Option<Audit>,
    listener: Option<TcpListener>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

/// Opens the store, compiles the first table, reads the keys and takes the port.
///
/// # Errors
/// If any of that cannot be done; nothing is left running then.
pub fn prepare(path: Option<&Path>, mut config: Config) -> Result<Prepared, AdminError> {
    let Opened {
        store,
        mut entities,
        epoch,
    } = Store::open(path, &config)?;
    if let Some(reason) = store.obstacle().filter(|_| config.admin.enabled) {
        tracing::warn!(message = "the admin API can change nothing", %reason);
    }
    dialect::seed(&mut entities, &config.admin)?;
    let listener = bind(&mut config)?;
    let ocelot = Administration::of(&config.admin)?;
    let templates = effect::templates(&entities);
    let mut table = Table::empty();
    let mut facts = Vec::with_capacity(entities.len());
    // Those that others refer to come first.
    for of_kind in entities.chunk_by(|one, next| one.kind == next.kind) {
        for some in of_kind.chunks(CHANGES_AT_ONCE) {
            let changes = changes(some, &templates, &mut table, &mut facts)?;
            table.apply(&changes)?;
        }
    }
    if let Some(ocelot) = &ocelot {
        table.apply(&ocelot.changes(&config.admin))?;
    }
    let first = Arc::new(Snapshot {
        epoch: epoch.max(1),
        table,
        settings: Settings::of(&config),
    });
    let guard = Guard::of(&config.admin)?;
    let audit = match &config.admin.audit_log {
        Some(path) if config.admin.enabled => {
            let failed = |source| AdminError::AuditLog {
                path: path.clone(),
                source,
            };
            Some(Audit::open(path).map_err(failed)?)
        }
        _ => None,
    };
    // The entities have them.
    config.routes = Vec::new();
    config.upstreams = Vec::new();
    config.entities.clear();
    Ok(Prepared {
        first,
        config,
        entities,
        facts,
        store,
        guard,
        ocelot,
        audit,
        listener,
    })
}

/// Entities that are compiled at once; there may be a million.
const CHANGES_AT_ONCE: usize = 1_024;

fn changes(
    entities: &[Entity],
    templates: &HashMap<&str, Value>,
    table: &mut Table,
    facts: &mut Vec<Facts>,
) -> Result<Vec<Change>, AdminError> {
    let mut changes = Vec::new();
    // Routes that come one after the other most often have one upstream: its name is kept once.
    let mut last: Option<Arc<str>> = None;
    for entity in entities {
        let stored = |kind| {
            let id = entity.id.clone();
            move |source| AdminError::Stored { kind, id, source }
        };
        match entity.kind {
            Kind::Route => {
                let mut route: crate::model::Route =
                    serde_json::from_str(&entity.text.json()).map_err(stored("route"))?;
                route.id = Some(entity.id.clone());
                facts.push(Facts::of(&route, |name| {
                    let known = last.take().filter(|last| **last == *name);
                    last.insert(known.unwrap_or_else(|| name.into())).clone()
                }));
                dialect::dress(&mut route, templates.get(entity.id.as_str()));
                if route.enabled && route.also.is_empty() && route.rate_limit.is_none() {
                    let prepared = table.prepare(&entity.id, &route, entity.age)?;
                    changes.push(Change::PutPrepared(prepared));
                } else {
                    changes.extend(route_changes(route, entity.age));
                }
                continue;
            }
            Kind::Upstream => {
                let upstream = serde_json::from_str(&entity.text.json());
                let upstream = upstream.map_err(stored("upstream"))?;
                changes.push(Change::PutUpstream(upstream));
            }
            Kind::Document(collection) => {
                changes.extend(dialect::effects(
                    collection.list(),
                    &entity.id,
                    Some(&entity.value()),
                )?);
            }
        }
        facts.push(Facts::default());
    }
    Ok(changes)
}

/// Takes the port; where the kernel chooses it, the configuration says which from then on.
fn bind(config: &mut Config) -> Result<Option<TcpListener>, AdminError> {
    let admin = &mut config.admin;
    if !admin.enabled {
        return Ok(None);
    }
    let address = SocketAddr::new(admin.address, admin.port);
    let failed = |source| AdminError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    admin.port = listener.local_addr().map_err(failed)?.port();
    Ok(Some(listener))
}

/// The tasks run.
pub(super) struct Started {
    pub(super) core: Rc<Core>,
    /// Where the admin API listens.
    pub(super) admin: Option<SocketAddr>,
}

/// Starts the tasks of the admin core.
pub(super) fn start(control: Control) -> io::Result<Started> {
    clock::started_ms();
    let Control {
        prepared,
        publisher,
        asker,
        acknowledged,
        cache,
        counters,
        cores,
        driver,
        listening,
    } = control;
    let Prepared {
        first,
        config,
        entities,
        facts,
        store,
        guard,
        ocelot,
        audit,
        listener,
    } = prepared;
    let entities = entities.into_iter().zip(facts);
    let (queue, waiting) = mpsc::channel(QUEUE_MAX);
    let core = Rc::new(Core {
        newest: watch::Sender::new(first.epoch),
        state: RefCell::new(State::of(first, config, entities)),
        history: RefCell::new(History::default()),
        guard: RefCell::new(guard),
        sessions: RefCell::default(),
        ocelot,
        publisher,
        asker,
        in_force: InForce::new(),
        failed: Rc::default(),
        queue,
        audit,
        cache,
        counters,
        cores,
        driver,
        listening,
        stopping: Cell::new(false),
        watchers: Cell::new(0),
    });
    tokio::task::spawn_local(publish::follow(core.clone(), acknowledged));
    tokio::task::spawn_local(writer::run(core.clone(), store, waiting));
    let mut admin = None;
    if let Some(listener) = listener {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        admin = Some(listener.local_addr()?);
        tokio::task::spawn_local(listener::listen(core.clone(), listener));
    }
    Ok(Started { core, admin })
}
