//! The loop of every training: steps, progress, checkpoints, and an end that can be resumed. What is trained is a [`Task`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::losses::{Epoch, Losses};
use super::watch::Watch;
use crate::checkpoint::{Change, Checkpoint, Folder, Habit, Saver, State, Tensor};
use crate::error::{Error, Result};
use crate::optimizer::{AdamW, Gradient, Parameter, Settings};
use crate::progress::{self, Progress};
use crate::schedule;
use crate::session::Outputs;
use crate::student::parameters::Parameters;

/// What a training trains: it knows data and graph, and nothing of optimizers and checkpoints.
pub trait Task {
    /// Steps of one epoch, at least 1.
    fn steps_per_epoch(&self) -> u64;

    /// Parts whose gradients add up to those of step `step` (gradient accumulation), at least 1.
    fn parts(&mut self, step: u64) -> u64 {
        let _ = step;
        1
    }

    /// Runs one part of step `step` (both from 0) forwards and backwards. What it does depends on nothing but the arguments, so that a
    /// resumed training goes on as the unbroken one would.
    ///
    /// # Errors
    /// The runtime fails.
    fn run(&mut self, parameters: &Parameters, step: u64, part: u64) -> Result<Part<'_>>;
}

/// What one part of a step computed.
pub struct Part<'s> {
    /// What the graph gave out; the gradient of parameter X is the output [`gradient_name`]`(X)`.
    pub outputs: Outputs<'s>,
    /// Parameters whose gradient is given for some rows only, with the row of each gradient row.
    pub rows: Vec<(&'static str, &'s [i64])>,
    /// The terms of the loss.
    pub losses: Losses,
    /// Tokens read, padding not counted.
    pub tokens: usize,
}

/// The graph output that holds a parameter's gradient.
pub fn gradient_name(parameter: &str) -> String {
    format!("gradient of {parameter}")
}

/// The graph output that holds the rest of the gradient of a parameter that [`Part::rows`] names: of a table that is also used as a whole.
pub fn dense_gradient_name(parameter: &str) -> String {
    format!("dense gradient of {parameter}")
}

impl Part<'_> {
    /// The gradient values of one parameter: of its shape, or the rows that [`Part::rows`] names.
    ///
    /// # Errors
    /// The graph gave none.
    pub fn values(&self, parameter: &str) -> Result<&[f32]> {
        Ok(self.outputs.get(&gradient_name(parameter))?.1)
    }

    /// The gradients of `parameters`, in their order, as the optimizer takes them.
    ///
    /// # Errors
    /// As [`Part::values`].
    pub fn gradients(&self, parameters: &[Parameter]) -> Result<Vec<Gradient<'_>>> {
        let of = |p: &Parameter| {
            let values = self.values(&p.name)?;
            let rows = self.rows.iter().find(|(name, _)| *name == p.name);
            let dense = || self.outputs.get(&dense_gradient_name(&p.name)).ok();
            Ok(match rows.map(|(_, rows)| (*rows, dense())) {
                Some((rows, Some((_, dense)))) => Gradient::Both {
                    dense,
                    rows,
                    values,
                },
                Some((rows, None)) => Gradient::Rows { rows, values },
                None => Gradient::Dense(values),
            })
        };
        parameters.iter().map(of).collect()
    }
}

/// How a task is trained.
pub struct Plan {
    /// What is trained, each with its peak rate; other parameters stay as they are.
    pub trained: Vec<Parameter>,
    /// The optimizer's constants.
    pub settings: Settings,
    /// Passes over the data.
    pub epochs: u32,
    /// Share of the steps in which the rate rises.
    pub warmup: f32,
    /// Threads of the optimizer.
    pub threads: usize,
    /// The work that a kill may cost, see [`Habit::bound`].
    pub interval: Duration,
    /// See [`Habit::background`].
    pub background: bool,
    /// A loss above so many times the highest typical one ends the training, and a gradient above [`NORM`] times as much; 0: only what is no number.
    pub explosion: f32,
    /// What decides the outcome: a checkpoint is only resumed by a plan with the same.
    pub identity: serde_json::Value,
}

/// How long the steps took, over all processes that trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Tokens read, padding not counted.
    pub tokens: u64,
}

