//! `distill adapt`, the real program: another vocabulary, masked words, what is written, and a killed run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::fs;
use std::path::Path;
use std::process::Command;

use distill::student::base::Base;
use distill::student::bundled::Bundled;
use distill::student::encoder::WORDS;
use mini::{Mini, data, distill, stderr};
use serde_json::Value;

/// tiny-bert's pieces in reverse (so no special token has its old id), and three that are new.
fn vocabulary() -> String {
    let old = fs::read_to_string(data().join("tiny-bert/vocab.txt")).unwrap();
    let mut pieces: Vec<&str> = old.lines().rev().collect();
    pieces.extend(["ibuprofen", "##iaine", "漢"]);
    pieces.join("\n")
}

/// A folder with a base, a vocabulary, texts in which each drug has one effect, and the recipe `a.toml`.
fn prepare(more: &str) -> Mini {
    let mini = Mini::new();
    fs::create_dir(mini.path("vocabulary")).unwrap();
    fs::write(mini.path("vocabulary/vocab.txt"), vocabulary()).unwrap();
    fs::create_dir(mini.path("texts")).unwrap();
    let facts = [
        ("ibuprofen", "ulcer"),
        ("heparin", "bleeding"),
        ("insulin", "hypoglycemia"),
        ("digoxin", "bradycardia"),
        ("captopril", "cough"),
        ("lithium", "tremor"),
    ];
    for n in 0..24 {
        let sentence = |i: usize| {
            let (drug, effect) = facts[(n + i) % facts.len()];
            match i % 3 {
                0 => format!("{drug} caused {effect} in two patients."),
                1 => format!("{effect} was seen after {drug} therapy."),
                _ => format!("The patients with {effect} received {drug} daily."),
            }
        };
        let text: Vec<String> = (0..12).map(sentence).collect();
        fs::write(mini.path(&format!("texts/{n}.txt")), text.join(" ")).unwrap();
    }
    let recipe = format!(
        "name = \"a\"\nseed = 5\nbase = \"tiny-bert\"\nvocabulary = \"vocabulary\"\n{more}"
    );
    fs::write(mini.path("a.toml"), recipe).unwrap();
    mini
}

const TEXT: &str = "[text]\npaths = [\"texts\"]\nheld_out = 6\nmax_tokens = 32\n[training]\nepochs = 30\nbatch = 8\nrate = 5e-3\n";

fn adapt(mini: &Mini, recipe: &str, out: &str, more: &[&str]) -> Command {
    let mut command = distill();
    command
        .args(["adapt", "--recipe"])
        .arg(mini.path(recipe))
        .arg("--out")
        .arg(mini.path(out))
        .args(more);
    command
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("adapt.json")).unwrap()).unwrap()
}

#[test]
fn a_vocabulary_is_exchanged_by_pieces_and_roles() {
    let mini = prepare("");
    let output = adapt(&mini, "a.toml", "out", &[]).output().unwrap();
    let said = stderr(&output, 0);
    assert!(
        said.contains("430 pieces: 427 shared, 2 made of old pieces, 1 unknown"),
        "{said}"
    );
    let old = Base::read(&data().join("tiny-bert"), |c| Ok(c.all())).unwrap();
    let new = Base::read(&mini.path("out"), |c| Ok(c.all())).unwrap();
    assert_eq!(new.config.vocab_size, 430);
    let row = |base: &Base, id: u32| {
        let table = &base.parameters.0[WORDS].data;
        table[id as usize * 32..][..32].to_vec()
    };
    let of = |base: &Base, piece: &str| row(base, base.tokenizer.special(piece).unwrap());
    for piece in [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "aspirin", "##profen",
    ] {
        assert_eq!(of(&new, piece), of(&old, piece), "{piece}");
        assert_ne!(new.tokenizer.special(piece), old.tokenizer.special(piece));
    }
    for (piece, parts) in [
        ("ibuprofen", ["ibu", "##profen"]),
        ("##iaine", ["##ia", "##ine"]),
    ] {
        let parts = parts.map(|part| of(&old, part));
        let mean = parts[0].iter().zip(&parts[1]).map(|(a, b)| (a + b) / 2.0);
        for (got, want) in of(&new, piece).iter().zip(mean) {
            assert!((got - want).abs() < 1e-6, "{piece}");
        }
    }
    // All else is the base's.
    let rest = |base: &Base| {
        let mut p = base.parameters.clone();
        p.0.remove(WORDS);
        p
    };
    assert_eq!(rest(&new), rest(&old));
    assert_eq!(
        new.tokenizer.encode("Ibuprofen").unwrap().sentences[0].len(),
        1
    );
    let config: Value =
        serde_json::from_slice(&fs::read(mini.path("out/config.json")).unwrap()).unwrap();
    let pad = new.tokenizer.special("[PAD]").unwrap();
    assert_eq!(
        (config["vocab_size"].clone(), config["pad_token_id"].clone()),
        (430.into(), pad.into())
    );
    assert_eq!(report(&mini.path("out"))["vocabulary"]["composed"], 2);
}

