//! A stand-in model whose scores are known sums over words, measured on a small corpus.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use bie::bundle::{Bundle, EntityType, Manifest, RelationType};
use bie::explain::{Game, Method, Word};
use bie::result::{Entity, Relation};
use bie::text::OffsetUnit;
use bie::{Explanation, Extraction, Target};

use super::measure::Kind;
use super::testing::Formula;
use super::*;
use crate::eval::tests::manifest;

/// Every word that begins with a capital is an entity; the first two are related. A score is 0.1, 0.3 for the entity's own word (0.1 for each end of
/// a relation), 0.4 for "cue" if it is there, and 0.01 for the text's last word.
struct Sums {
    manifest: Manifest,
    /// Calls of `explain` before it fails.
    lives: Cell<usize>,
}

impl Sums {
    fn new() -> Sums {
        Sums {
            manifest: Manifest {
                model_id: "sums".into(),
                entities: vec![EntityType::new("Name")],
                relations: vec![RelationType {
                    symmetric: true,
                    ..RelationType::new("with", &["Name"], &["Name"])
                }],
                ..manifest()
            },
            lives: Cell::new(usize::MAX),
        }
    }
}

fn spans(text: &str) -> Vec<(usize, usize)> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace()
        .map(|word| (start(word), start(word) + word.len()))
        .collect()
}

/// What each word adds to a target's score.
fn worth(text: &str, extraction: &Extraction, target: &Target) -> Vec<f64> {
    let own: Vec<(u32, u32)> = match target {
        Target::Entity { start, end, .. } => vec![(*start, *end)],
        Target::Relation { head, tail, .. } => [head, tail]
            .map(|m| &extraction.entities[*m as usize])
            .map(|e| (e.start, e.end))
            .to_vec(),
    };
    let words = spans(text);
    let last = words.len() - 1;
    let value = |(n, (start, end)): (usize, &(usize, usize))| {
        let mut value = if n == last { 0.01 } else { 0.0 };
        if own.contains(&(*start as u32, *end as u32)) {
            value += if own.len() == 1 { 0.3 } else { 0.1 };
        }
        if text[*start..*end].starts_with("cue") {
            value += 0.4;
        }
        value
    };
    words.iter().enumerate().map(value).collect()
}

impl Model for Sums {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn hash(&self) -> &str {
        "00"
    }

    fn words(&self, text: &str) -> Result<usize> {
        Ok(spans(text).len())
    }

    fn extract(&self, text: &str) -> Result<Extraction> {
        let capital = |span: &(usize, usize)| text[span.0..].starts_with(char::is_uppercase);
        let entities: Vec<Entity> = spans(text)
            .into_iter()
            .filter(capital)
            .enumerate()
            .map(|(n, (start, end))| Entity {
                start: start as u32,
                end: end as u32,
                label: 0,
                score: 0.81,
                group: n as u32,
                text: String::new(),
            })
            .collect();
        let relation = Relation {
            head: 0,
            tail: 1,
            label: 0,
            score: 0.71,
        };
        Ok(Extraction {
            model_id: "sums".into(),
            bundle_hash: "00".into(),
            offset_unit: OffsetUnit::Utf8,
            relations: if entities.len() > 1 {
                vec![relation]
            } else {
                Vec::new()
            },
            entities,
            coverage: Default::default(),
            entity_types: vec!["Name".to_owned()].into(),
            relation_types: vec!["with".to_owned()].into(),
            origin: Default::default(),
        })
    }

