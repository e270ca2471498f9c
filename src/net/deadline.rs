//! The coarse clock of a core, and the streams that it ends when their time is up.
//!
//! A timer per wait costs 4 % of a request; one number per stream, looked through twenty times a
//! second, costs nothing. A stream whose time is up is shut down, so that whoever waits on it gets
//! an end or an error, and finds [`Deadline::has_passed`] as the reason. Whoever waits for a next
//! request is first told to rest, that is, to wait on without a buffer (see `rest`).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::stream::Stream;

/// How often the clock ticks: no deadline is kept more exactly than this.
pub const TICK: Duration = Duration::from_millis(50);

/// Ticks of silence after which a wait for a next request goes on without a buffer. A connection
/// that is used more often than that never pays for it; one that is used less would find its buffer
/// gone from the cache anyway.
pub const REST_TICKS: u64 = 6;

/// The same in milliseconds.
pub const REST_MS: u64 = REST_TICKS * TICK.as_millis() as u64;

/// Waits that are told to rest in one tick: a few microseconds each. The others follow.
const RESTS_PER_TICK_MAX: usize = 256;

const NEVER: u64 = u64::MAX;

/// All deadlines of one core.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// Whether waits are told to rest.
    rests: bool,
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
    /// The task that waits on the stream, to be told to rest.
    waker: Option<Waker>,
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
    /// Not yet: the task is told to rest, and sets the time that is left.
    Resting,
}

impl Manner {
    fn directions(self) -> Shutdown {
        match self {
            Self::Wholly => Shutdown::Both,
            Self::Receiving | Self::Idle | Self::Resting => Shutdown::Read,
        }
    }
}

/// Ticks between two looks for streams that broke while nothing was received from them.
const LOOK_TICKS: u64 = 10;

/// The deadline of one stream; dropping it lets go of the stream.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    /// Half a word: each connection has the memory of it.
    place: u32,
    /// What its place says, if nothing depends on the stream: most waits change only the time.
    said: Cell<Option<Manner>>,
    /// Whether there is a task to be told to rest.
    rests: Cell<bool>,
}

impl Deadlines {
    /// No deadlines yet. `rests` says whether waits for a next request are told to rest. There is
    /// room for `expected` streams: memory that is not touched before, but need not be moved when
    /// many come, and leaves none behind that nobody uses.
    pub fn new(rests: bool, expected: usize) -> Self {
        Self {
            rests,
            due: Vec::with_capacity(expected).into(),
            places: Vec::with_capacity(expected).into(),
            ..Self::default()
        }
    }

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
            waker: None,
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
            // Fewer than there can be descriptors.
            place: index as u32,
            said: Cell::new(Some(Manner::Wholly)),
            rests: Cell::new(false),
        }
    }

    /// One tick later: ends every stream whose time is up, or tells who waits on it to rest.
    pub fn tick(&self) {
        let now = self.now.get() + 1;
        self.now.set(now);
        let mut told = 0;
        let mut due = self.due.borrow_mut();
        for (index, at) in due.iter_mut().enumerate().filter(|(_, at)| **at <= now) {
            let place = &mut self.places.borrow_mut()[index];
            if place.manner != Manner::Resting {
                *at = NEVER;
                place.end();
            } else if told < RESTS_PER_TICK_MAX {
                *at = NEVER;
                told += 1;
                place.waker.iter().for_each(Waker::wake_by_ref);
            }
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
        let mut places = self.places.borrow_mut();
        let idle = |place: &&mut Place| matches!(place.manner, Manner::Idle | Manner::Resting);
        places.iter_mut().filter(idle).for_each(Place::end);
    }

    /// Ends every stream.
    pub fn end_all(&self) {
        self.places.borrow_mut().iter_mut().for_each(Place::end);
    }
}

impl Place {
    fn end(&mut self) {
        if let Some(stream) = &self.stream {
            self.passed = true;
            stream.shut(self.manner.directions());
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

    /// Sets the time after which receiving ends; an answer can still be sent.
    #[inline]
    pub fn set_receiving(&self, ms: u64) {
        self.put(self.all.after(ms), Manner::Receiving);
    }

    /// The same, where nothing is lost if it ends sooner: between two requests.
    #[inline]
    pub fn set_idle(&self, ms: u64) {
        self.put(self.all.after(ms), Manner::Idle);
    }

    /// The same, but the task is told to rest first, if it has asked for that and `ms` is not over
    /// before. It is to go on with [`Deadline::set_idle`] and what is left then.
    #[inline]
    pub fn set_resting(&self, ms: u64) {
        if self.rests.get() && (ms == 0 || ms > REST_MS) {
            self.put(self.all.now() + REST_TICKS, Manner::Resting);
        } else {
            self.set_idle(ms);
        }
    }

    /// Makes the present task the one that is told to rest.
    pub async fn tell_this_task(&self) {
        if self.all.rests {
            let task = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            self.all.places.borrow_mut()[self.index()].waker = Some(task);
            self.rests.set(true);
        }
    }

    /// Whether the task has been told to rest, in the wait that it is in.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.said.get() == Some(Manner::Resting) && self.all.due.borrow()[self.index()] == NEVER
    }

    /// Takes the deadline away; nothing is received for now. Should the stream break meanwhile,
    /// `dependent` is ended: whoever waits on that waits for nobody.
    #[inline]
    pub fn suspend(&self, dependent: &Rc<Stream>) {
        self.clear();
        self.all.places.borrow_mut()[self.index()].dependent = Some(dependent.clone());
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
        self.all.places.borrow()[self.index()].passed
    }

    #[inline]
    fn put(&self, tick: u64, manner: Manner) {
        self.all.due.borrow_mut()[self.index()] = tick;
        if self.said.get() != Some(manner) {
            self.say(manner);
        }
    }

    #[inline]
    fn index(&self) -> usize {
        self.place as usize
    }

    fn say(&self, manner: Manner) {
        let place = &mut self.all.places.borrow_mut()[self.index()];
        place.manner = manner;
        place.dependent = None;
        self.said.set(Some(manner));
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.all.due.borrow_mut()[self.index()] = NEVER;
        let place = &mut self.all.places.borrow_mut()[self.index()];
        (place.stream, place.dependent, place.waker) = (None, None, None);
        self.all.free.borrow_mut().push(self.index());
    }
}
