//! `distill update` by the real program: a bundle that knows chemicals learns diseases, and one that would forget is not written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::fs;
use std::path::Path;
use std::process::Command;

use bie::bundle::{Bundle, Manifest};
use bie::{Engine, Options};
use mini::{Mini, data, distill, stderr};
use serde_json::Value;

/// A folder with `old/fp32`, which was trained on chemicals alone, and the recipe `update.toml`.
fn trained() -> Mini {
    let mini = Mini::new();
    let recipe = fs::read_to_string(data().join("mini.toml")).unwrap();
    let (head, rest) = recipe.split_once("[[schema.entities]]").unwrap();
    let (_, rest) = rest.split_once("[[corpora]]").unwrap();
    let (corpora, rest) = rest.split_once("[[teachers]]").unwrap();
    let (_, training) = rest.split_once("[training]").unwrap();
    let (training, _) = training.split_once("[evaluation]").unwrap();
    let chemicals = corpora
        .replace("[\"Chemical\", \"Disease\"]", "[\"Chemical\"]")
        .replace("map = { CID = \"causes\" }\n", "")
        .replace("gold_relations = [\"causes\"]\n", "");
    let old = format!(
        "{head}[[schema.entities]]\nname = \"Chemical\"\n[[corpora]]{chemicals}[training]{training}"
    );
    fs::write(mini.path("mini.toml"), old).unwrap();
    stderr(&mini.train("old", &[]).output().unwrap(), 0);

    // Abstracts with their diseases marked; what is guarded lies in texts of names among nonsense.
    let head = head.replace("base = \"tiny-bert\"", "base = \"old/fp32\"");
    let training = training.replace("epochs = 80", "epochs = 200");
    let update = format!(
        "{head}[[schema.entities]]\nname = \"Disease\"\n\
         [update]\nallowed_loss = 0.1\n[[update.guards]]\npath = \"mini-odd.pubtator\"\nformat = \"pubtator\"\n\
         [[corpora]]\npath = \"mini.pubtator\"\nformat = \"pubtator\"\nannotates = [\"Disease\"]\n\
         [training]{training}"
    );
    fs::write(mini.path("update.toml"), update).unwrap();
    mini
}

fn update(mini: &Mini, more: &[&str]) -> Command {
    let mut command = distill();
    command
        .args(["update", "--recipe"])
        .arg(mini.path("update.toml"))
        .arg("--out")
        .arg(mini.path("new"))
        .args(more);
    command
}

fn manifest(bundle: &Path) -> Manifest {
    Bundle::open(bundle).unwrap().manifest
}

/// F1 of a type on documents, through libbie.
fn f1(bundle: &Path, corpus: &Path, name: &str) -> f64 {
    let mut command = distill();
    let eval = command
        .args(["eval", "--json", "--bundle"])
        .arg(bundle)
        .arg("--corpus")
        .arg(corpus);
    let report: Value = serde_json::from_slice(&eval.output().unwrap().stdout).unwrap();
    report["ner"]["by_type"][name]["f1"].as_f64().unwrap()
}

#[test]
fn a_new_type_is_learned_and_the_old_one_is_kept() {
    let mini = trained();
    let said = stderr(&update(&mini, &[]).output().unwrap(), 0);
    assert!(said.contains("a type may lose 10.0 points"), "{said}");
    for precision in ["fp32", "int8"] {
        let new = mini.path("new").join(precision);
        let manifest = manifest(&new);
        let names: Vec<&str> = manifest.entities.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["Chemical", "Disease"]);
        let abstracts = mini.path("mini.pubtator");
        assert!(f1(&new, &abstracts, "Disease") > 0.9, "{precision}");
        let cost = &manifest.provenance["update"]["types"];
        let chemical = &cost[0];
        assert_eq!(
            (&chemical["type"], &cost[1]["f1_before"]),
            (&"Chemical".into(), &Value::Null)
        );
        let figure = |key: &str| chemical[key].as_f64().unwrap();
        assert!(
            figure("f1_before") > 0.9 && figure("f1_after") > figure("f1_before") - 0.1,
            "{cost}"
        );
        let card = fs::read_to_string(new.join("README.md")).unwrap();
        assert!(card.contains("What the update cost"), "{card}");
    }
    assert!(!mini.path("new/.candidate").exists());
    let recipe = &manifest(&mini.path("new/fp32")).provenance["recipe"];
    assert_eq!(
        recipe["encoder_teachers"][0]["hash"]
            .as_str()
            .unwrap()
            .len(),
        64,
        "the old bundle is one of the teachers"
    );
}

