//! Is one arm better than another, beyond the luck of seeds and documents?
//!
//! Seeds and documents are both samples: each resample draws seeds and documents again, the same for both arms, and takes the median over seeds
//! of the difference in F1 (a paired bootstrap, percentile intervals; Efron and Tibshirani 1993, chapter 13). With three seeds the interval knows
//! little of the spread of seeds, so a difference only counts as shown if every seed agrees on its sign, too.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::faithfulness::stats::{below, quantile};
use crate::metrics::Counts;

/// Resamples.
const RESAMPLES: usize = 2000;

/// How far one arm is from another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// One a seed that both arms have.
    pub by_seed: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// The 95 % interval of the median over seeds and documents.
    pub interval: (f64, f64),
    /// Every seed's difference has the same sign, and none is 0.
    pub one_sign: bool,
    /// Every seed agrees, there are at least 3, and the interval lies on one side of 0.
    pub excludes_zero: bool,
}

/// The resamples that all comparisons share, so that they are paired.
#[derive(Debug)]
pub struct Resamples {
    /// How often each document was drawn, by resample.
    documents: Vec<Vec<u32>>,
    /// The draws of seeds: numbers that [`Resamples::seed`] turns into indices.
    seeds: Vec<Vec<u64>>,
}

impl Resamples {
    /// Draws for so many documents and at most so many seeds.
    pub fn new(documents: usize, seeds: usize) -> Resamples {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut resamples = Resamples {
            documents: Vec::with_capacity(RESAMPLES),
            seeds: Vec::with_capacity(RESAMPLES),
        };
        for _ in 0..RESAMPLES {
            let mut times = vec![0; documents];
            for _ in 0..documents {
                if let Some(n) = times.get_mut(below(&mut random, documents)) {
                    *n += 1;
                }
            }
            resamples.documents.push(times);
            let draw = |_| below(&mut random, usize::MAX) as u64;
            resamples.seeds.push((0..seeds).map(draw).collect());
        }
        resamples
    }

    /// The difference in F1 of `arm` to `base`: `[seeds both have]`, each the counts of every document.
    pub fn difference(&self, base: &[Vec<Counts>], arm: &[Vec<Counts>]) -> Option<Difference> {
        let pairs: Vec<(&Vec<Counts>, &Vec<Counts>)> = base.iter().zip(arm).collect();
        let once = vec![1; pairs.first()?.0.len()];
        let differences = |times: &[u32]| -> Vec<f64> {
            pairs
                .iter()
                .map(|(base, arm)| f1(arm, times) - f1(base, times))
                .collect()
        };
        let by_seed = differences(&once);
        let seen: Vec<f64> = self
            .documents
            .iter()
            .zip(&self.seeds)
            .filter_map(|(times, draws)| {
                let all = differences(times);
                let drawn = draws.iter().take(all.len());
                let drawn: Vec<f64> = drawn
                    .filter_map(|draw| all.get((*draw % all.len() as u64) as usize))
                    .copied()
                    .collect();
                quantile(&drawn, 0.5)
            })
            .collect();
        let interval = (quantile(&seen, 0.025)?, quantile(&seen, 0.975)?);
        let one_sign = by_seed.iter().all(|d| *d > 0.0) || by_seed.iter().all(|d| *d < 0.0);
        let aside = interval.0 > 0.0 || interval.1 < 0.0;
        Some(Difference {
            median: quantile(&by_seed, 0.5)?,
            excludes_zero: one_sign && aside && by_seed.len() >= 3,
            by_seed,
            interval,
            one_sign,
        })
    }
}

/// F1 of documents that count as often as `times` says.
fn f1(documents: &[Counts], times: &[u32]) -> f64 {
    let (mut hits, mut wrong) = (0, 0);
    for (c, n) in documents.iter().zip(times) {
        let n = *n as usize;
        hits += n * c.hits;
        wrong += n * (c.false_positives + c.misses);
    }
    if hits == 0 {
        0.0
    } else {
        2.0 * hits as f64 / (2 * hits + wrong) as f64
    }
}

/// F1 of all documents.
pub fn f1_of(documents: &[Counts]) -> f64 {
    let mut sum = Counts::default();
    documents.iter().for_each(|c| sum.add(c));
    sum.f1()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(n: usize, counts: [usize; 3]) -> Vec<Counts> {
        vec![Counts::from(counts); n]
    }

    #[test]
    fn f1_weighs_documents_by_their_draws() {
        let all = [Counts::from([1, 1, 0]), Counts::from([2, 0, 2])];
        // hits 3, wrong 3: 6 / 9; the first three times: hits 5, wrong 5; the second alone: 4 / 6.
        assert!((f1(&all, &[1, 1]) - 6.0 / 9.0).abs() < 1e-12);
        assert!((f1(&all, &[3, 1]) - 10.0 / 15.0).abs() < 1e-12);
        assert!((f1(&all, &[0, 1]) - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(f1(&all, &[0, 0]), 0.0);
        assert!((f1_of(&all) - 6.0 / 9.0).abs() < 1e-12);
    }

    /// All documents alike: the resamples differ in seeds only. Differences 0.1, 0.2, 0.3 (from F1 0.5): the median of three draws is 0.1
    /// with probability 7/27, so the interval is that of the seeds.
    #[test]
    fn the_interval_of_equal_documents_is_that_of_the_seeds() {
        let base = vec![documents(40, [5, 5, 5]); 3];
        let arm: Vec<Vec<Counts>> = [6, 7, 8]
            .iter()
            .map(|hits| documents(40, [*hits, 10 - hits, 10 - hits]))
            .collect();
        let d = Resamples::new(40, 3).difference(&base, &arm).unwrap();
        for (found, expected) in [(d.median, 0.2), (d.interval.0, 0.1), (d.interval.1, 0.3)] {
            assert!((found - expected).abs() < 1e-9, "{d:?}");
        }
        assert!(d.one_sign && d.excludes_zero);
        let two = Resamples::new(40, 3)
            .difference(&base[..2], &arm[..2])
            .unwrap();
        assert!(two.one_sign && !two.excludes_zero, "two seeds show nothing");
    }

    /// One document decides: most resamples that miss it see no difference.
    #[test]
    fn a_difference_that_hangs_on_one_document_is_not_shown() {
        let base = vec![documents(30, [5, 5, 5]); 3];
        let mut better = documents(30, [5, 5, 5]);
        better[0] = Counts::from([10, 0, 0]);
        let d = Resamples::new(30, 3)
            .difference(&base, &vec![better; 3])
            .unwrap();
        assert!(d.one_sign && d.median > 0.0);
        assert!(d.interval.0.abs() < 1e-12 && !d.excludes_zero, "{d:?}");
    }

    #[test]
    fn seeds_that_disagree_show_nothing() {
        let base = vec![documents(50, [5, 5, 5]); 3];
        let arm = vec![
            documents(50, [8, 2, 2]),
            documents(50, [8, 2, 2]),
            documents(50, [4, 6, 6]),
        ];
        let d = Resamples::new(50, 3).difference(&base, &arm).unwrap();
        assert!(!d.one_sign && !d.excludes_zero && d.median > 0.0, "{d:?}");
        assert!(Resamples::new(0, 3).difference(&[], &[]).is_none());
    }
}