/// What a finished training hands on.
pub struct Trained {
    /// All parameters.
    pub parameters: Parameters,
    /// Mean losses of each epoch.
    pub curve: Vec<Epoch>,
    /// What changed in the recipe on the way.
    pub changes: Vec<Changed>,
    /// How long it took.
    pub time: Time,
}

/// A training went on by a changed recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Steps that were done by the recipe before.
    pub step: u64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// A state is sound if the loss of each of the [`LOOK_BACK`] batches that it learned from last is at most so many times the highest typical one.
const SOUND: f32 = 2.0;

/// More than one: a great step may fit the batch it was made from, and no other.
const LOOK_BACK: u64 = 8;

/// Gradients vary more than losses, and clipping tames what passes.
pub const NORM: f32 = 100.0;

/// Trains `task` from `parameters` on, or from `checkpoint` if one is given, and keeps checkpoints in `folder`.
/// `None`: SIGINT or SIGTERM came; the state is saved. From the return on, a signal ends the process at once.
///
/// # Errors
/// [`Error::Diverged`]: loss or gradient is no number or explodes; nothing has moved in that step, and the last sound state is kept. The checkpoint does
/// not fit, the end cannot be saved (a full disk), the runtime fails.
pub fn train(
    task: &mut impl Task,
    parameters: Parameters,
    plan: &Plan,
    folder: &Folder,
    checkpoint: Option<Checkpoint>,
) -> Result<Option<Trained>> {
    let mut trainer = Trainer {
        optimizer: AdamW::new(plan.settings, plan.trained.clone()),
        parameters,
        plan,
        per_epoch: task.steps_per_epoch().max(1),
        done: 0,
        kept: Kept::default(),
        sums: Sums::default(),
    };
    let saved = match checkpoint {
        Some(checkpoint) => {
            let warnings = checkpoint.warnings.iter();
            warnings.for_each(|w| eprintln!("distill: {w}"));
            trainer.restore(checkpoint)?;
            eprintln!("distill: going on after step {}", trainer.done);
            Some(trainer.done)
        }
        None => None,
    };
    let stop = progress::stop_signal()?;
    let habit = Habit {
        bound: plan.interval,
        background: plan.background,
    };
    let finished = thread::scope(|scope| {
        let mut saver = Saver::new(scope, folder, habit, saved);
        trainer.run(task, &mut saver, &stop)
    });
    progress::end_at_once();
    // A signal during the last step or save ends the run, too: what follows is resumed.
    let finished = finished? && !stop.load(Ordering::Relaxed);
    Ok(finished.then_some(Trained {
        parameters: trainer.parameters,
        curve: trainer.kept.curve,
        changes: trainer.kept.changes,
        time: trainer.kept.time,
    }))
}

struct Trainer<'a> {
    plan: &'a Plan,
    parameters: Parameters,
    optimizer: AdamW,
    per_epoch: u64,
    /// Steps done.
    done: u64,
    kept: Kept,
    /// Kept between steps: memory that is asked for anew costs more time than adding up.
    sums: Sums,
}

/// What a checkpoint keeps besides the numbers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    curve: Vec<Epoch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changed>,
    losses: Watch,
    norms: Watch,
    time: Time,
}

