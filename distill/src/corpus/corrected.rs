//! Results of libbie that somebody corrected: a folder of texts (`NAME.txt`) with the JSON that `bie extract --format json` printed for
//! them, edited (`NAME.json`).
//!
//! What is to be changed: an entity's `start`, `end` and `type`; `"type": ""` says that it is none (so that the indices of the relations
//! stay); new entities and relations are added at the end of their lists, without `score`, `text` and `group` if that is easier. Where
//! `text` is given it must be what stands there. Entities of one `group` are one concept; one without a group joins the group of the
//! mentions that libbie would group it with. Every type of the bundle is taken as annotated: what was left in is confirmed.

use std::collections::HashMap;
use std::ops::Range;

use bie::decode::group::{self, groups};
use bie::text::OffsetUnit;
use serde::Deserialize;

use super::files::File;
use super::{Document, GoldRelation, Mention, Reading};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corrected {
    offset_unit: String,
    entities: Vec<Entity>,
    #[serde(default)]
    relations: Vec<Relation>,
    #[serde(rename = "model_id")]
    _model_id: Option<String>,
    #[serde(rename = "bundle_hash")]
    _bundle_hash: Option<String>,
    #[serde(rename = "coverage")]
    _coverage: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entity {
    start: usize,
    end: usize,
    #[serde(rename = "type")]
    label: String,
    text: Option<String>,
    group: Option<u64>,
    #[serde(rename = "score")]
    _score: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Relation {
    head: usize,
    tail: usize,
    #[serde(rename = "type")]
    label: String,
    #[serde(rename = "score")]
    _score: Option<f64>,
}

/// Reads pairs of files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    let is_result = |file: &&File| {
        let name = file.name.to_string_lossy();
        name.trim_end_matches(".gz").ends_with(".json")
    };
    let texts: HashMap<&str, &File> = files
        .iter()
        .filter(|file| !is_result(file))
        .map(|file| (file.id.as_str(), file))
        .collect();
    for result in files.iter().filter(is_result) {
        match texts.get(result.id.as_str()) {
            Some(text) => document(text, result, out),
            None => out.defect(
                result.at(1),
                "the text of this result is missing: put it beside, under the same name with .txt",
            ),
        }
    }
}

/// A defect of one element leaves that element out; one of the file, the document.
fn document(text: &File, result: &File, out: &mut Reading) {
    let read: Corrected = match serde_json::from_str(&result.text) {
        Ok(read) => read,
        Err(e) => {
            // serde's reason may quote a string of the file, which may be the text's.
            let why = if e.is_data() {
                "a key or a value is not what `bie extract --format json` prints"
            } else {
                "the JSON is malformed"
            };
            let why = format!("{why} (column {})", e.column());
            return out.defect(result.at(e.line()), why);
        }
    };
    let unit = [OffsetUnit::Utf8, OffsetUnit::Utf16, OffsetUnit::Utf32]
        .into_iter()
        .find(|unit| unit.as_str() == read.offset_unit);
    let Some(unit) = unit else {
        return out.defect(result.at(1), "`offset_unit` is not utf8, utf16 or utf32");
    };
    let bytes = Bytes::new(&text.text, unit);
    let mut fault = |what: &str, n: usize, why: &str| {
        out.defect(result.at(1), format!("{what}[{n}]: {why}"));
    };
    // Every entity keeps its index, for the relations.
    let mut spans: Vec<Option<Range<usize>>> = Vec::new();
    for (n, entity) in read.entities.iter().enumerate() {
        let span = bytes.range(entity.start, entity.end);
        let stands = span.clone().and_then(|span| text.text.get(span));
        let fits = entity.text.as_deref().is_none_or(|t| stands == Some(t));
        if span.is_none() {
            fault(
                "entities",
                n,
                "`start` and `end` are no characters of the text; are they in the unit that `offset_unit` says?",
            );
        } else if !fits {
            fault(
                "entities",
                n,
                "`text` is not what stands there; correct `start` and `end`, or leave `text` out",
            );
        }
        spans.push(span.filter(|_| fits && !entity.label.is_empty()));
    }
    let concepts = concepts(&text.text, &read.entities, &spans);
    let mut relations = Vec::new();
    let stated = read.relations.iter().enumerate();
    for (n, relation) in stated.filter(|(_, r)| !r.label.is_empty()) {
        let concept = |at: usize| concepts.get(at).cloned().flatten();
        match (concept(relation.head), concept(relation.tail)) {
            (Some(head), Some(tail)) => relations.push(GoldRelation {
                head,
                tail,
                label: relation.label.clone(),
            }),
            _ => fault(
                "relations",
                n,
                "`head` or `tail` is no entity of the list, or one whose type was taken away",
            ),
        }
    }
    let mentions = read.entities.iter().zip(&spans).zip(concepts);
    let mut mentions: Vec<Mention> = mentions
        .filter_map(|((entity, span), concept)| {
            let span = span.clone()?;
            Some(Mention {
                start: span.start,
                end: span.end,
                label: entity.label.clone(),
                concepts: vec![concept?],
            })
        })
        .collect();
    mentions.sort_by_key(|m| (m.start, m.end));
    out.add(Document {
        id: text.id.clone(),
        text: text.text.clone(),
        mentions,
        relations,
        source: result.at(1),
    });
}

