//! One training run: from a recipe to trained parameters, through checkpoints.

use std::path::Path;
use std::time::Duration;

use bie::encode::Encoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::budget::{Budget, Extents};
use super::losses::Epoch;
use super::supervised::Supervised;
use super::trainer::{self, Plan, Trained};
use crate::checkpoint::Folder;
use crate::dataset::{self, Dataset};
use crate::error::{Error, Result};
use crate::memory;
use crate::optimizer::{Parameter, Settings};
use crate::recipe::Recipe;
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

/// Trains by `recipe`, keeping checkpoints in `out`; with `resume` goes on from the newest one. Splits steps into parts
/// so that it holds at most `memory` bytes.
/// `None`: SIGINT or SIGTERM came, the state is saved and a resumed run goes on from here.
///
/// # Errors
/// The recipe, a data file, the base weights or every checkpoint is bad (nothing has been trained then); the folder holds another run;
/// the loss is no longer a number (the last checkpoint stays); the disk is full.
pub fn train(recipe: &Path, out: &Path, resume: bool, memory: Option<u64>) -> Result<Option<Run>> {
    let recipe = Recipe::read(recipe)?;
    let base = recipe.resolve(&recipe.student.base);
    let (config, mut parameters) = Parameters::from_folder(&base)?;
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
    let relations = relation_head(&recipe, &config);
    let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
    let types = recipe.schema.entities.len();
    parameters.add_heads(types, relations, || normal(&mut random), config.hidden_size);
    let trainable = recipe.student.trainable();
    parameters.add_adapters(&config, &trainable, || normal(&mut random));
    let plan = plan(&recipe, &parameters);
    let held = memory::resident().unwrap_or_default();
    let checkpoint = if resume {
        folder.load(&plan.identity)?
    } else {
        None
    };
    let budget = Budget {
        spec: Supervised::spec(&recipe, &config, relations),
        windows: recipe.training.step_windows(),
        extents: Extents::of(data.items.iter()),
        parameters: &parameters,
        held,
    };
    let tensors = checkpoint.iter().flat_map(|c| c.tensors.values());
    let loaded: usize = tensors.map(|t| 4 * t.shape.iter().product::<usize>()).sum();
    let mut task = prepare(&recipe, &data, budget, memory, loaded as u64)?;
    eprintln!("distill: {}", data.summary);
    let trained = trainer::train(&mut task, parameters, &plan, &folder, checkpoint)?;
    if let Some(peak) = memory::peak() {
        eprintln!("distill: memory, {} at most so far", memory::show(peak));
    }
    let Some(trained) = trained else {
        eprintln!("distill: stopped by a signal; the state is saved, go on with --resume");
        return Ok(None);
    };
    let Trained {
        mut parameters,
        curve,
    } = trained;
    if let Some(adapters) = &recipe.student.adapters {
        parameters.merge_adapters(adapters);
    }
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

/// The task, in parts that fit into `limit` bytes; with a limit, it is shown by a rehearsal that they do. `loaded` bytes are of a checkpoint,
/// and become weights and moments.
fn prepare<'a>(
    recipe: &'a Recipe,
    data: &'a Dataset,
    budget: Budget,
    limit: Option<u64>,
    loaded: u64,
) -> Result<Supervised<'a>> {
    let Some(limit) = limit else {
        let need = budget.need();
        let task = Supervised::new(recipe, budget.spec, data)?;
        eprintln!("distill: memory, at most {need}");
        return Ok(task);
    };
    let (windows, extents, parameters) = (budget.windows, budget.extents, budget.parameters);
    let (spec, need) = budget.fit(limit)?;
    let batch = spec.batch;
    let mut task = Supervised::new(recipe, spec, data)?;
    eprintln!("distill: memory, at most {need}; {windows} windows a step, {batch} at a time");
    task.rehearse(parameters, extents)?;
    let later = need.moments + need.sums + need.checkpoint;
    match memory::resident() {
        Some(now) if now.saturating_sub(loaded) + later > limit => Err(Error::Usage(format!(
            "a rehearsal of the largest step took more than was expected of it: give --memory {} or more",
            memory::budget(now.saturating_sub(loaded) + later)
        ))),
        _ => Ok(task),
    }
}

/// `tokenizer.json`, else `vocab.txt` with what `tokenizer_config.json` says of case (lower-cased if it says nothing, as BERT's own tokenizer).
fn read_tokenizer(base: &Path, config: &Config) -> Result<Encoder> {
    let (json, vocabulary) = (base.join("tokenizer.json"), base.join("vocab.txt"));
    let (path, read) = if json.exists() {
        let bytes = std::fs::read(&json).map_err(Error::io("read", &json))?;
        (json, Encoder::from_bytes(&bytes))
    } else {
        let text = std::fs::read_to_string(&vocabulary).map_err(Error::io("read", &vocabulary))?;
        (vocabulary, Encoder::from_vocab(&text, lowercase(base)?))
    };
    let tokenizer = read.map_err(|e| Error::file(&path, e.to_string()))?;
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
    let frozen = recipe.student.freeze.layers;
    if frozen > config.layers || (frozen == config.layers && recipe.student.adapters.is_some()) {
        let why = format!(
            "{frozen}, but the base has {} layers{}",
            config.layers,
            recipe
                .student
                .adapters
                .map_or("", |_| ", and adapters need one that is not frozen")
        );
        return Err(recipe.error(&["student", "freeze", "layers"], why));
    }
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

/// The relation head that the schema needs.
fn relation_head(recipe: &Recipe, config: &Config) -> Option<RelationHead> {
    let labels = recipe.schema.relations.len() + 1;
    (labels > 1).then_some(RelationHead {
        hidden: config.hidden_size,
        heads: config.heads,
        labels,
        block: recipe.student.relation_block,
    })
}

/// How the recipe says that `parameters` are trained.
fn plan(recipe: &Recipe, parameters: &Parameters) -> Plan {
    let t = &recipe.training;
    let trainable = recipe.student.trainable();
    let trained = parameters
        .0
        .iter()
        .filter(|(name, _)| trainable.trains(name));
    let trained = trained.map(|(name, p)| {
        let rate = if name.starts_with("heads.") {
            t.head_rate
        } else {
            t.encoder_rate
        };
        Parameter::new(name, &p.shape, rate)
    });
    Plan {
        trained: trained.collect(),
        settings: Settings {
            weight_decay: t.weight_decay,
            clip: t.clip,
            ..Settings::default()
        },
        epochs: t.epochs,
        warmup: t.warmup,
        threads: t.threads,
        interval: Duration::from_secs_f32(60.0 * t.checkpoint_minutes),
        identity: identity(recipe, parameters),
    }
}

/// The recipe's, and what a checkpoint takes from the base: the weights that are not trained.
fn identity(recipe: &Recipe, parameters: &Parameters) -> serde_json::Value {
    let mut identity = recipe.identity();
    let trainable = recipe.student.trainable();
    if let Some(hash) = parameters.hash(|name| !trainable.trains(name))
        && let Some(student) = identity.get_mut("student").and_then(|s| s.as_object_mut())
    {
        student.insert("untrained_weights".to_owned(), hash.into());
    }
    identity
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
