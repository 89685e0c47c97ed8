//! From the records of all texts to the table.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::arms::BASELINE;
use super::measure::{ArmRecord, DecisionRecord, DeletionRecord, Kind, Record, Setting};
use super::stats::{self, Figure, bootstrap};

/// A decision whose best and worst order are closer than this has nothing to rank: it is left out of the normalised figures.
const DEGENERATE: f64 = 1e-3;

/// What the table says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The bundle's model id.
    pub model_id: String,
    /// The bundle's hash.
    pub bundle_hash: String,
    /// The corpus's file name.
    pub corpus: String,
    /// Seed of the order of texts, of chance, of sampling and of the intervals.
    pub seed: u64,
    /// By setting, kind of decision and way of deleting.
    pub sections: Vec<Section>,
    /// Against a model whose weights are shuffled, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub randomised: Vec<Agreement>,
    /// Against evidence that was marked, by file, if asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, Vec<Pointing>>,
}

/// How alike an arm's weights are for the model and for one that has forgotten everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The arm's name.
    pub method: String,
    /// Number of models with shuffled weights.
    pub models: usize,
    /// Number of decisions, each compared with every one of those models.
    pub decisions: usize,
    /// Mean Spearman correlation over all words; near 0 is good.
    pub spearman: Figure,
    /// The same over the words that are not the target's own.
    pub spearman_others: Figure,
}

/// How well an arm points at the words that state a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pointing {
    /// The arm's name.
    pub method: String,
    /// Number of decisions.
    pub decisions: usize,
    /// Mean average precision over all words.
    pub auprc: Figure,
    /// The same over the words that are not the target's own.
    pub auprc_others: Figure,
    /// Mean area under the ROC curve over those words.
    pub auc_others: Figure,
    /// How often the heaviest of those words is evidence.
    pub top1: Figure,
    /// How often one of the three heaviest of those words is.
    pub top3: Figure,
}

/// The methods on one kind of decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// How texts were read.
    pub setting: Setting,
    /// What was decided.
    pub kind: Kind,
    /// What stood in for deleted tokens.
    pub deletion: String,
    /// Number of decisions.
    pub decisions: usize,
    /// Texts that they are from.
    pub texts: usize,
    /// Decisions that no deletion moves, left out of the normalised figures.
    pub degenerate: usize,
    /// Median of the windows' words.
    pub words: f64,
    /// Greatest difference between the score that was reported and the game's with every word present.
    pub score_gap: f64,
    /// In the order of the run's arms.
    pub rows: Vec<Row>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub method: String,
    /// The methods that were used, and how often, if they are not the arm's own (`auto`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<String, usize>,
    /// The figures that it has, by name.
    pub figures: BTreeMap<&'static str, Figure>,
    /// Its normalised (short) or relative (window) figures less those of [`BASELINE`] on the same decisions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub over_baseline: BTreeMap<&'static str, Figure>,
}

/// What is read off one decision and arm, if it is there.
type Reading = fn(&DeletionRecord, &ArmRecord) -> Option<f64>;

/// Names of figures and where they come from; all are means but for the costs and the completeness errors.
const MEANS: [(&str, Reading); 13] = [
    ("comprehensiveness", |_, a| Some(a.eraser.comprehensiveness)),
    ("sufficiency", |_, a| Some(a.eraser.sufficiency)),
    ("comprehensiveness_by_p", |d, a| {
        by_score(d, a.eraser.comprehensiveness)
    }),
    ("sufficiency_by_p", |d, a| by_score(d, a.eraser.sufficiency)),
    ("normalised_comprehensiveness", |d, a| {
        let (low, high) = d.every_limits?.comprehensiveness;
        normalised(a.every?.comprehensiveness, low, high)
    }),
    ("normalised_sufficiency", |d, a| {
        let (low, high) = d.every_limits?.sufficiency;
        normalised(a.every?.sufficiency, low, high)
    }),
    ("eraser_normalised_comprehensiveness", |d, a| {
        let (low, high) = d.eraser_limits?.comprehensiveness;
        normalised(a.eraser.comprehensiveness, low, high)
    }),
    ("eraser_normalised_sufficiency", |d, a| {
        let (low, high) = d.eraser_limits?.sufficiency;
        normalised(a.eraser.sufficiency, low, high)
    }),
    ("every_word_comprehensiveness", |_, a| {
        Some(a.every?.comprehensiveness)
    }),
    ("every_word_sufficiency", |_, a| Some(a.every?.sufficiency)),
    ("coding_comprehensiveness_by_p", |d, a| {
        by_score(d, a.coding?.comprehensiveness)
    }),
    ("coding_sufficiency_by_p", |d, a| {
        by_score(d, a.coding?.sufficiency)
    }),
    ("tau_leave_one_out", |_, a| a.tau),
];

