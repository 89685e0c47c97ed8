//! The recipe: one TOML file that says everything about a run, checked before any training begins.
//!
//! An error names the line of the key that is wrong; missing files and labels that the schema lacks are found here, not after
//! an hour of training.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::corpus::{Format, Options};
use crate::error::{Error, Result};
use crate::student::trainable::Trainable;

pub mod adapt;
mod calibration;
mod check;
mod frugal;
mod layers;
pub(crate) mod places;
mod teaching;
mod update;

pub use calibration::Calibration;
pub use frugal::{Adapters, Freeze};
pub use layers::Layers;
pub(crate) use places::line_of;
use places::{Places, toml_error};
pub use teaching::{
    Distillation, EncoderTeacherSource, LayerMap, Rule, TeacherSource, likeliest, logit,
};
pub use update::Update;

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
    #[serde(default)]
    pub schema: Schema,
    /// Gold data.
    #[serde(default)]
    pub corpora: Vec<CorpusSource>,
    /// Soft labels for documents of `corpora`.
    #[serde(default)]
    pub teachers: Vec<TeacherSource>,
    /// Trained students that teach this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encoder_teachers: Vec<EncoderTeacherSource>,
    /// How gold and teacher are mixed.
    #[serde(default)]
    pub distillation: Distillation,
    /// The optimisation.
    pub training: Training,
    /// Documents that the finished bundle is measured on; never trained on.
    pub evaluation: Option<Evaluation>,
    /// How scores and thresholds of the finished bundle are fitted; without it they stay the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The base is a bundle that learns something new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// What the model learned from, for its card: every corpus, teacher and base, with licence and citation.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// What the model is for and whom, for its card; a general text if absent.
    #[serde(default)]
    pub intended_use: String,
    /// What the model must not be trusted with, for its card.
    #[serde(default)]
    pub limits: String,
    /// Folder that paths are relative to, itself relative to the recipe's; the recipe's own folder if absent.
    pub folder: Option<PathBuf>,
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
    /// The layers of the base that the student keeps; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// Longest window in tokens, `[CLS]` and `[SEP]` included.
    #[serde(default = "Student::max_tokens")]
    pub max_tokens: usize,
    /// Block size of the grouped bilinear relation head.
    #[serde(default = "Student::relation_block")]
    pub relation_block: usize,
    /// Probability of dropping a unit while training.
    #[serde(default = "Student::dropout")]
    pub dropout: f32,
    /// What of the base stays as it is.
    #[serde(default, skip_serializing_if = "Freeze::is_none")]
    pub freeze: Freeze,
    /// Train low-rank adapters instead of the encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapters>,
}

impl Student {
    /// What of it is trained.
    pub fn trainable(&self) -> Trainable {
        Trainable {
            freeze: self.freeze,
            adapters: self.adapters,
        }
    }
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Entity types, in the order of the student's heads.
    #[serde(default)]
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

fn yes() -> bool {
    true
}

/// One corpus to train on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusSource {
    /// The file, or a folder or zip of files.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// How it is read, where its format leaves that open.
    #[serde(default, skip_serializing_if = "Options::is_default")]
    pub options: Options,
    /// The corpus's labels (of mentions and relations) to the schema's; a label that is not listed stands for itself, one that is mapped to
    /// nothing ("") is left out on purpose.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Entity types of the schema that the corpus annotates completely; the others are masked in the loss.
    #[serde(default)]
    pub annotates: Vec<String>,
    /// Relation types of the schema that the corpus annotates completely; a pair without such a relation is a negative.
    #[serde(default)]
    pub gold_relations: Vec<String>,
}

