//! Listing: which entities a `GET` of a collection shows, in which order, and what of each.
//!
//! Filter, sort, paginate, project, in this order. Everything is read from the query first, so a
//! value that makes no sense is refused before anything is looked at.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::place::Place;

/// Criteria of each sort that one query may have.
const CRITERIA_MAX: usize = 64;

/// What a query asks of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// `filter.<place>=<value>`, all of them.
    filters: Vec<(Place, String)>,
    /// `filtered=<place>:<a>|<b>,…`, all of them, each with one of its texts in lower case.
    searches: Vec<(Place, Vec<String>)>,
    /// `sorted=<place>:<reversed>,…`, the first decides first.
    sorts: Vec<(Place, bool)>,
    /// `page` and `pageSize`; none without a size.
    pub(crate) page: Option<Page>,
    /// `fields=<place>,…`; none shows all.
    fields: Vec<Place>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Page {
    /// From 1.
    pub(crate) number: u64,
    /// At least 1.
    pub(crate) size: u64,
}

/// What an entity is sorted by, in one place of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    /// Numbers come first, by their size.
    Number(f64),
    /// Everything else by its text, in lower case.
    Text(String),
    /// Nothing there: last.
    Missing,
}

// === impl Listing ===

impl Listing {
    /// Reads a query, decoded. Parameters of others are left alone.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub(crate) fn read(query: &[(String, String)]) -> Result<Self, String> {
        let mut listing = Self::default();
        let (mut number, mut size) = (None, None);
        for (name, value) in query {
            let refused = |error: String| format!("{name}: {error}");
            match name.as_str() {
                "filtered" => listing
                    .searches
                    .extend(read_searches(value).map_err(refused)?),
                "sorted" => listing.sorts.extend(read_sorts(value).map_err(refused)?),
                "page" => number = Some(read_count(value).map_err(refused)?),
                "pageSize" => size = Some(read_count(value).map_err(refused)?),
                "fields" => listing.fields.extend(read_fields(value).map_err(refused)?),
                _ => {
                    if let Some(place) = name.strip_prefix("filter.") {
                        let place = Place::read(place).map_err(refused)?;
                        listing.filters.push((place, value.clone()));
                    }
                }
            }
            let criteria = [
                listing.filters.len(),
                listing.searches.len(),
                listing.fields.len(),
            ];
            if criteria
                .into_iter()
                .chain([listing.sorts.len()])
                .any(|count| count > CRITERIA_MAX)
            {
                return Err(format!(
                    "{name}: more than {CRITERIA_MAX} of them in one query"
                ));
            }
        }
        listing.page = size.map(|size| Page {
            number: number.unwrap_or(1),
            size,
        });
        Ok(listing)
    }

    /// Whether every entity is shown, so that none needs to be looked at.
    pub(crate) fn shows_all(&self) -> bool {
        self.filters.is_empty() && self.searches.is_empty()
    }

    /// Whether the order is another than that of the store.
    pub(crate) fn sorts(&self) -> bool {
        !self.sorts.is_empty()
    }

    /// Whether an entity is one of those that are asked for.
    pub(crate) fn takes(&self, entity: &Value) -> bool {
        let is = |(place, value): &(Place, String)| {
            place
                .find(entity)
                .into_iter()
                .any(|found| equals(found, value))
        };
        let has = |(place, texts): &(Place, Vec<String>)| {
            place
                .find(entity)
                .into_iter()
                .any(|found| contains(found, texts))
        };
        self.filters.iter().all(is) && self.searches.iter().all(has)
    }

    /// What an entity is sorted by.
    pub(crate) fn keys(&self, entity: &Value) -> Vec<Key> {
        let key = |(place, _): &(Place, bool)| match place.find(entity).first() {
            None | Some(Value::Null) => Key::Missing,
            Some(Value::Number(number)) => number.as_f64().map_or(Key::Missing, Key::Number),
            Some(Value::String(text)) => Key::Text(text.to_lowercase()),
            Some(other) => Key::Text(other.to_string().to_lowercase()),
        };
        self.sorts.iter().map(key).collect()
    }

    /// Compares two entities by their keys. What is missing is last, reversed or not.
    pub(crate) fn compare(&self, one: &[Key], other: &[Key]) -> Ordering {
        let each = self.sorts.iter().zip(one.iter().zip(other));
        each.map(|((_, reversed), (one, other))| one.compare(other, *reversed))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// What is shown of an entity.
    pub(crate) fn project(&self, entity: Value) -> Value {
        if self.fields.is_empty() || !entity.is_object() {
            return entity;
        }
        let mut shown = Map::new();
        for place in &self.fields {
            place.copy(&entity, &mut shown);
        }
        Value::Object(shown)
    }
}

