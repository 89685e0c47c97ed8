//! The explain graph, put together: `explain.onnx` has the nodes, the extract graphs have the parameters, and each is stored once.
//!
//! Both are serialised ONNX models. In protobuf's encoding a message that is written twice is merged and its lists are joined, so the
//! model is `explain.onnx` followed by a second `graph` that holds nothing but the parameters: copied as they are, never decoded.

use std::path::Path;

use super::{
    ENCODER, EXPLAIN, EXPLAIN_FLOAT, Manifest, RELATIONS, hex_digest, malformed, read,
    refuse_external_data,
};
use crate::error::{Error, Result};

/// `ModelProto.graph`, `GraphProto.initializer` and `TensorProto.name`: the specification's field numbers.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const NAME: u64 = 8;

/// Whether an initialiser is a parameter of the student: those have dotted names ("heads.entities.bias"), constants of a graph have none.
pub fn is_parameter(name: &str) -> bool {
    name.contains('.')
}

impl Manifest {
    /// Whether the bundle has an explain graph.
    pub fn has_explain_graph(&self) -> bool {
        self.files.contains_key(EXPLAIN)
    }

    /// The name of the smooth explain graph: integrals need one.
    pub(crate) fn smooth_graph(&self) -> &'static str {
        match self.files.contains_key(EXPLAIN_FLOAT) {
            true => EXPLAIN_FLOAT,
            false => EXPLAIN,
        }
    }

    /// Reads an explain graph and the parameters from the folder `dir`, which must still be the bundle of this manifest.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the bundle has none; [`Error::Io`], [`Error::Checksum`], [`Error::BundleFormat`].
    pub(crate) fn explain_model(&self, dir: &Path, graph: &str) -> Result<Vec<u8>> {
        if !self.has_explain_graph() {
            return Err(Error::InvalidArgument(
                "this bundle has no explain graph, which the method needs; use occlusion, shap or lime, or a newer bundle".into(),
            ));
        }
        let checked = |name: &str| {
            let bytes = read(dir, name)?;
            match self.files.get(name) {
                Some(hash) if *hash == hex_digest(&bytes) => Ok(bytes),
                _ => Err(Error::Checksum { file: name.into() }),
            }
        };
        let mut model = checked(graph)?;
        refuse_external_data(graph, &model)?;
        let mut parameters = Vec::new();
        for file in [ENCODER, RELATIONS] {
            if self.files.contains_key(file) {
                copy_parameters(&checked(file)?, &mut parameters)
                    .ok_or_else(|| malformed(file, "is not an ONNX model".into()))?;
            }
        }
        put_field(&mut model, GRAPH, &parameters);
        Ok(model)
    }
}

/// Appends the parameters of a serialised model, as fields of a graph. `None`: it is not well-formed.
fn copy_parameters(model: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for field in fields(model) {
        let (GRAPH, Some(graph)) = field? else {
            continue;
        };
        for field in fields(graph) {
            let (INITIALIZER, Some(tensor)) = field? else {
                continue;
            };
            for field in fields(tensor) {
                if let (NAME, Some(name)) = field?
                    && std::str::from_utf8(name).is_ok_and(is_parameter)
                {
                    put_field(out, INITIALIZER, tensor);
                }
            }
        }
    }
    Some(())
}

fn put_field(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The fields of a message: number, and content where it is length-delimited. An item of `None` ends it: the message is damaged.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Option<(u64, Option<&[u8]>)>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = take_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field)
    })
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = take_varint(rest)?;
    let content = match tag & 7 {
        0 => {
            take_varint(rest)?;
            None
        }
        1 => take(rest, 8).map(|_| None)?,
        2 => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            Some(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| None)?,
        _ => return None,
    };
    Some((tag >> 3, content))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(list: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, content) in list {
            put_field(&mut out, *number, content);
        }
        out
    }

    #[test]
    fn parameters_are_copied_whole_and_constants_are_not() {
        let tensor = |name: &str| {
            let mut tensor = vec![0x10, 0x01]; // data_type: a varint field
            tensor.extend(message(&[(NAME, name.as_bytes()), (9, &[0; 300])]));
            tensor
        };
        let (weight, constant) = (tensor("heads.bias"), tensor("c12"));
        let graph = message(&[
            (1, b"node"),
            (INITIALIZER, &weight),
            (INITIALIZER, &constant),
        ]);
        let mut model = vec![0x08, 0x09]; // ir_version
        model.extend(message(&[(2, b"producer"), (GRAPH, &graph)]));
        let mut out = Vec::new();
        copy_parameters(&model, &mut out).unwrap();
        assert_eq!(out, message(&[(INITIALIZER, &weight)]));
        model.truncate(model.len() - 1);
        assert!(copy_parameters(&model, &mut Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = copy_parameters(&bytes, &mut out);
            let _ = copy_parameters(&message(&[(GRAPH, &bytes)]), &mut out);
        }

        #[test]
        fn varints_round_trip(value in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut rest = out.as_slice();
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }
    }
}
