//! The report for people: on a terminal, and in a bundle's card.

use std::fmt;

use super::Relations;
use super::report::{Kind, Measured, Reliability, Report, TypeFit};
use crate::faithfulness::card::with_section;

/// The heading in the card.
const HEADING: &str = "## Calibration";

/// What a card says where nothing was calibrated.
pub const NOT_CALIBRATED: &str =
    "Scores are the model's own probabilities; they are not calibrated.";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {}, {} documents; \"after\" is measured on each of {} parts by what was fitted on the others\n",
            self.model_id, self.corpus, self.documents, self.folds
        )?;
        write!(f, "{}", self.tables())
    }
}

impl Report {
    /// The tables alone.
    pub fn tables(&self) -> String {
        let mut text = format!(
            "{:<26}{:>36}{:>27}{:>16}\n{:<26}{:>10}{:>10}{:>16}{:>11}{:>8}{:>8}{:>8}{:>8}\n",
            "calibration error",
            "reported",
            "all candidates",
            "F1 %",
            "",
            "before",
            "after",
            "[95 %]",
            "equal mass",
            "before",
            "after",
            "before",
            "after"
        );
        let titles = [
            (Kind::Entities, "entities"),
            (Kind::GoldEntities, "relations, gold entities"),
            (Kind::EndToEnd, "relations, end to end"),
        ];
        for (kind, title) in titles {
            let rows: Vec<&Measured> = self.measured.iter().filter(|m| m.kind == kind).collect();
            if !rows.is_empty() {
                text += &format!("{title}\n");
                rows.into_iter().for_each(|row| text += &measured(row));
            }
        }
        text += &format!(
            "\n{:<20}{:>12}{:>8}{:>8}{:>11}{:>8}{:>8}\n",
            "what was fitted", "temperature", "bias", "thresh", "decisions", "prec %", "rec %"
        );
        self.entities
            .iter()
            .chain(&self.relations)
            .for_each(|fit| text += &fitted(fit));
        text
    }
}

fn error(of: &Reliability) -> String {
    of.ece
        .map_or("-".to_owned(), |ece| format!("{:.3}", ece.value))
}

fn measured(row: &Measured) -> String {
    let (before, after) = (&row.before, &row.after);
    let interval = after.reported.ece.map_or("-".to_owned(), |ece| {
        format!("[{:.3}, {:.3}]", ece.low, ece.high)
    });
    let mass = after
        .reported
        .ece_equal_mass
        .map_or("-".to_owned(), |ece| format!("{:.3}", ece.value));
    format!(
        "  {:<24}{:>10}{:>10}{:>16}{:>11}{:>8}{:>8}{:>8.1}{:>8.1}\n",
        row.name,
        error(&before.reported),
        error(&after.reported),
        interval,
        mass,
        error(&before.candidates),
        error(&after.candidates),
        100.0 * before.f1,
        100.0 * after.f1
    )
}

fn fitted(fit: &TypeFit) -> String {
    let at = fit
        .operating_points
        .iter()
        .find(|point| point.score == fit.threshold);
    let share =
        |of: Option<f32>| of.map_or("-".to_owned(), |share| format!("{:.1}", 100.0 * share));
    let judged_by = match fit.gold.as_deref() {
        Some("labels") => "; judged by a teacher's labels",
        _ => "",
    };
    format!(
        "  {:<18}{:>12.2}{:>8.2}{:>8.2}{:>11}{:>8}{:>8}  {}{judged_by}\n",
        fit.name,
        fit.temperature,
        fit.bias,
        fit.threshold,
        fit.decisions,
        share(at.map(|point| point.precision)),
        share(at.map(|point| point.recall)),
        fit.note
    )
}

/// The section of a card.
pub fn card_section(report: &Report) -> String {
    let meaning = match report.scores_of_relations {
        Relations::EndToEnd => {
            "of a relation, that it holds and that both of its sides were found rightly"
        }
        Relations::GoldEntities => {
            "of a relation, that it holds, given that both of its sides were found rightly"
        }
    };
    format!(
        "{HEADING}\n\nA score is the probability that the decision is right: of a mention, by its exact span and type; {meaning}; on texts like those of {} \
         ({} documents), on which scores and thresholds were fitted. The figures \"after\" are measured on each of {} parts of these documents by what was \
         fitted on the others; expected calibration error over 15 bins. Precision and recall at other thresholds are in `manifest.json`, the curves in \
         `calibration.json`.\n\n```\n{}```\n",
        report.corpus,
        report.documents,
        report.folds,
        report.tables()
    )
}

/// The card with its section on calibration, and without the sentence that says that there is none.
pub fn card(old: &str, report: &Report) -> String {
    let said = format!("{NOT_CALIBRATED}\n\n");
    let old = old.replace(&format!(" {said}"), "\n\n").replace(&said, "");
    with_section(&old, HEADING, &card_section(report))
}
