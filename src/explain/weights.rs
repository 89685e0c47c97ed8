//! What methods that play a game find out.

/// One weight for each decision and player, in the unit of the game's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `[decisions][players]`: how much each player speaks for the decision (positive) or against it (negative).
    pub weights: Vec<Vec<f64>>,
    /// `[decisions][players]`: standard errors of Shapley values that were sampled; else 0.
    pub standard_errors: Vec<Vec<f64>>,
    /// `[decisions]`: weighted R² of LIME's regression; `None` for other methods, and where all samples have one value.
    pub fit: Vec<Option<f64>>,
    /// `[decisions]`: the value with every player present.
    pub full: Vec<f64>,
    /// `[decisions]`: the value with every player deleted.
    pub empty: Vec<f64>,
    /// Coalitions that the game evaluated.
    pub evaluations: usize,
    /// The time budget ended the sampling early.
    pub cut_short: bool,
}

impl Weights {
    /// Weights that are measured, neither sampled nor fitted.
    pub(crate) fn measured(
        weights: Vec<Vec<f64>>,
        full: Vec<f64>,
        empty: Vec<f64>,
        evaluations: usize,
    ) -> Self {
        Self {
            standard_errors: weights.iter().map(|row| vec![0.0; row.len()]).collect(),
            fit: vec![None; weights.len()],
            weights,
            full,
            empty,
            evaluations,
            cut_short: false,
        }
    }
}
