//! What libbie costs over ONNX Runtime itself, how much text it reads in a second, and how long a bundle takes to open.
//!
//! The bundle: the environment variable `BIE_BUNDLE`, else `models/default`, else the tests' tiny one, whose figures say little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bie::bundle::{Bundle, ENCODER, RELATIONS};
use bie::decode::relations::Schema;
use bie::text::window::windows;
use bie::{Engine, Extraction, Options, runtime};
use criterion::{Criterion, SamplingMode, Throughput};
use ort::session::Session;
use ort::value::TensorRef;

const ABSTRACT: &str = include_str!("../examples/abstract.txt");
/// Tokens of the window that is compared, `[CLS]` and `[SEP]` included.
const WINDOW: usize = 128;
/// A block of one side is followed by one of the other; the ratio is the median over these pairs of blocks.
const BLOCKS: usize = 60;
const BLOCK: Duration = Duration::from_millis(100);
const GOAL: f64 = 1.08;

fn main() {
    let path = bundle();
    let (engine, options) = open(&path);
    let text = text_of(&engine, WINDOW.min(engine.manifest().max_tokens));
    let mut bare = Bare::new(&path, &engine, &text, &options);

    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group("one window");
    group.bench_function("libbie", |b| b.iter(|| read(&engine, &text, &options)));
    group.bench_function("bare ONNX Runtime", |b| b.iter(|| bare.run()));
    group.bench_function("of libbie: tokenizing", |b| {
        b.iter(|| engine.encoder().encode(black_box(&text)).unwrap())
    });
    group.finish();

    let documents = documents();
    let tokens: usize = documents.iter().map(|text| tokens(&engine, text)).sum();
    let mut group = criterion.benchmark_group("documents of mixed length");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(tokens as u64));
    group.bench_function("tokens", |b| {
        b.iter(|| {
            for text in &documents {
                read(&engine, text, &options);
            }
        });
    });
    group.finish();
    criterion.bench_function("open", |b| b.iter(|| open(&path)));

    let trial = std::env::args().any(|argument| argument == "--test");
    compare(
        if trial { 1 } else { BLOCKS },
        || drop(read(&engine, &text, &options)),
        || bare.run(),
    );
    criterion.final_summary();
}

fn bundle() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let default = root.join("models/default");
    match std::env::var_os("BIE_BUNDLE") {
        Some(path) => path.into(),
        None if default.is_dir() => default,
        None => {
            eprintln!(
                "note: neither BIE_BUNDLE nor models/default is there; the tests' tiny bundle is measured, its graphs cost next to nothing"
            );
            root.join("tests/data/tiny.bundle")
        }
    }
}

/// One session, and the options to read with one thread.
fn open(path: &Path) -> (Engine, Options) {
    let mut options = Options::new();
    options.set_i64("sessions", 1).unwrap();
    options.set_i64("threads", 1).unwrap();
    (Engine::open(path, &options).unwrap(), options)
}

fn read(engine: &Engine, text: &str, options: &Options) -> Extraction {
    black_box(engine.extract(black_box(text), options).unwrap())
}

fn tokens(engine: &Engine, text: &str) -> usize {
    let encoded = engine.encoder().encode(text).unwrap();
    encoded.sentences.iter().map(Vec::len).sum()
}

/// The abstract's beginning, cut so that it fills a window of `size` tokens.
fn text_of(engine: &Engine, size: usize) -> String {
    let words = ABSTRACT
        .char_indices()
        .filter(|(_, c)| c.is_whitespace())
        .map(|(at, _)| &ABSTRACT[..at])
        .take_while(|text| tokens(engine, text) <= size - 2);
    let mut text = words.last().unwrap_or_default().to_string();
    while tokens(engine, &text) < size - 2 {
        text.push_str(" .");
    }
    let encoded = engine.encoder().encode(&text).unwrap();
    let cut = windows(encoded, engine.manifest().max_tokens);
    assert_eq!((cut.len(), cut[0].tokens.len()), (1, size - 2));
    text
}

/// Of twenty documents fourteen are notes of a few sentences, five are abstracts, one is a report of some 3000 words.
fn documents() -> Vec<String> {
    let sentences: Vec<&str> = ABSTRACT.split_inclusive(". ").collect();
    (0..20)
        .map(|number| {
            let length = match number {
                0..14 => 1 + number % 7,
                14..19 => sentences.len(),
                _ => sentences.len() * 13,
            };
            sentences
                .iter()
                .cycle()
                .skip(number)
                .take(length)
                .copied()
                .collect()
        })
        .collect()
}

/// The two graphs as a program runs them that has all inputs at hand: the same sessions, ids, mentions and pairs as libbie.
struct Bare {
    encoder: Session,
    relations: Option<Session>,
    ids: Vec<i64>,
    entities: usize,
    mention_tokens: Vec<f32>,
    entity_mentions: Vec<f32>,
    heads: Vec<i64>,
    tails: Vec<i64>,
}

