//! What came of a run: `report.json`, and `report.html` for people.
//!
//! Rooms: [`data`] puts it together from [`curves`], [`confusion`], [`reliability`], [`against_teacher`] and [`errors`], each of which also
//! writes its section; [`ablation`] compares runs; [`html`] and [`svg`] are what pages are made of.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bie::bundle::Bundle;
use bie::{Engine, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calibration;
use crate::error::{Error, Result};
use crate::eval::remembered::Remembered;
use crate::eval::{self, Job, Measured};
use crate::metrics::{Counts, Scores};
use crate::progress;
use crate::recipe::Recipe;
use crate::train::trainer::Time;

pub mod ablation;
pub mod against_teacher;
pub mod confusion;
pub mod curves;
pub mod data;
pub mod errors;
pub mod html;
pub mod reliability;
pub mod svg;

#[cfg(test)]
mod tests;

pub use data::Report;
use html::{Cell, Section, Table};

/// The report's numbers in a run's folder; the last file that a run writes.
pub const JSON: &str = "report.json";
/// The report's page in a run's folder.
pub const HTML: &str = "report.html";
/// What a run remembers for a later report.
const RUN: &str = "run.json";

/// A bundle of a run, measured if the recipe says on what.
pub struct Measurement {
    /// "fp32" or "int8".
    pub precision: String,
    /// The bundle's hash.
    pub hash: String,
    /// The bundle.
    pub engine: Engine,
    /// What was measured.
    pub measured: Option<Measured>,
    /// What its calibration measured, if it is calibrated.
    pub calibration: Option<calibration::Report>,
}

/// What a run remembers for a later report, in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The recipe's file.
    pub recipe: PathBuf,
    /// How long the training took.
    pub time: Option<Time>,
}

impl RunRecord {
    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(&self, out: &Path) -> Result<()> {
        write_whole(&out.join(RUN), &pretty(self)?)
    }

    /// Reads it; none where no run has written it.
    fn read(out: &Path) -> Result<Option<RunRecord>> {
        let path = out.join(RUN);
        match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path)(e)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Error::file(&path, e.to_string())),
        }
    }
}

/// Whether a run that recorded this recipe's identity was made by this recipe. An encoder teacher's hash is part of it, but no key of the
/// recipe: it is read from its bundle, or taken at the record's word where that is gone.
pub(crate) fn made_by(recipe: &Recipe, recorded: &Value) -> bool {
    let mut own = recipe.identity();
    for (n, teacher) in recipe.encoder_teachers.iter().enumerate() {
        let at = format!("/encoder_teachers/{n}");
        let hash = match Bundle::open(&recipe.resolve(&teacher.path)) {
            Ok(bundle) => Some(Value::String(bundle.hash)),
            Err(_) => recorded.pointer(&format!("{at}/hash")).cloned(),
        };
        if let (Some(teacher), Some(hash)) =
            (own.pointer_mut(&at).and_then(Value::as_object_mut), hash)
        {
            teacher.insert("hash".to_owned(), hash);
        }
    }
    own == *recorded
}

/// What a recipe's bundles are measured on, if it says so.
pub fn job(recipe: &Recipe) -> Option<Job> {
    let evaluation = recipe.evaluation.as_ref()?;
    Some(Job::of(recipe, evaluation))
}

