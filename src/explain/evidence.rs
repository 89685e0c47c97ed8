//! From weights to pieces of the text that a person can read.

use std::ops::Range;

/// Pieces of each kind at most: what a reader takes in at a glance.
const PIECES: usize = 3;

/// A word is evidence from this part of the heaviest word's weight on, whichever way that one speaks. Where one word decides, the noise
/// around it (usually below a tenth of it) stays out, and a decision that nothing speaks against gets no evidence against it; where many
/// words carry the decision evenly, all of them stay in.
const SHARE: f64 = 0.2;

/// Evidence: ranges of word indices, heaviest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// At most three pieces with positive weights.
    pub supporting: Vec<Range<usize>>,
    /// At most three pieces with negative weights.
    pub opposing: Vec<Range<usize>>,
}

/// The pieces of evidence for and against a decision.
///
/// `words`: byte ranges of `text`, in its order, punctuation as words of its own; `weights`: one a word (0 for a word that must not be
/// chosen). Words that weigh enough and stand next to each other are one piece; a mark between them joins them (`drug-induced`,
/// `nausea, vomiting`), unless it ends a sentence or clause or itself speaks as loudly the other way. Marks alone are never a piece, nor
/// its edge. A piece weighs the sum of its words; equal ones stay in the order of the text.
pub fn pieces(text: &str, words: &[Range<usize>], weights: &[f64]) -> Pieces {
    let texts: Vec<&str> = words
        .iter()
        .map(|word| text.get(word.clone()).unwrap_or_default())
        .collect();
    let heaviest = texts
        .iter()
        .zip(weights)
        .filter(|(text, _)| !is_mark(text))
        .fold(0.0, |heaviest: f64, (_, weight)| heaviest.max(weight.abs()));
    let line = Line {
        text,
        words,
        texts,
        threshold: SHARE * heaviest,
    };
    let opposite: Vec<f64> = weights.iter().map(|weight| -weight).collect();
    Pieces {
        supporting: line.heaviest(weights),
        opposing: line.heaviest(&opposite),
    }
}

/// Whether nothing in the word is a letter or a digit.
pub(super) fn is_mark(word: &str) -> bool {
    !word.chars().any(char::is_alphanumeric)
}

struct Line<'a> {
    text: &'a str,
    words: &'a [Range<usize>],
    texts: Vec<&'a str>,
    threshold: f64,
}

