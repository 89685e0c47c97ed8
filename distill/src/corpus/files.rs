//! The files of a corpus: one file, a folder or a zip; gzip is recognised by its first bytes, whatever the name.
//!
//! Nothing is unpacked to the disk, and nothing is read past [`LARGEST`]: a file that grows without end when it is unpacked is refused.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Defect, Source};
use crate::error::{Error, Result};

/// Bytes of text that a corpus may have when it is unpacked.
const LARGEST: u64 = 4 << 30;
/// Folders within folders.
const DEEPEST: usize = 32;

/// One text file of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    /// As the user named the corpus, then the path inside it.
    pub(crate) name: Arc<Path>,
    /// The path inside the corpus without extensions; the file's stem if the corpus is this file.
    pub(crate) id: String,
    /// Its text, without a byte order mark.
    pub(crate) text: String,
}

impl File {
    /// A place in the file.
    pub(crate) fn at(&self, line: usize) -> Source {
        Source {
            file: self.name.clone(),
            line,
        }
    }
}

/// All files at `path`, by name; of a folder or a zip those with one of the extensions (`.gz` after it is fine). Hidden files are none of
/// the corpus. A file that is not UTF-8 is a defect.
///
/// # Errors
/// Something cannot be read, is damaged or larger than [`LARGEST`], or there is no such file.
pub(crate) fn files(
    path: &Path,
    extensions: &[&str],
    defects: &mut Vec<Defect>,
) -> Result<Vec<File>> {
    let mut room = LARGEST;
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let wanted = |inner: &Path| {
        let hidden = |part: &std::ffi::OsStr| {
            let part = part.to_string_lossy();
            part.starts_with('.') || part == "__MACOSX"
        };
        let extension = extension(inner);
        !inner.iter().any(hidden) && extensions.iter().any(|e| extension.as_deref() == Some(*e))
    };
    let bytes = if path.is_dir() {
        walk(path, Path::new(""), DEEPEST, &mut |inner| {
            if wanted(inner) {
                let whole = path.join(inner);
                found.push((inner.to_owned(), unpacked(&whole, &mut room)?));
            }
            Ok(())
        })?;
        None
    } else {
        let bytes = raw(path, &mut room)?;
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            unzip(path, bytes, wanted, &mut room, &mut found)?;
            None
        } else {
            Some(gunzip(path, bytes, &mut room)?)
        }
    };
    if let Some(bytes) = bytes {
        let stem = PathBuf::from(path.file_name().unwrap_or_default());
        return Ok(text(path.into(), &stem, bytes, defects)
            .into_iter()
            .collect());
    }
    if found.is_empty() {
        return Err(Error::file(
            path,
            format!("there is no file .{} in it", extensions.join(", .")),
        ));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let file =
        |(inner, bytes): (PathBuf, Vec<u8>)| text(path.join(&inner).into(), &inner, bytes, defects);
    Ok(found.into_iter().filter_map(file).collect())
}

/// A whole text file, plain or gzip.
///
/// # Errors
/// The file cannot be read, is damaged gzip, or is not UTF-8 (the line is named).
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = unpacked(path, &mut LARGEST.clone())?;
    String::from_utf8(bytes).map_err(|e| {
        let (line, why) = not_utf8(&e);
        Error::line(path, line, why)
    })
}

fn not_utf8(e: &std::string::FromUtf8Error) -> (usize, &'static str) {
    let valid = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
    (
        1 + valid.filter(|b| **b == b'\n').count(),
        "the line is not UTF-8; convert the file to UTF-8",
    )
}

fn text(name: Arc<Path>, inner: &Path, bytes: Vec<u8>, defects: &mut Vec<Defect>) -> Option<File> {
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            let id = stem(inner);
            Some(File { name, id, text })
        }
        Err(e) => {
            let (line, why) = not_utf8(&e);
            defects.push(Defect {
                source: Source { file: name, line },
                why: why.to_owned(),
            });
            None
        }
    }
}

/// The extension in lower case, without `.gz`.
fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Some(name.rsplit_once('.')?.1.to_owned())
}

/// The path without extension and `.gz`, with `/`.
fn stem(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let path = parts.join("/");
    let path = path.strip_suffix(".gz").unwrap_or(&path);
    match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') && !stem.is_empty() => stem.to_owned(),
        _ => path.to_owned(),
    }
}

fn walk(
    root: &Path,
    inner: &Path,
    deep: usize,
    visit: &mut impl FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let folder = root.join(inner);
    if deep == 0 {
        return Err(Error::file(
            &folder,
            format!("folders within folders, {DEEPEST} deep"),
        ));
    }
    for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
        let entry = entry.map_err(Error::io("read", &folder))?;
        let inner = inner.join(entry.file_name());
        // A link to a folder is not followed: it might lead back.
        if entry
            .file_type()
            .map_err(Error::io("read", &folder))?
            .is_dir()
        {
            walk(root, &inner, deep - 1, visit)?;
        } else if root.join(&inner).is_file() {
            visit(&inner)?;
        }
    }
    Ok(())
}

fn too_large(path: &Path) -> Error {
    Error::file(
        path,
        format!(
            "it has more than {} GiB of text when it is unpacked; give the corpus in parts",
            LARGEST >> 30
        ),
    )
}

