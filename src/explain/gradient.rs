//! Methods that look inside: attention, gradients, and their products. One weight a token of the window.

use super::place::{Decision, Scene};
use super::quadrature::Refinement;
use super::window_game::deleted_id;
use super::{Baseline, Cancel, Deletion, Method, rollout};
use crate::bundle::{EXPLAIN, EXPLAIN_FLOAT, EntityType, RelationType};
use crate::decode::calibration::Calibration;
use crate::engine::Engine;
use crate::error::Result;
use crate::options::Options;
use crate::runtime::{Differentiated, Gradient, Gradients, PairValue, Point, Sizes, SpanValue};

/// Integrated gradients stop at this completeness error, or after so many steps.
const TOLERANCE: f64 = 0.01;
const MOST_STEPS: usize = 200;

/// What one run of an explain graph costs, in forward passes (`cargo bench --bench explain`).
const A_GRADIENT: usize = 3;
/// The same of the graph without rounded activations.
const A_SMOOTH_GRADIENT: usize = 6;

/// Weights of the window's tokens, `[CLS]` and `[SEP]` left out.
pub(crate) struct TokenWeights {
    pub(crate) weights: Vec<f64>,
    pub(crate) completeness_error: Option<f64>,
    /// What they cost, in forward passes.
    pub(crate) passes: usize,
}

