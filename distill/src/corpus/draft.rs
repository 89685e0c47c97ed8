//! A document while its annotation is read: what all formats with spans have in common.

use std::collections::HashMap;
use std::ops::Range;

use super::offsets::{Offsets, Unit, alike, trimmed};
use super::{Document, GoldRelation, Mention, Reading, Source};

/// So many defects of a corpus are told whether another unit of offsets would mend them.
const HINTS: usize = 10;

/// What a defective mention takes with it.
pub(super) const OF_DEFECTIVE: &str = "relations of defective mentions, left out";

/// One mention as a file states it.
pub(super) struct Stated<'a> {
    /// Its id in the document.
    pub(super) id: &'a str,
    /// The corpus's own label.
    pub(super) label: &'a str,
    /// Start and end of each fragment in the unit of the options, in the order in which `surface` has them.
    pub(super) fragments: &'a [(usize, usize)],
    /// The mention's text, if the format repeats it.
    pub(super) surface: Option<&'a str>,
    /// What is mentioned; nothing in mention-level corpora.
    pub(super) concepts: Vec<String>,
}

/// A document being read.
pub(super) struct Draft<'r, 'o> {
    out: &'r mut Reading<'o>,
    document: Document,
    unit: Unit,
    offsets: Offsets,
    /// Concepts of each mention by its id; none if the mention was left out.
    known: HashMap<String, Option<Vec<String>>>,
    /// Mentions by place and label, in mention-level corpora.
    places: HashMap<(usize, usize, String), usize>,
}

impl<'r, 'o> Draft<'r, 'o> {
    pub(super) fn new(out: &'r mut Reading<'o>, source: Source, id: &str, text: String) -> Self {
        let unit = out.options.offsets.unwrap_or_default();
        Draft {
            unit,
            offsets: Offsets::of(&text, unit),
            document: Document {
                id: id.to_owned(),
                text,
                mentions: Vec::new(),
                relations: Vec::new(),
                source,
            },
            known: HashMap::new(),
            places: HashMap::new(),
            out,
        }
    }

    pub(super) fn defect(&mut self, source: Source, why: impl Into<String>) {
        self.out.defect(source, why);
    }

    pub(super) fn note(&mut self, what: &'static str) {
        self.out.note(what);
    }

    /// Adds a mention: a discontinuous one as the span from its first fragment to its last, because BIO tags know no gap. A mention that
    /// cannot be placed is a defect and left out.
    pub(super) fn mention(&mut self, source: Source, stated: Stated) {
        if self.known.contains_key(stated.id) {
            let why = format!(
                "the id {} stands already before a mention of this document",
                stated.id
            );
            return self.defect(source, why);
        }
        match self.span(&stated) {
            Ok(span) => self.place(span, stated),
            Err(why) => {
                self.defect(source, why);
                self.known.insert(stated.id.to_owned(), None);
            }
        }
    }

    /// A mention that cannot even be parsed; relations of it are no defects of their own.
    pub(super) fn lost(&mut self, id: &str) {
        self.known.entry(id.to_owned()).or_insert(None);
    }

    fn place(&mut self, span: Range<usize>, stated: Stated) {
        let mention_level = self.out.corpus.mention_level;
        let mut concepts = stated.concepts;
        if mention_level {
            concepts = vec![stated.id.to_owned()];
        }
        self.known
            .insert(stated.id.to_owned(), Some(concepts.clone()));
        let next = self.document.mentions.len();
        let place = (span.start, span.end, stated.label.to_owned());
        if mention_level && let Some(at) = self.places.get(&place) {
            self.out
                .note("repeated mentions (same span and label), joined");
            if let Some(mention) = self.document.mentions.get_mut(*at) {
                mention.concepts.extend(concepts);
            }
            return;
        }
        self.places.insert(place, next);
        self.document.mentions.push(Mention {
            start: span.start,
            end: span.end,
            label: stated.label.to_owned(),
            concepts,
        });
    }

