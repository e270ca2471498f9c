//! Group: some entities that were made one after the other, as one value of the embedded store.
//!
//! A database has its price by the value, and what comes by the million comes in order; so what
//! lies together in age is one value. It begins with a checksum of what follows. An entity in it is
//! its length, its id with its length, the numbers, all in base 128, the least first, and then its
//! packed text.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admin::entity::{Entity, EntityChange, Kind, Text};
use crate::wire::hash;

/// Ages of a group. One that is changed is written whole, so it is to fit into a page.
pub(super) const AGES: u64 = 16;
/// Set in each byte of a number but its last.
const MORE: u8 = 0x80;
/// Bytes of the checksum.
const SUM_BYTES: usize = 8;

/// An entity as the first form of the store had it, each the value of its own key.
#[derive(Deserialize)]
struct First<'t> {
    revision: u64,
    age: u64,
    created_at: u64,
    updated_at: u64,
    #[serde(borrow)]
    value: &'t RawValue,
}

/// Writes into `out` what `stored` is after `changes`, the last of which counts for each id;
/// nothing if no entity is left. None if `stored` has no sense.
pub(super) fn change(
    stored: Option<&[u8]>,
    changes: &[&EntityChange],
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut rest = match stored {
        Some(stored) => checked(stored)?,
        None => &[],
    };
    out.extend_from_slice(&[0; SUM_BYTES]);
    while !rest.is_empty() {
        let whole = rest;
        let mut entity = part(&mut rest)?;
        let id = part(&mut entity)?;
        if !changes.iter().any(|change| change.id().as_bytes() == id) {
            out.extend_from_slice(whole.get(..whole.len() - rest.len())?);
        }
    }
    for (index, change) in changes.iter().enumerate() {
        let later = changes.get(index + 1..).unwrap_or_default();
        let is_last = later.iter().all(|later| later.id() != change.id());
        if let EntityChange::Put(entity) = change
            && is_last
        {
            put(entity, out);
        }
    }
    let (sum, each) = out.split_first_chunk_mut::<SUM_BYTES>()?;
    if each.is_empty() {
        out.clear();
    } else {
        *sum = hash::of(each).to_le_bytes();
    }
    Some(())
}

/// Adds the entities of a group to `out`; none if it has no sense.
pub(super) fn entities(kind: Kind, stored: &[u8], out: &mut Vec<Entity>) -> Option<()> {
    let mut rest = checked(stored)?;
    while !rest.is_empty() {
        let mut entity = part(&mut rest)?;
        let id = std::str::from_utf8(part(&mut entity)?).ok()?.to_owned();
        let (revision, age) = (number(&mut entity)?, number(&mut entity)?);
        let (created_at, later) = (number(&mut entity)?, number(&mut entity)?);
        out.push(Entity {
            kind,
            id,
            revision,
            age,
            created_at,
            updated_at: created_at.wrapping_add(later),
            text: Text::of_packed(entity),
        });
    }
    Some(())
}

/// An entity of the first form; none if it has no sense.
pub(super) fn first(kind: Kind, id: &str, stored: &[u8]) -> Option<Entity> {
    let first: First<'_> = serde_json::from_slice(stored).ok()?;
    Some(Entity {
        kind,
        id: id.to_owned(),
        revision: first.revision,
        age: first.age,
        created_at: first.created_at,
        updated_at: first.updated_at,
        text: first.value.get().into(),
    })
}

/// What follows the checksum, if it is that of it.
fn checked(stored: &[u8]) -> Option<&[u8]> {
    let (sum, each) = stored.split_first_chunk::<SUM_BYTES>()?;
    (*sum == hash::of(each).to_le_bytes()).then_some(each)
}

fn put(entity: &Entity, out: &mut Vec<u8>) {
    let numbers = [
        entity.revision,
        entity.age,
        entity.created_at,
        entity.updated_at.wrapping_sub(entity.created_at),
    ];
    let (id, text) = (entity.id.as_bytes(), entity.text.packed());
    let id_length = id.len() as u64;
    let sizes = numbers.into_iter().chain([id_length]).map(size);
    let size: usize = sizes.sum::<usize>() + id.len() + text.len();
    put_number(size as u64, out);
    put_number(id_length, out);
    out.extend_from_slice(id);
    for number in numbers {
        put_number(number, out);
    }
    out.extend_from_slice(text);
}