impl Line<'_> {
    /// The heaviest pieces of words with positive weights.
    fn heaviest(&self, weights: &[f64]) -> Vec<Range<usize>> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for (index, (text, &weight)) in self.texts.iter().zip(weights).enumerate() {
            if is_mark(text) || weight <= 0.0 || weight < self.threshold {
                continue;
            }
            match pieces.last_mut() {
                Some(last) if self.joined(last.end, index, weights) => last.end = index + 1,
                _ => pieces.push(index..index + 1),
            }
        }
        let sum = |piece: &Range<usize>| -> f64 {
            weights.get(piece.clone()).unwrap_or_default().iter().sum()
        };
        pieces.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        pieces.truncate(PIECES);
        pieces
    }

    /// Whether the piece that ends before word `end` goes on with word `next`.
    fn joined(&self, end: usize, next: usize, weights: &[f64]) -> bool {
        if next == end {
            return self.gap(end).is_some_and(|gap| gap.trim().is_empty());
        }
        let (Some(mark), Some(&weight)) = (self.texts.get(end), weights.get(end)) else {
            return false;
        };
        let (Some(before), Some(after)) = (self.gap(end), self.gap(next)) else {
            return false;
        };
        let ends_clause = mark.contains(['.', ';', ':', '!', '?']);
        next == end + 1
            && is_mark(mark)
            && weight > -self.threshold
            && before.trim().is_empty()
            && after.trim().is_empty()
            && (!ends_clause || before.is_empty() && after.is_empty())
    }

    /// The text between word `index` and the word before it.
    fn gap(&self, index: usize) -> Option<&str> {
        let before = self.words.get(index.checked_sub(1)?)?;
        self.text.get(before.end..self.words.get(index)?.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs of letters and digits, and every other character but white space, as BERT splits.
    fn words(text: &str) -> Vec<Range<usize>> {
        let mut words: Vec<Range<usize>> = Vec::new();
        for (at, c) in text.char_indices() {
            let end = at + c.len_utf8();
            match words.last_mut() {
                Some(last)
                    if c.is_alphanumeric() && last.end == at && !is_mark(&text[last.clone()]) =>
                {
                    last.end = end
                }
                _ if c.is_whitespace() => {}
                _ => words.push(at..end),
            }
        }
        words
    }

    /// The pieces as text; weights by word, 0.01 where none is given.
    fn found(text: &str, given: &[(&str, f64)]) -> (Vec<String>, Vec<String>) {
        let words = words(text);
        let weights: Vec<f64> = words
            .iter()
            .map(|word| {
                given
                    .iter()
                    .find(|(w, _)| *w == &text[word.clone()])
                    .map_or(0.01, |(_, w)| *w)
            })
            .collect();
        let pieces = pieces(text, &words, &weights);
        let show = |ranges: &[Range<usize>]| {
            ranges
                .iter()
                .map(|r| text[words[r.start].start..words[r.end - 1].end].to_string())
                .collect()
        };
        (show(&pieces.supporting), show(&pieces.opposing))
    }

    #[test]
    fn neighbours_are_one_piece_and_the_heaviest_comes_first() {
        let (supporting, opposing) = found(
            "Patients with drug-induced hepatitis after isoniazid did not improve.",
            &[
                ("drug", 0.3),
                ("induced", 0.5),
                ("after", 0.9),
                ("not", -0.4),
                ("with", 0.17),
            ],
        );
        assert_eq!(supporting, ["after", "drug-induced"]); // 0.81 with the hyphen; "with" is below a fifth of 0.9
        assert_eq!(opposing, ["not"]);
    }

    #[test]
    fn marks_join_but_sentences_do_not() {
        let weights = [
            ("nausea", 0.5),
            ("vomiting", 0.5),
            ("rash", 0.5),
            ("Itching", 0.5),
            ("0", 0.5),
            ("5", 0.5),
        ];
        let (supporting, _) = found(
            "Nothing nausea, vomiting then rash. Itching of 0.5 mg",
            &weights,
        );
        assert_eq!(supporting, ["nausea, vomiting", "0.5", "rash"]);
    }

    #[test]
    fn a_mark_that_speaks_the_other_way_parts() {
        let (supporting, opposing) = found("one - two", &[("one", 0.5), ("two", 0.4), ("-", -0.3)]);
        assert_eq!(supporting, ["one", "two"]);
        assert_eq!(opposing, [""; 0]);
    }

    #[test]
    fn marks_alone_are_nothing() {
        let (supporting, opposing) = found(
            "a , b . c",
            &[(",", 0.9), (".", -0.9), ("b", 0.05), ("a", 0.0), ("c", 0.0)],
        );
        assert_eq!((supporting, opposing), (vec!["b".into()], vec![]));
        assert_eq!(
            pieces("...", &[0..1, 1..2, 2..3], &[1.0; 3]),
            Pieces::default()
        );
        assert_eq!(pieces("", &[], &[]), Pieces::default());
        assert_eq!(pieces("a b", &[0..1, 2..3], &[0.0; 2]), Pieces::default());
    }

    #[test]
    fn three_at_most_and_ties_by_position() {
        let (supporting, _) = found(
            "a x b x c x d x e",
            &[("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 1.0), ("e", 3.0)],
        );
        assert_eq!(supporting, ["e", "c", "a"]);
    }

    #[test]
    fn words_that_were_not_read_part() {
        // A word is missing between the two: text that no window held.
        let text = "lead unread poisoning";
        let found = pieces(text, &[0..4, 12..21], &[1.0, 1.0]);
        assert_eq!(found.supporting, [0..1, 1..2]);
    }

    proptest! {
        #[test]
        fn pieces_are_apart_signed_and_edged_by_words(
            text in "[a-c .,;-]{0,30}", seed in proptest::collection::vec(-1.0f64..1.0, 30),
        ) {
            let words = words(&text);
            let weights = &seed[..words.len()];
            let found = pieces(&text, &words, weights);
            for (sign, ranges) in [(1.0, &found.supporting), (-1.0, &found.opposing)] {
                prop_assert!(ranges.len() <= PIECES);
                let sums: Vec<f64> = ranges.iter().map(|r| sign * weights[r.clone()].iter().sum::<f64>()).collect();
                prop_assert!(sums.iter().all(|&sum| sum > 0.0));
                prop_assert!(sums.is_sorted_by(|a, b| a >= b));
                for range in ranges {
                    prop_assert!(!is_mark(&text[words[range.start].clone()]));
                    prop_assert!(!is_mark(&text[words[range.end - 1].clone()]));
                }
            }
            let mut taken = vec![0; words.len()];
            found.supporting.iter().chain(&found.opposing).for_each(|r| taken[r.clone()].iter_mut().for_each(|t| *t += 1));
            prop_assert!(taken.iter().all(|&t| t <= 1));
        }
    }
}
