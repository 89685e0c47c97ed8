//! Reverse-mode differentiation: appends to a graph the nodes that compute vector-Jacobian products.

use std::collections::{HashMap, HashSet};

use super::{Dim, Graph, MatMul, Op, Tensor};
use crate::shape;

/// Appends ∂(Σ seed ∘ y)/∂x for every x in `wrt`; `seed` has y's shape, or is `None` for a scalar y.
/// `None` in the result: y does not depend on that x.
pub fn gradients(
    g: &mut Graph,
    y: Tensor,
    seed: Option<Tensor>,
    wrt: &[Tensor],
) -> Vec<Option<Tensor>> {
    let last = g.nodes.len();
    let needed = depends_on(g, wrt);
    let seed = seed.unwrap_or_else(|| {
        assert!(g.shape(y).is_empty(), "a tensor with axes needs a seed");
        g.scalar(1.0)
    });
    let mut grads: HashMap<Tensor, Tensor> = HashMap::from([(y, seed)]);
    for n in (0..last).rev() {
        let node = g.nodes[n].clone();
        let outs: Vec<Option<Tensor>> =
            node.outputs.iter().map(|o| grads.get(o).copied()).collect();
        if outs.iter().all(Option::is_none) || !node.inputs.iter().any(|i| needed.contains(i)) {
            continue;
        }
        let want: Vec<bool> = node.inputs.iter().map(|i| needed.contains(i)).collect();
        for (i, d) in vjp(g, &node.op, &node.inputs, &node.outputs, &outs, &want) {
            let x = node.inputs[i];
            assert_eq!(
                g.shape(d),
                g.shape(x),
                "gradient of {:?} input {i} has another shape",
                node.op
            );
            let sum = match grads.get(&x) {
                Some(&e) => g.add(e, d),
                None => d,
            };
            grads.insert(x, sum);
        }
    }
    wrt.iter().map(|x| grads.get(x).copied()).collect()
}

/// All tensors whose values depend on one of `roots`, and the roots.
pub fn depends_on(g: &Graph, roots: &[Tensor]) -> HashSet<Tensor> {
    let mut set: HashSet<Tensor> = roots.iter().copied().collect();
    for node in &g.nodes {
        // An extent does not change with the values.
        let extent = matches!(node.op, Op::Shape { .. });
        if !extent && node.inputs.iter().any(|i| set.contains(i)) {
            set.extend(&node.outputs);
        }
    }
    set
}

/// Sums `d` down to the shape of `like` (the reverse of broadcasting).
fn reduce_to(g: &mut Graph, d: Tensor, like: Tensor) -> Tensor {
    let (from, to) = (g.shape(d).to_vec(), g.shape(like).to_vec());
    if from == to {
        return d;
    }
    let extra = from.len() - to.len();
    let one = Dim::from(1);
    let axes: Vec<usize> = (0..from.len())
        .filter(|&i| i < extra || (to[i - extra] == one && from[i] != one))
        .collect();
    let summed = g.reduce_sum(d, &axes, true);
    g.reshape(summed, to)
}

