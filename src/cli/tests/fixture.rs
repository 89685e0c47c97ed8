//! Explanations made by hand, for the tests of what people look at.

use std::ops::Range;
use std::sync::Arc;

use bie::Extraction;
use bie::explain::{Evidence, Explanation, Faithfulness, Heads, Method, Target, Word};
use bie::result::{Coverage, Entity, Relation};
use bie::text::OffsetUnit;

/// A text with what was found in it and why.
pub struct Story {
    pub text: &'static str,
    pub extraction: Extraction,
    pub explanations: Vec<Explanation>,
}

/// The bytes of the `nth` occurrence of `words`.
fn find(text: &str, words: &str, nth: usize) -> Range<u32> {
    let (start, found) = text
        .match_indices(words)
        .nth(nth)
        .unwrap_or_else(|| panic!("no {words} {nth}"));
    start as u32..(start + found.len()) as u32
}

/// Words with the weights of `weights`, which names words of the text by their characters and occurrence.
fn words(text: &str, target: &[Range<u32>], weights: &[(&str, usize, f32)]) -> Vec<Word> {
    let weights: Vec<(Range<u32>, f32)> = weights
        .iter()
        .map(|(word, nth, weight)| (find(text, word, *nth), *weight))
        .collect();
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_alphanumeric()) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                let range = from as u32..at as u32;
                let weight = weights
                    .iter()
                    .find(|(place, _)| place.start <= range.start && range.end <= place.end);
                let noise = ((range.start * 37) % 11) as f32 / 400.0 - 0.01;
                words.push(Word {
                    start: range.start,
                    end: range.end,
                    weight: weight.map_or(noise, |(_, weight)| *weight),
                    standard_error: 0.0,
                    in_target: target
                        .iter()
                        .any(|target| target.start <= range.start && range.end <= target.end),
                });
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn evidence(text: &str, words: &str, nth: usize, weight: f32) -> Evidence {
    let Range { start, end } = find(text, words, nth);
    Evidence {
        start,
        end,
        weight,
        text: words.into(),
    }
}

fn explanation(target: Target, words: Vec<Word>) -> Explanation {
    Explanation {
        target,
        method: Method::Occlusion,
        chosen: true,
        offset_unit: OffsetUnit::Utf8,
        model_id: "hand-made".into(),
        bundle_hash: "0123456789abcdef".repeat(4),
        score: 0.94,
        rival_score: None,
        baseline_score: 0.04,
        without_evidence: 0.31,
        words,
        evidence_for: Vec::new(),
        evidence_against: Vec::new(),
        completeness_error: None,
        fit: None,
        faithfulness: None,
        heads: None,
        evaluations: 62,
        cut_short: false,
        unreliable: false,
        entity_types: entity_types(),
        relation_types: relation_types(),
    }
}

fn entity_types() -> Arc<[String]> {
    ["Chemical".to_string(), "Disease".to_string()].into()
}

fn relation_types() -> Arc<[String]> {
    ["causes".to_string(), "treats".to_string()].into()
}

fn extraction(text: &str, entities: Vec<Entity>, relations: Vec<Relation>) -> Extraction {
    Extraction {
        model_id: "hand-made".into(),
        bundle_hash: "0123456789abcdef".repeat(4),
        offset_unit: OffsetUnit::Utf8,
        entities,
        relations,
        coverage: Coverage {
            length: text.len() as u32,
            windows: 1,
            unread: Vec::new(),
        },
        entity_types: entity_types(),
        relation_types: relation_types(),
        origin: Default::default(),
    }
}

fn entity(text: &str, words: &str, nth: usize, label: u32, group: u32) -> Entity {
    let Range { start, end } = find(text, words, nth);
    Entity {
        start,
        end,
        label,
        score: 0.97,
        group,
        text: words.into(),
    }
}

