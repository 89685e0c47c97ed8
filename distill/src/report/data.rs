//! What a report says, as numbers: `report.json`. Equal runs give equal bytes but for `time` and `tokens_per_second`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Measurement;
use super::against_teacher::{AgainstTeacher, against_teacher};
use super::confusion::{Confusion, confusion};
use super::curves::Curves;
use super::errors::{Errors, worst};
use super::reliability::{Curve, cross_fitted, curves};
use crate::error::Result;
use crate::eval::{self, DocumentCounts};
use crate::recipe::{Recipe, Source};
use crate::train::trainer::Time;

/// Version of `report.json`.
pub const VERSION: u32 = 1;

/// `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub report_version: u32,
    /// The program that made it.
    pub made_by: &'static str,
    /// The bundle's model id.
    pub model_id: String,
    /// The bundles' hashes, by precision.
    pub bundles: BTreeMap<String, String>,
    /// What decided the trained weights: [`Recipe::identity`].
    pub recipe: Value,
    /// What was learned from, in words and numbers.
    pub data: String,
    /// What was learned from, with licences.
    pub sources: Vec<Source>,
    /// What the model must not be trusted with.
    pub limits: String,
    /// How the training went.
    pub curves: Curves,
    /// How long it took, if that was measured.
    pub time: Option<Time>,
    /// How good the bundles are, if the recipe says on what to measure.
    pub evaluation: Option<Evaluation>,
}

/// How good the bundles are. What follows the counts is of the last bundle: int8.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The corpus's file name.
    pub corpus: String,
    /// The bundle that the details are of: its precision.
    pub details_of: String,
    /// As `distill eval --json`, by precision.
    pub figures: BTreeMap<String, Value>,
    /// The order of the counts in `by_document`.
    pub entity_types: Vec<String>,
    /// The order of the counts in `by_document`.
    pub relation_types: Vec<String>,
    /// Thresholds of all types.
    pub thresholds: BTreeMap<String, f32>,
    /// What is taken for what.
    pub confusion: Confusion,
    /// Scores against the share that is right; what its calibration measured, if it is calibrated.
    pub reliability: Vec<Curve>,
    /// The student against its teachers.
    pub against_teacher: AgainstTeacher,
    /// The worst errors.
    pub errors: Errors,
    /// `[hits, false positives, misses]` of each type and document, by precision: what an ablation compares.
    pub by_document: BTreeMap<String, Vec<DocumentCounts>>,
    /// The figures before they became JSON, by precision.
    #[serde(skip)]
    pub reports: Vec<(String, eval::Report)>,
}

/// Puts a report together. The bundles are in the order fp32, int8; all are of one run.
///
/// # Errors
/// A teacher's file cannot be read.
pub fn make(
    recipe: &Recipe,
    bundles: &[Measurement],
    time: Option<Time>,
    with_text: bool,
) -> Result<Report> {
    let provenance = bundles.last().map(|b| &b.engine.manifest().provenance);
    let kept = |key: &str| {
        provenance
            .and_then(|p| p.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let hashes = bundles
        .iter()
        .map(|b| (b.precision.clone(), b.hash.clone()));
    Ok(Report {
        report_version: VERSION,
        made_by: concat!("distill ", env!("CARGO_PKG_VERSION")),
        model_id: recipe.name.clone(),
        bundles: hashes.collect(),
        recipe: recipe.identity(),
        data: kept("data").as_str().unwrap_or_default().to_owned(),
        sources: recipe.sources.clone(),
        limits: recipe.limits.clone(),
        curves: Curves::new(&kept("losses"), &recipe.training),
        time,
        evaluation: evaluation(recipe, bundles, with_text)?,
    })
}

fn evaluation(
    recipe: &Recipe,
    bundles: &[Measurement],
    with_text: bool,
) -> Result<Option<Evaluation>> {
    let measured = bundles
        .iter()
        .filter_map(|bundle| Some((bundle, bundle.measured.as_ref()?)));
    let measured: Vec<_> = measured.collect();
    let (Some(&(bundle, details)), Some(on)) = (measured.last(), &recipe.evaluation) else {
        return Ok(None);
    };
    let manifest = bundle.engine.manifest();
    let figures = measured.iter().map(|(bundle, measured)| {
        let mut figures = measured.report.json();
        if let Some(object) = figures.as_object_mut() {
            object.remove("bundle_hash"); // stands above; while its figures were missing the bundle had another one
        }
        (bundle.precision.clone(), figures)
    });
    let by_document = measured.iter().map(|(bundle, measured)| {
        (
            bundle.precision.clone(),
            measured.report.by_document.clone(),
        )
    });
    let entities = manifest
        .entities
        .iter()
        .map(|e| (e.name.clone(), e.threshold));
    let relations = manifest
        .relations
        .iter()
        .map(|r| (r.name.clone(), r.threshold));
    Ok(Some(Evaluation {
        corpus: on
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        details_of: bundle.precision.clone(),
        figures: figures.collect(),
        entity_types: manifest.entities.iter().map(|e| e.name.clone()).collect(),
        relation_types: manifest.relations.iter().map(|r| r.name.clone()).collect(),
        thresholds: entities.chain(relations).collect(),
        confusion: confusion(manifest, details),
        reliability: match &bundle.calibration {
            Some(calibration) => cross_fitted(calibration),
            None => curves(manifest, details),
        },
        against_teacher: against_teacher(recipe, manifest, details)?,
        errors: worst(manifest, details, &bundle.engine, with_text),
        by_document: by_document.collect(),
        reports: measured
            .iter()
            .map(|(bundle, measured)| (bundle.precision.clone(), measured.report.clone()))
            .collect(),
    }))
}
