//! How sure a teacher may be: temperature and bias of its stated probabilities, fitted on documents with gold (Platt 1999; Guo et al. 2017).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Labels, NONE};
use crate::corpus::{self, Document};
use crate::dataset::mapped;
use crate::error::{Error, Result};
use crate::recipe::{Recipe, likeliest, logit};

/// Statements that a fit needs.
const LEAST: usize = 20;

/// Pulls temperature and bias toward 1 and 0 when statements are few, and keeps the fit finite when all are right.
const RIDGE: f64 = 1.0;

/// Fits every teacher of the recipe that asks for it, and writes temperature and bias into the recipe. Says what it found.
///
/// # Errors
/// A file is bad, or holds too few statements about documents with gold.
pub fn fit(recipe: &mut Recipe) -> Result<()> {
    for n in 0..recipe.teachers.len() {
        let Some((source, gold)) = recipe
            .teachers
            .get(n)
            .and_then(|source| Some((source, source.calibrate_on.as_ref()?)))
        else {
            continue;
        };
        let path = recipe.resolve(&source.path);
        let documents =
            corpus::read(&recipe.resolve(&gold.path), gold.format, &gold.options)?.documents;
        let labels = documents.iter().flat_map(|d| {
            let mentions = d.mentions.iter().map(|m| &m.label);
            mentions.chain(d.relations.iter().map(|r| &r.label))
        });
        let comparison = Comparison {
            theirs: &source.map,
            ours: &gold.map,
            known: labels.map(|label| mapped(&gold.map, label)).collect(),
        };
        let documents: HashMap<&str, &Document> =
            documents.iter().map(|d| (d.id.as_str(), d)).collect();
        let mut statements = Vec::new();
        for labels in super::read(&path)? {
            let document = documents.get(labels.id.as_str());
            if let Some(document) = document.filter(|d| d.text == labels.text) {
                comparison.collect(&labels, document, &mut statements);
            }
        }
        if statements.len() < LEAST {
            let why = format!(
                "{} statements about the documents of calibrate_on can be compared with gold; {LEAST} are the least to fit on",
                statements.len()
            );
            return Err(Error::file(&path, why));
        }
        let (temperature, bias) = fitted(&statements);
        let count = statements.len() as f32;
        let stated = statements.iter().map(|(p, _)| p).sum::<f32>() / count;
        let right = statements.iter().filter(|(_, right)| *right).count() as f32 / count;
        eprintln!(
            "distill: {}: {} statements, {stated:.3} sure on average, {right:.3} right; temperature {temperature:.3}, bias {bias:.3}",
            path.display(),
            statements.len()
        );
        if let Some(source) = recipe.teachers.get_mut(n) {
            (source.temperature, source.bias) = (temperature, bias);
        }
    }
    Ok(())
}

/// A teacher's labels against gold's.
struct Comparison<'a> {
    theirs: &'a BTreeMap<String, String>,
    ours: &'a BTreeMap<String, String>,
    /// Types that gold has somewhere.
    known: HashSet<&'a str>,
}

impl Comparison<'_> {
    /// What the teacher states about a document, and whether gold agrees: the likeliest label of every listed pair of concepts, where gold knows
    /// that label, and every span of a type that gold knows.
    fn collect(&self, labels: &Labels, document: &Document, statements: &mut Vec<(f32, bool)>) {
        for pair in labels.pairs.iter().flat_map(|p| &p.pairs) {
            let Some((label, p)) = likeliest(&pair.probabilities) else {
                continue;
            };
            let label = mapped(self.theirs, label);
            let mut between = document.relations.iter().filter(|r| {
                let ends = [(&r.head, &r.tail), (&r.tail, &r.head)];
                ends.contains(&(&pair.head, &pair.tail))
            });
            if label == NONE {
                statements.push((p, between.next().is_none()));
            } else if self.known.contains(label) {
                statements.push((p, between.any(|r| mapped(self.ours, &r.label) == label)));
            }
        }
        for e in &labels.entities {
            let label = mapped(self.theirs, &e.label);
            let right = document
                .mentions
                .iter()
                .any(|m| (m.start..m.end) == e.span && mapped(self.ours, &m.label) == label);
            if self.known.contains(label) {
                statements.push((e.probability, right));
            }
        }
    }
}

/// Temperature and bias that make the statements likeliest: logistic regression on the logit by Newton's method.
fn fitted(statements: &[(f32, bool)]) -> (f32, f32) {
    let (mut slope, mut bias) = (1.0f64, 0.0f64);
    for _ in 0..50 {
        let mut gradient = [RIDGE * (slope - 1.0), RIDGE * bias];
        let mut curvature = [RIDGE, 0.0, RIDGE];
        for (p, right) in statements {
            let x = f64::from(logit(*p));
            let q = 1.0 / (1.0 + (-(slope * x + bias)).exp());
            let (error, weight) = (q - f64::from(u8::from(*right)), q * (1.0 - q));
            let [g, h] = &mut gradient;
            (*g, *h) = (*g + error * x, *h + error);
            let [a, b, c] = &mut curvature;
            (*a, *b, *c) = (*a + weight * x * x, *b + weight * x, *c + weight);
        }
        let ([g, h], [a, b, c]) = (gradient, curvature);
        let determinant = a * c - b * b;
        let (step, shift) = ((c * g - b * h) / determinant, (a * h - b * g) / determinant);
        // A map of confidence must rise.
        slope = (slope - step).clamp(0.05, 20.0);
        bias = (bias - shift).clamp(-20.0, 20.0);
        if step.abs() + shift.abs() < 1e-9 {
            break;
        }
    }
    ((1.0 / slope) as f32, bias as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::TeacherSource;

    /// 0.95 stated and 0.85 observed, 0.8 and 0.7, 0.6 and 0.5: the map comes near all three.
    #[test]
    fn a_teacher_that_is_too_sure_is_brought_down() {
        let mut statements = Vec::new();
        for (stated, observed) in [(0.95, 850), (0.8, 700), (0.6, 500)] {
            statements.extend((0..1000).map(|n| (stated, n < observed)));
        }
        let (temperature, bias) = fitted(&statements);
        let source: TeacherSource = toml::from_str(&format!(
            "path = \"x\"\ntemperature = {temperature}\nbias = {bias}"
        ))
        .unwrap();
        for (stated, observed) in [(0.95, 0.85), (0.8, 0.7), (0.6, 0.5)] {
            let found = source.calibrated(stated);
            assert!((found - observed).abs() < 0.03, "{stated}: {found}");
        }
        let stated = [("none", 0.04), ("a", 0.95), ("b", 0.01)];
        let stated = stated.map(|(l, p)| (l.to_owned(), p)).into();
        let taken = source.calibrated_distribution(&stated);
        assert!((taken.values().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(
            (taken["a"] - 0.85).abs() < 0.03 && (taken["none"] / taken["b"] - 4.0).abs() < 1e-3
        );
    }

    #[test]
    fn few_or_unanimous_statements_move_little_and_stay_finite() {
        let (temperature, bias) = fitted(&[(0.9, true); 20]);
        assert!((0.3..1.5).contains(&temperature) && bias.abs() < 2.0);
        let (temperature, bias) = fitted(&[(1.0, false); 500]);
        assert!(temperature > 0.0 && temperature.is_finite() && bias.is_finite());
    }
}
