//! One training run: from a recipe to trained parameters, through checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bie::encode::Encoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::losses::Epoch;
use super::supervised::Supervised;
use super::trainer::{self, Changed, Plan, Trained};
use crate::checkpoint::Folder;
use crate::dataset;
use crate::error::{Error, Result};
use crate::files;
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
    /// What changed in the recipe on the way.
    pub changes: Vec<Changed>,
    /// The folder of checkpoints: nobody else trains into the run's folder before this is dropped.
    pub checkpoints: Folder,
    /// What was trained on, in words.
    pub data: String,
}

/// What is gone on with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resume {
    /// Go on from the newest checkpoint, if there is one.
    pub resume: bool,
    /// Keys of the recipe that may have changed since: `training` and `distillation`, or keys in them.
    pub allow_changed: Vec<String>,
}

/// Trains by `recipe`, keeping checkpoints in `out`. `None`: SIGINT or SIGTERM came, the state is saved and a resumed run goes on from here.
///
/// # Errors
/// The recipe, a data file, the base weights or every checkpoint is bad (nothing has been trained then); the folder holds another run, or
/// another process trains into it; the disk has no room for the run; see [`trainer::train`].
pub fn train(recipe: &Path, out: &Path, how: &Resume) -> Result<Option<Run>> {
    if let Some(key) = how.allow_changed.iter().find(|key| !changeable(key)) {
        return Err(Error::Usage(format!(
            "--allow-changed {key}: only what is in `training` and `distillation` can change on the way"
        )));
    }
    let recipe = Recipe::read(recipe)?;
    let base = recipe.resolve(&recipe.student.base);
    let (config, mut parameters) = Parameters::from_folder(&base)?;
    check_sizes(&recipe, &config)?;
    let tokenizer = read_tokenizer(&base, &config)?;
    let data = dataset::load(&recipe, &tokenizer)?;
    let checkpoints = Folder::open(&out.join("checkpoints"))?;
    if !how.resume && !checkpoints.list()?.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds checkpoints of an earlier run; add --resume to go on with it, or choose another folder",
            out.display()
        )));
    }
    let identity = identity(&recipe, &base)?;
    let checkpoint = if how.resume {
        checkpoints.load_changed(&identity, &how.allow_changed)?
    } else {
        None
    };
    let relations = relation_head(&recipe, &config);
    let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
    let types = recipe.schema.entities.len();
    parameters.add_heads(types, relations, || normal(&mut random), config.hidden_size);
    let plan = plan(&recipe, &parameters, identity);
    check_room(out, &plan, &parameters)?;
    let mut task = Supervised::new(&recipe, &config, relations, &data)?;
    eprintln!("distill: {}", data.summary);
    let Some(trained) = trainer::train(&mut task, parameters, &plan, &checkpoints, checkpoint)?
    else {
        return Ok(None);
    };
    let Trained {
        parameters,
        curve,
        changes,
    } = trained;
    let data = data.summary.to_string();
    Ok(Some(Run {
        recipe,
        tokenizer,
        config,
        relations,
        parameters,
        curve,
        changes,
        checkpoints,
        data,
    }))
}

/// What decides the outcome: the recipe, and the content of every file that it names.
fn identity(recipe: &Recipe, base: &Path) -> Result<Value> {
    let mut paths: Vec<PathBuf> = recipe.corpora.iter().map(|c| c.path.clone()).collect();
    paths.extend(recipe.teachers.iter().map(|t| t.path.clone()));
    if let Some(evaluation) = &recipe.evaluation {
        paths.push(evaluation.path.clone());
        paths.extend(evaluation.relations_from.clone());
    }
    let mut paths: Vec<PathBuf> = paths.iter().map(|path| recipe.resolve(path)).collect();
    let read = fs::read_dir(base).map_err(Error::io("read", base))?;
    let mut of_base: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    of_base.sort();
    let matters = |path: &PathBuf| {
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        path.is_file() && ["json", "txt", "safetensors", "bin"].contains(&kind.as_ref())
    };
    paths.extend(of_base.into_iter().filter(matters));
    let mut hashes = serde_json::Map::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hash = files::sha256(&path)?;
        // Two files of one name stand for themselves in their order.
        let mut key = name.to_string();
        while hashes.contains_key(&key) {
            key.push('\'');
        }
        hashes.insert(key, hash.into());
    }
    let mut identity = recipe.identity();
    if let Some(object) = identity.as_object_mut() {
        object.insert("files".to_owned(), hashes.into());
    }
    Ok(identity)
}

fn changeable(key: &str) -> bool {
    let table = key.split('.').next().unwrap_or_default();
    ["training", "distillation"].contains(&table)
}

/// Refuses to begin what the disk will not hold: the checkpoints (a third one while it is written), and twice the bundles, since a new one is
/// written before the old one goes. What the run's folder holds already is counted as room.
fn check_room(out: &Path, plan: &Plan, parameters: &Parameters) -> Result<()> {
    let trained: usize = plan.trained.iter().map(Parameter::len).sum();
    let all: usize = parameters.0.values().map(|p| p.data.len()).sum();
    // 12 bytes a trained parameter with its moments; 4 and somewhat more than 1 in a bundle.
    let needed = (3 * 12 * trained + 2 * 6 * all) as u64;
    files::need(out, needed.saturating_sub(files::size(out)?))
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
fn plan(recipe: &Recipe, parameters: &Parameters, identity: Value) -> Plan {
    let t = &recipe.training;
    let trained = parameters.0.iter().map(|(name, p)| {
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
        background: t.checkpoint_in_background,
        explosion: t.explosion,
        identity,
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
