//! Why a route won and the others lost, for one request: the rules again, route by route, without
//! the shortcuts of the search.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::condition::{Fields, Question, Unmet};
use super::order::Criterion;
use super::route::Route;

/// The most verdicts that one explanation has.
pub const VERDICTS_MAX: usize = 100;

/// What became of one route. As text it is one sentence.
#[derive(Clone, Debug)]
pub struct Verdict<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// Whether it won, or why not.
    pub outcome: Outcome<'t>,
}

/// Whether a route won, or why not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome<'t> {
    /// The first of all that match.
    Wins,
    /// It matches too, but the winner comes first by this criterion.
    Outranked(Criterion),
    /// Host and path match, this condition is not met.
    Unmet(Unmet<'t>),
    /// The path matches, the host does not.
    OtherHost,
    /// The host matches, the path does not.
    OtherPath,
}

pub(super) fn explain<'t, F: Fields>(
    routes: impl Iterator<Item = &'t Arc<Route>>,
    question: &Question<'_, F>,
) -> Vec<Verdict<'t>> {
    let mut verdicts = Vec::new();
    for route in routes {
        if let Some(outcome) = judge(route, question) {
            verdicts.push(Verdict { route, outcome });
        }
        if verdicts.len() >= 4 * VERDICTS_MAX {
            keep_first(&mut verdicts);
        }
    }
    keep_first(&mut verdicts);
    let winner = verdicts
        .first()
        .filter(|first| first.outcome == Outcome::Wins);
    if let Some(winner) = winner.map(|winner| winner.route.order) {
        let rivals = verdicts.iter_mut().skip(1);
        for rival in rivals.take_while(|rival| rival.outcome == Outcome::Wins) {
            rival.outcome = Outcome::Outranked(winner.deciding(rival.route.order));
        }
    }
    verdicts
}

/// What holds for `route` alone; a route that matches nothing in question has no verdict.
fn judge<'t, F: Fields>(route: &'t Route, question: &Question<'_, F>) -> Option<Outcome<'t>> {
    let conditions = route.conditions();
    let unmet = || conditions.and_then(|conditions| conditions.unmet(question));
    match (
        route.host().matches(question.host),
        route.path().matches(question.path),
    ) {
        (false, false) => None,
        (false, true) => Some(Outcome::OtherHost),
        (true, false) => Some(Outcome::OtherPath),
        (true, true) => Some(unmet().map_or(Outcome::Wins, Outcome::Unmet)),
    }
}

/// Brings the most telling verdicts to the front and drops what is too many.
fn keep_first(verdicts: &mut Vec<Verdict<'_>>) {
    let class = |outcome: &Outcome<'_>| match outcome {
        Outcome::Wins | Outcome::Outranked(_) => 0,
        Outcome::Unmet(_) => 1,
        Outcome::OtherHost => 2,
        Outcome::OtherPath => 3,
    };
    verdicts.sort_by(|one, other| {
        let key = |verdict: &Verdict<'_>| (class(&verdict.outcome), Reverse(verdict.route.order));
        key(one)
            .cmp(&key(other))
            .then_with(|| one.route.id().cmp(other.route.id()))
    });
    verdicts.truncate(VERDICTS_MAX);
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.route.id();
        match &self.outcome {
            Outcome::Wins => write!(f, "'{id}' wins."),
            Outcome::Outranked(criterion) => {
                write!(f, "'{id}' matches too, but the winner {criterion}.")
            }
            Outcome::Unmet(Unmet::Method) => {
                write!(f, "'{id}' has the host and the path, but not the method.")
            }
            Outcome::Unmet(Unmet::Field(name)) => {
                write!(
                    f,
                    "'{id}' has the host and the path, but asks for the field '{name}'."
                )
            }
            Outcome::Unmet(Unmet::Query(name)) => write!(
                f,
                "'{id}' has the host and the path, but asks for the query parameter '{name}'."
            ),
            Outcome::OtherHost => write!(f, "'{id}' has the path, but is for another host."),
            Outcome::OtherPath => write!(f, "'{id}' has the host, but is for another path."),
        }
    }
}
