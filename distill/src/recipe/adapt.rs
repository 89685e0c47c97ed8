//! The recipe of `distill adapt`: a base, another vocabulary for it, plain text that it goes on reading.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::Training;
use super::places::{Places, toml_error};
use crate::error::{Error, Result};

/// A checked recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptation {
    /// Name of the result.
    pub name: String,
    /// Seed of what is held out, masked, shuffled and dropped.
    pub seed: u64,
    /// Folder with `config.json`, a vocabulary and weights in the Hugging Face layout.
    pub base: PathBuf,
    /// Folder with the vocabulary that replaces the base's: `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`.
    pub vocabulary: Option<PathBuf>,
    /// What is read; without it only the vocabulary is exchanged.
    pub text: Option<Text>,
    /// The optimisation.
    #[serde(default)]
    pub training: Masked,
    /// The recipe's file; paths are relative to its folder.
    #[serde(skip)]
    file: PathBuf,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Files (`.txt`, `.gz`) and folders, of which all such files are read.
    pub paths: Vec<PathBuf>,
    /// What a document is.
    #[serde(default)]
    pub documents: Documents,
    /// Documents that are only measured on, chosen by the seed.
    #[serde(default = "Text::held_out")]
    pub held_out: usize,
    /// Of the held-out documents, at most so many windows are measured, evenly spread.
    #[serde(default = "Text::held_out_windows")]
    pub held_out_windows: usize,
    /// At most so many of the other documents are read, chosen by the seed; all if absent.
    pub at_most: Option<usize>,
    /// Longest window in tokens, `[CLS]` and `[SEP]` included.
    #[serde(default = "Text::max_tokens")]
    pub max_tokens: usize,
}

/// What a document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Documents {
    /// A file.
    #[default]
    Files,
    /// A line that is not blank.
    Lines,
}

impl Text {
    fn held_out() -> usize {
        50
    }
    fn held_out_windows() -> usize {
        512
    }
    fn max_tokens() -> usize {
        128
    }
}

/// Training on masked words (Devlin et al. 2019), whole words at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masked {
    /// Passes over the text.
    pub epochs: u32,
    /// Windows per step.
    pub batch: usize,
    /// Peak rate.
    pub rate: f32,
    /// Decoupled decay per step, times the rate.
    pub weight_decay: f32,
    /// Share of the steps in which the rate rises.
    pub warmup: f32,
    /// Largest global norm of the gradient.
    pub clip: f32,
    /// Probability of dropping a unit.
    pub dropout: f32,
    /// Share of the pieces that are to be found again.
    pub mask: f32,
    /// Threads.
    pub threads: usize,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f32,
    /// As [`super::Training`] has it: how far beyond the usual a loss ends the training.
    pub explosion: f32,
}

impl Default for Masked {
    fn default() -> Self {
        Masked {
            epochs: 1,
            batch: 16,
            rate: 2e-4,
            weight_decay: 0.01,
            warmup: 0.06,
            clip: 1.0,
            dropout: 0.1,
            mask: 0.15,
            threads: Training::threads(),
            checkpoint_minutes: Training::checkpoint_minutes(),
            explosion: Training::explosion(),
        }
    }
}

