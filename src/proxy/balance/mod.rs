//! Balance: the balancers as pure state machines.
//!
//! A balancer sees servers as numbers with a weight (0: not now) and a [`Load`]; it knows no
//! connection, no clock and no source of chance but those it is given. `rotate` takes turns,
//! `least` compares loads, `chance` draws, `keyed` follows a key. What it remembers is kept per
//! core and per upstream, and survives epochs with its servers.

mod chance;
mod keyed;
mod least;
mod load;
mod rotate;
#[cfg(test)]
mod tests;

use std::cell::Cell;

pub(super) use self::chance::Chance;
pub(super) use self::load::Load;
use crate::model::upstream::LoadBalancer;
use crate::table::Spread;

/// The most servers of an upstream, as the model has it.
pub(super) const SERVERS_MAX: usize = 256;

/// The servers among which one is chosen.
pub(super) trait Servers {
    /// How many there are, those that cannot be chosen included.
    fn count(&self) -> usize;
    /// The share of a server; 0 if it cannot be chosen now.
    fn weight(&self, index: usize) -> u32;
    /// What it has to do.
    fn load(&self, index: usize) -> &Load;
}

/// What a balancer remembers.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// Where round robin stands.
    cursor: Cell<usize>,
    chance: Chance,
}

/// What a choice depends on beside the servers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances {
    /// The hash of the request's key, if it has one.
    pub(super) key: Option<u64>,
    /// Whether some server has less than its full share for now.
    pub(super) uneven: bool,
    /// Whether the request has been tried before.
    pub(super) again: bool,
    /// Microseconds since some moment; looked at by `peak_ewma` only.
    pub(super) now_us: u64,
}

impl Balancer {
    /// Chooses a server; none if none has a weight.
    #[inline]
    pub(super) fn choose(
        &self,
        spread: &Spread,
        servers: &impl Servers,
        about: Circumstances,
    ) -> Option<usize> {
        match spread.balancer {
            LoadBalancer::RoundRobin if !about.uneven => {
                rotate::round(&self.cursor, servers, about.again)
            }
            LoadBalancer::RoundRobin | LoadBalancer::WeightedRoundRobin => rotate::smooth(servers),
            LoadBalancer::LeastConn => least::connections(&self.cursor, servers),
            LoadBalancer::PeakEwma => least::sooner_of_two(&self.chance, servers, about.now_us),
            LoadBalancer::Random => chance::weighted(&self.chance, servers),
            LoadBalancer::IpHash => match about.key {
                Some(key) => keyed::modulo(servers, key),
                None => chance::weighted(&self.chance, servers),
            },
            LoadBalancer::ConsistentHash => match (about.key, &spread.maglev) {
                (Some(key), Some(table)) => {
                    keyed::consistent(servers, table, key, spread.load_bound_percent)
                }
                _ => chance::weighted(&self.chance, servers),
            },
        }
    }
}