impl Bare {
    fn new(path: &Path, engine: &Engine, text: &str, options: &Options) -> Bare {
        let bundle = Bundle::open(path).unwrap();
        let environment = runtime::environment(None).unwrap();
        let session =
            |file: &str, graph: &Vec<u8>| runtime::session(&environment, file, graph).unwrap();

        let encoder = engine.encoder();
        let manifest = engine.manifest();
        let tokens = encoder.encode(text).unwrap().sentences.concat();
        let inner = tokens.iter().map(|token| i64::from(token.id));
        let ids: Vec<i64> = std::iter::once(i64::from(encoder.cls()))
            .chain(inner)
            .chain([i64::from(encoder.sep())])
            .collect();

        let found = engine.extract(text, options).unwrap();
        let mentions = found.entities.len();
        let mut types = Vec::new(); // of the entities, which are numbered by first mention
        let mut mention_tokens = vec![0f32; mentions * ids.len()];
        for (mention, row) in found
            .entities
            .iter()
            .zip(mention_tokens.chunks_mut(ids.len()))
        {
            if mention.group as usize == types.len() {
                types.push(mention.label as usize);
            }
            let first = tokens.partition_point(|token| token.end <= mention.start as usize);
            let past = tokens.partition_point(|token| token.start < mention.end as usize);
            row[first + 1..past + 1].fill(1.0 / (past - first) as f32); // [CLS] comes first
        }
        let mut entity_mentions = vec![0f32; types.len() * mentions];
        for (at, mention) in found.entities.iter().enumerate() {
            entity_mentions[mention.group as usize * mentions + at] = 1.0;
        }
        let pairs = Schema::new(manifest).pairs(&types);
        eprintln!(
            "one window: {} tokens, {mentions} mentions of {} entities, {} pairs",
            ids.len(),
            types.len(),
            pairs.len()
        );
        Bare {
            encoder: session(ENCODER, &bundle.encoder),
            relations: bundle
                .relations
                .filter(|_| !pairs.is_empty())
                .map(|graph| session(RELATIONS, &graph)),
            ids,
            entities: types.len(),
            mention_tokens,
            entity_mentions,
            heads: pairs.iter().map(|pair| pair.head as i64).collect(),
            tails: pairs.iter().map(|pair| pair.tail as i64).collect(),
        }
    }

    fn run(&mut self) {
        let length = self.ids.len();
        let ids = TensorRef::from_array_view(([length], self.ids.as_slice())).unwrap();
        let encoded = self.encoder.run(ort::inputs!["input_ids" => ids]).unwrap();
        if let Some(relations) = &mut self.relations {
            let (entities, mentions) = (self.entities, self.mention_tokens.len() / length);
            let scored = relations
                .run(ort::inputs![
                    "hidden" => &encoded["hidden"],
                    "attention" => &encoded["attention"],
                    "mention_tokens" => TensorRef::from_array_view(([mentions, length], self.mention_tokens.as_slice())).unwrap(),
                    "entity_mentions" => TensorRef::from_array_view(([entities, mentions], self.entity_mentions.as_slice())).unwrap(),
                    "pair_head" => TensorRef::from_array_view(([self.heads.len()], self.heads.as_slice())).unwrap(),
                    "pair_tail" => TensorRef::from_array_view(([self.tails.len()], self.tails.as_slice())).unwrap(),
                ])
                .unwrap();
            black_box(&scored);
        }
        black_box(&encoded);
    }
}

/// Measures both sides in alternating blocks and prints the ratio.
fn compare(blocks: usize, mut libbie: impl FnMut(), mut bare: impl FnMut()) {
    let runs = runs_of(&mut bare);
    let mut times: Vec<[Times; 2]> = Vec::with_capacity(blocks);
    for number in 0..blocks {
        // Whoever comes second may find a warmer or a slower processor: they take turns.
        times.push(if number % 2 == 0 {
            let first = block(runs, &mut libbie);
            [first, block(runs, &mut bare)]
        } else {
            let first = block(runs, &mut bare);
            [block(runs, &mut libbie), first]
        });
    }
    let clock = |pick: fn(&Times) -> f64| {
        let of = |side: usize| median(times.iter().map(|pair| pick(&pair[side])).collect());
        let ratio = median(
            times
                .iter()
                .map(|pair| pick(&pair[0]) / pick(&pair[1]))
                .collect(),
        );
        (ratio, of(0) * 1e3, of(1) * 1e3)
    };
    let report = |what: &str, (ratio, libbie, bare): (f64, f64, f64)| {
        println!(
            "libbie / bare ONNX Runtime, {what}: {ratio:.3} (libbie {libbie:.3} ms, bare {bare:.3} ms; goal: at most {GOAL}; median of {blocks} alternating blocks of {runs} runs)"
        );
    };
    let wall = clock(|times| times.wall);
    report("one window", wall);
    let processor = clock(|times| times.processor);
    if processor.2 > 0.0 && wall.2 > 1.05 * processor.2 {
        println!(
            "note: this thread had the processor for {:.0} % of the time only; let nothing else run",
            100.0 * processor.2 / wall.2
        );
        report("one window, processor time", processor);
    }
}

/// Seconds of one run.
#[derive(Clone, Copy)]
struct Times {
    wall: f64,
    processor: f64,
}

fn block(runs: u32, work: &mut impl FnMut()) -> Times {
    let (started, used) = (Instant::now(), processor_time());
    for _ in 0..runs {
        work();
    }
    Times {
        wall: started.elapsed().as_secs_f64() / f64::from(runs),
        processor: (processor_time() - used) / f64::from(runs),
    }
}

/// So many runs fill a block.
fn runs_of(work: &mut impl FnMut()) -> u32 {
    work();
    let once = median((0..5).map(|_| block(1, work).wall).collect());
    (BLOCK.as_secs_f64() / once).ceil().clamp(1.0, 1e6) as u32
}

/// Seconds for which this thread has had a processor, as Linux counts them (to a few milliseconds); 0 elsewhere.
fn processor_time() -> f64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = line
        .split(' ')
        .next()
        .and_then(|field| field.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    (values[values.len().div_ceil(2) - 1] + values[upper]) / 2.0
}
