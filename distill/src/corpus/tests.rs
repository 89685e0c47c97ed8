//! All formats.

use super::*;

/// A corpus of one file, `x.txt`.
pub(super) fn parse(format: Format, options: &Options, text: &str) -> Result<Corpus> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.txt");
    std::fs::write(&path, text).unwrap();
    read(&path, format, options)
}
