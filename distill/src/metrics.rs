//! Precision, recall and F1 of spans and of document-level relations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A mention as it is compared: exact bytes and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Index of the entity type.
    pub label: usize,
}

/// A relation as it is compared: concepts of one document, by number, and the relation type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Triple {
    /// Number of the head's concept.
    pub head: usize,
    /// Number of the tail's concept.
    pub tail: usize,
    /// Index of the relation type.
    pub label: usize,
}

/// Hits and misses of one type, or of several together; in JSON an array of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct Counts {
    /// Predicted and gold.
    pub hits: usize,
    /// Predicted, not gold.
    pub false_positives: usize,
    /// Gold, not predicted.
    pub misses: usize,
}

impl From<[usize; 3]> for Counts {
    fn from([hits, false_positives, misses]: [usize; 3]) -> Counts {
        Counts {
            hits,
            false_positives,
            misses,
        }
    }
}

impl From<Counts> for [usize; 3] {
    fn from(c: Counts) -> [usize; 3] {
        [c.hits, c.false_positives, c.misses]
    }
}

impl Counts {
    /// Share of the predicted that is gold; 0 if nothing was predicted.
    pub fn precision(&self) -> f64 {
        ratio(self.hits, self.hits + self.false_positives)
    }

    /// Share of the gold that was predicted; 0 if there is no gold.
    pub fn recall(&self) -> f64 {
        ratio(self.hits, self.support())
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        ratio(
            2 * self.hits,
            2 * self.hits + self.false_positives + self.misses,
        )
    }

    /// Number of gold elements.
    pub fn support(&self) -> usize {
        self.hits + self.misses
    }

    /// Adds the counts of other documents or types.
    pub fn add(&mut self, other: &Counts) {
        self.hits += other.hits;
        self.false_positives += other.false_positives;
        self.misses += other.misses;
    }

    fn json(&self) -> Value {
        let rounded = |x: f64| (x * 1e6).round() / 1e6;
        json!({
            "precision": rounded(self.precision()),
            "recall": rounded(self.recall()),
            "f1": rounded(self.f1()),
            "support": self.support(),
        })
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Counts by type, over any number of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally {
    counts: Vec<Counts>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(types: usize) -> Tally {
        Tally {
            counts: vec![Counts::default(); types],
        }
    }

    /// The counts of each type.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// Adds the counts of other documents, type by type.
    pub fn add(&mut self, other: &Tally) {
        self.counts
            .iter_mut()
            .zip(&other.counts)
            .for_each(|(own, counts)| own.add(counts));
    }

    /// Compares what one document holds with what was predicted for it; `label` gives an element's type.
    pub fn compare<T: Ord>(
        &mut self,
        gold: &BTreeSet<T>,
        predicted: &BTreeSet<T>,
        label: impl Fn(&T) -> usize,
    ) {
        for element in predicted {
            self.count(label(element), |c| {
                if gold.contains(element) {
                    c.hits += 1
                } else {
                    c.false_positives += 1
                }
            });
        }
        for element in gold.difference(predicted) {
            self.count(label(element), |c| c.misses += 1);
        }
    }

    /// Counts a prediction that cannot be compared with any gold element.
    pub fn false_positive(&mut self, label: usize) {
        self.count(label, |c| c.false_positives += 1);
    }

    fn count(&mut self, label: usize, change: impl FnOnce(&mut Counts)) {
        if let Some(counts) = self.counts.get_mut(label) {
            change(counts);
        }
    }

    /// The result for the types whose flag is set; micro runs over these.
    pub fn scores(&self, names: &[String], known: &[bool]) -> Scores {
        let by_type: Vec<(String, Counts)> = names
            .iter()
            .zip(&self.counts)
            .zip(known)
            .filter(|(_, known)| **known)
            .map(|((name, counts), _)| (name.clone(), *counts))
            .collect();
        let mut micro = Counts::default();
        by_type.iter().for_each(|(_, counts)| micro.add(counts));
        Scores { micro, by_type }
    }
}

/// Micro average and each type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// All types together.
    pub micro: Counts,
    /// Each type, in the order of the schema.
    pub by_type: Vec<(String, Counts)>,
}

impl Scores {
    /// `{"micro": {...}, "by_type": {name: {...}}}`, each with `precision`, `recall`, `f1`, `support`.
    pub fn json(&self) -> Value {
        let by_type: Map<String, Value> = self
            .by_type
            .iter()
            .map(|(name, counts)| (name.clone(), counts.json()))
            .collect();
        json!({ "micro": self.micro.json(), "by_type": by_type })
    }

