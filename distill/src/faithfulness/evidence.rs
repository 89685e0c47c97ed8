//! Do the weights point at the words that decide? Against a cue that was planted, or against spans that annotators or a teacher marked.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use bie::bundle::Manifest;
use bie::explain::faithfulness::order;
use bie::explain::{Deletion, Word};
use bie::{Extraction, Target};
use serde::Deserialize;

use crate::corpus::{CodePoints, Document, read_text};
use crate::error::{Error, Result};
use crate::eval::LABEL_HOLDS;
use crate::teacher;

use super::measure::{Study, relation};
use super::model::Model;
use super::report::Pointing;
use super::stats::{self, bootstrap};

/// What PHEE calls its events, and the relations that state them.
const EVENTS: [(&str, &str); 2] = [
    ("Adverse_event", "causes"),
    ("Potential_therapeutic_event", "treats"),
];

/// A text in which it is known what a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked {
    /// The text.
    pub text: String,
    /// One entry a statement.
    pub statements: Vec<Statement>,
}

/// A decision, and the words that state it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What is decided.
    pub what: What,
    /// Bytes of the evidence.
    pub evidence: Vec<Range<usize>>,
}

/// Which of a text's decisions is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The entity that is reported there, with this type.
    Entity(Range<usize>, String),
    /// The relation of this type that is reported from an entity with one of these mentions to one with one of those.
    Relation(Vec<Range<usize>>, Vec<Range<usize>>, String),
}

impl What {
    /// The reported decision that is meant, if there is one.
    fn target(&self, manifest: &Manifest, extraction: &Extraction) -> Option<Target> {
        match self {
            What::Entity(span, name) => {
                let label = manifest.entities.iter().position(|e| e.name == *name)?;
                let meant = |e: &&bie::result::Entity| {
                    e.label as usize == label
                        && (e.start as usize, e.end as usize) == (span.start, span.end)
                };
                let e = extraction.entities.iter().find(meant)?;
                Some(Target::Entity {
                    start: e.start,
                    end: e.end,
                    label: e.label,
                    rival: None,
                })
            }
            What::Relation(heads, tails, name) => {
                let label = manifest.relations.iter().position(|r| r.name == *name)?;
                // A relation is reported for the first mentions of two groups.
                let mentions = |first: u32, spans: &[Range<usize>]| {
                    let group = extraction.entities.get(first as usize).map(|e| e.group);
                    extraction.entities.iter().any(|e| {
                        Some(e.group) == group && spans.iter().any(|s| overlap(e.start, e.end, s))
                    })
                };
                let meant = |r: &bie::result::Relation| {
                    let symmetric = manifest.relations.get(label).is_some_and(|r| r.symmetric);
                    r.label as usize == label
                        && (mentions(r.head, heads) && mentions(r.tail, tails)
                            || symmetric && mentions(r.head, tails) && mentions(r.tail, heads))
                };
                relation(extraction, extraction.relations.iter().position(meant)?)
            }
        }
    }
}

fn overlap(start: u32, end: u32, span: &Range<usize>) -> bool {
    (start as usize) < span.end && span.start < end as usize
}

/// How well one explanation points at its evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hit {
    auprc: f64,
    auprc_others: f64,
    auc_others: Option<f64>,
    top1: f64,
    top3: f64,
}

/// Judges weights; `None` where no word outside the target is evidence, or all are.
fn judge(words: &[Word], weights: &[f64], evidence: &[Range<usize>]) -> Option<Hit> {
    let marked = |w: &Word| evidence.iter().any(|span| overlap(w.start, w.end, span));
    let all: Vec<bool> = words.iter().map(marked).collect();
    let (others, of_others): (Vec<f64>, Vec<bool>) = words
        .iter()
        .zip(weights)
        .filter(|(word, _)| !word.in_target)
        .map(|(word, weight)| (*weight, marked(word)))
        .unzip();
    if of_others.iter().all(|positive| *positive) {
        return None;
    }
    let heaviest = order(&others);
    let among = |n: usize| {
        let hit = |player: &usize| of_others.get(*player) == Some(&true);
        f64::from(u8::from(heaviest.iter().take(n).any(hit)))
    };
    Some(Hit {
        auprc: stats::average_precision(weights, &all)?,
        auprc_others: stats::average_precision(&others, &of_others)?,
        auc_others: stats::roc_auc(&others, &of_others),
        top1: among(1),
        top3: among(3),
    })
}

