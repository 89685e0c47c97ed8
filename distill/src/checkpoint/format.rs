//! A checkpoint's bytes: a safetensors file with a trailer, written and read in one pass.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Numbers, State, Tensor};
use crate::error::{Error, Result};

/// Version of the format; another one is refused.
const VERSION: &str = "1";

/// Begins the trailer.
const MAGIC: &[u8; 8] = b"bieckpt1";

/// Bytes of the trailer.
const TRAILER: u64 = MAGIC.len() as u64 + 32;

/// Bytes of a number.
const NUMBER: usize = 4;

/// Bytes that are turned, hashed and written at once: all that saving needs in memory.
const CHUNK: usize = 1 << 20;

/// The header of a safetensors file.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: Metadata<'a>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Place>,
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    version: Cow<'a, str>,
    state: String,
}

/// Where a tensor stands.
#[derive(Serialize, Deserialize)]
struct Place {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Writes a checkpoint.
///
/// # Errors
/// `to` cannot be written.
pub(super) fn write(
    to: &mut impl Write,
    state: &State,
    tensors: &BTreeMap<String, Tensor>,
) -> io::Result<()> {
    let mut end = 0;
    let place = |(name, tensor): (&String, &Tensor)| {
        let begin = end;
        end += NUMBER * tensor.numbers.len();
        let place = Place {
            dtype: tensor.numbers.dtype().to_owned(),
            shape: tensor.shape.clone(),
            data_offsets: [begin, end],
        };
        (name.clone(), place)
    };
    let tensors_places = tensors.iter().map(place).collect();
    let mut header = serde_json::to_vec(&Header {
        metadata: Metadata {
            version: VERSION.into(),
            state: serde_json::to_string(state)?,
        },
        tensors: tensors_places,
    })?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut out = Hashing::new(to);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    for tensor in tensors.values() {
        match &tensor.numbers {
            Numbers::F32(values) => put(&mut out, &mut chunk, values, |v| v.to_le_bytes())?,
            Numbers::U32(values) => put(&mut out, &mut chunk, values, |v| v.to_le_bytes())?,
        }
    }
    out.write_all(&chunk)?;
    let hash = out.hash.finalize();
    to.write_all(MAGIC)?;
    to.write_all(&hash)
}

/// Turns values into bytes and writes whole chunks of them.
fn put<T: Copy>(
    out: &mut impl Write,
    chunk: &mut Vec<u8>,
    mut values: &[T],
    bytes: impl Fn(T) -> [u8; NUMBER],
) -> io::Result<()> {
    while !values.is_empty() {
        let room = (CHUNK - chunk.len()) / NUMBER;
        let (now, later) = values.split_at(room.min(values.len()));
        chunk.extend(now.iter().flat_map(|v| bytes(*v)));
        if chunk.len() == CHUNK {
            out.write_all(chunk)?;
            chunk.clear();
        }
        values = later;
    }
    Ok(())
}

/// Reads a checkpoint and checks its hash.
///
/// # Errors
/// It is truncated, altered, of another version, or cannot be read.
pub(super) fn read(path: &Path) -> Result<(State, BTreeMap<String, Tensor<'static>>)> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    parse(BufReader::with_capacity(CHUNK, file), length).map_err(|fault| match fault {
        Fault::Io(source) => Error::io("read", path)(source),
        Fault::Format(why) => Error::file(path, format!("the checkpoint is {why}")),
    })
}

enum Fault {
    Io(io::Error),
    Format(String),
}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Fault {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Format("truncated".to_owned()),
            _ => Fault::Io(source),
        }
    }
}

