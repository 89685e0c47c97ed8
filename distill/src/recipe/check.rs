//! What a recipe must fulfil before any training begins.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use bie::bundle::MANIFEST;

use super::places::Places;
use super::{CorpusSource, Evaluation, Recipe};
use crate::corpus::{Format, Options};
use crate::error::Result;
use crate::teacher::NONE;

impl Recipe {
    pub(super) fn check(&self, at: &Places) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        at.need(
            &["name"],
            !self.name.is_empty() && self.name.chars().all(plain),
            || "the name is part of file names: use letters, digits, `-`, `_` and `.`".to_owned(),
        )?;
        self.check_student(at)?;
        self.check_schema(at)?;
        let sources = self.corpora.len() + self.teachers.len();
        at.need(&["corpora"], sources > 0, || {
            "give at least one [[corpora]], or [[teachers]] whose rows list entities".to_owned()
        })?;
        for (n, corpus) in self.corpora.iter().enumerate() {
            self.check_corpus(at, &n.to_string(), corpus)?;
        }
        self.check_teaching(at)?;
        self.check_training(at)?;
        if let Some(evaluation) = &self.evaluation {
            self.check_evaluation(at, &["evaluation"], evaluation)?;
        }
        if let Some(calibration) = &self.calibration {
            calibration.check(self, at)?;
        }
        self.check_update(at)
    }

    pub(super) fn check_evaluation(
        &self,
        at: &Places,
        key: &[&str],
        evaluation: &Evaluation,
    ) -> Result<()> {
        self.check_reading(
            at,
            key,
            (&evaluation.path, evaluation.format, &evaluation.options),
        )?;
        let key = |name| key.iter().copied().chain([name]).collect::<Vec<_>>();
        self.check_map(at, &key("map"), &evaluation.map)?;
        if let Some(labels) = &evaluation.relations_from {
            self.need_file(at, &key("relations_from"), labels)?;
        }
        at.need(
            &key("path"),
            self.corpora.iter().all(|c| c.path != evaluation.path),
            || {
                "the file is also trained on; measure on documents that the student has not seen"
                    .to_owned()
            },
        )
    }

    fn check_student(&self, at: &Places) -> Result<()> {
        let base = self.resolve(&self.student.base);
        at.need(
            &["student", "base"],
            base.join("config.json").is_file() || base.join(MANIFEST).is_file(),
            || {
                format!(
                    "{} holds neither a config.json nor a manifest.json; give a model in the Hugging Face layout, or a bundle of distill",
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
        at.range(&["student", "dropout"], self.student.dropout, 0.0, 0.9)?;
        self.student.adapters.iter().try_for_each(|a| a.check(at))
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
        self.check_reading(
            at,
            &["corpora", n],
            (&corpus.path, corpus.format, &corpus.options),
        )?;
        self.check_map(at, &key("map"), &corpus.map)?;
        let annotated = corpus.format.is_annotated();
        at.need(
            &key("annotates"),
            corpus.annotates.is_empty() != annotated,
            || match annotated {
                true => "name the entity types that the corpus annotates".to_owned(),
                false => format!("{} holds no annotation", corpus.format),
            },
        )?;
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

    /// What says where a corpus lies and how it is read.
    fn check_reading(
        &self,
        at: &Places,
        section: &[&str],
        (path, format, options): (&Path, Format, &Options),
    ) -> Result<()> {
        let key = |names: &[&'static str]| {
            let names = names.iter().copied();
            section.iter().copied().chain(names).collect::<Vec<_>>()
        };
        let resolved = self.resolve(path);
        at.need(&key(&["path"]), resolved.exists(), || no_file(&resolved))?;
        match options.misfit(format) {
            Some((name, why)) => at.need(&key(&["options", name]), false, || why),
            None => Ok(()),
        }
    }

    pub(super) fn check_map(
        &self,
        at: &Places,
        key: &[&str],
        map: &BTreeMap<String, String>,
    ) -> Result<()> {
        for (from, to) in map {
            let key: Vec<&str> = key.iter().copied().chain([from.as_str()]).collect();
            at.need(
                &key,
                to.is_empty() || self.entity(to).is_some() || self.relation(to).is_some(),
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
        at.range(&key("accumulate"), training.accumulate, 1, 4096)?;
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
        at.need(
            &key("explosion"),
            training.explosion == 0.0 || (2.0..=1e6).contains(&training.explosion),
            || {
                format!(
                    "{} is out of range (2 to 1000000, or 0 to let every number pass)",
                    training.explosion
                )
            },
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

    pub(super) fn need_file(&self, at: &Places, key: &[&str], path: &Path) -> Result<()> {
        let resolved = self.resolve(path);
        at.need(key, resolved.is_file(), || no_file(&resolved))
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

fn no_file(path: &Path) -> String {
    format!(
        "there is no file {}; paths are relative to the recipe's folder",
        path.display()
    )
}
