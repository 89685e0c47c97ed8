//! Stopping a call from another thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// A flag that one thread raises and a running call sees. Clones are the same flag. Once raised it stays up.
///
/// Between steps a call asks [`Cancel::check`]; what it cannot look away from (a run of ONNX Runtime) is given to [`Cancel::watch`].
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Default)]
struct Flag {
    raised: AtomicBool,
    watches: Mutex<Watches>,
}

/// What has to be stopped when the flag is raised, by the number of its watch.
#[derive(Default)]
struct Watches {
    next: u64,
    stops: BTreeMap<u64, Stop>,
}

type Stop = Box<dyn FnOnce() + Send>;

impl Cancel {
    /// A flag that is down.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag: calls that watch it end with [`Error::Cancelled`] within 50 ms. From any thread, any number of times.
    pub fn cancel(&self) {
        let stops = {
            let mut watches = self.0.watches();
            self.0.raised.store(true, Ordering::Release);
            std::mem::take(&mut watches.stops)
        };
        // Without the lock: a stop may take its time, or end a watch.
        stops.into_values().for_each(|stop| stop());
    }

    /// Whether the flag is up.
    pub fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// [`Error::Cancelled`] if the flag is up.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Has `stop` called when the flag is raised, on the thread that raises it; at once if it is up already.
    ///
    /// It is called once, or never if the watch is dropped before. One that was under way when the watch was dropped may end after
    /// it, so what it stops must be its own.
    pub fn watch(&self, stop: impl FnOnce() + Send + 'static) -> Watch<'_> {
        let mut watches = self.0.watches();
        // Under the lock the flag cannot be raised unseen: either it is up by now, or `cancel` will find this stop.
        if self.is_cancelled() {
            drop(watches);
            stop();
            return Watch {
                flag: &self.0,
                number: None,
            };
        }
        let number = watches.next;
        watches.next += 1;
        watches.stops.insert(number, Box::new(stop));
        Watch {
            flag: &self.0,
            number: Some(number),
        }
    }
}

impl Flag {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flag")
            .field("raised", &self.raised)
            .finish_non_exhaustive()
    }
}

/// While it lives, raising the flag calls its stop: see [`Cancel::watch`].
#[must_use = "the watch ends when this is dropped"]
#[derive(Debug)]
pub struct Watch<'a> {
    flag: &'a Flag,
    number: Option<u64>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let stop = self.flag.watches().stops.remove(&number);
            drop(stop); // after the lock is gone: it may own anything
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_raised_flag_stays_up_for_all_clones() {
        let cancel = Cancel::new();
        let clone = cancel.clone();
        assert!(!clone.is_cancelled() && clone.check().is_ok());
        cancel.cancel();
        cancel.cancel();
        assert!(clone.is_cancelled() && matches!(clone.check(), Err(Error::Cancelled)));
    }

    #[test]
    fn a_stop_is_called_once_or_never() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = || {
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }
        };
        let cancel = Cancel::new();
        drop(cancel.watch(count()));
        let first = cancel.watch(count());
        let second = cancel.watch(count());
        drop(first);
        cancel.cancel();
        cancel.cancel();
        assert_eq!(calls.load(Ordering::Relaxed), 1, "only the second is left");
        drop(second);
        let late = cancel.watch(count());
        assert_eq!(calls.load(Ordering::Relaxed), 2, "at once");
        drop(late);
        cancel.cancel();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_stop_may_use_the_flag() {
        let cancel = Cancel::new();
        let inner = cancel.clone();
        let watch = cancel.watch(move || {
            assert!(inner.is_cancelled());
            inner.cancel();
            drop(inner.watch(|| {}));
        });
        cancel.cancel();
        drop(watch);
    }

    /// The race that matters: a flag raised while a watch is made is not overlooked, whichever comes first.
    #[test]
    fn no_wake_up_is_lost() {
        const WATCHERS: usize = 4;
        for round in 0..500 {
            let cancel = Cancel::new();
            let start = Barrier::new(WATCHERS + 1);
            let calls = Arc::new(AtomicUsize::new(0));
            let seen = Barrier::new(WATCHERS + 1);
            std::thread::scope(|scope| {
                for _ in 0..WATCHERS {
                    scope.spawn(|| {
                        start.wait();
                        let calls = calls.clone();
                        let _watch = cancel.watch(move || {
                            calls.fetch_add(1, Ordering::Relaxed);
                        });
                        seen.wait(); // by now the flag is up
                    });
                }
                start.wait();
                cancel.cancel();
                seen.wait();
            });
            assert_eq!(calls.load(Ordering::Relaxed), WATCHERS, "round {round}");
        }
    }
}
