//! How far scores are from the share that is right: expected calibration error and the curve behind it.
//!
//! Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, over bins of equal width; Nixon et
//! al., "Measuring calibration in deep learning", 2019, over bins of equal mass.

use super::report::{Bin, Reliability};
use crate::faithfulness::stats::bootstrap;

/// Bins of either kind.
pub const BINS: usize = 15;

/// A score, and how right the decision is.
pub type Scored = (f64, f64);

/// Of scores grouped by document. Equal input gives equal figures.
pub fn reliability(documents: &[Vec<Scored>]) -> Reliability {
    let all = documents.concat();
    let mean = |of: &dyn Fn(&Scored) -> f64| {
        (!all.is_empty()).then(|| all.iter().map(of).sum::<f64>() / all.len() as f64)
    };
    let curve = |bins: Vec<Sums>| bins.iter().filter_map(Sums::bin).collect();
    Reliability {
        decisions: all.len(),
        ece: bootstrap(documents, |scores| error(&equal_width(scores)), 0),
        ece_equal_mass: bootstrap(documents, |scores| error(&equal_mass(scores)), 0),
        log_loss: mean(&|&(score, right)| {
            let p = score.clamp(1e-7, 1.0 - 1e-7);
            -(right * p.ln() + (1.0 - right) * (1.0 - p).ln())
        }),
        brier: mean(&|&(score, right)| (score - right).powi(2)),
        bins: curve(equal_width(&all)),
        bins_equal_mass: curve(equal_mass(&all)),
    }
}

/// What lies in a bin.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    score: f64,
    right: f64,
    count: usize,
}

impl Sums {
    fn add(&mut self, (score, right): Scored) {
        self.score += score;
        self.right += right;
        self.count += 1;
    }

    fn bin(&self) -> Option<Bin> {
        let share = |sum: f64| sum / self.count as f64;
        (self.count > 0).then(|| Bin {
            score: share(self.score),
            right: share(self.right),
            count: self.count,
        })
    }
}

/// `Σ count / n · |mean score − share right|`; nothing of nothing.
fn error(bins: &[Sums]) -> Option<f64> {
    let count: usize = bins.iter().map(|bin| bin.count).sum();
    let gaps: f64 = bins.iter().map(|bin| (bin.score - bin.right).abs()).sum();
    (count > 0).then(|| gaps / count as f64)
}

/// Bin k holds scores from k/15 to (k+1)/15; a score of 1 lies in the last.
fn equal_width(scores: &[Scored]) -> Vec<Sums> {
    let mut bins = vec![Sums::default(); BINS];
    for &scored in scores {
        let place = ((scored.0 * BINS as f64) as usize).min(BINS - 1);
        bins.iter_mut()
            .skip(place)
            .take(1)
            .for_each(|bin| bin.add(scored));
    }
    bins
}

/// Bins of as equal counts as can be, ascending. Equal scores may be divided, and share what of them is right: their order says nothing.
fn equal_mass(scores: &[Scored]) -> Vec<Sums> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut bins = vec![Sums::default(); BINS];
    let mut at = 0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let right = tied.iter().map(|scored| scored.1).sum::<f64>() / tied.len() as f64;
        for (score, _) in tied {
            let place = at * BINS / sorted.len();
            bins.iter_mut()
                .skip(place)
                .take(1)
                .for_each(|bin| bin.add((*score, right)));
            at += 1;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 0.9, 0.92: one of two right, gap 0.41, two of five. 0.5, 0.52: both right, gap 0.49, two of five. 0.1: wrong, gap 0.1.
    #[test]
    fn the_error_is_that_computed_by_hand() {
        let scores = [(0.9, 1.0), (0.92, 0.0), (0.5, 1.0), (0.52, 1.0), (0.1, 0.0)];
        // 0.9 · 15 = 13.5 and 0.92 · 15 = 13.8; 7.5 and 7.8; 1.5.
        let expected = (2.0 * 0.41 + 2.0 * 0.49 + 0.1) / 5.0;
        let found = reliability(&[scores.to_vec()]);
        assert!(
            (found.ece.unwrap().value - expected).abs() < 1e-12,
            "{found:?}"
        );
        assert_eq!(
            found.bins.iter().map(|bin| bin.count).collect::<Vec<_>>(),
            [1, 2, 2]
        );
        // Fewer than 15: every score has a bin of equal mass to itself.
        let alone = (0.1 + 0.5 + 0.48 + 0.1 + 0.92) / 5.0;
        assert!(
            (found.ece_equal_mass.unwrap().value - alone).abs() < 1e-12,
            "{found:?}"
        );
        assert!(
            (found.brier.unwrap() - (0.01 + 0.8464 + 0.25 + 0.2304 + 0.01) / 5.0).abs() < 1e-12
        );
        let logs = -(0.9f64.ln() + 0.08f64.ln() + 0.5f64.ln() + 0.52f64.ln() + 0.9f64.ln()) / 5.0;
        assert!((found.log_loss.unwrap() - logs).abs() < 1e-12);
    }

    #[test]
    fn bins_of_equal_mass_hold_as_many() {
        let scores: Vec<Scored> = (0..46).map(|n| (f64::from(n * n) / 2500.0, 0.0)).collect();
        let counts: Vec<usize> = equal_mass(&scores).iter().map(|bin| bin.count).collect();
        assert_eq!(counts.iter().sum::<usize>(), 46);
        assert!(
            counts.iter().all(|count| (3..=4).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_order_of_equal_scores_says_nothing() {
        let scores: Vec<Scored> = (0..60).map(|n| (0.5, f64::from(n / 30))).collect();
        assert_eq!(error(&equal_mass(&scores)), Some(0.0));
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = reliability(&[vec![], vec![]]);
        assert_eq!(
            (none.decisions, none.ece, none.brier, none.bins.len()),
            (0, None, None, 0)
        );
    }

    proptest! {
        /// Both errors lie between the gap of the means and the mean gap; what is certain and right has none.
        #[test]
        fn errors_are_bounded(scores in prop::collection::vec((0.0f64..=1.0, 0.0f64..=1.0), 1..200)) {
            let count = scores.len() as f64;
            let means = scores.iter().map(|(p, right)| p - right).sum::<f64>().abs() / count;
            let gaps = scores.iter().map(|(p, right)| (p - right).abs()).sum::<f64>() / count;
            for bins in [equal_width(&scores), equal_mass(&scores)] {
                let error = error(&bins).unwrap();
                prop_assert!(means - 1e-9 <= error && error <= gaps + 1e-9);
            }
            let certain: Vec<Scored> = scores.iter().map(|(p, _)| (p.round(), p.round())).collect();
            prop_assert_eq!(error(&equal_width(&certain)), Some(0.0));
        }
    }
}
