//! The two graphs of a bundle, loaded: what goes in, what comes out. Names and shapes: ARCHITECTURE.md.

use std::sync::Mutex;

use ort::environment::Environment;
use ort::ep::CPU;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionOutputs};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef};

use super::run::{lock_until, run};
use crate::bundle::{Bundle, ENCODER, Manifest, RELATIONS};
use crate::error::{Error, Result};
use crate::explain::Cancel;

/// So many pairs at most go through the relation graph in one run, which bounds its memory whatever a text mentions.
const PAIRS_PER_RUN: usize = 256;

/// The graphs of a bundle and the sizes that its manifest gives.
pub(crate) struct Graphs {
    encoder: Vec<u8>,
    relations: Option<Vec<u8>>,
    sizes: Sizes,
}

/// The sizes that a manifest gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    max_tokens: usize,
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) entity_types: usize,
    pub(super) relation_types: usize,
}

impl Sizes {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Sizes {
            max_tokens: manifest.max_tokens,
            hidden: manifest.hidden_size,
            heads: manifest.attention_heads,
            entity_types: manifest.entities.len(),
            relation_types: manifest.relations.len(),
        }
    }
}

impl Graphs {
    /// Takes the graphs out of a bundle.
    pub(crate) fn new(bundle: Bundle) -> (Manifest, Self) {
        let Bundle {
            manifest,
            encoder,
            relations,
            ..
        } = bundle;
        let sizes = Sizes::new(&manifest);
        (
            manifest,
            Graphs {
                encoder,
                relations,
                sizes,
            },
        )
    }
}

/// What the encoder graph says of one window. The tensors for the relation graph stay in ONNX Runtime's memory.
pub(crate) struct Reading {
    /// `[tokens][types][3]`, without the rows of `[CLS]` and `[SEP]`.
    pub(crate) entity_logits: Vec<f32>,
    hidden: DynValue,
    attention: DynValue,
    length: usize,
}

/// A mention as the relation graph sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MentionTokens {
    /// First token of the window, `[CLS]` not counted.
    pub(crate) first: usize,
    /// Last token, inclusive.
    pub(crate) last: usize,
    /// The entity that it belongs to.
    pub(crate) entity: usize,
}

/// One session of each graph; used by one thread at a time.
pub(crate) struct Lane {
    encoder: Session,
    relations: Option<Session>,
    sizes: Sizes,
    /// Raising it ends the run under way; set for as long as one caller has the lane.
    pub(super) cancel: Option<Cancel>,
}

impl Reading {
    /// The last layer's attention, `[heads][L][L]`; L counts `[CLS]` and `[SEP]`.
    pub(crate) fn attention(&self) -> Result<&[f32]> {
        let (_, values) = self.attention.try_extract_tensor::<f32>().map_err(failed)?;
        Ok(values)
    }
}

impl Lane {
    /// Makes the sessions and checks the graphs' inputs and outputs against the manifest. Raising `cancel` ends it.
    pub(crate) fn open(
        environment: &Environment,
        graphs: &Graphs,
        cancel: Option<&Cancel>,
    ) -> Result<Lane> {
        use TensorElementType::{Float32, Int64};
        let sizes = graphs.sizes;
        let fixed = |size: usize| Some(size as i64);
        let hidden = Tensor {
            name: "hidden",
            element: Float32,
            dims: &[None, fixed(sizes.hidden)],
        };
        let attention = Tensor {
            name: "attention",
            element: Float32,
            dims: &[fixed(sizes.heads), None, None],
        };

        let encoder = session_until(environment, ENCODER, &graphs.encoder, cancel)?;
        check(
            ENCODER,
            "input",
            encoder.inputs(),
            &[Tensor {
                name: "input_ids",
                element: Int64,
                dims: &[None],
            }],
        )?;
        let entity_logits = Tensor {
            name: "entity_logits",
            element: Float32,
            dims: &[None, fixed(sizes.entity_types), Some(3)],
        };
        check(
            ENCODER,
            "output",
            encoder.outputs(),
            &[entity_logits, hidden, attention],
        )?;

        let relations = graphs
            .relations
            .as_ref()
            .map(|graph| session_until(environment, RELATIONS, graph, cancel))
            .transpose()?;
        if let Some(relations) = &relations {
            let inputs = [
                hidden,
                attention,
                Tensor {
                    name: "mention_tokens",
                    element: Float32,
                    dims: &[None, None],
                },
                Tensor {
                    name: "entity_mentions",
                    element: Float32,
                    dims: &[None, None],
                },
                Tensor {
                    name: "pair_head",
                    element: Int64,
                    dims: &[None],
                },
                Tensor {
                    name: "pair_tail",
                    element: Int64,
                    dims: &[None],
                },
            ];
            check(RELATIONS, "input", relations.inputs(), &inputs)?;
            let outputs = [
                Tensor {
                    name: "relation_logits",
                    element: Float32,
                    dims: &[None, fixed(sizes.relation_types + 1)],
                },
                Tensor {
                    name: "pair_attention",
                    element: Float32,
                    dims: &[None, None],
                },
            ];
            check(RELATIONS, "output", relations.outputs(), &outputs)?;
        }
        Ok(Lane {
            encoder,
            relations,
            sizes,
            cancel: None,
        })
    }

