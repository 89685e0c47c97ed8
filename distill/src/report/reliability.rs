//! Are scores probabilities? Of the decisions scored about 0.8, 80 % should be right. What is drawn is measured in [`crate::calibration`].

use bie::bundle::Manifest;
use serde::Serialize;

use super::html::{self, Cell, Table};
use super::svg::{self, Point};
use crate::calibration::LEAST_CANDIDATE;
use crate::calibration::reliability::{Scored, reliability};
use crate::calibration::report::{self, ALL, Kind, Reliability};
use crate::eval::{Measured, canonical};
use crate::metrics::{Span, Triple};

/// The curve of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The type.
    pub name: String,
    /// What is decided.
    pub of: Kind,
    /// As the bundle is.
    pub now: Reliability,
    /// As it was before it was calibrated, if it was. Both are cross-fitted then.
    pub before: Option<Reliability>,
}

impl Curve {
    /// What the curve is of, in words.
    pub fn title(&self) -> String {
        let of = match self.of {
            Kind::Entities => "mentions",
            Kind::GoldEntities => "between gold entities",
            Kind::EndToEnd => "end to end",
        };
        format!("{}, {of}", self.name)
    }
}

/// From what the bundle's calibration measured on parts that it was not fitted on: what is reported.
pub fn cross_fitted(calibration: &report::Report) -> Vec<Curve> {
    let shown = calibration.measured.iter().filter(|m| m.name != ALL);
    let curve = |m: &report::Measured| Curve {
        name: m.name.clone(),
        of: m.kind,
        now: m.after.reported.clone(),
        before: Some(m.before.reported.clone()),
    };
    shown.map(curve).collect()
}

/// Every type that decisions were made about: reported mentions, and pairs of gold entities with a score that is worth a look.
pub fn curves(manifest: &Manifest, measured: &Measured) -> Vec<Curve> {
    let types = manifest.entities.len().max(1);
    // By type, then by document: the decisions of one document depend on each other.
    let mut entities = vec![Vec::new(); manifest.entities.len()];
    let mut relations = vec![Vec::new(); manifest.relations.len()];
    for document in &measured.documents {
        let mut scored: Vec<Vec<Scored>> = vec![Vec::new(); entities.len()];
        for e in &document.extraction.entities {
            let (start, end, label) = (e.start as usize, e.end as usize, e.label as usize);
            let right = document
                .gold
                .mentions
                .contains_key(&Span { start, end, label });
            if let Some(scored) = scored.get_mut(label) {
                scored.push((f64::from(e.score), f64::from(u8::from(right))));
            }
        }
        entities
            .iter_mut()
            .zip(scored)
            .for_each(|(all, here): (&mut Vec<_>, _)| all.push(here));
        let mut scored: Vec<Vec<Scored>> = vec![Vec::new(); relations.len()];
        for pair in &document.pairs {
            let (head, tail) = (pair.head / types, pair.tail / types);
            let of_pair = pair.probabilities.iter().skip(1).zip(&document.gold.known);
            for (label, (p, known)) in of_pair.enumerate() {
                let triple = canonical(manifest, Triple { head, tail, label });
                let right = document.gold.relations.contains(&triple);
                let worth = *known && *p >= LEAST_CANDIDATE;
                if let Some(scored) = scored.get_mut(label).filter(|_| worth) {
                    scored.push((f64::from(*p), f64::from(u8::from(right))));
                }
            }
        }
        relations
            .iter_mut()
            .zip(scored)
            .for_each(|(all, here): (&mut Vec<_>, _)| all.push(here));
    }
    let entities = manifest
        .entities
        .iter()
        .map(|e| (&e.name, Kind::Entities))
        .zip(entities);
    let relations = manifest
        .relations
        .iter()
        .map(|r| (&r.name, Kind::GoldEntities))
        .zip(relations);
    entities
        .chain(relations)
        .map(|((name, of), documents)| Curve {
            name: name.clone(),
            of,
            now: reliability(&documents),
            before: None,
        })
        .filter(|curve| curve.now.decisions > 0)
        .collect()
}

/// The section's body.
pub fn html(curves: &[Curve]) -> String {
    if curves.is_empty() {
        return String::new();
    }
    let fitted = curves.iter().any(|curve| curve.before.is_some());
    let mut out = html::note(
        "Where the line follows the dashed diagonal, a score is the probability of being right. Below it the bundle is too sure, above it not sure enough. Grey columns: where its decisions are.",
    );
    out.push_str(&html::note(&if fitted {
        "What is reported, measured on each part of the documents by what was fitted on the others.".to_owned()
    } else {
        format!("The bundle is not calibrated. Reported mentions; pairs of gold entities scored at least {LEAST_CANDIDATE}.")
    }));
    out.push_str("<div class=\"figures\">\n");
    for curve in curves {
        let points: Vec<Point> = curve
            .now
            .bins
            .iter()
            .map(|bin| Point {
                score: bin.score,
                right: bin.right,
                count: bin.count,
            })
            .collect();
        let before = curve.before.as_ref().and_then(|b| b.ece);
        let before = before.map_or(String::new(), |e| format!(" (before: {:.3})", e.value));
        out.push_str(&html::figure(
            &curve.title(),
            &format!(
                "expected calibration error {}{before}; share right by score, {} decisions",
                curve
                    .now
                    .ece
                    .map_or("–".to_owned(), |e| format!("{:.3}", e.value)),
                html::count(curve.now.decisions)
            ),
            &svg::reliability(&points),
        ));
    }
    out.push_str("</div>\n");
    let error = |r: Option<&Reliability>| {
        let ece = r.and_then(|r| r.ece);
        ece.map_or(String::new(), |e| {
            format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high)
        })
    };
    let row = |curve: &Curve| {
        let mut cells = vec![error(Some(&curve.now))];
        cells.extend(fitted.then(|| error(curve.before.as_ref())));
        cells.push(html::count(curve.now.decisions));
        (curve.title(), cells.into_iter().map(Cell::Number).collect())
    };
    let mut head = vec!["type", "calibration error"];
    head.extend(fitted.then_some("before"));
    head.push("decisions");
    let table = Table {
        caption: "Expected calibration error over 15 bins, with its 95 % interval over documents"
            .to_owned(),
        head: head.into_iter().map(str::to_owned).collect(),
        rows: curves.iter().map(row).collect(),
        ..Table::default()
    };
    out.push_str(&table.html());
    let bins = |curve: &'_ Curve| -> Vec<(String, Vec<Cell>)> {
        let cells = |bin: &report::Bin| {
            let cells = [
                format!("{:.3}", bin.score),
                format!("{:.3}", bin.right),
                html::count(bin.count),
            ];
            (curve.title(), cells.map(Cell::Number).to_vec())
        };
        curve.now.bins.iter().map(cells).collect()
    };
    let table = Table {
        caption: "The points of the curves".to_owned(),
        head: ["type", "mean score", "share right", "decisions"]
            .map(str::to_owned)
            .to_vec(),
        rows: curves.iter().flat_map(bins).collect(),
        ..Table::default()
    };
    out.push_str(&table.folded("The curves as numbers"));
    out
}
