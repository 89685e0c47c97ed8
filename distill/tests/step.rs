//! The whole training step against finite differences of its own loss, on a small student.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use distill::student::encoder::{Config, POSITIONS, WORDS};
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;
use distill::train::step::{Batch, Step, StepSpec};

/// Deterministic values, roughly normal.
fn noise() -> impl FnMut() -> f32 {
    let mut s = 0x2545_F491_4F6C_DD1Du64;
    move || {
        let mut sum = 0.0;
        for _ in 0..4 {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            sum += (s >> 40) as f32 / 8_388_608.0 - 1.0;
        }
        sum
    }
}

#[test]
fn gradients_of_the_step_are_the_slope_of_its_loss() {
    let encoder = Config {
        vocab_size: 11,
        hidden_size: 8,
        layers: 2,
        heads: 2,
        intermediate_size: 12,
        max_positions: 9,
        epsilon: 1e-5,
    };
    let head = RelationHead {
        hidden: 8,
        heads: 2,
        labels: 3,
        block: 4,
    };
    let (batch, types) = (2, 2);
    let mut normal = noise();
    let mut parameters = Parameters::random_encoder(&encoder, &mut normal);
    parameters.add_heads(types, Some(head), &mut normal, 8);
    // Larger than at the start of a real training, so that no gradient drowns in rounding.
    for p in parameters.0.values_mut() {
        p.data
            .iter_mut()
            .for_each(|x| *x = *x * 8.0 + 0.02 * normal());
    }
    let (l, m, n, p) = (5, 3, 2, 2);
    let mut b = Batch {
        length: l,
        mentions: m,
        entities: n,
        pairs: p,
        ..Batch::default()
    };
    b.ids = vec![1, 2, 3, 4, 5, 6, 7, 0, 8, 0];
    b.attention_bias = vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1e9, -1e9];
    b.tags = (0..l * batch * types * 3)
        .map(|i| if i % 5 == 0 { 0.1 } else { 0.0 })
        .collect();
    b.mention_tokens = vec![0.0; batch * m * l];
    for (row, tokens) in [vec![1], vec![2, 3], vec![4], vec![0, 1], vec![2], vec![2]]
        .iter()
        .enumerate()
    {
        tokens
            .iter()
            .for_each(|t| b.mention_tokens[row * l + t] = 1.0 / tokens.len() as f32);
    }
    b.entity_mentions = vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0];
    b.pair_head = vec![0, 1, 2, 3];
    b.pair_tail = vec![1, 0, 3, 2];
    b.label_bias = vec![0.0; 12];
    b.label_bias[2] = -1e9;
    b.gold = vec![0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.1, 0.2, 0.2];
    b.teacher = vec![0.2, 0.3, 0.0, 0.1, 0.3, 0.1, 0.2, 0.2, 0.1, 0.3, 0.1, 0.1];
    let spec = StepSpec {
        encoder,
        types,
        relations: Some(head),
        batch,
        dropout: 0.25,
        temperature: 2.0,
    };
    let mut step = Step::new(spec, 1).unwrap();
    let masks: Vec<f32> = (0..step.masks() * l * batch * 8)
        .map(|i| if i % 4 == 3 { 0.0 } else { 4.0 / 3.0 })
        .collect();

    // Two gradients a parameter, each the slope along a random direction.
    let names: Vec<String> = parameters.0.keys().cloned().collect();
    for name in names {
        let size = parameters.0[&name].data.len();
        let direction: Vec<f32> = (0..size).map(|_| normal()).collect();
        let gradients = step.run(&parameters, b.clone(), &masks).unwrap();
        let analytic: f64 = match name.as_str() {
            WORDS => rows(gradients.values(WORDS).unwrap(), &b.ids, &direction),
            POSITIONS => rows(
                gradients.values(POSITIONS).unwrap(),
                &(0..l as i64).collect::<Vec<_>>(),
                &direction,
            ),
            _ => dot(gradients.values(&name).unwrap(), &direction),
        };
        drop(gradients);
        let before = parameters.0[&name].data.clone();
        let h = 1e-3f32;
        let mut at = |k: f32| {
            let p = parameters.0.get_mut(&name).unwrap();
            p.data = before
                .iter()
                .zip(&direction)
                .map(|(x, d)| x + k * h * d)
                .collect();
            f64::from(
                step.run(&parameters, b.clone(), &masks)
                    .unwrap()
                    .losses
                    .total(),
            )
        };
        let numeric = (at(-2.0) - 8.0 * at(-1.0) + 8.0 * at(1.0) - at(2.0)) / (12.0 * f64::from(h));
        parameters.0.get_mut(&name).unwrap().data = before;
        assert!(
            (numeric - analytic).abs() < 1e-2 * (1.0 + numeric.abs()),
            "{name}: slope {numeric}, gradient {analytic}"
        );
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| f64::from(*x) * f64::from(*y))
        .sum()
}

fn rows(gradient: &[f32], ids: &[i64], direction: &[f32]) -> f64 {
    gradient
        .chunks(8)
        .zip(ids)
        .map(|(g, &i)| dot(g, &direction[i as usize * 8..][..8]))
        .sum()
}
