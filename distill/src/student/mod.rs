//! The student, defined once: a BERT encoder, one BIO head per entity type, a relation head over pairs of entities.
//!
//! [`Net`] is the context in which the definition is written; it decides whether parameters are graph inputs (training)
//! or written into the graph (extraction, float or int8). The definition itself does not know.

pub mod base;
pub mod bundled;
pub mod encoder;
pub mod heads;
pub mod parameters;
pub mod trainable;
pub mod weights;

use crate::graph::grad::depends_on;
use crate::graph::{DType, Data, Graph, Tensor};
use parameters::Parameters;
use trainable::{Trainable, factors};

/// Where a graph's weights are.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// Graph inputs, one a parameter: the training step.
    Inputs,
    /// Initialisers, as they are.
    Float(&'a Parameters),
    /// Initialisers; the encoder's linear layers and word embeddings in 8 bits.
    Int8(&'a Parameters),
    /// As [`Weights::Int8`], but multiplied in floats: what the 8-bit model would be if its activations were not rounded.
    Int8AsFloat(&'a Parameters),
}

impl<'a> Weights<'a> {
    /// The parameters, if they are kept in 8 bits.
    fn in_8_bits(self) -> Option<&'a Parameters> {
        match self {
            Weights::Int8(p) | Weights::Int8AsFloat(p) => Some(p),
            Weights::Inputs | Weights::Float(_) => None,
        }
    }
}

/// A graph under construction, and the rules by which its layers are written.
pub struct Net<'a> {
    /// The graph.
    pub graph: Graph,
    weights: Weights<'a>,
    /// Use fused operators that cannot be differentiated.
    fuse: bool,
    /// Probability of dropout; its masks are graph inputs `dropout0`, `dropout1`, ... of keep/(1−p) values.
    dropout: f32,
    /// What training changes.
    trainable: Trainable,
    masks: Vec<(String, Tensor)>,
    parameters: Vec<(String, Tensor)>,
}

impl<'a> Net<'a> {
    /// For a training step that changes what `trainable` says.
    pub fn training(dropout: f32, trainable: Trainable) -> Self {
        let net = Self::new(Weights::Inputs, false, dropout);
        Net { trainable, ..net }
    }

    /// For extraction; `fuse` where no gradient will be taken.
    pub fn extraction(weights: Weights<'a>, fuse: bool) -> Self {
        Self::new(weights, fuse, 0.0)
    }

