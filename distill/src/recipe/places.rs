//! Where the keys of a recipe stand, for messages.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// What is wrong with a TOML file, at its line.
pub(super) fn toml_error(file: &Path, text: &str, e: &toml::de::Error) -> Error {
    let line = e.span().map_or(1, |span| line_of(text, span.start));
    Error::line(file, line, e.message().replace('\n', "; "))
}

/// Line (from 1) of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// Finds the lines of keys, for messages.
pub(crate) struct Places<'a> {
    pub(crate) file: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) table: &'a DeTable<'a>,
}

impl Places<'_> {
    /// Line of a key; of the nearest table around it if the key is absent.
    pub(crate) fn line(&self, key: &[&str]) -> usize {
        let mut line = 1;
        let Some((first, rest)) = key.split_first() else {
            return line;
        };
        let Some(mut value) = self.table.get(*first) else {
            return line;
        };
        line = line_of(self.text, value.span().start);
        for part in rest {
            let next = match value.get_ref() {
                DeValue::Table(table) => table.get(*part),
                DeValue::Array(array) => part.parse::<usize>().ok().and_then(|n| array.get(n)),
                _ => None,
            };
            match next {
                Some(found) => value = found,
                None => break,
            }
            line = line_of(self.text, value.span().start);
        }
        line
    }

    /// An error at `key` unless `holds`.
    pub(crate) fn need(
        &self,
        key: &[&str],
        holds: bool,
        why: impl FnOnce() -> String,
    ) -> Result<()> {
        if holds {
            Ok(())
        } else {
            Err(Error::line(
                self.file,
                self.line(key),
                format!("{}: {}", key.join("."), why()),
            ))
        }
    }

    /// An error at `key` unless the value lies in `[low, high]`.
    pub(crate) fn range<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &[&str],
        value: T,
        low: T,
        high: T,
    ) -> Result<()> {
        self.need(key, value >= low && value <= high, || {
            format!("{value} is out of range ({low} to {high})")
        })
    }
}
