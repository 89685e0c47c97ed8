//! What the teachers say about a document's pairs, in the terms of the schema.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::spans::{self, Known, Place, Spans};
use super::{Summary, admits, mapped};
use crate::corpus::{Document, Mention};
use crate::error::{Error, Result};
use crate::recipe::{Recipe, Schema, TeacherSource};
use crate::teacher::encoder::Opinion;
use crate::teacher::{self, Distribution, Labels, PairLabels};

/// Every teacher's rows, by document id.
pub(super) struct Teachers<'a> {
    recipe: &'a Recipe,
    rows: HashMap<String, Vec<(usize, Labels)>>,
    /// Ids of the rows of entities, each once, in the order of the files.
    order: Vec<String>,
    /// What the rows of entities of each teacher speak of.
    known: Vec<Known>,
    /// Rows used, per teacher.
    used: Vec<usize>,
}

/// What a row says of one document.
pub(super) enum Row<'a> {
    /// Of pairs of its concepts.
    Pairs(Soft<'a>),
    /// Of its entities.
    Entities(Spans<'a>),
}

/// Whether the row lists a document's entities (perhaps none).
fn is_of_entities(row: &Labels) -> bool {
    row.pairs.is_none() || !row.entities.is_empty()
}

impl<'a> Teachers<'a> {
    /// Reads the rows of each teacher's split, and of no other.
    pub(super) fn read(recipe: &'a Recipe) -> Result<Self> {
        let mut rows: HashMap<String, Vec<(usize, Labels)>> = HashMap::new();
        let mut order = Vec::new();
        let mut known = Vec::new();
        for (n, source) in recipe.teachers.iter().enumerate() {
            let path = recipe.resolve(&source.path);
            let all = teacher::read(&path)?;
            let knows = Known::new(recipe, source, all.iter());
            let silent = !knows.types.contains(&true) && !knows.relations.contains(&true);
            if silent && all.iter().all(|row| row.pairs.is_none()) {
                return Err(Error::file(
                    &path,
                    "the file holds no relation labels (`pairs`), and no entity of a type of the schema; map its types",
                ));
            }
            known.push(knows);
            let of_split = |row: &Labels| row.split.as_ref().is_none_or(|s| *s == source.split);
            for row in all.into_iter().filter(of_split) {
                let of_document = rows.entry(row.id.clone()).or_default();
                if is_of_entities(&row) && !of_document.iter().any(|(_, r)| is_of_entities(r)) {
                    order.push(row.id.clone());
                }
                of_document.push((n, row));
            }
        }
        Ok(Teachers {
            recipe,
            rows,
            order,
            known,
            used: vec![0; recipe.teachers.len()],
        })
    }

    /// The documents that rows of entities speak of, without those of these ids or texts.
    pub(super) fn documents(&self, without: &HashSet<String>) -> Vec<Document> {
        let document = |id: &String| {
            let row = self.rows_of_entities(id).next().map(|(_, row)| row)?;
            let known = without.contains(id) || without.contains(&row.text);
            (!known).then(|| Document {
                id: id.clone(),
                text: row.text.clone(),
                mentions: Vec::new(),
                relations: Vec::new(),
                source: row.source.clone(),
            })
        };
        self.order.iter().filter_map(document).collect()
    }

    /// The mentions of types that are not `annotated` (`[K]`).
    pub(super) fn mentions(&self, document: &Document, annotated: &[bool]) -> Vec<Mention> {
        let rows: Vec<_> = self.rows_of_entities(&document.id).collect();
        spans::mentions(self.recipe, document, &rows, annotated)
    }

    fn rows_of_entities(&self, id: &str) -> impl Iterator<Item = (&TeacherSource, &Labels)> {
        let rows = self.rows.get(id).into_iter().flatten();
        let rows = rows.filter(|(_, row)| is_of_entities(row));
        rows.filter_map(|(n, row)| Some((self.recipe.teachers.get(*n)?, row)))
    }

    /// The rows that speak of this document's very text.
    pub(super) fn of(&mut self, document: &Document, summary: &mut Summary) -> Vec<Row<'_>> {
        let mut said = Vec::new();
        for (n, labels) in self.rows.get(&document.id).into_iter().flatten() {
            let (Some(source), Some(known), Some(used)) = (
                self.recipe.teachers.get(*n),
                self.known.get(*n),
                self.used.get_mut(*n),
            ) else {
                continue;
            };
            if labels.text != document.text {
                summary.differing_rows += 1;
                continue;
            }
            summary.teacher_rows += 1;
            *used += 1;
            let pairs = labels.pairs.as_ref();
            let soft = pairs.and_then(|p| Soft::new(&self.recipe.schema, n + 1, source, p));
            said.extend(soft.map(Row::Pairs));
            if is_of_entities(labels) {
                let spans = Spans::new(self.recipe, n + 1, source, labels, known);
                said.push(Row::Entities(spans));
            }
        }
        said
    }

    /// A teacher that speaks of no document is a mistake in the recipe.
    pub(super) fn check_used(&self) -> Result<()> {
        match self
            .recipe
            .teachers
            .iter()
            .zip(&self.used)
            .find(|(_, used)| **used == 0)
        {
            None => Ok(()),
            Some((source, _)) => Err(Error::file(
                &self.recipe.resolve(&source.path),
                format!(
                    "no row of split \"{}\" has the id and the text of a document of the corpora",
                    source.split
                ),
            )),
        }
    }
}

