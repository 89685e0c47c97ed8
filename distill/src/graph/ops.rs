//! The builder's operators: each checks its operands' shapes and derives its result's.

use super::{DType, Data, Dim, Graph, MatMul, Op, Tensor};
use crate::shape;

/// The shape of two shapes broadcast against each other (NumPy's rule).
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Vec<Dim> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| {
        (i + s.len())
            .checked_sub(rank)
            .map_or(Dim::from(1), |j| s[j])
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => x,
            (x, y) if x.fixed() == Some(1) => y,
            (x, y) if y.fixed() == Some(1) => x,
            (x, y) => panic!("cannot broadcast {x:?} against {y:?} in {a:?} and {b:?}"),
        })
        .collect()
}

impl Graph {
    fn binary(&mut self, op: Op, a: Tensor, b: Tensor) -> Tensor {
        let shape = broadcast(self.shape(a), self.shape(b));
        self.unit(op, &[a, b], shape)
    }
    fn unary(&mut self, op: Op, x: Tensor) -> Tensor {
        let shape = self.shape(x).to_vec();
        self.unit(op, &[x], shape)
    }
    /// a + b.
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.binary(Op::Add, a, b)
    }
    /// a − b.
    pub fn sub(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.binary(Op::Sub, a, b)
    }
    /// a ∘ b.
    pub fn mul(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.binary(Op::Mul, a, b)
    }
    /// a / b.
    pub fn div(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.binary(Op::Div, a, b)
    }
    /// k · x.
    pub fn scale(&mut self, x: Tensor, k: f32) -> Tensor {
        let k = self.scalar(k);
        self.mul(x, k)
    }
    /// eˣ.
    pub fn exp(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Exp, x)
    }
    /// ln x.
    pub fn log(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Log, x)
    }
    /// tanh x.
    pub fn tanh(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Tanh, x)
    }
    /// The error function.
    pub fn erf(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Erf, x)
    }
    /// |x|.
    pub fn abs(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Abs, x)
    }
    /// The mean over axis 0, which is kept with extent 1.
    pub fn mean_rows(&mut self, x: Tensor) -> Tensor {
        let mut shape = self.shape(x).to_vec();
        shape[0] = 1.into();
        let axis = self.indices(vec![0]);
        self.unit(Op::MeanRows, &[x, axis], shape)
    }
    /// The greatest of the last axis, which is kept with extent 1.
    pub fn reduce_max(&mut self, x: Tensor) -> Tensor {
        let mut shape = self.shape(x).to_vec();
        let last = shape.len() - 1;
        shape[last] = 1.into();
        let axis = self.indices(vec![last as i64]);
        self.unit(Op::ReduceMax, &[x, axis], shape)
    }
    /// x Φ(x) (Hendrycks and Gimpel 2016), exact.
    pub fn gelu(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Gelu, x)
    }
    /// Softmax over the last axis.
    pub fn softmax(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::Softmax, x)
    }
    /// Log-softmax over the last axis.
    pub fn log_softmax(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::LogSoftmax, x)
    }

    /// `A·B (+ bias)` on matrices, each transposed on demand.
    pub fn gemm(
        &mut self,
        a: Tensor,
        b: Tensor,
        bias: Option<Tensor>,
        trans_a: bool,
        trans_b: bool,
    ) -> Tensor {
        let pick = |s: &[Dim], t: bool| {
            assert_eq!(s.len(), 2, "gemm takes matrices, got {s:?}");
            if t { (s[1], s[0]) } else { (s[0], s[1]) }
        };
        let ((m, k), (k2, n)) = (pick(self.shape(a), trans_a), pick(self.shape(b), trans_b));
        assert_eq!(k, k2, "gemm: inner extents differ");
        let mut inputs = vec![a, b];
        inputs.extend(bias);
        self.unit(Op::Gemm { trans_a, trans_b }, &inputs, vec![m, n])
    }

    /// `alpha · A·B` over batch dimensions; see [`MatMul`].
    pub fn matmul(&mut self, a: Tensor, b: Tensor, how: MatMul) -> Tensor {
        assert!(
            !(how.trans_a && how.batch_a),
            "matmul: trans_a with batch_a is not supported"
        );
        let read = |s: &[Dim], batch: bool, trans: bool| {
            let mut s = s.to_vec();
            let n = s.len();
            assert!(n >= 2, "matmul takes at least matrices, got {s:?}");
            if batch {
                s[..n - 1].rotate_left(1);
            }
            if trans {
                s.swap(n - 1, n - 2);
            }
            s
        };
        let (sa, sb) = (
            read(self.shape(a), how.batch_a, how.trans_a),
            read(self.shape(b), how.batch_b, how.trans_b),
        );
        let (na, nb) = (sa.len(), sb.len());
        assert_eq!(
            sa[na - 1],
            sb[nb - 2],
            "matmul: inner extents differ: {sa:?} {sb:?}"
        );
        let mut shape = broadcast(&sa[..na - 2], &sb[..nb - 2]);
        shape.extend([sa[na - 2], sb[nb - 1]]);
        self.unit(Op::MatMul(how), &[a, b], shape)
    }

    /// Layer normalisation over the last axis (Ba et al. 2016): result, mean, 1/σ.
    pub fn layer_norm(
        &mut self,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        epsilon: f32,
    ) -> [Tensor; 3] {
        let shape = self.shape(x).to_vec();
        let mut row = shape.clone();
        row[shape.len() - 1] = 1.into();
        let out = vec![
            (DType::F32, shape),
            (DType::F32, row.clone()),
            (DType::F32, row),
        ];
        let o = self.node(Op::LayerNorm { epsilon }, &[x, gamma, beta], out);
        [o[0], o[1], o[2]]
    }

    /// LayerNorm(a + b) as one operator.
    pub fn skip_layer_norm(
        &mut self,
        a: Tensor,
        b: Tensor,
        gamma: Tensor,
        beta: Tensor,
        epsilon: f32,
    ) -> Tensor {
        let shape = self.shape(a).to_vec();
        self.unit(Op::SkipLayerNorm { epsilon }, &[a, b, gamma, beta], shape)
    }

    /// `A·B` with i8 `b` `[k, n]`, `scale` `[n]` or scalar, and `bias` `[n]`; A is quantised to u8 as it runs.
    pub fn quantized_matmul(
        &mut self,
        a: Tensor,
        b: Tensor,
        scale: Tensor,
        bias: Option<Tensor>,
    ) -> Tensor {
        let mut shape = self.shape(a).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.shape(b)[1];
        }
        let mut inputs = vec![a, b, scale];
        inputs.extend(bias);
        self.unit(Op::QuantizedMatMul, &inputs, shape)
    }

    /// Sum over `axes` (ascending).
    pub fn reduce_sum(&mut self, x: Tensor, axes: &[usize], keep: bool) -> Tensor {
        let mut shape = Vec::new();
        for (i, &d) in self.shape(x).iter().enumerate() {
            match (axes.contains(&i), keep) {
                (false, _) => shape.push(d),
                (true, true) => shape.push(1.into()),
                (true, false) => {}
            }
        }
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        let t = self.indices(axes.clone());
        self.unit(Op::ReduceSum { axes, keep }, &[x, t], shape)
    }

    /// Sum over all axes.
    pub fn sum_all(&mut self, x: Tensor) -> Tensor {
        let axes: Vec<usize> = (0..self.shape(x).len()).collect();
        self.reduce_sum(x, &axes, false)
    }

    /// The same elements, row-major, under another shape. At most one symbolic extent may be new to `x`.
    pub fn reshape(&mut self, x: Tensor, shape: Vec<Dim>) -> Tensor {
        let from = self.shape(x).to_vec();
        if from == shape {
            return x;
        }
        let count = |s: &[Dim]| {
            let mut symbols: Vec<_> = s.iter().filter_map(|d| d.symbol).collect();
            symbols.sort_unstable();
            (s.iter().map(|d| d.factor).product::<usize>(), symbols)
        };
        assert_eq!(
            count(&from),
            count(&shape),
            "reshape {from:?} to {shape:?} changes the number of elements"
        );
        let mut inferred = false;
        let mut copies = false;
        let spec: Vec<Option<i64>> = shape
            .iter()
            .enumerate()
            .map(|(i, d)| match d.fixed() {
                Some(n) => Some(n as i64),
                None if from.get(i) == Some(d) => Some(0),
                None if from.contains(d) && inferred => {
                    copies = true;
                    None
                }
                None => {
                    assert!(
                        !inferred,
                        "reshape {from:?} to {shape:?}: two extents to infer"
                    );
                    inferred = true;
                    Some(-1)
                }
            })
            .collect();
        let target = if copies {
            // An extent that `x` has elsewhere: read it from x's shape while running.
            let parts: Vec<Tensor> = spec
                .iter()
                .zip(&shape)
                .enumerate()
                .map(|(i, (s, d))| match s {
                    Some(0) => self.extent(x, i),
                    Some(n) => self.indices(vec![*n]),
                    None => {
                        let axis = from.iter().position(|f| f == d).expect("checked above");
                        self.extent(x, axis)
                    }
                })
                .collect();
            let n = parts.len();
            self.node(
                Op::Concat { axis: 0 },
                &parts,
                vec![(DType::I64, shape![n])],
            )[0]
        } else {
            self.indices(spec.into_iter().flatten().collect())
        };
        let dtype = self.values[x.0].dtype;
        self.node(Op::Reshape, &[x, target], vec![(dtype, shape)])[0]
    }

    /// `x` under the shape of `like`.
    pub fn reshape_like(&mut self, x: Tensor, like: Tensor) -> Tensor {
        let shape = self.shape(like).to_vec();
        if self.shape(x) == shape {
            return x;
        }
        let target = self.shape_of(like);
        self.unit(Op::Reshape, &[x, target], shape)
    }

    /// The extent of one axis, as a vector of one integer.
    fn extent(&mut self, x: Tensor, axis: usize) -> Tensor {
        let op = Op::Shape {
            start: axis as i64,
            end: axis as i64 + 1,
        };
        self.node(op, &[x], vec![(DType::I64, shape![1])])[0]
    }

    fn shape_of(&mut self, x: Tensor) -> Tensor {
        let rank = self.shape(x).len();
        self.node(
            Op::Shape {
                start: 0,
                end: rank as i64,
            },
            &[x],
            vec![(DType::I64, shape![rank])],
        )[0]
    }

    /// `x` broadcast to the shape of `like`.
    pub fn expand_like(&mut self, x: Tensor, like: Tensor) -> Tensor {
        let shape = self.shape(like).to_vec();
        if self.shape(x) == shape {
            return x;
        }
        assert_eq!(
            broadcast(self.shape(x), &shape),
            shape,
            "expand_like: not a broadcast"
        );
        let target = self.shape_of(like);
        self.unit(Op::Expand, &[x, target], shape)
    }

    /// Permutes the axes: output axis i is input axis `perm[i]`.
    pub fn transpose(&mut self, x: Tensor, perm: &[usize]) -> Tensor {
        let from = self.shape(x);
        let shape = perm.iter().map(|&p| from[p]).collect();
        let perm = perm.iter().map(|&p| p as i64).collect();
        let dtype = self.values[x.0].dtype;
        self.node(Op::Transpose { perm }, &[x], vec![(dtype, shape)])[0]
    }

    /// Joins along an axis whose extents are numbers.
    pub fn concat(&mut self, parts: &[Tensor], axis: usize) -> Tensor {
        let mut shape = self.shape(parts[0]).to_vec();
        let extents = parts.iter().map(|&p| {
            self.shape(p)[axis]
                .fixed()
                .expect("concat axis must be a number")
        });
        shape[axis] = extents.sum::<usize>().into();
        self.unit(Op::Concat { axis: axis as i64 }, parts, shape)
    }

    /// Cuts an axis whose extent is a number into equal parts.
    pub fn split(&mut self, x: Tensor, axis: usize, parts: usize) -> Vec<Tensor> {
        let mut shape = self.shape(x).to_vec();
        let extent = shape[axis].fixed().expect("split axis must be a number");
        assert_eq!(
            extent % parts,
            0,
            "split: {extent} is no multiple of {parts}"
        );
        shape[axis] = (extent / parts).into();
        self.node(
            Op::Split {
                axis: axis as i64,
                parts,
            },
            &[x],
            vec![(DType::F32, shape); parts],
        )
    }

    /// Rows of `data` at `indices` (any shape): `[indices.., data's other axes..]`.
    pub fn gather(&mut self, data: Tensor, indices: Tensor) -> Tensor {
        let mut shape = self.shape(indices).to_vec();
        shape.extend_from_slice(&self.shape(data)[1..]);
        let dtype = self.values[data.0].dtype;
        self.node(Op::Gather, &[data, indices], vec![(dtype, shape)])[0]
    }

    /// `[indices, rows]`: 1 where the row is the index.
    pub fn one_hot(&mut self, indices: Tensor, rows_of: Tensor) -> Tensor {
        let rows = self.shape(rows_of)[0];
        let depth = self.extent(rows_of, 0);
        let name = format!("c{}", self.values.len());
        let values = self.initializer(&name, &[2], Data::F32(vec![0.0, 1.0]));
        let shape = vec![self.shape(indices)[0], rows];
        self.unit(Op::OneHot, &[indices, depth, values], shape)
    }

    /// The first rows of `data`, as many as axis 0 of `like` has.
    pub fn first_rows(&mut self, data: Tensor, like: Tensor) -> Tensor {
        let (zero, axes) = (self.indices(vec![0]), self.indices(vec![0]));
        let end = self.extent(like, 0);
        let mut shape = self.shape(data).to_vec();
        shape[0] = self.shape(like)[0];
        let dtype = self.values[data.0].dtype;
        self.node(Op::Slice, &[data, zero, end, axes], vec![(dtype, shape)])[0]
    }

    /// Integers as floats.
    pub fn cast_f32(&mut self, x: Tensor) -> Tensor {
        self.unary(Op::CastF32, x)
    }
}
