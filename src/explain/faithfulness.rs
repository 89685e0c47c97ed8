//! How faithful weights are: ERASER's comprehensiveness and sufficiency (J. DeYoung et al., "ERASER: a benchmark to evaluate rationalized
//! NLP models", ACL 2020), next to what random words would score.

use super::memo::Memo;
use super::random::Random;
use super::{Faithfulness, Game};
use crate::error::{Error, Result};

/// Parts of the players that are deleted, or kept: the benchmark's thresholds.
pub const FRACTIONS: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];

/// Random orders of the control.
pub const DRAWS: usize = 5;

/// What deleting and keeping the heaviest players does to one decision, at each of [`FRACTIONS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Curves {
    /// The value of all players less that without the heaviest.
    pub comprehensiveness: [f64; FRACTIONS.len()],
    /// The value of all players less that of the heaviest alone.
    pub sufficiency: [f64; FRACTIONS.len()],
}

impl Curves {
    /// Means over the fractions: comprehensiveness, sufficiency.
    pub fn means(&self) -> (f64, f64) {
        (mean(&self.comprehensiveness), mean(&self.sufficiency))
    }
}

/// Players from the greatest weight to the least, signs counting; equal ones in their own order.
pub fn order(weights: &[f64]) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = weights.iter().copied().enumerate().collect();
    // Adding zero makes −0 equal to 0.
    order.sort_by(|(_, a), (_, b)| (b + 0.0).total_cmp(&(a + 0.0)));
    order.into_iter().map(|(player, _)| player).collect()
}

/// How many of `players` each of [`FRACTIONS`] is: rounded up, at least one, at most all.
pub fn sizes(players: usize) -> [usize; FRACTIONS.len()] {
    // The subtraction keeps 0.05 · 20, which is a little over 1 in binary, at 1.
    FRACTIONS.map(|fraction| {
        ((fraction * players as f64 - 1e-9).ceil() as usize).clamp(1, players.max(1))
    })
}

/// The metrics of each decision. `orders`: for each decision its players, heaviest first (see [`order`]). The random orders are shared by
/// the decisions. Costs at most `1 + 2 · fractions · (decisions + draws)` evaluations; the clock is not looked at.
///
/// # Errors
/// Not one order a decision: [`Error::InvalidArgument`]; else those of [`Game::values`].
pub fn measure<G: Game + ?Sized>(
    game: &mut G,
    orders: &[Vec<usize>],
    seed: u64,
) -> Result<Vec<Faithfulness>> {
    let mut memo = Memo::new(game);
    let n = memo.players();
    let own = own_curves(&mut memo, orders)?;
    let mut random = Random::new(seed);
    let mut control = vec![(0.0, 0.0); orders.len()];
    for _ in 0..DRAWS {
        let order = vec![random.order(n); orders.len()];
        for (control, curves) in control.iter_mut().zip(own_curves(&mut memo, &order)?) {
            let (comprehensiveness, sufficiency) = curves.means();
            control.0 += comprehensiveness / DRAWS as f64;
            control.1 += sufficiency / DRAWS as f64;
        }
    }
    Ok(own
        .iter()
        .zip(control)
        .map(|(own, (random_comprehensiveness, random_sufficiency))| {
            let (comprehensiveness, sufficiency) = own.means();
            Faithfulness {
                comprehensiveness: comprehensiveness as f32,
                sufficiency: sufficiency as f32,
                random_comprehensiveness: random_comprehensiveness as f32,
                random_sufficiency: random_sufficiency as f32,
            }
        })
        .collect())
}

/// The curves of each decision along its own order.
///
/// # Errors
/// As [`measure`].
pub fn curves<G: Game + ?Sized>(game: &mut G, orders: &[Vec<usize>]) -> Result<Vec<Curves>> {
    own_curves(&mut Memo::new(game), orders)
}

