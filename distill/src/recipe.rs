//! The recipe: one TOML file that says everything about a run, checked before any training begins.
//!
//! An error names the line of the key that is wrong; missing files and labels that the schema lacks are found here, not after
//! an hour of training.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};
use crate::teacher::NONE;

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

    fn check(&self, at: &Places) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        at.need(
            &["name"],
            !self.name.is_empty() && self.name.chars().all(plain),
            || "the name is part of file names: use letters, digits, `-`, `_` and `.`".to_owned(),
        )?;
        self.check_student(at)?;
        self.check_schema(at)?;
        at.need(&["corpora"], !self.corpora.is_empty(), || {
            "give at least one [[corpora]]".to_owned()
        })?;
        for (n, corpus) in self.corpora.iter().enumerate() {
            self.check_corpus(at, &n.to_string(), corpus)?;
        }
        for (n, teacher) in self.teachers.iter().enumerate() {
            let n = n.to_string();
            let key = |name| ["teachers", n.as_str(), name];
            self.need_file(at, &key("path"), &teacher.path)?;
            at.need(&key("split"), !matches!(teacher.split.as_str(), "dev" | "devel" | "development" | "valid" | "test"), || {
                format!("split \"{}\" holds the documents that reports are measured on; train on \"train\"", teacher.split)
            })?;
            self.check_map(at, &key("map"), &teacher.map)?;
            at.range(&key("weight"), teacher.weight, 1e-6, 1e6)?;
        }
        at.range(
            &["distillation", "temperature"],
            self.distillation.temperature,
            0.1,
            100.0,
        )?;
        at.range(
            &["distillation", "gold_weight"],
            self.distillation.gold_weight,
            0.0,
            1.0,
        )?;
        self.check_training(at)?;
        if let Some(evaluation) = &self.evaluation {
            self.need_file(at, &["evaluation", "path"], &evaluation.path)?;
            self.check_map(at, &["evaluation", "map"], &evaluation.map)?;
            if let Some(labels) = &evaluation.relations_from {
                self.need_file(at, &["evaluation", "relations_from"], labels)?;
            }
            at.need(&["evaluation", "path"], self.corpora.iter().all(|c| c.path != evaluation.path), || {
                "the file is also trained on; measure on documents that the student has not seen".to_owned()
            })?;
        }
        Ok(())
    }

    fn check_student(&self, at: &Places) -> Result<()> {
        let base = self.resolve(&self.student.base);
        at.need(
            &["student", "base"],
            base.join("config.json").is_file(),
            || {
                format!(
                    "{} is no folder with a config.json; give a model in the Hugging Face layout",
                    base.display()
                )
            },
        )?;
        at.range(
            &["student", "max_tokens"],
            self.student.max_tokens,
            16,
            8192,
        )?;
        at.range(
            &["student", "relation_block"],
            self.student.relation_block,
            1,
            128,
        )?;
        at.range(&["student", "dropout"], self.student.dropout, 0.0, 0.9)
    }

    fn check_schema(&self, at: &Places) -> Result<()> {
        at.need(
            &["schema", "entities"],
            !self.schema.entities.is_empty(),
            || "give at least one [[schema.entities]]".to_owned(),
        )?;
        let mut names = HashSet::new();
        for (n, entity) in self.schema.entities.iter().enumerate() {
            let n = n.to_string();
            let key = |name| ["schema", "entities", n.as_str(), name];
            at.need(
                &key("name"),
                !entity.name.is_empty() && names.insert(&entity.name),
                || {
                    format!(
                        "the entity type \"{}\" is empty or stands twice",
                        entity.name
                    )
                },
            )?;
            at.range(&key("threshold"), entity.threshold, 0.0, 1.0)?;
        }
        for (n, relation) in self.schema.relations.iter().enumerate() {
            let n = n.to_string();
            let key = |name| ["schema", "relations", n.as_str(), name];
            at.need(&key("name"), !relation.name.is_empty() && relation.name != NONE && names.insert(&relation.name), || {
                format!("the relation type \"{}\" is empty, \"{NONE}\", or the name of another type", relation.name)
            })?;
            for (name, types) in [("head", &relation.head), ("tail", &relation.tail)] {
                at.need(&key(name), !types.is_empty(), || {
                    "give at least one entity type".to_owned()
                })?;
                for label in types {
                    at.need(&key(name), self.entity(label).is_some(), || {
                        self.unknown_entity(label)
                    })?;
                }
            }
            let sorted = |types: &[String]| {
                types
                    .iter()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>()
            };
            at.need(
                &key("symmetric"),
                !relation.symmetric || sorted(&relation.head) == sorted(&relation.tail),
                || "a symmetric relation must have the same types as head and as tail".to_owned(),
            )?;
            at.range(&key("threshold"), relation.threshold, 0.0, 1.0)?;
        }
        Ok(())
    }

    fn check_corpus(&self, at: &Places, n: &str, corpus: &CorpusSource) -> Result<()> {
        let key = |name| ["corpora", n, name];
        self.need_file(at, &key("path"), &corpus.path)?;
        self.check_map(at, &key("map"), &corpus.map)?;
        at.need(&key("annotates"), !corpus.annotates.is_empty(), || {
            "name the entity types that the corpus annotates".to_owned()
        })?;
        for label in &corpus.annotates {
            at.need(&key("annotates"), self.entity(label).is_some(), || {
                self.unknown_entity(label)
            })?;
        }
        for label in &corpus.gold_relations {
            at.need(
                &key("gold_relations"),
                self.relation(label).is_some(),
                || self.unknown_relation(label),
            )?;
        }
        Ok(())
    }

    fn check_map(&self, at: &Places, key: &[&str], map: &BTreeMap<String, String>) -> Result<()> {
        for (from, to) in map {
            let key: Vec<&str> = key.iter().copied().chain([from.as_str()]).collect();
            at.need(
                &key,
                self.entity(to).is_some() || self.relation(to).is_some(),
                || format!("\"{from}\" is mapped to \"{to}\", which is no type of the schema"),
            )?;
        }
        Ok(())
    }

    fn check_training(&self, at: &Places) -> Result<()> {
        let training = &self.training;
        let key = |name| ["training", name];
        at.range(&key("epochs"), training.epochs, 1, 10_000)?;
        at.range(&key("batch_documents"), training.batch_documents, 1, 4096)?;
        at.range(&key("encoder_rate"), training.encoder_rate, 0.0, 1.0)?;
        at.range(&key("head_rate"), training.head_rate, 0.0, 1.0)?;
        at.range(&key("weight_decay"), training.weight_decay, 0.0, 1.0)?;
        at.range(&key("warmup"), training.warmup, 0.0, 0.9)?;
        at.range(&key("clip"), training.clip, 1e-6, 1e6)?;
        at.range(&key("threads"), training.threads, 1, 1024)?;
        at.range(
            &key("checkpoint_minutes"),
            training.checkpoint_minutes,
            0.001,
            1440.0,
        )?;
        at.range(
            &key("entity_loss_weight"),
            training.entity_loss_weight,
            0.0,
            1000.0,
        )?;
        at.range(
            &key("relation_loss_weight"),
            training.relation_loss_weight,
            0.0,
            1000.0,
        )?;
        at.range(
            &key("max_pairs"),
            training.max_pairs.unwrap_or(1),
            1,
            1_000_000,
        )
    }

    fn need_file(&self, at: &Places, key: &[&str], path: &Path) -> Result<()> {
        let resolved = self.resolve(path);
        at.need(key, resolved.is_file(), || {
            format!(
                "there is no file {}; paths are relative to the recipe's folder",
                resolved.display()
            )
        })
    }

    fn unknown_entity(&self, label: &str) -> String {
        let known: Vec<&str> = self
            .schema
            .entities
            .iter()
            .map(|e| e.name.as_str())
            .collect();
        format!(
            "\"{label}\" is no entity type of the schema ({})",
            known.join(", ")
        )
    }

    fn unknown_relation(&self, label: &str) -> String {
        let known: Vec<&str> = self
            .schema
            .relations
            .iter()
            .map(|r| r.name.as_str())
            .collect();
        format!(
            "\"{label}\" is no relation type of the schema ({})",
            known.join(", ")
        )
    }
}

