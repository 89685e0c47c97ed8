//! What comes in from C, checked before use, and what goes out as memory that C reads.

use std::ffi::c_char;
use std::ptr;

use crate::{Error, Result};

/// The object behind a required pointer.
///
/// # Safety
/// `object` is NULL or valid for reads for `'a`.
pub(super) unsafe fn borrow<'a, T>(object: *const T, name: &'static str) -> Result<&'a T> {
    unsafe { object.as_ref() }.ok_or(Error::Null(name))
}

/// An input array; `(NULL, 0)` is the empty one.
///
/// # Safety
/// `data` is NULL or valid for reads of `len` items for `'a`.
pub(super) unsafe fn slice<'a, T>(
    data: *const T,
    len: usize,
    name: &'static str,
) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::Null(name));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::InvalidArgument(format!(
            "the length of `{name}` is {len}, more than any object can have; pass the length of the data, not a negative number"
        )));
    }
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// A document: UTF-8, which may hold NUL.
///
/// # Safety
/// As for [`slice`].
pub(super) unsafe fn document<'a>(
    data: *const c_char,
    len: usize,
    name: &'static str,
) -> Result<&'a str> {
    let bytes = unsafe { slice(data.cast::<u8>(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|error| Error::InvalidUtf8 {
        at: error.valid_up_to(),
    })
}

/// A short string that is not a document: a key, a value, a path.
///
/// # Safety
/// As for [`slice`].
pub(super) unsafe fn string<'a>(
    data: *const c_char,
    len: usize,
    name: &'static str,
) -> Result<&'a str> {
    let bytes = unsafe { slice(data.cast::<u8>(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        Error::InvalidArgument(format!(
            "`{name}` is not valid UTF-8 at byte {}; pass UTF-8",
            error.valid_up_to()
        ))
    })
}

/// Writes through an output pointer that may be NULL. Never reads what was there: the host need not initialise it.
///
/// # Safety
/// `out` is NULL or valid for writes.
pub(super) unsafe fn put<T>(out: *mut T, value: T) {
    if !out.is_null() {
        unsafe { out.write(value) };
    }
}

/// An array that C reads: NULL when there is nothing, so that no host meets a dangling pointer.
pub(super) fn array<T>(items: &[T]) -> *const T {
    if items.is_empty() {
        ptr::null()
    } else {
        items.as_ptr()
    }
}

/// Drops what [`Box::into_raw`] handed out; NULL is nothing.
///
/// # Safety
/// `object` is NULL or came from [`Box::into_raw`] and is not used again.
pub(super) unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // A destructor that panics must not unwind into the host, and a free function has nowhere to report it.
        let _ = super::guard::guard(|| {
            drop(unsafe { Box::from_raw(object) });
            Ok(())
        });
    }
}

/// Text that C reads by length or up to the NUL after it.
pub(super) struct Text(Box<[u8]>);

impl Text {
    pub(super) fn new(text: &str) -> Text {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Text(bytes.into_boxed_slice())
    }

    /// The first byte; its length without the NUL goes to `len`.
    ///
    /// # Safety
    /// `len` is NULL or valid for writes.
    pub(super) unsafe fn lend(&self, len: *mut usize) -> *const c_char {
        unsafe { put(len, self.0.len().saturating_sub(1)) };
        self.0.as_ptr().cast()
    }
}

/// [`Text::lend`] of what may not be there: NULL and length 0.
///
/// # Safety
/// `len` is NULL or valid for writes.
pub(super) unsafe fn lend(text: Option<&Text>, len: *mut usize) -> *const c_char {
    match text {
        Some(text) => unsafe { text.lend(len) },
        None => {
            unsafe { put(len, 0) };
            ptr::null()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_zero_is_empty_null_and_one_is_an_error() {
        assert!(
            unsafe { slice::<u8>(ptr::null(), 0, "text") }
                .unwrap()
                .is_empty()
        );
        assert!(matches!(
            unsafe { slice::<u8>(ptr::null(), 1, "text") },
            Err(Error::Null("text"))
        ));
        assert!(matches!(
            unsafe { borrow::<u8>(ptr::null(), "engine") },
            Err(Error::Null("engine"))
        ));
    }

    #[test]
    fn a_negative_length_is_refused_before_anything_is_read() {
        let byte = 0u8;
        let error = unsafe { slice(&raw const byte, -1isize as usize, "text") }.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
        let pair = [0u8; 32];
        let error = unsafe { slice(pair.as_ptr().cast::<u128>(), isize::MAX as usize, "texts") }
            .unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
    }

    #[test]
    fn documents_name_the_byte_that_is_wrong() {
        // A surrogate, as UTF-8 forbids it and CESU-8 writes it.
        let text = b"ab\xED\xA0\xBDcd";
        let error = unsafe { document(text.as_ptr().cast(), text.len(), "text") }.unwrap_err();
        assert!(matches!(error, Error::InvalidUtf8 { at: 2 }), "{error}");
        let error = unsafe { string(text.as_ptr().cast(), text.len(), "key") }.unwrap_err();
        assert!(
            error.to_string().contains("`key`") && error.to_string().contains("byte 2"),
            "{error}"
        );
    }

    #[test]
    fn text_carries_its_length_and_a_nul() {
        let text = Text::new("a\0b");
        let mut len = 0;
        let data = unsafe { text.lend(&raw mut len) };
        assert_eq!(len, 3);
        assert_eq!(
            unsafe { std::slice::from_raw_parts(data.cast::<u8>(), 4) },
            b"a\0b\0"
        );
        assert!(unsafe { lend(None, &raw mut len) }.is_null());
        assert_eq!(len, 0);
        assert!(!unsafe { Text::new("").lend(ptr::null_mut()) }.is_null());
    }
}
