//! Runs that survive: the real program killed at random and at exact moments, and every call by which it touches its files failing once.
//!
//! The moments and failures come from `c/faults.c`, preloaded. By default a sample of them is tried; `BIE_KILLS=200` kills so often at random and
//! `BIE_FAULTS=enospc,eio,short,9,torn,15` tries these kinds at every call (docs/surviving.md).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use bie::bundle::Bundle;
use mini::{Mini, stderr};

/// The library of faults, compiled.
static FAULTS: LazyLock<PathBuf> = LazyLock::new(|| {
    // Of its own: another process may be using one.
    let name = format!("faults-{}.so", std::process::id());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/faults.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    library
});

/// The hashes of the bundles of a run that nothing happened to, and how long it took.
static UNBROKEN: LazyLock<([String; 2], Duration)> = LazyLock::new(|| {
    let run = Run::saving("1");
    let begun = Instant::now();
    stderr(&run.train(&[]).output().unwrap(), 0);
    (run.hashes(), begun.elapsed())
});

/// A short run of the mini recipe, in a folder of its own.
struct Run {
    mini: Mini,
    minutes: String,
}

impl Run {
    /// One that saves a handful of times, however busy the machine is.
    fn new() -> Run {
        let bound = UNBROKEN.1.as_secs_f64() / 3.0;
        Run::saving(&format!("{:.4}", (bound / 60.0).max(0.001)))
    }

    fn saving(minutes: &str) -> Run {
        let mini = Mini::new();
        let keys = format!("epochs = 3\ncheckpoint_minutes = {minutes}");
        mini.edit("mini.toml", "epochs = 80", &keys);
        let minutes = minutes.to_owned();
        Run { mini, minutes }
    }

    fn save_rarely(&self) {
        let line = |minutes: &str| format!("checkpoint_minutes = {minutes}");
        self.mini
            .edit("mini.toml", &line(&self.minutes), &line("1"));
    }

    fn out(&self) -> PathBuf {
        self.mini.path("out")
    }

    fn train(&self, more: &[&str]) -> Command {
        self.mini.train("out", more)
    }

    /// A run in which something happens at call `at`.
    fn meddled(&self, more: &[&str], kind: &str, at: usize) -> Command {
        let _ = fs::remove_file(self.mini.path("log"));
        let mut command = self.train(more);
        command
            .env("LD_PRELOAD", &*FAULTS)
            .env("FAULT_ROOT", self.out())
            .env("FAULT_LOG", self.mini.path("log"))
            .env("FAULT_KIND", kind)
            .env("FAULT_AT", at.to_string());
        command
    }

