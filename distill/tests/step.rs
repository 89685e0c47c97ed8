//! The whole training step against finite differences of its own loss, on a small student.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use distill::recipe::{Adapters, Freeze};
use distill::student::encoder::{Config, POSITIONS, WORDS};
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;
use distill::student::trainable::Trainable;
use distill::train::features::{Feature, Kind};
use distill::train::step::{Batch, Step, StepSpec, Terms};

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

/// A small student, what it is trained on, and dropout masks.
struct Case {
    spec: StepSpec,
    parameters: Parameters,
    batch: Batch,
}

fn case(trainable: Trainable) -> Case {
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
    // A hidden state and maps of a teacher of another width with as many heads, and the mean map of one with another number of heads.
    let feature = |kind, student, projection: &str| Feature {
        kind,
        student,
        teacher: 1,
        // Small: in a large sum, differences would drown in rounding.
        weight: 0.04,
        projection: projection.to_owned(),
    };
    let features = vec![
        feature(Kind::Hidden { width: 6 }, 1, "distill.projection.0.0"),
        feature(Kind::Hidden { width: 8 }, 0, "distill.projection.0.1"),
        feature(Kind::Attention { maps: 2 }, 1, ""),
        feature(Kind::Attention { maps: 1 }, 2, ""),
    ];
    // Larger than at the start of a real training, so that no gradient drowns in rounding.
    for p in parameters.0.values_mut() {
        p.data
            .iter_mut()
            .for_each(|x| *x = *x * 8.0 + 0.02 * normal());
    }
    parameters.add_adapters(&encoder, &trainable, &mut normal);
    for (name, p) in &mut parameters.0 {
        if name.ends_with("adapter.up") {
            p.data.iter_mut().for_each(|x| *x = 0.1 * normal());
        }
    }
    for f in &features {
        f.add_projection(&mut parameters, &encoder, &mut normal);
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
    b.teacher_tags = (0..l * batch * types * 3)
        .map(|i| if i % 4 == 1 { 0.02 } else { 0.004 })
        .collect();
    b.evidence = (0..batch * p * l)
        .map(|i| if i % 3 == 0 { 0.05 } else { 0.0 })
        .collect();
    b.mask = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]
        .map(|x| x / 8.0)
        .to_vec();
    b.features = features.iter().map(|f| f.empty(batch, l)).collect();
    for (f, cells) in features.iter().zip(&mut b.features) {
        for (w, tokens) in [(0, 5), (1, 3)] {
            let mut values: Vec<f32> = (0..f.values(tokens)).map(|_| normal()).collect();
            if f.term() == "attention" {
                values.iter_mut().for_each(|x| *x = x.abs());
            }
            f.place(cells, &values, (w, batch), (tokens, l), 8);
        }
    }
    let spec = StepSpec {
        encoder,
        types,
        relations: Some(head),
        batch,
        dropout: 0.25,
        temperature: 2.0,
        trainable,
        terms: Terms {
            teacher_entities: true,
            rationale: true,
            features: features.clone(),
        },
    };
    Case {
        spec,
        parameters,
        batch: b,
    }
}

fn masks(step: &Step, batch: &Batch) -> Vec<f32> {
    let values = step.masks() * batch.ids.len() * 8;
    (0..values)
        .map(|i| if i % 4 == 3 { 0.0 } else { 4.0 / 3.0 })
        .collect()
}

const ADAPTERS: Adapters = Adapters {
    rank: 2,
    scale: 3.0,
};

#[test]
fn gradients_of_the_step_are_the_slope_of_its_loss() {
    slopes(Trainable::default());
}

#[test]
fn gradients_of_adapters_are_the_slope_of_the_loss() {
    let some = slopes(Trainable {
        adapters: Some(ADAPTERS),
        ..Trainable::default()
    });
    // Two factors at four linear layers in each of two layers; entity head, relation head, two projections.
    assert_eq!(some, 2 * 4 * 2 + 2 + 6 + 4);
}

#[test]
fn gradients_above_what_is_frozen_are_the_slope_of_the_loss() {
    let freeze = Freeze {
        embeddings: true,
        layers: 1,
    };
    let trainable = Trainable {
        freeze,
        adapters: None,
    };
    assert_eq!(slopes(trainable), 12 + 2 + 6 + 4);
    let case = case(trainable);
    let mut step = Step::new(case.spec.clone(), 1).unwrap();
    assert_eq!(step.masks(), 2, "nothing is dropped below what is trained");
    let masks = masks(&step, &case.batch);
    let part = step.run(&case.parameters, case.batch, &masks).unwrap();
    for name in [WORDS, "encoder.layer.0.output.LayerNorm.bias"] {
        assert!(part.values(name).is_err(), "{name} has a gradient");
    }
}

