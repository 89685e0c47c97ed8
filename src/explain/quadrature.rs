//! Where integrated gradients look, and how much each look counts.
//!
//! Along the path from the baseline to the text a decision's probability usually stays flat, rises within a short stretch and saturates.
//! A gradient costs as much wherever it is taken, so [`Refinement`] takes few where the path is flat: it halves the cells of Simpson's rule
//! in which the integral of the slope misses the rise of the value. That rise is known exactly, from the values that come with the
//! gradients, so the error of each cell is measured, not estimated; and every gradient taken is used. On one to two sigmoids of slope 5
//! to 60 anywhere on the path this takes half the gradients of nested Clenshaw-Curtis rules, and a third of Gauss-Legendre rules of
//! growing order.

/// Nodes on [0, 1] and their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Where to evaluate.
    pub nodes: Vec<f64>,
    /// What the integrand there is multiplied with.
    pub weights: Vec<f64>,
}

/// Cells at the start, so five nodes.
const CELLS: usize = 2;

/// Cells whose errors are this part of the largest are halved with it: fewer rounds, hardly more nodes.
const TOGETHER: f64 = 0.5;

/// The errors of single cells may add up to so many times the tolerance. Without a bound, errors that cancel in the sum over the words
/// would stay in the single words; a bound of 1 costs a quarter more nodes for words that are already within the tolerance.
const SLACK: f64 = 3.0;

/// A rise below this is rounding of the model's floats.
const FLOOR: f64 = 1e-6;

/// An integral along a path that asks for its nodes round by round.
///
/// ```
/// use bie::explain::quadrature::Refinement;
/// let mut refinement = Refinement::new(0.01, 65);
/// while !refinement.pending().is_empty() {
///     // value and slope of a², from 0 to 1
///     let seen: Vec<(f64, f64)> = refinement.pending().iter().map(|a| (a * a, 2.0 * a)).collect();
///     refinement.report(&seen);
/// }
/// let rule = refinement.rule();
/// let integral: f64 = rule.nodes.iter().zip(&rule.weights).map(|(a, w)| w * 2.0 * a).sum();
/// assert!((integral - 1.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct Refinement {
    tolerance: f64,
    limit: usize,
    nodes: Vec<f64>,
    /// Value and slope at the first nodes; the rest are pending.
    seen: Vec<(f64, f64)>,
    cells: Vec<Cell>,
}

/// A stretch of the path: the indices of its first, middle and last node.
#[derive(Clone, Copy, Debug)]
struct Cell {
    ends: [usize; 3],
    width: f64,
}

impl Refinement {
    /// Starts with five nodes; goes on to at most `limit` nodes, until the relative error of the integral is at most `tolerance`.
    pub fn new(tolerance: f64, limit: usize) -> Self {
        let steps = 2 * CELLS;
        Self {
            tolerance,
            limit,
            nodes: (0..=steps).map(|i| i as f64 / steps as f64).collect(),
            seen: Vec::new(),
            cells: (0..CELLS)
                .map(|cell| Cell {
                    ends: [2 * cell, 2 * cell + 1, 2 * cell + 2],
                    width: 1.0 / CELLS as f64,
                })
                .collect(),
        }
    }

    /// The nodes to be evaluated now, in [0, 1]: 0 is the baseline, 1 the text. Empty when done.
    pub fn pending(&self) -> &[f64] {
        self.nodes.get(self.seen.len()..).unwrap_or_default()
    }

    /// Takes in value and slope (derivative of the value along the path) at the pending nodes, in their order, and decides what is next.
    pub fn report(&mut self, seen: &[(f64, f64)]) {
        self.seen.extend(seen.iter().take(self.pending().len()));
        if !self.pending().is_empty() || self.converged() {
            return;
        }
        let mut worst: Vec<(usize, f64)> = self
            .cells
            .iter()
            .map(|cell| self.miss(cell).abs())
            .map(|miss| if miss.is_nan() { f64::INFINITY } else { miss })
            .enumerate()
            .collect();
        worst.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let least = worst.first().map_or(0.0, |(_, miss)| TOGETHER * miss);
        let room = self.limit.saturating_sub(self.nodes.len()) / 2;
        for (index, _) in worst
            .into_iter()
            .take_while(|&(_, m)| m >= least)
            .take(room)
        {
            self.halve(index);
        }
    }

    /// The nodes so far, in the order in which they were asked for, and their weights.
    pub fn rule(&self) -> Rule {
        let mut weights = vec![0.0; self.nodes.len()];
        for cell in &self.cells {
            for (end, share) in cell.ends.into_iter().zip(SIMPSON) {
                if let Some(weight) = weights.get_mut(end) {
                    *weight += cell.width * share;
                }
            }
        }
        Rule {
            nodes: self.nodes.clone(),
            weights,
        }
    }

    /// The completeness error: how far the integral of the slope is from the rise of the value, relative to that rise.
    pub fn error(&self) -> f64 {
        let (miss, rise) = (self.total_miss().abs(), self.rise().abs());
        if miss == 0.0 { 0.0 } else { miss / rise }
    }

