//! The engine: a bundle made ready, and the path of a text through it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bundle::{Bundle, Manifest};
use crate::decode::group::{self, groups};
use crate::decode::merge::Merged;
use crate::decode::relations::Schema;
use crate::decode::spans::spans;
use crate::encode::Encoder;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::result::{Coverage, Entity, Extraction, Origin, Relation};
use crate::runtime::{self, Graphs, Lane, MentionTokens, Pool, Reading};
use crate::text::offsets::Offsets;
use crate::text::window::{Window, windows};

/// Sessions where the option is not set: more than this costs memory that few hosts expect.
const DEFAULT_SESSIONS: usize = 4;

/// A loaded bundle. Any number of threads may read texts with one engine.
pub struct Engine {
    /// The bundle's folder: the explain graph is read from it when it is first needed.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) bundle_hash: String,
    pub(crate) encoder: Encoder,
    pub(crate) schema: Schema,
    pub(crate) pool: Pool,
    pub(crate) entity_types: Arc<[String]>,
    pub(crate) relation_types: Arc<[String]>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("model_id", &self.manifest.model_id)
            .field("bundle_hash", &self.bundle_hash)
            .finish_non_exhaustive()
    }
}

/// A mention that the caller brings: to score relations between known entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenMention {
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Index of the entity type.
    pub label: usize,
    /// The entity that it belongs to; any number. Its type is that of its first mention.
    pub entity: usize,
}

/// The relations of one ordered pair of given entities.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPair {
    /// Entity number, as given.
    pub head: usize,
    /// Entity number, as given.
    pub tail: usize,
    /// `[relations + 1]`, "none" first; relations that the entities' types do not admit have 0.
    pub probabilities: Vec<f32>,
}

/// What one window says, with indices of its own mentions.
struct WindowReading {
    mentions: Vec<Found>,
    pairs: Vec<(usize, usize, Vec<f32>)>,
}

#[derive(Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    label: usize,
    score: f32,
}

impl Engine {
    /// Opens the bundle in the folder `path`: checks every hash, loads tokenizer and graphs, finds ONNX Runtime.
    ///
    /// Reads the options `runtime_path` and `sessions`.
    pub fn open(path: &Path, options: &Options) -> Result<Engine> {
        let mut bundle = Bundle::open(path)?;
        let encoder = Encoder::from_bytes(&std::mem::take(&mut bundle.tokenizer))?;
        let bundle_hash = std::mem::take(&mut bundle.hash);
        let environment = runtime::environment(options.runtime_path.as_deref())?;
        let sessions = options.sessions.unwrap_or_else(|| {
            std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().min(DEFAULT_SESSIONS))
        });
        let (manifest, graphs) = Graphs::new(bundle);
        let pool = Pool::open(environment, graphs, sessions, |lane| {
            lane.rehearse(encoder.cls(), encoder.sep(), encoder.vocabulary_size())
        })?;
        Ok(Engine {
            schema: Schema::new(&manifest),
            entity_types: manifest
                .entities
                .iter()
                .map(|kind| kind.name.clone())
                .collect(),
            relation_types: manifest
                .relations
                .iter()
                .map(|kind| kind.name.clone())
                .collect(),
            folder: path.to_path_buf(),
            manifest,
            bundle_hash,
            encoder,
            pool,
        })
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Decides by the thresholds and the calibration of another manifest of the same schema from now on: for those who fit them. The bundle
    /// and its hash stay as they are.
    pub fn decide_by(&mut self, manifest: &Manifest) -> Result<()> {
        manifest.validate()?;
        let mut own = self.manifest.clone();
        own.relations.clone_from(&manifest.relations);
        own.entities.clone_from(&manifest.entities);
        let names = |manifest: &Manifest| -> (Vec<String>, Vec<String>) {
            (
                manifest.entities.iter().map(|e| e.name.clone()).collect(),
                manifest.relations.iter().map(|r| r.name.clone()).collect(),
            )
        };
        if names(&own) != names(&self.manifest) {
            return Err(Error::InvalidArgument(
                "the manifest has other types than the bundle; thresholds and calibration belong to a schema".into(),
            ));
        }
        self.schema = Schema::new(&own);
        self.manifest = own;
        Ok(())
    }

