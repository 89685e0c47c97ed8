//! The engine on the tiny bundle: what comes out, and that it always comes out the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use bie::{Engine, Error, Extraction, GivenMention, Options};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle")
}

fn engine() -> Engine {
    let mut options = Options::new();
    options.set_i64("sessions", 4).unwrap();
    Engine::open(&tiny(), &options).unwrap()
}

fn extract(engine: &Engine, text: &str) -> Extraction {
    engine.extract(text, &Options::new()).unwrap()
}

/// Type and surface of each mention.
fn found(extraction: &Extraction) -> Vec<(&str, &str)> {
    extraction
        .entities
        .iter()
        .map(|entity| {
            (
                extraction.entity_types[entity.label as usize].as_str(),
                entity.text.as_str(),
            )
        })
        .collect()
}

const TEXT: &str = "Aspirin causes nausea. Ibuprofen and lactic acid: no headache, but heart failure (HF). HF was treated; aspirin is no metformin.";

#[test]
fn entities_and_relations_of_a_text() {
    let result = extract(&engine(), TEXT);
    assert_eq!(
        found(&result),
        [
            ("Chemical", "Aspirin"),
            ("Disease", "nausea"),
            ("Chemical", "Ibuprofen"),
            ("Chemical", "lactic acid"),
            ("Disease", "headache"),
            ("Disease", "heart failure"),
            ("Disease", "HF"),
            ("Disease", "HF"),
            ("Chemical", "aspirin"),
            ("Chemical", "metformin"),
        ]
    );
    let groups: Vec<u32> = result.entities.iter().map(|entity| entity.group).collect();
    assert_eq!(groups, [0, 1, 2, 3, 4, 5, 5, 5, 0, 6]);
    for entity in &result.entities {
        assert_eq!(
            &TEXT[entity.start as usize..entity.end as usize],
            entity.text
        );
        assert!((0.5..=1.0).contains(&entity.score));
    }
    assert!(!result.relations.is_empty());
    for relation in &result.relations {
        let (head, tail) = (
            &result.entities[relation.head as usize],
            &result.entities[relation.tail as usize],
        );
        assert!(relation.score >= 0.25 && head.group != tail.group);
        assert_eq!(
            (head.label, tail.label),
            if relation.label == 2 { (0, 0) } else { (0, 1) }
        );
        if relation.label == 2 {
            assert!(
                head.group < tail.group,
                "a symmetric relation is given once, from the first entity"
            );
        }
    }
    assert!(
        result
            .relations
            .windows(2)
            .all(|pair| (pair[0].head, pair[0].tail, pair[0].label)
                < (pair[1].head, pair[1].tail, pair[1].label))
    );
    assert!(result.coverage.windows > 1 && result.coverage.unread.is_empty());
    assert_eq!(result.coverage.length as usize, TEXT.len());
}

#[test]
fn the_result_depends_on_the_text_alone() {
    let engine = engine();
    let long = TEXT.repeat(40);
    let alone: Vec<String> = [TEXT, &long, "metformin treats diabetes mellitus"]
        .iter()
        .map(|text| extract(&engine, text).to_json())
        .collect();
    for threads in [1, 2, 4, 64] {
        let mut options = Options::new();
        options.set_i64("threads", threads).unwrap();
        for (text, expected) in [TEXT, &long, "metformin treats diabetes mellitus"]
            .iter()
            .zip(&alone)
            .rev()
        {
            assert_eq!(
                engine.extract(text, &options).unwrap().to_json(),
                *expected,
                "{threads} threads"
            );
        }
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(extract(&engine, &long).to_json(), alone[1]));
        }
    });
    let mut one = Options::new();
    one.set_i64("sessions", 1).unwrap();
    assert_eq!(
        extract(&Engine::open(&tiny(), &one).unwrap(), &long).to_json(),
        alone[1]
    );
}

#[test]
fn offsets_count_in_the_unit_asked_for() {
    let engine = engine();
    let text = "😀 é aspirin 漢 nausea";
    for (unit, expected) in [
        ("utf8", [(8, 15), (20, 26), (26, 0)]),
        ("utf16", [(5, 12), (15, 21), (21, 0)]),
        ("utf32", [(4, 11), (14, 20), (20, 0)]),
    ] {
        let mut options = Options::new();
        options.set_str("offset_unit", unit).unwrap();
        let result = engine.extract(text, &options).unwrap();
        let spans: Vec<(u32, u32)> = result
            .entities
            .iter()
            .map(|entity| (entity.start, entity.end))
            .chain([(result.coverage.length, 0)])
            .collect();
        assert_eq!(spans, expected, "{unit}");
        assert_eq!(result.offset_unit.as_str(), unit);
    }
}

#[test]
fn text_without_content_gives_an_empty_result() {
    let engine = engine();
    for text in ["", " ", "\n\t \r\n", "\u{feff}", "\0\0", "\u{a0}\u{2028}"] {
        let result = extract(&engine, text);
        assert!(result.entities.is_empty() && result.relations.is_empty());
        assert_eq!(
            (
                result.coverage.windows,
                result.coverage.length as usize,
                result.coverage.unread.len()
            ),
            (0, text.len(), 0)
        );
    }
}

#[test]
fn nul_bytes_are_characters_like_any_other() {
    let result = extract(&engine(), "aspirin\0 \0causes nausea\0");
    assert_eq!(
        found(&result),
        [("Chemical", "aspirin"), ("Disease", "nausea")]
    );
}