/// The optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the data.
    pub epochs: u32,
    /// Windows per step.
    pub batch_documents: usize,
    /// Batches whose gradients make one step together.
    #[serde(
        default = "Training::accumulate",
        skip_serializing_if = "Training::is_one"
    )]
    pub accumulate: usize,
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
    /// Threads; as many as the machine gives this process if absent.
    #[serde(default = "Training::threads")]
    pub threads: usize,
    /// Minutes of work that a kill may cost; see [`crate::checkpoint::Saver`].
    #[serde(default = "Training::checkpoint_minutes")]
    pub checkpoint_minutes: f32,
    /// Write checkpoints while the training goes on, from a copy in memory: see [`crate::checkpoint::Habit`].
    #[serde(default = "yes")]
    pub checkpoint_in_background: bool,
    /// A loss above so many times the highest typical one ends the training; 0: only one that is no number. See [`crate::train::watch::Watch`].
    #[serde(default = "Training::explosion")]
    pub explosion: f32,
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
    /// Windows of one step.
    pub fn step_windows(&self) -> usize {
        self.batch_documents.saturating_mul(self.accumulate).max(1)
    }
    fn accumulate() -> usize {
        1
    }
    /// Recipes from before this key have the same identity.
    fn is_one(n: &usize) -> bool {
        *n == 1
    }
    fn clip() -> f32 {
        1.0
    }
    fn threads() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
    fn checkpoint_minutes() -> f32 {
        1.0
    }
    fn explosion() -> f32 {
        10.0
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
    /// As [`CorpusSource::path`].
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// As [`CorpusSource::options`].
    #[serde(default, skip_serializing_if = "Options::is_default")]
    pub options: Options,
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
        let fail = |e| toml_error(file, text, &e);
        let mut recipe: Recipe = toml::from_str(text).map_err(fail)?;
        recipe.file = file.to_owned();
        recipe.text = text.to_owned();
        let table = DeTable::parse(text).map_err(fail)?;
        let places = Places {
            file,
            text,
            table: table.get_ref(),
        };
        recipe.inherit_schema(&places)?;
        recipe.check(&places)?;
        Ok(recipe)
    }

    /// A path of the recipe as one that can be opened.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let own = self.file.parent().unwrap_or(Path::new(""));
        own.join(self.folder.as_deref().unwrap_or(Path::new("")))
            .join(path)
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

    /// The recipe's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Everything that decides the trained weights: all but threads, how checkpoints are made, when a loss explodes, thresholds and what goes
    /// into the card. Files stand
    /// by name alone: a folder may move.
    ///
    /// A checkpoint carries this, and is only resumed by a recipe with the same.
    pub fn identity(&self) -> serde_json::Value {
        let mut recipe = self.clone();
        let name = |path: &mut PathBuf| *path = path.file_name().unwrap_or_default().into();
        name(&mut recipe.student.base);
        recipe.corpora.iter_mut().for_each(|c| name(&mut c.path));
        (recipe.encoder_teachers.iter_mut()).for_each(|t| name(&mut t.path));
        for teacher in &mut recipe.teachers {
            name(&mut teacher.path);
            let gold = teacher.calibrate_on.iter_mut();
            gold.for_each(|gold| name(&mut gold.path));
        }
        let guards = recipe.update.iter_mut().flat_map(|u| &mut u.guards);
        // Of the calibration, its own documents: they are held out.
        let calibration = recipe.calibration.take().and_then(|c| c.corpus);
        recipe.calibration = calibration.map(|corpus| Calibration {
            corpus: Some(corpus),
            ..Calibration::default()
        });
        let calibration = recipe.calibration.iter_mut().flat_map(|c| &mut c.corpus);
        for evaluation in recipe
            .evaluation
            .iter_mut()
            .chain(guards)
            .chain(calibration)
        {
            name(&mut evaluation.path);
            evaluation.relations_from.iter_mut().for_each(name);
        }
        let mut value = serde_json::json!(recipe);
        for (at, keys) in [
            ("", &["sources", "limits", "intended_use", "folder"][..]),
            ("/update", &["allowed_loss"]),
            (
                "/training",
                &[
                    "threads",
                    "checkpoint_minutes",
                    "checkpoint_in_background",
                    "explosion",
                ],
            ),
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

    /// The thresholds that stand in the recipe's own schema, by type: defaults do not.
    pub fn given_thresholds(&self) -> BTreeMap<String, f32> {
        #[derive(Default, Deserialize)]
        struct Types {
            #[serde(default)]
            entities: Vec<Type>,
            #[serde(default)]
            relations: Vec<Type>,
        }
        #[derive(Deserialize)]
        struct Type {
            name: String,
            threshold: Option<f32>,
        }
        #[derive(Default, Deserialize)]
        struct Given {
            #[serde(default)]
            schema: Types,
        }
        // The text was read before, with stricter types.
        let Types {
            entities,
            relations,
        } = toml::from_str::<Given>(&self.text)
            .unwrap_or_default()
            .schema;
        let given = entities.into_iter().chain(relations);
        given
            .filter_map(|kind| Some((kind.name, kind.threshold?)))
            .collect()
    }

    /// Documents that the run must not be trained on.
    pub fn held_out(&self) -> impl Iterator<Item = &Evaluation> {
        let calibration = self.calibration.as_ref().and_then(|c| c.corpus.as_ref());
        let guards = self.update.iter().flat_map(|u| &u.guards);
        let teachers = self.teachers.iter().flat_map(|t| &t.calibrate_on);
        let held = self.evaluation.iter().chain(calibration);
        held.chain(guards).chain(teachers)
    }

    /// Index of an entity type.
    pub fn entity(&self, name: &str) -> Option<usize> {
        self.schema.entities.iter().position(|e| e.name == name)
    }

    /// Whether a corpus's label is neither mapped (to a type, or to nothing on purpose) nor itself a type.
    pub fn is_unmapped(&self, map: &BTreeMap<String, String>, label: &str) -> bool {
        !map.contains_key(label) && self.entity(label).is_none() && self.relation(label).is_none()
    }

    /// Index of a relation type.
    pub fn relation(&self, name: &str) -> Option<usize> {
        self.schema.relations.iter().position(|r| r.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
