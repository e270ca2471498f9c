//! Queries of templates: what a request must have in its own, and how that changes on its way.

use std::collections::BTreeSet;

use super::template::{Names, Piece, Template, place};
use crate::model::policy::{Edits, NamedValue};
use crate::model::route::Condition;

impl Template {
    /// The query parameter whose value a placeholder stands for.
    pub(super) fn parameter_of(&self, name: &str) -> Option<&str> {
        let query = self.query.as_ref()?;
        query.windows(2).find_map(|pair| match pair {
            [Piece::Text(text), Piece::Place(place)] if place == name => {
                let start = text.rfind('&').map_or(0, |at| at + 1);
                text.get(start..)?.strip_suffix('=')
            }
            _ => None,
        })
    }

    /// The parameters of the query, each with what its value is made of.
    fn parameters(&self) -> Vec<(String, Vec<Piece>)> {
        let mut parameters: Vec<(String, Vec<Piece>)> = Vec::new();
        let mut in_value = false;
        let mut start = true;
        for piece in self.query.iter().flatten() {
            match piece {
                Piece::Place(_) if in_value => {
                    if let Some((_, value)) = parameters.last_mut() {
                        value.push(piece.clone());
                    }
                }
                // A name that is a placeholder cannot be said.
                Piece::Place(_) => {}
                Piece::Text(text) => {
                    for (index, part) in text.split('&').enumerate() {
                        if index > 0 || start {
                            in_value = false;
                        }
                        start = false;
                        let value = if in_value {
                            Some(part)
                        } else if let Some((name, value)) = part.split_once('=') {
                            parameters.push((name.to_owned(), Vec::new()));
                            in_value = true;
                            Some(value)
                        } else {
                            None
                        };
                        if let (Some(value), Some((_, pieces))) = (value, parameters.last_mut())
                            && !value.is_empty()
                        {
                            pieces.push(Piece::Text(value.to_owned()));
                        }
                    }
                }
            }
        }
        parameters
    }
}

/// The parameters that a request must have.
pub(super) fn query_conditions(upstream: &Template, is_case_sensitive: bool) -> Vec<Condition> {
    let each = upstream.parameters().into_iter();
    each.map(|(name, value)| match value.as_slice() {
        [] | [Piece::Place(_)] => Condition {
            name,
            value: None,
            regex: None,
        },
        [Piece::Text(text)] if is_case_sensitive => Condition {
            name,
            value: Some(text.clone()),
            regex: None,
        },
        pieces => {
            let text: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => regex::escape(text),
                    Piece::Place(_) => ".*".to_owned(),
                })
                .collect();
            let regex = if is_case_sensitive {
                text
            } else {
                format!("(?i:{text})")
            };
            Condition {
                name,
                value: None,
                regex: Some(regex),
            }
        }
    })
    .collect()
}

/// The changes to the query: what the downstream template says comes in, parameters that are named
/// like a placeholder go.
pub(super) fn query_edits(
    upstream: &Template,
    downstream: &Template,
    more: &Names,
    unsaid: &mut Vec<String>,
) -> Option<Edits> {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte))
    };
    let parameters = downstream.parameters().into_iter();
    let set: Vec<NamedValue> = parameters
        .map(|(name, value)| {
            let value = value.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Place(name) => place(name, upstream, more, unsaid),
            });
            NamedValue {
                name,
                value: value.collect(),
            }
        })
        .filter(|one| is_name(&one.name.as_str()))
        .collect();
    let names: BTreeSet<&str> = upstream.names().into_iter().chain(more.known()).collect();
    let is_set = |name: &&str| !set.iter().any(|one| one.name == **name);
    let remove = names.into_iter().filter(is_name).filter(is_set);
    let edits = Edits {
        remove: remove.map(str::to_owned).collect(),
        set,
        ..Edits::default()
    };
    (edits != Edits::default()).then_some(edits)
}