    fn converged(&self) -> bool {
        let allowed = (self.tolerance * self.rise().abs()).max(FLOOR);
        let apart: f64 = self.cells.iter().map(|cell| self.miss(cell).abs()).sum();
        self.total_miss().abs() <= allowed && apart <= SLACK * allowed
    }

    /// The value at the text less that at the baseline.
    fn rise(&self) -> f64 {
        self.at(2 * CELLS).0 - self.at(0).0
    }

    fn total_miss(&self) -> f64 {
        self.cells.iter().map(|cell| self.miss(cell)).sum()
    }

    /// The integral over the cell less the rise of the value there.
    fn miss(&self, cell: &Cell) -> f64 {
        let [first, middle, last] = cell.ends.map(|end| self.at(end));
        let integral: f64 = [first, middle, last]
            .iter()
            .zip(SIMPSON)
            .map(|((_, slope), share)| slope * share)
            .sum();
        cell.width * integral - (last.0 - first.0)
    }

    fn at(&self, node: usize) -> (f64, f64) {
        self.seen.get(node).copied().unwrap_or_default()
    }

    /// Makes two cells of one; asks for the middles of both.
    fn halve(&mut self, index: usize) {
        let next = self.nodes.len();
        let Some(cell) = self.cells.get_mut(index) else {
            return;
        };
        let [first, middle, last] = cell.ends;
        let Some(&at) = self.nodes.get(middle) else {
            return;
        };
        let width = cell.width / 2.0;
        *cell = Cell {
            ends: [first, next, middle],
            width,
        };
        self.cells.push(Cell {
            ends: [middle, next + 1, last],
            width,
        });
        self.nodes.extend([at - width / 2.0, at + width / 2.0]);
    }
}

