//! LIME (M. T. Ribeiro, S. Singh and C. Guestrin, "Why should I trust you?", KDD 2016): a linear model of the value, fitted on random deletions.
//!
//! Deletions, kernel and penalty are those of the authors' package for text: one to all players are deleted, each number as likely; a
//! sample counts √exp(−d²/25²), where d is 100 times its cosine distance from the full text; ridge regression with penalty 1, the
//! intercept free. There are no feature selection and no sums over equal words: each player keeps its own weight.

use super::memo::Memo;
use super::random::Random;
use super::{Game, Weights};
use crate::error::Result;

/// Samples for each player where no other number is asked for: as in the comparison of methods of Edin et al. (2024).
pub const SAMPLES_PER_PLAYER: usize = 3;

/// Width of the kernel, in hundredths of cosine distance.
const WIDTH: f64 = 25.0;

/// Penalty of the regression.
const ALPHA: f64 = 1.0;

/// A standard deviation of the values below this is rounding of the model's floats: there is nothing to fit.
const FLAT: f64 = 1e-7;

/// Samples between two looks at the clock.
const ROUND: usize = 64;

/// Weights fitted on `samples` coalitions ([`SAMPLES_PER_PLAYER`] a player if `None`), the full one among them; `fit` tells how well.
/// Samples drawn twice are evaluated once but count twice. Standard errors are not estimated and are 0.
///
/// # Errors
/// Those of [`Game::values`].
pub fn weights<G: Game + ?Sized>(
    game: &mut G,
    samples: Option<usize>,
    seed: u64,
) -> Result<Weights> {
    let mut memo = Memo::new(game);
    let n = memo.players();
    let samples = samples.unwrap_or(SAMPLES_PER_PLAYER * n).max(1);
    let empty = memo.rows(&[vec![false; n]])?.pop().unwrap_or_default();
    let mut random = Random::new(seed);
    let mut coalitions = vec![vec![true; n]];
    coalitions.extend((1..samples).map(|_| draw(n, &mut random)));
    let mut rows = Vec::with_capacity(samples);
    for round in coalitions.chunks(ROUND) {
        if !rows.is_empty() && !memo.time_left() {
            break;
        }
        rows.extend(memo.rows(round)?);
    }
    let cut_short = rows.len() < coalitions.len();
    coalitions.truncate(rows.len());
    let (weights, fit) = ridge(&coalitions, &rows, n, memo.decisions());
    let full = rows.into_iter().next().unwrap_or_default();
    Ok(Weights {
        fit,
        cut_short,
        ..Weights::measured(weights, full, empty, memo.evaluations())
    })
}

/// A coalition without one to all of the players.
fn draw(n: usize, random: &mut Random) -> Vec<bool> {
    let deleted = 1 + random.below(n);
    let mut coalition = vec![true; n];
    for player in random.order(n).into_iter().take(deleted) {
        if let Some(present) = coalition.get_mut(player) {
            *present = false;
        }
    }
    coalition
}

/// How much a sample counts. The cosine between k of n ones and n ones is √(k/n).
fn kernel(coalition: &[bool]) -> f64 {
    let present = coalition.iter().filter(|&&p| p).count() as f64;
    let cosine = (present / coalition.len().max(1) as f64).sqrt();
    let distance = 100.0 * (1.0 - cosine);
    (-(distance / WIDTH).powi(2)).exp().sqrt()
}

/// Weighted ridge regression with an intercept, one for each decision, and its weighted R².
///
/// Samples and values are centred on their weighted means, which takes the intercept out; then (XᵀX + α) β = Xᵀy, with rows scaled by the
/// roots of their weights.
fn ridge(
    coalitions: &[Vec<bool>],
    rows: &[Vec<f64>],
    n: usize,
    decisions: usize,
) -> (Vec<Vec<f64>>, Vec<Option<f64>>) {
    let counts: Vec<f64> = coalitions.iter().map(|c| kernel(c)).collect();
    let inputs: Vec<Vec<f64>> = coalitions
        .iter()
        .map(|c| c.iter().map(|&p| f64::from(u8::from(p))).collect())
        .collect();
    let inputs = centred(&inputs, &counts, n);
    let values = centred(rows, &counts, decisions);
    let mut gram = vec![vec![0.0; n]; n];
    let mut products = vec![vec![0.0; n]; decisions];
    for (input, value) in inputs.iter().zip(&values) {
        for (i, (row, &x)) in gram.iter_mut().zip(input).enumerate() {
            // The lower triangle, as far as the diagonal.
            add_scaled(row.get_mut(..=i).unwrap_or_default(), x, input);
        }
        for (products, &y) in products.iter_mut().zip(value) {
            add_scaled(products, y, input);
        }
    }
    for (i, row) in gram.iter_mut().enumerate() {
        if let Some(diagonal) = row.get_mut(i) {
            *diagonal += ALPHA;
        }
    }
    let factor = cholesky(gram);
    let weights: Vec<Vec<f64>> = products.into_iter().map(|b| solve(&factor, b)).collect();
    let fit = weights
        .iter()
        .enumerate()
        .map(|(decision, weights)| {
            let (mut residual, mut total) = (0.0, 0.0);
            for (input, value) in inputs.iter().zip(&values) {
                let value = value.get(decision).copied().unwrap_or_default();
                residual += (value - dot(weights, input)).powi(2);
                total += value * value;
            }
            (total > FLAT * FLAT * counts.iter().sum::<f64>()).then(|| 1.0 - residual / total)
        })
        .collect();
    (weights, fit)
}

