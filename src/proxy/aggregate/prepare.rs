//! Prepare: the request of one part, as its route makes it on the table of the moment.

use super::fetch::Failed;
use super::join::{Joint, bad_part};
use super::{Ended, Refusal};
use crate::epoch::Snapshot;
use crate::proxy::fault::Fault;
use crate::proxy::forward::Plan;
use crate::proxy::local::Stopped;
use crate::proxy::policy::Drafts;
use crate::proxy::serve::{Routed, Step};
use crate::proxy::understand::{FieldLines, Space, Understood, understand};
use crate::table::{Action, Part};
use crate::wire::compose::{PSEUDONYM, put_field};
use crate::wire::head::{Request, Slots};
use crate::wire::path;

const NO_ROUTE: Refusal = Refusal {
    status: 503,
    reason: "part_route",
    sentence: "there is no route for it",
};
const NESTED: Refusal = Refusal {
    status: 503,
    reason: "part_route",
    sentence: "a part cannot be an aggregate",
};
const BAD_PATH: Refusal = Refusal {
    status: 400,
    reason: "part_path",
    sentence: "its path is not valid",
};

impl Joint<'_> {
    /// The request of `part`, made for `value` if it is made for each of several.
    pub(super) fn prepare(&self, part: &Part, value: &[u8]) -> Result<Plan, Ended> {
        let refused = |refusal: Refusal| refused(part, refusal);
        let snapshot = self.core.snapshot();
        let snapshot: &Snapshot = &snapshot;
        let settings = &snapshot.settings;
        let mut slots = Slots::new();
        let mut space = Space::default();
        let understood = understand(&self.aggregation.head, &mut slots, &mut space, settings);
        let request = match understood {
            Ok(Some(request)) => request,
            Ok(None) => return Err(refused(BAD_PATH)),
            Err(refusal) => return Err(refused(refusal)),
        };
        let mut target = Vec::new();
        let captures = self.aggregation.route.captures(request.path);
        let asked = request.query.unwrap_or_default();
        part.put_target(request.path, asked, &captures, value, &mut target);
        let end = target.iter().position(|byte| *byte == b'?');
        let (path, own) = target.split_at(end.unwrap_or(target.len()));
        let query = joined(own.get(1..).unwrap_or_default(), asked);
        let mut space = Vec::new();
        let path = path::normalise(path, settings.path, &mut space);
        let path = path.map_err(|_| refused(BAD_PATH))?;
        if !path::query_is_valid(&query) {
            return Err(refused(BAD_PATH));
        }
        let found = snapshot.table.find_by_id(&part.route, path);
        let found = found.ok_or_else(|| refused(NO_ROUTE))?;
        if matches!(found.route.action, Action::Aggregate(_)) {
            return Err(refused(NESTED));
        }
        let request = Understood {
            head: Request { ..request.head },
            path,
            query: Some(&*query).filter(|query| !query.is_empty()),
            host: request.host,
            fields: FieldLines(request.head.fields),
            body_is_at_hand: true,
        };
        let routed = Routed {
            connection: self.connection,
            core: self.core,
            snapshot,
            request: &request,
            found: &found,
            is_part: true,
        };
        let mut step = None;
        let (mut rewritten, mut composed) = (Vec::new(), Vec::new());
        routed
            .take(
                &mut rewritten,
                &mut Drafts::default(),
                &mut composed,
                &mut step,
            )
            .map_err(refused)?;
        match step {
            Some(Step::Forward(plan)) => Ok(plan),
            Some(Step::Answer(local)) => Err(Ended::Local(local)),
            _ => Err(refused(NO_ROUTE)),
        }
    }
}

/// That a part is not even sent.
fn refused(part: &Part, refusal: Refusal) -> Ended {
    let key = String::from_utf8_lossy(&part.key);
    let stopped = Stopped {
        status: refusal.status,
        reason: refusal.reason,
        sentence: format!("the part {key}: {}", refusal.sentence).into(),
        lines: Vec::new(),
    };
    Ended::Stopped(stopped, None)
}

/// Both queries, the first in front.
fn joined(own: &[u8], asked: &[u8]) -> Vec<u8> {
    match (own, asked) {
        (own, b"") => own.to_vec(),
        (b"", asked) => asked.to_vec(),
        (own, asked) => [own, b"&", asked].concat(),
    }
}

impl Failed {
    /// What the client is told about the part `key`.
    pub(super) fn told(self, key: &str) -> Stopped {
        match self {
            Failed::Stopped(stopped) => stopped,
            Failed::Unfit(what) => bad_part(format!("the part {key} {what}")),
            Failed::Fault(fault) => of_fault(fault, key),
        }
    }
}

fn of_fault(fault: Fault, key: &str) -> Stopped {
    let mut lines = Vec::new();
    if let Some(error) = fault.proxy_status() {
        let value = format!("{}; error={error}", PSEUDONYM);
        put_field(&mut lines, b"Proxy-Status", value.as_bytes());
    }
    Stopped {
        status: fault.status().unwrap_or(502),
        reason: fault.reason(),
        sentence: format!("the part {key}: {fault}").into(),
        lines,
    }
}
