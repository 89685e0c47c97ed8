//! The training step as a graph: parameters and a batch go in; losses and gradients come out.

use std::collections::BTreeMap;

use super::budget::Extents;
use super::features::{Feature, Kind};
use super::losses::Losses;
use super::trainer::{Part, gradient_name};
use crate::error::Result;
use crate::graph::grad::gradients;
use crate::graph::{DType, Dim, Tensor};
use crate::session::{Feed, Session};
use crate::shape;
use crate::student::Net;
use crate::student::encoder::{Config, POSITIONS, WORDS, encoder, ids_input};
use crate::student::heads::{RelationHead, RelationInputs, entity_logits, relation_logits};
use crate::student::parameters::Parameters;
use crate::student::trainable::Trainable;

/// Sizes of a training step.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// The encoder.
    pub encoder: Config,
    /// Number of entity types K.
    pub types: usize,
    /// The relation head, if the schema has relations.
    pub relations: Option<RelationHead>,
    /// Windows in a batch.
    pub batch: usize,
    /// Probability of dropout.
    pub dropout: f32,
    /// Temperature at which the teacher's labels are met (Hinton et al. 2015).
    pub temperature: f32,
    /// What training changes.
    pub trainable: Trainable,
    /// What else is in the loss.
    pub terms: Terms,
}

/// The terms of the loss beside the cross-entropies with gold and with the teachers' relations. What is not asked for is not in the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Cross-entropy with the teachers' tags.
    pub teacher_entities: bool,
    /// Cross-entropy between the teachers' evidence and the pair attention.
    pub rationale: bool,
    /// Hidden states and attention maps, of all encoder teachers.
    pub features: Vec<Feature>,
}

/// Added to the pair attention before the logarithm: what the head itself adds to its sums.
const FLOOR: f32 = 1e-5;

/// A batch of windows, padded to the longest; token (l, b) is row `l × batch + b`. Targets carry their weights, so the
/// loss is a plain sum and what is masked is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Longest window L, most mentions M, entities N and pairs P of a window (each at least 1).
    pub length: usize,
    /// See `length`.
    pub mentions: usize,
    /// See `length`.
    pub entities: usize,
    /// See `length`.
    pub pairs: usize,
    /// `[L, B]`.
    pub ids: Vec<i64>,
    /// `[B, 1, 1, L]`: 0, or a large negative number on padding.
    pub attention_bias: Vec<f32>,
    /// `[L·B, K, 3]`.
    pub tags: Vec<f32>,
    /// `[B, M, L]`.
    pub mention_tokens: Vec<f32>,
    /// `[B, N, M]`.
    pub entity_mentions: Vec<f32>,
    /// `[B·P]`.
    pub pair_head: Vec<i64>,
    /// `[B·P]`.
    pub pair_tail: Vec<i64>,
    /// `[B·P, R+1]`: 0, or a large negative number on labels that the pair's types do not admit.
    pub label_bias: Vec<f32>,
    /// `[B·P, R+1]`.
    pub gold: Vec<f32>,
    /// `[B·P, R+1]`, softened by the temperature.
    pub teacher: Vec<f32>,
    /// `[L·B, K, 3]`, softened by the temperature; see [`Terms::teacher_entities`].
    pub teacher_tags: Vec<f32>,
    /// `[B·P, L]`; see [`Terms::rationale`].
    pub evidence: Vec<f32>,
    /// `[L·B, 1]`: 1/n on the n tokens that are not padding; see [`Terms::features`].
    pub mask: Vec<f32>,
    /// The teacher's values of each of [`Terms::features`], as [`Feature::input`] describes them.
    pub features: Vec<Vec<f32>>,
    /// Tokens that are not padding.
    pub tokens: usize,
}

/// A training step, ready to run.
pub struct Step {
    spec: StepSpec,
    session: Session,
    /// Graph inputs that are parameters.
    parameters: Vec<String>,
    /// Graph inputs that are dropout masks.
    masks: Vec<String>,
    /// What the last run read: the rows of its sparse gradients.
    batch: Batch,
    /// 0, 1, ...: the rows of the position table.
    positions: Vec<i64>,
}

