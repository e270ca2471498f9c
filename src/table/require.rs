//! What the claims of a token must be beyond what makes it valid.

use super::edit::{Filling, Text};
use super::error::CompileError;
use crate::model::policy::Requirement;

/// What one claim must be.
#[derive(Clone, Debug)]
pub struct Required {
    claim: Box<str>,
    /// One of these; none means that it need only be there.
    any_of: Box<[Text]>,
}

impl Required {
    /// Compiles what the route `id` says, whose path captures `captures`.
    pub(super) fn of(
        id: &str,
        declared: &Requirement,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        let texts = declared.any_of.iter();
        let texts = texts.map(|text| Text::parse(id, text, captures));
        Ok(Self {
            claim: declared.claim.as_str().into(),
            any_of: texts.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the claims of the request have it.
    pub fn holds(&self, with: &Filling<'_>) -> bool {
        let Some(claims) = with.claims else {
            return false;
        };
        if self.any_of.is_empty() {
            return claims.has(&self.claim);
        }
        self.any_of.iter().any(|text| {
            let mut wanted = Vec::new();
            text.fill(with, &mut wanted);
            claims.any(&self.claim, &|one| one.as_bytes() == wanted)
        })
    }

    /// The claim.
    pub fn claim(&self) -> &str {
        &self.claim
    }

    pub(super) fn uses_captures(&self) -> bool {
        self.any_of.iter().any(Text::uses_captures)
    }
}
