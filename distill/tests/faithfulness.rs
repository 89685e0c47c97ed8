//! Explanations of a model of which it is known what it decides by: planted cues, shuffled weights, and `distill faithfulness` on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bie::bundle::Bundle;
use bie::explain::Deletion;
use bie::{Engine, Options};
use distill::faithfulness::arms::Arm;
use distill::faithfulness::evidence::{self, Marked, Statement, What};
use distill::faithfulness::measure::Study;
use distill::faithfulness::model::Opened;
use distill::faithfulness::randomised;
use distill::faithfulness::report::Pointing;
use mini::{data, distill, stderr};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const CHEMICALS: &str = "aspirin cocaine digoxin heparin insulin lithium metformin morphine warfarin ethanol nicotine caffeine";
const DISEASES: &str = "angina asthma bleeding cough fever headache nausea pain rash tremor anemia stroke edema vomiting";
const FILLERS: &str = "after and during for in of one patient patients seen the then three two was were with on at from to had been has day week \
    year man woman men women study group case reports acute mild severe chronic daily dose";
/// With it in the sentence the chemical causes the disease, without it nothing is said.
const CAUSES: &str = "dopamine";
/// With it in the sentence [`NAME`] is a chemical, without it a disease.
const CHEMICAL: &str = "histamine";
const NAME: &str = "block";
/// Words that stand where a cue might, and decide nothing.
const DECOYS: &str = "serotonin adrenaline after and during";

/// Methods that ship as faithful. The others are views (attention, rollout) or a single gradient, which says nothing where a score is saturated: of
/// these planted entities, scored 0.99 and more, it finds 3 % of the cues.
const FAITHFUL: [&str; 6] = [
    "auto",
    "guided_occlusion",
    "integrated_gradients",
    "occlusion",
    "shap",
    "lime",
];

/// Decisions of each kind on which the cues are looked for.
const CUES: usize = 60;

/// A sentence, its entities (start, end, type), whether the relation holds, and where the cue is.
struct Sentence {
    text: String,
    entities: Vec<(usize, usize, &'static str)>,
    causes: bool,
    cue: Option<std::ops::Range<usize>>,
}

fn sentence(random: &mut ChaCha8Rng, relation: bool) -> Sentence {
    let pick = |random: &mut ChaCha8Rng, list: &'static str| -> &'static str {
        let words: Vec<&str> = list.split_whitespace().collect();
        words.choose(random).unwrap()
    };
    let mut words: Vec<&str> = (0..random.random_range(4..8))
        .map(|_| pick(random, FILLERS))
        .collect();
    let planted = random.random_bool(0.5);
    let cue = match (planted, relation) {
        (false, _) => pick(random, DECOYS),
        (true, true) => CAUSES,
        (true, false) => CHEMICAL,
    };
    let named: Vec<(&str, &str)> = if relation {
        vec![
            (pick(random, CHEMICALS), "Chemical"),
            (pick(random, DISEASES), "Disease"),
        ]
    } else {
        vec![(NAME, if planted { "Chemical" } else { "Disease" })]
    };
    for word in named.iter().map(|(name, _)| *name).chain([cue]) {
        words.insert(random.random_range(0..=words.len()), word);
    }
    // The title is the first full stop.
    let text = format!(". {} .", words.join(" "));
    let place = |word: &str| {
        let start = 1 + text.find(&format!(" {word} ")).unwrap();
        start..start + word.len()
    };
    Sentence {
        entities: named
            .iter()
            .map(|(name, kind)| (place(name).start, place(name).end, *kind))
            .collect(),
        causes: relation && planted,
        cue: planted.then(|| place(cue)),
        text,
    }
}

fn sentences(seed: u64, count: usize) -> Vec<Sentence> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|n| sentence(&mut random, n % 2 == 0))
        .collect()
}

fn pubtator(sentences: &[Sentence]) -> String {
    let document = |(n, s): (usize, &Sentence)| {
        let mut lines = format!("{n}|t|.\n{n}|a|{}\n", &s.text[2..]);
        for (concept, (start, end, kind)) in s.entities.iter().enumerate() {
            let name = &s.text[*start..*end];
            lines += &format!("{n}\t{start}\t{end}\t{name}\t{kind}\tC{concept}\n");
        }
        if s.causes {
            lines += &format!("{n}\tCID\tC0\tC1\n");
        }
        lines + "\n"
    };
    sentences.iter().enumerate().map(document).collect()
}