impl Page {
    /// The places in a list of `count` that the page covers.
    pub(crate) fn range(self, count: usize) -> std::ops::Range<usize> {
        let at = |page: u64| {
            let entities = page.saturating_mul(self.size);
            usize::try_from(entities).unwrap_or(usize::MAX).min(count)
        };
        at(self.number - 1)..at(self.number)
    }

    /// How many pages a list of `count` has.
    pub(crate) fn pages(self, count: usize) -> u64 {
        (count as u64).div_ceil(self.size)
    }
}

impl Key {
    fn compare(&self, other: &Self, reversed: bool) -> Ordering {
        let rank = |key: &Self| match key {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::Missing => 2,
        };
        let missing = |key: &Self| matches!(key, Self::Missing);
        let order = match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => rank(self).cmp(&rank(other)),
        };
        if reversed && !missing(self) && !missing(other) {
            order.reverse()
        } else {
            order
        }
    }
}

// === reading ===

fn read_searches(value: &str) -> Result<Vec<(Place, Vec<String>)>, String> {
    let each = value.split(',').filter(|part| !part.trim().is_empty());
    each.map(|part| {
        let (place, texts) = part
            .split_once(':')
            .ok_or_else(|| format!("{part} is not <field>:<text>"))?;
        let texts = texts.split('|').map(str::to_lowercase);
        Ok((Place::read(place.trim())?, texts.collect()))
    })
    .collect()
}

fn read_sorts(value: &str) -> Result<Vec<(Place, bool)>, String> {
    let each = value.split(',').filter(|part| !part.trim().is_empty());
    each.map(|part| {
        let (place, reversed) = match part.rsplit_once(':') {
            None => (part, false),
            Some((place, "false")) => (place, false),
            Some((place, "true")) => (place, true),
            Some((_, other)) => {
                return Err(format!("{other} is not true (reversed) or false"));
            }
        };
        Ok((Place::read(place.trim())?, reversed))
    })
    .collect()
}

fn read_fields(value: &str) -> Result<Vec<Place>, String> {
    let each = value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    each.map(Place::read).collect()
}

fn read_count(value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(count) if count >= 1 => Ok(count),
        _ => Err(format!("{value:?} is not a whole number from 1")),
    }
}

// === matching ===

/// Whether what was found is `value`; for a list, whether an element is.
fn equals(found: &Value, value: &str) -> bool {
    match found {
        Value::String(text) => text == value,
        Value::Array(elements) => elements.iter().any(|element| element_is(element, value)),
        other => plain_is(other, value),
    }
}

fn element_is(element: &Value, value: &str) -> bool {
    match element {
        Value::String(text) => text.contains(value),
        Value::Array(inner) => inner.iter().any(|one| one.as_str() == Some(value)),
        other => plain_is(other, value),
    }
}

fn plain_is(found: &Value, value: &str) -> bool {
    match found {
        Value::Bool(found) => value.parse() == Ok(*found),
        Value::Number(number) => {
            number.to_string() == value
                || number
                    .as_f64()
                    .is_some_and(|number| value.parse() == Ok(number))
        }
        _ => false,
    }
}

