//! One training run: from a recipe to trained parameters, through checkpoints.

use std::path::Path;
use std::time::Duration;

use bie::encode::Encoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::features::SCAFFOLD;
use super::losses::Epoch;
use super::supervised::Supervised;
use super::trainer::{self, Plan, Trained};
use crate::checkpoint::Folder;
use crate::dataset;
use crate::error::{Error, Result};
use crate::optimizer::{Parameter, Settings};
use crate::recipe::Recipe;
use crate::student::base::{Base, Learned};
use crate::student::encoder::Config;
use crate::student::heads::RelationHead;
use crate::student::parameters::Parameters;
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
    /// What was trained on, in words.
    pub data: String,
}

/// Trains by `recipe`, keeping checkpoints in `out`; with `resume` goes on from the newest one.
/// `None`: SIGINT or SIGTERM came, the state is saved and a resumed run goes on from here.
///
/// # Errors
/// The recipe, a data file, the base weights or every checkpoint is bad (nothing has been trained then); the folder holds another run;
/// the loss is no longer a number (the last checkpoint stays); the disk is full.
pub fn train(recipe: &Path, out: &Path, resume: bool) -> Result<Option<Run>> {
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
    let cache = out.join("teacher-cache");
    let mut teachers = EncoderTeachers::open(&mut recipe, &config, &tokenizer, &cache)?;
    let data = dataset::load(&recipe, &tokenizer, &mut teachers)?;
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
    if let Some(learned) = &learned {
        inherit(&recipe, &mut parameters, relations, learned)?;
    }
    let trainable = recipe.student.trainable();
    parameters.add_adapters(&config, &trainable, || normal(&mut random));
    for feature in teachers.features() {
        feature.add_projection(&mut parameters, &config, || normal(&mut random));
    }
    let plan = plan(&recipe, &parameters);
    let checkpoint = if resume {
        folder.load(&plan.identity)?
    } else {
        None
    };
    let mut task = Supervised::new(&recipe, &config, relations, &data, teachers)?;
    eprintln!("distill: {}", data.summary);
    let Some(trained) = trainer::train(&mut task, parameters, &plan, &folder, checkpoint)? else {
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
    parameters.0.retain(|name, _| !name.starts_with(SCAFFOLD));
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

/// How the recipe says that `parameters` are trained.
fn plan(recipe: &Recipe, parameters: &Parameters) -> Plan {
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
