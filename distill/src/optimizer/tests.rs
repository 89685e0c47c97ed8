//! Steps by hand, and what must not show.

use super::*;
use proptest::prelude::*;

fn plain() -> Settings {
    Settings {
        weight_decay: 0.1,
        clip: 1e9,
        ..Settings::default()
    }
}

/// The algorithm as the paper writes it, one number at a time in f64.
fn by_hand(mut value: f64, gradients: &[f64], rate: f64, decay: f64) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for (t, g) in gradients.iter().enumerate() {
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let t = t as i32 + 1;
        let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
        value -= rate * (m_hat / (v_hat.sqrt() + 1e-8) + decay * value);
    }
    value
}

#[test]
fn the_first_steps_are_those_computed_by_hand() {
    let mut adam = AdamW::new(
        plain(),
        vec![
            Parameter::new("w", &[1, 2], 0.1),
            Parameter::new("b", &[1], 0.1),
        ],
    );
    let (mut w, mut b) = (vec![1.0, -2.0], vec![1.0]);
    adam.step(
        &mut [&mut w, &mut b],
        &[Gradient::Dense(&[0.5, -0.1]), Gradient::Dense(&[0.5])],
        1.0,
        1,
    )
    .unwrap();
    // 1 - 0.1 * 0.1 * 1 - 0.1 * 0.5/|0.5| = 0.89; -2 + 0.02 + 0.1 = -1.88; the bias does not decay: 0.9
    assert!(
        (w[0] - 0.89).abs() < 1e-6 && (w[1] + 1.88).abs() < 1e-6 && (b[0] - 0.9).abs() < 1e-6,
        "{w:?} {b:?}"
    );
    adam.step(
        &mut [&mut w, &mut b],
        &[Gradient::Dense(&[0.1, 0.3]), Gradient::Dense(&[0.1])],
        1.0,
        1,
    )
    .unwrap();
    assert!((f64::from(w[0]) - by_hand(1.0, &[0.5, 0.1], 0.1, 0.1)).abs() < 1e-6);
    assert!((f64::from(w[1]) - by_hand(-2.0, &[-0.1, 0.3], 0.1, 0.1)).abs() < 1e-6);
    assert!((f64::from(b[0]) - by_hand(1.0, &[0.5, 0.1], 0.1, 0.0)).abs() < 1e-6);
}

#[test]
fn a_quadratic_is_minimised() {
    let target = [3.0f32, -1.0, 0.5, 12.0];
    let mut adam = AdamW::new(
        Settings {
            weight_decay: 0.0,
            clip: 1e9,
            ..Settings::default()
        },
        vec![Parameter::new("x", &[4], 0.1)],
    );
    let mut x = vec![0.0f32; 4];
    for step in 0..2000 {
        let gradient: Vec<f32> = x.iter().zip(&target).map(|(x, t)| 2.0 * (x - t)).collect();
        adam.step(
            &mut [&mut x],
            &[Gradient::Dense(&gradient)],
            crate::schedule::factor(step, 2000, 0.1),
            1,
        )
        .unwrap();
    }
    assert!(
        x.iter().zip(&target).all(|(x, t)| (x - t).abs() < 1e-3),
        "{x:?}"
    );
}

#[test]
fn clipping_scales_all_gradients_together() {
    let mut adam = AdamW::new(
        Settings {
            clip: 1.0,
            ..plain()
        },
        vec![
            Parameter::new("a", &[1], 0.1),
            Parameter::new("e", &[2, 1], 0.1),
        ],
    );
    let (mut a, mut e) = (vec![0.0], vec![0.0, 0.0]);
    let norm = adam
        .step(
            &mut [&mut a, &mut e],
            &[
                Gradient::Dense(&[3.0]),
                Gradient::Rows {
                    rows: &[1, 1],
                    values: &[1.0, 3.0],
                },
            ],
            1.0,
            1,
        )
        .unwrap();
    assert_eq!(norm, 5.0, "the two gradients of row 1 are summed first");
    let moments: Vec<f32> = adam
        .moments()
        .flat_map(|(_, first, _, _)| first.to_vec())
        .collect();
    assert!(
        moments
            .iter()
            .zip([0.06, 0.0, 0.08])
            .all(|(m, expected)| (m - expected).abs() < 1e-7),
        "{moments:?}"
    );
}

