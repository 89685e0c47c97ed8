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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::small;
    use super::*;

    /// The small recipe with a threshold of its own for "treats", and `more` at its end.
    fn read(more: &str) -> Result<Recipe> {
        let folder = tempfile::tempdir().unwrap();
        let recipe = small(folder.path()).replace(
            "name = \"treats\"\n",
            "name = \"treats\"\nthreshold = 0.5\n",
        );
        fs::write(folder.path().join("dev.txt"), "").unwrap();
        let file = folder.path().join("r.toml");
        fs::write(&file, format!("{recipe}{more}")).unwrap();
        Recipe::read(&file)
    }

    const DEV: &str = "[evaluation]\npath = \"dev.txt\"\nformat = \"pubtator\"\n";

    #[test]
    fn it_is_read_and_decides_no_weight() {
        let plain = read(DEV).unwrap();
        assert_eq!(plain.calibration, None);
        assert_eq!(plain.identity().get("calibration"), None);
        let goals = "[calibration]\ngoal = { precision = 0.9 }\ngoals = { causes = \"f1\" }\nrelations_from = [\"soft.jsonl\"]\n";
        let recipe = read(&format!("{DEV}{goals}")).unwrap();
        let calibration = recipe.calibration.as_ref().unwrap();
        assert_eq!(calibration.goal, Goal::Precision(0.9));
        assert_eq!(calibration.goals["causes"], Goal::F1);
        assert_eq!(calibration.relations, Relations::EndToEnd);
        assert_eq!(calibration.source(&recipe), recipe.evaluation.as_ref());
        assert_eq!(recipe.held_out().count(), 1);
        // Only a threshold that stands there is given, though all have one.
        assert_eq!(
            recipe.given_thresholds(),
            [("treats".to_owned(), 0.5)].into()
        );

        // Its own documents are held out of the training, so they decide what is trained.
        let own = "[calibration.corpus]\npath = \"dev.txt\"\nformat = \"pubtator\"\n";
        let recipe = read(&format!("[calibration]\ngoal = \"f1\"\n{own}")).unwrap();
        let other = read(&format!("[calibration]\ngoal = {{ recall = 0.5 }}\n{own}")).unwrap();
        assert_eq!(recipe.held_out().count(), 1);
        assert_eq!(recipe.identity(), other.identity());
        assert_ne!(recipe.identity(), read("").unwrap().identity());
    }

    #[test]
    fn mistakes_are_named() {
        for (more, why) in [
            ("[calibration]\n", "nothing to calibrate on"),
            ("[calibration]\ngoal = \"f2\"\n", "unknown variant"),
            ("[calibration]\ngaol = \"f1\"\n", "gaol"),
            (
                "[calibration]\ncorpus = { path = \"lost\", format = \"pubtator\" }\n",
                "calibration.corpus.path: there is no file",
            ),
            (
                "[calibration]\ncorpus = { path = \"gold.txt\", format = \"pubtator\" }\n",
                "also trained on",
            ),
        ] {
            let said = read(more).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        for (more, why) in [
            ("[calibration]\ngoal = { recall = 1.5 }\n", "at most 1"),
            (
                "[calibration]\ngoals = { Dose = \"f1\" }\n",
                "calibration.goals.Dose",
            ),
            (
                "[calibration]\nrelations_from = [\"lost\"]\n",
                "there is no file",
            ),
        ] {
            let said = read(&format!("{DEV}{more}")).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
