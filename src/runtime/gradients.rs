//! The explain graph, loaded: one decision's value at a point between a baseline and the window, and its gradient there.

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::run::run;
use super::session::{MentionTokens, Sizes, failed, floats, mention_inputs, session_until};
use crate::error::{Error, Result};
use crate::explain::Cancel;

/// What is differentiated: `Σ weight · score` over spans and over the relations of one pair, scores before calibration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Differentiated {
    /// Spans, each by the path of tags whose geometric mean is its score.
    pub(crate) spans: Vec<SpanValue>,
    /// The relations of a pair.
    pub(crate) relations: Option<PairValue>,
}

/// A span with a type.
#[derive(Clone, Debug)]
pub(crate) struct SpanValue {
    /// Entity type.
    pub(crate) label: usize,
    /// (token of the window, `[CLS]` not counted; O, B or I as in the logits).
    pub(crate) path: Vec<(usize, usize)>,
    pub(crate) weight: f32,
}

/// The relations of one pair of a window's entities.
#[derive(Clone, Debug)]
pub(crate) struct PairValue {
    pub(crate) mentions: Vec<MentionTokens>,
    pub(crate) entities: usize,
    pub(crate) head: usize,
    pub(crate) tail: usize,
    /// `[relations + 1]`: whether the pair's types admit it; "none" first.
    pub(crate) admitted: Vec<bool>,
    /// `[relations + 1]`.
    pub(crate) weights: Vec<f32>,
}

/// A point of the straight line between a window and a baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point<'a> {
    /// The window, `[CLS]` and `[SEP]` included.
    pub(crate) ids: &'a [i64],
    /// As many: the baseline.
    pub(crate) baseline: &'a [i64],
    /// From 0, the baseline as it is, to 1: the mean of the window's embeddings in place of each of its own.
    pub(crate) levelling: f32,
    /// From 0, the window, to 1, the baseline.
    pub(crate) retreat: f32,
}

/// What the explain graph says at one point; per token, `[CLS]` and `[SEP]` counted.
pub(crate) struct Gradient {
    /// The value.
    pub(crate) value: f32,
    /// Inner product of the value's gradient at the point with the window's embedding.
    pub(crate) by_input: Vec<f32>,
    /// The same with the window's embedding less the baseline's.
    pub(crate) by_difference: Vec<f32>,
}

/// The session of the explain graph; used by one thread at a time.
pub(crate) struct Gradients {
    session: Session,
    sizes: Sizes,
    /// Raising it ends the run under way: that of the caller who has the session.
    pub(super) cancel: Cancel,
}

impl Gradients {
    /// Makes the session of the model that `Manifest::explain_model` put together.
    pub(crate) fn open(
        environment: &Environment,
        file: &str,
        model: &[u8],
        sizes: Sizes,
        cancel: &Cancel,
    ) -> Result<Self> {
        Ok(Gradients {
            session: session_until(environment, file, model, Some(cancel))?,
            sizes,
            cancel: cancel.clone(),
        })
    }

    /// The value and its gradient at a point.
    pub(crate) fn at(&mut self, point: Point<'_>, value: &Differentiated) -> Result<Gradient> {
        let length = point.ids.len();
        self.run(point, value, |outputs| {
            let row = |name| Ok(floats(outputs, name, length)?.to_vec());
            Ok(Gradient {
                value: floats(outputs, "value", 1)?
                    .first()
                    .copied()
                    .unwrap_or_default(),
                by_input: row("gradient_x_input")?,
                by_difference: row("gradient_x_difference")?,
            })
        })
    }

    /// The attention of every layer, `[heads][L][L]` each.
    pub(crate) fn attention(
        &mut self,
        ids: &[i64],
        value: &Differentiated,
    ) -> Result<Vec<Vec<f32>>> {
        let size = self.sizes.heads * ids.len() * ids.len();
        let here = Point {
            ids,
            baseline: ids,
            levelling: 0.0,
            retreat: 0.0,
        };
        self.run(here, value, |outputs| {
            let layers = (0..).map(|layer| format!("attention_{layer}"));
            layers
                .take_while(|name| outputs.get(name).is_some())
                .map(|name| Ok(floats(outputs, &name, size)?.to_vec()))
                .collect()
        })
    }

