//! Prints a [`Graph`] as an ONNX model (IR version 9, opset 18 and `com.microsoft` 1).
//!
//! The messages are the part of the ONNX specification's `onnx.proto3` that this graph needs; `prost` encodes them.
//! Field numbers are the specification's.

use std::collections::HashSet;

use bie::bundle::is_parameter;
use prost::Message;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{DType, Data, Dim, Graph, Node, Op, Source, Tensor};

mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Model {
        #[prost(int64, tag = "1")]
        pub ir_version: i64,
        #[prost(string, tag = "2")]
        pub producer_name: String,
        #[prost(string, tag = "3")]
        pub producer_version: String,
        #[prost(message, optional, tag = "7")]
        pub graph: Option<Graph>,
        #[prost(message, repeated, tag = "8")]
        pub opset_import: Vec<OperatorSet>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct OperatorSet {
        #[prost(string, tag = "1")]
        pub domain: String,
        #[prost(int64, tag = "2")]
        pub version: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Graph {
        #[prost(message, repeated, tag = "1")]
        pub node: Vec<Node>,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(message, repeated, tag = "5")]
        pub initializer: Vec<Tensor>,
        #[prost(message, repeated, tag = "11")]
        pub input: Vec<ValueInfo>,
        #[prost(message, repeated, tag = "12")]
        pub output: Vec<ValueInfo>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Node {
        #[prost(string, repeated, tag = "1")]
        pub input: Vec<String>,
        #[prost(string, repeated, tag = "2")]
        pub output: Vec<String>,
        #[prost(string, tag = "3")]
        pub name: String,
        #[prost(string, tag = "4")]
        pub op_type: String,
        #[prost(message, repeated, tag = "5")]
        pub attribute: Vec<Attribute>,
        #[prost(string, tag = "7")]
        pub domain: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(float, tag = "2")]
        pub f: f32,
        #[prost(int64, tag = "3")]
        pub i: i64,
        #[prost(int64, repeated, packed = "false", tag = "8")]
        pub ints: Vec<i64>,
        #[prost(int32, tag = "20")]
        pub kind: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Tensor {
        #[prost(int64, repeated, packed = "false", tag = "1")]
        pub dims: Vec<i64>,
        #[prost(int32, tag = "2")]
        pub data_type: i32,
        #[prost(string, tag = "8")]
        pub name: String,
        #[prost(bytes = "vec", tag = "9")]
        pub raw_data: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ValueInfo {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(message, optional, tag = "2")]
        pub kind: Option<Type>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Type {
        #[prost(message, optional, tag = "1")]
        pub tensor: Option<TensorType>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TensorType {
        #[prost(int32, tag = "1")]
        pub element: i32,
        #[prost(message, optional, tag = "2")]
        pub shape: Option<Shape>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Shape {
        #[prost(message, repeated, tag = "1")]
        pub dim: Vec<Dimension>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Dimension {
        #[prost(oneof = "Extent", tags = "1, 2")]
        pub extent: Option<Extent>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Extent {
        #[prost(int64, tag = "1")]
        Value(i64),
        #[prost(string, tag = "2")]
        Symbol(String),
    }
}

const MS: &str = "com.microsoft";

impl Graph {
    /// The ONNX model, serialised. Nodes that no output needs are left out.
    pub fn to_onnx(&self, name: &str) -> Vec<u8> {
        self.print(name, |_| true)
    }

    /// As [`Graph::to_onnx`], without the student's parameters: whoever loads it adds them (`bie::bundle::explain_model`).
    pub fn to_onnx_without_parameters(&self, name: &str) -> Vec<u8> {
        self.print(name, |initializer| !is_parameter(initializer))
    }

    fn print(&self, name: &str, keep: impl Fn(&str) -> bool) -> Vec<u8> {
        let live = self.live();
        let used: HashSet<Tensor> = live
            .iter()
            .flat_map(|&n| self.nodes[n].inputs.iter().copied())
            .collect();
        let mut graph = proto::Graph {
            name: name.to_owned(),
            ..Default::default()
        };
        for (i, v) in self.values.iter().enumerate() {
            match &v.source {
                Source::Input if used.contains(&Tensor(i)) => {
                    graph.input.push(self.value_info(&v.name, Tensor(i)))
                }
                Source::Constant(data) if used.contains(&Tensor(i)) && keep(&v.name) => {
                    graph.initializer.push(tensor(v, data))
                }
                _ => {}
            }
        }
        graph.node = live.iter().map(|&n| self.node_proto(n)).collect();
        for (name, t) in &self.outputs {
            graph.output.push(self.value_info(name, *t));
            if self.printed_name(*t) != name {
                // An input, a constant, or a tensor that has the name of another output already.
                graph.node.push(proto::Node {
                    input: vec![self.printed_name(*t).to_owned()],
                    output: vec![name.clone()],
                    op_type: "Identity".into(),
                    ..Default::default()
                });
            }
        }
        let opset = |domain: &str, version| proto::OperatorSet {
            domain: domain.into(),
            version,
        };
        proto::Model {
            ir_version: 9,
            producer_name: "bie distill".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import: vec![opset("", 18), opset(MS, 1)],
        }
        .encode_to_vec()
    }

    /// The name by which `t` is printed: that of the first output it is, if a node computes it.
    fn printed_name(&self, t: Tensor) -> &str {
        let value = &self.values[t.0];
        match (&value.source, self.outputs.iter().find(|(_, o)| *o == t)) {
            (Source::Node, Some((name, _))) => name,
            _ => &value.name,
        }
    }

    /// Indices of the nodes that an output depends on, in order.
    pub(super) fn live(&self) -> Vec<usize> {
        let mut wanted: HashSet<Tensor> = self.outputs.iter().map(|(_, t)| *t).collect();
        let mut live = Vec::new();
        for (n, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|o| wanted.contains(o)) {
                live.push(n);
                wanted.extend(&node.inputs);
            }
        }
        live.reverse();
        live
    }

    fn value_info(&self, name: &str, t: Tensor) -> proto::ValueInfo {
        let v = &self.values[t.0];
        let extent = |d: &Dim| match d.symbol {
            None => proto::Extent::Value(d.factor as i64),
            Some(s) if d.factor == 1 => proto::Extent::Symbol(s.to_owned()),
            Some(s) => proto::Extent::Symbol(format!("{}{s}", d.factor)),
        };
        let dim = v
            .shape
            .iter()
            .map(|d| proto::Dimension {
                extent: Some(extent(d)),
            })
            .collect();
        let tensor = proto::TensorType {
            element: element(v.dtype),
            shape: Some(proto::Shape { dim }),
        };
        proto::ValueInfo {
            name: name.to_owned(),
            kind: Some(proto::Type {
                tensor: Some(tensor),
            }),
        }
    }

    fn node_proto(&self, index: usize) -> proto::Node {
        let Node {
            op,
            inputs,
            outputs,
        } = &self.nodes[index];
        let names = |ts: &[Tensor]| {
            ts.iter()
                .map(|t| self.printed_name(*t).to_owned())
                .collect::<Vec<_>>()
        };
        let (op_type, domain, attribute) = describe(op);
        let mut output = names(outputs);
        if let Op::LayerNorm { .. } = op {
            // Mean and deviation are optional outputs: asking for them only where used lets the runtime fuse.
            let used = |t: Tensor| {
                self.nodes.iter().any(|n| n.inputs.contains(&t))
                    || self.outputs.iter().any(|(_, o)| *o == t)
            };
            if !outputs[1..].iter().any(|&t| used(t)) {
                output.truncate(1);
            }
        }
        let mut input = names(inputs);
        if *op == Op::QuantizedMatMul && input.len() > 3 {
            input.insert(3, String::new()); // the weights' zero point: absent, they are symmetric
        }
        proto::Node {
            input,
            output,
            name: format!("n{index}"),
            op_type: op_type.into(),
            attribute,
            domain: domain.into(),
        }
    }
}

/// The same model with the values of every parameter shuffled within its tensor: what it learned is gone, its shapes and value ranges are not
/// (Adebayo et al. 2018). `None` if the model is not one that [`Graph::to_onnx`] printed: it would not come back whole.
pub fn shuffled(model: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut decoded = proto::Model::decode(model).ok()?;
    if decoded.encode_to_vec() != model {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for tensor in &mut decoded.graph.as_mut()?.initializer {
        match tensor.data_type {
            F32 if is_parameter(&tensor.name) => {
                tensor.raw_data.as_chunks_mut::<4>().0.shuffle(&mut random);
            }
            I8 if is_parameter(&tensor.name) => tensor.raw_data.shuffle(&mut random),
            _ => {}
        }
    }
    Some(decoded.encode_to_vec())
}

/// What a model that [`Graph::to_onnx`] printed holds of the student.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Printed {
    /// Every float parameter: name, shape and row-major values.
    pub parameters: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// The epsilon of the layer norms, if there is one.
    pub epsilon: Option<f32>,
}

/// Reads the parameters back out of a printed model. `None` if it is no ONNX model, a tensor does not fill its shape, or a parameter is not
/// in floats.
pub fn read(model: &[u8]) -> Option<Printed> {
    let graph = proto::Model::decode(model).ok()?.graph?;
    let epsilon = graph
        .node
        .iter()
        .flat_map(|node| &node.attribute)
        .find(|attribute| attribute.name == "epsilon")
        .map(|attribute| attribute.f);
    let read = |tensor: proto::Tensor| {
        let extents = tensor.dims.iter().map(|&n| usize::try_from(n).ok());
        let shape: Vec<usize> = extents.collect::<Option<_>>()?;
        let (values, rest) = tensor.raw_data.as_chunks::<4>();
        let size = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        let whole = tensor.data_type == F32 && rest.is_empty() && values.len() == size;
        let values = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
        whole.then_some((tensor.name, shape, values))
    };
    let parameters = graph
        .initializer
        .into_iter()
        .filter(|tensor| is_parameter(&tensor.name));
    Some(Printed {
        parameters: parameters.map(read).collect::<Option<_>>()?,
        epsilon,
    })
}

/// Numbers of element types, after the specification.
const F32: i32 = 1;
const I8: i32 = 3;
const I64: i32 = 7;

fn element(d: DType) -> i32 {
    match d {
        DType::F32 => F32,
        DType::I8 => I8,
        DType::I64 => I64,
    }
}

fn tensor(v: &super::Value, data: &Data) -> proto::Tensor {
    let raw_data = match data {
        Data::F32(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I8(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let dims = v
        .shape
        .iter()
        .filter_map(|d| d.fixed())
        .map(|n| n as i64)
        .collect();
    proto::Tensor {
        dims,
        data_type: element(v.dtype),
        name: v.name.clone(),
        raw_data,
    }
}

/// ONNX name, domain and attributes of an operator.
fn describe(op: &Op) -> (&'static str, &'static str, Vec<proto::Attribute>) {
    let int = |name: &str, i: i64| proto::Attribute {
        name: name.into(),
        i,
        kind: 2,
        ..Default::default()
    };
    let float = |name: &str, f: f32| proto::Attribute {
        name: name.into(),
        f,
        kind: 1,
        ..Default::default()
    };
    let ints = |name: &str, v: &[i64]| proto::Attribute {
        name: name.into(),
        ints: v.to_vec(),
        kind: 7,
        ..Default::default()
    };
    match op {
        Op::Add => ("Add", "", vec![]),
        Op::Sub => ("Sub", "", vec![]),
        Op::Mul => ("Mul", "", vec![]),
        Op::Div => ("Div", "", vec![]),
        Op::Exp => ("Exp", "", vec![]),
        Op::Log => ("Log", "", vec![]),
        Op::Tanh => ("Tanh", "", vec![]),
        Op::Erf => ("Erf", "", vec![]),
        Op::Abs => ("Abs", "", vec![]),
        Op::MeanRows => ("ReduceMean", "", vec![int("keepdims", 1)]),
        Op::Gelu => ("Gelu", MS, vec![]),
        Op::Gemm { trans_a, trans_b } => (
            "Gemm",
            "",
            vec![
                int("transA", (*trans_a).into()),
                int("transB", (*trans_b).into()),
            ],
        ),
        Op::MatMul(m) => (
            "FusedMatMul",
            MS,
            vec![
                int("transA", m.trans_a.into()),
                int("transB", m.trans_b.into()),
                int("transBatchA", m.batch_a.into()),
                int("transBatchB", m.batch_b.into()),
                float("alpha", if m.alpha == 0.0 { 1.0 } else { m.alpha }),
            ],
        ),
        Op::LayerNorm { epsilon } => (
            "LayerNormalization",
            "",
            vec![int("axis", -1), float("epsilon", *epsilon)],
        ),
        Op::Softmax => ("Softmax", "", vec![int("axis", -1)]),
        Op::LogSoftmax => ("LogSoftmax", "", vec![int("axis", -1)]),
        Op::ReduceSum { keep, .. } => ("ReduceSum", "", vec![int("keepdims", (*keep).into())]),
        Op::ReduceMax => ("ReduceMax", "", vec![int("keepdims", 1)]),
        Op::Reshape => ("Reshape", "", vec![]),
        Op::Transpose { perm } => ("Transpose", "", vec![ints("perm", perm)]),
        Op::Concat { axis } => ("Concat", "", vec![int("axis", *axis)]),
        Op::Split { axis, parts } => (
            "Split",
            "",
            vec![int("axis", *axis), int("num_outputs", *parts as i64)],
        ),
        Op::Gather => ("Gather", "", vec![int("axis", 0)]),
        Op::OneHot => ("OneHot", "", vec![int("axis", -1)]),
        Op::Shape { start, end } => ("Shape", "", vec![int("start", *start), int("end", *end)]),
        Op::Expand => ("Expand", "", vec![]),
        Op::Slice => ("Slice", "", vec![]),
        Op::CastF32 => ("Cast", "", vec![int("to", 1)]),
        Op::QuantizedMatMul => ("DynamicQuantizeMatMul", MS, vec![]),
        Op::SkipLayerNorm { epsilon } => (
            "SkipLayerNormalization",
            MS,
            vec![float("epsilon", *epsilon)],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;

    fn tensors(model: &[u8]) -> Vec<proto::Tensor> {
        proto::Model::decode(model)
            .unwrap()
            .graph
            .unwrap()
            .initializer
    }

    #[test]
    fn shuffling_moves_the_values_of_parameters_and_nothing_else() {
        let mut g = Graph::default();
        let x = g.input("x", DType::F32, shape![8]);
        let weights: Vec<f32> = (0..8).map(|n| n as f32).collect();
        let parameter = g.initializer("layer.weight", &[8], Data::F32(weights.clone()));
        let constant = g.initializer("eps", &[8], Data::F32(weights));
        let y = g.mul(x, parameter);
        let y = g.add(y, constant);
        g.output("y", y);
        let model = g.to_onnx("m");
        let other = shuffled(&model, 1).unwrap();
        let (before, after) = (tensors(&model), tensors(&other));
        for (before, after) in before.iter().zip(&after) {
            let values = |t: &proto::Tensor| -> Vec<f32> {
                let float = |c: &[u8]| f32::from_le_bytes(c.try_into().unwrap());
                t.raw_data.chunks(4).map(float).collect()
            };
            assert_eq!(before.name, after.name);
            let (a, mut b) = (values(before), values(after));
            assert_eq!(a == b, before.name == "eps");
            b.sort_by(f32::total_cmp);
            assert_eq!(a, b, "the values are the same ones");
        }
        assert_eq!(before.len(), 2);
        assert_eq!(shuffled(&model, 1).unwrap(), other);
        assert_ne!(shuffled(&model, 2).unwrap(), other);
        // A field that we do not know would be lost: an unknown string field 100.
        let foreign = [model.as_slice(), &[0xa2, 0x06, 0x01, b'x']].concat();
        assert_eq!(shuffled(&foreign, 1), None);
        assert_eq!(shuffled(&model[1..], 1), None);
    }
}
