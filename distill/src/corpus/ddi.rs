//! The DDI corpus: Herrero-Zazo et al., "The DDI corpus", J Biomed Inform 2013;46:914-920; XML, one file a document.
//!
//! A document is sentences, each with its text, its entities and all pairs of them. Offsets (`charOffset`, `a-b;c-d` if discontinuous)
//! are of the sentence, and their ends are inclusive. A pair with `ddi="true"` is a relation called by its `type`. Sentences are joined as
//! they are, with one space where white space is missing.

use super::draft::{Draft, Stated};
use super::files::File;
use super::xml::{self, Node};
use super::{Reading, number};

/// Reads DDI files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    out.corpus.mention_level = true;
    for file in files {
        let mut found = false;
        let result = xml::each(&file.text, "document", |node| {
            found = true;
            document(file, &node, out);
        });
        match result {
            Err((line, why)) => out.defect(file.at(line), why),
            Ok(()) if !found => out.defect(
                file.at(1),
                "there is no element `document`; is it of the DDI corpus?",
            ),
            Ok(()) => {}
        }
    }
}

fn document(file: &File, node: &Node, out: &mut Reading) {
    let mut sentences = Vec::new();
    for sentence in node.children("sentence") {
        match sentence.attribute("text") {
            Some(text) => sentences.push((sentence, text)),
            None => out.defect(file.at(sentence.line), "the sentence has no text"),
        }
    }
    let parts: Vec<(&Node, &[(&Node, &str)])> = if out.options.sentences {
        sentences
            .iter()
            .map(|s| (s.0, std::slice::from_ref(s)))
            .collect()
    } else {
        vec![(node, sentences.as_slice())]
    };
    for (named, sentences) in parts {
        match named.attribute("id").filter(|id| !id.is_empty()) {
            Some(id) => part(file, named, id, sentences, out),
            None => out.defect(file.at(named.line), format!("the {} has no id", named.name)),
        }
    }
}

/// A document, or one sentence as a document of its own.
fn part(file: &File, named: &Node, id: &str, sentences: &[(&Node, &str)], out: &mut Reading) {
    let unit = out.options.offsets.unwrap_or_default();
    let mut text = String::new();
    let mut places = Vec::new();
    for (sentence, own) in sentences {
        if !text.is_empty()
            && !text.ends_with(char::is_whitespace)
            && !own.starts_with(char::is_whitespace)
        {
            text.push(' ');
        }
        places.push((*sentence, unit.count(&text), unit.count(own)));
        text.push_str(own);
    }
    let mut draft = Draft::new(out, file.at(named.line), id, text);
    for (sentence, start, length) in places {
        for entity in sentence.children("entity") {
            let source = file.at(entity.line);
            let id = entity.attribute("id").unwrap_or_default();
            let fragments = entity
                .attribute("charOffset")
                .and_then(|o| fragments(o, start, length));
            match fragments {
                _ if id.is_empty() => draft.defect(source, "the entity has no id"),
                Some(fragments) => draft.mention(
                    source,
                    Stated {
                        id,
                        label: entity.attribute("type").unwrap_or_default(),
                        fragments: &fragments,
                        surface: entity.attribute("text"),
                        concepts: Vec::new(),
                    },
                ),
                None => {
                    draft.lost(id);
                    draft.defect(source, "charOffset must be first-last or first-last;first-last, within the sentence");
                }
            }
        }
        for pair in sentence.children("pair") {
            let source = file.at(pair.line);
            match (
                pair.attribute("ddi"),
                pair.attribute("e1"),
                pair.attribute("e2"),
                pair.attribute("type"),
            ) {
                (Some("false"), Some(_), Some(_), _) => {}
                (Some("true"), Some(head), Some(tail), Some(label)) => {
                    draft.relation(source, label, head, tail)
                }
                (Some("true"), Some(_), Some(_), None) => {
                    draft.defect(source, "the interaction has no type")
                }
                _ => draft.defect(source, "a pair must have e1, e2 and ddi, true or false"),
            }
        }
    }
    draft.finish();
}

/// Half-open spans of the document.
fn fragments(offsets: &str, start: usize, length: usize) -> Option<Vec<(usize, usize)>> {
    let fragment = |offset: &str| {
        let (first, last) = offset.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && last < length).then_some((start + first, start + last + 1))
    };
    offsets.split(';').map(fragment).collect()
}