/// Simpson's rule on a cell of width 1.
const SIMPSON: [f64; 3] = [1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::explain::random::Random;
    use std::f64::consts::PI;

    /// The reference: the Gauss-Legendre rule of `n` nodes, in ascending order: exact for polynomials of degree 2n − 1.
    ///
    /// Newton's iteration on the Legendre polynomial from Tricomi's approximation of its zeros.
    fn gauss_legendre(n: usize) -> Rule {
        let order = n as f64;
        let mut rule = Rule::default();
        for i in 0..n {
            let mut x = -(PI * (i as f64 + 0.75) / (order + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..16 {
                let (mut before, mut value) = (1.0, x);
                for k in 2..=n {
                    let k = k as f64;
                    (before, value) = (
                        value,
                        ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
                    );
                }
                slope = order * (x * value - before) / (x * x - 1.0);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            rule.nodes.push((1.0 + x) / 2.0);
            rule.weights.push(1.0 / ((1.0 - x * x) * slope * slope));
        }
        rule
    }

    fn integral(rule: &Rule, f: impl Fn(f64) -> f64) -> f64 {
        rule.nodes
            .iter()
            .zip(&rule.weights)
            .map(|(&a, w)| w * f(a))
            .sum()
    }

    /// Lets a refinement run along a path given by value and slope.
    fn run(tolerance: f64, limit: usize, path: impl Fn(f64) -> (f64, f64)) -> Refinement {
        let mut refinement = Refinement::new(tolerance, limit);
        while !refinement.pending().is_empty() {
            let seen: Vec<(f64, f64)> = refinement.pending().iter().map(|&a| path(a)).collect();
            refinement.report(&seen);
        }
        refinement
    }

    /// Value and slope of a sigmoid at `centre`.
    fn sigmoid(slope: f64, centre: f64) -> impl Fn(f64) -> (f64, f64) {
        move |a| {
            let p = 1.0 / (1.0 + (-slope * (a - centre)).exp());
            (p, slope * p * (1.0 - p))
        }
    }

    #[test]
    fn gauss_legendre_by_the_book() {
        // Abramowitz and Stegun, table 25.4, mapped to [0, 1].
        let known: [(usize, &[(f64, f64)]); 3] = [
            (1, &[(0.0, 2.0)]),
            (
                3,
                &[
                    (-0.774_596_669_241_483, 0.555_555_555_555_556),
                    (0.0, 0.888_888_888_888_889),
                    (0.774_596_669_241_483, 0.555_555_555_555_556),
                ],
            ),
            (
                4,
                &[
                    (-0.861_136_311_594_053, 0.347_854_845_137_454),
                    (-0.339_981_043_584_856, 0.652_145_154_862_546),
                    (0.339_981_043_584_856, 0.652_145_154_862_546),
                    (0.861_136_311_594_053, 0.347_854_845_137_454),
                ],
            ),
        ];
        for (n, expected) in known {
            let rule = gauss_legendre(n);
            assert_eq!(rule.nodes.len(), n);
            for ((node, weight), (x, w)) in rule.nodes.iter().zip(&rule.weights).zip(expected) {
                assert!((node - (1.0 + x) / 2.0).abs() < 1e-14);
                assert!((weight - w / 2.0).abs() < 1e-14);
            }
        }
        assert!(gauss_legendre(0).nodes.is_empty());
    }

    proptest! {
        #[test]
        fn gauss_legendre_is_exact_for_polynomials(n in 1usize..=64, degree in 0usize..128) {
            prop_assume!(degree < 2 * n);
            let found = integral(&gauss_legendre(n), |a| a.powi(degree as i32));
            prop_assert!((found - 1.0 / (degree + 1) as f64).abs() < 1e-13);
        }

        #[test]
        fn every_refinement_is_exact_for_cubics(
            c in proptest::collection::vec(-1.0f64..1.0, 4), slope in 5.0f64..60.0, centre in 0.0f64..1.0,
        ) {
            let rule = run(0.001, 65, sigmoid(slope, centre)).rule();
            prop_assert!((rule.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let found = integral(&rule, |a| c[0] + a * (c[1] + a * (c[2] + a * c[3])));
            prop_assert!((found - (c[0] + c[1] / 2.0 + c[2] / 3.0 + c[3] / 4.0)).abs() < 1e-12);
        }

        #[test]
        fn the_error_is_that_of_its_rule(slope in 1.0f64..60.0, centre in 0.0f64..1.0) {
            let path = sigmoid(slope, centre);
            let refinement = run(0.01, 65, &path);
            let rise = path(1.0).0 - path(0.0).0;
            let error = (integral(&refinement.rule(), |a| path(a).1) - rise).abs() / rise.abs();
            prop_assert!((refinement.error() - error).abs() < 1e-9);
            prop_assert!(error <= 0.01 || refinement.rule().nodes.len() >= 64);
        }

        #[test]
        fn it_ends_whatever_it_is_told(limit in 0usize..80, values in proptest::collection::vec(proptest::num::f64::ANY, 200)) {
            let mut values = values.chunks(2).map(|v| (v[0], v[1])).cycle();
            let mut refinement = Refinement::new(0.01, limit);
            for _ in 0..100 {
                let seen: Vec<(f64, f64)> = values.by_ref().take(refinement.pending().len()).collect();
                refinement.report(&seen);
            }
            prop_assert!(refinement.pending().is_empty());
            prop_assert!(refinement.rule().nodes.len() <= limit.max(5));
        }
    }

    #[test]
    fn nodes_needed_for_steep_paths() {
        // One sigmoid, or two of either sign: nodes for a tolerance, and the error of one word whose share changes along the path.
        let mut random = Random::new(11);
        let mut between = |low: f64, high: f64| {
            low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
        };
        for (tolerance, sigmoids, mean, most) in [
            (0.05, 1, 10.5, 17),
            (0.01, 1, 14.0, 23),
            (0.05, 2, 12.5, 23),
            (0.01, 2, 17.0, 31),
        ] {
            let (mut nodes, mut errors) = (Vec::new(), Vec::new());
            while nodes.len() < 2000 {
                let first = sigmoid(between(5.0, 60.0), between(0.0, 1.0));
                let second = sigmoid(between(5.0, 60.0), between(0.0, 1.0));
                let scale = if sigmoids == 2 {
                    between(-0.6, 0.6)
                } else {
                    0.0
                };
                let path = |a: f64| {
                    (
                        first(a).0 + scale * second(a).0,
                        first(a).1 + scale * second(a).1,
                    )
                };
                let rise = path(1.0).0 - path(0.0).0;
                if rise.abs() < 0.05 {
                    continue;
                }
                let refinement = run(tolerance, 129, path);
                assert!(refinement.error() <= tolerance);
                let rule = refinement.rule();
                nodes.push(rule.nodes.len());
                let word = |a: f64| path(a).1 * (3.0 * a).cos();
                errors.push(
                    (integral(&rule, word) - integral(&gauss_legendre(128), word)).abs()
                        / rise.abs(),
                );
            }
            nodes.sort_unstable();
            errors.sort_by(f64::total_cmp);
            let average = nodes.iter().sum::<usize>() as f64 / 2000.0;
            println!(
                "tolerance {tolerance}, {sigmoids} sigmoids: nodes mean {average:.1} median {} p99 {} most {}; a word's error median {:.4} p99 {:.4}",
                nodes[1000], nodes[1980], nodes[1999], errors[1000], errors[1980]
            );
            assert!(average < mean && nodes[1980] <= most);
            assert!(errors[1000] < tolerance / 2.0);
        }
    }

    #[test]
    fn flat_and_straight_paths_take_five() {
        assert_eq!(run(0.01, 65, |_| (0.3, 0.0)).rule().nodes.len(), 5);
        let straight = run(0.01, 65, |a| (a, 1.0));
        assert_eq!(straight.rule().nodes.len(), 5);
        assert!(straight.error() < 1e-12);
    }

    #[test]
    fn a_gradient_that_does_not_fit_its_value_runs_to_the_limit() {
        let refinement = run(0.01, 33, |a| (a, 2.0));
        assert!((32..=33).contains(&refinement.rule().nodes.len()));
        assert!((refinement.error() - 1.0).abs() < 1e-12);
    }
}