/// Names of figures, the quantile and where they come from.
const QUANTILES: [(&str, f64, Reading); 6] = [
    ("completeness_error_median", 0.5, |_, a| {
        a.said.as_ref()?.completeness
    }),
    ("completeness_error_p99", 0.99, |_, a| {
        a.said.as_ref()?.completeness
    }),
    ("passes", 0.5, |_, a| Some(a.said.as_ref()?.alone?.0.into())),
    ("ms", 0.5, |_, a| Some(a.said.as_ref()?.alone?.1)),
    ("passes_together", 0.5, |_, a| {
        Some(a.said.as_ref()?.passes.into())
    }),
    ("ms_together", 0.5, |_, a| Some(a.said.as_ref()?.ms)),
];

fn by_score(d: &DeletionRecord, loss: f64) -> Option<f64> {
    (d.present > 0.0).then(|| loss / d.present)
}

fn normalised(value: f64, low: f64, high: f64) -> Option<f64> {
    // Every order lies between the limits; what lies outside is rounding.
    (high - low > DEGENERATE).then(|| ((value - low) / (high - low)).clamp(0.0, 1.0))
}

impl Section {
    /// The table of one setting, kind and way of deleting; `None` without a decision.
    fn new(
        records: &[Record],
        arms: &[String],
        (setting, kind, deletion): (Setting, Kind, &str),
        seed: u64,
    ) -> Option<Section> {
        // One cluster a text, texts without such a decision left out.
        let clusters: Vec<Vec<(&DecisionRecord, &DeletionRecord)>> = records
            .iter()
            .filter(|record| record.setting == setting)
            .map(|record| {
                let of_kind = record.decisions.iter().filter(|d| d.kind == kind);
                of_kind
                    .filter_map(|d| Some((d, d.deletions.iter().find(|x| x.deletion == deletion)?)))
                    .collect::<Vec<_>>()
            })
            .filter(|cluster| !cluster.is_empty())
            .collect();
        let all = clusters.concat();
        let words: Vec<f64> = all.iter().map(|(d, _)| d.words as f64).collect();
        let limits = |d: &DeletionRecord| d.every_limits.map(|l| l.comprehensiveness);
        let rows = arms
            .iter()
            .enumerate()
            .map(|(n, name)| Row::new(n, name, arms, &clusters, seed));
        Some(Section {
            setting,
            kind,
            deletion: deletion.to_owned(),
            decisions: all.len(),
            texts: clusters.len(),
            degenerate: all
                .iter()
                .filter_map(|(_, d)| limits(d))
                .filter(|(low, high)| high - low <= DEGENERATE)
                .count(),
            words: stats::quantile(&words, 0.5)?,
            score_gap: all
                .iter()
                .map(|(decision, d)| (decision.score - d.present).abs())
                .fold(0.0, f64::max),
            rows: rows.collect(),
        })
    }
}

