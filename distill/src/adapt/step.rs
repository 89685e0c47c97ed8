//! The graph of masked words: windows with hidden words go in; how unlikely those words are, and the gradients, come out.

use crate::error::Result;
use crate::graph::grad::gradients;
use crate::graph::{DType, Dim, Tensor};
use crate::session::{Feed, Session};
use crate::shape;
use crate::student::Net;
use crate::student::encoder::{Config, POSITIONS, WORDS, encoder, ids_input};
use crate::student::heads::{DECODER, masked_logits};
use crate::student::parameters::Parameters;
use crate::student::trainable::Trainable;
use crate::train::losses::Losses;
use crate::train::trainer::{Part, dense_gradient_name, gradient_name};

use super::mask::Hidden;

/// Added to the score of padding.
const NEVER: f32 = -1e9;

/// What the graph is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// Losses and gradients, with dropout of this probability.
    Training(f32),
    /// Losses alone.
    Measuring,
}

/// Windows padded to the longest; token (l, b) is row `l × batch + b`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    length: usize,
    ids: Vec<i64>,
    /// `[batch, 1, 1, L]`.
    attention_bias: Vec<f32>,
    /// Rows where something is hidden.
    places: Vec<i64>,
    /// What is hidden there.
    targets: Vec<i64>,
    /// Tokens that are not padding.
    tokens: usize,
}

impl Batch {
    /// Puts at most `batch` windows together. One of them must hide something.
    pub fn new(windows: &[Hidden], batch: usize) -> Batch {
        let length = windows.iter().map(|w| w.ids.len()).max().unwrap_or(1);
        let mut b = Batch {
            length,
            ids: vec![0; length * batch],
            attention_bias: vec![NEVER; length * batch],
            tokens: windows.iter().map(|w| w.ids.len()).sum(),
            ..Batch::default()
        };
        let row = |l: usize, w: usize| l * batch + w;
        for (w, window) in windows.iter().enumerate() {
            for (l, id) in window.ids.iter().enumerate() {
                if let Some(cell) = b.ids.get_mut(row(l, w)) {
                    *cell = *id;
                }
            }
            let bias = b.attention_bias.iter_mut().skip(w * length);
            bias.take(window.ids.len()).for_each(|x| *x = 0.0);
            b.places
                .extend(window.places.iter().map(|l| row(*l, w) as i64));
            b.targets.extend(&window.targets);
        }
        b
    }

    /// Hidden pieces.
    pub fn hidden(&self) -> usize {
        self.targets.len()
    }

    /// Tokens of the longest window.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Rows, padding included.
    fn rows(&self) -> usize {
        self.ids.len()
    }
}

/// The graph, ready to run.
pub struct Step {
    batch: usize,
    session: Session,
    parameters: Vec<String>,
    masks: Vec<String>,
    width: usize,
    /// What the last run read: the rows of its sparse gradients.
    last: Batch,
    positions: Vec<i64>,
}

impl Step {
    /// Builds and loads the graph for `batch` windows; `threads` work inside each operator.
    ///
    /// # Errors
    /// The runtime is missing or refuses the graph.
    pub fn new(c: &Config, batch: usize, purpose: Purpose, threads: usize) -> Result<Step> {
        let net = graph(c, batch, purpose);
        let names = |of: &[(String, Tensor)]| of.iter().map(|(name, _)| name.clone()).collect();
        Ok(Step {
            batch,
            session: Session::new(&net.graph.to_onnx("masked words"), threads)?,
            parameters: names(net.parameters()),
            masks: names(net.masks()),
            width: c.hidden_size,
            last: Batch::default(),
            positions: Vec::new(),
        })
    }

    /// Number of dropout masks, each `[rows, d]`.
    pub fn masks(&self) -> usize {
        self.masks.len()
    }

