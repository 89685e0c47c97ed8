//! Every format on small files that we wrote, with its typical damage, and on the public corpora.

use std::ops::Range;

use super::*;
use proptest::prelude::*;

mod bioc;
mod public;

/// A corpus of one file, `x.txt`.
pub(super) fn parse(format: Format, options: &Options, text: &str) -> Result<Corpus> {
    on_disk(text, |path| read(path, format, options))
}

fn on_disk<T>(text: &str, read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.txt");
    std::fs::write(&path, text).unwrap();
    read(&path)
}

/// A corpus of `tests/data/corpora`.
fn fixture(name: &str, format: Format, options: &Options) -> Corpus {
    read(&fixture_path(name), format, options).unwrap()
}

fn fixture_path(name: &str) -> std::path::PathBuf {
    Path::new("tests/data/corpora").join(name)
}

/// Surfaces and labels of a document's mentions.
fn mentions(document: &Document) -> Vec<(&str, &str)> {
    let of = |m: &Mention| -> Range<usize> { m.start..m.end };
    document
        .mentions
        .iter()
        .map(|m| (&document.text[of(m)], m.label.as_str()))
        .collect()
}

/// Relations as surfaces of the first mentions of their ends.
fn relations(document: &Document) -> Vec<(&str, &str, &str)> {
    let first = |concept: &String| {
        let m = document
            .mentions
            .iter()
            .find(|m| m.concepts.contains(concept))
            .unwrap();
        &document.text[m.start..m.end]
    };
    document
        .relations
        .iter()
        .map(|r| (r.label.as_str(), first(&r.head), first(&r.tail)))
        .collect()
}

/// The defects of a fixture after an edit: line and reason.
fn spoiled(name: &str, format: Format, from: &str, to: &str) -> Vec<(usize, String)> {
    let good = std::fs::read_to_string(fixture_path(name)).unwrap();
    let bad = good.replacen(from, to, 1);
    assert_ne!(good, bad, "{from}");
    let corpus = on_disk(&bad, |path| examine(path, format, &Options::default())).unwrap();
    corpus
        .defects
        .into_iter()
        .map(|d| (d.source.line, d.why))
        .collect()
}

/// Each edit makes exactly one defect, on this line, with this reason.
fn each_is_named(name: &str, format: Format, edits: &[(&str, &str, usize, &str)]) {
    for (from, to, line, why) in edits {
        let found = spoiled(name, format, from, to);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(
            found[0].0 == *line && found[0].1.contains(why),
            "{to}: {found:?}"
        );
    }
}

#[test]
fn names_of_formats_are_the_same_everywhere() {
    for format in Format::value_variants() {
        assert_eq!(
            serde_json::json!(format),
            serde_json::json!(format.to_string())
        );
    }
    assert_eq!(Format::BiocXml.to_string(), "bioc-xml");
}

#[test]
fn brat() {
    let mut corpus = fixture("brat", Format::Brat, &Options::default());
    let ids: Vec<&str> = corpus.documents.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["inner/one", "two"]);
    assert_eq!(
        mentions(&corpus.documents[0]),
        [
            ("Penetrating or closed brain injury", "Condition"),
            ("closed brain injury", "Condition"),
            ("no", "Negation"),
            ("fever", "Condition"),
            ("PBI", "Condition"),
            ("fever", "Finding"),
        ]
    );
    assert_eq!(
        relations(&corpus.documents[0]),
        [
            ("Excludes", "no", "fever"),
            ("Same", "fever", "Penetrating or closed brain injury")
        ]
    );
    assert_eq!(
        corpus.notes,
        [
            ("attributes, not used", 1),
            ("discontinuous spans, taken from first to last fragment", 1),
            ("equivalences (`*`), not used", 1),
            ("events, of which only the trigger is used", 1),
            ("notes of annotators, not used", 1),
        ]
        .into()
    );
    // If both labels become one type, the two mentions of fever are one entity.
    corpus.group(|label| {
        if label == "Finding" {
            "Condition".to_owned()
        } else {
            label.to_owned()
        }
    });
    let document = &corpus.documents[0];
    assert_eq!(document.mentions[3].concepts, ["T4"]);
    assert_eq!(document.mentions[5].concepts, ["T4"]);
    assert_eq!(document.relations[1].head, "T4");
}

