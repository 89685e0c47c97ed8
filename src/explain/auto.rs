//! The method that a host gets who asks for none.

use super::Method;
use super::run::{Case, Weighed};
use super::window_game::WindowGame;
use crate::error::Result;

/// Coalitions that sampled Shapley values take, for each player.
pub(super) const PASSES_A_PLAYER: usize = 10;

/// The weights of every decision by the chosen method.
pub(super) fn weigh(
    case: &Case<'_>,
    text: &str,
    game: &mut WindowGame<'_>,
) -> Result<Vec<Weighed>> {
    case.weigh(text, game, Method::Shap)
}
