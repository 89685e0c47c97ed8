use super::*;
use crate::student::encoder::Config;
use crate::train::step::Terms;

/// A BERT of 4 layers; windows of 256 tokens, 8 in a step.
fn parameters() -> (Config, Parameters) {
    let c = Config {
        vocab_size: 1000,
        hidden_size: 64,
        layers: 4,
        heads: 4,
        intermediate_size: 256,
        max_positions: 256,
        epsilon: 1e-12,
    };
    let mut p = Parameters::random_encoder(&c, || 0.5);
    p.add_heads(2, None, || 0.5, 64);
    (c, p)
}

fn budget<'a>(c: &Config, parameters: &'a Parameters) -> Budget<'a> {
    Budget {
        spec: StepSpec {
            encoder: c.clone(),
            types: 2,
            relations: None,
            batch: 8,
            dropout: 0.1,
            temperature: 1.0,
            trainable: Trainable::default(),
            terms: Terms::default(),
        },
        windows: 8,
        extents: Extents {
            length: 256,
            mentions: 1,
            entities: 1,
            pairs: 1,
        },
        parameters,
        held: 50 << 20,
    }
}

#[test]
fn a_smaller_budget_takes_more_parts_until_nothing_fits() {
    let (c, p) = parameters();
    let whole = budget(&c, &p).need();
    let (spec, need) = budget(&c, &p).fit(whole.total()).unwrap();
    assert_eq!((spec.batch, need), (8, whole));
    assert_eq!(need.sums, 0);
    let (spec, need) = budget(&c, &p).fit(whole.total() - 1).unwrap();
    assert_eq!(spec.batch, 4);
    assert!(need.sums > 0 && need.total() < whole.total());
    let one = Budget {
        spec: StepSpec { batch: 1, ..spec },
        ..budget(&c, &p)
    };
    let least = one.need().total();
    assert_eq!(budget(&c, &p).fit(least).unwrap().0.batch, 1);
    let said = budget(&c, &p).fit(least - 1).unwrap_err().to_string();
    for way in [
        "--memory",
        "max_tokens = 192",
        "adapters] rank = 8",
        "freeze] embeddings",
    ] {
        assert!(said.contains(way), "{way}: {said}");
    }
    let said = budget(&c, &p).fit(1 << 20).unwrap_err().to_string();
    assert!(
        !said.contains("rank") && !said.contains("max_tokens"),
        "{said}"
    );
}

#[test]
fn what_is_not_trained_takes_less() {
    let (c, p) = parameters();
    let all = budget(&c, &p).need();
    let with = |trainable| {
        let mut b = budget(&c, &p);
        b.spec.trainable = trainable;
        b.need()
    };
    let adapters = with(Trainable {
        adapters: Some(Adapters {
            rank: 2,
            scale: 1.0,
        }),
        ..Trainable::default()
    });
    assert!(
        adapters.moments * 50 < all.moments,
        "only the heads are counted"
    );
    assert!(adapters.step < all.step);
    let frozen = with(Trainable {
        freeze: crate::recipe::Freeze {
            embeddings: true,
            layers: 3,
        },
        adapters: None,
    });
    assert!(2 * frozen.step < all.step, "{} {}", frozen.step, all.step);
}
