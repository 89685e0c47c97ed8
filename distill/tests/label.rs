//! `distill label` against a server of our own: what it asks, what it makes of good and bad answers, and what it survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;
mod server;

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use distill::corpus::{Document, pubtator};
use distill::teacher::{self, Labels, Rule};
use mini::{data, distill, stderr};
use serde_json::{Value, json};
use server::{Act, Request, Server, answer, completion, json_body};

/// A folder with a task, and the program on it.
struct Place(tempfile::TempDir);

const SCHEMA: &str = r#"
[[schema.entities]]
name = "Chemical"
definition = "A substance."

[[schema.entities]]
name = "Disease"
definition = "A disease, symptom or sign."

[[schema.relations]]
name = "causes"
definition = "The chemical brings the disease about."
head = ["Chemical"]
tail = ["Disease"]

[[schema.relations]]
name = "treats"
definition = "The chemical is given against the disease."
head = ["Chemical"]
tail = ["Disease"]

[[texts]]
path = "mini.pubtator"
format = "pubtator"
corpus = "mini"
split = "train"

[alignment]
repeats = "every"
"#;

impl Place {
    /// Labels `mini.pubtator`; `endpoint` is the rest of its section.
    fn new(base_url: &str, mode: &str, endpoint: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::copy(data().join("mini.pubtator"), place.path("mini.pubtator")).unwrap();
        place.task(base_url, mode, endpoint);
        place
    }

    fn task(&self, base_url: &str, mode: &str, endpoint: &str) {
        let text = format!(
            "mode = \"{mode}\"\n{SCHEMA}\n[endpoint]\nbase_url = \"{base_url}\"\nmodel = \"m\"\nbackoff_seconds = 0.02\n{endpoint}"
        );
        std::fs::write(self.path("task.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn label(&self, out: &str, more: &[&str]) -> Command {
        let mut command = distill();
        command
            .arg("label")
            .arg("--task")
            .arg(self.path("task.toml"))
            .arg("--out")
            .arg(self.path(out))
            .args(more);
        command
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .env_remove("ALL_PROXY")
            .env_remove("all_proxy");
        command
    }

    /// Runs it; what it said, which never holds a word of a text.
    fn run(&self, out: &str, more: &[&str], code: i32) -> String {
        quiet(&self.label(out, more).output().unwrap(), code)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn labels(&self, out: &str) -> Vec<Labels> {
        teacher::read(&self.path(out).join("labels.jsonl")).unwrap()
    }

    fn report(&self, out: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("{out}/report.json"))).unwrap()
    }
}

fn quiet(output: &Output, code: i32) -> String {
    let said = stderr(output, code);
    for word in ["spirin", "ulcer", "phantom"] {
        assert!(!said.contains(word), "a text is quoted: {said}");
    }
    said
}

fn documents() -> Vec<Document> {
    pubtator::read(&data().join("mini.pubtator"))
        .unwrap()
        .documents
}

/// A teacher who knows the gold mentions of the texts by heart.
struct Gold(HashMap<String, Document>);

impl Gold {
    fn new() -> Gold {
        Gold(
            documents()
                .into_iter()
                .map(|d| (d.text.clone(), d))
                .collect(),
        )
    }

    /// The answer of mode `entities`.
    fn entities(&self, request: &Request) -> Value {
        let document = &self.0[request.document()];
        let named: BTreeSet<(&str, &str)> = document
            .mentions
            .iter()
            .map(|m| (&document.text[m.start..m.end], m.label.as_str()))
            .collect();
        let entities: Vec<Value> = named
            .iter()
            .enumerate()
            .map(|(n, (quote, label))| json!({"id": n, "quote": quote, "type": label, "p": 0.9}))
            .collect();
        let first = |label: &str| named.iter().position(|(_, l)| *l == label);
        let relations: Vec<Value> = first("Chemical")
            .zip(first("Disease"))
            .map(|(head, tail)| json!({"head": head, "tail": tail, "type": "treats", "p": 0.6}))
            .into_iter()
            .collect();
        json!({"entities": entities, "relations": relations})
    }

