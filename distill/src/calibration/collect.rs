//! Every decision that a bundle could report on an annotated corpus, with its score and how right it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bie::bundle::Manifest;
use bie::{Engine, Extraction};

use super::report::Kind;
use crate::corpus::Document;
use crate::error::Result;
use crate::eval::{
    self, Gold, GoldDocument, Job, Model, canonical, given_mentions, grouped, scored,
};
use crate::metrics::{Span, Triple, resolve};

/// A model whose thresholds and calibration can be exchanged.
pub trait Adjustable: Model {
    /// See [`Engine::decide_by`].
    ///
    /// # Errors
    /// The manifest is of another schema.
    fn decide_by(&mut self, manifest: &Manifest) -> Result<()>;
}

impl Adjustable for Engine {
    fn decide_by(&mut self, manifest: &Manifest) -> Result<()> {
        Ok(Engine::decide_by(self, manifest)?)
    }
}

/// Something that is reported, or not, by its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Index of the document.
    pub document: usize,
    /// Index of the type.
    pub label: usize,
    /// Before calibration.
    pub score: f32,
    /// Probability that it is right: 0 or 1 where people decided.
    pub right: f32,
    /// Whether it counts as gold.
    pub gold: bool,
}

/// All decisions of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// What is decided.
    pub kind: Kind,
    /// In the order of documents.
    pub list: Vec<Decision>,
    /// `[documents][types]`: what there is to be found.
    pub gold: Vec<Vec<usize>>,
}

/// A corpus in the terms of a bundle's schema.
pub struct Corpus {
    /// The documents.
    pub documents: Vec<Document>,
    pub(crate) gold: Gold,
}

/// The manifest with every score as the model gives it, and none too low to be reported.
pub fn bare(manifest: &Manifest) -> Manifest {
    let mut bare = manifest.clone();
    for kind in &mut bare.entities {
        (kind.temperature, kind.bias, kind.threshold) = (1.0, 0.0, 0.0);
    }
    for kind in &mut bare.relations {
        (kind.temperature, kind.bias, kind.threshold) = (1.0, 0.0, 0.0);
    }
    bare
}

impl Corpus {
    /// Reads the corpus, and `labels` for the relation types that it lacks.
    ///
    /// # Errors
    /// The corpus or the labels are bad or fit the bundle in nothing.
    pub fn read(manifest: &Manifest, job: &Job, labels: &[PathBuf]) -> Result<Corpus> {
        let (documents, gold) = eval::read(manifest, job, labels)?;
        Ok(Corpus { documents, gold })
    }

    /// Collects decisions of one kind from the documents for which `of` says so; `tick` is told of each.
    ///
    /// The model decides by [`bare`], but for [`Kind::EndToEnd`], where `entities` decide which mentions are related.
    ///
    /// # Errors
    /// The model fails.
    pub fn collect(
        &self,
        model: &mut impl Adjustable,
        kind: Kind,
        entities: &Manifest,
        of: impl Fn(usize) -> bool,
        mut tick: impl FnMut(),
    ) -> Result<Decisions> {
        let mut manifest = bare(model.manifest());
        let types = match kind {
            Kind::Entities => manifest.entities.len(),
            Kind::GoldEntities | Kind::EndToEnd => manifest.relations.len(),
        };
        if kind == Kind::EndToEnd {
            manifest.entities.clone_from(&entities.entities);
        }
        model.decide_by(&manifest)?;
        let mut list = Vec::new();
        let mut counts = vec![vec![0; types]; self.documents.len()];
        let documents = self.documents.iter().zip(&self.gold.documents);
        for ((at, (document, gold)), counts) in documents.enumerate().zip(&mut counts) {
            if !of(at) {
                continue;
            }
            let decision = |label, score, right, gold| Decision {
                document: at,
                label,
                score,
                right,
                gold,
            };
            match kind {
                Kind::Entities => {
                    gold.mentions
                        .keys()
                        .for_each(|span| count(counts, span.label));
                    list.extend(
                        mentions(&model.extract(&document.text)?)
                            .into_iter()
                            .filter(|(span, _)| self.gold.annotated.get(span.label) == Some(&true))
                            .map(|(span, score)| {
                                let right = gold.mentions.contains_key(&span);
                                decision(span.label, score, f32::from(u8::from(right)), right)
                            }),
                    );
                }
                Kind::GoldEntities | Kind::EndToEnd => {
                    gold.relations
                        .iter()
                        .for_each(|triple| count(counts, triple.label));
                    let (scores, unmatched) = match kind {
                        Kind::EndToEnd => {
                            between_concepts(&manifest, gold, &model.extract(&document.text)?)
                        }
                        _ => {
                            let given = given_mentions(gold, manifest.entities.len());
                            let pairs = model.relate(&document.text, &given)?;
                            (scored(&manifest, &pairs), Vec::new())
                        }
                    };
                    let known = |label: usize| gold.known.get(label) == Some(&true);
                    list.extend(scores.into_iter().filter(|(t, _)| known(t.label)).map(
                        |(triple, score)| {
                            let right = gold.probability(&self.gold.sources, triple);
                            decision(triple.label, score, right, gold.relations.contains(&triple))
                        },
                    ));
                    list.extend(
                        unmatched
                            .into_iter()
                            .filter(|(label, _)| known(*label))
                            .map(|(label, score)| decision(label, score, 0.0, false)),
                    );
                }
            }
            tick();
        }
        Ok(Decisions {
            kind,
            list,
            gold: counts,
        })
    }
}

fn count(counts: &mut [usize], label: usize) {
    if let Some(count) = counts.get_mut(label) {
        *count += 1;
    }
}

/// The mentions of a result, each once, with their scores.
fn mentions(extraction: &Extraction) -> BTreeMap<Span, f32> {
    let scores = extraction.entities.iter().map(|entity| entity.score);
    grouped(extraction)
        .into_iter()
        .map(|mention| mention.span)
        .zip(scores)
        .collect()
}

/// What a result says about gold concepts, as [`resolve`] reads it, with the highest score of each; and the relations with a side that stands for no
/// concept.
fn between_concepts(
    manifest: &Manifest,
    gold: &GoldDocument,
    extraction: &Extraction,
) -> (BTreeMap<Triple, f32>, Vec<(usize, f32)>) {
    let mentions = grouped(extraction);
    let group = |mention: u32| mentions.get(mention as usize).map(|mention| mention.group);
    let (mut scores, mut unmatched) = (BTreeMap::new(), Vec::new());
    for relation in &extraction.relations {
        let (Some(head), Some(tail)) = (group(relation.head), group(relation.tail)) else {
            continue;
        };
        let label = relation.label as usize;
        let (triples, nowhere) = resolve(&gold.mentions, &mentions, &[(head, tail, label)]);
        for triple in triples {
            let best: &mut f32 = scores.entry(canonical(manifest, triple)).or_default();
            *best = best.max(relation.score);
        }
        unmatched.extend(nowhere.into_iter().map(|label| (label, relation.score)));
    }
    (scores, unmatched)
}
