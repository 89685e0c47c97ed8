//! From windows to a padded [`Batch`]: targets, weights and masks as the training step reads them.

use super::budget::Extents;
use super::step::Batch;
use crate::dataset::{Item, Pair};
use crate::recipe::Distillation;

/// Added to a score or logit that must not count.
const NEVER: f32 = -1e9;

/// What one token and one pair weigh in the loss of a step: its parts are weighted by the whole, so that their gradients add up to its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    token: f32,
    pair: f32,
}

impl Weights {
    /// Of a step that reads `items`, where all tokens together weigh `entities` and all pairs `relations`.
    pub fn of(items: &[&Item], entities: f32, relations: f32) -> Weights {
        let tagged: f32 = items.iter().flat_map(|i| &i.tag_weight).sum();
        let scored = items.iter().map(|i| i.pairs.len()).sum::<usize>().max(1);
        Weights {
            token: entities / tagged.max(1.0),
            pair: relations / scored as f32,
        }
    }
}

/// A window of nothing as large as the largest: what takes a step's memory without being data.
pub fn blank(e: Extents, labels: usize) -> Item {
    let pair = Pair {
        head: 0,
        tail: 0,
        admitted: vec![true; labels],
        gold: None,
        teacher: None,
        evidence: None,
    };
    Item {
        document: String::new(),
        ids: vec![0; e.length],
        tags: Vec::new(),
        tag_weight: Vec::new(),
        mentions: vec![vec![0]; e.mentions],
        entities: vec![vec![0]; e.entities],
        entity_type: Vec::new(),
        pairs: vec![pair; e.pairs],
    }
}

/// Puts `items` (at most `batch`) together; rows that they leave empty count for nothing.
pub fn assemble(
    items: &[&Item],
    weights: Weights,
    batch: usize,
    types: usize,
    labels: usize,
    distillation: &Distillation,
) -> Batch {
    let most = |f: &dyn Fn(&Item) -> usize| items.iter().map(|i| f(i)).max().unwrap_or(0).max(1);
    let length = most(&|i| i.ids.len());
    let mentions = most(&|i| i.mentions.len());
    let entities = most(&|i| i.entities.len());
    let pairs = most(&|i| i.pairs.len());
    // Padding is masked, so any id will do: one that is there anyway ([CLS]), or the optimizer would decay a row that no text holds.
    let filler = items.first().and_then(|i| i.ids.first()).copied();
    let mut b = Batch {
        length,
        mentions,
        entities,
        pairs,
        ids: vec![filler.unwrap_or(0); length * batch],
        attention_bias: vec![NEVER; batch * length],
        tags: vec![0.0; length * batch * types * 3],
        mention_tokens: vec![0.0; batch * mentions * length],
        entity_mentions: vec![0.0; batch * entities * mentions],
        pair_head: vec![0; batch * pairs],
        pair_tail: vec![0; batch * pairs],
        label_bias: vec![0.0; batch * pairs * labels],
        gold: vec![0.0; batch * pairs * labels],
        teacher: vec![0.0; batch * pairs * labels],
        tokens: items.iter().map(|i| i.ids.len()).sum(),
    };
    for (w, item) in items.iter().enumerate() {
        for (l, &id) in item.ids.iter().enumerate() {
            b.ids[l * batch + w] = id;
            b.attention_bias[w * length + l] = 0.0;
        }
        for (i, (&tag, &weight)) in item.tags.iter().zip(&item.tag_weight).enumerate() {
            let (l, k) = (i / types, i % types);
            b.tags[((l * batch + w) * types + k) * 3 + usize::from(tag)] = weight * weights.token;
        }
        for (m, tokens) in item.mentions.iter().enumerate() {
            for &t in tokens {
                b.mention_tokens[(w * mentions + m) * length + t] = 1.0 / tokens.len() as f32;
            }
        }
        for (n, of) in item.entities.iter().enumerate() {
            of.iter()
                .for_each(|&m| b.entity_mentions[(w * entities + n) * mentions + m] = 1.0);
        }
        for (p, pair) in item.pairs.iter().enumerate() {
            let row = w * pairs + p;
            b.pair_head[row] = (w * entities + pair.head) as i64;
            b.pair_tail[row] = (w * entities + pair.tail) as i64;
            let cells = row * labels..(row + 1) * labels;
            for (cell, &admitted) in b.label_bias[cells.clone()].iter_mut().zip(&pair.admitted) {
                *cell = if admitted { 0.0 } else { NEVER };
            }
            let gold_share = match (&pair.gold, &pair.teacher) {
                (Some(_), Some(_)) => distillation.gold_weight,
                (Some(_), None) => 1.0,
                (None, _) => 0.0,
            };
            if let Some(gold) = &pair.gold {
                put(&mut b.gold[cells.clone()], gold, gold_share * weights.pair);
            }
            if let Some(teacher) = &pair.teacher {
                let soft = soften(teacher, distillation.temperature);
                put(
                    &mut b.teacher[cells],
                    &soft,
                    (1.0 - gold_share) * weights.pair,
                );
            }
        }
    }
    // An entity without mentions would be the logarithm of 0: rows that pad borrow mention 0.
    for row in b.entity_mentions.chunks_mut(mentions) {
        if row.iter().all(|&x| x == 0.0) {
            row[0] = 1.0;
        }
    }
    b
}

