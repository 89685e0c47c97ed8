//! The heads: BIO tags per entity type, relations between pairs of entities of one window, and masked words.

use super::Net;
use super::encoder::Config;
use crate::graph::{Dim, MatMul, Tensor};
use crate::shape;

/// Logits `[T, types, 3]` (O, B, I), one independent head per type.
pub fn entity_logits(net: &mut Net<'_>, hidden: Tensor, width: usize, types: usize) -> Tensor {
    let x = net.linear(hidden, "heads.entities", width, 3 * types);
    let tokens = net.graph.shape(hidden)[0];
    net.graph.reshape(x, shape![tokens, types, 3])
}

/// Sizes of the relation head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelationHead {
    /// Encoder width d.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Labels, "none" included.
    pub labels: usize,
    /// Extent of a block of the grouped bilinear form; divides d.
    pub block: usize,
}

/// What the relation head reads. `batch` windows, each with up to M mentions, N entities, P pairs.
#[derive(Clone, Copy, Debug)]
pub struct RelationInputs {
    /// `[T, d]`.
    pub hidden: Tensor,
    /// `[batch, heads, L, L]`.
    pub attention: Tensor,
    /// `[batch, M, L]`: 1/n at the n tokens of a mention.
    pub mention_tokens: Tensor,
    /// `[batch, N, M]`: 1 where the mention belongs to the entity. No row may be empty.
    pub entity_mentions: Tensor,
    /// `[batch × P]`: entity numbers, `window × N + entity`.
    pub pair_head: Tensor,
    /// As `pair_head`.
    pub pair_tail: Tensor,
}

/// Logits `[batch × P, labels]` and pair attention `[batch × P, L]`.
///
/// Localized context pooling (ATLOP: Zhou, Huang, Ma and Huang 2021): an entity is the log-sum-exp of its mentions; the context of a pair is
/// the mean of the tokens, weighted by the product of the attention that both entities pay to them; both ends, each with that context, meet in
/// a grouped bilinear form. Log-sum-exp needs no shift: layer-normalised values stay far below 88.
pub fn relation_logits(
    net: &mut Net<'_>,
    head: RelationHead,
    x: &RelationInputs,
    batch: usize,
) -> (Tensor, Tensor) {
    let RelationHead {
        hidden: d,
        heads,
        labels,
        block,
    } = head;
    let length = Dim::new(1, "L");
    let (entities, pairs) = (
        net.graph.shape(x.entity_mentions)[1],
        net.graph.shape(x.pair_head)[0],
    );
    let plain = MatMul::default();
    let by_window = MatMul {
        batch_b: true,
        ..plain
    };
    let g = &mut net.graph;
    let tokens = g.reshape(x.hidden, shape![length, batch, d]);
    let mentions = g.matmul(x.mention_tokens, tokens, by_window);
    let mentions = g.exp(mentions);
    let sums = g.matmul(x.entity_mentions, mentions, plain);
    let pooled = g.log(sums);
    let entity_rows = entities.times(batch);
    let pooled = g.reshape(pooled, shape![entity_rows, d]);

    let reach = g.matmul(x.entity_mentions, x.mention_tokens, plain);
    let reach = g.reshape(reach, shape![batch, 1, entities, length]);
    let attends = g.matmul(reach, x.attention, plain);
    let attends = g.transpose(attends, &[0, 2, 1, 3]);
    let attends = g.reshape(attends, shape![entity_rows, heads, length]);
    let (a, b) = (
        g.gather(attends, x.pair_head),
        g.gather(attends, x.pair_tail),
    );
    let both = g.mul(a, b);
    let both = g.reduce_sum(both, &[1], false);
    let total = g.reduce_sum(both, &[1], true);
    let floor = g.scalar(1e-5);
    let total = g.add(total, floor);
    let pair_attention = g.div(both, total);

    let per_window = g.reshape(pair_attention, shape![batch, Dim::new(1, "P"), length]);
    let context = g.matmul(per_window, tokens, by_window);
    let context = g.reshape(context, shape![pairs, d]);
    let end = |net: &mut Net<'_>, index: Tensor, name: &str| {
        let e = net.graph.gather(pooled, index);
        let e = net.graph.concat(&[e, context], 1);
        let e = net.linear(e, name, 2 * d, d);
        net.graph.tanh(e)
    };
    let h = end(net, x.pair_head, "heads.relations.head");
    let t = end(net, x.pair_tail, "heads.relations.tail");
    let groups = d / block;
    let g = &mut net.graph;
    let h = g.reshape(h, shape![pairs, groups, block, 1]);
    let t = g.reshape(t, shape![pairs, groups, 1, block]);
    let outer = g.mul(h, t);
    let outer = g.reshape(outer, shape![pairs, groups * block * block]);
    (
        net.linear(
            outer,
            "heads.relations.bilinear",
            groups * block * block,
            labels,
        ),
        pair_attention,
    )
}

/// The word table as the decoder of masked words: the same values under another name, so that the gradients of both uses stay apart.
pub const DECODER: &str = "masked.decoder";

/// Logits `[rows, vocabulary]` of the words behind the hidden states `[rows, d]` (Devlin et al. 2019): a dense layer with GELU and
/// normalisation, then a product with the word table, which is handed on, too.
pub fn masked_logits(net: &mut Net<'_>, hidden: Tensor, c: &Config) -> (Tensor, Tensor) {
    let d = c.hidden_size;
    let x = net.linear(hidden, "masked.dense", d, d);
    let x = net.graph.gelu(x);
    let x = net.norm(x, "masked.LayerNorm", d, c.epsilon);
    let table = net.parameter(DECODER, &[c.vocab_size, d]);
    let bias = net.parameter("masked.bias", &[c.vocab_size]);
    (net.graph.gemm(x, table, Some(bias), false, true), table)
}