/// Line (from 1) of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// Finds the lines of keys, for messages.
struct Places<'a> {
    file: &'a Path,
    text: &'a str,
    table: &'a DeTable<'a>,
}

impl Places<'_> {
    /// Line of a key; of the nearest table around it if the key is absent.
    fn line(&self, key: &[&str]) -> usize {
        let mut line = 1;
        let Some((first, rest)) = key.split_first() else {
            return line;
        };
        let Some(mut value) = self.table.get(*first) else {
            return line;
        };
        line = line_of(self.text, value.span().start);
        for part in rest {
            let next = match value.get_ref() {
                DeValue::Table(table) => table.get(*part),
                DeValue::Array(array) => part.parse::<usize>().ok().and_then(|n| array.get(n)),
                _ => None,
            };
            match next {
                Some(found) => value = found,
                None => break,
            }
            line = line_of(self.text, value.span().start);
        }
        line
    }

    /// An error at `key` unless `holds`.
    fn need(&self, key: &[&str], holds: bool, why: impl FnOnce() -> String) -> Result<()> {
        if holds {
            Ok(())
        } else {
            Err(Error::line(
                self.file,
                self.line(key),
                format!("{}: {}", key.join("."), why()),
            ))
        }
    }

    /// An error at `key` unless the value lies in `[low, high]`.
    fn range<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &[&str],
        value: T,
        low: T,
        high: T,
    ) -> Result<()> {
        self.need(key, value >= low && value <= high, || {
            format!("{value} is out of range ({low} to {high})")
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
