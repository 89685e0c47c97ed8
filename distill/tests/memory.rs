//! What a step is said to take against what it takes; alone in its program, so that nothing else takes memory meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use distill::memory::{peak, resident};
use distill::student::encoder::Config;
use distill::student::parameters::Parameters;
use distill::student::trainable::Trainable;
use distill::train::budget::Extents;
use distill::train::step::{Batch, Step, StepSpec, Terms};

#[test]
fn a_step_takes_no_more_than_was_said_and_not_much_less() {
    let (Some(_), Some(_)) = (peak(), resident()) else {
        eprintln!("skipped: this system does not say how much memory a process holds");
        return;
    };
    let encoder = Config {
        vocab_size: 500,
        hidden_size: 192,
        layers: 4,
        heads: 6,
        intermediate_size: 768,
        max_positions: 256,
        epsilon: 1e-12,
    };
    let mut parameters = Parameters::random_encoder(&encoder, || 0.5);
    parameters.add_heads(2, None, || 0.5, 192);
    let spec = StepSpec {
        encoder,
        types: 2,
        relations: None,
        batch: 8,
        dropout: 0.1,
        temperature: 1.0,
        trainable: Trainable::default(),
        terms: Terms::default(),
    };
    let said = |length| {
        let extents = Extents {
            length,
            mentions: 1,
            entities: 1,
            pairs: 1,
        };
        Step::peak_bytes(&spec, extents)
    };
    let mut step = Step::new(spec.clone(), 1).unwrap();
    let mut run = |length: usize| {
        let rows = 8 * length;
        let batch = Batch {
            length,
            mentions: 1,
            entities: 1,
            pairs: 1,
            ids: vec![7; rows],
            attention_bias: vec![0.0; rows],
            tags: vec![0.1; rows * 6],
            ..Batch::default()
        };
        let masks = vec![1.0; step.masks() * rows * 192];
        step.run(&parameters, batch, &masks).map(drop).unwrap();
    };
    run(16);
    // What the runtime needs once is there; 256 and then many lengths, which must not pile up.
    let before = resident().unwrap();
    run(256);
    let once = peak().unwrap() - before;
    for length in [250, 64, 200, 180, 240, 130, 256, 90, 222, 256] {
        run(length);
    }
    let often = peak().unwrap() - before;
    let said = said(256);
    assert!(said > 200 << 20, "{said}: too little to be seen");
    assert!(often <= said, "{often} bytes, said {said}");
    assert!(2 * once > said, "{once} bytes, said {said}");
    eprintln!("said {said}, once {once}, of many lengths {often}");
}
