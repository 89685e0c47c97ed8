//! The statistics of the report: agreement of orders, quality of a ranking, quantiles, bootstrap intervals.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 1000;

/// Area under the ROC curve: the probability that a positive is scored above a negative, ties counting half (Mann and Whitney 1947).
/// `None` without a positive or without a negative.
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let ranks = ranks(scores);
    let (mut of_positives, mut positives, mut negatives) = (0.0, 0.0, 0.0);
    for (rank, positive) in ranks.iter().zip(positive) {
        if *positive {
            of_positives += rank;
            positives += 1.0;
        } else {
            negatives += 1.0;
        }
    }
    (positives > 0.0 && negatives > 0.0)
        .then(|| (of_positives - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Average precision: the mean, over the positives, of the precision at their score; equal scores enter together. This is the area under the
/// precision-recall curve as a step function. `None` without a positive.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut items: Vec<(f64, bool)> = scores
        .iter()
        .copied()
        .zip(positive.iter().copied())
        .collect();
    items.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = items.iter().filter(|item| item.1).count();
    let (mut area, mut seen, mut hits) = (0.0, 0, 0);
    for tied in items.chunk_by(|a, b| a.0 == b.0) {
        let new = tied.iter().filter(|item| item.1).count();
        seen += tied.len();
        hits += new;
        area += new as f64 * hits as f64 / seen as f64;
    }
    (positives > 0).then(|| area / positives as f64)
}

/// Kendall's tau-b (1945). `None` where either side has only ties.
pub fn kendall(a: &[f64], b: &[f64]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    let sign = |x: f64, y: f64| match x.total_cmp(&y) {
        _ if x == y => 0.0, // 0 and -0 tie
        std::cmp::Ordering::Less => -1.0,
        _ => 1.0,
    };
    let (mut agreement, mut untied_a, mut untied_b) = (0.0, 0.0, 0.0);
    for (i, x) in pairs.iter().enumerate() {
        for y in pairs.iter().skip(i + 1) {
            let (by_a, by_b): (f64, f64) = (sign(x.0, y.0), sign(x.1, y.1));
            agreement += by_a * by_b;
            untied_a += by_a.abs();
            untied_b += by_b.abs();
        }
    }
    (untied_a > 0.0 && untied_b > 0.0).then(|| agreement / (untied_a * untied_b).sqrt())
}

/// Spearman's rank correlation, ties at their mean rank. `None` where either side is constant.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let (mean_a, mean_b) = (mean(&a)?, mean(&b)?);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// Ranks from 1, ascending; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        for (index, _) in tied {
            ranks
                .iter_mut()
                .skip(*index)
                .take(1)
                .for_each(|r| *r = rank);
        }
        before += tied.len();
    }
    ranks
}

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The quantile `q` in [0, 1], interpolated between the order statistics around it; `None` of nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut values = values.to_vec();
    let place = q.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    let (_, low, above) = values.select_nth_unstable_by(place.floor() as usize, f64::total_cmp);
    let low = *low;
    let next = above.iter().copied().fold(f64::INFINITY, f64::min);
    let share = place.fract();
    Some(if share > 0.0 && next.is_finite() {
        low + share * (next - low)
    } else {
        low
    })
}

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figure {
    /// On all values.
    pub value: f64,
    /// The 2.5 % quantile over resamples.
    pub low: f64,
    /// The 97.5 % quantile over resamples.
    pub high: f64,
}

/// A statistic of all values with its bootstrap interval (percentile method, 1000 resamples of whole clusters: the values of one text depend on
/// each other). Equal seeds and numbers of clusters draw the same clusters, so that differences can be paired.
/// `None` if the statistic has no value.
pub fn bootstrap<T: Copy>(
    clusters: &[Vec<T>],
    statistic: impl Fn(&[T]) -> Option<f64>,
    seed: u64,
) -> Option<Figure> {
    let value = statistic(&clusters.concat())?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut resample = Vec::new();
    let mut seen = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        resample.clear();
        for _ in clusters {
            let drawn = clusters.get(below(&mut random, clusters.len()));
            resample.extend(drawn.into_iter().flatten());
        }
        seen.extend(statistic(&resample));
    }
    Some(Figure {
        value,
        low: quantile(&seen, 0.025)?,
        high: quantile(&seen, 0.975)?,
    })
}

