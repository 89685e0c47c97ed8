//! What is wrong with a run's input is said in one line before anything is trained: which file, which line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use mini::{Mini, distill, stderr};

/// Trains on the spoiled copy: exit 1, one line that begins with `place` and holds `why`; nothing was begun.
fn refused(mini: &Mini, place: &str, why: &str) {
    let said = stderr(&mini.train("out", &[]).output().unwrap(), 1);
    let folder = mini.path("").display().to_string();
    assert!(
        said.starts_with(&format!("distill: {folder}{place}: ")),
        "{place} is not where the error is: {said}"
    );
    assert!(said.contains(why), "{why:?} is not in: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains("gastric"), "the document is quoted: {said}");
    assert!(!mini.path("out/checkpoints").exists());
}

#[test]
fn a_bad_line_of_a_recipe_corpus_or_teacher_is_named() {
    for (file, good, bad, why) in [
        ("mini.toml", "seed = 1", "sead = 1", "sead"),
        ("mini.toml", "seed = 1", "seed = one", ""),
        (
            "mini.toml",
            "temperature = 1.0",
            "temperature = -1.0",
            "out of range",
        ),
        (
            "mini.toml",
            "\"mini-teacher.jsonl\"\n\n[dist",
            "\"nothing.jsonl\"\n\n[dist",
            "nothing.jsonl",
        ),
        ("mini.toml", "epochs = 80", "epochs = 0", "out of range"),
        (
            "mini.toml",
            "max_tokens = 32",
            "max_tokens = 320",
            "at most 128 positions",
        ),
        (
            "mini.toml",
            "relation_block = 8",
            "relation_block = 7",
            "relation_block",
        ),
        (
            "mini.pubtator",
            "\t0\t13\tGastric ulcer",
            "\t1\t14\tGastric ulcer",
            "surface form",
        ),
        (
            "mini.pubtator",
            "CID\tD90001\tD91018",
            "CID\tD90001\tD99999",
            "D99999",
        ),
        (
            "mini-eval.pubtator",
            "|a|Captopril",
            "|b|Captopril",
            "|a|abstract",
        ),
        (
            "mini-teacher.jsonl",
            "\"none\": 0.08",
            "\"none\": 0.5",
            "pairs[0]",
        ),
        (
            "mini-teacher.jsonl",
            "\"probs\": {\"none\": 0.1, \"interacts\": 0.9}",
            "\"probs\": {\"none\": 1.08}",
            "is not a probability",
        ),
    ] {
        let mini = Mini::new();
        let line = mini.edit(file, good, bad);
        refused(&mini, &format!("{file}:{line}"), why);
    }
}

#[test]
fn a_bad_base_is_named() {
    for (file, good, bad, why) in [
        ("config.json", "\"hidden_size\": 32,", "", "hidden_size"),
        (
            "config.json",
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
            "num_attention_heads",
        ),
        (
            "config.json",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 0",
            "num_hidden_layers",
        ),
        (
            "config.json",
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"relu\"",
            "relu",
        ),
        (
            "config.json",
            "\"absolute\"",
            "\"relative_key\"",
            "relative_key",
        ),
        ("vocab.txt", "[CLS]\n", "[cls]\n", "[CLS]"),
    ] {
        let mini = Mini::new();
        mini.edit(&format!("tiny-bert/{file}"), good, bad);
        refused(&mini, &format!("tiny-bert/{file}"), why);
    }
    let mini = Mini::new();
    mini.edit("tiny-bert/vocab.txt", "[MASK]\n", "[MASK]\nsupernumerary\n");
    refused(
        &mini,
        "tiny-bert/vocab.txt",
        "428 pieces, but config.json has vocab_size 427",
    );

    let mini = Mini::new();
    std::fs::write(mini.path("tiny-bert/tokenizer.json"), "{}").unwrap();
    refused(&mini, "tiny-bert/tokenizer.json", "BertNormalizer");

    let model = "tiny-bert/model.safetensors";
    let whole = std::fs::read(mini::data().join(model)).unwrap();
    for length in [0, 7, 1000, whole.len() / 2, whole.len() - 1] {
        let mini = Mini::new();
        std::fs::write(mini.path(model), &whole[..length]).unwrap();
        let why = match length {
            0 | 7 => "shorter than its header",
            1000 => "its header claims",
            _ => "is the file whole?",
        };
        refused(&mini, model, why);
    }
    let mini = Mini::new();
    mini.edit(
        "tiny-bert/config.json",
        "\"intermediate_size\": 64",
        "\"intermediate_size\": 65",
    );
    refused(&mini, model, "config.json implies");
}

#[test]
fn a_missing_runtime_is_the_environments_fault() {
    let mini = Mini::new();
    let output = mini
        .train("out", &[])
        .env("BIE_RUNTIME", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    let said = stderr(&output, 3);
    assert!(
        said.contains("/nowhere/libonnxruntime.so") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn usage_is_2() {
    for arguments in [
        &["train"][..],
        &["train", "--recipe", "r.toml"],
        &["eval", "--bundle", "b"],
        &["walk"],
        &[],
    ] {
        stderr(&distill().args(arguments).output().unwrap(), 2);
    }
}
