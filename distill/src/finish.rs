//! From a finished run to bundles that are measured and say what they are.

use std::path::Path;

use bie::bundle::Bundle;
use bie::{Engine, Options};
use serde_json::{Value, json};

use crate::card;
use crate::error::Result;
use crate::eval::remembered::{self, Remembered};
use crate::eval::{self, Job, Report};
use crate::export::{self, Precision};
use crate::progress;
use crate::train::{self, Resume, Run};

/// F1 that int8 may lose against fp32 before it is said aloud.
const TOLERANCE: f64 = 0.005;

/// `distill train`: trains, then writes OUT/fp32 and OUT/int8, each measured by the recipe's evaluation.
///
/// # Errors
/// As [`train::train`]; SIGINT or SIGTERM came; a bundle cannot be written or read back.
pub fn train(recipe: &Path, out: &Path, how: &Resume) -> Result<()> {
    let Some(run) = train::train(recipe, out, how)? else {
        return Err(progress::stopped());
    };
    let mut reports = Vec::new();
    for precision in [Precision::Float, Precision::Int8] {
        let dir = out.join(precision.as_str());
        Bundle::tidy(&dir)?;
        // Measured through libbie as a host would use it, so the bundle is written first and its figures afterwards.
        let mut files = export::files(&run, precision)?;
        let mut write = |report: Option<&Report>| {
            let card = card::card(&run, report).into_bytes();
            files.insert("README.md".to_owned(), card);
            let manifest = export::manifest(&run, precision, provenance(&run, report));
            Bundle::write(&dir, &manifest, &files)
        };
        let mut hash = write(None)?;
        let report = evaluate(&run, &dir)?;
        if let Some(report) = &report {
            eprintln!("distill: {}\n{report}", precision.as_str());
            hash = write(Some(report))?;
        }
        eprintln!("distill: wrote {} ({hash})", dir.display());
        reports.extend(report);
    }
    remembered::forget(run.checkpoints.path())?;
    if let [float, int8] = reports.as_slice() {
        for (what, f, q) in [
            ("entities", float.ner.micro.f1(), int8.ner.micro.f1()),
            (
                "relations",
                float.gold_entities.micro.f1(),
                int8.gold_entities.micro.f1(),
            ),
        ] {
            let verdict = if f - q > TOLERANCE {
                "MORE than the tolerance of 0.5 points"
            } else {
                "within 0.5 points"
            };
            eprintln!(
                "distill: int8 against fp32, {what} F1: {:.4} - {:.4}: {verdict}",
                q, f
            );
        }
    }
    Ok(())
}

fn evaluate(run: &Run, bundle: &Path) -> Result<Option<Report>> {
    let Some(e) = &run.recipe.evaluation else {
        return Ok(None);
    };
    let engine = Engine::open(bundle, &Options::default())?;
    let model = Remembered::new(&engine, run.checkpoints.path())?;
    let job = Job {
        corpus: run.recipe.resolve(&e.path),
        format: e.format,
        map: e.map.clone(),
        relations_from: e.relations_from.as_ref().map(|p| run.recipe.resolve(p)),
    };
    let report = eval::run(&model, &job, progress::count("documents"))?;
    if model.reused() {
        eprintln!("distill: an earlier process measured a part: tokens/s means nothing here");
    }
    Ok(Some(report))
}

/// The manifest's record of how the model was made. Only what decides the outcome: the same run gives the same bundle.
fn provenance(run: &Run, report: Option<&Report>) -> Value {
    let mut evaluation = report.map(Report::json);
    if let Some(object) = evaluation.as_mut().and_then(Value::as_object_mut) {
        object.remove("tokens_per_second"); // of this machine, not of the model
        object.remove("bundle_hash"); // of the bundle before it held its own figures
    }
    let mut provenance = json!({
        "made_by": concat!("distill ", env!("CARGO_PKG_VERSION")),
        "recipe": run.recipe.identity(),
        "data": run.data,
        "losses": run.curve,
        "evaluation": evaluation,
    });
    if let Some(object) = provenance
        .as_object_mut()
        .filter(|_| !run.changes.is_empty())
    {
        object.insert("recipe_changes".to_owned(), json!(run.changes));
    }
    provenance
}
