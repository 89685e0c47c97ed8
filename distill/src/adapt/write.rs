//! A Hugging Face folder of what was adapted: `distill train` takes it as a base, and so does any program that reads BERT.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::checkpoint::Tensor;
use crate::error::{Error, Result};
use crate::student::encoder::{Config, POSITIONS};
use crate::student::parameters::Parameters;

/// Files of a tokenizer that are handed on as they are.
const TOKENIZER: [&str; 4] = [
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// The weights under Hugging Face's names (`BertForMaskedLM`). The embedding of segment 0 stays where it was added when they were read,
/// at the positions; both segments are zeros.
fn tensors<'a>(p: &'a Parameters, c: &Config) -> BTreeMap<String, (Vec<usize>, &'a [f32])> {
    let d = c.hidden_size;
    let mut written = BTreeMap::new();
    for (name, parameter) in &p.0 {
        let (shape, data) = (&parameter.shape, parameter.data.as_slice());
        if let Some((layer, kind)) = name.split_once("qkv.") {
            let part = shape.iter().skip(1).product::<usize>().max(1) * d;
            for (which, values) in ["query", "key", "value"].iter().zip(data.chunks(part)) {
                let mut shape = shape.clone();
                if let Some(rows) = shape.first_mut() {
                    *rows = d;
                }
                written.insert(format!("bert.{layer}{which}.{kind}"), (shape, values));
            }
            continue;
        }
        let name = match name.strip_prefix("masked.") {
            Some("bias") => "cls.predictions.bias".to_owned(),
            Some(head) => format!("cls.predictions.transform.{head}"),
            None => format!("bert.{name}"),
        };
        written.insert(name, (shape.clone(), data));
    }
    written
}

/// `config.json` of the base with what changed.
fn config(base: &Path, c: &Config, pad: Option<u32>) -> Result<Value> {
    let path = base.join("config.json");
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let mut value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, e.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("_name_or_path");
        for (key, value) in [
            ("architectures", json!(["BertForMaskedLM"])),
            ("model_type", json!("bert")),
            ("torch_dtype", json!("float32")),
            ("type_vocab_size", json!(2)),
            ("vocab_size", json!(c.vocab_size)),
            ("pad_token_id", json!(pad.unwrap_or(0))),
        ] {
            object.insert(key.to_owned(), value);
        }
    }
    Ok(value)
}

/// Writes the folder; every file is whole or not there.
///
/// # Errors
/// A file of the base or the vocabulary cannot be read any more, or the operating system refuses.
pub fn folder(
    out: &Path,
    parameters: &Parameters,
    c: &Config,
    base: &Path,
    vocabulary: &Path,
    tokenizer: &bie::encode::Encoder,
) -> Result<()> {
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for name in TOKENIZER {
        let path = vocabulary.join(name);
        if path.is_file() {
            files.insert(name, fs::read(&path).map_err(Error::io("read", &path))?);
        }
    }
    if !files.contains_key("tokenizer.json") {
        files.insert("tokenizer.json", tokenizer.to_json()?);
    }
    let config = config(base, c, tokenizer.special("[PAD]"))?;
    files.insert("config.json", format!("{config:#}\n").into_bytes());
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    // What a killed run left half-written.
    for entry in fs::read_dir(out).map_err(Error::io("read", out))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".tmp") {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    for (name, bytes) in &files {
        put(out, name, |partial| {
            fs::write(partial, bytes).map_err(Error::io("write", partial))
        })?;
    }
    let segments = vec![0.0; 2 * c.hidden_size];
    let mut written = tensors(parameters, c);
    let name = format!("bert.{}", POSITIONS.replace("position", "token_type"));
    written.insert(name, (vec![2, c.hidden_size], &segments));
    let views: BTreeMap<String, Tensor<'_>> = written
        .into_iter()
        .map(|(name, (shape, data))| (name, Tensor::floats(&shape, data)))
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    put(out, "model.safetensors", |partial| {
        safetensors::serialize_to_file(&views, Some(metadata), partial).map_err(|e| {
            Error::file(
                partial,
                format!("cannot be written: {e}; is the disk full?"),
            )
        })?;
        // That function makes a file that only its owner may read.
        fs::metadata(out.join("config.json"))
            .and_then(|like| fs::set_permissions(partial, like.permissions()))
            .map_err(Error::io("write", partial))
    })
}

/// Writes a file beside its place and moves it there.
pub fn put(out: &Path, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let (partial, path) = (out.join(format!(".tmp-{name}")), out.join(name));
    write(&partial)?;
    File::open(&partial)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("flush", &partial))?;
    fs::rename(&partial, &path).map_err(Error::io("rename", &partial))
}
