//! Encoder teachers: trained students, larger or deeper, that are asked about every window that is trained on.
//!
//! A teacher runs by the graph code of the student, in floats, one window at a time and without padding, so that an answer depends on nothing
//! but the window. Answers go through the [`Cache`], 16-bit, whether they are kept or not.

use std::path::Path;

use bie::bundle::{RelationType, TOKENIZER};
use bie::encode::Encoder;
use serde_json::Value;

use super::cache::{Cache, Key};
use crate::error::{Error, Result};
use crate::export::relations_graph;
use crate::graph::{DType, Dim};
use crate::recipe::{EncoderTeacherSource, Recipe, Schema};
use crate::session::{Feed, Session};
use crate::shape;
use crate::student::bundled::Bundled;
use crate::student::encoder::{Config, encoder};
use crate::student::heads::entity_logits;
use crate::student::parameters::Parameters;
use crate::student::{Net, Weights};
use crate::train::features::{Feature, Kind, SCAFFOLD};

/// Pairs that the relation head reads at once: bounds memory.
const PAIRS: usize = 512;

/// Every encoder teacher of a recipe, and what they answered.
#[derive(Default)]
pub struct EncoderTeachers {
    teachers: Vec<EncoderTeacher>,
    /// There is one if there are teachers.
    cache: Option<Cache>,
}

/// One window as a teacher is asked about it; types and pairs as in [`crate::dataset::Item`].
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// `[L]`.
    pub ids: &'a [i64],
    /// Token positions of each mention.
    pub mentions: &'a [Vec<usize>],
    /// Mentions of each entity.
    pub entities: &'a [Vec<usize>],
    /// Type of each entity.
    pub entity_type: &'a [usize],
}

/// What a teacher says of a window, in the terms of the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Its weight against other teachers.
    pub weight: f32,
    /// `[L, K, 3]`: probabilities of O, B, I; zeros for types that it does not know.
    pub tags: Vec<f32>,
    /// What it says of pairs, ordered by head, then tail.
    pub pairs: Vec<PairOpinion>,
}

/// What a teacher says of one pair.
#[derive(Clone, Debug, PartialEq)]
pub struct PairOpinion {
    /// Head and tail: indices into [`Window::entities`].
    pub pair: (usize, usize),
    /// `[R]`: relations that it knows between these types.
    pub knows: Vec<bool>,
    /// `[R + 1]`: what it knows and the schema lacks is "none".
    pub probabilities: Vec<f32>,
}

struct EncoderTeacher {
    /// `model_id` of its bundle.
    name: String,
    hash: String,
    weight: f32,
    /// Outputs: `entity_logits`, where there are relations `hidden` and `attention`, and one for each feature.
    encoder: Session,
    relations: Option<Session>,
    config: Config,
    /// `[K]` of the schema: the teacher's type.
    types: Vec<Option<usize>>,
    /// Number of its types, and their names.
    names: Vec<String>,
    /// Its relation types, each with the schema's.
    labels: Vec<(RelationType, Option<usize>)>,
    features: Vec<Feature>,
    /// The feature values of the window that ran last: it is asked for its answers first and for its features then.
    last: Option<(Vec<i64>, Vec<f32>)>,
}

impl EncoderTeachers {
    /// Opens the recipe's encoder teachers; `config` and `tokenizer` are the student's. Their bundles' hashes become part of the recipe.
    ///
    /// # Errors
    /// A bundle cannot be used: its vocabulary, its types or its layers do not fit; the cache's folder cannot be made.
    pub fn open(
        recipe: &mut Recipe,
        config: &Config,
        tokenizer: &Encoder,
        cache: &Path,
    ) -> Result<EncoderTeachers> {
        if recipe.encoder_teachers.is_empty() {
            return Ok(EncoderTeachers::default());
        }
        let most = f64::from(recipe.distillation.cache_gigabytes) * 1e9;
        let cache = Some(Cache::open(cache, most as u64)?);
        let mut teachers = Vec::new();
        for n in 0..recipe.encoder_teachers.len() {
            let teacher = EncoderTeacher::open(recipe, n, config, tokenizer)?;
            if let Some(source) = recipe.encoder_teachers.get_mut(n) {
                source.hash.clone_from(&teacher.hash);
            }
            teachers.push(teacher);
        }
        Ok(EncoderTeachers { cache, teachers })
    }

