//! PubTator: the format of BC5CDR, NCBI-disease and BioRED.
//!
//! ```text
//! ID|t|title
//! ID|a|abstract
//! ID<TAB>start<TAB>end<TAB>surface<TAB>label<TAB>concepts[<TAB>parts of a composite mention]
//! ID<TAB>relation label<TAB>head concept<TAB>tail concept[<TAB>novelty]
//! ```
//!
//! Documents are parted by empty lines. The text is title, one space, abstract; offsets count code points of it.
//! The reader is strict: whatever it cannot place is an error, because a shifted offset would silently teach nonsense.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::{CodePoints, Corpus, Document, GoldRelation, Mention, Source, read_text};
use crate::error::{Error, Result};

/// Reads a PubTator file, plain or gzip.
///
/// # Errors
/// The file cannot be read, or a line is malformed; the message names file and line.
pub fn read(path: &Path) -> Result<Corpus> {
    parse(path, &read_text(path)?)
}

/// Reads PubTator text; `path` is only named in messages and sources.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Corpus> {
    let file: Arc<Path> = Arc::from(path);
    let mut corpus = Corpus {
        documents: Vec::new(),
        duplicates: 0,
    };
    let mut seen = HashMap::new();
    let mut block: Vec<(usize, &str)> = Vec::new();
    let mut lines = text.lines().enumerate();
    loop {
        let next = lines.next();
        match next {
            Some((at, line)) if !line.trim().is_empty() => block.push((at + 1, line)),
            _ => {
                if !block.is_empty() {
                    add(&mut corpus, &mut seen, document(&file, &block)?)?;
                    block.clear();
                }
                if next.is_none() {
                    return Ok(corpus);
                }
            }
        }
    }
}

/// Appends a document unless it is the repetition of an earlier one; `seen` maps ids to positions.
fn add(corpus: &mut Corpus, seen: &mut HashMap<String, usize>, document: Document) -> Result<()> {
    match seen
        .get(&document.id)
        .and_then(|at| corpus.documents.get(*at))
    {
        Some(earlier) if earlier.text == document.text => corpus.duplicates += 1,
        Some(earlier) => {
            return Err(document.source.error(format!(
                "document {} stands already at line {} with another text; give each document its own id",
                document.id, earlier.source.line
            )));
        }
        None => {
            seen.insert(document.id.clone(), corpus.documents.len());
            corpus.documents.push(document);
        }
    }
    Ok(())
}

/// One block of non-empty lines (never empty).
fn document(file: &Arc<Path>, block: &[(usize, &str)]) -> Result<Document> {
    let mut lines = block.iter().copied();
    let (first, title_line) = lines.next().unwrap_or_default();
    let (id, title) = head_line(title_line, "t").ok_or_else(|| {
        Error::line(
            file,
            first,
            "a document must begin with `ID|t|title`; documents are parted by an empty line",
        )
    })?;
    let (second, abstract_line) = lines.next().unwrap_or((first, ""));
    let body = match head_line(abstract_line, "a") {
        Some((other, body)) if other == id => body,
        _ => {
            return Err(Error::line(
                file,
                second,
                format!("expected `{id}|a|abstract` after the title line"),
            ));
        }
    };
    let text = format!("{title} {body}");
    let points = CodePoints::new(&text);
    let mut document = Document {
        id: id.to_owned(),
        text,
        mentions: Vec::new(),
        relations: Vec::new(),
        source: Source {
            file: file.clone(),
            line: first,
        },
    };
    let mut relation_lines = Vec::new();
    for (at, line) in lines {
        let fail = |why: String| Error::line(file, at, why);
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.first() != Some(&id) {
            return Err(fail(format!(
                "the line does not belong to document {id}; documents are parted by an empty line"
            )));
        }
        let is_number = |field: &str| field.bytes().all(|b| b.is_ascii_digit());
        match fields.as_slice() {
            [_, start, end, surface, label, rest @ ..] if is_number(start) && rest.len() <= 2 => {
                document.mentions.push(
                    mention(
                        &document.text,
                        &points,
                        [start, end, surface, label],
                        rest.first().copied(),
                    )
                    .map_err(fail)?,
                );
            }
            [_, label, head, tail] | [_, label, head, tail, _] if !is_number(label) => {
                relation_lines.push((at, *label, *head, *tail))
            }
            _ => {
                return Err(fail(format!(
                    "{} tab-separated fields fit neither a mention (ID start end surface label concepts) nor a relation (ID label head tail)",
                    fields.len()
                )));
            }
        }
    }
    let known: HashSet<&str> = document
        .mentions
        .iter()
        .flat_map(|m| &m.concepts)
        .map(String::as_str)
        .collect();
    for (at, label, head, tail) in relation_lines {
        for head in concepts(head) {
            for tail in concepts(tail) {
                if let Some(stray) = [&head, &tail]
                    .into_iter()
                    .find(|c| !known.contains(c.as_str()))
                {
                    return Err(Error::line(
                        file,
                        at,
                        format!(
                            "no mention of document {id} has the concept {stray} of this relation"
                        ),
                    ));
                }
                document.relations.push(GoldRelation {
                    head: head.clone(),
                    tail,
                    label: label.to_owned(),
                });
            }
        }
    }
    Ok(document)
}

