//! Measures a bundle on an annotated corpus, through libbie as a host would use it.
//!
//! What counts: mentions of types that the bundle knows, by exact bytes and type, each once; relations between concepts, by document.
//! A relation type is measured against the corpus if any document of it has such a relation (a pair without one is then a negative).
//! A type that the corpus lacks can be measured against a teacher's labels: a pair whose stated probability is at least
//! [`LABEL_HOLDS`] counts as gold, on the documents that the teacher has read. Other relation types are left out.
//!
//! `gold_entities`: the gold mentions are given, the bundle only relates them. `end_to_end`: the bundle finds mentions and relations; see
//! [`metrics::resolve`] for how its groups are compared with concepts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bie::bundle::Manifest;
use bie::engine::{GivenMention, ScoredPair};
use bie::{Engine, Extraction, Options};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::corpus::{self, Document, Format};
use crate::error::{Error, Result};
use crate::metrics::{self, Grouped, Scores, Span, Tally, Triple};
use crate::recipe::{Evaluation, Recipe};
use crate::teacher::{self, Labels, NONE};

/// Stated probability from which a teacher's label counts as gold.
pub const LABEL_HOLDS: f32 = 0.5;

/// Names in published corpora of what schemas commonly call otherwise; a schema's own name goes before.
const KNOWN_NAMES: [(&str, &str); 11] = [
    ("CID", "causes"),
    ("SpecificDisease", "Disease"),
    ("DiseaseClass", "Disease"),
    ("Modifier", "Disease"),
    ("CompositeMention", "Disease"),
    ("DiseaseOrPhenotypicFeature", "Disease"),
    ("ChemicalEntity", "Chemical"),
    ("GeneOrGeneProduct", "Gene"),
    ("SequenceVariant", "Variant"),
    ("OrganismTaxon", "Species"),
    ("Drug_Interaction", "interacts"),
];

/// What to measure on.
#[derive(Clone, Debug)]
pub struct Job {
    /// The corpus.
    pub corpus: PathBuf,
    /// Its format.
    pub format: Format,
    /// How it is read.
    pub options: corpus::Options,
    /// The corpus's labels to the bundle's; labels that are not listed stand for themselves or for their usual names ("CID" is "causes").
    pub map: BTreeMap<String, String>,
    /// Soft labels that stand in for gold for relation types that the corpus lacks.
    pub relations_from: Option<PathBuf>,
}

impl Job {
    /// What a recipe asks to be measured.
    pub fn of(recipe: &Recipe, evaluation: &Evaluation) -> Job {
        let labels = evaluation.relations_from.as_ref();
        Job {
            corpus: recipe.resolve(&evaluation.path),
            format: evaluation.format,
            options: evaluation.options.clone(),
            map: evaluation.map.clone(),
            relations_from: labels.map(|path| recipe.resolve(path)),
        }
    }
}

/// Something that extracts and relates: libbie's engine, or a stand-in in tests.
pub trait Model {
    /// Types, thresholds.
    fn manifest(&self) -> &Manifest;
    /// The bundle's hash.
    fn hash(&self) -> &str;
    /// Number of tokens of a text, without special ones.
    fn tokens(&self, text: &str) -> Result<usize>;
    /// See [`Engine::extract`]; offsets are bytes.
    fn extract(&self, text: &str) -> Result<Extraction>;
    /// See [`Engine::relate`].
    fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>>;
}

impl Model for Engine {
    fn manifest(&self) -> &Manifest {
        Engine::manifest(self)
    }

    fn hash(&self) -> &str {
        self.bundle_hash()
    }

    fn tokens(&self, text: &str) -> Result<usize> {
        Ok(self
            .encoder()
            .encode(text)?
            .sentences
            .iter()
            .map(Vec::len)
            .sum())
    }

    fn extract(&self, text: &str) -> Result<Extraction> {
        Ok(Engine::extract(self, text, &Options::default())?)
    }

    fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        Ok(Engine::relate(self, text, mentions)?)
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The bundle's model id.
    pub model_id: String,
    /// The bundle's hash.
    pub bundle_hash: String,
    /// Documents read.
    pub documents: usize,
    /// Mentions by exact bytes and type.
    pub ner: Scores,
    /// Relations between given gold entities.
    pub gold_entities: Scores,
    /// Relations between entities that the bundle found.
    pub end_to_end: Scores,
    /// Where the gold of each measured relation type is from: "corpus" or "labels".
    pub gold_from: Vec<(String, &'static str)>,
    /// What was counted on each document, in the order of the corpus: for comparing models document by document.
    pub by_document: Vec<DocumentCounts>,
    /// Tokens of the texts by the time that extraction took, on one thread.
    pub tokens_per_second: f64,
}

/// What was counted on one document; types whose gold is not known for it count nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentCounts {
    /// The document's id.
    pub id: String,
    /// `[K]`: see [`Report::ner`].
    pub ner: Tally,
    /// `[R]`: see [`Report::gold_entities`].
    pub gold_entities: Tally,
    /// `[R]`: see [`Report::end_to_end`].
    pub end_to_end: Tally,
}

