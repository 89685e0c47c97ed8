//! `distill data check`: what corpora hold, what is wrong in them, and what a recipe makes of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use bie::encode::{Encoder, Token};
use unicode_normalization::is_nfc;

use crate::corpus::{self, Corpus, Defect, Document, Format, Options, Source};
use crate::dataset::{admits, kind, mapped};
use crate::error::Result;
use crate::recipe::{CorpusSource, Recipe};
use crate::student::base;

mod show;

/// So many places of a finding are named.
const PLACES: usize = 3;

/// How often, by label or type.
pub type Counts = BTreeMap<String, usize>;

/// All corpora that were looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In the order of the recipe; the evaluation's first, because it decides what the others may hold.
    pub corpora: Vec<CorpusReport>,
}

/// One corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusReport {
    /// As the user named it.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// "train" or "evaluation"; nothing without a recipe.
    pub role: Option<&'static str>,
    /// Documents.
    pub documents: usize,
    /// Repeated documents (same id and text) that were left out.
    pub duplicates: usize,
    /// Documents whose text stands under another id, too.
    pub repeated_texts: usize,
    /// Mentions by label.
    pub mentions: Counts,
    /// Relations by label, as the corpus states them.
    pub relations: Counts,
    /// Mentions that lie within another, and those that cross another; of any label, of the same label (or type, with a recipe).
    pub overlaps: Overlaps,
    /// What the reader left out or changed.
    pub notes: BTreeMap<&'static str, usize>,
    /// Documents with control characters other than tabulators and line ends.
    pub control: Found,
    /// Documents with U+FFFD, which stands for what an earlier conversion lost.
    pub replaced: Found,
    /// Documents that are not in Unicode's composed form (NFC).
    pub not_nfc: Found,
    /// Everything that is wrong.
    pub defects: Vec<Defect>,
    /// So many defects are allowed.
    pub max_defects: usize,
    /// What the recipe makes of it.
    pub mapping: Option<Mapping>,
}

/// Mentions that share text with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    /// Within another, or equal to an earlier one.
    pub nested: usize,
    /// Of these, within one of the same label: it gets no tags.
    pub nested_same: usize,
    /// Crossing another.
    pub crossing: usize,
    /// Of these, crossing one of the same label: it gets no tags.
    pub crossing_same: usize,
}

/// How often something was found, and in which documents first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// How often.
    pub count: usize,
    /// The first documents.
    pub first: Vec<Source>,
}

impl Found {
    fn add(&mut self, source: &Source, count: usize) {
        self.count += count;
        if count > 0 && self.first.len() < PLACES {
            self.first.push(source.clone());
        }
    }
}

/// A corpus in the terms of a recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// Mentions by type of the schema.
    pub mentions: Counts,
    /// Relations between entities by type of the schema.
    pub relations: Counts,
    /// Mentions and relations whose label is mapped to nothing, by label.
    pub dropped: Counts,
    /// Mentions and relations whose label is neither mapped nor in the schema, by label.
    pub unmapped: Counts,
    /// Mentions of types that the recipe does not call annotated: they are masked.
    pub masked: Counts,
    /// Relations that the schema does not admit between the types of their ends, or whose ends are not of the schema; by type.
    pub misfits: Counts,
    /// Types of `annotates` and `gold_relations` of which the corpus has no example.
    pub absent: Vec<String>,
    /// Mentions that begin or end inside a token: no tag can express them exactly.
    pub inside_tokens: Found,
    /// Documents with an id of the evaluation's; training leaves them out.
    pub held_out_by_id: usize,
    /// Documents with another id and a text of the evaluation's; training leaves them out.
    pub held_out_by_text: usize,
    /// Documents whose text stands in an earlier corpus of the recipe.
    pub in_earlier: usize,
}

/// Looks at one corpus.
///
/// # Errors
/// It cannot be read at all.
pub fn check(path: &Path, format: Format, options: &Options) -> Result<Report> {
    let mut corpus = corpus::examine(path, format, options)?;
    let relations = relation_counts(&corpus);
    corpus.group(str::to_owned);
    let report = look((path, format, options), &corpus, relations, |label| {
        label.to_owned()
    });
    Ok(Report {
        corpora: vec![report],
    })
}

