//! `distill report` and `distill ablate` on the mini recipe: what stands in the files, and what must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../src/cli/tests/browser.rs"]
mod browser;
mod mini;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mini::{Mini, distill, stderr};
use serde_json::Value;

/// Words of the documents that the mini recipe is measured on; they stand in no schema and no recipe.
const WORDS: [&str; 6] = [
    "aptopril",
    "eizures",
    "henytoin",
    "urosemide",
    "Renal",
    "was caused",
];

const SECTIONS: [&str; 9] = [
    "How well it does",
    "How the training went",
    "What is taken for what",
    "Are scores probabilities?",
    "Student, teacher and gold",
    "Worst errors",
    "What it learned from",
    "Limits",
    "Recipe",
];

/// A short run of the mini recipe: it makes errors enough.
static RUN: LazyLock<Mini> = LazyLock::new(|| {
    let mini = Mini::new();
    mini.edit("mini.toml", "epochs = 80", "epochs = 12");
    stderr(&mini.train("out", &[]).output().unwrap(), 0);
    mini
});

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn report(mini: &Mini, more: &[&str]) -> Output {
    let mut command = distill();
    command
        .arg("report")
        .arg("--out")
        .arg(mini.path("out"))
        .args(more);
    command.output().unwrap()
}

/// `report.json` without what depends on the machine.
fn canonical(mini: &Mini) -> String {
    let mut json: Value = serde_json::from_str(&read(&mini.path("out/report.json"))).unwrap();
    json["time"].take();
    for precision in ["fp32", "int8"] {
        json["evaluation"]["figures"][precision]["tokens_per_second"].take();
    }
    json.to_string()
}

#[test]
fn a_run_reports_itself_without_a_word_of_its_documents() {
    let mini = &*RUN;
    let (page, json) = (
        read(&mini.path("out/report.html")),
        read(&mini.path("out/report.json")),
    );
    for section in SECTIONS {
        assert!(page.contains(&format!(">{section}</h2>")), "{section}");
    }
    for word in WORDS {
        assert!(
            !page.contains(word) && !json.contains(word),
            "{word} is the documents'"
        );
    }
    let value: Value = serde_json::from_str(&json).unwrap();
    let e = &value["evaluation"];
    for precision in ["fp32", "int8"] {
        let by_document = e["by_document"][precision].as_array().unwrap();
        let support = |count: &Value| count[0].as_u64().unwrap() + count[2].as_u64().unwrap();
        let all: u64 = by_document
            .iter()
            .flat_map(|d| d["ner"].as_array().unwrap())
            .map(support)
            .sum();
        assert_eq!(e["figures"][precision]["ner"]["micro"]["support"], all);
        assert_eq!(
            value["bundles"][precision],
            bie::bundle::Bundle::open(&mini.path("out").join(precision))
                .unwrap()
                .hash
        );
    }
    assert_eq!(
        value["curves"]["losses"]["entities"]
            .as_array()
            .unwrap()
            .len(),
        12
    );
    assert!(
        value["evaluation"]["errors"]["entities_missed"]
            .as_array()
            .is_some()
    );

    let before = canonical(mini);
    stderr(&report(mini, &[]), 0);
    assert_eq!(canonical(mini), before, "the same run, the same numbers");

    let card = read(&mini.path("out/int8/README.md"));
    for heading in [
        "## Intended use",
        "## What it learned from",
        "## How well it does",
        "### Are its scores probabilities?",
        "### Agreement with its teachers",
        "### Measuring again",
        "## Limits",
    ] {
        assert!(
            card.lines().any(|line| line == heading),
            "{heading}: {card}"
        );
    }
}

