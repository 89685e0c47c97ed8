//! Pure functions from logits to spans, entities and relations.

pub mod calibration;
pub mod group;
pub mod merge;
pub mod relations;
pub mod spans;

/// Log-softmax of `logits` into `out`, computed stably. Both have the same length.
fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    for (out, logit) in out.iter_mut().zip(logits) {
        *out = logit - most - sum.ln();
    }
}
