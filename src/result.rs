//! What an extraction returns: plain data, frozen once made, independent of engine, options and text.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::text::OffsetUnit;

/// One mention of an entity. Offsets are half-open and in the unit of the [`Extraction`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// First position.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// Index into the bundle's entity types.
    pub label: u32,
    /// Probability that this span has this type, in [0, 1].
    pub score: f32,
    /// Mentions of the same thing share a group (same surface form, or abbreviation and its long form).
    pub group: u32,
    /// The document's own characters in `[start, end)`.
    pub text: String,
}

/// One relation between two groups, given by the first mentions of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Index into [`Extraction::entities`]: the first mention of the head group.
    pub head: u32,
    /// Index into [`Extraction::entities`]: the first mention of the tail group.
    pub tail: u32,
    /// Index into the bundle's relation types.
    pub label: u32,
    /// Probability in [0, 1].
    pub score: f32,
}

/// Which part of the text was read, in the unit of the [`Extraction`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Coverage {
    /// Length of the text.
    pub length: u32,
    /// Number of windows that the text was read in.
    pub windows: u32,
    /// Ranges that no window holds (half-open, ascending); empty when every byte was read.
    pub unread: Vec<(u32, u32)>,
}

/// The result for one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// The bundle's model id.
    pub model_id: String,
    /// SHA-256 (hex) of the bundle's manifest.
    pub bundle_hash: String,
    /// Unit of every offset here.
    pub offset_unit: OffsetUnit,
    /// Sorted by start, then end, then label.
    pub entities: Vec<Entity>,
    /// Sorted by head, tail, label.
    pub relations: Vec<Relation>,
    /// What was read.
    pub coverage: Coverage,
    /// Names of the entity types, indexed by [`Entity::label`].
    pub entity_types: std::sync::Arc<[String]>,
    /// Names of the relation types, indexed by [`Relation::label`].
    pub relation_types: std::sync::Arc<[String]>,
    /// What ties this result to its text.
    pub origin: Origin,
}

/// Ties a result to the text it was made from, so that an explanation of another text is refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    text_hash: u64,
    /// Byte ranges of the entities.
    pub(crate) spans: Vec<(usize, usize)>,
}

impl Origin {
    /// Of a result for `text` whose entities cover these bytes: also for one that was kept and is put together again.
    pub fn new(text: &str, spans: Vec<(usize, usize)>) -> Self {
        Origin {
            text_hash: hash(text),
            spans,
        }
    }

    /// Whether the result was made from this text.
    pub(crate) fn is_of(&self, text: &str) -> bool {
        self.text_hash == hash(text)
    }
}

/// Against mistakes, not against attacks; never leaves the process.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Extraction {
    /// The canonical JSON: one line, keys in a fixed order, scores with four decimals. Equal results give equal bytes.
    ///
    /// `head` and `tail` of a relation are indices into `entities`; `unread` holds `[start, end]` pairs.
    pub fn to_json(&self) -> String {
        let mut out =
            String::with_capacity(256 + 128 * (self.entities.len() + self.relations.len()));
        out.push('{');
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\"model_id\":{},\"bundle_hash\":{},\"offset_unit\":{},",
            quoted(&self.model_id),
            quoted(&self.bundle_hash),
            quoted(self.offset_unit.as_str())
        );
        list(&mut out, "entities", &self.entities, |entity, out| {
            let _ = write!(
                out,
                "{{\"start\":{},\"end\":{},\"text\":{},\"type\":{},\"score\":{:.4},\"group\":{}}}",
                entity.start,
                entity.end,
                quoted(&entity.text),
                quoted(name(&self.entity_types, entity.label)),
                entity.score,
                entity.group
            );
        });
        out.push(',');
        list(&mut out, "relations", &self.relations, |relation, out| {
            let _ = write!(
                out,
                "{{\"head\":{},\"tail\":{},\"type\":{},\"score\":{:.4}}}",
                relation.head,
                relation.tail,
                quoted(name(&self.relation_types, relation.label)),
                relation.score
            );
        });
        let coverage = &self.coverage;
        let complete = coverage.unread.is_empty();
        let _ = write!(
            out,
            ",\"coverage\":{{\"length\":{},\"windows\":{},\"complete\":{complete},",
            coverage.length, coverage.windows
        );
        list(&mut out, "unread", &coverage.unread, |(start, end), out| {
            let _ = write!(out, "[{start},{end}]");
        });
        out.push_str("}}");
        out
    }
}

/// `"key":[...]`, each item written by `item`.
pub(crate) fn list<T>(
    out: &mut String,
    key: &str,
    items: &[T],
    mut item: impl FnMut(&T, &mut String),
) {
    let _ = write!(out, "\"{key}\":[");
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(']');
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The name with this index; empty where there is none.
pub(crate) fn name(names: &[String], label: u32) -> &str {
    names.get(label as usize).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_canonical_and_valid() {
        let entity = |start, end, label, group, text: &str| Entity {
            start,
            end,
            label,
            score: 0.98768,
            group,
            text: text.into(),
        };
        let extraction = Extraction {
            model_id: "m \"1\"".into(),
            bundle_hash: "ab".into(),
            offset_unit: OffsetUnit::Utf16,
            entities: vec![
                entity(0, 7, 0, 0, "aspirin"),
                entity(9, 12, 1, 1, "a\u{0}\n\u{1F600}"),
            ],
            relations: vec![Relation {
                head: 0,
                tail: 1,
                label: 0,
                score: 1.0,
            }],
            coverage: Coverage {
                length: 12,
                windows: 1,
                unread: vec![(3, 5), (7, 8)],
            },
            entity_types: vec!["Chemical".to_string(), "Disease".to_string()].into(),
            relation_types: vec!["causes".to_string()].into(),
            origin: Origin::default(),
        };
        let json = extraction.to_json();
        assert_eq!(
            json,
            concat!(
                r#"{"model_id":"m \"1\"","bundle_hash":"ab","offset_unit":"utf16","#,
                r#""entities":[{"start":0,"end":7,"text":"aspirin","type":"Chemical","score":0.9877,"group":0},"#,
                r#"{"start":9,"end":12,"text":"a\u0000\n😀","type":"Disease","score":0.9877,"group":1}],"#,
                r#""relations":[{"head":0,"tail":1,"type":"causes","score":1.0000}],"#,
                r#""coverage":{"length":12,"windows":1,"complete":false,"unread":[[3,5],[7,8]]}}"#
            )
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["entities"][1]["text"], extraction.entities[1].text);
    }
}