    /// The answer of mode `pairs`: the first concept of each side, with the title as evidence.
    fn pairs(&self, request: &Request) -> Value {
        let question = request.question();
        let tail = question
            .split("\n\nDisease:\n")
            .nth(1)
            .unwrap()
            .split(':')
            .next()
            .unwrap();
        let title = request.document().split_once('.').unwrap().0;
        json!({"pairs": [{"head": "C1", "tail": tail, "evidence": title, "label": "causes", "probabilities": {"none": 0.1, "causes": 0.8, "treats": 0.1}}]})
    }
}

fn gold_server() -> Server {
    let gold = Gold::new();
    Server::new(move |request| answer(&gold.entities(request).to_string()))
}

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

#[test]
fn every_fault_is_survived_and_leaves_no_trace() {
    let clean = Place::new(&gold_server().base_url(), "entities", "");
    clean.run("out", &["--limit", "2"], 0);
    let expected = clean.bytes("out/labels.jsonl");
    type Fault = Box<dyn Fn(&str) -> Act + Send + Sync>;
    let status = |code, headers: Vec<(&'static str, String)>| {
        Box::new(move |_: &str| {
            Act::Reply(
                code,
                headers.clone(),
                "text/plain",
                b"the phantom said Aspirin".to_vec(),
            )
        }) as Fault
    };
    let in_3_s = || httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3));
    let text = |f: fn(&str) -> String| Box::new(move |good: &str| answer(&f(good))) as Fault;
    let faults: Vec<(&str, usize, Duration, Fault)> = vec![
        (
            "fenced",
            0,
            Duration::ZERO,
            text(|good| format!("Here you are:\n```json\n{good}\n```\nAnything else?")),
        ),
        (
            "reasoning first",
            0,
            Duration::ZERO,
            text(|good| format!("<think>{{\"entities\": []}}?</think>\n{good}")),
        ),
        (
            "malformed",
            1,
            Duration::ZERO,
            text(|good| good.replace(['}', ']'], "")),
        ),
        (
            "refusing",
            1,
            Duration::ZERO,
            text(|_| "I would rather not.".to_owned()),
        ),
        ("empty", 1, Duration::ZERO, text(|_| " ".to_owned())),
        (
            "cut off",
            1,
            Duration::ZERO,
            Box::new(|good| {
                completion(json!({"message": {"content": good}, "finish_reason": "length"}))
            }),
        ),
        (
            "no choice",
            1,
            Duration::ZERO,
            Box::new(|_| json_body(200, json!({"choices": []}))),
        ),
        (
            "no completion",
            1,
            Duration::ZERO,
            Box::new(|_| json_body(200, json!([1, 2]))),
        ),
        (
            "half JSON",
            1,
            Duration::ZERO,
            Box::new(|_| {
                Act::Reply(
                    200,
                    vec![],
                    "application/json",
                    b"{\"choices\": [{\"mess".to_vec(),
                )
            }),
        ),
        (
            "not JSON by its type",
            1,
            Duration::ZERO,
            Box::new(|_| Act::Reply(200, vec![], "text/html", b"<h1>phantom</h1>".to_vec())),
        ),
        (
            "429 with seconds",
            1,
            Duration::from_millis(1000),
            status(429, vec![("retry-after", "1".into())]),
        ),
        (
            "503 with a date",
            1,
            Duration::from_millis(500),
            Box::new(move |_| {
                Act::Reply(
                    503,
                    vec![("retry-after", in_3_s())],
                    "text/plain",
                    Vec::new(),
                )
            }),
        ),
        ("500", 1, Duration::ZERO, status(500, vec![])),
        (
            "hanging",
            1,
            Duration::from_millis(500),
            Box::new(|_| Act::Hang(Duration::from_secs(3))),
        ),
        (
            "closed at once",
            1,
            Duration::ZERO,
            Box::new(|_| Act::Bytes(Vec::new())),
        ),
        (
            "closed in the middle",
            1,
            Duration::ZERO,
            Box::new(|_| {
                Act::Bytes(b"HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"cho".to_vec())
            }),
        ),
        (
            "no HTTP",
            1,
            Duration::ZERO,
            Box::new(|_| Act::Bytes(b"220 mail phantom\r\n\r\n".to_vec())),
        ),
        (
            "endless",
            1,
            Duration::ZERO,
            Box::new(|_| Act::Endless(34 << 20)),
        ),
    ];
    for (name, again, least, fault) in faults {
        let gold = Gold::new();
        let server = Server::new(move |request| {
            let good = gold.entities(request).to_string();
            if request.same_before == 0 {
                fault(&good)
            } else {
                answer(&good)
            }
        });
        let endpoint = if name == "hanging" {
            "timeout_seconds = 0.5\nparallel = 2"
        } else {
            "timeout_seconds = 60\nparallel = 1"
        };
        let place = Place::new(&server.base_url(), "entities", endpoint);
        let start = Instant::now();
        place.run("out", &["--limit", "2"], 0);
        assert!(start.elapsed() >= least, "{name}");
        assert_eq!(server.seen().len(), 2 * (1 + again), "{name}");
        assert!(place.bytes("out/labels.jsonl") == expected, "{name}");
    }
}

