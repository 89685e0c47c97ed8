//! Entity logits to spans: one BIO tagger for each type, so that types may overlap.

use super::log_softmax;
use crate::encode::Token;

/// Tags in the order of the logits.
const TAGS: usize = 3;
const O: usize = 0;
const B: usize = 1;
const I: usize = 2;

/// A mention in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Index of the entity type.
    pub label: usize,
    /// First token, an index into the window's tokens.
    pub first: usize,
    /// Last token, inclusive.
    pub last: usize,
    /// Geometric mean of the probabilities of the tags along the span, in [0, 1], before calibration.
    pub score: f32,
}

/// Decodes `logits`, `[tokens][types][3]` (O, B, I; the rows of `[CLS]` and `[SEP]` left out), to spans sorted by first token, last token and label.
///
/// For each type the most probable sequence of tags (Viterbi) in which no I follows an O or opens the window. A span is then
/// widened to whole words; spans of one type that meet in a word become one.
pub fn spans(logits: &[f32], tokens: &[Token], types: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    for label in 0..types {
        let log_probabilities = log_probabilities(logits, tokens.len(), types, label);
        collect(
            &viterbi(&log_probabilities),
            &log_probabilities,
            tokens,
            label,
            &mut spans,
        );
    }
    spans.sort_by_key(|span| (span.first, span.last, span.label));
    spans
}

/// The tags whose probabilities make up the score of a span, as (token, tag): those that [`spans`] decodes if it reports this span with
/// this type, else B and then I on every token, which is what it would have to decode.
pub fn path(
    logits: &[f32],
    tokens: &[Token],
    types: usize,
    label: usize,
    first: usize,
    last: usize,
) -> Vec<(usize, usize)> {
    let log_probabilities = log_probabilities(logits, tokens.len(), types, label);
    let tags = viterbi(&log_probabilities);
    let mut found = Vec::new();
    collect(&tags, &log_probabilities, tokens, label, &mut found);
    if found
        .iter()
        .any(|span| (span.first, span.last) == (first, last))
    {
        let inside = tags.iter().copied().enumerate();
        inside
            .filter(|&(at, tag)| (first..=last).contains(&at) && tag != O)
            .collect()
    } else {
        (first..=last)
            .map(|at| (at, if at == first { B } else { I }))
            .collect()
    }
}

/// The score of a path of tags, before calibration.
pub fn path_score(logits: &[f32], types: usize, label: usize, path: &[(usize, usize)]) -> f32 {
    let sum: f32 = path
        .iter()
        .map(|&(at, tag)| {
            let row = logits.get((at * types + label) * TAGS..).unwrap_or(&[]);
            let mut out = [0.0; TAGS];
            log_softmax(row.get(..TAGS).unwrap_or(&[0.0; TAGS]), &mut out);
            out.get(tag).copied().unwrap_or_default()
        })
        .sum();
    (sum / path.len().max(1) as f32).exp().clamp(0.0, 1.0)
}

/// The log-probabilities of the tags of one type.
fn log_probabilities(
    logits: &[f32],
    tokens: usize,
    types: usize,
    label: usize,
) -> Vec<[f32; TAGS]> {
    let row = |row: &[f32]| {
        let mut out = [0.0; TAGS];
        log_softmax(
            row.get(label * TAGS..(label + 1) * TAGS)
                .unwrap_or(&[0.0; TAGS]),
            &mut out,
        );
        out
    };
    logits
        .chunks_exact(types * TAGS)
        .take(tokens)
        .map(row)
        .collect()
}

