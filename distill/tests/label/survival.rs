//! Runs that are killed, stopped, or not alone.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::{Gold, Place, quiet, wait_for};
use crate::server::{Act, Server, answer};

const SAMPLED: &str = "samples = 3\ntemperature = 0.5\nseed = 1\nparallel = 4";

fn slow_server() -> Server {
    let gold = Gold::new();
    Server::new(move |request| {
        Act::Late(
            Duration::from_millis(100),
            Box::new(answer(&gold.entities(request).to_string())),
        )
    })
}

/// Answers in the journal, and how often each question was put.
fn kept(place: &Place) -> usize {
    let journal = String::from_utf8(place.bytes("out/answers.jsonl")).unwrap();
    journal.matches('\n').count().saturating_sub(1)
}

#[test]
fn a_killed_run_goes_on_and_asks_nothing_twice_that_was_kept() {
    let whole = Place::new(&slow_server().base_url(), "entities", SAMPLED);
    whole.run("out", &[], 0);
    let server = slow_server();
    let place = Place::new(&server.base_url(), "entities", SAMPLED);
    let mut saved = 0;
    for requests in [10, 30, 55] {
        let mut child = place.label("out", &[]).spawn().unwrap();
        wait_for(&server, requests, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(kept(&place) > saved, "nothing was kept");
        saved = kept(&place);
    }
    // What `kill -9` in the middle of a write leaves.
    let mut torn = place.bytes("out/answers.jsonl");
    torn.extend_from_slice(b"{\"key\":\"00");
    std::fs::write(place.path("out/answers.jsonl"), torn).unwrap();
    let before = server.seen();
    place.run("out", &[], 0);
    let after = server.seen();
    assert_eq!(after.len() - before.len(), 72 - saved);
    let mut counts: HashMap<String, usize> = HashMap::new();
    after
        .iter()
        .for_each(|r| *counts.entry(r.asked()).or_default() += 1);
    assert_eq!(counts.len(), 72);
    // At each of three kills, four may have been under way.
    let twice: usize = counts.values().map(|n| n - 1).sum();
    assert_eq!(twice, after.len() - 72);
    assert!(twice <= 12, "{twice} were asked again");
    assert!(place.bytes("out/labels.jsonl") == whole.bytes("out/labels.jsonl"));
    assert_eq!(
        place.bytes("out/report.json"),
        whole.bytes("out/report.json")
    );
}

#[test]
fn a_signal_keeps_what_is_under_way_and_the_same_command_goes_on() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let server = slow_server();
        let place = Place::new(&server.base_url(), "entities", SAMPLED);
        let mut child = place.label("out", &[]).spawn().unwrap();
        wait_for(&server, 12, &mut child);
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let said = quiet(&child.wait_with_output().unwrap(), code);
        assert!(said.contains("the same command goes on"), "{said}");
        assert!(!place.path("out/labels.jsonl").exists());
        assert_eq!(
            kept(&place),
            server.seen().len(),
            "what was sent was waited for"
        );
        place.run("out", &[], 0);
        assert_eq!(server.seen().len(), 72, "nothing was asked twice");
    }
    // A server that hangs does not keep a stopped run from ending.
    let server = Server::new(|_| Act::Hang(Duration::from_secs(120)));
    let place = Place::new(&server.base_url(), "entities", "");
    let mut child = place.label("out", &[]).spawn().unwrap();
    wait_for(&server, 1, &mut child);
    let start = Instant::now();
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    quiet(&child.wait_with_output().unwrap(), 143);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let server = Server::new(|_| Act::Hang(Duration::from_secs(60)));
    let place = Place::new(&server.base_url(), "entities", "");
    let mut child = place.label("out", &[]).spawn().unwrap();
    wait_for(&server, 1, &mut child);
    let said = place.run("out", &[], 1);
    assert!(said.contains("another distill is writing here"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
}
