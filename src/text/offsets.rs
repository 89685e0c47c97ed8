//! Byte offsets of UTF-8 into the unit that the host counts in.

use crate::text::OffsetUnit;

/// A set of byte offsets of one text and what they are in another unit; built in one pass over the text.
#[derive(Debug)]
pub struct Offsets {
    /// Ascending, without repetition. Empty if bytes and units are the same.
    bytes: Vec<usize>,
    /// The unit counts that belong to `bytes`.
    units: Vec<u32>,
}

impl Offsets {
    /// Converts `offsets` (bytes, any order, repetition allowed), each on a character boundary of `text`.
    ///
    /// The text has at most 2^31 - 1 bytes, so every unit fits.
    pub fn new(text: &str, unit: OffsetUnit, offsets: impl IntoIterator<Item = usize>) -> Self {
        if unit == OffsetUnit::Utf8 || text.is_ascii() {
            return Offsets {
                bytes: Vec::new(),
                units: Vec::new(),
            };
        }
        let mut bytes: Vec<usize> = offsets.into_iter().collect();
        bytes.sort_unstable();
        bytes.dedup();
        let mut units = Vec::with_capacity(bytes.len());
        let (mut from, mut count) = (0, 0);
        for &to in &bytes {
            let part = text.as_bytes().get(from..to).unwrap_or_default();
            count += match unit {
                OffsetUnit::Utf8 => part.len(),
                OffsetUnit::Utf16 => part
                    .iter()
                    .map(|&byte| usize::from(is_start(byte)) + usize::from(byte >= 0xF0))
                    .sum(),
                OffsetUnit::Utf32 => part.iter().filter(|&&byte| is_start(byte)).count(),
            };
            from = to;
            units.push(count as u32);
        }
        Offsets { bytes, units }
    }

    /// The unit count of a byte offset that was given to [`Offsets::new`].
    pub fn get(&self, byte: usize) -> u32 {
        match self.bytes.binary_search(&byte) {
            Ok(at) => self.units.get(at).copied().unwrap_or(byte as u32),
            Err(_) => byte as u32,
        }
    }
}

/// Every byte but the continuation bytes starts a character.
fn is_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &str, unit: OffsetUnit, byte: usize) -> u32 {
        let before = &text[..byte];
        match unit {
            OffsetUnit::Utf8 => before.len() as u32,
            OffsetUnit::Utf16 => before.encode_utf16().count() as u32,
            OffsetUnit::Utf32 => before.chars().count() as u32,
        }
    }

    #[test]
    fn an_emoji_counts_four_two_one() {
        let text = "a😀b";
        for (unit, end) in [
            (OffsetUnit::Utf8, 5),
            (OffsetUnit::Utf16, 3),
            (OffsetUnit::Utf32, 2),
        ] {
            assert_eq!(Offsets::new(text, unit, [5, 1]).get(5), end);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in "(\\PC|\\s|[a-zé漢😀\u{301}\u{0}]){0,80}") {
            let boundaries: Vec<usize> = (0..=text.len()).rev().filter(|&at| text.is_char_boundary(at)).collect();
            for unit in [OffsetUnit::Utf8, OffsetUnit::Utf16, OffsetUnit::Utf32] {
                let offsets = Offsets::new(&text, unit, boundaries.iter().copied());
                for &byte in &boundaries {
                    prop_assert_eq!(offsets.get(byte), naive(&text, unit, byte));
                }
            }
        }
    }
}
