//! Are scores probabilities? Of the decisions scored about 0.8, 80 % should be right.
//!
//! Bins of equal width and the expected calibration error: Guo et al. 2017, arXiv:1706.04599.

use bie::bundle::Manifest;
use serde::Serialize;

use super::html::{self, Cell, Table};
use super::svg::{self, Point};
use crate::eval::{Measured, canonical};
use crate::metrics::{Span, Triple};

/// Bins of equal width.
const BINS: usize = 10;

/// One bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Decisions whose score lies in it.
    pub count: usize,
    /// Their mean score.
    pub score: f64,
    /// The share of them that is right.
    pub right: f64,
}

/// The curve of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// The type.
    pub name: String,
    /// "entities" (mentions as reported) or "relations" (all scored pairs of gold entities).
    pub of: &'static str,
    /// Decisions.
    pub count: usize,
    /// Mean distance of score and share that is right, weighted by decisions.
    pub expected_calibration_error: f64,
    /// [`BINS`] of equal width over 0 to 1.
    pub bins: Vec<Bin>,
}

impl Reliability {
    /// From scores and whether each decision is right.
    pub fn new(name: &str, of: &'static str, decisions: &[(f32, bool)]) -> Reliability {
        let mut bins = vec![Bin::default(); BINS];
        for (score, right) in decisions {
            let at = ((f64::from(*score) * BINS as f64) as usize).min(BINS - 1);
            if let Some(bin) = bins.get_mut(at) {
                bin.count += 1;
                let n = bin.count as f64;
                bin.score += (f64::from(*score) - bin.score) / n;
                bin.right += (f64::from(u8::from(*right)) - bin.right) / n;
            }
        }
        let all = decisions.len().max(1) as f64;
        let error = bins
            .iter()
            .map(|bin| bin.count as f64 / all * (bin.score - bin.right).abs())
            .sum();
        for bin in &mut bins {
            bin.score = rounded(bin.score);
            bin.right = rounded(bin.right);
        }
        Reliability {
            name: name.to_owned(),
            of,
            count: decisions.len(),
            expected_calibration_error: rounded(error),
            bins,
        }
    }
}

fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Every type that decisions were made about.
pub fn reliability(manifest: &Manifest, measured: &Measured) -> Vec<Reliability> {
    let mut entities: Vec<Vec<(f32, bool)>> = vec![Vec::new(); manifest.entities.len()];
    let mut relations: Vec<Vec<(f32, bool)>> = vec![Vec::new(); manifest.relations.len()];
    let types = manifest.entities.len().max(1);
    for document in &measured.documents {
        for e in &document.extraction.entities {
            let span = Span {
                start: e.start as usize,
                end: e.end as usize,
                label: e.label as usize,
            };
            if let Some(decisions) = entities.get_mut(span.label) {
                decisions.push((e.score, document.gold.mentions.contains_key(&span)));
            }
        }
        for pair in &document.pairs {
            let (head, tail) = (pair.head / types, pair.tail / types);
            let scored = pair.probabilities.iter().skip(1).zip(&document.gold.known);
            for (label, (p, _)) in scored
                .enumerate()
                .filter(|(_, (p, known))| **p > 0.0 && **known)
            {
                let triple = canonical(manifest, Triple { head, tail, label });
                if let Some(decisions) = relations.get_mut(label) {
                    decisions.push((*p, document.gold.relations.contains(&triple)));
                }
            }
        }
    }
    let entities = manifest.entities.iter().map(|e| &e.name).zip(&entities);
    let relations = manifest.relations.iter().map(|r| &r.name).zip(&relations);
    entities
        .map(|(name, decisions)| (name, "entities", decisions))
        .chain(relations.map(|(name, decisions)| (name, "relations", decisions)))
        .filter(|(.., decisions)| !decisions.is_empty())
        .map(|(name, of, decisions)| Reliability::new(name, of, decisions))
        .collect()
}

/// The section's body.
pub fn html(curves: &[Reliability]) -> String {
    if curves.is_empty() {
        return String::new();
    }
    let mut out = html::note(
        "Where the line follows the dashed diagonal, a score is the probability of being right. Below it the bundle is too sure, above it not sure enough. Grey columns: where its decisions are.",
    );
    out.push_str("<div class=\"figures\">\n");
    for curve in curves {
        let points: Vec<Point> = curve
            .bins
            .iter()
            .filter(|bin| bin.count > 0)
            .map(|bin| Point {
                score: bin.score,
                right: bin.right,
                count: bin.count,
            })
            .collect();
        out.push_str(&html::figure(
            &format!("{} ({})", curve.name, curve.of),
            &format!(
                "expected calibration error {:.3}; share right (up) by score (across), {} decisions",
                curve.expected_calibration_error,
                html::count(curve.count)
            ),
            &svg::reliability(&points),
        ));
    }
    out.push_str("</div>\n");
    let row = |(curve, bin): (&Reliability, &Bin)| {
        let cells = [
            format!("{:.3}", bin.score),
            format!("{:.3}", bin.right),
            html::count(bin.count),
        ];
        (curve.name.clone(), cells.map(Cell::Number).to_vec())
    };
    let bins = |curve: &'_ Reliability| -> Vec<(String, Vec<Cell>)> {
        let filled = curve.bins.iter().filter(|bin| bin.count > 0);
        filled.map(|bin| row((curve, bin))).collect()
    };
    let table = Table {
        caption: "The points of the curves".to_owned(),
        head: ["type", "mean score", "share right", "decisions"]
            .map(str::to_owned)
            .to_vec(),
        rows: curves.iter().flat_map(bins).collect(),
        ..Table::default()
    };
    out.push_str(&table.folded("The same as numbers"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bin 0.8: scores 0.8, 0.85 (mean 0.825), one of two right; bin 0.1: 0.1, wrong. ECE = 2/3 · 0.325 + 1/3 · 0.1 = 0.25.
    #[test]
    fn the_error_is_the_weighted_distance_from_the_diagonal() {
        let curve = Reliability::new("a", "entities", &[(0.8, true), (0.85, false), (0.1, false)]);
        assert!(
            (curve.expected_calibration_error - 0.25).abs() < 1e-6,
            "{curve:?}"
        );
        assert_eq!((curve.bins[8].count, curve.bins[1].count), (2, 1));
        let sure = Reliability::new("a", "entities", &[(1.0, true)]);
        assert_eq!(
            (sure.bins[9].count, sure.expected_calibration_error),
            (1, 0.0)
        );
        assert_eq!(
            Reliability::new("a", "entities", &[]).expected_calibration_error,
            0.0
        );
    }
}
