//! The command `bie`: output, exit codes, and one line on stderr for every failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const TEXT: &str = "β-blockers and 😀 aspirin caused heart failure (HF) and nausea.\n\nThe HF went after ibuprofen.\n";

fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle")
}

/// `bie` with the tiny bundle as its default.
fn bie(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bie"));
    command
        .args(arguments)
        .env("BIE_BUNDLE", bundle())
        .stdin(Stdio::null());
    command
}

fn fed(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    // A command that is wrong ends before it reads.
    if let Err(error) = written {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    output
}

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{}: {stderr}",
        output.status
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit code, and the one line that says why, with all of these words.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(
        stderr.starts_with("bie: ") && stderr.ends_with('\n') && stderr.lines().count() == 1,
        "{stderr:?}"
    );
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn json_is_one_line_and_points_into_the_text() {
    for (unit, encode) in [
        ("utf8", (|text: &str| text.len()) as fn(&str) -> usize),
        ("utf16", |text| text.encode_utf16().count()),
        ("utf32", |text| text.chars().count()),
    ] {
        let command = bie(&[
            "extract",
            "--format",
            "json",
            "--min-score",
            "0",
            "--offset-unit",
            unit,
            "-",
        ]);
        let text = stdout(&fed(command, TEXT.as_bytes()));
        assert_eq!(text.lines().count(), 1);
        let result = json(&text);
        assert_eq!(result["offset_unit"], unit);
        assert_eq!(result["bundle_hash"].as_str().unwrap().len(), 64);
        assert_eq!(result["coverage"]["length"], encode(TEXT));
        let entities = result["entities"].as_array().unwrap();
        assert!(!entities.is_empty(), "{text}");
        for entity in entities {
            let words = entity["text"].as_str().unwrap();
            let start = entity["start"].as_u64().unwrap() as usize;
            let found = TEXT
                .match_indices(words)
                .any(|(at, _)| encode(&TEXT[..at]) == start);
            assert!(found, "{entity}");
            assert_eq!(
                start + encode(words),
                entity["end"].as_u64().unwrap() as usize
            );
        }
        assert!(
            !result["relations"].as_array().unwrap().is_empty(),
            "{text}"
        );
    }
}

#[test]
fn file_and_standard_input_threads_and_bundle_sources_give_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("text.txt");
    let text = TEXT.repeat(40);
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let from_file = stdout(&bie(&["extract", "--format=json", file]).output().unwrap());
    assert_eq!(
        from_file,
        stdout(&fed(
            bie(&["extract", "--format=json", "-"]),
            text.as_bytes()
        ))
    );
    assert_eq!(
        from_file,
        stdout(
            &bie(&["extract", "--threads", "4", "--format", "json", file])
                .output()
                .unwrap()
        )
    );
    let named = bundle();
    let mut command = bie(&[
        "extract",
        "--format",
        "json",
        file,
        "--bundle",
        named.to_str().unwrap(),
    ]);
    assert_eq!(
        from_file,
        stdout(&command.env("BIE_BUNDLE", "/no/such").output().unwrap())
    );
}