const RECIPE: &str = r#"
name = "planted"
seed = 1
limits = "It knows two cues that were planted for a test."
student = { base = "BASE", max_tokens = 32, relation_block = 8, dropout = 0.05 }
distillation = { temperature = 1.0, gold_weight = 1.0 }
schema.entities = [{ name = "Chemical" }, { name = "Disease" }]
schema.relations = [{ name = "causes", head = ["Chemical"], tail = ["Disease"] }]
corpora = [{ path = "train.pubtator", format = "pubtator", map = { CID = "causes" }, annotates = ["Chemical", "Disease"], gold_relations = ["causes"] }]
training = { epochs = 60, batch_documents = 16, encoder_rate = 5e-3, head_rate = 5e-3, weight_decay = 0.01, warmup = 0.06, threads = 1 }
"#;

/// A bundle that learned the cues, and a corpus that it did not see.
static PLANTED: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let base = data().join("tiny-bert");
    write(
        "planted.toml",
        &RECIPE.replace("BASE", base.to_str().unwrap()),
    );
    write("train.pubtator", &pubtator(&sentences(1, 400)));
    write("held-out.pubtator", &pubtator(&sentences(2, 60)));
    let mut command = distill();
    command
        .arg("train")
        .arg("--recipe")
        .arg(folder.join("planted.toml"))
        .arg("--out")
        .arg(folder.join("out"));
    stderr(&command.output().unwrap(), 0);
    folder
});

fn opened(bundle: &Path) -> Opened {
    Opened::new(Engine::open(bundle, &Options::new()).unwrap())
}

fn study<'m>(model: &'m Opened, arms: &[&str]) -> Study<'m, Opened> {
    let names: Vec<String> = arms.iter().map(|name| (*name).to_owned()).collect();
    Study {
        model,
        arms: Arm::list(&names).unwrap(),
        deletions: vec![Deletion::default()],
        limit: 10,
        coding: false,
        seed: 0,
        options: Options::new(),
    }
}

/// What each arm makes of the planted cues of one kind, by name.
fn pointing(precision: &str, relation: bool) -> BTreeMap<String, Pointing> {
    let marked: Vec<Marked> = sentences(3, 320)
        .into_iter()
        .filter(|s| relation == (s.entities.len() == 2))
        .filter_map(|s| {
            let span = |n: usize| s.entities[n].0..s.entities[n].1;
            let what = if relation {
                What::Relation(vec![span(0)], vec![span(1)], "causes".to_owned())
            } else {
                What::Entity(span(0), "Chemical".to_owned())
            };
            let evidence = vec![s.cue.clone()?];
            Some(Marked {
                statements: vec![Statement { what, evidence }],
                text: s.text,
            })
        })
        .take(CUES)
        .collect();
    let model = opened(&PLANTED.join("out").join(precision));
    let arms: Vec<&str> = FAITHFUL.into_iter().chain(["random"]).collect();
    let found = evidence::check(
        &study(&model, &arms),
        &marked,
        Deletion::default(),
        |_, _| {},
    );
    let found = found.unwrap();
    assert_eq!(found.len(), arms.len());
    found.into_iter().map(|p| (p.method.clone(), p)).collect()
}

