//! The encoder against what an independent implementation computes with the same weights: every hidden layer, the
//! attentions, and the gradient of a target with respect to the embedding output.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;

use distill::graph::grad::gradients;
use distill::graph::{Data, Dim};
use distill::session::{Feed, Session};
use distill::shape;
use distill::student::encoder::{encoder, ids_input};
use distill::student::parameters::Parameters;
use distill::student::{Net, Weights};
use safetensors::SafeTensors;

#[test]
fn minilm_agrees_with_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/base/minilm-l6");
    if !folder.exists() {
        println!("skipped: ../shared/base/minilm-l6 is not here");
        return;
    }
    check(&folder);
}

fn check(folder: &Path) {
    let (config, parameters) = Parameters::from_folder(folder).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("reference.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let expect = |name: &str| -> Vec<f32> {
        reference
            .tensor(name)
            .unwrap()
            .data()
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let close = |what: &str, got: &[f32], want: &[f32]| {
        assert_eq!(got.len(), want.len(), "{what}");
        let worst = got
            .iter()
            .zip(want)
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, f32::max);
        println!("{what}: largest difference {worst:e}");
        assert!(worst <= 1e-4, "{what} differs by {worst}");
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