    /// What is held to features of the teachers, in the order of [`EncoderTeachers::values`].
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.teachers.iter().flat_map(|t| &t.features)
    }

    /// The models' names, of those whose answers are taught: in the order of [`EncoderTeachers::ask`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let taught = self.teachers.iter().filter(|t| t.weight > 0.0);
        taught.map(|t| t.name.as_str())
    }

    /// What each teacher whose answers are taught says of a window. Its features are kept on the way.
    ///
    /// # Errors
    /// The runtime fails.
    pub fn ask(&mut self, window: &Window, schema: &Schema) -> Result<Vec<Opinion>> {
        let mut opinions = Vec::new();
        let Some(cache) = &mut self.cache else {
            return Ok(opinions);
        };
        for teacher in &mut self.teachers {
            if teacher.weight > 0.0 {
                opinions.push(teacher.ask(cache, window, schema)?);
            }
            let key = teacher.features_key(window.ids);
            if !teacher.features.is_empty() && !cache.holds(&key) {
                teacher.values(cache, window.ids)?;
            }
        }
        Ok(opinions)
    }

    /// The values of every feature for a window.
    ///
    /// # Errors
    /// The runtime fails.
    pub fn values(&mut self, ids: &[i64]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::new();
        let Some(cache) = &mut self.cache else {
            return Ok(all);
        };
        for teacher in &mut self.teachers {
            let joined = teacher.values(cache, ids)?;
            let mut rest = joined.as_slice();
            for feature in &teacher.features {
                let (own, after) = rest
                    .split_at_checked(feature.values(ids.len()))
                    .unwrap_or_default();
                all.push(own.to_vec());
                rest = after;
            }
        }
        Ok(all)
    }
}

impl EncoderTeacher {
    fn open(recipe: &Recipe, n: usize, student: &Config, tokenizer: &Encoder) -> Result<Self> {
        let at = n.to_string();
        let wrong = |key: &str, why: String| recipe.error(&["encoder_teachers", &at, key], why);
        let source = (recipe.encoder_teachers.get(n))
            .ok_or_else(|| wrong("path", "there is no such teacher".to_owned()))?;
        let path = recipe.resolve(&source.path);
        let bundle = Bundled::from_bundle(&path)?;
        if vocabulary(&bundle.tokenizer)? != vocabulary(tokenizer)? {
            let why = format!(
                "{} has another vocabulary than the student's base; a teacher must read the same tokens",
                path.join(TOKENIZER).display()
            );
            return Err(wrong("path", why));
        }
        if bundle.config.max_positions < recipe.student.max_tokens {
            let why = format!(
                "the teacher reads at most {} tokens, the student up to {}; lower student.max_tokens",
                bundle.config.max_positions, recipe.student.max_tokens
            );
            return Err(wrong("path", why));
        }
        let manifest = &bundle.manifest;
        let names: Vec<String> = manifest.entities.iter().map(|e| e.name.clone()).collect();
        let mapped = |name: &str| source.map.get(name).map_or(name, String::as_str).to_owned();
        let mut types = vec![None; recipe.schema.entities.len()];
        for (own, name) in names.iter().enumerate() {
            let Some(schema) = recipe.entity(&mapped(name)) else {
                continue;
            };
            if types.get(schema).is_some_and(Option::is_some) {
                let why = format!("two of the teacher's types stand for {}", mapped(name));
                return Err(wrong("map", why));
            }
            types
                .iter_mut()
                .skip(schema)
                .take(1)
                .for_each(|t| *t = Some(own));
        }
        if source.weight > 0.0 && types.iter().all(Option::is_none) {
            let why = format!(
                "none of the teacher's types ({}) is a type of the schema; map them",
                names.join(", ")
            );
            return Err(wrong("map", why));
        }
        let labels = manifest
            .relations
            .iter()
            .map(|r| (r.clone(), recipe.relation(&mapped(&r.name))));
        let features =
            features(source, n, student, &bundle.config).map_err(|why| wrong("layers", why))?;
        let threads = recipe.training.threads;
        let (config, weights) = (&bundle.config, &bundle.parameters);
        // Relations are only asked for where the teacher is taught from.
        let head = bundle.relations.filter(|_| source.weight > 0.0);
        let graph = graph(config, names.len(), head.is_some(), &features, weights);
        let relations = head.map(|head| relations_graph(head, weights).to_onnx("relations"));
        Ok(EncoderTeacher {
            name: manifest.model_id.clone(),
            weight: source.weight,
            encoder: Session::new(&graph, threads)?,
            relations: relations.map(|g| Session::new(&g, threads)).transpose()?,
            types,
            labels: labels.collect(),
            names,
            features,
            last: None,
            hash: bundle.hash,
            config: bundle.config,
        })
    }

