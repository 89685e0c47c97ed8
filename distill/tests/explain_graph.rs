//! The explain graph: its value is that of the extract graphs, its gradient is that value's slope.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use distill::export::{Precision, encoder_graph, explain_graph, relations_graph};
use distill::session::{Array, Feed, Session};
use distill::student::Weights;
use distill::student::encoder::Config;
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;

const TOKENS: usize = 17;
const TYPES: usize = 2;
const LABELS: usize = 3;

const CONFIG: Config = Config {
    vocab_size: 50,
    hidden_size: 32,
    layers: 2,
    heads: 4,
    intermediate_size: 64,
    max_positions: 40,
    epsilon: 1e-12,
};
const HEAD: RelationHead = RelationHead {
    hidden: 32,
    heads: 4,
    labels: LABELS,
    block: 8,
};

fn parameters() -> Parameters {
    let mut s = 0x2545_F491_4F6C_DD1Du64;
    let mut normal = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        2.0 * ((s >> 40) as f32 / 8_388_608.0 - 1.0)
    };
    let mut p = Parameters::random_encoder(&CONFIG, &mut normal);
    p.add_heads(TYPES, Some(HEAD), &mut normal, 32);
    for (_, v) in
        p.0.iter_mut()
            .filter(|(name, _)| !name.contains("LayerNorm"))
    {
        v.data.iter_mut().for_each(|x| *x *= 3.0);
    }
    p
}

/// A window, two mentions of two entities, and what is asked of them.
struct Case {
    ids: Vec<i64>,
    baseline: Vec<i64>,
    mention_tokens: Vec<f32>,
    paths: Vec<f32>,
    entity_weight: f32,
    relation_weights: [f32; LABELS],
}

impl Case {
    /// Of a span (tokens 4 and 5, type 1) or of the pair's relation 1 against relation 2.
    fn new(of_span: bool) -> Self {
        let mut mention_tokens = vec![0.0; 2 * TOKENS];
        (mention_tokens[4], mention_tokens[5]) = (0.5, 0.5);
        mention_tokens[TOKENS + 11] = 1.0;
        let mut paths = vec![0.0; TOKENS * TYPES * 3];
        let cell = |token: usize, tag: usize| token * TYPES * 3 + 3 + tag;
        (paths[cell(4, 1)], paths[cell(5, 2)]) = (0.5, 0.5);
        Case {
            ids: (0..TOKENS as i64).map(|i| (i * 7) % 50).collect(),
            baseline: vec![3; TOKENS],
            mention_tokens,
            paths,
            entity_weight: if of_span { 1.0 } else { 0.0 },
            relation_weights: if of_span {
                [0.0; LABELS]
            } else {
                [0.0, 1.0, -1.0]
            },
        }
    }

    fn run(
        &self,
        session: &mut Session,
        levelling: f32,
        retreat: f32,
        outputs: &[&str],
    ) -> Vec<Array> {
        let (levelling, retreat, weight) = ([levelling], [retreat], [self.entity_weight]);
        session
            .run_to_arrays(
                &[
                    ("input_ids", Feed::I64(&[TOKENS], &self.ids)),
                    ("baseline_ids", Feed::I64(&[TOKENS], &self.baseline)),
                    ("levelling", Feed::F32(&[], &levelling)),
                    ("retreat", Feed::F32(&[], &retreat)),
                    (
                        "entity_paths",
                        Feed::F32(&[1, TOKENS, TYPES, 3], &self.paths),
                    ),
                    ("entity_weights", Feed::F32(&[1], &weight)),
                    ("entity_sharpness", Feed::F32(&[1], &[0.8])),
                    (
                        "mention_tokens",
                        Feed::F32(&[2, TOKENS], &self.mention_tokens),
                    ),
                    ("entity_mentions", Feed::F32(&[2, 2], &[1.0, 0.0, 0.0, 1.0])),
                    ("pair_head", Feed::I64(&[1], &[0])),
                    ("pair_tail", Feed::I64(&[1], &[1])),
                    ("relation_sharpness", Feed::F32(&[], &[0.7])),
                    ("relation_admitted", Feed::F32(&[1, LABELS], &[0.0; LABELS])),
                    (
                        "relation_weights",
                        Feed::F32(&[1, LABELS], &self.relation_weights),
                    ),
                ],
                outputs,
            )
            .unwrap()
    }