impl Trainer<'_> {
    /// Whether it came to the end (and not to a signal).
    fn run(&mut self, task: &mut impl Task, saver: &mut Saver, stop: &AtomicBool) -> Result<bool> {
        let epochs = u64::from(self.plan.epochs);
        let total = self.per_epoch * epochs;
        let before = self.done;
        let mut progress = Progress::new(total, self.done, epochs);
        let rates = self.plan.trained.iter().map(|p| p.rate);
        let rate = rates.fold(f32::INFINITY, f32::min);
        while self.done < total && !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let epoch = self.done / self.per_epoch;
            let factor = schedule::factor(self.done, total, self.plan.warmup);
            let (losses, tokens) = match self.step(task, factor) {
                Err(Error::Diverged(why)) => {
                    progress.finish();
                    return Err(self.diverged(&why, task, saver, stop));
                }
                outcome => outcome?,
            };
            self.kept.time.seconds += begun.elapsed().as_secs_f64();
            self.kept.time.tokens += tokens as u64;
            self.done += 1;
            self.kept.curve.resize(epoch as usize + 1, Epoch::default());
            if let Some(mean) = self.kept.curve.last_mut() {
                mean.add(&losses);
            }
            progress.step(epoch, self.done, losses.total(), rate * factor, tokens);
            if saver.due(begun.elapsed()) {
                saver.save(self.state(), self.tensors());
            }
        }
        progress.finish();
        if self.done > before {
            saver.finish(&self.state(), &self.tensors(), stop, false)?;
            eprintln!("distill: {}", saver.summary());
        }
        Ok(self.done >= total)
    }

    /// What to say of a step that diverged, and which state to keep. Nothing has moved in that step; but if the steps before it went too far, it shows only now,
    /// on their own batches, too. Such a state is not worth keeping: the checkpoint before it is.
    fn diverged(
        &self,
        why: &str,
        task: &mut impl Task,
        saver: &mut Saver,
        stop: &AtomicBool,
    ) -> Error {
        let good = self.done > 0 && self.is_sound(task);
        let kept = if good {
            match saver.finish(&self.state(), &self.tensors(), stop, true) {
                Ok(()) => format!("The state after step {} is sound and saved", self.done),
                Err(_) => "The checkpoint before it stays".to_owned(),
            }
        } else {
            match saver.discard(self.done) {
                Some(step) => format!(
                    "The step before it went wrong already; the checkpoint of step {step} stays"
                ),
                None => {
                    "The step before it went wrong already, and no checkpoint is older".to_owned()
                }
            }
        };
        Error::Diverged(format!(
            "stopped at step {}: {why}. {kept}. Lower training.encoder_rate and training.head_rate or raise training.warmup, \
             then go on with --resume --allow-changed training",
            self.done + 1
        ))
    }

    /// Whether the last batches that were learned from have usual losses.
    fn is_sound(&self, task: &mut impl Task) -> bool {
        let limit = self.kept.losses.limit(SOUND);
        (self.done.saturating_sub(LOOK_BACK)..self.done).all(|step| {
            let mut losses = Losses::default();
            (0..task.parts(step).max(1)).all(|part| {
                let run = task.run(&self.parameters, step, part);
                run.is_ok_and(|part| {
                    losses.add(&part.losses);
                    judge(&losses, limit).is_ok()
                })
            })
        })
    }

    /// One step; its losses and the number of tokens read.
    ///
    /// # Errors
    /// [`Error::Diverged`]: nothing has moved.
    fn step(&mut self, task: &mut impl Task, factor: f32) -> Result<(Losses, usize)> {
        let explosion = self.plan.explosion;
        let limit = self.kept.losses.limit(explosion);
        let norms = self.kept.norms.limit(NORM * explosion);
        self.optimizer.refuse_above(norms);
        let trained = self.optimizer.parameters().to_vec();
        let parts = task.parts(self.done).max(1);
        let (mut losses, mut tokens, mut norm) = (Losses::default(), 0, 0.0);
        let mut sums = std::mem::take(&mut self.sums);
        sums.clear();
        for part in 0..parts {
            let part = task.run(&self.parameters, self.done, part)?;
            losses.add(&part.losses);
            tokens += part.tokens;
            judge(&losses, limit)?;
            let gradients = part.gradients(&trained)?;
            if parts == 1 {
                norm = self.update(&gradients, factor)?;
            } else {
                sums.add(&gradients);
            }
        }
        if parts > 1 {
            norm = self.update(&sums.gradients(), factor)?;
        }
        self.sums = sums;
        self.kept.losses.add(losses.total());
        self.kept.norms.add(norm);
        Ok((losses, tokens))
    }

    /// Moves the parameters; the gradient's norm.
    fn update(&mut self, gradients: &[Gradient], factor: f32) -> Result<f32> {
        let trained = self.optimizer.parameters();
        let mut values = Vec::with_capacity(trained.len());
        // Both are in the order of names.
        let mut next = trained.iter().map(|p| &p.name).peekable();
        for (name, p) in &mut self.parameters.0 {
            if next.next_if_eq(&name).is_some() {
                values.push(p.data.as_mut_slice());
            }
        }
        self.optimizer
            .step(&mut values, gradients, factor, self.plan.threads)
    }

    fn tensors(&self) -> BTreeMap<String, Tensor<'_>> {
        let mut tensors = BTreeMap::new();
        for (p, first, second, steps) in self.optimizer.moments() {
            let Some(value) = self.parameters.0.get(&p.name) else {
                continue;
            };
            let mut put =
                |what: &str, tensor| tensors.insert(format!("{what} of {}", p.name), tensor);
            put("value", Tensor::floats(&value.shape, &value.data));
            put("first moment", Tensor::floats(&p.shape, first));
            put("second moment", Tensor::floats(&p.shape, second));
            put("steps", Tensor::counts(steps));
        }
        tensors
    }

    fn state(&self) -> State {
        State {
            step: self.done,
            epoch: self.done / self.per_epoch,
            batch: self.done % self.per_epoch,
            random: 0,
            recipe: self.plan.identity.clone(),
            extra: serde_json::json!(self.kept),
        }
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
        let State {
            step, epoch, batch, ..
        } = checkpoint.state;
        if step != epoch * self.per_epoch + batch {
            return Err(Error::Training(format!(
                "the checkpoint counts other batches in an epoch than there are now ({}): data or batch size changed since, start afresh",
                self.per_epoch
            )));
        }
        self.done = step;
        self.kept = serde_json::from_value(checkpoint.state.extra).map_err(|e| {
            Error::Training(format!("the checkpoint's loss curve cannot be read: {e}"))
        })?;
        if !checkpoint.changes.is_empty() {
            for change in &checkpoint.changes {
                eprintln!("distill: going on at step {step} by a changed recipe: {change}");
            }
            let changes = checkpoint.changes;
            self.kept.changes.push(Changed { step, changes });
        }
        Ok(())
    }
}

