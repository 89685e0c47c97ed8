//! `[calibration]`: how scores and thresholds of the finished bundle are fitted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::places::Places;
use super::{Evaluation, Recipe};
use crate::calibration::Relations;
use crate::calibration::thresholds::Goal;
use crate::error::Result;

/// See [`crate::calibration`]. Thresholds that the schema gives stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What thresholds are chosen for: "f1", `{ precision = 0.9 }` or `{ recall = 0.9 }`.
    #[serde(default)]
    pub goal: Goal,
    /// The same for single types, by name.
    #[serde(default)]
    pub goals: BTreeMap<String, Goal>,
    /// What the score of a relation shall mean: "end_to_end" or "gold_entities".
    #[serde(default)]
    pub relations: Relations,
    /// Documents to fit on, never trained on; those of `[evaluation]` if absent.
    pub corpus: Option<Evaluation>,
    /// More soft labels for relation types that the corpus lacks.
    #[serde(default)]
    pub relations_from: Vec<PathBuf>,
}

impl Calibration {
    /// The documents to fit on.
    pub fn source<'a>(&'a self, recipe: &'a Recipe) -> Option<&'a Evaluation> {
        self.corpus.as_ref().or(recipe.evaluation.as_ref())
    }

    pub(super) fn check(&self, recipe: &Recipe, at: &Places) -> Result<()> {
        at.need(&["calibration"], self.source(recipe).is_some(), || {
            "there is nothing to calibrate on; give calibration.corpus or [evaluation]".to_owned()
        })?;
        if let Some(corpus) = &self.corpus {
            recipe.check_evaluation(at, &["calibration", "corpus"], corpus)?;
        }
        for (n, labels) in self.relations_from.iter().enumerate() {
            let n = n.to_string();
            recipe.need_file(at, &["calibration", "relations_from", &n], labels)?;
        }
        at.need(&["calibration", "goal"], self.goal.is_valid(), || {
            "a precision or recall must be above 0 and at most 1".to_owned()
        })?;
        for (name, goal) in &self.goals {
            let key = ["calibration", "goals", name];
            let known = recipe.entity(name).is_some() || recipe.relation(name).is_some();
            at.need(&key, known, || {
                "no type of the schema has this name".to_owned()
            })?;
            at.need(&key, goal.is_valid(), || {
                "a precision or recall must be above 0 and at most 1".to_owned()
            })?;
        }
        Ok(())
    }
}
