//! Explanations on the tiny bundle: what they hold, and what nothing but text, options and bundle decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bie::bundle::{Bundle, EXPLAIN, EXPLAIN_FLOAT};
use bie::explain::Method;
use bie::{Cancel, Engine, Error, Explanation, Extraction, Options, Target};

const TEXT: &str = "Aspirin causes nausea. Ibuprofen and lactic acid: no headache, but heart failure (HF). HF was treated; aspirin is no metformin.";

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle")
}

fn open(bundle: &Path) -> Engine {
    let mut options = Options::new();
    options.set_i64("sessions", 4).unwrap();
    Engine::open(bundle, &options).unwrap()
}

/// Every reported decision, and its score.
fn decisions(extraction: &Extraction) -> Vec<(Target, f32)> {
    let entities = extraction.entities.iter().map(|e| {
        let target = Target::Entity {
            start: e.start,
            end: e.end,
            label: e.label,
            rival: None,
        };
        (target, e.score)
    });
    let relations = extraction.relations.iter().map(|r| {
        let target = Target::Relation {
            head: r.head,
            tail: r.tail,
            label: r.label,
            rival: None,
        };
        (target, r.score)
    });
    entities.chain(relations).collect()
}

fn explain(
    engine: &Engine,
    extraction: &Extraction,
    targets: &[Target],
    set: &[(&str, &str)],
) -> Result<Vec<Explanation>, Error> {
    let mut options = Options::new();
    for (key, value) in set {
        match value.parse() {
            Ok(number) => options.set_i64(key, number).unwrap(),
            Err(_) => options.set_str(key, value).unwrap(),
        }
    }
    engine.explain(TEXT, extraction, targets, &options, &Cancel::new())
}

/// A copy of the bundle as it was made before there were explain graphs.
fn without_graphs(folder: &Path) -> PathBuf {
    let manifest = Bundle::open(&tiny()).unwrap().manifest;
    let files: BTreeMap<String, Vec<u8>> = manifest
        .files
        .keys()
        .filter(|name| ![EXPLAIN, EXPLAIN_FLOAT].contains(&name.as_str()))
        .map(|name| (name.clone(), std::fs::read(tiny().join(name)).unwrap()))
        .collect();
    let bundle = folder.join("old.bundle");
    Bundle::write(&bundle, &manifest, &files).unwrap();
    bundle
}

#[test]
fn what_was_reported_is_what_is_explained() {
    let engine = open(&tiny());
    let extraction = engine.extract(TEXT, &Options::new()).unwrap();
    let (targets, scores): (Vec<_>, Vec<_>) = decisions(&extraction).into_iter().unzip();
    assert!(!extraction.relations.is_empty());
    for explanation in [
        explain(&engine, &extraction, &targets, &[]).unwrap(),
        explain(
            &engine,
            &extraction,
            &targets,
            &[("method", "integrated_gradients")],
        )
        .unwrap(),
    ] {
        for (one, score) in explanation.iter().zip(&scores) {
            assert!((one.score - score).abs() < 1e-6);
            // The words of its window, in the order of the text, its own among them.
            assert!(
                one.words
                    .windows(2)
                    .all(|pair| pair[0].end <= pair[1].start)
            );
            assert!(one.words.iter().any(|word| word.in_target));
            for piece in one.evidence_for.iter().chain(&one.evidence_against) {
                assert_eq!(piece.text, TEXT[piece.start as usize..piece.end as usize]);
            }
        }
    }
}

/// Of the tiny bundle, with a calibration and without thresholds.
fn calibrated(temperature: f32, bias: f32, rising: f32) -> Engine {
    let mut engine = open(&tiny());
    let mut manifest = engine.manifest().clone();
    for (at, kind) in manifest.entities.iter_mut().enumerate() {
        // The second type differs: a rival's score has its own map.
        (kind.temperature, kind.bias) = (temperature, bias + at as f32 * rising);
        kind.threshold = 0.0;
    }
    for (at, kind) in manifest.relations.iter_mut().enumerate() {
        (kind.temperature, kind.bias) = (temperature, bias - at as f32 * rising);
        kind.threshold = 0.0;
    }
    engine.decide_by(&manifest).unwrap();
    engine
}

/// Every decision against another label of the same schema, where there is one for it.
fn with_rival(target: Target) -> Option<Target> {
    match target {
        Target::Entity {
            start, end, label, ..
        } => {
            let rival = Some(1 - label);
            Some(Target::Entity {
                start,
                end,
                label,
                rival,
            })
        }
        // "causes" and "treats" relate the same types.
        Target::Relation {
            head, tail, label, ..
        } if label < 2 => {
            let rival = Some(1 - label);
            Some(Target::Relation {
                head,
                tail,
                label,
                rival,
            })
        }
        Target::Relation { .. } => None,
    }
}

