//! The loop of every training: steps, progress, checkpoints, and an end that can be resumed. What is trained is a [`Task`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::losses::{Epoch, Losses};
use crate::checkpoint::{Checkpoint, Folder, State, Tensor};
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
            Ok(match rows {
                Some((_, rows)) => Gradient::Rows { rows, values },
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
    /// Time between checkpoints.
    pub interval: Duration,
    /// What decides the outcome: a checkpoint is only resumed by a plan with the same.
    pub identity: serde_json::Value,
}

/// What a finished training hands on.
pub struct Trained {
    /// All parameters.
    pub parameters: Parameters,
    /// Mean losses of each epoch.
    pub curve: Vec<Epoch>,
}

/// Trains `task` from `parameters` on, or from `checkpoint` if one is given, and keeps checkpoints in `folder`.
/// `None`: SIGINT or SIGTERM came; the state is saved.
///
/// # Errors
/// The loss or a gradient is no longer a number (the last checkpoint stays), the checkpoint does not fit, the disk is full, the runtime fails.
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
        folder,
        per_epoch: task.steps_per_epoch().max(1),
        done: 0,
        curve: Vec::new(),
        sums: Sums::default(),
    };
    if let Some(checkpoint) = checkpoint {
        checkpoint
            .warnings
            .iter()
            .for_each(|w| eprintln!("distill: {w}"));
        trainer.restore(checkpoint)?;
    }
    let finished = trainer.run(task)?;
    Ok(finished.then_some(Trained {
        parameters: trainer.parameters,
        curve: trainer.curve,
    }))
}

struct Trainer<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    parameters: Parameters,
    optimizer: AdamW,
    per_epoch: u64,
    /// Steps done.
    done: u64,
    curve: Vec<Epoch>,
    /// Kept between steps: memory that is asked for anew costs more time than adding up.
    sums: Sums,
}

impl Trainer<'_> {
    /// Whether it came to the end (and not to a signal).
    fn run(&mut self, task: &mut impl Task) -> Result<bool> {
        let epochs = u64::from(self.plan.epochs);
        let total = self.per_epoch * epochs;
        let stop = progress::stop_signal()?;
        let mut saved = Instant::now();
        let mut progress = Progress::new(total, self.done, epochs);
        let rate = self
            .plan
            .trained
            .iter()
            .map(|p| p.rate)
            .fold(f32::INFINITY, f32::min);
        while self.done < total {
            let epoch = self.done / self.per_epoch;
            let factor = schedule::factor(self.done, total, self.plan.warmup);
            let (losses, tokens) = self.step(task, factor)?;
            self.done += 1;
            self.curve.resize(epoch as usize + 1, Epoch::default());
            if let Some(mean) = self.curve.last_mut() {
                mean.add(&losses);
            }
            progress.step(epoch, self.done, losses.total(), rate * factor, tokens);
            let stopped = stop.load(Ordering::Relaxed);
            if stopped || saved.elapsed() >= self.plan.interval || self.done == total {
                self.save()?;
                saved = Instant::now();
            }
            if stopped && self.done < total {
                progress.finish();
                return Ok(false);
            }
        }
        progress.finish();
        Ok(true)
    }

    /// One step; its losses and the number of tokens read.
    fn step(&mut self, task: &mut impl Task, factor: f32) -> Result<(Losses, usize)> {
        let trained = self.optimizer.parameters().to_vec();
        let parts = task.parts(self.done).max(1);
        let (mut losses, mut tokens) = (Losses::default(), 0);
        let mut sums = std::mem::take(&mut self.sums);
        sums.clear();
        for part in 0..parts {
            let part = task.run(&self.parameters, self.done, part)?;
            if !part.losses.total().is_finite() {
                return Err(Error::Training(format!(
                    "the loss of step {} is not a number; the last checkpoint is kept: lower the rates or raise the warm-up, then train anew",
                    self.done + 1
                )));
            }
            losses.add(&part.losses);
            tokens += part.tokens;
            let gradients = part.gradients(&trained)?;
            if parts == 1 {
                self.update(&gradients, factor)?;
            } else {
                sums.add(&gradients);
            }
        }
        if parts > 1 {
            self.update(&sums.gradients(), factor)?;
        }
        self.sums = sums;
        Ok((losses, tokens))
    }

    fn update(&mut self, gradients: &[Gradient], factor: f32) -> Result<()> {
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
            .step(&mut values, gradients, factor, self.plan.threads)?;
        Ok(())
    }

    fn save(&self) -> Result<()> {
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
        let state = State {
            step: self.done,
            epoch: self.done / self.per_epoch,
            batch: self.done % self.per_epoch,
            random: 0,
            recipe: self.plan.identity.clone(),
            extra: serde_json::json!({ "curve": self.curve }),
        };
        self.folder.save(&state, &tensors).map(drop)
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

/// Gradients of the parts of a step, added up.
#[derive(Default)]
pub(super) struct Sums(Vec<Sum>);

#[derive(Default)]
struct Sum {
    /// The row of each gradient row; none if the gradient is dense.
    rows: Option<Vec<i64>>,
    values: Vec<f32>,
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
                Gradient::Dense(values) if sum.values.is_empty() => {
                    sum.values.extend_from_slice(values);
                }
                Gradient::Dense(values) => sum
                    .values
                    .iter_mut()
                    .zip(*values)
                    .for_each(|(s, v)| *s += v),
                // The optimizer adds rows up.
                Gradient::Rows { rows, values } => {
                    sum.rows.get_or_insert_default().extend_from_slice(rows);
                    sum.values.extend_from_slice(values);
                }
            }
        }
    }

    pub(super) fn gradients(&self) -> Vec<Gradient<'_>> {
        self.0
            .iter()
            .map(|sum| match &sum.rows {
                Some(rows) => Gradient::Rows {
                    rows,
                    values: &sum.values,
                },
                None => Gradient::Dense(&sum.values),
            })
            .collect()
    }
}