    /// Runs the encoder; its outputs by name. Remembers the features.
    fn run(&mut self, ids: &[i64], outputs: &[&str]) -> Result<Vec<Vec<f32>>> {
        let shape = [ids.len()];
        let ran = self.encoder.run(&[("input_ids", Feed::I64(&shape, ids))])?;
        let mut features = Vec::new();
        for n in 0..self.features.len() {
            features.extend_from_slice(ran.get(&Feature::input(n))?.1);
        }
        self.last = Some((ids.to_vec(), features));
        let copy = |name: &&str| Ok(ran.get(name)?.1.to_vec());
        outputs.iter().map(copy).collect()
    }

    fn features_key(&self, ids: &[i64]) -> Key {
        let kind = |f: &Feature| match f.kind {
            Kind::Hidden { .. } => [0, f.teacher as u64],
            Kind::Attention { maps } => [maps as u64, f.teacher as u64],
        };
        Key::new("features")
            .text(&self.hash)
            .numbers(self.features.iter().flat_map(kind))
            .numbers(ids.iter().map(|&i| i as u64))
    }

    /// The values of all features of a window, one after the other.
    fn values(&mut self, cache: &mut Cache, ids: &[i64]) -> Result<Vec<f32>> {
        let length = self.features.iter().map(|f| f.values(ids.len())).sum();
        cache.get(&self.features_key(ids), length, || {
            match self.last.take() {
                Some((of, values)) if of == ids => return Ok(values),
                _ => self.run(ids, &[])?,
            };
            Ok(self.last.take().unwrap_or_default().1)
        })
    }

    fn ask(&mut self, cache: &mut Cache, window: &Window, schema: &Schema) -> Result<Opinion> {
        let asked = self.asked(window, schema);
        let (length, types, labels) = (window.ids.len(), self.names.len(), self.labels.len() + 1);
        let size = length * types * 3 + asked.len() * labels;
        let lists = |key: Key, lists: &[Vec<usize>]| {
            let add = |key: Key, list: &Vec<usize>| key.numbers(list.iter().map(|&n| n as u64));
            lists.iter().fold(key, add)
        };
        let key = Key::new("answers")
            .text(&self.hash)
            .numbers(window.ids.iter().map(|&i| i as u64));
        let key = lists(lists(key, window.mentions), window.entities).numbers(
            asked
                .iter()
                .flat_map(|(_, p)| [p.pair.0 as u64, p.pair.1 as u64]),
        );
        let answer = cache.get(&key, size, || {
            let pairs: Vec<(usize, usize)> = asked.iter().map(|(_, p)| p.pair).collect();
            self.answer(window, &pairs)
        })?;
        let (tags, relations) = answer
            .split_at_checked(length * types * 3)
            .unwrap_or_default();
        let asked = asked.into_iter().zip(relations.chunks(labels));
        Ok(Opinion {
            weight: self.weight,
            tags: self.tags(tags),
            pairs: asked
                .map(|((admitted, pair), logits)| folded(&admitted, pair, logits))
                .collect(),
        })
    }

    /// `[L, K, 3]` from the teacher's logits of its own types.
    fn tags(&self, logits: &[f32]) -> Vec<f32> {
        let mut tags = Vec::new();
        for token in logits.chunks(3 * self.names.len()) {
            for own in &self.types {
                let of = own.and_then(|t| token.chunks(3).nth(t));
                tags.extend(of.map_or_else(|| vec![0.0; 3], softmax));
            }
        }
        tags
    }

