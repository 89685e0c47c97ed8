//! A stand-in model of which it is known how often it is right at each score.

use std::cell::RefCell;
use std::fs;

use bie::engine::{GivenMention, ScoredPair};
use bie::result::{Entity, Extraction, Relation};
use bie::text::OffsetUnit;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::corpus::Format;
use crate::eval::Model;
use crate::eval::tests::manifest;

/// A text is words such as "c734 d512": a chemical that is found with 0.734, a disease with 0.512, related with their mean.
struct Fake {
    manifest: Manifest,
    /// Temperature of chemicals when a text was read last, by text.
    read_with: RefCell<BTreeMap<String, f32>>,
}

impl Fake {
    fn new() -> Fake {
        Fake {
            manifest: manifest(),
            read_with: RefCell::default(),
        }
    }

    fn related(&self, head: f32, tail: f32) -> f32 {
        let kind = &self.manifest.relations[0];
        kind.calibration().apply((head + tail) / 2.0)
    }
}

/// (start, end, type, own score) of each word.
fn words(text: &str) -> Vec<(usize, usize, usize, f32)> {
    let mut at = 0;
    let mut found = Vec::new();
    for word in text.split(' ') {
        if let Some((kind, score)) = word.split_at_checked(1)
            && let Ok(score) = score.trim_end_matches('.').parse::<f32>()
        {
            let label = usize::from(kind == "d");
            found.push((at, at + 4, label, score / 1000.0));
        }
        at += word.len() + 1;
    }
    found
}

impl Model for Fake {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    fn hash(&self) -> &str {
        "00"
    }
    fn tokens(&self, text: &str) -> Result<usize> {
        Ok(text.len())
    }

    fn extract(&self, text: &str) -> Result<Extraction> {
        let temperature = self.manifest.entities[0].temperature;
        self.read_with
            .borrow_mut()
            .insert(text.to_owned(), temperature);
        let found: Vec<_> = words(text)
            .into_iter()
            .map(|(start, end, label, own)| {
                let kind = &self.manifest.entities[label];
                (start, end, label, own, kind.calibration().apply(own))
            })
            .filter(|word| word.4 >= self.manifest.entities[word.2].threshold)
            .collect();
        let entities = found.iter().enumerate().map(|(group, word)| Entity {
            start: word.0 as u32,
            end: word.1 as u32,
            label: word.2 as u32,
            score: word.4,
            group: group as u32,
            text: String::new(),
        });
        let mut relations = Vec::new();
        for (head, chemical) in found.iter().enumerate().filter(|(_, word)| word.2 == 0) {
            for (tail, disease) in found.iter().enumerate().filter(|(_, word)| word.2 == 1) {
                let score = self.related(chemical.3, disease.3);
                if score >= self.manifest.relations[0].threshold {
                    let (head, tail) = (head as u32, tail as u32);
                    relations.push(Relation {
                        head,
                        tail,
                        label: 0,
                        score,
                    });
                }
            }
        }
        Ok(Extraction {
            model_id: "fake".into(),
            bundle_hash: "00".into(),
            offset_unit: OffsetUnit::Utf8,
            entities: entities.collect(),
            relations,
            coverage: Default::default(),
            entity_types: ["Chemical".to_owned()].into(),
            relation_types: ["causes".to_owned()].into(),
            origin: Default::default(),
        })
    }

    fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        let own = |mention: &GivenMention| {
            let word = words(text).into_iter().find(|word| word.0 == mention.start);
            word.map_or(0.0, |word| word.3)
        };
        let of = |label: usize| {
            mentions
                .iter()
                .filter(move |mention| mention.label == label)
        };
        let pair = |head: &GivenMention, tail: &GivenMention| {
            let p = self.related(own(head), own(tail));
            ScoredPair {
                head: head.entity,
                tail: tail.entity,
                probabilities: vec![1.0 - p, p, 0.0],
            }
        };
        Ok(of(0)
            .flat_map(|head| of(1).map(move |tail| pair(head, tail)))
            .collect())
    }
}

impl Adjustable for Fake {
    fn decide_by(&mut self, manifest: &Manifest) -> Result<()> {
        self.manifest = manifest.clone();
        Ok(())
    }
}