    /// The value by the extract graphs.
    fn extracted(&self, p: &Parameters, precision: Precision) -> f32 {
        let model = encoder_graph(&CONFIG, TYPES, p, precision).to_onnx("encoder");
        let mut encoder = Session::new(&model, 1).unwrap();
        let read = encoder
            .run_to_arrays(
                &[("input_ids", Feed::I64(&[TOKENS], &self.ids))],
                &["entity_logits", "hidden", "attention"],
            )
            .unwrap();
        let mut relations =
            Session::new(&relations_graph(HEAD, p).to_onnx("relations"), 1).unwrap();
        let logits = &relations
            .run_to_arrays(
                &[
                    ("hidden", Feed::F32(&read[1].shape, &read[1].data)),
                    ("attention", Feed::F32(&read[2].shape, &read[2].data)),
                    (
                        "mention_tokens",
                        Feed::F32(&[2, TOKENS], &self.mention_tokens),
                    ),
                    ("entity_mentions", Feed::F32(&[2, 2], &[1.0, 0.0, 0.0, 1.0])),
                    ("pair_head", Feed::I64(&[1], &[0])),
                    ("pair_tail", Feed::I64(&[1], &[1])),
                ],
                &["relation_logits"],
            )
            .unwrap()[0]
            .data;
        let softmax = |logits: &[f32]| {
            let sum: f32 = logits.iter().map(|x| x.exp()).sum();
            logits.iter().map(|x| x.exp() / sum).collect::<Vec<f32>>()
        };
        let tag = |token: usize, tag: usize| {
            let row = (token * TYPES + 1) * 3;
            softmax(&read[0].data[row..row + 3])[tag]
        };
        let p = (tag(4, 1) * tag(5, 2)).sqrt();
        let calibrated = 1.0 / (1.0 + ((1.0 - p) / p).powf(0.8));
        let sharpened: Vec<f32> = logits.iter().map(|x| x * 0.7).collect();
        let related: f32 = softmax(&sharpened)
            .iter()
            .zip(&self.relation_weights)
            .map(|(p, w)| p * w)
            .sum();
        self.entity_weight * calibrated + related
    }
}

#[test]
fn the_value_is_that_of_the_extract_graphs() {
    let p = parameters();
    for of_span in [true, false] {
        let case = Case::new(of_span);
        for (precision, weights) in [
            (Precision::Float, Weights::Float(&p)),
            (Precision::Int8, Weights::Int8(&p)),
        ] {
            let graph = explain_graph(&CONFIG, TYPES, Some(HEAD), weights);
            let mut session = Session::new(&graph.to_onnx("explain"), 1).unwrap();
            let value = case.run(&mut session, 0.0, 0.0, &["value"])[0].data[0];
            let extracted = case.extracted(&p, precision);
            assert!(
                (value - extracted).abs() < 1e-4,
                "{precision:?}: {value} {extracted}"
            );
        }
    }
}

/// d value / d retreat = −Σ gradient · (window − baseline), by fourth-order central differences, anywhere on the line, for both baselines.
#[test]
fn the_gradient_is_the_slope_of_the_value() {
    let p = parameters();
    let graph = explain_graph(&CONFIG, TYPES, Some(HEAD), Weights::Int8AsFloat(&p));
    let mut session = Session::new(&graph.to_onnx("explain"), 1).unwrap();
    for of_span in [true, false] {
        let case = Case::new(of_span);
        for levelling in [0.0, 1.0] {
            for at in [0.1f32, 0.5, 0.9] {
                let h = 0.02;
                let mut value =
                    |r| f64::from(case.run(&mut session, levelling, r, &["value"])[0].data[0]);
                let (a, b, c, d) = (
                    value(at - 2.0 * h),
                    value(at - h),
                    value(at + h),
                    value(at + 2.0 * h),
                );
                let slope = (a - 8.0 * b + 8.0 * c - d) / (12.0 * f64::from(h));
                let products =
                    &case.run(&mut session, levelling, at, &["gradient_x_difference"])[0].data;
                let sum: f64 = products.iter().map(|&x| f64::from(x)).sum();
                assert!(
                    (slope + sum).abs() < 2e-3 * (1.0 + slope.abs()),
                    "{of_span} {levelling} {at}: {slope} {sum}"
                );
            }
        }
    }
}

/// Rounding is taken for the identity, and each row of a gradient has a range of its own.
#[test]
fn the_8_bit_gradient_is_close_to_the_smooth_one() {
    let p = parameters();
    for of_span in [true, false] {
        let case = Case::new(of_span);
        let [exact, rounded] = [Weights::Int8AsFloat(&p), Weights::Int8(&p)].map(|weights| {
            let graph = explain_graph(&CONFIG, TYPES, Some(HEAD), weights);
            let mut session = Session::new(&graph.to_onnx("explain"), 1).unwrap();
            case.run(&mut session, 0.0, 0.5, &["gradient_x_difference"])
                .remove(0)
                .data
        });
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(&exact, &rounded) / (dot(&exact, &exact) * dot(&rounded, &rounded)).sqrt();
        assert!(cosine > 0.95, "{cosine}");
    }
}
