//! Corpora of other formats through the real program: looked at, trained on, measured on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use mini::{Mini, distill, stderr};
use serde_json::Value;

/// A brat folder with one document of two sentences of the mini corpus; the second names both things again.
fn brat(mini: &Mini) -> std::path::PathBuf {
    let folder = mini.path("brat");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("a.txt"),
        "Aspirin caused gastric ulcer in three patients. Gastric ulcer was seen after aspirin.",
    )
    .unwrap();
    std::fs::write(
        folder.join("a.ann"),
        "T1\tDrug 0 7\tAspirin\nT2\tSign 15 28\tgastric ulcer\nT3\tSign 48 61\tGastric ulcer\nT4\tDrug 77 84\taspirin\nT5\tCue 71 76\tafter\n\
         R1\tAE Drug:T1 Sign:T2\nR2\tAE Drug:T4 Sign:T3\n",
    )
    .unwrap();
    folder
}

fn check(arguments: &[&std::ffi::OsStr], code: i32) -> (String, String) {
    let output = distill()
        .args(["data", "check"])
        .args(arguments)
        .output()
        .unwrap();
    let said = stderr(&output, code);
    (String::from_utf8(output.stdout).unwrap(), said)
}

#[test]
fn defects_are_listed_and_are_an_exit_code() {
    let mini = Mini::new();
    let recipe = mini.path("mini.toml");
    let arguments = ["--recipe".as_ref(), recipe.as_os_str()];
    let (report, said) = check(&arguments, 0);
    assert!(said.is_empty(), "{said}");
    assert!(
        report.contains("mini.pubtator (pubtator, train)") && report.contains("causes"),
        "{report}"
    );

    let first = mini.edit("mini.pubtator", "\t0\t13\tGastric", "\t1\t14\tGastric");
    let second = mini.edit("mini.pubtator", "\t111\t117\tNausea", "\t111\t1170\tNausea");
    let (report, said) = check(&arguments, 1);
    for line in [first, second] {
        assert!(
            report.contains(&format!("mini.pubtator:{line}: ")),
            "{report}"
        );
    }
    assert!(said.ends_with("2 defects\n"), "{said}");
    let (json, _) = check(&[arguments.as_slice(), &["--json".as_ref()]].concat(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    let defects = json.pointer("/corpora/1/defects").unwrap();
    assert_eq!(defects.as_array().unwrap().len(), 2, "{defects}");
}

#[test]
fn flags_that_do_not_fit_the_format_are_usage() {
    for arguments in [
        &["--corpus", "x", "--format", "csv"][..],
        &["--corpus", "x", "--format", "brat", "--sentences"],
        &["--corpus", "x", "--recipe", "y"],
        &["--corpus", "x", "--format", "word"],
        &[],
    ] {
        let arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(|a| a.as_ref()).collect();
        check(&arguments, 2);
    }
    let missing = ["--corpus", "nowhere"].map(std::ffi::OsStr::new);
    assert!(check(&missing, 1).1.contains("cannot read nowhere"));
}

/// libbie's grouping makes two mentions of one name one entity, and the two relations between them one.
#[test]
fn a_mention_level_corpus_is_measured_by_entities() {
    let mini = Mini::new();
    let folder = brat(&mini);
    let output = distill()
        .args(["eval", "--json", "--format", "brat", "--bundle"])
        .arg(mini::data().join("../../../tests/data/tiny.bundle"))
        .arg("--corpus")
        .arg(&folder)
        .args([
            "--map",
            "Drug=Chemical",
            "--map",
            "Sign=Disease",
            "--map",
            "AE=causes",
        ])
        .output()
        .unwrap();
    stderr(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let at = |path: &str| report.pointer(path).cloned().unwrap_or_default();
    assert_eq!(report["documents"], 1, "{report}");
    assert_eq!(at("/relations/gold/causes"), "corpus", "{report}");
    assert_eq!(
        at("/relations/gold_entities/by_type/causes/support"),
        1,
        "{report}"
    );
    assert_eq!(at("/ner/by_type/Chemical/support"), 2, "{report}");
}

#[test]
fn a_mention_level_corpus_is_trained_on() {
    let mini = Mini::new();
    brat(&mini);
    let entry = "[[corpora]]\npath = \"brat\"\nformat = \"brat\"\nmap = { Drug = \"Chemical\", Sign = \"Disease\", AE = \"causes\" }\n\
                 annotates = [\"Chemical\", \"Disease\"]\ngold_relations = [\"causes\"]\n\n[[teachers]]";
    mini.edit("mini.toml", "[[teachers]]", entry);
    mini.edit("mini.toml", "epochs = 80", "epochs = 1");
    let said = stderr(&mini.train("out", &[]).output().unwrap(), 0);
    assert!(
        said.contains("neither mapped nor in the schema: Cue (1)"),
        "{said}"
    );
}
