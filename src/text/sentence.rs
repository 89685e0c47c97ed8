//! Sentence bounds: where a text may be cut into windows without tearing a statement apart.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of `text` after Unicode Standard Annex #29; together they are the whole text.
///
/// The annex also ends a sentence at every line break, which is what the lines of a clinical note want.
pub fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut bounds = text.split_sentence_bounds().scan(0, |end, sentence| {
        *end += sentence.len();
        Some((*end, sentence.chars().next_back().is_none_or(may_end_word)))
    });
    let mut start = 0;
    std::iter::from_fn(move || {
        let (mut end, mut kept) = bounds.next()?;
        while !kept {
            match bounds.next() {
                Some(next) => (end, kept) = next,
                None => break,
            }
        }
        let sentence = start..end;
        start = end;
        Some(sentence)
    })
}

/// Whether the tokenizer, too, parts words after this character: white space and punctuation. The annex also allows a sentence to end in
/// marks that the tokenizer drops or joins to a word (U+0085, ornamental quotes, enclosing marks), and a bound there could cut a word in two.
fn may_end_word(last: char) -> bool {
    const PUNCTUATION: &str = "。．！？｡…‼⁇⁈⁉؟۔।॥”’»」』）";
    (last.is_whitespace() && last != '\u{85}')
        || last.is_ascii_punctuation()
        || PUNCTUATION.contains(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_and_lines_of_a_note_end() {
        assert_eq!(
            split("He had 1.5 mg. Then pain."),
            ["He had 1.5 mg. ", "Then pain."]
        );
        assert_eq!(
            split("Plan:\n- aspirin\n\nStable"),
            ["Plan:\n", "- aspirin\n", "\n", "Stable"]
        );
        assert_eq!(split("a\r\nb"), ["a\r\n", "b"]);
        assert_eq!(split(""), Vec::<&str>::new());
        assert_eq!(split("a\u{85}b"), ["a\u{85}b"]);
    }

    #[test]
    fn no_text_costs_more_than_linear_time() {
        // Linear is a second; quadratic would be hours.
        for unit in [
            ".",
            "a.",
            ". ",
            ".)",
            ". 1",
            "\u{200d}",
            ".\u{200d}",
            "A. (",
            "\r\n",
            "!?",
        ] {
            let started = std::time::Instant::now();
            let text = unit.repeat((1 << 20) / unit.len());
            assert!(sentences(&text).count() > 0);
            assert!(
                started.elapsed().as_secs() < 300,
                "{unit:?} took {:?}",
                started.elapsed()
            );
        }
    }

    proptest! {
        #[test]
        fn sentences_tile_the_text(text in "(\\PC|[.?! \n\r\u{85}\u{275B}a]){0,60}") {
            let mut end = 0;
            for sentence in sentences(&text) {
                prop_assert_eq!(sentence.start, end);
                prop_assert!(sentence.end > sentence.start && text.is_char_boundary(sentence.end));
                end = sentence.end;
            }
            prop_assert_eq!(end, text.len());
        }
    }
}
