//! `calibration.json`: what was fitted, and how well scores are calibrated before and after, with the curves that a picture is drawn from.

use bie::bundle::OperatingPoint;
use serde::{Deserialize, Serialize};

use super::Relations;
use crate::faithfulness::stats::Figure;

/// Name of the file in the output folder.
pub const FILE: &str = "calibration.json";

/// What [`Measured::name`] is for all types of a kind together.
pub const ALL: &str = "all";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The bundle's model id.
    pub model_id: String,
    /// Hash of the bundle that was calibrated, before it was.
    pub bundle_hash: String,
    /// Name of the corpus's file.
    pub corpus: String,
    /// Documents of the corpus.
    pub documents: usize,
    /// Parts that the documents were split in: what is measured "after" on a part was fitted on the others.
    pub folds: usize,
    /// What the scores of relations were fitted to mean.
    pub scores_of_relations: Relations,
    /// Entity types in the order of the schema.
    pub entities: Vec<TypeFit>,
    /// Relation types in the order of the schema.
    pub relations: Vec<TypeFit>,
    /// For each kind of decision: all types together ([`ALL`]), then each type that has gold.
    pub measured: Vec<Measured>,
}

/// What one type got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeFit {
    /// The type's name.
    pub name: String,
    /// Where its gold is from: "corpus", "labels" (a teacher's), or nothing.
    pub gold: Option<String>,
    /// Candidates that were scored.
    pub decisions: usize,
    /// How many of them are right; a teacher's labels count by their probability.
    pub right: f64,
    /// "temperature" or "platt" (temperature and bias); nothing if the type was left as it was.
    pub family: Option<Family>,
    /// The score is `sigmoid(logit(p) / temperature + bias)`.
    pub temperature: f32,
    /// See `temperature`.
    pub bias: f32,
    /// From which score on decisions are reported.
    pub threshold: f32,
    /// Why the threshold is what it is, and why a type was left as it was, in words.
    pub note: String,
    /// What other thresholds would do, ascending; calibrated scores.
    pub operating_points: Vec<OperatingPoint>,
}

/// A family of calibration maps, the simplest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// One parameter (Guo et al. 2017).
    Temperature,
    /// Two (Platt 1999).
    Platt,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Mentions, by exact bytes and type.
    Entities,
    /// Relations between given gold entities.
    GoldEntities,
    /// Relations between entities that the bundle found.
    EndToEnd,
}

/// One kind of decision and one type, or all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// What is decided.
    pub kind: Kind,
    /// The type's name, or [`ALL`].
    pub name: String,
    /// By the bundle as it was.
    pub before: Side,
    /// By the new calibration and thresholds, cross-fitted.
    pub after: Side,
}

/// How one bundle does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// Every candidate (of relations: scored at least 0.05).
    pub candidates: Reliability,
    /// Those that are reported: scored at least the type's threshold.
    pub reported: Reliability,
    /// Reported and gold.
    pub hits: usize,
    /// Reported, not gold.
    pub false_positives: usize,
    /// Gold, not reported.
    pub misses: usize,
    /// Of the reported, the share that is gold.
    pub precision: f64,
    /// Of the gold, the share that is reported.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// How far scores are from the share that is right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliability {
    /// Decisions.
    pub decisions: usize,
    /// Expected calibration error over bins of equal width; 95 % interval over documents. Nothing where there is no decision.
    pub ece: Option<Figure>,
    /// The same over bins of equal mass.
    pub ece_equal_mass: Option<Figure>,
    /// Mean negative log-likelihood, nats.
    pub log_loss: Option<f64>,
    /// Mean squared error.
    pub brier: Option<f64>,
    /// The bins of equal width that hold decisions, ascending.
    pub bins: Vec<Bin>,
    /// The bins of equal mass, ascending.
    pub bins_equal_mass: Vec<Bin>,
}

/// One point of a reliability curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Mean score.
    pub score: f64,
    /// Share that is right.
    pub right: f64,
    /// Decisions.
    pub count: usize,
}