/// What one teacher says about one pair.
struct Statement {
    /// `[R + 1]`.
    probabilities: Vec<f32>,
    /// Bytes of the evidence.
    evidence: Option<Range<usize>>,
}

/// One teacher's row.
pub(super) struct Soft<'a> {
    source: usize,
    head_type: usize,
    tail_type: usize,
    weight: f32,
    /// `[R]`: relations that the teacher was asked for.
    knows: Vec<bool>,
    default: Statement,
    /// By head concept, then tail concept.
    listed: HashMap<&'a str, HashMap<&'a str, Statement>>,
}

impl<'a> Soft<'a> {
    /// None if the schema lacks one of the types.
    fn new(
        schema: &Schema,
        source: usize,
        teacher: &TeacherSource,
        labels: &'a PairLabels,
    ) -> Option<Self> {
        let map = &teacher.map;
        let entity = |label: &str| {
            schema
                .entities
                .iter()
                .position(|e| e.name == mapped(map, label))
        };
        let (head_type, tail_type) = (entity(&labels.head_type)?, entity(&labels.tail_type)?);
        let asked: HashSet<&str> = [&labels.default]
            .into_iter()
            .chain(labels.pairs.iter().map(|p| &p.probabilities))
            .flat_map(Distribution::keys)
            .map(|label| mapped(map, label))
            .collect();
        // Pairs of one type are unordered in the file, so they say nothing about a relation with a direction.
        let unordered = head_type == tail_type;
        let knows: Vec<bool> = schema
            .relations
            .iter()
            .map(|r| {
                asked.contains(r.name.as_str())
                    && r.symmetric == unordered
                    && admits(r, schema, head_type, tail_type, true)
            })
            .collect();
        // Labels that the schema lacks, or that these types do not admit, are "none" to the student.
        let fold = |stated: &Distribution| {
            let mut folded = vec![0.0; schema.relations.len() + 1];
            for (label, p) in stated {
                let relation = schema
                    .relations
                    .iter()
                    .position(|r| r.name == mapped(map, label))
                    .filter(|r| knows.get(*r) == Some(&true));
                if let Some(slot) = folded.get_mut(relation.map_or(0, |r| r + 1)) {
                    *slot += p;
                }
            }
            folded
        };
        let mut listed: HashMap<&str, HashMap<&str, Statement>> = HashMap::new();
        for pair in &labels.pairs {
            let statement = Statement {
                probabilities: fold(&teacher.calibrated_distribution(&pair.probabilities)),
                evidence: pair.evidence.clone(),
            };
            listed
                .entry(&pair.head)
                .or_default()
                .insert(&pair.tail, statement);
        }
        let default = Statement {
            probabilities: fold(&labels.default),
            evidence: None,
        };
        Some(Soft {
            source,
            head_type,
            tail_type,
            weight: teacher.weight,
            default,
            listed,
            knows,
        })
    }

    /// What the teacher says of a pair (type and concept of head and tail), if it was asked for one of these relations (`[R]`) between these
    /// types.
    pub(super) fn voice(
        &self,
        head: (usize, &str),
        tail: (usize, &str),
        relations: &[bool],
    ) -> Option<Voice<'_>> {
        let asked = self.knows.iter().zip(relations).any(|(k, of)| *k && *of);
        if !asked || (head.0, tail.0) != (self.head_type, self.tail_type) {
            return None;
        }
        let listed = self.listed(head.1, tail.1);
        let statement = listed.unwrap_or(&self.default);
        Some(Voice {
            source: self.source,
            weight: self.weight,
            knows: Cow::Borrowed(&self.knows),
            probabilities: Cow::Borrowed(&statement.probabilities),
            evidence: statement.evidence.clone(),
            listed: listed.is_some(),
        })
    }

    fn listed(&self, head: &str, tail: &str) -> Option<&Statement> {
        let ordered =
            |head: &str, tail: &str| self.listed.get(head).and_then(|tails| tails.get(tail));
        ordered(head, tail)
            .or_else(|| ordered(tail, head).filter(|_| self.head_type == self.tail_type))
    }
}

