//! Panics end here: caught, silent, and turned into [`Error::Panic`].

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::{Error, Result};

thread_local! {
    /// How many guards this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Where the last guarded panic began: "spans.rs:42". Process-wide, as it may have begun on a helper thread of the engine.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// The name that the engine gives its helper threads; what panics there goes on in the caller, under its guard.
const HELPER: &str = "bie";

/// Runs `body`; a panic in it becomes [`Error::Panic`] and prints nothing.
pub(super) fn guard<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    silence();
    let _inside = Inside::enter();
    // Nothing that `body` can have left half-changed is used again: an engine is poisoned, an options object is only
    // written by whole keys, results are built before they are handed out.
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Error::Panic))
}

/// Where the last guarded panic began, once. Our own file and line, never a panic's text: that text might hold a piece
/// of the document.
pub(super) fn take_place() -> Option<String> {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Marks what a panic has left in an unknown state, so that later calls are refused.
#[derive(Default)]
pub(super) struct Poison(AtomicBool);

impl Poison {
    /// [`guard`], refused after an earlier panic under the same mark.
    pub(super) fn guard<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.0.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let outcome = guard(body);
        if matches!(outcome, Err(Error::Panic)) {
            self.0.store(true, Ordering::Release);
        }
        outcome
    }
}

struct Inside;

impl Inside {
    fn enter() -> Inside {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Wraps the panic hook, once: panics under a guard are recorded instead of printed, all others go to the hook that
/// was there before. A host that links libbie.so has no Rust panics of ours to see, and a Rust host's own keep its hook.
fn silence() {
    static ONCE: Once = Once::new();
    // The hook cannot be changed by a thread that is panicking (a Rust host that calls bie from a destructor).
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let inside = DEPTH.try_with(Cell::get).unwrap_or(0) > 0;
            if inside || std::thread::current().name() == Some(HELPER) {
                remember(info);
            } else {
                previous(info);
            }
        }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|location| {
        // The file's name only: its folder is that of the machine which built the library.
        let file = location
            .file()
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default();
        format!("{file}:{}", location.line())
    });
    *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn passes_values_and_errors_through() {
        assert_eq!(guard(|| Ok(7)).unwrap(), 7);
        assert!(matches!(
            guard::<()>(|| Err(Error::Null("text"))),
            Err(Error::Null("text"))
        ));
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        let outcome = guard::<()>(|| guard(|| panic!("patient text")));
        assert!(matches!(outcome, Err(Error::Panic)));
        let place = take_place().unwrap();
        assert!(
            place.starts_with("guard.rs:") && !place.contains("patient"),
            "{place}"
        );
        assert_eq!(DEPTH.with(Cell::get), 0);
    }

    #[test]
    fn poison_refuses_after_a_panic_and_only_then() {
        let mark = Poison::default();
        assert!(matches!(
            mark.guard::<()>(|| Err(Error::OutOfMemory)),
            Err(Error::OutOfMemory)
        ));
        assert_eq!(mark.guard(|| Ok(1)).unwrap(), 1);
        assert!(matches!(mark.guard::<()>(|| panic!()), Err(Error::Panic)));
        assert!(matches!(mark.guard(|| Ok(1)), Err(Error::Poisoned)));
    }

    /// What the child below prints is what a host would see on its stderr.
    #[test]
    fn only_panics_under_a_guard_are_silent() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ffi::guard::tests::child",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{stderr}");
        assert!(!stderr.contains("of ours"), "{stderr}");
        assert!(stderr.contains("of the host"), "{stderr}");
    }

    #[test]
    #[ignore = "run by only_panics_under_a_guard_are_silent"]
    fn child() {
        assert!(guard::<()>(|| panic!("a panic of ours")).is_err());
        let helper = std::thread::Builder::new().name(HELPER.into());
        assert!(
            helper
                .spawn(|| panic!("a helper's panic of ours"))
                .unwrap()
                .join()
                .is_err()
        );
        assert!(
            std::thread::spawn(|| panic!("a panic of the host"))
                .join()
                .is_err()
        );
    }
}
