//! How much memory a run of a graph takes.

use std::collections::HashMap;

use super::{DType, Dim, Graph, Op, Source, Tensor};

impl Graph {
    /// The most bytes of tensors that a run holds at once when its nodes run in the order in which they were built; inputs and constants are not
    /// counted, outputs are held to the end. `extents` says what each symbol stands for (1 if it is not named).
    ///
    /// A tensor takes its place when its node runs and leaves it after its last reader. Element-wise operators that write over what they read
    /// are not counted on: the figure is a bound for a runtime that allocates no earlier and frees no later.
    pub fn peak_bytes(&self, extents: &[(&str, usize)]) -> u64 {
        let live = self.live();
        // A reshaped tensor lies where the original does.
        let mut place: HashMap<Tensor, Tensor> = HashMap::new();
        for &n in &live {
            let node = &self.nodes[n];
            if node.op == Op::Reshape {
                let original = place.get(&node.inputs[0]).copied();
                place.insert(node.outputs[0], original.unwrap_or(node.inputs[0]));
            }
        }
        let at = |t: Tensor| place.get(&t).copied().unwrap_or(t);
        let mut last_read: HashMap<Tensor, usize> = HashMap::new();
        for &n in &live {
            for &t in &self.nodes[n].inputs {
                last_read.insert(at(t), n);
            }
        }
        for (_, t) in &self.outputs {
            last_read.insert(at(*t), usize::MAX);
        }
        let (mut held, mut most) = (0, 0);
        for &n in &live {
            let node = &self.nodes[n];
            let computed = |t: &Tensor| matches!(self.values[t.0].source, Source::Node);
            let new = node.outputs.iter().filter(|t| at(**t) == **t);
            held += new.map(|t| self.bytes(*t, extents)).sum::<u64>();
            most = most.max(held);
            let mut done: Vec<Tensor> = node.inputs.iter().map(|t| at(*t)).collect();
            // What nobody reads (statistics of a normalisation) is freed at once.
            done.extend(
                node.outputs
                    .iter()
                    .filter(|t| !last_read.contains_key(&at(**t))),
            );
            done.sort_unstable();
            done.dedup();
            let over = |t: &&Tensor| computed(t) && last_read.get(t).is_none_or(|&last| last == n);
            held -= done
                .iter()
                .filter(over)
                .map(|t| self.bytes(*t, extents))
                .sum::<u64>();
        }
        most
    }

    /// Bytes of the inputs that `which` names.
    pub fn input_bytes(&self, extents: &[(&str, usize)], which: impl Fn(&str) -> bool) -> u64 {
        let inputs = self.values.iter().enumerate();
        let inputs = inputs.filter(|(_, v)| matches!(v.source, Source::Input) && which(&v.name));
        inputs.map(|(n, _)| self.bytes(Tensor(n), extents)).sum()
    }

    fn bytes(&self, t: Tensor, extents: &[(&str, usize)]) -> u64 {
        let value = &self.values[t.0];
        let size: u64 = match value.dtype {
            DType::F32 => 4,
            DType::I64 => 8,
            DType::I8 => 1,
        };
        let extent = |d: &Dim| {
            let symbol = d
                .symbol
                .and_then(|s| extents.iter().find(|(name, _)| *name == s));
            (d.factor * symbol.map_or(1, |(_, n)| *n)) as u64
        };
        size * value.shape.iter().map(extent).product::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;

    #[test]
    fn a_tensor_counts_from_its_node_to_its_last_reader() {
        let mut g = Graph::new();
        let n = Dim::new(1, "N");
        let x = g.input("x", DType::F32, shape![n, 10]);
        let a = g.exp(x);
        let flat = g.reshape(a, shape![n.times(10)]);
        let b = g.exp(flat);
        let c = g.exp(b);
        let d = g.add(c, flat);
        let sum = g.sum_all(d);
        g.output("c", c);
        g.output("sum", sum);
        let unused = g.exp(x);
        // a, b; a, b, c: 3; a, c, d: 3; c, d, sum. `flat` is a, `unused` is not run.
        assert_eq!(g.peak_bytes(&[("N", 5)]), 3 * 4 * 50);
        g.output("unused", unused);
        assert_eq!(g.peak_bytes(&[("N", 5)]), 3 * 4 * 50);
        g.output("b", b);
        assert_eq!(g.peak_bytes(&[("N", 5)]), 4 * 4 * 50);
    }
}
