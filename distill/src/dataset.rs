//! Documents, labels and a recipe become training items: one per window, with token tags and relation pairs.
//!
//! Tokens and windows come from libbie, so training reads a text exactly as the host will.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use bie::encode::{Encoder, Token};
use bie::text::window::windows;

use crate::corpus::{self, Document, Mention};
use crate::error::{Error, Result};
use crate::progress;
use crate::recipe::{CorpusSource, Recipe, RelationType, Schema};
use crate::teacher::encoder::{EncoderTeachers, Opinion, Window};

mod agreement;
mod order;
mod soft;
mod spans;

pub use agreement::{Agreement, Agreements, Kind};
pub(crate) use order::batches;
pub use order::epoch_batches;
use soft::{Row, Stated, TagVoice, Teachers, Voice, mean_tags};

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

/// A mention of a type of the schema.
struct TypedMention<'a> {
    mention: &'a Mention,
    label: usize,
}

/// All mentions of one concept with one type.
struct Entity<'a> {
    label: usize,
    concept: &'a str,
    /// Indices into [`DocumentView::mentions`].
    mentions: Vec<usize>,
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

/// One document in the terms of the schema.
struct DocumentView<'a> {
    recipe: &'a Recipe,
    /// Where it is from; none if only teachers have it.
    corpus: Option<&'a CorpusSource>,
    document: &'a Document,
    /// `[K]`: types that the corpus annotates.
    annotated: Vec<bool>,
    /// `[R]`: relations that the corpus annotates.
    gold_known: Vec<bool>,
    /// Sorted by start, longer first: that is the order in which they claim tokens.
    mentions: Vec<TypedMention<'a>>,
    /// In order of first appearance.
    entities: Vec<Entity<'a>>,
    /// Head concept, tail concept, relation.
    gold: HashSet<(&'a str, &'a str, usize)>,
    /// What the files of teachers say.
    said: Vec<Row<'a>>,
}

impl<'a> DocumentView<'a> {
    fn new(
        recipe: &'a Recipe,
        corpus: Option<&'a CorpusSource>,
        document: &'a Document,
        found: &'a [Mention],
        said: Vec<Row<'a>>,
    ) -> Self {
        let mapped = |label: &'a str| corpus.map_or(label, |c| mapped(&c.map, label));
        let mut mentions: Vec<TypedMention> = document
            .mentions
            .iter()
            .filter_map(|mention| {
                let label = recipe.entity(mapped(&mention.label))?;
                Some(TypedMention { mention, label })
            })
            .collect();
        // What teachers found of types that the corpus does not annotate, where it has nothing of the type all the same.
        let found = found.iter().filter_map(|mention| {
            let label = recipe.entity(&mention.label)?;
            let meets = |m: &TypedMention| {
                m.label == label && m.mention.start < mention.end && mention.start < m.mention.end
            };
            let new = !mentions.iter().any(meets);
            new.then_some(TypedMention { mention, label })
        });
        let found: Vec<TypedMention> = found.collect();
        mentions.extend(found);
        mentions.sort_by_key(|m| (m.mention.start, Reverse(m.mention.end), m.label));
        let mut entities: Vec<Entity> = Vec::new();
        for (m, mention) in mentions.iter().enumerate() {
            for concept in &mention.mention.concepts {
                match entities
                    .iter_mut()
                    .find(|e| e.label == mention.label && e.concept == concept)
                {
                    Some(entity) => entity.mentions.push(m),
                    None => entities.push(Entity {
                        label: mention.label,
                        concept,
                        mentions: vec![m],
                    }),
                }
            }
        }
        let gold = document
            .relations
            .iter()
            .filter_map(|g| {
                Some((
                    g.head.as_str(),
                    g.tail.as_str(),
                    recipe.relation(mapped(&g.label))?,
                ))
            })
            .collect();
        DocumentView {
            recipe,
            corpus,
            document,
            annotated: annotated(recipe, corpus),
            gold_known: recipe
                .schema
                .relations
                .iter()
                .map(|r| corpus.is_some_and(|c| c.gold_relations.contains(&r.name)))
                .collect(),
            mentions,
            entities,
            gold,
            said,
        }
    }

