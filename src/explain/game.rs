//! The set function that deletion methods explain.

use crate::error::Result;

/// Players that are present or deleted, and what the decisions score then. Several decisions of one window are explained by one
/// game, so that they share its forward passes.
pub trait Game {
    /// Number of players.
    fn players(&self) -> usize;

    /// Number of decisions.
    fn decisions(&self) -> usize;

    /// The values `[coalitions][decisions]`; a coalition says of each player whether it is present.
    ///
    /// # Errors
    /// The model fails, or the call was cancelled.
    fn values(&mut self, coalitions: &[Vec<bool>]) -> Result<Vec<f64>>;

    /// Whether the time budget still admits more coalitions. Methods that sample ask before each round.
    fn time_left(&self) -> bool {
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A game played by a function from a coalition to the values of its decisions.
    pub(crate) struct Fn<F> {
        players: usize,
        decisions: usize,
        value: F,
        /// How often the method may still ask for time before there is none left.
        pub(crate) time: std::cell::Cell<usize>,
        /// Coalitions valued so far.
        pub(crate) asked: usize,
    }

    impl<F: FnMut(&[bool]) -> Vec<f64>> Fn<F> {
        pub(crate) fn new(players: usize, decisions: usize, value: F) -> Self {
            Self {
                players,
                decisions,
                value,
                time: usize::MAX.into(),
                asked: 0,
            }
        }
    }

    impl<F: FnMut(&[bool]) -> Vec<f64>> Game for Fn<F> {
        fn players(&self) -> usize {
            self.players
        }

        fn decisions(&self) -> usize {
            self.decisions
        }

        fn values(&mut self, coalitions: &[Vec<bool>]) -> Result<Vec<f64>> {
            self.asked += coalitions.len();
            Ok(coalitions.iter().flat_map(|c| (self.value)(c)).collect())
        }

        fn time_left(&self) -> bool {
            let left = self.time.get();
            self.time.set(left.saturating_sub(1));
            left > 0
        }
    }

    /// A smooth game with interactions: a logistic model of single players and of neighbours.
    pub(crate) fn logistic(single: Vec<f64>, pair: f64) -> impl Game {
        Fn::new(single.len(), 1, move |c: &[bool]| {
            let on = |p: bool| f64::from(u8::from(p));
            let singles: f64 = single.iter().zip(c).map(|(w, &p)| w * on(p)).sum();
            let pairs: f64 = c.windows(2).map(|w| on(w.iter().all(|&p| p)) * pair).sum();
            vec![1.0 / (1.0 + (-singles - pairs).exp())]
        })
    }
}
