//! The sanity check of Adebayo et al. (2018): an explanation that looks the same when the model has forgotten everything does not explain the model.

use std::path::Path;

use bie::bundle::{Bundle, ENCODER, RELATIONS};
use bie::explain::Deletion;
use bie::{Extraction, Target};

use crate::error::{Error, Result};
use crate::graph::onnx::shuffled;

use super::card::files;
use super::measure::Study;
use super::model::Model;
use super::report::Agreement;
use super::stats::{self, bootstrap};

/// Targets of a text at most: texts matter more than targets of one text.
const TARGETS: usize = 5;

/// Writes a bundle whose parameters are shuffled, each tensor's values among themselves. The hash of the new bundle.
///
/// # Errors
/// The bundle cannot be read, was not made by `distill`, or the new one cannot be written.
pub fn write(bundle: &Path, to: &Path, seed: u64) -> Result<String> {
    let manifest = Bundle::open(bundle)?.manifest;
    let mut files = files(bundle, &manifest)?;
    for name in [ENCODER, RELATIONS] {
        let Some(model) = files.get_mut(name) else {
            continue;
        };
        *model = shuffled(model, seed).ok_or_else(|| {
            Error::file(
                &bundle.join(name),
                "the graph is not one that distill prints, so its weights cannot be shuffled",
            )
        })?;
    }
    Ok(Bundle::write(to, &manifest, &files)?)
}

/// How alike the weights are that each arm gives the words for a trained and for a shuffled model: Spearman's correlation on the same targets,
/// those that the trained model reports in each text. At most five a text.
///
/// # Errors
/// A model fails, or the trained one reports nothing.
pub fn check<A: Model, B: Model>(
    trained: &Study<'_, A>,
    shuffled: &Study<'_, B>,
    texts: &[&str],
    deletion: Deletion,
) -> Result<Vec<Agreement>> {
    // [arms][texts][targets]
    let mut alike: Vec<Vec<Vec<f64>>> = vec![Vec::new(); trained.arms.len()];
    for text in texts {
        let extraction = trained.model.extract(text)?;
        let targets = targets(&extraction);
        if targets.is_empty() {
            continue;
        }
        let before = trained.explained(text, &extraction, &targets, deletion)?;
        let own = Extraction {
            bundle_hash: shuffled.model.hash().to_owned(),
            ..extraction
        };
        let after = shuffled.explained(text, &own, &targets, deletion)?;
        for (arm, alike) in alike.iter_mut().enumerate() {
            let pairs = before.iter().zip(&after);
            let of_text = pairs.filter_map(|(a, b)| {
                let (a, b) = (a.weights.get(arm)?, b.weights.get(arm)?);
                // A method that gives all words one weight agrees with nothing.
                Some(stats::spearman(a, b).unwrap_or(0.0))
            });
            alike.push(of_text.collect());
        }
    }
    let agreement = |(arm, alike): (&super::arms::Arm, Vec<Vec<f64>>)| {
        Some(Agreement {
            method: arm.name.clone(),
            decisions: alike.iter().map(Vec::len).sum(),
            spearman: bootstrap(&alike, stats::mean, trained.seed)?,
        })
    };
    let found: Vec<Agreement> = trained
        .arms
        .iter()
        .zip(alike)
        .filter_map(agreement)
        .collect();
    if found.is_empty() {
        return Err(Error::Training(
            "the bundle reports nothing on these texts, so there is nothing to compare".into(),
        ));
    }
    Ok(found)
}

/// Relations first, then entities from the first on.
fn targets(extraction: &Extraction) -> Vec<Target> {
    let relations =
        (0..extraction.relations.len()).filter_map(|n| super::measure::relation(extraction, n));
    let entities = extraction.entities.iter().map(|e| Target::Entity {
        start: e.start,
        end: e.end,
        label: e.label,
        rival: None,
    });
    relations
        .take(TARGETS / 2)
        .chain(entities)
        .take(TARGETS)
        .collect()
}
