//! Training speed on random data, for comparison with other trainers (`benches/README.md`).

use std::time::Instant;

use super::dropout;
use super::step::{Batch, Step, StepSpec};
use crate::error::Result;
use crate::optimizer::{AdamW, Parameter, Settings};
use crate::student::encoder::Config;
use crate::student::parameters::Parameters;

/// Tokens a second of full steps (dropout 0.1, forward, backward, clipping, AdamW) of a MiniLM-L6-size encoder with two BIO heads.
///
/// # Errors
/// The runtime is missing or fails.
pub fn minilm(batch: usize, tokens: usize, threads: usize, steps: usize) -> Result<f64> {
    let encoder = Config {
        vocab_size: 30522,
        hidden_size: 384,
        layers: 6,
        heads: 12,
        intermediate_size: 1536,
        max_positions: tokens.max(512),
        epsilon: 1e-12,
    };
    let (types, width) = (2, encoder.hidden_size);
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut parameters = Parameters::random_encoder(&encoder, &mut noise);
    parameters.add_heads(types, None, &mut noise, width);
    let rows = batch * tokens;
    let data = Batch {
        length: tokens,
        mentions: 1,
        entities: 1,
        pairs: 1,
        ids: (0..rows as i64)
            .map(|i| 1000 + (i * 7919) % 29_000)
            .collect(),
        attention_bias: vec![0.0; rows],
        tags: (0..rows * types)
            .flat_map(|i| [1.0, 0.0, 0.0].map(|x: f32| x * ((i % 3) as f32) / rows as f32))
            .collect(),
        tokens: rows,
        ..Batch::default()
    };
    let spec = StepSpec {
        encoder,
        types,
        relations: None,
        batch,
        dropout: 0.1,
        temperature: 1.0,
    };
    let mut step = Step::new(spec, threads)?;
    let trained = parameters
        .0
        .iter()
        .map(|(name, p)| Parameter::new(name, &p.shape, 1e-5))
        .collect();
    let mut optimizer = AdamW::new(Settings::default(), trained);
    let mut masks = Vec::new();
    let mut start = Instant::now();
    for n in 0..steps + 2 {
        if n == 2 {
            start = Instant::now();
        }
        dropout::fill(
            &mut masks,
            step.masks(),
            rows * width,
            0.1,
            1,
            n as u64,
            threads,
        );
        let part = step.run(&parameters, data.clone(), &masks)?;
        let gradients = part.gradients(optimizer.parameters())?;
        let mut values: Vec<&mut [f32]> = parameters
            .0
            .values_mut()
            .map(|p| p.data.as_mut_slice())
            .collect();
        optimizer.step(&mut values, &gradients, 1.0, threads)?;
    }
    Ok((steps * rows) as f64 / start.elapsed().as_secs_f64())
}
