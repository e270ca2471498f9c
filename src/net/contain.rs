//! A task whose panic ends it and nothing else: unwinding through the runtime would end the core.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::spawn;

/// Starts a task on this core, as [`spawn`] does; `on_panic` is told with what it panicked.
pub fn spawn_contained(
    task: impl Future<Output = ()> + 'static,
    on_panic: impl Fn(&(dyn Any + Send)) + 'static,
) {
    spawn(Contained { task, on_panic });
}

/// Not an `async` block, which would hold the task and a pointer to it: each connection has the
/// memory of this.
struct Contained<T, P> {
    task: T,
    on_panic: P,
}

impl<T: Future<Output = ()>, P: Fn(&(dyn Any + Send))> Future for Contained<T, P> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the task is not moved out, and pinned as long as this is; there is no `Drop`.
        let itself = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let task = unsafe { Pin::new_unchecked(&mut itself.task) };
        catch_unwind(AssertUnwindSafe(|| task.poll(context))).unwrap_or_else(|panic| {
            (itself.on_panic)(&*panic);
            Poll::Ready(())
        })
    }
}
