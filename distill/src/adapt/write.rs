//! A Hugging Face folder of what was adapted: `distill train` takes it as a base, and so does any program that reads BERT.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::{Dtype, View};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::files;
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
    let mut tokens: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for name in TOKENIZER {
        let path = vocabulary.join(name);
        if path.is_file() {
            tokens.insert(name, fs::read(&path).map_err(Error::io("read", &path))?);
        }
    }
    if !tokens.contains_key("tokenizer.json") {
        tokens.insert("tokenizer.json", tokenizer.to_json()?);
    }
    let config = config(base, c, tokenizer.special("[PAD]"))?;
    tokens.insert("config.json", format!("{config:#}\n").into_bytes());
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    files::clear_partial(out)?;
    for (name, bytes) in &tokens {
        files::write(&out.join(name), bytes)?;
    }
    let segments = vec![0.0; 2 * c.hidden_size];
    let mut written = tensors(parameters, c);
    let name = format!("bert.{}", POSITIONS.replace("position", "token_type"));
    written.insert(name, (vec![2, c.hidden_size], &segments));
    let views: BTreeMap<String, Floats<'_>> = written
        .into_iter()
        .map(|(name, (shape, data))| (name, Floats { shape, data }))
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let path = out.join("model.safetensors");
    let bytes = safetensors::serialize(&views, Some(metadata))
        .map_err(|e| Error::file(&path, format!("cannot be written: {e}")))?;
    files::write(&path, &bytes)
}

/// A tensor as safetensors writes it.
struct Floats<'a> {
    shape: Vec<usize>,
    data: &'a [f32],
}

impl View for &Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.data.len()
    }
}
