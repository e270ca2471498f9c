//! A persistent list of places: a copy shares everything, a change copies one path.
//!
//! A tree with up to 32 places in a page and up to 32 pages or trees below each of its nodes. What
//! is put gets the number of the first free place. Entries lie in their places themselves: whoever
//! has a number is one step from the entry. What nobody else shares is changed in place.

use std::iter::{once, repeat_with};
use std::sync::Arc;

/// Entries by number.
pub(super) struct Pages<T> {
    root: Level<T>,
}

/// A page, or a tree of them.
enum Level<T> {
    /// The bit of each that has no free place is set in `full`. The bits of a number from `shift`
    /// on say which one is meant.
    Node {
        below: Arc<[Self]>,
        full: u32,
        shift: u8,
    },
    /// As many places as were needed, a power of two.
    Page(Arc<[Place<T>]>),
}

/// An entry, or a free place.
type Place<T> = Option<T>;

/// Bits of a number that one level uses.
const LEVEL_BITS: u8 = 5;
/// Places of a page, and levels below a node.
const WIDTH: usize = 1 << LEVEL_BITS;

/// What one level may cost.
const _: () = assert!(size_of::<Level<u8>>() == 24);

// === impl Pages ===

impl<T: Clone> Pages<T> {
    pub(super) fn new() -> Self {
        Self {
            root: Level::new(0),
        }
    }

    /// The entry of a number that was given, if it was not taken out.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let mut level = &self.root;
        loop {
            match level {
                Level::Node { below, shift, .. } => level = below.get(at(number, *shift))?,
                Level::Page(places) => return places.get(at(number, 0))?.as_ref(),
            }
        }
    }

    /// The same, to be replaced or changed.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let mut level = &mut self.root;
        loop {
            match level {
                Level::Node { below, shift, .. } => {
                    level = Arc::make_mut(below).get_mut(at(number, *shift))?;
                }
                Level::Page(places) => {
                    return Arc::make_mut(places).get_mut(at(number, 0))?.as_mut();
                }
            }
        }
    }

    /// The entry, if there is one place only.
    #[inline]
    pub(super) fn only(&self) -> Option<&T> {
        match &self.root {
            Level::Page(places) if places.len() == 1 => places.first()?.as_ref(),
            _ => None,
        }
    }

    /// Adds an entry; gives its number.
    pub(super) fn add(&mut self, entry: T) -> u32 {
        if self.root.is_full() {
            let shift = self.root.shift() + LEVEL_BITS;
            let root = std::mem::replace(&mut self.root, Level::new(0));
            self.root = Level::Node {
                below: Arc::new([root]),
                full: 1,
                shift,
            };
        }
        self.root.add(entry)
    }

    /// Takes the entry of a number out.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.root.take(number)
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut stack = vec![std::slice::from_ref(&self.root).iter()];
        let pages = std::iter::from_fn(move || {
            loop {
                match stack.last_mut()?.next() {
                    Some(Level::Node { below, .. }) => stack.push(below.iter()),
                    Some(Level::Page(places)) => return Some(places),
                    None => drop(stack.pop()),
                }
            }
        });
        pages.flat_map(|places| places.iter().flatten())
    }
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
        }
    }
}

/// Which one below is meant.
#[inline]
fn at(number: u32, shift: u8) -> usize {
    (number >> shift) as usize % WIDTH
}

// === impl Level ===

impl<T: Clone> Level<T> {
    /// An empty one, whose part of a number begins at `shift`.
    fn new(shift: u8) -> Self {
        match shift {
            0 => Self::Page(Arc::default()),
            _ => Self::Node {
                below: Arc::default(),
                full: 0,
                shift,
            },
        }
    }

    fn shift(&self) -> u8 {
        match self {
            Self::Node { shift, .. } => *shift,
            Self::Page(_) => 0,
        }
    }

    /// Whether no place is free.
    fn is_full(&self) -> bool {
        match self {
            Self::Node { full, .. } => *full == u32::MAX,
            Self::Page(places) => places.len() == WIDTH && places.iter().all(Option::is_some),
        }
    }

