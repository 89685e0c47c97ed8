//! One training run: from a recipe to trained parameters, through checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bie::encode::Encoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::budget::{Budget, Extents};
use super::features::SCAFFOLD;
use super::losses::Epoch;
use super::supervised::Supervised;
use super::trainer::{self, Changed, Plan, Time, Trained};
use crate::checkpoint::Folder;
use crate::dataset::{self, Agreement, Dataset};
use crate::error::{Error, Result};
use crate::files;
use crate::memory;
use crate::optimizer::{Parameter, Settings};
use crate::recipe::Recipe;
use crate::student::base::{Base, Learned};
use crate::student::encoder::Config;
use crate::student::heads::RelationHead;
use crate::student::parameters::Parameters;
use crate::teacher::calibrate;
use crate::teacher::encoder::EncoderTeachers;

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
    /// How long it took.
    pub time: Time,
    /// What was trained on, in words.
    pub data: String,
    /// How gold and the teachers agree.
    pub agreement: Vec<Agreement>,
}

/// How a run is begun.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct How {
    /// Go on from the newest checkpoint, if there is one.
    pub resume: bool,
    /// Keys of the recipe that may have changed since: `training` and `distillation`, or keys in them.
    pub allow_changed: Vec<String>,
    /// Bytes that the process may hold: steps are split into parts that fit.
    pub memory: Option<u64>,
}

impl How {
    /// Goes on from the newest checkpoint, with an unchanged recipe.
    pub fn newest() -> Self {
        How {
            resume: true,
            ..How::default()
        }
    }
}

/// Trains by `recipe`, keeping checkpoints in `out`. `None`: SIGINT or SIGTERM came, the state is saved and a resumed run goes on from here.
///
/// # Errors
/// The recipe, a data file, the base weights or every checkpoint is bad (nothing has been trained then); the folder holds another run, or
/// another process trains into it; the disk has no room for the run; see [`trainer::train`].
pub fn train(recipe: &Path, out: &Path, how: &How) -> Result<Option<Run>> {
    if let Some(key) = how.allow_changed.iter().find(|key| !changeable(key)) {
        return Err(Error::Usage(format!(
            "--allow-changed {key}: only what is in `training` and `distillation` can change on the way"
        )));
    }
    let mut recipe = Recipe::read(recipe)?;
    let base = recipe.resolve(&recipe.student.base);
    let Base {
        config,
        mut parameters,
        tokenizer,
        learned,
    } = Base::read(&base, |config| {
        let kept = match &recipe.student.layers {
            Some(layers) => layers
                .of(config.layers)
                .map_err(|why| recipe.error(&["student", "layers"], why))?,
            None => config.all(),
        };
        check_sizes(&recipe, config, kept.len())?;
        Ok(kept)
    })?;
    let checkpoints = Folder::open(&out.join("checkpoints"))?;
    if !how.resume && !checkpoints.list()?.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds checkpoints of an earlier run; add --resume to go on with it, or choose another folder",
            out.display()
        )));
    }
    calibrate::fit(&mut recipe)?;
    let cache = out.join("teacher-cache");
    let mut teachers = EncoderTeachers::open(&mut recipe, &config, &tokenizer, &cache)?;
    let data = dataset::load(&recipe, &tokenizer, &mut teachers)?;
    let sources = sources(&recipe, &teachers);
    let agreement = data.summary.agreements.figures(&recipe.schema, &sources);
    let identity = identity(&recipe, &base)?;
    let held = memory::resident().unwrap_or_default();
    let checkpoint = if how.resume {
        checkpoints.load_changed(&identity, &how.allow_changed)?
    } else {
        None
    };
    let relations = relation_head(&recipe, &config);
    let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
    let types = recipe.schema.entities.len();
    parameters.add_heads(types, relations, || normal(&mut random), config.hidden_size);
    if let Some(learned) = &learned {
        inherit(&recipe, &mut parameters, relations, learned)?;
    }
    let trainable = recipe.student.trainable();
    parameters.add_adapters(&config, &trainable, || normal(&mut random));
    for feature in teachers.features() {
        feature.add_projection(&mut parameters, &config, || normal(&mut random));
    }
    let plan = plan(&recipe, &parameters, identity);
    check_room(out, &plan, &parameters)?;
    eprintln!("distill: {}", data.summary);
    agreement
        .iter()
        .for_each(|figures| eprintln!("distill: {figures}"));
    let budget = Budget {
        spec: Supervised::spec(&recipe, &config, relations, &data, &teachers),
        windows: recipe.training.step_windows(),
        extents: Extents::of(data.items.iter()),
        parameters: &parameters,
        held,
    };
    let tensors = checkpoint.iter().flat_map(|c| c.tensors.values());
    let loaded: usize = tensors.map(|t| 4 * t.shape.iter().product::<usize>()).sum();
    let mut task = prepare(&recipe, &data, budget, teachers, how.memory, loaded as u64)?;
    let trained = trainer::train(&mut task, parameters, &plan, &checkpoints, checkpoint)?;
    if let Some(peak) = memory::peak() {
        eprintln!("distill: memory, {} at most so far", memory::show(peak));
    }
    let Some(trained) = trained else {
        return Ok(None);
    };
    let Trained {
        mut parameters,
        curve,
        changes,
        time,
    } = trained;
    if let Some(adapters) = &recipe.student.adapters {
        parameters.merge_adapters(adapters);
    }
    parameters.0.retain(|name, _| !name.starts_with(SCAFFOLD));
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
        time,
        data,
        agreement,
    }))
}

