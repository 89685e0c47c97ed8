//! Training on windows with targets: what gold and teachers say of entities and relations.

use super::batch::assemble;
use super::dropout;
use super::step::{Batch, Step, StepSpec};
use super::trainer::{Part, Task};
use crate::dataset::{self, Dataset, Item};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::student::encoder::Config;
use crate::student::heads::RelationHead;
use crate::student::parameters::Parameters;

/// Batches of a dataset through the student's training step.
pub struct Supervised<'a> {
    recipe: &'a Recipe,
    data: &'a Dataset,
    step: Step,
    /// The epoch whose order `batches` is.
    epoch: Option<u64>,
    batches: Vec<Vec<usize>>,
    masks: Vec<f32>,
}

impl<'a> Supervised<'a> {
    /// Builds the step's graph.
    ///
    /// # Errors
    /// The runtime is missing or refuses the graph.
    pub fn new(
        recipe: &'a Recipe,
        config: &Config,
        relations: Option<RelationHead>,
        data: &'a Dataset,
    ) -> Result<Self> {
        let spec = StepSpec {
            encoder: config.clone(),
            types: recipe.schema.entities.len(),
            relations,
            batch: recipe.training.batch_documents,
            dropout: recipe.student.dropout,
            temperature: recipe.distillation.temperature,
        };
        Ok(Supervised {
            recipe,
            data,
            step: Step::new(spec, recipe.training.threads)?,
            epoch: None,
            batches: Vec::new(),
            masks: Vec::new(),
        })
    }

    /// The windows of a step.
    fn batch(&mut self, step: u64) -> Batch {
        let t = &self.recipe.training;
        let per_epoch = self.steps_per_epoch().max(1);
        let epoch = step / per_epoch;
        if self.epoch != Some(epoch) {
            self.batches = dataset::epoch_batches(
                &self.data.items,
                t.batch_documents,
                self.recipe.seed,
                epoch,
            );
            self.epoch = Some(epoch);
        }
        let items: Vec<&Item> = self
            .batches
            .get((step % per_epoch) as usize)
            .into_iter()
            .flatten()
            .filter_map(|&i| self.data.items.get(i))
            .collect();
        assemble(
            &items,
            t.batch_documents,
            self.step.spec().types,
            self.recipe.schema.relations.len() + 1,
            t,
            &self.recipe.distillation,
        )
    }
}

impl Task for Supervised<'_> {
    fn steps_per_epoch(&self) -> u64 {
        self.data
            .items
            .len()
            .div_ceil(self.recipe.training.batch_documents) as u64
    }

    fn run(&mut self, parameters: &Parameters, step: u64, _: u64) -> Result<Part<'_>> {
        let batch = self.batch(step);
        let spec = self.step.spec();
        dropout::fill(
            &mut self.masks,
            self.step.masks(),
            batch.length * spec.batch * spec.encoder.hidden_size,
            spec.dropout,
            self.recipe.seed,
            step,
            self.recipe.training.threads,
        );
        self.step.run(parameters, batch, &self.masks)
    }
}