/// `count` texts of two chemicals and two diseases. A mention is right, and a pair of right mentions related, with sigmoid(logit/2 − 1/2); in the texts
/// for which `spoiled` says so, nothing is right but one mention.
fn corpus(folder: &Path, count: usize, spoiled: impl Fn(&str) -> bool) -> PathBuf {
    let mut text = String::new();
    for number in 0..count {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let id = number.to_string();
        let scores: Vec<u32> = (0..4).map(|_| random.random_range(100..1000)).collect();
        let mut draw = |own: f64| {
            let odds = (own / (1.0 - own)).sqrt() * (-0.5f64).exp();
            random.random_bool(odds / (1.0 + odds)) && !spoiled(&id)
        };
        let names: Vec<String> = scores
            .iter()
            .zip("cdcd".chars())
            .map(|(score, kind)| format!("{kind}{score}"))
            .collect();
        text += &format!("{id}|t|.\n{id}|a|{}.\n", names.join(" "));
        let right: Vec<bool> = scores
            .iter()
            .map(|score| draw(f64::from(*score) / 1000.0))
            .collect();
        for (at, name) in names
            .iter()
            .enumerate()
            .filter(|(at, _)| right[*at] || (spoiled(&id) && *at == 0))
        {
            let (start, kind) = (2 + 5 * at, if at % 2 == 0 { "Chemical" } else { "Disease" });
            text += &format!("{id}\t{start}\t{}\t{name}\t{kind}\tX{at}\n", start + 4);
        }
        for (head, tail) in [(0, 1), (0, 3), (2, 1), (2, 3)] {
            let mean = f64::from(scores[head] + scores[tail]) / 2000.0;
            if right[head] && right[tail] && draw(mean) {
                text += &format!("{id}\tCID\tX{head}\tX{tail}\n");
            }
        }
        text.push('\n');
    }
    let file = folder.join("gold.pubtator");
    fs::write(&file, text).unwrap();
    file
}

fn calibrated(model: &mut Fake, corpus: &Path, job: &Job) -> Result<Report> {
    let source = eval::Job {
        corpus: corpus.to_owned(),
        format: Format::Pubtator,
        options: Default::default(),
        map: BTreeMap::new(),
        relations_from: None,
    };
    run(model, &source, job, |_, _| ())
}

fn find<'a>(report: &'a Report, kind: Kind, name: &str) -> &'a Measured {
    report
        .measured
        .iter()
        .find(|m| m.kind == kind && m.name == name)
        .unwrap()
}

#[test]
fn a_known_calibration_is_found_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path(), 1500, |_| false);
    let mut model = Fake::new();
    let job = Job {
        relations: Relations::GoldEntities,
        ..Job::default()
    };
    let report = calibrated(&mut model, &corpus, &job).unwrap();
    for fit in report
        .entities
        .iter()
        .take(2)
        .chain(report.relations.first())
    {
        assert_eq!(fit.family, Some(report::Family::Platt), "{fit:?}");
        assert!((fit.temperature - 2.0).abs() < 0.35, "{fit:?}");
        assert!((fit.bias + 0.5).abs() < 0.15, "{fit:?}");
        assert!(
            fit.operating_points
                .iter()
                .any(|point| point.score == fit.threshold)
        );
    }
    for (kind, count) in [(Kind::Entities, 6000), (Kind::GoldEntities, 0)] {
        let all = find(&report, kind, ALL);
        let (before, after) = (
            all.before.candidates.ece.unwrap(),
            all.after.candidates.ece.unwrap(),
        );
        assert!(
            before.low > 0.1 && after.value < 0.04,
            "{kind:?} {before:?} {after:?}"
        );
        assert!(after.low <= after.value && after.value <= after.high);
        assert!(
            all.after.f1 > all.before.f1 - 0.01,
            "{kind:?} {} {}",
            all.before.f1,
            all.after.f1
        );
        assert!(count == 0 || all.after.candidates.decisions == count);
        let bins: usize = all
            .after
            .candidates
            .bins_equal_mass
            .iter()
            .map(|bin| bin.count)
            .sum();
        assert_eq!(bins, all.after.candidates.decisions);
    }
    // End to end a relation is also wrong where a side is.
    let whole = find(&report, Kind::EndToEnd, "causes");
    assert!(whole.after.reported.ece.unwrap().value > 0.1);
    assert_eq!(
        model.manifest,
        Fake::new().manifest,
        "the model is left as it was"
    );

    let mut manifest = model.manifest.clone();
    report.apply(&mut manifest);
    manifest.validate().unwrap();
    assert_eq!(
        manifest.entities[1].temperature,
        report.entities[1].temperature
    );
    assert_eq!(
        manifest.relations[0].operating_points,
        report.relations[0].operating_points
    );
    assert_eq!(manifest.provenance["calibration"]["documents"], 1500);
    let read: Report = serde_json::from_slice(&report.to_json().unwrap()).unwrap();
    assert_eq!(read.measured.len(), report.measured.len());
    assert_eq!(read.entities, report.entities);
}

