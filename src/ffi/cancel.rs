//! Ending a call from another thread.

use std::ptr;

use super::args;
use super::guard::guard;
use crate::Cancel;

/// A flag that ends calls from another thread. One may serve any number of calls; once raised it stays up.
pub struct bie_cancel(pub(super) Cancel);

/// Makes a flag that is down.
///
/// Returns an object to be freed with `bie_cancel_free`; NULL only after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn bie_cancel_new() -> *mut bie_cancel {
    guard(|| Ok(Box::into_raw(Box::new(bie_cancel(Cancel::new()))))).unwrap_or(ptr::null_mut())
}

/// Raises a flag and returns at once: every running call that was given it ends within 50 milliseconds with
/// `BIE_ERR_CANCELLED`, every later one at once. NULL is allowed and nothing.
///
/// Errors: none. Threads: any, any number of times, but not from a signal handler. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_cancel_raise(cancel: *const bie_cancel) {
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        let _ = guard(|| {
            cancel.0.cancel();
            Ok(())
        });
    }
}

/// Frees a flag. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no call that was given it is running. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_cancel_free(cancel: *mut bie_cancel) {
    unsafe { args::free(cancel) };
}
