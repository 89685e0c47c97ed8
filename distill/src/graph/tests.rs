//! Every operator's gradient against central finite differences, computed by ONNX Runtime itself.

use super::grad::gradients;
use super::{DType, Dim, Graph, MatMul, Tensor};
use crate::session::{Feed, Session};
use crate::shape;

/// Deterministic values in [-1, 1).
fn noise(n: usize, salt: u64) -> Vec<f32> {
    let mut s = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 40) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Checks d(Σ w ∘ f(x))/dx for inputs of the given (symbolic shape, extents); `L` is a symbol in every shape.
fn check(
    name: &str,
    inputs: &[(Vec<Dim>, Vec<usize>)],
    f: impl Fn(&mut Graph, &[Tensor]) -> Tensor,
) {
    check_at(name, inputs, |v| v, f);
}

fn check_at(
    name: &str,
    inputs: &[(Vec<Dim>, Vec<usize>)],
    domain: impl Fn(f32) -> f32,
    f: impl Fn(&mut Graph, &[Tensor]) -> Tensor,
) {
    let mut g = Graph::new();
    let xs: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(i, (s, _))| g.input(&format!("x{i}"), DType::F32, s.clone()))
        .collect();
    let y = f(&mut g, &xs);
    let w = g.input("w", DType::F32, g.shape(y).to_vec());
    let p = g.mul(y, w);
    let loss = g.sum_all(p);
    let grads = gradients(&mut g, loss, None, &xs);
    g.output("loss", loss);
    g.output("y", y);
    let mut names = vec!["loss".to_owned()];
    for (i, d) in grads.iter().enumerate() {
        g.output(
            &format!("d{i}"),
            d.unwrap_or_else(|| panic!("{name}: no gradient for input {i}")),
        );
        names.push(format!("d{i}"));
    }
    let mut session = Session::new(&g.to_onnx(name), 1).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut data: Vec<Vec<f32>> = inputs
        .iter()
        .enumerate()
        .map(|(i, (_, e))| {
            noise(e.iter().product(), i as u64 + 1)
                .into_iter()
                .map(&domain)
                .collect()
        })
        .collect();
    let mut run = |data: &[Vec<f32>], w: (&[usize], &[f32]), out: &[&str]| {
        let names: Vec<String> = (0..data.len()).map(|i| format!("x{i}")).collect();
        let mut feeds: Vec<(&str, Feed<'_>)> = (0..data.len())
            .map(|i| (names[i].as_str(), Feed::F32(&inputs[i].1, &data[i])))
            .collect();
        feeds.push(("w", Feed::F32(w.0, w.1)));
        session
            .run_to_arrays(&feeds, out)
            .unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    // The extents of y: the number of its elements is not known before the first run, so try a scalar weight's shape.
    let y_shape: Vec<usize> = g
        .shape(y)
        .iter()
        .map(|d| d.factor * d.symbol.map_or(1, |s| extent_of(s, inputs)))
        .collect();
    let weights = noise(y_shape.iter().product(), 99);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let analytic = run(&data, (&y_shape, &weights), &names);
    let h = 1e-2f32;
    for i in 0..data.len() {
        for j in 0..data[i].len() {
            let x = data[i][j];
            let mut at = |v: f32| {
                data[i][j] = v;
                let y = &run(&data, (&y_shape, &weights), &["y"])[0];
                y.data
                    .iter()
                    .zip(&weights)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum::<f64>()
            };
            // Fourth-order central difference.
            let (a, b, c, d) = (at(x - 2.0 * h), at(x - h), at(x + h), at(x + 2.0 * h));
            data[i][j] = x;
            let numeric = (a - 8.0 * b + 8.0 * c - d) / (12.0 * f64::from(h));
            let got = f64::from(analytic[i + 1].data[j]);
            assert!(
                (numeric - got).abs() <= 2e-3 * (1.0 + numeric.abs()),
                "{name}: input {i}[{j}]: finite difference {numeric}, gradient {got}"
            );
        }
    }
}

fn extent_of(symbol: &str, inputs: &[(Vec<Dim>, Vec<usize>)]) -> usize {
    for (s, e) in inputs {
        for (d, n) in s.iter().zip(e) {
            if d.symbol == Some(symbol) {
                return n / d.factor;
            }
        }
    }
    panic!("symbol {symbol} in no input")
}

const L: Dim = Dim::new(1, "L");

#[test]
fn arithmetic_with_broadcasting() {
    let full = (shape![L, 4], vec![3, 4]);
    let row = (shape![4], vec![4]);
    let column = (shape![L, 1], vec![3, 1]);
    for other in [full.clone(), row, column] {
        check("add", &[full.clone(), other.clone()], |g, x| {
            g.add(x[0], x[1])
        });
        check("sub", &[full.clone(), other.clone()], |g, x| {
            g.sub(x[0], x[1])
        });
        check("mul", &[full.clone(), other.clone()], |g, x| {
            g.mul(x[0], x[1])
        });
        check_at(
            "div",
            &[full.clone(), other],
            |v| v + if v < 0.0 { -1.0 } else { 1.0 },
            |g, x| g.div(x[0], x[1]),
        );
    }
}

#[test]
fn functions() {
    let x = [(shape![L, 5], vec![3, 5])];
    check("exp", &x, |g, x| g.exp(x[0]));
    check_at("log", &x, |v| v + 2.0, |g, x| g.log(x[0]));
    check("tanh", &x, |g, x| g.tanh(x[0]));
    check("erf", &x, |g, x| g.erf(x[0]));
    check_at("gelu", &x, |v| 3.0 * v, |g, x| g.gelu(x[0]));
    check("softmax", &x, |g, x| g.softmax(x[0]));
    check("log_softmax", &x, |g, x| g.log_softmax(x[0]));
    check("scale", &x, |g, x| g.scale(x[0], -2.5));
}

#[test]
fn gemm_in_all_layouts() {
    for trans_a in [false, true] {
        for trans_b in [false, true] {
            let a = if trans_a {
                (shape![3, L], vec![3, 2])
            } else {
                (shape![L, 3], vec![2, 3])
            };
            let b = if trans_b {
                (shape![4, 3], vec![4, 3])
            } else {
                (shape![3, 4], vec![3, 4])
            };
            let bias = (shape![4], vec![4]);
            check("gemm", &[a, b, bias], |g, x| {
                g.gemm(x[0], x[1], Some(x[2]), trans_a, trans_b)
            });
        }
    }
}

#[test]
fn matmul_in_all_layouts() {
    for (trans_a, batch_a) in [(false, false), (true, false), (false, true)] {
        for (trans_b, batch_b) in [(false, false), (true, false), (false, true), (true, true)] {
            if trans_a && trans_b && batch_b {
                continue; // no caller, and its gradient would need a layout that the runtime lacks
            }
            // [2 batches, L, 3] · [2 batches, 3, 4]
            let a = match (trans_a, batch_a) {
                (true, _) => (shape![2, 3, L], vec![2, 3, 5]),
                (_, true) => (shape![L, 2, 3], vec![5, 2, 3]),
                _ => (shape![2, L, 3], vec![2, 5, 3]),
            };
            let b = match (trans_b, batch_b) {
                (false, false) => (shape![2, 3, 4], vec![2, 3, 4]),
                (true, false) => (shape![2, 4, 3], vec![2, 4, 3]),
                (false, true) => (shape![3, 2, 4], vec![3, 2, 4]),
                (true, true) => (shape![4, 2, 3], vec![4, 2, 3]),
            };
            let how = MatMul {
                trans_a,
                trans_b,
                batch_a,
                batch_b,
                alpha: 0.5,
            };
            check(&format!("{how:?}"), &[a, b], |g, x| {
                g.matmul(x[0], x[1], how)
            });
        }
    }
    let broadcast = [
        (shape![2, 1, 3, L], vec![2, 1, 3, 4]),
        (shape![2, 3, L, 2], vec![2, 3, 4, 2]),
    ];
    check("broadcast batches", &broadcast, |g, x| {
        g.matmul(x[0], x[1], MatMul::default())
    });
}

#[test]
fn layer_norm() {
    let x = [
        (shape![L, 6], vec![3, 6]),
        (shape![6], vec![6]),
        (shape![6], vec![6]),
    ];
    check("layer_norm", &x, |g, x| {
        g.layer_norm(x[0], x[1], x[2], 1e-5)[0]
    });
}

#[test]
fn shapes() {
    let x = [(shape![L, 2, 3], vec![4, 2, 3])];
    check("reduce kept", &x, |g, x| g.reduce_sum(x[0], &[0, 2], true));
    check("reduce dropped", &x, |g, x| g.reduce_sum(x[0], &[1], false));
    check("reshape", &x, |g, x| g.reshape(x[0], shape![L, 6]));
    check(
        "reshape, symbol moved",
        &[(shape![2, L, Dim::new(1, "M")], vec![2, 3, 4])],
        |g, x| g.reshape(x[0], shape![L, 2, Dim::new(1, "M")]),
    );
    check("transpose", &x, |g, x| g.transpose(x[0], &[2, 0, 1]));
    check("concat", &[x[0].clone(), x[0].clone()], |g, x| {
        g.concat(&[x[0], x[1]], 2)
    });
    check("split", &x, |g, x| {
        let p = g.split(x[0], 1, 2);
        g.mul(p[0], p[1])
    });
    check(
        "expand",
        &[(shape![1, 3], vec![1, 3]), (shape![L, 3], vec![4, 3])],
        |g, x| {
            let e = g.expand_like(x[0], x[1]);
            g.mul(e, x[1])
        },
    );
}

#[test]
fn gather_adds_up_repeated_rows() {
    let x = [(shape![L, 2, 3], vec![4, 2, 3])];
    check("gather", &x, |g, x| {
        let i = g.initializer("i", &[5], super::Data::I64(vec![3, 0, 3, 1, 3]));
        g.gather(x[0], i)
    });
}

#[test]
fn a_tensor_used_twice_gets_both_gradients() {
    let x = [(shape![L, 3], vec![2, 3])];
    check("twice", &x, |g, x| {
        let e = g.exp(x[0]);
        let t = g.tanh(x[0]);
        let m = g.mul(e, t);
        g.add(m, e)
    });
}
