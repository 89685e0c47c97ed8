//! BioC in both notations.

use super::*;

#[test]
fn bioc_in_xml() {
    let options = Options {
        head_role: Some("cause".into()),
        ..Options::default()
    };
    // The role is of R1 alone; relations without nodes have infons for roles.
    let good = std::fs::read_to_string(fixture_path("bioc.xml")).unwrap();
    let corpus = parse(Format::BiocXml, &Options::default(), &good).unwrap();
    let [one, two] = corpus.documents.as_slice() else {
        panic!("two documents")
    };
    assert_eq!(
        one.text,
        "Vitamins D2 and D3 & β-blockers.\nBoth raise calcium; hypercalcaemia follows."
    );
    assert_eq!((one.id.as_str(), one.source.line), ("901", 7));
    assert_eq!(
        mentions(one),
        [
            ("Vitamins D2", "Chemical"),
            ("Vitamins D2 and D3", "Chemical"),
            ("hypercalcaemia", "Disease"),
            ("calcium", "Chemical")
        ]
    );
    assert_eq!(
        relations(one),
        [
            ("CID", "Vitamins D2", "hypercalcaemia"),
            ("Induces", "hypercalcaemia", "Vitamins D2 and D3")
        ]
    );
    assert!(!corpus.mention_level);
    assert_eq!(
        corpus.notes,
        [
            ("discontinuous spans, taken from first to last fragment", 1),
            ("relations of mentions without a concept id, left out", 1),
            ("relations of more than two mentions, left out", 1),
        ]
        .into()
    );
    assert_eq!(two.text, "Nothing here.\nNor here.");
    let corpus = on_disk(&good, |path| examine(path, Format::BiocXml, &options)).unwrap();
    assert_eq!(
        relations(&corpus.documents[0]),
        [("Induces", "Vitamins D2 and D3", "hypercalcaemia")]
    );
    assert_eq!(
        corpus.defects.len(),
        1,
        "the infons of R0 have another name: {:?}",
        corpus.defects
    );
}

#[test]
fn damaged_bioc_in_xml() {
    each_is_named(
        "bioc.xml",
        Format::BiocXml,
        &[
            (
                "<offset>34<",
                "<offset>31<",
                27,
                "before the end of the one before it (32)",
            ),
            ("<offset>34<", "<offset>x<", 27, "not a whole number"),
            ("<id>901</id>", "", 7, "no id"),
            ("offset=\"54\"", "offset=\"53\"", 31, "surface form"),
            ("offset=\"54\"", "offset=\"540\"", 31, "lies in no passage"),
            ("offset=\"54\"", "offset=\"-4\"", 31, "location"),
            (
                "id=\"4\">\n        <infon key=\"type\">Chemical</infon>",
                "id=\"4\">",
                37,
                "no infon `type`",
            ),
            (
                "refid=\"3\" role=\"effect\"/>\n      <node refid=\"2\"",
                "refid=\"3\"/><node refid=\"9\"",
                48,
                "the id 9",
            ),
            (
                "\"Disease\">D006934",
                "\"Disease\">D99",
                43,
                "neither two nodes",
            ),
            (
                "<infon key=\"relation\">CID</infon>",
                "",
                43,
                "no infon `type` or `relation`",
            ),
            ("</passage>", "</passag>", 26, "do not match"),
        ],
    );
    assert!(
        spoiled(
            "bioc.xml",
            Format::BiocXml,
            "  <document>\n    <id>902",
            "<document><id>901"
        )[0]
        .1
        .contains("stands already at")
    );
    let twice = spoiled(
        "bioc.xml",
        Format::BiocXml,
        "<annotation id=\"4\">",
        "<annotation id=\"3\">",
    );
    assert!(
        twice[0].0 == 37 && twice[0].1.contains("stands already"),
        "{twice:?}"
    );
    let defects = on_disk("<a/>", |path| {
        examine(path, Format::BiocXml, &Options::default())
    })
    .unwrap()
    .defects;
    assert!(defects[0].why.contains("no element `document`"));
}