#[test]
fn merged_adapters_compute_what_they_did_beside_the_weights() {
    let Case {
        mut spec,
        mut parameters,
        batch,
    } = case(Trainable {
        adapters: Some(ADAPTERS),
        ..Trainable::default()
    });
    spec.dropout = 0.0;
    let outcome = |parameters: &Parameters, trainable: Trainable| {
        let trainable = StepSpec {
            trainable,
            ..spec.clone()
        };
        let mut step = Step::new(trainable, 1).unwrap();
        let part = step.run(parameters, batch.clone(), &[]).unwrap();
        // The heads' gradients see what the encoder gives out at every token and pair.
        let mut seen: Vec<f32> = part.losses.0.iter().map(|(_, x)| *x).collect();
        for name in ["heads.entities.weight", "heads.relations.head.weight"] {
            seen.extend(part.values(name).unwrap());
        }
        seen
    };
    let beside = outcome(&parameters, spec.trainable);
    let without = Trainable::default();
    let plain = outcome(&parameters, without);
    let count = parameters.0.len();
    parameters.merge_adapters(&ADAPTERS);
    assert_eq!(parameters.0.len(), count - 2 * 4 * 2);
    let merged = outcome(&parameters, without);
    let distance = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    };
    assert!(distance(&beside, &merged) < 1e-5);
    assert!(distance(&beside, &plain) > 1e-2, "the adapters do nothing");
}

/// Compares the gradient of everything that is trained with finite differences; how many parameters that is.
fn slopes(trainable: Trainable) -> usize {
    let Case {
        spec,
        mut parameters,
        batch: b,
    } = case(trainable);
    let mut normal = noise();
    let mut step = Step::new(spec, 1).unwrap();
    let masks = masks(&step, &b);

    let terms: Vec<(&str, f32)> = (step.run(&parameters, b.clone(), &masks)).unwrap().losses.0;
    let names: Vec<&str> = terms.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "entities",
            "teacher_entities",
            "gold",
            "teacher",
            "rationale",
            "hidden",
            "attention"
        ]
    );
    assert!(
        terms.iter().all(|(_, loss)| *loss > 0.05 && *loss < 10.0),
        "{terms:?}"
    );

    // Two gradients a parameter, each the slope along a random direction.
    let names = parameters.0.keys().filter(|name| trainable.trains(name));
    let names: Vec<String> = names.cloned().collect();
    for name in &names {
        let size = parameters.0[name].data.len();
        let direction: Vec<f32> = (0..size).map(|_| normal()).collect();
        let gradients = step.run(&parameters, b.clone(), &masks).unwrap();
        let analytic: f64 = match name.as_str() {
            WORDS => rows(gradients.values(WORDS).unwrap(), &b.ids, &direction),
            POSITIONS => rows(
                gradients.values(POSITIONS).unwrap(),
                &(0..b.length as i64).collect::<Vec<_>>(),
                &direction,
            ),
            _ => dot(gradients.values(name).unwrap(), &direction),
        };
        drop(gradients);
        let before = parameters.0[name].data.clone();
        let h = 5e-4f32;
        let mut at = |k: f32| {
            let p = parameters.0.get_mut(name).unwrap();
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
        parameters.0.get_mut(name).unwrap().data = before;
        assert!(
            (numeric - analytic).abs() < 1e-2 * (1.0 + numeric.abs()),
            "{name}: slope {numeric}, gradient {analytic}"
        );
    }
    names.len()
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

/// At sizes where the runtime does split its work: the same number of threads computes the same bits, another one the same up to rounding.
#[test]
fn threads_change_no_more_than_the_rounding() {
    let encoder = Config {
        vocab_size: 50,
        hidden_size: 384,
        layers: 1,
        heads: 12,
        intermediate_size: 1536,
        max_positions: 128,
        epsilon: 1e-12,
    };
    let mut normal = noise();
    let mut parameters = Parameters::random_encoder(&encoder, &mut normal);
    parameters.add_heads(2, None, &mut normal, 384);
    let (batch, length) = (4, 100);
    let data = Batch {
        length,
        mentions: 1,
        entities: 1,
        pairs: 1,
        ids: (0..400).map(|i| i % 50).collect(),
        attention_bias: vec![0.0; 400],
        tags: (0..2400).map(|i| (i % 7) as f32 * 1e-3).collect(),
        ..Batch::default()
    };
    let spec = StepSpec {
        encoder,
        types: 2,
        relations: None,
        batch,
        dropout: 0.1,
        temperature: 1.0,
        trainable: Trainable::default(),
        terms: Terms::default(),
    };
    let run = |threads| -> Vec<(String, Vec<f32>)> {
        let mut step = Step::new(spec.clone(), threads).unwrap();
        let values = step.masks() * 400 * 384;
        let masks: Vec<f32> = (0..values).map(|i| (i % 10).min(1) as f32).collect();
        let part = step.run(&parameters, data.clone(), &masks).unwrap();
        let named = |name: &String| (name.clone(), part.values(name).unwrap().to_vec());
        parameters.0.keys().map(named).collect()
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        let several = run(threads);
        assert!(several == run(threads), "{threads} threads, twice");
        for ((name, a), (_, b)) in one.iter().zip(several) {
            let size = a.iter().fold(0f32, |m, x| m.max(x.abs()));
            let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
            let most = apart.fold(0f32, f32::max);
            assert!(most <= 1e-5 * size, "{name}: {most} of {size}");
        }
    }
}