/// The best tags of one type. Ties go to the lower tag, so the result does not depend on rounding modes or order.
fn viterbi(log_probabilities: &[[f32; TAGS]]) -> Vec<usize> {
    let mut from: Vec<[usize; TAGS]> = Vec::with_capacity(log_probabilities.len());
    let mut best = [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]; // before the window: outside
    for row in log_probabilities {
        let mut next = [f32::NEG_INFINITY; TAGS];
        let mut back = [O; TAGS];
        for (tag, ((next, back), log_probability)) in
            next.iter_mut().zip(&mut back).zip(row).enumerate()
        {
            for (previous, score) in best.iter().enumerate() {
                if !(previous == O && tag == I) && score + log_probability > *next {
                    (*next, *back) = (score + log_probability, previous);
                }
            }
        }
        best = next;
        from.push(back);
    }
    let mut tag = O;
    for (candidate, score) in best.iter().enumerate() {
        if best.get(tag).is_some_and(|most| score > most) {
            tag = candidate;
        }
    }
    let mut tags: Vec<usize> = from
        .iter()
        .rev()
        .map(|back| {
            let here = tag;
            tag = back.get(tag).copied().unwrap_or(O);
            here
        })
        .collect();
    tags.reverse();
    tags
}

/// Tokens tagged as one mention and the sum of their log-probabilities.
struct Run {
    first: usize,
    last: usize,
    log_probability: f32,
    tokens: usize,
}

fn collect(
    tags: &[usize],
    log_probabilities: &[[f32; TAGS]],
    tokens: &[Token],
    label: usize,
    spans: &mut Vec<Span>,
) {
    let mut runs: Vec<Run> = Vec::new();
    for (at, (&tag, row)) in tags.iter().zip(log_probabilities).enumerate() {
        let log_probability = row.get(tag).copied().unwrap_or(0.0);
        match (tag, runs.last_mut()) {
            (B, _) => runs.push(Run {
                first: at,
                last: at,
                log_probability,
                tokens: 1,
            }),
            (I, Some(run)) => {
                run.last = at;
                run.log_probability += log_probability;
                run.tokens += 1;
            }
            _ => {}
        }
    }
    let mut whole: Vec<Run> = Vec::with_capacity(runs.len());
    for mut run in runs {
        run.first = word_start(tokens, run.first);
        run.last = word_end(tokens, run.last);
        match whole.last_mut() {
            Some(before) if run.first <= before.last => {
                before.last = before.last.max(run.last);
                before.log_probability += run.log_probability;
                before.tokens += run.tokens;
            }
            _ => whole.push(run),
        }
    }
    spans.extend(whole.into_iter().map(|run| {
        Span {
            label,
            first: run.first,
            last: run.last,
            score: (run.log_probability / run.tokens as f32)
                .exp()
                .clamp(0.0, 1.0),
        }
    }));
}

fn word_start(tokens: &[Token], mut at: usize) -> usize {
    while at > 0 && tokens.get(at).is_some_and(|token| !token.word) {
        at -= 1;
    }
    at
}