impl Adaptation {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// As [`super::Recipe::read`].
    pub fn read(file: &Path) -> Result<Adaptation> {
        let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
        Adaptation::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Adaptation> {
        let fail = |e| toml_error(file, text, &e);
        let mut recipe: Adaptation = toml::from_str(text).map_err(fail)?;
        recipe.file = file.to_owned();
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

    /// Everything that decides the outcome; see [`super::Recipe::identity`].
    pub fn identity(&self) -> serde_json::Value {
        let mut recipe = self.clone();
        let name = |path: &mut PathBuf| *path = path.file_name().unwrap_or_default().into();
        name(&mut recipe.base);
        recipe.vocabulary.iter_mut().for_each(name);
        recipe
            .text
            .iter_mut()
            .flat_map(|t| &mut t.paths)
            .for_each(name);
        let mut value = serde_json::json!(recipe);
        if let Some(training) = value.get_mut("training").and_then(|t| t.as_object_mut()) {
            training.remove("threads");
            training.remove("checkpoint_minutes");
            training.remove("explosion");
        }
        value
    }

    fn check(&self, at: &Places) -> Result<()> {
        let folder = |key: &[&str], path: &Path, files: &[&str]| {
            let path = self.resolve(path);
            let found = files.iter().any(|file| path.join(file).is_file());
            at.need(key, found, || {
                format!(
                    "{} is no folder with {}",
                    path.display(),
                    files.join(" or ")
                )
            })
        };
        folder(&["base"], &self.base, &["config.json"])?;
        if let Some(vocabulary) = &self.vocabulary {
            folder(
                &["vocabulary"],
                vocabulary,
                &["tokenizer.json", "vocab.txt"],
            )?;
        }
        at.need(
            &["text"],
            self.text.is_some() || self.vocabulary.is_some(),
            || "give a vocabulary, or text, or both".to_owned(),
        )?;
        if let Some(text) = &self.text {
            let key = |name| ["text", name];
            at.need(&key("paths"), !text.paths.is_empty(), || {
                "give at least one file or folder".to_owned()
            })?;
            for path in &text.paths {
                let path = self.resolve(path);
                at.need(&key("paths"), path.exists(), || {
                    format!(
                        "there is no {}; paths are relative to the recipe's folder",
                        path.display()
                    )
                })?;
            }
            at.range(&key("held_out"), text.held_out, 1, 1_000_000)?;
            at.range(
                &key("held_out_windows"),
                text.held_out_windows,
                1,
                1_000_000,
            )?;
            at.range(&key("at_most"), text.at_most.unwrap_or(1), 1, usize::MAX)?;
            at.range(&key("max_tokens"), text.max_tokens, 8, 8192)?;
        }
        let (t, key) = (&self.training, |name| ["training", name]);
        at.range(&key("epochs"), t.epochs, 1, 10_000)?;
        at.range(&key("batch"), t.batch, 1, 4096)?;
        at.range(&key("rate"), t.rate, 0.0, 1.0)?;
        at.range(&key("weight_decay"), t.weight_decay, 0.0, 1.0)?;
        at.range(&key("warmup"), t.warmup, 0.0, 0.9)?;
        at.range(&key("clip"), t.clip, 1e-6, 1e6)?;
        at.range(&key("dropout"), t.dropout, 0.0, 0.9)?;
        at.range(&key("mask"), t.mask, 0.01, 0.9)?;
        at.range(&key("threads"), t.threads, 1, 1024)?;
        at.range(
            &key("checkpoint_minutes"),
            t.checkpoint_minutes,
            0.001,
            1440.0,
        )?;
        at.range(&key("explosion"), t.explosion, 0.0, 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"a\"\nseed = 1\nbase = \".\"\nvocabulary = \".\"\n[text]\npaths = [\"t.txt\"]\nheld_out = 2\n[training]\nrate = 1e-4\n";

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "vocab.txt", "t.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let file = folder.path().join("a.toml");
        let read = Adaptation::parse(&file, GOOD).unwrap();
        assert_eq!(read.training.batch, Masked::default().batch);
        assert!(read.identity().pointer("/training/threads").is_none());
        for (from, to, line, why) in [
            ("seed = 1", "sead = 1", 2, "unknown field `sead`"),
            (
                "base = \".\"",
                "base = \"b\"",
                3,
                "no folder with config.json",
            ),
            (
                "vocabulary = \".\"",
                "vocabulary = \"v\"",
                4,
                "tokenizer.json or vocab.txt",
            ),
            ("[\"t.txt\"]", "[]", 6, "at least one"),
            ("[\"t.txt\"]", "[\"u\"]", 6, "there is no"),
            ("held_out = 2", "held_out = 0", 7, "out of range"),
            ("rate = 1e-4", "rate = -1.0", 9, "out of range"),
            ("rate = 1e-4", "mask = 0.0", 9, "out of range"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let error = Adaptation::parse(&file, &text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("a.toml:{line}: ")) && error.contains(why),
                "{to}: {error}"
            );
        }
        let nothing = "name = \"a\"\nseed = 1\nbase = \".\"\n";
        let error = Adaptation::parse(&file, nothing).unwrap_err().to_string();
        assert!(error.contains("give a vocabulary, or text"), "{error}");
    }
}
