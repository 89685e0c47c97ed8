//! Named weights: read by [`super::base`], initialised for new heads, written to checkpoints.

use std::collections::BTreeMap;

use super::encoder::{Config, POSITIONS, WORDS};
use super::heads::RelationHead;

/// One weight tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values.
    pub data: Vec<f32>,
}

/// All weights of a student, by name (the order of iteration is the order of names).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub BTreeMap<String, Parameter>);

impl Parameters {
    /// The values of `name`, whose shape must be `shape`: the definition of the student guarantees both.
    #[allow(clippy::panic)]
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> &[f32] {
        match self.0.get(name) {
            Some(p) if p.shape == shape => &p.data,
            Some(p) => panic!("parameter {name} has shape {:?}, not {shape:?}", p.shape),
            None => panic!("no parameter {name}"),
        }
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.0.values().map(|p| p.data.len()).sum()
    }

    pub(crate) fn insert(&mut self, name: impl Into<String>, shape: &[usize], data: Vec<f32>) {
        self.0.insert(
            name.into(),
            Parameter {
                shape: shape.to_vec(),
                data,
            },
        );
    }

    /// An encoder of random weights (normal, σ 0.02).
    pub fn random_encoder(c: &Config, mut normal: impl FnMut() -> f32) -> Parameters {
        let d = c.hidden_size;
        let mut p = Parameters::default();
        let mut draw = |p: &mut Parameters, name: String, shape: &[usize]| {
            p.insert(
                name,
                shape,
                (0..shape.iter().product())
                    .map(|_| 0.02 * normal())
                    .collect(),
            );
        };
        draw(&mut p, WORDS.into(), &[c.vocab_size, d]);
        draw(&mut p, POSITIONS.into(), &[c.max_positions, d]);
        for layer in 0..c.layers {
            let l = format!("encoder.layer.{layer}");
            for (name, outputs, inputs) in c.linear_layers(layer) {
                draw(&mut p, format!("{name}.weight"), &[outputs, inputs]);
                p.insert(format!("{name}.bias"), &[outputs], vec![0.0; outputs]);
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                p.insert(format!("{l}.{name}.weight"), &[d], vec![1.0; d]);
                p.insert(format!("{l}.{name}.bias"), &[d], vec![0.0; d]);
            }
        }
        p.insert("embeddings.LayerNorm.weight", &[d], vec![1.0; d]);
        p.insert("embeddings.LayerNorm.bias", &[d], vec![0.0; d]);
        p
    }

