//! Who teaches, and what each term of the loss is worth. The formulas: docs/distilling.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Recipe;
use super::places::Places;
use crate::error::Result;

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
    #[serde(default = "one")]
    pub weight: f32,
}

impl TeacherSource {
    fn split() -> String {
        "train".to_owned()
    }
}

/// A trained student, larger or deeper, that teaches this one: an fp32 bundle that distill made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderTeacherSource {
    /// The bundle's folder.
    pub path: PathBuf,
    /// As [`TeacherSource::map`].
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Weight of its answers against other teachers of the same tag or pair; 0: its answers are not taught.
    #[serde(default = "one")]
    pub weight: f32,
    /// Weight of the hidden states' term.
    #[serde(default)]
    pub hidden_weight: f32,
    /// Weight of the attention maps' term.
    #[serde(default)]
    pub attention_weight: f32,
    /// Which layer of the student is held to which of the teacher.
    #[serde(default)]
    pub layers: LayerMap,
    /// The bundle's hash, once it is opened: no key of the recipe, but part of what decides the outcome.
    #[serde(skip_deserializing, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

impl EncoderTeacherSource {
    /// A teacher whose answers alone are taught.
    pub fn answers(path: &Path) -> Self {
        EncoderTeacherSource {
            path: path.to_owned(),
            map: BTreeMap::new(),
            weight: one(),
            hidden_weight: 0.0,
            attention_weight: 0.0,
            layers: LayerMap::default(),
            hash: String::new(),
        }
    }
}

/// A map of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LayerMap {
    /// By a rule.
    Rule(Rule),
    /// Pairs of student layer and teacher layer; 0 is the output of the embeddings, which has no attention.
    Pairs(Vec<(usize, usize)>),
}

/// A rule for a map of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Layer i of S learns from layer ⌊i·T/S⌋ of T.
    Even,
}

impl Default for LayerMap {
    fn default() -> Self {
        LayerMap::Rule(Rule::Even)
    }
}

impl LayerMap {
    /// The pairs for a student and a teacher of so many layers.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn pairs(
        &self,
        student: usize,
        teacher: usize,
    ) -> std::result::Result<Vec<(usize, usize)>, String> {
        match self {
            LayerMap::Rule(Rule::Even) if teacher < student => Err(format!(
                "the teacher has {teacher} layers, fewer than the student's {student}; list pairs of [student, teacher]"
            )),
            LayerMap::Rule(Rule::Even) => {
                Ok((1..=student).map(|i| (i, i * teacher / student)).collect())
            }
            LayerMap::Pairs(pairs) => {
                match pairs.iter().find(|(s, t)| *s > student || *t > teacher) {
                    Some((s, t)) => Err(format!(
                        "[{s}, {t}]: the student has layers 0 to {student}, the teacher 0 to {teacher} (0: the embeddings)"
                    )),
                    None => Ok(pairs.clone()),
                }
            }
        }
    }
}

/// The loss of a tag or a pair is `gold_weight * CE(gold) + (1 - gold_weight) * T^2 * KL(teacher || student)`, both at temperature T.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// Temperature T of teacher and student in the KL term.
    pub temperature: f32,
    /// Share of the gold cross-entropy where both exist, 0 to 1.
    pub gold_weight: f32,
    /// Weight, within the loss of a pair, of the cross-entropy between the teacher's evidence and the attention that the pair is read with.
    #[serde(skip_serializing_if = "is_zero")]
    pub rationale_weight: f32,
    /// Most that the cached answers of encoder teachers may take on the disk; what is beyond is computed anew every time.
    #[serde(skip_serializing_if = "is_ten")]
    pub cache_gigabytes: f32,
}

impl Default for Distillation {
    fn default() -> Self {
        Distillation {
            temperature: 2.0,
            gold_weight: 0.5,
            rationale_weight: 0.0,
            cache_gigabytes: 10.0,
        }
    }
}

fn one() -> f32 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(x: &f32) -> bool {
    *x == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_ten(x: &f32) -> bool {
    *x == 10.0
}

impl Recipe {
    pub(super) fn check_teaching(&self, at: &Places) -> Result<()> {
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
        for (n, teacher) in self.encoder_teachers.iter().enumerate() {
            let n = n.to_string();
            let key = |name| ["encoder_teachers", n.as_str(), name];
            let path = self.resolve(&teacher.path);
            at.need(
                &key("path"),
                path.join(bie::bundle::MANIFEST).is_file(),
                || {
                    format!(
                        "{} is no bundle; give a folder fp32 that distill wrote",
                        path.display()
                    )
                },
            )?;
            self.check_map(at, &key("map"), &teacher.map)?;
            at.range(&key("weight"), teacher.weight, 0.0, 1e6)?;
            at.range(&key("hidden_weight"), teacher.hidden_weight, 0.0, 1e6)?;
            at.range(&key("attention_weight"), teacher.attention_weight, 0.0, 1e6)?;
            let teaches = teacher.weight + teacher.hidden_weight + teacher.attention_weight > 0.0;
            at.need(&key("weight"), teaches, || {
                "all three weights are 0, so this teacher teaches nothing; leave it out".to_owned()
            })?;
            let listed = !matches!(&teacher.layers, LayerMap::Pairs(pairs) if pairs.is_empty());
            at.need(&key("layers"), listed, || {
                "the list is empty; give pairs of [student, teacher] or leave the key out"
                    .to_owned()
            })?;
        }
        let d = &self.distillation;
        let key = |name| ["distillation", name];
        at.range(&key("temperature"), d.temperature, 0.1, 100.0)?;
        at.range(&key("gold_weight"), d.gold_weight, 0.0, 1.0)?;
        at.range(&key("rationale_weight"), d.rationale_weight, 0.0, 1e6)?;
        at.range(&key("cache_gigabytes"), d.cache_gigabytes, 0.0, 1e6)
    }
}
