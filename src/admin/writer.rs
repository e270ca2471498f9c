//! Writer: the one task that changes anything.
//!
//! It takes what waits in its queue, as much as there is, checks the writes in their order, makes
//! them durable with one commit of the store, gives them one epoch and puts that before the cores.
//! While a commit is on its way to the disk the next writes gather, so the busier the admin core
//! is, the more writes share a commit.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::clock::now_ms;
use super::commit::{Done, Refusal, Write, Writer};
use super::core::{Core, Message};
use super::dialect;
use super::history::Record;
use super::reload::{self, Reloaded};
use super::stage::{Stage, Staged};
use super::store::{Store, StoreError};
use crate::epoch::{Settings, Snapshot};
use crate::model::Config;
use crate::model::config::StoreKind;
use crate::table::{Change, Table};

/// Writes that share one commit at the most.
const BATCH_MAX: usize = 512;

type Answer = oneshot::Sender<Result<Done, Refusal>>;

/// Writes until the queue ends.
pub(super) async fn run(core: Rc<Core>, store: Store, mut queue: mpsc::Receiver<Message>) {
    let mut task = Task {
        core,
        store: Some(store),
    };
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        task.take(batch.drain(..)).await;
    }
}

struct Task {
    core: Rc<Core>,
    /// Out while a thread of its own works with it; gone if that thread has died of it.
    store: Option<Store>,
}

/// What makes the next epoch.
#[derive(Default)]
struct Next {
    by: Vec<Writer>,
    staged: Option<Staged>,
    differences: Vec<super::commit::Difference>,
    observed: Vec<Change>,
    settings: Option<Config>,
}

impl Task {
    async fn take(&mut self, batch: impl Iterator<Item = Message>) {
        let mut writes: Vec<(Write, Answer)> = Vec::new();
        let mut observed = Vec::new();
        for message in batch {
            match message {
                Message::Observe(change) => observed.push(change),
                Message::Write(write, answer) => {
                    // A write by force must not carry others over the file.
                    if writes
                        .last()
                        .is_some_and(|(last, _)| last.force != write.force)
                    {
                        self.write(std::mem::take(&mut writes), Vec::new()).await;
                    }
                    writes.push((write, answer));
                }
                Message::Reload {
                    by,
                    structural,
                    answer,
                } => {
                    self.write(std::mem::take(&mut writes), Vec::new()).await;
                    let _ = answer.send(self.reload(by, structural).await);
                }
            }
        }
        self.write(writes, observed).await;
    }

    /// Commits writes and addresses as one epoch.
    async fn write(&mut self, writes: Vec<(Write, Answer)>, observed: Vec<Change>) {
        if writes.is_empty() && observed.is_empty() {
            return;
        }
        let force = writes.first().is_some_and(|(write, _)| write.force);
        let mut next = Next {
            observed,
            ..Next::default()
        };
        let mut done = Vec::with_capacity(writes.len());
        // From the first change on, what is said of a write depends on the commit.
        let mut depends = false;
        {
            let state = self.core.state.borrow();
            let mut stage = Stage::over(&state, now_ms());
            for (write, answer) in writes {
                let result = stage.write(&write);
                if let Ok(made) = &result
                    && !write.dry_run
                    && !made.differences.is_empty()
                {
                    depends = true;
                    next.by.push(write.by);
                    next.differences.extend(made.differences.iter().cloned());
                }
                done.push((result, answer, depends && !write.dry_run));
            }
            next.staged = Some(stage.finish());
        }
        let committed = self.commit(next, force).await;
        for (result, answer, depends) in done {
            let result = match (&committed, result) {
                (Err(error), _) if depends => Err(Refusal::Store(error.clone())),
                (_, Ok(made)) if made.differences.is_empty() => Ok(Done {
                    epoch: self.core.epoch(),
                    ..made
                }),
                (_, result) => result,
            };
            let _ = answer.send(result);
        }
    }

    /// Makes `next` durable, then the state, then known to the cores. When the store refuses, the
    /// addresses still come into force: they are not stored.
    async fn commit(&mut self, mut next: Next, force: bool) -> Result<(), Rc<StoreError>> {
        let mut result = Ok(());
        let staged = next.staged.take().filter(|staged| !staged.is_empty());
        if let Some(staged) = staged {
            match self.store(&staged, force).await {
                Ok(()) => next.staged = Some(staged),
                Err(error) => {
                    next.by.clear();
                    next.differences.clear();
                    result = Err(Rc::new(error));
                }
            }
        }
        self.publish(next);
        result
    }