/// `ID|kind|content`.
fn head_line<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let mut parts = line.splitn(3, '|');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(found), Some(content))
            if found == kind && !id.is_empty() && !id.contains('\t') =>
        {
            Some((id, content))
        }
        _ => None,
    }
}

/// One mention line; the error says what is wrong with it, without quoting the document.
fn mention(
    text: &str,
    points: &CodePoints,
    [start, end, surface, label]: [&str; 4],
    ids: Option<&str>,
) -> std::result::Result<Mention, String> {
    let number = |field: &str, name: &str| {
        field
            .parse::<usize>()
            .map_err(|_| format!("the {name} offset is not a whole number"))
    };
    let span = points.range(number(start, "start")?, number(end, "end")?)?;
    if label.is_empty() {
        return Err("the mention has no label (fifth field)".to_owned());
    }
    // Trailing blanks of the surface column are ignored: NCBI-disease has one such line, whose offsets are right.
    if text.get(span.clone()) != Some(surface)
        && text.get(span.clone()).map(str::trim_end) != Some(surface.trim_end())
    {
        return Err(format!(
            "the text at {start}-{end} is not the surface form in the fourth field; offsets count code points of title + one space + abstract"
        ));
    }
    Ok(Mention {
        start: span.start,
        end: span.end,
        label: label.to_owned(),
        concepts: ids.map(concepts).unwrap_or_default(),
    })
}