/// A clinical note: a sound relation with everything measured, one whose reasons do not hold, a rival over two sentences, an entity.
pub fn note() -> Story {
    let text = "HISTORY: 67-year-old man with dilated cardiomyopathy, given amiodarone 200 mg daily for recurrent VT. After 14 months he \
                developed weight loss, tremor and atrial fibrillation.\n\nASSESSMENT: Thyrotoxicosis was caused by amiodarone; the drug was withdrawn. \
                Prednisone led to normal thyroid function within nine weeks, however it did not improve the tremor.\n\n\
                PLAN: Thyroid function every six months. No history of goiter.\n";
    let entities = vec![
        entity(text, "dilated cardiomyopathy", 0, 1, 0),
        entity(text, "amiodarone", 0, 0, 1),
        entity(text, "VT", 0, 1, 2),
        entity(text, "weight loss", 0, 1, 3),
        entity(text, "tremor", 0, 1, 4),
        entity(text, "atrial fibrillation", 0, 1, 5),
        entity(text, "Thyrotoxicosis", 0, 1, 6),
        entity(text, "amiodarone", 1, 0, 1),
        entity(text, "Prednisone", 0, 0, 7),
        entity(text, "tremor", 1, 1, 4),
        entity(text, "goiter", 0, 1, 8),
    ];
    let relation = |head, tail, label, score| Relation {
        head,
        tail,
        label,
        score,
    };
    let relations = vec![
        relation(1, 2, 1, 0.91),
        relation(1, 4, 0, 0.65),
        relation(1, 6, 0, 0.94),
        relation(8, 4, 1, 0.52),
    ];
    let relation = |head, tail, label, rival| Target::Relation {
        head,
        tail,
        label,
        rival,
    };
    let drug = [find(text, "amiodarone", 0), find(text, "amiodarone", 1)];
    let target = |words, nth| [drug[0].clone(), drug[1].clone(), find(text, words, nth)];

    let mut caused = explanation(
        relation(1, 6, 0, None),
        words(
            text,
            &target("Thyrotoxicosis", 0),
            &[
                ("was caused by", 0, 0.41),
                ("Thyrotoxicosis", 0, 0.22),
                ("amiodarone", 1, 0.19),
                ("withdrawn", 0, 0.17),
                ("the drug", 0, 0.09),
                ("recurrent", 0, -0.08),
                ("given", 0, -0.16),
            ],
        ),
    );
    caused.evidence_for = vec![
        evidence(text, "was caused by", 0, 0.41),
        evidence(text, "the drug was withdrawn", 0, 0.26),
    ];
    caused.evidence_against = vec![evidence(text, "given", 0, -0.16)];
    caused.faithfulness = Some(Faithfulness {
        comprehensiveness: 0.58,
        sufficiency: 0.12,
        random_comprehensiveness: 0.07,
        random_sufficiency: 0.71,
    });
    let count = caused.words.len();
    caused.heads = Some(Heads {
        heads: 12,
        weights: (0..12 * count)
            .map(|at| ((at * 7919) % 97) as f32 / 200.0)
            .collect(),
    });

    let mut treats = explanation(
        relation(1, 2, 1, None),
        words(
            text,
            &target("VT", 0),
            &[
                ("for recurrent", 0, 0.05),
                ("given", 0, 0.04),
                ("mg", 0, 0.02),
                ("After", 0, -0.05),
            ],
        ),
    );
    (treats.score, treats.without_evidence, treats.unreliable) = (0.91, 0.88, true);
    treats.evidence_for = vec![evidence(text, "for recurrent", 0, 0.05)];
    treats.evidence_against = vec![evidence(text, "After", 0, -0.05)];
    (treats.method, treats.fit, treats.cut_short) = (Method::Lime, Some(0.42), true);

    let mut tremor = explanation(
        relation(1, 4, 0, Some(1)),
        words(
            text,
            &[
                drug[0].clone(),
                drug[1].clone(),
                find(text, "tremor", 0),
                find(text, "tremor", 1),
            ],
            &[
                ("After 14 months he developed", 0, 0.3),
                ("tremor", 0, 0.21),
                ("did not improve", 0, -0.12),
                ("amiodarone", 0, 0.1),
            ],
        ),
    );
    (
        tremor.score,
        tremor.rival_score,
        tremor.without_evidence,
        tremor.baseline_score,
    ) = (0.65, Some(0.08), 0.21, -0.01);
    tremor.evidence_for = vec![evidence(text, "After 14 months he developed", 0, 0.3)];
    tremor.evidence_against = vec![evidence(text, "did not improve", 0, -0.12)];
    (tremor.method, tremor.completeness_error) = (Method::IntegratedGradients, Some(0.004));

    let goiter = find(text, "goiter", 0);
    let mut entity = explanation(
        Target::Entity {
            start: goiter.start,
            end: goiter.end,
            label: 1,
            rival: None,
        },
        words(
            text,
            &[goiter],
            &[
                ("goiter", 0, 0.6),
                ("history of", 0, 0.22),
                ("Thyroid", 0, 0.1),
            ],
        ),
    );
    entity.evidence_for = vec![evidence(text, "history of goiter", 0, 0.82)];
    (entity.score, entity.without_evidence) = (0.99, 0.03);
    Story {
        text,
        extraction: extraction(text, entities, relations),
        explanations: vec![caused, treats, tremor, entity],
    }
}

