//! Which of a student's parameters a training changes: all, those that are not frozen, or low-rank adapters beside them.

use super::encoder::Config;
use super::parameters::Parameters;
use crate::recipe::{Adapters, Freeze};

/// The choice. The default trains everything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trainable {
    /// What stays as it is.
    pub freeze: Freeze,
    /// Train these instead of the encoder.
    pub adapters: Option<Adapters>,
}

impl Trainable {
    /// Whether training changes the parameter. What is not of the encoder (heads) always is trained.
    pub fn trains(&self, name: &str) -> bool {
        let frozen = match layer_of(name) {
            Some(layer) => layer < self.freeze.layers,
            None => name.starts_with("embeddings.") && self.freeze.embeddings,
        };
        let adapted = self.adapters.is_some() && !is_adapter(name);
        !frozen && !(adapted && (name.starts_with("embeddings.") || layer_of(name).is_some()))
    }

    /// The adapters of a linear layer, if it has any.
    pub(super) fn adapters_of(&self, linear: &str) -> Option<Adapters> {
        let layer = layer_of(linear)?;
        self.adapters.filter(|_| layer >= self.freeze.layers)
    }
}

/// Number of the layer that a parameter belongs to.
fn layer_of(name: &str) -> Option<usize> {
    let (layer, _) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    layer.parse().ok()
}

/// Names of the two factors beside a linear layer's weight: `[rank, inputs]` and `[outputs, rank]`.
pub(super) fn factors(linear: &str) -> [String; 2] {
    [format!("{linear}{DOWN}"), format!("{linear}{UP}")]
}

const DOWN: &str = ".adapter.down";
const UP: &str = ".adapter.up";

fn is_adapter(name: &str) -> bool {
    name.ends_with(DOWN) || name.ends_with(UP)
}

impl Adapters {
    /// What the product of the two factors is multiplied by.
    pub(super) fn factor(&self) -> f32 {
        self.scale / self.rank as f32
    }
}

impl Parameters {
    /// Adds the adapters: the lower factor normal with σ = 1/√inputs, the upper one 0, so that the student begins as its base.
    pub fn add_adapters(
        &mut self,
        c: &Config,
        trainable: &Trainable,
        mut normal: impl FnMut() -> f32,
    ) {
        for (name, outputs, inputs) in (0..c.layers).flat_map(|layer| c.linear_layers(layer)) {
            let Some(adapters) = trainable.adapters_of(&name) else {
                continue;
            };
            let (rank, sigma) = (adapters.rank, 1.0 / (inputs as f32).sqrt());
            let [down, up] = factors(&name);
            let values = (0..rank * inputs).map(|_| sigma * normal()).collect();
            self.insert(down, &[rank, inputs], values);
            self.insert(up, &[outputs, rank], vec![0.0; outputs * rank]);
        }
    }

    /// Adds every adapter's product to the weight that it stands beside, and takes the adapters away.
    pub fn merge_adapters(&mut self, adapters: &Adapters) {
        let linear: Vec<String> = self
            .0
            .keys()
            .filter_map(|name| name.strip_suffix(DOWN).map(str::to_owned))
            .collect();
        for name in linear {
            let [down, up] = factors(&name);
            let (Some(down), Some(up)) = (self.0.remove(&down), self.0.remove(&up)) else {
                continue;
            };
            let Some(weight) = self.0.get_mut(&format!("{name}.weight")) else {
                continue;
            };
            let inputs = down.shape.last().copied().unwrap_or(1).max(1);
            let rows = weight.data.chunks_mut(inputs);
            for (row, up) in rows.zip(up.data.chunks(adapters.rank.max(1))) {
                for (down, up) in down.data.chunks(inputs).zip(up) {
                    let k = adapters.factor() * up;
                    row.iter_mut().zip(down).for_each(|(w, d)| *w += k * d);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frozen_and_what_is_adapted() {
        let mut t = Trainable::default();
        let words = "embeddings.word_embeddings.weight";
        let low = "encoder.layer.1.output.dense.weight";
        let high = "encoder.layer.10.output.dense.weight";
        let adapter = "encoder.layer.10.output.dense.adapter.up";
        let head = "heads.entities.bias";
        let trained = |t: &Trainable| [words, low, high, adapter, head].map(|n| t.trains(n));
        assert_eq!(trained(&t), [true; 5]);
        t.freeze.layers = 2;
        assert_eq!(trained(&t), [true, false, true, true, true]);
        t.freeze.embeddings = true;
        assert_eq!(trained(&t), [false, false, true, true, true]);
        t.adapters = Some(Adapters {
            rank: 2,
            scale: 4.0,
        });
        assert_eq!(trained(&t), [false, false, false, true, true]);
        assert_eq!(t.adapters_of("encoder.layer.1.output.dense"), None);
        assert_eq!(t.adapters_of("encoder.layer.2.output.dense"), t.adapters);
        assert_eq!(t.adapters_of("heads.entities"), None);
    }
}
