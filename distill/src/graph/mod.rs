//! The model as a graph: a typed builder over a closed set of operators, printed as ONNX ([`onnx`]) and differentiated
//! in reverse mode over the same set ([`grad`]).
//!
//! Shapes are symbolic: a dimension is `factor × symbol`, so that one graph serves every length. Shape errors are
//! defects of the code that builds the graph, never of data; they panic while building, before anything runs.
#![allow(clippy::panic, clippy::expect_used)]

pub mod grad;
pub mod memory;
pub mod onnx;
mod ops;
#[cfg(test)]
mod tests;

/// Handle of a tensor in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tensor(usize);

/// Element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 64-bit signed integer (indices, shapes).
    I64,
    /// 8-bit signed integer (quantised weights).
    I8,
}

/// A dimension: `factor` or `factor × symbol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    factor: usize,
    symbol: Option<&'static str>,
}

impl Dim {
    /// `factor × symbol`.
    pub const fn new(factor: usize, symbol: &'static str) -> Self {
        Dim {
            factor,
            symbol: Some(symbol),
        }
    }
    /// `n` times as many.
    pub const fn times(self, n: usize) -> Self {
        Dim {
            factor: self.factor * n,
            symbol: self.symbol,
        }
    }
    /// The number, where no symbol is in it.
    pub fn fixed(self) -> Option<usize> {
        self.symbol.is_none().then_some(self.factor)
    }
}

impl From<usize> for Dim {
    fn from(factor: usize) -> Self {
        Dim {
            factor,
            symbol: None,
        }
    }
}

/// Makes a shape from a mix of numbers and [`Dim`]s.
#[macro_export]
macro_rules! shape {
    ($($d:expr),* $(,)?) => { vec![$($crate::graph::Dim::from($d)),*] };
}

/// Values of a constant or an initialiser.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Row-major floats.
    F32(Vec<f32>),
    /// Row-major 64-bit integers.
    I64(Vec<i64>),
    /// Row-major 8-bit integers.
    I8(Vec<i8>),
}

/// Where a tensor comes from.
#[derive(Clone, Debug)]
enum Source {
    /// Fed at every run.
    Input,
    /// Written into the graph.
    Constant(Data),
    /// Computed by a node.
    Node,
}

#[derive(Clone, Debug)]
struct Value {
    name: String,
    dtype: DType,
    shape: Vec<Dim>,
    source: Source,
}

/// The closed operator set. Names and semantics are ONNX's (opset 18) unless said otherwise; those marked MS are
/// ONNX Runtime's `com.microsoft` operators.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Element-wise, with broadcasting.
    Add,
    /// Element-wise, with broadcasting.
    Sub,
    /// Element-wise, with broadcasting.
    Mul,
    /// Element-wise, with broadcasting.
    Div,
    /// Element-wise.
    Exp,
    /// Element-wise.
    Log,
    /// Element-wise.
    Tanh,
    /// Element-wise.
    Erf,
    /// Element-wise. Not differentiable here.
    Abs,
    /// Mean over axis 0, kept as 1. Not differentiable here.
    MeanRows,
    /// MS: x Φ(x), exact.
    Gelu,
    /// `A·B (+ C)` on matrices.
    Gemm {
        /// Use Aᵀ.
        trans_a: bool,
        /// Use Bᵀ.
        trans_b: bool,
    },
    /// MS `FusedMatMul`: `alpha · A·B` with batch dimensions.
    MatMul(MatMul),
    /// Outputs: result, mean, 1/standard deviation (over the last axis).
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Over the last axis.
    Softmax,
    /// Over the last axis.
    LogSoftmax,
    /// Sum over `axes` (ascending); kept as 1 where `keep`.
    ReduceSum {
        /// Axes summed.
        axes: Vec<i64>,
        /// Keep them with extent 1.
        keep: bool,
    },
    /// Greatest over the last axis, kept as 1. Not differentiable here.
    ReduceMax,
    /// Inputs: data, shape tensor.
    Reshape,
    /// Permutes axes.
    Transpose {
        /// Source axis of each output axis.
        perm: Vec<i64>,
    },
    /// Joins along `axis`.
    Concat {
        /// The axis.
        axis: i64,
    },
    /// Cuts along `axis` into equal parts.
    Split {
        /// The axis.
        axis: i64,
        /// Number of parts.
        parts: usize,
    },
    /// Rows of `data` (axis 0) at `indices`.
    Gather,
    /// Inputs: indices, depth, [off, on].
    OneHot,
    /// The extents `[start, end)` of a tensor, as an i64 vector.
    Shape {
        /// First axis.
        start: i64,
        /// One past the last axis.
        end: i64,
    },
    /// Broadcasts to a shape tensor.
    Expand,
    /// Rows `[0, n)` of data; inputs: data, starts, ends, axes.
    Slice,
    /// To float.
    CastF32,
    /// MS `DynamicQuantizeMatMul`: float A, quantised per run to u8; i8 B with one scale or one per column. Its gradient is the
    /// straight-through one (Bengio et al. 2013): that of the product with the same weights, rounding taken for the identity.
    QuantizedMatMul,
    /// MS `SkipLayerNormalization`: LayerNorm(a + b); stands for Add + LayerNorm in extract graphs.
    SkipLayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
}