/// Everything that a page can be broken with: markup, controls, direction marks, two scripts, overlaps, entities at the text's edges, a word
/// that is wider than any line, evidence that is nowhere, weights that are no numbers.
pub fn hostile() -> Story {
    let text = "<b>aspirin</b> & \"heart\u{202E} failure\" <script>alert('x')</script>\u{0}\u{1b}[2J\u{7}]]> --> \
                aspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirinaspirin\n\
                \u{5D4}\u{5D7}\u{5D5}\u{5DC}\u{5D4} \u{5E7}\u{5D9}\u{5D1}\u{5DC} aspirin \u{5D5}\u{5E1}\u{5D1}\u{5DC} \u{5DE}\u{5D1}\u{5D7}\u{5D9}\u{5DC}\u{5D4}. \u{1F600}\u{5fc3}\u{4e0d}\u{5168} heart failure";
    let entities = vec![
        entity(text, "<b>aspirin", 0, 0, 0),
        entity(text, "aspirin</b> & \"heart\u{202E} failure", 0, 1, 1),
        entity(text, "heart\u{202E} failure", 0, 1, 2),
        entity(text, "heart failure", 0, 1, 2),
    ];
    let relations = vec![Relation {
        head: 0,
        tail: 2,
        label: 0,
        score: 0.5,
    }];
    let mut relation = explanation(
        Target::Relation {
            head: 0,
            tail: 2,
            label: 0,
            rival: None,
        },
        words(
            text,
            &[find(text, "<b>aspirin", 0)],
            &[
                ("script", 0, 1.0),
                ("alert", 0, -1.0),
                ("\u{5E7}\u{5D9}\u{5D1}\u{5DC}", 0, 0.5),
            ],
        ),
    );
    relation.evidence_for = vec![
        evidence(text, "<script>", 0, 1.0),
        evidence(text, "\u{5E7}\u{5D9}\u{5D1}\u{5DC} aspirin", 0, f32::NAN),
    ];
    relation.evidence_against = vec![Evidence {
        start: 9999,
        end: 10_007,
        weight: -1.0,
        text: "nowhere\u{0}".into(),
    }];
    if let Some(word) = relation.words.first_mut() {
        word.weight = f32::NAN;
    }
    let last = find(text, "heart failure", 0);
    let mut entity = explanation(
        Target::Entity {
            start: last.start,
            end: last.end,
            label: 7,
            rival: Some(0),
        },
        Vec::new(),
    );
    (
        entity.rival_score,
        entity.without_evidence,
        entity.unreliable,
    ) = (Some(0.99), 0.0, true);
    Story {
        text,
        extraction: extraction(text, entities, relations),
        explanations: vec![relation, entity],
    }
}

/// Nothing was found, in nothing.
pub fn empty() -> Story {
    Story {
        text: "",
        extraction: extraction("", Vec::new(), Vec::new()),
        explanations: Vec::new(),
    }
}
