//! Guided occlusion: the gradient proposes, deletion disposes. What a host gets who asks for no method; measured in docs/explain.md.

use super::game::Game;
use super::run::{Case, Weighed};
use super::shapley::EXACT_PLAYERS;
use super::window_game::WindowGame;
use super::{Method, Players};
use crate::error::Result;

/// Coalitions that sampled Shapley values take where nothing else is asked for, for each player.
pub(super) const PASSES_A_PLAYER: usize = 10;
/// Words that guided occlusion deletes, for each decision.
const SHORTLIST: usize = 20;
/// Deletions between two looks at the clock.
const ROUND: usize = 4;

/// The weights of every decision by the chosen method.
///
/// Shapley values where there are few players: units, or the words of a short text. Else [`Method::GuidedOcclusion`], or [`Method::Occlusion`]
/// with a bundle that has no explain graph.
pub(super) fn weigh(
    case: &Case<'_>,
    text: &str,
    game: &mut WindowGame<'_>,
) -> Result<Vec<Weighed>> {
    let few = case.scene.words.len() <= EXACT_PLAYERS;
    let method = match case.options.explain.players {
        Players::Words if few => Method::Shap,
        Players::Units => Method::Shap,
        Players::Words if case.engine.manifest.has_explain_graph() => Method::GuidedOcclusion,
        Players::Words => Method::Occlusion,
    };
    case.weigh(text, game, method)
}

/// The gradient half way between the window and its baseline, times their difference, and to the words that promise most the score that
/// is lost without them.
///
/// At the text itself a confident score is flat and its gradient says little; half way it is steep: the midpoint rule of integrated gradients
/// with one node. It sees every word but is an estimate; deleting a word is a fact but sees one word at a time. Their sum is the weight.
/// The shortlist has the decision's own words first, then the heaviest by gradient.
pub(super) fn guided(case: &Case<'_>, game: &mut WindowGame<'_>) -> Result<Vec<Weighed>> {
    let words = case.scene.words.len();
    let most = case
        .options
        .explain
        .evaluations
        .unwrap_or(SHORTLIST)
        .min(words);
    let mut weighed = Vec::with_capacity(case.decisions.len());
    let mut shortlists: Vec<Vec<usize>> = Vec::with_capacity(case.decisions.len());
    for decision in case.decisions {
        let one = case.look(
            game,
            Method::GuidedOcclusion,
            |inside| inside.half_way(case.options),
            decision,
        )?;
        let own = case.own_words(decision);
        let mut order: Vec<usize> = (0..words).collect();
        let promise = |word: &usize| {
            let weight = one.weights.get(*word).map_or(0.0, |weight| weight.abs());
            (own.iter().any(|own| own.contains(word)), weight)
        };
        order.sort_by(|a, b| {
            let ((own_a, a), (own_b, b)) = (promise(a), promise(b));
            own_b.cmp(&own_a).then(b.total_cmp(&a))
        });
        order.truncate(most);
        shortlists.push(order);
        weighed.push(one);
    }

    // Rank by rank, so that a budget that ends early leaves out the least promising; a word of two shortlists is deleted once.
    let mut to_delete: Vec<usize> = Vec::new();
    for rank in 0..most {
        for word in shortlists
            .iter()
            .filter_map(|shortlist| shortlist.get(rank))
        {
            if !to_delete.contains(word) {
                to_delete.push(*word);
            }
        }
    }
    let full = game.values(&[vec![true; words]])?;
    let mut cut_short = false;
    for round in to_delete.chunks(ROUND) {
        if !game.time_left() {
            cut_short = true;
            break;
        }
        let without = |word: &usize| {
            (0..words)
                .map(|other| other != *word)
                .collect::<Vec<bool>>()
        };
        let values = game.values(&round.iter().map(without).collect::<Vec<_>>())?;
        for (word, row) in round.iter().zip(values.chunks_exact(case.decisions.len())) {
            let decisions = weighed
                .iter_mut()
                .zip(&shortlists)
                .zip(full.iter().zip(row));
            for ((one, shortlist), (full, without)) in decisions {
                if let Some(weight) = one
                    .weights
                    .get_mut(*word)
                    .filter(|_| shortlist.contains(word))
                {
                    *weight += full - without;
                }
            }
        }
    }
    weighed
        .iter_mut()
        .for_each(|one| one.cut_short |= cut_short);
    Ok(weighed)
}
