//! Shapley values (L. S. Shapley, "A value for n-person games", 1953): a player's mean contribution over all orders of arrival.
//!
//! Sampling: J. Castro, D. Gómez and J. Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009; each order is also
//! walked backwards (R. Mitchell, J. Cooper, E. Frank and G. Holmes, "Sampling permutations for Shapley value estimation", JMLR 23, 2022):
//! who came early comes late, so the two walks err in opposite directions.

use super::memo::Memo;
use super::random::Random;
use super::{Game, Weights};
use crate::error::{Error, Result};

/// Players up to which all coalitions are evaluated: 2¹² of them.
pub const EXACT_PLAYERS: usize = 12;

/// Shapley values: exact where there are at most [`EXACT_PLAYERS`] players and all coalitions are within `evaluations`, else sampled.
/// Where the time runs out before all coalitions are evaluated, the sampling goes on from those that are.
///
/// # Errors
/// Those of [`Game::values`].
pub fn weights<G: Game + ?Sized>(game: &mut G, evaluations: usize, seed: u64) -> Result<Weights> {
    let mut memo = Memo::new(game);
    let n = memo.players();
    if n > EXACT_PLAYERS || 1 << n > evaluations {
        return sample(&mut memo, evaluations, seed);
    }
    let coalitions = all_coalitions(n);
    let mut rows = Vec::with_capacity(coalitions.len());
    for round in coalitions.chunks(ROUND) {
        if !rows.is_empty() && !memo.time_left() {
            let cut = sample(&mut memo, 0, seed)?;
            return Ok(Weights {
                cut_short: true,
                ..cut
            });
        }
        rows.extend(memo.rows(round)?);
    }
    Ok(from_all(n, &rows, &memo))
}

/// Coalitions of an exact computation between two looks at the clock.
const ROUND: usize = 64;

/// The Shapley values, from all coalitions. The clock is not looked at.
///
/// # Errors
/// More than [`EXACT_PLAYERS`] players: [`Error::InvalidArgument`]; else those of [`Game::values`].
pub fn exact<G: Game + ?Sized>(game: &mut G) -> Result<Weights> {
    let mut memo = Memo::new(game);
    let n = memo.players();
    if n > EXACT_PLAYERS {
        return Err(Error::InvalidArgument(format!(
            "exact Shapley values of {n} players were asked for; at most {EXACT_PLAYERS} are computed exactly, sample them instead"
        )));
    }
    let rows = memo.rows(&all_coalitions(n))?;
    Ok(from_all(n, &rows, &memo))
}

/// Shapley values estimated from pairs of an order and its reverse, as many as `evaluations` admit, at least one.
///
/// The weights of a decision add up to the value of all players less that of none (but for rounding), whatever the number of pairs.
/// A standard error is that of the mean of the pairs' means; of a lone pair, that of its two walks taken as independent, which is too
/// large rather than too small.
///
/// # Errors
/// Those of [`Game::values`].
pub fn sampled<G: Game + ?Sized>(game: &mut G, evaluations: usize, seed: u64) -> Result<Weights> {
    sample(&mut Memo::new(game), evaluations, seed)
}

/// All coalitions; player `p` is present where bit `p` of the index is set.
fn all_coalitions(n: usize) -> Vec<Vec<bool>> {
    (0..1usize << n)
        .map(|mask| (0..n).map(|player| mask >> player & 1 == 1).collect())
        .collect()
}

/// The definition: Σ over the coalitions S without the player of |S|! (n − |S| − 1)! / n! · (v(S with it) − v(S)).
fn from_all<G: Game + ?Sized>(n: usize, rows: &[Vec<f64>], memo: &Memo<'_, G>) -> Weights {
    // |S|! (n − |S| − 1)! / n! = 1 / (n · C(n − 1, |S|)).
    let mut share = Vec::with_capacity(n);
    let mut binomial = 1.0;
    for size in 0..n {
        share.push(1.0 / (n as f64 * binomial));
        binomial *= (n - 1 - size) as f64 / (size + 1) as f64;
    }
    let mut weights = vec![vec![0.0; n]; memo.decisions()];
    for (mask, without) in rows.iter().enumerate() {
        let share = share
            .get(mask.count_ones() as usize)
            .copied()
            .unwrap_or_default();
        for player in (0..n).filter(|player| mask >> player & 1 == 0) {
            let with = rows.get(mask | 1 << player).into_iter().flatten();
            for ((weights, with), without) in weights.iter_mut().zip(with).zip(without) {
                if let Some(weight) = weights.get_mut(player) {
                    *weight += share * (with - without);
                }
            }
        }
    }
    Weights::measured(
        weights,
        rows.last().cloned().unwrap_or_default(),
        rows.first().cloned().unwrap_or_default(),
        memo.evaluations(),
    )
}