/// The concept of each entity: the group that the file states, else that of a mention that libbie groups it with, else one of its own.
fn concepts(
    text: &str,
    entities: &[Entity],
    spans: &[Option<Range<usize>>],
) -> Vec<Option<String>> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let there: Vec<(&Entity, &Range<usize>)> = entities
        .iter()
        .zip(spans)
        .filter_map(|(entity, span)| Some((entity, span.as_ref()?)))
        .collect();
    let mentions: Vec<group::Mention> = there
        .iter()
        .map(|(entity, span)| {
            let next = labels.len();
            group::Mention {
                start: span.start,
                end: span.end,
                label: *labels.entry(&entity.label).or_insert(next),
            }
        })
        .collect();
    let alike = groups(text, &mentions);
    let mut stated: HashMap<usize, u64> = HashMap::new();
    for ((entity, _), alike) in there.iter().zip(&alike) {
        if let Some(group) = entity.group {
            stated.entry(*alike).or_insert(group);
        }
    }
    let mut alike = alike.into_iter();
    let of = |(entity, span): (&Entity, &Option<Range<usize>>)| {
        let alike = span.as_ref().and_then(|_| alike.next())?;
        // The type is part of the name: somebody may have changed the type of one mention of a group.
        Some(match entity.group.or_else(|| stated.get(&alike).copied()) {
            Some(group) => format!("{}/{group}", entity.label),
            None => format!("{}/new {alike}", entity.label),
        })
    };
    entities.iter().zip(spans).map(of).collect()
}

/// Offsets of any unit as bytes.
struct Bytes<'a> {
    text: &'a str,
    unit: OffsetUnit,
    /// The byte of each unit that begins a character, and the length of the text; not for bytes.
    starts: HashMap<usize, usize>,
}

impl<'a> Bytes<'a> {
    fn new(text: &'a str, unit: OffsetUnit) -> Self {
        let mut starts = HashMap::new();
        let mut count = 0;
        if unit != OffsetUnit::Utf8 {
            for (at, c) in text.char_indices() {
                starts.insert(count, at);
                count += if unit == OffsetUnit::Utf16 {
                    c.len_utf16()
                } else {
                    1
                };
            }
            starts.insert(count, text.len());
        }
        Bytes { text, unit, starts }
    }

    fn range(&self, start: usize, end: usize) -> Option<Range<usize>> {
        let byte = |at: usize| match self.unit {
            OffsetUnit::Utf8 => Some(at),
            _ => self.starts.get(&at).copied(),
        };
        let range = byte(start)?..byte(end)?;
        (start < end && self.text.get(range.clone()).is_some()).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::corpus::{Format, Options, examine};
    use proptest::prelude::*;

    const TEXT: &str = "β-Blockers (BB) slow it. Ünlike BB, statins ease pain.";

    /// The document, and what is wrong with it.
    fn one(json: &str) -> (Option<Document>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("n.json"), json).unwrap();
        fs::write(folder.path().join("n.txt"), TEXT).unwrap();
        let corpus = examine(folder.path(), Format::Corrected, &Options::default()).unwrap();
        let defects = corpus
            .defects
            .iter()
            .map(|d| format!("{}: {}", d.source.line, d.why));
        (corpus.documents.into_iter().next(), defects.collect())
    }

    fn result(unit: &str, entities: &str, relations: &str) -> String {
        format!(
            r#"{{"model_id":"m","bundle_hash":"h","offset_unit":"{unit}","entities":[{entities}],"relations":[{relations}],"coverage":{{"complete":true}}}}"#
        )
    }

