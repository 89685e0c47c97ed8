//! The encoder against what an independent implementation computes with the same weights: every hidden layer, the
//! attentions, and the gradient of a target with respect to the embedding output.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bie::encode::Encoder;
use distill::graph::grad::gradients;
use distill::graph::{Data, Dim};
use distill::session::{Feed, Session};
use distill::shape;
use distill::student::base::Base;
use distill::student::encoder::{encoder, ids_input};
use distill::student::parameters::Parameters;
use distill::student::trainable::Trainable;
use distill::student::{Net, Weights};
use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;

#[test]
fn minilm_agrees_with_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/base/minilm-l6");
    if !folder.exists() {
        println!("skipped: ../shared/base/minilm-l6 is not here");
        return;
    }
    check(&folder, &folder, 1e-4);
}

/// A model of random weights of our own, so that this runs everywhere; see `data/README.md`.
fn tiny_bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-bert")
}

#[test]
fn tiny_bert_agrees_with_pytorch() {
    check(&tiny_bert(), &tiny_bert(), 1e-4);
}

/// Other exports of the same weights: names with the model's prefix, numbers of 16 bits.
#[test]
fn prefixed_names_and_halves_are_read() {
    let bytes = std::fs::read(tiny_bert().join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    type Convert = fn(f32) -> [u8; 2];
    let bf16: Convert = |x| {
        ((x.to_bits() + 0x8000) >> 16).to_le_bytes()[..2]
            .try_into()
            .unwrap()
    };
    // Relative precisions 2^-24, 2^-11 and 2^-8, by which weights of 0.2 move the hidden states through two layers.
    for (dtype, convert, tolerance) in [
        (Dtype::F32, None, 1e-4),
        (Dtype::F16, Some(to_half as Convert), 0.005),
        (Dtype::BF16, Some(bf16), 0.05),
    ] {
        let tensors: HashMap<String, Stored> = file
            .iter()
            .map(|(name, view)| {
                let (floats, shape) = (view.dtype() == Dtype::F32, view.shape().to_vec());
                let (dtype, data) = match convert.filter(|_| floats) {
                    Some(convert) => (dtype, floats_of(view.data()).flat_map(convert).collect()),
                    None => (view.dtype(), view.data().to_vec()),
                };
                (format!("bert.{name}"), Stored { dtype, shape, data })
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            tiny_bert().join("config.json"),
            folder.path().join("config.json"),
        )
        .unwrap();
        safetensors::serialize_to_file(&tensors, None, &folder.path().join("model.safetensors"))
            .unwrap();
        check(folder.path(), &tiny_bert(), tolerance);
    }
}

/// A student of the first of two layers computes what PyTorch finds after one layer; one of the second alone has that layer's weights.
#[test]
fn fewer_layers_are_those_of_the_base() {
    let first = Base::read(&tiny_bert(), |_| Ok(vec![0])).unwrap();
    assert_eq!(first.config.layers, 1);
    let mut net = Net::extraction(Weights::Float(&first.parameters), true);
    let ids = ids_input(&mut net, "input_ids", 1);
    let encoded = encoder(&mut net, &first.config, ids, 1, None);
    net.graph.output("last", encoded.hidden[1]);
    let mut session = Session::new(&net.graph.to_onnx("encoder"), 1).unwrap();
    let ids: Vec<i64> = serde_json::from_value(reference(&tiny_bert())["ids"][0].clone()).unwrap();
    let feeds = [("input_ids", Feed::I64(&[ids.len(), 1], &ids))];
    let out = session.run_to_arrays(&feeds, &["last"]).unwrap();
    let bytes = std::fs::read(tiny_bert().join("reference.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let expected = floats_of(expected.tensor("0.hidden.1").unwrap().data());
    for (got, want) in out[0].data.iter().zip(expected) {
        assert!((got - want).abs() < 1e-4);
    }

    let both = Parameters::from_folder(&tiny_bert()).unwrap().1;
    let second = Base::read(&tiny_bert(), |_| Ok(vec![1])).unwrap();
    let picked = both.0.into_iter().filter_map(|(name, p)| {
        let moved = name.replace("encoder.layer.1.", "encoder.layer.0.");
        (!name.contains("encoder.layer.0.")).then_some((moved, p))
    });
    assert_eq!(second.parameters, Parameters(picked.collect()));
}

/// The graph holds at the other end of sizes, too; its weights would have 1.3 GB.
#[test]
fn a_graph_of_the_size_of_bert_large_loads() {
    let config = distill::student::encoder::Config {
        vocab_size: 30522,
        hidden_size: 1024,
        layers: 24,
        heads: 16,
        intermediate_size: 4096,
        max_positions: 512,
        epsilon: 1e-12,
    };
    let mut net = Net::training(0.0, Trainable::default());
    let ids = ids_input(&mut net, "input_ids", 1);
    let encoded = encoder(&mut net, &config, ids, 1, None);
    net.graph.output("last", encoded.hidden[24]);
    let values: usize = net
        .parameters()
        .iter()
        .flat_map(|(_, t)| {
            net.graph
                .shape(*t)
                .iter()
                .map(|d| d.fixed())
                .reduce(|a, b| Some(a? * b?))
        })
        .flatten()
        .sum();
    // Hugging Face's 335 141 888 without the pooler and segment 1.
    assert_eq!(values, 335_141_888 - 1024 * 1025 - 2 * 1024);
    Session::new(&net.graph.to_onnx("encoder"), 1).unwrap();
}

/// The tokenizer that is built from `vocab.txt` reads what an independent WordPiece reads.
#[test]
fn tiny_bert_tokens_agree() {
    let vocabulary = std::fs::read_to_string(tiny_bert().join("vocab.txt")).unwrap();
    let encoder = Encoder::from_vocab(&vocabulary, true).unwrap();
    let json = reference(&tiny_bert());
    for (n, text) in json["texts"].as_array().unwrap().iter().enumerate() {
        let text = text.as_str().unwrap();
        let tokens = encoder.encode(text).unwrap().sentences.concat();
        let code_points = |byte: usize| text[..byte].chars().count();
        let mut ids: Vec<u32> = vec![encoder.cls()];
        ids.extend(tokens.iter().map(|t| t.id));
        ids.push(encoder.sep());
        let mut offsets = vec![(0, 0)];
        offsets.extend(
            tokens
                .iter()
                .map(|t| (code_points(t.start), code_points(t.end))),
        );
        offsets.push((0, 0));
        assert_eq!(json["ids"][n], serde_json::json!(ids), "text {n}");
        assert_eq!(json["offsets"][n], serde_json::json!(offsets), "text {n}");
    }
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The nearest IEEE 754 binary16 of a number of ordinary size (no infinity, no NaN), ties away from zero.
fn to_half(x: f32) -> [u8; 2] {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let scaled = x.abs();
    let half = if scaled < 2f32.powi(-14) {
        (scaled * 2f32.powi(24)).round() as u16
    } else {
        ((scaled.to_bits() + 0x1000 - (112 << 23)) >> 13) as u16
    };
    (sign | half).to_le_bytes()
}

fn floats_of(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
}

fn reference(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap()
}

/// Compares the model in `folder` with the reference in `oracle`.
fn check(folder: &Path, oracle: &Path, tolerance: f32) {
    let (config, parameters) = Parameters::from_folder(folder).unwrap();
    let json = reference(oracle);
    let bytes = std::fs::read(oracle.join("reference.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let expect =
        |name: &str| -> Vec<f32> { floats_of(expected.tensor(name).unwrap().data()).collect() };
    let close = |what: &str, got: &[f32], want: &[f32]| {
        assert_eq!(got.len(), want.len(), "{what}");
        let worst = got
            .iter()
            .zip(want)
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, f32::max);
        println!("{what}: largest difference {worst:e}");
        assert!(worst <= tolerance, "{what} differs by {worst}");
    };
    for fuse in [true, false] {
        let mut net = Net::extraction(Weights::Float(&parameters), fuse);
        let ids = ids_input(&mut net, "input_ids", 1);
        let e = encoder(&mut net, &config, ids, 1, None);
        let mut names: Vec<String> = Vec::new();
        for (i, &h) in e.hidden.iter().enumerate() {
            names.push(format!("hidden{i}"));
            net.graph.output(&names[i], h);
        }
        for (i, &a) in e.attention.iter().enumerate() {
            names.push(format!("attention{i}"));
            net.graph.output(&format!("attention{i}"), a);
        }
        if !fuse {
            // Σ_j linspace(-1, 1, d)[j] · last[1][j]
            let (d, last) = (config.hidden_size, *e.hidden.last().unwrap());
            let row: Vec<f32> = (0..d)
                .map(|j| -1.0 + 2.0 * j as f32 / (d as f32 - 1.0))
                .collect();
            let row = net.graph.initializer("row", &[d, 1], Data::F32(row));
            let y = net.graph.gemm(last, row, None, false, false);
            let seed = net.graph.input(
                "seed",
                distill::graph::DType::F32,
                shape![Dim::new(1, "L"), 1],
            );
            let grad = gradients(&mut net.graph, y, Some(seed), &[e.hidden[0]])[0].unwrap();
            net.graph.output("gradient", grad);
            names.push("gradient".into());
        }
        let mut session = Session::new(&net.graph.to_onnx("encoder"), 1).unwrap();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (t, ids) in json["ids"].as_array().unwrap().iter().enumerate() {
            let ids: Vec<i64> = ids
                .as_array()
                .unwrap()
                .iter()
                .map(|i| i.as_i64().unwrap())
                .collect();
            let n = ids.len();
            let mut seed = vec![0.0; n];
            seed[1] = 1.0;
            let (ids_shape, seed_shape) = ([n, 1], [n, 1]);
            let mut feeds = vec![("input_ids", Feed::I64(&ids_shape, &ids))];
            if !fuse {
                feeds.push(("seed", Feed::F32(&seed_shape, &seed)));
            }
            let out = session.run_to_arrays(&feeds, &names).unwrap();
            let get = |name: &str| &out[names.iter().position(|n| *n == name).unwrap()].data;
            close(
                &format!("text {t} last"),
                get(&format!("hidden{}", config.layers)),
                &expect(&format!("{t}.last_hidden_state")),
            );
            if t == 0 {
                for i in 0..=config.layers {
                    close(
                        &format!("hidden {i}"),
                        get(&format!("hidden{i}")),
                        &expect(&format!("0.hidden.{i}")),
                    );
                }
                for i in 0..config.layers {
                    close(
                        &format!("attention {i}"),
                        get(&format!("attention{i}")),
                        &expect(&format!("0.attention.{i}")),
                    );
                }
                if !fuse {
                    close(
                        "gradient",
                        get("gradient"),
                        &expect("0.grad_embedding_output"),
                    );
                }
            }
        }
    }
}
