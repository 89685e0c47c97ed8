//! The game of one window: its words are deleted, its decisions are scored again.

use std::cell::Cell;
use std::time::Instant;

use super::game::Game;
use super::place::{Decision, Scene};
use super::{Cancel, Deletion};
use crate::engine::{Engine, in_order};
use crate::error::{Error, Result};
use crate::options::Options;

/// Deletes players of a window and scores decisions of it. A deleted token is replaced in place: spans and mentions stay where they are.
pub struct WindowGame<'a> {
    engine: &'a Engine,
    scene: &'a Scene,
    decisions: &'a [Decision],
    /// Word indices of each player.
    players: Vec<Vec<usize>>,
    ids: Vec<i64>,
    /// What a deleted token becomes.
    nothing: i64,
    threads: usize,
    cancel: &'a Cancel,
    deadline: Option<Instant>,
    passes: Cell<usize>,
}

impl<'a> WindowGame<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        scene: &'a Scene,
        decisions: &'a [Decision],
        options: &Options,
        cancel: &'a Cancel,
        deadline: Option<Instant>,
    ) -> Result<Self> {
        Ok(WindowGame {
            players: words(scene),
            ids: engine.ids(&scene.window),
            nothing: deleted_id(engine, options.explain.deletion)?,
            threads: options.threads,
            engine,
            scene,
            decisions,
            cancel,
            deadline,
            passes: Cell::new(0),
        })
    }

    /// Plays on with other players; each is a set of words.
    pub(crate) fn set_players(&mut self, players: Vec<Vec<usize>>) {
        self.players = players;
    }

    /// Plays on with single words, as at first.
    pub(crate) fn play_words(&mut self) {
        self.players = words(self.scene);
    }

    /// Word indices of each player.
    pub(crate) fn word_sets(&self) -> &[Vec<usize>] {
        &self.players
    }

    /// Forward passes so far.
    pub fn passes(&self) -> usize {
        self.passes.get()
    }

    fn ids_of(&self, coalition: &[bool]) -> Vec<i64> {
        let mut ids = self.ids.clone();
        for (words, _) in self
            .players
            .iter()
            .zip(coalition)
            .filter(|(_, present)| !**present)
        {
            for range in words.iter().filter_map(|&word| self.scene.words.get(word)) {
                // [CLS] comes first.
                if let Some(tokens) = ids.get_mut(range.start + 1..range.end + 1) {
                    tokens.fill(self.nothing);
                }
            }
        }
        ids
    }
}

impl Game for WindowGame<'_> {
    fn players(&self) -> usize {
        self.players.len()
    }

    fn decisions(&self) -> usize {
        self.decisions.len()
    }

    fn values(&mut self, coalitions: &[Vec<bool>]) -> Result<Vec<f64>> {
        self.passes.set(self.passes.get() + coalitions.len());
        let (engine, scene) = (self.engine, self.scene);
        let all_ids: Vec<Vec<i64>> = coalitions
            .iter()
            .map(|coalition| self.ids_of(coalition))
            .collect();
        let (decisions, cancel) = (self.decisions, self.cancel);
        let rows = in_order(&all_ids, self.threads.min(engine.pool.most()), |ids| {
            engine.pool.with_until(cancel, |lane| {
                let reading = lane.read(ids)?;
                scene.scores(engine, lane, &reading, decisions)
            })
        })?;
        Ok(rows
            .into_iter()
            .flatten()
            .map(|scores| scores.value())
            .collect())
    }

    fn time_left(&self) -> bool {
        self.deadline
            .is_none_or(|deadline| Instant::now() < deadline)
    }
}

/// Every word a player.
fn words(scene: &Scene) -> Vec<Vec<usize>> {
    (0..scene.words.len()).map(|word| vec![word]).collect()
}

/// The id that stands in for a deleted token.
pub(crate) fn deleted_id(engine: &Engine, deletion: Deletion) -> Result<i64> {
    let token = match deletion {
        Deletion::Mask => "[MASK]",
        Deletion::Pad => "[PAD]",
    };
    match engine.encoder.special(token) {
        Some(id) => Ok(id.into()),
        None => Err(Error::InvalidArgument(format!(
            "the bundle's vocabulary has no {token}; choose another `deletion` or `baseline`"
        ))),
    }
}
