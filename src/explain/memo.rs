//! A game whose coalitions are evaluated once.

use std::collections::HashMap;

use super::Game;
use crate::error::{Error, Result};

/// Coalitions handed to the game at a time: enough for all lanes, few enough that a cancelled call does not queue much.
const BATCH: usize = 32;

/// Coalitions remembered at most: with 400 words and ten decisions about 3 MB. Past it, values are still right, only asked for again.
const REMEMBERED: usize = 1 << 14;

/// A game with a memory. What is remembered never changes a value: the game's values depend on the coalition alone.
pub struct Memo<'a, G: ?Sized> {
    game: &'a mut G,
    players: usize,
    decisions: usize,
    known: HashMap<Vec<u64>, Vec<f64>>,
    evaluations: usize,
}

impl<'a, G: Game + ?Sized> Memo<'a, G> {
    /// Wraps a game, nothing known.
    pub fn new(game: &'a mut G) -> Self {
        Self {
            players: game.players(),
            decisions: game.decisions(),
            game,
            known: HashMap::new(),
            evaluations: 0,
        }
    }

    /// Number of players.
    pub fn players(&self) -> usize {
        self.players
    }

    /// Number of decisions.
    pub fn decisions(&self) -> usize {
        self.decisions
    }

    /// Coalitions that the game was asked for so far.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// See [`Game::time_left`].
    pub fn time_left(&self) -> bool {
        self.game.time_left()
    }

    /// How many evaluations [`Memo::rows`] of these coalitions would cost.
    pub fn cost(&self, coalitions: &[Vec<bool>]) -> usize {
        let keys: Vec<Vec<u64>> = coalitions.iter().map(|c| key(c)).collect();
        self.unknown(&keys).1.len()
    }

    /// The values of each coalition, one a decision.
    ///
    /// # Errors
    /// Those of [`Game::values`].
    pub fn rows(&mut self, coalitions: &[Vec<bool>]) -> Result<Vec<Vec<f64>>> {
        let keys: Vec<Vec<u64>> = coalitions.iter().map(|c| key(c)).collect();
        let (places, asked) = self.unknown(&keys);
        let mut answers: Vec<Vec<f64>> = Vec::with_capacity(asked.len());
        for indices in asked.chunks(BATCH) {
            let batch: Vec<Vec<bool>> = indices
                .iter()
                .filter_map(|&i| coalitions.get(i).cloned())
                .collect();
            let values = self.game.values(&batch)?;
            if values.len() != batch.len() * self.decisions {
                return Err(Error::Runtime(format!(
                    "{} coalitions of {} decisions were valued with {} numbers; this is a defect of the library, please report it",
                    batch.len(),
                    self.decisions,
                    values.len()
                )));
            }
            self.evaluations += batch.len();
            let mut values = values.into_iter();
            answers.extend(
                batch
                    .iter()
                    .map(|_| values.by_ref().take(self.decisions).collect()),
            );
        }
        let rows = keys
            .iter()
            .map(|key| {
                let answer = || places.get(key).and_then(|&place| answers.get(place));
                self.known
                    .get(key)
                    .or_else(answer)
                    .cloned()
                    .unwrap_or_default()
            })
            .collect();
        for (&index, answer) in asked.iter().zip(answers) {
            if self.known.len() < REMEMBERED
                && let Some(key) = keys.get(index)
            {
                self.known.insert(key.clone(), answer);
            }
        }
        Ok(rows)
    }

    /// Of coalitions not known: the place of each among the questions, and the indices of those to ask.
    fn unknown<'k>(&self, keys: &'k [Vec<u64>]) -> (HashMap<&'k Vec<u64>, usize>, Vec<usize>) {
        let mut places = HashMap::new();
        let mut asked = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if !self.known.contains_key(key) && !places.contains_key(key) {
                places.insert(key, asked.len());
                asked.push(index);
            }
        }
        (places, asked)
    }
}

/// The coalition as bits.
fn key(coalition: &[bool]) -> Vec<u64> {
    coalition
        .chunks(64)
        .map(|bits| bits.iter().fold(0, |key, &bit| key << 1 | u64::from(bit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::game::tests::Fn;

    #[test]
    fn a_coalition_is_asked_for_once_and_every_row_is_right() {
        let mut seen = Vec::new();
        let mut game = Fn::new(3, 2, |c: &[bool]| {
            seen.push(c.to_vec());
            let n = c.iter().filter(|&&p| p).count() as f64;
            vec![n, -n]
        });
        let mut memo = Memo::new(&mut game);
        let (a, b, c) = (
            vec![true, false, true],
            vec![false; 3],
            vec![true, true, true],
        );
        let request = [a.clone(), b.clone(), a.clone()];
        assert_eq!(memo.cost(&request), 2);
        assert_eq!(
            memo.rows(&request).unwrap(),
            [[2.0, -2.0], [0.0, 0.0], [2.0, -2.0]]
        );
        assert_eq!(memo.cost(&request), 0);
        assert_eq!(
            memo.rows(&[c.clone(), b.clone()]).unwrap(),
            [[3.0, -3.0], [0.0, 0.0]]
        );
        assert_eq!(memo.evaluations(), 3);
        assert_eq!(seen, [a, b, c]);
    }

    #[test]
    fn past_its_memory_it_still_answers() {
        let mut game = Fn::new(15, 1, |c: &[bool]| {
            vec![c.iter().fold(0.0, |v, &p| 2.0 * v + f64::from(u8::from(p)))]
        });
        let mut memo = Memo::new(&mut game);
        let all: Vec<Vec<bool>> = (0..1u32 << 15)
            .map(|mask| (0..15).rev().map(|p| mask >> p & 1 == 1).collect())
            .collect();
        for _ in 0..2 {
            let rows = memo.rows(&all).unwrap();
            assert!(
                rows.iter()
                    .enumerate()
                    .all(|(mask, row)| row == &[mask as f64])
            );
        }
        assert_eq!(memo.evaluations(), (1 << 15) + (1 << 15) - REMEMBERED);
    }

    #[test]
    fn a_game_of_nobody_or_about_nothing_is_no_trouble() {
        let mut game = Fn::new(0, 1, |_: &[bool]| vec![0.5]);
        assert_eq!(
            Memo::new(&mut game).rows(&[vec![], vec![]]).unwrap(),
            [[0.5], [0.5]]
        );
        let mut game = Fn::new(2, 0, |_: &[bool]| vec![]);
        assert_eq!(
            Memo::new(&mut game).rows(&[vec![true, false]]).unwrap(),
            [[0.0; 0]]
        );
    }

    #[test]
    fn a_game_that_answers_short_is_an_error() {
        let mut game = Fn::new(2, 2, |_: &[bool]| vec![0.0]);
        assert!(
            Memo::new(&mut game)
                .rows(&[vec![true, false]])
                .unwrap_err()
                .to_string()
                .contains("defect")
        );
    }
}
