//! What belongs to the process: one ONNX Runtime, forks, and silence.
//!
//! Each case runs in a process of its own: this program again, with the case's name in the environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bie::{Engine, Error, Options};

const CASE: &str = "BIE_TEST_CASE";

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle")
}

fn open(runtime_path: Option<&str>) -> Result<Engine, Error> {
    let mut options = Options::new();
    if let Some(path) = runtime_path {
        options.set_str("runtime_path", path).unwrap();
    }
    Engine::open(&tiny(), &options)
}

/// Runs `case` in a child of this test program; it must end well and, libtest's own lines apart, print nothing.
fn in_child(name: &str, change: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "case",
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CASE, name);
    change(&mut command);
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{name}: {} {out} {err}",
        output.status
    );
    assert_eq!(err, "", "{name} wrote to stderr");
    output
}

/// The cases; does nothing when it is not called for.
#[test]
#[ignore = "runs inside the other tests"]
fn case() {
    match std::env::var(CASE).as_deref() {
        Ok("missing") => {
            let message = runtime_error(open(None));
            assert!(
                message.contains("not found")
                    && message.contains("BIE_RUNTIME")
                    && message.contains("runtime_path"),
                "{message}"
            );
        }
        Ok("not there") => {
            let message = runtime_error(open(Some("/nonexistent/libonnxruntime.so")));
            assert!(
                message.contains("/nonexistent/libonnxruntime.so"),
                "{message}"
            );
        }
        Ok("not onnx runtime") => {
            let message = runtime_error(open(Some(
                &tiny().join("encoder.onnx").display().to_string(),
            )));
            assert!(message.contains("not a shared library"), "{message}");
            open(None).unwrap(); // a failure leaves nothing behind
        }
        Ok("two runtimes") => {
            let first = open(None).unwrap();
            let copy = std::env::var("BIE_TEST_COPY").unwrap();
            let message = runtime_error(open(Some(&copy)));
            assert!(message.contains("already uses"), "{message}");
            let again = std::env::var("BIE_RUNTIME").unwrap();
            let second = open(Some(&again)).unwrap();
            assert_eq!(
                first.extract("aspirin", &Options::new()).unwrap(),
                second.extract("aspirin", &Options::new()).unwrap()
            );
        }
        Ok("damaged") => {
            for (text, n) in [("aspirin causes nausea", 2), ("", 0)] {
                assert_eq!(
                    open(None)
                        .unwrap()
                        .extract(text, &Options::new())
                        .unwrap()
                        .entities
                        .len(),
                    n
                );
            }
            let folder = tempfile::tempdir().unwrap();
            assert!(Engine::open(folder.path(), &Options::new()).is_err());
        }
        Ok("leak at exit") => {
            std::mem::forget(open(None).unwrap());
            let engine: &'static Engine = Box::leak(Box::new(open(None).unwrap()));
            std::thread::spawn(|| {
                loop {
                    let _ = engine.extract(&"aspirin causes nausea ".repeat(100), &Options::new());
                }
            });
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        _ => {}
    }
}

fn runtime_error(opened: Result<Engine, Error>) -> String {
    match opened {
        Err(Error::Runtime(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_onnx_runtime_the_error_says_where_it_is_looked_for() {
    in_child("missing", |command| {
        command.env_remove("BIE_RUNTIME");
    });
    in_child("missing", |command| {
        command.env("BIE_RUNTIME", "");
    });
    in_child("not there", |_| {});
    in_child("not onnx runtime", |_| {});
}

#[test]
fn a_process_uses_one_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("other.so");
    std::fs::copy(std::env::var("BIE_RUNTIME").unwrap(), &copy).unwrap();
    in_child("two runtimes", |command| {
        command.env("BIE_TEST_COPY", &copy);
    });
}

#[test]
fn nothing_is_printed() {
    in_child("damaged", |_| {});
}

#[test]
fn exiting_with_engines_at_work_is_quiet() {
    for _ in 0..5 {
        in_child("leak at exit", |_| {});
    }
}
