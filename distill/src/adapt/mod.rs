//! `distill adapt`: a base reads on, in the words of its new field.
//!
//! Two steps, each on demand: the vocabulary is exchanged (`vocabulary`), and the encoder goes on finding hidden words in plain text
//! (`task`). The result is a Hugging Face folder, which a recipe of `distill train` names as its base.

use std::path::Path;
use std::time::Duration;

use bie::encode::Encoder;
use serde_json::json;

use crate::checkpoint::Folder;
use crate::error::{Error, Result};
use crate::files;
use crate::optimizer::{Parameter, Settings};
use crate::progress;
use crate::recipe::adapt::{Adaptation, Text};
use crate::student::base::{read_config, read_encoder, read_masked_head, read_tokenizer};
use crate::student::encoder::{Config, WORDS};
use crate::student::parameters::Parameters;
use crate::student::weights::Checkpoint;
use crate::train::trainer::{self, Plan, Trained};

mod mask;
mod step;
mod task;
mod text;
mod vocabulary;
mod write;

use mask::Masks;
use task::{Figures, MaskedWords, measure};
use text::{Corpus, Piece};
use vocabulary::Exchange;

/// What was found, for OUT/adapt.json.
#[derive(Default)]
struct Found {
    vocabulary: Option<Exchange>,
    before: Option<Figures>,
    after: Option<Figures>,
    text: Option<serde_json::Value>,
}

/// Adapts a base by a recipe and writes the folder `out`; with `resume` goes on from the newest checkpoint in it.
///
/// # Errors
/// The recipe, the base, the vocabulary or a text is bad; the folder holds another run; the loss is no longer a number; the disk is full.
pub fn adapt(recipe: &Path, out: &Path, resume: bool) -> Result<()> {
    let recipe = Adaptation::read(recipe)?;
    let base = recipe.resolve(&recipe.base);
    if base
        .canonicalize()
        .is_ok_and(|base| out.canonicalize().is_ok_and(|out| out == base))
    {
        return Err(Error::Usage(
            "--out is the base itself; give another folder".to_owned(),
        ));
    }
    let mut config = read_config(&base)?;
    let mut tokenizer = read_tokenizer(&base, &config)?;
    let mut file = Checkpoint::open(&base)?;
    let mut parameters = read_encoder(&mut file, &config, &config.all())?;
    let head = read_masked_head(&mut file, &config)?;
    let has_head = head.is_some();
    parameters.0.extend(head.unwrap_or_default().0);
    let mut found = Found::default();
    let mut vocabulary = base.clone();
    if let Some(path) = &recipe.vocabulary {
        vocabulary = recipe.resolve(path);
        let limit = Config {
            vocab_size: 1 << 20,
            ..config.clone()
        };
        let new = read_tokenizer(&vocabulary, &limit)?;
        let exchange = Exchange::new(&tokenizer, &new);
        eprintln!(
            "distill: {} pieces: {} shared, {} made of old pieces, {} unknown",
            exchange.rows.len(),
            exchange.shared,
            exchange.composed,
            exchange.unknown
        );
        replace(&mut parameters, &exchange, config.hidden_size);
        config.vocab_size = exchange.rows.len();
        tokenizer = new;
        found.vocabulary = Some(exchange);
    }
    if let Some(text) = &recipe.text {
        let reading = Reading {
            recipe: &recipe,
            text,
            config: &config,
            tokenizer: &tokenizer,
        };
        let Some(trained) = reading.read_on(parameters, !has_head, out, resume, &mut found)? else {
            return Err(progress::stopped());
        };
        parameters = trained;
    }
    write::folder(out, &parameters, &config, &base, &vocabulary, &tokenizer)?;
    let report = format!("{:#}\n", report(&recipe, &found));
    files::write(&out.join("adapt.json"), report.as_bytes())?;
    eprintln!("distill: wrote {}", out.display());
    Ok(())
}

/// Exchanges the rows of the word table and of the head's biases.
fn replace(parameters: &mut Parameters, exchange: &Exchange, width: usize) {
    for (name, width) in [(WORDS, width), ("masked.bias", 1)] {
        if let Some(p) = parameters.0.get_mut(name) {
            p.data = exchange.apply(&p.data, width);
            if let Some(rows) = p.shape.first_mut() {
                *rows = exchange.rows.len();
            }
        }
    }
}

/// A head for a base that has none: what passes through it is not changed but for GELU and normalisation, and every piece is as likely
/// as it is frequent.
fn fresh_head(parameters: &mut Parameters, c: &Config, windows: &[Vec<Piece>]) {
    let d = c.hidden_size;
    let mut identity = vec![0.0; d * d];
    identity.iter_mut().step_by(d + 1).for_each(|x| *x = 1.0);
    let mut counts = vec![1u64; c.vocab_size];
    for piece in windows.iter().flatten() {
        if let Some(count) = counts.get_mut(piece.id() as usize) {
            *count += 1;
        }
    }
    let all: u64 = counts.iter().sum();
    let frequency = |n: &u64| (*n as f64 / all as f64).ln() as f32;
    let biases = counts.iter().map(frequency).collect();
    parameters.insert("masked.dense.weight", &[d, d], identity);
    parameters.insert("masked.dense.bias", &[d], vec![0.0; d]);
    parameters.insert("masked.LayerNorm.weight", &[d], vec![1.0; d]);
    parameters.insert("masked.LayerNorm.bias", &[d], vec![0.0; d]);
    parameters.insert("masked.bias", &[c.vocab_size], biases);
}