fn word_end(tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at + 1).is_some_and(|token| !token.word) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(words: &[bool]) -> Vec<Token> {
        words
            .iter()
            .enumerate()
            .map(|(i, &word)| Token {
                id: 0,
                start: i,
                end: i + 1,
                word,
            })
            .collect()
    }

    /// Logits of one type in which each token strongly prefers its tag.
    fn logits(tags: &str) -> Vec<f32> {
        tags.chars()
            .flat_map(|tag| {
                "OBI"
                    .chars()
                    .map(move |other| if tag == other { 4.0 } else { 0.0 })
            })
            .collect()
    }

    fn ranges(tags: &str, words: &[bool]) -> Vec<(usize, usize)> {
        spans(&logits(tags), &tokens(words), 1)
            .iter()
            .map(|span| (span.first, span.last))
            .collect()
    }

    #[test]
    fn tags_become_spans() {
        assert_eq!(ranges("OBIOBBO", &[true; 7]), [(1, 2), (4, 4), (5, 5)]);
        assert_eq!(ranges("BI", &[true; 2]), [(0, 1)]);
        assert_eq!(ranges("", &[]), []);
    }

    #[test]
    fn spans_are_whole_words() {
        assert_eq!(ranges("OOBOO", &[true, true, false, false, true]), [(1, 3)]);
        assert_eq!(
            ranges("BBO", &[true, false, true]),
            [(0, 1)],
            "two spans that meet in a word are one"
        );
    }

    #[test]
    fn no_inside_without_a_beginning() {
        // I is the best tag of token 1 by itself; the best sequence pays for it with B before it or gives it up.
        let spans_of = |first: [f32; 3], second: [f32; 3]| {
            spans(&[first, second].concat(), &tokens(&[true, true]), 1)
        };
        assert_eq!(spans_of([5.0, 0.0, 0.0], [0.0, 1.0, 2.0])[0].first, 1);
        assert_eq!(spans_of([1.0, 0.9, 0.0], [0.0, 0.0, 9.0])[0].first, 0);
        assert!(spans_of([5.0, 0.0, 9.0], [5.0, 0.0, 0.0]).is_empty());
    }

    #[test]
    fn the_score_is_the_geometric_mean() {
        let spans = spans(&[0.0, 2.0, 0.0, 0.0, 0.0, 1.0], &tokens(&[true, true]), 1);
        let p = |logit: f32| logit.exp() / (logit.exp() + 2.0);
        assert!((spans[0].score - (p(2.0) * p(1.0)).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn types_may_overlap() {
        let row = |a: [f32; 3], b: [f32; 3]| [a, b].concat();
        let logits = [
            row([0.0, 5.0, 0.0], [5.0, 0.0, 0.0]),
            row([0.0, 0.0, 5.0], [0.0, 5.0, 0.0]),
        ]
        .concat();
        let found: Vec<_> = spans(&logits, &tokens(&[true, true]), 2)
            .iter()
            .map(|span| (span.label, span.first, span.last))
            .collect();
        assert_eq!(found, [(0, 0, 1), (1, 1, 1)]);
    }

    /// Every sequence of tags that obeys the rule, scored one by one.
    fn exhaustive(log_probabilities: &[[f32; 3]]) -> f32 {
        fn walk(rows: &[[f32; 3]], previous: usize) -> f32 {
            let Some((row, rest)) = rows.split_first() else {
                return 0.0;
            };
            (0..3)
                .filter(|&tag| !(previous == O && tag == I))
                .map(|tag| row[tag] + walk(rest, tag))
                .fold(f32::NEG_INFINITY, f32::max)
        }
        walk(log_probabilities, O)
    }

    proptest! {
        #[test]
        fn viterbi_finds_the_best_path(rows in prop::collection::vec(prop::array::uniform3(-5.0f32..5.0), 0..7)) {
            let mut log_probabilities = rows.clone();
            for (row, out) in rows.iter().zip(&mut log_probabilities) {
                log_softmax(row, out);
            }
            let tags = viterbi(&log_probabilities);
            let score: f32 = tags.iter().zip(&log_probabilities).map(|(&tag, row)| row[tag]).sum();
            prop_assert!((score - exhaustive(&log_probabilities)).abs() < 1e-4);
            prop_assert!(tags.first() != Some(&I) && tags.windows(2).all(|pair| pair != [O, I]));
        }

        #[test]
        fn spans_of_a_type_never_overlap(rows in prop::collection::vec((prop::array::uniform3(-5.0f32..5.0), any::<bool>()), 0..20)) {
            let logits: Vec<f32> = rows.iter().flat_map(|row| row.0).collect();
            let tokens = tokens(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
            let spans = spans(&logits, &tokens, 1);
            prop_assert!(spans.windows(2).all(|pair| pair[0].last < pair[1].first));
            for span in spans {
                prop_assert!(span.first == 0 || tokens[span.first].word);
                prop_assert!(tokens.get(span.last + 1).is_none_or(|token| token.word));
                    prop_assert!((0.0..=1.0).contains(&span.score));
                let path = path(&logits, &tokens, 1, 0, span.first, span.last);
                prop_assert!((path_score(&logits, 1, 0, &path) - span.score).abs() < 1e-6);
            }
        }
    }
}
