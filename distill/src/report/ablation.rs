//! Arms of an ablation side by side: every figure's median over seeds, its spread, and the difference to the first arm.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::html::{self, Cell, Section, Table};
use super::svg::{self, Row};
use super::{pretty, write_whole};
use crate::ablate::stats::{Difference, Resamples, f1_of};
use crate::ablate::{Outcome, files};
use crate::error::{Error, Result};
use crate::faithfulness::stats::quantile;
use crate::metrics::Counts;

/// `ablation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// Version of this file.
    pub ablation_version: u32,
    /// The bundle that was compared.
    pub precision: String,
    /// Documents that all were measured on.
    pub documents: usize,
    /// Name and title of each arm; the first is what the others are compared with.
    pub arms: Vec<(String, String)>,
    /// Runs of the plan that are not there yet.
    pub missing: Vec<String>,
    /// Every figure.
    pub figures: Vec<Figure>,
}

/// One figure, an F1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it measures.
    pub name: String,
    /// One an arm, in their order.
    pub arms: Vec<Measured>,
}

/// One figure of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// F1 by seed.
    pub by_seed: BTreeMap<u64, f64>,
    /// The median over seeds; none without a run.
    pub median: Option<f64>,
    /// The least and the greatest.
    pub spread: Option<(f64, f64)>,
    /// To the first arm, over the seeds that both have; none for the first arm itself.
    pub difference: Option<Difference>,
}

/// Which counts of a document a figure adds up.
#[derive(Clone, Copy)]
enum Of {
    Entities,
    GoldEntities,
    EndToEnd,
}

impl Ablation {
    /// Compares the outcomes of runs: arm, seed, outcome.
    ///
    /// # Errors
    /// There is none, or they were measured on different documents or with different types.
    pub fn new(
        precision: &str,
        arms: Vec<(String, String)>,
        outcomes: Vec<(String, u64, Outcome)>,
        missing: Vec<String>,
    ) -> Result<Ablation> {
        let Some((_, _, first)) = outcomes.first() else {
            return Err(Error::Usage(
                "no run of the plan is there yet; nothing can be compared".to_owned(),
            ));
        };
        let ids =
            |o: &Outcome| -> Vec<String> { o.documents.iter().map(|d| d.id.clone()).collect() };
        for (arm, seed, outcome) in &outcomes {
            let same = (
                &outcome.entity_types,
                &outcome.relation_types,
                &outcome.measured,
            ) == (&first.entity_types, &first.relation_types, &first.measured);
            if !same || ids(outcome) != ids(first) {
                return Err(Error::Usage(format!(
                    "{arm}-{seed} was measured on other documents or with other types than the first run; runs of one ablation must share schema and evaluation"
                )));
            }
        }
        let seeds = outcomes
            .iter()
            .map(|(_, seed, _)| seed)
            .collect::<std::collections::BTreeSet<_>>();
        let resamples = Resamples::new(first.documents.len(), seeds.len());
        let documents = first.documents.len();
        let figures = figures(first)
            .into_iter()
            .map(|(name, of, label)| Figure {
                name,
                arms: compare(&resamples, &arms, &outcomes, of, label),
            })
            .collect();
        Ok(Ablation {
            ablation_version: 1,
            precision: precision.to_owned(),
            documents,
            arms,
            missing,
            figures,
        })
    }

