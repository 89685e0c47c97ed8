//! Calibration: scores that say how often they are right, and thresholds that are chosen by what they cost.
//!
//! ```text
//! bundle, annotated text ─ collect (every candidate, its own score, gold) ─ fit (a map a type) ─ thresholds (by a goal) ─ manifest
//!                                                                     └ cross-fitted: reliability, F1 ─ report
//! ```
//!
//! What is shipped is fitted on all documents. What is reported of it is measured on parts of the documents that it was not fitted on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bie::bundle::{Bundle, Manifest};
use bie::decode::calibration::Calibration;
use bie::{Engine, Options};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::eval;
use crate::progress;
use crate::recipe::Recipe;
use collect::{Adjustable, Corpus, Decision, Decisions};
use reliability::{Scored, reliability};
use report::{ALL, Kind, Measured, Side, TypeFit};
use thresholds::Goal;

pub mod collect;
pub mod fit;
pub mod reliability;
pub mod report;
mod text;
pub mod thresholds;

pub use report::{FILE, Report};
pub use text::{NOT_CALIBRATED, card};

/// Parts that documents are split in.
pub const FOLDS: usize = 5;

/// A relation scored below is no candidate: nearly all pairs of a document are unrelated, and the many that the model is sure of would hide how it does
/// on the others.
pub const LEAST_CANDIDATE: f32 = 0.05;

/// What to calibrate on, and what thresholds are for.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Soft labels for relation types that the corpus lacks.
    pub relations_from: Vec<PathBuf>,
    /// Of every type that has none of its own.
    pub goal: Goal,
    /// By name.
    pub goals: BTreeMap<String, Goal>,
    /// Types whose threshold is given, by name.
    pub thresholds: BTreeMap<String, f32>,
    /// What the score of a relation shall mean.
    pub relations: Relations,
}

/// What the score of a relation is the probability of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relations {
    /// That the relation holds between two things that the text names, given the bundle's own reading of both: what a host gets.
    #[default]
    EndToEnd,
    /// That it holds, given that both entities are right: for hosts that check entities first.
    GoldEntities,
}

/// How a type is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    calibration: Calibration,
    threshold: f32,
}

impl TypeFit {
    fn rule(&self) -> Rule {
        Rule {
            calibration: Calibration {
                temperature: self.temperature,
                bias: self.bias,
            },
            threshold: self.threshold,
        }
    }
}

