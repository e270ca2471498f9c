//! Which core does what, and pinning.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use super::BootError;
use crate::model::Config;
use crate::model::config::Workers;

/// The cores that proxy, and the one that administers.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Cores {
    pub(super) workers: Vec<usize>,
    pub(super) admin: usize,
}

impl Cores {
    /// The plan that a configuration asks for, on the cores that this process may use.
    pub(super) fn plan(config: &Config) -> Result<Self, BootError> {
        Self::plan_on(&usable(), &config.workers, config.admin.core)
    }

    fn plan_on(usable: &[usize], workers: &Workers, admin: Option<u16>) -> Result<Self, BootError> {
        let admin = admin.map_or_else(|| usable.last().copied().unwrap_or(0), usize::from);
        let others: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|core| *core != admin)
            .collect();
        let workers = match workers {
            Workers::Auto if others.is_empty() => vec![admin],
            Workers::Auto => others,
            // More workers than cores share them, the admin core last.
            Workers::Count(count) => {
                let mut order = others;
                order.push(admin);
                order
                    .iter()
                    .copied()
                    .cycle()
                    .take(usize::from(*count))
                    .collect()
            }
            Workers::Cores(cores) => cores.iter().copied().map(usize::from).collect(),
        };
        for &core in workers.iter().chain([&admin]) {
            if !usable.contains(&core) {
                let usable = usable
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                return Err(BootError::NoSuchCore { core, usable });
            }
        }
        Ok(Self { workers, admin })
    }
}

fn usable() -> Vec<usize> {
    match sched_getaffinity(None::<Pid>) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect(),
        Err(_) => vec![0],
    }
}

/// Binds this thread to a core. Where that is refused it runs anywhere, which is slower, not wrong.
pub(super) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None::<Pid>, &set) {
        tracing::warn!(message = "a thread could not be pinned", core, %error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        usable: &[usize],
        workers: &Workers,
        admin: Option<u16>,
    ) -> Option<(Vec<usize>, usize)> {
        Cores::plan_on(usable, workers, admin)
            .ok()
            .map(|cores| (cores.workers, cores.admin))
    }

    #[test]
    fn workers_leave_the_admin_core_alone_where_they_can() {
        assert_eq!(
            plan(&[0, 1, 2], &Workers::Auto, None),
            Some((vec![0, 1], 2))
        );
        assert_eq!(
            plan(&[0, 1, 2], &Workers::Auto, Some(0)),
            Some((vec![1, 2], 0))
        );
        assert_eq!(plan(&[3], &Workers::Auto, None), Some((vec![3], 3)));
        assert_eq!(
            plan(&[0, 1], &Workers::Count(3), None),
            Some((vec![0, 1, 0], 1))
        );
        assert_eq!(
            plan(&[0, 1], &Workers::Cores(vec![1]), None),
            Some((vec![1], 1))
        );
        assert_eq!(plan(&[0, 1], &Workers::Cores(vec![7]), None), None);
        assert_eq!(plan(&[0, 1], &Workers::Auto, Some(9)), None);
    }
}
