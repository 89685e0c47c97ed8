//! What an update cost: the old bundle and the new one, measured on the same documents.

use std::fmt;

use serde_json::{Value, json};

use crate::eval::Report;
use crate::metrics::Scores;

/// One figure before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The guard's documents, by name.
    pub on: String,
    /// What was measured: "entities", "relations, gold entities".
    pub task: &'static str,
    /// The type.
    pub name: String,
    /// F1 of the old bundle, 0 to 1; none if it did not know the type.
    pub before: Option<f64>,
    /// F1 of the new bundle, 0 to 1.
    pub after: f64,
    /// Number of gold elements.
    pub support: usize,
}

impl Row {
    /// F1 that was lost, 0 or more.
    pub fn lost(&self) -> f64 {
        self.before
            .map_or(0.0, |before| (before - self.after).max(0.0))
    }
}

/// Everything that was compared, and how much may be lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forgetting {
    /// Every type on every guard.
    pub rows: Vec<Row>,
    /// F1 that a type may lose, 0 to 1.
    pub allowed: f64,
}

impl Forgetting {
    /// Nothing compared yet.
    pub fn new(allowed: f64) -> Self {
        Forgetting {
            rows: Vec::new(),
            allowed,
        }
    }

    /// Takes in what both bundles did on the documents `on`.
    pub fn compare(&mut self, on: &str, before: &Report, after: &Report) {
        for (task, before, after) in [
            ("entities", &before.ner, &after.ner),
            (
                "relations, gold entities",
                &before.gold_entities,
                &after.gold_entities,
            ),
        ] {
            self.rows.extend(rows(on, task, before, after));
        }
    }

    /// What lost more than is allowed. F1 is a quotient of counts: a loss within rounding of the bound is not more.
    pub fn excess(&self) -> Vec<&Row> {
        let beyond = |row: &&Row| row.lost() > self.allowed + 1e-9;
        self.rows.iter().filter(beyond).collect()
    }

    /// For the manifest's provenance.
    pub fn json(&self) -> Value {
        let round = |x: f64| (x * 1e6).round() / 1e6;
        let row = |r: &Row| {
            json!({
                "on": r.on,
                "task": r.task,
                "type": r.name,
                "f1_before": r.before.map(round),
                "f1_after": round(r.after),
                "support": r.support,
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "allowed_loss": self.allowed, "types": rows })
    }
}

fn rows<'a>(
    on: &'a str,
    task: &'static str,
    before: &'a Scores,
    after: &'a Scores,
) -> impl Iterator<Item = Row> + 'a {
    after.by_type.iter().map(move |(name, counts)| Row {
        on: on.to_owned(),
        task,
        name: name.clone(),
        before: before
            .by_type
            .iter()
            .find(|(old, _)| old == name)
            .map(|(_, counts)| counts.f1()),
        after: counts.f1(),
        support: counts.support(),
    })
}

impl fmt::Display for Forgetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = |of: fn(&Row) -> &str| {
            let lengths = self.rows.iter().map(|row| of(row).chars().count());
            lengths.max().unwrap_or_default().max(4) + 2
        };
        let (on, task, name) = (
            wide(|row| &row.on),
            wide(|row| row.task),
            wide(|row| &row.name),
        );
        writeln!(
            f,
            "{:<on$}{:<task$}{:<name$}{:>9}{:>9}{:>9}{:>9}",
            "on", "what", "type", "before %", "after %", "change", "support"
        )?;
        for row in &self.rows {
            let (before, change) = match row.before {
                Some(before) => (
                    format!("{:.1}", 100.0 * before),
                    format!("{:+.1}", 100.0 * (row.after - before)),
                ),
                None => ("new".to_owned(), String::new()),
            };
            writeln!(
                f,
                "{:<on$}{:<task$}{:<name$}{before:>9}{:>9.1}{change:>9}{:>9}",
                row.on,
                row.task,
                row.name,
                100.0 * row.after,
                row.support
            )?;
        }
        write!(f, "a type may lose {:.1} points", 100.0 * self.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counts;

    fn scores(types: &[(&str, usize, usize)]) -> Scores {
        let counts = |(name, hits, misses): &(&str, usize, usize)| {
            let counts = Counts {
                hits: *hits,
                false_positives: *misses,
                misses: *misses,
            };
            ((*name).to_owned(), counts)
        };
        Scores {
            micro: Counts::default(),
            by_type: types.iter().map(counts).collect(),
        }
    }

    fn forgetting(allowed: f64) -> Forgetting {
        let before = scores(&[("Chemical", 900, 100), ("Gene", 800, 200)]);
        let after = scores(&[
            ("Chemical", 895, 105),
            ("Dose", 500, 500),
            ("Gene", 810, 190),
        ]);
        let mut forgetting = Forgetting::new(allowed);
        forgetting
            .rows
            .extend(rows("dev", "entities", &before, &after));
        forgetting
    }

    #[test]
    fn a_new_type_has_nothing_to_lose_and_an_old_one_is_judged_by_its_own_loss() {
        let at_the_bound = forgetting(0.005);
        assert_eq!(at_the_bound.rows.len(), 3);
        assert_eq!(at_the_bound.rows[1].before, None);
        assert!(
            at_the_bound.excess().is_empty(),
            "0.900 to 0.895 is 0.5 points"
        );
        let strict = forgetting(0.004);
        let excess = strict.excess();
        assert_eq!((excess.len(), excess[0].name.as_str()), (1, "Chemical"));
        assert_eq!(strict.rows[2].lost(), 0.0, "what got better lost nothing");
    }

    #[test]
    fn the_table_and_the_record_say_what_happened() {
        let text = forgetting(0.005).to_string();
        assert!(text.contains("     90.0     89.5     -0.5"), "{text}");
        assert!(text.contains("      new     50.0"), "{text}");
        let json = forgetting(0.005).json();
        assert_eq!(json["types"][1]["f1_before"], Value::Null);
        assert_eq!(json["types"][0]["f1_after"], 0.895);
    }
}