    /// The item of one window; positions are shifted by one for `[CLS]`. Marks the mentions that it tags.
    fn item(
        &self,
        tokens: &[Token],
        encoder: &Encoder,
        teachers: &mut EncoderTeachers,
        tagged: &mut [bool],
        summary: &mut Summary,
    ) -> Result<Item> {
        let types = self.annotated.len();
        let mut ids = vec![i64::from(encoder.cls())];
        ids.extend(tokens.iter().map(|t| i64::from(t.id)));
        ids.push(i64::from(encoder.sep()));
        summary.tokens += ids.len();

        let known = self.annotated.iter().map(|known| f32::from(*known));
        let mut tag_weight: Vec<f32> = vec![0.0; types];
        tokens.iter().for_each(|_| tag_weight.extend(known.clone()));
        tag_weight.extend(vec![0.0; types]);

        let positions: Vec<Range<usize>> = self
            .mentions
            .iter()
            .map(|m| covered(tokens, m.mention.start..m.mention.end))
            .collect();
        let mut tags = vec![OUTSIDE; ids.len() * types];
        for (m, (mention, positions)) in self.mentions.iter().zip(&positions).enumerate() {
            let slots = || positions.clone().map(|t| t * types + mention.label);
            if !positions.is_empty() && slots().all(|slot| tags.get(slot) == Some(&OUTSIDE)) {
                for (n, slot) in slots().enumerate() {
                    if let Some(tag) = tags.get_mut(slot) {
                        *tag = if n == 0 { BEGIN } else { INSIDE };
                    }
                }
                if let Some(tagged) = tagged.get_mut(m) {
                    *tagged = true;
                }
            }
        }

        let mut item = Item {
            document: self.document.id.clone(),
            ids,
            tags,
            tag_weight,
            teacher_tags: Vec::new(),
            mentions: Vec::new(),
            entities: Vec::new(),
            entity_type: Vec::new(),
            pairs: Vec::new(),
        };
        // As in libbie, entities are ordered by their first mention in this window, not in the document.
        let seen = |m: &&usize| positions.get(**m).is_some_and(|p| !p.is_empty());
        let mut present: Vec<&Entity> = self
            .entities
            .iter()
            .filter(|e| e.mentions.iter().any(|m| seen(&m)))
            .collect();
        present.sort_by_key(|e| e.mentions.iter().copied().find(|m| seen(&m)));
        let mut number = HashMap::new();
        for entity in &present {
            let numbered = entity.mentions.iter().filter(seen).map(|m| {
                *number.entry(*m).or_insert_with(|| {
                    item.mentions
                        .push(positions.get(*m).cloned().unwrap_or_default().collect());
                    item.mentions.len() - 1
                })
            });
            item.entities.push(numbered.collect());
            item.entity_type.push(entity.label);
        }
        let window = Window {
            ids: &item.ids,
            mentions: &item.mentions,
            entities: &item.entities,
            entity_type: &item.entity_type,
        };
        let opinions = teachers.ask(&window, &self.recipe.schema)?;
        item.teacher_tags = self.teacher_tags(&item, tokens, &opinions, &mut summary.agreements);
        item.pairs = self.pairs(&present, tokens, &opinions, &mut summary.agreements);
        summary.gold_pairs += item.pairs.iter().filter(|p| p.gold.is_some()).count();
        summary.teacher_pairs += item.pairs.iter().filter(|p| p.teacher.is_some()).count();
        Ok(item)
    }

