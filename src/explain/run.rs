//! An explanation from beginning to end: place, weights, evidence, and what deleting the evidence does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use super::evidence::{self, Pieces};
use super::faithfulness::{self, order};
use super::game::Game;
use super::gradient::{Inside, TokenWeights, completeness_error};
use super::place::{Decision, Placed, Scene, Stage};
use super::weights::Weights;
use super::window_game::WindowGame;
use super::{
    Cancel, Evidence, Explanation, Heads, Method, Players, Target, Word, auto, lime, occlusion,
    shapley, units,
};
use crate::engine::Engine;
use crate::error::Result;
use crate::options::Options;
use crate::result::Extraction;
use crate::text::offsets::Offsets;

/// Deleting the evidence must move the value by this part of it, or the explanation is unreliable.
const LEAST_EFFECT: f64 = 0.1;

/// One decision's weights, one a word.
pub(super) struct Weighed {
    pub(super) method: Method,
    pub(super) weights: Vec<f64>,
    pub(super) standard_errors: Vec<f64>,
    pub(super) completeness_error: Option<f64>,
    pub(super) fit: Option<f64>,
    pub(super) cut_short: bool,
    /// What they cost beyond the game, in forward passes.
    pub(super) passes: usize,
}

/// The decisions of one window and all that a method needs to weigh its words.
pub(super) struct Case<'a> {
    pub(super) engine: &'a Engine,
    pub(super) scene: &'a Scene,
    pub(super) decisions: &'a [Decision],
    pub(super) options: &'a Options,
    pub(super) cancel: &'a Cancel,
    pub(super) deadline: Option<Instant>,
}

impl Engine {
    /// Explains decisions on `text`, from which `extraction` was made by this engine. One explanation for each target, in their order.
    ///
    /// Reads the options `method`, `players`, `deletion`, `baseline`, `evaluations`, `time_budget_ms`, `seed`, `faithfulness`, `attention_heads`
    /// and `threads`. Targets in one window share the forward passes of methods that delete. The first call that needs gradients loads the
    /// explain graph. Equal calls give equal explanations, whatever the number of threads, unless a time budget cut one short.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`]: the extraction is of another bundle or text, a target does not exist in it, or the schema does
    /// not admit it; [`crate::Error::Cancelled`]; on the first use of gradients, those of reading the bundle.
    pub fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Explanation>> {
        cancel.check()?;
        let deadline = options
            .explain
            .time_budget
            .map(|budget| Instant::now() + budget);
        let stage = Stage::set(self, text, extraction, targets, cancel)?;
        let mut by_scene: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (target, placed) in stage.placed.iter().enumerate() {
            by_scene.entry(placed.scene).or_default().push(target);
        }
        let mut explanations: Vec<(usize, Explanation)> = Vec::with_capacity(targets.len());
        for (scene, members) in by_scene {
            let Some(scene) = stage.scenes.get(scene) else {
                continue;
            };
            let members: Vec<(usize, Target, &Placed)> = members
                .into_iter()
                .filter_map(|at| Some((at, *targets.get(at)?, stage.placed.get(at)?)))
                .collect();
            let decisions: Vec<Decision> = members
                .iter()
                .map(|(_, _, placed)| placed.decision.clone())
                .collect();
            let case = Case {
                engine: self,
                scene,
                decisions: &decisions,
                options,
                cancel,
                deadline,
            };
            let told = case.explain(text, extraction, &members, stage.passes)?;
            explanations.extend(members.iter().map(|member| member.0).zip(told));
        }
        explanations.sort_by_key(|(at, _)| *at);
        Ok(explanations
            .into_iter()
            .map(|(_, explanation)| explanation)
            .collect())
    }

