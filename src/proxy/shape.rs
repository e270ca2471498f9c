//! Shape: what Ringway adds to a response and takes from it, on its way to the client.

use std::num::NonZeroU64;

use super::affinity;
use super::answer::Exchange;
use crate::wire::compose;

/// What Ringway adds to a response and takes from it.
pub(super) struct Edits<'e>(pub(super) &'e Exchange<'e>);

impl Edits<'_> {
    #[inline]
    pub(super) fn are_needed(&self) -> bool {
        let plan = self.0.plan;
        plan.shape.is_some() || plan.pool.declared.borrow().spread.sticky.is_some()
    }
}

impl compose::Edits for Edits<'_> {
    fn drops(&self, name: &str) -> bool {
        let shape = self.0.plan.shape.as_ref();
        shape.is_some_and(|shape| shape.drops(name))
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Exchange { plan, picked, .. } = self.0;
        if let Some(shape) = &plan.shape {
            shape.put(out);
        }
        let declared = plan.pool.declared.borrow();
        if let Some(server) = declared.servers.get(picked.index)
            && plan.affinity.server.map(NonZeroU64::get) != Some(server.number)
        {
            affinity::put_cookie(&declared.spread, server.number, out);
        }
    }
}
