//! DrugProt (Miranda et al., BioCreative VII 2021) as a JSON list of sentences with character spans, as Bio-RFX distributes it.
//!
//! Of a sentence `PMID`, `id`, `text`, `entity_list` and `relation_list` are used; a relation names its ends by their spans.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Draft, Stated};
use super::files::File;
use super::json::Json;
use super::{Defect, Reading};

#[derive(Deserialize)]
struct Sentence<'a> {
    #[serde(rename = "PMID")]
    pmid: u64,
    id: u64,
    text: String,
    #[serde(borrow)]
    entity_list: Vec<&'a RawValue>,
    #[serde(borrow)]
    relation_list: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entity {
    ent_type: String,
    char_span: (usize, usize),
    name: String,
}

#[derive(Deserialize)]
struct Relation {
    sbj_char_span: (usize, usize),
    obj_char_span: (usize, usize),
    rel_type: String,
}

/// Labels that a relation's subject and object have where two entities share a span.
const ENDS: (&str, &str) = ("CHEMICAL", "GENE");

/// Reads DrugProt files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    out.corpus.mention_level = true;
    for file in files {
        let json = Json::new(file);
        let sentences: Result<Vec<&RawValue>, Defect> =
            json.read(&file.text, "a list of sentences");
        match sentences {
            Ok(sentences) => sentences.iter().for_each(|s| sentence(&json, s.get(), out)),
            Err(defect) => out.corpus.defects.push(defect),
        }
    }
}

fn sentence<'a>(json: &Json<'a>, part: &'a str, out: &mut Reading) {
    let read: Sentence = match json.read(part, "a sentence of DrugProt") {
        Ok(read) => read,
        Err(defect) => return out.corpus.defects.push(defect),
    };
    let id = format!("{}-{}", read.pmid, read.id);
    // The files are one line long: the document's id tells more than the line.
    let of = |defect: Defect| (defect.source, format!("document {id}: {}", defect.why));
    let mut draft = Draft::new(out, json.at(part), &id, read.text);
    let mut by_span: HashMap<(usize, usize), Vec<(String, String)>> = HashMap::new();
    for (n, raw) in read.entity_list.iter().enumerate() {
        let key = format!("e{n}");
        match json.read::<Entity>(raw.get(), "an entity of DrugProt") {
            Ok(entity) => {
                let known = by_span.entry(entity.char_span).or_default();
                known.push((entity.ent_type.clone(), key.clone()));
                let stated = Stated {
                    id: &key,
                    label: &entity.ent_type,
                    fragments: &[entity.char_span],
                    surface: Some(&entity.name),
                    concepts: Vec::new(),
                };
                draft.mention(json.at(raw.get()), stated);
            }
            Err(defect) => {
                let (source, why) = of(defect);
                draft.lost(&key);
                draft.defect(source, why);
            }
        }
    }
    let end = |span: (usize, usize), preferred: &str| -> String {
        let known = by_span.get(&span).map(Vec::as_slice).unwrap_or_default();
        let best = known
            .iter()
            .find(|(label, _)| label == preferred)
            .or(known.first());
        best.map_or_else(
            || format!("at {}-{}", span.0, span.1),
            |(_, key)| key.clone(),
        )
    };
    for raw in read.relation_list {
        let source = json.at(raw.get());
        match json.read::<Relation>(raw.get(), "a relation of DrugProt") {
            Ok(relation) => {
                let (head, tail) = (
                    end(relation.sbj_char_span, ENDS.0),
                    end(relation.obj_char_span, ENDS.1),
                );
                draft.relation(source, &relation.rel_type, &head, &tail);
            }
            Err(defect) => {
                let (source, why) = of(defect);
                draft.defect(source, why);
            }
        }
    }
    draft.finish();
}
