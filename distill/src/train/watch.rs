//! Tells a training that breaks down from one that has a hard batch.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Values whose median is typical.
const WINDOW: usize = 32;

/// Values that are seen before any is judged.
const FIRST: usize = 8;

/// Follows a loss or a gradient's norm. The limit is a multiple of the highest typical value so far, where typical is the median of the last 32 steps: a
/// median does not follow single hard batches, and the highest one does not fall while the loss does, so a hard batch late in a training
/// is measured by how bad the student was at first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    recent: VecDeque<f32>,
    highest: f32,
}

impl Watch {
    /// The limit at `factor` times the highest typical value; infinite at first, or if the factor is 0.
    pub fn limit(&self, factor: f32) -> f32 {
        if self.recent.len() < FIRST || factor <= 0.0 || self.highest <= 0.0 {
            return f32::INFINITY;
        }
        factor * self.highest
    }

    /// Takes a value in that was not beyond the limit.
    pub fn add(&mut self, value: f32) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
        let mut sorted: Vec<f32> = self.recent.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        if self.recent.len() >= FIRST {
            self.highest = self.highest.max(median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_batch_passes_and_an_explosion_does_not() {
        let mut watch = Watch::default();
        for step in 0..1000 {
            let usual = 0.02 + 2.2 * (-0.01 * step as f32).exp();
            let loss = if step % 97 == 96 { 8.0 * usual } else { usual };
            assert!(loss < watch.limit(10.0), "step {step}");
            watch.add(loss);
        }
        let limit = watch.limit(10.0);
        assert!((20.0..=22.5).contains(&limit), "{limit}");
        assert_eq!(watch.limit(0.0), f32::INFINITY);
    }

    #[test]
    fn a_loss_that_doubles_every_few_steps_is_found_before_it_is_no_number() {
        let mut watch = Watch::default();
        (0..100).for_each(|_| watch.add(1.0));
        let mut loss = 1.0f32;
        while loss <= watch.limit(10.0) {
            watch.add(loss);
            loss *= 1.2;
        }
        assert!(loss < 100.0, "{loss}");
    }

    #[test]
    fn it_is_kept_with_a_checkpoint() {
        let mut watch = Watch::default();
        (0..40).for_each(|n| watch.add(n as f32 * 0.1));
        let json = serde_json::json!(watch);
        assert_eq!(serde_json::from_value::<Watch>(json).unwrap(), watch);
        assert_eq!(Watch::default().limit(10.0), f32::INFINITY);
    }
}
