//! Documents, labels and a recipe become training items: one per window, with token tags and relation pairs.
//!
//! Tokens and windows come from libbie, so training reads a text exactly as the host will.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use bie::encode::Encoder;
use bie::text::window::windows;

use crate::corpus::{self, Mention};
use crate::error::{Error, Result};
use crate::progress;
use crate::recipe::{CorpusSource, Recipe, RelationType, Schema};
use crate::teacher::encoder::EncoderTeachers;

mod agreement;
mod order;
mod soft;
mod spans;
mod view;

pub use agreement::{Agreement, Agreements, Kind};
pub(crate) use order::batches;
pub use order::epoch_batches;
use soft::Teachers;
use view::DocumentView;

/// A tag of [`Item::tags`]: outside every mention of the type.
pub const OUTSIDE: u8 = 0;
/// A tag of [`Item::tags`]: first token of a mention.
pub const BEGIN: u8 = 1;
/// A tag of [`Item::tags`]: later token of a mention.
pub const INSIDE: u8 = 2;

/// One window of one document. L tokens (`[CLS]` and `[SEP]` included), K entity types, R relation types.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Id of the document.
    pub document: String,
    /// `[L]`: token ids, `[CLS]` … `[SEP]`.
    pub ids: Vec<i64>,
    /// `[L, K]`: [`OUTSIDE`], [`BEGIN`] or [`INSIDE`].
    pub tags: Vec<u8>,
    /// `[L, K]`: 1, or 0 where nothing is known: types that the corpus does not annotate, `[CLS]`, `[SEP]`.
    pub tag_weight: Vec<f32>,
    /// `[L, K, 3]`: the teachers' probabilities of the tags; zeros where none knows the type. Empty if none knows any.
    pub teacher_tags: Vec<f32>,
    /// Token positions (into `ids`) of each mention that has a concept and lies in this window.
    pub mentions: Vec<Vec<usize>>,
    /// Mentions (into `mentions`) of each entity, in order of first appearance in the window.
    pub entities: Vec<Vec<usize>>,
    /// Type of each entity.
    pub entity_type: Vec<usize>,
    /// Pairs that anything is known about, ordered by head, then tail.
    pub pairs: Vec<Pair>,
}

/// One pair of entities. Vectors have R + 1 elements: "none", then the relations of the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Index into [`Item::entities`].
    pub head: usize,
    /// Index into [`Item::entities`].
    pub tail: usize,
    /// Labels that the softmax runs over: "none", and the relations that the types admit and that gold or teacher know.
    pub admitted: Vec<bool>,
    /// Target distribution by the gold annotation.
    pub gold: Option<Vec<f32>>,
    /// The teacher's stated probabilities.
    pub teacher: Option<Vec<f32>>,
    /// Token positions of the teacher's evidence.
    pub evidence: Option<Range<usize>>,
}

/// What there is to train on, and what was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Documents that became items.
    pub documents: usize,
    /// Documents left out because the same id with the same text came before in the file.
    pub duplicates: usize,
    /// Documents left out because the recipe evaluates on them.
    pub held_out: usize,
    /// Windows.
    pub windows: usize,
    /// Tokens, `[CLS]` and `[SEP]` included.
    pub tokens: usize,
    /// Mentions of types of the schema.
    pub mentions: usize,
    /// Mentions whose label is no type of the schema.
    pub other_mentions: usize,
    /// Defective mentions, relations and documents left out, as the recipe allows.
    pub defects: usize,
    /// Labels of mentions and relations that are neither mapped nor in the schema, and how often they occur.
    pub unmapped: BTreeMap<String, usize>,
    /// Mentions not tagged because they overlap an earlier or longer one of the same type, or no token was read there.
    pub untagged: usize,
    /// Pairs with a gold target.
    pub gold_pairs: usize,
    /// Pairs with a teacher's distribution.
    pub teacher_pairs: usize,
    /// Teacher rows that were used.
    pub teacher_rows: usize,
    /// Teacher rows left out because their document has another text.
    pub differing_rows: usize,
    /// Of the documents, those that only a teacher's rows have.
    pub teacher_documents: usize,
    /// Where gold and teachers speak of the same. Not in the text.
    pub agreements: Agreements,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} documents ({} duplicates and {} evaluation documents left out), {} windows, {} tokens; {} mentions ({} untagged, {} of other types); \
             pairs: {} with gold, {} with the teacher ({} teacher rows, {} with another text left out)",
            self.documents,
            self.duplicates,
            self.held_out,
            self.windows,
            self.tokens,
            self.mentions,
            self.untagged,
            self.other_mentions,
            self.gold_pairs,
            self.teacher_pairs,
            self.teacher_rows,
            self.differing_rows
        )?;
        if self.defects > 0 {
            write!(f, "; {} defects left out", self.defects)?;
        }
        if !self.unmapped.is_empty() {
            let labels: Vec<String> = self
                .unmapped
                .iter()
                .map(|(l, n)| format!("{l} ({n})"))
                .collect();
            write!(
                f,
                "; neither mapped nor in the schema: {}",
                labels.join(", ")
            )?;
        }
        match self.teacher_documents {
            0 => Ok(()),
            n => write!(f, "; {n} documents from teachers alone"),
        }
    }
}

/// Items in the order of the recipe's corpora and their documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// One per window.
    pub items: Vec<Item>,
    /// What was used and what was left out.
    pub summary: Summary,
}