    async fn store(&mut self, staged: &Staged, force: bool) -> Result<(), StoreError> {
        let epoch = self.core.epoch() + 1;
        let changes = staged.changes();
        self.with_store(move |store| store.commit(epoch, &changes, force))
            .await
    }

    /// Does something with the store on a thread that may wait for the disk.
    async fn with_store<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut store) = self.store.take() else {
            return Err(StoreError::Gone);
        };
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut store);
            (store, result)
        });
        match worked.await {
            Ok((store, result)) => {
                self.store = Some(store);
                result
            }
            Err(error) => {
                tracing::error!(message = "the store has failed", %error);
                Err(StoreError::Gone)
            }
        }
    }

    fn publish(&self, next: Next) {
        let mut state = self.core.state.borrow_mut();
        let mut table: Option<Table> = next.staged.as_ref().map(|staged| staged.table.clone());
        if !next.observed.is_empty() {
            let before = table.as_ref().unwrap_or(&state.snapshot.table);
            match before.change(&next.observed) {
                Ok(after) => table = Some(after),
                Err(error) => tracing::error!(message = "an observation is lost", %error),
            }
        }
        if table.is_none() && next.settings.is_none() {
            return;
        }
        if let Some(config) = &next.settings {
            state.config.clone_from(config);
        }
        let snapshot = Arc::new(Snapshot {
            epoch: state.epoch() + 1,
            table: table.unwrap_or_else(|| state.snapshot.table.clone()),
            settings: match &next.settings {
                Some(config) => Settings::of(config),
                None => state.snapshot.settings.clone(),
            },
        });
        if snapshot.table.keeps_responses() {
            self.core.cache.prepare();
        }
        self.core.publisher.publish(&snapshot);
        if let Some(staged) = next.staged {
            staged.settle(&mut state);
        }
        state.snapshot = snapshot;
        self.core.history.borrow_mut().push(Record {
            epoch: state.epoch(),
            at: now_ms(),
            by: next.by,
            differences: next.differences,
            resolved: next.observed.iter().filter_map(resolved_name).collect(),
            settings: next.settings.is_some(),
        });
        self.core.newest.send_replace(state.epoch());
    }

    async fn reload(&mut self, by: Writer, structural: bool) -> Result<Reloaded, Refusal> {
        let epoch = self.core.epoch() + 1;
        let read = self.with_store(move |store| {
            let file = store.reload()?;
            let entities = store.declared(&file, epoch);
            Ok((file, entities))
        });
        let (file, mut entities) = match read.await {
            Ok(read) => read,
            Err(error) => {
                let sentence = error.to_string();
                tracing::error!(message = "the reload changed nothing", error = sentence);
                self.core.state.borrow_mut().last_reload_error = Some(sentence);
                return Err(Refusal::Store(Rc::new(error)));
            }
        };
        if let Err(error) = dialect::seed(&mut entities, &file.admin) {
            tracing::warn!(message = "the first admin key stays as it is", %error);
        }
        let mut reloaded = Reloaded::default();
        let mut next = Next {
            by: vec![by.clone()],
            ..Next::default()
        };
        {
            let mut state = self.core.state.borrow_mut();
            state.last_reload_error = None;
            let (settings, changed) = reload::settings(&state.config, &file);
            if !changed.is_empty() {
                next.settings = Some(settings);
            }
            reloaded.applied = changed;
            state.pending = reload::needs_restart(&state.config, &file);
            if structural {
                let write = reload::exchange(by, entities, state.config.store.kind);
                let mut stage = Stage::over(&state, now_ms());
                let done = stage.write(&write)?;
                reloaded.differences = done.differences.clone();
                next.differences = done.differences;
                next.staged = Some(stage.finish());
            } else if file.store.kind == StoreKind::File {
                let differences = reload::structural(&state, &entities);
                state.pending.extend(differences);
            }
            reloaded.pending = state.pending.clone();
        }
        if !reloaded.pending.is_empty() {
            tracing::warn!(
                message = "structural change ignored, use the admin API",
                changes = reloaded.pending.join("; "),
            );
        }
        self.commit(next, true).await.map_err(Refusal::Store)?;
        reloaded.epoch = self.core.epoch();
        Ok(reloaded)
    }
}

fn resolved_name(change: &Change) -> Option<String> {
    match change {
        Change::Resolve { name, .. } => Some(name.clone()),
        _ => None,
    }
}
