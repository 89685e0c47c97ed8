//! What becomes of good answers.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use distill::teacher::Rule;
use serde_json::json;

use crate::mini::{distill, stderr};
use crate::place::{Gold, Place, documents, gold_server};
use crate::server::{Act, Server, answer, completion};

#[test]
fn a_corpus_is_labelled_and_the_labels_are_read() {
    let server = gold_server();
    let place = Place::new(&server.base_url(), "entities", "");
    let said = place.run("out", &[], 0);
    assert!(
        said.contains("24 documents (")
            && said.contains(&format!(
                "go to {}, which is this machine; model m; 24 requests",
                server.address
            )),
        "{said}"
    );
    assert!(said.contains("1/24 answers, 100 + 20 tokens"), "{said}");
    let rows = place.labels("out");
    let documents = documents();
    assert_eq!(rows.len(), documents.len());
    for (row, document) in rows.iter().zip(&documents) {
        assert_eq!(
            (&row.id, &row.text, row.rule),
            (&document.id, &document.text, Some(Rule::Stated))
        );
        assert_eq!(
            (row.corpus.as_deref(), row.split.as_deref()),
            (Some("mini"), Some("train"))
        );
        let found: BTreeSet<(usize, usize, &str)> = row
            .entities
            .iter()
            .map(|e| (e.span.start, e.span.end, e.label.as_str()))
            .collect();
        let gold: BTreeSet<(usize, usize, &str)> = document
            .mentions
            .iter()
            .map(|m| (m.start, m.end, m.label.as_str()))
            .collect();
        assert_eq!(found, gold);
        assert!(row.relations.iter().all(|r| r.probability == 0.6));
    }
    let report = place.report("out");
    assert_eq!(
        (
            &report["rows"],
            &report["tokens"]["prompt"],
            &report["failed"]
        ),
        (&json!(24), &json!(2400), &json!([]))
    );
    for file in ["out/answers.jsonl", "out/labels.jsonl", "out/report.json"] {
        let mode = std::fs::metadata(place.path(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // All is kept: nothing is asked again, nothing changes.
    let before = place.bytes("out/labels.jsonl");
    server.forget();
    place.run("out", &[], 0);
    assert_eq!(
        (server.seen().len(), place.bytes("out/labels.jsonl")),
        (0, before)
    );
    // Another question is another answer.
    place.task(&server.base_url(), "entities", "max_tokens = 999");
    place.run("out", &["--limit", "3"], 0);
    assert_eq!((server.seen().len(), place.labels("out").len()), (3, 3));
}

#[test]
fn pairs_of_concepts_are_labelled() {
    let gold = Gold::new();
    let server = Server::new(move |request| answer(&gold.pairs(request).to_string()));
    let place = Place::new(&server.base_url(), "pairs", "");
    place.run("out", &[], 0);
    let rows = place.labels("out");
    assert_eq!(rows.len(), 24);
    let (mut listed, mut unknown) = (0, 0);
    for (row, document) in rows.iter().zip(documents()) {
        let pairs = row.pairs.as_ref().unwrap();
        assert_eq!(
            (pairs.head_type.as_str(), pairs.tail_type.as_str()),
            ("Chemical", "Disease")
        );
        assert_eq!(pairs.default["none"], 0.97);
        let first = |label: &str| {
            document
                .mentions
                .iter()
                .filter(|m| m.label == label)
                .flat_map(|m| &m.concepts)
                .next()
        };
        for pair in &pairs.pairs {
            listed += 1;
            assert_eq!(
                (Some(&pair.head), Some(&pair.tail)),
                (first("Chemical"), first("Disease"))
            );
            assert_eq!(pair.probabilities["causes"], 0.8);
            // One title stands in its text twice: which place is meant, nobody knows.
            let title = row.text.split_once('.').unwrap().0;
            let known = row.text.matches(title).count() == 1;
            let evidence = pair.evidence.clone().map(|e| &row.text[e]);
            assert_eq!(evidence, known.then_some(title));
            unknown += usize::from(!known);
        }
    }
    // A text without a concept on either side is a row without a question.
    assert_eq!(server.seen().len(), listed);
    assert!((20..=24).contains(&listed));
    assert_eq!(unknown, 1);
    let ambiguous =
        &place.report("out")["defect_counts"]["the quote stands in the text more than once"];
    assert_eq!(*ambiguous, json!(1));
    assert!(
        server
            .seen()
            .iter()
            .all(|r| !r.body.to_string().contains("D900")),
        "ids stay here"
    );
}

/// A pair's answer as tokens: the label as one token with alternatives.
fn with_logprobs(content: &str, label: &str, others: &[(&str, f64)]) -> Act {
    let at = content.find(&format!("\"{label}\"")).unwrap() + 1;
    let token =
        |text: &str, p: f64| json!({"token": text, "bytes": text.as_bytes(), "logprob": p.ln()});
    let mut chosen = token(label, 1.0 - others.iter().map(|(_, p)| p).sum::<f64>());
    chosen["top_logprobs"] = others.iter().map(|(text, p)| token(text, *p)).collect();
    let pieces = [
        token("<think>hm</think>", 1.0),
        token(&content[..at], 1.0),
        chosen,
        token(&content[at + label.len()..], 1.0),
    ];
    completion(
        json!({"message": {"content": content}, "finish_reason": "stop", "logprobs": {"content": pieces}}),
    )
}

#[test]
fn log_probabilities_and_samples_become_distributions() {
    let gold = Gold::new();
    let server = Server::new(move |request| {
        with_logprobs(
            &gold.pairs(request).to_string(),
            "causes",
            &[("none", 0.2), ("tre", 0.1)],
        )
    });
    let place = Place::new(&server.base_url(), "pairs", "");
    place.run("out", &["--limit", "3"], 0);
    assert_eq!(server.seen()[0].body["top_logprobs"], json!(20));
    for row in place.labels("out") {
        assert_eq!(row.rule, Some(Rule::Logprobs));
        let p = &row.pairs.unwrap().pairs[0].probabilities;
        assert!(
            (p["causes"] - 0.7).abs() < 1e-3
                && (p["none"] - 0.2).abs() < 1e-3
                && (p["treats"] - 0.1).abs() < 1e-3,
            "{p:?}"
        );
    }
    // Every document is asked five times; one answer says something else.
    let gold = Gold::new();
    let server = Server::new(move |request| {
        let odd = request.body["seed"] == json!(7 + 3);
        answer(
            &gold
                .pairs(request)
                .to_string()
                .replace("causes", if odd { "treats" } else { "causes" }),
        )
    });
    let place = Place::new(
        &server.base_url(),
        "pairs",
        "samples = 5\ntemperature = 0.8\nseed = 7",
    );
    place.run("out", &["--limit", "3"], 0);
    assert_eq!(server.seen().len(), 15);
    for row in place.labels("out") {
        assert_eq!(row.rule, Some(Rule::Samples));
        let p = &row.pairs.unwrap().pairs[0].probabilities;
        assert!(
            (p["causes"] - 4.1 / 5.3).abs() < 1e-3 && (p["treats"] - 1.1 / 5.3).abs() < 1e-3,
            "{p:?}"
        );
    }
    // A server without log-probabilities, where only they will do.
    let place = Place::new(
        &server.base_url(),
        "pairs",
        "[probabilities]\nrule = \"logprobs\"",
    );
    let said = place.run("out", &[], 1);
    assert!(said.contains("gives no log-probabilities"), "{said}");
}

#[test]
fn the_order_of_answers_does_not_change_the_labels() {
    let gold = Gold::new();
    // The first are answered last.
    let server = Server::new(move |request| {
        Act::Late(
            Duration::from_millis(200u64.saturating_sub(8 * request.before as u64)),
            Box::new(answer(&gold.entities(request).to_string())),
        )
    });
    let many = Place::new(&server.base_url(), "entities", "parallel = 16");
    many.run("out", &[], 0);
    let one = Place::new(&gold_server().base_url(), "entities", "parallel = 1");
    one.run("out", &[], 0);
    assert!(many.bytes("out/labels.jsonl") == one.bytes("out/labels.jsonl"));
    assert_eq!(many.bytes("out/report.json"), one.bytes("out/report.json"));
    assert_ne!(
        many.bytes("out/answers.jsonl"),
        one.bytes("out/answers.jsonl")
    );
}

#[test]
fn a_rate_is_kept() {
    let server = gold_server();
    let place = Place::new(
        &server.base_url(),
        "entities",
        "requests_per_minute = 600\nparallel = 4",
    );
    place.run("out", &["--limit", "8"], 0);
    let times: Vec<Instant> = server.seen().iter().map(|r| r.at).collect();
    let took = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    assert!(took >= Duration::from_millis(650), "{took:?}");
}

#[test]
fn the_examples_are_tasks() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for (task, documents, requests) in
        [("label-notes.toml", 2, 2), ("label-pairs.toml", 24, 5 * 24)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut command = distill();
        command
            .arg("label")
            .arg("--task")
            .arg(examples.join(task))
            .arg("--out")
            .arg(folder.path().join("out"))
            .args(["--dry-run", "--show-prompt"]);
        let output = command.output().unwrap();
        let said = stderr(&output, 0);
        let (texts, rest) = said.split_once(" documents (").unwrap();
        assert!(texts.ends_with(&format!(" {documents}")), "{said}");
        let asked: usize = rest
            .split_once("; ")
            .unwrap()
            .1
            .split_once("; ")
            .unwrap()
            .1
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!((requests..2 * requests).contains(&asked), "{said}");
        let prompt = String::from_utf8(output.stdout).unwrap();
        assert_eq!(prompt.matches("--- user\n").count(), 2, "{prompt}");
        assert_eq!(prompt.matches("--- assistant\n").count(), 1);
    }
}
