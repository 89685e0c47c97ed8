//! `pytorch_model.bin`: what `torch.save` writes since PyTorch 1.6. A zip archive, never compressed: `data.pkl` is the pickled state dict,
//! `data/KEY` a storage, of which tensors are views.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::GIT_LFS;
use super::pickle::{self, Storage, Tensor};

/// Longest `data.pkl` that is read; that of BERT-large has 50 kB.
const LONGEST_PICKLE: u64 = 4 << 20;

/// An opened archive. A tensor's storage is read, and its CRC checked, when it is asked for.
pub struct File<R> {
    archive: ZipArchive<R>,
    /// The folder in the archive, with its slash.
    root: String,
    tensors: BTreeMap<String, Tensor>,
    /// The storage that was read last: tensors may share one.
    last: Option<(Storage, Vec<u8>)>,
    /// Bytes of the file: an entry that claims more is refused before anything is allocated.
    len: u64,
}

impl<R: Read + Seek> File<R> {
    /// Reads the archive's directory and its pickle; every tensor is checked against the storage that it claims.
    ///
    /// # Errors
    /// The message says what is wrong and what to do.
    pub fn open(mut reader: R) -> Result<Self, String> {
        let len = reader.seek(SeekFrom::End(0)).map_err(text)?;
        reader.rewind().map_err(text)?;
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(64)
            .read_to_end(&mut head)
            .map_err(text)?;
        reader.rewind().map_err(text)?;
        if !head.starts_with(b"PK") {
            return Err(match head.as_slice() {
                [0x80, ..] => format!(
                    "this is the format of PyTorch before 1.6, not a zip archive; convert it where PyTorch is: {CONVERT}"
                ),
                _ if head.starts_with(b"version ") => GIT_LFS.to_owned(),
                _ => "not a zip archive as torch.save writes it".to_owned(),
            });
        }
        let archive =
            ZipArchive::new(reader).map_err(|e| format!("not a whole zip archive: {e}"))?;
        let pickle = "data.pkl";
        let root = archive
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix(pickle))
            .find(|root| !root.trim_end_matches('/').contains('/'))
            .ok_or("the archive holds no data.pkl: not written by torch.save")?
            .to_owned();
        let mut file = File {
            archive,
            root,
            tensors: BTreeMap::new(),
            last: None,
            len,
        };
        match file.entry("byteorder", 16)?.as_deref() {
            None | Some(b"little") => {}
            _ => {
                return Err(format!(
                    "the numbers are big-endian; convert the file on the machine that wrote it: {CONVERT}"
                ));
            }
        }
        let bytes = file.entry(pickle, LONGEST_PICKLE)?.unwrap_or_default();
        file.tensors = pickle::state_dict(&bytes)?;
        for (name, tensor) in &file.tensors {
            within(tensor).map_err(|why| format!("tensor {name} {why}"))?;
        }
        Ok(file)
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Extents of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// Type and row-major little-endian bytes of a tensor.
    ///
    /// # Errors
    /// There is no such tensor, or its storage is not what the pickle says.
    pub fn bytes(&mut self, name: &str) -> Result<(Dtype, Vec<u8>), String> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or("there is no such tensor")?
            .clone();
        let storage = self.storage(&tensor.storage)?;
        let bytes = gather(&tensor, storage).ok_or("lies outside of its storage")?;
        Ok((tensor.storage.dtype, bytes))
    }

    fn storage(&mut self, of: &Storage) -> Result<&[u8], String> {
        if self.last.as_ref().is_none_or(|(last, _)| last != of) {
            self.last = None; // before the next one is read
            let bytes = self
                .entry(&format!("data/{}", of.key), self.len)?
                .ok_or_else(|| format!("the archive lacks the storage data/{}", of.key))?;
            if Some(bytes.len()) != of.len.checked_mul(width(of.dtype)) {
                return Err(format!(
                    "the storage data/{} has {} bytes, not {} x {:?}",
                    of.key,
                    bytes.len(),
                    of.len,
                    of.dtype
                ));
            }
            self.last = Some((of.clone(), bytes));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, bytes)| bytes))
    }

    /// A file of the archive, if it is there, of at most `limit` bytes.
    fn entry(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(index) = self.archive.index_for_name(&format!("{}{name}", self.root)) else {
            return Ok(None);
        };
        let fail = |e| format!("{name}: {e}; is the file whole?");
        let entry = self.archive.by_index_data(index).map_err(fail)?;
        let size = entry.size();
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!(
                "{name} is compressed, which torch.save never does; save the file anew: {CONVERT}"
            ));
        }
        if size > limit.min(self.len) {
            return Err(format!("{name} claims {size} bytes, more than it may have"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(text)?);
        let entry = self.archive.by_index(index).map_err(fail)?;
        entry
            .take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("{name}: {e}; is the file whole?"))?;
        if bytes.len() as u64 != size {
            return Err(format!("{name} is cut short; is the file whole?"));
        }
        Ok(Some(bytes))
    }
}

/// How to save a file anew.
const CONVERT: &str = "python -c \"import torch; torch.save(torch.load('pytorch_model.bin', map_location='cpu', weights_only=True), 'converted.bin')\"";

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// Bytes of one number.
fn width(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// Whether every element of a tensor lies in its storage, and they are no more than the storage has: a view that repeats elements could
/// claim any size.
fn within(tensor: &Tensor) -> Result<(), String> {
    let (elements, last) = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .try_fold(
            (1usize, tensor.offset),
            |(elements, last), (&n, &stride)| {
                let step = n.saturating_sub(1).checked_mul(stride)?;
                Some((elements.checked_mul(n)?, last.checked_add(step)?))
            },
        )
        .ok_or("has impossible extents")?;
    let len = tensor.storage.len;
    if elements > len || (elements > 0 && last >= len) {
        return Err(format!(
            "of shape {:?} does not fit into its storage of {len} elements",
            tensor.shape
        ));
    }
    Ok(())
}

/// The bytes of a view, row-major. `None` if it leaves the storage, which [`within`] has ruled out.
fn gather(tensor: &Tensor, storage: &[u8]) -> Option<Vec<u8>> {
    let width = width(tensor.storage.dtype);
    let elements: usize = tensor.shape.iter().product();
    if elements == 0 {
        return Some(Vec::new());
    }
    let mut contiguous = 1;
    let is_contiguous = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(&n, &stride)| {
            let fits = n <= 1 || stride == contiguous;
            contiguous *= n;
            fits
        });
    let start = tensor.offset * width;
    if is_contiguous {
        return Some(storage.get(start..start + elements * width)?.to_vec());
    }
    let mut bytes = Vec::with_capacity(elements * width);
    let mut index = vec![0usize; tensor.shape.len()];
    for _ in 0..elements {
        let steps = index.iter().zip(&tensor.strides).map(|(i, s)| i * s);
        let at = (tensor.offset + steps.sum::<usize>()) * width;
        bytes.extend_from_slice(storage.get(at..at + width)?);
        for (i, &n) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
