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

use super::draft::{Draft, Stated};
use super::files::File;
use super::{Reading, number};

/// Reads PubTator files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    for file in files {
        let mut block: Vec<(usize, &str)> = Vec::new();
        let lines = file
            .text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line));
        // One empty line more ends the last block.
        for (at, line) in lines.chain([(0, "")]) {
            if !line.trim().is_empty() {
                block.push((at, line));
            } else if !block.is_empty() {
                document(file, &block, out);
                block.clear();
            }
        }
    }
}

/// One block of non-empty lines (never empty).
fn document(file: &File, block: &[(usize, &str)], out: &mut Reading) {
    let mut lines = block.iter().copied();
    let (first, title_line) = lines.next().unwrap_or_default();
    let Some((id, title)) = head_line(title_line, "t") else {
        return out.defect(
            file.at(first),
            "a document must begin with `ID|t|title`; documents are parted by an empty line",
        );
    };
    let (second, abstract_line) = lines.next().unwrap_or((first, ""));
    let body = match head_line(abstract_line, "a") {
        Some((other, body)) if other == id => body,
        _ => {
            return out.defect(
                file.at(second),
                format!("expected `{id}|a|abstract` after the title line"),
            );
        }
    };
    let mut draft = Draft::new(out, file.at(first), id, format!("{title} {body}"));
    let mut relations = Vec::new();
    for (at, line) in lines {
        let source = file.at(at);
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.first() != Some(&id) {
            draft.defect(
                source,
                format!(
                    "the line does not belong to document {id}; documents are parted by an empty line"
                ),
            );
            continue;
        }
        let is_number = |field: &str| field.bytes().all(|b| b.is_ascii_digit());
        let key = at.to_string();
        match fields.as_slice() {
            [_, start, end, surface, label, rest @ ..] if is_number(start) && rest.len() <= 2 => {
                let fragment = match (number(start), number(end)) {
                    (Some(start), Some(end)) => (start, end),
                    (None, _) => {
                        draft.lost(&key);
                        draft.defect(source, "the start offset is not a whole number");
                        continue;
                    }
                    (_, None) => {
                        draft.lost(&key);
                        draft.defect(source, "the end offset is not a whole number");
                        continue;
                    }
                };
                let stated = Stated {
                    id: &key,
                    label,
                    fragments: &[fragment],
                    surface: Some(surface),
                    concepts: rest.first().map(|ids| concepts(ids)).unwrap_or_default(),
                };
                draft.mention(source, stated);
            }
            [_, label, head, tail] | [_, label, head, tail, _] if !is_number(label) => {
                relations.push((source, *label, concepts(head), concepts(tail)));
            }
            _ => {
                draft.lost(&key);
                draft.defect(
                    source,
                    format!(
                        "{} tab-separated fields fit neither a mention (ID start end surface label concepts) nor a relation (ID label head tail)",
                        fields.len()
                    ),
                );
            }
        }
    }
    for (source, label, heads, tails) in relations {
        draft.concept_relation(source, label, &heads, &tails);
    }
    draft.finish();
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

/// The concept ids of one field: `-`, `-1` or nothing is none; several are joined by `,` or `;`, or by `|` or `+`.
///
/// `|` and `+` part a field only if every part looks like an accession (an optional prefix, at most one letter, three digits or
/// more), because variants carry both inside one id (`c|SUB|G|2554+1|T`).
pub(super) fn concepts(field: &str) -> Vec<String> {
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
    use super::super::tests::parse;
    use super::super::{Corpus, Format, GoldRelation, Options};
    use super::*;
    use crate::error::Result;
    use proptest::prelude::*;

    const TWO: &str = "\n1|t|Naloxone and β-agonist pain.\n1|a|Pain, β again.\n1\t0\t8\tNaloxone\tChemical\tD009270\n\
        1\t13\t22\tβ-agonist\tChemical\tD1|D2\n1\t29\t33\tPain\tDisease\t-1\n1\t23\t27\tpain\tDisease\tD010146|D010147\tpain a|pain b\n\
        1\tCID\tD009270\tD010146\n\n\n2|t|Title\n2|a|\n2\t0\t5\tTitle\tGene\t-\n2\t0\t5\tTitle\tGene\t12,13\n2\tBind\t12\t13\tNovel\n";

    fn parse_text(text: &str) -> Result<Corpus> {
        parse(Format::Pubtator, &Options::default(), text)
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
            error.contains("x.txt:4: document 1 stands already at "),
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
                error.contains("x.txt:3: ") && error.contains(why),
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
                .contains("x.txt:2: ")
        );
        assert!(
            parse_text("1|a|A\n")
                .unwrap_err()
                .to_string()
                .contains("x.txt:1: ")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_never_a_panic(text in "[1-3|ta\t\nµ-]{0,60}") {
            let _ = parse_text(&text);
        }
    }
}
