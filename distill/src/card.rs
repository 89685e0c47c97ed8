//! The model card that lies in a bundle, with the sections of Mitchell et al. 2019 (doi:10.1145/3287560.3287596): what the model is and for whom,
//! what it learned from, how it was measured and how well it does, what it must not be trusted with.
//!
//! Only what the run decides: equal runs write equal cards.

use std::fmt::Write;

use bie::bundle::Manifest;
use bie::decode::calibration::Calibration;

use crate::calibration::{LEAST_CANDIDATE, NOT_CALIBRATED};
use crate::error::Result;
use crate::eval::{self, Measured};
use crate::report::against_teacher::{AgainstTeacher, against_teacher};
use crate::report::reliability::{Curve, curves};
use crate::train::Run;

/// What a card says of a measured bundle.
#[derive(Debug)]
pub struct Figures<'a> {
    /// Its schema and thresholds.
    pub manifest: &'a Manifest,
    /// Its figures.
    pub report: &'a eval::Report,
    /// How well its scores are probabilities.
    pub reliability: Vec<Curve>,
    /// How it agrees with its teachers.
    pub against_teacher: AgainstTeacher,
}

impl<'a> Figures<'a> {
    /// From what was measured.
    ///
    /// # Errors
    /// A teacher's file cannot be read.
    pub fn new(run: &Run, manifest: &'a Manifest, measured: &'a Measured) -> Result<Figures<'a>> {
        Ok(Figures {
            manifest,
            report: &measured.report,
            reliability: curves(manifest, measured),
            against_teacher: against_teacher(&run.recipe, manifest, measured)?,
        })
    }
}

/// The card in Markdown.
pub fn card(run: &Run, figures: Option<&Figures>) -> String {
    let mut c = String::new();
    // Writing to a String cannot fail.
    let _ = write_card(&mut c, run, figures);
    c
}

fn write_card(c: &mut String, run: &Run, figures: Option<&Figures>) -> std::fmt::Result {
    let recipe = &run.recipe;
    writeln!(c, "# {}\n", recipe.name)?;
    writeln!(
        c,
        "A student of {} layers, width {}, {:.1} million weights, made by `distill {}` for libbie.\n",
        run.config.layers,
        run.config.hidden_size,
        run.parameters.count() as f64 / 1e6,
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(c, "## What it finds\n")?;
    let entities: Vec<&str> = recipe
        .schema
        .entities
        .iter()
        .map(|e| e.name.as_str())
        .collect();
    writeln!(c, "Entities: {}.\n", entities.join(", "))?;
    for r in &recipe.schema.relations {
        let arrow = if r.symmetric { "with" } else { "to" };
        writeln!(
            c,
            "- {}: {} {arrow} {}",
            r.name,
            r.head.join(" or "),
            r.tail.join(" or ")
        )?;
    }
    intended_use(c, run)?;
    learned_from(c, run)?;
    writeln!(c, "\n## How well it does\n")?;
    match figures {
        Some(figures) => measured(c, run, figures)?,
        None => writeln!(c, "Not measured.\n")?,
    }
    writeln!(c, "## Limits\n\n{}", recipe.limits.trim())
}

fn intended_use(c: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(c, "\n## Intended use\n")?;
    let own = run.recipe.intended_use.trim();
    if !own.is_empty() {
        return writeln!(c, "{own}");
    }
    writeln!(
        c,
        "To find the types above in texts like those that it learned from, inside software whose users can look at the text: for searching, sorting, pre-filling and review.\n\n\
         Not for decisions about a person that nobody checks against the text, and not for other kinds of text or languages before it has been measured on them (`distill eval`)."
    )
}

fn learned_from(c: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(c, "\n## What it learned from\n\n{}.\n", run.data)?;
    for s in &run.recipe.sources {
        writeln!(
            c,
            "- **{}** ({}): {}. Licence: {}. {}",
            s.name, s.role, s.what, s.licence, s.citation
        )?;
    }
    Ok(())
}

fn measured(c: &mut String, run: &Run, f: &Figures) -> std::fmt::Result {
    let evaluation = run.recipe.evaluation.as_ref();
    let on = evaluation
        .and_then(|e| e.path.file_name())
        .unwrap_or_default()
        .to_string_lossy();
    writeln!(
        c,
        "Measured through libbie on {on} ({} documents), on which it was not trained:\n",
        f.report.documents
    )?;
    writeln!(c, "```\n{}```\n", f.report.tables())?;
    writeln!(
        c,
        "Exact span and type for entities; document level, pairs of concepts, for relations.\n"
    )?;
    let entities = f.manifest.entities.iter();
    let entities = entities.map(|e| (&e.name, e.threshold, e.calibration() == Calibration::NONE));
    let relations = f.manifest.relations.iter();
    let all: Vec<(&String, f32, bool)> = entities
        .chain(relations.map(|r| (&r.name, r.threshold, r.calibration() == Calibration::NONE)))
        .collect();
    let thresholds: Vec<String> = all
        .iter()
        .map(|(name, t, _)| format!("{name} {t:.2}"))
        .collect();
    writeln!(
        c,
        "Reported from these scores on: {}.\n",
        thresholds.join(", ")
    )?;

    // Of calibrated scores, the section of `calibration` says more.
    if all.iter().all(|(.., own)| *own) {
        writeln!(c, "### Are its scores probabilities?\n")?;
        writeln!(
            c,
            "{NOT_CALIBRATED}\n\nExpected calibration error on the same documents (15 bins; 0 is perfect), of reported mentions and of pairs of gold entities scored at least {LEAST_CANDIDATE}:\n"
        )?;
        for curve in &f.reliability {
            if let Some(error) = curve.now.ece {
                let (value, decisions) = (error.value, curve.now.decisions);
                writeln!(c, "- {}: {value:.3} ({decisions} decisions)", curve.title())?;
            }
        }
    }
    if !f.against_teacher.teachers.is_empty() {
        writeln!(c, "\n### Agreement with its teachers\n")?;
        writeln!(
            c,
            "Relations between gold entities, F1 of the student with the teacher's word as gold; in brackets, teacher and student against the corpus's gold.\n"
        )?;
    }
    for teacher in &f.against_teacher.teachers {
        for r in &teacher.relations {
            write!(
                c,
                "- {}, {}: {:.1} %",
                teacher.file,
                r.relation,
                100.0 * r.agreement.f1()
            )?;
            if let Some(right) = &r.right {
                let (teacher, student) = (right.teacher.f1(), right.student.f1());
                write!(c, " ({:.1} %, {:.1} %)", 100.0 * teacher, 100.0 * student)?;
            }
            writeln!(c)?;
        }
    }
    for d in &f.against_teacher.disagreements {
        let [first, second] = &d.teachers;
        let agreement = 100.0 * d.says.f1();
        writeln!(
            c,
            "- {first} and {second} among themselves, {}: {agreement:.1} % on {} documents",
            d.label, d.documents
        )?;
    }
    writeln!(c, "\n### Measuring again\n")?;
    let labels = evaluation.and_then(|e| e.relations_from.as_ref());
    let labels = labels
        .and_then(|p| p.file_name())
        .map(|name| format!(" --relations-from {}", name.to_string_lossy()));
    writeln!(
        c,
        "`distill eval --bundle BUNDLE --corpus {on}{}`; with confusions, calibration plots and the worst errors: `distill report --out RUN`.\n",
        labels.unwrap_or_default()
    )
}
