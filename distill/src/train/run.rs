//! One training run: from a recipe to trained parameters, through checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bie::encode::Encoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::batch::assemble;
use super::dropout;
use super::step::{Losses, Step, StepSpec};
use crate::checkpoint::{Checkpoint, Folder, State, Tensor};
use crate::dataset::{self, Dataset, Item};
use crate::error::{Error, Result};
use crate::optimizer::{AdamW, Parameter, Settings};
use crate::progress::{self, Progress};
use crate::recipe::Recipe;
use crate::schedule;
use crate::student::encoder::Config;
use crate::student::heads::RelationHead;
use crate::student::parameters::Parameters;

/// What a finished run hands on.
pub struct Run {
    /// The recipe.
    pub recipe: Recipe,
    /// The tokenizer.
    pub tokenizer: Encoder,
    /// Sizes of the encoder.
    pub config: Config,
    /// The relation head, if the schema has relations.
    pub relations: Option<RelationHead>,
    /// The trained weights.
    pub parameters: Parameters,
    /// Mean losses of each epoch.
    pub curve: Vec<Epoch>,
    /// What was trained on, in words.
    pub data: String,
}

/// Mean losses of one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// See [`Losses::entities`].
    pub entities: f32,
    /// See [`Losses::gold`].
    pub gold: f32,
    /// See [`Losses::teacher`].
    pub teacher: f32,
    /// Steps in these means.
    pub steps: u64,
}

impl Epoch {
    fn add(&mut self, l: Losses) {
        self.steps += 1;
        let n = self.steps as f32;
        self.entities += (l.entities - self.entities) / n;
        self.gold += (l.gold - self.gold) / n;
        self.teacher += (l.teacher - self.teacher) / n;
    }
}

/// Trains by `recipe`, keeping checkpoints in `out`; with `resume` goes on from the newest one.
/// `None`: SIGINT or SIGTERM came, the state is saved and a resumed run goes on from here.
///
/// # Errors
/// The recipe, a data file, the base weights or every checkpoint is bad (nothing has been trained then); the folder holds another run;
/// the loss is no longer a number (the last checkpoint stays); the disk is full.
pub fn train(recipe: &Path, out: &Path, resume: bool) -> Result<Option<Run>> {
    let recipe = Recipe::read(recipe)?;
    let base = recipe.resolve(&recipe.student.base);
    let (config, parameters) = Parameters::from_folder(&base)?;
    check_sizes(&recipe, &config)?;
    let tokenizer = read_tokenizer(&base, &config)?;
    let data = dataset::load(&recipe, &tokenizer)?;
    let folder = Folder::open(&out.join("checkpoints"))?;
    if !resume && !folder.list()?.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds checkpoints of an earlier run; add --resume to go on with it, or choose another folder",
            out.display()
        )));
    }
    let identity = recipe.identity();
    let checkpoint = if resume {
        folder.load(&identity)?
    } else {
        None
    };
    let mut trainer = Trainer::new(&recipe, &config, parameters, &data)?;
    if let Some(checkpoint) = checkpoint {
        checkpoint
            .warnings
            .iter()
            .for_each(|w| eprintln!("distill: {w}"));
        trainer.restore(checkpoint)?;
    }
    eprintln!("distill: {}", data.summary);
    if !trainer.run(&folder, &identity)? {
        eprintln!("distill: stopped by a signal; the state is saved, go on with --resume");
        return Ok(None);
    }
    let Trainer {
        parameters,
        curve,
        relations,
        ..
    } = trainer;
    let data = data.summary.to_string();
    Ok(Some(Run {
        recipe,
        tokenizer,
        config,
        relations,
        parameters,
        curve,
        data,
    }))
}

fn read_tokenizer(base: &Path, config: &Config) -> Result<Encoder> {
    let (path, tokenizer) = open_tokenizer(base)?;
    if tokenizer.vocabulary_size() > config.vocab_size {
        let why = format!(
            "{} pieces, but config.json has vocab_size {}",
            tokenizer.vocabulary_size(),
            config.vocab_size
        );
        return Err(Error::file(&path, why));
    }
    Ok(tokenizer)
}

/// `tokenizer.json`, else `vocab.txt` with what `tokenizer_config.json` says of case (lower-cased if it says nothing, as BERT's own tokenizer);
/// and which file it was.
pub(crate) fn open_tokenizer(base: &Path) -> Result<(PathBuf, Encoder)> {
    let (json, vocabulary) = (base.join("tokenizer.json"), base.join("vocab.txt"));
    let (path, read) = if json.exists() {
        let bytes = std::fs::read(&json).map_err(Error::io("read", &json))?;
        (json, Encoder::from_bytes(&bytes))
    } else {
        let text = std::fs::read_to_string(&vocabulary).map_err(Error::io("read", &vocabulary))?;
        (vocabulary, Encoder::from_vocab(&text, lowercase(base)?))
    };
    let tokenizer = read.map_err(|e| Error::file(&path, e.to_string()))?;
    Ok((path, tokenizer))
}

