//! Results of libbie that somebody corrected: a folder of texts (`NAME.txt`) with the JSON that `bie extract --format json` printed for
//! them, edited (`NAME.json`).
//!
//! What is to be changed: an entity's `start`, `end` and `type`; `"type": ""` says that it is none (so that the indices of the relations
//! stay); new entities and relations are added at the end of their lists, without `score`, `text` and `group` if that is easier. Where
//! `text` is given it must be what stands there. Entities of one `group` are one concept; one without a group joins the group of the
//! mentions that libbie would group it with. Every type of the bundle is taken as annotated: what was left in is confirmed.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bie::decode::group::{self, groups};
use bie::text::OffsetUnit;
use serde::Deserialize;

use super::{Corpus, Document, GoldRelation, Mention, Source, read_text};
use crate::error::{Error, Result};

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

/// Reads a folder of corrected results, in the order of their names.
///
/// # Errors
/// The folder has no result, a result has no text beside it, is malformed, or does not fit its text; the message names the file.
pub fn read(folder: &Path) -> Result<Corpus> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut results: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    results.sort();
    if results.is_empty() {
        return Err(Error::file(
            folder,
            "the folder holds no .json file; put each text (NAME.txt) and its corrected result (NAME.json) there",
        ));
    }
    let documents = results.iter().map(|path| {
        let text = path.with_extension("txt");
        if !text.is_file() {
            return Err(Error::file(
                path,
                format!(
                    "the text of this result is missing: put it beside, as {}",
                    text.display()
                ),
            ));
        }
        document(path, read_text(&text)?, &read_text(path)?)
    });
    Ok(Corpus {
        documents: documents.collect::<Result<_>>()?,
        duplicates: 0,
    })
}

fn document(path: &Path, text: String, json: &str) -> Result<Document> {
    let read: Corrected = serde_json::from_str(json).map_err(|e| {
        // serde's reason may quote a string of the file, which may be the text's.
        let why = if e.is_data() {
            "a key or a value is not what `bie extract --format json` prints"
        } else {
            "the JSON is malformed"
        };
        Error::line(path, e.line(), format!("{why} (column {})", e.column()))
    })?;
    let fault = |what: &str, n: usize, why: &str| Error::file(path, format!("{what}[{n}]: {why}"));
    let unit = [OffsetUnit::Utf8, OffsetUnit::Utf16, OffsetUnit::Utf32]
        .into_iter()
        .find(|unit| unit.as_str() == read.offset_unit)
        .ok_or_else(|| Error::file(path, "`offset_unit` is not utf8, utf16 or utf32"))?;
    let bytes = Bytes::new(&text, unit);
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (n, entity) in read.entities.iter().enumerate() {
        let span = bytes.range(entity.start, entity.end).ok_or_else(|| {
            fault("entities", n, "`start` and `end` are no characters of the text; are they in the unit that `offset_unit` says?")
        })?;
        if entity
            .text
            .as_ref()
            .is_some_and(|t| text.get(span.clone()) != Some(t))
        {
            return Err(fault(
                "entities",
                n,
                "`text` is not what stands there; correct `start` and `end`, or leave `text` out",
            ));
        }
        spans.push(span);
    }
    let concepts = concepts(&text, &read.entities, &spans);
    let mut relations = Vec::new();
    for (n, relation) in read
        .relations
        .iter()
        .enumerate()
        .filter(|(_, r)| !r.label.is_empty())
    {
        let end = |at: usize| {
            let entity = read.entities.get(at).filter(|e| !e.label.is_empty());
            let concept = entity.and_then(|_| concepts.get(at).cloned());
            concept.ok_or_else(|| {
                fault(
                    "relations",
                    n,
                    "`head` or `tail` is no entity of the list, or one whose type was taken away",
                )
            })
        };
        relations.push(GoldRelation {
            head: end(relation.head)?,
            tail: end(relation.tail)?,
            label: relation.label.clone(),
        });
    }
    let mut mentions: Vec<Mention> = read
        .entities
        .iter()
        .zip(&spans)
        .zip(&concepts)
        .filter(|((entity, _), _)| !entity.label.is_empty())
        .map(|((entity, span), concept)| Mention {
            start: span.start,
            end: span.end,
            label: entity.label.clone(),
            concepts: vec![concept.clone()],
        })
        .collect();
    mentions.sort_by_key(|m| (m.start, m.end));
    let id = path.file_stem().unwrap_or_default();
    Ok(Document {
        id: id.to_string_lossy().into_owned(),
        text,
        mentions,
        relations,
        source: Source {
            file: Arc::from(path),
            line: 1,
        },
    })
}

/// The concept of each entity: the group that the file states, else that of a mention that libbie groups it with, else one of its own.
fn concepts(text: &str, entities: &[Entity], spans: &[Range<usize>]) -> Vec<String> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mentions: Vec<group::Mention> = entities
        .iter()
        .zip(spans)
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
    for (entity, alike) in entities.iter().zip(&alike) {
        if let Some(group) = entity.group {
            stated.entry(*alike).or_insert(group);
        }
    }
    let of = |(entity, alike): (&Entity, &usize)| match entity
        .group
        .or_else(|| stated.get(alike).copied())
    {
        // The type is part of the name: somebody may have changed the type of one mention of a group.
        Some(group) => format!("{}/{group}", entity.label),
        None => format!("{}/new {alike}", entity.label),
    };
    entities.iter().zip(&alike).map(of).collect()
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
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "β-Blockers (BB) slow it. Ünlike BB, statins ease pain.";

    fn one(json: &str) -> Result<Document> {
        document(Path::new("n.json"), TEXT.to_owned(), json)
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
            let error = one(&json).unwrap_err().to_string();
            assert!(
                error.starts_with("n.json") && error.contains(why),
                "{error}"
            );
            assert!(!error.contains("Block"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_read_whole_and_a_missing_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(
            read(folder.path())
                .unwrap_err()
                .to_string()
                .contains("no .json file")
        );
        put("b.json", &result("utf8", "", ""));
        put("b.txt", TEXT);
        put("a.json", &result("utf8", "", ""));
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a.txt"), "{error}");
        put("a.txt", TEXT);
        let ids: Vec<String> = read(folder.path())
            .unwrap()
            .documents
            .into_iter()
            .map(|d| d.id)
            .collect();
        assert_eq!(ids, ["a", "b"]);
    }

    proptest! {
        #[test]
        fn arbitrary_offsets_are_read_or_refused_never_a_panic(start in 0usize..70, end in 0usize..70, unit in 0usize..3) {
            let unit = ["utf8", "utf16", "utf32"][unit];
            let json = result(unit, &format!(r#"{{"start":{start},"end":{end},"type":"A"}}"#), "");
            if let Ok(document) = one(&json) {
                prop_assert!(document.text.get(document.mentions[0].start..document.mentions[0].end).is_some());
            }
        }
    }
}