    /// Plays the game of `targets`, which must lie in one window: the players are its words, in the order of [`Explanation::words`].
    /// `play` gets it and what `full` it starts from. For whoever measures explanations.
    ///
    /// # Errors
    /// As [`Engine::explain`], and those of `play`; targets in different windows are refused.
    pub fn play<T>(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
        cancel: &Cancel,
        play: impl FnOnce(&mut WindowGame<'_>) -> Result<T>,
    ) -> Result<T> {
        let stage = Stage::set(self, text, extraction, targets, cancel)?;
        let mut scenes: Vec<usize> = stage.placed.iter().map(|placed| placed.scene).collect();
        scenes.dedup();
        let (&[scene], decisions) = (
            scenes.as_slice(),
            stage
                .placed
                .iter()
                .map(|placed| placed.decision.clone())
                .collect::<Vec<_>>(),
        ) else {
            return Err(crate::Error::InvalidArgument(
                "targets of one game must lie in one window".into(),
            ));
        };
        match stage.scenes.get(scene) {
            Some(scene) => play(&mut WindowGame::new(
                self, scene, &decisions, options, cancel, None,
            )?),
            None => Err(crate::Error::InvalidArgument(
                "a game needs a target".into(),
            )),
        }
    }
}

impl Case<'_> {
    pub(super) fn game(&self) -> Result<WindowGame<'_>> {
        WindowGame::new(
            self.engine,
            self.scene,
            self.decisions,
            self.options,
            self.cancel,
            self.deadline,
        )
    }

    /// `members`: the decisions' numbers, targets and places.
    fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        members: &[(usize, Target, &Placed)],
        passes: usize,
    ) -> Result<Vec<Explanation>> {
        let asked = self.options.explain.method;
        let mut game = self.game()?;
        let weighed = match asked {
            Method::Auto => auto::weigh(self, text, &mut game)?,
            method => self.weigh(text, &mut game, method)?,
        };
        let words = self.words();
        let pieces: Vec<Pieces> = weighed
            .iter()
            .map(|one| evidence::pieces(text, &words, &one.weights))
            .collect();

        // The value without any word, and without each decision's evidence.
        let all = vec![true; self.scene.words.len()];
        let mut coalitions = vec![vec![false; all.len()]];
        coalitions.extend(pieces.iter().map(|pieces| {
            let mut coalition = all.clone();
            for piece in &pieces.supporting {
                coalition
                    .get_mut(piece.clone())
                    .unwrap_or_default()
                    .fill(false);
            }
            coalition
        }));
        let values = game.values(&coalitions)?;
        let rows: Vec<&[f64]> = values.chunks_exact(self.decisions.len()).collect();
        let value_of = |coalition: usize, decision: usize| {
            rows.get(coalition)
                .and_then(|row| row.get(decision))
                .copied()
                .unwrap_or_default()
        };

        let faithfulness = match self.options.explain.faithfulness {
            true => {
                let orders: Vec<Vec<usize>> =
                    weighed.iter().map(|one| order(&one.weights)).collect();
                faithfulness::measure(&mut game, &orders, self.options.explain.seed)?
                    .into_iter()
                    .map(Some)
                    .collect()
            }
            false => vec![None; self.decisions.len()],
        };
        let passes = passes + game.passes();
        let edges = words.iter().flat_map(|word| [word.start, word.end]);
        let offsets = Offsets::new(text, extraction.offset_unit, edges);
        let mut told = Vec::with_capacity(members.len());
        for (at, ((((_, target, placed), one), pieces), faithfulness)) in members
            .iter()
            .zip(weighed)
            .zip(pieces)
            .zip(faithfulness)
            .enumerate()
        {
            let value = placed.scores.value();
            let without = value_of(at + 1, at);
            let evidence = |pieces: &[Range<usize>]| -> Vec<Evidence> {
                pieces
                    .iter()
                    .filter_map(|piece| evidence(text, &offsets, &words, &one.weights, piece))
                    .collect()
            };
            let evidence_for = evidence(&pieces.supporting);
            let inside = Inside::new(self.engine, self.scene, &placed.decision, self.cancel);
            told.push(Explanation {
                target: *target,
                method: one.method,
                chosen: asked == Method::Auto,
                offset_unit: extraction.offset_unit,
                model_id: extraction.model_id.clone(),
                bundle_hash: extraction.bundle_hash.clone(),
                score: placed.scores.score,
                rival_score: placed.scores.rival,
                baseline_score: value_of(0, at) as f32,
                without_evidence: without as f32,
                unreliable: evidence_for.is_empty()
                    || (value - without).abs() < LEAST_EFFECT * value.abs(),
                words: self.weighed_words(&offsets, &words, &placed.decision, &one),
                evidence_for,
                evidence_against: evidence(&pieces.opposing),
                completeness_error: one.completeness_error.map(|error| error as f32),
                fit: one.fit.map(|fit| fit as f32),
                faithfulness,
                heads: match self.options.explain.attention_heads {
                    true => Some(self.heads(&inside)?),
                    false => None,
                },
                evaluations: (passes + one.passes) as u32,
                cut_short: one.cut_short,
                entity_types: self.engine.entity_types.clone(),
                relation_types: self.engine.relation_types.clone(),
            });
        }
        Ok(told)
    }

    /// The weights of every decision by one method, not [`Method::Auto`].
    pub(super) fn weigh(
        &self,
        text: &str,
        game: &mut WindowGame<'_>,
        method: Method,
    ) -> Result<Vec<Weighed>> {
        let explain = &self.options.explain;
        match method {
            Method::GuidedOcclusion => auto::guided(self, game),
            Method::Occlusion | Method::Shap | Method::Lime | Method::Auto => {
                if explain.players == Players::Units {
                    game.set_players(self.units(text));
                }
                let count = game.players();
                let found = match method {
                    Method::Occlusion => occlusion::weights(game)?,
                    Method::Lime => lime::weights(game, explain.evaluations, explain.seed)?,
                    _ => shapley::weights(
                        game,
                        explain.evaluations.unwrap_or(auto::PASSES_A_PLAYER * count),
                        explain.seed,
                    )?,
                };
                let weighed = self.of_players(method, found, game.word_sets());
                game.play_words();
                Ok(weighed)
            }
            _ => self
                .decisions
                .iter()
                .map(|decision| {
                    self.look(
                        game,
                        method,
                        |inside| inside.weigh(method, self.options),
                        decision,
                    )
                })
                .collect(),
        }
    }

    /// One decision's weights by a method that looks inside. Where the time is up before it begins, no word has any.
    pub(super) fn look(
        &self,
        game: &WindowGame<'_>,
        method: Method,
        look: impl FnOnce(&Inside<'_>) -> Result<TokenWeights>,
        decision: &Decision,
    ) -> Result<Weighed> {
        self.cancel.check()?;
        let in_time = game.time_left();
        let tokens = match in_time {
            true => look(&Inside::new(self.engine, self.scene, decision, self.cancel))?,
            false => TokenWeights::none(),
        };
        let mut weighed = self.of_words(method, tokens);
        weighed.cut_short = !in_time;
        Ok(weighed)
    }

    /// Token weights to word weights.
    fn of_words(&self, method: Method, tokens: TokenWeights) -> Weighed {
        let sum = |word: &std::ops::Range<usize>| {
            tokens
                .weights
                .get(word.clone())
                .unwrap_or_default()
                .iter()
                .sum()
        };
        Weighed {
            method,
            weights: self.scene.words.iter().map(sum).collect(),
            standard_errors: vec![0.0; self.scene.words.len()],
            completeness_error: tokens.completeness_error,
            fit: None,
            cut_short: false,
            passes: tokens.passes,
        }
    }

    /// Players' weights to word weights: a player's weight is shared equally by its words.
    pub(super) fn of_players(
        &self,
        method: Method,
        found: Weights,
        players: &[Vec<usize>],
    ) -> Vec<Weighed> {
        let spread = |row: &[f64]| {
            let mut words = vec![0f64; self.scene.words.len()];
            for (player, weight) in players.iter().zip(row) {
                for &word in player {
                    if let Some(slot) = words.get_mut(word) {
                        *slot = weight / player.len() as f64;
                    }
                }
            }
            words
        };
        let Weights {
            weights,
            standard_errors,
            fit,
            full,
            empty,
            cut_short,
            ..
        } = found;
        weights
            .iter()
            .zip(standard_errors)
            .zip(fit)
            .zip(full.into_iter().zip(empty))
            .map(|(((row, errors), fit), (full, empty))| Weighed {
                method,
                weights: spread(row),
                standard_errors: spread(&errors),
                completeness_error: (method == Method::Shap)
                    .then(|| completeness_error(row.iter().sum(), full - empty)),
                fit,
                cut_short,
                passes: 0,
            })
            .collect()
    }

    /// Byte ranges of the window's words.
    fn words(&self) -> Vec<Range<usize>> {
        let tokens = &self.scene.window.tokens;
        let bytes = |word: &Range<usize>| {
            let (first, last) = (tokens.get(word.start), tokens.get(word.end - 1));
            first.map_or(0, |token| token.start)..last.map_or(0, |token| token.end)
        };
        self.scene.words.iter().map(bytes).collect()
    }

    /// The players "units": entities, and the clauses between them.
    fn units(&self, text: &str) -> Vec<Vec<usize>> {
        let words = self.words();
        let texts: Vec<&str> = words
            .iter()
            .map(|word| text.get(word.clone()).unwrap_or_default())
            .collect();
        let entities: Vec<Vec<Range<usize>>> = (0..self.scene.entities())
            .map(|entity| {
                self.scene
                    .mentions_of(entity)
                    .map(|tokens| self.words_of(&tokens))
                    .collect()
            })
            .collect();
        units::units(&texts, &entities)
    }

    /// The words that tokens lie in.
    fn words_of(&self, tokens: &Range<usize>) -> Range<usize> {
        let words = &self.scene.words;
        words.partition_point(|word| word.end <= tokens.start)
            ..words.partition_point(|word| word.start < tokens.end)
    }

    /// The words that the decision is about: of the span, or of every mention of both entities.
    pub(super) fn own_words(&self, decision: &Decision) -> Vec<Range<usize>> {
        match decision {
            Decision::Span { tokens, .. } => vec![self.words_of(tokens)],
            Decision::Pair { head, tail, .. } => {
                let mentions = [head, tail]
                    .into_iter()
                    .flat_map(|&entity| self.scene.mentions_of(entity));
                mentions.map(|tokens| self.words_of(&tokens)).collect()
            }
        }
    }

    fn weighed_words(
        &self,
        offsets: &Offsets,
        words: &[Range<usize>],
        decision: &Decision,
        weighed: &Weighed,
    ) -> Vec<Word> {
        let own = self.own_words(decision);
        let weighed = weighed.weights.iter().zip(&weighed.standard_errors);
        let word =
            |(at, (word, (weight, standard_error))): (usize, (&Range<usize>, (&f64, &f64)))| Word {
                start: offsets.get(word.start),
                end: offsets.get(word.end),
                weight: *weight as f32,
                standard_error: *standard_error as f32,
                in_target: own.iter().any(|own| own.contains(&at)),
            };
        words.iter().zip(weighed).enumerate().map(word).collect()
    }

    /// The view of the last layer's heads, token attention summed over words.
    fn heads(&self, inside: &Inside<'_>) -> Result<Heads> {
        let heads = inside.heads()?;
        let words = |head: &Vec<f32>| {
            self.scene
                .words
                .iter()
                .map(|word| head.get(word.clone()).unwrap_or_default().iter().sum())
                .collect::<Vec<f32>>()
        };
        Ok(Heads {
            heads: heads.len() as u32,
            weights: heads.iter().flat_map(words).collect(),
        })
    }
}

/// A piece as its reader gets it.
fn evidence(
    text: &str,
    offsets: &Offsets,
    words: &[Range<usize>],
    weights: &[f64],
    piece: &Range<usize>,
) -> Option<Evidence> {
    let (first, last) = (
        words.get(piece.start)?,
        words.get(piece.end.checked_sub(1)?)?,
    );
    Some(Evidence {
        start: offsets.get(first.start),
        end: offsets.get(last.end),
        weight: weights.get(piece.clone())?.iter().sum::<f64>() as f32,
        text: text.get(first.start..last.end)?.to_string(),
    })
}
