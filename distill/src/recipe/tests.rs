//! A small recipe, and every mistake in it.

use super::*;

/// A small recipe with its files, in a folder of its own.
pub(crate) fn small(folder: &Path) -> String {
    let config = r#"{"vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
        "max_position_embeddings": 64, "layer_norm_eps": 1e-12}"#;
    fs::write(folder.join("config.json"), config).unwrap();
    fs::write(folder.join("gold.txt"), "").unwrap();
    fs::write(folder.join("soft.jsonl"), "").unwrap();
    r#"name = "small"
seed = 1
[student]
base = "."
max_tokens = 64
[[schema.entities]]
name = "Chemical"
[[schema.entities]]
name = "Disease"
[[schema.relations]]
name = "causes"
head = ["Chemical"]
tail = ["Disease"]
[[schema.relations]]
name = "treats"
head = ["Chemical"]
tail = ["Disease"]
[[schema.relations]]
name = "interacts"
head = ["Chemical"]
tail = ["Chemical"]
symmetric = true
[[corpora]]
path = "gold.txt"
format = "pubtator"
map = { CID = "causes" }
annotates = ["Chemical", "Disease"]
gold_relations = ["causes"]
[[teachers]]
path = "soft.jsonl"
[training]
epochs = 2
batch_documents = 2
encoder_rate = 1e-4
head_rate = 5e-4
"#
    .to_owned()
}