    fn run<T>(
        &mut self,
        point: Point<'_>,
        value: &Differentiated,
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<T>,
    ) -> Result<T> {
        let Sizes {
            entity_types,
            relation_types,
            ..
        } = self.sizes;
        let Point { ids, baseline, .. } = point;
        let length = ids.len();
        let row = entity_types * 3;
        let spans = value.spans.len().max(1);
        let mut paths = vec![0f32; spans * length * row];
        let mut weights = vec![0f32; spans];
        for (at, (span, cells)) in value
            .spans
            .iter()
            .zip(paths.chunks_exact_mut(length * row))
            .enumerate()
        {
            if let Some(weight) = weights.get_mut(at) {
                *weight = span.weight;
            }
            for &(token, tag) in &span.path {
                // [CLS] comes first.
                if let Some(cell) = cells.get_mut((token + 1) * row + span.label * 3 + tag) {
                    *cell = 1.0 / span.path.len() as f32;
                }
            }
        }
        let (levelling, retreat) = ([point.levelling], [point.retreat]);
        // The graphs could divide log-odds by a temperature; calibration comes after them, whatever its family.
        let sharpness = vec![1f32; spans];
        let tensor = |shape: Vec<usize>, data| {
            TensorRef::<f32>::from_array_view((shape, data))
                .map(SessionInputValue::from)
                .map_err(failed)
        };
        let integers = |shape: Vec<usize>, data| {
            TensorRef::<i64>::from_array_view((shape, data))
                .map(SessionInputValue::from)
                .map_err(failed)
        };
        let mut inputs = vec![
            ("input_ids", integers(vec![length], ids)?),
            ("baseline_ids", integers(vec![length], baseline)?),
            ("levelling", tensor(vec![], &levelling[..])?),
            ("retreat", tensor(vec![], &retreat[..])?),
            (
                "entity_paths",
                tensor(vec![spans, length, entity_types, 3], &paths)?,
            ),
            ("entity_weights", tensor(vec![spans], &weights)?),
            ("entity_sharpness", tensor(vec![spans], &sharpness)?),
        ];
        // An entity's value has no part in the relation head, which then runs for one pair with weights of 0.
        let nobody;
        let pair = match &value.relations {
            Some(pair) => pair,
            None => {
                nobody = PairValue::nobody(relation_types);
                &nobody
            }
        };
        let (mention_tokens, entity_mentions) =
            mention_inputs(&pair.mentions, pair.entities, length);
        let (head, tail) = ([pair.head as i64], [pair.tail as i64]);
        let barred: Vec<f32> = pair
            .admitted
            .iter()
            .map(|&admitted| if admitted { 0.0 } else { -1e9 })
            .collect();
        if relation_types > 0 {
            inputs.extend([
                (
                    "mention_tokens",
                    tensor(vec![pair.mentions.len(), length], &mention_tokens)?,
                ),
                (
                    "entity_mentions",
                    tensor(vec![pair.entities, pair.mentions.len()], &entity_mentions)?,
                ),
                ("pair_head", integers(vec![1], &head[..])?),
                ("pair_tail", integers(vec![1], &tail[..])?),
                ("relation_sharpness", tensor(vec![], &[1f32][..])?),
                ("relation_admitted", tensor(vec![1, barred.len()], &barred)?),
                (
                    "relation_weights",
                    tensor(vec![1, pair.weights.len()], &pair.weights)?,
                ),
            ]);
        }
        run(&mut self.session, inputs, Some(&self.cancel), |outputs| {
            read(&outputs)
        })
    }
}

impl PairValue {
    fn nobody(relation_types: usize) -> Self {
        PairValue {
            mentions: vec![MentionTokens {
                first: 0,
                last: 0,
                entity: 0,
            }],
            entities: 1,
            head: 0,
            tail: 0,
            admitted: vec![true; relation_types + 1],
            weights: vec![0.0; relation_types + 1],
        }
    }
}

impl Error {
    /// A failure of a trial run on `what`: the graph in `file` does not fit its manifest, unless memory ran out.
    pub(super) fn unfit(self, file: &str, what: &str) -> Error {
        match self {
            Error::OutOfMemory => Error::OutOfMemory,
            _ => Error::ModelShape {
                file: file.into(),
                why: format!("a trial run on {what} failed"),
            },
        }
    }
}
