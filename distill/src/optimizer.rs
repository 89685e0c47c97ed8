//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), and clipping by the global norm.
//!
//! A parameter with a sparse gradient (an embedding table, of which a batch touches some rows) is updated row by row: each row is an
//! Adam run of its own over the steps that touch it, with its own moments, step count and decay. An untouched row costs nothing and
//! does not move. (Dense Adam would let its momentum run on; counting steps globally would make a rare row's first step some three
//! times the rate, because its moments are young while the correction believes them old.)
//!
//! The work is split over threads by elements, and the norm is summed over blocks of fixed size in a fixed order, so the result does
//! not depend on the number of threads.

use std::thread;

use crate::error::{Error, Result};

/// Elements that one task updates, and over which one partial sum of the norm runs.
const BLOCK: usize = 1 << 15;

/// Constants of the algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled decay, times the rate.
    pub weight_decay: f32,
    /// Largest global norm of all gradients together; larger ones are scaled down.
    pub clip: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
        }
    }
}

/// How one parameter is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, for checkpoints and messages.
    pub name: String,
    /// Its shape; the values are flat and row-major.
    pub shape: Vec<usize>,
    /// Peak rate.
    pub rate: f32,
    /// Whether weight decay applies.
    pub decay: bool,
}

impl Parameter {
    /// Decay applies to matrices; vectors are biases and normalisation, which it would only push to zero.
    pub fn new(name: impl Into<String>, shape: &[usize], rate: f32) -> Parameter {
        Parameter {
            name: name.into(),
            shape: shape.to_vec(),
            rate,
            decay: shape.len() > 1,
        }
    }

    /// Number of its values.
    #[allow(clippy::len_without_is_empty)] // one without values is none
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements of one row of the first axis.
    fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

/// The gradient of one parameter.
#[derive(Clone, Copy, Debug)]
pub enum Gradient<'a> {
    /// One number per element.
    Dense(&'a [f32]),
    /// Only some rows of the first axis; a row that is named several times gets the sum.
    Rows {
        /// The row of each gradient row.
        rows: &'a [i64],
        /// `[rows, width]`.
        values: &'a [f32],
    },
    /// One number per element, and more for some rows: of a table that rows are picked from and that is multiplied by as a whole. It is
    /// a dense gradient: every row takes part in every step.
    Both {
        /// One number per element.
        dense: &'a [f32],
        /// As in `Rows`.
        rows: &'a [i64],
        /// As in `Rows`.
        values: &'a [f32],
    },
}

/// Moments of one parameter.
#[derive(Clone, Debug, PartialEq)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
    /// Steps that touched each row; one element if gradients are dense.
    steps: Vec<u32>,
}

/// The optimizer: a fixed list of parameters and their moments. The values stay with the caller.
#[derive(Clone, Debug)]
pub struct AdamW {
    settings: Settings,
    parameters: Vec<Parameter>,
    moments: Vec<Moments>,
    /// A step whose gradient has a greater norm is refused.
    limit: f32,
}

/// One contiguous piece of one parameter.
struct Task<'a> {
    values: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    rate: f32,
    decay: f32,
    /// Steps that these elements have taken, this one included.
    step: u32,
}

/// Gradient rows summed by row.
struct Rows {
    /// Ascending, each once.
    rows: Vec<usize>,
    /// `[rows, width]`.
    sums: Vec<f32>,
}

impl AdamW {
    /// Moments start at zero.
    pub fn new(settings: Settings, parameters: Vec<Parameter>) -> AdamW {
        let moments = parameters
            .iter()
            .map(|p| Moments {
                first: vec![0.0; p.len()],
                second: vec![0.0; p.len()],
                steps: vec![0; p.shape.first().copied().unwrap_or(1)],
            })
            .collect();
        AdamW {
            settings,
            parameters,
            moments,
            limit: f32::INFINITY,
        }
    }

