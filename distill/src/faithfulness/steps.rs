//! Comprehensiveness and sufficiency: what deleting, or keeping, the heaviest words does to a score.

use std::collections::HashMap;

use bie::explain::Game;
use bie::explain::faithfulness::sizes;

use crate::error::Result;

use super::stats;

/// Words and stride of the protocol of explainable medical coding (Edin et al. 2024).
const CODING: (usize, usize) = (100, 2);

/// How many of the heaviest words are deleted for comprehensiveness and kept for sufficiency. Each is a mean over its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Sizes that are deleted.
    pub deleted: Vec<usize>,
    /// Sizes that are kept.
    pub kept: Vec<usize>,
}

impl Steps {
    /// ERASER (DeYoung et al. 2020): 1, 5, 10, 20 and 50 % of the words, rounded up, as the library measures an explanation.
    pub fn eraser(words: usize) -> Steps {
        let sizes = sizes(words).to_vec();
        Steps {
            deleted: sizes.clone(),
            kept: sizes,
        }
    }

    /// Every word, one after the other: the area over the perturbation curve that Edin et al. (2024) normalise. Sufficiency is that of deleting
    /// the lightest first, so both have the same limits.
    pub fn every(words: usize) -> Steps {
        Steps {
            deleted: (1..=words).collect(),
            kept: (0..words).collect(),
        }
    }

    /// Explainable medical coding: of the 100 heaviest words 0, 2, .. 98 are deleted; 100, 98, .. 2 are kept. Fewer where the text is shorter.
    pub fn coding(words: usize) -> Steps {
        let (most, stride) = CODING;
        let up_to = |size: usize| size.min(words);
        Steps {
            deleted: (0..most).step_by(stride).map(up_to).collect(),
            kept: (0..most).step_by(stride).map(|n| up_to(most - n)).collect(),
        }
    }
}

/// The weight of a size in the mean over `sizes`.
pub fn share(sizes: &[usize], size: usize) -> f64 {
    sizes.iter().filter(|s| **s == size).count() as f64 / sizes.len().max(1) as f64
}

/// What an order of the words is worth.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// Mean loss of score when the heaviest words are deleted; higher is better.
    #[serde(rename = "comp")]
    pub comprehensiveness: f64,
    /// Mean loss of score when only they are kept; lower is better.
    #[serde(rename = "suff")]
    pub sufficiency: f64,
}

/// Measures an order (players, heaviest first) of one decision.
///
/// # Errors
/// The game fails.
pub fn measure(
    game: &mut dyn Game,
    decision: usize,
    order: &[usize],
    steps: &Steps,
) -> Result<Measured> {
    let players = game.players();
    let heaviest = |size: usize, present: bool| {
        let mut coalition = vec![!present; players];
        for player in order.iter().take(size) {
            coalition
                .iter_mut()
                .skip(*player)
                .take(1)
                .for_each(|p| *p = present);
        }
        coalition
    };
    let mut coalitions = vec![vec![true; players]];
    coalitions.extend(steps.deleted.iter().map(|size| heaviest(*size, false)));
    coalitions.extend(steps.kept.iter().map(|size| heaviest(*size, true)));
    let decisions = game.decisions();
    let values = game.values(&coalitions)?;
    let mut values = values.iter().skip(decision).step_by(decisions.max(1));
    let score = values.next().copied().unwrap_or(f64::NAN);
    let losses: Vec<f64> = values.map(|value| score - value).collect();
    let (deleted, kept) = losses.split_at(steps.deleted.len().min(losses.len()));
    Ok(Measured {
        comprehensiveness: stats::mean(deleted).unwrap_or_default(),
        sufficiency: stats::mean(kept).unwrap_or_default(),
    })
}

/// What each decision loses when one player is deleted: `[decisions][players]`.
///
/// # Errors
/// The game fails.
pub fn left_out(game: &mut dyn Game) -> Result<Vec<Vec<f64>>> {
    let (players, decisions) = (game.players(), game.decisions());
    let without = |player: usize| (0..players).map(|p| p != player).collect();
    let coalitions: Vec<Vec<bool>> = std::iter::once(vec![true; players])
        .chain((0..players).map(without))
        .collect();
    let values = game.values(&coalitions)?;
    let (all, each) = values.split_at(decisions.min(values.len()));
    Ok(all
        .iter()
        .enumerate()
        .map(|(decision, score)| {
            let column = each.iter().skip(decision).step_by(decisions.max(1));
            column.map(|value| score - value).collect()
        })
        .collect())
}

