//! A stand-in model whose mistakes are known, measured on two small documents.

use std::fs;
use std::path::Path;

use super::*;
use bie::bundle::{EntityType, RelationType, SCHEMA_VERSION};
use bie::result::{Entity, Relation};
use bie::text::OffsetUnit;

pub(crate) const GOLD: &str = "1|t|Lithium caused tremor.\n1|a|Valproate helped mania.\n1\t0\t7\tLithium\tChemical\tD001\n1\t15\t21\ttremor\tDisease\tD014\n\
    1\t23\t32\tValproate\tChemical\tD002\n1\t40\t45\tmania\tDisease\tD015\n1\t33\t39\thelped\tVerb\t-1\n1\tCID\tD001\tD014\n\n\
    2|t|Lithium.\n2|a|.\n2\t0\t7\tLithium\tChemical\tD001\n";

pub(crate) const SOFT: &str = r#"{"id":"1","text":"Lithium caused tremor. Valproate helped mania.","head_type":"Chemical","tail_type":"Disease","default":{"none":0.96,"causes":0.02,"treats":0.02},"pairs":[{"head":"D002","tail":"D015","probs":{"none":0.1,"causes":0.1,"treats":0.8}},{"head":"D001","tail":"D014","probs":{"none":0.1,"causes":0.5,"treats":0.4}},{"head":"D002","tail":"D014","probs":{"none":0.2,"causes":0.8,"treats":0.0}}]}"#;

/// Of a stand-in model that reads chemicals, diseases and genes, and what chemicals do to diseases.
pub(crate) fn manifest() -> Manifest {
    let relation = |name| RelationType::new(name, &["Chemical"], &["Disease"]);
    Manifest {
        schema_version: SCHEMA_VERSION,
        model_id: "fake".into(),
        precision: "fp32".into(),
        max_tokens: 64,
        hidden_size: 4,
        attention_heads: 1,
        entities: ["Chemical", "Disease", "Gene"].map(EntityType::new).into(),
        relations: ["causes", "treats"].map(relation).into(),
        files: Default::default(),
        provenance: json!({}),
    }
}

pub(crate) struct Fake {
    pub(crate) manifest: Manifest,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        let mut manifest = manifest();
        for relation in &mut manifest.relations {
            relation.threshold = 0.6;
        }
        Fake { manifest }
    }
}

impl Model for Fake {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    fn hash(&self) -> &str {
        "00"
    }
    fn tokens(&self, text: &str) -> Result<usize> {
        Ok(text.split(' ').count())
    }

    /// In document 1 finds "Lithium" and "tremor" rightly, "mania" with a wrong end; relates Lithium to both.
    fn extract(&self, text: &str) -> Result<Extraction> {
        let entity = |start, end, label, group| Entity {
            start,
            end,
            label,
            score: 0.9,
            group,
            text: String::new(),
        };
        let relation = |head, tail, label| Relation {
            head,
            tail,
            label,
            score: 0.9,
        };
        let first = text.starts_with("Lithium caused");
        Ok(Extraction {
            model_id: "fake".into(),
            bundle_hash: "00".into(),
            offset_unit: OffsetUnit::Utf8,
            entities: if first {
                vec![
                    entity(0, 7, 0, 0),
                    entity(15, 21, 1, 1),
                    entity(40, 44, 1, 2),
                ]
            } else {
                vec![]
            },
            relations: if first {
                vec![relation(0, 1, 0), relation(0, 2, 0), relation(0, 1, 1)]
            } else {
                vec![]
            },
            coverage: Default::default(),
            entity_types: ["Chemical".to_owned()].into(),
            relation_types: ["causes".to_owned()].into(),
            origin: Default::default(),
        })
    }