    #[test]
    fn what_was_changed_is_gold_in_every_unit() {
        for (unit, extra) in [("utf8", 1), ("utf16", 0), ("utf32", 0)] {
            let u = extra * 2; // a second character of two bytes stands before the later spans
            let entities = format!(
                r#"{{"start":0,"end":{},"text":"β-Blockers","type":"Chemical","score":0.9,"group":0}},
                   {{"start":{},"end":{},"type":"","score":0.6,"group":3}},
                   {{"start":{},"end":{},"type":"Chemical"}},
                   {{"start":{},"end":{},"type":"Disease"}}"#,
                10 + extra,
                16 + extra,
                20 + extra,
                32 + u,
                34 + u,
                49 + u,
                53 + u
            );
            let document = one(&result(
                unit,
                &entities,
                r#"{"head":2,"tail":3,"type":"treats"}"#,
            ))
            .0
            .unwrap();
            let found: Vec<(&str, &str)> = document
                .mentions
                .iter()
                .map(|m| (&document.text[m.start..m.end], m.label.as_str()))
                .collect();
            assert_eq!(
                found,
                [
                    ("β-Blockers", "Chemical"),
                    ("BB", "Chemical"),
                    ("pain", "Disease")
                ],
                "{unit}"
            );
            assert_eq!(document.relations[0].head, document.mentions[1].concepts[0]);
            assert_eq!(document.relations[0].tail, document.mentions[2].concepts[0]);
        }
    }

    #[test]
    fn a_new_mention_joins_the_group_of_its_name() {
        let entities = r#"{"start":11,"end":13,"type":"Chemical","group":7},{"start":31,"end":33,"type":"Chemical"},{"start":0,"end":4,"type":"Disease","group":7}"#;
        let document = one(&result(
            "utf32",
            &entities
                .replace("11,\"end\":13", "12,\"end\":14")
                .replace("31,\"end\":33", "32,\"end\":34"),
            "",
        ))
        .0
        .unwrap();
        let concepts: Vec<&str> = document
            .mentions
            .iter()
            .map(|m| m.concepts[0].as_str())
            .collect();
        assert_eq!(concepts, ["Disease/7", "Chemical/7", "Chemical/7"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_without_a_byte_of_the_text() {
        let entity = r#"{"start":0,"end":9,"text":"β-Blocker","type":"Chemical"}"#;
        for (json, why) in [
            (
                result("utf8", entity, ""),
                "entities[0]: `text` is not what stands there",
            ),
            (
                result("utf8", r#"{"start":1,"end":9,"type":"Chemical"}"#, ""),
                "entities[0]: `start` and `end`",
            ),
            (
                result("utf32", r#"{"start":5,"end":5,"type":"Chemical"}"#, ""),
                "entities[0]: `start` and `end`",
            ),
            (
                result("utf32", r#"{"start":5,"end":99,"type":"Chemical"}"#, ""),
                "entities[0]: `start` and `end`",
            ),
            (
                result("utf32", entity, r#"{"head":0,"tail":1,"type":"treats"}"#),
                "relations[0]: `head` or `tail`",
            ),
            (result("bytes", entity, ""), "`offset_unit`"),
            (
                result("utf32", r#"{"start":5,"end":7,"typ":"Blockers"}"#, ""),
                "a key or a value",
            ),
            ("{\n".to_owned(), "the JSON is malformed"),
        ] {
            let (_, defects) = one(&json);
            assert!(defects[0].contains(why), "{defects:?}");
            assert!(!defects[0].contains("Block"), "{defects:?}");
        }
    }

    #[test]
    fn a_result_without_its_text_is_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        for name in ["b", "a"] {
            put(&format!("{name}.json"), &result("utf8", "", ""));
        }
        put("b.txt", TEXT);
        let corpus = examine(folder.path(), Format::Corrected, &Options::default()).unwrap();
        let ids: Vec<&str> = corpus.documents.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids, ["b"]);
        assert_eq!(corpus.defects.len(), 1);
        let at = &corpus.defects[0].source.file;
        assert!(at.ends_with("a.json"), "{}", at.display());
    }

    proptest! {
        #[test]
        fn arbitrary_offsets_are_read_or_refused_never_a_panic(start in 0usize..70, end in 0usize..70, unit in 0usize..3) {
            let unit = ["utf8", "utf16", "utf32"][unit];
            let json = result(unit, &format!(r#"{{"start":{start},"end":{end},"type":"A"}}"#), "");
            let (document, defects) = one(&json);
            let mentions = document.unwrap().mentions;
            prop_assert_eq!(mentions.len() + defects.len(), 1);
            prop_assert!(mentions.iter().all(|m| TEXT.get(m.start..m.end).is_some()));
        }
    }
}
