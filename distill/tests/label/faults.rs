//! What becomes of bad answers, and of none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::place::{Gold, Place, documents, gold_server};
use crate::server::{Act, Server, answer, completion, json_body};

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
            Duration::from_secs(2),
            Box::new(|_| Act::Hang(Duration::from_secs(20))),
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
            "timeout_seconds = 2\nparallel = 2"
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
            "1 of 5 rows lack labels, the first of document {id}: the answer holds no JSON"
        )) && said
            .contains("400 sent, 80 received; 300 and 60 more for questions that were given up"),
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
        assert_eq!(server.seen().len(), requests, "{status}");
        assert!(!place.path("out/labels.jsonl").exists());
    }
    let place = Place::new("http://127.0.0.1:1/v1", "entities", "tries = 1");
    let said = place.run("out", &[], 1);
    assert!(said.contains("the connection failed"), "{said}");
}

#[test]
fn many_texts_that_cannot_be_asked_about_do_not_end_the_run() {
    let gold = Gold::new();
    let server = Server::new(move |request| match request.before {
        1..=14 => json_body(400, json!({"error": "the context is 8192 tokens"})),
        _ => answer(&gold.entities(request).to_string()),
    });
    let place = Place::new(&server.base_url(), "entities", "parallel = 1");
    let said = place.run("out", &[], 1);
    assert!(said.contains("14 of 24 rows lack labels"), "{said}");
    assert_eq!((server.seen().len(), place.labels("out").len()), (24, 10));
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
    let place = Place::new(
        &format!("http://{}@127.0.0.1/v1", "user:word"),
        "entities",
        "",
    );
    let said = place.run("out", &[], 1);
    assert!(
        said.contains("endpoint.base_url") && !said.contains("word@"),
        "{said}"
    );
}
