//! Feature distillation: hidden states and attention maps of the student, held to those of an encoder teacher
//! (TinyBERT: Jiao et al. 2020; maps as distributions, as in MiniLM: Wang et al. 2020).

use crate::graph::{DType, Dim, Tensor};
use crate::shape;
use crate::student::Net;
use crate::student::encoder::{Config, Encoded};
use crate::student::parameters::Parameters;

/// Added to the student's attention before the logarithm.
const FLOOR: f32 = 1e-6;

/// One layer of the student that is held to one of a teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// What of the layers is compared.
    pub kind: Kind,
    /// Layer of the student; 0 is the output of the embeddings.
    pub student: usize,
    /// Layer of the teacher.
    pub teacher: usize,
    /// Weight in the loss.
    pub weight: f32,
    /// Name of the projection's parameters, unique in a run; only hidden states have one.
    pub projection: String,
}

/// What of two layers is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mean squared difference between the teacher's hidden states and a learned projection of the student's.
    Hidden {
        /// Width of the teacher's.
        width: usize,
    },
    /// Cross-entropy between the rows of the attention maps.
    Attention {
        /// Maps: one a head, or 1 for the mean over the heads, on both sides, where the numbers of heads differ.
        maps: usize,
    },
}

/// Begins the names of parameters that are trained and never exported.
pub const SCAFFOLD: &str = "distill.";

impl Feature {
    /// Values of the teacher for a window of `length` tokens: `[L, width]` or `[maps, L, L]`.
    pub fn values(&self, length: usize) -> usize {
        match self.kind {
            Kind::Hidden { width } => length * width,
            Kind::Attention { maps } => maps * length * length,
        }
    }

    /// The term's name.
    pub fn term(&self) -> &'static str {
        match self.kind {
            Kind::Hidden { .. } => "hidden",
            Kind::Attention { .. } => "attention",
        }
    }

    /// Adds the projection's initial values: the identity where the widths are equal, else as the heads'.
    pub fn add_projection(
        &self,
        parameters: &mut Parameters,
        config: &Config,
        normal: impl FnMut() -> f32,
    ) {
        let (Kind::Hidden { width }, d) = (self.kind, config.hidden_size) else {
            return;
        };
        parameters.add_linear(&self.projection, d, width, normal);
        if let Some(weight) = (parameters.0)
            .get_mut(&format!("{}.weight", self.projection))
            .filter(|_| width == d)
        {
            weight.data.fill(0.0);
            weight.data.iter_mut().step_by(d + 1).for_each(|x| *x = 1.0);
        }
    }

    /// The graph's input of the teacher's values: `[L·B, width]`, or `[B, maps, L, L]`, which carries the weights of its rows.
    pub fn input(index: usize) -> String {
        format!("feature{index}")
    }

    /// Where the values of a batch go, all 0.
    pub fn empty(&self, batch: usize, length: usize) -> Vec<f32> {
        vec![0.0; batch * self.values(length)]
    }

    /// Puts the teacher's values for window `w` of a batch into `cells`. `lengths`: tokens of the window, and of the batch's longest; `rows`: those
    /// of all windows. A row of a map weighs 1/(rows × maps).
    pub fn place(
        &self,
        cells: &mut [f32],
        values: &[f32],
        (w, batch): (usize, usize),
        (tokens, length): (usize, usize),
        rows: usize,
    ) {
        match self.kind {
            Kind::Hidden { width } => {
                let rows = cells.chunks_mut(width).skip(w).step_by(batch);
                for (row, of) in rows.zip(values.chunks(width)) {
                    row.copy_from_slice(of);
                }
            }
            Kind::Attention { maps } => {
                let share = 1.0 / (rows * maps) as f32;
                let of_window = cells.chunks_mut(maps * length * length).nth(w);
                let to = of_window
                    .into_iter()
                    .flat_map(|c| c.chunks_mut(length * length));
                for (map, of) in to.zip(values.chunks(tokens * tokens)) {
                    for (row, of) in map.chunks_mut(length).zip(of.chunks(tokens)) {
                        row.iter_mut()
                            .zip(of)
                            .for_each(|(cell, p)| *cell = p * share);
                    }
                }
            }
        }
    }

    /// Writes the term of feature number `index`. `mask` `[L·B, 1]` holds 1/n on the n tokens of the batch.
    pub(super) fn loss(
        &self,
        net: &mut Net<'_>,
        index: usize,
        config: &Config,
        encoded: &Encoded,
        batch: usize,
        mask: Tensor,
    ) -> Tensor {
        let name = Self::input(index);
        match self.kind {
            Kind::Hidden { width } => {
                let hidden = encoded.hidden[self.student];
                let own = net.linear(hidden, &self.projection, config.hidden_size, width);
                let g = &mut net.graph;
                let theirs = g.input(&name, DType::F32, shape![Dim::new(batch, "L"), width]);
                let difference = g.sub(own, theirs);
                let square = g.mul(difference, difference);
                let masked = g.mul(square, mask);
                let sum = g.sum_all(masked);
                g.scale(sum, self.weight / width as f32)
            }
            Kind::Attention { maps } => {
                let length = Dim::new(1, "L");
                let g = &mut net.graph;
                let mut own = encoded.attention[self.student - 1];
                if maps != config.heads {
                    let sum = g.reduce_sum(own, &[1], true);
                    own = g.scale(sum, 1.0 / config.heads as f32);
                }
                let theirs = g.input(&name, DType::F32, shape![batch, maps, length, length]);
                let floor = g.scalar(FLOOR);
                let own = g.add(own, floor);
                let log = g.log(own);
                let product = g.mul(log, theirs);
                let sum = g.sum_all(product);
                g.scale(sum, -self.weight)
            }
        }
    }
}
