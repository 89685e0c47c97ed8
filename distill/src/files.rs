//! Files that are whole or not there: written beside, flushed to the disk, then renamed; and the room for them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Begins the names of files that are not whole yet.
const PARTIAL: &str = ".tmp-";

/// Writes a file: after this the disk has all of it, and whatever happens before, it has the file that was there (or none).
///
/// # Errors
/// The operating system refuses (a full disk); what was there stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes))
}

/// As [`write()`], of what `fill` writes.
///
/// # Errors
/// As [`write()`].
pub fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let partial = partial(path);
    let written = File::create(&partial)
        .and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&partial, path));
    if let Err(source) = written {
        // What is half-written takes the room that the next attempt needs.
        let _ = fs::remove_file(&partial);
        return Err(Error::io("write", path)(source));
    }
    sync_folder(folder_of(path)).map_err(Error::io("flush", path))
}

/// Removes what a killed process has left half-written in a folder. Only for one who knows that nobody writes there.
///
/// # Errors
/// The operating system refuses.
pub fn clear_partial(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".tmp") {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// SHA-256 of a file's bytes, in lower-case hex.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).map_err(Error::io("read", path))? {
            0 => break,
            n => hash.update(chunk.get(..n).unwrap_or_default()),
        }
    }
    Ok(hex(hash))
}

/// As [`sha256`]; of a folder, the SHA-256 of the names and fingerprints of what it holds.
///
/// # Errors
/// Something cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return sha256(path);
    }
    let read = fs::read_dir(path).map_err(Error::io("read", path))?;
    let mut entries: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let mut hash = Sha256::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        hash.update(format!("{}  {name}\n", fingerprint(&entry)?));
    }
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that a person without special rights can still write to the disk of an existing folder. Quotas are not seen.
///
/// # Errors
/// The operating system does not say.
pub fn free(folder: &Path) -> Result<u64> {
    fs4::available_space(folder).map_err(Error::io("ask for the free space of", folder))
}

/// Refuses if the disk of an existing folder has not so many bytes left; where the operating system does not say, it has.
///
/// # Errors
/// [`Error::Environment`]: with what is needed and what is there.
pub fn need(folder: &Path, bytes: u64) -> Result<()> {
    match free(folder) {
        Ok(free) if free < bytes => Err(Error::Environment(format!(
            "{}: checkpoints and bundles need {} MB more on this disk, and {} MB are free; make room, or give another --out",
            folder.display(),
            bytes.div_ceil(1_000_000),
            free / 1_000_000
        ))),
        _ => Ok(()),
    }
}

/// Bytes of all files of a folder and its folders; 0 if there is none.
///
/// # Errors
/// A folder cannot be read.
pub fn size(folder: &Path) -> Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(Error::io("read", folder))?,
    };
    let mut sum = 0;
    for entry in entries.flatten() {
        sum += match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path())?,
            Ok(about) => about.len(),
            Err(_) => 0, // gone meanwhile
        };
    }
    Ok(sum)
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(PARTIAL);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes a folder's entries durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let error = replace(&path, |file| {
            file.write_all(b"thi")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot write ") && error.contains("report.json"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_hash_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        write(&path, b"abc").unwrap();
        let hash = sha256(&path).unwrap();
        assert!(
            hash.starts_with("ba7816bf8f01cfea") && hash.ends_with("f20015ad"),
            "{hash}"
        );
    }

    #[test]
    fn leftovers_go_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        write(&folder.path().join("inner/a"), b"12345").unwrap();
        fs::write(folder.path().join(".tmp-b"), b"123").unwrap();
        assert_eq!(size(folder.path()).unwrap(), 8);
        clear_partial(folder.path()).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 5);
        let free = free(folder.path()).unwrap();
        need(folder.path(), free / 2).unwrap();
        let error = need(folder.path(), u64::MAX).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("MB are free"), "{error}");
    }
}
