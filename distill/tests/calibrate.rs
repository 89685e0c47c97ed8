//! `distill calibrate` on the tiny bundle, from corpus to explanations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::path::{Path, PathBuf};
use std::process::Output;

use bie::bundle::Bundle;
use bie::{Cancel, Engine, Options, Target};
use distill::calibration::Report;
use mini::{Mini, distill, stderr};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CHEMICALS: [&str; 6] = [
    "aspirin", "cocaine", "digoxin", "heparin", "insulin", "lithium",
];
const DISEASES: [&str; 6] = ["angina", "asthma", "cough", "fever", "headache", "nausea"];

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.bundle")
}

/// Sentences that the tiny bundle finds much in, by annotators who say of a third of it that it is wrong.
fn corpus(folder: &Path) -> PathBuf {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut text = String::new();
    for id in 0..120 {
        let (chemical, disease) = (
            CHEMICALS[random.random_range(0..6)],
            DISEASES[random.random_range(0..6)],
        );
        text += &format!("{id}|t|.\n{id}|a|{chemical} caused {disease}.\n");
        let from = 2 + chemical.len() + " caused ".len();
        let mut annotated = Vec::new();
        for (start, name, kind) in [(2, chemical, "Chemical"), (from, disease, "Disease")] {
            if random.random_bool(2.0 / 3.0) {
                annotated.push(kind);
                text += &format!(
                    "{id}\t{start}\t{}\t{name}\t{kind}\t{kind}-{name}\n",
                    start + name.len()
                );
            }
        }
        if annotated.len() == 2 && random.random_bool(0.7) {
            text += &format!("{id}\tCID\tChemical-{chemical}\tDisease-{disease}\n");
        }
        text.push('\n');
    }
    let file = folder.join("own.pubtator");
    std::fs::write(&file, text).unwrap();
    file
}

fn calibrate(corpus: &Path, more: &[&str]) -> Output {
    let mut command = distill();
    command
        .args(["calibrate", "--bundle"])
        .arg(tiny())
        .arg("--corpus")
        .arg(corpus)
        .args(more);
    command.output().unwrap()
}

#[test]
fn a_calibrated_bundle_reports_explains_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path());
    let out = folder.path().join("own.bundle");
    let run = calibrate(
        &corpus,
        &[
            "--json",
            "--goal",
            "Disease:recall=0.9",
            "--threshold",
            "causes=0.2",
            "--out",
            out.to_str().unwrap(),
        ],
    );
    let said = stderr(&run, 0);
    let report: Report = serde_json::from_slice(&run.stdout).unwrap();
    let bundle = Bundle::open(&out).unwrap();
    assert!(said.contains(&bundle.hash), "{said}");

    let (manifest, old) = (bundle.manifest, Bundle::open(&tiny()).unwrap().manifest);
    let chemical = &manifest.entities[0];
    assert_eq!(chemical.temperature, report.entities[0].temperature);
    assert!(chemical.temperature != old.entities[0].temperature);
    assert!(
        chemical
            .operating_points
            .iter()
            .any(|point| point.score == chemical.threshold)
    );
    assert_eq!(manifest.relations[0].threshold, 0.2);
    assert_eq!(
        manifest.relations[2], old.relations[2],
        "the corpus has none of it"
    );
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        card.contains("## Calibration") && !card.contains("not calibrated"),
        "{card}"
    );
    let inside: Report =
        serde_json::from_slice(&std::fs::read(out.join("calibration.json")).unwrap()).unwrap();
    assert_eq!(inside.entities, report.entities);

    // Two mentions of three are right: so say the scores now, and explanations are of these scores.
    let engine = Engine::open(&out, &Options::new()).unwrap();
    let mut options = Options::new();
    options.set_str("method", "integrated_gradients").unwrap();
    options.set_str("baseline", "pad").unwrap();
    options.set_f64("min_score", 0.0).unwrap();
    let text = ". aspirin caused nausea.";
    let extraction = engine.extract(text, &options).unwrap();
    let found = extraction
        .entities
        .iter()
        .find(|e| e.text == "aspirin")
        .unwrap();
    assert!((found.score - 2.0 / 3.0).abs() < 0.15, "{found:?}");
    let entities = extraction.entities.iter().map(|e| {
        (
            Target::Entity {
                start: e.start,
                end: e.end,
                label: e.label,
                rival: None,
            },
            e.score,
        )
    });
    let relations = extraction.relations.iter().map(|r| {
        (
            Target::Relation {
                head: r.head,
                tail: r.tail,
                label: r.label,
                rival: None,
            },
            r.score,
        )
    });
    let (targets, scores): (Vec<Target>, Vec<f32>) = entities.chain(relations).unzip();
    assert!(!extraction.relations.is_empty());
    let explained = engine
        .explain(text, &extraction, &targets, &options, &Cancel::new())
        .unwrap();
    for (one, score) in explained.iter().zip(scores) {
        assert!((one.score - score).abs() < 1e-3);
        let sum: f64 = one.words.iter().map(|word| f64::from(word.weight)).sum();
        let way = f64::from(one.score) - f64::from(one.baseline_score);
        assert!((sum - way).abs() < 0.02, "{sum} {way}");
    }

    // Again on the calibrated bundle: the model's own scores are calibrated, not the calibrated ones.
    let mut again = distill();
    again
        .args(["calibrate", "--json", "--bundle"])
        .arg(&out)
        .arg("--corpus")
        .arg(&corpus);
    let run = again.output().unwrap();
    stderr(&run, 0);
    let twice: Report = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(
        twice.entities[0].temperature,
        report.entities[0].temperature
    );
}