impl Row {
    fn new(
        arm: usize,
        name: &str,
        arms: &[String],
        clusters: &[Vec<(&DecisionRecord, &DeletionRecord)>],
        seed: u64,
    ) -> Row {
        let values = |arm: usize, value: Reading| -> Vec<Vec<Option<f64>>> {
            let of = |d: &DeletionRecord| d.arms.get(arm).and_then(|a| value(d, a));
            let of_text =
                |cluster: &Vec<(_, &DeletionRecord)>| cluster.iter().map(|(_, d)| of(d)).collect();
            clusters.iter().map(of_text).collect()
        };
        let there = |values: Vec<Vec<Option<f64>>>| -> Vec<Vec<f64>> {
            values
                .into_iter()
                .map(|v| v.into_iter().flatten().collect())
                .collect()
        };
        let mut figures = BTreeMap::new();
        for (key, value) in MEANS {
            let figure = bootstrap(&there(values(arm, value)), stats::mean, seed);
            figures.extend(figure.map(|figure| (key, figure)));
        }
        for (key, q, value) in QUANTILES {
            let quantile = |values: &[f64]| stats::quantile(values, q);
            let figure = bootstrap(&there(values(arm, value)), quantile, seed);
            figures.extend(figure.map(|figure| (key, figure)));
        }
        let mut over_baseline = BTreeMap::new();
        if let Some(baseline) = arms
            .iter()
            .position(|a| a == BASELINE)
            .filter(|b| *b != arm)
        {
            for (key, value) in MEANS.into_iter().filter(|(key, _)| COMPARED.contains(key)) {
                let less = |(a, b): (Vec<Option<f64>>, Vec<Option<f64>>)| {
                    a.into_iter()
                        .zip(b)
                        .filter_map(|(a, b)| Some(a? - b?))
                        .collect::<Vec<f64>>()
                };
                let differences: Vec<Vec<f64>> = values(arm, value)
                    .into_iter()
                    .zip(values(baseline, value))
                    .map(less)
                    .collect();
                let figure = bootstrap(&differences, stats::mean, seed);
                over_baseline.extend(figure.map(|figure| (key, figure)));
            }
        }
        let mut used = BTreeMap::new();
        for (_, d) in clusters.iter().flatten() {
            let method = d
                .arms
                .get(arm)
                .and_then(|a| a.said.as_ref())
                .map(|s| &s.method);
            if let Some(method) = method.filter(|m| !name.starts_with(m.as_str())) {
                *used.entry(method.clone()).or_insert(0) += 1;
            }
        }
        Row {
            method: name.to_owned(),
            used,
            figures,
            over_baseline,
        }
    }

    /// A figure by name.
    pub fn figure(&self, key: &str) -> Option<Figure> {
        self.figures.get(key).copied()
    }
}

/// Figures that are compared with [`BASELINE`]'s.
const COMPARED: [&str; 4] = [
    "normalised_comprehensiveness",
    "normalised_sufficiency",
    "comprehensiveness_by_p",
    "sufficiency_by_p",
];

impl Report {
    /// Adds everything up.
    pub fn new(
        about: (&str, &str, &str),
        records: &[Record],
        arms: &[String],
        deletions: &[&str],
        seed: u64,
    ) -> Report {
        let (model_id, bundle_hash, corpus) = about;
        let mut sections = Vec::new();
        for setting in Setting::ALL {
            for kind in Kind::ALL {
                for deletion in deletions {
                    sections.extend(Section::new(records, arms, (setting, kind, deletion), seed));
                }
            }
        }
        Report {
            model_id: model_id.to_owned(),
            bundle_hash: bundle_hash.to_owned(),
            corpus: corpus.to_owned(),
            seed,
            sections,
            randomised: Vec::new(),
            evidence: BTreeMap::new(),
        }
    }

    /// The report as `distill faithfulness --json` prints it.
    pub fn json(&self) -> Value {
        rounded(json!(self))
    }

