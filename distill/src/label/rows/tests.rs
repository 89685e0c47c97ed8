use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::answer::Pair;
use super::super::concepts::{Concept, Sides};
use super::super::logprobs::Token;
use super::super::settings::Task;
use super::super::testing::{ENDPOINT, task};
use super::*;
use crate::corpus::{Document, Source};
use crate::teacher::{Distribution, PairLabels, Rule};

const TEXT: &str = "Aspirin caused an ulcer. Aspirin did not cause a rash.";

fn built(mode: &str, tables: &str) -> Task {
    task(mode, "", &format!("{ENDPOINT}{tables}")).unwrap()
}

fn text() -> Text {
    Text {
        document: Document {
            id: "7".into(),
            text: TEXT.into(),
            mentions: Vec::new(),
            relations: Vec::new(),
            source: Source {
                file: Arc::from(Path::new("t")),
                line: 1,
            },
        },
        of: 0,
    }
}

/// An answer without tokens.
fn said(content: Value) -> Record {
    Record {
        key: String::new(),
        content: content.to_string(),
        tokens: None,
        usage: None,
    }
}

/// The same with the alternatives at every place where one of the keys' values stands.
fn sure(content: Value, alternatives: &BTreeMap<&str, Vec<(&str, f64)>>) -> Record {
    let mut record = said(content);
    let mut tokens = Vec::new();
    for (label, others) in alternatives {
        for (at, _) in record.content.match_indices(&format!(":\"{label}\"")) {
            let chosen = 1.0 - others.iter().map(|(_, p)| p).sum::<f64>();
            tokens.push(Token {
                at: at + 2,
                text: (*label).to_owned(),
                logprob: chosen.ln(),
                top: others
                    .iter()
                    .map(|(t, p)| ((*t).to_owned(), p.ln()))
                    .collect(),
            });
            tokens.push(Token {
                at: at + 2 + label.len(),
                text: "\"".into(),
                logprob: 0.0,
                top: Vec::new(),
            });
        }
    }
    record.tokens = Some(tokens);
    record
}

fn good(p: f64) -> Value {
    json!({
        "entities": [
            {"id": "e1", "quote": "Aspirin", "context": "Aspirin caused", "type": "Chemical", "p": p},
            {"id": "e2", "quote": "ulcer", "type": "Disease", "assertion": "present", "p": p},
            {"id": "e3", "quote": "rash", "type": "Disease", "assertion": "negated", "p": 0.5},
        ],
        "relations": [{"head": "e1", "tail": "e2", "type": "causes", "p": 0.7}],
    })
}

fn listed(row: &Labels) -> Vec<(&str, &str, f32, Option<&str>)> {
    row.entities
        .iter()
        .map(|e| {
            (
                &row.text[e.span.clone()],
                e.label.as_str(),
                e.probability,
                e.assertion.as_deref(),
            )
        })
        .collect()
}

#[test]
fn stated_probabilities_are_averaged_over_answers() {
    let task = built(
        "entities",
        "samples = 2\ntemperature = 1.0\n[probabilities]\nrule = \"stated\"\n",
    );
    let (a, b) = (
        said(good(0.9)),
        said(
            json!({"entities": [{"id": "x", "quote": "ulcer", "type": "Disease", "assertion": "present", "p": 0.7}]}),
        ),
    );
    let (row, tally) = entities(&task, &text(), &[&a, &b]).unwrap();
    assert_eq!(
        listed(&row),
        [
            ("Aspirin", "Chemical", 0.45, None),
            ("ulcer", "Disease", 0.8, Some("present")),
            ("rash", "Disease", 0.25, Some("negated"))
        ]
    );
    assert_eq!(
        (
            row.relations[0].head,
            row.relations[0].tail,
            row.relations[0].probability
        ),
        (0, 1, 0.35)
    );
    assert_eq!(row.rule, Some(Rule::Stated));
    assert!(tally.defects.is_empty());
    assert_eq!(tally.quotes[&How::Exact], 4);
}