#[test]
fn a_row_is_an_adam_run_over_the_steps_that_touch_it() {
    let mut adam = AdamW::new(plain(), vec![Parameter::new("e", &[3, 2], 0.1)]);
    let mut e = vec![1.0f32; 6];
    adam.step(
        &mut [&mut e],
        &[Gradient::Rows {
            rows: &[2, 0],
            values: &[0.5, 0.5, 0.2, 0.2],
        }],
        1.0,
        1,
    )
    .unwrap();
    adam.step(
        &mut [&mut e],
        &[Gradient::Rows {
            rows: &[2, 2],
            values: &[0.1, 0.2, 0.0, 0.1],
        }],
        1.0,
        1,
    )
    .unwrap();
    let expected = [
        by_hand(1.0, &[0.2], 0.1, 0.1),
        by_hand(1.0, &[0.2], 0.1, 0.1),
        1.0,
        1.0,
        by_hand(1.0, &[0.5, 0.1], 0.1, 0.1),
        by_hand(1.0, &[0.5, 0.3], 0.1, 0.1),
    ];
    assert!(
        e.iter()
            .zip(expected)
            .all(|(e, expected)| (f64::from(*e) - expected).abs() < 1e-6),
        "{e:?} {expected:?}"
    );
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_moves() {
    let mut adam = AdamW::new(plain(), vec![Parameter::new("e", &[2, 1], 0.1)]);
    let mut e = vec![1.0f32, 1.0];
    for (gradient, why) in [
        (
            Gradient::Rows {
                rows: &[2],
                values: &[0.1],
            },
            "names row 2 of 2",
        ),
        (
            Gradient::Rows {
                rows: &[-1],
                values: &[0.1],
            },
            "names row -1",
        ),
        (
            Gradient::Rows {
                rows: &[0],
                values: &[],
            },
            "do not fit",
        ),
        (Gradient::Dense(&[1.0]), "do not fit"),
        (Gradient::Dense(&[1.0, f32::NAN]), "not a number"),
    ] {
        let error = adam
            .step(&mut [&mut e], &[gradient], 1.0, 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(adam.step(&mut [], &[], 1.0, 1).is_err());
    assert_eq!(e, [1.0, 1.0]);
    assert!(
        adam.moments()
            .all(|(_, first, _, steps)| first == [0.0, 0.0] && steps == [0, 0])
    );
}

#[test]
fn restored_moments_continue_bit_for_bit() {
    let parameters = vec![
        Parameter::new("w", &[2, 2], 0.1),
        Parameter::new("e", &[2, 2], 0.1),
    ];
    let gradients = [
        Gradient::Dense(&[0.1, -0.2, 0.3, 0.4]),
        Gradient::Rows {
            rows: &[1],
            values: &[0.5, 0.6],
        },
    ];
    let mut adam = AdamW::new(plain(), parameters.clone());
    let (mut w, mut e) = (vec![1.0f32; 4], vec![2.0f32; 4]);
    adam.step(&mut [&mut w, &mut e], &gradients, 1.0, 1)
        .unwrap();
    let mut resumed = AdamW::new(plain(), parameters);
    for (parameter, first, second, steps) in adam.moments() {
        resumed
            .restore(
                &parameter.name,
                first.to_vec(),
                second.to_vec(),
                steps.to_vec(),
            )
            .unwrap();
    }
    let (mut w2, mut e2) = (w.clone(), e.clone());
    adam.step(&mut [&mut w, &mut e], &gradients, 0.5, 1)
        .unwrap();
    resumed
        .step(&mut [&mut w2, &mut e2], &gradients, 0.5, 1)
        .unwrap();
    assert_eq!((w, e), (w2, e2));
    assert!(resumed.restore("x", vec![], vec![], vec![]).is_err());
    assert!(resumed.restore("w", vec![], vec![], vec![]).is_err());
}

#[test]
fn a_gradient_in_two_parts_is_their_sum_to_the_optimizer() {
    let table = || vec![Parameter::new("e", &[3, 2], 0.1)];
    let (mut one, mut other) = (
        AdamW::new(Settings::default(), table()),
        AdamW::new(Settings::default(), table()),
    );
    let (mut a, mut b) = (vec![1.0f32; 6], vec![1.0f32; 6]);
    let both = Gradient::Both {
        dense: &[0.1, 0.0, 0.0, 0.0, 0.3, 0.0],
        rows: &[2, 0, 2],
        values: &[1.0, 2.0, 0.5, 0.25, -2.0, 1.0],
    };
    let sum = Gradient::Dense(&[0.6, 0.25, 0.0, 0.0, -0.7, 3.0]);
    let first = one.step(&mut [&mut a], &[both], 1.0, 1).unwrap();
    let second = other.step(&mut [&mut b], &[sum], 1.0, 1).unwrap();
    assert!((first - second).abs() < 1e-6);
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-6);
    }
    let odd = Gradient::Both {
        dense: &[0.0; 6],
        rows: &[3],
        values: &[0.0; 2],
    };
    assert!(one.step(&mut [&mut a], &[odd], 1.0, 1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_number_of_threads_does_not_show(seed in 1u32..1000, threads in 2usize..6) {
        let noise = |n: usize, salt: u32| -> Vec<f32> {
            (0..n as u32).map(|i| ((i.wrapping_mul(2654435761).wrapping_add(seed * salt) >> 8) as f32 / (1 << 24) as f32) - 0.5).collect()
        };
        let shapes: [&[usize]; 3] = [&[300, 300], &[7], &[500, 100]];
        let run = |threads| {
            let mut adam = AdamW::new(Settings::default(), shapes.iter().map(|s| Parameter::new(format!("{s:?}"), s, 0.01)).collect());
            let (mut a, mut b, mut e) = (noise(90_000, 1), noise(7, 2), noise(50_000, 3));
            let rows: Vec<i64> = (0..400).map(|i| i64::from((i * seed) % 500)).collect();
            let mut norms = Vec::new();
            for salt in 4..6 {
                let (ga, gb, ge) = (noise(90_000, salt), noise(7, salt), noise(40_000, salt));
                let gradients = [Gradient::Dense(&ga), Gradient::Dense(&gb), Gradient::Rows { rows: &rows, values: &ge }];
                norms.push(adam.step(&mut [&mut a, &mut b, &mut e], &gradients, 1.0, threads).unwrap());
            }
            (a, b, e, norms)
        };
        prop_assert!(run(1) == run(threads));
    }
}