#[test]
fn damaged_brat() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.txt", "No fever at all");
    write("lone.txt", "x");
    write("none.ann", "");
    write(
        "a.ann",
        "T1\tSign 3 8\tfever\nT1\tSign 3 8\tfever\nT2\tSign 3 80\tfever\nT3\tSign 3 7\tfever\nT4\tSign 8 9\t \nT5 Sign 3 8 fever\n\
         R1\tNo Arg1:T1 Arg2:T9\nR2\tNo Arg1:T1 Arg2:T3\nR3\tNo Arg1:T1\nX1\tfever\nT6\tSign 3-8\tfever\n",
    );
    let corpus = examine(folder.path(), Format::Brat, &Options::default()).unwrap();
    let found: Vec<(String, usize, &str)> = corpus
        .defects
        .iter()
        .map(|d| {
            (
                d.source
                    .file
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                d.source.line,
                d.why.as_str(),
            )
        })
        .collect();
    for ((file, line, why), expected) in found.iter().zip([
        ("a.ann", 2, "stands already"),
        ("a.ann", 3, "leaves the text"),
        ("a.ann", 4, "surface form"),
        ("a.ann", 5, "white space"),
        ("a.ann", 6, "not a mention"),
        ("a.ann", 10, "begins with none of"),
        ("a.ann", 11, "not a mention"),
        ("a.ann", 7, "the id T9"),
        ("a.ann", 9, "not a relation"),
        ("lone.txt", 1, "no .ann file"),
        ("none.ann", 1, "no .txt file"),
    ]) {
        assert!(
            (file.as_str(), *line) == (expected.0, expected.1) && why.contains(expected.2),
            "{file}:{line}: {why}"
        );
        assert!(
            !why.contains("fever"),
            "a message must not quote the document: {why}"
        );
    }
    assert_eq!(found.len(), 11);
    assert_eq!(mentions(&corpus.documents[0]), [("fever", "Sign")]);
    assert_eq!(
        corpus.notes,
        [("relations of defective mentions, left out", 1)].into()
    );
}

#[test]
fn defects_are_refused_unless_they_are_allowed() {
    let text =
        "1|t|A drug\n1|a|B\n1\t0\t9\tA drug\tX\tD1\n1\t0\t8\tA drug\tX\tD1\n1\t2\t6\tdrug\tX\tD1\n";
    let with = |max_defects| {
        parse(
            Format::Pubtator,
            &Options {
                max_defects,
                ..Options::default()
            },
            text,
        )
    };
    for refused in [0, 1] {
        let error = with(refused).unwrap_err().to_string();
        assert!(
            error.contains("x.txt:3: ")
                && error.ends_with("(and 1 more: `distill data check` lists them)"),
            "{error}"
        );
    }
    let corpus = with(2).unwrap();
    assert_eq!(
        (corpus.defects.len(), corpus.documents[0].mentions.len()),
        (2, 1)
    );
}

#[test]
fn conll() {
    let corpus = fixture("bio.tsv", Format::Conll, &Options::default());
    let [one, two] = corpus.documents.as_slice() else {
        panic!("two documents")
    };
    assert_eq!(
        (one.id.as_str(), one.text.as_str()),
        ("77", "Raised D2 and D3 D3\nIn mice .")
    );
    assert_eq!(
        mentions(one),
        [
            ("D2 and D3", "Chemical"),
            ("D3", "Chemical"),
            ("mice", "Species")
        ]
    );
    assert_eq!((two.id.as_str(), two.text.as_str()), ("bio:15", "None"));
    let options = Options {
        sentences: true,
        ..Options::default()
    };
    let corpus = fixture("bio.tsv", Format::Conll, &options);
    let texts: Vec<&str> = corpus.documents.iter().map(|d| d.text.as_str()).collect();
    assert_eq!(texts, ["Raised D2 and D3 D3", "In mice .", "None"]);
    assert_eq!(
        corpus.documents[0].id, "bio:3",
        "the id is that of the whole document"
    );
    each_is_named(
        "bio.tsv",
        Format::Conll,
        &[
            ("mice\tB-", "mice\tI-", 10, "has not begun"),
            ("and\tI-Chemical\n", "and\tI-Species\n", 5, "has not begun"),
            ("mice\tB-Species", "mice\tSpecies", 10, "neither O nor"),
            ("mice\tB-Species", "mice\tS-Species", 10, "bioes"),
            ("None\tO", "None", 15, "expected a token"),
        ][..1],
    );
    for (from, to, line, why) in [
        ("and\tI-Chemical\n", "and\tI-Species\n", 5, "has not begun"),
        ("mice\tB-Species", "mice\tSpecies", 10, "neither O nor"),
        ("mice\tB-Species", "mice\tS-Species", 10, "bioes"),
        ("None\tO", "None", 15, "expected a token"),
    ] {
        let found = spoiled("bio.tsv", Format::Conll, from, to);
        assert!(found[0].0 == line && found[0].1.contains(why), "{found:?}");
    }
}

