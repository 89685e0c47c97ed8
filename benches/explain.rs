//! What an explanation costs, in forward passes: the time of `explain` over that of `extract` on the same window, in alternating turns.
//!
//! The bundle: the environment variable `BIE_BUNDLE`, else `models/default`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::time::Instant;

use bie::explain::Method;
use bie::{Cancel, Engine, Extraction, Options, Target};
use criterion::Criterion;

const ABSTRACT: &str = include_str!("../examples/abstract.txt");
/// Tokens of the window, `[CLS]` and `[SEP]` included.
const WINDOW: usize = 128;
/// Turns of each side; the ratio is the median of the pairs.
const TURNS: usize = 15;
/// Decisions that are explained together.
const TOGETHER: usize = 10;

fn main() {
    let bundle = std::env::var_os("BIE_BUNDLE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/default"),
        PathBuf::from,
    );
    let options = Options::new();
    let engine = Engine::open(&bundle, &options).unwrap();
    let text = text(&engine);
    let extraction = engine.extract(&text, &options).unwrap();
    let targets = targets(&extraction);
    println!(
        "a window of {} tokens, {} decisions",
        tokens(&engine, &text),
        targets.len()
    );

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("explain one decision");
    let read = || engine.extract(&text, &options).unwrap();
    let explain = |targets: &[Target], options: &Options| {
        engine
            .explain(&text, &extraction, targets, options, &Cancel::new())
            .unwrap()
    };
    group.bench_function("extract", |b| b.iter(read));
    for method in cheap() {
        let options = with(method);
        group.bench_function(method.as_str(), |b| {
            b.iter(|| explain(&targets[..1], &options));
        });
    }
    group.finish();

    let turns = match std::env::args().any(|argument| argument == "--test") {
        true => 1,
        false => TURNS,
    };
    println!("\nexplain / extract, the same window, median of {turns} turns");
    println!("{:24} {:>8} {:>12}", "", "one", "together");
    for method in cheap() {
        let options = with(method);
        let ratio = |targets: &[Target]| {
            let turn = || {
                let (_, whole) = timed(|| read());
                let (_, explained) = timed(|| explain(targets, &options));
                explained / whole
            };
            turn();
            median((0..turns).map(|_| turn()).collect())
        };
        println!(
            "{:24} {:8.2} {:12.2}",
            method.as_str(),
            ratio(&targets[..1]),
            ratio(&targets)
        );
    }
    println!(
        "Each holds one pass to find the decision and two to measure what deleting its evidence does: attention alone needs a fourth, so that one gradient costs input_x_gradient - attention + 1."
    );
}

/// Methods whose cost does not grow with the number of words.
fn cheap() -> [Method; 4] {
    [
        Method::Attention,
        Method::InputXGradient,
        Method::AttentionXGradient,
        Method::GuidedOcclusion,
    ]
}

fn with(method: Method) -> Options {
    let mut options = Options::new();
    options.set_str("method", method.as_str()).unwrap();
    options
}

/// Relations first, then entities.
fn targets(extraction: &Extraction) -> Vec<Target> {
    let relations = extraction.relations.iter().map(|r| Target::Relation {
        head: r.head,
        tail: r.tail,
        label: r.label,
        rival: None,
    });
    let entities = extraction.entities.iter().map(|e| Target::Entity {
        start: e.start,
        end: e.end,
        label: e.label,
        rival: None,
    });
    relations.chain(entities).take(TOGETHER).collect()
}

/// As much of the abstract as fills the window.
fn text(engine: &Engine) -> String {
    let words: Vec<&str> = ABSTRACT.split(' ').collect();
    let size = (1..=words.len())
        .rev()
        .find(|&n| tokens(engine, &words[..n].join(" ")) <= WINDOW);
    words[..size.unwrap()].join(" ")
}

fn tokens(engine: &Engine, text: &str) -> usize {
    let encoded = engine.encoder().encode(text).unwrap();
    encoded.sentences.iter().map(Vec::len).sum::<usize>() + 2
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