    /// Occlusion weighs words by what they are worth, SHAP by the opposite; others do not know.
    fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
    ) -> Result<Vec<Explanation>> {
        let Some(left) = self.lives.get().checked_sub(1) else {
            return Err(Error::Training("killed".into()));
        };
        self.lives.set(left);
        let options = format!("{options:?}");
        let method = if options.contains("method: Occlusion") {
            (Method::Occlusion, 1.0)
        } else if options.contains("method: Shap") {
            (Method::Shap, -1.0)
        } else {
            (Method::Attention, 0.0)
        };
        let explanation = |target: &Target| {
            let worth = worth(text, extraction, target);
            Explanation {
                target: *target,
                method: method.0,
                chosen: false,
                offset_unit: OffsetUnit::Utf8,
                model_id: "sums".into(),
                bundle_hash: "00".into(),
                entity_types: Vec::new().into(),
                relation_types: Vec::new().into(),
                score: 0.0,
                rival_score: None,
                baseline_score: 0.1,
                without_evidence: 0.0,
                words: spans(text)
                    .iter()
                    .zip(&worth)
                    .map(|((start, end), worth)| Word {
                        start: *start as u32,
                        end: *end as u32,
                        weight: method.1 * *worth as f32,
                        standard_error: 0.0,
                        in_target: false,
                    })
                    .collect(),
                evidence_for: Vec::new(),
                evidence_against: Vec::new(),
                completeness_error: (method.0 == Method::Shap).then_some(0.02),
                fit: None,
                faithfulness: None,
                heads: None,
                evaluations: 1 + worth.len() as u32,
                cut_short: false,
                unreliable: false,
            }
        };
        Ok(targets.iter().map(explanation).collect())
    }

    fn play(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        _: &Options,
        play: &mut dyn FnMut(&mut dyn Game) -> Result<()>,
    ) -> Result<()> {
        let worth: Vec<Vec<f64>> = targets.iter().map(|t| worth(text, extraction, t)).collect();
        play(&mut Formula::new(
            spans(text).len(),
            targets.len(),
            move |present, decision| {
                let there = worth[decision].iter().zip(present).filter(|(_, p)| **p);
                0.1 + there.map(|(w, _)| w).sum::<f64>()
            },
        ))
    }
}

/// Ten documents of a title and one longer sentence.
fn corpus(folder: &Path) -> PathBuf {
    let document = |n: usize| {
        format!(
            "{n}|t|The Drug{n} is a cue of Pain.\n{n}|a|In this sentence there are more than ten words but a cue{n} and one Name.\n\n"
        )
    };
    let path = folder.join("corpus.pubtator");
    fs::write(&path, (0..10).map(document).collect::<String>()).unwrap();
    path
}

fn job(folder: &Path, out: Option<PathBuf>) -> Job {
    Job {
        corpus: corpus(folder),
        format: Format::Pubtator,
        options: Default::default(),
        settings: Setting::ALL.to_vec(),
        decisions: 1000,
        per_text: 1000,
        arms: Arm::list(&["occlusion", "shap", "lime_3n", "random"].map(String::from)).unwrap(),
        deletions: vec![Deletion::Mask, Deletion::Pad],
        limit: 8,
        coding: true,
        seed: 5,
        threads: 1,
        out,
        evidence: Vec::new(),
        shuffle: None,
    }
}

fn measured(model: &Sums, job: &Job) -> Result<Report> {
    run(model, job, |_| Ok(Sums::new()))
}

fn section(report: &Report, setting: Setting, kind: Kind) -> &report::Section {
    let of = |s: &&report::Section| s.setting == setting && s.kind == kind && s.deletion == "mask";
    report.sections.iter().find(of).unwrap()
}

