//! Teachers' rows of entities: what they say of a document's tags and of pairs of its entities, and the documents that only they have.

use std::cmp::Reverse;
use std::ops::Range;

use bie::decode::group::{self, groups};
use bie::encode::Token;

use super::{BEGIN, INSIDE, OUTSIDE, mapped};
use crate::corpus::{Document, Mention};
use crate::recipe::{Recipe, TeacherSource};
use crate::teacher::Labels;

/// What a file's rows speak of: what is not listed is none there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// `[K]`.
    pub(super) types: Vec<bool>,
    /// `[R]`.
    pub(super) relations: Vec<bool>,
}

impl Known {
    /// The recipe's word on it, else the types of the file's rows.
    pub(super) fn new<'a>(
        recipe: &Recipe,
        source: &TeacherSource,
        rows: impl Iterator<Item = &'a Labels>,
    ) -> Known {
        let mut known = Known {
            types: vec![false; recipe.schema.entities.len()],
            relations: vec![false; recipe.schema.relations.len()],
        };
        let mut mark = |name: &str| {
            let (entity, relation) = (recipe.entity(name), recipe.relation(name));
            known
                .types
                .iter_mut()
                .enumerate()
                .for_each(|(k, is)| *is |= entity == Some(k));
            known
                .relations
                .iter_mut()
                .enumerate()
                .for_each(|(r, is)| *is |= relation == Some(r));
        };
        if let Some(names) = &source.annotates {
            names.iter().for_each(|name| mark(name));
            return known;
        }
        for row in rows {
            row.entities
                .iter()
                .for_each(|e| mark(mapped(&source.map, &e.label)));
            row.relations
                .iter()
                .for_each(|r| mark(mapped(&source.map, &r.label)));
        }
        known
    }
}

/// One teacher's entities in one document.
pub(super) struct Spans<'a> {
    pub(super) source: usize,
    pub(super) weight: f32,
    pub(super) known: &'a Known,
    /// Bytes, type and probability of each entity; no type if the schema lacks it.
    spans: Vec<(Range<usize>, Option<usize>, f32)>,
    /// Head, tail (both into `spans`), relation, probability.
    relations: Vec<(usize, usize, usize, f32)>,
}

/// An entity of the document: its type and the bytes of its mentions.
pub(super) type Place<'a> = (usize, &'a [Range<usize>]);