#[test]
fn text_names_entities_and_relations_without_colour_when_piped() {
    let text = stdout(&fed(
        bie(&["extract", "--min-score", "0", "-"]),
        TEXT.as_bytes(),
    ));
    assert!(
        text.contains(" entit") && text.contains('[') && text.contains(" → "),
        "{text}"
    );
    assert!(text.contains("\n  e0") && text.contains("\n  r0"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    let text = stdout(&fed(bie(&["extract", "-"]), b""));
    assert!(
        text.starts_with("no entities\n") && text.ends_with("no relations\n"),
        "{text}"
    );
}

/// `bie explain` of the test text by a method that every bundle can do.
fn explain(arguments: &[&str]) -> Command {
    let mut all = vec![
        "explain",
        "-",
        "--method",
        "occlusion",
        "--min-score",
        "0.3",
    ];
    all.extend(arguments);
    bie(&all)
}

#[test]
fn explain_says_why_in_text_json_page_and_picture() {
    let folder = TempDir::new().unwrap();
    let html = folder.path().join("why.html");
    let svg = folder.path().join("why.svg");
    let text = stdout(&fed(
        explain(&[
            "--target",
            "r0",
            "--faithfulness",
            "--heads",
            "--html",
            html.to_str().unwrap(),
            "--svg",
            svg.to_str().unwrap(),
        ]),
        TEXT.as_bytes(),
    ));
    for words in [
        "r0 ",
        " → ",
        "score 0.",
        "for  ",
        "against  ",
        "reliable ",
        "method   occlusion",
        "test  ",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(!text.contains('\x1b'));
    let page = std::fs::read_to_string(html).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>")
            && page.contains("<article id=\"d0\"")
            && !page.contains("<script"),
        "{page}"
    );
    assert!(page.contains("Attention heads: a view, not evidence"));
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(
        picture.starts_with("<svg ")
            && picture.contains("<title ")
            && picture.ends_with("</svg>\n"),
        "{picture}"
    );

    let json_text = stdout(&fed(
        explain(&["--format", "json", "--target", "e0,r0", "--target", "e0"]),
        TEXT.as_bytes(),
    ));
    assert_eq!(
        json_text,
        stdout(&fed(
            explain(&["--format=json", "--target=e0,r0", "--threads=2"]),
            TEXT.as_bytes()
        ))
    );
    assert_eq!(json_text.lines().count(), 1);
    let explanations = json(&json_text)["explanations"].as_array().unwrap().clone();
    let kinds: Vec<&str> = explanations
        .iter()
        .map(|one| one["target"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["entity", "relation"], "each target once");
    let extraction = &json(&json_text)["extraction"];
    assert_eq!(
        explanations[0]["target"]["start"],
        extraction["entities"][0]["start"]
    );
    assert_eq!(
        explanations[1]["target"]["head"],
        extraction["relations"][0]["head"]
    );
    for explanation in &explanations {
        assert_eq!(explanation["method"], "occlusion");
        for side in ["evidence_for", "evidence_against"] {
            for piece in explanation[side].as_array().unwrap() {
                let edge = |key: &str| piece[key].as_u64().unwrap() as usize;
                assert_eq!(
                    &TEXT[edge("start")..edge("end")],
                    piece["text"].as_str().unwrap()
                );
            }
        }
    }
}

#[test]
fn explain_takes_every_relation_or_else_every_entity() {
    let found = |text: &str| {
        let text = stdout(&fed(
            bie(&["extract", "-", "--format=json", "--min-score=0.3"]),
            text.as_bytes(),
        ));
        let result = json(&text);
        let count = |key: &str| result[key].as_array().unwrap().len();
        (count("entities"), count("relations"))
    };
    let explained = |text: &str, arguments: &[&str]| {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        let text = stdout(&fed(explain(&all), text.as_bytes()));
        json(&text)["explanations"].as_array().unwrap().len()
    };
    let (entities, relations) = found(TEXT);
    assert!(entities > 0 && relations > 0);
    assert_eq!(explained(TEXT, &[]), relations);
    assert_eq!(explained(TEXT, &["--target", "all"]), entities + relations);
    let lonely = "She took aspirin.";
    assert_eq!(found(lonely), (1, 0));
    assert_eq!(explained(lonely, &[]), 1);
    assert_eq!(explained("", &[]), 0);
    assert_eq!(
        stdout(&fed(explain(&[]), b"")),
        "nothing was found, so there is nothing to explain\n"
    );
}

#[test]
fn explain_by_itself_chooses_a_method_and_repeats_its_bytes() {
    let run = |arguments: &[&str]| stdout(&fed(bie(arguments), TEXT.as_bytes()));
    let first = run(&["explain", "-", "--min-score=0.3", "--format=json"]);
    let again = [
        "explain",
        "-",
        "--min-score=0.3",
        "--format=json",
        "--threads=3",
    ];
    assert_eq!(first, run(&again));
    for explanation in json(&first)["explanations"].as_array().unwrap() {
        assert_eq!(explanation["chosen"], true);
        assert_ne!(explanation["method"], "auto");
    }
    let text = run(&["explain", "-", "--min-score=0.3", "--target=r0"]);
    assert!(text.contains("The program chose this method"), "{text}");
}

#[test]
fn explain_of_a_bad_target_says_what_there_is() {
    for (arguments, words) in [
        (&["--target", "e999"][..], &["e999", "e0 to e"][..]),
        (&["--target", "r999"], &["r999", "bie extract"]),
        (&["--target", "x1"], &["x1", "e3:TYPE"]),
        (&["--target", "e+0"], &["e+0"]),
        (&["--target", "e0:Planet"], &["Planet", "Chemical, Disease"]),
        (
            &["--target", "e0:likes:e1"],
            &["likes", "causes, treats, interacts"],
        ),
        (
            &["--target", "r0", "--rival", "Chemical"],
            &["relation", "Chemical"],
        ),
        (
            &["--target", "e0:Chemical", "--rival", "Chemical"],
            &["--rival"],
        ),
        (&["--rival", "treats"], &["--target"]),
        (&["--svg", "x.svg"], &["--svg", "--target"]),
        (&["--svg", "x.svg", "--target", "all"], &["--svg"]),
        (&["--svg", "x.svg", "--target", "r0,e0"], &["--svg"]),
        (&["--html", "-"], &["--html"]),
        (&["--method", "magic"], &["method", "occlusion"]),
        (&["--evaluations", "0"], &["evaluations"]),
        (&["--offset-unit", "utf16"], &["--offset-unit"]),
    ] {
        let mut all = words.to_vec();
        all.push("bie --help");
        fails(&fed(explain(arguments), TEXT.as_bytes()), 2, &all);
    }
    let mut unwritable = vec!["--target", "e0", "--html"];
    unwritable.push("/no/such/folder/why.html");
    fails(
        &fed(explain(&unwritable), TEXT.as_bytes()),
        1,
        &["cannot write /no/such/folder/why.html"],
    );
}

#[test]
fn info_shows_what_the_bundle_knows() {
    let text = stdout(&bie(&["info"]).output().unwrap());
    let result = json(&stdout(&fed(
        bie(&["extract", "--format", "json", "-"]),
        b"",
    )));
    for key in ["model_id", "bundle_hash"] {
        assert!(text.contains(result[key].as_str().unwrap()), "{text}");
    }
    assert!(
        text.contains("entity type") && text.contains("relation type"),
        "{text}"
    );
}

#[test]
fn version_and_help() {
    let version = stdout(&bie(&["--version"]).output().unwrap());
    assert_eq!(
        version,
        format!("bie {} (onnxruntime 1.28.0)\n", env!("CARGO_PKG_VERSION"))
    );
    let help = stdout(&bie(&["--help"]).output().unwrap());
    for word in [
        "extract",
        "explain",
        "--target",
        "--rival",
        "--html",
        "--svg",
        "--method",
        "--players",
        "--faithfulness",
        "--heads",
        "--evaluations",
        "--time-budget-ms",
        "--seed",
        "info",
        "--bundle",
        "--format",
        "--offset-unit",
        "--min-score",
        "--threads",
        "exit codes",
    ] {
        assert!(help.contains(word), "{help}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn usage_is_2() {
    for (arguments, word) in [
        (&[][..], "no command"),
        (&["nothing"], "nothing"),
        (&["extract"], "FILE"),
        (&["extract", "-", "--wrong"], "--wrong"),
        (&["extract", "-", "--format", "xml"], "xml"),
        (&["extract", "-", "--offset-unit", "utf7"], "utf7"),
        (&["extract", "-", "--min-score", "2"], "min_score"),
        (&["extract", "-", "--threads", "0"], "threads"),
        (&["extract", "-", "--threads", "many"], "many"),
        (&["info", "file"], "file"),
    ] {
        fails(&bie(arguments).output().unwrap(), 2, &[word, "bie --help"]);
    }
}

#[test]
fn bad_input_is_1() {
    fails(
        &fed(bie(&["extract", "-"]), b"abc\xFF"),
        1,
        &["byte 3", "UTF-8"],
    );
    fails(
        &fed(bie(&["extract", "-"]), b"ab\xED\xA0\xBD\xED\xB8\x80"),
        1,
        &["byte 2"],
    );
    fails(
        &bie(&["extract", "/no/such/file"]).output().unwrap(),
        1,
        &["/no/such/file"],
    );
    let folder = bundle();
    fails(
        &bie(&["extract", folder.to_str().unwrap()])
            .output()
            .unwrap(),
        1,
        &["cannot read"],
    );
}

#[test]
fn a_bad_bundle_is_1() {
    for command in ["info", "extract"] {
        let arguments = if command == "info" {
            vec!["info"]
        } else {
            vec!["extract", "-"]
        };
        let mut missing = bie(&arguments);
        missing.env("BIE_BUNDLE", "/no/such/bundle");
        fails(&fed_nothing(missing), 1, &["/no/such/bundle"]);
    }
    let copy = TempDir::new().unwrap();
    for file in std::fs::read_dir(bundle()).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let model = copy.path().join("encoder.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&model, bytes).unwrap();
    let mut command = bie(&["info", "--bundle"]);
    command.arg(copy.path());
    fails(&fed_nothing(command), 1, &["encoder.onnx", "SHA-256"]);

    // No bundle anywhere: the program stands where no models/default is.
    let program = copy.path().join("a/b/c/bie");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    copy_program(&program);
    let mut command = Command::new(&program);
    command
        .arg("info")
        .current_dir(copy.path())
        .env_remove("BIE_BUNDLE");
    fails(
        &fed_nothing(command),
        1,
        &["--bundle", "BIE_BUNDLE", "models/default"],
    );
}

#[test]
fn the_default_bundle_is_found_beside_the_program() {
    let sdk = TempDir::new().unwrap();
    let program = sdk.path().join("bin/bie");
    let models = sdk.path().join("models/default");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::create_dir_all(&models).unwrap();
    copy_program(&program);
    for file in std::fs::read_dir(bundle()).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, models.join(file.file_name().unwrap())).unwrap();
    }
    let mut command = Command::new(&program);
    command
        .arg("info")
        .env_remove("BIE_BUNDLE")
        .current_dir("/");
    assert!(stdout(&fed_nothing(command)).contains("bundle hash"));
}

#[test]
fn a_missing_runtime_is_3() {
    let mut command = bie(&["extract", "-"]);
    command.env("BIE_RUNTIME", "/no/such/libonnxruntime.so");
    fails(
        &fed_nothing(command),
        3,
        &["ONNX Runtime", "/no/such/libonnxruntime.so"],
    );
    let mut command = bie(&["info"]);
    command.env_remove("BIE_RUNTIME");
    fails(&fed_nothing(command), 3, &["ONNX Runtime", "BIE_RUNTIME"]);
}

/// A reader that stops reading is not a failure.
#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = bie(&["--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty() && output.status.code().is_some());
}

/// Copies `bie` in a process of its own: a file that this one has open for writing is still open in a child that another test starts at that
/// moment, and cannot be executed until it is not.
fn copy_program(to: &Path) {
    let mut command = Command::new("cp");
    command.arg(env!("CARGO_BIN_EXE_bie")).arg(to);
    assert!(command.status().unwrap().success());
}

fn fed_nothing(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}
