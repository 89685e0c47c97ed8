//! Attention rollout (S. Abnar and W. Zuidema, "Quantifying attention flow in transformers", ACL 2020): attention followed through all layers.
//! A view: it knows neither the values that attention carries nor the decision.

use crate::error::{Error, Result};

/// How much each token flows into the `targets`, mean over them; sums to 1 where attention does.
///
/// `layers`: from the first to the last, each `[heads][tokens][tokens]`, a row the attention that one token pays. A layer passes on
/// half of the mean over its heads and, for the residual connection, half of the token itself. Only the targets' rows are carried
/// through: O(layers · heads · tokens²).
///
/// # Errors
/// A layer of another shape, no target or a target that is no token: [`Error::InvalidArgument`].
pub fn rollout(
    layers: &[&[f32]],
    heads: usize,
    tokens: usize,
    targets: &[usize],
) -> Result<Vec<f64>> {
    let mut flow = vec![0.0; tokens];
    for &target in targets {
        *flow.get_mut(target).ok_or_else(|| {
            Error::InvalidArgument(format!(
                "attention of token {target} was asked for in a window of {tokens}; use a token of the window"
            ))
        })? += 1.0 / targets.len() as f64;
    }
    if targets.is_empty() {
        return Err(Error::InvalidArgument(
            "attention was asked for without a target token; name one at least".into(),
        ));
    }
    for layer in layers.iter().rev() {
        if heads == 0 || layer.len() != heads * tokens * tokens {
            return Err(Error::InvalidArgument(format!(
                "attention of {heads} heads and {tokens} tokens has {} numbers, not {}",
                layer.len(),
                heads * tokens * tokens
            )));
        }
        let mut next: Vec<f64> = flow.iter().map(|f| 0.5 * f).collect();
        for head in layer.chunks_exact(tokens * tokens) {
            for (row, f) in head.chunks_exact(tokens).zip(&flow) {
                let scale = 0.5 * f / heads as f64;
                if scale != 0.0 {
                    for (next, &a) in next.iter_mut().zip(row) {
                        *next += scale * f64::from(a);
                    }
                }
            }
        }
        flow = next;
    }
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Matrix = Vec<Vec<f64>>;

    /// The definition, with whole matrices.
    fn by_matrices(layers: &[Vec<f32>], heads: usize, tokens: usize) -> Matrix {
        let identity = |i: usize, j: usize| f64::from(u8::from(i == j));
        let mut product: Matrix = (0..tokens)
            .map(|i| (0..tokens).map(|j| identity(i, j)).collect())
            .collect();
        for layer in layers {
            let mean = |i: usize, j: usize| -> f64 {
                let at = |head: usize| f64::from(layer[(head * tokens + i) * tokens + j]);
                (0..heads).map(at).sum::<f64>() / heads as f64
            };
            product = (0..tokens)
                .map(|i| {
                    (0..tokens)
                        .map(|j| {
                            (0..tokens)
                                .map(|k| 0.5 * (mean(i, k) + identity(i, k)) * product[k][j])
                                .sum()
                        })
                        .collect()
                })
                .collect();
        }
        product
    }

    /// Layers whose rows sum to 1.
    fn attention() -> impl Strategy<Value = (usize, usize, Vec<Vec<f32>>)> {
        (1usize..4, 1usize..7, 0usize..4).prop_flat_map(|(heads, tokens, layers)| {
            let layer = proptest::collection::vec(0.01f32..1.0, heads * tokens * tokens).prop_map(
                move |mut layer| {
                    for row in layer.chunks_mut(tokens) {
                        let sum: f32 = row.iter().sum();
                        row.iter_mut().for_each(|a| *a /= sum);
                    }
                    layer
                },
            );
            (
                Just(heads),
                Just(tokens),
                proptest::collection::vec(layer, layers),
            )
        })
    }

    proptest! {
        #[test]
        fn rows_of_the_product((heads, tokens, layers) in attention()) {
            let slices: Vec<&[f32]> = layers.iter().map(Vec::as_slice).collect();
            let expected = by_matrices(&layers, heads, tokens);
            let all: Vec<usize> = (0..tokens).collect();
            let mean = rollout(&slices, heads, tokens, &all).unwrap();
            for (target, expected) in expected.iter().enumerate() {
                let found = rollout(&slices, heads, tokens, &[target]).unwrap();
                prop_assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9));
                prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-5);
            }
            for (token, mean) in mean.iter().enumerate() {
                let expected = expected.iter().map(|row| row[token]).sum::<f64>() / tokens as f64;
                prop_assert!((mean - expected).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_last_layer_comes_first() {
        // Layer 2: token 0 looks at 1. Layer 1: token 1 looks at 2. So 0 gets a quarter of 2.
        let first = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let last = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let found = rollout(&[&first, &last], 1, 3, &[0]).unwrap();
        assert_eq!(found, [0.5, 0.25, 0.25]);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let layer = [1.0; 4];
        for (heads, tokens, targets) in [
            (1, 3, &[0][..]),
            (2, 2, &[0]),
            (0, 2, &[0]),
            (1, 2, &[2]),
            (1, 2, &[]),
        ] {
            assert!(rollout(&[&layer], heads, tokens, targets).is_err());
        }
        assert!(rollout(&[&layer], 1, 2, &[1]).is_ok());
    }
}