/// A measured corpus: the figures, and what they were computed from.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub report: Report,
    /// `[R]`: where each relation type's gold is from, if anywhere: "corpus" or "labels".
    pub sources: Vec<Option<&'static str>>,
    /// One a document, in the order of the corpus.
    pub documents: Vec<Observed>,
}

/// One document with what the model says about it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The document.
    pub document: Document,
    /// Its annotation in the terms of the bundle's schema.
    pub gold: GoldDocument,
    /// What the bundle extracts.
    pub extraction: Extraction,
    /// What the bundle says of the pairs of gold entities; an entity's number is `concept · K + type`.
    pub pairs: Vec<ScoredPair>,
    /// Those of `pairs` that hold for the bundle and can be judged.
    pub related: BTreeSet<Triple>,
}

impl Report {
    /// The report as `distill eval --json` prints it.
    pub fn json(&self) -> Value {
        let gold: Map<String, Value> = self
            .gold_from
            .iter()
            .map(|(name, from)| (name.clone(), json!(from)))
            .collect();
        json!({
            "model_id": self.model_id,
            "bundle_hash": self.bundle_hash,
            "documents": self.documents,
            "ner": self.ner.json(),
            "relations": { "gold_entities": self.gold_entities.json(), "end_to_end": self.end_to_end.json(), "gold": gold },
            "tokens_per_second": (self.tokens_per_second * 10.0).round() / 10.0,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {} documents, {:.0} tokens/s\n",
            self.model_id, self.documents, self.tokens_per_second
        )?;
        self.write_tables(f)
    }
}

impl Report {
    /// The tables of precision, recall and F1 alone: the same for the same bundle and corpus.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_tables(&mut text);
        text
    }

    fn write_tables(&self, f: &mut impl fmt::Write) -> fmt::Result {
        let all = [
            ("entities", &self.ner),
            ("relations, gold entities", &self.gold_entities),
            ("relations, end to end", &self.end_to_end),
        ];
        let measured = all.iter().filter(|(_, s)| !s.by_type.is_empty());
        for (title, scores) in measured {
            writeln!(
                f,
                "{title:<26}{:>8}{:>8}{:>8}{:>9}",
                "prec %", "rec %", "F1 %", "support"
            )?;
            f.write_str(&scores.rows())?;
            f.write_char('\n')?;
        }
        let from_labels: Vec<&str> = self
            .gold_from
            .iter()
            .filter(|(_, from)| *from == "labels")
            .map(|(name, _)| name.as_str())
            .collect();
        if !from_labels.is_empty() {
            writeln!(
                f,
                "measured against the teacher's labels, not against gold: {}",
                from_labels.join(", ")
            )?;
        }
        Ok(())
    }
}

/// Measures a model; `tick` is told the number of documents done and of all.
///
/// # Errors
/// The corpus or the labels are bad or fit the bundle in nothing, or the model fails.
pub fn run(model: &impl Model, job: &Job, tick: impl FnMut(usize, usize)) -> Result<Report> {
    Ok(measure(model, job, tick)?.report)
}

