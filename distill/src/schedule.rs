//! The learning rate's course: a linear rise, then a linear fall to zero.

/// Factor of the peak rate at a step (from 0) of `total`; the first `warmup` share of the steps rise.
///
/// The first step already moves (its factor is above 0), the one at the end of the rise has factor 1, and the fall would reach 0 at
/// step `total`.
pub fn factor(step: u64, total: u64, warmup: f32) -> f32 {
    let rising = (total as f64 * f64::from(warmup)).round() as u64;
    if step < rising {
        ((step + 1) as f64 / rising as f64) as f32
    } else {
        let falling = total.saturating_sub(rising).max(1);
        (total.saturating_sub(step) as f64 / falling as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let course: Vec<f32> = (0..=10).map(|step| factor(step, 10, 0.2)).collect();
        assert_eq!(
            course,
            [
                0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0
            ]
        );
    }

    #[test]
    fn odd_arguments_are_harmless() {
        assert_eq!(factor(0, 10, 0.0), 1.0);
        assert_eq!(factor(0, 0, 0.5), 0.0);
        assert_eq!(factor(99, 10, 0.1), 0.0);
        assert!(factor(0, 1, 0.9).is_finite());
    }
}