/// How well each arm points at the evidence of the decisions that the model reports. Empty if it reports none of them.
///
/// # Errors
/// The model fails.
pub fn check<M: Model>(
    study: &Study<'_, M>,
    texts: &[Marked],
    deletion: Deletion,
    mut tick: impl FnMut(usize, usize),
) -> Result<Vec<Pointing>> {
    // [arms][texts][decisions]
    let mut hits: Vec<Vec<Vec<Hit>>> = vec![Vec::new(); study.arms.len()];
    for (done, marked) in texts.iter().enumerate() {
        tick(done, texts.len());
        let extraction = study.model.extract(&marked.text)?;
        let manifest = study.model.manifest();
        let (targets, evidence): (Vec<Target>, Vec<&[Range<usize>]>) = marked
            .statements
            .iter()
            .filter_map(|s| Some((s.what.target(manifest, &extraction)?, s.evidence.as_slice())))
            .unzip();
        if targets.is_empty() {
            continue;
        }
        let explained = study.explained(&marked.text, &extraction, &targets, deletion)?;
        for (arm, hits) in hits.iter_mut().enumerate() {
            let of_text = explained
                .iter()
                .zip(&evidence)
                .filter_map(|(explained, evidence)| {
                    judge(&explained.words, explained.weights.get(arm)?, evidence)
                });
            hits.push(of_text.collect());
        }
    }
    tick(texts.len(), texts.len());
    let pointing = |(arm, hits): (&super::arms::Arm, Vec<Vec<Hit>>)| {
        let figure = |of: fn(&Hit) -> Option<f64>| {
            let values: Vec<Vec<f64>> = hits
                .iter()
                .map(|hits| hits.iter().filter_map(of).collect())
                .collect();
            bootstrap(&values, stats::mean, study.seed)
        };
        Some(Pointing {
            method: arm.name.clone(),
            decisions: hits.iter().map(Vec::len).sum(),
            auprc: figure(|h| Some(h.auprc))?,
            auprc_others: figure(|h| Some(h.auprc_others))?,
            auc_others: figure(|h| h.auc_others)?,
            top1: figure(|h| Some(h.top1))?,
            top3: figure(|h| Some(h.top3))?,
        })
    };
    Ok(study.arms.iter().zip(hits).filter_map(pointing).collect())
}

/// Evidence from a file: PHEE's events (`.json`, one object a line with `context`), or a teacher's labels, whose concepts the corpus's documents
/// tell the mentions of. Both may be gzip.
///
/// # Errors
/// The file is neither, or damaged.
pub fn read(path: &Path, documents: &[Document]) -> Result<Vec<Marked>> {
    let text = read_text(path)?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    if first.is_some_and(|line| line.contains("\"context\"")) {
        phee(path, &text)
    } else {
        Ok(stated(&teacher::parse(path, &text)?, documents))
    }
}

/// Triggers of PHEE's events (Sun et al. 2022): the words that state that a drug has an effect.
fn phee(path: &Path, text: &str) -> Result<Vec<Marked>> {
    let mut texts = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let bad = |why: String| Error::line(path, number + 1, why);
        let sentence: Sentence = serde_json::from_str(line)
            .map_err(|why| bad(format!("not a sentence of PHEE: {why}")))?;
        let places = CodePoints::new(&sentence.context);
        let spans = |argument: Option<&Argument>| -> Result<Vec<Range<usize>>> {
            let mut spans = Vec::new();
            if let Some(argument) = argument {
                let texts = argument.text.iter().flatten();
                for (text, start) in texts.zip(argument.start.iter().flatten()) {
                    let end = start + text.chars().count();
                    spans.push(places.range(*start, end).map_err(bad)?);
                }
            }
            Ok(spans)
        };
        let mut statements = Vec::new();
        for event in sentence.annotations.iter().flat_map(|a| &a.events) {
            let Some((_, name)) = EVENTS.iter().find(|(kind, _)| *kind == event.event_type) else {
                continue;
            };
            let treatment = event.treatment.as_ref();
            let drugs = spans(treatment.and_then(|t| t.drug.as_ref()))?;
            let mut conditions = spans(event.effect.as_ref())?;
            conditions.extend(spans(treatment.and_then(|t| t.disorder.as_ref()))?);
            let evidence = spans(event.trigger.as_ref())?;
            if !evidence.is_empty() {
                statements.push(Statement {
                    what: What::Relation(drugs, conditions, (*name).to_owned()),
                    evidence,
                });
            }
        }
        texts.push(Marked {
            text: sentence.context,
            statements,
        });
    }
    Ok(texts)
}