    /// The calls of the meddled run: name and path; and which of them was meddled with.
    fn calls(&self) -> (Vec<(String, String)>, Option<usize>) {
        let log = fs::read_to_string(self.mini.path("log")).unwrap_or_default();
        let mut meddled = None;
        let mut calls: Vec<(usize, String, String)> = Vec::new();
        for line in log.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            let number: usize = word().parse().unwrap();
            calls.push((number, word().to_owned(), word().to_owned()));
            if word() == "!" {
                meddled.get_or_insert(number);
            }
        }
        calls.sort();
        let calls = calls.into_iter().map(|(_, name, path)| (name, path));
        (calls.collect(), meddled)
    }

    /// All calls, if nothing happens.
    fn undisturbed(&self) -> Vec<(String, String)> {
        stderr(&self.meddled(&[], "", 0).output().unwrap(), 0);
        self.is_whole("with the library of faults, but none");
        self.calls().0
    }

    /// The newest checkpoint that got its name before call `until`.
    fn safe(&self, until: usize) -> Option<u64> {
        let (calls, _) = self.calls();
        let named = calls.iter().take(until.saturating_sub(1));
        let steps = named
            .filter(|(name, _)| name == "rename")
            .filter_map(|(_, path)| {
                let name = Path::new(path).file_name()?.to_str()?;
                name.strip_prefix("step-")?
                    .strip_suffix(".checkpoint")?
                    .parse()
                    .ok()
            });
        steps.max()
    }

    fn hashes(&self) -> [String; 2] {
        ["fp32", "int8"].map(|precision| Bundle::open(&self.out().join(precision)).unwrap().hash)
    }

    /// Goes on to the end: from step `safe` or later, every checkpoint whole, to the bytes of the unbroken run, and nothing is left lying about.
    fn ends_well(&self, safe: Option<u64>, context: &str) {
        let output = self.train(&["--resume"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = format!("{context}: {said}");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(
            !said.contains("truncated") && !said.contains("altered"),
            "{said}"
        );
        if let Some(safe) = safe {
            let from: u64 = said
                .split("going on after step ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok())
                .unwrap_or_else(|| panic!("began anew though step {safe} was saved: {said}"));
            assert!(from >= safe, "step {safe} was saved: {said}");
        }
        self.is_whole(&said);
    }

    fn is_whole(&self, context: &str) {
        assert_eq!(self.hashes(), UNBROKEN.0, "{context}");
        let mut names: Vec<String> = Vec::new();
        for folder in [self.out(), self.out().join("checkpoints")] {
            for entry in fs::read_dir(folder).unwrap() {
                names.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        let stray = |name: &&String| name.contains("tmp") || name.contains("old");
        assert_eq!(names.iter().find(stray), None, "{context}");
    }

    fn clear(&self) {
        let _ = fs::remove_dir_all(self.out());
    }
}

/// Whether a kind of fault is to be tried at every call.
fn every(kind: &str) -> bool {
    std::env::var("BIE_FAULTS").is_ok_and(|kinds| kinds.split(',').any(|k| k == kind))
}

/// The calls of a run that nothing happens to, and which saves a handful of times.
fn reference() -> Vec<(String, String)> {
    let run = Run::new();
    let calls = run.undisturbed();
    assert!(calls.len() > 100, "the library of faults sees nothing");
    calls
}

/// Call numbers: all (of the share `BIE_SHARE=0/4` of them, for several processes at once), or about `count` of them, which differ from those of another `offset`.
fn moments(calls: usize, all: bool, count: usize, offset: usize) -> Vec<usize> {
    if !all {
        let stride = (calls / count).max(1);
        return (1 + offset % stride..=calls).step_by(stride).collect();
    }
    let share = std::env::var("BIE_SHARE").unwrap_or("0/1".to_owned());
    let (which, of) = share.split_once('/').unwrap();
    let first: usize = which.parse().unwrap();
    (1 + first..=calls).step_by(of.parse().unwrap()).collect()
}

/// Numbers from 0 to 1 (a linear congruence: chance enough for moments).
fn chance() -> impl Iterator<Item = f64> {
    let seed = std::process::id().into();
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    std::iter::successors(Some(seed), next)
        .skip(3)
        .map(|state: u64| (state >> 11) as f64 / (1u64 << 53) as f64)
}

#[test]
fn random_kills_end_as_the_unbroken_run() {
    let wanted = std::env::var("BIE_KILLS").map_or(5, |number| number.parse().unwrap());
    let run = Run::new();
    let (mut killed, mut runs, mut over) = (0, 0, true);
    let mut chance = chance();
    while killed < wanted {
        let more: &[&str] = if over { &[] } else { &["--resume"] };
        let mut child = run.train(more).spawn().unwrap();
        thread::sleep(UNBROKEN.1.mul_f64(0.9 * chance.next().unwrap()));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        over = output.status.signal() != Some(9);
        if over {
            assert_eq!(output.status.code(), Some(0));
            run.is_whole("after random kills");
            run.clear();
            runs += 1;
        } else {
            killed += 1;
        }
    }
    if !over {
        run.ends_well(None, "the last of the random kills");
        runs += 1;
    }
    println!("{killed} random kills in {runs} runs, each ended as the unbroken one");
}

#[test]
fn a_kill_at_every_call_ends_as_the_unbroken_run() {
    let run = Run::new();
    let calls = reference().len();
    let mut tried = 0;
    for (n, kind) in ["9", "torn"].into_iter().enumerate() {
        for at in moments(calls, every(kind), 6, n * 7) {
            let output = run.meddled(&[], kind, at).output().unwrap();
            let context = format!("killed ({kind}) at call {at}");
            if let (_, Some(at)) = run.calls() {
                assert_eq!(output.status.signal(), Some(9), "{context}");
                run.ends_well(run.safe(at), &context);
                tried += 1;
            }
            run.clear();
        }
    }
    println!("{tried} kills at exact moments");
    assert!(tried > 5);
}

/// Whatever fails is said; the run ends as the unbroken one, or with an error from which it can be resumed to that end.
#[test]
fn every_call_may_fail_once() {
    let run = Run::new();
    let calls = reference();
    let (mut tried, mut recovered) = (0, 0);
    for (n, kind) in ["enospc", "eio", "short"].into_iter().enumerate() {
        for at in moments(calls.len(), every(kind), 7, n * 5) {
            // Between two runs numbers shift by little.
            let near = &calls[at.saturating_sub(3)..(at + 2).min(calls.len())];
            if kind == "short" && !near.iter().any(|(name, _)| name == "write") {
                continue;
            }
            let output = run.meddled(&[], kind, at).output().unwrap();
            let (calls, meddled) = run.calls();
            let Some(at) = meddled else {
                run.is_whole("no fault");
                run.clear();
                continue;
            };
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let (name, path) = &calls[at - 1];
            let context = format!("{kind} at call {at}, {name} {path}: {said}");
            let error = if kind == "eio" {
                "os error 5)"
            } else {
                "os error 28)"
            };
            assert!(said.contains(error), "not said: {context}");
            assert!(!said.contains("panicked"), "{context}");
            match output.status.code() {
                Some(0) => {
                    recovered += 1;
                    run.is_whole(&context);
                }
                code => {
                    assert_eq!(code, Some(1), "{context}");
                    run.ends_well(run.safe(at), &context);
                }
            }
            run.clear();
            tried += 1;
        }
    }
    println!(
        "{tried} failures of {} calls, of which {recovered} did not end the run",
        calls.len()
    );
    assert!(tried > 10 && recovered > 0);
}

/// The disk fills up in the middle and stays full: training goes on, the last good checkpoint stays, and the end waits for room until a signal comes.
#[test]
fn a_full_disk_ends_nothing_that_can_be_saved() {
    let run = Run::new();
    let calls = reference();
    let saves = calls
        .iter()
        .enumerate()
        .filter(|(_, (name, path))| name == "rename" && path.ends_with(".checkpoint"));
    let at = saves.map(|(n, _)| n + 6).next().unwrap();
    let child = run.meddled(&[], "full", at).spawn().unwrap();
    // Twice as long as it takes to train: what it waits for then is room.
    thread::sleep(2 * UNBROKEN.1 + Duration::from_secs(1));
    signal(&child, "TERM");
    let begun = Instant::now();
    let said = stderr(&child.wait_with_output().unwrap(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        said.matches("is not saved").count() >= 2 && said.contains("stays, and it is tried again"),
        "{said}"
    );
    let at = run.calls().1.unwrap();
    run.ends_well(run.safe(at), "a full disk");
}

/// SIGTERM in every phase: it leaves within 2 s, and what follows ends as the unbroken run.
#[test]
fn a_signal_at_any_call_leaves_soon() {
    let run = Run::new();
    let calls = reference().len();
    let (mut left, mut tried) = (0, 0);
    for at in moments(calls, every("15"), 8, 3) {
        let mut child = run.meddled(&[], "15", at).spawn().unwrap();
        let begun = loop {
            if run.calls().1.is_some() || child.try_wait().unwrap().is_some() {
                break Instant::now();
            }
            thread::sleep(Duration::from_millis(1));
        };
        let output = child.wait_with_output().unwrap();
        let took = begun.elapsed();
        let context = format!("SIGTERM at call {at}, {}: {took:?}", output.status);
        let Some(at) = run.calls().1 else {
            run.clear();
            continue;
        };
        assert!(took < Duration::from_secs(2 * LOAD), "{context}");
        assert!(
            output.status.code() == Some(143) || output.status.signal() == Some(15),
            "{context}"
        );
        left += usize::from(output.status.code() == Some(143));
        run.ends_well(run.safe(at), &context);
        run.clear();
        tried += 1;
    }
    println!("{tried} times SIGTERM, of which {left} with a checkpoint");
    assert!(left > 0 && left < tried);
}

/// A machine that tests and compiles at once is slower than the one of which times are promised.
const LOAD: u64 = 5;

/// The folder is the first one's, also while it writes its bundles; and nobody's once it is killed.
#[test]
fn two_trainers_never_share_a_folder() {
    // It saves at the end alone: the number of its calls does not hang on time.
    let run = Run::saving("1");
    let renamed = |(name, _): &(String, String)| name == "rename";
    let last = run.undisturbed().iter().rposition(renamed).unwrap();
    for at in [12, last] {
        run.clear();
        let mut first = run.meddled(&[], "19", at).spawn().unwrap();
        while !(run.calls().1.is_some() && stands_still(&first)) {
            assert!(first.try_wait().unwrap().is_none());
            thread::sleep(Duration::from_millis(2));
        }
        let before = tree(&run.out());
        for more in [&[][..], &["--resume"]] {
            let said = stderr(&run.train(more).output().unwrap(), 1);
            assert!(
                said.contains("another distill is training into this folder"),
                "{said}"
            );
        }
        assert_eq!(tree(&run.out()), before, "the second touched the folder");
        first.kill().unwrap();
        first.wait().unwrap();
        run.ends_well(None, "after the first was killed");
    }
}

/// Whether SIGSTOP has reached every thread: it is logged before it is sent.
fn stands_still(child: &Child) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    tasks.into_iter().all(|task| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        // The state comes after the name, which may hold anything.
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    })
}

/// Names and lengths.
fn tree(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::metadata(&path).unwrap();
        found.push((path.clone(), if about.is_dir() { 0 } else { about.len() }));
        if about.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}

/// Rates that no training survives: it stops at once, and the last sound state is there as it was.
#[test]
fn a_training_that_diverges_keeps_its_last_sound_state() {
    let run = Run::new();
    // SIGTERM as the second checkpoint gets its name; it leaves with a third.
    let calls = reference();
    let named = |(_, (name, path)): &(usize, &(String, String))| {
        name == "rename" && path.ends_with(".checkpoint")
    };
    let second = calls.iter().enumerate().filter(named).nth(1).unwrap().0 + 1;
    stderr(&run.meddled(&[], "15", second).output().unwrap(), 143);
    let saved = || {
        let files = fs::read_dir(run.out().join("checkpoints")).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let before = saved();

    let rates = |from: &str, to: &str| {
        for rate in ["encoder_rate", "head_rate"] {
            let line = |value: &str| format!("{rate} = {value}");
            run.mini.edit("mini.toml", &line(from), &line(to));
        }
    };
    run.save_rarely();
    rates("5e-3", "1.0");
    // The rate falls with the steps that are left.
    run.mini.edit("mini.toml", "epochs = 3", "epochs = 30");
    let refused = stderr(&run.train(&["--resume"]).output().unwrap(), 1);
    assert!(
        refused.contains("training.encoder_rate: 0.00") && refused.contains("--allow-changed"),
        "{refused}"
    );
    let seed = ["--resume", "--allow-changed", "seed"];
    stderr(&run.train(&seed).output().unwrap(), 2);

    let changed = ["--resume", "--allow-changed", "training"];
    let said = stderr(&run.train(&changed).output().unwrap(), 4);
    let step = |after: &str| -> u64 {
        let rest = said.split(after).nth(1).unwrap_or_else(|| panic!("{said}"));
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse().unwrap()
    };
    assert!(
        step("stopped at step ") <= step("going on after step ") + 12,
        "{said}"
    );
    assert_eq!(
        step("the checkpoint of step "),
        step("going on after step ")
    );
    assert_eq!(saved(), before);

    rates("1.0", "5e-3");
    run.mini.edit("mini.toml", "epochs = 30", "epochs = 3");
    run.ends_well(Some(step("going on after step ")), "back at good rates");
}

/// A recipe that is changed on the way is allowed where people say so, and the bundle tells.
#[test]
fn a_recipe_may_change_on_the_way_and_the_bundle_tells() {
    let run = Run::new();
    let named = |(name, path): &(String, String)| name == "rename" && path.ends_with(".checkpoint");
    let first = reference().iter().position(named).unwrap() + 1;
    stderr(&run.meddled(&[], "15", first).output().unwrap(), 143);
    run.mini
        .edit("mini.toml", "encoder_rate = 5e-3", "encoder_rate = 4e-3");
    let changed = ["--resume", "--allow-changed", "training.encoder_rate"];
    stderr(&run.train(&changed).output().unwrap(), 0);
    let manifest = Bundle::open(&run.out().join("int8")).unwrap().manifest;
    let changes = &manifest.provenance["recipe_changes"];
    assert!(changes[0]["step"].as_u64().unwrap() > 0, "{changes}");
    assert_eq!(changes[0]["changes"][0]["key"], "training.encoder_rate");
    assert_eq!(changes[0]["changes"].as_array().unwrap().len(), 1);

    run.mini
        .edit("mini.toml", "batch_documents = 8", "batch_documents = 4");
    let changed = ["--resume", "--allow-changed", "training"];
    let said = stderr(&run.train(&changed).output().unwrap(), 1);
    assert!(said.contains("other batches in an epoch"), "{said}");
}