/// [`run`], with what the figures were computed from.
///
/// # Errors
/// As [`run`].
pub fn measure(
    model: &impl Model,
    job: &Job,
    mut tick: impl FnMut(usize, usize),
) -> Result<Measured> {
    let manifest = model.manifest();
    let (types, relations) = (manifest.entities.len(), manifest.relations.len());
    let (documents, gold) = read(manifest, job, job.relations_from.as_slice())?;
    let (mut ner, mut given, mut found) = (
        Tally::new(types),
        Tally::new(relations),
        Tally::new(relations),
    );
    let (mut tokens, mut time) = (0, Duration::ZERO);
    let (mut by_document, mut observed) = (Vec::new(), Vec::new());
    let all = documents.len();
    for (n, (document, gold)) in documents.into_iter().zip(gold.documents).enumerate() {
        tokens += model.tokens(&document.text)?;
        let start = Instant::now();
        let extraction = model.extract(&document.text)?;
        time += start.elapsed();
        let mentions = grouped(&extraction);
        let spans: BTreeSet<Span> = mentions.iter().map(|m| m.span).collect();
        let mut counts = DocumentCounts {
            id: document.id.clone(),
            ner: Tally::new(types),
            gold_entities: Tally::new(relations),
            end_to_end: Tally::new(relations),
        };
        counts
            .ner
            .compare(&gold.mentions.keys().copied().collect(), &spans, |span| {
                span.label
            });

        let (triples, unmatched) =
            metrics::resolve(&gold.mentions, &mentions, &between_groups(&extraction));
        let judged = gold.judged(manifest, triples);
        let found_here = &mut counts.end_to_end;
        found_here.compare(&gold.relations, &judged, |t| t.label);
        unmatched
            .into_iter()
            .filter(|label| gold.known.get(*label) == Some(&true))
            .for_each(|label| found_here.false_positive(label));
        let pairs = model.relate(&document.text, &given_mentions(&gold, types))?;
        let related = gold.judged(manifest, reported(manifest, &pairs));
        counts
            .gold_entities
            .compare(&gold.relations, &related, |t| t.label);
        ner.add(&counts.ner);
        given.add(&counts.gold_entities);
        found.add(&counts.end_to_end);
        by_document.push(counts);
        observed.push(Observed {
            document,
            gold,
            extraction,
            pairs,
            related,
        });
        tick(n + 1, all);
    }
    let names: Vec<String> = manifest.relations.iter().map(|r| r.name.clone()).collect();
    let measured: Vec<bool> = gold.sources.iter().map(Option::is_some).collect();
    let report = Report {
        model_id: manifest.model_id.clone(),
        bundle_hash: model.hash().to_owned(),
        documents: all,
        by_document,
        ner: ner.scores(
            &manifest
                .entities
                .iter()
                .map(|e| e.name.clone())
                .collect::<Vec<_>>(),
            &gold.annotated,
        ),
        gold_entities: given.scores(&names, &measured),
        end_to_end: found.scores(&names, &measured),
        gold_from: names
            .iter()
            .zip(&gold.sources)
            .filter_map(|(name, from)| Some((name.clone(), (*from)?)))
            .collect(),
        tokens_per_second: tokens as f64 / time.as_secs_f64().max(1e-9),
    };
    Ok(Measured {
        report,
        sources: gold.sources,
        documents: observed,
    })
}

/// The corpus, and its gold in the terms of the bundle's schema with teachers' labels for what it lacks.
///
/// # Errors
/// The corpus or the labels are bad or fit the bundle in nothing.
pub(crate) fn read(
    manifest: &Manifest,
    job: &Job,
    labels: &[PathBuf],
) -> Result<(Vec<Document>, Gold)> {
    let mut corpus = corpus::read(&job.corpus, job.format, &job.options)?;
    corpus.group(|label| entity_type(manifest, &job.map, label));
    let documents = corpus.documents;
    let mut rows = Vec::new();
    for path in labels {
        let before = rows.len();
        rows.extend(teacher::read(path)?);
        let known = |row: &Labels| {
            documents
                .iter()
                .any(|d| d.id == row.id && d.text == row.text)
        };
        if !rows.iter().skip(before).any(known) {
            return Err(Error::file(
                path,
                "no row has the id and the text of a document of the corpus",
            ));
        }
    }
    let gold = Gold::new(manifest, &job.map, &documents, &rows);
    if gold.documents.iter().all(|d| d.mentions.is_empty()) {
        let known: Vec<&str> = manifest.entities.iter().map(|e| e.name.as_str()).collect();
        return Err(Error::file(
            &job.corpus,
            format!(
                "no mention is of a type that the bundle knows ({}); give --map",
                known.join(", ")
            ),
        ));
    }
    Ok((documents, gold))
}

/// The mentions of a result.
pub(crate) fn grouped(extraction: &Extraction) -> Vec<Grouped> {
    let mention = |e: &bie::result::Entity| Grouped {
        span: Span {
            start: e.start as usize,
            end: e.end as usize,
            label: e.label as usize,
        },
        group: e.group as usize,
    };
    extraction.entities.iter().map(mention).collect()
}

/// The relations of a result: head group, tail group, label.
fn between_groups(extraction: &Extraction) -> Vec<(usize, usize, usize)> {
    let group = |mention: u32| Some(extraction.entities.get(mention as usize)?.group as usize);
    extraction
        .relations
        .iter()
        .filter_map(|r| Some((group(r.head)?, group(r.tail)?, r.label as usize)))
        .collect()
}