    fn new(weights: Weights<'a>, fuse: bool, dropout: f32) -> Self {
        Net {
            graph: Graph::new(),
            weights,
            fuse,
            dropout,
            trainable: Trainable::default(),
            masks: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Names and handles of the dropout masks, in order.
    pub fn masks(&self) -> &[(String, Tensor)] {
        &self.masks
    }

    /// Names and handles of the parameters that are graph inputs, in order of first use.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// As [`Net::parameters`], only those that training changes.
    pub fn trained(&self) -> Vec<(String, Tensor)> {
        let trained = |(name, _): &&(String, Tensor)| self.trainable.trains(name);
        self.parameters.iter().filter(trained).cloned().collect()
    }

    /// A parameter in full precision.
    fn parameter(&mut self, name: &str, shape: &[usize]) -> Tensor {
        match self.weights {
            Weights::Inputs => {
                let t =
                    self.graph
                        .input(name, DType::F32, shape.iter().map(|&d| d.into()).collect());
                self.parameters.push((name.to_owned(), t));
                t
            }
            Weights::Float(p) | Weights::Int8(p) | Weights::Int8AsFloat(p) => self
                .graph
                .initializer(name, shape, Data::F32(p.values(name, shape).to_vec())),
        }
    }

    /// y = x Wᵀ + b in full precision, W stored `[outputs, inputs]`.
    pub(crate) fn linear(
        &mut self,
        x: Tensor,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Tensor {
        let w = self.parameter(&format!("{name}.weight"), &[outputs, inputs]);
        let b = self.parameter(&format!("{name}.bias"), &[outputs]);
        self.graph.gemm(x, w, Some(b), false, true)
    }

    /// As [`Net::linear`], in 8 bits where the weights are: symmetric, one scale per output, and only 7 of the 8 bits,
    /// so that the sum of two u8·i8 products never saturates on processors without VNNI and all kernels agree.
    fn quantizable_linear(
        &mut self,
        x: Tensor,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Tensor {
        let Some(p) = self.weights.in_8_bits() else {
            let y = self.linear(x, name, inputs, outputs);
            return self.adapted(x, y, name, inputs, outputs);
        };
        let rows = p.values(&format!("{name}.weight"), &[outputs, inputs]);
        let (q, scales) = quantize_rows(rows, inputs, 63.0);
        let mut columns = vec![0i8; q.len()];
        for o in 0..outputs {
            for i in 0..inputs {
                columns[i * outputs + o] = q[o * inputs + i];
            }
        }
        let w = self.graph.initializer(
            &format!("{name}.weight"),
            &[inputs, outputs],
            Data::I8(columns),
        );
        let s = self
            .graph
            .initializer(&format!("{name}.scale"), &[outputs], Data::F32(scales));
        let b = self.parameter(&format!("{name}.bias"), &[outputs]);
        if let Weights::Int8AsFloat(_) = self.weights {
            // Constants: ONNX Runtime multiplies them out once, while it loads the graph.
            let w = self.graph.cast_f32(w);
            let w = self.graph.mul(w, s);
            return self.graph.gemm(x, w, Some(b), false, false);
        }
        self.graph.quantized_matmul(x, w, s, Some(b))
    }

    /// `y` plus what the adapters beside the layer `name`, if there are any, make of its input `x`: y + (α/r) x Aᵀ Bᵀ.
    fn adapted(
        &mut self,
        x: Tensor,
        y: Tensor,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Tensor {
        let Some(adapters) = self.trainable.adapters_of(name) else {
            return y;
        };
        let [down, up] = factors(name);
        let down = self.parameter(&down, &[adapters.rank, inputs]);
        let up = self.parameter(&up, &[outputs, adapters.rank]);
        let low = self.graph.gemm(x, down, None, false, true);
        let low = self.graph.scale(low, adapters.factor());
        self.graph.gemm(low, up, Some(y), false, true)
    }

    /// Rows of an embedding table; in 8 bits with one scale per row where the weights are.
    fn embedding(&mut self, ids: Tensor, name: &str, rows: usize, columns: usize) -> Tensor {
        let Some(p) = self.weights.in_8_bits() else {
            let table = self.parameter(name, &[rows, columns]);
            return self.graph.gather(table, ids);
        };
        let (q, scales) = quantize_rows(p.values(name, &[rows, columns]), columns, 127.0);
        let table = self.graph.initializer(name, &[rows, columns], Data::I8(q));
        let scale = self
            .graph
            .initializer(&format!("{name}.scale"), &[rows, 1], Data::F32(scales));
        let picked = self.graph.gather(table, ids);
        let picked = self.graph.cast_f32(picked);
        let scale = self.graph.gather(scale, ids);
        self.graph.mul(picked, scale)
    }

    /// Drops units, where something below is trained: what is frozen computes the same for a text every time.
    fn drop_out(&mut self, x: Tensor) -> Tensor {
        let roots: Vec<Tensor> = self.trained().into_iter().map(|(_, t)| t).collect();
        if self.dropout == 0.0 || !depends_on(&self.graph, &roots).contains(&x) {
            return x;
        }
        let name = format!("dropout{}", self.masks.len());
        let mask = self
            .graph
            .input(&name, DType::F32, self.graph.shape(x).to_vec());
        self.masks.push((name, mask));
        self.graph.mul(x, mask)
    }

    /// LayerNorm(x + residual), both of one shape.
    fn add_norm(
        &mut self,
        x: Tensor,
        residual: Tensor,
        name: &str,
        width: usize,
        epsilon: f32,
    ) -> Tensor {
        if !self.fuse {
            let sum = self.graph.add(x, residual);
            return self.norm(sum, name, width, epsilon);
        }
        let (gamma, beta) = self.norm_parameters(name, width);
        self.graph
            .skip_layer_norm(x, residual, gamma, beta, epsilon)
    }

    fn norm(&mut self, x: Tensor, name: &str, width: usize, epsilon: f32) -> Tensor {
        let (gamma, beta) = self.norm_parameters(name, width);
        self.graph.layer_norm(x, gamma, beta, epsilon)[0]
    }

    fn norm_parameters(&mut self, name: &str, width: usize) -> (Tensor, Tensor) {
        (
            self.parameter(&format!("{name}.weight"), &[width]),
            self.parameter(&format!("{name}.bias"), &[width]),
        )
    }
}

/// Symmetric quantisation of each row to [-limit, limit]: values and scales.
fn quantize_rows(values: &[f32], columns: usize, limit: f32) -> (Vec<i8>, Vec<f32>) {
    let mut q = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / columns.max(1));
    for row in values.chunks(columns) {
        let max = row.iter().fold(0f32, |m, x| m.max(x.abs()));
        let scale = if max > 0.0 { max / limit } else { 1.0 };
        q.extend(
            row.iter()
                .map(|x| (x / scale).round().clamp(-limit, limit) as i8),
        );
        scales.push(scale);
    }
    (q, scales)
}