    /// Logits of all tags `[L, K', 3]`, then of the pairs `[P, R' + 1]`, of the teacher's own types.
    fn answer(&mut self, window: &Window, pairs: &[(usize, usize)]) -> Result<Vec<f32>> {
        if self.relations.is_none() || pairs.is_empty() {
            let ran = self.run(window.ids, &["entity_logits"])?;
            return Ok(ran.into_iter().flatten().collect());
        }
        let ran = self.run(window.ids, &["entity_logits", "hidden", "attention"])?;
        let (Some(session), [tags, hidden, attention]) = (&mut self.relations, ran.as_slice())
        else {
            return Ok(Vec::new());
        };
        let mut answer = tags.clone();
        let (l, m, n) = (
            window.ids.len(),
            window.mentions.len(),
            window.entities.len(),
        );
        let (d, heads) = (self.config.hidden_size, self.config.heads);
        let mut mention_tokens = vec![0.0; m * l];
        for (row, tokens) in mention_tokens.chunks_mut(l).zip(window.mentions) {
            for &t in tokens {
                row.iter_mut()
                    .skip(t)
                    .take(1)
                    .for_each(|x| *x = 1.0 / tokens.len() as f32);
            }
        }
        let mut entity_mentions = vec![0.0; n * m];
        for (row, mentions) in entity_mentions.chunks_mut(m.max(1)).zip(window.entities) {
            for &m in mentions {
                row.iter_mut().skip(m).take(1).for_each(|x| *x = 1.0);
            }
        }
        for some in pairs.chunks(PAIRS) {
            let count = [some.len()];
            let (head, tail): (Vec<i64>, Vec<i64>) =
                some.iter().map(|&(h, t)| (h as i64, t as i64)).unzip();
            let feeds = [
                ("hidden", Feed::F32(&[l, d], hidden)),
                ("attention", Feed::F32(&[heads, l, l], attention)),
                ("mention_tokens", Feed::F32(&[m, l], &mention_tokens)),
                ("entity_mentions", Feed::F32(&[n, m], &entity_mentions)),
                ("pair_head", Feed::I64(&count, &head)),
                ("pair_tail", Feed::I64(&count, &tail)),
            ];
            answer.extend_from_slice(session.run(&feeds)?.get("relation_logits")?.1);
        }
        Ok(answer)
    }

    /// The pairs of a window that the teacher knows a relation of the schema for: its own relations that the types admit, and an opinion
    /// without probabilities.
    fn asked(&self, window: &Window, schema: &Schema) -> Vec<(Vec<Option<usize>>, PairOpinion)> {
        let mut asked = Vec::new();
        if self.relations.is_none() {
            return asked;
        }
        for (h, &head) in window.entity_type.iter().enumerate() {
            for (t, &tail) in window.entity_type.iter().enumerate() {
                let own = |k: usize| self.types.get(k).copied().flatten();
                let (Some(a), Some(b), true) = (own(head), own(tail), h != t) else {
                    continue;
                };
                let admitted = self.admitted(schema, (head, tail), (a, b), h < t);
                let knows: Vec<bool> = (0..schema.relations.len())
                    .map(|r| admitted.iter().flatten().any(|of| *of == r + 1))
                    .collect();
                if knows.contains(&true) {
                    let pair = PairOpinion {
                        pair: (h, t),
                        knows,
                        probabilities: Vec::new(),
                    };
                    asked.push((admitted, pair));
                }
            }
        }
        asked
    }

    /// `[R' + 1]` of the teacher: the label of the schema (0: "none") that each label stands for between these types, the schema's and its own;
    /// `None` where the teacher's types do not admit it.
    fn admitted(
        &self,
        schema: &Schema,
        types: (usize, usize),
        own: (usize, usize),
        first: bool,
    ) -> Vec<Option<usize>> {
        let among = |list: &[String], t: usize| self.names.get(t).is_some_and(|n| list.contains(n));
        let relation = |(r, stands_for): &(RelationType, Option<usize>)| {
            let direct = !r.symmetric || (own.0 == own.1 && first);
            let admitted = among(&r.head, own.0) && among(&r.tail, own.1) && direct;
            let known = stands_for.filter(|s| {
                schema.relations.get(*s).is_some_and(|of| {
                    of.symmetric == r.symmetric
                        && crate::dataset::admits(of, schema, types.0, types.1, first)
                })
            });
            admitted.then(|| known.map_or(0, |s| s + 1))
        };
        let labels = self.labels.iter().map(relation);
        [Some(0)].into_iter().chain(labels).collect()
    }
}