/// The gold mentions as the model is given them. An entity is a concept with a type: its number holds both.
pub(crate) fn given_mentions(gold: &GoldDocument, types: usize) -> Vec<GivenMention> {
    let given = |(span, concepts): (&Span, &Vec<usize>)| {
        let (start, end, label) = (span.start, span.end, span.label);
        let mention = |concept: &usize| GivenMention {
            start,
            end,
            label,
            entity: concept * types + label,
        };
        concepts.iter().map(mention).collect::<Vec<_>>()
    };
    gold.mentions.iter().flat_map(given).collect()
}

/// Every admitted relation of some pairs with its score, in the terms of [`canonical`].
pub(crate) fn scored(manifest: &Manifest, pairs: &[ScoredPair]) -> BTreeMap<Triple, f32> {
    let types = manifest.entities.len();
    let mut scores: BTreeMap<Triple, f32> = BTreeMap::new();
    for pair in pairs {
        let admitted = pair.probabilities.iter().skip(1).enumerate();
        for (label, p) in admitted.filter(|(_, p)| **p > 0.0) {
            let triple = Triple {
                head: pair.head / types,
                tail: pair.tail / types,
                label,
            };
            let best = scores.entry(canonical(manifest, triple)).or_default();
            *best = best.max(*p);
        }
    }
    scores
}

/// The relations that reach their thresholds.
fn reported(manifest: &Manifest, pairs: &[ScoredPair]) -> BTreeSet<Triple> {
    let reaches = |(triple, p): (Triple, f32)| {
        let kind = manifest.relations.get(triple.label);
        kind.is_some_and(|kind| p >= kind.threshold)
            .then_some(triple)
    };
    scored(manifest, pairs)
        .into_iter()
        .filter_map(reaches)
        .collect()
}

/// A corpus in the terms of a bundle's schema.
pub(crate) struct Gold {
    pub(crate) documents: Vec<GoldDocument>,
    /// `[K]`: entity types that the corpus has.
    pub(crate) annotated: Vec<bool>,
    /// `[R]`: where each relation type's gold is from, if anywhere.
    pub(crate) sources: Vec<Option<&'static str>>,
}

/// The annotation of one document in the terms of the schema; concepts are numbered.
#[derive(Clone, Debug)]
pub struct GoldDocument {
    /// Mentions with the numbers of their concepts.
    pub mentions: BTreeMap<Span, Vec<usize>>,
    /// The relations that hold.
    pub relations: BTreeSet<Triple>,
    /// `[R]`: relation types whose gold is known for this document.
    pub known: Vec<bool>,
    /// The concepts' ids, by number.
    pub concepts: Vec<String>,
    /// Of the types whose gold is a teacher's labels: its probabilities.
    stated: BTreeMap<Triple, f32>,
    /// `[R]`: the same of every pair that it does not list.
    unlisted: Vec<f32>,
}

