//! Publish: epochs on their way to the cores, and their word that they work by them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::core::Core;

/// Rings whenever a core has acknowledged an epoch.
#[derive(Debug, Default)]
pub struct Acknowledged(Notify);

impl Acknowledged {
    /// Called on a core's thread: never blocks.
    pub fn notify(&self) {
        self.0.notify_one();
    }
}

/// The epoch that every core works by, or a later one.
pub(super) struct InForce(watch::Sender<u64>);

impl InForce {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Waits until every core works by `epoch` or a later one; false if that takes too long.
    pub(super) async fn wait(&self, epoch: u64, within: Duration) -> bool {
        let mut least = self.0.subscribe();
        let reached = least.wait_for(|least| *least >= epoch);
        tokio::time::timeout(within, reached)
            .await
            .is_ok_and(|reached| reached.is_ok())
    }

    pub(super) fn is(&self, epoch: u64) -> bool {
        *self.0.borrow() >= epoch
    }
}

/// Follows the acknowledgements, and frees the tables that the cores have given back.
pub(super) async fn follow(core: Rc<Core>, acknowledged: Arc<Acknowledged>) {
    loop {
        let least = core.publisher.acknowledged().min().unwrap_or(u64::MAX);
        core.in_force
            .0
            .send_if_modified(|known| std::mem::replace(known, least) != least);
        acknowledged.0.notified().await;
        core.publisher.reclaim();
    }
}

/// The workers that do not work by `epoch` yet.
pub(super) fn lagging(core: &Core, epoch: u64) -> Vec<Value> {
    let each = core.publisher.acknowledged().zip(&core.cores).enumerate();
    let behind = each.filter(|(_, (at, _))| *at < epoch);
    behind
        .map(|(worker, (at, core))| json!({"worker": worker, "core": core, "epoch": at}))
        .collect()
}
