//! Pick: which server of the upstream gets the request.

use std::rc::Rc;

use super::pool::{Pool, Server};
use crate::model::upstream::LoadBalancer;

/// A server and where it listens.
pub(super) struct Picked {
    pub(super) server: Rc<Server>,
    /// Its place among the servers of the declared upstream.
    pub(super) index: usize,
}

/// Picks a server that has an address; another than `not` if there is one.
pub(super) fn pick(pool: &Pool, not: Option<usize>) -> Option<Picked> {
    let declared = pool.declared.borrow();
    let can_serve = |index: usize| {
        declared
            .servers
            .get(index)
            .is_some_and(|server| !server.endpoints.is_empty())
    };
    let index = match declared.balancer {
        LoadBalancer::RoundRobin => round_robin(pool, declared.servers.len(), |index| {
            can_serve(index) && not != Some(index)
        }),
        LoadBalancer::WeightedRoundRobin => {
            smooth_weighted(pool, |index| match declared.servers.get(index) {
                Some(server) if can_serve(index) && not != Some(index) => i64::from(server.weight),
                _ => 0,
            })
        }
    };
    // Only the one that has just failed is left: it gets another chance.
    let index = index.or_else(|| not.filter(|index| can_serve(*index)))?;
    let server = pool.servers.borrow().get(index)?.clone();
    Some(Picked { server, index })
}

fn round_robin(pool: &Pool, count: usize, can: impl Fn(usize) -> bool) -> Option<usize> {
    let start = pool.cursor.get();
    let index = (0..count)
        .map(|step| (start + step) % count)
        .find(|index| can(*index))?;
    pool.cursor.set((index + 1) % count);
    Some(index)
}

/// nginx's smooth weighted round robin: each server saves up its weight, the richest is picked and
/// pays the sum of all.
fn smooth_weighted(pool: &Pool, weight: impl Fn(usize) -> i64) -> Option<usize> {
    let servers = pool.servers.borrow();
    let mut total = 0;
    let mut richest: Option<(usize, i64)> = None;
    for (index, server) in servers.iter().enumerate() {
        let weight = weight(index);
        if weight == 0 {
            continue;
        }
        total += weight;
        let credit = server.credit.get() + weight;
        server.credit.set(credit);
        if richest.is_none_or(|(_, most)| credit > most) {
            richest = Some((index, credit));
        }
    }
    let (index, credit) = richest?;
    servers[index].credit.set(credit - total);
    Some(index)
}
