//! The map of one type, by maximum likelihood: temperature alone, and a bias where the data ask for it.

use bie::decode::calibration::{Calibration, EDGE};

use super::collect::Decision;
use super::report::Family;

/// A type with fewer right decisions than this, or fewer wrong ones, is left as it is.
pub const FEWEST: f64 = 20.0;

/// Newton's method stops here; it takes about ten steps.
const MOST_STEPS: usize = 100;

/// A score whose log-odds say less than this about being right is not calibrated: its map would be flat, its threshold a matter of rounding.
const LEAST_SHARPNESS: f64 = 0.05;

/// A fitted map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The family that was chosen.
    pub family: Family,
    /// The map.
    pub calibration: Calibration,
}

/// One decision in terms of the regression: log-odds of its score, and the target.
struct Row {
    x: f64,
    target: f64,
}

/// `P(right) = sigmoid(sharpness · x + bias)`.
#[derive(Clone, Copy)]
struct Line {
    sharpness: f64,
    bias: f64,
}

/// Fits the decisions of one type. Platt's bias is kept if it raises the log-likelihood by more than ln(n)/2, what one more parameter has to be
/// worth by Schwarz (1978).
///
/// # Errors
/// In words, why the type cannot be calibrated.
pub fn fit<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Result<Fit, String> {
    let edge = f64::from(EDGE);
    let mut rows: Vec<Row> = decisions
        .map(|d| {
            let p = f64::from(d.score).clamp(edge, 1.0 - edge);
            Row {
                x: (p / (1.0 - p)).ln(),
                target: f64::from(d.right),
            }
        })
        .collect();
    let right: f64 = rows.iter().map(|row| row.target).sum();
    let wrong = rows.len() as f64 - right;
    if right < FEWEST || wrong < FEWEST {
        return Err(format!(
            "{right:.0} right and {wrong:.0} wrong decisions; at least {FEWEST} of each are needed"
        ));
    }
    // Platt's targets: without them, scores that separate right from wrong would be sharpened without bound.
    let (yes, no) = ((right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0));
    for row in &mut rows {
        row.target = row.target * yes + (1.0 - row.target) * no;
    }
    let (temperature, loss) = maximum(&rows, false);
    let (platt, less) = maximum(&rows, true);
    let worth = loss - less > (rows.len() as f64).ln() / 2.0;
    let (family, line) = match worth && platt.sharpness >= LEAST_SHARPNESS {
        true => (Family::Platt, platt),
        false => (Family::Temperature, temperature),
    };
    if line.sharpness < LEAST_SHARPNESS {
        return Err("higher scores are not more often right".to_owned());
    }
    Ok(Fit {
        family,
        calibration: Calibration {
            temperature: (1.0 / line.sharpness) as f32,
            bias: line.bias as f32,
        },
    })
}

/// The line of greatest likelihood and its negative log-likelihood: Newton's method, steps halved until they do not lead up. The likelihood is
/// concave, so that it has one maximum.
fn maximum(rows: &[Row], with_bias: bool) -> (Line, f64) {
    let mut line = Line {
        sharpness: 1.0,
        bias: 0.0,
    };
    let mut loss = line.loss(rows);
    for _ in 0..MOST_STEPS {
        let (mut by_sharpness, mut by_bias) = (0.0, 0.0);
        let (mut curved, mut mixed, mut flat) = (0.0, 0.0, 0.0);
        for row in rows {
            let p = sigmoid(line.at(row.x));
            let (error, weight) = (p - row.target, p * (1.0 - p));
            by_sharpness += error * row.x;
            by_bias += error;
            curved += weight * row.x * row.x;
            mixed += weight * row.x;
            flat += weight;
        }
        let determinant = curved * flat - mixed * mixed;
        let (step, shift) = match with_bias {
            true if determinant > 0.0 => (
                (flat * by_sharpness - mixed * by_bias) / determinant,
                (curved * by_bias - mixed * by_sharpness) / determinant,
            ),
            _ if curved > 0.0 => (by_sharpness / curved, 0.0),
            _ => break,
        };
        let better = (0..30)
            .map(|halvings| 0.5f64.powi(halvings))
            .find_map(|part| {
                let next = Line {
                    sharpness: line.sharpness - part * step,
                    bias: line.bias - part * shift,
                };
                let less = next.loss(rows);
                (less < loss).then_some((next, less))
            });
        let Some((next, less)) = better else { break };
        let gain = loss - less;
        (line, loss) = (next, less);
        if gain < 1e-9 {
            break;
        }
    }
    (line, loss)
}