    /// Rows of a table: the name, then precision, recall and F1 in percent, then the support.
    pub fn rows(&self) -> String {
        let all = [("micro".to_owned(), self.micro)];
        let row = |(name, c): &(String, Counts)| {
            let percent = |x: f64| 100.0 * x;
            format!(
                "  {name:<24}{:>8.1}{:>8.1}{:>8.1}{:>9}\n",
                percent(c.precision()),
                percent(c.recall()),
                percent(c.f1()),
                c.support()
            )
        };
        self.by_type.iter().chain(&all).map(row).collect()
    }
}

/// A predicted mention and the group of mentions that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped {
    /// The mention.
    pub span: Span,
    /// Its group.
    pub group: usize,
}

/// What predicted relations between groups of predicted mentions say about gold concepts.
///
/// A group stands for the concepts of every gold mention that one of its mentions equals (same bytes, same type). `relations` are
/// (head group, tail group, label). Returned: the concept pairs, and the label of each relation with a side that stands for no concept.
pub fn resolve(
    gold: &BTreeMap<Span, Vec<usize>>,
    mentions: &[Grouped],
    relations: &[(usize, usize, usize)],
) -> (BTreeSet<Triple>, Vec<usize>) {
    let mut concepts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for mention in mentions {
        concepts
            .entry(mention.group)
            .or_default()
            .extend(gold.get(&mention.span).into_iter().flatten());
    }
    let of = |group| concepts.get(&group).filter(|concepts| !concepts.is_empty());
    let mut triples = BTreeSet::new();
    let mut unmatched = Vec::new();
    for &(head, tail, label) in relations {
        match (of(head), of(tail)) {
            (Some(heads), Some(tails)) => {
                triples.extend(
                    heads.iter().flat_map(|&head| {
                        tails.iter().map(move |&tail| Triple { head, tail, label })
                    }),
                );
            }
            _ => unmatched.push(label),
        }
    }
    (triples, unmatched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triple(head: usize, tail: usize, label: usize) -> Triple {
        Triple { head, tail, label }
    }

    #[test]
    fn figures_are_those_computed_by_hand() {
        let mut tally = Tally::new(2);
        let gold = BTreeSet::from([
            triple(0, 1, 0),
            triple(0, 2, 0),
            triple(1, 2, 0),
            triple(5, 6, 1),
        ]);
        let predicted = BTreeSet::from([triple(0, 1, 0), triple(0, 2, 0), triple(9, 9, 0)]);
        tally.compare(&gold, &predicted, |t| t.label);
        tally.false_positive(0);
        let scores = tally.scores(&["a".into(), "b".into()], &[true, true]);
        assert_eq!(
            scores.by_type[0].1,
            Counts {
                hits: 2,
                false_positives: 2,
                misses: 1
            }
        );
        assert_eq!(
            scores.json(),
            json!({
                "micro": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4},
                "by_type": {
                    "a": {"precision": 0.5, "recall": 0.666667, "f1": 0.571429, "support": 3},
                    "b": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
                }
            })
        );
        assert_eq!(
            tally
                .scores(&["a".into(), "b".into()], &[false, true])
                .micro
                .support(),
            1
        );
        assert!(
            scores
                .rows()
                .contains("a                           50.0    66.7    57.1        3\n"),
            "{}",
            scores.rows()
        );
    }

    #[test]
    fn predicted_groups_stand_for_the_concepts_of_the_gold_mentions_they_equal() {
        let span = |start, end, label| Span { start, end, label };
        let gold = BTreeMap::from([
            (span(0, 4, 0), vec![10]),
            (span(8, 9, 0), vec![10]),
            (span(20, 30, 1), vec![20, 21]),
            (span(40, 41, 1), vec![]),
        ]);
        let mentions = [
            Grouped {
                span: span(0, 4, 0),
                group: 0,
            },
            Grouped {
                span: span(8, 9, 0),
                group: 0,
            },
            Grouped {
                span: span(20, 30, 1),
                group: 1,
            },
            Grouped {
                span: span(20, 29, 1),
                group: 2,
            },
            Grouped {
                span: span(0, 4, 1),
                group: 3,
            },
            Grouped {
                span: span(40, 41, 1),
                group: 4,
            },
        ];
        let (triples, unmatched) = resolve(
            &gold,
            &mentions,
            &[(0, 1, 0), (0, 2, 1), (0, 3, 1), (0, 4, 0)],
        );
        assert_eq!(
            triples,
            BTreeSet::from([triple(10, 20, 0), triple(10, 21, 0)])
        );
        assert_eq!(
            unmatched,
            [1, 1, 0],
            "another span, another type, a mention without a concept"
        );
    }
}