/// A game that plays no coalition twice: methods agree on many of the words that they delete first.
pub struct Memo<'a> {
    game: &'a mut dyn Game,
    known: HashMap<Vec<bool>, Vec<f64>>,
}

impl<'a> Memo<'a> {
    /// Nothing is known yet.
    pub fn new(game: &'a mut dyn Game) -> Memo<'a> {
        Memo {
            game,
            known: HashMap::new(),
        }
    }
}

impl Game for Memo<'_> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn decisions(&self) -> usize {
        self.game.decisions()
    }

    fn values(&mut self, coalitions: &[Vec<bool>]) -> bie::Result<Vec<f64>> {
        let mut new: Vec<Vec<bool>> = coalitions
            .iter()
            .filter(|c| !self.known.contains_key(*c))
            .cloned()
            .collect();
        new.sort();
        new.dedup();
        if !new.is_empty() {
            let values = self.game.values(&new)?;
            let rows = values.chunks(self.game.decisions().max(1));
            self.known
                .extend(new.into_iter().zip(rows.map(<[f64]>::to_vec)));
        }
        Ok(coalitions
            .iter()
            .filter_map(|coalition| self.known.get(coalition))
            .flatten()
            .copied()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Formula;
    use super::*;

    /// Four words; 0 is worth 0.5, 1 is worth 0.2, the rest nothing; 0.1 remains.
    fn game() -> Formula {
        Formula::new(4, 2, |present, decision| {
            let value =
                0.1 + if present[0] { 0.5 } else { 0.0 } + if present[1] { 0.2 } else { 0.0 };
            if decision == 1 { value } else { 0.0 }
        })
    }

    #[test]
    fn erasers_sizes_round_up_and_are_at_least_one() {
        assert_eq!(Steps::eraser(10).deleted, [1, 1, 1, 2, 5]);
        assert_eq!(Steps::eraser(100).deleted, [1, 5, 10, 20, 50]);
        assert_eq!(Steps::eraser(1).kept, [1, 1, 1, 1, 1]);
        assert_eq!(Steps::eraser(230).deleted, [3, 12, 23, 46, 115]);
    }

    #[test]
    fn codings_sizes_stay_within_the_text() {
        let steps = Steps::coding(250);
        assert_eq!((steps.deleted[0], steps.deleted[49]), (0, 98));
        assert_eq!((steps.kept[0], steps.kept[49]), (100, 2));
        assert_eq!(Steps::coding(30).kept[0], 30);
    }

    /// ERASER on 4 words: sizes 1, 1, 1, 1, 2. Deleting 0, then 0 and 1: (4 · 0.5 + 0.7) / 5. Keeping them: (4 · 0.2 + 0) / 5.
    #[test]
    fn an_order_is_measured_by_hand() {
        let found = measure(&mut game(), 1, &[0, 1, 2, 3], &Steps::eraser(4)).unwrap();
        assert!((found.comprehensiveness - 2.7 / 5.0).abs() < 1e-12);
        assert!((found.sufficiency - 0.8 / 5.0).abs() < 1e-12);
        // Backwards: nothing is lost until half of the words are gone, and those are the wrong ones.
        let found = measure(&mut game(), 1, &[3, 2, 1, 0], &Steps::eraser(4)).unwrap();
        assert!(found.comprehensiveness.abs() < 1e-12);
        assert!((found.sufficiency - 0.7).abs() < 1e-12);
        // Every word: losses 0.5, 0.7, 0.7, 0.7; keeping 0 to 3 words: 0.7, 0.2, 0, 0.
        let found = measure(&mut game(), 1, &[0, 1, 2, 3], &Steps::every(4)).unwrap();
        assert!((found.comprehensiveness - 2.6 / 4.0).abs() < 1e-12);
        assert!((found.sufficiency - 0.9 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn leaving_one_out_is_the_loss_of_each() {
        let losses = left_out(&mut game()).unwrap();
        assert_eq!(losses[0], [0.0; 4]);
        for (found, expected) in losses[1].iter().zip([0.5, 0.2, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_memo_plays_no_coalition_twice() {
        let mut formula = game();
        let played = formula.played.clone();
        let mut memo = Memo::new(&mut formula);
        let (a, b) = (vec![true; 4], vec![false; 4]);
        let first = memo.values(&[a.clone(), b.clone(), a.clone()]).unwrap();
        assert_eq!(first.len(), 6);
        assert_eq!(first[0..2], first[4..6]);
        assert_eq!(played.get(), 2);
        assert_eq!(memo.values(&[b, a]).unwrap()[2..4], first[0..2]);
        assert_eq!(played.get(), 2);
    }
}
