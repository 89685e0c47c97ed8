//! Windows: what one run of the encoder graph reads.

use crate::encode::{Encoded, Token};

/// The tokens of one run, without `[CLS]` and `[SEP]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// At least one, in the order of the text.
    pub tokens: Vec<Token>,
}

/// Packs whole sentences into windows of at most `max_tokens`, `[CLS]` and `[SEP]` included.
///
/// A sentence that is longer by itself is cut before a word; a single word that is longer still, anywhere. Every token lies in exactly one window.
pub fn windows(encoded: Encoded, max_tokens: usize) -> Vec<Window> {
    let room = max_tokens.saturating_sub(2).max(1);
    let mut windows = Vec::new();
    let mut open: Vec<Token> = Vec::new();
    for sentence in encoded.sentences {
        if open.len() + sentence.len() > room {
            close(&mut windows, &mut open);
        }
        let mut rest = sentence.as_slice();
        while rest.len() > room {
            let cut = (1..=room)
                .rev()
                .find(|&at| rest.get(at).is_some_and(|token| token.word))
                .unwrap_or(room);
            // Copied: a vector split in place would keep the room of all that follows, in every window.
            let (head, tail) = rest.split_at(cut);
            windows.push(Window {
                tokens: head.to_vec(),
            });
            rest = tail;
        }
        open.extend_from_slice(rest);
    }
    close(&mut windows, &mut open);
    windows
}

fn close(windows: &mut Vec<Window>, open: &mut Vec<Token>) {
    if !open.is_empty() {
        windows.push(Window {
            tokens: std::mem::take(open),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One token a character: `#` continues a word.
    fn sentence(shape: &str, from: usize) -> Vec<Token> {
        shape
            .chars()
            .enumerate()
            .map(|(i, c)| Token {
                id: 0,
                start: from + i,
                end: from + i + 1,
                word: c != '#',
            })
            .collect()
    }

    #[test]
    fn a_window_takes_no_more_memory_than_its_tokens() {
        let cut = windows(
            Encoded {
                sentences: vec![sentence(&"a".repeat(10_000), 0)],
                unread: Vec::new(),
            },
            32,
        );
        assert!(cut.len() > 300 && cut.iter().all(|w| w.tokens.capacity() <= 64));
    }

    fn lengths(shapes: &[&str], max_tokens: usize) -> Vec<usize> {
        let sentences = shapes.iter().map(|shape| sentence(shape, 0)).collect();
        windows(
            Encoded {
                sentences,
                unread: Vec::new(),
            },
            max_tokens,
        )
        .iter()
        .map(|window| window.tokens.len())
        .collect()
    }

    #[test]
    fn sentences_stay_whole_where_they_fit() {
        assert_eq!(lengths(&["ww", "ww", "ww"], 6), [4, 2]);
        assert_eq!(lengths(&["ww", "wwww", "w"], 6), [2, 4, 1]);
        assert_eq!(lengths(&[], 6), Vec::<usize>::new());
    }

    #[test]
    fn a_long_sentence_is_cut_before_a_word() {
        assert_eq!(lengths(&["www##w"], 6), [2, 4]);
        assert_eq!(lengths(&["w######"], 6), [4, 3]);
        assert_eq!(
            lengths(&["wwwww", "www"], 6),
            [4, 4],
            "the rest shares its window with the next sentence"
        );
    }

    proptest! {
        #[test]
        fn every_token_lies_in_one_window(shapes in prop::collection::vec("[w#]{0,20}", 0..8), max_tokens in 3usize..12) {
            let mut sentences = Vec::new();
            let mut from = 0;
            for shape in &shapes {
                sentences.push(sentence(shape, from));
                from += shape.len();
            }
            let all: Vec<Token> = sentences.concat();
            let windows = windows(Encoded { sentences, unread: Vec::new() }, max_tokens);
            prop_assert!(windows.iter().all(|window| (1..=max_tokens - 2).contains(&window.tokens.len())));
            prop_assert_eq!(windows.into_iter().flat_map(|window| window.tokens).collect::<Vec<_>>(), all);
        }
    }
}
