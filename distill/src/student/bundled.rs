//! A student read back out of its bundle: what an update goes on from, and what teaches a smaller one.

use std::path::Path;

use bie::bundle::{Bundle, ENCODER, Manifest, RELATIONS, TOKENIZER};
use bie::encode::Encoder;

use super::Net;
use super::encoder::{Config, POSITIONS, WORDS, encoder, ids_input};
use super::heads::{RelationHead, entity_logits, relation_logits};
use super::parameters::Parameters;
use super::trainable::Trainable;
use crate::error::{Error, Result};
use crate::export::{Precision, relation_inputs};
use crate::graph::onnx;

/// A trained student, whole.
pub struct Bundled {
    /// What the bundle says of itself.
    pub manifest: Manifest,
    /// The bundle's hash.
    pub hash: String,
    /// The tokenizer.
    pub tokenizer: Encoder,
    /// Sizes of the encoder.
    pub config: Config,
    /// The relation head, if the schema has relations.
    pub relations: Option<RelationHead>,
    /// All weights.
    pub parameters: Parameters,
}

impl Bundled {
    /// Reads an fp32 bundle that `distill` made. Printing what was read gives the bundle's graphs again, byte for byte.
    ///
    /// # Errors
    /// The bundle is damaged or in 8 bits (the message names the folder to take instead), or its graphs are not the student's.
    pub fn from_bundle(dir: &Path) -> Result<Bundled> {
        let bundle = Bundle::open(dir)?;
        let manifest = bundle.manifest;
        if manifest.precision != Precision::Float.as_str() {
            let beside = dir.parent().unwrap_or(dir).join(Precision::Float.as_str());
            let why = format!(
                "the bundle is {}, whose weights are rounded; give the fp32 bundle of the same training, which distill writes beside it ({})",
                manifest.precision,
                beside.display()
            );
            return Err(Error::file(dir, why));
        }
        let mut parameters = Parameters::default();
        let mut epsilon = None;
        for (name, bytes) in [
            (ENCODER, Some(&bundle.encoder)),
            (RELATIONS, bundle.relations.as_ref()),
        ] {
            let Some(bytes) = bytes else { continue };
            let printed = onnx::read(bytes).ok_or_else(|| foreign(&dir.join(name), "it"))?;
            epsilon = epsilon.or(printed.epsilon);
            for (name, shape, data) in printed.parameters {
                parameters.insert(name, &shape, data);
            }
        }
        let (config, relations) = sizes(&manifest, &parameters, epsilon)
            .ok_or_else(|| foreign(&dir.join(ENCODER), "its set of weights"))?;
        let required = required(&config, manifest.entities.len(), relations);
        for (name, shape) in &required {
            if parameters.0.get(name).is_none_or(|p| p.shape != *shape) {
                return Err(foreign(dir, name));
            }
        }
        if parameters.0.len() > required.len() {
            return Err(foreign(dir, "one of its weights"));
        }
        let tokenizer = Encoder::from_bytes(&bundle.tokenizer)
            .map_err(|e| Error::file(&dir.join(TOKENIZER), e.to_string()))?;
        Ok(Bundled {
            hash: bundle.hash,
            manifest,
            tokenizer,
            config,
            relations,
            parameters,
        })
    }
}

fn foreign(path: &Path, what: &str) -> Error {
    let why = format!(
        "{what} is not as this distill prints it; give a bundle that `distill train` of this version made"
    );
    Error::file(path, why)
}

/// The sizes that the weights' shapes imply. `None` if they imply none that a student can have.
fn sizes(
    manifest: &Manifest,
    parameters: &Parameters,
    epsilon: Option<f32>,
) -> Option<(Config, Option<RelationHead>)> {
    let matrix = |name: &str| match parameters.0.get(name)?.shape.as_slice() {
        [rows, columns] => Some((*rows, *columns)),
        _ => None,
    };
    let (vocab_size, d) = matrix(WORDS)?;
    let first = "encoder.layer.0.intermediate.dense.weight";
    let exists = |layer: &usize| {
        let name = format!("encoder.layer.{layer}.output.dense.weight");
        parameters.0.contains_key(&name)
    };
    let config = Config {
        vocab_size,
        hidden_size: d,
        layers: (0..).take_while(exists).count(),
        heads: manifest.attention_heads,
        intermediate_size: matrix(first)?.0,
        max_positions: matrix(POSITIONS)?.0,
        epsilon: epsilon?,
    };
    let relations = if manifest.relations.is_empty() {
        None
    } else {
        let (labels, inputs) = matrix("heads.relations.bilinear.weight")?;
        let block = inputs.checked_div(d)?;
        let whole = block > 0 && d.is_multiple_of(block) && inputs == d * block;
        let fits = whole && labels == manifest.relations.len() + 1;
        Some(RelationHead {
            hidden: d,
            heads: config.heads,
            labels,
            block: fits.then_some(block)?,
        })
    };
    let sound = d == manifest.hidden_size && d > 0 && d.is_multiple_of(config.heads);
    let reads = manifest.max_tokens <= config.max_positions;
    (sound && reads).then_some((config, relations))
}

/// Names and shapes of the weights that the student's definition asks for.
fn required(c: &Config, types: usize, head: Option<RelationHead>) -> Vec<(String, Vec<usize>)> {
    let mut net = Net::training(0.0, Trainable::default());
    let ids = ids_input(&mut net, "ids", 1);
    let encoded = encoder(&mut net, c, ids, 1, None);
    let last = |tensors: &[_]| tensors.last().copied();
    let attention = last(&encoded.attention);
    if let Some(hidden) = last(&encoded.hidden) {
        entity_logits(&mut net, hidden, c.hidden_size, types);
        if let (Some(head), Some(attention)) = (head, attention) {
            let inputs = relation_inputs(&mut net, hidden, attention);
            relation_logits(&mut net, head, &inputs, 1);
        }
    }
    let extents = |t| net.graph.shape(t).iter().filter_map(|d| d.fixed());
    let shaped = |(name, t): &(String, _)| (name.clone(), extents(*t).collect());
    net.parameters().iter().map(shaped).collect()
}