impl Gold {
    fn new(
        manifest: &Manifest,
        map: &BTreeMap<String, String>,
        documents: &[Document],
        labels: &[Labels],
    ) -> Gold {
        let entity = |label: &str| entity_type(manifest, map, label);
        let relation = |label: &str| {
            named(label, map, |name| {
                manifest.relations.iter().position(|r| r.name == name)
            })
        };
        let mut gold = Gold {
            documents: Vec::new(),
            annotated: vec![false; manifest.entities.len()],
            sources: vec![None; manifest.relations.len()],
        };
        for label in documents
            .iter()
            .flat_map(|d| &d.relations)
            .filter_map(|r| relation(&r.label))
        {
            gold.sources
                .get_mut(label)
                .into_iter()
                .for_each(|source| *source = Some("corpus"));
        }
        let by_corpus: Vec<bool> = gold.sources.iter().map(Option::is_some).collect();
        let mut rows: HashMap<&str, Vec<&Labels>> = HashMap::new();
        labels
            .iter()
            .for_each(|row| rows.entry(&row.id).or_default().push(row));
        for document in documents {
            let mut numbers: HashMap<&str, usize> = HashMap::new();
            let mut read = GoldDocument {
                mentions: BTreeMap::new(),
                relations: BTreeSet::new(),
                known: by_corpus.clone(),
                stated: BTreeMap::new(),
                unlisted: vec![0.0; manifest.relations.len()],
                concepts: Vec::new(),
            };
            for mention in &document.mentions {
                let Some(label) = entity(&mention.label) else {
                    continue;
                };
                gold.annotated
                    .get_mut(label)
                    .into_iter()
                    .for_each(|annotated| *annotated = true);
                let concepts = read
                    .mentions
                    .entry(Span {
                        start: mention.start,
                        end: mention.end,
                        label,
                    })
                    .or_default();
                for concept in &mention.concepts {
                    let next = numbers.len();
                    let number = *numbers.entry(concept).or_insert(next);
                    if !concepts.contains(&number) {
                        concepts.push(number);
                    }
                }
            }
            let triple = |head: &str, tail: &str, label| {
                Some(Triple {
                    head: *numbers.get(head)?,
                    tail: *numbers.get(tail)?,
                    label,
                })
            };
            let stated = document
                .relations
                .iter()
                .filter_map(|r| triple(&r.head, &r.tail, relation(&r.label)?));
            read.relations
                .extend(stated.map(|t| canonical(manifest, t)));
            for row in rows
                .get(document.id.as_str())
                .into_iter()
                .flatten()
                .filter(|row| row.text == document.text)
            {
                let Some(pairs) = &row.pairs else { continue };
                for (name, unlisted) in pairs.default.iter().filter(|(name, _)| *name != NONE) {
                    let Some(label) =
                        relation(name).filter(|label| by_corpus.get(*label) == Some(&false))
                    else {
                        continue;
                    };
                    gold.sources
                        .get_mut(label)
                        .into_iter()
                        .for_each(|source| *source = Some("labels"));
                    read.known
                        .get_mut(label)
                        .into_iter()
                        .for_each(|known| *known = true);
                    read.unlisted
                        .get_mut(label)
                        .into_iter()
                        .for_each(|p| *p = *unlisted);
                    for listed in &pairs.pairs {
                        let stated = listed.probabilities.get(name).copied();
                        let triple = triple(&listed.head, &listed.tail, label);
                        if let (Some(p), Some(triple)) = (stated, triple) {
                            let triple = canonical(manifest, triple);
                            let best = read.stated.entry(triple).or_default();
                            *best = best.max(p);
                            if p >= LABEL_HOLDS {
                                read.relations.insert(triple);
                            }
                        }
                    }
                }
            }
            let mut names: Vec<(&str, usize)> = numbers.into_iter().collect();
            names.sort_by_key(|(_, number)| *number);
            read.concepts = names.into_iter().map(|(name, _)| name.to_owned()).collect();
            gold.documents.push(read);
        }
        gold
    }
}

impl GoldDocument {
    /// How probable gold holds a relation to be: 0 or 1 where people decided, what it states where a teacher did.
    pub(crate) fn probability(&self, sources: &[Option<&str>], triple: Triple) -> f32 {
        match sources.get(triple.label) {
            Some(Some("labels")) => {
                let unlisted = || self.unlisted.get(triple.label).copied();
                let stated = self.stated.get(&triple).copied();
                stated.or_else(unlisted).unwrap_or_default()
            }
            _ => f32::from(u8::from(self.relations.contains(&triple))),
        }
    }

    /// The predictions that can be judged here: of types whose gold is known.
    pub(crate) fn judged(
        &self,
        manifest: &Manifest,
        triples: BTreeSet<Triple>,
    ) -> BTreeSet<Triple> {
        triples
            .into_iter()
            .filter(|t| self.known.get(t.label) == Some(&true))
            .map(|t| canonical(manifest, t))
            .collect()
    }
}

/// The bundle's entity type that a corpus's label stands for.
fn entity_type(manifest: &Manifest, map: &BTreeMap<String, String>, label: &str) -> Option<usize> {
    named(label, map, |name| {
        manifest.entities.iter().position(|e| e.name == name)
    })
}

/// The type that a corpus's label stands for: as mapped, else of the same name, else of the usual other name.
fn named(
    label: &str,
    map: &BTreeMap<String, String>,
    position: impl Fn(&str) -> Option<usize>,
) -> Option<usize> {
    match map.get(label) {
        Some(name) => position(name),
        None => position(label).or_else(|| {
            KNOWN_NAMES
                .iter()
                .find(|(known, _)| *known == label)
                .and_then(|(_, name)| position(name))
        }),
    }
}

/// Head and tail of a symmetric relation in a fixed order.
pub(crate) fn canonical(manifest: &Manifest, triple: Triple) -> Triple {
    if manifest
        .relations
        .get(triple.label)
        .is_some_and(|r| r.symmetric)
    {
        Triple {
            head: triple.head.min(triple.tail),
            tail: triple.head.max(triple.tail),
            ..triple
        }
    } else {
        triple
    }
}

pub mod remembered;

#[cfg(test)]
pub(crate) mod tests;
