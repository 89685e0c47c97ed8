//! What this library is: versions and features.

use std::ffi::c_char;
use std::ptr;
use std::sync::LazyLock;

use super::args::{Text, slice};
use super::guard::guard;

/// Version of the package that this header belongs to: major part of "major.minor.patch".
pub const BIE_VERSION_MAJOR: u32 = 0;
/// Version of the package: minor part.
pub const BIE_VERSION_MINOR: u32 = 1;
/// Version of the package: patch part.
pub const BIE_VERSION_PATCH: u32 = 0;
/// Version of the binary interface: major part. A program runs with a library of the same major version only.
pub const BIE_ABI_MAJOR: u32 = 0;
/// Version of the binary interface: minor part. While the major version is 0, it has to be the same as well; from 1 on,
/// the library's may be newer.
pub const BIE_ABI_MINOR: u32 = 1;

// What bie_has_feature knows.
const FEATURES: [&str; 3] = ["entities", "relations", "explanations"];

/// The version of the binary interface that the loaded library has: `major << 16 | minor`.
///
/// Compare it with `BIE_ABI_MAJOR` and `BIE_ABI_MINOR`, which are the header's, before any other call.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn bie_abi_version() -> u32 {
    BIE_ABI_MAJOR << 16 | BIE_ABI_MINOR
}

/// The version of the loaded library and of the ONNX Runtime it needs, for logs: "0.1.0 (onnxruntime 1.28.0)".
///
/// Returns static memory that ends in NUL; never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn bie_version() -> *const c_char {
    static VERSION: LazyLock<Text> = LazyLock::new(|| Text::new(crate::VERSION));
    unsafe { VERSION.lend(ptr::null_mut()) }
}

/// Whether the loaded library has a feature: 1 or 0. A name that it does not know is 0.
///
/// Names: "entities", "relations", "explanations".
///
/// - `name`, `name_len`: UTF-8 and its length in bytes; borrowed for the call.
///
/// Errors: none; 0 when `name` is NULL. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_has_feature(name: *const c_char, name_len: usize) -> i32 {
    guard(|| {
        let name = unsafe { slice(name.cast::<u8>(), name_len, "name") }?;
        Ok(FEATURES.iter().any(|feature| feature.as_bytes() == name))
    })
    .unwrap_or(false)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn versions_are_those_of_the_package() {
        assert_eq!(
            format!("{BIE_VERSION_MAJOR}.{BIE_VERSION_MINOR}.{BIE_VERSION_PATCH}"),
            env!("CARGO_PKG_VERSION")
        );
        let text = unsafe { CStr::from_ptr(bie_version()) }.to_str().unwrap();
        assert_eq!(
            text,
            format!("{} (onnxruntime 1.28.0)", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(bie_abi_version(), 0x0000_0001);
    }

    #[test]
    fn features() {
        let has = |name: &str| unsafe { bie_has_feature(name.as_ptr().cast(), name.len()) };
        assert_eq!(
            ["relations", "entities", "explanations", "cuda", ""].map(has),
            [1, 1, 1, 0, 0]
        );
        assert_eq!(unsafe { bie_has_feature(std::ptr::null(), 4) }, 0);
    }
}