/// Continued training on plain text.
struct Reading<'a> {
    recipe: &'a Adaptation,
    text: &'a Text,
    config: &'a Config,
    tokenizer: &'a Encoder,
}

impl Reading<'_> {
    /// `None`: stopped by a signal.
    fn read_on(
        &self,
        mut parameters: Parameters,
        head: bool,
        out: &Path,
        resume: bool,
        found: &mut Found,
    ) -> Result<Option<Parameters>> {
        let (recipe, config, t) = (self.recipe, self.config, &self.recipe.training);
        if self.text.max_tokens > config.max_positions {
            return Err(Error::Usage(format!(
                "text.max_tokens is {}, but the base reads at most {} positions",
                self.text.max_tokens, config.max_positions
            )));
        }
        let Some(masks) = Masks::new(self.tokenizer, t.mask) else {
            return Err(Error::Usage(
                "the vocabulary has no [MASK]; masked words cannot be trained with it".to_owned(),
            ));
        };
        let corpus = Corpus::read(
            self.text,
            |path| recipe.resolve(path),
            recipe.seed,
            self.tokenizer,
            progress::count("documents"),
        )?;
        if head {
            fresh_head(&mut parameters, config, &corpus.training);
        }
        let folder = Folder::open(&out.join("checkpoints"))?;
        if !resume && !folder.list()?.is_empty() {
            return Err(Error::Usage(format!(
                "{} holds checkpoints of an earlier run; add --resume to go on with it, or choose another folder",
                out.display()
            )));
        }
        let checkpoint = match resume {
            true => folder.load(&recipe.identity())?,
            false => None,
        };
        let words = |windows: &[Vec<Piece>]| {
            let starts = windows.iter().flatten().filter(|p| p.word()).count();
            (windows.iter().map(Vec::len).sum::<usize>(), starts.max(1))
        };
        let (pieces, starts) = words(&corpus.training);
        eprintln!(
            "distill: {} documents, {} windows, {pieces} pieces, {:.3} a word; {} documents held out",
            corpus.documents.first().unwrap_or(&0),
            corpus.training.len(),
            pieces as f64 / starts as f64,
            corpus.documents.last().unwrap_or(&0),
        );
        let measured = |p: &Parameters| {
            let count = progress::count("held-out windows");
            measure(&corpus.held_out, &masks, t, config, p, recipe.seed, count)
        };
        let before = measured(&parameters)?;
        say("before", &before);
        let plan = Plan {
            trained: parameters
                .0
                .iter()
                .map(|(name, p)| Parameter::new(name, &p.shape, t.rate))
                .collect(),
            settings: Settings {
                weight_decay: t.weight_decay,
                clip: t.clip,
                ..Settings::default()
            },
            epochs: t.epochs,
            warmup: t.warmup,
            threads: t.threads,
            interval: Duration::from_secs_f32(60.0 * t.checkpoint_minutes),
            background: true,
            explosion: t.explosion,
            identity: recipe.identity(),
        };
        let mut task = MaskedWords::new(&corpus.training, &masks, t, config, recipe.seed)?;
        let trained = trainer::train(&mut task, parameters, &plan, &folder, checkpoint)?;
        drop(task);
        let Some(Trained {
            parameters, curve, ..
        }) = trained
        else {
            return Ok(None);
        };
        let after = measured(&parameters)?;
        say("after", &after);
        (found.before, found.after) = (Some(before), Some(after));
        let (held_pieces, held_starts) = words(&corpus.held_out);
        found.text = Some(json!({
            "documents": corpus.documents.first(),
            "windows": corpus.training.len(),
            "pieces": pieces,
            "pieces_per_word": pieces as f64 / starts as f64,
            "held_out_documents": corpus.documents.last(),
            "held_out_pieces_per_word": held_pieces as f64 / held_starts as f64,
            "losses": curve,
        }));
        Ok(Some(parameters))
    }
}

fn say(when: &str, figures: &Figures) {
    eprintln!(
        "distill: {when}: perplexity {:.2} of {} hidden pieces, {:.3} bits a word",
        figures.perplexity, figures.pieces, figures.bits_per_word
    );
}

/// OUT/adapt.json: what was done and what came of it; nothing of the machine.
fn report(recipe: &Adaptation, found: &Found) -> serde_json::Value {
    json!({
        "made_by": concat!("distill ", env!("CARGO_PKG_VERSION")),
        "recipe": recipe.identity(),
        "vocabulary": found.vocabulary.as_ref().map(|e| json!({
            "pieces": e.rows.len(),
            "shared": e.shared,
            "composed": e.composed,
            "unknown": e.unknown,
        })),
        "text": found.text,
        "before": found.before,
        "after": found.after,
    })
}
