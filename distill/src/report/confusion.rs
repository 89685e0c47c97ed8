//! What is taken for what: entity types, with wrong boundaries counted apart, and relation labels.

use std::collections::BTreeSet;

use bie::bundle::Manifest;
use serde::Serialize;

use super::html::{self, Cell, Table};
use crate::eval::{Measured, Observed, canonical};
use crate::metrics::{Span, Triple};
use crate::teacher::NONE;

/// Gold labels (rows) against predicted labels (columns); the last of both is "none".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The labels, "none" at the end.
    pub labels: Vec<String>,
    /// `[gold][predicted]`.
    pub cells: Vec<Vec<usize>>,
}

impl Matrix {
    fn new<'a>(names: impl Iterator<Item = &'a String>) -> Matrix {
        let mut labels: Vec<String> = names.cloned().collect();
        labels.push(NONE.to_owned());
        Matrix {
            cells: vec![vec![0; labels.len()]; labels.len()],
            labels,
        }
    }

    /// Counts one decision; no label is "none".
    fn count(&mut self, gold: Option<usize>, predicted: Option<usize>) {
        let none = self.labels.len() - 1;
        if let Some(cell) = self
            .cells
            .get_mut(gold.unwrap_or(none))
            .and_then(|row| row.get_mut(predicted.unwrap_or(none)))
        {
            *cell += 1;
        }
    }

    /// Counts what is left of two sets of labels on one thing: equal labels are right, the others are taken for each other in their order.
    fn match_up(&mut self, gold: &BTreeSet<usize>, predicted: &BTreeSet<usize>) {
        gold.intersection(predicted)
            .for_each(|label| self.count(Some(*label), Some(*label)));
        let mut wrong = predicted.difference(gold);
        for missed in gold.difference(predicted) {
            self.count(Some(*missed), wrong.next().copied());
        }
        wrong.for_each(|label| self.count(None, Some(*label)));
    }

    /// The matrix as a table; shades compare the cells of a row.
    fn table(&self, caption: &str) -> Table {
        let none = self.labels.len() - 1;
        let mut head = vec!["gold \\ predicted".to_owned()];
        head.extend(self.labels.iter().cloned());
        let row = |(gold, cells): (usize, &Vec<usize>)| {
            let all: usize = cells.iter().sum();
            let cell = |(predicted, n): (usize, &usize)| {
                let share = *n as f64 / all.max(1) as f64;
                let level = match share {
                    _ if gold == none && predicted == none => 0,
                    _ if share >= 0.5 => 3,
                    _ if share >= 0.15 => 2,
                    _ if share >= 0.03 => 1,
                    _ => 0,
                };
                let kind = if gold == predicted { "right" } else { "wrong" };
                Cell::Shaded(html::count(*n), kind, level)
            };
            let cells = cells.iter().enumerate().map(cell).collect();
            let name = self.labels.get(gold).cloned().unwrap_or_default();
            (name, cells)
        };
        Table {
            caption: caption.to_owned(),
            head,
            rows: self.cells.iter().enumerate().map(row).collect(),
            class: "matrix",
            ..Table::default()
        }
    }
}

/// Both matrices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Mentions by exact span. Gold "none" is what was found where there is nothing of any type; ("none", "none") is not counted.
    pub entities: Matrix,
    /// `[K]`: mentions found with the right type and the wrong boundaries; they are in no cell of `entities`.
    pub boundaries: Vec<usize>,
    /// Pairs of gold entities whose gold is known.
    pub relations: Matrix,
    /// Gold relations whose entities no window holds together: counted as missed.
    pub apart: usize,
}

/// Counts over all documents.
pub fn confusion(manifest: &Manifest, measured: &Measured) -> Confusion {
    let mut c = Confusion {
        entities: Matrix::new(manifest.entities.iter().map(|e| &e.name)),
        boundaries: vec![0; manifest.entities.len()],
        relations: Matrix::new(manifest.relations.iter().map(|r| &r.name)),
        apart: 0,
    };
    for document in &measured.documents {
        entities(&mut c, document);
        relations(&mut c, manifest, document);
    }
    c
}

