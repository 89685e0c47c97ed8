//! From a model's own score to the probability that the decision is right: one strictly rising map a type, applied last of all.
//!
//! Temperature scaling (Guo et al., "On calibration of modern neural networks", ICML 2017) with Platt's bias ("Probabilistic outputs for
//! support vector machines", 1999), on the log-odds of the score. Because it comes last, whatever makes the score is untouched by it, and its
//! derivative is all that explanations need of it.

/// `sigmoid(logit(p) / temperature + bias)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Above 0; above 1 it draws scores together.
    pub temperature: f32,
    /// In log-odds.
    pub bias: f32,
}

/// Log-odds are taken of scores that lie so far from 0 and 1.
pub const EDGE: f32 = 1e-7;

impl Calibration {
    /// Leaves every score as it is.
    pub const NONE: Calibration = Calibration {
        temperature: 1.0,
        bias: 0.0,
    };

    /// The calibrated score, in [0, 1]. [`Calibration::NONE`] gives `p` itself, bit for bit.
    pub fn apply(self, p: f32) -> f32 {
        if self == Calibration::NONE {
            return p;
        }
        let p = p.clamp(EDGE, 1.0 - EDGE);
        1.0 / (1.0 + ((1.0 - p) / p).powf(1.0 / self.temperature) * (-self.bias).exp())
    }

    /// The derivative of [`Calibration::apply`] at `p`.
    pub fn slope(self, p: f32) -> f32 {
        if self == Calibration::NONE {
            return 1.0;
        }
        let calibrated = self.apply(p);
        let p = p.clamp(EDGE, 1.0 - EDGE);
        calibrated * (1.0 - calibrated) / (self.temperature * p * (1.0 - p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(temperature: f32, bias: f32) -> Calibration {
        Calibration { temperature, bias }
    }

    #[test]
    fn odds_are_raised_and_multiplied() {
        assert_eq!(Calibration::NONE.apply(0.3), 0.3);
        let close = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-5, "{found}");
        close(with(2.0, 0.0).apply(0.9), 0.75); // odds 9 become 3
        close(with(1.0, 2f32.ln()).apply(0.5), 2.0 / 3.0); // odds 1 become 2
        close(with(2.0, 3f32.ln()).apply(0.9), 0.9); // odds 9 become 3, then 9
        for p in [0.0, 1.0] {
            assert!((0.0..=1.0).contains(&with(0.5, 1.0).apply(p)));
        }
    }

    proptest! {
        #[test]
        fn it_never_falls_and_its_slope_is_its_derivative(p in 0.01f32..0.97, temperature in 0.3f32..5.0, bias in -3.0f32..3.0) {
            let map = with(temperature, bias);
            let h = 1e-2;
            prop_assert!(map.apply(p + h) >= map.apply(p));
            // The mean slope of an interval lies between slopes within it; half way is close for a map as smooth as this.
            let (q, h) = (f64::from(p) + 0.01, 1e-4);
            let exact = |p: f64| 1.0 / (1.0 + ((1.0 - p) / p).powf(1.0 / f64::from(temperature)) * (-f64::from(bias)).exp());
            let derivative = (exact(q + h) - exact(q - h)) / (2.0 * h);
            let slope = f64::from(map.slope(q as f32));
            prop_assert!((slope - derivative).abs() < 1e-3 * (1.0 + derivative), "{slope} {derivative}");
        }
    }
}