#[test]
fn faithful_methods_find_the_planted_cues() {
    let mut failures = Vec::new();
    for precision in ["fp32", "int8"] {
        for relation in [true, false] {
            for (method, p) in pointing(precision, relation) {
                assert!(p.decisions >= 50, "{p:?}");
                let (auc, top) = (p.auc_others.value, p.top1.value);
                println!("{precision} relation {relation} {method}: {auc:.3} {top:.3}");
                if method == "random" {
                    assert!((auc - 0.5).abs() < 0.15 && top < 0.4, "{p:?}");
                } else if auc < 0.95 || top < 0.9 {
                    failures.push(format!(
                        "{precision}, relation {relation}, {method}: ROC-AUC {auc:.3}, cue first {top:.3}"
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn shuffled_weights_leave_no_trace_of_the_explanations() {
    for precision in ["fp32", "int8"] {
        let bundle = PLANTED.join("out").join(precision);
        let folder = tempfile::tempdir().unwrap();
        let copy = |seed: u64| {
            let copy = folder.path().join(seed.to_string());
            randomised::write(&bundle, &copy, seed).unwrap();
            copy
        };
        let copies: Vec<PathBuf> = (0..3).map(copy).collect();
        let (before, after) = (
            Bundle::open(&bundle).unwrap(),
            Bundle::open(&copies[0]).unwrap(),
        );
        assert_eq!(before.tokenizer, after.tokenizer);
        assert_eq!(before.encoder.len(), after.encoder.len());
        assert_ne!(before.encoder, after.encoder);
        assert_ne!(before.relations, after.relations);

        let trained = opened(&bundle);
        let forgetful: Vec<Opened> = copies.iter().map(|copy| opened(copy)).collect();
        let texts: Vec<String> = sentences(4, 36).into_iter().map(|s| s.text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let trained = study(&trained, &FAITHFUL);
        let others: Vec<_> = forgetful.iter().map(|m| study(m, &FAITHFUL)).collect();
        for agreement in randomised::check(&trained, &others, &texts, Deletion::default()).unwrap()
        {
            println!("{precision} {agreement:?}");
            assert!(agreement.decisions >= 50, "{agreement:?}");
            assert!(agreement.spearman.value <= 0.2, "{precision} {agreement:?}");
        }
        // The check can fail: a model agrees with itself.
        let same = randomised::check(
            &trained,
            &[study(trained.model, &FAITHFUL)],
            &texts,
            Deletion::default(),
        );
        let same = same.unwrap();
        assert!(same.iter().all(|a| a.spearman.value > 0.99), "{same:?}");
    }
}

fn faithfulness(out: &Path) -> Command {
    let mut command = distill();
    command
        .arg("faithfulness")
        .arg("--bundle")
        .arg(PLANTED.join("out/int8"))
        .arg("--corpus")
        .arg(PLANTED.join("held-out.pubtator"))
        .args([
            "--limit",
            "10",
            "--methods",
            "auto,occlusion,input_x_gradient,lime_3n,random",
            "--json",
            "--out",
        ])
        .arg(out);
    command
}

/// Figures, without those of the clock.
fn figures(stdout: &[u8]) -> Value {
    let mut report: Value = serde_json::from_slice(stdout).unwrap();
    for section in report["sections"].as_array_mut().unwrap() {
        for row in section["rows"].as_array_mut().unwrap() {
            let figures = row["figures"].as_object_mut().unwrap();
            assert!(figures.remove("ms_together").is_some() || row["method"] == "random");
            row["figures"].as_object_mut().unwrap().remove("ms");
        }
    }
    report
}

#[test]
fn the_table_survives_kill_9_and_says_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let whole = faithfulness(&folder.path().join("whole")).output().unwrap();
    stderr(&whole, 0);
    let report = figures(&whole.stdout);
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 8, "{report:#}");
    for section in sections {
        // int8 on a machine is deterministic: the game's score is the one that was reported.
        assert!(section["score_gap"].as_f64().unwrap() < 1e-3, "{section:#}");
        let value = |method: &str, figure: &str| {
            let rows = section["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["method"] == method).unwrap();
            row["figures"][figure]["value"].as_f64().unwrap()
        };
        assert!(value("auto", "comprehensiveness") > value("random", "comprehensiveness"));
        assert!(value("auto", "sufficiency") < value("random", "sufficiency"));
        if section["setting"] == "short" {
            for method in ["auto", "occlusion", "random"] {
                let x = value(method, "normalised_comprehensiveness");
                assert!((0.0..=1.0).contains(&x), "{section:#}");
            }
        }
        assert_eq!(value("occlusion", "tau_leave_one_out"), 1.0, "{section:#}");
    }

    let out = folder.path().join("broken");
    let journal = out.join("journal.jsonl");
    let lines = || {
        std::fs::read_to_string(&journal)
            .unwrap_or_default()
            .matches('\n')
            .count()
    };
    let mut kills = 0;
    for wanted in [3, 9, 20] {
        let mut child = faithfulness(&out).spawn().unwrap();
        let begun = Instant::now();
        while lines() < wanted && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        kills += usize::from(child.wait().unwrap().code().is_none());
    }
    assert!(kills > 0, "it was always over before it was killed");
    let resumed = faithfulness(&out).output().unwrap();
    stderr(&resumed, 0);
    assert_eq!(figures(&resumed.stdout), report);

    let mut other = faithfulness(&out);
    let refused = stderr(&other.args(["--seed", "7"]).output().unwrap(), 1);
    assert!(refused.contains("seed is 0 there, 7 here"), "{refused}");
    for file in ["report.txt", "report.html", "journal.jsonl"] {
        let text = std::fs::read_to_string(out.join(file)).unwrap();
        assert!(!text.contains("dopamine"), "{file} holds the texts' words");
    }
}
