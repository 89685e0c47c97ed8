//! Training for those with little: in parts, above frozen layers, with adapters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mini;

use std::collections::BTreeMap;

use bie::encode::Encoder;
use distill::checkpoint::Folder;
use distill::dataset;
use distill::recipe::Recipe;
use distill::student::encoder::{Config, POSITIONS, WORDS};
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;
use distill::teacher::encoder::EncoderTeachers;
use distill::train::supervised::Supervised;
use distill::train::trainer::Task;
use mini::{Mini, stderr};

/// Losses and gradients of step 1, dense, added up over its parts.
fn gradients(mini: &Mini) -> (usize, BTreeMap<String, Vec<f32>>) {
    let mut recipe = Recipe::read(&mini.path("mini.toml")).unwrap();
    let base = mini.path("tiny-bert");
    let (config, mut parameters): (Config, _) = Parameters::from_folder(&base).unwrap();
    let vocabulary = std::fs::read_to_string(base.join("vocab.txt")).unwrap();
    let tokenizer = Encoder::from_vocab(&vocabulary, true).unwrap();
    let cache = mini.path("teacher-cache");
    let mut teachers = EncoderTeachers::open(&mut recipe, &config, &tokenizer, &cache).unwrap();
    let data = dataset::load(&recipe, &tokenizer, &mut teachers).unwrap();
    let head = RelationHead {
        hidden: config.hidden_size,
        heads: config.heads,
        labels: 4,
        block: 8,
    };
    let mut n = 0u32;
    let noise = || {
        n += 1;
        (n.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
    };
    parameters.add_heads(2, Some(head), noise, config.hidden_size);
    let spec = Supervised::spec(&recipe, &config, Some(head), &data, &teachers);
    let mut task = Supervised::new(&recipe, spec, &data, teachers).unwrap();
    let parts = task.parts(1);
    let mut sums: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let mut add = |name: &str, at: usize, values: &[f32], len: usize| {
        let sum = sums.entry(name.to_owned()).or_insert(vec![0.0; len]);
        sum[at..].iter_mut().zip(values).for_each(|(s, v)| *s += v);
    };
    let mut read = 0;
    for part in 0..parts {
        let part = task.run(&parameters, 1, part).unwrap();
        read += part.tokens;
        for (name, loss) in &part.losses.0 {
            add(&format!("loss {name}"), 0, &[*loss], 1);
        }
        for (name, p) in &parameters.0 {
            let (values, width) = (part.values(name).unwrap(), config.hidden_size);
            match part.rows.iter().find(|(table, _)| table == name) {
                Some((_, rows)) => rows.iter().zip(values.chunks(width)).for_each(|(&row, v)| {
                    add(name, row as usize * width, v, p.data.len());
                }),
                None => add(name, 0, values, p.data.len()),
            }
        }
    }
    sums.insert("tokens".to_owned(), vec![read as f32]);
    (parts as usize, sums)
}

/// Dropout included: what a window drops does not depend on the part that it is read in.
#[test]
fn parts_of_a_step_add_up_to_the_step() {
    let (mini, windows) = (Mini::new(), "batch_documents = 8");
    let (parts, whole) = gradients(&mini);
    assert_eq!(parts, 1);
    assert!(whole[WORDS].iter().any(|x| x.abs() > 1e-4) && whole.contains_key(POSITIONS));
    for (batch, accumulate) in [(4, 2), (2, 4), (1, 8)] {
        let split = Mini::new();
        let keys = format!("batch_documents = {batch}\naccumulate = {accumulate}");
        split.edit("mini.toml", windows, &keys);
        let (parts, sums) = gradients(&split);
        assert_eq!(
            parts,
            7usize.div_ceil(batch),
            "step 1 reads the 7 windows that are left over"
        );
        assert!(sums.keys().eq(whole.keys()));
        for (name, sum) in &sums {
            let size = whole[name].iter().fold(0f32, |m, x| m.max(x.abs()));
            for (a, b) in sum.iter().zip(&whole[name]) {
                assert!((a - b).abs() <= 2e-5 * size, "{name}: {a} in parts, {b}");
            }
        }
    }
}

/// What is not trained is in no checkpoint; so a checkpoint is only resumed on the base that it was made on.
#[test]
fn a_checkpoint_holds_what_is_trained_and_knows_the_rest() {
    for (keys, expected) in [
        ("[student.freeze]\nembeddings = true\nlayers = 1\n", 12 + 8),
        ("[student.adapters]\nrank = 2\n", 2 * 4 * 2 + 8),
    ] {
        let mini = Mini::new();
        mini.edit("mini.toml", "epochs = 80", "epochs = 1");
        mini.edit(
            "mini.toml",
            "[[schema.entities]]",
            &format!("{keys}\n[[schema.entities]]"),
        );
        stderr(&mini.train("out", &[]).output().unwrap(), 0);
        let folder = Folder::open(&mini.path("out/checkpoints")).unwrap();
        let newest = std::fs::read(&folder.list().unwrap()[0]).unwrap();
        drop(folder);
        let file = safetensors::SafeTensors::deserialize(&newest[..newest.len() - 40]).unwrap();
        let values = file
            .names()
            .iter()
            .filter(|n| n.starts_with("value of "))
            .count();
        assert_eq!(values, expected, "{keys}");
        assert!(
            file.names()
                .iter()
                .all(|n| !n.ends_with("word_embeddings.weight"))
        );

        stderr(&mini.train("out", &["--resume"]).output().unwrap(), 0);
        let weights = mini.path("tiny-bert/model.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        let tables = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let words = tables.tensor(WORDS).unwrap().data().as_ptr_range().start;
        let at = words as usize - bytes.as_ptr() as usize;
        bytes[at] ^= 1;
        std::fs::write(&weights, bytes).unwrap();
        let refused = stderr(&mini.train("out", &["--resume"]).output().unwrap(), 1);
        assert!(refused.contains("student.untrained_weights"), "{refused}");
    }
}

#[test]
fn what_the_base_does_not_have_is_refused_with_the_line() {
    let mini = Mini::new();
    let keys = "[student.freeze]\nlayers = 3\n\n[[schema.entities]]";
    let line = mini.edit("mini.toml", "[[schema.entities]]", keys) + 1;
    let said = stderr(&mini.train("out", &[]).output().unwrap(), 1);
    assert!(
        said.contains(&format!(
            "mini.toml:{line}: student.freeze.layers: 3, but the base has 2 layers"
        )),
        "{said}"
    );
}

/// Mean losses of the run's only epoch.
fn losses(out: &std::path::Path) -> BTreeMap<String, f64> {
    let bundle = bie::bundle::Bundle::open(&out.join("fp32")).unwrap();
    let epoch = bundle.manifest.provenance["losses"][0].clone();
    serde_json::from_value(epoch).unwrap()
}

#[test]
fn a_small_budget_trains_the_same_in_parts_and_one_too_small_is_refused() {
    let mini = Mini::new();
    mini.edit("mini.toml", "epochs = 80", "epochs = 1");
    mini.edit("mini.toml", "batch_documents = 8", "batch_documents = 64");
    let said = stderr(&mini.train("whole", &[]).output().unwrap(), 0);
    let need = said
        .split_once("memory, at most ")
        .and_then(|(_, rest)| rest.split_once(" MiB: "));
    let held = said
        .split_once(" MiB at most in all")
        .and_then(|(before, _)| before.rsplit_once(' '));
    let number = |text: Option<&str>| {
        text.unwrap_or_else(|| panic!("{said}"))
            .parse::<u64>()
            .unwrap()
    };
    let (need, held) = (number(need.map(|n| n.0)), number(held.map(|n| n.1)));
    assert!(held <= need, "{said}");

    let budget = format!("{}MiB", need - 4);
    let said = stderr(
        &mini
            .train("parts", &["--memory", &budget])
            .output()
            .unwrap(),
        0,
    );
    let windows: usize = said
        .split_once("64 windows a step, ")
        .and_then(|(_, rest)| rest.split_once(" at a time"))
        .and_then(|(n, _)| n.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    assert!((1..64).contains(&windows), "{said}");
    let (whole, parts) = (losses(&mini.path("whole")), losses(&mini.path("parts")));
    for (name, loss) in whole {
        assert!(
            (loss - parts[&name]).abs() <= 1e-4 * loss,
            "{name}: {loss}, {}",
            parts[&name]
        );
    }

    // What it takes does not grow with a checkpoint in hand; nothing is left to train.
    let again = ["--memory", budget.as_str(), "--resume"];
    stderr(&mini.train("parts", &again).output().unwrap(), 0);

    let said = stderr(
        &mini.train("none", &["--memory", "30MiB"]).output().unwrap(),
        2,
    );
    assert!(
        said.contains("What would fit: --memory ") && said.contains("one window at a time"),
        "{said}"
    );
    let said = stderr(
        &mini.train("none", &["--memory", "much"]).output().unwrap(),
        2,
    );
    assert!(said.contains("expected an amount such as 4GiB"), "{said}");
}