#[test]
fn a_document_without_an_answer_is_listed_and_asked_again_later() {
    let healthy = Arc::new(AtomicBool::new(false));
    let (gold, now) = (Gold::new(), Arc::clone(&healthy));
    let third = documents()[2].text.clone();
    let server = Server::new(move |request| {
        if request.document() == third && !now.load(Ordering::Relaxed) {
            return answer("phantom words about Aspirin");
        }
        answer(&gold.entities(request).to_string())
    });
    let place = Place::new(&server.base_url(), "entities", "tries = 3");
    let said = place.run("out", &["--limit", "5"], 1);
    let id = &documents()[2].id;
    assert!(
        said.contains(&format!(
            "1 rows have no labels, the first of document {id}: the answer holds no JSON"
        )),
        "{said}"
    );
    assert_eq!(server.seen().len(), 4 + 3);
    assert_eq!(place.labels("out").len(), 4);
    assert_eq!(place.report("out")["failed"][0]["id"], json!(id));
    healthy.store(true, Ordering::Relaxed);
    server.forget();
    place.run("out", &["--limit", "5"], 0);
    assert_eq!(server.seen().len(), 1);
    let whole = Place::new(&gold_server().base_url(), "entities", "tries = 3");
    whole.run("out", &["--limit", "5"], 0);
    assert!(place.bytes("out/labels.jsonl") == whole.bytes("out/labels.jsonl"));
}

#[test]
fn what_no_document_can_be_asked_ends_the_run() {
    for (status, why, requests) in [
        (401, "api_key_env", 1),
        (404, "base_url usually ends in /v1", 1),
        (400, "10 questions in a row", 10),
        (500, "10 questions in a row", 20),
    ] {
        let server = Server::new(move |_| {
            Act::Reply(
                status,
                vec![],
                "application/json",
                b"{\"error\": \"phantom\"}".to_vec(),
            )
        });
        let place = Place::new(&server.base_url(), "entities", "tries = 2\nparallel = 1");
        let said = place.run("out", &[], 1);
        assert!(said.contains(why) && said.contains("refused.txt"), "{said}");
        assert_eq!(place.bytes("out/refused.txt"), b"{\"error\": \"phantom\"}");
        // One more may have been taken before the end was decided.
        assert!(
            (requests..=requests + 1).contains(&server.seen().len()),
            "{status}: {}",
            server.seen().len()
        );
        assert!(!place.path("out/labels.jsonl").exists());
    }
    let place = Place::new("http://127.0.0.1:1/v1", "entities", "tries = 1");
    let said = place.run("out", &[], 1);
    assert!(said.contains("the connection failed"), "{said}");
}

