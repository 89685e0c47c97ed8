//! Mentions without concepts become entities, by libbie's own rule: so training sees the pairs that the host will see.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use bie::decode::group;

use super::{Corpus, Document};

impl Corpus {
    /// Joins mentions of one kind with the same name (see [`bie::decode::group`]) to entities, if the corpus names no concepts; a relation
    /// between two mentions is then one between their entities. `kind` tells the type that a label is mapped to.
    pub fn group<K: Eq + Hash>(&mut self, kind: impl Fn(&str) -> K) {
        if !self.mention_level {
            return;
        }
        let mut within = 0;
        for document in &mut self.documents {
            within += join(document, &kind);
        }
        if within > 0 {
            self.notes
                .insert("relations within one entity, left out", within);
        }
    }
}

/// The number of relations whose ends became one.
fn join<K: Eq + Hash>(document: &mut Document, kind: impl Fn(&str) -> K) -> usize {
    let mut order: Vec<usize> = (0..document.mentions.len()).collect();
    order.sort_by_key(|m| document.mentions.get(*m).map(|m| (m.start, Reverse(m.end))));
    let mut kinds = HashMap::new();
    let mentions: Vec<group::Mention> = order
        .iter()
        .filter_map(|m| document.mentions.get(*m))
        .map(|m| {
            let next = kinds.len();
            group::Mention {
                start: m.start,
                end: m.end,
                label: *kinds.entry(kind(&m.label)).or_insert(next),
            }
        })
        .collect();
    // An entity is called after its first mention.
    let mut names: HashMap<usize, String> = HashMap::new();
    let mut entity: HashMap<String, String> = HashMap::new();
    for (group, m) in group::groups(&document.text, &mentions)
        .into_iter()
        .zip(&order)
    {
        let Some(mention) = document.mentions.get_mut(*m) else {
            continue;
        };
        let Some(first) = mention.concepts.first() else {
            continue;
        };
        let name = names.entry(group).or_insert_with(|| first.clone()).clone();
        for id in std::mem::take(&mut mention.concepts) {
            entity.insert(id, name.clone());
        }
        mention.concepts.push(name);
    }
    let mut seen = HashSet::new();
    let before = document.relations.len();
    for relation in &mut document.relations {
        for end in [&mut relation.head, &mut relation.tail] {
            if let Some(name) = entity.get(end) {
                end.clone_from(name);
            }
        }
    }
    document.relations.retain(|r| r.head != r.tail);
    let within = before - document.relations.len();
    document
        .relations
        .retain(|r| seen.insert((r.head.clone(), r.tail.clone(), r.label.clone())));
    within
}
