//! The recipe: one TOML file that says everything about a run, checked before any training begins.
//!
//! An error names the line of the key that is wrong; missing files and labels that the schema lacks are found here, not after
//! an hour of training.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::error::{Error, Result};

mod check;
pub(crate) mod places;

use places::{Places, line_of};

/// A checked recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the run; part of the model id.
    pub name: String,
    /// Seed of initial weights, shuffling and dropout.
    pub seed: u64,
    /// The student's body and limits.
    pub student: Student,
    /// What the student shall find.
    pub schema: Schema,
    /// Gold data.
    pub corpora: Vec<CorpusSource>,
    /// Soft labels for documents of `corpora`.
    #[serde(default)]
    pub teachers: Vec<TeacherSource>,
    /// How gold and teacher are mixed.
    #[serde(default)]
    pub distillation: Distillation,
    /// The optimisation.
    pub training: Training,
    /// Documents that the finished bundle is measured on; never trained on.
    pub evaluation: Option<Evaluation>,
    /// What the model learned from, for its card: every corpus, teacher and base, with licence and citation.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// What the model must not be trusted with, for its card.
    #[serde(default)]
    pub limits: String,
    /// The recipe's file; paths are relative to its folder.
    #[serde(skip)]
    file: PathBuf,
    /// What stands in it, to name lines.
    #[serde(skip)]
    text: String,
}

/// The student's body and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Student {
    /// Folder with `config.json`, a vocabulary and weights in the Hugging Face layout.
    pub base: PathBuf,
    /// Longest window in tokens, `[CLS]` and `[SEP]` included.
    #[serde(default = "Student::max_tokens")]
    pub max_tokens: usize,
    /// Block size of the grouped bilinear relation head.
    #[serde(default = "Student::relation_block")]
    pub relation_block: usize,
    /// Probability of dropping a unit while training.
    #[serde(default = "Student::dropout")]
    pub dropout: f32,
}

impl Student {
    fn max_tokens() -> usize {
        512
    }
    fn relation_block() -> usize {
        16
    }
    fn dropout() -> f32 {
        0.1
    }
}

/// What the student shall find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Entity types, in the order of the student's heads.
    pub entities: Vec<EntityType>,
    /// Relation types, in the order of the student's labels after "none".
    #[serde(default)]
    pub relations: Vec<RelationType>,
}

/// One entity type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// Its name in results.
    pub name: String,
    /// Mentions scored below are not reported.
    #[serde(default = "half")]
    pub threshold: f32,
}

/// One relation type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationType {
    /// Its name in results.
    pub name: String,
    /// Entity types that may be the head.
    pub head: Vec<String>,
    /// Entity types that may be the tail.
    pub tail: Vec<String>,
    /// Head and tail are interchangeable (and of one type).
    #[serde(default)]
    pub symmetric: bool,
    /// Relations scored below are not reported.
    #[serde(default = "half")]
    pub threshold: f32,
}

fn half() -> f32 {
    0.5
}

/// File formats of corpora.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// See [`crate::corpus::pubtator`].
    PubTator,
}

/// One corpus to train on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusSource {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The corpus's labels (of mentions and relations) to the schema's; a label that is not listed stands for itself.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Entity types of the schema that the corpus annotates completely; the others are masked in the loss.
    pub annotates: Vec<String>,
    /// Relation types of the schema that the corpus annotates completely; a pair without such a relation is a negative.
    #[serde(default)]
    pub gold_relations: Vec<String>,
}

/// One file of soft labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSource {
    /// The file, see [`crate::teacher`].
    pub path: PathBuf,
    /// Only rows of this split are used; rows that state no split always are.
    #[serde(default = "TeacherSource::split")]
    pub split: String,
    /// The teacher's labels (of entities and relations) to the schema's; a label that is not listed stands for itself.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Weight against other teachers of the same pair.
    #[serde(default = "TeacherSource::weight")]
    pub weight: f32,
}

impl TeacherSource {
    fn split() -> String {
        "train".to_owned()
    }
    fn weight() -> f32 {
        1.0
    }
}

/// The loss of a pair is `gold_weight * CE(gold) + (1 - gold_weight) * T^2 * KL(teacher || student)`, both at temperature T.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Temperature T of teacher and student in the KL term.
    pub temperature: f32,
    /// Share of the gold cross-entropy where both exist, 0 to 1.
    pub gold_weight: f32,
}

impl Default for Distillation {
    fn default() -> Self {
        Distillation {
            temperature: 2.0,
            gold_weight: 0.5,
        }
    }
}