/// Calibrates a model on a corpus; `tick` is told the number of readings done and of all.
///
/// # Errors
/// The corpus or the labels are bad or fit the bundle in nothing, a name is of no type, or the model fails.
pub fn run(
    model: &mut impl Adjustable,
    source: &eval::Job,
    job: &Job,
    mut tick: impl FnMut(usize, usize),
) -> Result<Report> {
    let original = model.manifest().clone();
    job.check(&original)?;
    let texts = Corpus::read(&original, source, &job.relations_from)?;
    let folds: Vec<usize> = texts.documents.iter().map(|d| fold(&d.id)).collect();
    let readings = 4 * texts.documents.len();
    let mut done = 0;
    let mut collect = |model: &mut _, kind, entities: &Manifest, of: &dyn Fn(usize) -> bool| {
        texts.collect(model, kind, entities, of, || {
            done += 1;
            tick(done, readings);
        })
    };
    let every = |_| true;
    let mentions = collect(model, Kind::Entities, &original, &every)?;
    let given = collect(model, Kind::GoldEntities, &original, &every)?;
    let before = collect(model, Kind::EndToEnd, &original, &every)?;

    let entity_sources: Vec<Option<&str>> = texts
        .gold
        .annotated
        .iter()
        .map(|known| known.then_some("corpus"))
        .collect();
    let entity_rules: Vec<Vec<TypeFit>> = (0..FOLDS)
        .map(|part| {
            job.fit(&original, &mentions, &entity_sources, |document| {
                folds.get(document) != Some(&part)
            })
        })
        .collect();
    // Each document is read by thresholds for mentions that were fitted on others (stacking: Wolpert 1992).
    let mut after = Decisions {
        kind: Kind::EndToEnd,
        list: Vec::new(),
        gold: before.gold.clone(),
    };
    for (part, rules) in entity_rules.iter().enumerate() {
        let mut manifest = original.clone();
        write_entities(&mut manifest, rules);
        let of = |document: usize| folds.get(document) == Some(&part);
        after
            .list
            .extend(collect(model, Kind::EndToEnd, &manifest, &of)?.list);
    }
    after.list.sort_by_key(|decision| decision.document);
    model.decide_by(&original)?;

    let fitted_on = match job.relations {
        Relations::EndToEnd => &after,
        Relations::GoldEntities => &given,
    };
    let sources: Vec<Option<&str>> = texts.gold.sources.clone();
    let relation_rules: Vec<Vec<TypeFit>> = (0..FOLDS)
        .map(|part| {
            job.fit(&original, fitted_on, &sources, |document| {
                folds.get(document) != Some(&part)
            })
        })
        .collect();

    let measured = |kind: Kind,
                    (then, now): (&Decisions, &Decisions),
                    rules: &[Vec<TypeFit>],
                    sources: &[Option<&str>]| {
        let old = rules_of(&original, kind);
        let names = names_of(&original, kind);
        let with_gold: Vec<usize> = (0..names.len())
            .filter(|label| matches!(sources.get(*label), Some(Some(_))))
            .collect();
        let before = |d: &Decision| old.get(d.label).copied();
        let after = |d: &Decision| {
            rules
                .get(*folds.get(d.document)?)?
                .get(d.label)
                .map(TypeFit::rule)
        };
        let all = std::iter::once((ALL.to_owned(), with_gold.clone()));
        let each = with_gold
            .iter()
            .filter_map(|&label| Some((names.get(label)?.clone(), vec![label])));
        let one = |(name, labels): (String, Vec<usize>)| Measured {
            kind,
            name,
            before: side(then, &labels, before),
            after: side(now, &labels, after),
        };
        all.filter(|(_, labels)| !labels.is_empty())
            .chain(each)
            .map(one)
            .collect::<Vec<_>>()
    };
    Ok(Report {
        model_id: original.model_id.clone(),
        bundle_hash: model.hash().to_owned(),
        corpus: source
            .corpus
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        documents: texts.documents.len(),
        folds: FOLDS,
        scores_of_relations: job.relations,
        entities: job.fit(&original, &mentions, &entity_sources, every),
        relations: job.fit(&original, fitted_on, &sources, every),
        measured: [
            measured(
                Kind::Entities,
                (&mentions, &mentions),
                &entity_rules,
                &entity_sources,
            ),
            measured(
                Kind::GoldEntities,
                (&given, &given),
                &relation_rules,
                &sources,
            ),
            measured(Kind::EndToEnd, (&before, &after), &relation_rules, &sources),
        ]
        .concat(),
    })
}

/// The part that a document belongs to, by its id alone: another corpus around it does not move it.
fn fold(id: &str) -> usize {
    let digest = Sha256::digest(id.as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    (number % FOLDS as u64) as usize
}

fn names_of(manifest: &Manifest, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Entities => manifest.entities.iter().map(|e| e.name.clone()).collect(),
        _ => manifest.relations.iter().map(|r| r.name.clone()).collect(),
    }
}

fn rules_of(manifest: &Manifest, kind: Kind) -> Vec<Rule> {
    let rule = |(calibration, threshold)| Rule {
        calibration,
        threshold,
    };
    match kind {
        Kind::Entities => manifest
            .entities
            .iter()
            .map(|e| rule((e.calibration(), e.threshold)))
            .collect(),
        _ => manifest
            .relations
            .iter()
            .map(|r| rule((r.calibration(), r.threshold)))
            .collect(),
    }
}

