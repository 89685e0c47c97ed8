//! Folders in every layout that checkpoints of BERT come in.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::*;
use crate::student::parameters::Parameters;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A folder with tiny-bert's configuration and vocabulary, without weights.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "vocab.txt"] {
        fs::copy(
            data().join("tiny-bert").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    folder
}

fn read(folder: &Path) -> std::result::Result<Parameters, String> {
    Parameters::from_folder(folder)
        .map(|(_, p)| p)
        .map_err(|e| e.to_string())
}

fn tiny() -> Parameters {
    read(&data().join("tiny-bert")).unwrap()
}

/// Writes tiny-bert's tensors under other names (none: left out) into a file.
fn write(file: &Path, rename: impl Fn(&str) -> Option<String>) {
    let bytes = fs::read(data().join("tiny-bert/model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed: HashMap<String, TensorView<'_>> = tensors
        .iter()
        .filter_map(|(name, view)| Some((rename(name)?, view)))
        .collect();
    safetensors::serialize_to_file(&renamed, None, file).unwrap();
}

#[test]
fn what_pytorch_saved_is_what_safetensors_holds() {
    let folder = folder();
    let file = folder.path().join("pytorch_model.bin");
    fs::copy(data().join("torch/pytorch_model.bin"), &file).unwrap();
    assert_eq!(read(folder.path()).unwrap(), tiny());
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let why = read(folder.path()).unwrap_err();
    assert!(
        why.contains("pytorch_model.bin: tensor") && why.contains("is the file whole?"),
        "{why}"
    );
}

#[test]
fn names_may_have_any_one_prefix() {
    for prefix in [
        "bert.",
        "model.",
        "encoder.",
        "module.bert.",
        "0.auto_model.",
    ] {
        let folder = folder();
        write(&folder.path().join("model.safetensors"), |name| {
            Some(format!("{prefix}{name}"))
        });
        assert_eq!(read(folder.path()).unwrap(), tiny(), "{prefix}");
    }
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    write(&file, |name| {
        let side = if name.contains("encoder.layer.0.") {
            "query"
        } else {
            "passage"
        };
        Some(format!("{side}.{name}"))
    });
    assert!(
        read(folder.path())
            .unwrap_err()
            .contains("tensor encoder.layer.0")
    );
    let bytes = fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut twice: HashMap<String, TensorView<'_>> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view))
        .collect();
    let words = tensors
        .tensor("passage.embeddings.word_embeddings.weight")
        .unwrap();
    twice.insert("query.embeddings.word_embeddings.weight".into(), words);
    safetensors::serialize_to_file(&twice, None, &file).unwrap();
    let why = read(folder.path()).unwrap_err();
    assert!(
        why.contains("several encoders (\"passage.\", \"query.\")"),
        "{why}"
    );
}

#[test]
fn shards_are_read_and_must_be_whole() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let first = |name: &str| name.contains("embeddings");
    write(&at("a.safetensors"), |name| {
        first(name).then(|| format!("bert.{name}"))
    });
    write(&at("b.safetensors"), |name| {
        (!first(name)).then(|| format!("bert.{name}"))
    });
    let index = at("model.safetensors.index.json");
    fs::write(
        &index,
        r#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#,
    )
    .unwrap();
    assert_eq!(read(folder.path()).unwrap(), tiny());
    fs::write(&index, r#"{"weight_map": {"x": "../a.safetensors"}}"#).unwrap();
    assert!(
        read(folder.path())
            .unwrap_err()
            .contains("beside its index")
    );
    fs::write(&index, r#"{"weight_map": {"y": "c.safetensors"}}"#).unwrap();
    assert!(read(folder.path()).unwrap_err().contains("c.safetensors"));
    fs::write(&index, r#"{"weight_map": {"y": "a.safetensors"}}"#).unwrap();
    assert!(read(folder.path()).unwrap_err().contains("is missing"));
    fs::remove_file(&index).unwrap();
    // The same of PyTorch's files.
    fs::copy(data().join("torch/pytorch_model.bin"), at("part-1.bin")).unwrap();
    fs::write(
        at("pytorch_model.bin.index.json"),
        r#"{"weight_map": {"x": "part-1.bin"}}"#,
    )
    .unwrap();
    assert_eq!(read(folder.path()).unwrap(), tiny());
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let folder = folder();
    let why = read(folder.path()).unwrap_err();
    assert!(
        why.contains("no weights are here") && why.contains("pytorch_model.bin"),
        "{why}"
    );
    let file = folder.path().join("model.safetensors");
    let whole = fs::read(data().join("tiny-bert/model.safetensors")).unwrap();
    for (bytes, why) in [
        (&whole[..4], "shorter than its header"),
        (&whole[..100], "header claims"),
        (&whole[..whole.len() - 1], "is the file whole?"),
        (b"version https\noid", "git lfs pull"),
        (&[0xff; 100], "header claims"),
    ] {
        fs::write(&file, bytes).unwrap();
        let said = read(folder.path()).unwrap_err();
        assert!(
            said.contains("model.safetensors: ") && said.contains(why),
            "{said}"
        );
    }
    write(&file, |name| {
        (!name.contains("layer.1.output.dense.bias")).then(|| name.to_owned())
    });
    assert!(
        read(folder.path())
            .unwrap_err()
            .contains("encoder.layer.1.output.dense.bias is missing")
    );
    fs::write(&file, &whole).unwrap();
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    for (from, to, why) in [
        (
            "\"intermediate_size\": 64",
            "\"intermediate_size\": 65",
            "implies [65, 32]",
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            "layer.2",
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 0",
            "out of range",
        ),
        (
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 5",
            "does not divide",
        ),
        (
            "\"max_position_embeddings\": 128",
            "\"max_position_embeddings\": 129",
            "implies [129, 32]",
        ),
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": \"roberta\"",
            "only \"bert\"",
        ),
        (
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"relu\"",
            "only \"gelu\"",
        ),
    ] {
        let changed = config.replace(from, to);
        assert_ne!(changed, config, "{from}");
        fs::write(folder.path().join("config.json"), changed).unwrap();
        let said = read(folder.path()).unwrap_err();
        assert!(said.contains(why), "{to}: {said}");
    }
}
