//! The rooms on two small documents and a stand-in model whose mistakes are known: see `eval/tests.rs`.

use std::fs;

use super::*;
use crate::ablate::Outcome;
use crate::eval::tests::{Fake, GOLD, SOFT};
use crate::eval::{DocumentCounts, Observed};
use crate::metrics::{Span, Tally};
use ablation::Ablation;
use against_teacher::{Disagreement, against_teacher};
use confusion::confusion;
use errors::{Scores, worst};
use reliability::curves;

/// The stand-in, measured; with `soft`, on a teacher's labels too.
fn measured(soft: bool) -> (Fake, Measured) {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, labels) = (
        folder.path().join("gold.txt"),
        folder.path().join("soft.jsonl"),
    );
    fs::write(&corpus, GOLD).unwrap();
    fs::write(&labels, SOFT).unwrap();
    let job = Job {
        corpus,
        format: crate::corpus::Format::Pubtator,
        options: Default::default(),
        map: Default::default(),
        relations_from: soft.then_some(labels),
    };
    let fake = Fake::new();
    let measured = eval::measure(&fake, &job, |_, _| {}).unwrap();
    (fake, measured)
}

/// Misses are scored by where they begin: byte 23 has 0.23.
struct ByPlace;

impl Scores for ByPlace {
    fn scores(&self, _: &Observed, spans: &[Span]) -> Vec<Option<f32>> {
        spans
            .iter()
            .map(|span| Some(span.start as f32 / 100.0))
            .collect()
    }
}

