//! From windows to a padded [`Batch`]: targets, weights and masks as the training step reads them.

use super::budget::Extents;
use super::step::{Batch, StepSpec};
use crate::dataset::{Item, Pair};
use crate::recipe::Distillation;

/// Added to a score or logit that must not count.
const NEVER: f32 = -1e9;

/// What one token and one pair weigh in the loss of a step: its parts are weighted by the whole, so that their gradients add up to its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    tag: f32,
    pair: f32,
    /// Tokens of the step.
    tokens: usize,
}

impl Weights {
    /// Of a step that reads `items`, where all tags together weigh `entities` and all pairs `relations`.
    pub fn of(items: &[&Item], entities: f32, relations: f32) -> Weights {
        let tagged: f32 = items
            .iter()
            .flat_map(|i| known_tags(i))
            .map(|(gold, teacher)| if teacher.is_some() { 1.0 } else { gold })
            .sum();
        let scored = items.iter().map(|i| i.pairs.len()).sum::<usize>().max(1);
        Weights {
            tag: entities / tagged.max(1.0),
            pair: relations / scored as f32,
            tokens: items.iter().map(|i| i.ids.len()).sum(),
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
        teacher_tags: Vec::new(),
        mentions: vec![vec![0]; e.mentions],
        entities: vec![vec![0]; e.entities],
        entity_type: Vec::new(),
        pairs: vec![pair; e.pairs],
    }
}

/// Puts `items` (at most the batch of `spec`) together; rows that they leave empty count for nothing. `features` holds, for each item, the values
/// of each feature of `spec`.
pub fn assemble(
    items: &[&Item],
    weights: Weights,
    features: &[Vec<Vec<f32>>],
    spec: &StepSpec,
    distillation: &Distillation,
) -> Batch {
    let (batch, types) = (spec.batch, spec.types);
    let labels = spec.relations.map_or(1, |r| r.labels);
    let terms = &spec.terms;
    let sized = |wanted: bool, size: usize| vec![0.0; if wanted { size } else { 0 }];
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
        teacher_tags: sized(terms.teacher_entities, length * batch * types * 3),
        evidence: sized(terms.rationale, batch * pairs * length),
        mask: sized(!terms.features.is_empty(), length * batch),
        features: terms
            .features
            .iter()
            .map(|f| f.empty(batch, length))
            .collect(),
        tokens: items.iter().map(|i| i.ids.len()).sum(),
    };
    let share = |gold: bool, teacher: bool| gold_share(gold, teacher, distillation);
    for (w, item) in items.iter().enumerate() {
        for (l, &id) in item.ids.iter().enumerate() {
            b.ids[l * batch + w] = id;
            b.attention_bias[w * length + l] = 0.0;
        }
        for (i, (&tag, (weight, theirs))) in item.tags.iter().zip(known_tags(item)).enumerate() {
            let (l, k) = (i / types, i % types);
            let cell = ((l * batch + w) * types + k) * 3;
            let share = share(weight > 0.0, theirs.is_some());
            b.tags[cell + usize::from(tag)] = share * weight * weights.tag;
            if let (Some(theirs), true) = (theirs, terms.teacher_entities) {
                let soft = soften(theirs, distillation.temperature);
                put(
                    &mut b.teacher_tags[cell..cell + 3],
                    &soft,
                    (1.0 - share) * weights.tag,
                );
            }
        }
        let share_of_mask = 1.0 / weights.tokens as f32;
        let own = b.mask.iter_mut().skip(w).step_by(batch);
        own.take(item.ids.len()).for_each(|x| *x = share_of_mask);
        let values = features.get(w).into_iter().flatten();
        for ((feature, cells), values) in terms.features.iter().zip(&mut b.features).zip(values) {
            let lengths = (item.ids.len(), length);
            feature.place(cells, values, (w, batch), lengths, weights.tokens);
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
            let gold_share = share(pair.gold.is_some(), pair.teacher.is_some());
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
            if let (Some(evidence), true) = (&pair.evidence, terms.rationale) {
                let weight = distillation.rationale_weight * weights.pair / evidence.len() as f32;
                b.evidence[row * length..][evidence.clone()].fill(weight);
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

/// The share of gold in a loss of which gold, teachers or both know the target.
fn gold_share(gold: bool, teacher: bool, distillation: &Distillation) -> f32 {
    match (gold, teacher) {
        (true, true) => distillation.gold_weight,
        (true, false) => 1.0,
        (false, _) => 0.0,
    }
}

/// For each tag of a window, `[L, K]`: the weight of gold, and the teachers' distribution if one knows the type.
fn known_tags(item: &Item) -> impl Iterator<Item = (f32, Option<&[f32]>)> {
    let spoken = |tag: &&[f32]| tag.iter().any(|p| *p > 0.0);
    let theirs = item
        .teacher_tags
        .chunks(3)
        .map(move |t| Some(t).filter(spoken));
    let nothing = std::iter::repeat(None);
    item.tag_weight.iter().copied().zip(theirs.chain(nothing))
}

/// Whether some target of a tag is a teacher's.
pub fn learns_tags(items: &[Item], distillation: &Distillation) -> bool {
    let learns = |(gold, teacher): (f32, Option<&[f32]>)| {
        teacher.is_some() && gold_share(gold > 0.0, true, distillation) < 1.0
    };
    items.iter().any(|item| known_tags(item).any(learns))
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
    use crate::student::encoder::Config;
    use crate::student::heads::RelationHead;
    use crate::student::trainable::Trainable;
    use crate::train::features::{Feature, Kind};
    use crate::train::step::Terms;

    fn item() -> Item {
        Item {
            document: "d".into(),
            ids: vec![1, 5, 6, 2],
            tags: vec![0, 1, 2, 0],
            tag_weight: vec![0.0, 1.0, 1.0, 0.0],
            teacher_tags: vec![],
            mentions: vec![vec![1, 2], vec![2]],
            entities: vec![vec![0], vec![1]],
            entity_type: vec![0, 0],
            pairs: vec![Pair {
                head: 0,
                tail: 1,
                admitted: vec![true, true, false],
                gold: Some(vec![0.0, 1.0, 0.0]),
                teacher: Some(vec![0.36, 0.64, 0.0]),
                evidence: Some(1..3),
            }],
        }
    }

    fn settings() -> Distillation {
        Distillation {
            temperature: 2.0,
            gold_weight: 0.25,
            rationale_weight: 0.5,
            ..Distillation::default()
        }
    }

    /// A step of one part, in which all tags weigh 2 and all pairs 1.
    fn whole(
        items: &[&Item],
        features: &[Vec<Vec<f32>>],
        spec: &StepSpec,
        distillation: &Distillation,
    ) -> Batch {
        assemble(
            items,
            Weights::of(items, 2.0, 1.0),
            features,
            spec,
            distillation,
        )
    }

    fn spec(terms: Terms) -> StepSpec {
        let (hidden, heads) = (8, 2);
        StepSpec {
            encoder: Config {
                vocab_size: 8,
                hidden_size: hidden,
                layers: 2,
                heads,
                intermediate_size: 8,
                max_positions: 8,
                epsilon: 1e-5,
            },
            types: 1,
            relations: Some(RelationHead {
                hidden,
                heads,
                labels: 3,
                block: 4,
            }),
            batch: 2,
            dropout: 0.0,
            temperature: 2.0,
            trainable: Trainable::default(),
            terms,
        }
    }

    /// Gold knows token 1 alone, teachers 1 and 2: one target is shared, the other the teachers' own.
    #[test]
    fn what_gold_and_teachers_know_is_shared_and_what_one_knows_is_its_own() {
        let distillation = settings();
        let mut item = item();
        item.tag_weight = vec![0.0, 1.0, 0.0, 0.0];
        item.teacher_tags = vec![0.0; 12];
        item.teacher_tags[3..9].copy_from_slice(&[0.36, 0.64, 0.0, 1.0, 0.0, 0.0]);
        assert!(learns_tags(std::slice::from_ref(&item), &distillation));
        let spec = spec(Terms {
            teacher_entities: true,
            ..Terms::default()
        });
        let b = whole(&[&item], &[], &spec, &distillation);
        // Two known tags share the entity weight 2. Time-major: token l of window 0 is row 2 l.
        assert_eq!((b.tags[7], b.tags.iter().sum::<f32>()), (0.25, 0.25));
        assert!((b.teacher_tags[6] - 0.75 * 0.6 / 1.4).abs() < 1e-6);
        assert_eq!(b.teacher_tags[12..15], [1.0, 0.0, 0.0]);
        assert!((b.teacher_tags.iter().sum::<f32>() - 1.75).abs() < 1e-6);
        let gold_alone = Distillation {
            gold_weight: 1.0,
            ..distillation
        };
        item.tag_weight = vec![0.0, 1.0, 1.0, 0.0];
        assert!(!learns_tags(&[item], &gold_alone), "the term would be 0");
    }

    #[test]
    fn evidence_and_features_go_to_their_places() {
        let distillation = settings();
        let feature = |kind, projection: &str| Feature {
            kind,
            student: 1,
            teacher: 1,
            weight: 1.0,
            projection: projection.to_owned(),
        };
        let spec = spec(Terms {
            rationale: true,
            features: vec![
                feature(Kind::Hidden { width: 2 }, "distill.projection.0.0"),
                feature(Kind::Attention { maps: 1 }, ""),
            ],
            ..Terms::default()
        });
        let short = Item {
            ids: vec![1, 2],
            tags: vec![0; 2],
            tag_weight: vec![0.0; 2],
            pairs: vec![],
            ..item()
        };
        let number = |from: usize, n: usize| (from..from + n).map(|x| x as f32).collect();
        let values = |from, l: usize| vec![number(from, 2 * l), number(from, l * l)];
        let (first, second) = (item(), short);
        let b = whole(
            &[&first, &second],
            &[values(1, 4), values(100, 2)],
            &spec,
            &distillation,
        );
        // One pair in the batch: weight 0.5, two tokens.
        assert_eq!(b.evidence, [0.0, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let sixth = 1.0 / 6.0;
        assert_eq!(b.mask, [sixth, sixth, sixth, sixth, sixth, 0.0, sixth, 0.0]);
        assert_eq!(
            b.features[0],
            [
                1.0, 2.0, 100.0, 101.0, 3.0, 4.0, 102.0, 103.0, 5.0, 6.0, 0.0, 0.0, 7.0, 8.0, 0.0,
                0.0
            ]
        );
        assert_eq!(
            b.features[1][..5],
            [1.0, 2.0, 3.0, 4.0, 5.0].map(|x| x * sixth)
        );
        let of_second = [100.0, 101.0, 0.0, 0.0, 102.0, 103.0, 0.0, 0.0];
        assert_eq!(b.features[1][16..24], of_second.map(|x| x * sixth));
    }

    #[test]
    fn targets_carry_their_weights_and_padding_counts_for_nothing() {
        let distillation = settings();
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
        let b = whole(&items, &[], &spec(Terms::default()), &distillation);
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
