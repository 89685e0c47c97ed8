//! Named weights: read by [`super::base`], initialised for new heads, written to checkpoints.

use std::collections::BTreeMap;

use super::encoder::{Config, POSITIONS, WORDS};
use super::heads::RelationHead;

/// One weight tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values.
    pub data: Vec<f32>,
}

/// All weights of a student, by name (the order of iteration is the order of names).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub BTreeMap<String, Parameter>);

impl Parameters {
    /// The values of `name`, whose shape must be `shape`: the definition of the student guarantees both.
    #[allow(clippy::panic)]
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> &[f32] {
        match self.0.get(name) {
            Some(p) if p.shape == shape => &p.data,
            Some(p) => panic!("parameter {name} has shape {:?}, not {shape:?}", p.shape),
            None => panic!("no parameter {name}"),
        }
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.0.values().map(|p| p.data.len()).sum()
    }

    pub(crate) fn insert(&mut self, name: impl Into<String>, shape: &[usize], data: Vec<f32>) {
        self.0.insert(
            name.into(),
            Parameter {
                shape: shape.to_vec(),
                data,
            },
        );
    }

    /// An encoder of random weights (normal, σ 0.02).
    pub fn random_encoder(c: &Config, mut normal: impl FnMut() -> f32) -> Parameters {
        let (d, f) = (c.hidden_size, c.intermediate_size);
        let mut p = Parameters::default();
        let mut draw = |p: &mut Parameters, name: String, shape: &[usize]| {
            p.insert(
                name,
                shape,
                (0..shape.iter().product())
                    .map(|_| 0.02 * normal())
                    .collect(),
            );
        };
        draw(&mut p, WORDS.into(), &[c.vocab_size, d]);
        draw(&mut p, POSITIONS.into(), &[c.max_positions, d]);
        for layer in 0..c.layers {
            let l = format!("encoder.layer.{layer}");
            for (name, outputs, inputs) in [
                ("attention.self.qkv", 3 * d, d),
                ("attention.output.dense", d, d),
                ("intermediate.dense", f, d),
                ("output.dense", d, f),
            ] {
                draw(&mut p, format!("{l}.{name}.weight"), &[outputs, inputs]);
                p.insert(format!("{l}.{name}.bias"), &[outputs], vec![0.0; outputs]);
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                p.insert(format!("{l}.{name}.weight"), &[d], vec![1.0; d]);
                p.insert(format!("{l}.{name}.bias"), &[d], vec![0.0; d]);
            }
        }
        p.insert("embeddings.LayerNorm.weight", &[d], vec![1.0; d]);
        p.insert("embeddings.LayerNorm.bias", &[d], vec![0.0; d]);
        p
    }

    /// Adds one linear layer (normal, σ 0.02; biases 0).
    pub fn add_linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        mut normal: impl FnMut() -> f32,
    ) {
        let w = (0..inputs * outputs).map(|_| 0.02 * normal()).collect();
        self.insert(format!("{name}.weight"), &[outputs, inputs], w);
        self.insert(format!("{name}.bias"), &[outputs], vec![0.0; outputs]);
    }

    /// Adds the heads' weights (normal, σ 0.02; biases 0).
    pub fn add_heads(
        &mut self,
        types: usize,
        relations: Option<RelationHead>,
        mut normal: impl FnMut() -> f32,
        width: usize,
    ) {
        let mut layer = |p: &mut Parameters, name: &str, inputs: usize, outputs: usize| {
            p.add_linear(name, inputs, outputs, &mut normal);
        };
        layer(self, "heads.entities", width, 3 * types);
        if let Some(h) = relations {
            layer(self, "heads.relations.head", 2 * h.hidden, h.hidden);
            layer(self, "heads.relations.tail", 2 * h.hidden, h.hidden);
            layer(
                self,
                "heads.relations.bilinear",
                h.hidden * h.block,
                h.labels,
            );
        }
    }
}
