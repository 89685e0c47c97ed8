//! Speed and memory of training on random data: where a step's time goes, for comparison with other trainers (`benches/README.md`).

use std::sync::LazyLock;
use std::time::Instant;

use serde::Serialize;

use super::batch::{Weights, assemble};
use super::budget::{Budget, Extents};
use super::dropout::{self, Draw};
use super::step::{Step, StepSpec, Terms};
use super::trainer::Sums;
use crate::dataset::{self, Item};
use crate::error::{Error, Result};
use crate::memory;
use crate::optimizer::{AdamW, Parameter, Settings};
use crate::recipe::Distillation;
use crate::student::encoder::Config;
use crate::student::parameters::Parameters;
use crate::student::trainable::Trainable;

/// What is measured: full steps (dropout 0.1, forward, backward, clipping, AdamW) of an encoder with two BIO heads.
#[derive(Clone, Debug)]
pub struct Job {
    /// The encoder.
    pub encoder: Config,
    /// What is trained of it.
    pub trainable: Trainable,
    /// Windows in a batch.
    pub batch: usize,
    /// Batches in a step.
    pub accumulate: usize,
    /// Tokens of the windows of an epoch; they are batched as a training's are.
    pub lengths: Vec<usize>,
    /// Threads.
    pub threads: usize,
    /// Steps that are timed; two more warm up.
    pub steps: usize,
    /// Take this thread's own time instead of the clock on the wall: for one thread on a busy machine.
    pub cpu: bool,
}

/// Sizes of well-known encoders, by name: MiniLM-L6, a 6-layer BERT of full width (DistilBERT's size), BERT-base.
pub fn model(name: &str) -> Option<Config> {
    let (hidden_size, layers) = match name {
        "minilm-l6" => (384, 6),
        "bert-6x768" => (768, 6),
        "bert-base" => (768, 12),
        _ => return None,
    };
    Some(Config {
        vocab_size: 30522,
        hidden_size,
        layers,
        heads: 12,
        intermediate_size: 4 * hidden_size,
        max_positions: 512,
        epsilon: 1e-12,
    })
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Tokens trained on in a second, padding not counted.
    pub tokens_per_second: f64,
    /// Mean seconds of a step, by phase.
    pub seconds: Phases,
    /// Data, masks and optimizer, of the whole step.
    pub share_outside_graph: f64,
    /// Values of all parameters.
    pub parameters: usize,
    /// Those of them that are trained.
    pub trained: usize,
    /// What it was estimated to hold at most, in bytes.
    pub estimated_bytes: u64,
    /// The most that the process held, in bytes.
    pub peak_bytes: Option<u64>,
}

/// Seconds of a step.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Phases {
    /// Putting the batch together.
    pub batch: f64,
    /// Drawing the dropout masks.
    pub masks: f64,
    /// Forward and backward, in ONNX Runtime.
    pub graph: f64,
    /// Adding gradients up, clipping, AdamW.
    pub optimizer: f64,
}

impl Phases {
    fn total(&self) -> f64 {
        self.batch + self.masks + self.graph + self.optimizer
    }
}