impl Step {
    /// Builds and loads the graph; `threads` work inside each operator.
    ///
    /// # Errors
    /// The runtime is missing or refuses the graph.
    pub fn new(spec: StepSpec, threads: usize) -> Result<Self> {
        let net = Self::graph(&spec);
        let session = Session::new(&net.graph.to_onnx("training step"), threads)?;
        let names =
            |inputs: &[(String, Tensor)]| inputs.iter().map(|(name, _)| name.clone()).collect();
        Ok(Step {
            spec,
            session,
            parameters: names(net.parameters()),
            masks: names(net.masks()),
            batch: Batch::default(),
            positions: Vec::new(),
        })
    }

    fn graph(spec: &StepSpec) -> Net<'static> {
        let (batch, d) = (spec.batch, spec.encoder.hidden_size);
        let mut net = Net::training(spec.dropout, spec.trainable);
        let length = Dim::new(1, "L");
        let tokens = Dim::new(batch, "L");
        let ids = ids_input(&mut net, "ids", batch);
        let bias = net
            .graph
            .input("attention_bias", DType::F32, shape![batch, 1, 1, length]);
        let encoded = encoder(&mut net, &spec.encoder, ids, batch, Some(bias));
        let hidden = encoded.hidden[spec.encoder.layers];

        let logits = entity_logits(&mut net, hidden, d, spec.types);
        let tags = net
            .graph
            .input("tags", DType::F32, shape![tokens, spec.types, 3]);
        let mut total = cross_entropy(&mut net, logits, tags, 1.0);
        net.graph.output("loss of entities", total);
        let t = spec.temperature;
        if spec.terms.teacher_entities {
            let shape = shape![tokens, spec.types, 3];
            let theirs = net.graph.input("teacher_tags", DType::F32, shape);
            let soft = net.graph.scale(logits, 1.0 / t);
            let loss = cross_entropy(&mut net, soft, theirs, t * t);
            total = add(&mut net, total, "teacher_entities", &[loss]);
        }

        if let Some(head) = spec.relations {
            let (m, n, p) = (Dim::new(1, "M"), Dim::new(1, "N"), Dim::new(batch, "P"));
            let g = &mut net.graph;
            let inputs = RelationInputs {
                hidden,
                attention: encoded.attention[spec.encoder.layers - 1],
                mention_tokens: g.input("mention_tokens", DType::F32, shape![batch, m, length]),
                entity_mentions: g.input("entity_mentions", DType::F32, shape![batch, n, m]),
                pair_head: g.input("pair_head", DType::I64, shape![p]),
                pair_tail: g.input("pair_tail", DType::I64, shape![p]),
            };
            let labels = [p, head.labels.into()];
            let bias = g.input("label_bias", DType::F32, labels.to_vec());
            let gold = g.input("gold", DType::F32, labels.to_vec());
            let teacher = g.input("teacher", DType::F32, labels.to_vec());
            let (logits, attention) = relation_logits(&mut net, head, &inputs, batch);
            let masked = net.graph.add(logits, bias);
            let from_gold = cross_entropy(&mut net, masked, gold, 1.0);
            let soft = net.graph.scale(logits, 1.0 / t);
            let soft = net.graph.add(soft, bias);
            let from_teacher = cross_entropy(&mut net, soft, teacher, t * t);
            net.graph.output("loss of gold", from_gold);
            net.graph.output("loss of teacher", from_teacher);
            total = net.graph.add(total, from_gold);
            total = net.graph.add(total, from_teacher);
            if spec.terms.rationale {
                let g = &mut net.graph;
                let evidence = g.input("evidence", DType::F32, shape![p, length]);
                let floor = g.scalar(FLOOR);
                let attention = g.add(attention, floor);
                let log = g.log(attention);
                let product = g.mul(log, evidence);
                let sum = g.sum_all(product);
                let loss = g.scale(sum, -1.0);
                total = add(&mut net, total, "rationale", &[loss]);
            }
        }
        if !spec.terms.features.is_empty() {
            let mask = net.graph.input("mask", DType::F32, shape![tokens, 1]);
            for term in FEATURE_TERMS {
                let of_term = spec.terms.features.iter().enumerate();
                let losses: Vec<Tensor> = of_term
                    .filter(|(_, f)| f.term() == term)
                    .map(|(n, f)| f.loss(&mut net, n, &spec.encoder, &encoded, batch, mask))
                    .collect();
                total = add(&mut net, total, term, &losses);
            }
        }

