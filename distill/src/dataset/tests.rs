//! Items of a small document, checked by hand.

use std::fs;
use std::path::Path;

use super::*;
use crate::recipe;
use proptest::prelude::*;

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n,\nlith\n##ium\nwith\nval\n##pro\n##ate\ncaused\ntremor\nand\nhelped\nmania\nsevere\n-";

const GOLD: &str = "1|t|Lithium caused severe tremor.\n1|a|Valproate with lithium helped mania.\n\
    1\t0\t7\tLithium\tChemical\tD001\n1\t15\t28\tsevere tremor\tDisease\tD014\n1\t22\t28\ttremor\tDisease\tD014\n\
    1\t30\t39\tValproate\tChemical\tD002\n1\t45\t52\tlithium\tChemical\tD001\n1\t60\t65\tmania\tDisease\tD015\n1\t53\t59\thelped\tVerb\t-1\n\
    1\tCID\tD001\tD014\n";

const TEXT: &str = "Lithium caused severe tremor. Valproate with lithium helped mania.";

fn soft(split: &str) -> String {
    let row = |types: [&str; 2], rest: &str| {
        format!(
            r#"{{"id":"1","split":"{split}","text":"{TEXT}","head_type":"{}","tail_type":"{}",{rest}}}"#,
            types[0], types[1]
        )
    };
    [
        row(
            ["Chemical", "Disease"],
            r#""default":{"none":0.9,"causes":0.05,"treats":0.03,"prevents":0.02},
               "pairs":[{"head":"D002","tail":"D015","probs":{"none":0.1,"causes":0.5,"treats":0.4,"prevents":0.0},"evidence":[30,66]}]"#,
        )
        .replace('\n', ""),
        row(["Chemical", "Chemical"], r#""default":{"none":1.0,"interacts":0.0},"pairs":[{"head":"D002","tail":"D001","probs":{"none":0.3,"interacts":0.7}}]"#),
    ]
    .join("\n")
}

fn loaded(edit: impl Fn(String) -> String, soft: &str) -> Result<Dataset> {
    let folder = tempfile::tempdir().unwrap();
    let recipe = edit(recipe::tests::small(folder.path()));
    fs::write(folder.path().join("gold.txt"), GOLD).unwrap();
    fs::write(folder.path().join("soft.jsonl"), soft).unwrap();
    let file = folder.path().join("r.toml");
    fs::write(&file, recipe).unwrap();
    let recipe = Recipe::read(&file).unwrap();
    let encoder = Encoder::from_vocab(VOCABULARY, true).unwrap();
    load(&recipe, &encoder, &mut EncoderTeachers::default())
}

/// Pair of the entities with these types and numbers: entities are D001, D014, D002, D015 in order of appearance.
fn pair(item: &Item, head: usize, tail: usize) -> Option<&Pair> {
    item.pairs.iter().find(|p| (p.head, p.tail) == (head, tail))
}

fn close(found: Option<&Vec<f32>>, expected: &[f32]) {
    let found = found.unwrap();
    assert!(
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6),
        "{found:?} {expected:?}"
    );
}

