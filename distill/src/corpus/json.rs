//! JSON with lines: parts are kept as they stand in the file until they are read, so that a defect has a place of its own.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::files::File;
use super::lines::Lines;
use super::{Defect, Source};

/// The JSON of one file.
pub(super) struct Json<'a> {
    file: &'a File,
    lines: Lines,
}

impl<'a> Json<'a> {
    pub(super) fn new(file: &'a File) -> Json<'a> {
        let lines = Lines::new(&file.text);
        Json { file, lines }
    }

    /// Where a part of the file begins.
    pub(super) fn at(&self, part: &str) -> Source {
        let offset = part
            .as_ptr()
            .addr()
            .wrapping_sub(self.file.text.as_ptr().addr());
        self.file.at(self.lines.of(offset))
    }

    /// Reads a part of the file; `what` tells what it should be.
    pub(super) fn read<T: Deserialize<'a>>(&self, part: &'a str, what: &str) -> Result<T, Defect> {
        serde_json::from_str(part).map_err(|e| self.defect(part, &e, what))
    }

    fn defect(&self, part: &str, e: &serde_json::Error, what: &str) -> Defect {
        let mut source = self.at(part);
        // The library quotes values, which may be text of a document; field names are ours.
        let said = e.to_string();
        let missing = said.starts_with("missing field `");
        if !missing {
            source.line += e.line().saturating_sub(1);
        }
        let why = match said.split(" at line ").next() {
            _ if e.is_eof() => "it is cut off",
            _ if e.is_syntax() => "it is not JSON",
            Some(field) if missing => field,
            _ => "a value has the wrong type",
        };
        Defect {
            source,
            why: format!("not {what}: {why}"),
        }
    }

    /// The values of the file, one after another; the last may be a defect.
    pub(super) fn values(&self, what: &str) -> Vec<Result<&'a str, Defect>> {
        let text = self.file.text.as_str();
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let mut values = Vec::new();
        loop {
            match stream.next() {
                Some(Ok(value)) => values.push(Ok(value.get())),
                Some(Err(e)) => {
                    values.push(Err(self.defect(text, &e, what)));
                    return values;
                }
                None => return values,
            }
        }
    }

    /// The lines of the file that are not empty.
    pub(super) fn documents(&self) -> impl Iterator<Item = &'a str> {
        self.file
            .text
            .lines()
            .filter(|line| !line.trim().is_empty())
    }
}