/// Whether what was found has one of `texts` in it, whatever the case.
fn contains(found: &Value, texts: &[String]) -> bool {
    let has = |text: String| texts.iter().any(|wanted| text.contains(wanted.as_str()));
    match found {
        Value::String(text) => has(text.to_lowercase()),
        Value::Bool(_) | Value::Number(_) => has(found.to_string()),
        Value::Array(elements) => elements.iter().any(|element| contains(element, texts)),
        Value::Null | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::convert::delta::tests::any_value;
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Listing, String> {
        let query: Vec<(String, String)> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Listing::read(&query)
    }

    fn takes(name: &str, value: &str) -> bool {
        let entity = json!({
            "name": "My User API", "enabled": true, "weight": 3, "ratio": 0.5, "none": null,
            "metadata": {"team": "payments"}, "groups": ["default", "admins"], "ports": [80, 443],
        });
        read(&[(name, value)]).unwrap().takes(&entity)
    }

    #[test]
    fn filters_hold_by_the_type_of_what_is_there() {
        for (name, value, expected) in [
            ("filter.name", "My User API", true),
            ("filter.name", "my user api", false),
            ("filter.enabled", "true", true),
            ("filter.enabled", "false", false),
            ("filter.enabled", "maybe", false),
            ("filter.weight", "3", true),
            ("filter.weight", "3.0", true),
            ("filter.weight", "x", false),
            ("filter.ratio", "0.5", true),
            ("filter.metadata.team", "payments", true),
            ("filter./metadata/team", "payments", true),
            ("filter.$.metadata.team", "payments", true),
            ("filter.groups", "admins", true),
            ("filter.groups", "adm", true),
            ("filter.ports", "443", true),
            ("filter.ports", "44", false),
            ("filter.none", "null", false),
            ("filter.metadata", "payments", false),
            ("filter.missing", "", false),
            ("filtered", "name:user", true),
            ("filtered", "name:USER", true),
            ("filtered", "name:nothing|api", true),
            ("filtered", "name:nothing", false),
            ("filtered", "name:user,metadata.team:pay", true),
            ("filtered", "name:user,metadata.team:sales", false),
            ("filtered", "groups:ADMIN", true),
            ("filtered", "missing:x", false),
        ] {
            assert_eq!(takes(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        for (name, value) in [
            ("page", "0"),
            ("page", "-1"),
            ("page", "abc"),
            ("pageSize", "0"),
            ("pageSize", "1.5"),
            ("sorted", "name:maybe"),
            ("filtered", "name"),
            ("fields", "$.["),
            ("filter.$.[", "x"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(
                error.starts_with(&format!("{name}: ")),
                "{name}={value}: {error}"
            );
        }
    }

    fn sorted(sort: &str, mut entities: Vec<Value>) -> Vec<Value> {
        let listing = read(&[("sorted", sort)]).unwrap();
        entities.sort_by(|a, b| listing.compare(&listing.keys(a), &listing.keys(b)));
        entities
    }

    #[test]
    fn the_first_sort_decides_first_and_what_is_missing_is_last() {
        let entity = |name: &str, weight: Value| json!({"name": name, "w": weight});
        let (a, b) = (entity("a", json!(10)), entity("B", json!(9)));
        let (c, d) = (entity("c", Value::Null), entity("d", json!(9)));
        let all = vec![c.clone(), d.clone(), a.clone(), b.clone()];
        for (sort, expected) in [
            ("name", [&a, &b, &c, &d]),
            ("name:false", [&a, &b, &c, &d]),
            ("name:true", [&d, &c, &b, &a]),
            ("w:false,name:true", [&d, &b, &a, &c]),
            ("w:true,name:false", [&a, &b, &d, &c]),
            ("missing:true", [&c, &d, &a, &b]),
        ] {
            let expected: Vec<Value> = expected.into_iter().cloned().collect();
            assert_eq!(sorted(sort, all.clone()), expected, "{sort}");
        }
    }

    #[test]
    fn pages_cover_the_list_without_gap_or_overlap() {
        for (number, size, count, range, pages) in [
            (1, 50, 120, 0..50, 3),
            (3, 50, 120, 100..120, 3),
            (4, 50, 120, 120..120, 3),
            (1, 50, 0, 0..0, 0),
            (u64::MAX, u64::MAX, 120, 120..120, 1),
        ] {
            let page = Page { number, size };
            assert_eq!(page.range(count), range);
            assert_eq!(page.pages(count), pages);
        }
        assert_eq!(read(&[("page", "2")]).unwrap().page, None);
    }

    #[test]
    fn a_projection_shows_what_is_asked_for() {
        let listing = read(&[("fields", "id, frontend.domains,missing")]).unwrap();
        let entity = json!({"id": "r", "name": "n", "frontend": {"domains": [], "exact": true}});
        assert_eq!(
            listing.project(entity),
            json!({"id": "r", "frontend": {"domains": []}})
        );
    }

    proptest! {
        #[test]
        fn comparing_is_an_order(
            entities in proptest::collection::vec(any_value(), 0..12),
            sort in "(a|b|a\\.b)(:true|:false)?(,(c|/a/b))?",
        ) {
            let sorted = sorted(&sort, entities.clone());
            prop_assert_eq!(sorted.len(), entities.len());
        }

        #[test]
        fn no_query_makes_it_panic(name in "(filter\\.)?.{0,12}", value in ".{0,12}",
                                   entity in any_value()) {
            for name in [name.as_str(), "filtered", "sorted", "fields"] {
                if let Ok(listing) = read(&[(name, &value)]) {
                    listing.takes(&entity);
                    listing.keys(&entity);
                    listing.project(entity.clone());
                }
            }
        }
    }
}