    /// What the teachers say of the tags; of `[CLS]` and `[SEP]` nobody says anything.
    fn teacher_tags(
        &self,
        item: &Item,
        tokens: &[Token],
        opinions: &[Opinion],
        agreements: &mut Agreements,
    ) -> Vec<f32> {
        let files = self.said.iter().filter_map(|row| match row {
            Row::Entities(spans) => Some((spans.source, spans.weight, spans.tags(tokens).into())),
            Row::Pairs(_) => None,
        });
        let encoders = opinions
            .iter()
            .enumerate()
            .map(|(n, o)| (self.encoder_source(n), o.weight, o.tags.as_slice().into()));
        let voices: Vec<TagVoice> = files.chain(encoders).collect();
        if voices.is_empty() {
            return Vec::new();
        }
        // Whether a token is in a mention, by everybody who knows the type.
        let types = self.annotated.len();
        for (at, (weight, tag)) in item.tag_weight.iter().zip(&item.tags).enumerate() {
            let gold = (*weight > 0.0).then(|| (0, f32::from(*tag != OUTSIDE)));
            let theirs = voices.iter().filter_map(|(source, _, tags)| {
                let known = tags.get(3 * at..3 * at + 3)?;
                let outside = known.first()?;
                (known.iter().sum::<f32>() > 0.0).then(|| (*source, 1.0 - outside))
            });
            let said: Vec<(usize, f32)> = gold.into_iter().chain(theirs).collect();
            let special = at < types || at >= item.tags.len() - types;
            if !special {
                agreements.add(Kind::Entities, at % types, &said);
            }
        }
        let mut tags = mean_tags(&voices);
        let special = 3 * types;
        tags.iter_mut().take(special).for_each(|p| *p = 0.0);
        tags.iter_mut().rev().take(special).for_each(|p| *p = 0.0);
        tags
    }

    /// The number of an encoder teacher among the sources: gold is 0, then come the files.
    fn encoder_source(&self, n: usize) -> usize {
        1 + self.recipe.teachers.len() + n
    }

    fn pairs(
        &self,
        entities: &[&Entity],
        tokens: &[Token],
        opinions: &[Opinion],
        agreements: &mut Agreements,
    ) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (h, head) in entities.iter().enumerate() {
            for (t, tail) in entities.iter().enumerate() {
                if h != t {
                    pairs.extend(self.pair((h, head), (t, tail), tokens, opinions, agreements));
                }
            }
        }
        if let Some(most) = self
            .recipe
            .training
            .max_pairs
            .filter(|most| pairs.len() > *most)
        {
            // What somebody said something about first; the sort is stable.
            pairs.sort_by_key(|(_, notable)| !notable);
            pairs.truncate(most);
            pairs.sort_by_key(|(pair, _)| (pair.head, pair.tail));
        }
        pairs.into_iter().map(|(pair, _)| pair).collect()
    }

    /// Bytes of an entity's mentions.
    fn places(&self, entity: &Entity) -> Vec<Range<usize>> {
        let mentions = entity.mentions.iter().filter_map(|m| self.mentions.get(*m));
        mentions.map(|m| m.mention.start..m.mention.end).collect()
    }

    /// What each teacher says of a pair.
    fn voices<'v>(
        &'v self,
        (h, head): (usize, &Entity),
        (t, tail): (usize, &Entity),
        admissible: &[bool],
        opinions: &'v [Opinion],
    ) -> Vec<Voice<'v>> {
        let files = self.said.iter().filter_map(|row| match row {
            Row::Pairs(soft) => {
                let (from, to) = ((head.label, head.concept), (tail.label, tail.concept));
                soft.voice(from, to, admissible)
            }
            Row::Entities(spans) => {
                let (from, to) = (self.places(head), self.places(tail));
                let (from, to) = ((head.label, from.as_slice()), (tail.label, to.as_slice()));
                Voice::of_spans(spans, from, to, admissible, &self.recipe.schema)
            }
        });
        let encoders = opinions.iter().enumerate();
        let encoders = encoders.filter_map(|(n, o)| Voice::of(self.encoder_source(n), o, (h, t)));
        files.chain(encoders).collect()
    }

    /// A pair that gold or a teacher knows about, and whether it is notable: positive, or listed by a teacher.
    fn pair(
        &self,
        (h, head): (usize, &Entity),
        (t, tail): (usize, &Entity),
        tokens: &[Token],
        opinions: &[Opinion],
        agreements: &mut Agreements,
    ) -> Option<(Pair, bool)> {
        let schema = &self.recipe.schema;
        let admissible: Vec<bool> = schema
            .relations
            .iter()
            .map(|r| admits(r, schema, head.label, tail.label, h < t))
            .collect();
        let voices = self.voices((h, head), (t, tail), &admissible, opinions);
        let stated = Stated::new(&voices, admissible.len());
        let count = schema.relations.len() + 1;
        let by_gold: Vec<bool> = admissible
            .iter()
            .zip(&self.gold_known)
            .map(|(a, k)| *a && *k)
            .collect();
        let mut admitted = vec![true];
        admitted.extend(
            admissible
                .iter()
                .zip(&by_gold)
                .enumerate()
                .map(|(r, (a, g))| *a && (*g || stated.knows.get(r) == Some(&true))),
        );
        if !admitted.iter().skip(1).any(|a| *a) {
            return None;
        }
        let holds = |r: usize, directed: bool| {
            let found = |a: &Entity, b: &Entity| self.gold.contains(&(a.concept, b.concept, r));
            // Corpora such as BioRED list the arguments in any order; where types leave only one direction, that one is meant.
            found(head, tail) || (!directed && found(tail, head))
        };
        let positives: Vec<usize> = schema
            .relations
            .iter()
            .enumerate()
            .filter(|(r, relation)| {
                let directed =
                    !relation.symmetric && admits(relation, schema, tail.label, head.label, true);
                by_gold.get(*r) == Some(&true) && holds(*r, directed)
            })
            .map(|(r, _)| r + 1)
            .collect();
        for (r, _) in admissible.iter().enumerate().filter(|(_, a)| **a) {
            let gold = by_gold.get(r) == Some(&true);
            let gold = gold.then(|| (0, f32::from(positives.contains(&(r + 1)))));
            let theirs = voices.iter().filter(|v| v.knows.get(r) == Some(&true));
            let theirs = theirs.filter_map(|v| Some((v.source, *v.probabilities.get(r + 1)?)));
            let said: Vec<(usize, f32)> = gold.into_iter().chain(theirs).collect();
            agreements.add(Kind::Relations, r, &said);
        }
        let teacher = stated.distribution;
        let gold = by_gold
            .contains(&true)
            .then(|| gold_target(&positives, &by_gold, teacher.as_deref(), count));
        // A relation that gold knows and the teacher was not asked for: the teacher's zero would be false.
        let unasked = by_gold
            .iter()
            .enumerate()
            .any(|(r, g)| *g && stated.knows.get(r) != Some(&true));
        let teacher = if unasked && teacher.is_some() {
            gold.clone()
        } else {
            teacher
        };
        let evidence = stated
            .evidence
            .map(|bytes| covered(tokens, bytes))
            .filter(|positions| !positions.is_empty());
        let notable = stated.listed || !positives.is_empty();
        Some((
            Pair {
                head: h,
                tail: t,
                admitted,
                gold,
                teacher,
                evidence,
            },
            notable,
        ))
    }
}

