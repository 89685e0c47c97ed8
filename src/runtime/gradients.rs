//! The explain graph, loaded: one decision's value at a point between a baseline and the window, and its gradient there.

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use super::session::{MentionTokens, Sizes, failed, floats, mention_inputs, session};
use crate::bundle::EXPLAIN;
use crate::error::{Error, Result};

/// What is differentiated: `Σ weight · score` over spans and over the relations of one pair.
#[derive(Clone, Debug, Default)]
pub(crate) struct Differentiated {
    /// Spans, each by the path of tags whose calibrated geometric mean is its score.
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
    /// 1 / temperature.
    pub(crate) sharpness: f32,
    pub(crate) weight: f32,
}

/// The relations of one pair of a window's entities.
#[derive(Clone, Debug)]
pub(crate) struct PairValue {
    pub(crate) mentions: Vec<MentionTokens>,
    pub(crate) entities: usize,
    pub(crate) head: usize,
    pub(crate) tail: usize,
    /// 1 / temperature.
    pub(crate) sharpness: f32,
    /// `[relations + 1]`: whether the pair's types admit it; "none" first.
    pub(crate) admitted: Vec<bool>,
    /// `[relations + 1]`.
    pub(crate) weights: Vec<f32>,
}

/// What the explain graph says at one point. `L` counts `[CLS]` and `[SEP]`.
pub(crate) struct Gradient {
    /// The value.
    pub(crate) value: f32,
    /// `[L][d]`: the window's embedding output, wherever the point is.
    pub(crate) embedding: Vec<f32>,
    /// `[L][d]`: the value's gradient at the point.
    pub(crate) gradient: Vec<f32>,
}

/// The session of the explain graph; used by one thread at a time.
pub(crate) struct Gradients {
    session: Session,
    sizes: Sizes,
}

impl Gradients {
    /// Makes the session of the model that `Manifest::explain_model` put together.
    pub(crate) fn open(environment: &Environment, model: &[u8], sizes: Sizes) -> Result<Self> {
        Ok(Gradients {
            session: session(environment, EXPLAIN, model)?,
            sizes,
        })
    }

    /// The value and its gradient at `embedding + retreat · (baseline − embedding)`.
    ///
    /// `ids` has `[CLS]` and `[SEP]`; `baseline` is `[L][d]` and need not be given where `retreat` is 0.
    pub(crate) fn at(
        &mut self,
        ids: &[i64],
        baseline: Option<&[f32]>,
        retreat: f32,
        value: &Differentiated,
    ) -> Result<Gradient> {
        let size = ids.len() * self.sizes.hidden;
        self.run(ids, baseline, retreat, value, |outputs| {
            Ok(Gradient {
                value: floats(outputs, "value", 1)?
                    .first()
                    .copied()
                    .unwrap_or_default(),
                embedding: floats(outputs, "embedding", size)?.to_vec(),
                gradient: floats(outputs, "gradient", size)?.to_vec(),
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
        self.run(ids, None, 0.0, value, |outputs| {
            let layers = (0..).map(|layer| format!("attention_{layer}"));
            layers
                .take_while(|name| outputs.get(name).is_some())
                .map(|name| Ok(floats(outputs, &name, size)?.to_vec()))
                .collect()
        })
    }

    fn run<T>(
        &mut self,
        ids: &[i64],
        baseline: Option<&[f32]>,
        retreat: f32,
        value: &Differentiated,
        read: impl FnOnce(&ort::session::SessionOutputs<'_>) -> Result<T>,
    ) -> Result<T> {
        let Sizes {
            hidden,
            entity_types,
            relation_types,
            ..
        } = self.sizes;
        let length = ids.len();
        let zeros;
        let baseline = match baseline {
            Some(baseline) => baseline,
            None => {
                zeros = vec![0f32; length * hidden];
                &zeros
            }
        };
        let row = entity_types * 3;
        let spans = value.spans.len().max(1);
        let mut paths = vec![0f32; spans * length * row];
        let (mut weights, mut sharpness) = (vec![0f32; spans], vec![1f32; spans]);
        for (at, (span, cells)) in value
            .spans
            .iter()
            .zip(paths.chunks_exact_mut(length * row))
            .enumerate()
        {
            for (slot, given) in [
                (&mut weights, span.weight),
                (&mut sharpness, span.sharpness),
            ] {
                if let Some(slot) = slot.get_mut(at) {
                    *slot = given;
                }
            }
            for &(token, tag) in &span.path {
                // [CLS] comes first.
                if let Some(cell) = cells.get_mut((token + 1) * row + span.label * 3 + tag) {
                    *cell = 1.0 / span.path.len() as f32;
                }
            }
        }
        let retreat = [retreat];
        let tensor = |shape: Vec<usize>, data| {
            TensorRef::<f32>::from_array_view((shape, data))
                .map(SessionInputValue::from)
                .map_err(failed)
        };
        let mut inputs = vec![
            (
                "input_ids",
                TensorRef::from_array_view(([length], ids))
                    .map_err(failed)?
                    .into(),
            ),
            ("baseline", tensor(vec![length, hidden], baseline)?),
            ("retreat", tensor(vec![], &retreat)?),
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
        let (head, tail, pair_sharpness) =
            ([pair.head as i64], [pair.tail as i64], [pair.sharpness]);
        let barred: Vec<f32> = pair
            .admitted
            .iter()
            .map(|&admitted| if admitted { 0.0 } else { -1e9 })
            .collect();
        if relation_types > 0 {
            let index = |data| {
                TensorRef::<i64>::from_array_view(([1usize], data))
                    .map(SessionInputValue::from)
                    .map_err(failed)
            };
            inputs.extend([
                (
                    "mention_tokens",
                    tensor(vec![pair.mentions.len(), length], &mention_tokens)?,
                ),
                (
                    "entity_mentions",
                    tensor(vec![pair.entities, pair.mentions.len()], &entity_mentions)?,
                ),
                ("pair_head", index(&head[..])?),
                ("pair_tail", index(&tail[..])?),
                ("relation_sharpness", tensor(vec![], &pair_sharpness)?),
                ("relation_admitted", tensor(vec![1, barred.len()], &barred)?),
                (
                    "relation_weights",
                    tensor(vec![1, pair.weights.len()], &pair.weights)?,
                ),
            ]);
        }
        let outputs = self.session.run(inputs).map_err(failed)?;
        read(&outputs)
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
            sharpness: 1.0,
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