#[test]
fn a_calibrated_score_is_the_one_that_is_reported_and_explained() {
    let (plain, engine) = (calibrated(1.0, 0.0, 0.0), calibrated(1.6, -0.7, 0.5));
    let options = Options::new();
    let (before, extraction) = (
        plain.extract(TEXT, &options).unwrap(),
        engine.extract(TEXT, &options).unwrap(),
    );
    let manifest = engine.manifest();
    assert_eq!(before.entities.len(), extraction.entities.len());
    for (raw, now) in before.entities.iter().zip(&extraction.entities) {
        let map = manifest.entities[now.label as usize].calibration();
        assert_eq!(now.score, map.apply(raw.score));
        assert!((now.score - raw.score).abs() > 1e-3);
    }
    assert_eq!(before.relations.len(), extraction.relations.len());
    for (raw, now) in before.relations.iter().zip(&extraction.relations) {
        let map = manifest.relations[now.label as usize].calibration();
        assert_eq!(now.score, map.apply(raw.score));
    }

    let (targets, scores): (Vec<_>, Vec<_>) = decisions(&extraction).into_iter().unzip();
    let set = [
        ("method", "integrated_gradients"),
        ("baseline", "pad"),
        ("deletion", "pad"),
    ];
    let whole = |one: &Explanation| {
        // Steps along the line add up to the way that the calibrated score goes (on the graph without rounded activations).
        let sum: f64 = one.words.iter().map(|word| f64::from(word.weight)).sum();
        let way = f64::from(one.score) - f64::from(one.rival_score.unwrap_or_default());
        (sum - (way - f64::from(one.baseline_score))).abs()
    };
    for (one, score) in explain(&engine, &extraction, &targets, &set)
        .unwrap()
        .iter()
        .zip(&scores)
    {
        assert!((one.score - score).abs() < 1e-6);
        assert!(whole(one) < 0.02, "{one:?}");
    }
    let rivals: Vec<Target> = targets.into_iter().filter_map(with_rival).collect();
    assert!(rivals.len() > 3);
    for one in explain(&engine, &extraction, &rivals, &set).unwrap() {
        assert!(one.rival_score.is_some() && whole(&one) < 0.02, "{one:?}");
    }
}

#[test]
fn an_engine_takes_only_its_own_schema() {
    let mut engine = open(&tiny());
    let mut manifest = engine.manifest().clone();
    manifest.entities[0].temperature = -1.0;
    assert!(matches!(
        engine.decide_by(&manifest),
        Err(Error::BundleFormat { .. })
    ));
    manifest.entities[0].temperature = 2.0;
    manifest.relations.pop();
    assert!(matches!(
        engine.decide_by(&manifest),
        Err(Error::InvalidArgument(_))
    ));
}

#[test]
fn threads_and_company_change_nothing() {
    let engine = open(&tiny());
    let extraction = engine.extract(TEXT, &Options::new()).unwrap();
    let targets: Vec<Target> = decisions(&extraction).into_iter().map(|d| d.0).collect();
    for method in Method::ALL {
        let set = [("method", method.as_str()), ("faithfulness", "on")];
        let one = explain(&engine, &extraction, &targets, &set).unwrap();
        let four = [set[0], set[1], ("threads", "4")];
        assert_eq!(one, explain(&engine, &extraction, &targets, &four).unwrap());
        let alone = explain(&engine, &extraction, &targets[..1], &set).unwrap();
        let pairs = one[0].words.iter().zip(&alone[0].words);
        for (together, alone) in pairs {
            assert!((together.weight - alone.weight).abs() < 1e-4, "{method:?}");
        }
    }
}

#[test]
fn a_bundle_without_explain_graphs_is_explained_by_deletions() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&without_graphs(folder.path()));
    let extraction = engine.extract(TEXT, &Options::new()).unwrap();
    let target = decisions(&extraction)[0].0;
    let auto = explain(&engine, &extraction, &[target], &[]).unwrap();
    assert_eq!((auto[0].method, auto[0].chosen), (Method::Occlusion, true));
    let refused = explain(
        &engine,
        &extraction,
        &[target],
        &[("method", "input_x_gradient")],
    );
    assert!(
        matches!(&refused, Err(Error::InvalidArgument(why)) if why.contains("occlusion")),
        "{refused:?}"
    );
}

#[test]
fn an_exchanged_bundle_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("b");
    std::fs::create_dir(&bundle).unwrap();
    for file in std::fs::read_dir(tiny()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), bundle.join(file.file_name())).unwrap();
    }
    let engine = open(&bundle);
    let extraction = engine.extract(TEXT, &Options::new()).unwrap();
    let target = decisions(&extraction)[0].0;
    std::fs::write(bundle.join(EXPLAIN), b"other").unwrap();
    let found = explain(
        &engine,
        &extraction,
        &[target],
        &[("method", "input_x_gradient")],
    );
    assert!(matches!(found, Err(Error::Checksum { .. })), "{found:?}");
}

#[test]
fn a_budget_that_is_spent_is_said() {
    let engine = open(&tiny());
    let extraction = engine.extract(TEXT, &Options::new()).unwrap();
    let targets: Vec<Target> = decisions(&extraction).into_iter().map(|d| d.0).collect();
    let set = [
        ("method", "shap"),
        ("evaluations", "1000000"),
        ("time_budget_ms", "50"),
    ];
    for one in explain(&engine, &extraction, &targets, &set).unwrap() {
        assert!(one.cut_short);
    }
}
