//! BioC: Comeau et al., "BioC: a minimalist approach to interoperability for biomedical text processing", Database 2013, bat064; as XML or JSON.
//!
//! A document is passages (or sentences in them), each with its offset in the document; annotations have one or more locations with document
//! offsets. A passage follows the one before it after one space, as in PubTator, if their offsets leave room for one character; else it
//! begins a line. Labels are the infons `type` (and `relation` of a relation); concepts are in `identifier` or an infon called after its
//! terminology. A relation has two nodes that refer to annotations, or two infons with concepts (BioRED's `entity1` and `entity2`,
//! BC5CDR's `Chemical` and `Disease`). If no annotation of the corpus has a concept, relations are between mentions.

use super::draft::{Draft, OF_DEFECTIVE, Stated};
use super::files::File;
use super::{Defect, Reading, Source, pubtator};

mod json;
mod xml;

/// Infons that hold concept ids, in lower case.
const CONCEPT_KEYS: [&str; 9] = [
    "identifier",
    "mesh",
    "omim",
    "umls",
    "chebi",
    "ncbi gene",
    "ncbi taxonomy",
    "entrez",
    "cellosaurus",
];
/// Infons of relations that hold their two ends.
const ENDS: [(&str, &str); 2] = [("entity1", "entity2"), ("role1", "role2")];

/// Key and value.
type Infons = Vec<(String, String)>;

/// A document as the file states it, its levels flattened.
struct Bioc {
    source: Source,
    id: String,
    passages: Vec<Passage>,
    annotations: Vec<Annotation>,
    relations: Vec<Relation>,
    /// Annotations that could not be parsed, with their ids where those were found.
    lost: Vec<(Option<String>, Defect)>,
}

struct Passage {
    source: Source,
    offset: usize,
    text: String,
}

struct Annotation {
    source: Source,
    id: String,
    infons: Infons,
    /// Offset and length.
    locations: Vec<(usize, usize)>,
    text: Option<String>,
}

struct Relation {
    source: Source,
    infons: Infons,
    /// Annotation and role.
    nodes: Vec<(String, String)>,
}

fn infon<'a>(infons: &'a Infons, key: &str) -> Option<&'a str> {
    let found = infons.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
    found.map(|(_, value)| value.as_str())
}

impl Annotation {
    fn concepts(&self) -> Vec<String> {
        let of = |key: &&str| {
            infon(&self.infons, key)
                .map(pubtator::concepts)
                .unwrap_or_default()
        };
        match infon(&self.infons, "identifier") {
            Some(ids) => pubtator::concepts(ids),
            None => CONCEPT_KEYS.iter().flat_map(of).collect(),
        }
    }
}

/// Reads BioC in XML.
pub(super) fn read_xml(files: &[File], out: &mut Reading) {
    read(files, xml::collection, out);
}

/// Reads BioC in JSON.
pub(super) fn read_json(files: &[File], out: &mut Reading) {
    read(files, json::collection, out);
}

fn read(
    files: &[File],
    collection: impl Fn(&File, &mut Vec<Defect>) -> Vec<Bioc>,
    out: &mut Reading,
) {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(collection(file, &mut out.corpus.defects));
    }
    let mut annotations = documents.iter().flat_map(|d| &d.annotations);
    out.corpus.mention_level = annotations.all(|a| a.concepts().is_empty());
    for document in documents {
        add(document, out);
    }
}