    /// From now on steps are refused whose gradient, before clipping, has a greater norm.
    pub fn refuse_above(&mut self, norm: f32) {
        self.limit = norm;
    }

    /// The parameters, in the order in which [`AdamW::step`] expects values and gradients.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// One step: clips the gradients together, then moves every value; each parameter's rate is its peak rate times `factor`.
    /// Returns the global norm before clipping.
    ///
    /// # Errors
    /// [`Error::Diverged`]: the gradient is not finite, or its norm is above the limit (nothing has moved then). A list, slice or row does not
    /// fit the parameters.
    pub fn step(
        &mut self,
        values: &mut [&mut [f32]],
        gradients: &[Gradient],
        factor: f32,
        threads: usize,
    ) -> Result<f32> {
        self.check(values, gradients)?;
        let (mut summed, mut whole) = (Vec::new(), Vec::new());
        for (parameter, gradient) in self.parameters.iter().zip(gradients) {
            summed.push(match gradient {
                Gradient::Rows { rows, values } => Some(sum_rows(parameter, rows, values)?),
                Gradient::Dense(_) | Gradient::Both { .. } => None,
            });
            whole.push(match gradient {
                Gradient::Both {
                    dense,
                    rows,
                    values,
                } => add_rows(parameter, dense, rows, values)?,
                Gradient::Dense(_) | Gradient::Rows { .. } => Vec::new(),
            });
        }
        let flat: Vec<&[f32]> = gradients
            .iter()
            .zip(&summed)
            .zip(&whole)
            .map(|((gradient, rows), whole)| match (gradient, rows) {
                (_, Some(rows)) => rows.sums.as_slice(),
                (Gradient::Dense(values), _) => values,
                _ => whole,
            })
            .collect();
        let norm = global_norm(&flat, threads);
        if !norm.is_finite() {
            return Err(Error::Diverged("the gradient is not a number".to_owned()));
        }
        if norm > f64::from(self.limit) {
            return Err(Error::Diverged(format!(
                "the gradient's norm is {norm:.3e}, above the limit of {:.3e}",
                self.limit
            )));
        }
        let scale = if norm > f64::from(self.settings.clip) {
            (f64::from(self.settings.clip) / norm) as f32
        } else {
            1.0
        };

        let mut tasks = Vec::new();
        let decay = self.settings.weight_decay;
        for ((((parameter, moments), values), gradient), rows) in self
            .parameters
            .iter()
            .zip(&mut self.moments)
            .zip(values.iter_mut())
            .zip(flat)
            .zip(&summed)
        {
            let rate = parameter.rate * factor;
            let decay = if parameter.decay { rate * decay } else { 0.0 };
            match rows {
                None => {
                    moments.steps.iter_mut().for_each(|step| *step += 1);
                    let step = moments.steps.first().copied().unwrap_or(1);
                    let pieces = values
                        .chunks_mut(BLOCK)
                        .zip(moments.first.chunks_mut(BLOCK))
                        .zip(moments.second.chunks_mut(BLOCK));
                    tasks.extend(pieces.zip(gradient.chunks(BLOCK)).map(
                        |(((values, first), second), gradient)| Task {
                            values,
                            first,
                            second,
                            gradient,
                            rate,
                            decay,
                            step,
                        },
                    ));
                }
                Some(rows) => {
                    let width = parameter.width().max(1);
                    let Moments {
                        first,
                        second,
                        steps,
                    } = moments;
                    let touched = pick(values, width, &rows.rows)
                        .zip(pick(first, width, &rows.rows))
                        .zip(pick(second, width, &rows.rows));
                    let touched = touched
                        .zip(pick(steps, 1, &rows.rows))
                        .zip(gradient.chunks(width));
                    for ((((values, first), second), step), gradient) in touched {
                        step.iter_mut().for_each(|step| *step += 1);
                        let step = step.first().copied().unwrap_or(1);
                        tasks.push(Task {
                            values,
                            first,
                            second,
                            gradient,
                            rate,
                            decay,
                            step,
                        });
                    }
                }
            }
        }
        let settings = self.settings;
        each(
            tasks,
            threads,
            |task| task.values.len(),
            |task| update(task, settings, scale),
        );
        Ok(norm as f32)
    }