/// The rows less their weighted mean, each times the root of its weight.
fn centred(rows: &[Vec<f64>], counts: &[f64], width: usize) -> Vec<Vec<f64>> {
    let total: f64 = counts.iter().sum();
    let mut mean = vec![0.0; width];
    for (row, count) in rows.iter().zip(counts) {
        add_scaled(&mut mean, count / total, row);
    }
    rows.iter()
        .zip(counts)
        .map(|(row, count)| {
            let root = count.sqrt();
            row.iter().zip(&mean).map(|(x, m)| (x - m) * root).collect()
        })
        .collect()
}

/// `to += scale · from`, over the shorter of the two.
fn add_scaled(to: &mut [f64], scale: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += scale * from;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The factor L of a symmetric, positive definite matrix A = L Lᵀ, of which only the lower triangle is read; row i has i + 1 numbers.
fn cholesky(matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
    for row in matrix {
        let mut out = Vec::with_capacity(factor.len() + 1);
        let mut row = row.into_iter();
        for (above, a) in factor.iter().zip(row.by_ref()) {
            let diagonal = above.last().copied().unwrap_or(1.0);
            out.push((a - dot(&out, above)) / diagonal);
        }
        let a = row.next().unwrap_or(1.0);
        out.push((a - dot(&out, &out)).sqrt());
        factor.push(out);
    }
    factor
}

/// The solution x of L Lᵀ x = b.
fn solve(factor: &[Vec<f64>], b: Vec<f64>) -> Vec<f64> {
    let mut x = Vec::with_capacity(b.len());
    for (row, b) in factor.iter().zip(b) {
        let diagonal = row.last().copied().unwrap_or(1.0);
        x.push((b - dot(row, &x)) / diagonal);
    }
    for (i, row) in factor.iter().enumerate().rev() {
        if let Some((x, before)) = x.get_mut(..=i).and_then(<[f64]>::split_last_mut)
            && let Some((diagonal, row)) = row.split_last()
        {
            *x /= diagonal;
            add_scaled(before, -*x, row);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::explain::game::tests::{Fn, logistic};

    fn linear(weights: Vec<f64>) -> impl Game {
        Fn::new(weights.len(), 1, move |c: &[bool]| {
            vec![
                0.3 + weights
                    .iter()
                    .zip(c)
                    .map(|(w, &p)| if p { *w } else { 0.0 })
                    .sum::<f64>(),
            ]
        })
    }

    #[test]
    fn the_kernel_is_the_reference_packages() {
        // Cosine distance 1 - sqrt(1/4) = 0.5, so d = 50: sqrt(exp(-4)).
        assert!((kernel(&[true, false, false, false]) - (-2.0f64).exp()).abs() < 1e-12);
        assert_eq!(kernel(&[true, true]), 1.0);
        assert!((kernel(&[false, false]) - (-8.0f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn every_number_of_deletions_is_as_likely() {
        let mut random = Random::new(1);
        let mut counts = [0u32; 5];
        for _ in 0..5000 {
            let deleted = draw(5, &mut random).iter().filter(|&&p| !p).count();
            counts[deleted - 1] += 1;
        }
        assert!(counts.iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_linear_game_is_found_again() {
        let truth = vec![0.5, -0.25, 0.0, 0.1, 0.0, 0.0, -0.4, 0.2];
        let found = weights(&mut linear(truth.clone()), Some(4000), 9).unwrap();
        for (found, truth) in found.weights[0].iter().zip(&truth) {
            assert!((found - truth).abs() < 0.005, "{found} {truth}");
        }
        assert!(found.fit[0].unwrap() > 0.999);
        // All coalitions of eight players, each asked for once.
        assert!(found.evaluations <= 256);
        let sum: f64 = truth.iter().sum();
        assert!((found.full[0] - 0.3 - sum).abs() < 1e-12 && (found.empty[0] - 0.3).abs() < 1e-12);
    }

    #[test]
    fn the_fit_tells_a_linear_game_from_a_parity() {
        let fit = |game: &mut dyn Game| weights(game, Some(200), 1).unwrap().fit[0];
        let odd = |c: &[bool]| vec![(c.iter().filter(|&&p| p).count() % 2) as f64];
        assert!(fit(&mut Fn::new(9, 1, odd)).unwrap() < 0.3);
        assert!(fit(&mut logistic(vec![1.0, -2.0, 0.5, 0.0, 3.0, 0.1], 0.0)).unwrap() > 0.8);
        assert_eq!(fit(&mut Fn::new(9, 1, |_: &[bool]| vec![0.7])), None);
    }

    /// Ridge by gradient descent on the objective as it is written down, intercept and all.
    fn descended(coalitions: &[Vec<bool>], values: &[f64], n: usize) -> Vec<f64> {
        let (mut beta, mut intercept) = (vec![0.0; n], 0.0);
        for _ in 0..60_000 {
            let mut slope: Vec<f64> = beta.iter().map(|b| ALPHA * b).collect();
            let mut at_intercept = 0.0;
            for (c, y) in coalitions.iter().zip(values) {
                let x: Vec<f64> = c.iter().map(|&p| f64::from(u8::from(p))).collect();
                let error = kernel(c) * (intercept + dot(&beta, &x) - y);
                add_scaled(&mut slope, error, &x);
                at_intercept += error;
            }
            add_scaled(&mut beta, -0.01, &slope);
            intercept -= 0.01 * at_intercept;
        }
        beta
    }

    #[test]
    fn the_regression_minimises_its_objective() {
        let mut random = Random::new(4);
        let mut coalitions = vec![vec![true; 5]];
        coalitions.extend((0..14).map(|_| draw(5, &mut random)));
        let values: Vec<f64> = (0..15).map(|i| f64::from(i * i % 7) / 7.0).collect();
        let rows: Vec<Vec<f64>> = values.iter().map(|&v| vec![v]).collect();
        let (found, _) = ridge(&coalitions, &rows, 5, 1);
        for (a, b) in found[0].iter().zip(descended(&coalitions, &values, 5)) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn four_hundred_players_are_quick_and_few_samples_do() {
        let many: Vec<f64> = (0..400)
            .map(|p| if p % 50 == 7 { 0.1 } else { 0.0 })
            .collect();
        let start = std::time::Instant::now();
        let found = weights(&mut linear(many.clone()), None, 2).unwrap();
        assert!(start.elapsed().as_secs_f64() < 5.0); // 0.2 s alone, optimised as tests are
        assert!(found.evaluations <= 1201);
        let heaviest = |weights: &[f64]| {
            let mut order: Vec<usize> = (0..400).collect();
            order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
            order.truncate(8);
            order.sort_unstable();
            order
        };
        assert_eq!(heaviest(&found.weights[0]), heaviest(&many));
        assert!(
            weights(&mut linear(many), Some(10), 2).unwrap().weights[0]
                .iter()
                .all(|w| w.is_finite())
        );
    }

    #[test]
    fn time_ends_it_between_rounds() {
        let mut game = Fn::new(40, 1, |c: &[bool]| vec![f64::from(u8::from(c[3]))]);
        game.time = 1.into();
        let found = weights(&mut game, Some(1000), 1).unwrap();
        assert!(found.cut_short);
        assert!(found.evaluations > 100 && found.evaluations <= 129);
    }

    #[test]
    fn nobody_and_one() {
        let found = weights(&mut Fn::new(0, 1, |_: &[bool]| vec![0.2]), None, 1).unwrap();
        assert_eq!((found.weights, found.fit), (vec![vec![]], vec![None]));
        let found = weights(&mut linear(vec![0.6]), None, 1).unwrap();
        assert!(found.weights[0][0] >= 0.0 && found.weights[0][0] <= 0.6);
    }

    proptest! {
        #[test]
        fn cholesky_solves(n in 1usize..12, numbers in proptest::collection::vec(-1.0f64..1.0, 12 * 13)) {
            // A = M Mᵀ + 1 is symmetric and positive definite.
            let m: Vec<&[f64]> = numbers.chunks(12).take(n).collect();
            let a: Vec<Vec<f64>> = (0..n)
                .map(|i| (0..n).map(|j| dot(m[i], m[j]) + f64::from(u8::from(i == j))).collect())
                .collect();
            let b: Vec<f64> = numbers.iter().rev().take(n).copied().collect();
            let x = solve(&cholesky(a.clone()), b.clone());
            for (row, b) in a.iter().zip(&b) {
                prop_assert!((dot(row, &x) - b).abs() < 1e-9);
            }
        }

        #[test]
        fn the_seed_decides(seed: u64) {
            let with = |seed| weights(&mut logistic(vec![1.0, -2.0, 0.5, 0.0, 3.0, 0.1, 0.2], 0.5), None, seed).unwrap();
            prop_assert_eq!(with(seed), with(seed));
        }
    }
}
