//! The store against a plain map: what it finds is right, and it never has more than it may.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::store::CHANGES;
use super::{ENTRY_BYTES, Entry, Kept, Key, Kind, Region, Store};

const KEYS: u8 = 12;

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, bytes: usize, life: u64 },
    Find { key: u8 },
    Wait { ms: u64 },
    DropAll { region: bool },
    Change { key: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0..KEYS, 0..6_000_usize, 1..50_u64);
    prop_oneof![
        4 => put.prop_map(|(key, bytes, life)| Step::Put { key, bytes, life }),
        4 => (0..KEYS).prop_map(|key| Step::Find { key }),
        1 => (1..30_u64).prop_map(|ms| Step::Wait { ms }),
        1 => any::<bool>().prop_map(|region| Step::DropAll { region }),
        1 => (0..KEYS).prop_map(|key| Step::Change { key }),
    ]
}

fn store(bytes: u64) -> Arc<Store> {
    Store::new(bytes, 1, Box::new(|_| {}))
}

fn key<'k>(store: &Store, bytes: &'k [u8]) -> Key<'k> {
    store.key(bytes, bytes)
}

fn kept(body: Vec<u8>) -> Kind {
    Kind::Whole(Kept {
        status: 200,
        text: Box::default(),
        validators: 0..0,
        tag: None,
        modified: None,
        born: 0,
        body: body.into(),
    })
}

/// Keeps `body`; says whether there was room.
fn put(
    store: &Store,
    region: &Arc<Region>,
    name: &[u8],
    body: Vec<u8>,
    now: u64,
    until: u64,
) -> bool {
    let began = store.begin(region, key(store, name).uri());
    let Some(held) = store.take(body.len() + ENTRY_BYTES, now) else {
        return false;
    };
    store.put(
        Entry::new(name, began, kept(body), (until, until), held),
        now,
    );
    true
}

fn find(store: &Store, region: &Region, name: &[u8], now: u64) -> Option<Vec<u8>> {
    let body = |entry: &Arc<Entry>| entry.whole().map(|kept| kept.body.to_vec());
    store.find(&key(store, name), region, now, body).flatten()
}

/// What should be found: the body, until when, and of which region.
type Model = HashMap<u8, (Vec<u8>, u64)>;

/// Runs the steps on a store of `most` bytes. With `roomy` nothing is ever lost.
fn run(steps: &[Step], most: u64, roomy: bool) -> Result<(), TestCaseError> {
    let store = store(most);
    let regions = [Arc::new(Region::default()), Arc::new(Region::default())];
    let of = |key: u8| &regions[usize::from(key % 2)];
    let mut model = Model::new();
    let mut now = 0;
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Put { key, bytes, life } => {
                let body = vec![number as u8; bytes];
                let done = put(&store, of(key), &[key], body.clone(), now, now + life);
                prop_assert_eq!(done, (bytes + ENTRY_BYTES) as u64 <= most);
                if done {
                    prop_assert_eq!(find(&store, of(key), &[key], now), Some(body.clone()));
                    model.insert(key, (body, now + life));
                }
            }
            Step::Find { key } => {
                let found = find(&store, of(key), &[key], now);
                let known = model.get(&key).filter(|(_, until)| now < *until);
                let known = known.map(|(body, _)| body.clone());
                if roomy || found.is_some() {
                    prop_assert_eq!(found, known);
                }
            }
            Step::Wait { ms } => now += ms,
            Step::DropAll { region } => {
                regions[usize::from(region)].drop_all();
                model.retain(|key, _| key % 2 != u8::from(region));
            }
            Step::Change { key: changed } => {
                let counter = |of: u8| key(&store, &[of]).uri() as usize & (CHANGES - 1);
                store.change(key(&store, &[changed]).uri());
                // Those that share its counter go with it.
                model.retain(|other, _| counter(*other) != counter(changed));
            }
        }
        prop_assert!(store.bytes() <= most, "{} of {most}", store.bytes());
    }
    // Everything is given back.
    let used = store.bytes();
    prop_assert!((used == 0) == (store.entries() == 0));
    Ok(())
}

proptest! {
    #[test]
    fn what_is_found_is_what_was_put(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps, 1 << 20, true)?;
    }

    #[test]
    fn under_pressure_nothing_wrong_is_found(
        steps in prop::collection::vec(step(), 1..80),
        most in 600..12_000_u64,
    ) {
        run(&steps, most, false)?;
    }
}

#[test]
fn what_is_used_stays_longer_than_what_is_not() {
    let store = store(20 * (1_000 + ENTRY_BYTES as u64));
    let region = Arc::new(Region::default());
    let most = store.bytes() + 20 * (1_000 + ENTRY_BYTES as u64);
    assert!(put(&store, &region, b"used", vec![1; 1_000], 0, 1_000));
    for number in 0..200_u16 {
        assert!(find(&store, &region, b"used", 0).is_some(), "at {number}");
        assert!(put(
            &store,
            &region,
            &number.to_be_bytes(),
            vec![2; 1_000],
            0,
            1_000
        ));
        assert!(store.bytes() <= most);
    }
    assert_eq!(store.entries(), 20);
}

#[test]
fn bytes_count_as_long_as_somebody_reads_them() {
    let store = store(4_000);
    let region = Arc::new(Region::default());
    assert!(put(&store, &region, b"a", vec![1; 3_000], 0, 1_000));
    let reading = store.find(&key(&store, b"a"), &region, 0, Arc::clone);
    assert!(!put(&store, &region, b"b", vec![2; 3_000], 0, 1_000));
    assert!(find(&store, &region, b"a", 0).is_none(), "it had to go");
    drop(reading);
    assert_eq!((store.bytes(), store.entries()), (0, 0));
    assert!(put(&store, &region, b"b", vec![2; 3_000], 0, 1_000));
}

/// Several threads put and read the same few keys: each finds what belongs to its key, and never
/// anything of a generation that was dropped before it looked.
#[test]
fn threads_find_nothing_that_was_dropped() {
    let store = store(40_000);
    let region = Arc::new(Region::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = |seed: u8| {
            let (store, region, stop) = (&store, &region, &stop);
            move || {
                let mut number = seed;
                while !stop.load(Ordering::Relaxed) {
                    number = number.wrapping_mul(5).wrapping_add(1);
                    let name = [number % 64];
                    let generation = region.generation();
                    let began = store.begin(region, key(store, &name).uri());
                    let Some(held) = store.take(1_000 + ENTRY_BYTES, 0) else {
                        continue;
                    };
                    let mut body = generation.to_be_bytes().to_vec();
                    body.extend([number % 64; 900]);
                    store.put(Entry::new(&name, began, kept(body), (9, 9), held), 0);
                }
            }
        };
        scope.spawn(writer(3));
        scope.spawn(writer(8));
        for round in 0..20_000_u32 {
            if round % 100 == 0 {
                region.drop_all();
            }
            let before = region.generation();
            let name = [round as u8 % 64];
            if let Some(body) = find(&store, &region, &name, 0) {
                let generation = u64::from_be_bytes(body[..8].try_into().unwrap());
                // A writer may have read an older number just before the entry was begun.
                assert!(generation <= before && body[8..].iter().all(|byte| *byte == name[0]));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(store.bytes() <= 40_000);
}