    /// Runs both graphs once, on the longest window and the last id of the vocabulary, so that what does not fit shows at open.
    pub(crate) fn rehearse(&mut self, cls: u32, sep: u32, vocabulary: usize) -> Result<()> {
        let last_id = i64::try_from(vocabulary.saturating_sub(1)).unwrap_or(i64::MAX);
        let mut ids = vec![last_id; self.sizes.max_tokens];
        if let ([first, .., last], cls, sep) = (ids.as_mut_slice(), i64::from(cls), i64::from(sep))
        {
            (*first, *last) = (cls, sep);
        }
        let window = format!("{} tokens with the highest id {last_id}", ids.len());
        let reading = self
            .read(&ids)
            .map_err(|error| error.unfit(ENCODER, &window))?;
        if self.relations.is_some() {
            let mentions = [
                MentionTokens {
                    first: 0,
                    last: 0,
                    entity: 0,
                },
                MentionTokens {
                    first: 0,
                    last: 0,
                    entity: 1,
                },
            ];
            self.relate(&reading, &mentions, 2, &[(0, 1)])
                .map_err(|error| error.unfit(RELATIONS, "one pair"))?;
        }
        Ok(())
    }

    /// Runs the encoder graph on one window, `[CLS]` and `[SEP]` included.
    pub(crate) fn read(&mut self, ids: &[i64]) -> Result<Reading> {
        let length = ids.len();
        let row = self.sizes.entity_types * 3;
        let input = TensorRef::from_array_view(([length], ids)).map_err(failed)?;
        let inputs = ort::inputs!["input_ids" => input];
        run(
            &mut self.encoder,
            inputs,
            self.cancel.as_ref(),
            |mut outputs| {
                let entity_logits = floats(&outputs, "entity_logits", length * row)?;
                // [CLS] and [SEP] are tokens of the model, not of the text.
                let entity_logits = entity_logits
                    .get(row..(length - 1) * row)
                    .unwrap_or_default()
                    .to_vec();
                let mut take = |name: &str| outputs.remove(name).ok_or_else(|| misshapen(name));
                Ok(Reading {
                    entity_logits,
                    hidden: take("hidden")?,
                    attention: take("attention")?,
                    length,
                })
            },
        )
    }