/// Without the old bundle as a teacher, at a rate that overwrites it.
#[test]
fn a_bundle_that_forgets_is_not_written() {
    let mini = trained();
    for _ in 0..2 {
        mini.edit("update.toml", "5e-3", "3e-2");
    }
    mini.edit(
        "update.toml",
        "[training]",
        "[[encoder_teachers]]\npath = \"old/fp32\"\nweight = 1e-6\n[training]",
    );
    mini.edit("update.toml", "allowed_loss = 0.1", "allowed_loss = 0.0");
    fs::create_dir_all(mini.path("new/fp32")).unwrap();
    fs::write(mini.path("new/fp32/mark"), "accepted before").unwrap();
    let said = stderr(&update(&mini, &[]).output().unwrap(), 1);
    assert!(
        said.contains("Chemical of entities lost") && said.contains("no bundle was written"),
        "{said}"
    );
    assert!(mini.path("new/fp32/mark").exists() && !mini.path("new/int8").exists());
    assert!(!mini.path("new/.candidate").exists());
    // Allowed, the same training gives its bundle: the checkpoint is gone on with.
    mini.edit("update.toml", "allowed_loss = 0.0", "allowed_loss = 1.0");
    stderr(&update(&mini, &["--resume"]).output().unwrap(), 0);
    assert!(!mini.path("new/fp32/mark").exists());
    assert_eq!(manifest(&mini.path("new/int8")).entities.len(), 2);
}

#[test]
fn corrected_results_teach() {
    let mini = trained();
    let engine = Engine::open(&mini.path("old/int8"), &Options::new()).unwrap();
    fs::create_dir(mini.path("corrected")).unwrap();
    for (n, text) in [
        "Aspirin caused gastric ulcer in three patients.",
        "Heparin caused gastric ulcer in one patient.",
    ]
    .iter()
    .enumerate()
    {
        let found = engine.extract(text, &Options::new()).unwrap().to_json();
        let mut found: Value = serde_json::from_str(&found).unwrap();
        let start = text.find("gastric").unwrap();
        let missing = serde_json::json!({"start": start, "end": start + 13, "type": "Disease"});
        found["entities"].as_array_mut().unwrap().push(missing);
        fs::write(mini.path(&format!("corrected/{n}.json")), found.to_string()).unwrap();
        fs::write(mini.path(&format!("corrected/{n}.txt")), text).unwrap();
    }
    mini.edit(
        "update.toml",
        "path = \"mini.pubtator\"\nformat = \"pubtator\"\nannotates = [\"Disease\"]",
        "path = \"corrected\"\nformat = \"corrected\"\nannotates = [\"Chemical\", \"Disease\"]",
    );
    stderr(&update(&mini, &[]).output().unwrap(), 0);
    let engine = Engine::open(&mini.path("new/int8"), &Options::new()).unwrap();
    let text = "Warfarin caused gastric ulcer in two patients.";
    let found = engine.extract(text, &Options::new()).unwrap();
    let diseases: Vec<&str> = found
        .entities
        .iter()
        .filter(|e| found.entity_types[e.label as usize] == "Disease")
        .map(|e| e.text.as_str())
        .collect();
    assert_eq!(diseases, ["gastric ulcer"]);
}

#[test]
fn a_recipe_that_updates_nothing_is_refused() {
    let mini = Mini::new();
    let recipe = fs::read_to_string(mini.path("mini.toml")).unwrap();
    fs::write(mini.path("update.toml"), recipe).unwrap();
    let said = stderr(&update(&mini, &[]).output().unwrap(), 1);
    assert!(said.contains("has no [update]"), "{said}");
}