impl<'a> Spans<'a> {
    pub(super) fn new(
        recipe: &Recipe,
        source: usize,
        teacher: &TeacherSource,
        labels: &Labels,
        known: &'a Known,
    ) -> Spans<'a> {
        let entities = labels.entities.iter().map(|e| {
            let label = recipe.entity(mapped(&teacher.map, &e.label));
            (e.span.clone(), label, teacher.calibrated(e.probability))
        });
        let relations = labels.relations.iter().filter_map(|r| {
            let relation = recipe.relation(mapped(&teacher.map, &r.label))?;
            Some((r.head, r.tail, relation, teacher.calibrated(r.probability)))
        });
        Spans {
            source,
            weight: teacher.weight,
            known,
            spans: entities.collect(),
            relations: relations.collect(),
        }
    }

    /// `[L, K, 3]` of a window: a listed span is a mention with its probability, what is not listed is outside for sure. `[CLS]` and `[SEP]` are 0.
    pub(super) fn tags(&self, tokens: &[Token]) -> Vec<f32> {
        let types = self.known.types.len();
        let mut tags = vec![0.0; (tokens.len() + 2) * types * 3];
        let outside = tags.chunks_mut(3).skip(types).take(tokens.len() * types);
        for (tag, known) in outside.zip(self.known.types.iter().cycle()) {
            tag.iter_mut().take(1).for_each(|o| *o = f32::from(*known));
        }
        let mut spans: Vec<_> = self.spans.iter().collect();
        spans.sort_by_key(|(span, ..)| (span.start, Reverse(span.end)));
        for (span, label, p) in spans {
            let Some(label) = label.filter(|k| self.known.types.get(*k) == Some(&true)) else {
                continue;
            };
            let positions = covered(tokens, span.clone());
            let cell = |t: usize| (t * types + label) * 3 + usize::from(OUTSIDE);
            let free = |t: usize| tags.get(cell(t)) == Some(&1.0);
            if !positions.clone().all(free) {
                continue; // inside a longer one, or one that began earlier, as gold mentions
            }
            for (n, t) in positions.enumerate() {
                let inside = if n == 0 { BEGIN } else { INSIDE };
                let tag = tags.iter_mut().skip(cell(t)).take(3);
                for (value, tag) in tag.zip([OUTSIDE, BEGIN, INSIDE]) {
                    *value = match tag {
                        OUTSIDE => 1.0 - p,
                        tag if tag == inside => *p,
                        _ => 0.0,
                    };
                }
            }
        }
        tags
    }

    /// `[R]` and `[R + 1]`: which of the `admitted` relations it knows between two entities, and how probable it calls each; whether one is listed.
    /// `None` if it knows none or sees one of the entities nowhere.
    pub(super) fn pair(
        &self,
        head: Place<'_>,
        tail: Place<'_>,
        admitted: &[bool],
        symmetric: impl Fn(usize) -> bool,
    ) -> Option<(Vec<bool>, Vec<f32>, bool)> {
        let knows: Vec<bool> = (admitted.iter().zip(&self.known.relations))
            .map(|(admitted, known)| *admitted && *known)
            .collect();
        let sees = |place: Place<'_>| (0..self.spans.len()).any(|s| self.is(s, place));
        if !knows.contains(&true) || !sees(head) || !sees(tail) {
            return None;
        }
        let mut probabilities = vec![0.0f32; knows.len() + 1];
        let mut listed = false;
        for (from, to, r, p) in &self.relations {
            let direct = self.is(*from, head) && self.is(*to, tail);
            let reverse = symmetric(*r) && self.is(*from, tail) && self.is(*to, head);
            if knows.get(*r) == Some(&true) && (direct || reverse) {
                listed = true;
                let slot = probabilities.iter_mut().skip(r + 1).take(1);
                slot.for_each(|most| *most = most.max(*p));
            }
        }
        // Each is the probability that the relation holds; a pair's labels exclude each other.
        let sum: f32 = probabilities.iter().sum();
        if sum > 1.0 {
            probabilities.iter_mut().for_each(|p| *p /= sum);
        }
        let none = probabilities.iter_mut().take(1);
        none.for_each(|none| *none = (1.0 - sum).max(0.0));
        Some((knows, probabilities, listed))
    }

    /// Whether a span of the teacher's touches a mention of an entity of the document, both of one type.
    fn is(&self, span: usize, (label, mentions): Place<'_>) -> bool {
        self.spans.get(span).is_some_and(|(span, own, _)| {
            *own == Some(label)
                && (mentions.iter()).any(|m| m.start < span.end && span.start < m.end)
        })
    }
}

/// Mentions that only the teachers' rows of entities have: of the types that are not `annotated` (`[K]`), called more likely than not, grouped into
/// entities as libbie groups them.
pub(super) fn mentions(
    recipe: &Recipe,
    document: &Document,
    rows: &[(&TeacherSource, &Labels)],
    annotated: &[bool],
) -> Vec<Mention> {
    let mut spans = Vec::new();
    for (source, labels) in rows.iter().filter(|(_, l)| l.text == document.text) {
        for e in &labels.entities {
            let label = recipe.entity(mapped(&source.map, &e.label));
            let label = label.filter(|k| annotated.get(*k) == Some(&false));
            if let Some(label) = label.filter(|_| source.calibrated(e.probability) >= 0.5) {
                spans.push((e.span.start, Reverse(e.span.end), label));
            }
        }
    }
    spans.sort_unstable();
    spans.dedup();
    let of = |&(start, Reverse(end), label)| group::Mention { start, end, label };
    let mentions: Vec<group::Mention> = spans.iter().map(of).collect();
    let numbered = groups(&document.text, &mentions);
    let named = mentions.iter().zip(numbered).map(|(m, group)| {
        let name = recipe.schema.entities.get(m.label).map(|e| e.name.clone());
        Mention {
            start: m.start,
            end: m.end,
            label: name.unwrap_or_default(),
            concepts: vec![format!("teachers' {group}")],
        }
    });
    named.collect()
}

/// Positions (with `[CLS]` at 0) of the tokens that a byte range touches.
pub(super) fn covered(tokens: &[Token], bytes: Range<usize>) -> Range<usize> {
    let first = tokens.partition_point(|t| t.end <= bytes.start);
    let last = tokens.partition_point(|t| t.start < bytes.end);
    first + 1..last.max(first) + 1
}