/// The task, in parts that fit into `limit` bytes; with a limit, it is shown by a rehearsal that they do. `loaded` bytes are of a checkpoint,
/// and become weights and moments.
fn prepare<'a>(
    recipe: &'a Recipe,
    data: &'a Dataset,
    budget: Budget,
    teachers: EncoderTeachers,
    limit: Option<u64>,
    loaded: u64,
) -> Result<Supervised<'a>> {
    let Some(limit) = limit else {
        let need = budget.need();
        let task = Supervised::new(recipe, budget.spec, data, teachers)?;
        eprintln!("distill: memory, at most {need}");
        return Ok(task);
    };
    let (windows, extents, parameters) = (budget.windows, budget.extents, budget.parameters);
    let (spec, need) = budget.fit(limit)?;
    let batch = spec.batch;
    let mut task = Supervised::new(recipe, spec, data, teachers)?;
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

/// What decides the outcome: the recipe, and the content of every file that it names.
fn identity(recipe: &Recipe, base: &Path) -> Result<Value> {
    let mut paths: Vec<PathBuf> = recipe.corpora.iter().map(|c| c.path.clone()).collect();
    paths.extend(recipe.teachers.iter().map(|t| t.path.clone()));
    for held_out in recipe.held_out() {
        paths.push(held_out.path.clone());
        paths.extend(held_out.relations_from.clone());
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
        let hash = files::fingerprint(&path)?;
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

fn check_sizes(recipe: &Recipe, config: &Config, layers: usize) -> Result<()> {
    let frozen = recipe.student.freeze.layers;
    if frozen > layers || (frozen == layers && recipe.student.adapters.is_some()) {
        let why = format!(
            "{frozen}, but the student has {layers} layers{}",
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

/// Heads of a bundle go on with what they know; what they lack begins anew.
fn inherit(
    recipe: &Recipe,
    parameters: &mut Parameters,
    relations: Option<RelationHead>,
    learned: &Learned,
) -> Result<()> {
    if let (Some(new), Some(old)) = (relations, learned.relations)
        && new.block != old.block
    {
        let why = format!(
            "{}, but the heads of the base have {}",
            new.block, old.block
        );
        return Err(recipe.error(&["student", "relation_block"], why));
    }
    let was = &learned.manifest;
    let types = recipe.schema.entities.iter();
    let types = types.map(|e| was.entities.iter().position(|o| o.name == e.name));
    let relation = |name: &str| Some(1 + was.relations.iter().position(|o| o.name == name)?);
    let labels = recipe.schema.relations.iter().map(|r| relation(&r.name));
    let labels: Vec<Option<usize>> = [Some(0)].into_iter().chain(labels).collect();
    parameters.inherit_heads(&learned.heads, &types.collect::<Vec<_>>(), &labels);
    Ok(())
}

/// Names of the sources of labels: gold, the files of teachers, the encoder teachers.
fn sources(recipe: &Recipe, teachers: &EncoderTeachers) -> Vec<String> {
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into()
    };
    let gold = std::iter::once("gold".to_owned());
    let files = recipe.teachers.iter().map(|t| name(&t.path));
    gold.chain(files)
        .chain(teachers.names().map(str::to_owned))
        .collect()
}

/// How the recipe says that `parameters` are trained.
fn plan(recipe: &Recipe, parameters: &Parameters, identity: Value) -> Plan {
    let t = &recipe.training;
    let trainable = recipe.student.trainable();
    let trained = parameters
        .0
        .iter()
        .filter(|(name, _)| trainable.trains(name));
    let trained = trained.map(|(name, p)| {
        let rate = if name.starts_with("heads.") || name.starts_with(SCAFFOLD) {
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