/// A number in `0..n`, all as probable but for 1 in 2⁶⁴ / n.
pub fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    /// Positives 0.9, 0.4; negatives 0.8, 0.4, 0.1. Of 6 pairs: 0.9 wins 3, 0.4 loses 1, ties 1, wins 1: 4.5 / 6.
    #[test]
    fn roc_auc_counts_pairs() {
        let scores = [0.9, 0.8, 0.4, 0.4, 0.1];
        close(
            roc_auc(&scores, &[true, false, true, false, false]),
            4.5 / 6.0,
        );
        close(roc_auc(&scores, &[true, false, false, false, false]), 1.0);
        close(roc_auc(&scores, &[false, false, false, false, true]), 0.0);
        close(roc_auc(&[1.0; 4], &[true, false, true, false]), 0.5);
        assert_eq!(roc_auc(&scores, &[true; 5]), None);
        assert_eq!(roc_auc(&scores, &[false; 5]), None);
        assert_eq!(roc_auc(&[], &[]), None);
    }

    /// Ranked + - + -: precision 1 at the first, 2/3 at the second positive. With all tied: the share of positives.
    #[test]
    fn average_precision_is_the_mean_precision_at_positives() {
        close(
            average_precision(&[4.0, 3.0, 2.0, 1.0], &[true, false, true, false]),
            (1.0 + 2.0 / 3.0) / 2.0,
        );
        close(
            average_precision(&[1.0; 4], &[true, false, false, false]),
            0.25,
        );
        // 2 and 3 are tied: both enter together, of three seen two are positive.
        close(
            average_precision(&[3.0, 2.0, 2.0, 1.0], &[true, true, false, false]),
            (1.0 + 2.0 / 3.0) / 2.0,
        );
        assert_eq!(average_precision(&[1.0], &[false]), None);
    }

    /// a = 1 2 2 3, b = 1 3 2 2. Pairs (a, b): + +, + +, + +, 0 -, + -, + 0: agreement 3 - 1 = 2; untied 5 and 5.
    #[test]
    fn kendall_knows_ties() {
        close(
            kendall(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 2.0]),
            2.0 / 5.0,
        );
        close(kendall(&[1.0, 2.0, 3.0], &[3.0, 5.0, 9.0]), 1.0);
        close(kendall(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // 4 concordant, 2 discordant of 6.
        close(
            kendall(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]),
            2.0 / 6.0,
        );
        assert_eq!(kendall(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(kendall(&[0.0, -0.0], &[1.0, 2.0]), None);
    }

    /// Differences of ranks 1 -1 1 -1 0: 1 - 6·4 / (5·24) = 0.8.
    #[test]
    fn spearman_by_hand() {
        close(
            spearman(&[10.0, 20.0, 30.0, 40.0, 50.0], &[2.0, 1.0, 4.0, 3.0, 9.0]),
            0.8,
        );
        // Ranks 1, 2.5, 2.5, 4 and 1..4: covariance 4.5, variances 4.5 and 5.
        close(
            spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]),
            4.5 / (4.5f64 * 5.0).sqrt(),
        );
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        close(quantile(&values, 0.0), 1.0);
        close(quantile(&values, 0.5), 2.5);
        close(quantile(&values, 0.25), 1.75);
        close(quantile(&values, 1.0), 4.0);
        close(quantile(&[7.0], 0.99), 7.0);
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// The mean of 400 fair coins has a standard error of 0.025: the interval is about 0.5 ± 0.049.
    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors() {
        let coins: Vec<Vec<f64>> = (0..400).map(|n| vec![f64::from(n % 2)]).collect();
        let figure = bootstrap(&coins, mean, 1).unwrap();
        assert_eq!(figure.value, 0.5);
        assert!((figure.low - 0.451).abs() < 0.01, "{figure:?}");
        assert!((figure.high - 0.549).abs() < 0.01, "{figure:?}");
        assert_eq!(bootstrap(&coins, mean, 1), Some(figure));
    }

    /// Ten equal values in a text are one observation: the interval is that of the texts.
    #[test]
    fn clusters_are_drawn_whole() {
        let single: Vec<Vec<f64>> = (0..50).map(|n| vec![f64::from(n % 2)]).collect();
        let tenfold: Vec<Vec<f64>> = (0..50).map(|n| vec![f64::from(n % 2); 10]).collect();
        assert_eq!(bootstrap(&single, mean, 3), bootstrap(&tenfold, mean, 3));
        assert_eq!(bootstrap(&[vec![], vec![]], mean, 3), None);
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_won_pairs(items in prop::collection::vec((0i8..6, any::<bool>()), 0..30)) {
            let scores: Vec<f64> = items.iter().map(|i| f64::from(i.0)).collect();
            let positive: Vec<bool> = items.iter().map(|i| i.1).collect();
            let (mut won, mut pairs) = (0.0, 0.0);
            for (x, _) in items.iter().filter(|i| i.1) {
                for (y, _) in items.iter().filter(|i| !i.1) {
                    pairs += 1.0;
                    won += if x > y { 1.0 } else if x == y { 0.5 } else { 0.0 };
                }
            }
            match roc_auc(&scores, &positive) {
                Some(auc) => prop_assert!((auc - won / pairs).abs() < 1e-12),
                None => prop_assert_eq!(pairs, 0.0),
            }
        }
    }
}