/// The vector-Jacobian product of one node: (input index, gradient) for every wanted input.
#[allow(clippy::too_many_lines)] // one arm an operator: splitting would hide that the set is closed
fn vjp(
    g: &mut Graph,
    op: &Op,
    x: &[Tensor],
    y: &[Tensor],
    dy: &[Option<Tensor>],
    want: &[bool],
) -> Vec<(usize, Tensor)> {
    let mut out = Vec::new();
    let Some(d) = dy[0] else { return out };
    match op {
        Op::Add | Op::Sub => {
            for i in 0..2 {
                if want[i] {
                    let mut r = reduce_to(g, d, x[i]);
                    if i == 1 && *op == Op::Sub {
                        r = g.scale(r, -1.0);
                    }
                    out.push((i, r));
                }
            }
        }
        Op::Mul => {
            for i in 0..2 {
                if want[i] {
                    let p = g.mul(d, x[1 - i]);
                    out.push((i, reduce_to(g, p, x[i])));
                }
            }
        }
        Op::Div => {
            let q = g.div(d, x[1]);
            if want[0] {
                out.push((0, reduce_to(g, q, x[0])));
            }
            if want[1] {
                let p = g.mul(q, y[0]);
                let n = g.scale(p, -1.0);
                out.push((1, reduce_to(g, n, x[1])));
            }
        }
        Op::Exp => out.push((0, g.mul(d, y[0]))),
        Op::Log => out.push((0, g.div(d, x[0]))),
        Op::Tanh => {
            let yy = g.mul(y[0], y[0]);
            let one = g.scalar(1.0);
            let s = g.sub(one, yy);
            out.push((0, g.mul(d, s)));
        }
        Op::Erf => {
            // d erf/dx = 2/√π e^(−x²)
            let xx = g.mul(x[0], x[0]);
            let n = g.scale(xx, -1.0);
            let e = g.exp(n);
            let k = g.scale(e, 2.0 / std::f32::consts::PI.sqrt());
            out.push((0, g.mul(d, k)));
        }
        Op::Gelu => out.push((0, gelu_vjp(g, x[0], d))),
        Op::Gemm { trans_a, trans_b } => {
            // Y = A'B': dA' = dY B'ᵀ, dB' = A'ᵀ dY; a transposed operand's gradient is computed transposed.
            if want[0] {
                let r = if *trans_a {
                    g.gemm(x[1], d, None, *trans_b, true)
                } else {
                    g.gemm(d, x[1], None, false, !trans_b)
                };
                out.push((0, r));
            }
            if want[1] {
                let r = if *trans_b {
                    g.gemm(d, x[0], None, true, *trans_a)
                } else {
                    g.gemm(x[0], d, None, !trans_a, false)
                };
                out.push((1, r));
            }
            if x.len() > 2 && want[2] {
                out.push((2, reduce_to(g, d, x[2])));
            }
        }
        Op::MatMul(how) => matmul_vjp(g, *how, x, d, want, &mut out),
        Op::LayerNorm { .. } => layer_norm_vjp(g, x, y, d, want, &mut out),
        Op::Softmax => {
            let last = g.shape(d).len() - 1;
            let p = g.mul(d, y[0]);
            let s = g.reduce_sum(p, &[last], true);
            let c = g.sub(d, s);
            out.push((0, g.mul(c, y[0])));
        }
        Op::LogSoftmax => {
            let last = g.shape(d).len() - 1;
            let s = g.reduce_sum(d, &[last], true);
            let p = g.exp(y[0]);
            let ps = g.mul(p, s);
            out.push((0, g.sub(d, ps)));
        }
        Op::ReduceSum { axes, .. } => {
            let mut kept = g.shape(x[0]).to_vec();
            for &a in axes {
                kept[a as usize] = 1.into();
            }
            let r = g.reshape(d, kept);
            out.push((0, g.expand_like(r, x[0])));
        }
        Op::Reshape => out.push((0, g.reshape_like(d, x[0]))),
        Op::Transpose { perm } => {
            let mut inverse = vec![0; perm.len()];
            for (i, &p) in perm.iter().enumerate() {
                inverse[p as usize] = i;
            }
            out.push((0, g.transpose(d, &inverse)));
        }
        Op::Concat { axis } => {
            let axis = *axis as usize;
            let extents: Vec<_> = x.iter().map(|&t| g.shape(t)[axis]).collect();
            assert!(
                extents.iter().all(|e| *e == extents[0]),
                "concat of unequal parts has no gradient here"
            );
            let parts = g.split(d, axis, x.len());
            out.extend(parts.into_iter().enumerate().filter(|(i, _)| want[*i]));
        }
        Op::Split { axis, .. } => {
            let parts: Option<Vec<Tensor>> = dy.iter().copied().collect();
            let parts = parts.expect("every part of a split is used");
            out.push((0, g.concat(&parts, *axis as usize)));
        }
        Op::Gather => {
            // Scatter-add, written as a product with the one-hot matrix of the indices: [rows, n] · [n, columns].
            assert_eq!(
                g.shape(x[1]).len(),
                1,
                "gather is differentiable for a vector of indices"
            );
            let rest = g.shape(x[0])[1..].to_vec();
            let n = g.shape(x[1])[0];
            let columns = flatten(&rest);
            let flat = g.reshape(d, vec![n, columns]);
            let hot = g.one_hot(x[1], x[0]);
            let r = g.gemm(hot, flat, None, true, false);
            out.push((0, g.reshape_like(r, x[0])));
        }
        Op::Expand => {
            let r = reduce_to(g, d, x[0]);
            out.push((0, r));
        }
        Op::QuantizedMatMul => {
            assert!(!want[1..].contains(&true), "8-bit weights have no gradient");
            out.push((0, quantized_vjp(g, x[1], x[2], d)));
        }
        Op::SkipLayerNorm { epsilon } => {
            // The fused operator keeps neither the sum nor its statistics; products with 1/width are faster than LayerNorm itself.
            let sum = g.add(x[0], x[1]);
            let columns = g.shape(x[2])[0];
            let width = columns.fixed().expect("layer norm has a fixed width");
            let share = g.column(1.0 / width as f32, width);
            let mean = g.matmul(sum, share, MatMul::default());
            let centred = g.sub(sum, mean);
            let squares = g.mul(centred, centred);
            let variance = g.matmul(squares, share, MatMul::default());
            let floor = g.scalar(*epsilon);
            let variance = g.add(variance, floor);
            let log = g.log(variance);
            let log = g.scale(log, -0.5);
            let inverse = g.exp(log);
            let hat = g.mul(centred, inverse);
            let wanted = [want[0] || want[1], want[2], want[3]];
            for (i, r) in normalised_vjp(g, hat, inverse, x[2], x[3], d, &wanted) {
                match i {
                    0 => out.extend([(0, r), (1, r)]),
                    i => out.push((i + 1, r)),
                }
            }
        }
        Op::OneHot
        | Op::Shape { .. }
        | Op::Slice
        | Op::CastF32
        | Op::Abs
        | Op::MeanRows
        | Op::ReduceMax => {
            panic!("{op:?} has no gradient")
        }
    }
    out.retain(|(i, _)| want[*i]);
    out
}