#[test]
fn a_recipe_is_read_with_its_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.toml");
    fs::write(&file, small(folder.path())).unwrap();
    let recipe = Recipe::read(&file).unwrap();
    assert_eq!(
        (recipe.student.relation_block, recipe.training.clip),
        (16, 1.0)
    );
    assert_eq!(recipe.teachers[0].split, "train");
    assert_eq!(
        recipe.resolve(&recipe.corpora[0].path),
        folder.path().join("gold.txt")
    );
    assert!(recipe.identity().pointer("/training/threads").is_none());
    assert!(recipe.identity().pointer("/training/epochs").is_some());
    assert!(
        recipe.identity().pointer("/corpora/0/options").is_none(),
        "a checkpoint of an older recipe is still of this one"
    );
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = small(folder.path());
    for (from, to, line, why) in [
        ("seed = 1", "seed = 1\nsead = 2", 3, "unknown field `sead`"),
        ("seed = 1", "seed = -1", 2, "invalid value"),
        ("seed = 1", "seed = ", 2, ""),
        ("name = \"small\"", "name = \"a/b\"", 1, "file names"),
        (
            "base = \".\"",
            "base = \"nowhere\"",
            4,
            "neither a config.json nor a manifest.json",
        ),
        (
            "max_tokens = 64",
            "layers = \"all\"",
            5,
            "expected a number of layers, or a list",
        ),
        (
            "max_tokens = 64",
            "max_tokens = 4",
            5,
            "out of range (16 to 8192)",
        ),
        (
            "name = \"Disease\"",
            "name = \"Chemical\"",
            9,
            "stands twice",
        ),
        ("name = \"causes\"", "name = \"none\"", 11, "\"none\""),
        (
            "head = [\"Chemical\"]\ntail = [\"Disease\"]\n[[schema.relations]]\nname = \"treats\"",
            "head = [\"Drug\"]\ntail = [\"Disease\"]\n[[schema.relations]]\nname = \"treats\"",
            12,
            "\"Drug\" is no entity type of the schema (Chemical, Disease)",
        ),
        (
            "tail = [\"Chemical\"]",
            "tail = [\"Disease\"]",
            22,
            "symmetric",
        ),
        (
            "path = \"gold.txt\"",
            "path = \"lost.txt\"",
            24,
            "there is no file",
        ),
        (
            "format = \"pubtator\"",
            "format = \"word\"",
            25,
            "unknown variant `word`",
        ),
        (
            "CID = \"causes\"",
            "CID = \"cures\"",
            26,
            "\"cures\", which is no type",
        ),
        (
            "annotates = [\"Chemical\", \"Disease\"]",
            "annotates = []",
            27,
            "name the entity types",
        ),
        (
            "format = \"pubtator\"",
            "format = \"csv\"\noptions = { id_column = \"id\" }",
            26,
            "name the column that holds the text",
        ),
        (
            "format = \"pubtator\"",
            "format = \"text\"\noptions = { one_per_lines = true }",
            26,
            "unknown field `one_per_lines`",
        ),
        (
            "format = \"pubtator\"",
            "format = \"pubtator\"\noptions = { tags = \"io\" }",
            26,
            "a setting of conll, not of pubtator",
        ),
        (
            "format = \"pubtator\"",
            "format = \"text\"",
            27,
            "text holds no annotation",
        ),
        (
            "gold_relations = [\"causes\"]",
            "gold_relations = [\"cures\"]",
            28,
            "no relation type",
        ),
        (
            "path = \"soft.jsonl\"",
            "path = \"soft.jsonl\"\nsplit = \"dev\"",
            31,
            "measured on",
        ),
        ("epochs = 2", "epochs = 0", 32, "out of range"),
        ("head_rate = 5e-4", "head_rate = nan", 35, "out of range"),
        (
            "head_rate = 5e-4",
            "head_rate = 5e-4\n[evaluation]\npath = \"gold.txt\"\nformat = \"pubtator\"",
            37,
            "also trained on",
        ),
        ("head_rate = 5e-4", "", 31, "missing field `head_rate`"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = Recipe::parse(&folder.path().join("r.toml"), &text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("r.toml:{line}: ")) && error.contains(why),
            "{to}: {error}"
        );
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

/// The default recipe is right; skipped where its data is not there.
#[test]
fn the_default_recipe_is_accepted() {
    let file = Path::new("../recipes/bc5cdr-minilm.toml");
    match Recipe::read(file) {
        Err(error) if !Path::new("../../shared").exists() => {
            println!("skipped, no data: {error}");
            assert!(error.to_string().contains("config.json"), "{error}");
        }
        read => assert_eq!(read.unwrap().schema.relations.len(), 6),
    }
}

/// A recipe that adds a type and a relation to a bundle's own.
fn updating(folder: &Path) -> String {
    let old = serde_json::json!({
        "schema_version": 1, "model_id": "old", "precision": "fp32", "max_tokens": 64, "hidden_size": 8, "attention_heads": 2,
        "entities": [{"name": "Gene", "threshold": 0.4, "temperature": 1.0}, {"name": "Disease", "threshold": 0.5, "temperature": 1.0}],
        "relations": [{"name": "causes", "head": ["Gene"], "tail": ["Disease"], "symmetric": false, "threshold": 0.6, "temperature": 2.0}],
        "files": {}, "provenance": {},
    });
    fs::write(folder.join("manifest.json"), old.to_string()).unwrap();
    fs::write(folder.join("guard.txt"), "").unwrap();
    let recipe = small(folder);
    let (head, rest) = recipe.split_once("[[schema.entities]]").unwrap();
    let (_, rest) = rest.split_once("[[corpora]]").unwrap();
    format!(
        "{head}[[schema.entities]]\nname = \"Chemical\"\n[[schema.entities]]\nname = \"Disease\"\nthreshold = 0.7\n\
         [[schema.relations]]\nname = \"treats\"\nhead = [\"Chemical\"]\ntail = [\"Disease\"]\n\
         [update]\n[[update.guards]]\npath = \"guard.txt\"\nformat = \"pubtator\"\n[[corpora]]{rest}"
    )
}

#[test]
fn an_update_has_the_types_of_its_bundle_and_then_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("u.toml");
    fs::write(&file, updating(folder.path())).unwrap();
    let recipe = Recipe::read(&file).unwrap();
    let names: Vec<(&str, f32)> = recipe
        .schema
        .entities
        .iter()
        .map(|e| (e.name.as_str(), e.threshold))
        .collect();
    assert_eq!(names, [("Gene", 0.4), ("Disease", 0.7), ("Chemical", 0.5)]);
    let names: Vec<&str> = recipe
        .schema
        .relations
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["causes", "treats"]);
    assert_eq!(
        recipe.schema.relations[0].threshold, 0.5,
        "0.6 was chosen for calibrated scores"
    );
    assert_eq!(recipe.update.unwrap().allowed_loss, 0.005);
}

#[test]
fn an_update_without_a_guard_or_a_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("u.toml");
    let text = updating(folder.path());
    let guard = "[[update.guards]]\npath = \"guard.txt\"\nformat = \"pubtator\"\n";
    for (from, to, why) in [
        (guard, "guards = []\n", "update.guards: give at least one"),
        (
            "guard.txt",
            "gold.txt",
            "update.guards.0.path: the file is also trained on",
        ),
        (
            "[update]",
            "[update]\nallowed_loss = 2.0",
            "update.allowed_loss: 2 is out of range",
        ),
    ] {
        assert!(text.contains(from));
        fs::write(&file, text.replace(from, to)).unwrap();
        let error = Recipe::read(&file).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    fs::write(&file, &text).unwrap();
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    let error = Recipe::read(&file).unwrap_err().to_string();
    assert!(error.contains("u.toml:4: student.base"), "{error}");
}