fn add(bioc: Bioc, out: &mut Reading) {
    let unit = out.options.offsets.unwrap_or_default();
    // Of each passage: offset in the file, offset in the text, length.
    let mut places: Vec<(usize, usize, usize)> = Vec::new();
    let (mut text, mut length) = (String::new(), 0);
    for passage in &bioc.passages {
        let end = places
            .last()
            .map_or(0, |(offset, _, length)| offset.saturating_add(*length));
        if passage.offset < end {
            let why = format!(
                "the passage begins at {}, before the end of the one before it ({end}); offsets count {} of the whole document: give the option `offsets` if these count something else",
                passage.offset,
                unit.as_str()
            );
            return out.defect(passage.source.clone(), why);
        }
        if !text.is_empty() {
            let gap = if passage.offset == end.saturating_add(1) {
                ' '
            } else {
                '\n'
            };
            text.push(gap);
            length += 1;
        }
        let own = unit.count(&passage.text);
        places.push((passage.offset, length, own));
        text.push_str(&passage.text);
        length += own;
    }
    let mention_level = out.corpus.mention_level;
    let head_role = out.options.head_role.clone();
    let mut draft = Draft::new(out, bioc.source, &bioc.id, text);
    for (id, defect) in bioc.lost {
        draft.defect(defect.source, defect.why);
        if let Some(id) = id {
            draft.lost(&id);
        }
    }
    for annotation in bioc.annotations {
        let Some(label) = infon(&annotation.infons, "type") else {
            draft.lost(&annotation.id);
            draft.defect(annotation.source, "the annotation has no infon `type`");
            continue;
        };
        let place = |(start, length): &(usize, usize)| {
            let end = start.saturating_add(*length);
            let holds =
                |p: &&(usize, usize, usize)| p.0 <= *start && end <= p.0.saturating_add(p.2);
            let (offset, own, _) = places.iter().find(holds)?;
            Some((start - offset + own, end - offset + own))
        };
        let Some(fragments) = annotation
            .locations
            .iter()
            .map(place)
            .collect::<Option<Vec<_>>>()
        else {
            draft.lost(&annotation.id);
            let why = format!(
                "the annotation lies in no passage; offsets count {} of the whole document",
                unit.as_str()
            );
            draft.defect(annotation.source, why);
            continue;
        };
        let concepts = if mention_level {
            Vec::new()
        } else {
            annotation.concepts()
        };
        let stated = Stated {
            id: &annotation.id,
            label,
            fragments: &fragments,
            surface: annotation.text.as_deref(),
            concepts,
        };
        draft.mention(annotation.source.clone(), stated);
    }
    for relation in bioc.relations {
        relate(&mut draft, relation, head_role.as_deref());
    }
    draft.finish();
}

fn relate(draft: &mut Draft, relation: Relation, head_role: Option<&str>) {
    let infons = &relation.infons;
    let Some(label) = infon(infons, "relation").or(infon(infons, "type")) else {
        return draft.defect(
            relation.source,
            "the relation has no infon `type` or `relation`",
        );
    };
    let label = label.to_owned();
    let ends = ENDS
        .iter()
        .find_map(|(a, b)| Some((infon(infons, a)?, infon(infons, b)?)));
    if let Some((head, tail)) = ends {
        let (heads, tails) = (pubtator::concepts(head), pubtator::concepts(tail));
        return draft.concept_relation(relation.source, &label, &heads, &tails);
    }
    let by_nodes = !relation.nodes.is_empty();
    let mut ends: Vec<(String, String)> = if by_nodes {
        relation.nodes
    } else {
        let is_end =
            |(_, value): &&(String, String)| draft.has_concepts(&pubtator::concepts(value));
        infons
            .iter()
            .filter(is_end)
            .map(|(key, value)| (value.clone(), key.clone()))
            .collect()
    };
    if by_nodes && ends.len() > 2 {
        return draft.note("relations of more than two mentions, left out");
    }
    if let Some(role) = head_role {
        match ends.iter().position(|(_, r)| r == role) {
            Some(0) => {}
            Some(at) => ends.swap(0, at),
            None => {
                return draft.defect(
                    relation.source,
                    format!("no node has the role \"{role}\" (option `head_role`)"),
                );
            }
        }
    }
    match ends.as_slice() {
        [(head, _), (tail, _)] if by_nodes => draft.relation(relation.source, &label, head, tail),
        [(head, _), (tail, _)] => {
            let (heads, tails) = (pubtator::concepts(head), pubtator::concepts(tail));
            draft.concept_relation(relation.source, &label, &heads, &tails);
        }
        _ if !by_nodes && draft.has_lost() => draft.note(OF_DEFECTIVE),
        _ => draft.defect(
            relation.source,
            "the relation has neither two nodes nor two infons with concepts of the document's mentions",
        ),
    }
}
