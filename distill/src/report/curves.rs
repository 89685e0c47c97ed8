//! How the training went: the loss of each term by epoch, and the learning rate's course.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::html::{self, Cell, Table};
use super::svg;
use crate::recipe::Training;
use crate::schedule;

/// Points of the learning rate's course.
const POINTS: u64 = 60;

/// The curves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// The mean loss of every epoch, by term; as trained, its weight included.
    pub losses: BTreeMap<String, Vec<f64>>,
    /// Steps of all epochs.
    pub steps: u64,
    /// The factor of the peak rates: epoch (a fraction of epochs done) and factor.
    pub course: Vec<(f64, f64)>,
}

impl Curves {
    /// From what a manifest's provenance keeps: an array of objects, one an epoch, a number each term and "steps".
    pub fn new(losses: &Value, training: &Training) -> Curves {
        let epochs: Vec<&Value> = losses.as_array().into_iter().flatten().collect();
        let mut curves = Curves::default();
        for (n, epoch) in epochs.iter().enumerate() {
            for (name, value) in epoch.as_object().into_iter().flatten() {
                match value.as_f64() {
                    Some(steps) if name == "steps" => curves.steps += steps as u64,
                    Some(loss) => {
                        let term = curves.losses.entry(name.clone()).or_default();
                        term.resize(n, 0.0); // a term that was not there in earlier epochs
                        term.push((loss * 1e6).round() / 1e6);
                    }
                    None => {}
                }
            }
        }
        let total = curves.steps;
        let points = POINTS.min(total);
        curves.course = (0..=points)
            .filter(|_| total > 0)
            .map(|n| {
                let step = total * n / points;
                let epoch = step as f64 / total as f64 * f64::from(training.epochs);
                let factor = schedule::factor(step, total, training.warmup);
                (
                    (epoch * 1e4).round() / 1e4,
                    (f64::from(factor) * 1e6).round() / 1e6,
                )
            })
            .collect();
        curves
    }

    /// The section's body.
    pub fn html(&self, training: &Training) -> String {
        let mut out = String::from("<div class=\"figures\">\n");
        // A term that is nothing everywhere was not part of this training.
        let terms: Vec<(&String, &Vec<f64>)> = self
            .losses
            .iter()
            .filter(|(_, values)| values.iter().any(|v| *v != 0.0))
            .collect();
        for (name, values) in &terms {
            let points: Vec<(f64, f64)> = values
                .iter()
                .enumerate()
                .map(|(n, value)| (n as f64 + 1.0, *value))
                .collect();
            let ends = match (values.first(), values.last()) {
                (Some(first), Some(last)) => format!("{first:.4} to {last:.4}"),
                _ => String::new(),
            };
            out.push_str(&html::figure(
                &format!("Loss: {name}"),
                &format!("mean of each epoch, {ends}"),
                &svg::line(&points, "epoch"),
            ));
        }
        if !self.course.is_empty() {
            let rate = f64::from(training.encoder_rate);
            let points: Vec<(f64, f64)> = self
                .course
                .iter()
                .map(|(at, factor)| (*at, factor * rate))
                .collect();
            out.push_str(&html::figure(
                "Learning rate of the encoder",
                &format!(
                    "peak {:e}; the heads' peak is {:e}",
                    training.encoder_rate, training.head_rate
                ),
                &svg::line(&points, "epoch"),
            ));
        }
        out.push_str("</div>\n");
        let epochs = terms
            .iter()
            .map(|(_, values)| values.len())
            .max()
            .unwrap_or(0);
        let row = |epoch: usize| {
            let value = |(_, values): &(&String, &Vec<f64>)| {
                let value = values.get(epoch).map(|v| format!("{v:.5}"));
                Cell::Number(value.unwrap_or_default())
            };
            ((epoch + 1).to_string(), terms.iter().map(value).collect())
        };
        let mut head = vec!["epoch".to_owned()];
        head.extend(terms.iter().map(|(name, _)| (*name).clone()));
        let table = Table {
            caption: "Mean loss of each epoch, by term; weights included".to_owned(),
            head,
            rows: (0..epochs).map(row).collect(),
            ..Table::default()
        };
        out.push_str(&table.folded("The same as numbers"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_term_has_its_curve() {
        let training: Training = serde_json::from_value(json!({
            "epochs": 2, "batch_documents": 1, "encoder_rate": 1e-4, "head_rate": 1e-3, "warmup": 0.5
        }))
        .unwrap();
        let losses = json!([
            {"entities": 2.0, "gold": 0.0, "steps": 10},
            {"entities": 1.0, "gold": 0.0, "feature": 0.5, "steps": 10},
        ]);
        let curves = Curves::new(&losses, &training);
        assert_eq!(curves.losses["entities"], [2.0, 1.0]);
        assert_eq!(curves.losses["feature"], [0.0, 0.5]);
        assert_eq!(curves.steps, 20);
        assert_eq!(curves.course.first(), Some(&(0.0, 0.1)));
        assert_eq!(curves.course.last(), Some(&(2.0, 0.0)));
        let html = curves.html(&training);
        assert!(html.contains("Loss: entities") && html.contains("Loss: feature"));
        assert!(!html.contains("Loss: gold"), "it was not trained with");
        assert_eq!(Curves::new(&Value::Null, &training).course, []);
    }
}