    /// Adds one linear layer (normal, σ 0.02; biases 0).
    pub fn add_linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        mut normal: impl FnMut() -> f32,
    ) {
        let w = (0..inputs * outputs).map(|_| 0.02 * normal()).collect();
        self.insert(format!("{name}.weight"), &[outputs, inputs], w);
        self.insert(format!("{name}.bias"), &[outputs], vec![0.0; outputs]);
    }

    /// Adds the heads' weights (normal, σ 0.02; biases 0).
    pub fn add_heads(
        &mut self,
        types: usize,
        relations: Option<RelationHead>,
        mut normal: impl FnMut() -> f32,
        width: usize,
    ) {
        let mut layer = |p: &mut Parameters, name: &str, inputs: usize, outputs: usize| {
            p.add_linear(name, inputs, outputs, &mut normal);
        };
        layer(self, "heads.entities", width, 3 * types);
        if let Some(h) = relations {
            layer(self, "heads.relations.head", 2 * h.hidden, h.hidden);
            layer(self, "heads.relations.tail", 2 * h.hidden, h.hidden);
            layer(
                self,
                "heads.relations.bilinear",
                h.hidden * h.block,
                h.labels,
            );
        }
    }

    /// Takes the heads out.
    pub fn take_heads(&mut self) -> Parameters {
        let is_head = |name: &String, _: &mut Parameter| name.starts_with("heads.");
        Parameters(self.0.extract_if(.., is_head).collect())
    }

    /// Keeps these layers of the encoder alone, and numbers them anew.
    pub fn keep_layers(&mut self, kept: &[usize]) {
        let renamed = |name: String| {
            let Some((layer, rest)) = name
                .strip_prefix("encoder.layer.")
                .and_then(|rest| rest.split_once('.'))
            else {
                return Some(name);
            };
            let layer = layer.parse::<usize>().ok()?;
            let now = kept.iter().position(|k| *k == layer)?;
            Some(format!("encoder.layer.{now}.{rest}"))
        };
        self.0 = std::mem::take(&mut self.0)
            .into_iter()
            .filter_map(|(name, p)| Some((renamed(name)?, p)))
            .collect();
    }

    /// Puts what `old` heads learned where the same types stand now: `types` and `labels` say for each type, and for each relation label
    /// ("none" first), which one it was. What is new keeps the values that it has here.
    pub fn inherit_heads(
        &mut self,
        old: &Parameters,
        types: &[Option<usize>],
        labels: &[Option<usize>],
    ) {
        let tags: Vec<Option<usize>> = types
            .iter()
            .flat_map(|was| [0, 1, 2].map(|tag| was.map(|was| 3 * was + tag)))
            .collect();
        for (layer, rows) in [
            ("heads.entities", tags.as_slice()),
            ("heads.relations.bilinear", labels),
        ] {
            for part in ["weight", "bias"] {
                self.inherit_rows(old, &format!("{layer}.{part}"), rows);
            }
        }
        for layer in ["heads.relations.head", "heads.relations.tail"] {
            for part in ["weight", "bias"] {
                let name = format!("{layer}.{part}");
                let all: Vec<Option<usize>> = (0..self.rows(&name)).map(Some).collect();
                self.inherit_rows(old, &name, &all);
            }
        }
    }

    fn rows(&self, name: &str) -> usize {
        self.0
            .get(name)
            .and_then(|p| p.shape.first().copied())
            .unwrap_or(0)
    }

    /// Row i becomes the old row `rows[i]`, where there is one of the same width.
    fn inherit_rows(&mut self, old: &Parameters, name: &str, rows: &[Option<usize>]) {
        let (Some(new), Some(old)) = (self.0.get_mut(name), old.0.get(name)) else {
            return;
        };
        if new.shape.get(1..) != old.shape.get(1..) {
            return;
        }
        let width: usize = new.shape.iter().skip(1).product();
        for (row, was) in new.data.chunks_mut(width.max(1)).zip(rows) {
            let was = was.and_then(|was| old.data.get(was * width..(was + 1) * width));
            if let Some(was) = was {
                row.copy_from_slice(was);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(types: usize, labels: usize, start: f32) -> Parameters {
        let mut next = start;
        let mut p = Parameters::default();
        let head = RelationHead {
            hidden: 4,
            heads: 2,
            labels,
            block: 2,
        };
        let count = || {
            next += 50.0;
            next
        };
        p.add_heads(types, (labels > 1).then_some(head), count, 4);
        p
    }

    #[test]
    fn a_type_that_was_there_keeps_what_it_learned_wherever_it_stands() {
        let (old, fresh) = (heads(2, 2, 0.0), heads(3, 3, 1e6));
        let mut grown = fresh.clone();
        // Types: the old second, a new one, the old first. Labels: none, a new one, the old relation.
        grown.inherit_heads(&old, &[Some(1), None, Some(0)], &[Some(0), None, Some(1)]);
        let row = |p: &Parameters, name: &str, at: usize| {
            let width: usize = p.0[name].shape[1..].iter().product();
            p.0[name].data[at * width..(at + 1) * width].to_vec()
        };
        for tag in 0..3 {
            let of = |p: &Parameters, kind: usize| row(p, "heads.entities.weight", 3 * kind + tag);
            assert_eq!(of(&grown, 0), of(&old, 1));
            assert_eq!(of(&grown, 1), of(&fresh, 1));
            assert_eq!(of(&grown, 2), of(&old, 0));
        }
        for (now, was) in [(0, 0), (2, 1)] {
            let name = "heads.relations.bilinear.weight";
            assert_eq!(row(&grown, name, now), row(&old, name, was));
        }
        for name in ["heads.relations.head.weight", "heads.relations.tail.bias"] {
            assert_eq!(grown.0[name], old.0[name]);
        }
    }

    #[test]
    fn kept_layers_are_numbered_anew_and_heads_come_out() {
        let mut p = heads(1, 1, 0.0);
        for layer in 0..4 {
            let name = format!("encoder.layer.{layer}.output.dense.bias");
            p.insert(name, &[1], vec![layer as f32]);
        }
        p.insert(WORDS, &[1], vec![9.0]);
        assert_eq!(p.take_heads().0.len(), 2);
        p.keep_layers(&[1, 3]);
        let left: Vec<(&str, f32)> = p.0.iter().map(|(n, p)| (n.as_str(), p.data[0])).collect();
        assert_eq!(
            left,
            [
                (WORDS, 9.0),
                ("encoder.layer.0.output.dense.bias", 1.0),
                ("encoder.layer.1.output.dense.bias", 3.0)
            ]
        );
    }

    #[test]
    fn heads_of_a_student_without_relations_leave_new_ones_as_they_are() {
        let (old, fresh) = (heads(1, 1, 0.0), heads(1, 2, 1e6));
        let mut grown = fresh.clone();
        grown.inherit_heads(&old, &[Some(0)], &[Some(0), None]);
        assert_eq!(
            grown.0["heads.entities.weight"],
            old.0["heads.entities.weight"]
        );
        let name = "heads.relations.bilinear.weight";
        assert_eq!(grown.0[name], fresh.0[name]);
    }
}