/// Everything that `from` holds, as long as there is room.
fn bounded(path: &Path, from: impl Read, room: &mut u64, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(*room + 1).read_to_end(&mut bytes).map_err(|e| {
        Error::file(
            path,
            format!("the {what} data is damaged ({e}); restore the file from its source"),
        )
    })?;
    *room = room
        .checked_sub(bytes.len() as u64)
        .ok_or_else(|| too_large(path))?;
    Ok(bytes)
}

fn raw(path: &Path, room: &mut u64) -> Result<Vec<u8>> {
    if fs::metadata(path).map_err(Error::io("read", path))?.len() > *room {
        return Err(too_large(path));
    }
    fs::read(path).map_err(Error::io("read", path))
}

fn unpacked(path: &Path, room: &mut u64) -> Result<Vec<u8>> {
    let bytes = raw(path, room)?;
    gunzip(path, bytes, room)
}

fn gunzip(path: &Path, bytes: Vec<u8>, room: &mut u64) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        *room = room.saturating_sub(bytes.len() as u64);
        return Ok(bytes);
    }
    let plain = flate2::read::MultiGzDecoder::new(bytes.as_slice());
    bounded(path, plain, room, "gzip")
}

fn unzip(
    path: &Path,
    bytes: Vec<u8>,
    wanted: impl Fn(&Path) -> bool,
    room: &mut u64,
    found: &mut Vec<(PathBuf, Vec<u8>)>,
) -> Result<()> {
    let damaged = |e: zip::result::ZipError| {
        Error::file(
            path,
            format!(
                "the zip is damaged, encrypted or packed by another method than deflate ({e}); restore it from its source or unpack it"
            ),
        )
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    for n in 0..archive.len() {
        let entry = archive.by_index(n).map_err(damaged)?;
        let inner = entry.enclosed_name().ok_or_else(|| {
            Error::file(
                path,
                "a name in the zip leads out of it; do not trust this file",
            )
        })?;
        if entry.is_dir() || !wanted(&inner) {
            continue;
        }
        let whole = path.join(&inner);
        let bytes = bounded(&whole, entry, room, "zip")?;
        found.push((inner, gunzip(&whole, bytes, room)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(path: &Path) -> Result<Vec<(String, String)>> {
        let read = files(path, &["txt"], &mut Vec::new())?;
        Ok(read.into_iter().map(|f| (f.id, f.text)).collect())
    }

    #[test]
    fn gzip_is_read_as_it_is_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let packed = gzip("öne\ntwo\n".as_bytes());
        fs::write(&path, &packed).unwrap();
        assert_eq!(read_text(&path).unwrap(), "öne\ntwo\n");
        fs::write(&path, &packed[..packed.len() - 6]).unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert!(error.contains("gzip data is damaged"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_reported_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, b"one\ntwo\n\xff\n").unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("a.txt:3: the line is not UTF-8; convert the file to UTF-8"),
            "{error}"
        );
        let mut defects = Vec::new();
        assert!(files(&path, &["txt"], &mut defects).unwrap().is_empty());
        assert_eq!(defects[0].source.line, 3);
    }

    #[test]
    fn a_folder_and_a_zip_hold_the_same_files() {
        let content: [(&str, &[u8]); 5] = [
            ("b/2.txt", b"\xef\xbb\xbftwo"),
            ("a.TXT.gz", &gzip(b"one")),
            ("b/.hidden.txt", b"no"),
            ("__MACOSX/a.txt", b"no"),
            ("b/notes.md", b"no"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        for (name, bytes) in content {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let archive = folder.path().join("tree.zip");
        fs::write(&archive, zipped(&content)).unwrap();
        let expected = [
            ("a".to_owned(), "one".to_owned()),
            ("b/2".to_owned(), "two".to_owned()),
        ];
        assert_eq!(read(&tree).unwrap(), expected);
        assert_eq!(read(&archive).unwrap(), expected);
    }

    #[test]
    fn archives_that_are_damaged_or_lead_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let good = zipped(&[("a.txt", b"some text, some text")]);
        let mut bad = good.clone();
        bad[40] ^= 0x55;
        for (bytes, why) in [
            (&good[..good.len() - 10], "the zip is damaged"),
            (&bad, "data is damaged"),
            (&zipped(&[("../a.txt", b"x")]), "leads out of it"),
            (&zipped(&[("a.md", b"x")]), "there is no file .txt"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let path = Path::new("bomb.gz");
        let packed = gzip(&vec![0; 100_000]);
        let error = gunzip(path, packed.clone(), &mut 99_999).unwrap_err();
        assert!(error.to_string().contains("GiB of text"), "{error}");
        assert_eq!(gunzip(path, packed, &mut 100_000).unwrap().len(), 100_000);
        let bomb = zipped(&[("a.txt", &[b' '; 60_000]), ("b.txt", &[b' '; 60_000])]);
        let mut found = Vec::new();
        let error = unzip(path, bomb, |_| true, &mut 100_000, &mut found).unwrap_err();
        assert!(error.to_string().contains("GiB of text"), "{error}");
    }
}