    fn check(&self, values: &[&mut [f32]], gradients: &[Gradient]) -> Result<()> {
        if values.len() != self.parameters.len() || gradients.len() != self.parameters.len() {
            let (found, expected) = (values.len().min(gradients.len()), self.parameters.len());
            return Err(Error::Training(format!(
                "the optimizer has {expected} parameters, but {found} values or gradients were given"
            )));
        }
        for ((parameter, values), gradient) in self.parameters.iter().zip(values).zip(gradients) {
            let fits = match gradient {
                Gradient::Dense(gradient) => gradient.len() == parameter.len(),
                Gradient::Rows { rows, values } => values.len() == rows.len() * parameter.width(),
                Gradient::Both {
                    dense,
                    rows,
                    values,
                } => {
                    dense.len() == parameter.len() && values.len() == rows.len() * parameter.width()
                }
            };
            if values.len() != parameter.len() || !fits {
                return Err(Error::Training(format!(
                    "values or gradient of parameter {} do not fit its shape {:?}",
                    parameter.name, parameter.shape
                )));
            }
        }
        Ok(())
    }

    /// First moments, second moments and step counts of every parameter, for a checkpoint.
    pub fn moments(&self) -> impl Iterator<Item = (&Parameter, &[f32], &[f32], &[u32])> {
        self.parameters.iter().zip(&self.moments).map(|(p, m)| {
            (
                p,
                m.first.as_slice(),
                m.second.as_slice(),
                m.steps.as_slice(),
            )
        })
    }

    /// Puts back what [`AdamW::moments`] gave for the parameter of this name.
    ///
    /// # Errors
    /// There is no such parameter, or the sizes differ.
    pub fn restore(
        &mut self,
        name: &str,
        first: Vec<f32>,
        second: Vec<f32>,
        steps: Vec<u32>,
    ) -> Result<()> {
        let found = self
            .parameters
            .iter()
            .position(|p| p.name == name)
            .and_then(|at| self.moments.get_mut(at));
        match found {
            Some(moments)
                if (
                    moments.first.len(),
                    moments.second.len(),
                    moments.steps.len(),
                ) == (first.len(), second.len(), steps.len()) =>
            {
                *moments = Moments {
                    first,
                    second,
                    steps,
                };
                Ok(())
            }
            _ => Err(Error::Training(format!(
                "the checkpoint's moments of parameter {name} do not fit the student"
            ))),
        }
    }
}

/// Sums gradient rows of the same row, in the order in which they are given.
fn sum_rows(parameter: &Parameter, rows: &[i64], values: &[f32]) -> Result<Rows> {
    let width = parameter.width().max(1);
    let count = parameter.shape.first().copied().unwrap_or(0);
    let mut order = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        match usize::try_from(*row) {
            Ok(row) if row < count => order.push((row, at)),
            _ => {
                return Err(Error::Training(format!(
                    "the gradient of parameter {} names row {row} of {count}",
                    parameter.name
                )));
            }
        }
    }
    order.sort_unstable();
    let mut summed = Rows {
        rows: Vec::new(),
        sums: Vec::new(),
    };
    for (row, at) in order {
        let Some(gradient) = values.get(at * width..(at + 1) * width) else {
            continue;
        };
        if summed.rows.last() == Some(&row) {
            let sum = summed.sums.len() - width;
            summed
                .sums
                .iter_mut()
                .skip(sum)
                .zip(gradient)
                .for_each(|(sum, g)| *sum += g);
        } else {
            summed.rows.push(row);
            summed.sums.extend_from_slice(gradient);
        }
    }
    Ok(summed)
}