/// The walk of one order: the coalitions between nobody and everybody.
fn walk(order: &[usize]) -> Vec<Vec<bool>> {
    let mut coalition = vec![false; order.len()];
    let mut steps = Vec::with_capacity(order.len().saturating_sub(1));
    for &player in order.iter().take(order.len().saturating_sub(1)) {
        if let Some(present) = coalition.get_mut(player) {
            *present = true;
        }
        steps.push(coalition.clone());
    }
    steps
}

/// What each player added on the walk, `[players]`, for one decision.
fn contributions(order: &[usize], values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut out = vec![0.0; order.len()];
    let mut before = None;
    let mut order = order.iter();
    for value in values {
        if let Some(before) = before
            && let Some(&player) = order.next()
            && let Some(out) = out.get_mut(player)
        {
            *out = value - before;
        }
        before = Some(value);
    }
    out
}

/// Running mean and sum of squared deviations (B. P. Welford, 1962).
#[derive(Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes in the `count`-th value.
    fn add(&mut self, value: f64, count: usize) {
        let delta = value - self.mean;
        self.mean += delta / count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// The mean's standard error.
    fn standard_error(&self, count: usize) -> f64 {
        (self.squares / ((count - 1) as f64 * count as f64)).sqrt()
    }
}

fn sample<G: Game + ?Sized>(
    memo: &mut Memo<'_, G>,
    evaluations: usize,
    seed: u64,
) -> Result<Weights> {
    let (n, decisions) = (memo.players(), memo.decisions());
    let mut ends = memo.rows(&[vec![true; n], vec![false; n]])?.into_iter();
    let full = ends.next().unwrap_or_default();
    let empty = ends.next().unwrap_or_default();
    let mut random = Random::new(seed);
    let mut moments = vec![vec![Moments::default(); n]; decisions];
    let mut apart = vec![vec![0.0; n]; decisions]; // half the distance of the last pair's walks
    let mut pairs = 0;
    let mut cut_short = false;
    // Few players have few coalitions: once all are known pairs cost nothing, so their number is bounded too.
    while pairs == 0 || pairs < evaluations && n > 1 {
        let forward = random.order(n);
        let backward: Vec<usize> = forward.iter().rev().copied().collect();
        let mut coalitions = walk(&forward);
        coalitions.extend(walk(&backward));
        if pairs > 0 {
            if memo.evaluations() + memo.cost(&coalitions) > evaluations {
                break;
            }
            if !memo.time_left() {
                cut_short = true;
                break;
            }
        }
        let rows = memo.rows(&coalitions)?;
        let (there, back) = rows.split_at(rows.len() / 2);
        pairs += 1;
        for (decision, (moments, apart)) in moments.iter_mut().zip(&mut apart).enumerate() {
            let added = |order: &[usize], rows: &[Vec<f64>]| {
                let path = std::iter::once(&empty)
                    .chain(rows)
                    .chain(std::iter::once(&full));
                contributions(order, path.filter_map(|row| row.get(decision).copied()))
            };
            let walks = added(&forward, there)
                .into_iter()
                .zip(added(&backward, back));
            for ((moments, apart), (there, back)) in moments.iter_mut().zip(apart).zip(walks) {
                moments.add((there + back) / 2.0, pairs);
                *apart = (there - back).abs() / 2.0;
            }
        }
    }
    let standard_errors = if pairs > 1 {
        moments
            .iter()
            .map(|row| row.iter().map(|m| m.standard_error(pairs)).collect())
            .collect()
    } else {
        apart
    };
    Ok(Weights {
        weights: moments
            .iter()
            .map(|row| row.iter().map(|m| m.mean).collect())
            .collect(),
        standard_errors,
        fit: vec![None; decisions],
        full,
        empty,
        evaluations: memo.evaluations(),
        cut_short,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::explain::game::tests::{Fn, logistic};

    /// A game given by the value of every coalition, [coalition][decision].
    fn table(n: usize, values: Vec<Vec<f64>>) -> impl Game {
        let decisions = values[0].len();
        Fn::new(n, decisions, move |c: &[bool]| values[index(c)].clone())
    }

    fn index(coalition: &[bool]) -> usize {
        coalition
            .iter()
            .enumerate()
            .map(|(p, &present)| usize::from(present) << p)
            .sum()
    }

    /// The definition by orders of arrival: all n! of them.
    fn by_orders(n: usize, value: &dyn std::ops::Fn(usize) -> f64) -> Vec<f64> {
        fn visit(
            mask: usize,
            n: usize,
            value: &dyn std::ops::Fn(usize) -> f64,
            path: &mut Vec<(usize, f64)>,
            sums: &mut [f64],
            orders: &mut f64,
        ) {
            if path.len() == n {
                *orders += 1.0;
                path.iter()
                    .for_each(|&(player, added)| sums[player] += added);
            }
            for player in (0..n).filter(|p| mask >> p & 1 == 0) {
                let with = mask | 1 << player;
                path.push((player, value(with) - value(mask)));
                visit(with, n, value, path, sums, orders);
                path.pop();
            }
        }
        let (mut sums, mut orders) = (vec![0.0; n], 0.0);
        visit(0, n, value, &mut Vec::new(), &mut sums, &mut orders);
        sums.iter().map(|sum| sum / orders).collect()
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    fn games() -> impl Strategy<Value = (usize, Vec<Vec<f64>>)> {
        (1usize..=5).prop_flat_map(|n| {
            let row = proptest::collection::vec(-1.0f64..1.0, 2);
            (Just(n), proptest::collection::vec(row, 1 << n))
        })
    }

    proptest! {
        #[test]
        fn exact_is_the_mean_over_all_orders((n, values) in games()) {
            let found = exact(&mut table(n, values.clone())).unwrap();
            for decision in [0, 1] {
                let expected = by_orders(n, &|mask| values[mask][decision]);
                prop_assert!(close(&found.weights[decision], &expected));
            }
            prop_assert_eq!(&found.full, &values[(1 << n) - 1]);
            prop_assert_eq!(&found.empty, &values[0]);
            prop_assert_eq!(found.evaluations, 1 << n);
        }

        #[test]
        fn efficiency((n, values) in games(), seed: u64, evaluations in 0usize..60) {
            for found in [
                exact(&mut table(n, values.clone())).unwrap(),
                sampled(&mut table(n, values.clone()), evaluations, seed).unwrap(),
                weights(&mut table(n, values), evaluations, seed).unwrap(),
            ] {
                for decision in 0..2 {
                    let sum: f64 = found.weights[decision].iter().sum();
                    prop_assert!((sum - (found.full[decision] - found.empty[decision])).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn symmetric_players_weigh_the_same(values in proptest::collection::vec(-1.0f64..1.0, 32)) {
            // Players 1 and 3 are interchangeable: the value looks only at how many of them there are.
            let value = move |c: &[bool]| {
                let mut c = c.to_vec();
                if c[3] && !c[1] {
                    c.swap(1, 3);
                }
                vec![values[index(&c)]]
            };
            let found = exact(&mut Fn::new(5, 1, value)).unwrap();
            prop_assert!((found.weights[0][1] - found.weights[0][3]).abs() < 1e-9);
        }

        #[test]
        fn a_dummy_gets_what_it_brings(
            values in proptest::collection::vec(-1.0f64..1.0, 16), own in -1.0f64..1.0, seed: u64,
        ) {
            let value = move |c: &[bool]| vec![values[index(&c[..4])] + if c[4] { own } else { 0.0 }];
            let found = exact(&mut Fn::new(5, 1, value.clone())).unwrap();
            prop_assert!((found.weights[0][4] - own).abs() < 1e-9);
            let found = sampled(&mut Fn::new(5, 1, value), 40, seed).unwrap();
            prop_assert!((found.weights[0][4] - own).abs() < 1e-9);
            prop_assert!(found.standard_errors[0][4] < 1e-9);
        }

        #[test]
        fn additivity((n, values) in games()) {
            // The second decision is the first plus another game.
            let sums: Vec<Vec<f64>> = values.iter().map(|v| vec![v[0] + v[1]]).collect();
            let parts = exact(&mut table(n, values)).unwrap().weights;
            let whole = exact(&mut table(n, sums)).unwrap().weights;
            let added: Vec<f64> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
            prop_assert!(close(&whole[0], &added));
        }
    }

    fn single(n: usize) -> Vec<f64> {
        (0..n)
            .map(|p| ((p * 7 + 3) % 11) as f64 / 4.0 - 1.2)
            .collect()
    }

    #[test]
    fn twelve_players_are_exact_and_thirteen_are_refused() {
        let found = exact(&mut logistic(single(12), 0.4)).unwrap();
        let sum: f64 = found.weights[0].iter().sum();
        assert!((sum - (found.full[0] - found.empty[0])).abs() < 1e-12);
        assert_eq!(found.evaluations, 4096);
        let error = exact(&mut logistic(single(13), 0.4)).unwrap_err();
        assert!(error.to_string().contains("13 players"));
    }

    #[test]
    fn samples_come_close_and_their_standard_errors_are_honest() {
        let truth = exact(&mut logistic(single(12), 0.4)).unwrap();
        let (mut inside, mut all) = (0, 0);
        for seed in 0..20 {
            let found = sampled(&mut logistic(single(12), 0.4), 500, seed).unwrap();
            assert!(found.evaluations <= 500 && found.evaluations > 470);
            for ((weight, error), truth) in found.weights[0]
                .iter()
                .zip(&found.standard_errors[0])
                .zip(&truth.weights[0])
            {
                assert!((weight - truth).abs() < 0.05, "{weight} {truth}");
                all += 1;
                inside += usize::from((weight - truth).abs() <= 2.0 * error);
            }
        }
        // Two standard errors cover 95 % of normal errors, a little less where they come from some twenty pairs.
        let covered = f64::from(inside as u32) / f64::from(all as u32);
        assert!((0.88..=0.99).contains(&covered), "{covered}");
    }

    #[test]
    fn the_reverse_walk_pays() {
        // Mean squared error with pairs against the same number of evaluations spent on lone orders, in a game that saturates: who
        // comes first takes most. (Where a sigmoid rises halfway, both walks say nearly the same and pairs do not pay.)
        let saturating = || logistic((0..10).map(|p| 0.3 + 0.1 * f64::from(p)).collect(), 0.0);
        let truth = exact(&mut saturating()).unwrap().weights;
        let error = |weights: &[f64]| -> f64 {
            weights
                .iter()
                .zip(&truth[0])
                .map(|(a, b)| (a - b).powi(2))
                .sum()
        };
        let (mut paired, mut lone) = (0.0, 0.0);
        for seed in 0..40 {
            let mut game = saturating();
            paired += error(&sampled(&mut game, 2 + 10 * 18, seed).unwrap().weights[0]);
            let mut random = Random::new(seed);
            let mut mean = vec![0.0; 10];
            for _ in 0..20 {
                let order = random.order(10);
                let mut path = vec![vec![false; 10]];
                path.extend(walk(&order));
                path.push(vec![true; 10]);
                let values = game.values(&path).unwrap();
                for (mean, added) in mean
                    .iter_mut()
                    .zip(contributions(&order, values.into_iter()))
                {
                    *mean += added / 20.0;
                }
            }
            lone += error(&mean);
        }
        assert!(paired < 0.7 * lone, "{paired} {lone}");
    }

    #[test]
    fn budgets_hold() {
        // One pair at least: 2 + 2 (n - 1) evaluations.
        let found = sampled(&mut logistic(single(20), 0.1), 0, 1).unwrap();
        assert_eq!((found.evaluations, found.cut_short), (40, false));
        assert!(found.standard_errors[0].iter().any(|&e| e > 0.0));
        let mut game = Fn::new(20, 1, |c: &[bool]| vec![f64::from(u8::from(c[0] && c[9]))]);
        game.time = 2.into();
        let found = sampled(&mut game, 10_000, 1).unwrap();
        assert!(found.cut_short);
        assert!(found.evaluations <= 2 + 3 * 38 && found.evaluations > 2 + 2 * 38 - 10);
        assert_eq!(found.evaluations, game.asked);
    }

    #[test]
    fn few_players_end_and_are_right() {
        for n in 0..=2 {
            let mut game = Fn::new(n, 1, |c: &[bool]| {
                vec![c.iter().filter(|&&p| p).count() as f64]
            });
            let found = sampled(&mut game, 1000, 3).unwrap();
            assert_eq!(found.weights, [vec![1.0; n]]);
            assert_eq!(game.asked, if n == 0 { 1 } else { 1 << n });
            let mut game = Fn::new(n, 1, |c: &[bool]| {
                vec![c.iter().filter(|&&p| p).count() as f64]
            });
            assert_eq!(exact(&mut game).unwrap().weights, [vec![1.0; n]]);
        }
    }

    #[test]
    fn exact_if_it_may_be_else_sampled() {
        let found = weights(&mut logistic(single(8), 0.4), 256, 1).unwrap();
        assert_eq!(found, exact(&mut logistic(single(8), 0.4)).unwrap());
        let found = weights(&mut logistic(single(8), 0.4), 255, 1).unwrap();
        assert_eq!(
            found,
            sampled(&mut logistic(single(8), 0.4), 255, 1).unwrap()
        );
        // The clock ends it after a quarter: the sampling needs few evaluations more.
        let mut game = Fn::new(8, 1, |c: &[bool]| vec![f64::from(u8::from(c[0] && c[7]))]);
        game.time = 0.into();
        let found = weights(&mut game, 256, 1).unwrap();
        assert!(found.cut_short && found.evaluations > 64 && found.evaluations <= 64 + 15);
        let sum: f64 = found.weights[0].iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_seed_decides() {
        let with = |seed| sampled(&mut logistic(single(14), 0.4), 120, seed).unwrap();
        assert_eq!(with(5), with(5));
        assert_ne!(with(5).weights, with(6).weights);
    }
}
