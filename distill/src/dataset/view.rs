//! One document in the terms of the schema, and what of it stands in a window: token tags, entities, pairs.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bie::encode::{Encoder, Token};

use super::soft::{Row, Stated, TagVoice, Voice, mean_tags};
use super::spans::covered;
use super::{
    Agreements, BEGIN, INSIDE, Item, Kind, OUTSIDE, Pair, Summary, admits, annotated, mapped,
};
use crate::corpus::{Document, Mention};
use crate::error::Result;
use crate::recipe::{CorpusSource, Recipe};
use crate::teacher::encoder::{EncoderTeachers, Opinion, Window};

/// A mention of a type of the schema.
pub(super) struct TypedMention<'a> {
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

/// One document in the terms of the schema.
pub(super) struct DocumentView<'a> {
    pub(super) recipe: &'a Recipe,
    /// Where it is from; none if only teachers have it.
    pub(super) corpus: Option<&'a CorpusSource>,
    pub(super) document: &'a Document,
    /// `[K]`: types that the corpus annotates.
    annotated: Vec<bool>,
    /// `[R]`: relations that the corpus annotates.
    gold_known: Vec<bool>,
    /// Sorted by start, longer first: that is the order in which they claim tokens.
    pub(super) mentions: Vec<TypedMention<'a>>,
    /// In order of first appearance.
    entities: Vec<Entity<'a>>,
    /// Head concept, tail concept, relation.
    gold: HashSet<(&'a str, &'a str, usize)>,
    /// What the files of teachers say.
    said: Vec<Row<'a>>,
}

impl<'a> DocumentView<'a> {
    pub(super) fn new(
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
    pub(super) fn item(
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