fn lowercase(base: &Path) -> Result<bool> {
    let path = base.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(true);
    }
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let settings: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, e.to_string()))?;
    Ok(settings
        .get("do_lower_case")
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(true))
}

fn check_sizes(recipe: &Recipe, config: &Config) -> Result<()> {
    let (tokens, block) = (recipe.student.max_tokens, recipe.student.relation_block);
    if tokens > config.max_positions {
        let why = format!(
            "{tokens}, but the base reads at most {} positions",
            config.max_positions
        );
        return Err(recipe.error(&["student", "max_tokens"], why));
    }
    if !config.hidden_size.is_multiple_of(block) {
        let why = format!(
            "{block} does not divide the base's hidden_size {}",
            config.hidden_size
        );
        return Err(recipe.error(&["student", "relation_block"], why));
    }
    Ok(())
}

struct Trainer<'a> {
    recipe: &'a Recipe,
    data: &'a Dataset,
    relations: Option<RelationHead>,
    parameters: Parameters,
    step: Step,
    optimizer: AdamW,
    /// Steps done.
    done: u64,
    curve: Vec<Epoch>,
}

impl<'a> Trainer<'a> {
    fn new(
        recipe: &'a Recipe,
        config: &Config,
        mut parameters: Parameters,
        data: &'a Dataset,
    ) -> Result<Self> {
        let (types, labels) = (
            recipe.schema.entities.len(),
            recipe.schema.relations.len() + 1,
        );
        let (hidden, heads, block) = (
            config.hidden_size,
            config.heads,
            recipe.student.relation_block,
        );
        let relations = (labels > 1).then_some(RelationHead {
            hidden,
            heads,
            labels,
            block,
        });
        let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
        parameters.add_heads(types, relations, || normal(&mut random), hidden);
        let spec = StepSpec {
            encoder: config.clone(),
            types,
            relations,
            batch: recipe.training.batch_documents,
            dropout: recipe.student.dropout,
            temperature: recipe.distillation.temperature,
        };
        let step = Step::new(spec, recipe.training.threads)?;
        let t = &recipe.training;
        let settings = Settings {
            weight_decay: t.weight_decay,
            clip: t.clip,
            ..Settings::default()
        };
        let trained = parameters.0.iter().map(|(name, p)| {
            let rate = if name.starts_with("heads.") {
                t.head_rate
            } else {
                t.encoder_rate
            };
            Parameter::new(name, &p.shape, rate)
        });
        let optimizer = AdamW::new(settings, trained.collect());
        Ok(Trainer {
            recipe,
            data,
            relations,
            parameters,
            step,
            optimizer,
            done: 0,
            curve: Vec::new(),
        })
    }

    fn steps_per_epoch(&self) -> u64 {
        self.data
            .items
            .len()
            .div_ceil(self.recipe.training.batch_documents) as u64
    }

    /// Whether it came to the end (and not to a signal).
    fn run(&mut self, folder: &Folder, identity: &serde_json::Value) -> Result<bool> {
        let t = &self.recipe.training;
        let (per_epoch, epochs) = (self.steps_per_epoch(), u64::from(t.epochs));
        let total = per_epoch * epochs;
        let stop = progress::stop_signal()?;
        let interval = Duration::from_secs_f32(60.0 * t.checkpoint_minutes);
        let mut saved = Instant::now();
        let mut progress = Progress::new(total, self.done, epochs);
        let mut masks = Vec::new();
        while self.done < total {
            let epoch = self.done / per_epoch;
            let batches = dataset::epoch_batches(
                &self.data.items,
                t.batch_documents,
                self.recipe.seed,
                epoch,
            );
            self.curve.resize(epoch as usize + 1, Epoch::default());
            for batch in batches.iter().skip((self.done % per_epoch) as usize) {
                let factor = schedule::factor(self.done, total, t.warmup);
                let (losses, tokens) = self.step(batch, factor, &mut masks)?;
                self.done += 1;
                if let Some(mean) = self.curve.last_mut() {
                    mean.add(losses);
                }
                progress.step(
                    epoch,
                    self.done,
                    losses.total(),
                    t.encoder_rate * factor,
                    tokens,
                );
                let stopped = stop.load(Ordering::Relaxed);
                if stopped || saved.elapsed() >= interval || self.done == total {
                    self.save(folder, identity)?;
                    saved = Instant::now();
                }
                if stopped && self.done < total {
                    progress.finish();
                    return Ok(false);
                }
            }
        }
        progress.finish();
        Ok(true)
    }

