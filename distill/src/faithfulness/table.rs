//! Every coalition of a short text, and with it the best and the worst that any explanation of it could do.

use bie::explain::Game;

use crate::error::{Error, Result};

use super::steps::{Steps, share};

/// Players of the largest table: 65536 forward passes.
pub const MOST_PLAYERS: usize = 16;

/// Coalitions that are evaluated at once.
const BATCH: usize = 256;

/// The values of all coalitions. It is a [`Game`] itself, so whatever deletes players costs nothing more.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    players: usize,
    decisions: usize,
    /// `[2^players][decisions]`; bit i of the row's number says that player i is present.
    values: Vec<f64>,
}

impl Table {
    /// Plays all coalitions of a game.
    ///
    /// # Errors
    /// The game fails, or has more than [`MOST_PLAYERS`].
    pub fn of(game: &mut dyn Game) -> Result<Table> {
        let (players, decisions) = (game.players(), game.decisions());
        if players > MOST_PLAYERS {
            return Err(Error::Usage(format!(
                "a text of {players} words has too many coalitions to try them all; at most {MOST_PLAYERS} words are possible"
            )));
        }
        let mut values = Vec::with_capacity(decisions << players);
        let all: Vec<usize> = (0..1 << players).collect();
        for rows in all.chunks(BATCH) {
            let coalitions: Vec<Vec<bool>> =
                rows.iter().map(|row| coalition(*row, players)).collect();
            values.extend(game.values(&coalitions)?);
        }
        Ok(Table {
            players,
            decisions,
            values,
        })
    }

    /// What a decision scores in the coalition of this row.
    fn value(&self, row: usize, decision: usize) -> f64 {
        let value = self.values.get(row * self.decisions + decision);
        value.copied().unwrap_or(f64::NAN)
    }

    fn everybody(&self) -> usize {
        (1 << self.players) - 1
    }

    /// Least and greatest (comprehensiveness, sufficiency) that an order of the words can reach.
    pub fn limits(&self, decision: usize, steps: &Steps) -> Limits {
        let all = self.everybody();
        let score = self.value(all, decision);
        Limits {
            comprehensiveness: self.extremes(&steps.deleted, |row| {
                score - self.value(all & !row, decision)
            }),
            sufficiency: self.extremes(&steps.kept, |row| score - self.value(row, decision)),
        }
    }

    /// Least and greatest mean of `gain` along a growing chain of coalitions, taken where it has one of `sizes`.
    ///
    /// The best chain to a coalition goes through the best chain to one of those that lack one of its players, so one pass over the table
    /// finds what the n! orders hold.
    fn extremes(&self, sizes: &[usize], gain: impl Fn(usize) -> f64) -> (f64, f64) {
        let weights: Vec<f64> = (0..=self.players).map(|size| share(sizes, size)).collect();
        let mut reached: Vec<(f64, f64)> = Vec::with_capacity(1 << self.players);
        for row in 0..=self.everybody() {
            let size = row.count_ones() as usize;
            let weight = weights.get(size).copied().unwrap_or_default();
            let here = if weight > 0.0 {
                weight * gain(row)
            } else {
                0.0
            };
            let before = (0..self.players)
                .filter(|player| row >> player & 1 == 1)
                .filter_map(|player| reached.get(row & !(1 << player)).copied())
                .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
                .unwrap_or_default();
            reached.push((before.0 + here, before.1 + here));
        }
        reached.last().copied().unwrap_or_default()
    }
}

impl Game for Table {
    fn players(&self) -> usize {
        self.players
    }

    fn decisions(&self) -> usize {
        self.decisions
    }

    fn values(&mut self, coalitions: &[Vec<bool>]) -> bie::Result<Vec<f64>> {
        let row = |coalition: &Vec<bool>| {
            coalition
                .iter()
                .rev()
                .fold(0, |row, present| row << 1 | usize::from(*present))
        };
        Ok(coalitions
            .iter()
            .map(row)
            .flat_map(|row| (0..self.decisions).map(move |decision| (row, decision)))
            .map(|(row, decision)| self.value(row, decision))
            .collect())
    }
}

fn coalition(row: usize, players: usize) -> Vec<bool> {
    (0..players).map(|player| row >> player & 1 == 1).collect()
}

/// Least and greatest values over all orders.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Of comprehensiveness.
    pub comprehensiveness: (f64, f64),
    /// Of sufficiency.
    pub sufficiency: (f64, f64),
}