/// Looks at the corpora of a recipe, with its mapping and its student's tokens.
///
/// # Errors
/// The recipe or its tokenizer is bad, or a corpus cannot be read at all.
pub fn check_recipe(file: &Path) -> Result<Report> {
    let recipe = Recipe::read(file)?;
    let encoder = base::tokenizer(&recipe.resolve(&recipe.student.base))?;
    let mut corpora = Vec::new();
    let mut seen = Seen::default();
    if let Some(held) = &recipe.evaluation {
        // The evaluation has no `annotates`: everything that it has counts.
        let source = CorpusSource {
            path: held.path.clone(),
            format: held.format,
            options: held.options.clone(),
            map: held.map.clone(),
            annotates: recipe
                .schema
                .entities
                .iter()
                .map(|e| e.name.clone())
                .collect(),
            gold_relations: Vec::new(),
        };
        let (mut report, corpus) = mapped_corpus(&recipe, &source, &encoder, &seen)?;
        report.role = Some("evaluation");
        if let Some(mapping) = &mut report.mapping {
            mapping.absent.clear();
        }
        corpora.push(report);
        for document in corpus.documents {
            seen.held_ids.insert(document.id);
            seen.held_texts.insert(document.text);
        }
    }
    for source in &recipe.corpora {
        let (mut report, corpus) = mapped_corpus(&recipe, source, &encoder, &seen)?;
        report.role = Some("train");
        corpora.push(report);
        seen.texts
            .extend(corpus.documents.into_iter().map(|d| d.text));
    }
    Ok(Report { corpora })
}

impl Report {
    /// The corpora with more defects than are allowed.
    pub fn refused(&self) -> impl Iterator<Item = &CorpusReport> {
        self.corpora
            .iter()
            .filter(|c| c.defects.len() > c.max_defects)
    }
}

/// What the corpora before had.
#[derive(Default)]
struct Seen {
    held_ids: HashSet<String>,
    held_texts: HashSet<String>,
    texts: HashSet<String>,
}

fn mapped_corpus(
    recipe: &Recipe,
    source: &CorpusSource,
    encoder: &Encoder,
    seen: &Seen,
) -> Result<(CorpusReport, Corpus)> {
    let path = recipe.resolve(&source.path);
    let mut corpus = corpus::examine(&path, source.format, &source.options)?;
    let relations = relation_counts(&corpus);
    let kind = |label: &str| kind(&source.map, label).to_owned();
    corpus.group(kind);
    let mut report = look(
        (&path, source.format, &source.options),
        &corpus,
        relations,
        kind,
    );
    let mut mapping = Mapping::default();
    for document in &corpus.documents {
        mapping.document(recipe, source, document);
        mapping.tokens(recipe, source, document, encoder)?;
        if seen.held_ids.contains(&document.id) {
            mapping.held_out_by_id += 1;
        } else if seen.held_texts.contains(&document.text) {
            mapping.held_out_by_text += 1;
        }
        mapping.in_earlier += usize::from(seen.texts.contains(&document.text));
    }
    let types = source
        .annotates
        .iter()
        .filter(|t| !mapping.mentions.contains_key(*t));
    let relations = source
        .gold_relations
        .iter()
        .filter(|t| !mapping.relations.contains_key(*t));
    mapping.absent = types.chain(relations).cloned().collect();
    report.mapping = Some(mapping);
    Ok((report, corpus))
}

impl Mapping {
    fn document(&mut self, recipe: &Recipe, source: &CorpusSource, document: &Document) {
        let count =
            |counts: &mut Counts, label: &str| *counts.entry(label.to_owned()).or_default() += 1;
        let mut types: HashMap<&str, HashSet<usize>> = HashMap::new();
        for mention in &document.mentions {
            let name = mapped(&source.map, &mention.label);
            match recipe.entity(name) {
                Some(label) => {
                    let annotated = source.annotates.iter().any(|a| a == name);
                    count(
                        if annotated {
                            &mut self.mentions
                        } else {
                            &mut self.masked
                        },
                        name,
                    );
                    for concept in &mention.concepts {
                        types.entry(concept).or_default().insert(label);
                    }
                }
                None => self.other(recipe, source, &mention.label),
            }
        }
        let of = |concept: &str| types.get(concept).into_iter().flatten().copied();
        for relation in &document.relations {
            let name = mapped(&source.map, &relation.label);
            let Some(stated) = recipe
                .relation(name)
                .and_then(|r| recipe.schema.relations.get(r))
            else {
                self.other(recipe, source, &relation.label);
                continue;
            };
            let fits = of(&relation.head).any(|head| {
                of(&relation.tail).any(|tail| {
                    let admitted = |h, t| admits(stated, &recipe.schema, h, t, true);
                    // As in training: where types leave only the other direction, that one is meant.
                    admitted(head, tail) || admitted(tail, head)
                })
            });
            count(
                if fits {
                    &mut self.relations
                } else {
                    &mut self.misfits
                },
                name,
            );
        }
    }