#[test]
fn bioc_in_json() {
    let mut corpus = fixture("bioc.json", Format::BiocJson, &Options::default());
    assert!(corpus.mention_level, "no annotation has a concept");
    assert_eq!(
        corpus.documents[0].text,
        "Warfarin with 🍇 juice. It bled. WARFARIN too."
    );
    assert_eq!(
        relations(&corpus.documents[0]),
        [
            ("causes", "WARFARIN", "bled"),
            ("with", "Warfarin", "🍇 juice")
        ]
    );
    corpus.group(str::to_owned);
    assert_eq!(
        relations(&corpus.documents[0]),
        [
            ("causes", "Warfarin", "bled"),
            ("with", "Warfarin", "🍇 juice")
        ],
        "names that differ in case are one entity"
    );
    // One document a line, a list, and PubTator's wrapper hold the same.
    let whole = std::fs::read_to_string(fixture_path("bioc.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let document = &value["documents"][0];
    for text in [
        format!("{document}\n"),
        format!("[{document}]"),
        format!("{{\"PubTator3\": [{document}]}}"),
    ] {
        let read = parse(Format::BiocJson, &Options::default(), &text).unwrap();
        assert_eq!(
            (read.documents.len(), read.documents[0].mentions.len()),
            (1, 4)
        );
    }
}

#[test]
fn damaged_bioc_in_json() {
    each_is_named(
        "bioc.json",
        Format::BiocJson,
        &[
            ("\"offset\": 26", "\"offset\": 27", 7, "surface form"),
            (
                "\"offset\": 26, \"length\": 4",
                "\"offset\": 26",
                7,
                "missing field `length`",
            ),
            ("\"offset\": 26", "\"offset\": \"26\"", 7, "wrong type"),
            ("\"offset\": 23", "\"offset\": 3", 6, "before the end"),
            (
                "{\"offset\": 0, \"infons\"",
                "{\"offset\": 18446744073709551615, \"infons\"",
                6,
                "before the end",
            ),
            (
                "\"offset\": 26",
                "\"offset\": 18446744073709551615",
                7,
                "lies in no passage",
            ),
            ("\"refid\": \"2\"", "\"refid\": \"8\"", 11, "the id 8"),
            ("\"id\": 901, ", "", 2, "missing field `id`"),
            ("\"relations\": [", "\"relations\": [,", 9, "not JSON"),
        ],
    );
}

#[test]
fn deeply_nested_json_is_refused() {
    for open in ["[", "{\"documents\":[", "{\"a\":"] {
        let text = open.repeat(100_000);
        let read = |path: &Path| examine(path, Format::BiocJson, &Options::default());
        assert_eq!(on_disk(&text, read).unwrap().defects.len(), 1, "{open}");
    }
}

#[test]
fn offsets_of_another_unit_are_recognised() {
    let text = std::fs::read_to_string(fixture_path("bioc.json")).unwrap();
    // As JavaScript would count: the grape is two units.
    let utf16 = text
        .replace(
            "\"offset\": 14, \"length\": 7",
            "\"offset\": 14, \"length\": 8",
        )
        .replace("\"offset\": 23", "\"offset\": 24")
        .replace("\"offset\": 26", "\"offset\": 27")
        .replace("\"offset\": 32", "\"offset\": 33");
    let error = parse(Format::BiocJson, &Options::default(), &utf16)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("set the option `offsets`") && error.contains("UTF-16"),
        "{error}"
    );
    let options = Options {
        offsets: Some(Unit::Utf16),
        ..Options::default()
    };
    let corpus = parse(Format::BiocJson, &options, &utf16).unwrap();
    assert_eq!(
        corpus.documents,
        parse(Format::BiocJson, &Options::default(), &text)
            .map(|c| {
                c.documents
                    .into_iter()
                    .map(|mut d| {
                        d.source = corpus.documents[0].source.clone();
                        d
                    })
                    .collect::<Vec<_>>()
            })
            .unwrap()
    );
}
