use super::super::testing::{ENDPOINT, task};
use super::*;

#[test]
fn a_short_task_has_sensible_defaults() {
    let task = task("entities", "", ENDPOINT).unwrap();
    assert_eq!((task.endpoint.samples, task.endpoint.temperature), (1, 0.0));
    assert_eq!(task.rules(), [Rule::Logprobs, Rule::Stated]);
    assert!(task.asks_stated() && task.asks_logprobs());
    assert_eq!(task.alignment.repeats, Repeats::Context);
    let sampled = self::task_with("samples = 5\ntemperature = 0.7").unwrap();
    assert_eq!(sampled.rules(), [Rule::Logprobs, Rule::Samples]);
    assert!(!sampled.asks_stated());
    let stated = self::task_with("[probabilities]\nrule = \"stated\"").unwrap();
    assert!(stated.asks_stated() && !stated.asks_logprobs());
}

fn task_with(tables: &str) -> Result<Task> {
    task("entities", "", &format!("{ENDPOINT}{tables}"))
}

#[test]
fn prices_are_for_a_million_tokens() {
    let prices = Prices {
        prompt_per_million: 2.0,
        completion_per_million: 10.0,
        currency: "EUR".into(),
    };
    assert_eq!(prices.of(500_000, 100_000), 2.0);
}

#[test]
fn every_bad_key_is_named_with_its_line() {
    for (tables, at, why) in [
        ("model = \"x\"", "", "duplicate key"),
        ("modle = \"x\"", "", "unknown field"),
        ("samples = 3", "endpoint.temperature", "at temperature 0"),
        ("samples = 0", "endpoint.samples", "out of range"),
        ("tries = 0", "endpoint.tries", "out of range"),
        (
            "requests_per_minute = 0",
            "endpoint.requests_per_minute",
            "out of range",
        ),
        (
            "extra = { messages = [] }",
            "endpoint.extra.messages",
            "sets this field itself",
        ),
        (
            "[probabilities]\nrule = \"samples\"",
            "probabilities.rule",
            "shares of one answer",
        ),
        (
            "[probabilities]\nunlisted_none = 0.2",
            "probabilities.unlisted_none",
            "out of range",
        ),
        (
            "[alignment]\nmax_edits = 0.9",
            "alignment.max_edits",
            "out of range",
        ),
        ("[alignment]\nrepeats = \"first\"", "", "unknown variant"),
        (
            "[prices]\nprompt_per_million = -1\ncompletion_per_million = 1\ncurrency = \"EUR\"",
            "prices.prompt_per_million",
            "out of range",
        ),
        (
            "[[examples]]\ntext = \"x\"\nentities = [{ quote = \"x\", type = \"Gene\" }]",
            "examples.0.entities.0.type",
            "no entity type",
        ),
        (
            "[[examples]]\ntext = \"x\"\nentities = [{ quote = \"y\", type = \"Chemical\" }]",
            "examples.0.entities.0.quote",
            "does not stand",
        ),
        (
            "[[examples]]\ntext = \"x x\"\nentities = [{ quote = \"x\", type = \"Chemical\" }]",
            "examples.0.entities.0.quote",
            "more than once",
        ),
        (
            "[[examples]]\ntext = \"x\"\nentities = [{ quote = \"x\", type = \"Disease\" }]",
            "examples.0.entities.0.assertion",
            "asserted",
        ),
        (
            "[[examples]]\ntext = \"x\"\nentities = [{ quote = \"x\", type = \"Chemical\" }]\nrelations = [{ head = 1, tail = 2, type = \"causes\" }]",
            "examples.0.relations.0.head",
            "counted from 1",
        ),
        (
            "[[examples]]\ntext = \"x\"\npairs = [{ head = 1, tail = 2, label = \"causes\" }]",
            "examples.0",
            "mode",
        ),
    ] {
        let error = task_with(tables).unwrap_err().to_string();
        assert!(
            error.contains("task.toml:") && error.contains(at) && error.contains(why),
            "{tables}: {error}"
        );
        let line: usize = error
            .split("task.toml:")
            .nth(1)
            .unwrap()
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(line > 40, "{error}");
    }
}

#[test]
fn a_schema_must_be_one_that_the_mode_can_tell() {
    let relation = |head: &str, tail: &str, symmetric: bool| {
        format!(
            "{ENDPOINT}[[schema.relations]]\nname = \"r\"\ndefinition = \"d\"\nhead = {head}\ntail = {tail}\nsymmetric = {symmetric}\n"
        )
    };
    let both = "[\"Chemical\", \"Disease\"]";
    for (mode, table, why) in [
        (
            "pairs",
            relation("[\"Chemical\"]", "[\"Chemical\"]", false),
            "unordered",
        ),
        ("pairs", relation(both, both, true), "one type"),
        (
            "entities",
            relation("[\"Chemical\"]", "[\"Disease\"]", true),
            "same types",
        ),
        (
            "entities",
            relation("[\"Gene\"]", "[\"Disease\"]", false),
            "no entity type",
        ),
        (
            "entities",
            relation("[]", "[\"Disease\"]", false),
            "at least one",
        ),
        (
            "entities",
            relation(both, both, false).replace("\"r\"", "\"causes\""),
            "another's",
        ),
        (
            "entities",
            relation(both, both, false).replace("\"r\"", "\"none\""),
            "none",
        ),
        (
            "entities",
            relation(both, both, false).replace("\"r\"", "'a\"b'"),
            "quotation mark",
        ),
        (
            "entities",
            relation(both, both, false).replace("\"d\"", "\" \""),
            "say what belongs",
        ),
    ] {
        let error = task(mode, "", &table).unwrap_err().to_string();
        assert!(
            error.contains("schema.relations.3") && error.contains(why),
            "{error}"
        );
    }
    assert!(task("entities", "", &relation(both, both, false)).is_ok());
}
