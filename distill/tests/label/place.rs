//! A folder with a task, the program on it, and a teacher who knows the answers.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use distill::corpus::{self, Document, Format, Options};
use distill::teacher::{self, Labels};
use serde_json::{Value, json};

use crate::mini::{data, distill, stderr};
use crate::server::{Request, Server, answer};

/// A folder with a task, and the program on it.
pub struct Place(pub tempfile::TempDir);

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
    pub fn new(base_url: &str, mode: &str, endpoint: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::copy(data().join("mini.pubtator"), place.path("mini.pubtator")).unwrap();
        place.task(base_url, mode, endpoint);
        place
    }

    pub fn task(&self, base_url: &str, mode: &str, endpoint: &str) {
        let text = format!(
            "mode = \"{mode}\"\n{SCHEMA}\n[endpoint]\nbase_url = \"{base_url}\"\nmodel = \"m\"\nbackoff_seconds = 0.02\n{endpoint}"
        );
        std::fs::write(self.path("task.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn label(&self, out: &str, more: &[&str]) -> Command {
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
    pub fn run(&self, out: &str, more: &[&str], code: i32) -> String {
        quiet(&self.label(out, more).output().unwrap(), code)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn labels(&self, out: &str) -> Vec<Labels> {
        teacher::read(&self.path(out).join("labels.jsonl")).unwrap()
    }

    pub fn report(&self, out: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("{out}/report.json"))).unwrap()
    }
}

pub fn quiet(output: &Output, code: i32) -> String {
    let said = stderr(output, code);
    for word in ["spirin", "ulcer", "phantom"] {
        assert!(!said.contains(word), "a text is quoted: {said}");
    }
    said
}

pub fn documents() -> Vec<Document> {
    corpus::read(
        &data().join("mini.pubtator"),
        Format::Pubtator,
        &Options::default(),
    )
    .unwrap()
    .documents
}

/// A teacher who knows the gold mentions of the texts by heart.
pub struct Gold(pub HashMap<String, Document>);

impl Gold {
    pub fn new() -> Gold {
        Gold(
            documents()
                .into_iter()
                .map(|d| (d.text.clone(), d))
                .collect(),
        )
    }

    /// The answer of mode `entities`.
    pub fn entities(&self, request: &Request) -> Value {
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
    pub fn pairs(&self, request: &Request) -> Value {
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

pub fn gold_server() -> Server {
    let gold = Gold::new();
    Server::new(move |request| answer(&gold.entities(request).to_string()))
}

/// Waits until the server has seen so many requests.
pub fn wait_for(server: &Server, requests: usize, child: &mut Child) {
    let start = Instant::now();
    while server.seen().len() < requests {
        assert!(start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
}