    /// Reads `ablation.json`.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Ablation> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::file(path, e.to_string()))
    }

    /// Writes `ablation.html`, `ablation.txt` and last `ablation.json`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(&self, out: &Path) -> Result<()> {
        let [json, page, text] = files(out);
        write_whole(&page, self.page().as_bytes())?;
        write_whole(&text, self.text().as_bytes())?;
        write_whole(&json, &pretty(self)?)
    }

    fn page(&self) -> String {
        let sections = [
            Section::new("glance", "At a glance", self.glance()),
            Section::new("ablation", "Every figure", self.html()),
        ];
        let foot = format!(
            "<p>Made by distill {}; the numbers are in <code>ablation.json</code>.</p>",
            env!("CARGO_PKG_VERSION")
        );
        let mut lead = html::paragraph(&self.summary());
        if !self.missing.is_empty() {
            lead.push_str(&html::paragraph(&format!(
                "Not there yet: {}.",
                self.missing.join(", ")
            )));
        }
        html::page("What each term is worth", &lead, &sections, &foot)
    }

    fn summary(&self) -> String {
        format!(
            "F1 of the {} bundle on {} documents. Every arm but the first is compared with “{}”, seed by seed.",
            self.precision,
            html::count(self.documents),
            self.title(0)
        )
    }

    fn title(&self, arm: usize) -> &str {
        self.arms.get(arm).map_or("", |(_, title)| title)
    }

    /// Every figure in one table.
    fn glance(&self) -> String {
        let cell = |m: &Measured| {
            let median = m.median.map(html::percent).unwrap_or("–".to_owned());
            Cell::Number(match &m.difference {
                None => median,
                Some(d) if d.excludes_zero => format!("{median} ({}, shown)", points(d.median)),
                Some(d) => format!("{median} ({})", points(d.median)),
            })
        };
        let mut head = vec!["figure".to_owned()];
        head.extend(self.arms.iter().map(|(_, title)| title.clone()));
        let table = Table {
            caption: "Median F1 % over seeds, and the median difference to the first arm in points; “shown” if its spread excludes 0".to_owned(),
            head,
            rows: self.figures.iter().map(|f| (f.name.clone(), f.arms.iter().map(cell).collect())).collect(),
            ..Table::default()
        };
        table.html()
    }

    /// What a comparison shows, in words.
    fn verdict(&self, m: &Measured) -> String {
        let Some(d) = &m.difference else {
            return String::new();
        };
        let seeds = d.by_seed.len();
        match (d.excludes_zero, d.median > 0.0, d.one_sign) {
            (true, true, _) => "a gain: its spread excludes 0".to_owned(),
            (true, false, _) => "a loss: its spread excludes 0".to_owned(),
            (false, _, true) if seeds < 3 => format!("not shown: only {seeds} seeds"),
            (false, _, true) => "not shown: seeds agree, but the interval holds 0".to_owned(),
            (false, ..) => "not shown: seeds differ in sign".to_owned(),
        }
    }

    /// The section's body.
    pub fn html(&self) -> String {
        let mut out = html::note(
            "Rings: one a seed. Thick line: the median over seeds. Differences are in points of F1 to the first arm with the same seed; their bar is the 95 % interval of the median difference over seeds and documents (paired bootstrap). A difference counts as shown if there are at least three seeds, all agree on its sign, and the interval excludes 0.",
        );
        for figure in &self.figures {
            out.push_str(&html::heading(&figure.name));
            let named = || self.arms.iter().zip(&figure.arms);
            let values = |m: &Measured| m.by_seed.values().map(|v| 100.0 * v).collect::<Vec<f64>>();
            let rows: Vec<Row> = named()
                .map(|((_, title), m)| Row {
                    name: title.clone(),
                    values: values(m),
                    median: m.median.map(|v| 100.0 * v),
                    interval: None,
                })
                .collect();
            let differences: Vec<Row> = named()
                .filter_map(|((_, title), m)| {
                    let d = m.difference.as_ref()?;
                    Some(Row {
                        name: title.clone(),
                        values: d.by_seed.iter().map(|v| 100.0 * v).collect(),
                        median: Some(100.0 * d.median),
                        interval: Some((100.0 * d.interval.0, 100.0 * d.interval.1)),
                    })
                })
                .collect();
            out.push_str("<div class=\"figures\">\n");
            out.push_str(&html::figure("F1 %", "by arm", &svg::dots(&rows, false)));
            if !differences.is_empty() {
                let to = format!("points of F1 to “{}”", self.title(0));
                out.push_str(&html::figure(
                    "Difference",
                    &to,
                    &svg::dots(&differences, true),
                ));
            }
            out.push_str("</div>\n");
            let row = |((_, title), m): (&(String, String), &Measured)| {
                let one =
                    |v: Option<f64>| Cell::Number(v.map(html::percent).unwrap_or("–".to_owned()));
                let mut cells = vec![
                    one(m.median),
                    one(m.spread.map(|s| s.0)),
                    one(m.spread.map(|s| s.1)),
                    Cell::Number(m.by_seed.len().to_string()),
                ];
                let (difference, interval) = match &m.difference {
                    Some(d) => (
                        points(d.median),
                        format!("{} to {}", points(d.interval.0), points(d.interval.1)),
                    ),
                    None => Default::default(),
                };
                cells.extend([
                    Cell::Number(difference),
                    Cell::Number(interval),
                    Cell::Text(self.verdict(m)),
                ]);
                (title.clone(), cells)
            };
            let table = Table {
                caption: figure.name.clone(),
                head: [
                    "arm",
                    "median F1 %",
                    "least",
                    "greatest",
                    "seeds",
                    "difference",
                    "95 % interval",
                    "in words",
                ]
                .map(str::to_owned)
                .to_vec(),
                rows: named().map(row).collect(),
                ..Table::default()
            };
            out.push_str(&table.html());
        }
        out
    }

    /// The tables for a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.summary());
        if !self.missing.is_empty() {
            let _ = writeln!(out, "Not there yet: {}.", self.missing.join(", "));
        }
        let width = self
            .arms
            .iter()
            .map(|(_, title)| title.chars().count())
            .max()
            .unwrap_or(0)
            .max(3);
        for figure in &self.figures {
            let _ = writeln!(
                out,
                "\n{}\n  {:<width$}{:>8}{:>16}{:>7}{:>8}{:>18}",
                figure.name, "arm", "median", "spread", "seeds", "diff", "95 % interval"
            );
            for ((_, title), m) in self.arms.iter().zip(&figure.arms) {
                let spread = m.spread.map(|(low, high)| {
                    format!("{} to {}", html::percent(low), html::percent(high))
                });
                let d = m.difference.as_ref();
                let interval =
                    d.map(|d| format!("{} to {}", points(d.interval.0), points(d.interval.1)));
                let line = format!(
                    "  {title:<width$}{:>8}{:>16}{:>7}{:>8}{:>18}  {}",
                    m.median.map(html::percent).unwrap_or("–".to_owned()),
                    spread.unwrap_or_default(),
                    m.by_seed.len(),
                    d.map(|d| points(d.median)).unwrap_or_default(),
                    interval.unwrap_or_default(),
                    self.verdict(m)
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }
}

fn points(difference: f64) -> String {
    let points = (1000.0 * difference).round() / 10.0;
    match points {
        _ if points > 0.0 => format!("+{points:.1}"),
        _ if points < 0.0 => format!("−{:.1}", -points),
        _ => "0.0".to_owned(),
    }
}

/// What can be measured of these outcomes: entities, then each relation type, with gold entities and end to end.
fn figures(outcome: &Outcome) -> Vec<(String, Of, Option<usize>)> {
    let mut figures = vec![("entities".to_owned(), Of::Entities, None)];
    if outcome.entity_types.len() > 1 {
        let each = outcome.entity_types.iter().enumerate();
        figures.extend(
            each.map(|(label, name)| (format!("entities: {name}"), Of::Entities, Some(label))),
        );
    }
    for (of, how) in [
        (Of::GoldEntities, "gold entities"),
        (Of::EndToEnd, "end to end"),
    ] {
        if outcome.measured.len() > 1 {
            figures.push((format!("all relations, {how}"), of, None));
        }
        let each = outcome.relation_types.iter().enumerate();
        let measured = each.filter(|(_, name)| outcome.measured.contains(name));
        figures.extend(measured.map(|(label, name)| (format!("{name}, {how}"), of, Some(label))));
    }
    figures
}

/// A figure's counts of every document.
fn counts(outcome: &Outcome, of: Of, label: Option<usize>) -> Vec<Counts> {
    let one = |d: &crate::eval::DocumentCounts| {
        let tally = match of {
            Of::Entities => &d.ner,
            Of::GoldEntities => &d.gold_entities,
            Of::EndToEnd => &d.end_to_end,
        };
        let mut sum = Counts::default();
        let counts = tally.counts().iter().enumerate();
        counts
            .filter(|(n, _)| label.is_none_or(|label| label == *n))
            .for_each(|(_, c)| sum.add(c));
        sum
    };
    outcome.documents.iter().map(one).collect()
}

fn compare(
    resamples: &Resamples,
    arms: &[(String, String)],
    outcomes: &[(String, u64, Outcome)],
    of: Of,
    label: Option<usize>,
) -> Vec<Measured> {
    let of_arm = |name: &str| -> BTreeMap<u64, Vec<Counts>> {
        let own = outcomes.iter().filter(|(arm, ..)| arm == name);
        own.map(|(_, seed, outcome)| (*seed, counts(outcome, of, label)))
            .collect()
    };
    let base = arms
        .first()
        .map(|(name, _)| of_arm(name))
        .unwrap_or_default();
    arms.iter()
        .enumerate()
        .map(|(n, (name, _))| {
            let own = of_arm(name);
            let by_seed: BTreeMap<u64, f64> = own
                .iter()
                .map(|(seed, counts)| (*seed, rounded(f1_of(counts))))
                .collect();
            let values: Vec<f64> = by_seed.values().copied().collect();
            let both = own
                .iter()
                .filter_map(|(seed, counts)| Some((base.get(seed)?.clone(), counts.clone())));
            let (theirs, ours): (Vec<_>, Vec<_>) = both.unzip();
            let difference = (n > 0)
                .then(|| resamples.difference(&theirs, &ours))
                .flatten();
            Measured {
                median: quantile(&values, 0.5),
                spread: quantile(&values, 0.0).zip(quantile(&values, 1.0)),
                by_seed,
                difference: difference.map(|d| Difference {
                    by_seed: d.by_seed.iter().copied().map(rounded).collect(),
                    median: rounded(d.median),
                    interval: (rounded(d.interval.0), rounded(d.interval.1)),
                    ..d
                }),
            }
        })
        .collect()
}

fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}
