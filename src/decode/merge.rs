//! Relations of the windows to relations of the document.

use std::collections::BTreeMap;

use super::relations::Schema;

/// Probabilities, `[relations + 1]`, "none" first, of ordered pairs of a document's entities, which are numbered by first mention.
#[derive(Debug, Default)]
pub struct Merged(BTreeMap<(usize, usize), Vec<f32>>);

impl Merged {
    /// Adds what one window says of a pair: the highest probability of each relation is kept, and the lowest of "none".
    ///
    /// A window may meet two entities in another order than the document does; what a symmetric relation says of them is turned
    /// round. Two entities of a window that are one in the document have no relation.
    pub fn add(&mut self, schema: &Schema, head: usize, tail: usize, probabilities: &[f32]) {
        if head == tail {
            return;
        }
        let admitted = |(_, probability): &(usize, &f32)| **probability > 0.0;
        for (slot, &probability) in probabilities.iter().enumerate().skip(1).filter(admitted) {
            let turned = schema.is_symmetric(slot - 1) && tail < head;
            let pair = if turned { (tail, head) } else { (head, tail) };
            let kept = self.0.entry(pair).or_insert_with(|| {
                let mut fresh = vec![0.0; probabilities.len()];
                fresh.iter_mut().take(1).for_each(|none| *none = 1.0);
                fresh
            });
            if let (Some(none), Some(&other)) = (kept.first_mut(), probabilities.first()) {
                *none = none.min(other);
            }
            if let Some(best) = kept.get_mut(slot) {
                *best = best.max(probability);
            }
        }
    }

    /// The pairs `(head, tail)`, ascending, and their probabilities.
    pub fn pairs(&self) -> impl Iterator<Item = (&(usize, usize), &Vec<f32>)> {
        self.0.iter()
    }

    /// The same, given away.
    pub fn into_pairs(self) -> impl Iterator<Item = ((usize, usize), Vec<f32>)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{EntityType, Manifest, RelationType, SCHEMA_VERSION};

    /// Of one type: "becomes", directed, and "interacts", symmetric.
    fn schema() -> Schema {
        let relation = |name: &str, symmetric| RelationType {
            symmetric,
            ..RelationType::new(name, &["Chemical"], &["Chemical"])
        };
        Schema::new(&Manifest {
            schema_version: SCHEMA_VERSION,
            model_id: "m".into(),
            precision: "fp32".into(),
            max_tokens: 8,
            hidden_size: 1,
            attention_heads: 1,
            entities: vec![EntityType::new("Chemical")],
            relations: vec![relation("becomes", false), relation("interacts", true)],
            files: BTreeMap::new(),
            provenance: serde_json::Value::Null,
        })
    }

    fn merged(scores: &[(usize, usize, [f32; 3])]) -> Vec<((usize, usize), Vec<f32>)> {
        let mut merged = Merged::default();
        for (head, tail, probabilities) in scores {
            merged.add(&schema(), *head, *tail, probabilities);
        }
        merged.into_pairs().collect()
    }

    #[test]
    fn the_highest_probability_is_kept() {
        let pairs = merged(&[
            (0, 1, [0.5, 0.2, 0.3]),
            (0, 1, [0.3, 0.6, 0.1]),
            (0, 1, [0.9, 0.05, 0.05]),
        ]);
        assert_eq!(pairs, [((0, 1), vec![0.3, 0.6, 0.3])]);
    }

    #[test]
    fn only_the_symmetric_part_is_turned_round() {
        let pairs = merged(&[(0, 1, [0.8, 0.2, 0.0]), (1, 0, [0.3, 0.3, 0.4])]);
        assert_eq!(
            pairs,
            [((0, 1), vec![0.3, 0.2, 0.4]), ((1, 0), vec![0.3, 0.3, 0.0])]
        );
    }

    #[test]
    fn an_entity_has_no_relation_with_itself() {
        assert!(merged(&[(2, 2, [0.1, 0.8, 0.1])]).is_empty());
    }
}