    /// "causes" for Lithium and tremor and for Valproate and tremor (just), "treats" too weak to be reported.
    fn relate(&self, _: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        let at = |start: usize| mentions.iter().find(|m| m.start == start).map(|m| m.entity);
        let pair = |head: usize, tail: usize, p: [f32; 3]| {
            Some(ScoredPair {
                head: at(head)?,
                tail: at(tail)?,
                probabilities: p.to_vec(),
            })
        };
        Ok([
            pair(0, 15, [0.1, 0.9, 0.0]),
            pair(23, 15, [0.4, 0.6, 0.0]),
            pair(23, 40, [0.41, 0.0, 0.59]),
        ]
        .into_iter()
        .flatten()
        .collect())
    }
}

fn measured(gold: &str, soft: Option<&str>) -> Result<Report> {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, labels) = (
        folder.path().join("gold.txt"),
        folder.path().join("soft.jsonl"),
    );
    fs::write(&corpus, gold).unwrap();
    fs::write(&labels, soft.unwrap_or_default()).unwrap();
    let job = Job {
        corpus,
        format: Format::Pubtator,
        options: Default::default(),
        map: BTreeMap::new(),
        relations_from: soft.map(|_| labels),
    };
    let mut ticks = Vec::new();
    let report = run(&Fake::new(), &job, |done, all| ticks.push((done, all)))?;
    assert_eq!(ticks, [(1, 2), (2, 2)]);
    Ok(report)
}

fn counts(scores: &Scores, name: &str) -> Option<(usize, usize, usize)> {
    let found = scores.by_type.iter().find(|(n, _)| n == name)?;
    Some((found.1.hits, found.1.false_positives, found.1.misses))
}

#[test]
fn the_figures_are_those_counted_by_hand() {
    let report = measured(GOLD, None).unwrap();
    assert_eq!(counts(&report.ner, "Chemical"), Some((1, 0, 2)));
    assert_eq!(counts(&report.ner, "Disease"), Some((1, 1, 1)));
    assert_eq!(counts(&report.ner, "Gene"), None, "the corpus has no genes");
    assert_eq!(counts(&report.gold_entities, "causes"), Some((1, 1, 0)));
    assert_eq!(
        counts(&report.end_to_end, "causes"),
        Some((1, 1, 0)),
        "the relation to a span that is no gold mention is false"
    );
    assert_eq!(
        counts(&report.end_to_end, "treats"),
        None,
        "nothing is known about it"
    );
    assert_eq!(report.gold_from, [("causes".to_owned(), "corpus")]);
}

#[test]
fn labels_stand_in_for_types_that_the_corpus_lacks() {
    let report = measured(GOLD, Some(SOFT)).unwrap();
    assert_eq!(
        counts(&report.gold_entities, "causes"),
        Some((1, 1, 0)),
        "gold goes before labels"
    );
    assert_eq!(
        counts(&report.gold_entities, "treats"),
        Some((0, 0, 1)),
        "0.59 is below the threshold of 0.6"
    );
    assert_eq!(counts(&report.end_to_end, "treats"), Some((0, 1, 1)));
    assert_eq!(report.gold_from[1], ("treats".to_owned(), "labels"));
    assert!(report.to_string().contains("not against gold: treats"));
}

#[test]
fn the_json_has_the_agreed_keys() {
    let json = measured(GOLD, None).unwrap().json();
    for pointer in [
        "/ner/micro/f1",
        "/ner/by_type/Chemical/support",
        "/relations/gold_entities/micro/precision",
        "/relations/gold_entities/by_type/causes/recall",
        "/relations/end_to_end/by_type/causes/f1",
        "/tokens_per_second",
    ] {
        assert!(
            json.pointer(pointer).is_some_and(Value::is_number),
            "{pointer}: {json}"
        );
    }
}

#[test]
fn what_fits_in_nothing_is_refused() {
    let error = measured("1|t|A.\n1|a|B.\n1\t0\t1\tA\tVerb\t-1\n", None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no mention is of a type that the bundle knows (Chemical, Disease, Gene)"),
        "{error}"
    );
    let error = measured(GOLD, Some(&SOFT.replace("helped", "healed")))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no row has the id and the text"), "{error}");
}

