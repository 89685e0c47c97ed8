#![allow(missing_docs, clippy::unwrap_used)]
use distill::student::encoder::Config;
use distill::student::parameters::Parameters;
use distill::train::step::{Batch, Step, StepSpec};
fn main() {
    let c = Config {
        vocab_size: 30522,
        hidden_size: 384,
        layers: 6,
        heads: 12,
        intermediate_size: 1536,
        max_positions: 512,
        epsilon: 1e-12,
    };
    let (b, l) = (16, 128);
    let mut s = 1u64;
    let mut normal = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 40) as f32 / 8_388_608.0 - 1.0
    };
    let mut p = Parameters::random_encoder(&c, &mut normal);
    p.add_heads(2, None, &mut normal, 384);
    let spec = StepSpec {
        encoder: c,
        types: 2,
        relations: None,
        batch: b,
        dropout: 0.1,
        temperature: 1.0,
    };
    let mut step = Step::new(spec, 2).unwrap();
    let batch = Batch {
        length: l,
        mentions: 1,
        entities: 1,
        pairs: 1,
        ids: (0..b * l).map(|i| 1000 + i as i64).collect(),
        attention_bias: vec![0.0; b * l],
        tags: vec![1e-3; b * l * 6],
        tokens: b * l,
        ..Batch::default()
    };
    let masks = vec![1.0; step.masks() * b * l * 384];
    for _ in 0..2 {
        step.run(&p, &batch, &masks).unwrap();
    }
    let t = std::time::Instant::now();
    let n = 6;
    for _ in 0..n {
        step.run(&p, &batch, &masks).unwrap();
    }
    println!(
        "{} tokens/s",
        (n * b * l) as f64 / t.elapsed().as_secs_f64()
    );
}
