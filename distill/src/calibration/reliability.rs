//! How far scores are from the share that is right: expected calibration error and the curve behind it.
//!
//! Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, over bins of equal width; Nixon et
//! al., "Measuring calibration in deep learning", 2019, over bins of equal mass.

use super::report::{Bin, Reliability};
use crate::faithfulness::stats::{Figure, bootstrap};

/// Bins of either kind.
pub const BINS: usize = 15;

/// A score, and how right the decision is.
pub type Scored = (f64, f64);

/// Of scores grouped by document. Equal input gives equal figures.
pub fn reliability(documents: &[Vec<Scored>]) -> Reliability {
    let scores = Sorted::new(documents);
    let once = vec![1; documents.len()];
    // Documents are drawn, not decisions: those of one text depend on each other.
    let drawn: Vec<Vec<usize>> = (0..documents.len())
        .map(|document| vec![document])
        .collect();
    let interval = |bins: &dyn Fn(&[usize]) -> Vec<Sums>| {
        let of = |drawn: &[usize]| {
            let mut weights = vec![0; documents.len()];
            for &document in drawn {
                weights
                    .iter_mut()
                    .skip(document)
                    .take(1)
                    .for_each(|weight| *weight += 1);
            }
            error(&bins(&weights))
        };
        // Resampling adds chance, which counts as error: the interval errs to the high side, and may lie above a small value altogether.
        bootstrap(&drawn, of, 0).map(|figure| Figure {
            low: figure.low.min(figure.value),
            ..figure
        })
    };
    let curve = |bins: Vec<Sums>| bins.iter().filter_map(Sums::bin).collect();
    Reliability {
        decisions: scores.0.len(),
        ece: interval(&|weights| scores.equal_width(weights)),
        ece_equal_mass: interval(&|weights| scores.equal_mass(weights)),
        log_loss: scores.mean(|(score, right)| {
            let p = score.clamp(1e-7, 1.0 - 1e-7);
            -(right * p.ln() + (1.0 - right) * (1.0 - p).ln())
        }),
        brier: scores.mean(|(score, right)| (score - right).powi(2)),
        bins: curve(scores.equal_width(&once)),
        bins_equal_mass: curve(scores.equal_mass(&once)),
    }
}

/// Scores, ascending, with the index of their document.
struct Sorted(Vec<(Scored, usize)>);

impl Sorted {
    fn new(documents: &[Vec<Scored>]) -> Sorted {
        let of = |(document, scores): (usize, &Vec<Scored>)| {
            scores
                .iter()
                .map(move |scored| (*scored, document))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<(Scored, usize)> = documents.iter().enumerate().flat_map(of).collect();
        all.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
        Sorted(all)
    }

    fn mean(&self, of: impl Fn(Scored) -> f64) -> Option<f64> {
        let count = self.0.len();
        (count > 0)
            .then(|| self.0.iter().map(|(scored, _)| of(*scored)).sum::<f64>() / count as f64)
    }

    /// Bin k holds scores from k/15 to (k+1)/15; a score of 1 lies in the last. A document counts as often as its weight says.
    fn equal_width(&self, weights: &[usize]) -> Vec<Sums> {
        let mut bins = vec![Sums::default(); BINS];
        for (scored, document) in &self.0 {
            let place = ((scored.0 * BINS as f64) as usize).min(BINS - 1);
            let weight = weights.get(*document).copied().unwrap_or_default();
            bins.iter_mut()
                .skip(place)
                .take(1)
                .for_each(|bin| bin.add(*scored, weight));
        }
        bins
    }

    /// Bins of as equal counts as can be, ascending. Equal scores may be divided, and share what of them is right: their order says nothing.
    fn equal_mass(&self, weights: &[usize]) -> Vec<Sums> {
        let weight = |document: usize| weights.get(document).copied().unwrap_or_default();
        let all: usize = self.0.iter().map(|(_, document)| weight(*document)).sum();
        let mut bins = vec![Sums::default(); BINS];
        let mut at = 0;
        for tied in self.0.chunk_by(|a, b| a.0.0 == b.0.0) {
            let mut together = Sums::default();
            tied.iter()
                .for_each(|(scored, document)| together.add(*scored, weight(*document)));
            let Some(bin) = together.bin() else { continue };
            for _ in 0..together.count {
                let place = at * BINS / all;
                let scored = (bin.score, bin.right);
                bins.iter_mut()
                    .skip(place)
                    .take(1)
                    .for_each(|bin| bin.add(scored, 1));
                at += 1;
            }
        }
        bins
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
    fn add(&mut self, (score, right): Scored, times: usize) {
        self.score += score * times as f64;
        self.right += right * times as f64;
        self.count += times;
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
        let counts: Vec<usize> = Sorted::new(&[scores])
            .equal_mass(&[1])
            .iter()
            .map(|bin| bin.count)
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 46);
        assert!(
            counts.iter().all(|count| (3..=4).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_order_of_equal_scores_says_nothing() {
        let scores: Vec<Scored> = (0..60).map(|n| (0.5, f64::from(n / 30))).collect();
        assert_eq!(error(&Sorted::new(&[scores]).equal_mass(&[1])), Some(0.0));
    }

    #[test]
    fn a_weight_is_as_many_documents() {
        let (a, b) = (vec![(0.2, 1.0), (0.7, 1.0)], vec![(0.2, 0.0), (0.9, 0.0)]);
        let weighted = Sorted::new(&[a.clone(), b.clone()]);
        let written = Sorted::new(&[a.clone(), b, a.clone(), a]);
        let (weights, once) = ([3, 1], [1; 4]);
        let close = |x: Vec<Sums>, y: Vec<Sums>| {
            assert!((error(&x).unwrap() - error(&y).unwrap()).abs() < 1e-12);
        };
        close(weighted.equal_width(&weights), written.equal_width(&once));
        close(weighted.equal_mass(&weights), written.equal_mass(&once));
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
            let sorted = Sorted::new(std::slice::from_ref(&scores));
            for bins in [sorted.equal_width(&[1]), sorted.equal_mass(&[1])] {
                let error = error(&bins).unwrap();
                prop_assert!(means - 1e-9 <= error && error <= gaps + 1e-9);
            }
            let certain: Vec<Scored> = scores.iter().map(|(p, _)| (p.round(), p.round())).collect();
            prop_assert_eq!(error(&Sorted::new(&[certain]).equal_width(&[1])), Some(0.0));
        }
    }
}