/// (dY ∘ scale) · Bᵀ by the same 8-bit product. Gradients of neighbouring tokens differ by orders of magnitude, while the product
/// quantises all rows to one range: each row is divided by its greatest element first and multiplied by it afterwards.
fn quantized_vjp(g: &mut Graph, weights: Tensor, scale: Tensor, d: Tensor) -> Tensor {
    let scaled = g.mul(d, scale);
    let size = g.abs(scaled);
    let most = g.reduce_max(size);
    let floor = g.scalar(f32::MIN_POSITIVE);
    let most = g.add(most, floor); // a row of zeros stays one
    let row = g.div(scaled, most);
    let transposed = g.transpose(weights, &[1, 0]);
    let one = g.scalar(1.0);
    let product = g.quantized_matmul(row, transposed, one, None);
    g.mul(product, most)
}

/// One extent for several.
fn flatten(dims: &[Dim]) -> Dim {
    let symbols: Vec<_> = dims.iter().filter_map(|d| d.symbol).collect();
    assert!(symbols.len() <= 1, "cannot flatten {dims:?}: two symbols");
    Dim {
        factor: dims.iter().map(|d| d.factor).product(),
        symbol: symbols.first().copied(),
    }
}

/// d GELU(x) = Φ(x) + x φ(x).
fn gelu_vjp(g: &mut Graph, x: Tensor, d: Tensor) -> Tensor {
    let z = g.scale(x, std::f32::consts::FRAC_1_SQRT_2);
    let erf = g.erf(z);
    let zz = g.mul(z, z);
    let minus = g.scale(zz, -1.0);
    let e = g.exp(minus);
    let xe = g.mul(x, e);
    let xphi = g.scale(xe, 1.0 / (2.0 * std::f32::consts::PI).sqrt());
    let half = g.scale(erf, 0.5);
    let point_five = g.scalar(0.5);
    let cdf = g.add(half, point_five);
    let slope = g.add(cdf, xphi);
    g.mul(d, slope)
}

