//! Which pairs of entities a schema admits, and relation logits to probabilities.

use super::calibration::Calibration;
use super::log_softmax;
use crate::bundle::{Manifest, RelationType};

/// An ordered pair of entities to score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the head entity.
    pub head: usize,
    /// Index of the tail entity.
    pub tail: usize,
    /// Indices of the relation types that the entities' types admit, ascending; never empty.
    pub admitted: Vec<usize>,
}

/// The relation types of a bundle with their entity types resolved to indices.
#[derive(Clone, Debug)]
pub struct Schema {
    relations: Vec<Relation>,
}

#[derive(Clone, Debug)]
struct Relation {
    head: Vec<usize>,
    tail: Vec<usize>,
    symmetric: bool,
    calibration: Calibration,
}

impl Schema {
    /// The schema of a checked manifest.
    pub fn new(manifest: &Manifest) -> Self {
        let indices = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| {
                    manifest
                        .entities
                        .iter()
                        .position(|entity| entity.name == *name)
                })
                .collect()
        };
        let resolve = |relation: &RelationType| Relation {
            head: indices(&relation.head),
            tail: indices(&relation.tail),
            symmetric: relation.symmetric,
            calibration: relation.calibration(),
        };
        Schema {
            relations: manifest.relations.iter().map(resolve).collect(),
        }
    }

    /// Whether any relation type exists.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// The pairs to score among entities of the given types, listed in the order of their first mentions; sorted by head, then tail.
    ///
    /// A directed relation admits every ordered pair of two entities with fitting types. A symmetric one admits an unordered pair of one
    /// type once, its head being the entity that appears first.
    pub fn pairs(&self, types: &[usize]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (head, head_type) in types.iter().enumerate() {
            for (tail, tail_type) in types.iter().enumerate().filter(|&(tail, _)| tail != head) {
                let admits = |relation: &Relation| {
                    let types_fit =
                        relation.head.contains(head_type) && relation.tail.contains(tail_type);
                    types_fit && (!relation.symmetric || (head_type == tail_type && head < tail))
                };
                let admitted: Vec<usize> = self
                    .relations
                    .iter()
                    .enumerate()
                    .filter(|(_, relation)| admits(relation))
                    .map(|(label, _)| label)
                    .collect();
                if !admitted.is_empty() {
                    pairs.push(Pair {
                        head,
                        tail,
                        admitted,
                    });
                }
            }
        }
        pairs
    }

    /// Whether the relation type holds in both directions.
    pub fn is_symmetric(&self, label: usize) -> bool {
        self.relations
            .get(label)
            .is_some_and(|relation| relation.symmetric)
    }

    /// The probabilities of one pair, `[R+1]`, "none" first, from its logits `[R+1]`; relations that are not admitted get 0.
    ///
    /// The softmax over "none" and the admitted relations; then each relation's own calibration. A calibrated relation is a statement of its own
    /// ("this holds"), so that a row adds up to 1 only where no relation is calibrated; "none" never is.
    pub fn probabilities(&self, logits: &[f32], admitted: &[usize]) -> Vec<f32> {
        let slots = || std::iter::once(0).chain(admitted.iter().map(|label| label + 1));
        let kept: Vec<f32> = slots()
            .map(|slot| match logits.get(slot) {
                Some(logit) => *logit,
                None if slot == 0 => 0.0,
                None => f32::NEG_INFINITY,
            })
            .collect();
        let mut log_probabilities = vec![0.0; kept.len()];
        log_softmax(&kept, &mut log_probabilities);

        let mut probabilities = vec![0.0; self.relations.len() + 1];
        for (slot, log_probability) in slots().zip(log_probabilities) {
            let own = log_probability.exp().min(1.0);
            let relation = slot
                .checked_sub(1)
                .and_then(|label| self.relations.get(label));
            if let Some(probability) = probabilities.get_mut(slot) {
                *probability = relation.map_or(own, |relation| relation.calibration.apply(own));
            }
        }
        probabilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::EntityType;
    use std::collections::BTreeMap;

    fn schema() -> Schema {
        let relation =
            |name: &str, head: &[&str], tail: &[&str], symmetric, temperature| RelationType {
                symmetric,
                temperature,
                ..RelationType::new(name, head, tail)
            };
        Schema::new(&Manifest {
            schema_version: 1,
            model_id: "m".into(),
            precision: "fp32".into(),
            max_tokens: 8,
            hidden_size: 1,
            attention_heads: 1,
            entities: ["Chemical", "Disease", "Test"].map(EntityType::new).into(),
            relations: vec![
                relation("causes", &["Chemical"], &["Disease"], false, 1.0),
                relation("treats", &["Chemical"], &["Disease"], false, 2.0),
                relation("interacts", &["Chemical"], &["Chemical"], true, 1.0),
                relation("becomes", &["Chemical"], &["Chemical"], false, 1.0),
            ],
            files: BTreeMap::new(),
            provenance: serde_json::Value::Null,
        })
    }

    #[test]
    fn only_admitted_pairs_are_scored() {
        let pairs: Vec<_> = schema()
            .pairs(&[1, 0, 2, 0])
            .into_iter()
            .map(|pair| (pair.head, pair.tail, pair.admitted))
            .collect();
        assert_eq!(
            pairs,
            [
                (1, 0, vec![0, 1]),
                (1, 3, vec![2, 3]),
                (3, 0, vec![0, 1]),
                (3, 1, vec![3])
            ]
        );
        assert!(schema().pairs(&[1, 1, 2]).is_empty());
    }

    #[test]
    fn probabilities_are_a_masked_softmax() {
        let p = schema().probabilities(&[0.0, 50.0, 50.0, 1.0, 0.0], &[2, 3]);
        let e = 1f32.exp();
        assert!((p[0] - 1.0 / (e + 2.0)).abs() < 1e-6 && (p[3] - e / (e + 2.0)).abs() < 1e-6);
        assert_eq!(p[1..3], [0.0, 0.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn each_relation_has_its_own_calibration() {
        let logits = [0.0, 3f32.ln(), 6f32.ln(), 0.0, 0.0];
        let p = schema().probabilities(&logits, &[0, 1]);
        // Of 1 + 3 + 6 parts: "causes" as it is; "treats" has odds 6 to 4, at temperature 2 their square root.
        let odds = 1.5f32.sqrt();
        assert!(
            (p[0] - 0.1).abs() < 1e-6 && (p[1] - 0.3).abs() < 1e-6,
            "{p:?}"
        );
        assert!((p[2] - odds / (1.0 + odds)).abs() < 1e-6, "{p:?}");
        assert_eq!(p[3..], [0.0, 0.0], "what is not admitted stays 0");
    }
}
