//! The sanity check of Adebayo et al. (2018): an explanation that looks the same when the model has forgotten everything does not explain the model.

use std::path::Path;

use bie::bundle::{Bundle, ENCODER, RELATIONS};
use bie::explain::Deletion;
use bie::{Extraction, Target};

use crate::error::{Error, Result};
use crate::graph::onnx::shuffled;

use super::arms::Arm;
use super::card::files;
use super::measure::{Explained, Study};
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

/// How alike the weights are that each arm gives the words for a trained model and for shuffled ones: Spearman's correlation on the same targets,
/// those that the trained model reports in each text. At most five a text. Several shuffled models, because each is one draw.
///
/// # Errors
/// A model fails, or the trained one reports nothing.
pub fn check<M: Model>(
    trained: &Study<'_, M>,
    shuffled: &[Study<'_, M>],
    texts: &[&str],
    deletion: Deletion,
) -> Result<Vec<Agreement>> {
    // [arms][texts][targets x models]: correlations over all words, and over those outside the target.
    let mut alike: Vec<Vec<Vec<[f64; 2]>>> = vec![Vec::new(); trained.arms.len()];
    for text in texts {
        let extraction = trained.model.extract(text)?;
        let targets = targets(&extraction);
        if targets.is_empty() {
            continue;
        }
        let before = trained.explained(text, &extraction, &targets, deletion)?;
        alike.iter_mut().for_each(|texts| texts.push(Vec::new()));
        for other in shuffled {
            let own = Extraction {
                bundle_hash: other.model.hash().to_owned(),
                ..extraction.clone()
            };
            let after = other.explained(text, &own, &targets, deletion)?;
            for (arm, texts) in alike.iter_mut().enumerate() {
                let pairs = before.iter().zip(&after);
                let found = pairs.filter_map(|(a, b)| correlations(a, b, arm));
                texts
                    .last_mut()
                    .into_iter()
                    .for_each(|text| text.extend(found.clone()));
            }
        }
    }
    let agreement = |(arm, alike): (&Arm, Vec<Vec<[f64; 2]>>)| {
        let figure = |which: fn(&[f64; 2]) -> f64| {
            let values: Vec<Vec<f64>> = alike
                .iter()
                .map(|text| text.iter().map(which).collect())
                .collect();
            bootstrap(&values, stats::mean, trained.seed)
        };
        Some(Agreement {
            method: arm.name.clone(),
            models: shuffled.len(),
            decisions: alike.iter().map(Vec::len).sum::<usize>() / shuffled.len().max(1),
            spearman: figure(|x| x[0])?,
            spearman_others: figure(|x| x[1])?,
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

/// Over all words, and over those that are not the target's own: that a decision rests on its own words is the graph's shape as much as what
/// it learned. A method that gives all words one weight agrees with nothing.
fn correlations(a: &Explained, b: &Explained, arm: usize) -> Option<[f64; 2]> {
    let outside = |weights: &[f64]| -> Vec<f64> {
        let words = weights.iter().zip(&a.words);
        words
            .filter(|(_, w)| !w.in_target)
            .map(|(x, _)| *x)
            .collect()
    };
    let (x, y) = (a.weights.get(arm)?, b.weights.get(arm)?);
    Some([
        stats::spearman(x, y).unwrap_or(0.0),
        stats::spearman(&outside(x), &outside(y)).unwrap_or(0.0),
    ])
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