#[test]
fn the_page_holds_in_a_browser_with_and_without_text() {
    let mini = Mini::new();
    // A copy: this one's report is written with text.
    mini.edit("mini.toml", "epochs = 80", "epochs = 12");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(RUN.path("out"))
        .arg(mini.path("out"))
        .status();
    assert!(copied.unwrap().success());
    let recipe = mini.path("mini.toml");
    let plain = read(&mini.path("out/report.html"));
    stderr(
        &report(
            &mini,
            &["--with-text", "--recipe", recipe.to_str().unwrap()],
        ),
        0,
    );
    let told = read(&mini.path("out/report.html"));
    assert!(
        WORDS.iter().any(|word| told.contains(word)),
        "asked for, but not there"
    );
    let mut pages = Vec::new();
    for (name, html) in [("plain", &plain), ("with text", &told)] {
        for width in [320, 700, 1100] {
            pages.push(serde_json::json!({"name": name, "width": width, "html": html}));
        }
    }
    for dark in [false, true] {
        let wrong = browser::looked_at(&pages, &[], dark);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn a_report_of_something_else_is_refused() {
    let mini = Mini::new();
    fs::create_dir(mini.path("out")).unwrap();
    let said = stderr(&report(&mini, &[]), 2);
    assert!(said.contains("give --recipe"), "{said}");
    let recipe = mini.path("mini.toml");
    let said = stderr(&report(&mini, &["--recipe", recipe.to_str().unwrap()]), 1);
    assert!(said.contains("holds no bundle"), "{said}");
    mini.edit("mini.toml", "weight_decay = 0.01", "weight_decay = 0.02");
    let mut command = distill();
    command
        .arg("report")
        .arg("--out")
        .arg(RUN.path("out"))
        .arg("--recipe")
        .arg(&recipe);
    let said = stderr(&command.output().unwrap(), 1);
    assert!(said.contains("another recipe"), "{said}");
}

const PLAN: &str = r#"
recipe = "mini.toml"
seeds = [1, 2]

[[arms]]
name = "gold"
title = "gold only"
recipe = { teachers = [] }

[[arms]]
name = "response"
title = "+ response"
"#;

fn ablate(mini: &Mini, more: &[&str]) -> Command {
    let mut command = distill();
    command
        .args(["ablate", "--plan"])
        .arg(mini.path("plan.toml"))
        .arg("--out")
        .arg(mini.path("ablation"))
        .args(more);
    command
}

/// Killed while it trains, it goes on where it was; what was finished is not trained again; the report is that of an unbroken one.
#[test]
fn an_ablation_survives_kill_and_compares_its_arms() {
    let mini = Mini::new();
    mini.edit("mini.toml", "epochs = 80", "epochs = 3");
    mini.edit(
        "mini.toml",
        "threads = 1",
        "threads = 1\ncheckpoint_minutes = 0.001",
    );
    fs::write(mini.path("plan.toml"), PLAN).unwrap();
    let said = stderr(&ablate(&mini, &["--collect"]).output().unwrap(), 2);
    assert!(said.contains("nothing can be compared"), "{said}");

    let mut child = ablate(&mini, &[]).spawn().unwrap();
    let begun = Instant::now();
    let second = mini.path("ablation/response-1/checkpoints");
    let checkpoints = |folder: &Path| {
        fs::read_dir(folder).map_or(0, |entries| {
            entries
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "checkpoint"))
                .count()
        })
    };
    while checkpoints(&second) == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "the second run has not begun"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let first = mini.path("ablation/gold-1/report.json");
    let written = fs::metadata(&first).unwrap().modified().unwrap();
    assert!(!mini.path("ablation/ablation.json").exists());

    let said = stderr(&ablate(&mini, &["--collect"]).output().unwrap(), 0);
    assert!(
        said.contains("not there yet: ") && said.contains("gold-2"),
        "{said}"
    );

    stderr(&ablate(&mini, &[]).output().unwrap(), 0);
    assert_eq!(
        fs::metadata(&first).unwrap().modified().unwrap(),
        written,
        "it was finished"
    );
    let files = ["json", "html", "txt"].map(|kind| mini.path(&format!("ablation/ablation.{kind}")));
    let before = files.each_ref().map(|file| read(file));
    let value: Value = serde_json::from_str(&before[0]).unwrap();
    let names: Vec<&str> = value["figures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    for name in ["entities", "causes, gold entities", "causes, end to end"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(value["missing"], serde_json::json!([]));
    let arm = &value["figures"][0]["arms"][1];
    assert_eq!(arm["by_seed"].as_object().unwrap().len(), 2);
    assert_eq!(
        arm["difference"]["excludes_zero"], false,
        "two seeds show nothing"
    );
    assert!(before[2].contains("+ response"), "{}", before[2]);
    let gold: Value = serde_json::from_str(&read(&first)).unwrap();
    assert_eq!(gold["recipe"]["teachers"], serde_json::json!([]));
    let f1 = &value["figures"][0]["arms"][0]["by_seed"]["1"];
    assert_eq!(
        *f1, gold["evaluation"]["figures"]["int8"]["ner"]["micro"]["f1"],
        "the run's own figure"
    );

    stderr(&ablate(&mini, &["--collect"]).output().unwrap(), 0);
    assert_eq!(
        files.each_ref().map(|file| read(file)),
        before,
        "collected from what is there"
    );
    let pages: Vec<Value> = [320, 1000]
        .map(|width| serde_json::json!({"name": "ablation", "width": width, "html": before[1]}))
        .to_vec();
    let wrong = browser::looked_at(&pages, &[], false);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    mini.edit(
        "plan.toml",
        "teachers = []",
        "teachers = [], distillation.temperature = 3.0",
    );
    let said = stderr(&ablate(&mini, &[]).output().unwrap(), 1);
    assert!(said.contains("another recipe"), "{said}");
}
