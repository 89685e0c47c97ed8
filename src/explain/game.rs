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
