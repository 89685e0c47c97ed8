//! Methods that look inside: attention, gradients, and their products. One weight a token of the window.

use super::place::{Decision, Scene};
use super::quadrature::Refinement;
use super::window_game::deleted_id;
use super::{Baseline, Cancel, Deletion, Method, rollout};
use crate::engine::Engine;
use crate::error::Result;
use crate::options::Options;
use crate::runtime::{Differentiated, Gradient, Gradients, PairValue, Sizes, SpanValue};

/// Integrated gradients stop at this completeness error, or after so many steps.
const TOLERANCE: f64 = 0.01;
const MOST_STEPS: usize = 200;

/// Weights of the window's tokens, `[CLS]` and `[SEP]` left out.
pub(crate) struct TokenWeights {
    pub(crate) weights: Vec<f64>,
    pub(crate) completeness_error: Option<f64>,
    /// Runs of an extract graph.
    pub(crate) passes: usize,
    /// Runs of the explain graph.
    pub(crate) gradients: usize,
}

/// One decision of a scene, ready to be looked into.
pub(crate) struct Inside<'a> {
    engine: &'a Engine,
    scene: &'a Scene,
    decision: &'a Decision,
    ids: Vec<i64>,
    cancel: &'a Cancel,
}

impl<'a> Inside<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        scene: &'a Scene,
        decision: &'a Decision,
        cancel: &'a Cancel,
    ) -> Self {
        Inside {
            engine,
            scene,
            decision,
            ids: engine.ids(&scene.window),
            cancel,
        }
    }

    /// The attention of the last layer, `[heads][tokens]`, that the decision's tokens pay to each: mean of the path's tokens, or the mean of
    /// the tokens of both entities.
    pub(crate) fn heads(&self) -> Result<Vec<Vec<f32>>> {
        let asking = self.asking();
        let length = self.ids.len();
        let attention = self
            .engine
            .pool
            .with(|lane| Ok(lane.read(&self.ids)?.attention()?.to_vec()))?;
        Ok(attention
            .chunks_exact(length * length)
            .map(|head| {
                let mut sum = vec![0f32; length - 2];
                for row in asking
                    .iter()
                    .filter_map(|&at| head.get((at + 1) * length + 1..(at + 2) * length - 1))
                {
                    sum.iter_mut()
                        .zip(row)
                        .for_each(|(sum, weight)| *sum += weight / asking.len() as f32);
                }
                sum
            })
            .collect())
    }

    /// The weights by one of the methods that look inside; of the others, none.
    pub(crate) fn weigh(&self, method: Method, options: &Options) -> Result<TokenWeights> {
        match method {
            Method::Attention => self.attention(),
            Method::AttentionRollout => self.rollout(),
            Method::InputXGradient => self.input_x_gradient(),
            Method::AttentionXGradient => self.attention_x_gradient(),
            Method::IntegratedGradients => self.integrated_gradients(options),
            Method::Auto | Method::Occlusion | Method::Shap | Method::Lime => Ok(TokenWeights {
                weights: vec![0.0; self.ids.len() - 2],
                completeness_error: None,
                passes: 0,
                gradients: 0,
            }),
        }
    }

    /// [`super::Method::Attention`].
    fn attention(&self) -> Result<TokenWeights> {
        let weights = match self.decision {
            Decision::Span { .. } => {
                let heads = self.heads()?;
                let mean = |at: usize| {
                    heads
                        .iter()
                        .filter_map(|head| head.get(at))
                        .map(|&weight| f64::from(weight))
                        .sum::<f64>()
                        / heads.len().max(1) as f64
                };
                (0..self.ids.len() - 2).map(mean).collect()
            }
            Decision::Pair { head, tail, .. } => {
                let pair = self.engine.pool.with(|lane| {
                    let reading = lane.read(&self.ids)?;
                    lane.pair_attention(
                        &reading,
                        &self.scene.mentions,
                        self.scene.entities(),
                        &[(*head, *tail)],
                    )
                })?;
                self.inner(&pair)
                    .iter()
                    .map(|&weight| f64::from(weight))
                    .collect()
            }
        };
        Ok(TokenWeights {
            weights,
            completeness_error: None,
            passes: 1,
            gradients: 0,
        })
    }

    /// [`super::Method::AttentionRollout`].
    fn rollout(&self) -> Result<TokenWeights> {
        let value = self.differentiated();
        let layers = self.with_gradients(|gradients| gradients.attention(&self.ids, &value))?;
        let asking: Vec<usize> = self.asking().iter().map(|at| at + 1).collect();
        let rows: Vec<&[f32]> = layers.iter().map(Vec::as_slice).collect();
        let weights = rollout::rollout(
            &rows,
            self.engine.manifest.attention_heads,
            self.ids.len(),
            &asking,
        )?;
        Ok(TokenWeights {
            weights: self.inner(&weights).to_vec(),
            completeness_error: None,
            passes: 0,
            gradients: 1,
        })
    }

    /// [`super::Method::InputXGradient`].
    fn input_x_gradient(&self) -> Result<TokenWeights> {
        let Gradient {
            embedding,
            gradient,
            ..
        } = self.gradient(&self.ids, None, 0.0)?;
        let weights = products(&embedding, &gradient, self.ids.len());
        Ok(TokenWeights {
            weights: self.inner(&weights).to_vec(),
            completeness_error: None,
            passes: 0,
            gradients: 1,
        })
    }

    /// [`super::Method::AttentionXGradient`].
    fn attention_x_gradient(&self) -> Result<TokenWeights> {
        let attention = self.attention()?;
        let mut gradient = self.input_x_gradient()?;
        gradient
            .weights
            .iter_mut()
            .zip(&attention.weights)
            .for_each(|(weight, attention)| *weight *= attention);
        gradient.passes += attention.passes;
        Ok(gradient)
    }

    /// [`super::Method::IntegratedGradients`], along the straight line from the baseline; at most as many gradients as the option
    /// `evaluations` says, and no more than it takes for the completeness error to be at most [`TOLERANCE`].
    fn integrated_gradients(&self, options: &Options) -> Result<TokenWeights> {
        let steps = options.explain.evaluations.unwrap_or(MOST_STEPS);
        let length = self.ids.len();
        let start = self.baseline(options.explain.baseline)?;
        let end = self.gradient(&self.ids, None, 0.0)?;
        let away: Vec<f32> = end
            .embedding
            .iter()
            .zip(&start.embedding)
            .map(|(x, b)| x - b)
            .collect();
        let mut refinement = Refinement::new(TOLERANCE, steps);
        let mut gradients = 2;
        let mut seen: Vec<Vec<f64>> = Vec::new(); // per node, per token
        while !refinement.pending().is_empty() {
            let mut slopes = Vec::new();
            for &node in refinement.pending() {
                self.cancel.check()?;
                let between;
                let point = match node {
                    0.0 => &start,
                    1.0 => &end,
                    _ => {
                        gradients += 1;
                        between =
                            self.gradient(&self.ids, Some(&start.embedding), (1.0 - node) as f32)?;
                        &between
                    }
                };
                let products = products(&away, &point.gradient, length);
                slopes.push((f64::from(point.value), products.iter().sum()));
                seen.push(products);
            }
            refinement.report(&slopes);
        }
        let mut sums = vec![0f64; length];
        for (weight, products) in refinement.rule().weights.iter().zip(&seen) {
            sums.iter_mut()
                .zip(products)
                .for_each(|(sum, product)| *sum += weight * product);
        }
        let change = f64::from(end.value) - f64::from(start.value);
        let error = completeness_error(sums.iter().sum(), change);
        Ok(TokenWeights {
            weights: self.inner(&sums).to_vec(),
            completeness_error: Some(error),
            passes: 0,
            gradients,
        })
    }

    /// The gradient at a window without words: its embedding, `[L][d]`, is the baseline. `[CLS]` and `[SEP]` stay: they are no words.
    fn baseline(&self, baseline: Baseline) -> Result<Gradient> {
        let deletion = match baseline {
            Baseline::Mask => Deletion::Mask,
            Baseline::Pad => Deletion::Pad,
            Baseline::Mean => {
                let mut embedding = self.gradient(&self.ids, None, 0.0)?.embedding;
                let width = embedding.len() / self.ids.len();
                let mut mean = vec![0f32; width];
                for row in embedding.chunks_exact(width) {
                    mean.iter_mut()
                        .zip(row)
                        .for_each(|(mean, x)| *mean += x / self.ids.len() as f32);
                }
                let last = embedding.len() - width;
                for row in embedding
                    .get_mut(width..last)
                    .unwrap_or_default()
                    .chunks_exact_mut(width)
                {
                    row.copy_from_slice(&mean);
                }
                let there = self.gradient(&self.ids, Some(&embedding), 1.0)?;
                return Ok(Gradient { embedding, ..there });
            }
        };
        let nothing = deleted_id(self.engine, deletion)?;
        let mut ids = self.ids.clone();
        let last = ids.len() - 1;
        ids.get_mut(1..last).unwrap_or_default().fill(nothing);
        self.gradient(&ids, None, 0.0)
    }

    fn gradient(&self, ids: &[i64], baseline: Option<&[f32]>, retreat: f32) -> Result<Gradient> {
        let value = self.differentiated();
        self.with_gradients(|gradients| gradients.at(ids, baseline, retreat, &value))
    }

    fn with_gradients<T>(&self, work: impl FnOnce(&mut Gradients) -> Result<T>) -> Result<T> {
        let manifest = &self.engine.manifest;
        self.engine.pool.with_gradients(
            |environment| {
                let model = manifest.explain_model(&self.engine.folder)?;
                Gradients::open(environment, &model, Sizes::new(manifest))
            },
            work,
        )
    }

    fn differentiated(&self) -> Differentiated {
        let manifest = &self.engine.manifest;
        match self.decision {
            Decision::Span {
                label, path, rival, ..
            } => {
                let span = |label: usize, path: &[(usize, usize)], weight| SpanValue {
                    label,
                    path: path.to_vec(),
                    sharpness: manifest
                        .entities
                        .get(label)
                        .map_or(1.0, |kind| 1.0 / kind.temperature),
                    weight,
                };
                let mut spans = vec![span(*label, path, 1.0)];
                spans.extend(rival.as_ref().map(|(label, path)| span(*label, path, -1.0)));
                Differentiated {
                    spans,
                    relations: None,
                }
            }
            Decision::Pair {
                head,
                tail,
                admitted,
                label,
                rival,
            } => {
                let labels = manifest.relations.len() + 1;
                let mut weights = vec![0f32; labels];
                for (label, weight) in [(Some(label), 1.0), (rival.as_ref(), -1.0)] {
                    if let Some(slot) = label.and_then(|label| weights.get_mut(label + 1)) {
                        *slot = weight;
                    }
                }
                let relations = PairValue {
                    mentions: self.scene.mentions.clone(),
                    entities: self.scene.entities(),
                    head: *head,
                    tail: *tail,
                    sharpness: manifest
                        .relations
                        .get(*label)
                        .map_or(1.0, |kind| 1.0 / kind.temperature),
                    admitted: (0..labels)
                        .map(|slot| slot == 0 || admitted.contains(&(slot - 1)))
                        .collect(),
                    weights,
                };
                Differentiated {
                    spans: Vec::new(),
                    relations: Some(relations),
                }
            }
        }
    }

    /// The tokens whose attention is the decision's: those of the path, or of both entities.
    fn asking(&self) -> Vec<usize> {
        match self.decision {
            Decision::Span { path, .. } => path.iter().map(|step| step.0).collect(),
            Decision::Pair { head, tail, .. } => [head, tail]
                .into_iter()
                .flat_map(|&entity| self.scene.mentions_of(entity))
                .flatten()
                .collect(),
        }
    }

    /// A row over all tokens without `[CLS]` and `[SEP]`.
    fn inner<'r, T>(&self, row: &'r [T]) -> &'r [T] {
        row.get(1..self.ids.len() - 1).unwrap_or_default()
    }
}

/// Per token the inner product of two `[L][d]` arrays.
fn products(a: &[f32], b: &[f32], length: usize) -> Vec<f64> {
    let width = (a.len() / length).max(1);
    let product = |(a, b): (&[f32], &[f32])| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    a.chunks_exact(width)
        .zip(b.chunks_exact(width))
        .map(product)
        .collect()
}

/// `|Σ − change| / |change|`.
pub(crate) fn completeness_error(sum: f64, change: f64) -> f64 {
    (sum - change).abs() / change.abs().max(f64::MIN_POSITIVE)
}
