//! Options objects: keys and values, checked when they are set.

use std::ffi::c_char;
use std::ptr;

use super::args::{self, string};
use super::error::{bie_error, bie_status, clear, report};
use super::guard::guard;
use crate::{Error, Options, Result};

/// Settings for `bie_engine_open`, `bie_extract` and `bie_explain`. The keys are listed at the top of this header.
///
/// One thread may write, or many may read. The calls that take options copy what they need: the object may be changed
/// or freed when they have returned.
pub struct bie_options(pub(super) Options);

/// Makes options with every key at its default.
///
/// Returns an object to be freed with `bie_options_free`; NULL only after a defect of the library.
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn bie_options_new() -> *mut bie_options {
    guard(|| Ok(Box::into_raw(Box::new(bie_options(Options::new()))))).unwrap_or(ptr::null_mut())
}

/// Sets a key whose value is text or one of several words: "offset_unit" to "utf16".
///
/// - `options`: changed on success only.
/// - `key`, `key_len`, `value`, `value_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`, `BIE_ERR_UNKNOWN_OPTION`; `BIE_ERR_INVALID_ARGUMENT` for a value that the key does not
/// admit or bytes that are not UTF-8. Threads: one at a time for one object. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_options_set_str(
    options: *mut bie_options,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe {
        set(options, key, key_len, err, |options, key| {
            options.set_str(key, string(value, value_len, "value")?)
        })
    }
}

/// Sets a key whose value is an integer: "threads" to 4.
///
/// - `options`: changed on success only.
/// - `key`, `key_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `value`: in the key's range.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: as for `bie_options_set_str`. Threads: one at a time for one object. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_options_set_i64(
    options: *mut bie_options,
    key: *const c_char,
    key_len: usize,
    value: i64,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe {
        set(options, key, key_len, err, |options, key| {
            options.set_i64(key, value)
        })
    }
}

/// Sets a key whose value is a number: "min_score" to 0.5.
///
/// - `options`: changed on success only.
/// - `key`, `key_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `value`: in the key's range; not a NaN.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: as for `bie_options_set_str`. Threads: one at a time for one object. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_options_set_f64(
    options: *mut bie_options,
    key: *const c_char,
    key_len: usize,
    value: f64,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe {
        set(options, key, key_len, err, |options, key| {
            options.set_f64(key, value)
        })
    }
}

/// Frees options. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread uses the object. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_options_free(options: *mut bie_options) {
    unsafe { args::free(options) };
}

/// What the three setters share.
///
/// # Safety
/// Each pointer is NULL or valid; no other thread uses `options`.
unsafe fn set(
    options: *mut bie_options,
    key: *const c_char,
    key_len: usize,
    err: *mut *mut bie_error,
    store: impl FnOnce(&mut Options, &str) -> Result<()>,
) -> bie_status {
    unsafe { clear(err) };
    let outcome = guard(|| {
        let options = unsafe { options.as_mut() }.ok_or(Error::Null("options"))?;
        store(&mut options.0, unsafe { string(key, key_len, "key") }?)
    });
    unsafe { report(err, outcome) }
}