#[test]
fn redirects_are_not_followed() {
    let other = gold_server();
    let url = format!("{}/chat/completions", other.base_url());
    let server = Server::new(move |_| {
        Act::Reply(
            307,
            vec![("location", url.clone())],
            "application/json",
            Vec::new(),
        )
    });
    let place = Place::new(&server.base_url(), "entities", "");
    let said = place.run("out", &[], 1);
    assert!(
        said.contains("status 307") && said.contains("not followed"),
        "{said}"
    );
    assert!(other.seen().is_empty());
}

#[test]
fn invented_mentions_and_labels_are_listed_by_document_and_never_quoted() {
    let server = Server::new(|_| {
        answer(
            &json!({
                "entities": [
                    {"id": "a", "quote": "phantomycin", "type": "Chemical", "p": 0.9},
                    {"id": "b", "quote": "Aspirin", "type": "Phantom", "p": 0.9},
                    {"id": "c", "quote": "Aspirin", "type": "Chemical", "p": 0.9},
                ],
                "relations": [{"head": "a", "tail": "c", "type": "treats", "p": 0.5}, {"head": "c", "tail": "c", "type": "haunts", "p": 0.5}],
            })
            .to_string(),
        )
    });
    let place = Place::new(&server.base_url(), "entities", "");
    let said = place.run("out", &["--limit", "1"], 0);
    assert!(
        said.contains("1 x the quote does not stand in the text"),
        "{said}"
    );
    let report = place.report("out");
    let id = &documents()[0].id;
    assert_eq!(report["defects"].as_array().unwrap().len(), 4);
    assert!(
        report["defects"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["id"] == json!(id) && d["times"] == json!(1))
    );
    assert!(!report.to_string().contains("hantom"), "{report}");
    assert_eq!(place.labels("out")[0].entities.len(), 1);
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

/// Waits until the server has seen so many requests.
fn wait_for(server: &Server, requests: usize, child: &mut Child) {
    let start = Instant::now();
    while server.seen().len() < requests {
        assert!(start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SAMPLED: &str = "samples = 3\ntemperature = 0.5\nseed = 1\nparallel = 4";

fn slow_server() -> Server {
    let gold = Gold::new();
    Server::new(move |request| {
        Act::Late(
            Duration::from_millis(30),
            Box::new(answer(&gold.entities(request).to_string())),
        )
    })
}

/// Answers in the journal, and how often each question was put.
fn kept(place: &Place) -> usize {
    let journal = String::from_utf8(place.bytes("out/answers.jsonl")).unwrap();
    journal.matches('\n').count().saturating_sub(1)
}

#[test]
fn a_killed_run_goes_on_and_asks_nothing_twice_that_was_kept() {
    let whole = Place::new(&slow_server().base_url(), "entities", SAMPLED);
    whole.run("out", &[], 0);
    let server = slow_server();
    let place = Place::new(&server.base_url(), "entities", SAMPLED);
    let mut saved = 0;
    for requests in [10, 30, 55] {
        let mut child = place.label("out", &[]).spawn().unwrap();
        wait_for(&server, requests, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(kept(&place) > saved, "nothing was kept");
        saved = kept(&place);
    }
    // What `kill -9` in the middle of a write leaves.
    let mut torn = place.bytes("out/answers.jsonl");
    torn.extend_from_slice(b"{\"key\":\"00");
    std::fs::write(place.path("out/answers.jsonl"), torn).unwrap();
    let before = server.seen();
    place.run("out", &[], 0);
    let after = server.seen();
    assert_eq!(after.len() - before.len(), 72 - saved);
    let mut counts: HashMap<String, usize> = HashMap::new();
    after
        .iter()
        .for_each(|r| *counts.entry(r.asked()).or_default() += 1);
    assert_eq!(counts.len(), 72);
    // At each of three kills, four may have been under way.
    let twice: usize = counts.values().map(|n| n - 1).sum();
    assert_eq!(twice, after.len() - 72);
    assert!(twice <= 12, "{twice} were asked again");
    assert!(place.bytes("out/labels.jsonl") == whole.bytes("out/labels.jsonl"));
    assert_eq!(
        place.bytes("out/report.json"),
        whole.bytes("out/report.json")
    );
}

#[test]
fn a_signal_keeps_what_is_under_way_and_the_same_command_goes_on() {
    for signal in ["TERM", "INT"] {
        let server = slow_server();
        let place = Place::new(&server.base_url(), "entities", SAMPLED);
        let mut child = place.label("out", &[]).spawn().unwrap();
        wait_for(&server, 12, &mut child);
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let said = quiet(&child.wait_with_output().unwrap(), 0);
        assert!(
            said.contains("stopped; the answers so far are kept"),
            "{said}"
        );
        assert!(!place.path("out/labels.jsonl").exists());
        assert_eq!(
            kept(&place),
            server.seen().len(),
            "what was sent was waited for"
        );
        place.run("out", &[], 0);
        assert_eq!(server.seen().len(), 72, "nothing was asked twice");
    }
    // A server that hangs does not keep a stopped run from ending.
    let server = Server::new(|_| Act::Hang(Duration::from_secs(120)));
    let place = Place::new(&server.base_url(), "entities", "");
    let mut child = place.label("out", &[]).spawn().unwrap();
    wait_for(&server, 1, &mut child);
    let start = Instant::now();
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    quiet(&child.wait_with_output().unwrap(), 0);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let server = Server::new(|_| Act::Hang(Duration::from_secs(60)));
    let place = Place::new(&server.base_url(), "entities", "");
    let mut child = place.label("out", &[]).spawn().unwrap();
    wait_for(&server, 1, &mut child);
    let said = place.run("out", &[], 1);
    assert!(said.contains("another distill is writing here"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_leaves_the_machine_unless_it_may() {
    let place = Place::new("https://192.0.2.1/v1", "entities", "");
    let said = place.run("out", &[], 2);
    assert!(
        said.contains(
            "192.0.2.1 is not this machine: the text of 24 documents would leave it; --allow-remote"
        ),
        "{said}"
    );
    assert!(!place.path("out").exists());
    let output = place.label("out", &["--dry-run"]).output().unwrap();
    let said = quiet(&output, 0);
    assert!(
        said.contains("THE TEXT OF 24 DOCUMENTS LEAVES THIS MACHINE")
            && said.contains("192.0.2.1, encrypted"),
        "{said}"
    );
    assert!(output.stdout.is_empty() && !place.path("out").exists());
    // The prompt holds the text, so it goes to stdout, and only when asked for.
    let output = place
        .label("out", &["--dry-run", "--show-prompt"])
        .output()
        .unwrap();
    quiet(&output, 0);
    let prompt = String::from_utf8(output.stdout).unwrap();
    assert!(
        prompt.contains("Aspirin caused gastric ulcer")
            && prompt.contains("A disease, symptom or sign."),
        "{prompt}"
    );
    assert_eq!(
        place
            .label("out", &["--show-prompt"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    // A dry run sends nothing, wherever the server is.
    let server = gold_server();
    place.task(
        &server.base_url(),
        "entities",
        "[prices]\nprompt_per_million = 1000.0\ncompletion_per_million = 0.0\ncurrency = \"EUR\"",
    );
    let said = place.run("out", &["--dry-run"], 0);
    assert!(
        said.contains("would send") && said.contains("EUR"),
        "{said}"
    );
    assert!(server.seen().is_empty());
}

#[test]
fn proxies_are_for_other_machines() {
    let gold = Gold::new();
    let proxy = Server::new(move |request| answer(&gold.entities(request).to_string()));
    let url = format!("http://{}", proxy.address);
    // To this machine: not through it.
    let server = gold_server();
    let place = Place::new(&server.base_url(), "entities", "");
    let mut command = place.label("out", &["--limit", "2"]);
    quiet(
        &command
            .env("HTTP_PROXY", &url)
            .env("ALL_PROXY", &url)
            .output()
            .unwrap(),
        0,
    );
    assert_eq!((proxy.seen().len(), server.seen().len()), (0, 2));
    // To another one: through it, and that is said. The name is resolved by nobody.
    place.task("http://teacher.invalid:8000/v1", "entities", "tries = 1");
    let mut command = place.label("other", &["--limit", "2", "--allow-remote"]);
    let output = command
        .env("ALL_PROXY", &url)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = quiet(&output, output.status.code().unwrap());
    assert!(
        said.contains("teacher.invalid:8000, NOT ENCRYPTED")
            && said.contains(&format!("through the proxy {}", proxy.address)),
        "{said}"
    );
    assert!(!proxy.seen().is_empty());
}

#[test]
fn the_key_is_sent_and_stands_nowhere() {
    let server = gold_server();
    let place = Place::new(
        &server.base_url(),
        "entities",
        "api_key_env = \"DISTILL_TEST_KEY\"",
    );
    let said = place.run("out", &[], 3);
    assert!(
        said.contains("DISTILL_TEST_KEY") && said.contains("is not set"),
        "{said}"
    );
    let mut command = place.label("out", &["--limit", "2"]);
    let said = quiet(
        &command
            .env("DISTILL_TEST_KEY", "sesame-42")
            .output()
            .unwrap(),
        0,
    );
    assert!(
        server
            .seen()
            .iter()
            .all(|r| r.headers["authorization"] == "Bearer sesame-42")
    );
    assert!(!said.contains("sesame"));
    for file in ["answers.jsonl", "labels.jsonl", "report.json"] {
        let text = String::from_utf8(place.bytes(&format!("out/{file}"))).unwrap();
        assert!(!text.contains("sesame"), "{file}");
    }
}

/// A server at https://localhost with the certificate of the test data.
fn secure_server() -> Server {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_file(data().join("localhost-cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data().join("localhost-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let gold = Gold::new();
    Server::secure(config, move |request| {
        answer(&gold.entities(request).to_string())
    })
}

#[test]
fn https_works_with_the_systems_roots_and_with_nobody_elses() {
    let server = secure_server();
    let url = format!("https://localhost:{}/v1", server.address.port());
    let place = Place::new(&url, "entities", "");
    let root = data().join("localhost-cert.pem");
    let mut command = place.label("out", &["--limit", "2"]);
    quiet(&command.env("SSL_CERT_FILE", &root).output().unwrap(), 0);
    assert_eq!((server.seen().len(), place.labels("out").len()), (2, 2));
    server.forget();
    let mut command = place.label("other", &["--limit", "2"]);
    let said = quiet(&command.env_remove("SSL_CERT_FILE").output().unwrap(), 1);
    assert!(
        said.contains("TLS: ") && said.contains("root certificates"),
        "{said}"
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_bad_task_is_named_before_anything_is_sent() {
    let server = gold_server();
    let sent = AtomicUsize::new(0);
    for (endpoint, code, why) in [
        ("tries = 0", 1, "endpoint.tries"),
        ("nonsense = 1", 1, "nonsense"),
        ("samples = 2", 1, "temperature"),
    ] {
        let place = Place::new(&server.base_url(), "entities", endpoint);
        let said = place.run("out", &[], code);
        assert!(said.contains("task.toml:") && said.contains(why), "{said}");
        sent.fetch_add(server.seen().len(), Ordering::Relaxed);
    }
    assert_eq!(sent.into_inner(), 0);
    let place = Place::new("http://user:word@127.0.0.1/v1", "entities", "");
    let said = place.run("out", &[], 1);
    assert!(
        said.contains("endpoint.base_url") && !said.contains("word@"),
        "{said}"
    );
    assert!(Path::new(&place.path("task.toml")).exists());
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