/// What a length and so many bytes are, taken off the start of `rest`.
fn part<'r>(rest: &mut &'r [u8]) -> Option<&'r [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= u64::from(MORE) {
        out.push(number as u8 | MORE);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes of a number.
fn size(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & !MORE);
        number |= bits << shift;
        if byte & MORE == 0 {
            return (number >> shift == bits).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(stored: &[u8]) -> Option<Vec<Entity>> {
        let mut read = Vec::new();
        entities(Kind::Route, stored, &mut read).map(|()| read)
    }

    fn step() -> impl Strategy<Value = EntityChange> {
        let number = || prop_oneof![0..300_u64, any::<u64>()];
        let numbers = (number(), number(), number(), number());
        ("[a-c]", numbers, "\\PC{0,200}", any::<bool>()).prop_map(|(id, numbers, text, puts)| {
            let (revision, age, created_at, updated_at) = numbers;
            if !puts {
                let kind = Kind::Route;
                return EntityChange::Remove { kind, id, age };
            }
            EntityChange::Put(Entity {
                kind: Kind::Route,
                id,
                revision,
                age,
                created_at,
                updated_at,
                text: Text::of(&text),
            })
        })
    }

    proptest! {
        #[test]
        fn a_group_is_what_its_changes_left(batches in vec(vec(step(), 0..5), 0..6)) {
            let mut stored: Option<Vec<u8>> = None;
            let mut model = BTreeMap::new();
            for batch in &batches {
                for step in batch {
                    match step {
                        EntityChange::Put(entity) => {
                            model.insert(entity.id.clone(), entity.clone());
                        }
                        EntityChange::Remove { id, .. } => {
                            model.remove(id);
                        }
                    }
                }
                let mut next = Vec::new();
                let steps: Vec<&EntityChange> = batch.iter().collect();
                prop_assert!(change(stored.as_deref(), &steps, &mut next).is_some());
                stored = (!next.is_empty()).then_some(next);
                let mut left = stored.as_deref().map_or_else(Vec::new, |it| read(it).unwrap());
                left.sort_by(|one, other| one.id.cmp(&other.id));
                prop_assert_eq!(&left, &model.values().cloned().collect::<Vec<_>>());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..60), is_whole in any::<bool>()) {
            let sum = hash::of(&bytes).to_le_bytes().into_iter().filter(|_| is_whole);
            let bytes: Vec<u8> = sum.chain(bytes.iter().copied()).collect();
            let known = read(&bytes);
            let mut same = Vec::new();
            match change(Some(&bytes), &[], &mut same) {
                Some(()) => prop_assert!(same == bytes || bytes.len() == SUM_BYTES),
                None => prop_assert!(known.is_none()),
            }
        }

        #[test]
        fn what_is_damaged_is_known(
            text in "\\PC{0,40}", at in any::<prop::sample::Index>(), by in 1..=u8::MAX,
        ) {
            let entity = Entity {
                kind: Kind::Route,
                id: "r".to_owned(),
                revision: 1,
                age: 2,
                created_at: 3,
                updated_at: 4,
                text: Text::of(&text),
            };
            let mut stored = Vec::new();
            change(None, &[&EntityChange::Put(entity)], &mut stored).unwrap();
            let at = at.index(stored.len());
            stored[at] ^= by;
            prop_assert!(read(&stored).is_none());
        }
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let stored = br#"{"revision":3,"age":1,"created_at":5,"updated_at":7,"value":{"id":"r"}}"#;
        let read = first(Kind::Route, "r", stored).unwrap();
        let numbers = (read.revision, read.age, read.created_at, read.updated_at);
        assert_eq!(
            (numbers, read.text.json()),
            ((3, 1, 5, 7), r#"{"id":"r"}"#.into())
        );
    }
}