#[test]
fn an_item_has_tags_entities_and_pairs() {
    let dataset = loaded(|r| r, &soft("train")).unwrap();
    let [item] = dataset.items.as_slice() else {
        panic!("one window")
    };
    // [CLS] lith ##ium caused severe tremor . val ##pro ##ate with lith ##ium helped mania . [SEP]
    assert_eq!(
        item.ids,
        [2, 7, 8, 13, 18, 14, 5, 10, 11, 12, 9, 7, 8, 16, 17, 5, 3]
    );
    let chemical: Vec<u8> = item.tags.iter().step_by(2).copied().collect();
    let disease: Vec<u8> = item.tags.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(
        chemical,
        [0, 1, 2, 0, 0, 0, 0, 1, 2, 2, 0, 1, 2, 0, 0, 0, 0]
    );
    assert_eq!(disease, [0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(item.tag_weight.iter().sum::<f32>(), 2.0 * 15.0);
    assert_eq!(
        (item.tag_weight[0], item.tag_weight[2], item.tag_weight[33]),
        (0.0, 1.0, 0.0)
    );
    assert_eq!(item.entity_type, [0, 1, 0, 1]);
    assert_eq!(
        item.entities[0]
            .iter()
            .map(|m| item.mentions[*m].clone())
            .collect::<Vec<_>>(),
        [vec![1, 2], vec![11, 12]]
    );
    assert_eq!(
        item.entities[1].len(),
        2,
        "nested mentions of one concept both count for the entity"
    );
    assert_eq!(dataset.summary.untagged, 1, "the nested mention");
    assert_eq!(dataset.summary.other_mentions, 1);
    assert_eq!(item.pairs.len(), 4 + 1);
}

#[test]
fn targets_mix_gold_and_teacher() {
    let dataset = loaded(|r| r, &soft("train")).unwrap();
    let item = &dataset.items[0];
    // Order: none, causes, treats, interacts. The teacher's "prevents" is "none" to this schema.
    let positive = pair(item, 0, 1).unwrap();
    assert_eq!(positive.admitted, [true, true, true, false]);
    close(positive.gold.as_ref(), &[0.0, 1.0, 0.0, 0.0]);
    close(positive.teacher.as_ref(), &[0.92, 0.05, 0.03, 0.0]);
    let negative = pair(item, 2, 3).unwrap();
    close(negative.gold.as_ref(), &[0.2, 0.0, 0.8, 0.0]);
    close(negative.teacher.as_ref(), &[0.1, 0.5, 0.4, 0.0]);
    assert_eq!(negative.evidence, Some(7..16));
    let unordered = pair(item, 0, 2).unwrap();
    assert_eq!(unordered.admitted, [true, false, false, true]);
    assert_eq!(unordered.gold, None);
    close(unordered.teacher.as_ref(), &[0.3, 0.0, 0.0, 0.7]);
    assert!(pair(item, 2, 0).is_none(), "a symmetric pair stands once");
}

#[test]
fn without_a_teacher_only_gold_relations_are_admitted() {
    let without = |r: String| r.replace("[[teachers]]\npath = \"soft.jsonl\"\n", "");
    let dataset = loaded(without, "").unwrap();
    let item = &dataset.items[0];
    assert_eq!(item.pairs.len(), 4);
    let negative = pair(item, 2, 1).unwrap();
    assert_eq!(negative.admitted, [true, true, false, false]);
    close(negative.gold.as_ref(), &[1.0, 0.0, 0.0, 0.0]);
    assert_eq!(negative.teacher, None);
}

#[test]
fn a_teacher_that_was_not_asked_for_a_gold_relation_does_not_deny_it() {
    let only_treats = format!(
        r#"{{"id":"1","text":"{TEXT}","head_type":"Chemical","tail_type":"Disease","default":{{"none":0.9,"treats":0.1}},"pairs":[]}}"#
    );
    let dataset = loaded(|r| r, &only_treats).unwrap();
    close(
        pair(&dataset.items[0], 0, 1).unwrap().teacher.as_ref(),
        &[0.0, 1.0, 0.0, 0.0],
    );
    close(
        pair(&dataset.items[0], 0, 3).unwrap().teacher.as_ref(),
        &[0.9, 0.0, 0.1, 0.0],
    );
}

#[test]
fn types_that_the_corpus_does_not_annotate_are_masked() {
    let dataset = loaded(
        |r| {
            r.replace(
                "annotates = [\"Chemical\", \"Disease\"]",
                "annotates = [\"Disease\"]",
            )
        },
        &soft("train"),
    )
    .unwrap();
    let weight = &dataset.items[0].tag_weight;
    assert_eq!((weight[2], weight[3]), (0.0, 1.0));
}

#[test]
fn rows_of_another_split_are_never_used() {
    let error = loaded(|r| r, &soft("dev")).unwrap_err().to_string();
    assert!(error.contains("no row of split \"train\""), "{error}");
}

#[test]
fn documents_of_the_evaluation_are_left_out() {
    let held_out =
        |r: String| format!("{r}[evaluation]\npath = \"../gold.txt\"\nformat = \"pubtator\"\n");
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let text = held_out(recipe::tests::small(&inner));
    fs::write(folder.path().join("gold.txt"), GOLD).unwrap();
    fs::write(
        inner.join("gold.txt"),
        format!("{GOLD}\n2|t|Lithium\n2|a|.\n"),
    )
    .unwrap();
    fs::write(
        inner.join("soft.jsonl"),
        soft("train")
            .replace("\"id\":\"1\"", "\"id\":\"2\"")
            .replace(TEXT, "Lithium .")
            .replace(r#","evidence":[30,66]"#, ""),
    )
    .unwrap();
    fs::write(inner.join("r.toml"), text).unwrap();
    let dataset = load(
        &Recipe::read(&inner.join("r.toml")).unwrap(),
        &Encoder::from_vocab(VOCABULARY, true).unwrap(),
        &mut EncoderTeachers::default(),
    )
    .unwrap();
    assert_eq!(
        (dataset.summary.documents, dataset.summary.held_out),
        (1, 1)
    );
    assert_eq!(dataset.items[0].document, "2");
}

#[test]
fn the_most_notable_pairs_are_kept() {
    let dataset = loaded(|r| format!("{r}max_pairs = 2\n"), &soft("train")).unwrap();
    let kept: Vec<(usize, usize)> = dataset.items[0]
        .pairs
        .iter()
        .map(|p| (p.head, p.tail))
        .collect();
    assert_eq!(kept, [(0, 1), (0, 2)]);
}

#[test]
fn a_document_of_several_windows_keeps_its_parts() {
    let dataset = loaded(
        |r| r.replace("max_tokens = 64", "max_tokens = 16"),
        &soft("train"),
    )
    .unwrap();
    assert_eq!(dataset.items.len(), 2);
    assert_eq!(
        dataset.items[1].entity_type,
        [0, 0, 1],
        "valproate, lithium, mania"
    );
    let first = &dataset.items[1].entities[0];
    assert_eq!(
        dataset.items[1].mentions[first[0]],
        [1, 2, 3],
        "valproate comes first here, though lithium does in the document"
    );

    assert_eq!(
        dataset
            .items
            .iter()
            .map(|i| i.ids.len())
            .collect::<Vec<_>>(),
        [8, 11]
    );
    assert_eq!(dataset.summary.untagged, 1);
}

/// The default recipe on its data; skipped where the data is not there.
#[test]
fn the_default_recipe_has_the_gold_of_the_training_part() {
    let file = Path::new("../recipes/bc5cdr-minilm.toml");
    let Ok(recipe) = Recipe::read(file) else {
        println!("skipped: the data of {} is not there", file.display());
        return;
    };
    let vocabulary =
        fs::read_to_string(recipe.resolve(&recipe.student.base).join("vocab.txt")).unwrap();
    let encoder = Encoder::from_vocab(&vocabulary, true).unwrap();
    let dataset = load(&recipe, &encoder, &mut EncoderTeachers::default()).unwrap();
    println!("{}", dataset.summary);
    let summary = &dataset.summary;
    assert_eq!(
        (
            summary.documents,
            summary.held_out,
            summary.teacher_rows,
            summary.differing_rows
        ),
        (500, 0, 500 + 351, 0), // every document has pairs of chemical and disease, 351 have two chemicals
    );
    assert_eq!(summary.mentions, 5203 + 4182);
    let causes: HashSet<_> = dataset
        .items
        .iter()
        .flat_map(|i| {
            i.pairs
                .iter()
                .filter(|p| p.gold.as_ref().is_some_and(|g| g[1] == 1.0))
                .map(move |p| (&i.document, p.head, p.tail))
        })
        .collect();
    assert!(
        (1000..=1038 + 40).contains(&causes.len()),
        "{}",
        causes.len()
    );
    assert_eq!(
        (summary.gold_pairs, summary.teacher_pairs),
        (5438, 5438 + 2602),
        "the teacher knows all pairs that gold knows, and those of two chemicals"
    );
}

proptest! {
    /// libbie decides which pairs a host gets; training must see the same.
    #[test]
    fn pairs_are_admitted_as_libbie_admits_them(types in prop::collection::vec(0usize..3, 0..7)) {
        let names = ["A", "B", "C"];
        let relation = |name: &str, head: &[&str], tail: &[&str], symmetric| RelationType {
            name: name.into(),
            head: head.iter().map(|t| t.to_string()).collect(),
            tail: tail.iter().map(|t| t.to_string()).collect(),
            symmetric,
            threshold: 0.5,
        };
        let schema = Schema {
            entities: names.iter().map(|n| recipe::EntityType { name: n.to_string(), threshold: 0.5 }).collect(),
            relations: vec![
                relation("ab", &["A"], &["B"], false),
                relation("aa", &["A"], &["A"], true),
                relation("any", &["B", "C"], &["A", "B", "C"], false),
                relation("bc", &["B", "C"], &["B", "C"], true),
            ],
        };
        let manifest = bie::bundle::Manifest {
            schema_version: bie::bundle::SCHEMA_VERSION,
            model_id: "m".into(),
            precision: "fp32".into(),
            max_tokens: 16,
            hidden_size: 1,
            attention_heads: 1,
            entities: names.map(bie::bundle::EntityType::new).into(),
            relations: schema
                .relations
                .iter()
                .map(|r| bie::bundle::RelationType {
                    symmetric: r.symmetric,
                    ..bie::bundle::RelationType::new(&r.name, &r.head, &r.tail)
                })
                .collect(),
            files: Default::default(),
            provenance: serde_json::Value::Null,
        };
        let mut ours = Vec::new();
        for (h, head) in types.iter().enumerate() {
            for (t, tail) in types.iter().enumerate().filter(|(t, _)| *t != h) {
                let admitted: Vec<usize> = (0..schema.relations.len()).filter(|r| admits(&schema.relations[*r], &schema, *head, *tail, h < t)).collect();
                if !admitted.is_empty() {
                    ours.push((h, t, admitted));
                }
            }
        }
        let theirs: Vec<_> = bie::decode::relations::Schema::new(&manifest).pairs(&types).into_iter().map(|p| (p.head, p.tail, p.admitted)).collect();
        prop_assert_eq!(ours, theirs);
    }
}

/// What a teacher of entities says of the text: a nested tremor, a doubtful valproate, two relations.
fn entities() -> String {
    let entity = |start, end, label, p| {
        format!(r#"{{"start":{start},"end":{end},"type":"{label}","p":{p}}}"#)
    };
    let entities = [
        entity(0, 7, "Chemical", 0.9),
        entity(15, 28, "Disease", 0.8),
        entity(22, 28, "Disease", 0.4),
        entity(30, 39, "Chemical", 0.45),
        entity(45, 52, "Chemical", 0.95),
        entity(60, 65, "Symptom", 0.9),
    ];
    let relations = r#"{"head":0,"tail":1,"type":"causes","p":0.7},{"head":4,"tail":5,"type":"treats","p":0.6}"#;
    format!(
        r#"{{"id":"1","text":"{TEXT}","entities":[{}],"relations":[{relations}]}}"#,
        entities.join(",")
    )
}

fn without_corpora(recipe: String) -> String {
    let (before, rest) = recipe.split_once("[[corpora]]").unwrap();
    let (_, after) = rest.split_once("[[teachers]]").unwrap();
    format!("{before}[[teachers]]\nmap = {{ Symptom = \"Disease\" }}{after}")
}

/// `[L, K, 3]` at token `t` and type `k`.
fn said(item: &Item, t: usize, k: usize) -> &[f32] {
    &item.teacher_tags[(t * 2 + k) * 3..][..3]
}

#[test]
fn a_teacher_of_entities_brings_documents_of_its_own() {
    let dataset = loaded(without_corpora, &entities()).unwrap();
    let [item] = dataset.items.as_slice() else {
        panic!("one window")
    };
    assert_eq!(dataset.summary.teacher_documents, 1);
    assert!(item.tag_weight.iter().all(|w| *w == 0.0), "no gold");
    let near = |t, k, expected: [f32; 3]| {
        let found = said(item, t, k);
        let close = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{t} {k}: {found:?}");
    };
    near(0, 0, [0.0; 3]); // [CLS]
    near(16, 1, [0.0; 3]); // [SEP]
    near(1, 0, [0.1, 0.9, 0.0]);
    near(2, 0, [0.1, 0.0, 0.9]);
    near(3, 0, [1.0, 0.0, 0.0]);
    near(4, 1, [0.2, 0.8, 0.0]);
    near(5, 1, [0.2, 0.0, 0.8]); // the longer span claims it
    near(7, 0, [0.55, 0.45, 0.0]);
    near(14, 1, [0.1, 0.9, 0.0]); // mapped
    // Lithium (twice), tremor, the nested tremor (too doubtful), mania; valproate is too doubtful.
    assert_eq!(item.mentions.len(), 4);
    assert_eq!(item.entities, [vec![0, 1], vec![2], vec![3]]);
    close(
        pair(item, 0, 1).unwrap().teacher.as_ref(),
        &[0.3, 0.7, 0.0, 0.0],
    );
    close(
        pair(item, 0, 2).unwrap().teacher.as_ref(),
        &[0.4, 0.0, 0.6, 0.0],
    );
    assert_eq!(pair(item, 0, 1).unwrap().gold, None);
    let narrow = |r| {
        let annotates = "[[teachers]]\nannotates = [\"Chemical\", \"causes\"]";
        without_corpora(r).replacen("[[teachers]]", annotates, 1)
    };
    let narrow = loaded(narrow, &entities()).unwrap();
    let item = &narrow.items[0];
    assert_eq!(
        said(item, 4, 1),
        [0.0; 3],
        "the file says nothing of diseases"
    );
    assert_eq!(said(item, 1, 0)[1], 0.9);
    let causes = pair(item, 0, 2).unwrap();
    assert_eq!(causes.admitted, [true, true, false, false]);
}

#[test]
fn gold_and_a_teacher_of_entities_share_a_document_and_their_agreement_is_counted() {
    let edit = |r: String| {
        let r = r.replacen(
            "annotates = [\"Chemical\", \"Disease\"]",
            "annotates = [\"Chemical\"]",
            1,
        );
        r.replacen(
            "[[teachers]]",
            "[[teachers]]\nmap = { Symptom = \"Disease\" }",
            1,
        )
    };
    let dataset = loaded(edit, &entities()).unwrap();
    assert_eq!(
        (dataset.items.len(), dataset.summary.teacher_documents),
        (1, 0)
    );
    let item = &dataset.items[0];
    assert_eq!((item.tag_weight[2], item.tag_weight[3]), (1.0, 0.0));
    assert_eq!(said(item, 4, 1)[1], 0.8);
    let schema: Schema = toml::from_str(
        "entities = [{ name = \"Chemical\" }, { name = \"Disease\" }]\n\
         [[relations]]\nname = \"causes\"\nhead = [\"Chemical\"]\ntail = [\"Disease\"]",
    )
    .unwrap();
    let names = ["gold".to_owned(), "soft".to_owned()];
    let figures = dataset.summary.agreements.figures(&schema, &names);
    let figures: Vec<(&str, [u64; 4])> = figures
        .iter()
        .map(|f| (f.label.as_str(), f.counts))
        .collect();
    // Of 15 tokens lithium's four are agreed on, valproate's three are not. Of four pairs gold and the teacher find the same one.
    assert_eq!(
        figures,
        [("Chemical", [4, 3, 0, 8]), ("causes", [1, 0, 0, 3])]
    );
}

#[test]
fn documents_that_a_teacher_is_calibrated_on_are_not_trained_on() {
    let edit = |r: String| {
        let gold = "calibrate_on = { path = \"dev.txt\", format = \"pubtator\" }\n";
        let r = without_corpora(r);
        r.replacen("[training]", &format!("{gold}[training]"), 1)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.toml");
    fs::write(&file, edit(recipe::tests::small(folder.path()))).unwrap();
    fs::write(folder.path().join("dev.txt"), GOLD).unwrap();
    fs::write(folder.path().join("soft.jsonl"), entities()).unwrap();
    let recipe = Recipe::read(&file).unwrap();
    let encoder = Encoder::from_vocab(VOCABULARY, true).unwrap();
    let error = load(&recipe, &encoder, &mut EncoderTeachers::default()).unwrap_err();
    assert!(error.to_string().contains("nothing to train on"), "{error}");
}