impl Job {
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let known = |name: &str| {
            manifest.entities.iter().any(|e| e.name == name)
                || manifest.relations.iter().any(|r| r.name == name)
        };
        match self
            .goals
            .keys()
            .chain(self.thresholds.keys())
            .find(|name| !known(name))
        {
            Some(name) => Err(Error::Usage(format!(
                "the bundle has no type \"{name}\" to give a goal or a threshold"
            ))),
            None => Ok(()),
        }
    }

    /// Fits every type of a kind on the decisions of the documents for which `on` says so.
    fn fit(
        &self,
        original: &Manifest,
        decisions: &Decisions,
        sources: &[Option<&str>],
        on: impl Fn(usize) -> bool,
    ) -> Vec<TypeFit> {
        let names = names_of(original, decisions.kind);
        let rules = rules_of(original, decisions.kind);
        let one = |(label, (name, rule)): (usize, (String, Rule))| {
            let own = || {
                decisions
                    .list
                    .iter()
                    .filter(|d| d.label == label && on(d.document))
            };
            let gold = decisions
                .gold
                .iter()
                .enumerate()
                .filter(|(document, _)| on(*document));
            let gold: usize = gold.filter_map(|(_, counts)| counts.get(label)).sum();
            let mut fit = TypeFit {
                gold: sources.get(label).copied().flatten().map(str::to_owned),
                decisions: own().count(),
                right: own().map(|d| f64::from(d.right)).sum(),
                family: None,
                temperature: rule.calibration.temperature,
                bias: rule.calibration.bias,
                threshold: self
                    .thresholds
                    .get(&name)
                    .copied()
                    .unwrap_or(rule.threshold),
                note: String::new(),
                operating_points: Vec::new(),
                name,
            };
            if fit.gold.is_none() {
                fit.note = "left as it was: no gold".to_owned();
                return fit;
            }
            let found = match fit::fit(own()) {
                Ok(found) => found,
                Err(why) => {
                    fit.note = format!("left as it was: {why}");
                    return fit;
                }
            };
            (fit.family, fit.temperature, fit.bias) = (
                Some(found.family),
                found.calibration.temperature,
                found.calibration.bias,
            );
            let points = thresholds::points(own(), found.calibration, gold);
            let goal = self.goals.get(&fit.name).copied().unwrap_or(self.goal);
            (fit.threshold, fit.note) = match thresholds::choose(&points, goal) {
                _ if self.thresholds.contains_key(&fit.name) => {
                    (fit.threshold, "threshold as given".to_owned())
                }
                Some((point, true)) => (point.score, format!("threshold for {goal}")),
                Some((point, false)) => (
                    point.score,
                    format!("no threshold reaches {goal}; this one is nearest"),
                ),
                None => (
                    fit.threshold,
                    "threshold as it was: nothing right is found".to_owned(),
                ),
            };
            fit.operating_points = thresholds::table(&points, fit.threshold);
            fit
        };
        names.into_iter().zip(rules).enumerate().map(one).collect()
    }
}

/// How decisions of some types do by the rule that applies to each.
fn side(decisions: &Decisions, labels: &[usize], rule: impl Fn(&Decision) -> Option<Rule>) -> Side {
    let least = match decisions.kind {
        Kind::Entities => 0.0,
        Kind::GoldEntities | Kind::EndToEnd => LEAST_CANDIDATE,
    };
    let mut candidates: Vec<Vec<Scored>> = vec![Vec::new(); decisions.gold.len()];
    let mut reported = candidates.clone();
    let (mut hits, mut false_positives) = (0, 0);
    for decision in decisions.list.iter().filter(|d| labels.contains(&d.label)) {
        let Some(Rule {
            calibration,
            threshold,
        }) = rule(decision)
        else {
            continue;
        };
        let score = calibration.apply(decision.score);
        let scored = (f64::from(score), f64::from(decision.right));
        for (list, from) in [(&mut candidates, least), (&mut reported, threshold)] {
            if let Some(list) = list.get_mut(decision.document).filter(|_| score >= from) {
                list.push(scored);
            }
        }
        if score >= threshold {
            *if decision.gold {
                &mut hits
            } else {
                &mut false_positives
            } += 1;
        }
    }
    let gold: usize = decisions
        .gold
        .iter()
        .flat_map(|counts| labels.iter().filter_map(|label| counts.get(*label)))
        .sum();
    let ratio = |part: usize, whole: usize| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    Side {
        candidates: reliability(&candidates),
        reported: reliability(&reported),
        hits,
        false_positives,
        misses: gold.saturating_sub(hits),
        precision: ratio(hits, hits + false_positives),
        recall: ratio(hits, gold),
        f1: ratio(2 * hits, hits + false_positives + gold),
    }
}