fn own_curves<G: Game + ?Sized>(
    memo: &mut Memo<'_, G>,
    orders: &[Vec<usize>],
) -> Result<Vec<Curves>> {
    let n = memo.players();
    if orders.len() != memo.decisions() {
        return Err(Error::InvalidArgument(format!(
            "{} orders of players were given for {} decisions; give one a decision",
            orders.len(),
            memo.decisions()
        )));
    }
    let mut coalitions = vec![vec![true; n]];
    for order in orders {
        for size in sizes(n) {
            let mut kept = vec![false; n];
            for &player in order.iter().take(size) {
                if let Some(present) = kept.get_mut(player) {
                    *present = true;
                }
            }
            coalitions.push(kept.iter().map(|present| !present).collect());
            coalitions.push(kept);
        }
    }
    let rows = memo.rows(&coalitions)?;
    let (full, rows) = rows.split_first().unwrap_or((const { &Vec::new() }, &[]));
    Ok(rows
        .chunks(2 * FRACTIONS.len())
        .zip(full)
        .enumerate()
        .map(|(decision, (steps, full))| {
            let mut curves = Curves::default();
            let steps = steps
                .iter()
                .map(|row| full - row.get(decision).unwrap_or(full));
            for (step, loss) in steps.enumerate() {
                let curve = match step % 2 {
                    0 => &mut curves.comprehensiveness,
                    _ => &mut curves.sufficiency,
                };
                if let Some(point) = curve.get_mut(step / 2) {
                    *point = loss;
                }
            }
            curves
        })
        .collect())
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::explain::game::tests::Fn;

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(sizes(100), [1, 5, 10, 20, 50]);
        assert_eq!(sizes(20), [1, 1, 2, 4, 10]);
        assert_eq!(sizes(101), [2, 6, 11, 21, 51]);
        assert_eq!(sizes(3), [1, 1, 1, 1, 2]);
        assert_eq!(sizes(1), [1; 5]);
    }

    #[test]
    fn heaviest_first_ties_by_position() {
        assert_eq!(order(&[0.1, -3.0, 0.5, -0.0, 0.5, 0.0]), [2, 4, 0, 3, 5, 1]);
    }

    /// Two decisions over 20 players: one needs player 7, the other is the share of players present.
    fn game() -> impl Game {
        Fn::new(20, 2, |c: &[bool]| {
            let share = c.iter().filter(|&&p| p).count() as f64 / 20.0;
            vec![if c[7] { 0.9 } else { 0.1 }, share]
        })
    }

    #[test]
    fn one_decisive_player() {
        let mut first = vec![7];
        first.extend((0..20).filter(|&p| p != 7));
        let mut last: Vec<usize> = (0..20).filter(|&p| p != 7).collect();
        last.push(7);
        let found = measure(&mut game(), &[first, last.clone()], 3).unwrap();
        // Sizes of 20: 1, 1, 2, 4, 10.
        assert!((found[0].comprehensiveness - 0.8).abs() < 1e-6);
        assert!(found[0].sufficiency.abs() < 1e-6);
        let share = (1.0 + 1.0 + 2.0 + 4.0 + 10.0) / 5.0 / 20.0;
        assert!((found[1].comprehensiveness - share).abs() < 1e-6);
        assert!((found[1].sufficiency - (1.0 - share)).abs() < 1e-6);
        // Where only the number counts, random is as good.
        assert!((found[1].random_comprehensiveness - share).abs() < 1e-6);
        assert!((found[1].random_sufficiency - (1.0 - share)).abs() < 1e-6);
        let found = measure(&mut game(), &[last.clone(), last], 3).unwrap();
        assert!(found[0].comprehensiveness.abs() < 1e-6);
        assert!((found[0].sufficiency - 0.8).abs() < 1e-6);
    }

    #[test]
    fn random_words_score_by_chance() {
        // The chance that player 7 is among k of 20 is k / 20: mean 0.18, so 0.8 · 0.18 = 0.144.
        let order: Vec<usize> = (0..20).collect();
        let mean: f32 = (0..200)
            .map(|seed| measure(&mut game(), &[order.clone(), order.clone()], seed).unwrap()[0])
            .map(|f| f.random_comprehensiveness / 200.0)
            .sum();
        assert!((mean - 0.144).abs() < 0.02, "{mean}");
    }

    #[test]
    fn curves_are_what_measure_averages() {
        let order: Vec<usize> = (0..20).rev().collect();
        let curves = curves(&mut game(), &[order.clone(), order.clone()]).unwrap();
        assert_eq!(curves[0].comprehensiveness, [0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(
            curves[0]
                .sufficiency
                .iter()
                .all(|loss| (loss - 0.8).abs() < 1e-12)
        );
        let measured = measure(&mut game(), &[order.clone(), order], 0).unwrap();
        assert_eq!(measured[1].comprehensiveness, curves[1].means().0 as f32);
    }

    #[test]
    fn the_cost_is_bounded_and_wrong_orders_are_an_error() {
        let mut counting = Fn::new(300, 2, |_: &[bool]| vec![0.5, 0.5]);
        let order: Vec<usize> = (0..300).collect();
        measure(&mut counting, &[order.clone(), order.clone()], 1).unwrap();
        assert_eq!(counting.asked, 1 + 2 * 5 * (1 + DRAWS)); // the decisions' orders are one
        assert!(measure(&mut counting, &[order], 1).is_err());
        let mut nobody = Fn::new(0, 1, |_: &[bool]| vec![0.5]);
        assert_eq!(
            measure(&mut nobody, &[vec![]], 1).unwrap()[0].comprehensiveness,
            0.0
        );
    }

    proptest! {
        #[test]
        fn an_order_holds_each_player_once(weights in proptest::collection::vec(proptest::num::f64::ANY, 0..40)) {
            let mut order = order(&weights);
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..weights.len()));
        }

        #[test]
        fn no_fraction_is_empty_or_too_large(players in 1usize..600) {
            let sizes = sizes(players);
            prop_assert!(sizes.is_sorted() && sizes[0] >= 1 && sizes[4] <= players);
        }
    }
}