    /// Runs it. The loss is the sum over the hidden pieces of −log of their probability, times `share`. The gradient of the word table is
    /// in two parts: rows of what was read, and all of it as the decoder.
    ///
    /// # Errors
    /// The runtime fails.
    pub fn run(
        &mut self,
        parameters: &Parameters,
        batch: Batch,
        share: f32,
        masks: &[f32],
    ) -> Result<Part<'_>> {
        self.positions = (0..batch.length as i64).collect();
        self.last = batch;
        let (b, batch) = (self.batch, &self.last);
        let (ids, bias) = ([batch.length, b], [b, 1, 1, batch.length]);
        let (hidden, mask) = ([batch.places.len()], [batch.rows(), self.width]);
        let mut feeds = vec![
            ("ids", Feed::I64(&ids, &batch.ids)),
            ("attention_bias", Feed::F32(&bias, &batch.attention_bias)),
            ("places", Feed::I64(&hidden, &batch.places)),
            ("targets", Feed::I64(&hidden, &batch.targets)),
            ("share", Feed::F32(&[], std::slice::from_ref(&share))),
        ];
        for (name, values) in self
            .masks
            .iter()
            .zip(masks.chunks(batch.rows() * self.width))
        {
            feeds.push((name, Feed::F32(&mask, values)));
        }
        for name in &self.parameters {
            let stored = if name == DECODER { WORDS } else { name };
            if let Some(p) = parameters.0.get(stored) {
                feeds.push((name, Feed::F32(&p.shape, &p.data)));
            }
        }
        let outputs = self.session.run(&feeds)?;
        let loss = outputs.get("loss")?.1.first().copied().unwrap_or(f32::NAN);
        Ok(Part {
            outputs,
            rows: vec![(WORDS, &batch.ids), (POSITIONS, &self.positions)],
            losses: Losses(vec![("masked words", loss)]),
            tokens: batch.tokens,
        })
    }
}

fn graph(c: &Config, batch: usize, purpose: Purpose) -> Net<'static> {
    let dropout = match purpose {
        Purpose::Training(dropout) => dropout,
        Purpose::Measuring => 0.0,
    };
    let mut net = Net::training(dropout, Trainable::default());
    let length = Dim::new(1, "L");
    let ids = ids_input(&mut net, "ids", batch);
    let bias = shape![batch, 1, 1, length];
    let bias = net.graph.input("attention_bias", DType::F32, bias);
    let hidden_pieces = shape![Dim::new(1, "H")];
    let places = net.graph.input("places", DType::I64, hidden_pieces.clone());
    let targets = net.graph.input("targets", DType::I64, hidden_pieces);
    let share = net.graph.input("share", DType::F32, shape![]);
    let encoded = encoder(&mut net, c, ids, batch, Some(bias));
    // Only what is hidden meets the decoder: a seventh of the rows.
    let last = encoded.hidden[c.layers];
    let rows = net.graph.gather(last, places);
    let (logits, table) = masked_logits(&mut net, rows, c);
    let log_p = net.graph.log_softmax(logits);
    let hot = net.graph.one_hot(targets, table);
    let picked = net.graph.mul(log_p, hot);
    let sum = net.graph.sum_all(picked);
    let sum = net.graph.scale(sum, -1.0);
    let loss = net.graph.mul(sum, share);
    net.graph.output("loss", loss);
    if purpose == Purpose::Measuring {
        return net;
    }
    let named = net.parameters().to_vec();
    let wrt: Vec<Tensor> = named
        .iter()
        .map(|(name, t)| match name.as_str() {
            WORDS => encoded.words,
            POSITIONS => encoded.positions,
            _ => *t,
        })
        .collect();
    let grads = gradients(&mut net.graph, loss, None, &wrt);
    for ((name, _), gradient) in named.iter().zip(grads) {
        if let Some(gradient) = gradient {
            let name = match name.as_str() {
                DECODER => dense_gradient_name(WORDS),
                name => gradient_name(name),
            };
            net.graph.output(&name, gradient);
        }
    }
    net
}

#[cfg(test)]
mod tests;