/// Reads everything that the recipe trains on.
///
/// Of a teacher's file only the rows of the recipe's split are used; documents that the recipe evaluates or calibrates on are left out. Encoder
/// teachers are asked about every window here.
///
/// # Errors
/// A corpus or label file is bad, or holds nothing to train on; the runtime of an encoder teacher fails.
pub fn load(
    recipe: &Recipe,
    encoder: &Encoder,
    encoder_teachers: &mut EncoderTeachers,
) -> Result<Dataset> {
    let mut teachers = Teachers::read(recipe)?;
    let mut dataset = Dataset {
        items: Vec::new(),
        summary: Summary::default(),
    };
    // By id and by text: the same abstract may stand in two corpora under two ids.
    let mut held_out: HashSet<String> = HashSet::new();
    for held in recipe.held_out() {
        let read = corpus::read(&recipe.resolve(&held.path), held.format, &held.options)?;
        held_out.extend(read.documents.into_iter().flat_map(|d| [d.id, d.text]));
    }
    let mut seen = held_out.clone();
    for corpus in &recipe.corpora {
        let path = recipe.resolve(&corpus.path);
        let mut read = corpus::read(&path, corpus.format, &corpus.options)?;
        read.group(|label| kind(&corpus.map, label).to_owned());
        dataset.summary.duplicates += read.duplicates;
        dataset.summary.defects += read.defects.len();
        let before = dataset.items.len();
        // Encoder teachers make this long.
        let tick = progress::count("documents cut into windows, and read by the teachers");
        for (n, document) in read.documents.iter().enumerate() {
            tick(n + 1, read.documents.len());
            if held_out.contains(&document.id) || held_out.contains(&document.text) {
                dataset.summary.held_out += 1;
                continue;
            }
            seen.extend([document.id.clone(), document.text.clone()]);
            let found = teachers.mentions(document, &annotated(recipe, Some(corpus)));
            let said = teachers.of(document, &mut dataset.summary);
            let view = DocumentView::new(recipe, Some(corpus), document, &found, said);
            dataset.add(&view, encoder, encoder_teachers)?;
        }
        if dataset.items.len() == before {
            return Err(Error::file(&path, "the file holds no document to train on"));
        }
    }
    for document in &teachers.documents(&seen) {
        let found = teachers.mentions(document, &annotated(recipe, None));
        let said = teachers.of(document, &mut dataset.summary);
        let view = DocumentView::new(recipe, None, document, &found, said);
        dataset.add(&view, encoder, encoder_teachers)?;
        dataset.summary.teacher_documents += 1;
    }
    if dataset.items.is_empty() {
        let why = "there is nothing to train on: no corpus, and no teacher's row of entities outside of the evaluation";
        return Err(recipe.error(&["teachers"], why));
    }
    teachers.check_used()?;
    dataset.summary.windows = dataset.items.len();
    Ok(dataset)
}

impl Dataset {
    /// Adds the windows of a document.
    fn add(
        &mut self,
        view: &DocumentView,
        encoder: &Encoder,
        teachers: &mut EncoderTeachers,
    ) -> Result<()> {
        let summary = &mut self.summary;
        let document = view.document;
        if let Some(corpus) = view.corpus {
            let labels = document.mentions.iter().map(|m| &m.label);
            let labels = labels.chain(document.relations.iter().map(|r| &r.label));
            for label in labels.filter(|label| view.recipe.is_unmapped(&corpus.map, label)) {
                *summary.unmapped.entry(label.clone()).or_default() += 1;
            }
        }
        summary.mentions += view.mentions.len();
        let other = |m: &&Mention| {
            let map = view.corpus.map(|c| &c.map);
            let label = map.map_or(m.label.as_str(), |map| mapped(map, &m.label));
            view.recipe.entity(label).is_none()
        };
        summary.other_mentions += document.mentions.iter().filter(other).count();
        let mut tagged = vec![false; view.mentions.len()];
        let encoded = encoder.encode(&document.text)?;
        for window in windows(encoded, view.recipe.student.max_tokens) {
            let item = view.item(&window.tokens, encoder, teachers, &mut tagged, summary)?;
            self.items.push(item);
        }
        summary.untagged += tagged.iter().filter(|tagged| !**tagged).count();
        summary.documents += 1;
        Ok(())
    }
}

/// A schema name for a label of a corpus or teacher.
pub(crate) fn mapped<'a>(map: &'a BTreeMap<String, String>, label: &'a str) -> &'a str {
    map.get(label).map_or(label, String::as_str)
}

/// What makes mentions comparable when they are grouped: the type that their label is mapped to, or the label if it is left out.
pub(crate) fn kind<'a>(map: &'a BTreeMap<String, String>, label: &'a str) -> &'a str {
    Some(mapped(map, label))
        .filter(|name| !name.is_empty())
        .unwrap_or(label)
}

/// Whether a relation may hold from an entity of type `head` to one of type `tail`; a symmetric one only from the first to the later.
pub(crate) fn admits(
    relation: &RelationType,
    schema: &Schema,
    head: usize,
    tail: usize,
    head_is_first: bool,
) -> bool {
    let among = |types: &[String], label: usize| {
        schema
            .entities
            .get(label)
            .is_some_and(|e| types.contains(&e.name))
    };
    among(&relation.head, head)
        && among(&relation.tail, tail)
        && (!relation.symmetric || (head == tail && head_is_first))
}

/// `[K]`: types that the corpus annotates.
fn annotated(recipe: &Recipe, corpus: Option<&CorpusSource>) -> Vec<bool> {
    let known = |name: &String| corpus.is_some_and(|c| c.annotates.contains(name));
    recipe
        .schema
        .entities
        .iter()
        .map(|e| known(&e.name))
        .collect()
}

#[cfg(test)]
mod tests;