/// A dense gradient and one of some rows, added up.
fn add_rows(
    parameter: &Parameter,
    dense: &[f32],
    rows: &[i64],
    values: &[f32],
) -> Result<Vec<f32>> {
    let mut sum = dense.to_vec();
    let width = parameter.width().max(1);
    let Rows { rows, sums } = sum_rows(parameter, rows, values)?;
    for (row, values) in pick(&mut sum, width, &rows).zip(sums.chunks(width)) {
        row.iter_mut().zip(values).for_each(|(x, v)| *x += v);
    }
    Ok(sum)
}

/// The given rows (ascending, each once) of a table, each to be changed on its own.
fn pick<'a, T>(
    table: &'a mut [T],
    width: usize,
    rows: &'a [usize],
) -> impl Iterator<Item = &'a mut [T]> {
    let mut rows = rows.iter().peekable();
    table
        .chunks_mut(width)
        .enumerate()
        .filter_map(move |(at, row)| rows.next_if(|wanted| **wanted == at).map(|_| row))
}

/// The Euclidean norm of all gradients together.
fn global_norm(gradients: &[&[f32]], threads: usize) -> f64 {
    let mut sums: Vec<(&[f32], f64)> = gradients
        .iter()
        .flat_map(|g| g.chunks(BLOCK))
        .map(|block| (block, 0.0))
        .collect();
    each(
        sums.iter_mut().collect(),
        threads,
        |(block, _)| block.len(),
        |(block, sum)| *sum = sum_of_squares(block),
    );
    sums.iter().map(|(_, sum)| sum).sum::<f64>().sqrt()
}

/// Eight partial sums side by side: the order is fixed, and the compiler can use vector registers.
fn sum_of_squares(block: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut chunks = block.chunks_exact(lanes.len());
    for chunk in &mut chunks {
        for (lane, g) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*g) * f64::from(*g);
        }
    }
    let rest: f64 = chunks
        .remainder()
        .iter()
        .map(|g| f64::from(*g) * f64::from(*g))
        .sum();
    lanes.iter().sum::<f64>() + rest
}

/// One Adam step of one piece.
fn update(task: Task, settings: Settings, scale: f32) {
    let Settings {
        beta1,
        beta2,
        epsilon,
        ..
    } = settings;
    let step = i32::try_from(task.step).unwrap_or(i32::MAX);
    let correction1 = (1.0 - f64::from(beta1).powi(step)) as f32;
    let correction2 = (1.0 - f64::from(beta2).powi(step)) as f32;
    let (rate, keep) = (task.rate / correction1, 1.0 - task.decay);
    let root = 1.0 / correction2.sqrt();
    let elements = task
        .values
        .iter_mut()
        .zip(task.first)
        .zip(task.second)
        .zip(task.gradient);
    for (((value, first), second), gradient) in elements {
        let gradient = gradient * scale;
        *first = beta1 * *first + (1.0 - beta1) * gradient;
        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
        *value = *value * keep - rate * *first / (second.sqrt() * root + epsilon);
    }
}

/// Runs independent tasks on `threads` threads, in runs of about equal total size.
fn each<T: Send>(
    tasks: Vec<T>,
    threads: usize,
    size: impl Fn(&T) -> usize,
    run: impl Fn(T) + Sync,
) {
    let total: usize = tasks.iter().map(&size).sum();
    if threads <= 1 || total < BLOCK {
        tasks.into_iter().for_each(run);
        return;
    }
    let share = total.div_ceil(threads);
    let mut tasks = tasks.into_iter().peekable();
    thread::scope(|scope| {
        while tasks.peek().is_some() {
            let mut taken = 0;
            let mut part = Vec::new();
            while taken < share
                && let Some(task) = tasks.next()
            {
                taken += size(&task);
                part.push(task);
            }
            let run = &run;
            if tasks.peek().is_some() {
                scope.spawn(move || part.into_iter().for_each(run));
            } else {
                part.into_iter().for_each(run);
            }
        }
    });
}

#[cfg(test)]
mod tests;