    /// Adds an entry to one that is not full; gives its number here.
    fn add(&mut self, entry: T) -> u32 {
        match self {
            Self::Node { below, full, shift } => {
                let index = full.trailing_ones();
                if below.len() == index as usize {
                    *below = longer(below, once(Self::new(*shift - LEVEL_BITS)));
                }
                let Some(level) = Arc::make_mut(below).get_mut(index as usize) else {
                    return 0;
                };
                let number = level.add(entry);
                *full |= u32::from(level.is_full()) << index;
                index << *shift | number
            }
            Self::Page(places) => match places.iter().position(Option::is_none) {
                Some(index) => {
                    if let Some(place) = Arc::make_mut(places).get_mut(index) {
                        *place = Some(entry);
                    }
                    index as u32
                }
                None => {
                    let index = places.len();
                    let free = repeat_with(|| None).take(index.saturating_sub(1));
                    *places = longer(places, once(Some(entry)).chain(free));
                    index as u32
                }
            },
        }
    }

    fn take(&mut self, number: u32) -> Option<T> {
        match self {
            Self::Node { below, full, shift } => {
                let index = at(number, *shift);
                let taken = Arc::make_mut(below).get_mut(index)?.take(number)?;
                *full &= !(1 << index);
                Some(taken)
            }
            Self::Page(places) => Arc::make_mut(places).get_mut(at(number, 0))?.take(),
        }
    }
}

impl<T> Clone for Level<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Node { below, full, shift } => Self::Node {
                below: below.clone(),
                full: *full,
                shift: *shift,
            },
            Self::Page(places) => Self::Page(places.clone()),
        }
    }
}

/// `all` with `more` at the end.
fn longer<P: Clone>(all: &Arc<[P]>, more: impl Iterator<Item = P>) -> Arc<[P]> {
    all.iter().cloned().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Puts many, or takes one out.
    fn apply(pages: &mut Pages<u32>, model: &mut BTreeMap<u32, u32>, (puts, at): (bool, u32)) {
        if puts {
            for entry in 0..at % 400 {
                let number = pages.add(entry);
                assert_eq!(model.insert(number, entry), None);
            }
        } else if let Some(number) = model.keys().nth(at as usize % model.len().max(1)).copied() {
            assert_eq!(pages.take(number), model.remove(&number));
            assert!(pages.take(number).is_none() && pages.get(number).is_none());
        }
    }

    fn check(pages: &Pages<u32>, model: &BTreeMap<u32, u32>) {
        let all: Vec<u32> = pages.iter().copied().collect();
        assert!(model.values().copied().eq(all));
        for (number, entry) in model {
            assert_eq!(pages.get(*number), Some(entry));
        }
    }

    proptest! {
        #[test]
        fn numbers_stay_and_copies_are_left_alone(
            before in vec((any::<bool>(), 0..2_000_u32), 0..40),
            after in vec((any::<bool>(), 0..2_000_u32), 0..40),
        ) {
            let (mut pages, mut model) = (Pages::new(), BTreeMap::new());
            before.into_iter().for_each(|step| apply(&mut pages, &mut model, step));
            check(&pages, &model);
            let (copy, copy_model) = (pages.clone(), model.clone());
            after.into_iter().for_each(|step| apply(&mut pages, &mut model, step));
            check(&pages, &model);
            check(&copy, &copy_model);
        }

        #[test]
        fn a_place_that_is_free_is_taken_first(
            count in 1..3_000_u32,
            gone in vec(any::<u32>(), 1..40),
        ) {
            let mut pages = Pages::new();
            for entry in 0..count {
                prop_assert_eq!(pages.add(entry), entry);
            }
            let mut free: Vec<u32> = gone.iter().map(|one| one % count).collect();
            free.sort_unstable();
            free.dedup();
            for number in &free {
                prop_assert!(pages.take(*number).is_some());
            }
            for number in free {
                prop_assert_eq!(pages.add(0), number);
            }
            prop_assert_eq!(pages.add(0), count);
        }
    }
}
