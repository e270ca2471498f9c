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
        self.0.plan.pool.declared.borrow().spread.sticky.is_some()
    }
}

impl compose::Edits for Edits<'_> {
    fn drops(&self, _: &str) -> bool {
        false
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Exchange { plan, picked, .. } = self.0;
        let declared = plan.pool.declared.borrow();
        if let Some(server) = declared.servers.get(picked.index)
            && plan.affinity.server.map(NonZeroU64::get) != Some(server.number)
        {
            affinity::put_cookie(&declared.spread, server.number, out);
        }
    }
}
