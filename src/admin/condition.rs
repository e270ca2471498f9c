//! Conditions: `If-Match` and `If-None-Match` (RFC 9110 §13.1), on an entity or on a list.

use super::commit::Refusal;
use super::entity::Kind;
use super::state::Kept;

/// What a sender demands of the present state.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) matches: Option<Tags>,
    pub(super) matches_none: Option<Tags>,
}

/// A list of entity tags.
#[derive(Clone, Debug)]
pub(super) enum Tags {
    /// `*`
    Any,
    /// These.
    These(Vec<String>),
}

impl Tags {
    /// Reads the values of a field, all of them.
    pub(super) fn read<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut tags = Vec::new();
        for value in values {
            for tag in value
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
            {
                if tag == "*" {
                    return Some(Self::Any);
                }
                tags.push(tag.to_owned());
            }
        }
        (!tags.is_empty()).then_some(Self::These(tags))
    }

    /// Whether one of them is `tag`; for `If-None-Match` weak ones count too.
    fn has(&self, tag: &str, weak: bool) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|given| {
                let given = if weak {
                    given.strip_prefix("W/").unwrap_or(given)
                } else {
                    given
                };
                given == tag
            }),
        }
    }
}

impl Conditions {
    /// Whether a client has this version already.
    pub(super) fn has_seen(&self, tag: &str) -> bool {
        self.matches_none
            .as_ref()
            .is_some_and(|tags| tags.has(tag, true))
    }

    /// Holds the conditions of a write against the entity that it is about.
    pub(super) fn on_entity(&self, entity: Option<&Kept>) -> Result<(), Refusal> {
        self.on(entity.map(Kept::tag).as_deref())
    }

    /// Holds the conditions of a write against the list that it adds to. `If-None-Match: *` says
    /// that the entity must be new, which creating one demands anyway.
    pub(super) fn on_list(&self, kind: Kind, changed: u64) -> Result<(), Refusal> {
        let tag = list_tag(kind, changed);
        let matches = self
            .matches
            .as_ref()
            .is_none_or(|tags| tags.has(&tag, false));
        let seen = match &self.matches_none {
            Some(Tags::These(_)) => self.has_seen(&tag),
            Some(Tags::Any) | None => false,
        };
        if matches && !seen {
            Ok(())
        } else {
            Err(Refusal::Condition)
        }
    }

    fn on(&self, tag: Option<&str>) -> Result<(), Refusal> {
        let matches = match (&self.matches, tag) {
            (None, _) => true,
            (Some(tags), Some(tag)) => tags.has(tag, false),
            (Some(_), None) => false,
        };
        let seen = tag.is_some_and(|tag| self.has_seen(tag));
        if matches && !seen {
            Ok(())
        } else {
            Err(Refusal::Condition)
        }
    }
}

/// The entity tag of the list of all entities of a kind. It is good for one process: the epochs
/// of another one begin anew.
pub(super) fn list_tag(kind: Kind, changed: u64) -> String {
    let process = std::process::id();
    let started = super::clock::started_ms();
    format!(
        "\"{}s-{changed}-{process:x}{started:x}\"",
        super::commit::name(kind)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_lists() {
        let tags = Tags::read(["\"a\", W/\"b\"", "\"c\""].into_iter()).unwrap();
        for (tag, strong, weak) in [
            ("\"a\"", true, true),
            ("\"b\"", false, true),
            ("\"d\"", false, false),
        ] {
            assert_eq!(tags.has(tag, false), strong, "{tag}");
            assert_eq!(tags.has(tag, true), weak, "{tag}");
        }
        assert!(matches!(
            Tags::read(["\"a\", *"].into_iter()),
            Some(Tags::Any)
        ));
        assert!(Tags::read([""].into_iter()).is_none());
    }
}