fn matmul_vjp(
    g: &mut Graph,
    how: MatMul,
    x: &[Tensor],
    d: Tensor,
    want: &[bool],
    out: &mut Vec<(usize, Tensor)>,
) {
    let alpha = how.alpha;
    // From [batch.., rows, columns] to the storage order [rows, batch.., columns].
    let to_storage = |g: &mut Graph, t: Tensor, batch: bool| {
        if !batch {
            return t;
        }
        let rank = g.shape(t).len();
        let mut perm = vec![rank - 2];
        perm.extend(0..rank - 2);
        perm.push(rank - 1);
        g.transpose(t, &perm)
    };
    if want[0] {
        // dA = dY Bᵀ, or dAᵀ = B dYᵀ where A is read transposed.
        let r = if how.trans_a {
            let m = MatMul {
                trans_a: how.trans_b,
                trans_b: true,
                batch_a: how.batch_b,
                batch_b: false,
                alpha,
            };
            assert!(
                !(m.trans_a && m.batch_a),
                "matmul gradient: this combination of layouts is not supported"
            );
            g.matmul(x[1], d, m)
        } else {
            let m = MatMul {
                trans_a: false,
                trans_b: !how.trans_b,
                batch_a: false,
                batch_b: how.batch_b,
                alpha,
            };
            g.matmul(d, x[1], m)
        };
        let r = to_storage(g, r, how.batch_a);
        out.push((0, reduce_to(g, r, x[0])));
    }
    if want[1] {
        // dB = Aᵀ dY, or dBᵀ = dYᵀ A where B is read transposed.
        let r = if how.trans_b {
            let m = MatMul {
                trans_a: true,
                trans_b: how.trans_a,
                batch_a: false,
                batch_b: how.batch_a,
                alpha,
            };
            g.matmul(d, x[0], m)
        } else if how.batch_a {
            // A must not be both batch-major and transposed: dB = (dYᵀ A)ᵀ.
            let m = MatMul {
                trans_a: true,
                trans_b: false,
                batch_a: false,
                batch_b: true,
                alpha,
            };
            let t = g.matmul(d, x[0], m);
            let rank = g.shape(t).len();
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 1, rank - 2);
            g.transpose(t, &perm)
        } else {
            let m = MatMul {
                trans_a: !how.trans_a,
                trans_b: false,
                batch_a: false,
                batch_b: false,
                alpha,
            };
            g.matmul(x[0], d, m)
        };
        let r = to_storage(g, r, how.batch_b);
        out.push((1, reduce_to(g, r, x[1])));
    }
}

fn layer_norm_vjp(
    g: &mut Graph,
    x: &[Tensor],
    y: &[Tensor],
    d: Tensor,
    want: &[bool],
    out: &mut Vec<(usize, Tensor)>,
) {
    let (mean, inverse) = (y[1], y[2]);
    let centred = g.sub(x[0], mean);
    let hat = g.mul(centred, inverse);
    out.extend(normalised_vjp(g, hat, inverse, x[1], x[2], d, want));
}

/// y = γ x̂ + β with x̂ = (x − μ)/σ; dγ = Σ dy x̂, dβ = Σ dy, dx = (dŷ − mean(dŷ) − x̂ mean(dŷ x̂))/σ with dŷ = γ dy. `inverse` is 1/σ.
fn normalised_vjp(
    g: &mut Graph,
    hat: Tensor,
    inverse: Tensor,
    gamma: Tensor,
    beta: Tensor,
    d: Tensor,
    want: &[bool],
) -> Vec<(usize, Tensor)> {
    let mut out = Vec::new();
    let columns = g.shape(gamma)[0];
    let width = columns.fixed().expect("layer norm has a fixed width");
    let u = g.mul(d, hat);
    if want[1] {
        out.push((1, reduce_to(g, u, gamma)));
    }
    if want[2] {
        out.push((2, reduce_to(g, d, beta)));
    }
    if want[0] {
        // The two row means, as products with γ/width.
        let k = g.scale(gamma, 1.0 / width as f32);
        let k = g.reshape(k, shape![width, 1]);
        let m1 = g.matmul(d, k, MatMul::default());
        let m2 = g.matmul(u, k, MatMul::default());
        let dhat = g.mul(d, gamma);
        let a = g.sub(dhat, m1);
        let b = g.mul(hat, m2);
        let c = g.sub(a, b);
        out.push((0, g.mul(c, inverse)));
    }
    out
}
