//! The coarse clock of a core, and the streams that it ends when their time is up.
//!
//! A timer per wait costs 4 % of a request; one number per stream, looked through twenty times a
//! second, costs nothing. A stream whose time is up is shut down, so that whoever waits on it gets
//! an end or an error, and finds [`Deadline::has_passed`] as the reason.

use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use super::stream::Stream;

/// How often the clock ticks: no deadline is kept more exactly than this.
pub const TICK: Duration = Duration::from_millis(50);

const NEVER: u64 = u64::MAX;

/// All deadlines of one core.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// Ticks since the core started.
    now: Cell<u64>,
    /// When each place is due, in ticks; dense, so that looking through it is one sweep.
    due: RefCell<Vec<u64>>,
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Place {
    stream: Option<Rc<Stream>>,
    manner: Manner,
    passed: bool,
    /// Whose wait is in vain once this stream is broken.
    dependent: Option<Rc<Stream>>,
}

/// How a stream is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    /// Both directions.
    Wholly,
    /// An answer can still be sent.
    Receiving,
    /// The same, and nothing is lost if it ends sooner.
    Idle,
}

impl Manner {
    fn directions(self) -> Shutdown {
        match self {
            Self::Wholly => Shutdown::Both,
            Self::Receiving | Self::Idle => Shutdown::Read,
        }
    }
}

/// Ticks between two looks for streams that broke while nothing was received from them.
const LOOK_TICKS: u64 = 10;

/// The deadline of one stream; dropping it lets go of the stream.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    place: usize,
    /// What its place says, if nothing depends on the stream: most waits change only the time.
    said: Cell<Option<Manner>>,
}

impl Deadlines {
    /// The present tick.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The tick that lies `ms` milliseconds ahead, rounded up; 0 is never.
    #[inline]
    pub fn after(&self, ms: u64) -> u64 {
        match ms {
            0 => NEVER,
            _ => self
                .now
                .get()
                .saturating_add(ms.div_ceil(TICK.as_millis() as u64))
                .saturating_add(1),
        }
    }

    /// Watches a stream, at first without an end.
    pub fn watch(self: &Rc<Self>, stream: Rc<Stream>) -> Deadline {
        let place = Place {
            stream: Some(stream),
            manner: Manner::Wholly,
            passed: false,
            dependent: None,
        };
        let free = self.free.borrow_mut().pop();
        let index = match free {
            Some(index) => {
                self.places.borrow_mut()[index] = place;
                self.due.borrow_mut()[index] = NEVER;
                index
            }
            None => {
                self.places.borrow_mut().push(place);
                self.due.borrow_mut().push(NEVER);
                self.due.borrow().len() - 1
            }
        };
        Deadline {
            all: self.clone(),
            place: index,
            said: Cell::new(Some(Manner::Wholly)),
        }
    }

    /// One tick later: ends every stream whose time is up.
    pub fn tick(&self) {
        let now = self.now.get() + 1;
        self.now.set(now);
        let mut due = self.due.borrow_mut();
        for (index, at) in due.iter_mut().enumerate().filter(|(_, at)| **at <= now) {
            *at = NEVER;
            self.end(index);
        }
        drop(due);
        if now.is_multiple_of(LOOK_TICKS) {
            self.end_dependents_of_broken();
        }
    }

    fn end_dependents_of_broken(&self) {
        for place in self.places.borrow().iter() {
            if let (Some(stream), Some(dependent)) = (&place.stream, &place.dependent)
                && stream.is_broken()
            {
                dependent.shut(Shutdown::Both);
            }
        }
    }

    /// Ends every stream that only waits for a next request.
    pub fn end_idle(&self) {
        let count = self.places.borrow().len();
        for index in 0..count {
            if self.places.borrow()[index].manner == Manner::Idle {
                self.end(index);
            }
        }
    }

    /// Ends every stream.
    pub fn end_all(&self) {
        let count = self.places.borrow().len();
        (0..count).for_each(|index| self.end(index));
    }

    fn end(&self, index: usize) {
        let mut places = self.places.borrow_mut();
        let place = &mut places[index];
        if let Some(stream) = &place.stream {
            place.passed = true;
            stream.shut(place.manner.directions());
        }
    }
}

impl Deadline {
    /// Sets the time, in milliseconds from now (0: none), after which both directions end.
    #[inline]
    pub fn set(&self, ms: u64) {
        self.set_at(self.all.after(ms));
    }

    /// Sets the tick after which both directions end.
    #[inline]
    pub fn set_at(&self, tick: u64) {
        self.put(tick, Manner::Wholly);
    }

    /// Sets the time after which receiving ends; an answer can still be sent. `idle` says that
    /// nothing is lost if it ends sooner.
    #[inline]
    pub fn set_receiving(&self, ms: u64, idle: bool) {
        let manner = if idle {
            Manner::Idle
        } else {
            Manner::Receiving
        };
        self.put(self.all.after(ms), manner);
    }

    /// Takes the deadline away; nothing is received for now. Should the stream break meanwhile,
    /// `dependent` is ended: whoever waits on that waits for nobody.
    #[inline]
    pub fn suspend(&self, dependent: &Rc<Stream>) {
        self.clear();
        self.all.places.borrow_mut()[self.place].dependent = Some(dependent.clone());
        self.said.set(None);
    }

    /// Takes the deadline away.
    #[inline]
    pub fn clear(&self) {
        self.put(NEVER, Manner::Wholly);
    }

    /// Whether the stream was ended by the clock.
    #[inline]
    pub fn has_passed(&self) -> bool {
        self.all.places.borrow()[self.place].passed
    }

    #[inline]
    fn put(&self, tick: u64, manner: Manner) {
        self.all.due.borrow_mut()[self.place] = tick;
        if self.said.get() != Some(manner) {
            self.say(manner);
        }
    }

    fn say(&self, manner: Manner) {
        let place = &mut self.all.places.borrow_mut()[self.place];
        place.manner = manner;
        place.dependent = None;
        self.said.set(Some(manner));
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.all.due.borrow_mut()[self.place] = NEVER;
        let place = &mut self.all.places.borrow_mut()[self.place];
        (place.stream, place.dependent) = (None, None);
        self.all.free.borrow_mut().push(self.place);
    }
}