    /// SHA-256 (hex) of the bundle's manifest.
    pub fn bundle_hash(&self) -> &str {
        &self.bundle_hash
    }

    /// The tokenizer of the bundle.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Finds the entities of a text and the relations between them.
    ///
    /// Reads the options `offset_unit`, `max_text_bytes`, `min_score` and `threads`. Equal texts give equal results, whatever the
    /// number of threads and sessions and whatever was read before.
    ///
    /// A relation is scored in each window that mentions both entities, and reported with its highest score.
    pub fn extract(&self, text: &str, options: &Options) -> Result<Extraction> {
        let limit = options.max_text_bytes;
        if text.len() > limit {
            return Err(Error::TextTooLong {
                len: text.len(),
                limit,
            });
        }
        let encoded = self.encoder.encode(text)?;
        let unread = encoded.unread.clone();
        let windows = windows(encoded, self.manifest.max_tokens);
        let threads = options.threads.min(self.pool.most());
        let readings = in_order(&windows, threads, |window| {
            self.pool
                .with(|lane| self.read(lane, text, window, options))
        })?;
        Ok(self.assemble(text, readings, unread, options))
    }

    /// Scores the pairs of given entities: for evaluation, and for hosts that know their entities. Sorted by head, then tail.
    ///
    /// Every pair that some window mentions together and the schema admits is reported, with all its relations and no threshold. A pair
    /// that several windows mention has each relation's highest probability, and the lowest of "none". Bytes of a mention that no token covers are left out.
    pub fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        if let Some(bad) = mentions.iter().find(|m| {
            m.start >= m.end
                || text.get(m.start..m.end).is_none()
                || m.label >= self.manifest.entities.len()
        }) {
            return Err(Error::InvalidArgument(format!(
                "mention from byte {} to {} with type {} does not lie in the text or the schema; spans must not be empty and lie on character boundaries",
                bad.start, bad.end, bad.label
            )));
        }
        let mut mentions = mentions.to_vec();
        mentions.sort_by_key(|mention| (mention.start, mention.end, mention.label, mention.entity));
        // Entities in the order of their first mentions: that order decides which side of a symmetric pair is the head.
        let mut entities: Vec<(usize, usize)> = Vec::new();
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for mention in &mentions {
            numbers.entry(mention.entity).or_insert_with(|| {
                entities.push((mention.entity, mention.label));
                entities.len() - 1
            });
        }
        let mut merged = Merged::default();
        for window in windows(self.encoder.encode(text)?, self.manifest.max_tokens) {
            let tokens = &window.tokens;
            let mut present: Vec<usize> = Vec::new(); // the window's entities, in its own order
            let mut in_window: Vec<MentionTokens> = Vec::new();
            for mention in &mentions {
                let first = tokens.partition_point(|token| token.end <= mention.start);
                let past = tokens.partition_point(|token| token.start < mention.end);
                let Some(&number) = numbers.get(&mention.entity).filter(|_| first < past) else {
                    continue;
                };
                let entity = present
                    .iter()
                    .position(|&other| other == number)
                    .unwrap_or_else(|| {
                        present.push(number);
                        present.len() - 1
                    });
                in_window.push(MentionTokens {
                    first,
                    last: past - 1,
                    entity,
                });
            }
            let types: Vec<usize> = present
                .iter()
                .filter_map(|&number| entities.get(number))
                .map(|entity| entity.1)
                .collect();
            if self.schema.pairs(&types).is_empty() {
                continue;
            }
            let scored = self.pool.with(|lane| {
                let reading = lane.read(&self.ids(&window))?;
                self.score(lane, &reading, &in_window, &types)
            })?;
            for (head, tail, probabilities) in scored {
                if let (Some(&head), Some(&tail)) = (present.get(head), present.get(tail)) {
                    merged.add(&self.schema, head, tail, &probabilities);
                }
            }
        }
        let given = |number: usize| entities.get(number).map_or(0, |entity| entity.0);
        let mut pairs: Vec<ScoredPair> = merged
            .into_pairs()
            .map(|((head, tail), probabilities)| ScoredPair {
                head: given(head),
                tail: given(tail),
                probabilities,
            })
            .collect();
        pairs.sort_by_key(|pair| (pair.head, pair.tail));
        Ok(pairs)
    }

    /// One window: tokens to mentions to relations, all in one lane.
    fn read(
        &self,
        lane: &mut Lane,
        text: &str,
        window: &Window,
        options: &Options,
    ) -> Result<WindowReading> {
        let reading = lane.read(&self.ids(window))?;
        let mut in_window = Vec::new();
        for span in spans(
            &reading.entity_logits,
            &window.tokens,
            self.manifest.entities.len(),
        ) {
            let (Some(kind), Some(first), Some(last)) = (
                self.manifest.entities.get(span.label),
                window.tokens.get(span.first),
                window.tokens.get(span.last),
            ) else {
                continue;
            };
            let score = kind.calibration().apply(span.score);
            if score >= options.min_score.unwrap_or(kind.threshold) {
                in_window.push((
                    Found {
                        start: first.start,
                        end: last.end,
                        label: span.label,
                        score,
                    },
                    span,
                ));
            }
        }
        let mentions: Vec<Found> = in_window.iter().map(|(found, _)| *found).collect();
        let mut pairs = Vec::new();
        if !self.schema.is_empty() {
            let group_of = groups(
                text,
                &mentions.iter().map(Found::as_mention).collect::<Vec<_>>(),
            );
            let tokens: Vec<MentionTokens> = in_window
                .iter()
                .zip(&group_of)
                .map(|((_, span), &entity)| MentionTokens {
                    first: span.first,
                    last: span.last,
                    entity,
                })
                .collect();
            let firsts = first_members(&group_of);
            let types: Vec<usize> = firsts
                .iter()
                .filter_map(|&at| mentions.get(at))
                .map(|mention| mention.label)
                .collect();
            for (head, tail, probabilities) in self.score(lane, &reading, &tokens, &types)? {
                if self.passing(&probabilities, options).next().is_some()
                    && let (Some(&head), Some(&tail)) = (firsts.get(head), firsts.get(tail))
                {
                    pairs.push((head, tail, probabilities));
                }
            }
        }
        Ok(WindowReading { mentions, pairs })
    }

    /// The admitted pairs of a window's entities and their probabilities.
    fn score(
        &self,
        lane: &mut Lane,
        reading: &Reading,
        mentions: &[MentionTokens],
        types: &[usize],
    ) -> Result<Vec<(usize, usize, Vec<f32>)>> {
        let pairs = self.schema.pairs(types);
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let ends: Vec<(usize, usize)> = pairs.iter().map(|pair| (pair.head, pair.tail)).collect();
        let logits = lane.relate(reading, mentions, types.len(), &ends)?;
        let rows = logits.chunks_exact(self.relation_types.len() + 1);
        Ok(pairs
            .into_iter()
            .zip(rows)
            .map(|(pair, row)| {
                (
                    pair.head,
                    pair.tail,
                    self.schema.probabilities(row, &pair.admitted),
                )
            })
            .collect())
    }

    /// The relations that are reported for a pair, with their probabilities.
    fn passing<'a>(
        &'a self,
        probabilities: &'a [f32],
        options: &'a Options,
    ) -> impl Iterator<Item = (usize, f32)> + 'a {
        let scores = probabilities
            .iter()
            .skip(1)
            .zip(&self.manifest.relations)
            .enumerate();
        // An admitted relation has a probability above 0, so 0 never passes, whatever the threshold.
        scores
            .filter(|(_, (score, kind))| {
                **score > 0.0 && **score >= options.min_score.unwrap_or(kind.threshold)
            })
            .map(|(label, (score, _))| (label, *score))
    }

    pub(crate) fn ids(&self, window: &Window) -> Vec<i64> {
        let inner = window.tokens.iter().map(|token| i64::from(token.id));
        std::iter::once(i64::from(self.encoder.cls()))
            .chain(inner)
            .chain([i64::from(self.encoder.sep())])
            .collect()
    }

    /// The readings of all windows, in the order of the text, to one result.
    fn assemble(
        &self,
        text: &str,
        readings: Vec<WindowReading>,
        unread: Vec<(usize, usize)>,
        options: &Options,
    ) -> Extraction {
        let window_count = readings.len();
        let mut found: Vec<(Found, (usize, usize))> = Vec::new(); // with window and place in it
        for (window, reading) in readings.iter().enumerate() {
            found.extend(
                reading
                    .mentions
                    .iter()
                    .enumerate()
                    .map(|(at, mention)| (*mention, (window, at))),
            );
        }
        found.sort_by_key(|(mention, _)| (mention.start, mention.end, mention.label));
        let group_of = groups(
            text,
            &found
                .iter()
                .map(|(mention, _)| mention.as_mention())
                .collect::<Vec<_>>(),
        );
        let place: BTreeMap<(usize, usize), usize> = found
            .iter()
            .zip(&group_of)
            .map(|((_, place), &group)| (*place, group))
            .collect();

        let mut merged = Merged::default();
        for (window, reading) in readings.iter().enumerate() {
            for (head, tail, probabilities) in &reading.pairs {
                if let (Some(&head), Some(&tail)) =
                    (place.get(&(window, *head)), place.get(&(window, *tail)))
                {
                    merged.add(&self.schema, head, tail, probabilities);
                }
            }
        }
        let firsts = first_members(&group_of);
        let first = |group: usize| firsts.get(group).copied().unwrap_or_default() as u32;
        let mut relations: Vec<Relation> = Vec::new();
        for (&(head, tail), probabilities) in merged.pairs() {
            relations.extend(
                self.passing(probabilities, options)
                    .map(|(label, score)| Relation {
                        head: first(head),
                        tail: first(tail),
                        label: label as u32,
                        score,
                    }),
            );
        }

        let spans = found
            .iter()
            .flat_map(|(mention, _)| [mention.start, mention.end]);
        let gaps = unread.iter().flat_map(|&(start, end)| [start, end]);
        let offsets = Offsets::new(
            text,
            options.offset_unit,
            spans.chain(gaps).chain([text.len()]),
        );
        let entity = |((mention, _), &group): (&(Found, _), &usize)| Entity {
            start: offsets.get(mention.start),
            end: offsets.get(mention.end),
            label: mention.label as u32,
            score: mention.score,
            group: group as u32,
            text: text
                .get(mention.start..mention.end)
                .unwrap_or_default()
                .to_string(),
        };
        Extraction {
            model_id: self.manifest.model_id.clone(),
            bundle_hash: self.bundle_hash.clone(),
            offset_unit: options.offset_unit,
            entities: found.iter().zip(&group_of).map(entity).collect(),
            relations,
            coverage: Coverage {
                length: offsets.get(text.len()),
                windows: window_count as u32,
                unread: unread
                    .iter()
                    .map(|&(start, end)| (offsets.get(start), offsets.get(end)))
                    .collect(),
            },
            entity_types: self.entity_types.clone(),
            relation_types: self.relation_types.clone(),
            origin: Origin::new(
                text,
                found
                    .iter()
                    .map(|(mention, _)| (mention.start, mention.end))
                    .collect(),
            ),
        }
    }
}

impl Found {
    fn as_mention(&self) -> group::Mention {
        group::Mention {
            start: self.start,
            end: self.end,
            label: self.label,
        }
    }
}

/// The first member of each group, where groups are numbered by their first members.
pub(crate) fn first_members(group_of: &[usize]) -> Vec<usize> {
    let mut firsts = Vec::new();
    for (at, &group) in group_of.iter().enumerate() {
        if group == firsts.len() {
            firsts.push(at);
        }
    }
    firsts
}

/// Applies `work` to each item, up to `threads` at once; results in the order of the items. The first failure, in that order, is returned.
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut done = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed); // nobody starts another; those before this one are under way
            }
            done.push((at, result));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        // A thread that cannot be had is done without: this one reads all that nobody else does.
        let helpers: Vec<_> = (1..threads)
            .filter_map(|_| {
                std::thread::Builder::new()
                    .name("bie".into())
                    .spawn_scoped(scope, lane)
                    .ok()
            })
            .collect();
        let mut done = lane();
        for helper in helpers {
            match helper.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
