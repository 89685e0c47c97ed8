//! Training on masked words as a [`Task`], and how well held-out words are found.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::mask::{Hidden, Hide, Masks};
use super::step::{Batch, Purpose, Step};
use super::text::Piece;
use crate::dataset;
use crate::error::Result;
use crate::recipe::adapt::Masked;
use crate::student::encoder::Config;
use crate::student::parameters::Parameters;
use crate::train::dropout::{self, Draw};
use crate::train::trainer::{Part, Task};

/// What is hidden is drawn apart from dropout, which has streams of the same seed.
const MASKING: u64 = 0x6d61_736b;

/// Windows through the graph of masked words.
pub struct MaskedWords<'a> {
    windows: &'a [Vec<Piece>],
    lengths: Vec<usize>,
    masks: &'a Masks,
    training: &'a Masked,
    seed: u64,
    step: Step,
    /// The epoch whose order `batches` is.
    epoch: Option<u64>,
    batches: Vec<Vec<usize>>,
    dropped: Vec<f32>,
    width: usize,
}

impl<'a> MaskedWords<'a> {
    /// Builds the graph.
    ///
    /// # Errors
    /// The runtime is missing or refuses the graph.
    pub fn new(
        windows: &'a [Vec<Piece>],
        masks: &'a Masks,
        training: &'a Masked,
        c: &Config,
        seed: u64,
    ) -> Result<Self> {
        let purpose = Purpose::Training(training.dropout);
        Ok(MaskedWords {
            windows,
            lengths: windows.iter().map(Vec::len).collect(),
            masks,
            training,
            seed,
            step: Step::new(c, training.batch, purpose, training.threads)?,
            epoch: None,
            batches: Vec::new(),
            dropped: Vec::new(),
            width: c.hidden_size,
        })
    }
}

impl Task for MaskedWords<'_> {
    fn steps_per_epoch(&self) -> u64 {
        self.windows.len().div_ceil(self.training.batch) as u64
    }

    fn run(&mut self, parameters: &Parameters, step: u64, _: u64) -> Result<Part<'_>> {
        let per_epoch = self.steps_per_epoch().max(1);
        let epoch = step / per_epoch;
        if self.epoch != Some(epoch) {
            self.batches = dataset::batches(&self.lengths, self.training.batch, self.seed, epoch);
            self.epoch = Some(epoch);
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ MASKING);
        random.set_stream(step);
        let picked = self.batches.get((step % per_epoch) as usize);
        let hidden: Vec<Hidden> = picked
            .into_iter()
            .flatten()
            .filter_map(|&i| self.windows.get(i))
            .map(|window| self.masks.hide(window, Hide::Mixed, &mut random))
            .collect();
        let batch = Batch::new(&hidden, self.training.batch);
        let draw = Draw {
            count: self.step.masks(),
            batch: self.training.batch,
            length: batch.length(),
            width: self.width,
            p: self.training.dropout,
            seed: self.seed,
            window: step * self.training.batch as u64,
        };
        dropout::fill(&mut self.dropped, draw, self.training.threads);
        let share = 1.0 / batch.hidden().max(1) as f32;
        self.step.run(parameters, batch, share, &self.dropped)
    }
}

/// How well hidden words of held-out text are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Pieces that were hidden, each behind `[MASK]`.
    pub pieces: usize,
    /// Words that were hidden.
    pub words: usize,
    /// exp of the mean of −log probability of a piece. Comparable for one vocabulary only.
    pub perplexity: f64,
    /// Mean of −log₂ probability of a word, the pieces of which are taken to be independent. Comparable across vocabularies.
    pub bits_per_word: f64,
}

/// Hides words of `windows` by `seed` alone and measures how likely they are.
///
/// # Errors
/// The runtime is missing or fails.
pub fn measure(
    windows: &[Vec<Piece>],
    masks: &Masks,
    training: &Masked,
    c: &Config,
    parameters: &Parameters,
    seed: u64,
    progress: impl Fn(usize, usize),
) -> Result<Figures> {
    let mut step = Step::new(c, training.batch, Purpose::Measuring, training.threads)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ MASKING);
    random.set_stream(u64::MAX);
    let (mut figures, mut sum, mut done) = (Figures::default(), 0f64, 0);
    for some in windows.chunks(training.batch) {
        let hidden: Vec<Hidden> = some
            .iter()
            .map(|window| masks.hide(window, Hide::Always, &mut random))
            .collect();
        let batch = Batch::new(&hidden, training.batch);
        figures.pieces += batch.hidden();
        figures.words += hidden.iter().map(|h| h.words).sum::<usize>();
        if batch.hidden() > 0 {
            sum += f64::from(step.run(parameters, batch, 1.0, &[])?.losses.total());
        }
        done += some.len();
        progress(done, windows.len());
    }
    figures.perplexity = (sum / figures.pieces.max(1) as f64).exp();
    figures.bits_per_word = sum / std::f64::consts::LN_2 / figures.words.max(1) as f64;
    Ok(figures)
}