#[test]
fn a_recipe_can_ask_for_it() {
    let mini = Mini::new();
    let own = corpus(&mini.path(""));
    let recipe = std::fs::read_to_string(mini.path("mini.toml")).unwrap();
    let calibration = format!(
        "\n[calibration]\ngoal = {{ precision = 0.5 }}\n\n[calibration.corpus]\npath = {own:?}\nformat = \"pubtator\"\n"
    );
    std::fs::write(mini.path("mini.toml"), recipe + &calibration).unwrap();
    mini.edit(
        "mini.toml",
        "name = \"Disease\"\n",
        "name = \"Disease\"\nthreshold = 0.25\n",
    );
    let said = stderr(&mini.train("out", &[]).output().unwrap(), 0);
    assert!(
        said.contains("mini on own.pubtator, 120 documents") && said.contains("threshold as given"),
        "{said}"
    );
    for precision in ["fp32", "int8"] {
        let dir = mini.path("out").join(precision);
        let manifest = Bundle::open(&dir).unwrap().manifest;
        let json = std::fs::read(dir.join("calibration.json")).unwrap();
        let report: Report = serde_json::from_slice(&json).unwrap();
        assert_eq!(report.corpus, "own.pubtator");
        assert!(report.entities[1].family.is_some(), "{:?}", report.entities);
        for (kind, fit) in manifest.entities.iter().zip(&report.entities) {
            assert_eq!((kind.temperature, kind.bias), (fit.temperature, fit.bias));
            assert_eq!(kind.threshold, fit.threshold);
        }
        assert_eq!(manifest.entities[1].threshold, 0.25, "as the schema says");
        assert!(manifest.files.contains_key("calibration.json"));
        let card = std::fs::read_to_string(dir.join("README.md")).unwrap();
        assert!(
            card.contains("## Calibration") && !card.contains("not calibrated"),
            "{card}"
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path());
    for (arguments, code, why) in [
        (&["--goal", "accuracy=1"][..], 2, "no goal"),
        (&["--threshold", "causes=2"], 2, "TYPE=X"),
        (&["--goal", "Dose:f1"], 2, "\"Dose\""),
        (
            &["--out", folder.path().to_str().unwrap()],
            1,
            "something already",
        ),
    ] {
        let said = stderr(&calibrate(&corpus, arguments), code);
        assert!(said.contains(why), "{said}");
    }
}