/// Words are found again better than before, the result is a base, and one that is adapted again begins where it ended.
#[test]
fn masked_words_are_learned_and_the_result_is_a_base() {
    let mini = prepare(TEXT);
    let out = mini.path("out");
    let said = stderr(&adapt(&mini, "a.toml", "out", &[]).output().unwrap(), 0);
    assert!(
        said.contains("18 documents") && said.contains("6 documents held out"),
        "{said}"
    );
    let first = report(&out);
    let figure = |report: &Value, when: &str, what: &str| report[when][what].as_f64().unwrap();
    let (before, after) = (
        figure(&first, "before", "perplexity"),
        figure(&first, "after", "perplexity"),
    );
    println!("perplexity {before} -> {after}");
    // As frequent as they are, the words have a perplexity of about 25; who knows the facts has far less.
    assert!(before > 15.0 && after < 6.0, "{before} -> {after}");
    assert!(figure(&first, "after", "bits_per_word") < figure(&first, "before", "bits_per_word"));

    let again = mini.edit(
        "a.toml",
        "base = \"tiny-bert\"\nvocabulary = \"vocabulary\"",
        "base = \"out\"",
    );
    assert_eq!(again, 3);
    mini.edit("a.toml", "rate = 5e-3", "rate = 0.0\nweight_decay = 0.0");
    mini.edit("a.toml", "epochs = 30", "epochs = 1");
    stderr(&adapt(&mini, "a.toml", "again", &[]).output().unwrap(), 0);
    let second = report(&mini.path("again"));
    assert_eq!(second["before"], first["after"], "the head is read back");
    assert_eq!(
        second["after"], first["after"],
        "a rate of 0 changes nothing"
    );
    assert_eq!(
        fs::read(mini.path("again/model.safetensors")).unwrap(),
        fs::read(out.join("model.safetensors")).unwrap()
    );

    // As a base, with one of its layers.
    mini.edit(
        "mini.toml",
        "base = \"tiny-bert\"",
        "base = \"out\"\nlayers = 1",
    );
    mini.edit("mini.toml", "epochs = 80", "epochs = 1");
    stderr(&mini.train("student", &[]).output().unwrap(), 0);
    let student = Bundled::from_bundle(&mini.path("student/fp32")).unwrap();
    assert_eq!((student.config.layers, student.config.vocab_size), (1, 430));
    let line = mini.edit("mini.toml", "layers = 1", "layers = [0, 2]");
    let said = stderr(&mini.train("other", &[]).output().unwrap(), 1);
    assert!(
        said.contains(&format!(
            "mini.toml:{line}: student.layers: there is no layer 2"
        )),
        "{said}"
    );
}

#[test]
fn a_killed_run_goes_on_to_the_same_weights() {
    let mini = prepare(&TEXT.replace("[training]", "[training]\ncheckpoint_minutes = 0.001"));
    stderr(
        &adapt(&mini, "a.toml", "unbroken", &[]).output().unwrap(),
        0,
    );
    let mut child = adapt(&mini, "a.toml", "out", &[]).spawn().unwrap();
    let has_checkpoint = || {
        fs::read_dir(mini.path("out/checkpoints")).is_ok_and(|files| {
            files
                .flatten()
                .any(|f| f.file_name().to_string_lossy().starts_with("step-"))
        })
    };
    while !has_checkpoint() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert!(
        !child.wait().unwrap().success(),
        "it was over before it was killed"
    );
    assert!(!mini.path("out/model.safetensors").exists());
    let said = stderr(&adapt(&mini, "a.toml", "out", &[]).output().unwrap(), 2);
    assert!(said.contains("add --resume"), "{said}");
    stderr(
        &adapt(&mini, "a.toml", "out", &["--resume"])
            .output()
            .unwrap(),
        0,
    );
    for file in ["model.safetensors", "adapt.json", "config.json"] {
        let read = |out: &str| fs::read(mini.path(out).join(file)).unwrap();
        assert!(read("out") == read("unbroken"), "{file} differs");
    }
}

#[test]
fn what_cannot_be_adapted_is_said() {
    let mini = prepare(TEXT);
    let said = stderr(
        &adapt(&mini, "a.toml", "tiny-bert", &[]).output().unwrap(),
        2,
    );
    assert!(said.contains("the base itself"), "{said}");
    mini.edit("a.toml", "max_tokens = 32", "max_tokens = 129");
    let said = stderr(&adapt(&mini, "a.toml", "out", &[]).output().unwrap(), 2);
    assert!(said.contains("at most 128 positions"), "{said}");
    mini.edit("a.toml", "max_tokens = 129", "max_tokens = 32");
    let pieces = vocabulary().replace("[MASK]\n", "");
    fs::write(mini.path("vocabulary/vocab.txt"), pieces).unwrap();
    let said = stderr(&adapt(&mini, "a.toml", "out", &[]).output().unwrap(), 2);
    assert!(said.contains("no [MASK]"), "{said}");
    let line = mini.edit("a.toml", "held_out = 6", "held_out = 6\nheldout = 7");
    let said = stderr(&adapt(&mini, "a.toml", "out", &[]).output().unwrap(), 1);
    assert!(
        said.contains(&format!("a.toml:{}: unknown field", line + 1)),
        "{said}"
    );
}
