//! What a student starts from: sizes, weights and tokenizer of a Hugging Face folder with a BERT encoder, or a bundle of ours.

use std::path::{Path, PathBuf};

use bie::bundle::{MANIFEST, Manifest, TOKENIZER};
use bie::encode::Encoder;

use super::bundled::Bundled;
use super::encoder::{Config, POSITIONS, WORDS};
use super::heads::RelationHead;
use super::parameters::Parameters;
use super::weights::Checkpoint;
use crate::error::{Error, Result};

/// A base.
pub struct Base {
    /// Sizes.
    pub config: Config,
    /// Weights of the encoder.
    pub parameters: Parameters,
    /// The tokenizer.
    pub tokenizer: Encoder,
    /// What a bundle has learned beyond its encoder.
    pub learned: Option<Learned>,
}

/// The heads of a bundle.
pub struct Learned {
    /// Their types.
    pub manifest: Manifest,
    /// Their sizes, if the bundle has relations.
    pub relations: Option<RelationHead>,
    /// Their weights.
    pub heads: Parameters,
}

impl Base {
    /// Reads `config.json`, the weights (see [`Checkpoint::open`]) and the tokenizer (see [`read_tokenizer`]). `layers` is asked which of
    /// the layers are kept, before anything large is read; see [`Config::all`].
    ///
    /// # Errors
    /// The error names the file and what is wrong in it, or is that of `layers`.
    pub fn read(folder: &Path, layers: impl FnOnce(&Config) -> Result<Vec<usize>>) -> Result<Base> {
        if folder.join(MANIFEST).is_file() {
            return Base::from_bundle(folder, layers);
        }
        let mut config = read_config(folder)?;
        let kept = layers(&config)?;
        let tokenizer = read_tokenizer(folder, &config)?;
        let parameters = read_encoder(&mut Checkpoint::open(folder)?, &config, &kept)?;
        config.layers = kept.len();
        Ok(Base {
            config,
            parameters,
            tokenizer,
            learned: None,
        })
    }

    fn from_bundle(
        folder: &Path,
        layers: impl FnOnce(&Config) -> Result<Vec<usize>>,
    ) -> Result<Base> {
        let bundled = Bundled::from_bundle(folder)?;
        let (mut config, mut parameters) = (bundled.config, bundled.parameters);
        let heads = parameters.take_heads();
        let kept = layers(&config)?;
        parameters.keep_layers(&kept);
        config.layers = kept.len();
        Ok(Base {
            config,
            parameters,
            tokenizer: bundled.tokenizer,
            learned: Some(Learned {
                manifest: bundled.manifest,
                relations: bundled.relations,
                heads,
            }),
        })
    }
}

/// The tokenizer of a base, which is all that looking at texts needs.
///
/// # Errors
/// The error names the file and what is wrong in it.
pub fn tokenizer(folder: &Path) -> Result<Encoder> {
    if !folder.join(MANIFEST).is_file() {
        return Ok(open_tokenizer(folder)?.1);
    }
    let path = folder.join(TOKENIZER);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    Encoder::from_bytes(&bytes).map_err(|e| Error::file(&path, e.to_string()))
}

impl Config {
    /// All layers.
    pub fn all(&self) -> Vec<usize> {
        (0..self.layers).collect()
    }
}

impl Parameters {
    /// Sizes and weights of the encoder in a folder; see [`Base::read`].
    ///
    /// # Errors
    /// The error names the file and what is wrong in it.
    pub fn from_folder(folder: &Path) -> Result<(Config, Parameters)> {
        let config = read_config(folder)?;
        let parameters = read_encoder(&mut Checkpoint::open(folder)?, &config, &config.all())?;
        Ok((config, parameters))
    }
}