/// What one teacher says about one pair.
pub(super) struct Voice<'a> {
    pub(super) source: usize,
    weight: f32,
    /// `[R]`: relations that it was asked for.
    pub(super) knows: Cow<'a, [bool]>,
    /// `[R + 1]`.
    pub(super) probabilities: Cow<'a, [f32]>,
    /// Bytes of the evidence.
    evidence: Option<Range<usize>>,
    /// It lists the pair, or finds a relation.
    listed: bool,
}

impl<'a> Voice<'a> {
    /// That of a row of entities.
    pub(super) fn of_spans(
        spans: &Spans,
        head: Place,
        tail: Place,
        admitted: &[bool],
        schema: &Schema,
    ) -> Option<Voice<'a>> {
        let symmetric = |r: usize| schema.relations.get(r).is_some_and(|r| r.symmetric);
        let (knows, probabilities, listed) = spans.pair(head, tail, admitted, symmetric)?;
        Some(Voice {
            source: spans.source,
            weight: spans.weight,
            knows: Cow::Owned(knows),
            probabilities: Cow::Owned(probabilities),
            evidence: None,
            listed,
        })
    }

    /// That of an encoder teacher.
    pub(super) fn of(
        source: usize,
        opinion: &'a Opinion,
        pair: (usize, usize),
    ) -> Option<Voice<'a>> {
        let at = opinion.pairs.binary_search_by_key(&pair, |p| p.pair).ok()?;
        let said = opinion.pairs.get(at)?;
        Some(Voice {
            source,
            weight: opinion.weight,
            knows: Cow::Borrowed(&said.knows),
            probabilities: Cow::Borrowed(&said.probabilities),
            evidence: None,
            listed: said.probabilities.first().is_some_and(|none| *none < 0.5),
        })
    }
}

/// What all teachers say about one pair: each label's mean by weight over the teachers that were asked for it.
pub(super) struct Stated {
    /// `[R]`: relations that some teacher was asked for.
    pub(super) knows: Vec<bool>,
    /// `[R + 1]`; none if no teacher speaks of the pair.
    pub(super) distribution: Option<Vec<f32>>,
    /// Bytes of the first evidence given.
    pub(super) evidence: Option<Range<usize>>,
    /// Some teacher lists the pair.
    pub(super) listed: bool,
}

impl Stated {
    /// Of a schema with so many relations.
    pub(super) fn new(voices: &[Voice], relations: usize) -> Stated {
        let mut stated = Stated {
            knows: vec![false; relations],
            distribution: None,
            evidence: None,
            listed: false,
        };
        let mut sums = vec![(0.0, 0.0); relations + 1];
        for voice in voices {
            let asked = [true].iter().chain(voice.knows.iter());
            for ((sum, p), _) in sums
                .iter_mut()
                .zip(voice.probabilities.iter())
                .zip(asked)
                .filter(|(_, asked)| **asked)
            {
                *sum = (sum.0 + voice.weight * p, sum.1 + voice.weight);
            }
            stated
                .knows
                .iter_mut()
                .zip(voice.knows.iter())
                .for_each(|(known, k)| *known |= k);
            stated.listed |= voice.listed;
            if stated.evidence.is_none() {
                stated.evidence.clone_from(&voice.evidence);
            }
        }
        let means: Vec<f32> = sums
            .iter()
            .map(|(sum, weight)| if *weight > 0.0 { sum / weight } else { 0.0 })
            .collect();
        let total: f32 = means.iter().sum();
        if total > 0.0 {
            stated.distribution = Some(means.iter().map(|p| p / total).collect());
        }
        stated
    }
}

/// What one source says about the tags of a window: its number, its weight, `[L, K, 3]`.
pub(super) type TagVoice<'a> = (usize, f32, Cow<'a, [f32]>);

/// What all teachers say about the tags of a window `[L, K, 3]`: the mean by weight over those that know the type; zeros where none does.
/// Empty if none knows any.
pub(super) fn mean_tags(voices: &[TagVoice]) -> Vec<f32> {
    let cells = voices
        .iter()
        .map(|(_, _, tags)| tags.len())
        .max()
        .unwrap_or(0);
    let mut mean = vec![0.0; cells];
    for (_, weight, tags) in voices {
        let weighted = mean.iter_mut().zip(tags.iter());
        weighted.for_each(|(sum, p)| *sum += weight * p);
    }
    for tag in mean.chunks_mut(3) {
        let sum: f32 = tag.iter().sum();
        if sum > 0.0 {
            tag.iter_mut().for_each(|p| *p /= sum);
        }
    }
    if mean.iter().all(|p| *p == 0.0) {
        mean.clear();
    }
    mean
}