#[test]
fn votes_are_counted_with_smoothing_and_the_assertion_is_the_commonest() {
    let task = built(
        "entities",
        "samples = 3\ntemperature = 1.0\n[probabilities]\nsmoothing = 0.5\n",
    );
    let ulcer = |assertion: &str| {
        said(
            json!({"entities": [{"id": "x", "quote": "ulcer", "type": "Disease", "assertion": assertion}]}),
        )
    };
    let answers = [ulcer("negated"), ulcer("present"), ulcer("present")];
    let (row, _) = entities(&task, &text(), &answers.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(listed(&row), [("ulcer", "Disease", 0.625, Some("present"))]); // (2 + 0.5) / (3 + 2 * 0.5)
    assert_eq!(row.rule, Some(Rule::Samples));
}

#[test]
fn log_probabilities_come_first_and_all_or_none_of_a_document() {
    let task = built("entities", "");
    let alternatives = BTreeMap::from([
        ("Chemical", vec![("Dis", 0.2)]),
        ("Disease", vec![("Ch", 0.1)]),
        ("present", vec![("neg", 0.5)]),
        ("negated", vec![]),
        ("causes", vec![("treats", 0.25)]),
    ]);
    let (row, _) = entities(&task, &text(), &[&sure(good(0.99), &alternatives)]).unwrap();
    assert_eq!(row.rule, Some(Rule::Logprobs));
    let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
    let p: Vec<f32> = row.entities.iter().map(|e| e.probability).collect();
    assert!(
        near(p[0], 0.8) && near(p[1], 0.9 * 0.5) && near(p[2], 0.9),
        "{p:?}"
    );
    assert!(near(row.relations[0].probability, 0.75));
    // One label without tokens: the whole document is read by the next rule.
    let mut partly = alternatives.clone();
    partly.remove("negated");
    let (row, _) = entities(&task, &text(), &[&sure(good(0.99), &partly)]).unwrap();
    assert_eq!(row.rule, Some(Rule::Stated));
    let only = built("entities", "[probabilities]\nrule = \"logprobs\"\n");
    assert!(entities(&only, &text(), &[&sure(good(0.99), &partly)]).is_err());
}

#[test]
fn what_cannot_be_used_is_counted_and_left_out() {
    let task = built("entities", "[probabilities]\nrule = \"stated\"\n");
    let answer = said(json!({
        "entities": [
            {"id": "e1", "quote": "Aspirin", "type": "Chemical", "p": 0.9},
            {"id": "e2", "quote": "heparin", "type": "Chemical", "p": 0.9},
            {"id": "e3", "quote": "ulcer", "type": "Gene", "p": 0.9},
            {"id": "e4", "quote": "ulcer", "type": "Disease", "assertion": "maybe", "p": 0.9},
            {"id": "e5", "quote": "ULCER", "type": "Disease", "assertion": "present", "p": 0.9},
            {"id": "e6", "quote": "rash", "type": "Disease", "assertion": "negated", "p": 7},
            {"id": "e7", "quote": "Aspirin", "context": "Aspirin did", "type": "Chemical", "p": 0.9},
            {"quote": "no type"},
        ],
        "relations": [
            {"head": "e1", "tail": "e4", "type": "causes", "p": 0.9},
            {"head": "e4", "tail": "e7", "type": "causes", "p": 0.9},
            {"head": "e7", "tail": "e4", "type": "cures", "p": 0.9},
            {"head": "e7", "tail": "e6", "type": "treats", "p": 0.9},
            {"head": "e7", "tail": "e4", "type": "causes"},
        ],
    }));
    let (row, tally) = entities(&task, &text(), &[&answer]).unwrap();
    assert_eq!(
        listed(&row),
        [
            ("ulcer", "Disease", 0.9, None),
            ("Aspirin", "Chemical", 0.9, None)
        ]
    );
    assert!(row.relations.is_empty());
    let expected = BTreeMap::from([
        ("the quote stands in the text more than once", 1),
        ("the quote does not stand in the text", 1),
        ("a mention's type is none of the schema's", 1),
        ("an assertion is missing or none of the schema's", 1),
        ("a mention is listed twice", 1),
        ("an element is not what was asked for", 1),
        (
            "a relation's mention is not in the list, or not in the text",
            1,
        ),
        ("a relation's mentions are not of its types", 1),
        ("a relation's type is none of the schema's", 1),
        ("a relation's mention has no probability", 1),
        ("`p` is missing or no probability", 2),
    ]);
    assert_eq!(tally.defects, expected);
    // The defects speak of the answer, never with its words.
    assert!(tally.defects.keys().all(|what| !what.contains("heparin")));
}

#[test]
fn a_text_without_a_question_has_a_row_without_a_rule() {
    let (row, tally) = entities(&built("entities", ""), &text(), &[]).unwrap();
    assert_eq!((row.entities.len(), row.rule), (0, None));
    assert_eq!(tally, Tally::default());
}

#[test]
fn a_mention_may_stand_for_every_place() {
    let task = built("entities", "[alignment]\nrepeats = \"every\"\n");
    let answer = said(json!({
        "entities": [{"id": "a", "quote": "Aspirin", "type": "Chemical", "p": 0.9}, {"id": "b", "quote": "rash", "type": "Disease", "assertion": "negated", "p": 0.9}],
        "relations": [{"head": "a", "tail": "b", "type": "treats", "p": 0.6}],
    }));
    let (row, _) = entities(&task, &text(), &[&answer]).unwrap();
    assert_eq!(
        row.entities
            .iter()
            .map(|e| e.span.start)
            .collect::<Vec<_>>(),
        [0, 25, 49]
    );
    // The nearest of the two.
    assert_eq!((row.relations[0].head, row.relations[0].tail), (1, 2));
}

fn concept(id: &str) -> Concept {
    Concept {
        id: id.into(),
        names: vec![id.into()],
    }
}

fn pair(head: &str, tail: &str, label: &str, evidence: &str, probabilities: Value) -> Value {
    json!({"head": head, "tail": tail, "label": label, "evidence": evidence, "probabilities": probabilities})
}

fn pairs_of(task: &Task, records: &[Record]) -> (PairLabels, Option<Rule>, Tally) {
    let sides = &Sides::of(task)[0];
    let (heads, tails) = ([concept("A")], [concept("U"), concept("R")]);
    let (row, tally) = pairs(
        task,
        &text(),
        sides,
        &heads,
        &tails,
        &records.iter().collect::<Vec<_>>(),
    )
    .unwrap();
    // What is written is read.
    let line = crate::teacher::line(&row).unwrap();
    let read = crate::teacher::parse(Path::new("t"), &line)
        .unwrap()
        .remove(0);
    assert_eq!(
        read.pairs.as_ref().unwrap().pairs.len(),
        row.pairs.as_ref().unwrap().pairs.len()
    );
    (row.pairs.unwrap(), row.rule, tally)
}

fn p(all: &[(&str, f32)]) -> Distribution {
    all.iter()
        .map(|(label, p)| ((*label).to_owned(), *p))
        .collect()
}

#[test]
fn pairs_have_the_distribution_that_is_stated_and_others_the_default() {
    let task = built("pairs", "[probabilities]\nunlisted_none = 0.96\n");
    let answer = said(json!({"pairs": [
        pair("C1", "C2", "causes", "aspirin caused an ulcer", json!({"none": 0.1, "causes": 0.85, "treats": 0.05})),
        pair("C1", "C2", "treats", "", json!({"none": 0.0, "causes": 0.0, "treats": 1.0})),
        pair("C2", "C3", "causes", "", json!({"none": 0.0, "causes": 1.0})),
        pair("C9", "C1", "causes", "", json!({"none": 0.0, "causes": 1.0})),
    ]}));
    let (found, rule, tally) = pairs_of(&task, &[answer]);
    assert_eq!(rule, Some(Rule::Stated));
    assert_eq!(
        found.default,
        p(&[("none", 0.96), ("causes", 0.02), ("treats", 0.02)])
    );
    assert_eq!(found.pairs.len(), 1);
    assert_eq!(
        (found.pairs[0].head.as_str(), found.pairs[0].tail.as_str()),
        ("A", "U")
    );
    assert_eq!(
        found.pairs[0].probabilities,
        p(&[("none", 0.1), ("causes", 0.85), ("treats", 0.05)])
    );
    assert_eq!(
        &TEXT[found.pairs[0].evidence.clone().unwrap()],
        "Aspirin caused an ulcer"
    );
    assert_eq!(
        tally.defects,
        BTreeMap::from([
            ("a pair is listed twice", 1),
            ("a pair is none of the question's", 2)
        ])
    );
}

#[test]
fn answers_that_leave_a_pair_out_count_as_the_default() {
    let two = "samples = 2\ntemperature = 1.0\n[probabilities]\nrule = \"stated\"\n";
    let answers = [
        said(
            json!({"pairs": [pair("C3", "C1", "treats", "", json!({"causes": 0.2, "treats": "0.7"}))]}),
        ),
        said(json!({"pairs": []})),
    ];
    let (found, ..) = pairs_of(&built("pairs", two), &answers);
    // Heads and tails follow from the types; "none" may go without saying.
    assert_eq!(
        (found.pairs[0].head.as_str(), found.pairs[0].tail.as_str()),
        ("A", "R")
    );
    assert_eq!(
        found.pairs[0].probabilities,
        p(&[("none", 0.535), ("causes", 0.1075), ("treats", 0.3575)])
    );

    let votes = built("pairs", "samples = 2\ntemperature = 1.0\n");
    let (found, rule, _) = pairs_of(&votes, &answers);
    assert_eq!(rule, Some(Rule::Samples));
    assert_eq!(
        found.pairs[0].probabilities,
        p(&[("none", 0.4782), ("causes", 0.0435), ("treats", 0.4783)])
    );
    assert_eq!(
        found.default,
        p(&[("none", 0.913), ("causes", 0.0435), ("treats", 0.0435)])
    );
}

#[test]
fn evidence_is_what_most_answers_for_the_likeliest_label_quote() {
    let task = built("pairs", "samples = 4\ntemperature = 1.0\n");
    let say = |label: &str, evidence: &str| {
        said(json!({"pairs": [pair("C1", "C2", label, evidence, Value::Null)]}))
    };
    let (found, _, tally) = pairs_of(
        &task,
        &[
            say("causes", "caused an ulcer"),
            say("causes", "Aspirin caused an ulcer"),
            say("causes", "Aspirin caused an ulcer"),
            say("treats", "did not cause a rash"),
        ],
    );
    assert_eq!(
        &TEXT[found.pairs[0].evidence.clone().unwrap()],
        "Aspirin caused an ulcer"
    );
    assert!(tally.defects.is_empty());
    let (found, _, tally) = pairs_of(
        &task,
        &[
            say("none", "caused"),
            say("none", ""),
            say("none", ""),
            say("causes", "Aspirin"),
        ],
    );
    assert_eq!(found.pairs[0].evidence, None);
    assert_eq!(
        tally.defects,
        BTreeMap::from([("the quote stands in the text more than once", 1)])
    );
}

#[test]
fn log_probabilities_of_pairs_are_read_at_their_labels() {
    let task = built("pairs", "");
    let content = json!({"pairs": [pair("C1", "C2", "causes", "", Value::Null), pair("C1", "C3", "none", "", Value::Null)]});
    let answer = sure(
        content,
        &BTreeMap::from([
            ("causes", vec![("none", 0.25)]),
            ("none", vec![("tr", 0.1)]),
        ]),
    );
    let (found, rule, _) = pairs_of(&task, &[answer]);
    assert_eq!(rule, Some(Rule::Logprobs));
    let near = |found: &Distribution, wanted: &[(&str, f32)]| {
        wanted.iter().all(|(l, p)| (found[*l] - p).abs() < 1e-3)
    };
    assert!(near(
        &found.pairs[0].probabilities,
        &[("causes", 0.75), ("none", 0.25)]
    ));
    assert!(near(
        &found.pairs[1].probabilities,
        &[("none", 0.9), ("treats", 0.1)]
    ));
    // No question, no rule; the default all the same.
    let (found, rule, _) = pairs_of(&task, &[]);
    assert_eq!((found.pairs.len(), rule), (0, None));
    assert_eq!(found.default["none"], 0.97);
}

#[test]
fn only_distributions_are_distributions() {
    let labels = ["none", "causes", "treats"];
    let said = |all: &[(&str, f64)]| {
        let pair = Pair {
            head: "C1".into(),
            tail: "C2".into(),
            label: answer::Label {
                name: "none".into(),
                at: None,
            },
            evidence: None,
            probabilities: Some(all.iter().map(|(l, p)| ((*l).to_owned(), *p)).collect()),
        };
        stated(&pair, &labels)
    };
    assert_eq!(
        said(&[("none", 0.5), ("causes", 0.5)]),
        Some(vec![0.5, 0.5, 0.0])
    );
    assert_eq!(said(&[("causes", 0.5)]), Some(vec![0.5, 0.5, 0.0]));
    assert_eq!(
        said(&[("none", 0.52), ("causes", 0.52)]),
        Some(vec![0.5, 0.5, 0.0])
    );
    for bad in [
        &[("none", 0.5)][..],
        &[("none", 1.2)],
        &[("none", 0.5), ("cures", 0.5)],
        &[("none", 0.9), ("causes", 0.9)],
        &[("none", -0.1), ("causes", 1.1)],
        &[("none", f64::NAN)],
    ] {
        assert_eq!(said(bad), None, "{bad:?}");
    }
}