        // Tables: the gradient of the picked rows is the table's own, without its zeros.
        let named = net.trained();
        let wrt: Vec<Tensor> = named
            .iter()
            .map(|(name, t)| match name.as_str() {
                WORDS => encoded.words,
                POSITIONS => encoded.positions,
                _ => *t,
            })
            .collect();
        let grads = gradients(&mut net.graph, total, None, &wrt);
        for ((name, _), gradient) in named.iter().zip(grads) {
            if let Some(gradient) = gradient {
                net.graph.output(&gradient_name(name), gradient);
            }
        }
        net
    }

    /// Bytes that a run holds at most, parameters not counted: a batch of `extents`, its masks, what is computed of them, gradients.
    pub fn peak_bytes(spec: &StepSpec, extents: Extents) -> u64 {
        let net = Self::graph(spec);
        let extents = [
            ("L", extents.length),
            ("M", extents.mentions),
            ("N", extents.entities),
            ("P", extents.pairs),
        ];
        let fed = |name: &str| net.parameters().iter().all(|(p, _)| p != name);
        net.graph.input_bytes(&extents, fed) + net.graph.peak_bytes(&extents)
    }

    /// Sizes of this step.
    pub fn spec(&self) -> &StepSpec {
        &self.spec
    }

    /// Number of dropout masks, each `[L·B, d]`.
    pub fn masks(&self) -> usize {
        self.masks.len()
    }

    /// Runs forward and backward. The gradient of the word table is `[L·B, d]`: row i belongs to the word of `Batch::ids[i]`; of the
    /// position table `[L, d]`: row i belongs to position i. `masks` holds [`Step::masks`] × L·B × d values (0 or 1/(1−p)).
    ///
    /// # Errors
    /// The runtime fails.
    pub fn run(
        &mut self,
        parameters: &Parameters,
        batch: Batch,
        masks: &[f32],
    ) -> Result<Part<'_>> {
        self.positions = (0..batch.length as i64).collect();
        self.batch = batch;
        let (s, batch) = (&self.spec, &self.batch);
        let (b, d, labels) = (
            s.batch,
            s.encoder.hidden_size,
            s.relations.map_or(1, |r| r.labels),
        );
        let Batch {
            length: l,
            mentions: m,
            entities: n,
            pairs: p,
            ..
        } = *batch;
        let rows = l * b;
        let shapes = BTreeMap::from([
            ("ids", vec![l, b]),
            ("attention_bias", vec![b, 1, 1, l]),
            ("tags", vec![rows, s.types, 3]),
            ("mention_tokens", vec![b, m, l]),
            ("entity_mentions", vec![b, n, m]),
            ("pair", vec![b * p]),
            ("labels", vec![b * p, labels]),
            ("mask", vec![rows, d]),
            ("row", vec![rows, 1]),
            ("evidence", vec![b * p, l]),
        ]);
        let mut feeds = vec![
            ("ids", Feed::I64(&shapes["ids"], &batch.ids)),
            (
                "attention_bias",
                Feed::F32(&shapes["attention_bias"], &batch.attention_bias),
            ),
            ("tags", Feed::F32(&shapes["tags"], &batch.tags)),
        ];
        if s.relations.is_some() {
            feeds.extend([
                (
                    "mention_tokens",
                    Feed::F32(&shapes["mention_tokens"], &batch.mention_tokens),
                ),
                (
                    "entity_mentions",
                    Feed::F32(&shapes["entity_mentions"], &batch.entity_mentions),
                ),
                ("pair_head", Feed::I64(&shapes["pair"], &batch.pair_head)),
                ("pair_tail", Feed::I64(&shapes["pair"], &batch.pair_tail)),
                (
                    "label_bias",
                    Feed::F32(&shapes["labels"], &batch.label_bias),
                ),
                ("gold", Feed::F32(&shapes["labels"], &batch.gold)),
                ("teacher", Feed::F32(&shapes["labels"], &batch.teacher)),
            ]);
        }
        let terms = &s.terms;
        if terms.teacher_entities {
            feeds.push((
                "teacher_tags",
                Feed::F32(&shapes["tags"], &batch.teacher_tags),
            ));
        }
        if s.relations.is_some() && terms.rationale {
            feeds.push(("evidence", Feed::F32(&shapes["evidence"], &batch.evidence)));
        }
        let feature_shape = |f: &Feature| match f.kind {
            Kind::Hidden { width } => vec![rows, width],
            Kind::Attention { maps } => vec![b, maps, l, l],
        };
        let features: Vec<(String, Vec<usize>)> = (terms.features.iter().enumerate())
            .map(|(n, f)| (Feature::input(n), feature_shape(f)))
            .collect();
        if terms.features.iter().any(|f| f.term() == "hidden") {
            feeds.push(("mask", Feed::F32(&shapes["row"], &batch.mask)));
        }
        for ((name, shape), values) in features.iter().zip(&batch.features) {
            feeds.push((name, Feed::F32(shape, values)));
        }
        for (name, mask) in self.masks.iter().zip(masks.chunks(rows * d)) {
            feeds.push((name, Feed::F32(&shapes["mask"], mask)));
        }
        for name in &self.parameters {
            if let Some(p) = parameters.0.get(name) {
                feeds.push((name, Feed::F32(&p.shape, &p.data)));
            }
        }
        let mut names = vec!["entities"];
        names.extend(terms.teacher_entities.then_some("teacher_entities"));
        if s.relations.is_some() {
            names.extend(["gold", "teacher"]);
            names.extend(terms.rationale.then_some("rationale"));
        }
        let has = |term: &&&str| terms.features.iter().any(|f| f.term() == **term);
        names.extend(FEATURE_TERMS.iter().filter(has));
        let outputs = self.session.run(&feeds)?;
        let mut losses = Vec::with_capacity(names.len());
        for name in names {
            let (_, values) = outputs.get(&format!("loss of {name}"))?;
            losses.push((name, values.first().copied().unwrap_or(f32::NAN)));
        }
        Ok(Part {
            outputs,
            rows: vec![(WORDS, &batch.ids), (POSITIONS, &self.positions)],
            losses: Losses(losses),
            tokens: batch.tokens,
        })
    }
}

/// The terms of [`Terms::features`].
const FEATURE_TERMS: [&str; 2] = ["hidden", "attention"];

/// Adds losses to the total, and their sum to the outputs as one term.
fn add(net: &mut Net<'_>, total: Tensor, term: &str, losses: &[Tensor]) -> Tensor {
    let g = &mut net.graph;
    let Some(sum) = losses.iter().copied().reduce(|a, b| g.add(a, b)) else {
        return total;
    };
    g.output(&format!("loss of {term}"), sum);
    g.add(total, sum)
}

/// −k Σ target ∘ log softmax(logits).
fn cross_entropy(net: &mut Net<'_>, logits: Tensor, target: Tensor, k: f32) -> Tensor {
    let g = &mut net.graph;
    let log_p = g.log_softmax(logits);
    let product = g.mul(log_p, target);
    let sum = g.sum_all(product);
    g.scale(sum, -k)
}
