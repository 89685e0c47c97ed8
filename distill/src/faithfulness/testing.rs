//! Games and models of known answers.

use std::cell::Cell;
use std::rc::Rc;

use bie::explain::Game;

/// What a coalition scores for a decision.
type Value = Box<dyn Fn(&[bool], usize) -> f64>;

/// A game by formula, which counts the coalitions that it plays.
pub struct Formula {
    players: usize,
    decisions: usize,
    value: Value,
    pub played: Rc<Cell<usize>>,
}

impl Formula {
    pub fn new(
        players: usize,
        decisions: usize,
        value: impl Fn(&[bool], usize) -> f64 + 'static,
    ) -> Formula {
        Formula {
            players,
            decisions,
            value: Box::new(value),
            played: Rc::default(),
        }
    }
}

impl Game for Formula {
    fn players(&self) -> usize {
        self.players
    }

    fn decisions(&self) -> usize {
        self.decisions
    }

    fn values(&mut self, coalitions: &[Vec<bool>]) -> bie::Result<Vec<f64>> {
        self.played.set(self.played.get() + coalitions.len());
        Ok(coalitions
            .iter()
            .flat_map(|coalition| (0..self.decisions).map(|d| (self.value)(coalition, d)))
            .collect())
    }
}
