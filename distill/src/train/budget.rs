//! The memory bound of a training: what a step takes, and into which parts it is split so that all of it fits.

use std::fmt;

use super::step::{Step, StepSpec};
use crate::dataset::Item;
use crate::error::{Error, Result};
use crate::memory::{budget, show};
use crate::recipe::Adapters;
use crate::student::parameters::Parameters;
use crate::student::trainable::Trainable;

/// Sizes of a batch, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Tokens of the longest window.
    pub length: usize,
    /// Most mentions of a window.
    pub mentions: usize,
    /// Most entities of a window.
    pub entities: usize,
    /// Most pairs of a window.
    pub pairs: usize,
}

impl Extents {
    /// The least that no batch of these windows exceeds.
    pub fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Extents {
        let one = Extents {
            length: 1,
            mentions: 1,
            entities: 1,
            pairs: 1,
        };
        items.fold(one, |most, i| Extents {
            length: most.length.max(i.ids.len()),
            mentions: most.mentions.max(i.mentions.len()),
            entities: most.entities.max(i.entities.len()),
            pairs: most.pairs.max(i.pairs.len()),
        })
    }
}

/// ONNX Runtime's own: the loaded graph, its threads' buffers, room lost between tensors.
const RUNTIME: u64 = 96 << 20;

/// What a training holds at most, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Before the first step: weights, data, the program.
    pub held: u64,
    /// What the graph reads and computes of the largest batch, gradients included.
    pub step: u64,
    /// Moments of what is trained.
    pub moments: u64,
    /// Sums of the gradients, where a step has several parts.
    pub sums: u64,
    /// A copy of what is trained and of its moments, for a checkpoint.
    pub checkpoint: u64,
    /// What writing the bundles takes, above what is held.
    pub export: u64,
}

impl Need {
    /// The most at one time: while it trains, or while it writes the bundles.
    pub fn total(&self) -> u64 {
        let training = self.step + self.moments + self.sums + self.checkpoint + RUNTIME;
        self.held + training.max(self.export)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} are held now, {} more for a step, {} for moments",
            show(self.total()),
            show(self.held),
            show(self.step + RUNTIME),
            show(self.moments)
        )?;
        if self.sums > 0 {
            write!(f, ", {} for sums of gradients", show(self.sums))?;
        }
        write!(f, ", {} for a checkpoint", show(self.checkpoint))?;
        match self.total() - self.held > self.export {
            true => Ok(()),
            false => write!(f, "; most for the bundles, {}", show(self.export)),
        }
    }
}

/// What is to be trained, and what the process holds before.
pub struct Budget<'a> {
    /// The step, with as many windows in a batch as the recipe says.
    pub spec: StepSpec,
    /// Windows in a step.
    pub windows: usize,
    /// The largest batch.
    pub extents: Extents,
    /// All weights.
    pub parameters: &'a Parameters,
    /// Bytes of the process now.
    pub held: u64,
}

impl Budget<'_> {
    /// What it takes.
    pub fn need(&self) -> Need {
        let trained = self.trained(&self.spec.trainable);
        Need {
            held: self.held,
            step: Step::peak_bytes(&self.spec, self.extents),
            moments: 2 * trained,
            sums: if self.windows > self.spec.batch {
                trained
            } else {
                0
            },
            checkpoint: 3 * trained,
            export: 5 * 4 * self.parameters.count() as u64,
        }
    }

    /// Bytes of what is trained.
    fn trained(&self, trainable: &Trainable) -> u64 {
        let chosen = self.parameters.0.iter();
        let chosen = chosen.filter(|(name, _)| trainable.trains(name));
        let values: usize = chosen.map(|(_, p)| p.data.len()).sum();
        4 * values as u64
    }

    /// The step in as few parts as fit into `limit` bytes, at least as many as the recipe says; and what that takes.
    ///
    /// # Errors
    /// [`Error::Usage`]: not even one window at a time fits. The message says what would.
    pub fn fit(mut self, limit: u64) -> Result<(StepSpec, Need)> {
        let mut parts = self.windows.div_ceil(self.spec.batch);
        loop {
            let need = self.need();
            if need.total() <= limit {
                return Ok((self.spec, need));
            }
            if self.spec.batch == 1 {
                return Err(Error::Usage(self.refusal(limit, &need)));
            }
            while self.windows.div_ceil(parts) >= self.spec.batch {
                parts += 1;
            }
            self.spec.batch = self.windows.div_ceil(parts);
        }
    }

    fn refusal(&self, limit: u64, need: &Need) -> String {
        let mut ways = vec![format!("--memory {}", budget(need.total()))];
        let fits = |budget: &Budget| budget.need().total() <= limit;
        let with = |extents: Extents, trainable: Trainable| Budget {
            spec: StepSpec {
                trainable,
                ..self.spec.clone()
            },
            extents,
            ..*self
        };
        let trainable = self.spec.trainable;
        let shorter = (1..self.extents.length.div_ceil(64))
            .rev()
            .map(|n| Extents {
                length: 64 * n,
                ..self.extents
            });
        if let Some(e) = shorter.into_iter().find(|e| fits(&with(*e, trainable))) {
            ways.push(format!("student.max_tokens = {}", e.length));
        }
        let frozen = Trainable {
            freeze: crate::recipe::Freeze {
                embeddings: true,
                layers: self.spec.encoder.layers / 2,
            },
            adapters: None,
        };
        if trainable.adapters.is_none() && fits(&with(self.extents, frozen)) {
            ways.push(format!(
                "[student.freeze] embeddings = true, layers = {}",
                frozen.freeze.layers
            ));
        }
        // Their own weights are few beside what they save.
        let adapters = Trainable {
            adapters: Some(Adapters {
                rank: 8,
                scale: 16.0,
            }),
            ..trainable
        };
        if trainable.adapters.is_none() && fits(&with(self.extents, adapters)) {
            ways.push("[student.adapters] rank = 8".to_owned());
        }
        format!(
            "--memory {} is too little: reading one window at a time, of at most {} tokens and {} pairs, takes {need}. What would fit: {}",
            show(limit),
            self.extents.length,
            self.extents.pairs,
            ways.join("; or ")
        )
    }
}

#[cfg(test)]
mod tests;
