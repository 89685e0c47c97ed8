//! Slopes by finite differences, and what padding must not change.

use super::*;
use crate::train::trainer::dense_gradient_name;

fn config() -> Config {
    Config {
        vocab_size: 23,
        hidden_size: 8,
        layers: 1,
        heads: 2,
        intermediate_size: 12,
        max_positions: 16,
        epsilon: 1e-5,
    }
}

fn parameters(c: &Config) -> Parameters {
    let mut state = 7u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 15.0
    };
    let mut p = Parameters::random_encoder(c, &mut noise);
    let d = c.hidden_size;
    for (name, shape) in [
        ("masked.dense.weight", vec![d, d]),
        ("masked.dense.bias", vec![d]),
        ("masked.LayerNorm.weight", vec![d]),
        ("masked.LayerNorm.bias", vec![d]),
        ("masked.bias", vec![c.vocab_size]),
    ] {
        let values = (0..shape.iter().product())
            .map(|_| noise() * 0.05)
            .collect();
        p.insert(name, &shape, values);
    }
    p
}

fn windows() -> Vec<Hidden> {
    vec![
        Hidden {
            ids: vec![2, 4, 9, 4, 11, 3],
            places: vec![1, 3],
            targets: vec![7, 8],
            words: 2,
        },
        Hidden {
            ids: vec![2, 9, 12, 3],
            places: vec![2],
            targets: vec![9],
            words: 1,
        },
    ]
}

fn loss(step: &mut Step, p: &Parameters) -> f32 {
    let batch = Batch::new(&windows(), 2);
    step.run(p, batch, 0.5, &[]).unwrap().losses.total()
}

#[test]
fn slopes_are_those_of_finite_differences() {
    let c = config();
    let mut p = parameters(&c);
    let mut training = Step::new(&c, 2, Purpose::Training(0.0), 1).unwrap();
    let mut measuring = Step::new(&c, 2, Purpose::Measuring, 1).unwrap();
    assert_eq!(training.masks(), 0);
    let batch = Batch::new(&windows(), 2);
    assert_eq!((batch.hidden(), batch.rows()), (3, 12));
    let ids = batch.ids.clone();
    let part = training.run(&p, batch, 0.5, &[]).unwrap();
    let both = loss(&mut measuring, &p);
    assert!((part.losses.total() - both).abs() < 1e-5);
    let d = c.hidden_size;
    let mut gradients: Vec<(String, Vec<f32>)> = Vec::new();
    for (name, parameter) in &p.0 {
        let values = part.values(name).unwrap();
        let mut sum = vec![0.0; parameter.data.len()];
        match name.as_str() {
            WORDS => {
                let dense = part.outputs.get(&dense_gradient_name(WORDS)).unwrap().1;
                sum.copy_from_slice(dense);
                for (row, values) in ids.iter().zip(values.chunks(d)) {
                    let row = &mut sum[*row as usize * d..][..d];
                    row.iter_mut().zip(values).for_each(|(s, v)| *s += v);
                }
            }
            POSITIONS => sum[..values.len()].copy_from_slice(values),
            _ => sum.copy_from_slice(values),
        }
        gradients.push((name.clone(), sum));
    }
    drop(part);
    for (name, gradient) in gradients {
        // Rows that are read, hidden, only decoded, and not used at all.
        for at in (0..gradient.len()).step_by((gradient.len() / 24).max(1)) {
            let h = 1e-2;
            let mut shifted = |by: f32| {
                p.0.get_mut(&name).unwrap().data[at] += by;
                loss(&mut measuring, &p)
            };
            let (up, down) = (shifted(h), shifted(-2.0 * h));
            shifted(h);
            let slope = (up - down) / (2.0 * h);
            let given = gradient[at];
            assert!(
                (slope - given).abs() < 2e-3 + 0.02 * given.abs(),
                "{name}[{at}]: {given}, measured {slope}"
            );
        }
    }
}

#[test]
fn other_windows_and_padding_change_nothing() {
    let c = config();
    let p = parameters(&c);
    let mut measuring = Step::new(&c, 4, Purpose::Measuring, 1).unwrap();
    let mut of = |windows: &[Hidden]| {
        let batch = Batch::new(windows, 4);
        measuring.run(&p, batch, 1.0, &[]).unwrap().losses.total()
    };
    let each: f32 = windows().chunks(1).map(&mut of).sum();
    assert!((of(&windows()) - each).abs() < 1e-5);
}
