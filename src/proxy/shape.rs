//! Shape: what Ringway adds to a response and takes from it, on its way to the client.

use std::num::NonZeroU64;

use super::affinity;
use super::exchange::Exchange;
use super::policy::Handle;
use super::recode::Recoded;
use crate::wire::compose;
use crate::wire::field::Field;

/// What Ringway adds to a response and takes from it.
pub(super) struct Edits<'e, 'r> {
    pub(super) exchange: &'e Exchange<'e>,
    /// Whether it is compressed, or could be.
    pub(super) recoded: Option<Recoded<'r>>,
}

/// Whether anything is added to the response or taken from it.
#[inline]
pub(super) fn is_needed(exchange: &Exchange<'_>) -> bool {
    let plan = exchange.plan;
    plan.shape.is_some() || plan.pool.declared.borrow().spread.sticky.is_some()
}

impl compose::Edits for Edits<'_, '_> {
    fn drops_any(&self) -> bool {
        let shape = self.exchange.plan.shape.as_ref();
        self.recoded.is_some() || shape.is_some_and(Handle::drops_any)
    }

    fn drops(&self, name: &str) -> bool {
        let shape = self.exchange.plan.shape.as_ref();
        shape.is_some_and(|shape| shape.drops(name))
            || self.recoded.is_some_and(|recoded| recoded.drops(name))
    }

    fn replaces(&self) -> bool {
        let shape = self.exchange.plan.shape.as_ref();
        shape.is_some_and(|shape| shape.replaces())
    }

    fn replace(&self, field: &Field<'_>, out: &mut Vec<u8>) -> bool {
        let Exchange { plan, picked, .. } = self.exchange;
        let secure = self.exchange.link.stream.is_secure();
        let shape = plan.shape.as_ref();
        shape.is_some_and(|shape| shape.replace(field, &picked.server.name, secure, out))
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Exchange { plan, picked, .. } = self.exchange;
        if let Some(recoded) = self.recoded {
            recoded.put(out);
        }
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
