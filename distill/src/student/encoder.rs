//! The BERT encoder (Devlin et al. 2019), written for speed: one projection for query, key and value; tokens time-major
//! (`[L, batch, ...]`) so that attention reads its operands without transposing them; no mask where nothing is padded.

use serde::Deserialize;

use super::Net;
use crate::graph::{DType, Dim, MatMul, Tensor};
use crate::shape;

/// Sizes of an encoder, as in Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Width d.
    pub hidden_size: usize,
    /// Layers.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Attention heads.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the position table.
    #[serde(rename = "max_position_embeddings")]
    pub max_positions: usize,
    /// Added to variances; configurations from before it was stated mean BERT's own.
    #[serde(rename = "layer_norm_eps", default = "Config::epsilon")]
    pub epsilon: f32,
}

impl Config {
    fn epsilon() -> f32 {
        1e-12
    }

    /// Name, outputs and inputs of each linear layer of an encoder layer.
    pub(super) fn linear_layers(&self, layer: usize) -> [(String, usize, usize); 4] {
        let (d, f) = (self.hidden_size, self.intermediate_size);
        [
            ("attention.self.qkv", 3 * d, d),
            ("attention.output.dense", d, d),
            ("intermediate.dense", f, d),
            ("output.dense", d, f),
        ]
        .map(|(name, outputs, inputs)| (format!("encoder.layer.{layer}.{name}"), outputs, inputs))
    }
}

/// What the encoder hands on. `T = L × batch` tokens, time-major.
pub struct Encoded {
    /// `[T, d]`: output of the embedding layer, then of every layer.
    pub hidden: Vec<Tensor>,
    /// Per layer `[batch, heads, L, L]`.
    pub attention: Vec<Tensor>,
    /// `[L, batch, d]` rows picked from the word table (their gradient is the table's, sparsely).
    pub words: Tensor,
    /// `[L, 1, d]`, or `[L, d]` in a batch of 1: rows picked from the position table.
    pub positions: Tensor,
}

/// Names of the two tables; their gradients are taken at [`Encoded::words`] and [`Encoded::positions`].
pub const WORDS: &str = "embeddings.word_embeddings.weight";
/// See [`WORDS`].
pub const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// Writes the encoder. `ids` is i64 `[L, batch]`; `bias` f32 `[batch, 1, 1, L]` is added to attention scores.
pub fn encoder(
    net: &mut Net<'_>,
    c: &Config,
    ids: Tensor,
    batch: usize,
    bias: Option<Tensor>,
) -> Encoded {
    let Embedded {
        x,
        words,
        positions,
    } = embed(net, c, ids, batch);
    let (hidden, attention) = layers(net, c, x, batch, bias);
    Encoded {
        hidden,
        attention,
        words,
        positions,
    }
}

/// What the embedding layer hands on.
pub struct Embedded {
    /// `[T, d]`: its output.
    pub x: Tensor,
    /// As [`Encoded::words`].
    pub words: Tensor,
    /// As [`Encoded::positions`].
    pub positions: Tensor,
}

/// Writes the embedding layer; see [`encoder`].
pub fn embed(net: &mut Net<'_>, c: &Config, ids: Tensor, batch: usize) -> Embedded {
    let (d, eps) = (c.hidden_size, c.epsilon);
    let length = net.graph.shape(ids)[0];
    let words = net.embedding(ids, WORDS, c.vocab_size, d);
    let table = net.parameter(POSITIONS, &[c.max_positions, d]);
    let mut positions = net.graph.first_rows(table, ids);
    let norm = "embeddings.LayerNorm";
    let x = if batch == 1 {
        let flat = net.graph.reshape(words, shape![length, d]);
        net.add_norm(flat, positions, norm, d, eps)
    } else {
        positions = net.graph.reshape(positions, shape![length, 1, d]);
        let x = net.graph.add(words, positions);
        let x = net.norm(x, norm, d, eps);
        net.graph.reshape(x, shape![Dim::new(batch, "L"), d])
    };
    Embedded {
        x: net.drop_out(x),
        words,
        positions,
    }
}