/// The concept ids of one field: `-`, `-1` or nothing is none; several are joined by `,` or `;`, or by `|` or `+`.
///
/// `|` and `+` part a field only if every part looks like an accession (an optional prefix, at most one letter, three digits or
/// more), because variants carry both inside one id (`c|SUB|G|2554+1|T`).
fn concepts(field: &str) -> Vec<String> {
    let accession = |part: &str| {
        let code = part.trim().rsplit(':').next().unwrap_or_default();
        let digits = code
            .strip_prefix(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(code);
        digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let mut ids: Vec<String> = Vec::new();
    for listed in field.split([',', ';']) {
        let parts: Vec<&str> = listed.split(['|', '+']).collect();
        let parts = if parts.iter().all(|p| accession(p)) {
            parts
        } else {
            vec![listed]
        };
        for part in parts.into_iter().map(str::trim) {
            if !matches!(part, "" | "-" | "-1") && !ids.iter().any(|known| known == part) {
                ids.push(part.to_owned());
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: &str = "\n1|t|Naloxone and β-agonist pain.\n1|a|Pain, β again.\n1\t0\t8\tNaloxone\tChemical\tD009270\n\
        1\t13\t22\tβ-agonist\tChemical\tD1|D2\n1\t29\t33\tPain\tDisease\t-1\n1\t23\t27\tpain\tDisease\tD010146|D010147\tpain a|pain b\n\
        1\tCID\tD009270\tD010146\n\n\n2|t|Title\n2|a|\n2\t0\t5\tTitle\tGene\t-\n2\t0\t5\tTitle\tGene\t12,13\n2\tBind\t12\t13\tNovel\n";

    fn parse_text(text: &str) -> Result<Corpus> {
        parse(Path::new("x.txt"), text)
    }

    #[test]
    fn mentions_relations_and_offsets_are_read() {
        let corpus = parse_text(TWO).unwrap();
        let [one, two] = corpus.documents.as_slice() else {
            panic!("two documents")
        };
        assert_eq!(one.text, "Naloxone and β-agonist pain. Pain, β again.");
        let surfaces: Vec<&str> = one
            .mentions
            .iter()
            .map(|m| &one.text[m.start..m.end])
            .collect();
        assert_eq!(surfaces, ["Naloxone", "β-agonist", "Pain", "pain"]);
        assert_eq!(
            one.mentions[1].concepts,
            ["D1|D2"],
            "too short for accessions: one id"
        );
        assert!(one.mentions[2].concepts.is_empty());
        assert_eq!(one.mentions[3].concepts, ["D010146", "D010147"]);
        assert_eq!(
            one.relations,
            [GoldRelation {
                head: "D009270".into(),
                tail: "D010146".into(),
                label: "CID".into()
            }]
        );
        assert_eq!(one.source.line, 2);
        assert_eq!(two.text, "Title ");
        assert_eq!(two.relations.len(), 1);
    }

    #[test]
    fn variants_keep_their_bars_and_plusses() {
        assert_eq!(concepts("c|SUB|G|2554+1|T"), ["c|SUB|G|2554+1|T"]);
        assert_eq!(
            concepts("OMIM:312080+OMIM:312920"),
            ["OMIM:312080", "OMIM:312920"]
        );
        assert_eq!(concepts(" D008661"), ["D008661"]);
        assert_eq!(concepts("D004409,D006948"), ["D004409", "D006948"]);
        assert_eq!(concepts("-1"), Vec::<String>::new());
    }

    #[test]
    fn a_repeated_document_is_counted_and_a_different_one_with_its_id_refused() {
        let repeated = format!("{TWO}\n{TWO}");
        let corpus = parse_text(&repeated).unwrap();
        assert_eq!((corpus.documents.len(), corpus.duplicates), (2, 2));
        let error = parse_text("1|t|A\n1|a|B\n\n1|t|A\n1|a|C\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("x.txt:4: document 1 stands already at line 1"),
            "{error}"
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let head = "1|t|A drug.\n1|a|B.\n";
        for (bad, why) in [
            ("1\t0\t80\tA drug.\tChemical\tD1\n", "leaves the text"),
            ("1\t3\t3\t\tChemical\tD1\n", "is empty"),
            ("1\t3\tx\tdrug\tChemical\tD1\n", "end offset"),
            ("1\t3\t7\tdrug\tChemical\tD1\n", "surface form"),
            ("1\t2\t6\tdrug\t\tD1\n", "no label"),
            ("2\t2\t6\tdrug\tChemical\tD1\n", "does not belong"),
            ("1\tCID\tD1\tD2\n", "no mention"),
            ("1\tCID\tD1\n", "fit neither"),
            ("nonsense\n", "does not belong"),
        ] {
            let error = parse_text(&format!("{head}{bad}")).unwrap_err().to_string();
            assert!(
                error.starts_with("x.txt:3: ") && error.contains(why),
                "{error}"
            );
            assert!(
                !error.contains("drug"),
                "a message must not quote the document: {error}"
            );
        }
        assert!(
            parse_text("1|t|A\n2|a|B\n")
                .unwrap_err()
                .to_string()
                .starts_with("x.txt:2: ")
        );
        assert!(
            parse_text("1|a|A\n")
                .unwrap_err()
                .to_string()
                .starts_with("x.txt:1: ")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_never_a_panic(text in "[1-3|ta\t\nµ-]{0,60}") {
            let _ = parse_text(&text);
        }
    }

    /// Counts measured on the published files; skipped where they are not there.
    #[test]
    fn the_public_corpora_are_read_whole() {
        let folder = Path::new("../../shared/corpora");
        for (file, documents, duplicates, mentions, relations) in [
            (
                "bc5cdr/CDR_TrainingSet.PubTator.txt.gz",
                500,
                0,
                5203 + 4182,
                1038,
            ),
            (
                "bc5cdr/CDR_DevelopmentSet.PubTator.txt.gz",
                500,
                0,
                5347 + 4244,
                1012,
            ),
            (
                "ncbi-disease/NCBItrainset_corpus.txt.gz",
                592,
                1,
                5145 - 11,
                0,
            ),
            ("ncbi-disease/NCBIdevelopset_corpus.txt.gz", 100, 0, 787, 0),
            ("biored/Train.PubTator.gz", 346, 0, 11413, 3680 + 4),
            ("biored/Dev.PubTator.gz", 84, 0, 2907, 981),
        ] {
            let path = folder.join(file);
            if !path.exists() {
                println!("skipped: {} is not there", path.display());
                continue;
            }
            let corpus = read(&path).unwrap();
            let count = |f: fn(&Document) -> usize| corpus.documents.iter().map(f).sum::<usize>();
            let found = (
                corpus.documents.len(),
                corpus.duplicates,
                count(|d| d.mentions.len()),
                count(|d| d.relations.len()),
            );
            assert_eq!(
                found,
                (documents, duplicates, mentions, relations),
                "{file}"
            );
        }
    }
}