    /// One step; its losses and the number of tokens read.
    fn step(
        &mut self,
        batch: &[usize],
        factor: f32,
        masks: &mut Vec<f32>,
    ) -> Result<(Losses, usize)> {
        let recipe = self.recipe;
        let t = &recipe.training;
        let items: Vec<&Item> = batch
            .iter()
            .filter_map(|&i| self.data.items.get(i))
            .collect();
        let spec = self.step.spec();
        let (types, labels) = (spec.types, recipe.schema.relations.len() + 1);
        let batch = assemble(
            &items,
            t.batch_documents,
            types,
            labels,
            t,
            &recipe.distillation,
        );
        let length = batch.length * t.batch_documents * spec.encoder.hidden_size;
        dropout::fill(
            masks,
            self.step.masks(),
            length,
            recipe.student.dropout,
            recipe.seed,
            self.done,
            t.threads,
        );
        let gradients = self.step.run(&self.parameters, &batch, masks)?;
        let losses = gradients.losses;
        if !losses.total().is_finite() {
            return Err(Error::Training(format!(
                "the loss of step {} is not a number; the last checkpoint is kept: lower the rates or raise the warm-up, then train anew",
                self.done + 1
            )));
        }
        let positions: Vec<i64> = (0..batch.length as i64).collect();
        let each = gradients.each(&self.parameters, &batch, &positions)?;
        let mut values: Vec<&mut [f32]> = self
            .parameters
            .0
            .values_mut()
            .map(|p| p.data.as_mut_slice())
            .collect();
        self.optimizer.step(&mut values, &each, factor, t.threads)?;
        Ok((losses, batch.tokens))
    }

    fn save(&self, folder: &Folder, identity: &serde_json::Value) -> Result<()> {
        let mut tensors = BTreeMap::new();
        for (name, p) in &self.parameters.0 {
            tensors.insert(
                format!("value of {name}"),
                Tensor::floats(&p.shape, &p.data),
            );
        }
        for (p, first, second, steps) in self.optimizer.moments() {
            tensors.insert(
                format!("first moment of {}", p.name),
                Tensor::floats(&p.shape, first),
            );
            tensors.insert(
                format!("second moment of {}", p.name),
                Tensor::floats(&p.shape, second),
            );
            tensors.insert(format!("steps of {}", p.name), Tensor::counts(steps));
        }
        let per_epoch = self.steps_per_epoch();
        let state = State {
            step: self.done,
            epoch: self.done / per_epoch,
            batch: self.done % per_epoch,
            random: 0,
            recipe: identity.clone(),
            extra: serde_json::json!({ "curve": self.curve }),
        };
        folder.save(&state, &tensors).map(drop)
    }

    fn restore(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        let sizes: Vec<(String, usize, usize)> = self
            .optimizer
            .moments()
            .map(|(p, first, _, steps)| (p.name.clone(), first.len(), steps.len()))
            .collect();
        for (name, len, steps) in sizes {
            let values = checkpoint.floats(&format!("value of {name}"), len)?;
            if let Some(p) = self.parameters.0.get_mut(&name) {
                p.data = values;
            }
            let first = checkpoint.floats(&format!("first moment of {name}"), len)?;
            let second = checkpoint.floats(&format!("second moment of {name}"), len)?;
            let steps = checkpoint.counts(&format!("steps of {name}"), steps)?;
            self.optimizer.restore(&name, first, second, steps)?;
        }
        self.done = checkpoint.state.step;
        let curve = checkpoint
            .state
            .extra
            .get("curve")
            .cloned()
            .unwrap_or_default();
        self.curve = serde_json::from_value(curve).map_err(|e| {
            Error::Training(format!("the checkpoint's loss curve cannot be read: {e}"))
        })?;
        Ok(())
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let mut unit = || (random.next_u32() >> 8) as f32 / 16_777_216.0;
    let (a, b) = (unit().max(f32::MIN_POSITIVE), unit());
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_is_read_in_the_case_that_its_settings_say() {
        let base = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(base.path().join(name), text).unwrap();
        put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nNa\nna\n");
        let config = Config {
            vocab_size: 7,
            hidden_size: 8,
            layers: 1,
            heads: 1,
            intermediate_size: 8,
            max_positions: 8,
            epsilon: 1e-5,
        };
        let id = || {
            let tokenizer = read_tokenizer(base.path(), &config).unwrap();
            tokenizer.encode("Na").unwrap().sentences[0][0].id
        };
        assert_eq!(id(), 6, "lower-cased where nothing is said");
        put("tokenizer_config.json", "{\"do_lower_case\": false}");
        assert_eq!(id(), 5);
        put("tokenizer_config.json", "{");
        let error = read_tokenizer(base.path(), &config)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("tokenizer_config.json"), "{error}");
    }
}