#[test]
fn what_is_taken_for_what_is_counted_by_hand() {
    let (fake, corpus_only) = measured(false);
    let c = confusion(&fake.manifest, &corpus_only);
    assert_eq!(c.entities.labels, ["Chemical", "Disease", "Gene", "none"]);
    // Valproate and the second Lithium are missed; "mania" is found a byte short.
    assert_eq!(
        c.entities.cells,
        [[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    );
    assert_eq!(c.boundaries, [0, 1, 0]);
    assert_eq!(c.relations.cells, [[1, 0, 0], [0, 0, 0], [1, 0, 0]]);
    let (_, with_labels) = measured(true);
    let c = confusion(&fake.manifest, &with_labels);
    assert_eq!(
        c.relations.cells,
        [[1, 0, 0], [0, 0, 1], [1, 0, 0]],
        "treats is known and missed"
    );
    assert!(
        c.html(&with_labels.report.gold_from)
            .contains("The corpus does not know treats")
    );
}

#[test]
fn scores_are_compared_with_what_is_right() {
    let (fake, measured) = measured(true);
    let curves = curves(&fake.manifest, &measured);
    let names: Vec<(&str, usize)> = curves
        .iter()
        .map(|c| (c.name.as_str(), c.now.decisions))
        .collect();
    assert_eq!(
        names,
        [
            ("Chemical", 1),
            ("Disease", 2),
            ("causes", 2),
            ("treats", 1)
        ]
    );
    // Chemical: 0.9 and right. Disease: 0.9 and 0.9, one right. causes: 0.9 right, 0.6 wrong. treats: 0.59 right.
    for (curve, error) in curves.iter().zip([0.1, 0.4, 0.5 * 0.1 + 0.5 * 0.6, 0.41]) {
        let found = curve.now.ece.unwrap().value;
        assert!((found - error).abs() < 1e-5, "{curve:?}");
    }
    let html = reliability::html(&curves);
    assert!(html.contains("not calibrated") && html.contains("causes, between gold entities"));
}

#[test]
fn teachers_are_compared_with_student_gold_and_each_other() {
    let (fake, measured) = measured(false);
    let folder = tempfile::tempdir().unwrap();
    let text = crate::recipe::tests::small(folder.path());
    let text = text.replace(
        "[[teachers]]\n",
        "[[teachers]]\npath = \"other.jsonl\"\n[[teachers]]\n",
    );
    fs::write(folder.path().join("soft.jsonl"), SOFT).unwrap();
    // The other teacher does not relate D002 with D014, nor with D015.
    let other = SOFT
        .replace("\"treats\":0.8", "\"treats\":0.2")
        .replace("\"causes\":0.8", "\"causes\":0.3");
    let other = other
        .replace("\"none\":0.1,\"causes\":0.1", "\"none\":0.7,\"causes\":0.1")
        .replace("\"none\":0.2", "\"none\":0.7");
    fs::write(folder.path().join("other.jsonl"), other).unwrap();
    fs::write(folder.path().join("r.toml"), text).unwrap();
    let recipe = Recipe::read(&folder.path().join("r.toml")).unwrap();
    let found = against_teacher(&recipe, &fake.manifest, &measured).unwrap();
    let files: Vec<&str> = found.teachers.iter().map(|t| t.file.as_str()).collect();
    assert_eq!(files, ["other.jsonl", "soft.jsonl"]);
    // Gold: Lithium causes tremor. The student adds Valproate causes tremor; soft.jsonl agrees with it, other.jsonl with gold.
    let counts = |n: usize| {
        let r = found.teachers[n].relations[0].right.unwrap();
        [r.both, r.only_teacher, r.only_student, r.none]
    };
    assert_eq!((counts(0), counts(1)), ([1, 1, 0, 0], [1, 0, 0, 1]));
    assert_eq!(
        found.teachers[1].relations[0].agreement,
        Counts::from([2, 0, 0])
    );
    let treats = &found.teachers[1].relations[1];
    assert_eq!(
        (treats.relation.as_str(), treats.right),
        ("treats", None),
        "no gold to judge by"
    );
    assert_eq!(treats.agreement, Counts::from([0, 0, 1]));
    let among = |label: &str, says| Disagreement {
        label: label.into(),
        teachers: ["other.jsonl".into(), "soft.jsonl".into()],
        documents: 1,
        says: Counts::from(says),
    };
    assert_eq!(
        found.disagreements,
        [among("causes", [1, 1, 0]), among("treats", [0, 1, 0])]
    );
    let html = found.html();
    assert!(html.contains("Teachers among themselves") && html.contains("only teacher"));
}

/// Document, first span, score, what is there instead.
type Brief = (String, (usize, usize), Option<f32>, String);

#[test]
fn the_worst_errors_come_first_and_bring_no_text_unasked() {
    let (fake, measured) = measured(true);
    let errors = worst(&fake.manifest, &measured, &ByPlace, false);
    let brief = |list: &[errors::Wrong]| -> Vec<Brief> {
        let one = |w: &errors::Wrong| (w.document.clone(), w.spans[0], w.score, w.instead.clone());
        list.iter().map(one).collect()
    };
    assert_eq!(
        brief(&errors.entities_wrong),
        [("1".into(), (40, 44), Some(0.9), "Disease 40–45".into())]
    );
    assert_eq!(
        brief(&errors.entities_missed),
        [
            ("2".into(), (0, 7), Some(0.0), "nothing".into()),
            ("1".into(), (23, 32), Some(0.23), "nothing".into()),
            ("1".into(), (40, 45), Some(0.4), "Disease 40–44".into()),
        ]
    );
    assert_eq!(
        errors.relations_wrong[0].spans,
        [(23, 32), (15, 21)],
        "head, then tail"
    );
    assert_eq!(errors.relations_missed[0].score, Some(0.59));
    let json = serde_json::to_string(&errors).unwrap() + &errors.html(false);
    for word in ["Valproate", "mania", "Lithium", "tremor", "helped"] {
        assert!(!json.contains(word), "{word} is the document's");
    }
    let told = worst(&fake.manifest, &measured, &ByPlace, true);
    assert_eq!(told.entities_wrong[0].text[0][1], "mani");
    assert!(
        told.html(true)
            .contains("caused tremor. <strong>Valproate</strong> helped"),
        "{}",
        told.html(true)
    );
}

fn outcome(hits: [usize; 3]) -> Outcome {
    let document = |n: usize| DocumentCounts {
        id: n.to_string(),
        ner: tally(&[hits, [1, 1, 1]]),
        gold_entities: tally(&[hits]),
        end_to_end: tally(&[hits]),
    };
    Outcome {
        bundle: "00".into(),
        entity_types: vec!["A".into(), "B".into()],
        relation_types: vec!["causes".into()],
        measured: vec!["causes".into()],
        documents: (0..20).map(document).collect(),
    }
}

fn tally(counts: &[[usize; 3]]) -> Tally {
    serde_json::from_value(serde_json::json!(counts)).unwrap()
}

#[test]
fn arms_are_compared_in_words_and_figures() {
    let arms = ["gold", "response", "late"].map(|name| (name.to_owned(), format!("<{name}>")));
    let mut outcomes = Vec::new();
    for seed in [1, 2, 3] {
        outcomes.push(("gold".to_owned(), seed, outcome([5, 5, 5])));
        outcomes.push((
            "response".to_owned(),
            seed,
            outcome([5 + seed as usize, 5, 5]),
        ));
    }
    outcomes.push(("late".to_owned(), 2, outcome([9, 5, 5])));
    let new = |outcomes| Ablation::new("int8", arms.to_vec(), outcomes, vec!["late-1".into()]);
    let ablation = new(outcomes.clone()).unwrap();
    let names: Vec<&str> = ablation.figures.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "entities",
            "entities: A",
            "entities: B",
            "causes, gold entities",
            "causes, end to end"
        ]
    );
    let [gold, response, late] = ablation.figures[3].arms.as_slice() else {
        panic!()
    };
    assert_eq!((gold.median, gold.difference.as_ref()), (Some(0.5), None));
    // 2·7 / (2·7 + 10) at the median seed.
    assert!((response.median.unwrap() - 14.0 / 24.0).abs() < 1e-6);
    assert!(response.difference.as_ref().unwrap().excludes_zero);
    let difference = late.difference.as_ref().unwrap();
    assert!(difference.by_seed.len() == 1 && !difference.excludes_zero);
    let same = &ablation.figures[2].arms[1].difference.as_ref().unwrap();
    assert!(
        !same.one_sign && same.median == 0.0,
        "equal everywhere is no gain"
    );
    let text = ablation.text();
    for words in [
        "a gain: its spread excludes 0",
        "not shown: only 1 seeds",
        "not shown: seeds differ in sign",
        "Not there yet: late-1.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(ablation.html().contains("&lt;response&gt;"));
    let back: Ablation = serde_json::from_slice(&pretty(&ablation).unwrap()).unwrap();
    assert_eq!(back, ablation);

    outcomes[1].2.documents.pop();
    let error = new(outcomes).unwrap_err().to_string();
    assert!(
        error.contains("response-1 was measured on other documents"),
        "{error}"
    );
    assert!(
        new(Vec::new())
            .unwrap_err()
            .to_string()
            .contains("nothing can be compared")
    );
}
