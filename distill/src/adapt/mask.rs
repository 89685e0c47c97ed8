//! Which words of a window are hidden, and by what.

use bie::encode::Encoder;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::text::Piece;

/// Ids that masking needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Masks {
    cls: i64,
    sep: i64,
    unknown: u32,
    mask: i64,
    /// Ids of pieces that are no special tokens.
    ordinary: Vec<i64>,
    /// Share of the pieces that are hidden.
    share: f32,
}

/// How a hidden piece looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hide {
    /// 80 % `[MASK]`, 10 % another piece, 10 % as it is (Devlin et al. 2019).
    Mixed,
    /// Always `[MASK]`: for measuring.
    Always,
}

/// A window with hidden words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hidden {
    /// Ids, `[CLS]` and `[SEP]` included.
    pub ids: Vec<i64>,
    /// Where in `ids` something is hidden, ascending.
    pub places: Vec<usize>,
    /// What is hidden there.
    pub targets: Vec<i64>,
    /// Hidden words.
    pub words: usize,
}

impl Masks {
    /// `None`: the vocabulary has no `[MASK]`.
    pub fn new(encoder: &Encoder, share: f32) -> Option<Masks> {
        let special = |token: &str| encoder.special(token);
        let roles: Vec<u32> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .into_iter()
            .filter_map(special)
            .collect();
        Some(Masks {
            cls: encoder.cls().into(),
            sep: encoder.sep().into(),
            unknown: special("[UNK]")?,
            mask: special("[MASK]")?.into(),
            ordinary: (0..encoder.vocabulary_size() as u32)
                .filter(|id| !roles.contains(id))
                .map(i64::from)
                .collect(),
            share,
        })
    }

    /// Hides whole words in random order until their pieces are the share that is asked for, at least one word if there is one. Words of
    /// which the vocabulary knows nothing stay: nobody could find them.
    pub fn hide(&self, window: &[Piece], how: Hide, random: &mut ChaCha8Rng) -> Hidden {
        let mut words: Vec<(usize, usize)> = Vec::new();
        for (at, piece) in window.iter().enumerate() {
            match words.last_mut() {
                Some((_, end)) if !piece.word() => *end = at + 1,
                _ => words.push((at, at + 1)),
            }
        }
        words.retain(|&(from, to)| {
            let mut pieces = window.get(from..to).unwrap_or_default().iter();
            !pieces.any(|piece| piece.id() == self.unknown)
        });
        words.shuffle(random);
        let wanted = (self.share * window.len() as f32).round().max(1.0) as usize;
        let mut hidden = Hidden::default();
        for (from, to) in words {
            if hidden.places.len() >= wanted {
                break;
            }
            hidden.words += 1;
            hidden.places.extend(from + 1..to + 1);
        }
        hidden.places.sort_unstable();
        hidden.ids.push(self.cls);
        hidden
            .ids
            .extend(window.iter().map(|piece| i64::from(piece.id())));
        hidden.ids.push(self.sep);
        for place in &hidden.places {
            let Some(id) = hidden.ids.get_mut(*place) else {
                continue;
            };
            hidden.targets.push(*id);
            let chance = match how {
                Hide::Always => 0,
                Hide::Mixed => random.next_u32() % 10,
            };
            match chance {
                0..=7 => *id = self.mask,
                8 => {
                    let n = random.next_u64() % (self.ordinary.len() as u64).max(1);
                    *id = self.ordinary.get(n as usize).copied().unwrap_or(*id);
                }
                _ => {}
            }
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn masks() -> Masks {
        let mut pieces = "[PAD] [UNK] [CLS] [SEP] [MASK]".to_owned();
        (0..995).for_each(|n| pieces += &format!(" p{n}"));
        let encoder = Encoder::from_vocab(&pieces.replace(' ', "\n"), true).unwrap();
        Masks::new(&encoder, 0.15).unwrap()
    }

    /// Words of one to three pieces; every 50th is unknown.
    fn window(n: u32) -> Vec<Piece> {
        (0..n)
            .flat_map(|word| {
                let id = if word % 50 == 49 { 1 } else { 10 + word % 900 };
                (0..=word % 3).map(move |part| Piece::new(id, part == 0))
            })
            .collect()
    }

    #[test]
    fn whole_words_are_hidden_in_the_shares_of_bert() {
        let (masks, window) = (masks(), window(30_000));
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let hidden = masks.hide(&window, Hide::Mixed, &mut random);
        assert_eq!((hidden.ids[0], *hidden.ids.last().unwrap()), (2, 3));
        let n = hidden.places.len() as f64;
        assert!((n / window.len() as f64 - 0.15).abs() < 0.001);
        let (mut masked, mut other, mut same) = (0, 0, 0);
        let hides = |at: usize| hidden.places.binary_search(&at).is_ok();
        for (place, target) in hidden.places.iter().zip(&hidden.targets) {
            let piece = window[place - 1];
            assert_eq!(*target, i64::from(piece.id()));
            assert_ne!(*target, 1, "an unknown word");
            match hidden.ids[*place] {
                4 => masked += 1,
                id if id == *target => same += 1,
                id => {
                    assert!(id > 4, "no special token");
                    other += 1;
                }
            }
            // The neighbours within the word are hidden, too.
            if !piece.word() {
                assert!(hides(place - 1));
            }
            if window.get(*place).is_some_and(|next| !next.word()) {
                assert!(hides(place + 1));
            }
        }
        for (count, share) in [(masked, 0.8), (other, 0.1), (same, 0.1)] {
            assert!(
                (f64::from(count) / n - share).abs() < 0.02,
                "{count} of {n}"
            );
        }
        let starts = hidden
            .places
            .iter()
            .filter(|p| window[**p - 1].word())
            .count();
        assert_eq!(hidden.words, starts);
        for (at, piece) in window.iter().enumerate() {
            if !hides(at + 1) {
                assert_eq!(hidden.ids[at + 1], i64::from(piece.id()));
            }
        }
        let again = masks.hide(&window, Hide::Mixed, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(again, hidden);
    }

    #[test]
    fn measuring_hides_behind_the_mask_alone_and_short_windows_hide_one_word() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let hidden = masks().hide(&window(2), Hide::Always, &mut random);
        assert_eq!(hidden.words, 1);
        assert!(hidden.places.iter().all(|p| hidden.ids[*p] == 4));
        let unknown = masks().hide(&[Piece::new(1, true)], Hide::Mixed, &mut random);
        assert_eq!((unknown.places.len(), unknown.ids), (0, vec![2, 1, 3]));
    }
}