#[derive(Deserialize)]
struct Sentence {
    context: String,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    #[serde(rename = "Trigger")]
    trigger: Option<Argument>,
    #[serde(rename = "Treatment")]
    treatment: Option<Treatment>,
    #[serde(rename = "Effect")]
    effect: Option<Argument>,
}

#[derive(Deserialize)]
struct Treatment {
    #[serde(rename = "Drug")]
    drug: Option<Argument>,
    #[serde(rename = "Disorder")]
    disorder: Option<Argument>,
}

/// Pieces of text and where they begin, in code points.
#[derive(Deserialize)]
struct Argument {
    text: Vec<Vec<String>>,
    start: Vec<Vec<usize>>,
}

/// The pairs that a teacher says stand in a relation, with the span that states it, on documents that the corpus has.
fn stated(labels: &[teacher::Labels], documents: &[Document]) -> Vec<Marked> {
    let documents: HashMap<&str, &Document> =
        documents.iter().map(|d| (d.id.as_str(), d)).collect();
    let mut texts: Vec<Marked> = Vec::new();
    for row in labels {
        let Some(document) = documents
            .get(row.id.as_str())
            .filter(|d| d.text == row.text)
        else {
            continue;
        };
        let mentions = |concept: &str| -> Vec<Range<usize>> {
            let of = document
                .mentions
                .iter()
                .filter(|m| m.concepts.iter().any(|c| c == concept));
            of.map(|m| m.start..m.end).collect()
        };
        let mut statements = Vec::new();
        for pair in row.pairs.iter().flat_map(|p| &p.pairs) {
            let Some(evidence) = &pair.evidence else {
                continue;
            };
            let holds = pair
                .probabilities
                .iter()
                .filter(|(name, p)| *name != teacher::NONE && **p >= LABEL_HOLDS);
            statements.extend(holds.map(|(name, _)| Statement {
                what: What::Relation(mentions(&pair.head), mentions(&pair.tail), name.clone()),
                evidence: vec![evidence.clone()],
            }));
        }
        if !statements.is_empty() {
            texts.push(Marked {
                text: document.text.clone(),
                statements,
            });
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(start: u32, end: u32, in_target: bool) -> Word {
        Word {
            start,
            end,
            weight: 0.0,
            standard_error: 0.0,
            in_target,
        }
    }

    /// "aspirin caused a bad rash": the ends are targets, "caused" is the evidence, second among the other words.
    #[test]
    fn a_ranking_is_judged_with_and_without_the_targets_words() {
        let words = [
            word(0, 7, true),
            word(8, 14, false),
            word(15, 16, false),
            word(17, 20, false),
            word(21, 25, true),
        ];
        let evidence = 8..14;
        let hit = judge(
            &words,
            &[0.9, 0.4, 0.1, 0.5, 0.8],
            std::slice::from_ref(&evidence),
        )
        .unwrap();
        assert_eq!(hit.auprc, 0.25);
        assert_eq!(hit.auprc_others, 0.5);
        assert_eq!(hit.auc_others, Some(0.5));
        assert_eq!((hit.top1, hit.top3), (0.0, 1.0));
        // Evidence inside the target alone, and everywhere, tell nothing.
        for evidence in [0..7, 0..25] {
            let evidence = std::slice::from_ref(&evidence);
            assert_eq!(judge(&words, &[0.0; 5], evidence), None);
        }
    }

    #[test]
    fn triggers_of_phee_become_statements() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phee.json");
        let line = r#"{"id":"1","context":"β rash after aspirin","annotations":[{"events":[{"event_type":"Adverse_event","Trigger":{"text":[["after"]],"start":[[7]]},"Treatment":{"text":[["aspirin"]],"start":[[13]],"Drug":{"text":[["aspirin"]],"start":[[13]]}},"Effect":{"text":[["rash"]],"start":[[2]]}},{"event_type":"Other"}]}]}"#;
        std::fs::write(&path, format!("{line}\n\n")).unwrap();
        let texts = read(&path, &[]).unwrap();
        let one = |span: Range<usize>| std::iter::once(span).collect::<Vec<_>>();
        assert_eq!(
            texts,
            [Marked {
                text: "β rash after aspirin".to_owned(),
                statements: vec![Statement {
                    what: What::Relation(one(14..21), one(3..7), "causes".to_owned()),
                    evidence: one(8..13),
                }],
            }]
        );
        std::fs::write(&path, line.replace("[[7]]", "[[70]]")).unwrap();
        let bad = read(&path, &[]).unwrap_err().to_string();
        assert!(
            bad.contains("phee.json:1:") && !bad.contains("rash"),
            "{bad}"
        );
    }
}