/// The optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the data.
    pub epochs: u32,
    /// Windows per step.
    pub batch_documents: usize,
    /// Peak rate of the encoder's parameters.
    pub encoder_rate: f32,
    /// Peak rate of the heads' parameters.
    pub head_rate: f32,
    /// Decoupled decay per step, times the rate.
    #[serde(default)]
    pub weight_decay: f32,
    /// Share of the steps in which the rate rises.
    #[serde(default)]
    pub warmup: f32,
    /// Largest global norm of the gradient.
    #[serde(default = "Training::clip")]
    pub clip: f32,
    /// Threads.
    #[serde(default = "Training::threads")]
    pub threads: usize,
    /// Minutes between checkpoints.
    #[serde(default = "Training::checkpoint_minutes")]
    pub checkpoint_minutes: f32,
    /// Weight of the entity loss.
    #[serde(default = "Training::loss_weight")]
    pub entity_loss_weight: f32,
    /// Weight of the relation loss.
    #[serde(default = "Training::loss_weight")]
    pub relation_loss_weight: f32,
    /// At most so many pairs per window are trained on (bounds memory); all if absent.
    pub max_pairs: Option<usize>,
}

impl Training {
    fn clip() -> f32 {
        1.0
    }
    fn threads() -> usize {
        1
    }
    fn checkpoint_minutes() -> f32 {
        5.0
    }
    fn loss_weight() -> f32 {
        1.0
    }
}

/// Something that the model learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// "corpus", "teacher" or "base".
    pub role: String,
    /// What of it was used.
    pub what: String,
    /// Its licence.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
}

/// Documents that the finished bundle is measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// As [`CorpusSource::map`].
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Soft labels that stand in for gold for relation types that the corpus lacks.
    pub relations_from: Option<PathBuf>,
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, has an unknown key, a value out of range, a label that the schema lacks, or names a
    /// file that is missing; the message names file and line.
    pub fn read(file: &Path) -> Result<Recipe> {
        let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
        Recipe::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Recipe> {
        let fail = |e: toml::de::Error| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            Error::line(file, line, e.message().replace('\n', "; "))
        };
        let mut recipe: Recipe = toml::from_str(text).map_err(fail)?;
        recipe.file = file.to_owned();
        recipe.text = text.to_owned();
        let table = DeTable::parse(text).map_err(fail)?;
        recipe.check(&Places {
            file,
            text,
            table: table.get_ref(),
        })?;
        Ok(recipe)
    }

    /// A path of the recipe as one that can be opened.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// An error at a key (`["student", "max_tokens"]`): what only shows when the recipe meets the files that it names.
    pub fn error(&self, key: &[&str], why: impl std::fmt::Display) -> Error {
        let line = DeTable::parse(&self.text).map_or(1, |table| {
            Places {
                file: &self.file,
                text: &self.text,
                table: table.get_ref(),
            }
            .line(key)
        });
        Error::line(&self.file, line, format!("{}: {why}", key.join(".")))
    }

    /// Everything that decides the trained weights: all but threads, checkpoint interval, thresholds and what goes into the card. Files stand
    /// by name alone: a folder may move.
    ///
    /// A checkpoint carries this, and is only resumed by a recipe with the same.
    pub fn identity(&self) -> serde_json::Value {
        let mut recipe = self.clone();
        let name = |path: &mut PathBuf| *path = path.file_name().unwrap_or_default().into();
        name(&mut recipe.student.base);
        recipe.corpora.iter_mut().for_each(|c| name(&mut c.path));
        recipe.teachers.iter_mut().for_each(|t| name(&mut t.path));
        if let Some(evaluation) = &mut recipe.evaluation {
            name(&mut evaluation.path);
            evaluation.relations_from.iter_mut().for_each(name);
        }
        let mut value = serde_json::json!(recipe);
        for (at, keys) in [
            ("", &["sources", "limits"][..]),
            ("/training", &["threads", "checkpoint_minutes"]),
        ] {
            if let Some(object) = value.pointer_mut(at).and_then(|o| o.as_object_mut()) {
                keys.iter().for_each(|key| drop(object.remove(*key)));
            }
        }
        for at in ["/schema/entities", "/schema/relations"] {
            let types = value.pointer_mut(at).and_then(|a| a.as_array_mut());
            for object in types
                .into_iter()
                .flatten()
                .filter_map(|t| t.as_object_mut())
            {
                object.remove("threshold");
            }
        }
        value
    }

    /// Index of an entity type.
    pub fn entity(&self, name: &str) -> Option<usize> {
        self.schema.entities.iter().position(|e| e.name == name)
    }

    /// Index of a relation type.
    pub fn relation(&self, name: &str) -> Option<usize> {
        self.schema.relations.iter().position(|r| r.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
