//! Students that learn from a trained one, through the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::path::Path;

use distill::student::bundled::Bundled;
use mini::{Mini, stderr};

/// A mini folder whose recipe is taught by its own bundle `teacher/fp32`: a student of one layer, all terms.
fn taught() -> Mini {
    let mini = Mini::new();
    mini.edit("mini.toml", "epochs = 80", "epochs = 8");
    stderr(&mini.train("teacher", &[]).output().unwrap(), 0);
    mini.edit("mini.toml", "epochs = 8", "epochs = 4");
    mini.edit(
        "mini.toml",
        "base = \"tiny-bert\"",
        "base = \"tiny-bert\"\nlayers = 1",
    );
    mini.edit(
        "mini.toml",
        "[distillation]",
        "[[encoder_teachers]]\npath = \"teacher/fp32\"\nhidden_weight = 1.0\nattention_weight = 0.5\n[distillation]\nrationale_weight = 4.0",
    );
    mini
}

fn encoder(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("fp32/encoder.onnx")).unwrap()
}

#[test]
fn a_student_learns_from_a_trained_one_and_the_cache_changes_nothing() {
    let mini = taught();
    let said = stderr(&mini.train("kept", &[]).output().unwrap(), 0);
    assert!(said.contains("Chemical: gold and mini agree on"), "{said}");
    let bundle = Bundled::from_bundle(&mini.path("kept/fp32")).unwrap();
    assert_eq!(bundle.config.layers, 1);
    let losses = bundle.manifest.provenance["losses"].as_array().unwrap();
    let loss = |term: &str, epoch: usize| losses[epoch][term].as_f64().unwrap();
    for term in ["teacher_entities", "hidden", "attention"] {
        assert!(loss(term, 3) < loss(term, 0), "{term}: {losses:?}");
    }
    // Four epochs from random weights are too few to bend attention; its slope is checked in step.rs.
    assert!(loss("rationale", 3) > 0.0);
    let teacher = &bundle.manifest.provenance["recipe"]["encoder_teachers"][0];
    assert_eq!(teacher["hash"].as_str().unwrap().len(), 64);

    // A cache that a killed run left: some answers missing, one cut short, one half-written.
    let cache = mini.path("kept/teacher-cache");
    let mut files: Vec<_> = std::fs::read_dir(&cache)
        .unwrap()
        .flatten()
        .map(|f| f.path())
        .collect();
    files.sort();
    // Answers and features of 159 windows, some of which are equal.
    assert_eq!(files.len(), 2 * 157);
    std::fs::create_dir_all(mini.path("broken/teacher-cache")).unwrap();
    for (n, file) in files.iter().enumerate().skip(10) {
        let bytes = std::fs::read(file).unwrap();
        let whole = if n == 11 {
            &bytes[..bytes.len() / 2]
        } else {
            &bytes
        };
        let to = mini
            .path("broken/teacher-cache")
            .join(file.file_name().unwrap());
        std::fs::write(to, whole).unwrap();
    }
    std::fs::write(mini.path("broken/teacher-cache/.tmp-1-x"), "half").unwrap();
    stderr(&mini.train("broken", &[]).output().unwrap(), 0);
    assert!(encoder(&mini.path("kept")) == encoder(&mini.path("broken")));

    mini.edit(
        "mini.toml",
        "rationale_weight",
        "cache_gigabytes = 0.0\nrationale_weight",
    );
    stderr(&mini.train("fresh", &[]).output().unwrap(), 0);
    assert_eq!(
        std::fs::read_dir(mini.path("fresh/teacher-cache"))
            .unwrap()
            .count(),
        0
    );
    assert!(encoder(&mini.path("kept")) == encoder(&mini.path("fresh")));
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_with_the_reason() {
    let mini = taught();
    let refused = |mini: &Mini| stderr(&mini.train("refused", &[]).output().unwrap(), 1);
    let line = mini.edit("mini.toml", "teacher/fp32", "teacher/int8");
    let said = refused(&mini);
    assert!(
        said.contains("the bundle is int8") && said.contains("fp32"),
        "{said}"
    );
    mini.edit("mini.toml", "teacher/int8", "teacher/fp32");

    mini.edit("tiny-bert/vocab.txt", "aspirin", "aspirim");
    let said = refused(&mini);
    assert!(
        said.contains("another vocabulary") && said.contains(&format!("mini.toml:{line}:")),
        "{said}"
    );
    mini.edit("tiny-bert/vocab.txt", "aspirim", "aspirin");

    mini.edit(
        "mini.toml",
        "hidden_weight = 1.0",
        "layers = [[2, 1]]\nhidden_weight = 1.0",
    );
    let said = refused(&mini);
    assert!(said.contains("the student has layers 0 to 1"), "{said}");
    mini.edit(
        "mini.toml",
        "layers = [[2, 1]]",
        "map = { Chemical = \"Disease\" }",
    );
    let said = refused(&mini);
    assert!(
        said.contains("two of the teacher's types stand for Disease"),
        "{said}"
    );
    assert!(!mini.path("refused/fp32").exists());
}