/// Writes the layers above the embedding output `x`; see [`encoder`]. Returns [`Encoded::hidden`] and [`Encoded::attention`].
pub fn layers(
    net: &mut Net<'_>,
    c: &Config,
    mut x: Tensor,
    batch: usize,
    bias: Option<Tensor>,
) -> (Vec<Tensor>, Vec<Tensor>) {
    let (d, eps) = (c.hidden_size, c.epsilon);
    let (mut hidden, mut attentions) = (vec![x], Vec::new());
    for layer in 0..c.layers {
        let name = format!("encoder.layer.{layer}");
        let (context, probabilities) = attention(
            net,
            c,
            x,
            &format!("{name}.attention.self.qkv"),
            batch,
            bias,
        );
        let y = net.quantizable_linear(context, &format!("{name}.attention.output.dense"), d, d);
        let y = net.drop_out(y);
        let a = net.add_norm(y, x, &format!("{name}.attention.output.LayerNorm"), d, eps);
        let f = net.quantizable_linear(
            a,
            &format!("{name}.intermediate.dense"),
            d,
            c.intermediate_size,
        );
        let f = net.graph.gelu(f);
        let f = net.quantizable_linear(f, &format!("{name}.output.dense"), c.intermediate_size, d);
        let f = net.drop_out(f);
        x = net.add_norm(f, a, &format!("{name}.output.LayerNorm"), d, eps);
        hidden.push(x);
        attentions.push(probabilities);
    }
    (hidden, attentions)
}

/// Scaled dot-product attention of all heads: context `[T, d]` and probabilities `[batch, heads, L, L]`.
fn attention(
    net: &mut Net<'_>,
    c: &Config,
    x: Tensor,
    name: &str,
    batch: usize,
    bias: Option<Tensor>,
) -> (Tensor, Tensor) {
    let (d, heads) = (c.hidden_size, c.heads);
    let width = d / heads;
    let length = Dim::new(1, "L");
    let qkv = net.quantizable_linear(x, name, d, 3 * d);
    let g = &mut net.graph;
    let parts: Vec<Tensor> = if batch == 1 {
        let rows = g.reshape(qkv, shape![length, 3 * heads, width]);
        g.split(rows, 1, 3)
    } else {
        let rows = g.split(qkv, 1, 3);
        let each = |t| g.reshape(t, shape![length, batch * heads, width]);
        rows.into_iter().map(each).collect()
    };
    let alpha = 1.0 / (width as f32).sqrt();
    let products = MatMul {
        trans_b: true,
        batch_a: true,
        batch_b: true,
        alpha,
        ..MatMul::default()
    };
    let scores = g.matmul(parts[0], parts[1], products);
    let (by_head, by_window) = (
        shape![batch * heads, length, length],
        shape![batch, heads, length, length],
    );
    let (flat, probabilities) = match bias {
        Some(bias) => {
            let scores = g.reshape(scores, by_window);
            let scores = g.add(scores, bias);
            let probabilities = g.softmax(scores);
            (g.reshape(probabilities, by_head), probabilities)
        }
        None => {
            let flat = g.softmax(scores);
            (flat, g.reshape(flat, by_window))
        }
    };
    let mixed = g.matmul(
        flat,
        parts[2],
        MatMul {
            batch_b: true,
            ..MatMul::default()
        },
    );
    let context = g.transpose(mixed, &[1, 0, 2]);
    (
        g.reshape(context, shape![Dim::new(batch, "L"), d]),
        probabilities,
    )
}

/// The input `[L, batch]` of token ids.
pub fn ids_input(net: &mut Net<'_>, name: &str, batch: usize) -> Tensor {
    net.graph
        .input(name, DType::I64, shape![Dim::new(1, "L"), batch])
}
