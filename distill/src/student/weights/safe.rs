//! `*.safetensors`, read one tensor at a time: a checkpoint of BERT-large has 1.3 GB.

use std::io::{Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::GIT_LFS;

/// Longest header that is read; that of BERT-large has 40 kB.
const LONGEST_HEADER: u64 = 16 << 20;

/// An opened file.
pub struct File<R> {
    reader: R,
    header: Metadata,
    /// Where the header's offsets count from.
    start: u64,
}

impl<R: Read + Seek> File<R> {
    /// Reads the header and checks it against the file's length.
    ///
    /// # Errors
    /// The message says what is wrong.
    pub fn open(mut reader: R) -> Result<Self, String> {
        let len = reader.seek(SeekFrom::End(0)).map_err(text)?;
        reader.rewind().map_err(text)?;
        let mut head = [0; 8];
        let short = |_| "not a safetensors file: shorter than its header".to_owned();
        reader.read_exact(&mut head).map_err(short)?;
        let size = u64::from_le_bytes(head);
        if head.starts_with(b"version ") {
            return Err(GIT_LFS.to_owned());
        }
        if size > LONGEST_HEADER.min(len) {
            return Err(format!(
                "not a safetensors file: its header claims {size} bytes"
            ));
        }
        let mut json = Vec::new();
        reader
            .by_ref()
            .take(size)
            .read_to_end(&mut json)
            .map_err(text)?;
        let header: Metadata =
            serde_json::from_slice(&json).map_err(|e| format!("not a safetensors file: {e}"))?;
        let start = 8 + size;
        for (name, info) in header.tensors() {
            let elements = info
                .shape
                .iter()
                .try_fold(1usize, |n, axis| n.checked_mul(*axis));
            let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize()));
            let (from, to) = info.data_offsets;
            let whole = to.checked_sub(from).and_then(|n| n.checked_mul(8)) == bits
                && bits.is_some()
                && start.checked_add(to as u64).is_some_and(|end| end <= len);
            if !whole {
                return Err(format!(
                    "tensor {name} does not lie in the file; is the file whole?"
                ));
            }
        }
        Ok(File {
            reader,
            header,
            start,
        })
    }

    /// Names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// Extents of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.header.info(name)?.shape)
    }

    /// Type and row-major little-endian bytes of a tensor.
    ///
    /// # Errors
    /// There is no such tensor, or the file cannot be read.
    pub fn bytes(&mut self, name: &str) -> Result<(Dtype, Vec<u8>), String> {
        let info = self.header.info(name).ok_or("there is no such tensor")?;
        let (from, to) = info.data_offsets;
        self.reader
            .seek(SeekFrom::Start(self.start + from as u64))
            .map_err(text)?;
        let mut bytes = vec![0; to - from];
        self.reader.read_exact(&mut bytes).map_err(text)?;
        Ok((info.dtype, bytes))
    }
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}