#[test]
fn the_true_order_reaches_the_limits_and_its_opposite_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let report = measured(&Sums::new(), &job(folder.path(), None)).unwrap();
    assert_eq!(report.sections.len(), 8); // two settings, two kinds, two ways of deleting
    let short = section(&report, Setting::Short, Kind::Entity);
    // "The", "Drug7", "is", .. "Pain.": three capitals in the title; the other sentence is too long.
    assert_eq!((short.decisions, short.texts, short.words), (30, 10, 7.0));
    assert_eq!(short.degenerate, 0);
    let [occlusion, shap, lime, random] = short.rows.as_slice() else {
        panic!("{:?}", short.rows)
    };
    let value = |row: &report::Row, key: &str| row.figure(key).unwrap().value;
    for prefix in ["", "eraser_"] {
        let [comprehensiveness, sufficiency] =
            ["comprehensiveness", "sufficiency"].map(|name| format!("{prefix}normalised_{name}"));
        assert!((value(occlusion, &comprehensiveness) - 1.0).abs() < 1e-6);
        assert!(value(occlusion, &sufficiency).abs() < 1e-6);
        assert!(value(shap, &comprehensiveness).abs() < 1e-6);
        assert!((value(shap, &sufficiency) - 1.0).abs() < 1e-6);
        assert!((0.1..0.9).contains(&value(random, &comprehensiveness)));
    }
    assert!((value(occlusion, "tau_leave_one_out") - 1.0).abs() < 1e-6);
    assert!((value(shap, "tau_leave_one_out") + 1.0).abs() < 1e-6);
    assert_eq!(lime.figure("tau_leave_one_out"), None); // all its weights are equal
    assert_eq!(value(shap, "completeness_error_median"), f64::from(0.02f32));
    assert_eq!(value(occlusion, "passes"), 8.0);
    assert!(occlusion.over_baseline["normalised_comprehensiveness"].low > 0.0);
    assert_eq!(lime.used["attention"], 30);

    let window = section(&report, Setting::Window, Kind::Relation);
    assert_eq!(
        (window.decisions, window.texts, window.words),
        (10, 10, 22.0)
    );
    let [occlusion, shap, ..] = window.rows.as_slice() else {
        panic!()
    };
    // 0.1 + two ends of 0.1, two cues of 0.4, the last word: 1.11. Sizes 1, 2, 3, 5 and 11 of 22: losses 0.4, 0.8, 0.9, 1.01, 1.01.
    let expected = (0.4 + 0.8 + 0.9 + 1.01 + 1.01) / 5.0 / 1.11;
    assert!((value(occlusion, "comprehensiveness_by_p") - expected).abs() < 1e-6);
    let kept = (0.61 + 0.21 + 0.11) / 5.0 / 1.11;
    assert!((value(occlusion, "sufficiency_by_p") - kept).abs() < 1e-6);
    assert!(value(shap, "sufficiency_by_p") > value(occlusion, "sufficiency_by_p"));
    assert!(occlusion.figure("coding_comprehensiveness_by_p").is_some());
    assert!((window.score_gap - (1.11 - 0.71)).abs() < 1e-6);

    let tables = report.tables();
    assert!(
        tables.contains("short texts, entities, deleted: mask: 30 decisions in 10 texts"),
        "{tables}"
    );
    assert!(!tables.contains("Drug"), "{tables}");
}

#[test]
fn quotas_end_a_run_and_its_texts_are_drawn_by_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(folder.path(), None);
    job.decisions = 4;
    job.settings = vec![Setting::Short];
    let report = measured(&Sums::new(), &job).unwrap();
    assert_eq!(section(&report, Setting::Short, Kind::Entity).decisions, 4);
    assert_eq!(
        section(&report, Setting::Short, Kind::Relation).decisions,
        4
    );
    job.limit = table::MOST_PLAYERS + 1;
    assert!(matches!(measured(&Sums::new(), &job), Err(Error::Usage(_))));
}

/// The report without what the clock says.
fn timeless(report: &Report) -> Value {
    let mut json = report.json();
    for section in json["sections"].as_array_mut().unwrap() {
        for row in section["rows"].as_array_mut().unwrap() {
            for key in ["ms", "ms_together"] {
                row["figures"].as_object_mut().unwrap().remove(key);
            }
        }
    }
    json
}

