//! `distill train` and `distill eval` from recipe to bundle, and through everything that may interrupt them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bie::bundle::Bundle;
use bie::{Engine, Options};
use distill::export::{Precision, encoder_graph, explain_graph, relations_graph};
use distill::student::Weights;
use distill::student::bundled::Bundled;
use mini::{Mini, data, distill, stderr};
use serde_json::Value;

/// One run of the mini recipe for all tests: its folder, and what it said.
static TRAINED: LazyLock<(PathBuf, String)> = LazyLock::new(|| {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mini");
    let _ = std::fs::remove_dir_all(&out);
    let mut command = distill();
    let output = command
        .arg("train")
        .arg("--recipe")
        .arg(data().join("mini.toml"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    (out, stderr(&output, 0))
});

fn eval(bundle: &Path, corpus: &Path) -> Value {
    let mut command = distill();
    command
        .args(["eval", "--json", "--format", "pubtator", "--bundle"])
        .arg(bundle)
        .arg("--corpus")
        .arg(corpus);
    let output = command
        .arg("--relations-from")
        .arg(data().join("mini-teacher.jsonl"))
        .output()
        .unwrap();
    assert_eq!(stderr(&output, 0), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_recipe_becomes_two_bundles_that_extract() {
    let (out, said) = &*TRAINED;
    for precision in ["fp32", "int8"] {
        let engine = Engine::open(&out.join(precision), &Options::new()).unwrap();
        assert_eq!(engine.manifest().precision, precision);
        assert!(said.contains(engine.bundle_hash()), "{said}");
        let found = engine
            .extract(
                "Aspirin caused gastric ulcer in three patients.",
                &Options::new(),
            )
            .unwrap();
        let entities: Vec<(&str, &str)> = found
            .entities
            .iter()
            .map(|e| {
                (
                    found.entity_types[e.label as usize].as_str(),
                    e.text.as_str(),
                )
            })
            .collect();
        assert_eq!(
            entities,
            [("Chemical", "Aspirin"), ("Disease", "gastric ulcer")],
            "{precision}"
        );
    }
}

#[test]
fn the_manifest_tells_how_the_model_was_made_and_the_losses_fall() {
    let manifest = Bundle::open(&TRAINED.0.join("int8")).unwrap().manifest;
    let provenance = &manifest.provenance;
    assert_eq!(provenance["recipe"]["seed"], 1);
    assert!(
        provenance["evaluation"]["ner"]["micro"]["f1"].is_number(),
        "{provenance}"
    );
    let epochs = provenance["losses"].as_array().unwrap();
    assert_eq!(epochs.len(), 80);
    for (part, share) in [("entities", 0.1), ("gold", 0.5), ("teacher", 0.5)] {
        let loss = |epoch: usize| epochs[epoch][part].as_f64().unwrap();
        assert!(
            loss(79) < share * loss(0),
            "{part}: {} to {}",
            loss(0),
            loss(79)
        );
    }
}

/// Weights survive the way into a bundle and back: printed again, in floats or in 8 bits, they are the same files.
#[test]
fn a_bundle_is_read_back_and_printed_again_byte_for_byte() {
    let (float, int8) = (TRAINED.0.join("fp32"), TRAINED.0.join("int8"));
    let read = Bundled::from_bundle(&float).unwrap();
    assert_eq!(
        (read.config.layers, read.config.heads, read.config.epsilon),
        (2, 4, 1e-12)
    );
    assert_eq!(read.hash, Bundle::open(&float).unwrap().hash);
    let types = read.manifest.entities.len();
    for (dir, precision, weights) in [
        (&float, Precision::Float, Weights::Float(&read.parameters)),
        (&int8, Precision::Int8, Weights::Int8(&read.parameters)),
    ] {
        let encoder = encoder_graph(&read.config, types, &read.parameters, precision);
        let relations = relations_graph(read.relations.unwrap(), &read.parameters);
        let explain = explain_graph(&read.config, types, read.relations, weights);
        for (name, bytes) in [
            ("tokenizer.json", read.tokenizer.to_json().unwrap()),
            ("encoder.onnx", encoder.to_onnx("encoder")),
            ("relations.onnx", relations.to_onnx("relations")),
            (
                "explain.onnx",
                explain.to_onnx_without_parameters("explain"),
            ),
        ] {
            let written = std::fs::read(dir.join(name)).unwrap();
            assert!(bytes == written, "{}/{name} differs", dir.display());
        }
    }
    let refused = Bundled::from_bundle(&int8).err().unwrap().to_string();
    assert!(
        refused.contains("the bundle is int8") && refused.contains(float.to_str().unwrap()),
        "{refused}"
    );
}

/// The student learns the training documents by heart; one that was not trained knows nothing of them.
#[test]
fn what_was_trained_on_is_found_again() {
    let untrained = Mini::new();
    untrained.edit("mini.toml", "epochs = 80", "epochs = 1");
    untrained.edit("mini.toml", "encoder_rate = 5e-3", "encoder_rate = 0.0");
    untrained.edit("mini.toml", "head_rate = 5e-3", "head_rate = 0.0");
    stderr(&untrained.train("out", &[]).output().unwrap(), 0);

    let corpus = data().join("mini.pubtator");
    let entities = |report: &Value| report["ner"]["micro"]["f1"].as_f64().unwrap();
    let causes = |report: &Value, how: &str| {
        report["relations"][how]["by_type"]["causes"]["f1"]
            .as_f64()
            .unwrap()
    };
    for precision in ["fp32", "int8"] {
        let report = eval(&TRAINED.0.join(precision), &corpus);
        assert!(entities(&report) > 0.95, "{precision}: {}", report["ner"]);
        assert!(
            causes(&report, "gold_entities") > 0.9,
            "{precision}: {}",
            report["relations"]
        );
        assert!(
            causes(&report, "end_to_end") > 0.85,
            "{precision}: {}",
            report["relations"]
        );
        let report = eval(&untrained.path("out").join(precision), &corpus);
        assert!(entities(&report) < 0.3, "{precision}: {}", report["ner"]);
        assert!(
            causes(&report, "end_to_end") < 0.3,
            "{precision}: {}",
            report["relations"]
        );
    }
}

#[test]
fn eval_prints_the_contract_and_reads_gzip() {
    let bundle = TRAINED.0.join("int8");
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("mini-eval.pubtator.gz");
    let mut gzip = flate2::write::GzEncoder::new(
        std::fs::File::create(&packed).unwrap(),
        flate2::Compression::default(),
    );
    gzip.write_all(&std::fs::read(data().join("mini-eval.pubtator")).unwrap())
        .unwrap();
    gzip.finish().unwrap();

    let mut plain = eval(&bundle, &data().join("mini-eval.pubtator"));
    let mut zipped = eval(&bundle, &packed);
    for report in [&mut plain, &mut zipped] {
        assert!(report["tokens_per_second"].take().as_f64().unwrap() > 0.0);
    }
    assert_eq!(plain, zipped);
    assert_eq!(plain["bundle_hash"], Bundle::open(&bundle).unwrap().hash);
    for (scores, types) in [
        (&plain["ner"], &["Chemical", "Disease"][..]),
        (
            &plain["relations"]["gold_entities"],
            &["causes", "treats", "interacts"],
        ),
        (
            &plain["relations"]["end_to_end"],
            &["causes", "treats", "interacts"],
        ),
    ] {
        let mut support = 0;
        for row in types
            .iter()
            .map(|name| &scores["by_type"][name])
            .chain([&scores["micro"]])
        {
            for figure in ["precision", "recall", "f1"] {
                assert!(
                    (0.0..=1.0).contains(&row[figure].as_f64().unwrap()),
                    "{scores}"
                );
            }
            support += row["support"].as_u64().unwrap();
        }
        assert_eq!(
            support,
            2 * scores["micro"]["support"].as_u64().unwrap(),
            "{scores}"
        );
    }
    // Counted by hand in mini-eval.pubtator.
    assert_eq!(plain["ner"]["micro"]["support"], 25);
    assert_eq!(
        plain["relations"]["gold_entities"]["by_type"]["causes"]["support"],
        4
    );
}

fn start(mut command: Command) -> Child {
    command.spawn().unwrap()
}

/// Checkpoints in a run's folder by step, newest first.
fn checkpoints(out: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(out.join("checkpoints")) else {
        return Vec::new();
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            Some((
                name.strip_prefix("step-")?
                    .strip_suffix(".checkpoint")?
                    .parse()
                    .ok()?,
                e.path(),
            ))
        })
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Waits for a checkpoint of a later step than `step`; that step.
fn wait_for_checkpoint(out: &Path, step: u64) -> u64 {
    let begun = Instant::now();
    loop {
        match checkpoints(out).first() {
            Some((newest, _)) if *newest > step => return *newest,
            _ => assert!(
                begun.elapsed() < Duration::from_secs(300),
                "no checkpoint after step {step}"
            ),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn flip_a_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn hashes(out: &Path) -> [String; 2] {
    ["fp32", "int8"].map(|precision| Bundle::open(&out.join(precision)).unwrap().hash)
}

/// Killed, stopped, its newest checkpoint damaged: the run ends with the same bytes as one that nothing happened to.
#[test]
fn an_interrupted_run_ends_as_the_unbroken_one() {
    let expected = hashes(&TRAINED.0);
    let last = checkpoints(&TRAINED.0)[0].0;
    assert_eq!(last, 80 * 20); // epochs, batches of 8 of the 159 windows

    let mini = Mini::new();
    // How often it saves and on how many threads it computes is no part of what comes out.
    mini.edit(
        "mini.toml",
        "threads = 1",
        "threads = 2\ncheckpoint_minutes = 0.001",
    );
    let out = mini.path("broken");
    let mut child = start(mini.train("broken", &[]));
    wait_for_checkpoint(&out, 0);
    let second = stderr(&mini.train("broken", &["--resume"]).output().unwrap(), 1);
    assert!(
        second.contains("another distill is training into this folder"),
        "{second}"
    );
    child.kill().unwrap();
    assert_eq!(
        child.wait().unwrap().code(),
        None,
        "it was over before it was killed"
    );
    let step = checkpoints(&out)[0].0;
    assert!(step < last);

    let refused = stderr(&mini.train("broken", &[]).output().unwrap(), 2);
    assert!(
        refused.contains("--resume") && refused.lines().count() == 1,
        "{refused}"
    );

    let child = start(mini.train("broken", &["--resume"]));
    wait_for_checkpoint(&out, step);
    terminate(&child);
    let said = stderr(&child.wait_with_output().unwrap(), 143);
    assert!(
        said.contains("stopped by SIGTERM; what was done is saved"),
        "{said}"
    );
    assert!(!out.join("fp32").exists());

    let kept = checkpoints(&out);
    assert_eq!(kept.len(), 2);
    flip_a_byte(&kept[0].1);
    mini.edit(
        "mini.toml",
        "checkpoint_minutes = 0.001",
        "checkpoint_minutes = 5",
    );
    let said = stderr(&mini.train("broken", &["--resume"]).output().unwrap(), 0);
    let damaged = kept[0].1.file_name().unwrap().to_str().unwrap();
    assert!(
        said.lines()
            .any(|line| line.contains(damaged) && line.contains("altered")),
        "{said}"
    );
    assert_eq!(hashes(&out), expected);

    // Once more: nothing is left to train, and the bundles are written as they were.
    std::fs::remove_dir_all(out.join("int8")).unwrap();
    stderr(&mini.train("broken", &["--resume"]).output().unwrap(), 0);
    assert_eq!(hashes(&out), expected);

    mini.edit("mini.toml", "weight_decay = 0.01", "weight_decay = 0.02");
    let other = stderr(&mini.train("broken", &["--resume"]).output().unwrap(), 1);
    assert!(
        other.contains("another recipe or other files (training.weight_decay")
            && other.lines().count() == 1,
        "{other}"
    );
    mini.edit("mini.toml", "weight_decay = 0.02", "weight_decay = 0.01");

    for (_, file) in checkpoints(&out) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let none = stderr(&mini.train("broken", &["--resume"]).output().unwrap(), 1);
    assert!(
        none.contains("checkpoints: no checkpoint is whole") && none.lines().count() == 1,
        "{none}"
    );
}

/// SIGTERM, as a service manager or a batch system sends it.
fn terminate(child: &Child) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The bundle that the library's tests read is the int8 bundle of the mini recipe: `BIE_BLESS=1 cargo test -p distill --test train tiny_bundle` puts this
/// run's in its place. Its bytes may differ from machine to machine, so what is compared is the recipe.
#[test]
fn the_librarys_tiny_bundle_is_of_the_mini_recipe() {
    let (made, tiny) = (
        TRAINED.0.join("int8"),
        data().join("../../../tests/data/tiny.bundle"),
    );
    if std::env::var_os("BIE_BLESS").is_some() {
        std::fs::remove_dir_all(&tiny).unwrap();
        std::fs::create_dir(&tiny).unwrap();
        for file in std::fs::read_dir(&made).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), tiny.join(file.file_name())).unwrap();
        }
    }
    let (made, tiny) = (
        Bundle::open(&made).unwrap().manifest,
        Bundle::open(&tiny).unwrap().manifest,
    );
    assert_eq!(tiny.precision, "int8");
    assert_eq!(tiny.provenance["recipe"], made.provenance["recipe"]);
    assert_eq!(tiny.provenance["data"], made.provenance["data"]);
}