fn entities(c: &mut Confusion, document: &Observed) {
    let found = document.extraction.entities.iter().map(|e| Span {
        start: e.start as usize,
        end: e.end as usize,
        label: e.label as usize,
    });
    let (gold, found): (BTreeSet<Span>, BTreeSet<Span>) = (
        document.gold.mentions.keys().copied().collect(),
        found.collect(),
    );
    for span in gold.intersection(&found) {
        c.entities.count(Some(span.label), Some(span.label));
    }
    let mut wrong: BTreeSet<Span> = found.difference(&gold).copied().collect();
    let mut missed: Vec<Span> = gold.difference(&found).copied().collect();
    // The same bytes with another type.
    missed.retain(|gold| {
        let other = wrong
            .iter()
            .find(|w| (w.start, w.end) == (gold.start, gold.end))
            .copied();
        if let Some(other) = other {
            wrong.remove(&other);
            c.entities.count(Some(gold.label), Some(other.label));
        }
        other.is_none()
    });
    // The same type with other boundaries.
    missed.retain(|gold| {
        let other = wrong
            .iter()
            .find(|w| w.label == gold.label && w.start < gold.end && gold.start < w.end)
            .copied();
        if let (Some(other), Some(count)) = (other, c.boundaries.get_mut(gold.label)) {
            wrong.remove(&other);
            *count += 1;
        }
        other.is_none()
    });
    missed
        .iter()
        .for_each(|gold| c.entities.count(Some(gold.label), None));
    wrong
        .iter()
        .for_each(|found| c.entities.count(None, Some(found.label)));
}

fn relations(c: &mut Confusion, manifest: &Manifest, document: &Observed) {
    let types = manifest.entities.len().max(1);
    let known = |label: usize| document.gold.known.get(label) == Some(&true);
    let labels = |triples: &BTreeSet<Triple>, (head, tail): (usize, usize)| -> BTreeSet<usize> {
        (0..manifest.relations.len())
            .filter(|label| known(*label))
            .filter(|&label| triples.contains(&canonical(manifest, Triple { head, tail, label })))
            .collect()
    };
    let mut seen = BTreeSet::new();
    for pair in &document.pairs {
        let ends = (pair.head / types, pair.tail / types);
        // A relation that is scored in no direction between these types says nothing here.
        let judged = pair
            .probabilities
            .iter()
            .skip(1)
            .enumerate()
            .any(|(label, p)| *p > 0.0 && known(label));
        if !judged || !seen.insert(ends) {
            continue;
        }
        let (gold, predicted) = (
            labels(&document.gold.relations, ends),
            labels(&document.related, ends),
        );
        if gold.is_empty() && predicted.is_empty() {
            c.relations.count(None, None);
        }
        c.relations.match_up(&gold, &predicted);
    }
    for gold in &document.gold.relations {
        if !seen.contains(&(gold.head, gold.tail)) && !seen.contains(&(gold.tail, gold.head)) {
            c.relations.count(Some(gold.label), None);
            c.apart += 1;
        }
    }
}

impl Confusion {
    /// The section's body.
    pub fn html(&self, gold_from: &[(String, &'static str)]) -> String {
        let mut out = html::heading("Entities");
        out.push_str(
            &self
                .entities
                .table("Mentions by exact bytes: what people marked (rows) against what the bundle found (columns)")
                .html(),
        );
        let boundaries: Vec<String> = self
            .entities
            .labels
            .iter()
            .zip(&self.boundaries)
            .map(|(name, n)| format!("{name} {}", html::count(*n)))
            .collect();
        out.push_str(&html::paragraph(&format!(
            "Right type, wrong boundaries (in no cell above; each is one miss and one false alarm in the figures): {}.",
            boundaries.join(", ")
        )));
        if self.relations.labels.len() > 1 {
            out.push_str(&html::heading("Relations between gold entities"));
            out.push_str(
                &self
                    .relations
                    .table("Pairs of concepts of one document: what holds (rows) against what the bundle says (columns)")
                    .html(),
            );
            let from_labels: Vec<&str> = gold_from
                .iter()
                .filter(|(_, from)| *from == "labels")
                .map(|(name, _)| name.as_str())
                .collect();
            if !from_labels.is_empty() {
                out.push_str(&html::note(&format!(
                    "The corpus does not know {}: there the teacher's labels stand in for gold.",
                    from_labels.join(", ")
                )));
            }
            if self.apart > 0 {
                out.push_str(&html::note(&format!(
                    "{} relations are missed because no window holds both entities.",
                    self.apart
                )));
            }
        }
        out
    }
}