/// Opens a bundle and measures it as the recipe says; what was measured is kept in the folder `journal` until it is whole.
///
/// # Errors
/// The bundle cannot be opened, or the evaluation's files are bad.
pub fn measure(recipe: &Recipe, bundle: &Path, journal: Option<&Path>) -> Result<Measurement> {
    let engine = Engine::open(bundle, &Options::default())?;
    let tick = progress::count("documents");
    let measured = match (job(recipe), journal) {
        (Some(job), Some(journal)) => {
            let model = Remembered::new(&engine, journal)?;
            let measured = eval::measure(&model, &job, tick)?;
            if model.reused() {
                eprintln!(
                    "distill: an earlier process measured a part: tokens/s means nothing here"
                );
            }
            Some(measured)
        }
        (Some(job), None) => Some(eval::measure(&engine, &job, tick)?),
        (None, _) => None,
    };
    let file = bundle.join(calibration::FILE);
    let calibration = match fs::read(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => {
            let bytes = read.map_err(Error::io("read", &file))?;
            let report = serde_json::from_slice(&bytes);
            Some(report.map_err(|e| Error::file(&file, e.to_string()))?)
        }
    };
    Ok(Measurement {
        calibration,
        precision: engine.manifest().precision.clone(),
        hash: engine.bundle_hash().to_owned(),
        engine,
        measured,
    })
}

/// Writes `report.html`, then `report.json`; each appears whole or not at all.
///
/// # Errors
/// The operating system refuses.
pub fn write(
    out: &Path,
    recipe: &Recipe,
    report: &Report,
    with_text: bool,
    ablation: Option<&ablation::Ablation>,
) -> Result<()> {
    let page = page(recipe, report, with_text, ablation);
    write_whole(&out.join(HTML), page.as_bytes())?;
    write_whole(&out.join(JSON), &pretty(report)?)
}

/// `distill report`: measures the bundles of a finished run again and writes its report.
///
/// # Errors
/// The folder holds no finished run, the recipe is not the run's, or as [`measure`] and [`write()`].
pub fn again(
    out: &Path,
    recipe: Option<&Path>,
    with_text: bool,
    ablation: Option<&Path>,
) -> Result<()> {
    let remembered = RunRecord::read(out)?;
    let file = recipe.or(remembered.as_ref().map(|r| r.recipe.as_path()));
    let Some(file) = file else {
        return Err(Error::Usage(format!(
            "{} does not say which recipe made it (it has no {RUN}); give --recipe",
            out.display()
        )));
    };
    let recipe = Recipe::read(file)?;
    let ablation = ablation.map(ablation::Ablation::read).transpose()?;
    let mut bundles = Vec::new();
    for precision in ["fp32", "int8"] {
        let dir = out.join(precision);
        if dir.is_dir() {
            let bundle = measure(&recipe, &dir, None)?;
            let recorded = bundle.engine.manifest().provenance.get("recipe");
            if !recorded.is_some_and(|recorded| made_by(&recipe, recorded)) {
                return Err(Error::file(
                    &dir,
                    format!(
                        "the bundle was made by another recipe than {}; give the recipe that made it",
                        file.display()
                    ),
                ));
            }
            bundles.push(bundle);
        }
    }
    if bundles.is_empty() {
        return Err(Error::file(
            out,
            "the folder holds no bundle (fp32 or int8); give the --out of a finished run",
        ));
    }
    let report = data::make(
        &recipe,
        &bundles,
        remembered.and_then(|r| r.time),
        with_text,
    )?;
    write(out, &recipe, &report, with_text, ablation.as_ref())?;
    eprintln!("distill: wrote {} and {JSON}", out.join(HTML).display());
    Ok(())
}

