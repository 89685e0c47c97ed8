//! What the teachers say about a document's pairs, in the terms of the schema.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::{Summary, admits, mapped};
use crate::corpus::Document;
use crate::error::{Error, Result};
use crate::recipe::{Recipe, Schema};
use crate::teacher::encoder::Opinion;
use crate::teacher::{self, Distribution, Labels, PairLabels};

/// Every teacher's rows, by document id.
pub(super) struct Teachers<'a> {
    recipe: &'a Recipe,
    rows: HashMap<String, Vec<(usize, Labels)>>,
    /// Rows used, per teacher.
    used: Vec<usize>,
}

impl<'a> Teachers<'a> {
    /// Reads the rows of each teacher's split, and of no other.
    pub(super) fn read(recipe: &'a Recipe) -> Result<Self> {
        let mut rows: HashMap<String, Vec<(usize, Labels)>> = HashMap::new();
        for (n, source) in recipe.teachers.iter().enumerate() {
            let path = recipe.resolve(&source.path);
            let mut any = false;
            for row in teacher::read(&path)?
                .into_iter()
                .filter(|row| row.pairs.is_some())
            {
                any = true;
                if row
                    .split
                    .as_ref()
                    .is_none_or(|split| *split == source.split)
                {
                    rows.entry(row.id.clone()).or_default().push((n, row));
                }
            }
            if !any {
                return Err(Error::file(
                    &path,
                    "the file holds no relation labels (`pairs`); teachers of entities alone cannot be used here",
                ));
            }
        }
        Ok(Teachers {
            recipe,
            rows,
            used: vec![0; recipe.teachers.len()],
        })
    }

    /// The rows that speak of this document's very text.
    pub(super) fn of(&mut self, document: &Document, summary: &mut Summary) -> Vec<Soft<'_>> {
        let mut soft = Vec::new();
        for (n, labels) in self.rows.get(&document.id).into_iter().flatten() {
            let (Some(source), Some(pairs), Some(used)) = (
                self.recipe.teachers.get(*n),
                &labels.pairs,
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
            soft.extend(Soft::new(
                &self.recipe.schema,
                &source.map,
                source.weight,
                pairs,
            ));
        }
        soft
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
        map: &BTreeMap<String, String>,
        weight: f32,
        labels: &'a PairLabels,
    ) -> Option<Self> {
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
                probabilities: fold(&pair.probabilities),
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
            head_type,
            tail_type,
            weight,
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
            weight: self.weight,
            knows: &self.knows,
            probabilities: &statement.probabilities,
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
    weight: f32,
    /// `[R]`: relations that it was asked for.
    knows: &'a [bool],
    /// `[R + 1]`.
    probabilities: &'a [f32],
    /// Bytes of the evidence.
    evidence: Option<Range<usize>>,
    /// It lists the pair, or finds a relation.
    listed: bool,
}

impl<'a> Voice<'a> {
    /// That of an encoder teacher.
    pub(super) fn of(opinion: &'a Opinion, pair: (usize, usize)) -> Option<Voice<'a>> {
        let at = opinion.pairs.binary_search_by_key(&pair, |p| p.pair).ok()?;
        let said = opinion.pairs.get(at)?;
        Some(Voice {
            weight: opinion.weight,
            knows: &said.knows,
            probabilities: &said.probabilities,
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
            let asked = [true].iter().chain(voice.knows);
            for ((sum, p), _) in sums
                .iter_mut()
                .zip(voice.probabilities)
                .zip(asked)
                .filter(|(_, asked)| **asked)
            {
                *sum = (sum.0 + voice.weight * p, sum.1 + voice.weight);
            }
            stated
                .knows
                .iter_mut()
                .zip(voice.knows)
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

/// What all teachers say about the tags of a window `[L, K, 3]`: the mean by weight over those that know the type; zeros where none does.
/// Empty if none knows any.
pub(super) fn mean_tags(voices: &[(f32, &[f32])]) -> Vec<f32> {
    let cells = voices.iter().map(|(_, tags)| tags.len()).max().unwrap_or(0);
    let mut mean = vec![0.0; cells];
    for (weight, tags) in voices {
        let weighted = mean.iter_mut().zip(*tags);
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
