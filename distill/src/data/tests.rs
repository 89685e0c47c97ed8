//! Reports of small corpora.

use std::fs;

use super::*;
use crate::recipe::tests::small;

const VOCABULARY: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\nlith\n##ium\ncaused\nsevere\ntremor\nagain\n";

/// Ids 1 to 3; the text of 2 has a control character, that of 3 a decomposed letter. `Lith` ends inside no piece, `Lithi` inside one.
const GOLD: &str = "1|t|Lithium caused severe tremor.\n1|a|Lithium again.\n1\t0\t7\tLithium\tChemical\tD1\n1\t30\t35\tLithi\tChemical\tD1\n\
    1\t15\t28\tsevere tremor\tDisease\tD2\n1\t22\t28\ttremor\tDisease\tD2\n1\t8\t21\tcaused severe\tVerb\tD3\n\
    1\tCID\tD1\tD2\n1\ttreats\tD2\tD1\n1\ttreats\tD1\tD3\n1\tCuring\tD1\tD2\n1\tOdd\tD1\tD2\n\n\
    2|t|a\u{7}b\n2|a|\n\n3|t|e\u{301}\n3|a|\n\n4|t|e\u{301}\n4|a|\n\n4|t|e\u{301}\n4|a|\n";

fn report(recipe: impl Fn(String) -> String, gold: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(small(folder.path()));
    for (name, text) in [
        ("gold.txt", gold),
        ("held.txt", "1|t|Other\n1|a|\n\n9|t|e\u{301}\n9|a|\n"),
        ("vocab.txt", VOCABULARY),
        ("r.toml", recipe.as_str()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    check_recipe(&folder.path().join("r.toml")).unwrap()
}

fn counts(pairs: &[(&str, usize)]) -> Counts {
    pairs
        .iter()
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect()
}

#[test]
fn a_corpus_is_counted_and_mapped() {
    let report = report(
        |r| {
            r.replace(
                "map = { CID = \"causes\" }",
                "map = { CID = \"causes\", Curing = \"\" }",
            )
            .replace(
                "annotates = [\"Chemical\", \"Disease\"]",
                "annotates = [\"Chemical\"]",
            )
            .replace(
                "gold_relations = [\"causes\"]",
                "gold_relations = [\"causes\", \"interacts\"]",
            ) + "[evaluation]\npath = \"held.txt\"\nformat = \"pubtator\"\n"
        },
        GOLD,
    );
    let [held, gold] = report.corpora.as_slice() else {
        panic!("two corpora")
    };
    assert_eq!((held.role, held.documents), (Some("evaluation"), 2));
    assert_eq!(
        (gold.documents, gold.duplicates, gold.repeated_texts),
        (4, 1, 1)
    );
    assert_eq!(
        gold.mentions,
        counts(&[("Chemical", 2), ("Disease", 2), ("Verb", 1)])
    );
    assert_eq!(
        gold.overlaps,
        Overlaps {
            nested: 1,
            nested_same: 1,
            crossing: 1,
            crossing_same: 0
        }
    );
    assert_eq!((gold.control.count, gold.not_nfc.count), (1, 2));
    assert_eq!(gold.control.first[0].line, 14);
    let mapping = gold.mapping.as_ref().unwrap();
    assert_eq!(mapping.mentions, counts(&[("Chemical", 2)]));
    assert_eq!(mapping.masked, counts(&[("Disease", 2)]));
    assert_eq!(mapping.dropped, counts(&[("Curing", 1)]));
    assert_eq!(mapping.unmapped, counts(&[("Odd", 1), ("Verb", 1)]));
    // The types of `treats` leave one direction, so the first is meant the other way round.
    assert_eq!(mapping.relations, counts(&[("causes", 1), ("treats", 1)]));
    assert_eq!(mapping.misfits, counts(&[("treats", 1)]));
    assert_eq!(mapping.absent, ["interacts"]);
    assert_eq!(
        (
            mapping.inside_tokens.count,
            mapping.inside_tokens.first[0].line
        ),
        (1, 1)
    );
    assert_eq!((mapping.held_out_by_id, mapping.held_out_by_text), (1, 2));
    assert_eq!(report.refused().count(), 0);
    let text = report.to_string();
    assert!(
        text.contains("neither mapped nor in the schema") && text.contains("Odd 1, Verb 1"),
        "{text}"
    );
    assert!(!text.contains("tremor"), "no text of a document: {text}");
}

#[test]
fn every_defect_is_listed() {
    let bad = GOLD
        .replace("\t0\t7\tLithium", "\t1\t8\tLithium")
        .replace("\t22\t28\t", "\t22\t208\t");
    let found = report(|r| r, &bad);
    let lines: Vec<usize> = found.corpora[0]
        .defects
        .iter()
        .map(|d| d.source.line)
        .collect();
    assert_eq!(lines, [3, 6]);
    assert_eq!(found.refused().count(), 1);
    let json = found.json();
    assert_eq!(
        json.pointer("/corpora/0/defects/1/line"),
        Some(&serde_json::json!(6))
    );
    assert!(found.to_string().contains("gold.txt:6: "));
    let allowed = report(
        |r| {
            r.replace(
                "format = \"pubtator\"\n",
                "format = \"pubtator\"\noptions = { max_defects = 2 }\n",
            )
        },
        &bad,
    );
    assert_eq!(allowed.refused().count(), 0);
}

#[test]
fn a_text_of_the_evaluation_is_not_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = small(folder.path()).replace("[[teachers]]\npath = \"soft.jsonl\"\n", "")
        + "[evaluation]\npath = \"held.txt\"\nformat = \"pubtator\"\n";
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    fs::write(folder.path().join("gold.txt"), GOLD).unwrap();
    fs::write(folder.path().join("held.txt"), "9|t|a\u{7}b\n9|a|\n").unwrap();
    let recipe = Recipe::read(&folder.path().join("r.toml")).unwrap();
    let encoder = Encoder::from_vocab(VOCABULARY, true).unwrap();
    let summary = crate::dataset::load(&recipe, &encoder, &mut Default::default())
        .unwrap()
        .summary;
    assert_eq!((summary.documents, summary.held_out), (3, 1));
    assert_eq!(
        summary.unmapped,
        counts(&[("Curing", 1), ("Odd", 1), ("Verb", 1)])
    );
    assert!(
        summary
            .to_string()
            .ends_with("neither mapped nor in the schema: Curing (1), Odd (1), Verb (1)"),
        "{summary}"
    );
}

#[test]
fn without_a_recipe_a_corpus_speaks_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gold.txt");
    fs::write(&path, GOLD).unwrap();
    let report = check(&path, Format::Pubtator, &Options::default()).unwrap();
    assert_eq!(
        (report.corpora[0].role, report.corpora[0].mapping.as_ref()),
        (None, None)
    );
    assert_eq!(report.corpora[0].relations.len(), 4);
}
