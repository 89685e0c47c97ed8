//! Status numbers and error objects as C sees them.

use std::ffi::c_char;
use std::ptr;

use super::args::{self, Text};
use super::guard::take_place;
use crate::{Error, Result, Status};

/// What a call came to. 0 is success; 1-99: the caller; 100-199: the bundle; 200-299: ONNX Runtime and the machine; 900
/// and above: a defect of the library. Numbers are never changed or reused; treat one that you do not know as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum bie_status {
    /// Done.
    BIE_OK = 0,
    /// A required pointer is NULL.
    BIE_ERR_NULL = 1,
    /// An argument or an option's value is out of its range or of the wrong type.
    BIE_ERR_INVALID_ARGUMENT = 2,
    /// No option has this key.
    BIE_ERR_UNKNOWN_OPTION = 3,
    /// The text is not UTF-8; the message gives the position of the first wrong byte.
    BIE_ERR_INVALID_UTF8 = 4,
    /// The text is longer than the option `max_text_bytes`.
    BIE_ERR_TEXT_TOO_LONG = 5,
    /// The call's `bie_cancel` was raised.
    BIE_ERR_CANCELLED = 6,
    /// A file of the bundle is missing or cannot be read.
    BIE_ERR_IO = 100,
    /// A file of the bundle is not what it should be.
    BIE_ERR_BUNDLE_FORMAT = 101,
    /// The bundle was written for another version of the library.
    BIE_ERR_BUNDLE_VERSION = 102,
    /// A file of the bundle is truncated or altered: its SHA-256 is not the recorded one.
    BIE_ERR_CHECKSUM = 103,
    /// A graph of the bundle does not have the inputs and outputs that the manifest implies.
    BIE_ERR_MODEL_SHAPE = 104,
    /// The bundle's tokenizer cannot be built.
    BIE_ERR_TOKENIZER = 105,
    /// This processor lacks what ONNX Runtime needs.
    BIE_ERR_CPU = 200,
    /// ONNX Runtime is missing, has the wrong version, or failed.
    BIE_ERR_RUNTIME = 201,
    /// ONNX Runtime reported that memory ran out.
    BIE_ERR_OUT_OF_MEMORY = 202,
    /// A defect of the library was caught; the message gives its place in the source. Please report it.
    BIE_ERR_PANIC = 900,
    /// An earlier `BIE_ERR_PANIC` left this engine unusable: free it and open another.
    BIE_ERR_POISONED = 901,
}

impl From<Status> for bie_status {
    fn from(status: Status) -> bie_status {
        match status {
            Status::Ok => bie_status::BIE_OK,
            Status::Null => bie_status::BIE_ERR_NULL,
            Status::InvalidArgument => bie_status::BIE_ERR_INVALID_ARGUMENT,
            Status::UnknownOption => bie_status::BIE_ERR_UNKNOWN_OPTION,
            Status::InvalidUtf8 => bie_status::BIE_ERR_INVALID_UTF8,
            Status::TextTooLong => bie_status::BIE_ERR_TEXT_TOO_LONG,
            Status::Cancelled => bie_status::BIE_ERR_CANCELLED,
            Status::Io => bie_status::BIE_ERR_IO,
            Status::BundleFormat => bie_status::BIE_ERR_BUNDLE_FORMAT,
            Status::BundleVersion => bie_status::BIE_ERR_BUNDLE_VERSION,
            Status::Checksum => bie_status::BIE_ERR_CHECKSUM,
            Status::ModelShape => bie_status::BIE_ERR_MODEL_SHAPE,
            Status::Tokenizer => bie_status::BIE_ERR_TOKENIZER,
            Status::Cpu => bie_status::BIE_ERR_CPU,
            Status::Runtime => bie_status::BIE_ERR_RUNTIME,
            Status::OutOfMemory => bie_status::BIE_ERR_OUT_OF_MEMORY,
            Status::Panic => bie_status::BIE_ERR_PANIC,
            Status::Poisoned => bie_status::BIE_ERR_POISONED,
        }
    }
}

// For bie_status_name, which takes any number.
const NAMES: [(bie_status, &str); 18] = [
    (bie_status::BIE_OK, "BIE_OK\0"),
    (bie_status::BIE_ERR_NULL, "BIE_ERR_NULL\0"),
    (
        bie_status::BIE_ERR_INVALID_ARGUMENT,
        "BIE_ERR_INVALID_ARGUMENT\0",
    ),
    (
        bie_status::BIE_ERR_UNKNOWN_OPTION,
        "BIE_ERR_UNKNOWN_OPTION\0",
    ),
    (bie_status::BIE_ERR_INVALID_UTF8, "BIE_ERR_INVALID_UTF8\0"),
    (bie_status::BIE_ERR_TEXT_TOO_LONG, "BIE_ERR_TEXT_TOO_LONG\0"),
    (bie_status::BIE_ERR_CANCELLED, "BIE_ERR_CANCELLED\0"),
    (bie_status::BIE_ERR_IO, "BIE_ERR_IO\0"),
    (bie_status::BIE_ERR_BUNDLE_FORMAT, "BIE_ERR_BUNDLE_FORMAT\0"),
    (
        bie_status::BIE_ERR_BUNDLE_VERSION,
        "BIE_ERR_BUNDLE_VERSION\0",
    ),
    (bie_status::BIE_ERR_CHECKSUM, "BIE_ERR_CHECKSUM\0"),
    (bie_status::BIE_ERR_MODEL_SHAPE, "BIE_ERR_MODEL_SHAPE\0"),
    (bie_status::BIE_ERR_TOKENIZER, "BIE_ERR_TOKENIZER\0"),
    (bie_status::BIE_ERR_CPU, "BIE_ERR_CPU\0"),
    (bie_status::BIE_ERR_RUNTIME, "BIE_ERR_RUNTIME\0"),
    (bie_status::BIE_ERR_OUT_OF_MEMORY, "BIE_ERR_OUT_OF_MEMORY\0"),
    (bie_status::BIE_ERR_PANIC, "BIE_ERR_PANIC\0"),
    (bie_status::BIE_ERR_POISONED, "BIE_ERR_POISONED\0"),
];

