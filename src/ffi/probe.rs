//! The loader probe: where this library lies, and what a file that claims to be ONNX Runtime really is.
//!
//! Both are asked before the runtime is touched for good: a failure later, inside its lazy loading, would take the host down at exit.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of the file that holds this code: libbie, or the program that it is linked into.
pub fn module_dir() -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address may be asked for; `info` is written only on success, and its strings live as long as the module.
    let file = unsafe {
        if libc::dladdr(module_dir as *const c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        if name.is_null() {
            return None;
        }
        Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes())).to_path_buf()
    };
    // For the program itself the loader knows only what the caller named it.
    let file = if file.is_absolute() {
        file
    } else {
        std::env::current_exe().ok()?
    };
    file.parent().map(Path::to_path_buf)
}

/// Opens `path` for good, symbols kept to itself, and returns the version that ONNX Runtime there gives.
///
/// The error says what is wrong with the file. A second look at the same path costs nothing: the loader counts references.
pub fn runtime_version(path: &Path) -> Result<String, String> {
    let c_path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| "the path holds a NUL byte".to_string())?;
    check_complete(path)?;
    // SAFETY: `c_path` is a NUL-terminated string. Opening runs the file's initialisers, as any use of it must.
    let handle = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        // SAFETY: after a failure dlerror gives NULL or a NUL-terminated string that is valid until the next call in this thread.
        let reason = unsafe {
            let message = libc::dlerror();
            if message.is_null() {
                "unknown reason".into()
            } else {
                CStr::from_ptr(message).to_string_lossy().into_owned()
            }
        };
        return Err(format!("it cannot be opened ({reason})"));
    }
    // SAFETY: `handle` is open. A symbol of this name has the type that ONNX Runtime's C API gives it, in every version.
    unsafe {
        let symbol = libc::dlsym(handle, c"OrtGetApiBase".as_ptr());
        if symbol.is_null() {
            libc::dlclose(handle);
            return Err(
                "it is a shared library but not ONNX Runtime (no symbol OrtGetApiBase)".into(),
            );
        }
        let get_api_base: unsafe extern "system" fn() -> *const ort_sys::OrtApiBase =
            std::mem::transmute(symbol);
        let Some(base) = get_api_base().as_ref() else {
            return Err("ONNX Runtime gives no API".into());
        };
        let version = (base.GetVersionString)();
        if version.is_null() {
            return Err("ONNX Runtime gives no version".into());
        }
        let version = CStr::from_ptr(version).to_string_lossy().into_owned();
        // An older runtime would print its refusal of a newer API to stderr, so it is not asked.
        if minor(&version).is_some_and(|minor| minor < ort_sys::ORT_API_VERSION) {
            return Ok(version);
        }
        if (base.GetApi)(ort_sys::ORT_API_VERSION).is_null() {
            return Err(format!(
                "ONNX Runtime {version} does not offer API version {}",
                ort_sys::ORT_API_VERSION
            ));
        }
        Ok(version)
    }
}

/// Refuses a file that is no shared library for this machine, or one that was cut off: the loader maps what the file
/// promises, and the first touch of what is missing kills the process.
fn check_complete(path: &Path) -> Result<(), String> {
    const HEADER: usize = 64; // of ELF for 64 bits; offsets of fields below are from the System V ABI
    const SEGMENT: usize = 56;
    const LOADED: u64 = 1;
    let unread = |error: std::io::Error| format!("it cannot be read ({error})");
    let about = std::fs::metadata(path).map_err(unread)?;
    if !about.is_file() {
        return Err("it is not a file".into()); // a pipe would wait for its writer as soon as it is opened
    }
    let mut file = std::fs::File::open(path).map_err(unread)?;
    let mut header = [0; HEADER];
    let class = [0x7F, b'E', b'L', b'F', 2, 1]; // 64 bits, little endian
    if file.read_exact(&mut header).is_err() || !header.starts_with(&class) {
        return Err("it is not a shared library for this system".into());
    }
    let number = |bytes: &[u8], at: usize, len: usize| -> u64 {
        let field = bytes.get(at..at + len).unwrap_or_default();
        field
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let cut = || "it is cut off; copy it again".to_string();
    let (table, count) = (number(&header, 32, 8), number(&header, 56, 2));
    let mut segments = vec![0; SEGMENT * count as usize];
    file.seek(SeekFrom::Start(table)).map_err(unread)?;
    file.read_exact(&mut segments).map_err(|_| cut())?;
    let loaded = segments
        .chunks_exact(SEGMENT)
        .filter(|segment| number(segment, 0, 4) == LOADED);
    let end = loaded
        .map(|segment| number(segment, 8, 8).saturating_add(number(segment, 32, 8)))
        .max();
    if end.unwrap_or(0) > about.len() {
        Err(cut())
    } else {
        Ok(())
    }
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_is_found() {
        assert_eq!(
            module_dir(),
            std::env::current_exe()
                .unwrap()
                .parent()
                .map(Path::to_path_buf)
        );
    }

    #[test]
    fn what_is_not_onnx_runtime_is_told_apart() {
        let missing = runtime_version(Path::new("/nonexistent/lib.so")).unwrap_err();
        assert!(missing.contains("cannot be read"), "{missing}");
        let libc = loaded("libc.so.6");
        let other = runtime_version(&libc).unwrap_err();
        assert!(other.contains("not ONNX Runtime"), "{other}");
        let nul = runtime_version(Path::new("a\0b")).unwrap_err();
        assert!(nul.contains("NUL"), "{nul}");
    }

    /// Where the loader found a library of this process.
    fn loaded(name: &str) -> PathBuf {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter_map(|line| line.split_whitespace().last())
            .find(|path| path.ends_with(name))
            .unwrap()
            .into()
    }

    #[test]
    fn a_cut_library_is_refused_before_the_loader_maps_it() {
        let dir = tempfile::TempDir::new().unwrap();
        let whole = std::fs::read(loaded("libc.so.6")).unwrap();
        for (length, word) in [
            (0, "not a shared library"),
            (63, "not a shared library"),
            (100, "cut off"),
            (4096, "cut off"),
            (whole.len() / 2, "cut off"),
        ] {
            let path = dir.path().join("cut.so");
            std::fs::write(&path, &whole[..length]).unwrap();
            let refused = runtime_version(&path).unwrap_err();
            assert!(refused.contains(word), "{length}: {refused}");
        }
        let folder = runtime_version(dir.path()).unwrap_err();
        assert!(folder.contains("not a file"), "{folder}");
    }
}