/// The encoder's weights, of these layers alone, numbered anew. Query, key and value become one projection; the embedding of segment 0,
/// always the same, joins the positions.
///
/// # Errors
/// A tensor is missing or of another shape than `c` implies.
pub fn read_encoder(file: &mut Checkpoint, c: &Config, layers: &[usize]) -> Result<Parameters> {
    let (d, f) = (c.hidden_size, c.intermediate_size);
    let mut p = Parameters::default();
    p.insert(
        WORDS,
        &[c.vocab_size, d],
        file.floats(WORDS, &[c.vocab_size, d])?,
    );
    let segments = "embeddings.token_type_embeddings.weight";
    let rows = file
        .shape(segments)
        .map_or(2, |shape| shape.first().copied().unwrap_or(0));
    let segment = file.floats(segments, &[rows, d])?;
    let mut positions = file.floats(POSITIONS, &[c.max_positions, d])?;
    for row in positions.chunks_mut(d) {
        row.iter_mut().zip(&segment).for_each(|(x, s)| *x += s);
    }
    p.insert(POSITIONS, &[c.max_positions, d], positions);
    let mut copy = |from: &str, to: &str, shape: &[usize]| -> Result<()> {
        p.insert(to, shape, file.floats(from, shape)?);
        Ok(())
    };
    for part in ["weight", "bias"] {
        let name = format!("embeddings.LayerNorm.{part}");
        copy(&name, &name, &[d])?;
    }
    for (ours, theirs) in layers.iter().enumerate() {
        let (from, to) = (
            format!("encoder.layer.{theirs}"),
            format!("encoder.layer.{ours}"),
        );
        for (name, outputs, inputs) in [
            ("attention.output.dense", d, d),
            ("intermediate.dense", f, d),
            ("output.dense", d, f),
        ] {
            let (from, to) = (format!("{from}.{name}"), format!("{to}.{name}"));
            copy(
                &format!("{from}.weight"),
                &format!("{to}.weight"),
                &[outputs, inputs],
            )?;
            copy(&format!("{from}.bias"), &format!("{to}.bias"), &[outputs])?;
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            for part in ["weight", "bias"] {
                copy(
                    &format!("{from}.{name}.{part}"),
                    &format!("{to}.{name}.{part}"),
                    &[d],
                )?;
            }
        }
    }
    for (ours, theirs) in layers.iter().enumerate() {
        let (mut weight, mut bias) = (Vec::with_capacity(3 * d * d), Vec::with_capacity(3 * d));
        for part in ["query", "key", "value"] {
            let from = format!("encoder.layer.{theirs}.attention.self.{part}");
            weight.extend(file.floats(&format!("{from}.weight"), &[d, d])?);
            bias.extend(file.floats(&format!("{from}.bias"), &[d])?);
        }
        let to = format!("encoder.layer.{ours}.attention.self.qkv");
        p.insert(format!("{to}.weight"), &[3 * d, d], weight);
        p.insert(format!("{to}.bias"), &[3 * d], bias);
    }
    Ok(p)
}

/// The head for masked words, as [`super::heads::masked_logits`] names its weights. `None`: the checkpoint has none. Its decoder is the word
/// table, whether the checkpoint repeats it or not.
///
/// # Errors
/// Half of it is there, or its tensors are of another shape than `c` implies.
pub fn read_masked_head(file: &mut Checkpoint, c: &Config) -> Result<Option<Parameters>> {
    let d = c.hidden_size;
    let mut head = Parameters::default();
    if file.shape("cls.predictions.bias").is_none() {
        return Ok(None);
    }
    for (theirs, ours, shape) in [
        ("bias", "bias", vec![c.vocab_size]),
        ("transform.dense.weight", "dense.weight", vec![d, d]),
        ("transform.dense.bias", "dense.bias", vec![d]),
        ("transform.LayerNorm.weight", "LayerNorm.weight", vec![d]),
        ("transform.LayerNorm.bias", "LayerNorm.bias", vec![d]),
    ] {
        let values = file.floats(&format!("cls.predictions.{theirs}"), &shape)?;
        head.insert(format!("masked.{ours}"), &shape, values);
    }
    Ok(Some(head))
}