impl TokenWeights {
    /// No token has any.
    pub(crate) fn none() -> Self {
        TokenWeights {
            weights: Vec::new(),
            completeness_error: None,
            passes: 0,
        }
    }
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
        let attention = self.engine.pool.with_until(self.cancel, |lane| {
            Ok(lane.read(&self.ids)?.attention()?.to_vec())
        })?;
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
            Method::Auto
            | Method::Occlusion
            | Method::Shap
            | Method::Lime
            | Method::GuidedOcclusion => Ok(TokenWeights::none()),
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
                let pair = self.engine.pool.with_until(self.cancel, |lane| {
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
        })
    }

    /// [`super::Method::AttentionRollout`].
    fn rollout(&self) -> Result<TokenWeights> {
        // The attention is the same for every value.
        let layers = self.with_gradients(EXPLAIN, |gradients| {
            gradients.attention(&self.ids, &Differentiated::default())
        })?;
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
            passes: A_GRADIENT,
        })
    }

    /// [`super::Method::InputXGradient`].
    fn input_x_gradient(&self) -> Result<TokenWeights> {
        // Where nothing is gone of the way, it does not matter where it leads.
        let line = self.line(self.ids.clone(), 0.0);
        let here = line.at(EXPLAIN, 0.0)?;
        Ok(self.looked(&here.by_input, &line))
    }

    /// The gradient half way between the window and the window of deleted tokens, times their difference.
    pub(crate) fn half_way(&self, options: &Options) -> Result<TokenWeights> {
        let deleted = self.deleted(options.explain.deletion)?;
        let line = self.line(deleted, 0.0);
        let point = line.at(EXPLAIN, 0.5)?;
        Ok(self.looked(&point.by_difference, &line))
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

    /// [`super::Method::IntegratedGradients`], along the straight line from the baseline, of the model without rounded activations; at most as
    /// many gradients as the option `evaluations` says, and no more than it takes for the completeness error to be at most [`TOLERANCE`].
    fn integrated_gradients(&self, options: &Options) -> Result<TokenWeights> {
        let steps = options.explain.evaluations.unwrap_or(MOST_STEPS);
        let (deletion, levelling) = match options.explain.baseline {
            Baseline::Pad => (Deletion::Pad, 0.0),
            Baseline::Mask => (Deletion::Mask, 0.0),
            Baseline::Mean => (Deletion::Mask, 1.0),
        };
        let line = self.line(self.deleted(deletion)?, levelling);
        let graph = self.engine.manifest.smooth_graph();
        let mut refinement = Refinement::new(TOLERANCE, steps);
        let mut seen: Vec<Gradient> = Vec::new();
        while !refinement.pending().is_empty() {
            let mut slopes = Vec::new();
            for &node in refinement.pending() {
                let point = line.at(graph, 1.0 - node as f32)?;
                slopes.push((f64::from(point.value), sum(&point.by_difference)));
                seen.push(point);
            }
            refinement.report(&slopes);
        }
        let mut integral = vec![0f64; self.ids.len()];
        for (weight, point) in refinement.rule().weights.iter().zip(&seen) {
            let products = point
                .by_difference
                .iter()
                .map(|&product| f64::from(product));
            integral
                .iter_mut()
                .zip(products)
                .for_each(|(sum, product)| *sum += weight * product);
        }
        Ok(TokenWeights {
            weights: self.inner(&integral).to_vec(),
            completeness_error: Some(refinement.error()),
            passes: match graph {
                EXPLAIN_FLOAT => A_SMOOTH_GRADIENT,
                _ => A_GRADIENT,
            } * seen.len()
                * line.parts.len(),
        })
    }

    /// The window with every word deleted. `[CLS]` and `[SEP]` stay: they are no words.
    fn deleted(&self, deletion: Deletion) -> Result<Vec<i64>> {
        let mut ids = self.ids.clone();
        let last = ids.len() - 1;
        ids.get_mut(1..last)
            .unwrap_or_default()
            .fill(deleted_id(self.engine, deletion)?);
        Ok(ids)
    }

    /// The line from the window to `baseline`, levelled as [`Point::levelling`] says.
    fn line(&self, baseline: Vec<i64>, levelling: f32) -> Line<'_> {
        Line {
            inside: self,
            baseline,
            levelling,
            parts: self.parts(),
        }
    }

    /// Weights from one gradient.
    fn looked(&self, row: &[f32], line: &Line<'_>) -> TokenWeights {
        TokenWeights {
            weights: self
                .inner(row)
                .iter()
                .map(|&weight| f64::from(weight))
                .collect(),
            completeness_error: None,
            passes: A_GRADIENT * line.parts.len(),
        }
    }

    fn with_gradients<T>(
        &self,
        graph: &'static str,
        work: impl FnOnce(&mut Gradients) -> Result<T>,
    ) -> Result<T> {
        self.cancel.check()?;
        let manifest = &self.engine.manifest;
        self.engine.pool.with_gradients(
            graph,
            self.cancel,
            |environment| {
                let model = manifest.explain_model(&self.engine.folder, graph)?;
                Gradients::open(
                    environment,
                    graph,
                    &model,
                    Sizes::new(manifest),
                    self.cancel,
                )
            },
            work,
        )
    }

    /// The value as the explain graph can differentiate it: the score, and the rival's with the opposite sign, each to be calibrated
    /// afterwards. Where neither is calibrated, both go into one run of the graph.
    fn parts(&self) -> Vec<Part> {
        let manifest = &self.engine.manifest;
        let (label, rival) = match self.decision {
            Decision::Span { label, rival, .. } => (*label, rival.as_ref().map(|rival| rival.0)),
            Decision::Pair { label, rival, .. } => (*label, *rival),
        };
        let calibration = |label: usize| match self.decision {
            Decision::Span { .. } => manifest.entities.get(label).map(EntityType::calibration),
            Decision::Pair { .. } => manifest.relations.get(label).map(RelationType::calibration),
        };
        let part = |label: usize, sign: f32| Part {
            score: self.differentiated(&[(label, 1.0)]),
            calibration: calibration(label).unwrap_or(Calibration::NONE),
            sign,
        };
        let mut parts = vec![part(label, 1.0)];
        parts.extend(rival.map(|rival| part(rival, -1.0)));
        match rival {
            Some(rival)
                if parts
                    .iter()
                    .all(|part| part.calibration == Calibration::NONE) =>
            {
                vec![Part {
                    score: self.differentiated(&[(label, 1.0), (rival, -1.0)]),
                    calibration: Calibration::NONE,
                    sign: 1.0,
                }]
            }
            _ => parts,
        }
    }

    /// The weighted sum of this decision's scores with the given types, before calibration.
    fn differentiated(&self, weighted: &[(usize, f32)]) -> Differentiated {
        match self.decision {
            Decision::Span { path, rival, .. } => {
                // Each type has the path of tags that it would decode.
                let path_of = |kind: usize| match rival {
                    Some((rival, its_path)) if kind == *rival => its_path,
                    _ => path,
                };
                let span = |&(label, weight): &(usize, f32)| SpanValue {
                    label,
                    path: path_of(label).clone(),
                    weight,
                };
                Differentiated {
                    spans: weighted.iter().map(span).collect(),
                    relations: None,
                }
            }
            Decision::Pair {
                head,
                tail,
                admitted,
                ..
            } => {
                let labels = self.engine.manifest.relations.len() + 1;
                let mut weights = vec![0f32; labels];
                for (label, weight) in weighted {
                    if let Some(slot) = weights.get_mut(label + 1) {
                        *slot = *weight;
                    }
                }
                let relations = PairValue {
                    mentions: self.scene.mentions.clone(),
                    entities: self.scene.entities(),
                    head: *head,
                    tail: *tail,
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

/// A term of the value: what the graph differentiates, and what is made of it.
struct Part {
    score: Differentiated,
    calibration: Calibration,
    sign: f32,
}

/// The straight line from a window to a baseline.
struct Line<'a> {
    inside: &'a Inside<'a>,
    baseline: Vec<i64>,
    levelling: f32,
    parts: Vec<Part>,
}

impl Line<'_> {
    /// The gradient where `retreat` of the way is gone.
    fn at(&self, graph: &'static str, retreat: f32) -> Result<Gradient> {
        let Line {
            inside,
            baseline,
            levelling,
            parts,
        } = self;
        let point = Point {
            ids: &inside.ids,
            baseline,
            levelling: *levelling,
            retreat,
        };
        let length = inside.ids.len();
        let mut whole = Gradient {
            value: 0.0,
            by_input: vec![0.0; length],
            by_difference: vec![0.0; length],
        };
        for part in parts {
            let term =
                inside.with_gradients(graph, |gradients| gradients.at(point, &part.score))?;
            whole.value += part.sign * part.calibration.apply(term.value);
            let slope = part.sign * part.calibration.slope(term.value);
            for (sums, row) in [
                (&mut whole.by_input, term.by_input),
                (&mut whole.by_difference, term.by_difference),
            ] {
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, product)| *sum += slope * product);
            }
        }
        Ok(whole)
    }
}

fn sum(row: &[f32]) -> f64 {
    row.iter().map(|&x| f64::from(x)).sum()
}

/// `|Σ − change| / |change|`.
pub(crate) fn completeness_error(sum: f64, change: f64) -> f64 {
    (sum - change).abs() / change.abs().max(f64::MIN_POSITIVE)
}
