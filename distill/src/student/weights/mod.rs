//! Checkpoints of other programs: the named tensors of a Hugging Face folder, read one at a time.
//!
//! Names are those of BERT in Hugging Face's library without whatever stands before them (`bert.`, `model.`, `module.bert.`, ...), with
//! `LayerNorm.weight` and `LayerNorm.bias` for what old checkpoints call gamma and beta.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use crate::error::{Error, Result};

pub mod pickle;
pub mod safe;
pub mod torch;

/// Every encoder has this tensor; what stands before it in its name is the prefix of all.
const LANDMARK: &str = "embeddings.word_embeddings.weight";

/// What a file is that begins with `version ` instead of weights.
const GIT_LFS: &str =
    "this is a pointer of Git LFS, not the weights; fetch them with `git lfs pull`";

/// What the head for masked words is called, after a prefix of its own.
const HEAD: &str = "cls.predictions.";

/// An opened checkpoint.
pub struct Checkpoint {
    /// What the user knows it by, for messages.
    path: PathBuf,
    shards: Vec<Shard>,
    /// The plain name of a tensor → its shard and its name there.
    names: BTreeMap<String, (usize, String)>,
}

struct Shard {
    path: PathBuf,
    format: Format,
}

type Reader = BufReader<fs::File>;

enum Format {
    Safetensors(safe::File<Reader>),
    Torch(torch::File<Reader>),
}

impl Checkpoint {
    /// Opens `model.safetensors`, `pytorch_model.bin` or the shards that an index beside them lists, in this order of preference.
    ///
    /// # Errors
    /// There is none, or one is damaged or of another kind; the message names the file.
    pub fn open(folder: &Path) -> Result<Checkpoint> {
        const FILES: [&str; 4] = [
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
        ];
        let path = FILES
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.exists());
        let Some(path) = path else {
            let why = format!("no weights are here; one of {} is needed", FILES.join(", "));
            return Err(Error::file(folder, why));
        };
        let files = match path.extension() {
            Some(extension) if extension == "json" => shards(&path)?,
            _ => vec![path.clone()],
        };
        let shards = files
            .into_iter()
            .map(Shard::open)
            .collect::<Result<Vec<_>>>()?;
        let names = plain_names(&shards).map_err(|why| Error::file(&path, why))?;
        Ok(Checkpoint {
            path,
            shards,
            names,
        })
    }

    /// Extents of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let (shard, name) = self.names.get(name)?;
        self.shards.get(*shard)?.shape(name)
    }

    /// A tensor of floats, which must have these extents.
    ///
    /// # Errors
    /// It is missing, has other extents, holds integers or a number that is not finite.
    pub fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let fail =
            |path: &Path, why: String| Err(Error::file(path, format!("tensor {name} {why}")));
        let found = self
            .names
            .get(name)
            .and_then(|(shard, original)| Some((self.shards.get_mut(*shard)?, original.as_str())));
        let Some((shard, original)) = found else {
            return fail(&self.path, "is missing; is this a BERT encoder?".to_owned());
        };
        let stored = shard.shape(original).unwrap_or_default();
        if stored != shape {
            let why = format!("has shape {stored:?}, config.json implies {shape:?}");
            return fail(&shard.path, why);
        }
        let read = match &mut shard.format {
            Format::Safetensors(file) => file.bytes(original),
            Format::Torch(file) => file.bytes(original),
        };
        let (dtype, bytes) = match read {
            Ok(read) => read,
            Err(why) => return fail(&shard.path, format!("cannot be read: {why}")),
        };
        match to_f32(dtype, &bytes) {
            Some(values) if values.iter().all(|x| x.is_finite()) => Ok(values),
            Some(_) => fail(&shard.path, "holds numbers that are not finite".to_owned()),
            None => fail(&shard.path, format!("is {dtype:?}, not floats")),
        }
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Shard> {
        let file = fs::File::open(&path).map_err(Error::io("read", &path))?;
        let reader = BufReader::new(file);
        let format = match path.extension() {
            Some(extension) if extension == "safetensors" => {
                safe::File::open(reader).map(Format::Safetensors)
            }
            _ => torch::File::open(reader).map(Format::Torch),
        };
        let format = format.map_err(|why| Error::file(&path, why))?;
        Ok(Shard { path, format })
    }

    fn names(&self) -> Vec<String> {
        match &self.format {
            Format::Safetensors(file) => file.names(),
            Format::Torch(file) => file.names().map(str::to_owned).collect(),
        }
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.format {
            Format::Safetensors(file) => file.shape(name),
            Format::Torch(file) => file.shape(name),
        }
    }
}

/// The files that an index lists, all beside it.
fn shards(index: &Path) -> Result<Vec<PathBuf>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = fs::read(index).map_err(Error::io("read", index))?;
    let read: Index =
        serde_json::from_slice(&bytes).map_err(|e| Error::file(index, e.to_string()))?;
    let files: BTreeSet<String> = read.weight_map.into_values().collect();
    let beside = |name: String| {
        let plain = Path::new(&name)
            .file_name()
            .is_some_and(|file| file == name.as_str());
        match index.parent() {
            Some(folder) if plain => Ok(folder.join(name)),
            _ => Err(Error::file(index, "a shard must lie beside its index")),
        }
    };
    files.into_iter().map(beside).collect()
}

/// The plain names of all tensors that an encoder or its head for masked words may have.
fn plain_names(shards: &[Shard]) -> std::result::Result<BTreeMap<String, (usize, String)>, String> {
    let all: Vec<(usize, String)> = shards
        .iter()
        .enumerate()
        .flat_map(|(shard, of)| of.names().into_iter().map(move |name| (shard, name)))
        .collect();
    let prefixes: BTreeSet<&str> = all
        .iter()
        .filter_map(|(_, name)| name.strip_suffix(LANDMARK))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    let mut prefixes = prefixes.into_iter();
    let prefix = match (prefixes.next(), prefixes.next()) {
        (Some(one), None) => one,
        (None, _) => {
            return Err(format!(
                "no tensor is called {LANDMARK}; is this a BERT encoder?"
            ));
        }
        (Some(one), Some(other)) => {
            return Err(format!(
                "holds several encoders (\"{one}\", \"{other}\"); save the one that is meant by itself"
            ));
        }
    };
    let plain = |name: &str| {
        let name = match name.strip_prefix(prefix) {
            Some(name) if !name.starts_with(HEAD) => name,
            _ => name.get(name.find(HEAD)?..)?,
        };
        Some(match name.rsplit_once('.') {
            Some((layer, "gamma")) => format!("{layer}.weight"),
            Some((layer, "beta")) => format!("{layer}.bias"),
            _ => name.to_owned(),
        })
    };
    Ok(all
        .iter()
        .filter_map(|(shard, name)| Some((plain(name)?, (*shard, name.clone()))))
        .collect())
}

/// Little-endian floats as f32.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|b| of(*b)).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| half_to_f32(u16::from_le_bytes(b))),
        Dtype::BF16 => each(bytes, |b| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
        }),
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

#[cfg(test)]
mod tests;