/// The gold target `[R + 1]`: the relations that hold share the mass; if none holds, those that gold knows get nothing and the rest is
/// as the teacher says ("none" without a teacher).
fn gold_target(
    positives: &[usize],
    by_gold: &[bool],
    teacher: Option<&[f32]>,
    count: usize,
) -> Vec<f32> {
    let mut target = vec![0.0; count];
    if !positives.is_empty() {
        for label in positives {
            if let Some(slot) = target.get_mut(*label) {
                *slot = 1.0 / positives.len() as f32;
            }
        }
        return target;
    }
    if let Some(teacher) = teacher {
        target.copy_from_slice(teacher);
        target
            .iter_mut()
            .skip(1)
            .zip(by_gold)
            .filter(|(_, known)| **known)
            .for_each(|(p, _)| *p = 0.0);
        let rest: f32 = target.iter().sum();
        if rest > 1e-6 {
            target.iter_mut().for_each(|p| *p /= rest);
            return target;
        }
    }
    target.fill(0.0);
    if let Some(none) = target.first_mut() {
        *none = 1.0;
    }
    target
}

/// Positions (with `[CLS]` at 0) of the tokens that a byte range touches.
fn covered(tokens: &[Token], bytes: Range<usize>) -> Range<usize> {
    let first = tokens.partition_point(|t| t.end <= bytes.start);
    let last = tokens.partition_point(|t| t.start < bytes.end);
    first + 1..last.max(first) + 1
}

#[cfg(test)]
mod tests;
