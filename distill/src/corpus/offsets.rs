//! Offsets of corpora, in whatever unit they count, as bytes of a text.

use std::ops::Range;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What a corpus's offsets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Unicode code points.
    #[default]
    CodePoints,
    /// Bytes of the text in UTF-8.
    Bytes,
    /// Units of UTF-16, as JavaScript and Java count.
    Utf16,
}

impl Unit {
    /// All units.
    pub(super) const ALL: [Unit; 3] = [Unit::CodePoints, Unit::Bytes, Unit::Utf16];

    /// The unit in words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Unit::CodePoints => "code points",
            Unit::Bytes => "bytes",
            Unit::Utf16 => "UTF-16 units",
        }
    }

    /// The length of a text.
    pub(super) fn count(self, text: &str) -> usize {
        match self {
            Unit::CodePoints => text.chars().count(),
            Unit::Bytes => text.len(),
            Unit::Utf16 => text.encode_utf16().count(),
        }
    }
}

/// Converts offsets into a text to byte offsets.
pub(crate) struct Offsets {
    unit: Unit,
    /// Byte offset of each unit and the length of the text at the end; nothing within a character.
    bytes: Vec<Option<usize>>,
}

impl Offsets {
    /// Offsets that count code points.
    pub(crate) fn new(text: &str) -> Offsets {
        Offsets::of(text, Unit::CodePoints)
    }

    /// One pass over the text.
    pub(crate) fn of(text: &str, unit: Unit) -> Offsets {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        for (at, character) in text.char_indices() {
            let length = match unit {
                Unit::CodePoints => 1,
                Unit::Bytes => character.len_utf8(),
                Unit::Utf16 => character.len_utf16(),
            };
            bytes.push(Some(at));
            bytes.extend((1..length).map(|_| None));
        }
        bytes.push(Some(text.len()));
        Offsets { unit, bytes }
    }

    /// The byte range of a non-empty range inside the text; otherwise why it is none.
    pub(crate) fn range(
        &self,
        start: usize,
        end: usize,
    ) -> std::result::Result<Range<usize>, String> {
        let unit = self.unit.as_str();
        match (self.bytes.get(start), self.bytes.get(end)) {
            _ if start >= end => Err(format!(
                "the span {start}-{end} is empty; offsets are half-open and count {unit}"
            )),
            (Some(Some(first)), Some(Some(last))) => Ok(*first..*last),
            (Some(_), Some(_)) => Err(format!(
                "the span {start}-{end} cuts a character in two; do its offsets count {unit}?"
            )),
            _ => Err(format!(
                "the span {start}-{end} leaves the text, which has {} {unit}; offsets count {unit} from 0",
                self.bytes.len() - 1
            )),
        }
    }
}

/// Whether two pieces of text are equal but for white space, which formats join fragments with, trim or wrap.
pub(super) fn alike(a: &str, b: &str) -> bool {
    fn solid(text: &str) -> impl Iterator<Item = char> + '_ {
        text.chars().filter(|c| !c.is_whitespace())
    }
    a == b || solid(a).eq(solid(b))
}

/// The range without white space at its ends; empty if it holds nothing else.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let piece = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (piece.len() - piece.trim_start().len());
    start..start + piece.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_are_not_cut() {
        let text = "aµ𝄞b";
        let range = |unit, start, end| Offsets::of(text, unit).range(start, end);
        assert_eq!(range(Unit::CodePoints, 1, 3).unwrap(), 1..7);
        assert_eq!(range(Unit::Utf16, 1, 4).unwrap(), 1..7);
        assert_eq!(range(Unit::Bytes, 1, 7).unwrap(), 1..7);
        for (unit, start, end, why) in [
            (Unit::Utf16, 1, 3, "cuts a character"),
            (Unit::Bytes, 2, 7, "cuts a character"),
            (Unit::Bytes, 3, 9, "leaves the text, which has 8 bytes"),
            (Unit::CodePoints, 2, 2, "is empty"),
        ] {
            assert!(range(unit, start, end).unwrap_err().contains(why), "{why}");
        }
        assert_eq!(Unit::ALL.map(|unit| unit.count(text)), [4, 8, 5]);
    }

    #[test]
    fn white_space_is_ignored_but_nothing_else() {
        assert!(alike("alpha- adrenergic\r", "alpha-adrenergic"));
        assert!(!alike("alpha adrenergics", "alpha adrenergic"));
        assert_eq!(trimmed(" µ \r\nb", 0..5), 1..3);
        assert!(trimmed("  ", 0..2).is_empty());
    }

    proptest! {
        #[test]
        fn code_points_become_the_bytes_of_the_same_characters(text in ".{0,40}", start in 0usize..45, end in 0usize..45) {
            let characters: Vec<char> = text.chars().collect();
            let range = Offsets::new(&text).range(start, end);
            if start < end && end <= characters.len() {
                let expected: String = characters[start..end].iter().collect();
                prop_assert_eq!(&text[range.unwrap()], expected.as_str());
            } else {
                prop_assert!(range.is_err());
            }
        }

        #[test]
        fn every_unit_finds_the_same_piece(head in ".{0,10}", piece in ".{1,10}", tail in ".{0,10}") {
            let text = format!("{head}{piece}{tail}");
            for unit in Unit::ALL {
                let start = unit.count(&head);
                let range = Offsets::of(&text, unit).range(start, start + unit.count(&piece));
                prop_assert_eq!(&text[range.unwrap()], piece.as_str());
            }
        }
    }
}
