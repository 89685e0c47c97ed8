//! Named weights: read from a Hugging Face folder, initialised for new heads, written to checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::encoder::{Config, POSITIONS, WORDS};
use super::heads::RelationHead;
use crate::error::{Error, Result};

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

    pub(super) fn insert(&mut self, name: impl Into<String>, shape: &[usize], data: Vec<f32>) {
        self.0.insert(
            name.into(),
            Parameter {
                shape: shape.to_vec(),
                data,
            },
        );
    }

    /// Reads `config.json` and `model.safetensors` of a BERT encoder (names with or without the prefix `bert.`).
    /// Query, key and value become one projection; the embedding of segment 0, always the same, joins the positions.
    ///
    /// # Errors
    /// The error names the file and what is wrong in it.
    pub fn from_folder(folder: &Path) -> Result<(Config, Parameters)> {
        let path = folder.join("config.json");
        let config = read_config(&read(&path)?).map_err(|why| Error::file(&path, why))?;
        let path = folder.join("model.safetensors");
        let parameters = Self::from_safetensors(&read(&path)?, &config)
            .map_err(|why| Error::file(&path, why))?;
        Ok((config, parameters))
    }

    fn from_safetensors(bytes: &[u8], c: &Config) -> std::result::Result<Parameters, String> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|e| format!("not a safetensors file: {e}"))?;
        let take = |name: &str, shape: &[usize]| -> std::result::Result<Vec<f32>, String> {
            let view = file
                .tensor(name)
                .or_else(|_| file.tensor(&format!("bert.{name}")))
                .map_err(|_| format!("tensor {name} is missing; is this a BERT encoder?"))?;
            if view.shape() != shape {
                return Err(format!(
                    "tensor {name} has shape {:?}, config.json implies {shape:?}",
                    view.shape()
                ));
            }
            to_f32(view.dtype(), view.data())
                .ok_or_else(|| format!("tensor {name} is {:?}, not F32, F16 or BF16", view.dtype()))
        };
        let (d, f) = (c.hidden_size, c.intermediate_size);
        let mut p = Parameters::default();
        p.insert(WORDS, &[c.vocab_size, d], take(WORDS, &[c.vocab_size, d])?);
        let segments = "embeddings.token_type_embeddings.weight";
        let rows = file
            .tensor(segments)
            .or_else(|_| file.tensor(&format!("bert.{segments}")))
            .map_or(2, |v| v.shape().first().copied().unwrap_or(0));
        let segment = take(segments, &[rows, d])?;
        let mut positions = take(POSITIONS, &[c.max_positions, d])?;
        for row in positions.chunks_mut(d) {
            row.iter_mut().zip(&segment).for_each(|(x, s)| *x += s);
        }
        p.insert(POSITIONS, &[c.max_positions, d], positions);
        let mut copy = |name: &str, shape: &[usize]| -> std::result::Result<(), String> {
            p.insert(name, shape, take(name, shape)?);
            Ok(())
        };
        copy("embeddings.LayerNorm.weight", &[d])?;
        copy("embeddings.LayerNorm.bias", &[d])?;
        for layer in 0..c.layers {
            let l = format!("encoder.layer.{layer}");
            for (name, outputs, inputs) in [
                ("attention.output.dense", d, d),
                ("intermediate.dense", f, d),
                ("output.dense", d, f),
            ] {
                copy(&format!("{l}.{name}.weight"), &[outputs, inputs])?;
                copy(&format!("{l}.{name}.bias"), &[outputs])?;
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                copy(&format!("{l}.{name}.weight"), &[d])?;
                copy(&format!("{l}.{name}.bias"), &[d])?;
            }
        }
        for layer in 0..c.layers {
            let l = format!("encoder.layer.{layer}.attention.self");
            let (mut weight, mut bias) = (Vec::with_capacity(3 * d * d), Vec::with_capacity(3 * d));
            for part in ["query", "key", "value"] {
                weight.extend(take(&format!("{l}.{part}.weight"), &[d, d])?);
                bias.extend(take(&format!("{l}.{part}.bias"), &[d])?);
            }
            p.insert(format!("{l}.qkv.weight"), &[3 * d, d], weight);
            p.insert(format!("{l}.qkv.bias"), &[3 * d], bias);
        }
        Ok(p)
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

/// Sizes that the graph can be built of, of an encoder that computes what ours does.
fn read_config(json: &[u8]) -> std::result::Result<Config, String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    for (key, ours) in [
        ("hidden_act", "gelu"),
        ("position_embedding_type", "absolute"),
    ] {
        match value.get(key).and_then(serde_json::Value::as_str) {
            Some(other) if other != ours => {
                return Err(format!(
                    "{key} is \"{other}\"; only \"{ours}\" is supported"
                ));
            }
            _ => {}
        }
    }
    let c: Config = serde_json::from_value(value).map_err(|e| e.to_string())?;
    for (key, size) in [
        ("vocab_size", c.vocab_size),
        ("hidden_size", c.hidden_size),
        ("num_hidden_layers", c.layers),
        ("num_attention_heads", c.heads),
        ("intermediate_size", c.intermediate_size),
        ("max_position_embeddings", c.max_positions),
    ] {
        if !(1..=1 << 20).contains(&size) {
            return Err(format!("{key} is {size}, out of range (1 to {})", 1 << 20));
        }
    }
    if !c.hidden_size.is_multiple_of(c.heads) {
        return Err(format!(
            "num_attention_heads {} does not divide hidden_size {}",
            c.heads, c.hidden_size
        ));
    }
    Ok(c)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io("read", path))
}

/// Little-endian floats of 32 or 16 bits as f32.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = || {
        bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| u16::from_le_bytes(*b))
    };
    Some(match dtype {
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        Dtype::F16 => halves().map(half_to_f32).collect(),
        Dtype::BF16 => halves()
            .map(|h| f32::from_bits(u32::from(h) << 16))
            .collect(),
        _ => return None,
    })
}

/// IEEE 754 binary16.
fn half_to_f32(h: u16) -> f32 {
    let sign = if h & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(h >> 10 & 31), f32::from(h & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    }
}