/// The page.
pub fn page(
    recipe: &Recipe,
    report: &Report,
    with_text: bool,
    ablation: Option<&ablation::Ablation>,
) -> String {
    let mut sections = Vec::new();
    let mut add = |id, title: &str, body: String| {
        if !body.is_empty() {
            sections.push(Section::new(id, title, body));
        }
    };
    let evaluation = report.evaluation.as_ref();
    match evaluation {
        Some(e) => add("figures", "How well it does", figures(e)),
        None => add(
            "figures",
            "How well it does",
            html::paragraph("Not measured: the recipe has no [evaluation]."),
        ),
    }
    if let Some(ablation) = ablation {
        add("ablation", "What each term is worth", ablation.html());
    }
    add(
        "training",
        "How the training went",
        training(recipe, report),
    );
    if let Some(e) = evaluation {
        let from = e
            .reports
            .last()
            .map(|(_, r)| r.gold_from.as_slice())
            .unwrap_or_default();
        add(
            "confusion",
            "What is taken for what",
            e.confusion.html(from),
        );
        add(
            "calibration",
            "Are scores probabilities?",
            reliability::html(&e.reliability),
        );
        add(
            "teacher",
            "Student, teacher and gold",
            e.against_teacher.html(),
        );
        add("errors", "Worst errors", e.errors.html(with_text));
    }
    add("data", "What it learned from", learned_from(report));
    add("limits", "Limits", html::prose(&report.limits));
    add("recipe", "Recipe", recipe_section(report));
    let hashes: Vec<String> = report
        .bundles
        .iter()
        .map(|(p, hash)| format!("{p} <code>{}</code>", html::escaped(hash)))
        .collect();
    let lead = html::paragraph(&summary(report));
    let foot = format!(
        "<p>Bundles: {}. Made by {}; the numbers are in <code>{JSON}</code>.</p>",
        hashes.join(", "),
        html::escaped(report.made_by)
    );
    html::page(
        &format!("Training report: {}", report.model_id),
        &lead,
        &sections,
        &foot,
    )
}

fn summary(report: &Report) -> String {
    let Some((precision, figures)) = report.evaluation.as_ref().and_then(|e| e.reports.last())
    else {
        return "A student, trained and not measured.".to_owned();
    };
    let f1 = |scores: &Scores| html::percent(scores.micro.f1());
    let mut text = format!(
        "On {} documents that it was not trained on, the {precision} bundle finds entities with an F1 of {} %",
        html::count(figures.documents),
        f1(&figures.ner)
    );
    if !figures.gold_entities.by_type.is_empty() {
        text.push_str(&format!(
            ", relations between given entities with {} % and end to end with {} %",
            f1(&figures.gold_entities),
            f1(&figures.end_to_end)
        ));
    }
    text + ", micro-averaged over its types."
}

/// One of a report's three sets of figures.
type Of = fn(&eval::Report) -> &Scores;

/// The tables of precision, recall and F1: the last bundle, and the F1 of the others beside.
fn figures(e: &data::Evaluation) -> String {
    let mut out = String::new();
    let Some((precision, last)) = e.reports.last() else {
        return out;
    };
    let others: Vec<&(String, eval::Report)> = e.reports.iter().rev().skip(1).collect();
    let tables: [(&str, Of); 3] = [
        ("Entities: exact bytes and type", |r| &r.ner),
        (
            "Relations between given gold entities, pairs of concepts of one document",
            |r| &r.gold_entities,
        ),
        ("Relations end to end: entities found by the bundle", |r| {
            &r.end_to_end
        }),
    ];
    for (title, of) in tables {
        let scores = of(last);
        if scores.by_type.is_empty() {
            continue;
        }
        let row = |name: &str, c: &Counts, others: Vec<Option<Counts>>| {
            let f1 = html::percent(c.f1());
            let mut cells = vec![
                Cell::Html(format!(
                    "<span class=\"nowrap\">{f1}{}</span>",
                    svg::bar(c.f1())
                )),
                Cell::Number(html::percent(c.precision())),
                Cell::Number(html::percent(c.recall())),
            ];
            for other in others {
                let f1 = other.map(|o| o.f1());
                cells.push(Cell::Number(f1.map(html::percent).unwrap_or_default()));
                let points = f1.map(|f1| format!("{:+.1}", 100.0 * (c.f1() - f1)));
                cells.push(Cell::Number(points.unwrap_or_default()));
            }
            cells.push(Cell::Number(html::count(c.support())));
            let threshold = e.thresholds.get(name).map(|t| format!("{t:.2}"));
            cells.push(Cell::Number(threshold.unwrap_or_default()));
            (name.to_owned(), cells)
        };
        let same = |name: &str| -> Vec<Option<Counts>> {
            let of_type = |(_, report): &&(String, eval::Report)| {
                let by_type = &of(report).by_type;
                by_type
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, c)| *c)
            };
            others.iter().map(of_type).collect()
        };
        let mut rows: Vec<_> = scores
            .by_type
            .iter()
            .map(|(name, c)| row(name, c, same(name)))
            .collect();
        let micro = others.iter().map(|(_, r)| Some(of(r).micro)).collect();
        rows.push(row("all (micro)", &scores.micro, micro));
        let mut head = ["type", "F1 %", "precision %", "recall %"]
            .map(str::to_owned)
            .to_vec();
        for (other, _) in &others {
            head.push(format!("{other} F1 %"));
            head.push("points more".to_owned());
        }
        head.extend(["support", "threshold"].map(str::to_owned));
        let caption = format!("{title} ({precision})");
        out.push_str(
            &Table {
                caption,
                head,
                rows,
                total: true,
                ..Table::default()
            }
            .html(),
        );
    }
    out.push_str(&html::note(&format!(
        "Measured through libbie on {} ({} documents), as a host would use the bundle.",
        e.corpus,
        html::count(last.documents)
    )));
    out
}