    /// The bytes of a mention.
    fn span(&mut self, stated: &Stated) -> Result<Range<usize>, String> {
        if stated.label.is_empty() {
            return Err("the mention has no label".to_owned());
        }
        let pieces = pieces(&self.offsets, stated.fragments)?;
        let text = self.document.text.as_str();
        if let Some(surface) = stated.surface
            && !alike(&joined(text, &pieces), surface)
        {
            return Err(self.misplaced(stated, surface));
        }
        let whole = pieces.iter().map(|p| p.start).min().unwrap_or_default()
            ..pieces.iter().map(|p| p.end).max().unwrap_or_default();
        let span = trimmed(text, whole.clone());
        if span.is_empty() {
            return Err("the span holds nothing but white space".to_owned());
        }
        if span != whole {
            self.note("spans with white space at their ends, trimmed");
        }
        if pieces.len() > 1 {
            self.note("discontinuous spans, taken from first to last fragment");
        }
        Ok(span)
    }

    fn misplaced(&self, stated: &Stated, surface: &str) -> String {
        let mut why = format!(
            "the text at this span is not the surface form that stands with the mention; offsets count {}",
            self.unit.as_str()
        );
        let text = self.document.text.as_str();
        let fits = |unit: &Unit| {
            let pieces = pieces(&Offsets::of(text, *unit), stated.fragments);
            pieces.is_ok_and(|pieces| alike(&joined(text, &pieces), surface))
        };
        if self.out.corpus.defects.len() < HINTS
            && let Some(unit) = Unit::ALL.iter().find(|unit| fits(unit))
        {
            why.push_str(&format!(
                ", but it is if they count {}: set the option `offsets`",
                unit.as_str()
            ));
        }
        why
    }

    /// Adds a relation between two mentions, by their ids.
    pub(super) fn relation(&mut self, source: Source, label: &str, head: &str, tail: &str) {
        if label.is_empty() {
            return self.defect(source, "the relation has no label");
        }
        let known = |id: &str| self.known.get(id).cloned().ok_or_else(|| id.to_owned());
        match (known(head), known(tail)) {
            (Err(id), _) | (_, Err(id)) => {
                self.defect(
                    source,
                    format!("no mention of the document has the id {id} of this relation"),
                );
            }
            (Ok(Some(heads)), Ok(Some(tails))) => {
                if heads.is_empty() || tails.is_empty() {
                    return self.note("relations of mentions without a concept id, left out");
                }
                self.relate(label, &heads, &tails);
            }
            _ => self.note(OF_DEFECTIVE),
        }
    }

    /// Whether a mention was left out, with concepts that may be unknown now.
    pub(super) fn has_lost(&self) -> bool {
        self.known.values().any(Option::is_none)
    }

    /// Whether these are concepts, and mentions of the document have them.
    pub(super) fn has_concepts(&self, concepts: &[String]) -> bool {
        !concepts.is_empty() && concepts.iter().all(|c| self.is_mentioned(c))
    }

    fn is_mentioned(&self, concept: &String) -> bool {
        let mut mentions = self.document.mentions.iter();
        mentions.any(|m| m.concepts.contains(concept))
    }

    /// Adds a relation between two concepts, if mentions have them.
    pub(super) fn concept_relation(
        &mut self,
        source: Source,
        label: &str,
        heads: &[String],
        tails: &[String],
    ) {
        let mut all = heads.iter().chain(tails);
        match all.find(|concept| !self.is_mentioned(concept)) {
            Some(_) if self.has_lost() => self.note(OF_DEFECTIVE),
            Some(stray) => {
                let why = format!(
                    "no mention of document {} has the concept {stray} of this relation",
                    self.document.id
                );
                self.defect(source, why);
            }
            None => self.relate(label, heads, tails),
        }
    }

    /// Composite ends become several relations.
    fn relate(&mut self, label: &str, heads: &[String], tails: &[String]) {
        for head in heads {
            for tail in tails {
                self.document.relations.push(GoldRelation {
                    head: head.clone(),
                    tail: tail.clone(),
                    label: label.to_owned(),
                });
            }
        }
    }

    /// The document is complete.
    pub(super) fn finish(self) {
        self.out.add(self.document);
    }
}

fn pieces(offsets: &Offsets, fragments: &[(usize, usize)]) -> Result<Vec<Range<usize>>, String> {
    if fragments.is_empty() {
        return Err("the mention has no span".to_owned());
    }
    fragments
        .iter()
        .map(|(start, end)| offsets.range(*start, *end))
        .collect()
}

fn joined(text: &str, pieces: &[Range<usize>]) -> String {
    let pieces: Vec<&str> = pieces.iter().filter_map(|p| text.get(p.clone())).collect();
    pieces.join(" ")
}
