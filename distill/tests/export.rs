//! The extract graphs: fused and unfused, float and int8, compute what the definition says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use distill::export::{Precision, encoder_graph, relations_graph};
use distill::session::{Feed, Session};
use distill::student::encoder::Config;
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;

fn noise() -> impl FnMut() -> f32 {
    let mut s = 0x2545_F491_4F6C_DD1Du64;
    move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        2.0 * ((s >> 40) as f32 / 8_388_608.0 - 1.0)
    }
}

#[test]
fn int8_stays_close_to_float_and_relations_run_on_what_the_encoder_hands_on() {
    let config = Config {
        vocab_size: 50,
        hidden_size: 32,
        layers: 2,
        heads: 4,
        intermediate_size: 64,
        max_positions: 40,
        epsilon: 1e-12,
    };
    let head = RelationHead {
        hidden: 32,
        heads: 4,
        labels: 3,
        block: 8,
    };
    let mut normal = noise();
    let mut p = Parameters::random_encoder(&config, &mut normal);
    p.add_heads(2, Some(head), &mut normal, 32);
    for (_, v) in
        p.0.iter_mut()
            .filter(|(name, _)| !name.contains("LayerNorm"))
    {
        v.data.iter_mut().for_each(|x| *x *= 3.0);
    }
    let ids: Vec<i64> = (0..17).map(|i| (i * 7) % 50).collect();
    let names = ["entity_logits", "hidden", "attention"];
    let run = |precision| {
        let graph = encoder_graph(&config, 2, &p, precision);
        let mut s = Session::new(&graph.to_onnx("encoder"), 1).unwrap();
        s.run_to_arrays(&[("input_ids", Feed::I64(&[17], &ids))], &names)
            .unwrap()
    };
    let (float, int8) = (run(Precision::Float), run(Precision::Int8));
    assert_eq!(float[0].shape, [17, 2, 3]);
    assert_eq!(float[1].shape, [17, 32]);
    assert_eq!(float[2].shape, [4, 17, 17]);
    for (f, q) in float.iter().zip(&int8) {
        assert_eq!(f.shape, q.shape);
        let scale = f.data.iter().fold(0f32, |m, x| m.max(x.abs()));
        let worst = f
            .data
            .iter()
            .zip(&q.data)
            .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(
            worst > 0.0 && worst < 0.15 * scale,
            "int8 differs by {worst} of {scale}"
        );
    }
    let mut s = Session::new(&relations_graph(head, &p).to_onnx("relations"), 1).unwrap();
    let mut tokens = vec![0.0; 3 * 17];
    for (m, t) in [(0, 2), (0, 3), (1, 9), (2, 12)] {
        tokens[m * 17 + t] = if m == 0 { 0.5 } else { 1.0 };
    }
    let belongs = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
    let mut pairs = |head: &[i64], tail: &[i64]| {
        let n = [head.len()];
        let feeds = [
            ("hidden", Feed::F32(&float[1].shape, &float[1].data)),
            ("attention", Feed::F32(&float[2].shape, &float[2].data)),
            ("mention_tokens", Feed::F32(&[3, 17], &tokens)),
            ("entity_mentions", Feed::F32(&[2, 3], &belongs)),
            ("pair_head", Feed::I64(&n, head)),
            ("pair_tail", Feed::I64(&n, tail)),
        ];
        s.run_to_arrays(&feeds, &["relation_logits", "pair_attention"])
            .unwrap()
    };
    let both = pairs(&[0, 1], &[1, 0]);
    assert_eq!(
        (both[0].shape.as_slice(), both[1].shape.as_slice()),
        (&[2, 3][..], &[2, 17][..])
    );
    let sum: f32 = both[1].data[..17].iter().sum();
    assert!(
        (sum - 1.0).abs() < 1e-2,
        "pair attention is a distribution, sums to {sum}"
    );
    let alone = pairs(&[1], &[0]);
    let worst = alone[0]
        .data
        .iter()
        .zip(&both[0].data[3..])
        .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(
        worst < 1e-5,
        "a pair's score does not depend on the others: {worst}"
    );
}