/// `config.json`: sizes that the graph can be built of, of an encoder that computes what ours does.
///
/// # Errors
/// The file is no such thing; the message says why.
pub fn read_config(folder: &Path) -> Result<Config> {
    let path = folder.join("config.json");
    let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
    parse_config(&json).map_err(|why| Error::file(&path, why))
}

fn parse_config(json: &[u8]) -> std::result::Result<Config, String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    for (key, ours) in [
        ("model_type", "bert"),
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
    for (key, size, most) in [
        ("vocab_size", c.vocab_size, 1 << 20),
        ("hidden_size", c.hidden_size, 1 << 14),
        ("num_hidden_layers", c.layers, 256),
        ("num_attention_heads", c.heads, 1 << 10),
        ("intermediate_size", c.intermediate_size, 1 << 16),
        ("max_position_embeddings", c.max_positions, 1 << 16),
    ] {
        if !(1..=most).contains(&size) {
            return Err(format!("{key} is {size}, out of range (1 to {most})"));
        }
    }
    if !c.hidden_size.is_multiple_of(c.heads) {
        return Err(format!(
            "num_attention_heads {} does not divide hidden_size {}",
            c.heads, c.hidden_size
        ));
    }
    if !(c.epsilon > 0.0 && c.epsilon < 1.0) {
        return Err(format!(
            "layer_norm_eps is {}, not between 0 and 1",
            c.epsilon
        ));
    }
    Ok(c)
}

/// `tokenizer.json`, else `vocab.txt` with what `tokenizer_config.json` says of case (lower-cased if it says nothing, as BERT's own
/// tokenizer). Its ids must be rows of the word table.
///
/// # Errors
/// There is none, or it is no WordPiece tokenizer of BERT, or has more pieces than the table has rows.
pub fn read_tokenizer(base: &Path, config: &Config) -> Result<Encoder> {
    let (path, tokenizer) = open_tokenizer(base)?;
    if tokenizer.vocabulary_size() > config.vocab_size {
        let why = format!(
            "{} pieces, but config.json has vocab_size {}",
            tokenizer.vocabulary_size(),
            config.vocab_size
        );
        return Err(Error::file(&path, why));
    }
    Ok(tokenizer)
}

/// The tokenizer and its file.
fn open_tokenizer(base: &Path) -> Result<(PathBuf, Encoder)> {
    let (json, vocabulary) = (base.join("tokenizer.json"), base.join("vocab.txt"));
    let (path, read) = if json.exists() {
        let bytes = std::fs::read(&json).map_err(Error::io("read", &json))?;
        (json, Encoder::from_bytes(&bytes))
    } else {
        let text = std::fs::read_to_string(&vocabulary).map_err(Error::io("read", &vocabulary))?;
        (vocabulary, Encoder::from_vocab(&text, lowercase(base)?))
    };
    let tokenizer = read.map_err(|e| Error::file(&path, e.to_string()))?;
    Ok((path, tokenizer))
}

fn lowercase(base: &Path) -> Result<bool> {
    let path = base.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(true);
    }
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let settings: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, e.to_string()))?;
    Ok(settings
        .get("do_lower_case")
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_is_read_in_the_case_that_its_settings_say() {
        let base = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(base.path().join(name), text).unwrap();
        put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nNa\nna\n");
        let config = Config {
            vocab_size: 7,
            hidden_size: 8,
            layers: 1,
            heads: 1,
            intermediate_size: 8,
            max_positions: 8,
            epsilon: 1e-5,
        };
        let id = || {
            let tokenizer = read_tokenizer(base.path(), &config).unwrap();
            tokenizer.encode("Na").unwrap().sentences[0][0].id
        };
        assert_eq!(id(), 6, "lower-cased where nothing is said");
        put("tokenizer_config.json", "{\"do_lower_case\": false}");
        assert_eq!(id(), 5);
        put("tokenizer_config.json", "{");
        let error = read_tokenizer(base.path(), &config)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("tokenizer_config.json"), "{error}");
    }
}