fn put(cells: &mut [f32], target: &[f32], weight: f32) {
    cells
        .iter_mut()
        .zip(target)
        .for_each(|(c, t)| *c = t * weight);
}

/// A distribution at temperature T: p^(1/T), normalised.
fn soften(p: &[f32], temperature: f32) -> Vec<f32> {
    let powers: Vec<f32> = p.iter().map(|x| x.powf(1.0 / temperature)).collect();
    let sum: f32 = powers.iter().sum();
    powers
        .into_iter()
        .map(|x| if sum > 0.0 { x / sum } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        Item {
            document: "d".into(),
            ids: vec![1, 5, 6, 2],
            tags: vec![0, 1, 2, 0],
            tag_weight: vec![0.0, 1.0, 1.0, 0.0],
            mentions: vec![vec![1, 2], vec![2]],
            entities: vec![vec![0], vec![1]],
            entity_type: vec![0, 0],
            pairs: vec![Pair {
                head: 0,
                tail: 1,
                admitted: vec![true, true, false],
                gold: Some(vec![0.0, 1.0, 0.0]),
                teacher: Some(vec![0.36, 0.64, 0.0]),
                evidence: None,
            }],
        }
    }

    #[test]
    fn targets_carry_their_weights_and_padding_counts_for_nothing() {
        let distillation = Distillation {
            temperature: 2.0,
            gold_weight: 0.25,
        };
        let (long, short) = (
            item(),
            Item {
                ids: vec![1, 7, 2],
                tags: vec![0; 3],
                tag_weight: vec![0.0, 1.0, 0.0],
                ..item()
            },
        );
        let short = Item {
            mentions: vec![],
            entities: vec![],
            pairs: vec![],
            ..short
        };
        let items = [&long, &short];
        let weights = Weights::of(&items, 2.0, 1.0);
        let b = assemble(&items, weights, 2, 1, 3, &distillation);
        assert_eq!(
            (b.length, b.mentions, b.entities, b.pairs, b.tokens),
            (4, 2, 2, 1, 7)
        );
        assert_eq!(b.ids, [1, 1, 5, 7, 6, 2, 2, 1], "time-major");
        assert_eq!(b.attention_bias, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NEVER]);
        assert_eq!(
            b.tags.iter().sum::<f32>(),
            2.0,
            "three tagged tokens share the entity weight"
        );
        assert_eq!(b.tags[2 * 3 + 1], 2.0 / 3.0, "token 1 of window 0 is a B");
        assert_eq!(
            b.mention_tokens[..8],
            [0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]
        );
        assert_eq!(
            b.entity_mentions,
            [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0],
            "padding borrows mention 0"
        );
        assert_eq!(b.label_bias[..3], [0.0, 0.0, NEVER]);
        assert_eq!(b.gold[..3], [0.0, 0.25, 0.0]);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(
            close(b.teacher[0], 0.75 * 0.6 / 1.4) && close(b.teacher[1], 0.75 * 0.8 / 1.4),
            "{:?}",
            b.teacher
        );
        assert!(b.gold[3..].iter().chain(&b.teacher[3..]).all(|&x| x == 0.0));
    }
}
