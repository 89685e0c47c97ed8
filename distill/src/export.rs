//! Prints the extract graphs of a trained student and puts the bundle together.

use std::collections::BTreeMap;

use bie::bundle::{
    ENCODER, EntityType, Manifest, RELATIONS, RelationType, SCHEMA_VERSION, TOKENIZER,
};
use serde_json::Value;

use crate::error::Result;
use crate::graph::{DType, Dim, Graph};
use crate::shape;
use crate::student::encoder::{Config, encoder};
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
    let (length, m, n, p) = (
        Dim::new(1, "L"),
        Dim::new(1, "M"),
        Dim::new(1, "N"),
        Dim::new(1, "P"),
    );
    let mut net = Net::extraction(Weights::Float(parameters), true);
    let g = &mut net.graph;
    let hidden = g.input("hidden", DType::F32, shape![length, head.hidden]);
    let attention = g.input("attention", DType::F32, shape![head.heads, length, length]);
    let mention_tokens = g.input("mention_tokens", DType::F32, shape![m, length]);
    let entity_mentions = g.input("entity_mentions", DType::F32, shape![n, m]);
    let inputs = RelationInputs {
        hidden,
        attention: g.reshape(attention, shape![1, head.heads, length, length]),
        mention_tokens: g.reshape(mention_tokens, shape![1, m, length]),
        entity_mentions: g.reshape(entity_mentions, shape![1, n, m]),
        pair_head: g.input("pair_head", DType::I64, shape![p]),
        pair_tail: g.input("pair_tail", DType::I64, shape![p]),
    };
    let (logits, pair_attention) = relation_logits(&mut net, head, &inputs, 1);
    net.graph.output("relation_logits", logits);
    net.graph.output("pair_attention", pair_attention);
    net.graph
}

/// The files of a finished run's bundle, all but its card.
///
/// # Errors
/// The tokenizer cannot be written.
pub fn files(run: &Run, precision: Precision) -> Result<BTreeMap<String, Vec<u8>>> {
    let types = run.recipe.schema.entities.len();
    let encoder = encoder_graph(&run.config, types, &run.parameters, precision);
    let mut files = BTreeMap::from([
        (TOKENIZER.to_owned(), run.tokenizer.to_json()?),
        (ENCODER.to_owned(), encoder.to_onnx("encoder")),
    ]);
    if let Some(head) = run.relations {
        let graph = relations_graph(head, &run.parameters);
        files.insert(RELATIONS.to_owned(), graph.to_onnx("relations"));
    }
    Ok(files)
}

/// The manifest of a finished run's bundle; writing it adds the hashes of the files.
pub fn manifest(run: &Run, precision: Precision, provenance: Value) -> Manifest {
    let schema = &run.recipe.schema;
    let entities = schema.entities.iter().map(|e| EntityType {
        name: e.name.clone(),
        threshold: e.threshold,
        temperature: 1.0,
    });
    let relations = schema.relations.iter().map(|r| RelationType {
        name: r.name.clone(),
        head: r.head.clone(),
        tail: r.tail.clone(),
        symmetric: r.symmetric,
        threshold: r.threshold,
        temperature: 1.0,
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
