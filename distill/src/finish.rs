//! From a finished run to bundles that are measured and say what they are.

use std::path::Path;

use bie::bundle::Bundle;
use serde_json::{Value, json};

use crate::calibration;
use crate::card::{self, Figures};
use crate::error::{Error, Result};
use crate::eval::{Report, remembered};
use crate::export::{self, Precision};
use crate::memory;
use crate::progress;
use crate::report::{self, Measurement, RunRecord};
use crate::train::{self, How, Run};
use crate::update::{self, guard::Forgetting};

/// F1 that int8 may lose against fp32 before it is said aloud.
const TOLERANCE: f64 = 0.005;

/// The bundles of a run.
const PRECISIONS: [Precision; 2] = [Precision::Float, Precision::Int8];

/// Where the bundles of an update wait for the verdict.
const CANDIDATE: &str = ".candidate";

/// `distill train`: trains, writes OUT/fp32 and OUT/int8, each measured by the recipe's evaluation, and the report.
///
/// # Errors
/// As [`train::train`]; SIGINT or SIGTERM came; a bundle or the report cannot be written or read back.
pub fn train(recipe: &Path, out: &Path, how: &How) -> Result<()> {
    let Some(run) = train::train(recipe, out, how)? else {
        return Err(progress::stopped());
    };
    let recipe = &run.recipe;
    let file = std::path::absolute(recipe.file()).map_err(Error::io("find", recipe.file()))?;
    let remembered = RunRecord {
        recipe: file,
        time: Some(run.time),
    };
    remembered.write(out)?;
    // A bundle that may be refused does not stand in the place of one that was accepted until it is judged.
    let place = match recipe.update {
        Some(_) => out.join(CANDIDATE),
        None => out.to_owned(),
    };
    let mut bundles = Vec::new();
    for precision in PRECISIONS {
        for folder in [&place, out] {
            Bundle::tidy(&folder.join(precision.as_str()))?;
        }
        bundles.push(write(&run, &place, precision)?);
    }
    if let Some(peak) = memory::peak() {
        eprintln!("distill: memory, {} at most in all", memory::show(peak));
    }
    remembered::forget(run.checkpoints.path())?;
    let reports: Vec<&Report> = bundles
        .iter()
        .filter_map(|b| Some(&b.measured.as_ref()?.report))
        .collect();
    if let [float, int8] = reports.as_slice() {
        say_what_int8_costs(float, int8);
    }
    if recipe.update.is_some() {
        for precision in PRECISIONS {
            let name = precision.as_str();
            Bundle::replace(&place.join(name), &out.join(name))?;
        }
        std::fs::remove_dir(&place).map_err(Error::io("remove", &place))?;
    }
    let made = report::data::make(recipe, &bundles, remembered.time, false)?;
    report::write(out, recipe, &made, false, None)?;
    eprintln!("distill: wrote {}", out.join(report::HTML).display());
    Ok(())
}

/// Writes one bundle to its folder in `place`, calibrates it, judges what an update lost, and measures it.
fn write(run: &Run, place: &Path, precision: Precision) -> Result<Measurement> {
    let dir = place.join(precision.as_str());
    // Measured through libbie as a host would use it, so the bundle is written first and its figures afterwards.
    let mut files = export::files(run, precision)?;
    let mut lost = None;
    let mut write = |calibration: Option<&calibration::Report>,
                     figures: Option<&Figures>,
                     lost: Option<&Forgetting>| {
        let mut card = card::card(run, figures);
        if let Some(lost) = lost {
            card.push_str(&format!("\n## What the update cost\n\n```\n{lost}\n```\n"));
        }
        let provenance = provenance(run, figures.map(|f| f.report), lost);
        let mut manifest = export::manifest(run, precision, provenance);
        if let Some(calibration) = calibration {
            card = calibration::card(&card, calibration);
            calibration.apply(&mut manifest);
            files.insert(calibration::FILE.to_owned(), calibration.to_json()?);
        }
        files.insert("README.md".to_owned(), card.into_bytes());
        Bundle::write(&dir, &manifest, &files).map_err(Error::from)
    };
    write(None, None, None)?;
    let calibration = calibration::finished(&run.recipe, &dir)?;
    if let Some(calibration) = &calibration {
        eprintln!("distill: {}\n{calibration}", precision.as_str());
        write(Some(calibration), None, None)?;
    }
    if let Some(forgetting) = update::forgetting(&run.recipe, &dir, precision)? {
        eprintln!("distill: {}\n{forgetting}", precision.as_str());
        if let Some(refusal) = update::refusal(&forgetting) {
            std::fs::remove_dir_all(place).map_err(Error::io("remove", place))?;
            return Err(refusal);
        }
        write(calibration.as_ref(), None, Some(&forgetting))?;
        lost = Some(forgetting);
    }
    let mut bundle = report::measure(&run.recipe, &dir, Some(run.checkpoints.path()))?;
    if let Some(measured) = &bundle.measured {
        eprintln!("distill: {}\n{}", precision.as_str(), measured.report);
        let figures = Figures::new(run, bundle.engine.manifest(), measured)?;
        bundle.hash = write(calibration.as_ref(), Some(&figures), lost.as_ref())?;
    }
    eprintln!("distill: wrote {} ({})", dir.display(), bundle.hash);
    Ok(bundle)
}

/// What rounding the weights cost, on standard error.
fn say_what_int8_costs(float: &Report, int8: &Report) {
    let entities = (float.ner.micro, int8.ner.micro);
    let relations = (float.gold_entities.micro, int8.gold_entities.micro);
    for (what, (float, int8)) in [("entities", entities), ("relations", relations)] {
        if float.support() == 0 {
            continue;
        }
        let (float, int8) = (float.f1(), int8.f1());
        let verdict = match float - int8 > TOLERANCE {
            true => "MORE than the tolerance of 0.5 points",
            false => "within 0.5 points",
        };
        eprintln!("distill: int8 against fp32, {what} F1: {int8:.4} - {float:.4}: {verdict}");
    }
}

/// The manifest's record of how the model was made. Only what decides the outcome: the same run gives the same bundle.
fn provenance(run: &Run, report: Option<&Report>, lost: Option<&Forgetting>) -> Value {
    let mut evaluation = report.map(Report::json);
    if let Some(object) = evaluation.as_mut().and_then(Value::as_object_mut) {
        object.remove("tokens_per_second"); // of this machine, not of the model
        object.remove("bundle_hash"); // of the bundle before it held its own figures
    }
    let mut record = json!({
        "made_by": concat!("distill ", env!("CARGO_PKG_VERSION")),
        "recipe": run.recipe.identity(),
        "data": run.data,
        "losses": run.curve,
        "evaluation": evaluation,
    });
    if let Some(record) = record.as_object_mut() {
        if let Some(lost) = lost {
            record.insert("update".to_owned(), lost.json());
        }
        if !run.changes.is_empty() {
            record.insert("recipe_changes".to_owned(), json!(run.changes));
        }
    }
    record
}
