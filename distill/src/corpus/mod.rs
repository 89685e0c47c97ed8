//! Annotated documents, whatever format they came in: every reader yields [`Document`]s with UTF-8 byte offsets.

use std::fmt;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

pub mod corrected;
pub mod pubtator;

/// Where something was read: for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it.
    pub file: Arc<Path>,
    /// Line, counted from 1.
    pub line: usize,
}

impl Source {
    /// An error at this place.
    pub fn error(&self, why: impl Into<String>) -> Error {
        Error::line(&self.file, self.line, why)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One document with its annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The corpus's own id (a PMID).
    pub id: String,
    /// The whole text; every offset refers to it.
    pub text: String,
    /// Mentions in the order of the file.
    pub mentions: Vec<Mention>,
    /// Document-level relations in the order of the file.
    pub relations: Vec<GoldRelation>,
    /// Where the document begins.
    pub source: Source,
}

/// One annotated mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The corpus's own label.
    pub label: String,
    /// Ids of what is mentioned; empty if the annotators found none, several for a composite mention.
    pub concepts: Vec<String>,
}

/// A relation between two concepts, stated somewhere in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldRelation {
    /// Concept id.
    pub head: String,
    /// Concept id.
    pub tail: String,
    /// The corpus's own label.
    pub label: String,
}

/// What one file held.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Documents in the order of the file, each once.
    pub documents: Vec<Document>,
    /// Documents left out because the same id with the same text came before.
    pub duplicates: usize,
}

/// A whole text file; gzip is recognised by its first bytes, whatever the name.
///
/// # Errors
/// The file cannot be read, is damaged gzip, or is not UTF-8 (the line is named).
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut bytes = fs::read(path).map_err(Error::io("read", path))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .map_err(|e| {
                Error::file(
                    path,
                    format!("the gzip data is damaged ({e}); restore the file from its source"),
                )
            })?;
        bytes = plain;
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = 1 + e
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|b| **b == b'\n')
            .count();
        Error::line(
            path,
            line,
            "the line is not UTF-8; convert the file to UTF-8",
        )
    })
}

/// Converts code-point offsets into a text to byte offsets.
pub(crate) struct CodePoints {
    /// Byte offset of each code point, and the length of the text at the end.
    bytes: Vec<usize>,
}

impl CodePoints {
    /// One pass over the text.
    pub(crate) fn new(text: &str) -> CodePoints {
        CodePoints {
            bytes: text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect(),
        }
    }

    /// Number of code points in the text.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - 1
    }

    /// The byte range of a non-empty code-point range inside the text; otherwise why it is none.
    pub(crate) fn range(
        &self,
        start: usize,
        end: usize,
    ) -> std::result::Result<Range<usize>, String> {
        match (self.bytes.get(start), self.bytes.get(end)) {
            (Some(&first), Some(&last)) if first < last => Ok(first..last),
            _ if start >= end => Err(format!(
                "the span {start}-{end} is empty; offsets are half-open and count code points"
            )),
            _ => Err(format!(
                "the span {start}-{end} leaves the text, which has {} code points; offsets count code points from 0",
                self.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gzip_is_read_as_it_is_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all("öne\ntwo\n".as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        fs::write(&path, &packed).unwrap();
        assert_eq!(read_text(&path).unwrap(), "öne\ntwo\n");
        fs::write(&path, &packed[..packed.len() - 6]).unwrap();
        assert!(
            read_text(&path)
                .unwrap_err()
                .to_string()
                .contains("gzip data is damaged")
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_reported_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, b"one\ntwo\n\xff\n").unwrap();
        assert!(
            read_text(&path)
                .unwrap_err()
                .to_string()
                .ends_with("a.txt:3: the line is not UTF-8; convert the file to UTF-8")
        );
    }

    proptest! {
        #[test]
        fn code_points_become_the_bytes_of_the_same_characters(text in ".{0,40}", start in 0usize..45, end in 0usize..45) {
            let characters: Vec<char> = text.chars().collect();
            let range = CodePoints::new(&text).range(start, end);
            if start < end && end <= characters.len() {
                let expected: String = characters[start..end].iter().collect();
                prop_assert_eq!(&text[range.unwrap()], expected.as_str());
            } else {
                prop_assert!(range.is_err());
            }
        }
    }
}