fn training(recipe: &Recipe, report: &Report) -> String {
    let t = &recipe.training;
    let mut items = vec![
        ("passes over the data", t.epochs.to_string()),
        ("steps", html::count(report.curves.steps as usize)),
        ("windows a step", t.batch_documents.to_string()),
    ];
    if let Some(time) = report.time.filter(|time| time.seconds > 0.0) {
        let minutes = format!(
            "{:.1} minutes on {} threads",
            time.seconds / 60.0,
            t.threads
        );
        items.push(("time", minutes));
        let speed = time.tokens as f64 / time.seconds;
        items.push(("tokens read", html::count(time.tokens as usize)));
        items.push(("tokens a second", html::count(speed.round() as usize)));
    }
    if let Some((_, last)) = report.evaluation.as_ref().and_then(|e| e.reports.last()) {
        let speed = last.tokens_per_second.round() as usize;
        items.push((
            "extraction, one thread",
            format!("{} tokens a second", html::count(speed)),
        ));
    }
    format!("{}{}", html::list(&items), report.curves.html(t))
}

fn learned_from(report: &Report) -> String {
    let mut out = html::paragraph(&report.data);
    if !report.sources.is_empty() {
        let row = |s: &crate::recipe::Source| {
            let cells = [&s.role, &s.what, &s.licence, &s.citation];
            (
                s.name.clone(),
                cells.map(|c| Cell::Text(c.clone())).to_vec(),
            )
        };
        let table = Table {
            caption: "Sources, their licences and whom to cite".to_owned(),
            head: ["source", "role", "what of it", "licence", "citation"]
                .map(str::to_owned)
                .to_vec(),
            rows: report.sources.iter().map(row).collect(),
            class: "prose",
            ..Table::default()
        };
        out.push_str(&table.html());
    }
    out
}

fn recipe_section(report: &Report) -> String {
    let json = serde_json::to_string_pretty(&report.recipe).unwrap_or_default();
    format!(
        "<p>Everything that decided the trained weights. Seed {}.</p>\n<details>\n<summary>The recipe as JSON</summary>\n<pre>{}</pre>\n</details>\n",
        html::escaped(
            &report
                .recipe
                .get("seed")
                .map(ToString::to_string)
                .unwrap_or_default()
        ),
        html::escaped(&json)
    )
}

/// Pretty JSON with a line end.
pub(crate) fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::Training(format!("the report cannot be written: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file beside its place, flushes it and renames it: it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".tmp-{name}"));
    let mut file = File::create(&partial).map_err(Error::io("write", &partial))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &partial))?;
    fs::rename(&partial, path).map_err(Error::io("rename", &partial))
}