type Parsed = (State, BTreeMap<String, Tensor<'static>>);

/// Nothing is believed of a header before the hash at the end is found right, but that the file is as long as it says.
fn parse(mut file: impl Read, length: u64) -> std::result::Result<Parsed, Fault> {
    let format = |why: &str| Fault::Format(why.to_owned());
    let altered = || format("altered: its SHA-256 differs");
    let mut input = Hashing::new(&mut file);
    let mut word = [0; 8];
    input.read_exact(&mut word)?;
    let header_length = u64::from_le_bytes(word);
    let body = length.checked_sub(8 + TRAILER);
    let Some(data_length) = body.and_then(|body| body.checked_sub(header_length)) else {
        return Err(format("truncated"));
    };
    let mut header = vec![0; usize::try_from(header_length).map_err(|_| altered())?];
    input.read_exact(&mut header)?;
    // A header that is not understood is altered, or of another version: the hash tells.
    let header: Option<Header> = serde_json::from_slice(&header).ok();
    let layout = header
        .as_ref()
        .and_then(|header| layout(&header.tensors, data_length));
    let mut tensors = BTreeMap::new();
    match &layout {
        Some(places) => {
            for (name, place, count) in places {
                let numbers = match place.dtype.as_str() {
                    "F32" => Numbers::F32(take(&mut input, *count, f32::from_le_bytes)?.into()),
                    _ => Numbers::U32(take(&mut input, *count, u32::from_le_bytes)?.into()),
                };
                let shape = place.shape.clone();
                tensors.insert((*name).clone(), Tensor { shape, numbers });
            }
        }
        None => {
            io::copy(&mut (&mut input).take(data_length), &mut io::sink())?;
        }
    }
    let hash = input.hash.finalize();
    let mut trailer = [0; TRAILER as usize];
    file.read_exact(&mut trailer)?;
    match trailer.strip_prefix(MAGIC.as_slice()) {
        None => return Err(format("truncated")),
        Some(written) if written != hash.as_slice() => return Err(altered()),
        Some(_) => {}
    }
    let (Some(header), Some(_)) = (&header, &layout) else {
        return Err(format("not one that this version of distill reads"));
    };
    if header.metadata.version != VERSION {
        return Err(Fault::Format(format!(
            "of another version of distill (format {})",
            header.metadata.version
        )));
    }
    let state = serde_json::from_str(&header.metadata.state)
        .map_err(|e| Fault::Format(format!("malformed in its state ({e})")))?;
    Ok((state, tensors))
}

/// The tensors in the order in which they stand, each with its count of numbers; none unless they fill the data without gaps.
fn layout(
    tensors: &BTreeMap<String, Place>,
    data_length: u64,
) -> Option<Vec<(&String, &Place, usize)>> {
    let mut places: Vec<(&String, &Place)> = tensors.iter().collect();
    places.sort_by_key(|(_, place)| place.data_offsets);
    let mut at = 0;
    let mut found = Vec::with_capacity(places.len());
    for (name, place) in places {
        let [begin, end] = place.data_offsets;
        let shape = place.shape.iter();
        let count = shape.copied().try_fold(1, usize::checked_mul)?;
        let known = matches!(place.dtype.as_str(), "F32" | "U32");
        if !known || begin != at || end.checked_sub(begin)? != count.checked_mul(NUMBER)? {
            return None;
        }
        at = end;
        found.push((name, place, count));
    }
    (at as u64 == data_length).then_some(found)
}

fn take<T>(
    input: &mut impl Read,
    count: usize,
    value: impl Fn([u8; NUMBER]) -> T,
) -> io::Result<Vec<T>> {
    let mut values = Vec::with_capacity(count);
    let mut chunk = vec![0; CHUNK.min(count * NUMBER)];
    while values.len() < count {
        let bytes = chunk.len().min((count - values.len()) * NUMBER);
        let bytes = chunk.get_mut(..bytes).unwrap_or_default();
        input.read_exact(bytes)?;
        values.extend(
            bytes
                .as_chunks::<NUMBER>()
                .0
                .iter()
                .map(|word| value(*word)),
        );
    }
    Ok(values)
}

/// Hashes what passes through.
struct Hashing<'a, F> {
    file: &'a mut F,
    hash: Sha256,
}

impl<'a, F> Hashing<'a, F> {
    fn new(file: &'a mut F) -> Self {
        let hash = Sha256::new();
        Hashing { file, hash }
    }
}

impl<F: Write> Write for Hashing<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<F: Read> Read for Hashing<'_, F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.hash.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}