/// The probabilities of the admitted labels, in the terms of the schema.
fn folded(admitted: &[Option<usize>], mut pair: PairOpinion, logits: &[f32]) -> PairOpinion {
    let (to, of): (Vec<usize>, Vec<f32>) = (admitted.iter().zip(logits))
        .filter_map(|(label, x)| Some(((*label)?, *x)))
        .unzip();
    pair.probabilities = vec![0.0; pair.knows.len() + 1];
    for (label, p) in to.into_iter().zip(softmax(&of)) {
        (pair.probabilities.iter_mut().skip(label).take(1)).for_each(|sum| *sum += p);
    }
    pair
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// What decides which tokens a text becomes.
fn vocabulary(tokenizer: &Encoder) -> Result<[Option<Value>; 2]> {
    let json: Value = serde_json::from_slice(&tokenizer.to_json()?)
        .map_err(|e| Error::Training(format!("the tokenizer cannot be compared: {e}")))?;
    Ok(["/model/vocab", "/normalizer"].map(|at| json.pointer(at).cloned()))
}

/// What of the teacher the recipe wants taught beside its answers. Terms are means over the pairs of layers.
fn features(
    source: &EncoderTeacherSource,
    n: usize,
    student: &Config,
    teacher: &Config,
) -> std::result::Result<Vec<Feature>, String> {
    let mut features = Vec::new();
    if source.hidden_weight + source.attention_weight == 0.0 {
        return Ok(features);
    }
    let pairs = source.layers.pairs(student.layers, teacher.layers)?;
    let maps = if student.heads == teacher.heads {
        teacher.heads
    } else {
        1
    };
    let width = teacher.hidden_size;
    let attends = |(s, t): &&(usize, usize)| *s > 0 && *t > 0;
    let both = pairs.iter().filter(attends).count();
    for (kind, weight, count) in [
        (Kind::Hidden { width }, source.hidden_weight, pairs.len()),
        (Kind::Attention { maps }, source.attention_weight, both),
    ] {
        let of_kind = pairs
            .iter()
            .filter(|pair| matches!(kind, Kind::Hidden { .. }) || attends(pair))
            .filter(|_| weight > 0.0);
        features.extend(
            of_kind
                .enumerate()
                .map(|(at, &(student, teacher))| Feature {
                    kind,
                    student,
                    teacher,
                    weight: weight / count as f32,
                    projection: format!("{SCAFFOLD}projection.{n}.{at}"),
                }),
        );
    }
    if source.attention_weight > 0.0 && both == 0 {
        return Err("no pair has attention on both sides: layer 0 is the embeddings".to_owned());
    }
    Ok(features)
}

/// The teacher's graph: the extract graph, with features as further outputs.
fn graph(
    config: &Config,
    types: usize,
    with_relations: bool,
    features: &[Feature],
    weights: &Parameters,
) -> Vec<u8> {
    let length = Dim::new(1, "L");
    let mut net = Net::extraction(Weights::Float(weights), true);
    let ids = net.graph.input("input_ids", DType::I64, shape![length]);
    let ids = net.graph.reshape(ids, shape![length, 1]);
    let encoded = encoder(&mut net, config, ids, 1, None);
    let hidden = encoded.hidden[config.layers];
    let logits = entity_logits(&mut net, hidden, config.hidden_size, types);
    net.graph.output("entity_logits", logits);
    if with_relations {
        let attention = encoded.attention[config.layers - 1];
        net.graph.output("hidden", hidden);
        net.graph.output("attention", attention);
    }
    for (n, feature) in features.iter().enumerate() {
        let g = &mut net.graph;
        let values = match feature.kind {
            Kind::Hidden { .. } => encoded.hidden[feature.teacher],
            Kind::Attention { maps } => {
                let attention = encoded.attention[feature.teacher - 1];
                if maps == config.heads {
                    attention
                } else {
                    let sum = g.reduce_sum(attention, &[1], true);
                    g.scale(sum, 1.0 / config.heads as f32)
                }
            }
        };
        g.output(&Feature::input(n), values);
    }
    net.graph.to_onnx("teacher")
}