/// How [`Op::MatMul`] reads its operands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MatMul {
    /// Use Aᵀ (last two axes).
    pub trans_a: bool,
    /// Use Bᵀ (last two axes).
    pub trans_b: bool,
    /// A is stored `[rows, batch.., columns]`.
    pub batch_a: bool,
    /// B is stored `[rows, batch.., columns]`.
    pub batch_b: bool,
    /// Factor; 0 is read as 1.
    pub alpha: f32,
}

#[derive(Clone, Debug)]
struct Node {
    op: Op,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// A directed acyclic graph, in the order in which it was built.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<(String, Tensor)>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor that is fed at every run.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Vec<Dim>) -> Tensor {
        self.value(name.to_owned(), dtype, shape, Source::Input)
    }

    /// A named tensor written into the graph (an ONNX initialiser).
    pub fn initializer(&mut self, name: &str, shape: &[usize], data: Data) -> Tensor {
        let (dtype, len) = match &data {
            Data::F32(v) => (DType::F32, v.len()),
            Data::I64(v) => (DType::I64, v.len()),
            Data::I8(v) => (DType::I8, v.len()),
        };
        assert_eq!(
            len,
            shape.iter().product::<usize>(),
            "initializer {name}: data does not fill its shape"
        );
        let shape = shape.iter().map(|&d| d.into()).collect();
        self.value(name.to_owned(), dtype, shape, Source::Constant(data))
    }

    /// A float constant without axes.
    pub fn scalar(&mut self, x: f32) -> Tensor {
        let name = format!("c{}", self.values.len());
        self.value(
            name,
            DType::F32,
            vec![],
            Source::Constant(Data::F32(vec![x])),
        )
    }

    /// A column of `n` equal floats.
    fn column(&mut self, x: f32, n: usize) -> Tensor {
        let name = format!("c{}", self.values.len());
        self.initializer(&name, &[n, 1], Data::F32(vec![x; n]))
    }

    /// A vector of integers (shapes, axes).
    fn indices(&mut self, v: Vec<i64>) -> Tensor {
        let name = format!("c{}", self.values.len());
        let shape = shape![v.len()];
        self.value(name, DType::I64, shape, Source::Constant(Data::I64(v)))
    }

    /// Names `t` as an output of the graph.
    pub fn output(&mut self, name: &str, t: Tensor) {
        self.outputs.push((name.to_owned(), t));
    }

    /// The shape of `t`.
    pub fn shape(&self, t: Tensor) -> &[Dim] {
        &self.values[t.0].shape
    }

    fn value(&mut self, name: String, dtype: DType, shape: Vec<Dim>, source: Source) -> Tensor {
        self.values.push(Value {
            name,
            dtype,
            shape,
            source,
        });
        Tensor(self.values.len() - 1)
    }

    /// Appends a node; one output for each shape.
    fn node(&mut self, op: Op, inputs: &[Tensor], outputs: Vec<(DType, Vec<Dim>)>) -> Vec<Tensor> {
        let outputs: Vec<Tensor> = outputs
            .into_iter()
            .map(|(dtype, shape)| {
                let name = format!("v{}", self.values.len());
                self.value(name, dtype, shape, Source::Node)
            })
            .collect();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
        });
        outputs
    }

    /// Appends a node with one float output.
    fn unit(&mut self, op: Op, inputs: &[Tensor], shape: Vec<Dim>) -> Tensor {
        self.node(op, inputs, vec![(DType::F32, shape)])[0]
    }
}
