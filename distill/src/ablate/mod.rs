//! What each term is worth: the same training with and without it, several times.
//!
//! Every arm and seed is an ordinary training in a folder of its own; what was finished is not done again, what was broken off goes on. Then
//! the arms are compared document by document: [`crate::report::ablation`].

use std::fs;
use std::path::{Path, PathBuf};

use bie::bundle::Bundle;
use bie::{Engine, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::eval::{self, DocumentCounts};
use crate::finish;
use crate::progress;
use crate::recipe::Recipe;
use crate::report::ablation::Ablation;
use crate::report::{self, pretty, write_whole};
use crate::train::How;

mod plan;
pub mod stats;

pub use plan::{Arm, Plan};

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The bundle's hash.
    pub bundle: String,
    /// The order of the counts.
    pub entity_types: Vec<String>,
    /// The order of the counts.
    pub relation_types: Vec<String>,
    /// Relation types that were measured.
    pub measured: Vec<String>,
    /// The counts.
    pub documents: Vec<DocumentCounts>,
}

/// One run of the plan.
struct Planned<'a> {
    arm: &'a Arm,
    seed: u64,
}

impl Planned<'_> {
    fn name(&self) -> String {
        format!("{}-{}", self.arm.name, self.seed)
    }
}

/// `distill ablate`: trains what is not there yet (unless `collect`), compares, and writes the report into `out`.
///
/// # Errors
/// The plan or a recipe is bad, a run fails, or runs cannot be compared.
pub fn run(plan: &Path, out: &Path, collect: bool) -> Result<()> {
    let plan = Plan::read(plan)?;
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    // Seed by seed: what is broken off has whole rows to compare.
    let runs: Vec<Planned> = plan
        .seeds
        .iter()
        .flat_map(|&seed| plan.arms.iter().map(move |arm| Planned { arm, seed }))
        .collect();
    let recipes: Vec<Recipe> = runs
        .iter()
        .map(|run| recipe(&plan, run, out))
        .collect::<Result<_>>()?;
    if let Some(recipe) = recipes.iter().find(|r| r.evaluation.is_none()) {
        return Err(recipe.error(&["evaluation"], "an ablation needs documents to measure on"));
    }
    let mut outcomes = Vec::new();
    let mut missing = Vec::new();
    for (run, recipe) in runs.iter().zip(&recipes) {
        let dir = match (&run.arm.runs, collect) {
            (Some(pattern), true) => {
                plan.resolve(Path::new(&pattern.replace("{seed}", &run.seed.to_string())))
            }
            _ => out.join(run.name()),
        };
        if !collect && finished(&dir, recipe)?.is_none() {
            eprintln!("distill: {} of {}", run.name(), out.display());
            finish::train(recipe.file(), &dir, &How::newest())?;
        }
        let reported = if collect && run.arm.runs.is_some() {
            None
        } else {
            finished(&dir, recipe)?
        };
        let cache = out.join(format!("{}.json", run.name()));
        let outcome = match reported {
            Some(report) => Some(from_report(&dir, &report, &plan.precision)?),
            None => measured(&dir.join(&plan.precision), recipe, &cache)?,
        };
        match outcome {
            Some(outcome) => outcomes.push((run.arm.name.clone(), run.seed, outcome)),
            None => missing.push(run.name()),
        }
    }
    if !missing.is_empty() {
        eprintln!("distill: not there yet: {}", missing.join(", "));
    }
    let arms: Vec<(String, String)> = plan
        .arms
        .iter()
        .map(|arm| (arm.name.clone(), arm.title().to_owned()))
        .collect();
    let ablation = Ablation::new(&plan.precision, arms, outcomes, missing)?;
    ablation.write(out)?;
    Ok(())
}

/// The recipe of a run, written to `OUT/ARM-SEED.toml` and read from there.
fn recipe(plan: &Plan, run: &Planned, out: &Path) -> Result<Recipe> {
    let file = out.join(format!("{}.toml", run.name()));
    write_whole(&file, plan.recipe_of(run.arm, run.seed)?.as_bytes())?;
    Recipe::read(&file)
}

/// The report of a finished run; none if the run is not finished.
fn finished(dir: &Path, recipe: &Recipe) -> Result<Option<Value>> {
    let path = dir.join(report::JSON);
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("read", &path))?,
    };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, e.to_string()))?;
    let recorded = value.get("recipe");
    if !recorded.is_some_and(|recorded| report::made_by(recipe, recorded)) {
        return Err(Error::file(
            &path,
            format!(
                "the run was made by another recipe than {} is now; give another --out, or remove {}",
                recipe.file().display(),
                dir.display()
            ),
        ));
    }
    Ok(Some(value))
}

fn from_report(dir: &Path, report: &Value, precision: &str) -> Result<Outcome> {
    let at = |pointer: &str| report.pointer(pointer).cloned().unwrap_or_default();
    let read = || -> std::result::Result<Outcome, serde_json::Error> {
        let gold = at(&format!("/evaluation/figures/{precision}/relations/gold"));
        Ok(Outcome {
            bundle: serde_json::from_value(at(&format!("/bundles/{precision}")))?,
            entity_types: serde_json::from_value(at("/evaluation/entity_types"))?,
            relation_types: serde_json::from_value(at("/evaluation/relation_types"))?,
            measured: gold
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
            documents: serde_json::from_value(at(&format!("/evaluation/by_document/{precision}")))?,
        })
    };
    read().map_err(|e| Error::file(&dir.join(report::JSON), e.to_string()))
}

/// Measures a bundle, or takes what was measured before of the very same; none if there is no bundle.
fn measured(bundle: &Path, recipe: &Recipe, cache: &Path) -> Result<Option<Outcome>> {
    if !bundle.is_dir() {
        return Ok(None);
    }
    let hash = Bundle::open(bundle)?.hash;
    if let Some(outcome) = fs::read(cache)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Outcome>(&bytes).ok())
        .filter(|outcome| outcome.bundle == hash)
    {
        return Ok(Some(outcome));
    }
    let Some(job) = report::job(recipe) else {
        return Ok(None);
    };
    eprintln!("distill: measuring {}", bundle.display());
    let engine = Engine::open(bundle, &Options::default())?;
    let report = eval::run(&engine, &job, progress::count("documents"))?;
    let manifest = engine.manifest();
    let outcome = Outcome {
        bundle: hash,
        entity_types: manifest.entities.iter().map(|e| e.name.clone()).collect(),
        relation_types: manifest.relations.iter().map(|r| r.name.clone()).collect(),
        measured: report.gold_from.into_iter().map(|(name, _)| name).collect(),
        documents: report.by_document,
    };
    write_whole(cache, &pretty(&outcome)?)?;
    Ok(Some(outcome))
}

/// The files that [`run`] writes besides those of its runs.
pub fn files(out: &Path) -> [PathBuf; 3] {
    ["ablation.json", "ablation.html", "ablation.txt"].map(|name| out.join(name))
}