#[cfg(test)]
mod tests {
    use super::super::steps::measure;
    use super::super::testing::Formula;
    use super::*;
    use proptest::prelude::*;

    fn orders(players: usize) -> Vec<Vec<usize>> {
        if players == 0 {
            return vec![Vec::new()];
        }
        let last = players - 1;
        orders(last)
            .into_iter()
            .flat_map(|order| {
                (0..players).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, last);
                    order
                })
            })
            .collect()
    }

    #[test]
    fn a_table_is_the_game_that_it_was_made_of() {
        let mut game = Formula::new(4, 2, |present, decision| {
            let bits = present
                .iter()
                .rev()
                .fold(0.0, |sum, p| 2.0 * sum + f64::from(u8::from(*p)));
            bits + 100.0 * decision as f64
        });
        let mut table = Table::of(&mut game).unwrap();
        assert_eq!((table.players(), table.decisions()), (4, 2));
        let coalitions = [
            vec![true, false, false, false],
            vec![false, true, true, false],
            vec![true; 4],
        ];
        assert_eq!(
            table.values(&coalitions).unwrap(),
            game.values(&coalitions).unwrap()
        );
        assert_eq!(
            table.values(&coalitions).unwrap(),
            [1.0, 101.0, 6.0, 106.0, 15.0, 115.0]
        );
    }

    /// Two words of three: word 0 is worth 0.6, word 2 takes 0.1 away.
    /// Every word deleted in the best order (0, 1, 2): 0.6, 0.6, 0.5; in the worst (2, 1, 0): -0.1, -0.1, 0.5.
    #[test]
    fn limits_by_hand() {
        let mut game = Formula::new(3, 1, |present, _| {
            0.2 + if present[0] { 0.6 } else { 0.0 } - if present[2] { 0.1 } else { 0.0 }
        });
        let limits = Table::of(&mut game).unwrap().limits(0, &Steps::every(3));
        let close = |a: (f64, f64), b: (f64, f64)| {
            assert!(
                (a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12,
                "{a:?}, not {b:?}"
            );
        };
        close(limits.comprehensiveness, (0.1, 1.7 / 3.0));
        close(limits.sufficiency, (0.1, 1.7 / 3.0));
        // ERASER's five steps all delete one word, but the last: half of three is two.
        let limits = Table::of(&mut game).unwrap().limits(0, &Steps::eraser(3));
        close(limits.comprehensiveness, (-0.1, 0.6));
        close(limits.sufficiency, (-0.1, 0.6));
    }

    #[test]
    fn too_many_words_are_refused() {
        let mut game = Formula::new(MOST_PLAYERS + 1, 1, |_, _| 0.0);
        assert!(matches!(Table::of(&mut game), Err(Error::Usage(_))));
    }

    proptest! {
        /// The limits are those that trying every order finds.
        #[test]
        fn limits_are_the_extremes_over_all_orders(values in prop::collection::vec(0.0f64..1.0, 32), every in any::<bool>()) {
            let mut game = Formula::new(5, 1, move |present, _| {
                values[present.iter().fold(0, |row, p| row << 1 | usize::from(*p))]
            });
            let steps = if every { Steps::every(5) } else { Steps::eraser(5) };
            let mut table = Table::of(&mut game).unwrap();
            let limits = table.limits(0, &steps);
            let (mut comprehensiveness, mut sufficiency) = (Vec::new(), Vec::new());
            for order in orders(5) {
                let found = measure(&mut table, 0, &order, &steps).unwrap();
                comprehensiveness.push(found.comprehensiveness);
                sufficiency.push(found.sufficiency);
            }
            for (limit, found) in [(limits.comprehensiveness, comprehensiveness), (limits.sufficiency, sufficiency)] {
                let least = found.iter().copied().fold(f64::INFINITY, f64::min);
                let greatest = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                prop_assert!((limit.0 - least).abs() < 1e-9 && (limit.1 - greatest).abs() < 1e-9);
            }
            if every {
                // Keeping the heaviest is deleting the lightest: the orders are the same, read backwards.
                prop_assert!((limits.comprehensiveness.0 - limits.sufficiency.0).abs() < 1e-9);
                prop_assert!((limits.comprehensiveness.1 - limits.sufficiency.1).abs() < 1e-9);
            }
        }
    }
}