#[test]
fn a_text_that_is_too_long_is_refused_with_both_numbers() {
    let mut options = Options::new();
    options.set_i64("max_text_bytes", 10).unwrap();
    let error = engine().extract("aspirin treats", &options).unwrap_err();
    assert!(matches!(error, Error::TextTooLong { len: 14, limit: 10 }));
    assert!(engine().extract("0123456789", &options).is_ok());
}

#[test]
fn min_score_replaces_the_thresholds() {
    let engine = engine();
    let with = |score: f64| {
        let mut options = Options::new();
        options.set_f64("min_score", score).unwrap();
        engine.extract(TEXT, &options).unwrap()
    };
    let (all, none) = (with(0.0), with(1.0));
    assert!(all.relations.len() > extract(&engine, TEXT).relations.len());
    assert!(none.entities.is_empty() && none.relations.is_empty());
    // Types that the schema does not admit are not reported at any threshold.
    for relation in &all.relations {
        let labels = (
            all.entities[relation.head as usize].label,
            all.entities[relation.tail as usize].label,
        );
        assert_eq!(labels, if relation.label == 2 { (0, 0) } else { (0, 1) });
    }
}

/// A megabyte of one character, of one word without end, of rulers: bounded work, and what was not read is said.
#[test]
fn monotonous_megabytes_are_bounded() {
    let engine = engine();
    for unit in ["a", "-", "é", "漢", "a ", "----\n", "😀"] {
        let text = format!("aspirin {} nausea", unit.repeat((1 << 20) / unit.len()));
        let result = extract(&engine, &text);
        assert_eq!(
            found(&result),
            [("Chemical", "aspirin"), ("Disease", "nausea")],
            "{unit:?}"
        );
        let unread: u32 = result
            .coverage
            .unread
            .iter()
            .map(|(start, end)| end - start)
            .sum();
        assert!(
            unread as usize > text.len() / 4 && result.coverage.windows < 100,
            "{unit:?}: {unread} {}",
            result.coverage.windows
        );
    }
}

#[test]
fn a_long_varied_text_is_read_to_its_end() {
    let text =
        "Aspirin with 500 mg of warfarin causes headache or nausea in the patient. ".repeat(300);
    let result = extract(&engine(), &text);
    assert!(result.coverage.unread.is_empty());
    assert_eq!(result.entities.len(), 4 * 300);
    assert_eq!(
        result.entities.iter().map(|entity| entity.group).max(),
        Some(3)
    );
}

fn given(text: &str, surface: &str, label: usize, entity: usize) -> GivenMention {
    let start = text.find(surface).unwrap();
    GivenMention {
        start,
        end: start + surface.len(),
        label,
        entity,
    }
}

#[test]
fn given_entities_are_scored_without_threshold() {
    let engine = engine();
    let text = "Aspirin causes nausea, ibuprofen treats headache.";
    let mentions = [
        given(text, "headache", 1, 7),
        given(text, "Aspirin", 0, 40),
        given(text, "nausea", 1, 3),
        given(text, "ibuprofen", 0, 9),
    ];
    let pairs = engine.relate(text, &mentions).unwrap();
    let ends: Vec<(usize, usize)> = pairs.iter().map(|pair| (pair.head, pair.tail)).collect();
    assert_eq!(
        ends,
        [(9, 3), (9, 7), (40, 3), (40, 7), (40, 9)],
        "chemicals with diseases, and the two chemicals once, the first as head"
    );
    for pair in &pairs {
        assert!((pair.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let zero: &[usize] = if pair.tail == 9 { &[1, 2] } else { &[3] };
        assert!(
            pair.probabilities
                .iter()
                .enumerate()
                .all(|(slot, p)| (*p == 0.0) == zero.contains(&slot))
        );
    }
    let mut reversed = mentions;
    reversed.reverse();
    assert_eq!(engine.relate(text, &reversed).unwrap(), pairs);
    assert!(engine.relate(text, &[]).unwrap().is_empty());
}

/// Given exactly what `extract` finds, `relate` says what `extract` says.
#[test]
fn relate_agrees_with_extract() {
    let engine = engine();
    let text = TEXT.repeat(3);
    let result = extract(&engine, &text);
    let mentions: Vec<GivenMention> = result
        .entities
        .iter()
        .map(|entity| GivenMention {
            start: entity.start as usize,
            end: entity.end as usize,
            label: entity.label as usize,
            entity: entity.group as usize,
        })
        .collect();
    let pairs = engine.relate(&text, &mentions).unwrap();
    let group = |at: u32| result.entities[at as usize].group as usize;
    let mut agreeing = 0;
    for relation in &result.relations {
        let pair = pairs
            .iter()
            .find(|pair| (pair.head, pair.tail) == (group(relation.head), group(relation.tail)))
            .unwrap();
        agreeing += usize::from(pair.probabilities[relation.label as usize + 1] == relation.score);
    }
    // A window that lacks the definition of an abbreviation sees two entities where the document has one, so a few may differ.
    assert!(
        agreeing * 10 >= result.relations.len() * 7,
        "{agreeing} of {}",
        result.relations.len()
    );
}

#[test]
fn bad_given_mentions_are_refused() {
    let engine = engine();
    for (start, end, label) in [(0, 0, 0), (3, 2, 0), (0, 99, 0), (1, 2, 0), (0, 2, 2)] {
        let error = engine
            .relate(
                "éa",
                &[GivenMention {
                    start,
                    end,
                    label,
                    entity: 0,
                }],
            )
            .unwrap_err();
        assert!(
            matches!(error, Error::InvalidArgument(_)),
            "{start} {end} {label}"
        );
    }
}