/// Runs the measurement.
///
/// # Errors
/// There are no windows; the runtime is missing or fails.
pub fn run(job: &Job) -> Result<Report> {
    let mut encoder = job.encoder.clone();
    let Some(&longest) = job.lengths.iter().max() else {
        return Err(Error::Usage("there are no windows to train on".to_owned()));
    };
    encoder.max_positions = encoder.max_positions.max(longest);
    let (types, width, batch) = (2, encoder.hidden_size, job.batch);
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut parameters = Parameters::random_encoder(&encoder, &mut noise);
    parameters.add_heads(types, None, &mut noise, width);
    parameters.add_adapters(&encoder, &job.trainable, &mut noise);
    let items: Vec<Item> = (job.lengths.iter().enumerate())
        .map(|(w, &tokens)| item(w, tokens, types))
        .collect();
    let spec = StepSpec {
        encoder,
        types,
        relations: None,
        batch,
        dropout: 0.1,
        temperature: 1.0,
        trainable: job.trainable,
        terms: Terms::default(),
    };
    let held = memory::resident().unwrap_or_default();
    let need = Budget {
        spec: spec.clone(),
        windows: batch * job.accumulate,
        extents: Extents::of(items.iter()),
        parameters: &parameters,
        held,
    }
    .need();
    let mut step = Step::new(spec, job.threads)?;
    let trained: Vec<Parameter> = parameters
        .0
        .iter()
        .filter(|(name, _)| job.trainable.trains(name))
        .map(|(name, p)| Parameter::new(name, &p.shape, 1e-5))
        .collect();
    let mut report = Report {
        parameters: parameters.count(),
        trained: trained
            .iter()
            .map(|p| p.shape.iter().product::<usize>())
            .sum(),
        ..Report::default()
    };
    report.estimated_bytes = need.total();
    let mut optimizer = AdamW::new(Settings::default(), trained);
    let mut masks = Vec::new();
    let mut sums = Sums::default();
    let now = || match job.cpu {
        false => Ok(wall()),
        true => own().ok_or_else(|| {
            let why = "this system does not say what time a thread takes; measure on the wall";
            Error::Environment(why.to_owned())
        }),
    };
    let (mut seconds, mut tokens) = (Phases::default(), 0);
    let epochs =
        (0..).flat_map(|epoch| dataset::batches(&job.lengths, batch * job.accumulate, 1, epoch));
    for (n, windows) in epochs.take(job.steps + 2).enumerate() {
        if n == 2 {
            (seconds, tokens) = (Phases::default(), 0);
        }
        let windows: Vec<&Item> = windows.iter().filter_map(|&i| items.get(i)).collect();
        sums.clear();
        let parts = windows.len().div_ceil(batch);
        for (part, windows) in windows.chunks(batch).enumerate() {
            let start = now()?;
            let weights = Weights::of(windows, 1.0, 1.0);
            let data = assemble(windows, weights, &[], step.spec(), &Distillation::default());
            tokens += data.tokens;
            let start = lap(&now, start, &mut seconds.batch)?;
            let draw = Draw {
                count: step.masks(),
                batch,
                length: data.length,
                width,
                p: 0.1,
                seed: 1,
                window: ((n * job.accumulate + part) * batch) as u64,
            };
            dropout::fill(&mut masks, draw, job.threads);
            let start = lap(&now, start, &mut seconds.masks)?;
            let computed = step.run(&parameters, data, &masks)?;
            let start = lap(&now, start, &mut seconds.graph)?;
            let gradients = computed.gradients(optimizer.parameters())?;
            let mut apply = |gradients: &[_]| {
                let values = parameters
                    .0
                    .iter_mut()
                    .filter(|(name, _)| job.trainable.trains(name));
                let mut values: Vec<&mut [f32]> =
                    values.map(|(_, p)| p.data.as_mut_slice()).collect();
                optimizer
                    .step(&mut values, gradients, 1.0, job.threads)
                    .map(drop)
            };
            if parts == 1 {
                apply(&gradients)?;
            } else {
                sums.add(&gradients);
                if part + 1 == parts {
                    apply(&sums.gradients())?;
                }
            }
            lap(&now, start, &mut seconds.optimizer)?;
        }
    }
    report.tokens_per_second = tokens as f64 / seconds.total();
    report.share_outside_graph = 1.0 - seconds.graph / seconds.total();
    let mean = |sum: f64| sum / job.steps as f64;
    report.seconds = Phases {
        batch: mean(seconds.batch),
        masks: mean(seconds.masks),
        graph: mean(seconds.graph),
        optimizer: mean(seconds.optimizer),
    };
    report.peak_bytes = memory::peak();
    Ok(report)
}

/// Adds the time since `start`; the time now.
fn lap(now: &impl Fn() -> Result<f64>, start: f64, sum: &mut f64) -> Result<f64> {
    let end = now()?;
    *sum += end - start;
    Ok(end)
}

/// Seconds on the wall.
fn wall() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// Seconds that a processor gave this thread.
fn own() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 * 1e-9)
}

/// A window of words that hardly repeat, as many as they are in an abstract's vocabulary and more.
fn item(window: usize, tokens: usize, types: usize) -> Item {
    let word = |t: usize| 1000 + ((window * tokens + t) * 7919 % 29_000) as i64;
    Item {
        document: String::new(),
        ids: (0..tokens).map(word).collect(),
        tags: (0..tokens * types).map(|i| (i % 3) as u8).collect(),
        tag_weight: vec![1.0; tokens * types],
        teacher_tags: Vec::new(),
        mentions: Vec::new(),
        entities: Vec::new(),
        entity_type: Vec::new(),
        pairs: Vec::new(),
    }
}
