//! The model bundle: what `distill` writes and libbie loads. Layout and graphs: ARCHITECTURE.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the bundle layout that this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name and version of the model, for records: "bie-default-0.1".
    pub model_id: String,
    /// "fp32" or "int8".
    pub precision: String,
    /// Longest window in tokens, `[CLS]` and `[SEP]` included.
    pub max_tokens: usize,
    /// Width of `hidden`.
    pub hidden_size: usize,
    /// Heads of `attention`.
    pub attention_heads: usize,
    /// Entity types, in the order of `entity_logits`.
    pub entities: Vec<EntityType>,
    /// Relation types, in the order of `relation_logits` (after "none").
    pub relations: Vec<RelationType>,
    /// SHA-256 (lower-case hex) of every file but the manifest and its own hash.
    pub files: BTreeMap<String, String>,
    /// Free record of how the model was made: teacher, data, licences, evaluation.
    pub provenance: serde_json::Value,
}

/// One entity type of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// "Chemical".
    pub name: String,
    /// Mentions scored below are not reported.
    pub threshold: f32,
    /// The score is `sigmoid(logit(p) / temperature)`; 1 leaves it as it is.
    pub temperature: f32,
}

/// One relation type of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationType {
    /// "causes".
    pub name: String,
    /// Entity types that may be the head.
    pub head: Vec<String>,
    /// Entity types that may be the tail.
    pub tail: Vec<String>,
    /// Head and tail are interchangeable.
    pub symmetric: bool,
    /// Relations scored below are not reported.
    pub threshold: f32,
    /// Logits of a pair are divided by this before the softmax (per relation type: the pair's arg-max relation decides).
    pub temperature: f32,
}
