//! Tasks for tests.

use crate::error::Result;

use super::settings::Task;

/// A task of each mode without texts of its own: `more` is put before the tables, `tables` after them.
pub(super) fn task(mode: &str, more: &str, tables: &str) -> Result<Task> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("texts.jsonl"), "").unwrap();
    std::fs::write(folder.path().join("texts.pubtator"), "").unwrap();
    let format = if mode == "pairs" { "pubtator" } else { "jsonl" };
    let schema = SCHEMA.replace("ASSERTED", if mode == "pairs" { "false" } else { "true" });
    let text = format!(
        "mode = \"{mode}\"\n{more}\n{schema}\n[[texts]]\npath = \"texts.{format}\"\nformat = \"{format}\"\n{tables}"
    );
    Task::parse(&folder.path().join("task.toml"), &text)
}

const SCHEMA: &str = r#"
[[schema.entities]]
name = "Chemical"
definition = "A substance."
examples = ["aspirin", "heparin"]

[[schema.entities]]
name = "Disease"
definition = "A disease, symptom or sign."
asserted = ASSERTED

[[schema.relations]]
name = "causes"
definition = "The chemical brings the disease about."
head = ["Chemical"]
tail = ["Disease"]

[[schema.relations]]
name = "treats"
definition = "The chemical is given against the disease."
head = ["Chemical"]
tail = ["Disease"]

[[schema.relations]]
name = "interacts"
definition = "One changes what the other does."
head = ["Chemical"]
tail = ["Chemical"]
symmetric = true

[[schema.assertions]]
name = "present"
definition = "The patient has it."

[[schema.assertions]]
name = "negated"
definition = "The patient does not have it."
"#;

/// The shortest endpoint.
pub(super) const ENDPOINT: &str =
    "[endpoint]\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\n";