#[test]
fn usual_names_of_published_corpora_are_understood() {
    let types = ["Disease", "Modifier"];
    let position = |name: &str| types.iter().position(|t| *t == name);
    assert_eq!(
        named("SpecificDisease", &BTreeMap::new(), position),
        Some(0)
    );
    assert_eq!(
        named("Modifier", &BTreeMap::new(), position),
        Some(1),
        "the schema's own name goes before"
    );
    assert_eq!(
        named(
            "Modifier",
            &BTreeMap::from([("Modifier".to_owned(), "Disease".to_owned())]),
            position
        ),
        Some(0)
    );
    assert_eq!(named("Verb", &BTreeMap::new(), position), None);
}

/// Gold against gold is perfect on the development part; skipped where it is not there.
#[test]
fn the_development_part_of_bc5cdr_has_its_published_support() {
    let path = Path::new("../../shared/corpora/bc5cdr/CDR_DevelopmentSet.PubTator.txt.gz");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return;
    }
    let corpus = corpus::read(path, Format::Pubtator, &Default::default()).unwrap();
    let gold = Gold::new(
        &Fake::new().manifest,
        &BTreeMap::new(),
        &corpus.documents,
        &[],
    );
    assert_eq!(
        gold.documents
            .iter()
            .map(|d| d.mentions.len())
            .sum::<usize>(),
        5347 + 4244
    );
    assert_eq!(
        gold.documents
            .iter()
            .map(|d| d.relations.len())
            .sum::<usize>(),
        1012
    );
}

/// Counts how often it is asked.
struct Counting<'m>(&'m Fake, std::cell::Cell<usize>);

impl Model for Counting<'_> {
    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }
    fn hash(&self) -> &str {
        self.0.hash()
    }
    fn tokens(&self, text: &str) -> Result<usize> {
        self.0.tokens(text)
    }
    fn extract(&self, text: &str) -> Result<Extraction> {
        self.1.update(|n| n + 1);
        self.0.extract(text)
    }
    fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        self.1.update(|n| n + 1);
        self.0.relate(text, mentions)
    }
}

#[test]
fn what_was_measured_before_is_not_measured_again_and_the_figures_are_the_same() {
    use super::remembered::{Remembered, forget};
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("gold.txt");
    fs::write(&corpus, GOLD).unwrap();
    let job = Job {
        corpus,
        format: Format::Pubtator,
        options: Default::default(),
        map: BTreeMap::new(),
        relations_from: None,
    };
    let (fake, kept) = (Fake::new(), folder.path().join("kept"));
    fs::create_dir(&kept).unwrap();
    let measured = |model: &Counting, keep: bool| {
        let mut report = if keep {
            run(&Remembered::new(model, &kept).unwrap(), &job, |_, _| {})
        } else {
            run(model, &job, |_, _| {})
        }
        .unwrap();
        report.tokens_per_second = 0.0;
        report
    };
    let model = Counting(&fake, Default::default());
    let plain = measured(&model, false);
    let asked = model.1.take();
    assert_eq!(asked, 4, "two documents");
    assert_eq!(measured(&model, true), plain);
    assert_eq!(model.1.take(), 4);

    let file = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&file).unwrap();
    assert!(!whole.contains("Lithium") && whole.lines().count() == 5);
    // Killed in the middle of the last answer.
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(measured(&model, true), plain);
    assert_eq!(model.1.take(), 1);
    assert_eq!(measured(&model, true), plain);
    assert_eq!(model.1.take(), 0);
    // A damaged file is no reason to stop.
    fs::write(&file, whole.replacen("asked", "asxed", 1)).unwrap();
    assert_eq!(measured(&model, true), plain);
    assert_eq!(model.1.take(), 4);
    forget(&kept).unwrap();
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);
}