#[test]
fn scores_of_relations_can_mean_the_whole_extraction() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path(), 1500, |_| false);
    let report = calibrated(&mut Fake::new(), &corpus, &Job::default()).unwrap();
    let whole = find(&report, Kind::EndToEnd, "causes");
    assert!(
        whole.after.candidates.ece.unwrap().value < 0.04,
        "{:?}",
        whole.after.candidates
    );
    assert!(
        find(&report, Kind::GoldEntities, "causes")
            .after
            .candidates
            .ece
            .unwrap()
            .value
            > 0.1
    );
}

/// The thresholds and maps by which a text is read were fitted without it: spoiling a part's gold leaves that part's as they were, and no other's.
#[test]
fn cross_fitting_never_sees_its_own_part() {
    let read = |spoiled: Option<usize>| {
        let folder = tempfile::tempdir().unwrap();
        let file = corpus(folder.path(), 300, |id| Some(fold(id)) == spoiled);
        let mut model = Fake::new();
        calibrated(&mut model, &file, &Job::default()).unwrap();
        let texts = crate::corpus::read(&file, Format::Pubtator, &Default::default())
            .unwrap()
            .documents;
        let with = model.read_with.borrow();
        let of = |d: &crate::corpus::Document| (fold(&d.id), d.id.clone(), with[&d.text]);
        let mut read: Vec<(usize, String, f32)> = texts.iter().map(of).collect();
        read.sort_by(|a, b| a.1.cmp(&b.1));
        read
    };
    let (honest, spoiled) = (read(None), read(Some(2)));
    assert_eq!(honest.len(), 300);
    let parts: std::collections::BTreeSet<usize> = honest.iter().map(|d| d.0).collect();
    assert_eq!(parts.len(), FOLDS);
    for (before, after) in honest.iter().zip(&spoiled) {
        assert_eq!((before.0, &before.1), (after.0, &after.1));
        assert_eq!(before.2 == after.2, before.0 == 2, "{before:?} {after:?}");
    }
}

#[test]
fn goals_and_given_thresholds_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path(), 400, |_| false);
    let job = Job {
        goals: [("Chemical".to_owned(), Goal::Precision(0.7))].into(),
        thresholds: [("Disease".to_owned(), 0.77), ("Gene".to_owned(), 0.9)].into(),
        relations: Relations::GoldEntities,
        ..Job::default()
    };
    let report = calibrated(&mut Fake::new(), &corpus, &job).unwrap();
    let [chemical, disease, gene] = report.entities.as_slice() else {
        panic!()
    };
    let point = chemical
        .operating_points
        .iter()
        .find(|p| p.score == chemical.threshold)
        .unwrap();
    assert!(point.precision >= 0.7, "{point:?}");
    assert_eq!(
        (disease.threshold, disease.note.as_str()),
        (0.77, "threshold as given")
    );
    // No document has a gene.
    assert_eq!(
        (gene.threshold, gene.family, gene.note.as_str()),
        (0.9, None, "left as it was: no gold")
    );
    assert_eq!(report.relations[0].note, "threshold for the highest F1");
    assert_eq!(report.relations[1].gold, None);
}

#[test]
fn a_corpus_that_is_too_small_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus(folder.path(), 8, |_| false);
    let mut model = Fake::new();
    let report = calibrated(&mut model, &corpus, &Job::default()).unwrap();
    assert!(
        report.entities[0].note.contains("at least 20"),
        "{:?}",
        report.entities[0]
    );
    let mut manifest = model.manifest.clone();
    report.apply(&mut manifest);
    assert_eq!(manifest.entities, model.manifest.entities);
    let all = find(&report, Kind::Entities, ALL);
    assert_eq!(all.before, all.after);
    let job = Job {
        goals: [("Dose".to_owned(), Goal::F1)].into(),
        ..Job::default()
    };
    assert!(
        calibrated(&mut model, &corpus, &job)
            .unwrap_err()
            .to_string()
            .contains("\"Dose\"")
    );
}

#[test]
fn the_card_says_what_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let report = calibrated(
        &mut Fake::new(),
        &corpus(folder.path(), 300, |_| false),
        &Job::default(),
    )
    .unwrap();
    let old = "# m\n\nExact span. Scores are the model's own probabilities; they are not calibrated.\n\n## Limits\n\n- none\n";
    let new = card(old, &report);
    assert!(
        !new.contains("not calibrated") && new.contains("## Calibration"),
        "{new}"
    );
    assert!(new.find("## Calibration") < new.find("## Limits") && new.contains("Exact span.\n"));
    assert_eq!(card(&new, &report), new, "the section is replaced");
    let tables = report.tables();
    assert!(
        tables.contains("relations, end to end") && tables.contains("threshold for the highest F1"),
        "{tables}"
    );
}