impl Line {
    fn at(self, x: f64) -> f64 {
        self.sharpness * x + self.bias
    }

    fn loss(self, rows: &[Row]) -> f64 {
        // ln(1 + e^z) − target · z
        let of = |row: &Row| {
            let z = self.at(row.x);
            z.max(0.0) + (-z.abs()).exp().ln_1p() - row.target * z
        };
        rows.iter().map(of).sum()
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Scores whose log-odds are normal-ish with mean `mean`; right with the probability that a map gives them.
    fn drawn(count: usize, mean: f64, sharpness: f64, bias: f64, soft: bool) -> Vec<Decision> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        (0..count)
            .map(|document| {
                let sum: f64 = (0..6).map(|_| random.random_range(-1.5..1.5)).sum();
                let x = mean + sum;
                let p = sigmoid(sharpness * x + bias);
                let gold = random.random_bool(p);
                Decision {
                    document,
                    label: 0,
                    score: sigmoid(x) as f32,
                    right: if soft {
                        p as f32
                    } else {
                        f32::from(u8::from(gold))
                    },
                    gold,
                }
            })
            .collect()
    }

    fn fitted(decisions: &[Decision]) -> Fit {
        fit(decisions.iter()).unwrap()
    }

    #[test]
    fn a_known_temperature_is_recovered() {
        let Fit {
            family,
            calibration,
        } = fitted(&drawn(20_000, 1.0, 0.4, 0.0, false));
        assert_eq!((family, calibration.bias), (Family::Temperature, 0.0));
        assert!(
            (calibration.temperature - 2.5).abs() < 0.15,
            "{calibration:?}"
        );
    }

    #[test]
    fn a_known_bias_is_recovered() {
        for soft in [false, true] {
            let Fit {
                family,
                calibration,
            } = fitted(&drawn(20_000, 2.0, 0.5, -1.0, soft));
            assert_eq!(family, Family::Platt);
            assert!(
                (calibration.temperature - 2.0).abs() < 0.15,
                "{calibration:?}"
            );
            assert!((calibration.bias + 1.0).abs() < 0.1, "{calibration:?}");
        }
    }

    #[test]
    fn calibrated_scores_are_left_alone() {
        let calibration = fitted(&drawn(20_000, -1.0, 1.0, 0.0, false)).calibration;
        assert!((calibration.temperature - 1.0).abs() < 0.05 && calibration.bias == 0.0);
    }

    /// The mean calibrated score is the share that is right: what a bias is fitted for.
    #[test]
    fn the_mean_is_right() {
        let decisions = drawn(3000, 2.0, 0.5, -1.0, false);
        let map = fitted(&decisions).calibration;
        let mean = |of: &dyn Fn(&Decision) -> f32| {
            decisions.iter().map(|d| f64::from(of(d))).sum::<f64>() / decisions.len() as f64
        };
        let gap = mean(&|d| map.apply(d.score)) - mean(&|d| d.right);
        assert!(gap.abs() < 1e-3, "{gap}");
    }

    #[test]
    fn what_cannot_be_fitted_is_said() {
        let few: Vec<Decision> = drawn(30, 0.0, 1.0, 0.0, false);
        assert!(fit(few.iter()).unwrap_err().contains("at least 20"));
        assert!(fit([].iter()).is_err());
        let against = drawn(2000, 0.0, -1.0, 0.0, false);
        assert!(
            fit(against.iter())
                .unwrap_err()
                .contains("not more often right")
        );
    }

    /// Scores that separate right from wrong have no finite maximum by themselves.
    #[test]
    fn separated_scores_stay_finite() {
        let decisions: Vec<Decision> = (0..400)
            .map(|n| {
                let gold = n % 2 == 0;
                let score = if gold { 0.7 } else { 0.3 };
                Decision {
                    document: n,
                    label: 0,
                    score,
                    right: f32::from(u8::from(gold)),
                    gold,
                }
            })
            .collect();
        let map = fitted(&decisions).calibration;
        assert!(map.temperature > 0.05 && map.apply(0.7) > 0.99, "{map:?}");
    }
}