fn write_entities(manifest: &mut Manifest, fits: &[TypeFit]) {
    for (kind, fit) in manifest.entities.iter_mut().zip(fits) {
        (kind.temperature, kind.bias, kind.threshold) = (fit.temperature, fit.bias, fit.threshold);
        if fit.family.is_some() {
            kind.operating_points.clone_from(&fit.operating_points);
        }
    }
}

impl Report {
    /// Writes what was fitted into a manifest of the same schema, and into its record of how it was made.
    pub fn apply(&self, manifest: &mut Manifest) {
        write_entities(manifest, &self.entities);
        for (kind, fit) in manifest.relations.iter_mut().zip(&self.relations) {
            (kind.temperature, kind.bias, kind.threshold) =
                (fit.temperature, fit.bias, fit.threshold);
            if fit.family.is_some() {
                kind.operating_points.clone_from(&fit.operating_points);
            }
        }
        if let Some(provenance) = manifest.provenance.as_object_mut() {
            provenance.insert("calibration".to_owned(), self.provenance());
        }
    }

    /// The report as it lies in the bundle.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|why| Error::Usage(format!("cannot write {}: {why}", report::FILE)))?;
        json.push(b'\n');
        Ok(json)
    }

    /// What the manifest records of it.
    fn provenance(&self) -> Value {
        let error = |kind: Kind| {
            let all = self
                .measured
                .iter()
                .find(|m| m.kind == kind && m.name == ALL)?;
            Some(
                json!({ "before": all.before.reported.ece?.value, "after": all.after.reported.ece?.value }),
            )
        };
        json!({
            "corpus": self.corpus,
            "documents": self.documents,
            "scores_of_relations": self.scores_of_relations,
            "expected_calibration_error": {
                "entities": error(Kind::Entities),
                "gold_entities": error(Kind::GoldEntities),
                "end_to_end": error(Kind::EndToEnd),
            },
        })
    }
}

/// `distill calibrate`: calibrates the bundle in `bundle` and writes the result to `out`, with card and [`report::FILE`]; nowhere if there is no
/// `out`. Returns the report and the hash of what was written.
///
/// # Errors
/// As [`run`]; the bundle cannot be read or written.
pub fn calibrate(
    bundle: &Path,
    out: Option<&Path>,
    run: impl FnOnce(&mut Engine) -> Result<Report>,
) -> Result<(Report, Option<String>)> {
    let mut engine = Engine::open(bundle, &Options::default())?;
    let report = run(&mut engine)?;
    let Some(out) = out else {
        return Ok((report, None));
    };
    let mut manifest = Bundle::open(bundle)?.manifest;
    let mut files = crate::faithfulness::card::files(bundle, &manifest)?;
    report.apply(&mut manifest);
    let old = String::from_utf8(files.remove("README.md").unwrap_or_default())
        .map_err(|_| Error::file(&bundle.join("README.md"), "the card is not UTF-8"))?;
    files.insert("README.md".to_owned(), card(&old, &report).into_bytes());
    files.insert(report::FILE.to_owned(), report.to_json()?);
    let hash = Bundle::write(out, &manifest, &files)?;
    Ok((report, Some(hash)))
}

/// Calibrates the bundle that a run has just written, if its recipe says so: on its own corpus, else on the evaluation's.
///
/// # Errors
/// As [`run`].
pub fn finished(recipe: &Recipe, bundle: &Path) -> Result<Option<Report>> {
    let Some(wanted) = &recipe.calibration else {
        return Ok(None);
    };
    let Some(source) = wanted.source(recipe) else {
        return Ok(None);
    };
    let labels = source.relations_from.iter().chain(&wanted.relations_from);
    let job = Job {
        relations_from: labels.map(|path| recipe.resolve(path)).collect(),
        goal: wanted.goal,
        goals: wanted.goals.clone(),
        thresholds: recipe.given_thresholds(),
        relations: wanted.relations,
    };
    let mut engine = Engine::open(bundle, &Options::default())?;
    let source = eval::Job::of(recipe, source);
    let tick = progress::count("readings");
    run(&mut engine, &source, &job, tick).map(Some)
}

#[cfg(test)]
mod tests;
