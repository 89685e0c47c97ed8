//! Which layers of its base a shallower student keeps.

use serde::{Deserialize, Serialize};

/// `layers = 3` or `layers = [0, 2, 4]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of layers, or a list of the base's layers such as [1, 3, 5]"
)]
pub enum Layers {
    /// So many, evenly spaced: of N layers, layer i (from 0) of n is the base's ⌊(i + 1) N / n⌋ − 1. The last layer is always among them
    /// (the uniform map of TinyBERT, Jiao et al. 2020).
    Count(usize),
    /// These, counted from 0.
    Chosen(Vec<usize>),
}

impl Layers {
    /// The layers that are kept of a base of `depth` layers, ascending.
    ///
    /// # Errors
    /// The base has not so many, or the list is empty or not ascending.
    pub fn of(&self, depth: usize) -> Result<Vec<usize>, String> {
        match self {
            Layers::Count(count) if (1..=depth).contains(count) => Ok((1..=*count)
                .map(|i| (i * depth / count).saturating_sub(1))
                .collect()),
            Layers::Count(count) => Err(format!(
                "{count} layers, but the base has {depth}; give 1 to {depth}"
            )),
            Layers::Chosen(layers) => {
                let ascending = layers.iter().zip(layers.iter().skip(1)).all(|(a, b)| a < b);
                match layers.last() {
                    Some(last) if ascending && *last < depth => Ok(layers.clone()),
                    Some(last) if ascending => Err(format!(
                        "there is no layer {last}: the base has {depth} layers, 0 to {}",
                        depth.saturating_sub(1)
                    )),
                    _ => Err("give at least one layer, in ascending order, each once".to_owned()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_spaced_evenly_and_end_with_the_last() {
        for (count, depth, expected) in [
            (3, 6, vec![1, 3, 5]),
            (6, 12, vec![1, 3, 5, 7, 9, 11]),
            (4, 12, vec![2, 5, 8, 11]),
            (4, 6, vec![0, 2, 3, 5]),
            (1, 12, vec![11]),
            (2, 2, vec![0, 1]),
        ] {
            assert_eq!(Layers::Count(count).of(depth).unwrap(), expected);
        }
    }

    #[test]
    fn what_the_base_lacks_is_said() {
        for (layers, why) in [
            (Layers::Count(0), "give 1 to 6"),
            (Layers::Count(7), "the base has 6"),
            (Layers::Chosen(vec![]), "at least one layer"),
            (Layers::Chosen(vec![1, 1]), "ascending"),
            (Layers::Chosen(vec![2, 1]), "ascending"),
            (Layers::Chosen(vec![0, 6]), "no layer 6"),
        ] {
            assert!(layers.of(6).unwrap_err().contains(why), "{layers:?}");
        }
        assert_eq!(Layers::Chosen(vec![0, 2, 4]).of(6).unwrap(), [0, 2, 4]);
    }
}
