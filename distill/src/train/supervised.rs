//! Training on windows with targets: what gold and teachers say of entities and relations.

use super::batch::{Weights, assemble, blank, learns_tags};
use super::budget::Extents;
use super::dropout::{self, Draw};
use super::step::{Batch, Step, StepSpec, Terms};
use super::trainer::{Part, Task};
use crate::dataset::{self, Dataset, Item};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::student::encoder::Config;
use crate::student::heads::RelationHead;
use crate::student::parameters::Parameters;
use crate::teacher::encoder::EncoderTeachers;

/// Batches of a dataset through the student's training step.
pub struct Supervised<'a> {
    recipe: &'a Recipe,
    data: &'a Dataset,
    teachers: EncoderTeachers,
    step: Step,
    /// The epoch whose order `steps` is.
    epoch: Option<u64>,
    /// The windows of each step.
    steps: Vec<Vec<usize>>,
    masks: Vec<f32>,
}

impl<'a> Supervised<'a> {
    /// The step that the recipe describes, of the terms that have a weight and something to say.
    pub fn spec(
        recipe: &Recipe,
        config: &Config,
        relations: Option<RelationHead>,
        data: &Dataset,
        teachers: &EncoderTeachers,
    ) -> StepSpec {
        let (t, d) = (&recipe.training, &recipe.distillation);
        let evidence = |item: &Item| item.pairs.iter().any(|p| p.evidence.is_some());
        let terms = Terms {
            teacher_entities: t.entity_loss_weight > 0.0 && learns_tags(&data.items, d),
            rationale: t.relation_loss_weight * d.rationale_weight > 0.0
                && data.items.iter().any(evidence),
            features: teachers.features().cloned().collect(),
        };
        StepSpec {
            encoder: config.clone(),
            types: recipe.schema.entities.len(),
            relations,
            batch: recipe.training.batch_documents,
            dropout: recipe.student.dropout,
            temperature: d.temperature,
            trainable: recipe.student.trainable(),
            terms,
        }
    }

    /// Builds the step's graph. Where `spec` has smaller batches than the recipe, a step has more parts.
    ///
    /// # Errors
    /// The runtime is missing or refuses the graph.
    pub fn new(
        recipe: &'a Recipe,
        spec: StepSpec,
        data: &'a Dataset,
        teachers: EncoderTeachers,
    ) -> Result<Self> {
        Ok(Supervised {
            recipe,
            data,
            teachers,
            step: Step::new(spec, recipe.training.threads)?,
            epoch: None,
            steps: Vec::new(),
            masks: Vec::new(),
        })
    }

    /// Computes the largest batch that can come, and forgets what came out: from now on the runtime holds the most that it will hold.
    ///
    /// # Errors
    /// The runtime fails.
    pub fn rehearse(&mut self, parameters: &Parameters, extents: Extents) -> Result<()> {
        let spec = self.step.spec();
        let labels = self.recipe.schema.relations.len() + 1;
        let blank = blank(extents, labels);
        let weights = Weights::of(&[], 0.0, 0.0);
        let mixture = &self.recipe.distillation;
        let nothing = spec.terms.features.iter();
        let nothing = nothing.map(|f| vec![0.0; f.values(extents.length)]);
        let batch = assemble(&[&blank], weights, &[nothing.collect()], spec, mixture);
        let masks = self.step.masks() * batch.ids.len() * spec.encoder.hidden_size;
        self.masks.resize(masks, 1.0);
        self.step.run(parameters, batch, &self.masks).map(drop)
    }

    /// The windows of a step.
    fn windows(&mut self, step: u64) -> Vec<&'a Item> {
        let per_epoch = self.steps_per_epoch().max(1);
        let epoch = step / per_epoch;
        if self.epoch != Some(epoch) {
            let windows = self.recipe.training.step_windows();
            self.steps = dataset::epoch_batches(&self.data.items, windows, self.recipe.seed, epoch);
            self.epoch = Some(epoch);
        }
        let windows = self.steps.get((step % per_epoch) as usize);
        let items = windows.into_iter().flatten();
        items.filter_map(|&i| self.data.items.get(i)).collect()
    }

    /// The windows of a part of a step.
    fn batch(&mut self, step: u64, part: u64) -> Result<Batch> {
        let (whole, t) = (self.windows(step), &self.recipe.training);
        let spec = self.step.spec();
        let items = whole
            .chunks(spec.batch)
            .nth(part as usize)
            .unwrap_or_default();
        let mut features = Vec::new();
        if self.teachers.features().next().is_some() {
            for item in items {
                features.push(self.teachers.values(&item.ids)?);
            }
        }
        Ok(assemble(
            items,
            Weights::of(&whole, t.entity_loss_weight, t.relation_loss_weight),
            &features,
            spec,
            &self.recipe.distillation,
        ))
    }
}

impl Task for Supervised<'_> {
    fn steps_per_epoch(&self) -> u64 {
        let windows = self.recipe.training.step_windows();
        self.data.items.len().div_ceil(windows) as u64
    }

    fn parts(&mut self, step: u64) -> u64 {
        self.windows(step).len().div_ceil(self.step.spec().batch) as u64
    }

    fn run(&mut self, parameters: &Parameters, step: u64, part: u64) -> Result<Part<'_>> {
        let batch = self.batch(step, part)?;
        let spec = self.step.spec();
        let draw = Draw {
            count: self.step.masks(),
            batch: spec.batch,
            length: batch.length,
            width: spec.encoder.hidden_size,
            p: spec.dropout,
            seed: self.recipe.seed,
            window: step * self.recipe.training.step_windows() as u64 + part * spec.batch as u64,
        };
        dropout::fill(&mut self.masks, draw, self.recipe.training.threads);
        self.step.run(parameters, batch, &self.masks)
    }
}
