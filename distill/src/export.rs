//! Prints the extract graphs of a trained student and puts the bundle together.

use std::collections::BTreeMap;

use bie::bundle::{
    ENCODER, EXPLAIN, EXPLAIN_FLOAT, EntityType, Manifest, RELATIONS, RelationType, SCHEMA_VERSION,
    TOKENIZER,
};
use serde_json::Value;

use crate::error::Result;
use crate::graph::grad::gradients;
use crate::graph::{DType, Dim, Graph, Tensor};
use crate::shape;
use crate::student::encoder::{Config, embed, encoder, layers};
use crate::student::heads::{RelationHead, RelationInputs, entity_logits, relation_logits};
use crate::student::parameters::Parameters;
use crate::student::{Net, Weights};
use crate::train::Run;

/// Number format of the extract graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats throughout.
    Float,
    /// The encoder's linear layers and word embeddings in 8 bits; the heads stay in 32, so that the score of a pair does not
    /// depend on which other pairs are scored with it.
    Int8,
}

impl Precision {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Float => "fp32",
            Precision::Int8 => "int8",
        }
    }

    fn weights(self, p: &Parameters) -> Weights<'_> {
        match self {
            Precision::Float => Weights::Float(p),
            Precision::Int8 => Weights::Int8(p),
        }
    }
}

/// `encoder.onnx`: see ARCHITECTURE.md for names and shapes.
pub fn encoder_graph(
    config: &Config,
    types: usize,
    parameters: &Parameters,
    precision: Precision,
) -> Graph {
    let length = Dim::new(1, "L");
    let mut net = Net::extraction(precision.weights(parameters), true);
    let ids = net.graph.input("input_ids", DType::I64, shape![length]);
    let ids = net.graph.reshape(ids, shape![length, 1]);
    let encoded = encoder(&mut net, config, ids, 1, None);
    let hidden = encoded.hidden[config.layers];
    let logits = entity_logits(&mut net, hidden, config.hidden_size, types);
    let attention = encoded.attention[config.layers - 1];
    let attention = net
        .graph
        .reshape(attention, shape![config.heads, length, length]);
    net.graph.output("entity_logits", logits);
    net.graph.output("hidden", hidden);
    net.graph.output("attention", attention);
    net.graph
}

/// `relations.onnx`: see ARCHITECTURE.md for names and shapes.
pub fn relations_graph(head: RelationHead, parameters: &Parameters) -> Graph {
    let length = Dim::new(1, "L");
    let mut net = Net::extraction(Weights::Float(parameters), true);
    let g = &mut net.graph;
    let hidden = g.input("hidden", DType::F32, shape![length, head.hidden]);
    let attention = g.input("attention", DType::F32, shape![head.heads, length, length]);
    let attention = g.reshape(attention, shape![1, head.heads, length, length]);
    let inputs = relation_inputs(&mut net, hidden, attention);
    let (logits, pair_attention) = relation_logits(&mut net, head, &inputs, 1);
    net.graph.output("relation_logits", logits);
    net.graph.output("pair_attention", pair_attention);
    net.graph
}

/// `explain.onnx`: see ARCHITECTURE.md for names and shapes. The forward pass is the extract graphs' own, node for node; the rest is its
/// vector-Jacobian product down to the embedding output, at a point of the straight line from a baseline.
pub fn explain_graph(
    config: &Config,
    types: usize,
    head: Option<RelationHead>,
    weights: Weights<'_>,
) -> Graph {
    let (length, d) = (Dim::new(1, "L"), config.hidden_size);
    let mut net = Net::extraction(weights, true);
    let embed = |net: &mut Net<'_>, name: &str| {
        let ids = net.graph.input(name, DType::I64, shape![length]);
        let ids = net.graph.reshape(ids, shape![length, 1]);
        embed(net, config, ids, 1).x
    };
    let embedding = embed(&mut net, "input_ids");
    let baseline = embed(&mut net, "baseline_ids");
    let g = &mut net.graph;
    let levelling = g.input("levelling", DType::F32, shape![]);
    let retreat = g.input("retreat", DType::F32, shape![]);
    let mean = g.mean_rows(embedding);
    let to_mean = g.sub(mean, baseline);
    let levelled = g.mul(to_mean, levelling);
    let baseline = g.add(baseline, levelled);
    // A retreat of 0 leaves the embedding as it is, bit for bit.
    let away = g.sub(baseline, embedding);
    let step = g.mul(away, retreat);
    let x = g.add(embedding, step);
    let (hidden, attention) = layers(&mut net, config, x, 1, None);
    let last = hidden[config.layers];

    let logits = entity_logits(&mut net, last, d, types);
    let g = &mut net.graph;
    let q = Dim::new(1, "Q");
    let paths = g.input("entity_paths", DType::F32, shape![q, length, types, 3]);
    let path_weights = g.input("entity_weights", DType::F32, shape![q]);
    let path_sharpness = g.input("entity_sharpness", DType::F32, shape![q]);
    let tags = g.log_softmax(logits);
    let along = g.mul(paths, tags);
    let mean = g.reduce_sum(along, &[1, 2, 3], false);
    let scores = calibrated(g, mean, path_sharpness);
    let weighted = g.mul(scores, path_weights);
    let mut value = g.sum_all(weighted);

    if let Some(head) = head {
        let inputs = relation_inputs(&mut net, last, attention[config.layers - 1]);
        let (logits, pair_attention) = relation_logits(&mut net, head, &inputs, 1);
        let g = &mut net.graph;
        let rows = g.shape(logits).to_vec();
        let sharpness = g.input("relation_sharpness", DType::F32, shape![]);
        let admitted = g.input("relation_admitted", DType::F32, rows.clone());
        let relation_weights = g.input("relation_weights", DType::F32, rows);
        let sharpened = g.mul(logits, sharpness);
        let masked = g.add(sharpened, admitted);
        let probabilities = g.softmax(masked);
        let weighted = g.mul(probabilities, relation_weights);
        let sum = g.sum_all(weighted);
        value = g.add(value, sum);
        g.output("pair_attention", pair_attention);
    }
    let gradient = gradients(&mut net.graph, value, None, &[x])[0];
    let g = &mut net.graph;
    // The value depends on every token through the attention.
    let gradient = gradient.unwrap_or(x);
    let by_input = g.mul(gradient, embedding);
    let by_input = g.reduce_sum(by_input, &[1], false);
    let by_difference = g.mul(gradient, away);
    let by_difference = g.reduce_sum(by_difference, &[1], false);
    let by_difference = g.scale(by_difference, -1.0);
    g.output("value", value);
    g.output("gradient_x_input", by_input);
    g.output("gradient_x_difference", by_difference);
    for (layer, &probabilities) in attention.iter().enumerate() {
        let by_head = g.reshape(probabilities, shape![config.heads, length, length]);
        g.output(&format!("attention_{layer}"), by_head);
    }
    net.graph
}

