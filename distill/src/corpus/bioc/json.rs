//! BioC in JSON: a collection, documents one after another, or PubTator's answers.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::Defect;
use super::super::files::File;
use super::super::json::Json;
use super::{Annotation, Bioc, Infons, Passage, Relation};

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow, alias = "PubTator3")]
    documents: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct DocumentJson<'a> {
    id: Value,
    #[serde(borrow)]
    passages: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    relations: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct PassageJson<'a> {
    offset: usize,
    #[serde(default)]
    text: Option<String>,
    #[serde(borrow, default)]
    sentences: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    relations: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnnotationJson {
    id: Value,
    #[serde(default)]
    infons: Map<String, Value>,
    locations: Vec<LocationJson>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct LocationJson {
    offset: usize,
    length: usize,
}

#[derive(Deserialize)]
struct RelationJson {
    #[serde(default)]
    infons: Map<String, Value>,
    #[serde(default)]
    nodes: Vec<NodeJson>,
}

#[derive(Deserialize)]
struct NodeJson {
    refid: Value,
    #[serde(default)]
    role: String,
}

/// The documents of one file.
pub(super) fn collection(file: &File, defects: &mut Vec<Defect>) -> Vec<Bioc> {
    let json = Json::new(file);
    let mut documents = Vec::new();
    let mut parts = Vec::new();
    for value in json.values("BioC") {
        match value.and_then(|value| listed(&json, value)) {
            Ok(listed) => parts.extend(listed),
            Err(defect) => defects.push(defect),
        }
    }
    for part in parts {
        match document(&json, part) {
            Ok(document) => documents.push(document),
            Err(defect) => defects.push(defect),
        }
    }
    documents
}

/// The documents of one value: a list, a collection, or a document.
fn listed<'a>(json: &Json<'a>, value: &'a str) -> Result<Vec<&'a str>, Defect> {
    if value.starts_with('[') {
        let values: Vec<&'a RawValue> = json.read(value, "a list")?;
        return Ok(values.into_iter().flat_map(|v| unfolded(v.get())).collect());
    }
    Ok(unfolded(value))
}

/// The documents of a collection; a document, which has no field `documents`, as it is.
fn unfolded(value: &str) -> Vec<&str> {
    match serde_json::from_str::<Collection>(value) {
        Ok(collection) => collection
            .documents
            .into_iter()
            .map(RawValue::get)
            .collect(),
        Err(_) => vec![value],
    }
}

fn document<'a>(json: &Json<'a>, part: &'a str) -> Result<Bioc, Defect> {
    let read: DocumentJson = json.read(part, "a collection or a document of BioC")?;
    let id = plain(&read.id).filter(|id| !id.is_empty());
    let mut bioc = Bioc {
        source: json.at(part),
        id: id.ok_or_else(|| Defect {
            source: json.at(part),
            why: "the document has no id".to_owned(),
        })?,
        passages: Vec::new(),
        annotations: Vec::new(),
        relations: Vec::new(),
        lost: Vec::new(),
    };
    for passage in read.passages {
        let sentences = level(json, &mut bioc, passage)?;
        for sentence in sentences {
            level(json, &mut bioc, sentence)?;
        }
    }
    notes(json, &mut bioc, &read.annotations, &read.relations);
    Ok(bioc)
}

/// A passage, or a sentence of one; a passage's sentences are handed back instead of its text.
fn level<'a>(
    json: &Json<'a>,
    bioc: &mut Bioc,
    raw: &'a RawValue,
) -> Result<Vec<&'a RawValue>, Defect> {
    let passage: PassageJson = json.read(raw.get(), "a passage of BioC")?;
    notes(json, bioc, &passage.annotations, &passage.relations);
    if passage.sentences.is_empty() {
        bioc.passages.push(Passage {
            source: json.at(raw.get()),
            offset: passage.offset,
            text: passage.text.unwrap_or_default(),
        });
    }
    Ok(passage.sentences)
}

fn notes<'a>(
    json: &Json<'a>,
    bioc: &mut Bioc,
    annotations: &[&'a RawValue],
    relations: &[&'a RawValue],
) {
    for raw in annotations {
        let what = "an annotation of BioC";
        match json.read::<AnnotationJson>(raw.get(), what) {
            Ok(read) => bioc.annotations.push(Annotation {
                source: json.at(raw.get()),
                id: plain(&read.id).unwrap_or_default(),
                infons: infons(&read.infons),
                locations: read
                    .locations
                    .iter()
                    .map(|l| (l.offset, l.length))
                    .collect(),
                text: read.text,
            }),
            Err(defect) => {
                let value: Option<Value> = serde_json::from_str(raw.get()).ok();
                let id = value.as_ref().and_then(|v| v.get("id")).and_then(plain);
                bioc.lost.push((id, defect));
            }
        }
    }
    for raw in relations {
        match json.read::<RelationJson>(raw.get(), "a relation of BioC") {
            Ok(read) => bioc.relations.push(Relation {
                source: json.at(raw.get()),
                infons: infons(&read.infons),
                nodes: read
                    .nodes
                    .iter()
                    .map(|n| (plain(&n.refid).unwrap_or_default(), n.role.clone()))
                    .collect(),
            }),
            Err(defect) => bioc.lost.push((None, defect)),
        }
    }
}

/// A string or a number; PubTator nests the identifier of a relation's end.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => object.get("identifier").and_then(plain),
        _ => None,
    }
}

fn infons(map: &Map<String, Value>) -> Infons {
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), plain(value)?));
    map.iter().filter_map(pair).collect()
}