#[test]
fn a_run_that_was_killed_again_and_again_ends_as_the_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = measured(&Sums::new(), &job(folder.path(), None)).unwrap();
    let job = job(folder.path(), Some(folder.path().join("out")));
    let model = Sums::new();
    let mut failures = 0;
    let report = loop {
        model.lives.set(60);
        match measured(&model, &job) {
            Ok(report) => break report,
            Err(error) => assert_eq!(error.to_string(), "killed"),
        }
        failures += 1;
        assert!(failures < 100, "it does not get on");
    };
    assert!(failures > 2, "it was never killed");
    assert_eq!(timeless(&report), timeless(&whole));

    model.lives.set(0);
    assert_eq!(
        timeless(&measured(&model, &job).unwrap()),
        timeless(&whole),
        "nothing is left to explain"
    );
    for file in ["report.json", "report.txt", "report.html"] {
        let text = fs::read_to_string(folder.path().join("out").join(file)).unwrap();
        assert!(
            text.contains("occlusion") && !text.contains("Drug"),
            "{file}"
        );
    }
    let other = Job { seed: 6, ..job };
    let refused = measured(&model, &other).unwrap_err().to_string();
    assert!(refused.contains("seed is 5 there, 6 here"), "{refused}");
}

#[test]
fn the_card_gets_the_table_and_the_model_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let report = measured(&Sums::new(), &job(folder.path(), None)).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.bundle");
    let bundle = folder.path().join("bundle");
    fs::create_dir(&bundle).unwrap();
    for file in fs::read_dir(&tiny).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), bundle.join(file.file_name())).unwrap();
    }
    let before = Bundle::open(&bundle).unwrap().manifest;
    let hash = card::write(&bundle, &report).unwrap();
    let after = Bundle::open(&bundle).unwrap();
    assert_eq!(after.hash, hash);
    assert_eq!(card::model_hash(&after.manifest), card::model_hash(&before));
    for (name, hash) in &before.files {
        assert_eq!(
            after.manifest.files[name] == *hash,
            name != "README.md",
            "{name}"
        );
    }
    assert_eq!(after.manifest.provenance, before.provenance);
    let text = fs::read_to_string(bundle.join("README.md")).unwrap();
    assert!(
        text.contains("## Explanations") && text.contains("## Limits"),
        "{text}"
    );
    assert_eq!(
        card::write(&bundle, &report).unwrap(),
        hash,
        "writing again changes nothing"
    );
}

/// PHEE's words for the corpus's titles: the pair's evidence is the cue, to which occlusion points and SHAP does not.
#[test]
fn evidence_is_pointed_at_by_those_who_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phee.json");
    let mut sums = Sums::new();
    sums.manifest.relations[0].name = "causes".into();
    let line = |n: usize| {
        let text = format!("of Drug{n} there is a cue in Pain now");
        let argument = |word: &str| json!({"text": [[word]], "start": [[text.find(word)]]});
        json!({"context": text, "annotations": [{"events": [{"event_type": "Adverse_event", "Trigger": argument("cue"),
            "Treatment": {"Drug": argument(&format!("Drug{n}"))}, "Effect": argument("Pain")}]}]})
        .to_string()
    };
    fs::write(&path, (0..5).map(|n| line(n) + "\n").collect::<String>()).unwrap();
    let mut job = job(folder.path(), None);
    job.settings = vec![Setting::Short];
    job.evidence = vec![path.clone()];
    let report = measured(&sums, &job).unwrap();
    let [occlusion, shap, ..] = report.evidence["phee.json"].as_slice() else {
        panic!("{:?}", report.evidence)
    };
    assert_eq!(
        (
            occlusion.decisions,
            occlusion.top1.value,
            occlusion.auprc.value
        ),
        (5, 1.0, 1.0)
    );
    assert_eq!((shap.top1.value, shap.top3.value), (0.0, 0.0));
    assert!(
        report
            .tables()
            .contains("evidence marked in phee.json: 5 relations")
    );
    // A bundle without such a relation: nothing to say, and no failure.
    let report = measured(&Sums::new(), &job).unwrap();
    assert!(report.evidence.is_empty());
}