/// `sigmoid(sharpness · logit(p))` of `p = e^x`, as libbie calibrates scores: `p^s / (p^s + (1 − p)^s)`, where `1 − p` is kept above 0.
fn calibrated(g: &mut Graph, x: Tensor, sharpness: Tensor) -> Tensor {
    let p = g.exp(x);
    let one = g.scalar(1.0 + 1e-7);
    let rest = g.sub(one, p);
    let rest = g.log(rest);
    let (x, rest) = (g.mul(x, sharpness), g.mul(rest, sharpness));
    let (yes, no) = (g.exp(x), g.exp(rest));
    let sum = g.add(yes, no);
    g.div(yes, sum)
}

/// The inputs of the relation head for one window, on tensors of the same graph.
pub(crate) fn relation_inputs(
    net: &mut Net<'_>,
    hidden: Tensor,
    attention: Tensor,
) -> RelationInputs {
    let dim = |symbol| Dim::new(1, symbol);
    let (length, m, n, p) = (dim("L"), dim("M"), dim("N"), dim("P"));
    let g = &mut net.graph;
    let mention_tokens = g.input("mention_tokens", DType::F32, shape![m, length]);
    let entity_mentions = g.input("entity_mentions", DType::F32, shape![n, m]);
    RelationInputs {
        hidden,
        attention,
        mention_tokens: g.reshape(mention_tokens, shape![1, m, length]),
        entity_mentions: g.reshape(entity_mentions, shape![1, n, m]),
        pair_head: g.input("pair_head", DType::I64, shape![p]),
        pair_tail: g.input("pair_tail", DType::I64, shape![p]),
    }
}

/// The files of a finished run's bundle, all but its card.
///
/// # Errors
/// The tokenizer cannot be written.
pub fn files(run: &Run, precision: Precision) -> Result<BTreeMap<String, Vec<u8>>> {
    let types = run.recipe.schema.entities.len();
    let mut files = BTreeMap::from([(TOKENIZER.to_owned(), run.tokenizer.to_json()?)]);
    // One graph at a time: each holds a copy of the weights.
    let encoder = encoder_graph(&run.config, types, &run.parameters, precision).to_onnx("encoder");
    files.insert(ENCODER.to_owned(), encoder);
    if let Some(head) = run.relations {
        let graph = relations_graph(head, &run.parameters);
        files.insert(RELATIONS.to_owned(), graph.to_onnx("relations"));
    }
    let mut explain = |name: &str, weights| {
        let graph = explain_graph(&run.config, types, run.relations, weights);
        files.insert(name.to_owned(), graph.to_onnx_without_parameters("explain"));
    };
    explain(EXPLAIN, precision.weights(&run.parameters));
    if precision == Precision::Int8 {
        explain(EXPLAIN_FLOAT, Weights::Int8AsFloat(&run.parameters));
    }
    Ok(files)
}

/// The manifest of a finished run's bundle; writing it adds the hashes of the files.
pub fn manifest(run: &Run, precision: Precision, provenance: Value) -> Manifest {
    let schema = &run.recipe.schema;
    let entities = schema.entities.iter().map(|e| EntityType {
        threshold: e.threshold,
        ..EntityType::new(&e.name)
    });
    let relations = schema.relations.iter().map(|r| RelationType {
        symmetric: r.symmetric,
        threshold: r.threshold,
        ..RelationType::new(&r.name, &r.head, &r.tail)
    });
    Manifest {
        schema_version: SCHEMA_VERSION,
        model_id: run.recipe.name.clone(),
        precision: precision.as_str().to_owned(),
        max_tokens: run.recipe.student.max_tokens,
        hidden_size: run.config.hidden_size,
        attention_heads: run.config.heads,
        entities: entities.collect(),
        relations: relations.collect(),
        files: BTreeMap::new(),
        provenance,
    }
}
