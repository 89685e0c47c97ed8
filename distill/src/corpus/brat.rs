//! brat's standoff: Stenetorp et al., "brat: a web-based tool for NLP-assisted text annotation", EACL 2012; a `.ann` beside each `.txt`.
//!
//! ```text
//! T1<TAB>Label start end[;start end ...]<TAB>surface
//! R1<TAB>Label Arg1:T1 Arg2:T2
//! ```
//!
//! Of an event (`E`) only the trigger is used, where a relation refers to it. Equivalences (`*`), attributes (`A`, `M`), normalisations (`N`)
//! and notes (`#`) are counted. Relations are between mentions.

use std::collections::HashMap;

use super::draft::{Draft, Stated};
use super::files::File;
use super::{Reading, Source, number};

/// Reads pairs of files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    out.corpus.mention_level = true;
    let is_text = |file: &&File| {
        !file
            .name
            .to_string_lossy()
            .trim_end_matches(".gz")
            .ends_with(".ann")
    };
    let mut annotations: HashMap<&str, &File> = HashMap::new();
    for file in files.iter().filter(|f| !is_text(f)) {
        annotations.insert(&file.id, file);
    }
    for file in files.iter().filter(is_text) {
        match annotations.remove(file.id.as_str()) {
            Some(annotation) => document(file, annotation, out),
            None => out.defect(
                file.at(1),
                "there is no .ann file beside this text; give an empty one if it has no annotation",
            ),
        }
    }
    let mut lone: Vec<&&File> = annotations.values().collect();
    lone.sort_by_key(|file| &file.id);
    for file in lone {
        out.defect(file.at(1), "there is no .txt file beside these annotations");
    }
}

fn document(text: &File, annotation: &File, out: &mut Reading) {
    let mut draft = Draft::new(out, text.at(1), &text.id, text.text.clone());
    // Mentions first: a relation may stand before them.
    let mut relations: Vec<(Source, &str)> = Vec::new();
    let mut triggers: HashMap<&str, &str> = HashMap::new();
    for (at, line) in annotation.text.lines().enumerate() {
        let source = annotation.at(at + 1);
        match line.chars().next() {
            None => {}
            Some('T') => mention(&mut draft, source, line),
            Some('R') => relations.push((source, line)),
            Some('E') => {
                draft.note("events, of which only the trigger is used");
                let trigger = line
                    .split(['\t', ' '])
                    .nth(1)
                    .and_then(|t| t.split_once(':'));
                if let (Some(id), Some((_, trigger))) = (line.split('\t').next(), trigger) {
                    triggers.insert(id, trigger);
                }
            }
            Some('*') => draft.note("equivalences (`*`), not used"),
            Some('A' | 'M') => draft.note("attributes, not used"),
            Some('N') => draft.note("normalisations, not used"),
            Some('#') => draft.note("notes of annotators, not used"),
            Some(_) if line.trim().is_empty() => {}
            Some(_) => draft.defect(
                source,
                "the line begins with none of T, R, E, A, M, N, * and #",
            ),
        }
    }
    for (source, line) in relations {
        relation(&mut draft, source, line, &triggers);
    }
    draft.finish();
}

fn mention(draft: &mut Draft, source: Source, line: &str) {
    let mut fields = line.splitn(3, '\t');
    let id = fields.next().unwrap_or_default();
    let parsed = fields
        .next()
        .zip(fields.next())
        .and_then(|(middle, surface)| {
            let (label, spans) = middle.split_once(' ')?;
            let fragment = |span: &str| {
                let (start, end) = span.split_once(' ')?;
                Some((number(start)?, number(end)?))
            };
            let fragments: Option<Vec<_>> = spans.split(';').map(fragment).collect();
            Some((label, fragments?, surface))
        });
    match parsed {
        Some((label, fragments, surface)) => draft.mention(
            source,
            Stated {
                id,
                label,
                fragments: &fragments,
                surface: Some(surface),
                concepts: Vec::new(),
            },
        ),
        None => {
            draft.lost(id);
            draft.defect(source, "not a mention: expected `T1<TAB>Label start end<TAB>surface`, with `start end;start end` if it has several fragments");
        }
    }
}

fn relation(draft: &mut Draft, source: Source, line: &str, triggers: &HashMap<&str, &str>) {
    let mut words = line
        .split('\t')
        .nth(1)
        .unwrap_or_default()
        .split_whitespace();
    let label = words.next().unwrap_or_default();
    let ends: Vec<&str> = words
        .map(|word| word.split_once(':').map_or("", |(_, id)| id))
        .collect();
    match ends.as_slice() {
        [head, tail] if !head.is_empty() && !tail.is_empty() => {
            let mention = |id| triggers.get(id).copied().unwrap_or(id);
            draft.relation(source, label, mention(head), mention(tail));
        }
        _ => draft.defect(
            source,
            "not a relation: expected `R1<TAB>Label Arg1:T1 Arg2:T2`",
        ),
    }
}