    /// Scores pairs of entities of one window.
    ///
    /// Returns `[pairs][relations + 1]` logits, "none" first. `entities` is the number of entities; each has at least one of `mentions`.
    /// `pairs` holds head and tail.
    pub(crate) fn relate(
        &mut self,
        reading: &Reading,
        mentions: &[MentionTokens],
        entities: usize,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<f32>> {
        let width = self.sizes.relation_types + 1;
        self.pairs("relation_logits", width, reading, mentions, entities, pairs)
    }

    /// As [`Lane::relate`], but what each pair pays attention to: `[pairs][L]`, `[CLS]` and `[SEP]` counted.
    pub(crate) fn pair_attention(
        &mut self,
        reading: &Reading,
        mentions: &[MentionTokens],
        entities: usize,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<f32>> {
        let width = reading.length;
        self.pairs("pair_attention", width, reading, mentions, entities, pairs)
    }

    /// Runs the relation graph and returns one of its outputs, `[pairs][width]`.
    fn pairs(
        &mut self,
        output: &str,
        width: usize,
        reading: &Reading,
        mentions: &[MentionTokens],
        entities: usize,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<f32>> {
        let Some(session) = &mut self.relations else {
            return Ok(Vec::new());
        };
        let length = reading.length;
        let (mention_tokens, entity_mentions) = mention_inputs(mentions, entities, length);
        let mut rows = Vec::with_capacity(pairs.len() * width);
        for pairs in pairs.chunks(PAIRS_PER_RUN) {
            let side = |pick: fn(&(usize, usize)) -> usize| {
                pairs
                    .iter()
                    .map(|pair| pick(pair) as i64)
                    .collect::<Vec<i64>>()
            };
            let (heads, tails) = (side(|pair| pair.0), side(|pair| pair.1));
            let inputs = ort::inputs![
                "hidden" => &reading.hidden,
                "attention" => &reading.attention,
                "mention_tokens" => TensorRef::from_array_view(([mentions.len(), length], mention_tokens.as_slice())).map_err(failed)?,
                "entity_mentions" => TensorRef::from_array_view(([entities, mentions.len()], entity_mentions.as_slice())).map_err(failed)?,
                "pair_head" => TensorRef::from_array_view(([heads.len()], heads.as_slice())).map_err(failed)?,
                "pair_tail" => TensorRef::from_array_view(([tails.len()], tails.as_slice())).map_err(failed)?,
            ];
            run(session, inputs, self.cancel.as_ref(), |outputs| {
                rows.extend_from_slice(floats(&outputs, output, pairs.len() * width)?);
                Ok(())
            })?;
        }
        Ok(rows)
    }
}

/// `mention_tokens` `[M][L]` and `entity_mentions` `[N][M]`; `length` counts `[CLS]` and `[SEP]`.
pub(super) fn mention_inputs(
    mentions: &[MentionTokens],
    entities: usize,
    length: usize,
) -> (Vec<f32>, Vec<f32>) {
    let mut mention_tokens = vec![0f32; mentions.len() * length];
    let mut entity_mentions = vec![0f32; entities * mentions.len()];
    for ((at, mention), row) in mentions
        .iter()
        .enumerate()
        .zip(mention_tokens.chunks_exact_mut(length))
    {
        let tokens = row
            .get_mut(mention.first + 1..=mention.last + 1)
            .unwrap_or_default(); // [CLS] comes first
        let share = 1.0 / tokens.len() as f32;
        tokens.fill(share);
        if let Some(cell) = entity_mentions.get_mut(mention.entity * mentions.len() + at) {
            *cell = 1.0;
        }
    }
    (mention_tokens, entity_mentions)
}

/// Sessions are made one after the other: ONNX Runtime does not promise that making them is safe in parallel.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes a session of one graph of a bundle, with the options under which the library runs it; `file` names it in errors.
///
/// One thread and no spinning: the host's threads are the parallelism. The arena is on because its size is bounded: the trial run at open
/// is on the longest window there can be. Without it every large tensor is mapped and unmapped, and the resident size swings by 50 MB
/// (512 tokens, width 384: 119 MB and flat with it, 150 to 200 MB and half the speed without). Memory patterns are for one fixed length.
pub fn session(environment: &Environment, file: &str, graph: &[u8]) -> Result<Session> {
    session_until(environment, file, graph, None)
}

/// [`session`]; raising `cancel` ends it: between the steps of ONNX Runtime's loading, or while another session is being made.
pub(crate) fn session_until(
    environment: &Environment,
    file: &str,
    graph: &[u8],
    cancel: Option<&Cancel>,
) -> Result<Session> {
    let _one_at_a_time = lock_until(&MAKING, cancel)?;
    let make = || -> ort::Result<Session> {
        let mut builder = Session::builder(environment)?
            .with_log_level(LogLevel::Fatal)?
            .with_execution_providers([CPU::default().with_arena_allocator(true).build()])?
            .with_memory_pattern(false)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?;
        let loading = builder.canceler();
        let _watch = cancel.map(|cancel| {
            cancel.watch(move || {
                let _ = loading.cancel(); // it sets a flag and cannot fail
            })
        });
        builder.commit_from_memory(graph)
    };
    make().map_err(|error| {
        if let Some(Err(cancelled)) = cancel.map(Cancel::check) {
            return cancelled;
        }
        use ort::ErrorCode::{InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented};
        // No document is involved yet, so the message may be passed on; its first line says what matters.
        let why = error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_string();
        match error.code() {
            InvalidProtobuf | InvalidGraph | InvalidArgument | NotImplemented => {
                Error::BundleFormat {
                    file: file.into(),
                    why,
                }
            }
            _ if is_out_of_memory(&error) => Error::OutOfMemory,
            _ => Error::Runtime(format!(
                "ONNX Runtime cannot load bundle file {file}: {why}"
            )),
        }
    })
}

/// A tensor that a graph must have; a dimension without a size must be free.
#[derive(Clone, Copy)]
struct Tensor<'a> {
    name: &'a str,
    element: TensorElementType,
    dims: &'a [Option<i64>],
}

fn check(file: &str, role: &str, found: &[Outlet], wanted: &[Tensor<'_>]) -> Result<()> {
    let fault = |why: String| {
        Err(Error::ModelShape {
            file: file.into(),
            why,
        })
    };
    if let Some(other) = found
        .iter()
        .find(|outlet| wanted.iter().all(|tensor| tensor.name != outlet.name()))
    {
        return fault(format!(
            "{role} `{}` is not known",
            other.name().escape_debug()
        ));
    }
    for tensor in wanted {
        let Some(outlet) = found.iter().find(|outlet| outlet.name() == tensor.name) else {
            return fault(format!("{role} `{}` is missing", tensor.name));
        };
        let (element, shape) = (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape());
        if element != Some(tensor.element) {
            return fault(format!(
                "{role} `{}` has elements of the wrong type",
                tensor.name
            ));
        }
        // A size that the graph leaves open is checked at every run.
        let fits = |(&found, wanted): (&i64, &Option<i64>)| found == -1 || Some(found) == *wanted;
        if !shape.is_some_and(|shape| {
            shape.len() == tensor.dims.len() && shape.iter().zip(tensor.dims).all(fits)
        }) {
            return fault(format!("{role} `{}` has the wrong shape", tensor.name));
        }
    }
    Ok(())
}

/// The values of an output, which must be `size` finite numbers.
pub(super) fn floats<'a>(
    outputs: &'a SessionOutputs<'_>,
    name: &str,
    size: usize,
) -> Result<&'a [f32]> {
    let (_, values) = outputs
        .get(name)
        .ok_or_else(|| misshapen(name))?
        .try_extract_tensor::<f32>()
        .map_err(failed)?;
    if values.len() != size {
        return Err(misshapen(name));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::Runtime(format!(
            "the model gave a value in `{name}` that is not a finite number; the bundle cannot be used on this machine"
        )));
    }
    Ok(values)
}

fn misshapen(name: &str) -> Error {
    Error::Runtime(format!(
        "the model gave an output `{name}` of the wrong size; restore the bundle from its source"
    ))
}

/// A failure while a document is read: the message of ONNX Runtime may hold values that stem from it, so it is not passed on.
pub(super) fn failed(error: ort::Error) -> Error {
    if is_out_of_memory(&error) {
        return Error::OutOfMemory;
    }
    Error::Runtime(format!(
        "ONNX Runtime failed to run the model ({:?}); try again, and check the bundle and the machine if it happens again",
        error.code()
    ))
}

fn is_out_of_memory(error: &ort::Error) -> bool {
    ["bad_alloc", "allocate memory", "out of memory"]
        .iter()
        .any(|sign| error.message().contains(sign))
}