/// Refuses a loss that is no number or too great.
fn judge(losses: &Losses, limit: f32) -> Result<()> {
    let loss = losses.total();
    if loss.is_finite() && loss <= limit {
        return Ok(());
    }
    let terms: Vec<String> = losses
        .0
        .iter()
        .map(|(n, v)| format!("{n} {v:.3e}"))
        .collect();
    let terms = terms.join(", ");
    Err(Error::Diverged(if loss.is_finite() {
        format!(
            "the loss is {loss:.3e} ({terms}), above the limit of {limit:.3e} that training.explosion sets"
        )
    } else {
        format!("the loss is not a number ({terms})")
    }))
}

/// Gradients of the parts of a step, added up.
#[derive(Default)]
pub(super) struct Sums(Vec<Sum>);

#[derive(Default)]
struct Sum {
    /// The row of each gradient row; none if the gradient is dense.
    rows: Option<Vec<i64>>,
    values: Vec<f32>,
    /// The dense part of a gradient that has both.
    dense: Vec<f32>,
}

impl Sums {
    /// Begins a step.
    pub(super) fn clear(&mut self) {
        for sum in &mut self.0 {
            sum.values.clear();
            sum.rows.iter_mut().for_each(Vec::clear);
        }
    }

    pub(super) fn add(&mut self, gradients: &[Gradient]) {
        self.0.resize_with(gradients.len(), Sum::default);
        for (sum, gradient) in self.0.iter_mut().zip(gradients) {
            match gradient {
                Gradient::Dense(values) => add(&mut sum.values, values),
                // The optimizer adds rows up.
                Gradient::Rows { rows, values } | Gradient::Both { rows, values, .. } => {
                    sum.rows.get_or_insert_default().extend_from_slice(rows);
                    sum.values.extend_from_slice(values);
                }
            }
            if let Gradient::Both { dense, .. } = gradient {
                add(&mut sum.dense, dense);
            }
        }
    }

    pub(super) fn gradients(&self) -> Vec<Gradient<'_>> {
        self.0
            .iter()
            .map(|sum| match &sum.rows {
                Some(rows) if !sum.dense.is_empty() => Gradient::Both {
                    dense: &sum.dense,
                    rows,
                    values: &sum.values,
                },
                Some(rows) => Gradient::Rows {
                    rows,
                    values: &sum.values,
                },
                None => Gradient::Dense(&sum.values),
            })
            .collect()
    }
}

fn add(sum: &mut Vec<f32>, values: &[f32]) {
    sum.resize(values.len(), 0.0);
    sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
}