#[test]
fn conll_in_other_schemes() {
    let read = |tags, outside: &str, text: &str| {
        let options = Options {
            tags: Some(tags),
            outside: Some(outside.into()),
            ..Options::default()
        };
        let corpus = parse(Format::Conll, &options, text).unwrap();
        mentions(&corpus.documents[0])
            .iter()
            .map(|(s, l)| format!("{s}={l}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        read(Scheme::Io, "N", "a NN p\nb NN p\nc NN N\nd NN i\n"),
        ["a b=p", "d=i"]
    );
    assert_eq!(
        read(Scheme::Io, "O", "a I-X\nb I-X\nc B-X\n"),
        ["a b=X", "c=X"]
    );
    assert_eq!(
        read(
            Scheme::Bioes,
            "O",
            "a S-X\nb B-X\nc I-X\nd E-X\ne B-X\nf L-X\ng U-Y\n"
        ),
        ["a=X", "b c d=X", "e f=X", "g=Y"]
    );
}

#[test]
fn phee() {
    let corpus = fixture("phee.jsonl", Format::Phee, &Options::default());
    let document = &corpus.documents[0];
    let found = mentions(document);
    for expected in [
        ("rash", "Effect"),
        ("dry itch", "Effect"),
        ("aspirin", "Treatment.Drug"),
        ("5 mg", "Treatment.Dosage"),
        ("after", "Speculated"),
    ] {
        assert_eq!(
            found.iter().filter(|m| **m == expected).count(),
            1,
            "{expected:?}: {found:?}"
        );
    }
    assert_eq!(
        relations(document),
        [
            ("Treatment.Disorder", "aspirin", "pain"),
            ("Adverse_event", "aspirin", "rash"),
            ("Adverse_event", "aspirin", "dry itch"),
            ("Treatment.Dosage", "aspirin", "5 mg"),
        ]
    );
    assert_eq!(corpus.notes["negated events, which state no relation"], 1);
    assert_eq!(corpus.notes["speculated events, read like others"], 1);
    each_is_named(
        "phee.jsonl",
        Format::Phee,
        &[
            ("[[43]]", "[[44]]", 1, "surface form"),
            ("[[43]]", "[[430]]", 1, "leaves the text"),
            ("[[43]]", "[[43, 44]]", 1, "a fragment has no start"),
            ("[[43]]", "[]", 1, "differ in length"),
            ("[[43]]", "[[\"pain\"]]", 1, "lists of whole numbers"),
            (
                "\"event_type\": \"Adverse_event\", ",
                "",
                1,
                "no `event_type`",
            ),
            ("\"context\"", "\"text\"", 1, "missing field `context`"),
            ("{\"id\"", "{id", 1, "not JSON"),
        ],
    );
}

#[test]
fn drugprot() {
    let corpus = fixture("drugprot.json", Format::Drugprot, &Options::default());
    let document = &corpus.documents[0];
    assert_eq!((document.id.as_str(), document.mentions.len()), ("11-3", 4));
    assert_eq!(relations(document), [("activator", "Glutamate", "AMPA")]);
    assert_eq!(
        document.relations[0].head, "e1",
        "the chemical, not the gene with the same span"
    );
    each_is_named(
        "drugprot.json",
        Format::Drugprot,
        &[
            ("[28, 46]", "[28, 45]", 6, "surface form"),
            ("[28, 46]", "[28, 460]", 6, "leaves the text"),
            ("[28, 46]", "[28]", 6, "wrong type"),
            (
                "\"obj_char_span\": [18, 22]",
                "\"obj_char_span\": [18, 23]",
                8,
                "at 18-23",
            ),
            ("\"PMID\": 11, ", "", 1, "missing field `PMID`"),
            ("[{", "{", 1, "a list of sentences"),
        ],
    );
}

#[test]
fn ddi() {
    let mut corpus = fixture("ddi.xml", Format::Ddi, &Options::default());
    let document = &corpus.documents[0];
    assert_eq!(
        document.text,
        "Alpha- and beta-blockers <β> with aspirin:\r\nNo more. Aspirin again."
    );
    assert_eq!(
        mentions(document),
        [
            ("Alpha- and beta-blockers", "group"),
            ("beta-blockers", "group"),
            ("aspirin", "brand"),
            ("Aspirin", "drug")
        ]
    );
    assert_eq!(
        relations(document),
        [("effect", "Alpha- and beta-blockers", "aspirin")]
    );
    let options = Options {
        sentences: true,
        ..Options::default()
    };
    let ids: Vec<String> = fixture("ddi.xml", Format::Ddi, &options)
        .documents
        .into_iter()
        .map(|d| d.id)
        .collect();
    assert_eq!(ids, ["D.d1.s0", "D.d1.s1", "D.d1.s2"]);
    corpus.group(|_| "Chemical");
    let concepts: Vec<&String> = corpus.documents[0]
        .mentions
        .iter()
        .flat_map(|m| &m.concepts)
        .collect();
    assert_eq!(
        concepts[2], concepts[3],
        "a brand and a drug of one name are one chemical"
    );
    each_is_named(
        "ddi.xml",
        Format::Ddi,
        &[
            ("34-40", "34-41", 7, "surface form"),
            ("34-40", "34-400", 7, "within the sentence"),
            ("34-40", "34", 7, "charOffset must be"),
            ("34-40", "40-34", 7, "charOffset must be"),
            (" type=\"effect\"", "", 9, "has no type"),
            (
                "e2=\"D.d1.s0.e2\"",
                "e2=\"D.d1.s0.e7\"",
                9,
                "the id D.d1.s0.e7",
            ),
            ("ddi=\"true\"", "ddi=\"yes\"", 9, "true or false"),
            ("<document id=\"D.d1\">", "<document>", 2, "no id"),
            (" text=\"No more.\"", "", 11, "has no text"),
        ],
    );
}

#[test]
fn plain_text_and_csv() {
    let texts = |corpus: Corpus| -> Vec<(String, String)> {
        corpus
            .documents
            .into_iter()
            .map(|d| (d.id, d.text))
            .collect()
    };
    let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    let whole = fixture("text", Format::Text, &Options::default());
    assert_eq!(
        texts(whole),
        [
            pair("a", "First line.\n\nSecond line.\n"),
            pair("b", "Another file.")
        ]
    );
    let options = Options {
        one_per_line: true,
        ..Options::default()
    };
    let lines = fixture("text/a.txt", Format::Text, &options);
    assert_eq!(lines.notes["documents without text, left out"], 1);
    assert_eq!(
        texts(lines),
        [pair("a:1", "First line."), pair("a:3", "Second line.")]
    );
    let columns = |id: Option<&str>| Options {
        text_column: Some("note".into()),
        id_column: id.map(str::to_owned),
        delimiter: Some(";".into()),
        ..Options::default()
    };
    let notes = fixture("notes.csv", Format::Csv, &columns(Some("id")));
    assert_eq!(notes.documents[1].source.line, 5);
    assert_eq!(
        texts(notes),
        [
            pair("1", "Two lines\nof \"text\"; and more"),
            pair("3", "Short")
        ]
    );
    assert_eq!(
        fixture("notes.csv", Format::Csv, &columns(None)).documents[1].id,
        "notes:3"
    );
    for (text, line, why) in [
        ("id;notes\n1;a", 1, "no column \"note\""),
        ("note;note\n1;a", 1, "the same name"),
        (
            "id;note\n1;a\n2;b;c\n",
            3,
            "3 columns where the header has 2",
        ),
        ("id;note\n;a\n", 2, "the id is empty"),
        ("id;note\n1;a\n1;b\n", 3, "stands already"),
    ] {
        let defects = on_disk(text, |path| {
            examine(path, Format::Csv, &columns(Some("id")))
        })
        .unwrap()
        .defects;
        assert!(
            defects.len() == 1 && defects[0].source.line == line && defects[0].why.contains(why),
            "{defects:?}"
        );
    }
}

#[test]
fn directions_can_be_reversed() {
    let options = Options {
        reversed: vec!["Excludes".into()],
        ..Options::default()
    };
    assert_eq!(
        relations(&fixture("brat", Format::Brat, &options).documents[0])[0],
        ("Excludes", "fever", "no")
    );
}

/// What the host will see: one pair of entities, though the relation is stated of two brand names.
#[test]
fn mention_level_pairs_are_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = crate::recipe::tests::small(folder.path())
        .replace("gold.txt", "gold.xml")
        .replace("\"pubtator\"", "\"ddi\"")
        .replace("CID = \"causes\"", "brand = \"Chemical\", drug = \"Chemical\", group = \"Chemical\", effect = \"interacts\"")
        .replace("gold_relations = [\"causes\"]", "gold_relations = [\"interacts\"]")
        .replace("[[teachers]]\npath = \"soft.jsonl\"\n", "");
    std::fs::copy(fixture_path("ddi.xml"), folder.path().join("gold.xml")).unwrap();
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let recipe = crate::recipe::Recipe::read(&folder.path().join("r.toml")).unwrap();
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\naspirin\nalpha\nbeta\n";
    let encoder = bie::encode::Encoder::from_vocab(vocabulary, true).unwrap();
    let dataset = crate::dataset::load(&recipe, &encoder, &mut Default::default()).unwrap();
    let item = &dataset.items[0];
    assert_eq!(item.entities.len(), 3, "both names of aspirin are one");
    assert_eq!(item.entities[2].len(), 2);
    let positive: Vec<(usize, usize)> = item
        .pairs
        .iter()
        .filter(|p| p.gold.as_ref().is_some_and(|g| g[0] < 0.5))
        .map(|p| (p.head, p.tail))
        .collect();
    assert_eq!((positive, item.pairs.len()), (vec![(0, 2)], 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever bytes a file holds, and however a good one is spoiled, it is read or refused; what is read lies inside its text.
    #[test]
    fn arbitrary_files_never_panic(which in 0usize..7, cut in 0usize..4000, garbage in "[-\\[\\]{}<>\",:;/=TR&0-9aβ\t\n ]{0,12}", keep in any::<bool>()) {
        let (name, format) = [
            ("bioc.xml", Format::BiocXml), ("bioc.json", Format::BiocJson), ("bio.tsv", Format::Conll), ("phee.jsonl", Format::Phee),
            ("drugprot.json", Format::Drugprot), ("ddi.xml", Format::Ddi), ("notes.csv", Format::Csv),
        ][which];
        let good = std::fs::read_to_string(fixture_path(name)).unwrap();
        let cut = (0..=cut % (good.len() + 1)).rev().find(|at| good.is_char_boundary(*at)).unwrap();
        let rest = if keep { &good[cut..] } else { "" };
        let text = format!("{}{garbage}{rest}", &good[..cut]);
        let options = Options { text_column: (format == Format::Csv).then(|| "note".into()), ..Options::default() };
        let mut corpus = on_disk(&text, |path| examine(path, format, &options)).unwrap();
        corpus.group(str::to_owned);
        for document in &corpus.documents {
            for mention in &document.mentions {
                prop_assert!(document.text.get(mention.start..mention.end).is_some_and(|s| !s.trim().is_empty()));
            }
        }
    }

    #[test]
    fn arbitrary_annotations_of_brat_never_panic(text in "[a-cβ ]{0,12}", annotation in "([TRE*A][0-9]\t[A-C] [0-9 ;]{0,9}\t[a-cβ ]{0,4}\n|[TRE:0-9 \t\n]{0,9}){0,5}") {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), &text).unwrap();
        std::fs::write(folder.path().join("a.ann"), &annotation).unwrap();
        examine(folder.path(), Format::Brat, &Options::default()).unwrap();
    }
}