    /// The tables alone, for the card.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_tables(&mut text);
        text
    }

    fn write_tables(&self, f: &mut impl Write) -> fmt::Result {
        for section in &self.sections {
            section.write(f)?;
            f.write_char('\n')?;
        }
        for (file, rows) in &self.evidence {
            let decisions = rows
                .iter()
                .map(|row| row.decisions)
                .max()
                .unwrap_or_default();
            writeln!(f, "evidence marked in {file}: {decisions} relations")?;
            writeln!(
                f,
                "{:<22}{:>20}{:>20}{:>20}{:>20}",
                "", "AUPRC", "AUPRC, other words", "top 1", "top 3"
            )?;
            for row in rows {
                let cells = [row.auprc, row.auprc_others, row.top1, row.top3].map(cell);
                write!(f, "{:<22}", row.method)?;
                cells.iter().try_for_each(|cell| write!(f, "{cell:>20}"))?;
                f.write_char('\n')?;
            }
            f.write_char('\n')?;
        }
        if let Some(row) = self.randomised.first() {
            writeln!(
                f,
                "against {} models with shuffled weights: {} decisions",
                row.models, row.decisions
            )?;
            writeln!(f, "{:<22}{:>20}{:>20}", "", "Spearman", "other words")?;
            for row in &self.randomised {
                let [all, others] = [row.spearman, row.spearman_others].map(cell);
                writeln!(f, "{:<22}{all:>20}{others:>20}", row.method)?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, explained on {}\n", self.model_id, self.corpus)?;
        self.write_tables(f)
    }
}

/// Columns with an interval: heading and figure.
type Columns = [(&'static str, &'static str); 4];
const SHORT: Columns = [
    ("norm. comp ↑", "normalised_comprehensiveness"),
    ("norm. suff ↓", "normalised_sufficiency"),
    ("comp ↑", "comprehensiveness"),
    ("suff ↓", "sufficiency"),
];
const WINDOW: Columns = [
    ("comp/p ↑", "comprehensiveness_by_p"),
    ("suff/p ↓", "sufficiency_by_p"),
    ("comp ↑", "comprehensiveness"),
    ("suff ↓", "sufficiency"),
];
const CODING: [(&str, &str); 2] = [
    ("coding c/p ↑", "coding_comprehensiveness_by_p"),
    ("coding s/p ↓", "coding_sufficiency_by_p"),
];

impl Section {
    /// The two figures that matter most here: one to be high, one to be low.
    pub fn main(&self) -> [(&'static str, &'static str); 2] {
        let [comprehensiveness, sufficiency, ..] = self.columns();
        [comprehensiveness, sufficiency]
    }

    /// "short texts, entities, deleted: mask".
    pub fn title(&self) -> String {
        let texts = match self.setting {
            Setting::Short => "short texts",
            Setting::Window => "whole documents",
        };
        format!(
            "{texts}, {}, deleted: {}",
            self.kind.plural(),
            self.deletion
        )
    }

    fn columns(&self) -> Columns {
        match self.setting {
            Setting::Short => SHORT,
            Setting::Window => WINDOW,
        }
    }

    fn write(&self, f: &mut impl Write) -> fmt::Result {
        writeln!(
            f,
            "{}: {} decisions in {} texts, {} words (median)",
            self.title(),
            self.decisions,
            self.texts,
            self.words
        )?;
        let mut columns = self.columns().to_vec();
        let has = |key: &str| self.rows.iter().any(|row| row.figure(key).is_some());
        columns.extend(CODING.iter().filter(|(_, key)| has(key)));
        write!(f, "{:<22}", "")?;
        for (heading, _) in &columns {
            write!(f, "{heading:>20}")?;
        }
        writeln!(
            f,
            "{:>7}{:>16}{:>9}{:>9}",
            "tau", "incomplete, %", "passes", "ms"
        )?;
        for row in &self.rows {
            write!(f, "{:<22}", row.method)?;
            for (_, key) in &columns {
                let cell = row.figure(key).map_or("-".to_owned(), cell);
                write!(f, "{cell:>20}")?;
            }
            let one = |key: &str, digits: usize, scale: f64| {
                let of = |x: Figure| format!("{:.digits$}", scale * x.value);
                row.figure(key).map_or("-".to_owned(), of)
            };
            let incomplete = match one("completeness_error_median", 2, 100.0) {
                none if none == "-" => none,
                median => format!("{median} / {}", one("completeness_error_p99", 1, 100.0)),
            };
            writeln!(
                f,
                "{:>7}{incomplete:>16}{:>9}{:>9}",
                one("tau_leave_one_out", 2, 1.0),
                one("passes", 1, 1.0),
                one("ms", 1, 1.0)
            )?;
        }
        for row in self.rows.iter().filter(|row| !row.used.is_empty()) {
            let used: Vec<String> = row.used.iter().map(|(m, n)| format!("{m} {n}")).collect();
            writeln!(f, "{} used: {}", row.method, used.join(", "))?;
        }
        for row in self.rows.iter().filter(|row| row.method == "auto") {
            for (heading, key) in self.main() {
                if let Some(x) = row.over_baseline.get(key) {
                    writeln!(
                        f,
                        "auto less {BASELINE}, {}: {:+.3} [{:+.3} {:+.3}]",
                        heading, x.value, x.low, x.high
                    )?;
                }
            }
        }
        if self.degenerate > 0 {
            writeln!(
                f,
                "{} decisions that no deletion moves are left out of the normalised columns",
                self.degenerate
            )?;
        }
        Ok(())
    }
}

/// "0.123 [0.10 0.15]".
fn cell(x: Figure) -> String {
    // Adding zero makes a rounded −0 a plain 0.
    let [low, high] = [x.low, x.high].map(|x| (x * 1e2).round() / 1e2 + 0.0);
    let value = (x.value * 1e3).round() / 1e3 + 0.0;
    format!("{value:.3} [{low:.2} {high:.2}]")
}

/// Numbers to six decimals: what lies beyond is noise, and the card need not carry it.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => {
            json!(n.as_f64().map(|x| (x * 1e6).round() / 1e6))
        }
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(items) => items.into_iter().map(|(k, v)| (k, rounded(v))).collect(),
        other => other,
    }
}