    /// A label that is no type of the schema.
    fn other(&mut self, recipe: &Recipe, source: &CorpusSource, label: &str) {
        let counts = if recipe.is_unmapped(&source.map, label) {
            &mut self.unmapped
        } else {
            &mut self.dropped
        };
        *counts.entry(label.to_owned()).or_default() += 1;
    }

    fn tokens(
        &mut self,
        recipe: &Recipe,
        source: &CorpusSource,
        document: &Document,
        encoder: &Encoder,
    ) -> Result<()> {
        let wanted = document
            .mentions
            .iter()
            .filter(|m| recipe.entity(mapped(&source.map, &m.label)).is_some());
        let encoded = encoder.encode(&document.text)?;
        let tokens: Vec<Token> = encoded.sentences.into_iter().flatten().collect();
        let cuts = |at: usize| {
            let next = tokens.partition_point(|t| t.end <= at);
            tokens.get(next).is_some_and(|t| t.start < at)
        };
        let inside = wanted.filter(|m| cuts(m.start) || cuts(m.end)).count();
        self.inside_tokens.add(&document.source, inside);
        Ok(())
    }
}

fn relation_counts(corpus: &Corpus) -> Counts {
    let mut counts = Counts::new();
    for relation in corpus.documents.iter().flat_map(|d| &d.relations) {
        *counts.entry(relation.label.clone()).or_default() += 1;
    }
    counts
}

fn look(
    (path, format, options): (&Path, Format, &Options),
    corpus: &Corpus,
    relations: Counts,
    kind: impl Fn(&str) -> String,
) -> CorpusReport {
    let mut report = CorpusReport {
        path: path.to_owned(),
        format,
        role: None,
        documents: corpus.documents.len(),
        duplicates: corpus.duplicates,
        repeated_texts: 0,
        mentions: Counts::new(),
        relations,
        overlaps: Overlaps::default(),
        notes: corpus.notes.clone(),
        control: Found::default(),
        replaced: Found::default(),
        not_nfc: Found::default(),
        defects: corpus.defects.clone(),
        max_defects: options.max_defects,
        mapping: None,
    };
    let mut texts = HashSet::new();
    for document in &corpus.documents {
        for mention in &document.mentions {
            *report.mentions.entry(mention.label.clone()).or_default() += 1;
        }
        report.overlaps.document(document, &kind);
        let text = document.text.as_str();
        report.repeated_texts += usize::from(!texts.insert(text));
        let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
        let source = &document.source;
        report
            .control
            .add(source, usize::from(text.contains(is_control)));
        report
            .replaced
            .add(source, usize::from(text.contains('\u{fffd}')));
        report.not_nfc.add(source, usize::from(!is_nfc(text)));
    }
    report
}

impl Overlaps {
    fn document(&mut self, document: &Document, kind: impl Fn(&str) -> String) {
        let mut spans: Vec<(usize, usize, String)> = document
            .mentions
            .iter()
            .map(|m| (m.start, m.end, kind(&m.label)))
            .collect();
        spans.sort_by_key(|(start, end, _)| (*start, Reverse(*end)));
        // Those that the next span may share text with.
        let mut open: Vec<&(usize, usize, String)> = Vec::new();
        for span in &spans {
            open.retain(|earlier| earlier.1 > span.0);
            let any = |crossing: bool, same: bool| {
                let found = |e: &&&(usize, usize, String)| {
                    (e.1 < span.1) == crossing && (!same || e.2 == span.2)
                };
                usize::from(open.iter().any(|e| found(&e)))
            };
            self.nested += any(false, false);
            self.nested_same += any(false, true);
            self.crossing += any(true, false);
            self.crossing_same += any(true, true);
            open.push(span);
        }
    }
}

#[cfg(test)]
mod tests;