/// Why a call failed. Immutable: may be read by many threads. Independent of every other object.
pub struct bie_error {
    status: bie_status,
    message: Text,
}

impl bie_error {
    fn new(error: &Error, context: &str) -> bie_error {
        let mut message = format!("{context}{error}");
        if matches!(error, Error::Panic)
            && let Some(place) = take_place()
        {
            message.push_str(&format!(" [{place}]"));
        }
        // A path may hold a line feed; a message is one line.
        let message: String = message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        bie_error {
            status: error.status().into(),
            message: Text::new(&message),
        }
    }
}

/// The end of every call that can fail: the status, and the error object for a host that asked for one.
///
/// # Safety
/// `err` is NULL or valid for writes.
pub(super) unsafe fn report(err: *mut *mut bie_error, outcome: Result<()>) -> bie_status {
    unsafe { report_in(err, "", outcome) }
}

/// [`report`] with words before the message: which of several texts it is about.
///
/// # Safety
/// `err` is NULL or valid for writes.
pub(super) unsafe fn report_in(
    err: *mut *mut bie_error,
    context: &str,
    outcome: Result<()>,
) -> bie_status {
    match outcome {
        Ok(()) => bie_status::BIE_OK,
        Err(error) => {
            let error = bie_error::new(&error, context);
            let status = error.status;
            if !err.is_null() {
                unsafe { args::put(err, Box::into_raw(Box::new(error))) };
            }
            status
        }
    }
}

/// The name of a status number: "BIE_ERR_IO". "BIE_ERR_UNKNOWN" for a number that this library does not have.
///
/// Returns static memory that ends in NUL; never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn bie_status_name(status: i32) -> *const c_char {
    // An i32, not the enum: a host may pass any number, and a Rust enum must hold one of its own.
    let known = NAMES.iter().find(|(known, _)| *known as i32 == status);
    known
        .map_or("BIE_ERR_UNKNOWN\0", |(_, name)| name)
        .as_ptr()
        .cast()
}

/// The status of an error, the same that the failed call returned. `BIE_OK` when `error` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_error_status(error: *const bie_error) -> bie_status {
    unsafe { error.as_ref() }.map_or(bie_status::BIE_OK, |error| error.status)
}

/// What went wrong, where, and what to do: one line of UTF-8 that holds nothing of the document's text.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the error, valid until `bie_error_free`; the empty string when `error` is NULL. Never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_error_message(
    error: *const bie_error,
    len: *mut usize,
) -> *const c_char {
    match unsafe { error.as_ref() } {
        Some(error) => unsafe { error.message.lend(len) },
        None => {
            unsafe { args::put(len, 0) };
            c"".as_ptr()
        }
    }
}

/// Frees an error. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the error. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_error_free(error: *mut bie_error) {
    unsafe { args::free(error) };
}

/// Sets `*err` to NULL on entry.
///
/// # Safety
/// `err` is NULL or valid for writes.
pub(super) unsafe fn clear(err: *mut *mut bie_error) {
    unsafe { args::put(err, ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// What C pins in tests/c/layout.c is what Rust says, number by number, and each has its name.
    #[test]
    fn numbers_are_those_of_the_library() {
        let all = [
            Status::Ok,
            Status::Null,
            Status::InvalidArgument,
            Status::UnknownOption,
            Status::InvalidUtf8,
            Status::TextTooLong,
            Status::Cancelled,
            Status::Io,
            Status::BundleFormat,
            Status::BundleVersion,
            Status::Checksum,
            Status::ModelShape,
            Status::Tokenizer,
            Status::Cpu,
            Status::Runtime,
            Status::OutOfMemory,
            Status::Panic,
            Status::Poisoned,
        ];
        assert_eq!(all.len(), NAMES.len());
        for (status, (code, name)) in all.into_iter().zip(NAMES) {
            assert_eq!(bie_status::from(status), code);
            assert_eq!(code as i32, status as i32);
            assert_eq!(name, format!("{code:?}\0"));
            let found = unsafe { CStr::from_ptr(bie_status_name(code as i32)) };
            assert_eq!(found.to_str().unwrap(), format!("{code:?}"));
        }
        let unknown = unsafe { CStr::from_ptr(bie_status_name(7)) };
        assert_eq!(unknown.to_str().unwrap(), "BIE_ERR_UNKNOWN");
    }

    #[test]
    fn messages_are_one_line_and_carry_their_context() {
        let error = Error::InvalidArgument("a\nb\u{1b}[2J".into());
        let mut err = ptr::null_mut();
        let status = unsafe { report_in(&raw mut err, "text 3: ", Err(error)) };
        assert_eq!(status, bie_status::BIE_ERR_INVALID_ARGUMENT);
        let message = unsafe { CStr::from_ptr(bie_error_message(err, ptr::null_mut())) };
        assert_eq!(message.to_str().unwrap(), "text 3: a b [2J");
        unsafe { bie_error_free(err) };
    }
}
