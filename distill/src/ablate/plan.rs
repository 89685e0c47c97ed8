//! The plan of an ablation: one recipe, and what each arm changes in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::recipe::line_of;

/// A checked plan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The recipe that every arm begins from; relative to the plan's folder.
    pub recipe: PathBuf,
    /// Every arm is trained with each of them.
    pub seeds: Vec<u64>,
    /// The bundle that is compared: "int8" (what ships) or "fp32".
    #[serde(default = "Plan::precision")]
    pub precision: String,
    /// Keys of the recipe and their values in every arm, like an arm's own, which come after.
    #[serde(default)]
    pub common: Table,
    /// What is compared; the others with the first.
    pub arms: Vec<Arm>,
    /// The plan's file.
    #[serde(skip)]
    file: PathBuf,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name, part of file names.
    pub name: String,
    /// What it is called in the report; its name if absent.
    pub title: Option<String>,
    /// Where runs that exist already lie, `{seed}` standing for the seed; relative to the plan's folder. For `--collect`.
    pub runs: Option<String>,
    /// Keys of the recipe and their values in this arm. Tables are merged with the recipe's; anything else, arrays too, takes the place of
    /// what is there.
    #[serde(default)]
    pub recipe: Table,
}

impl Arm {
    /// What it is called in the report.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

impl Plan {
    fn precision() -> String {
        "int8".to_owned()
    }

    /// Reads and checks a plan.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, has an unknown key, no seeds, no two arms, or a name that cannot be part of a file's.
    pub fn read(file: &Path) -> Result<Plan> {
        let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
        let mut plan: Plan = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(&text, span.start));
            Error::line(file, line, e.message().replace('\n', "; "))
        })?;
        plan.file = file.to_owned();
        let need = |holds: bool, why: String| match holds {
            true => Ok(()),
            false => Err(Error::file(file, why)),
        };
        need(
            !plan.seeds.is_empty(),
            "seeds: give at least one; 3 tell more".to_owned(),
        )?;
        need(
            plan.arms.len() > 1,
            "arms: give at least two [[arms]]".to_owned(),
        )?;
        need(
            ["int8", "fp32"].contains(&plan.precision.as_str()),
            "precision: give \"int8\" or \"fp32\"".to_owned(),
        )?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        for (n, arm) in plan.arms.iter().enumerate() {
            need(
                !arm.name.is_empty() && !arm.name.starts_with('.') && arm.name.chars().all(plain),
                format!(
                    "arms: \"{}\" is part of file names; use letters, digits, `-`, `_` and `.`, and a title for people",
                    arm.name
                ),
            )?;
            let twice = plan.arms.iter().take(n).any(|other| other.name == arm.name);
            need(
                !twice,
                format!("arms: the name \"{}\" stands twice", arm.name),
            )?;
            for key in ["seed", "folder", "name"] {
                need(
                    !arm.recipe.contains_key(key) && !plan.common.contains_key(key),
                    format!("arms: \"{}\" sets {key}, which the plan sets", arm.name),
                )?;
            }
        }
        for (n, seed) in plan.seeds.iter().enumerate() {
            let twice = plan.seeds.iter().take(n).any(|other| other == seed);
            need(!twice, format!("seeds: {seed} stands twice"))?;
        }
        Ok(plan)
    }

    /// A path of the plan as one that can be opened.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The recipe of one run, as a file of its own: its paths are relative to `folder`, which stands for the base recipe's.
    ///
    /// # Errors
    /// The base recipe cannot be read or is no TOML.
    pub fn recipe_of(&self, arm: &Arm, seed: u64) -> Result<String> {
        let base = self.resolve(&self.recipe);
        let text = fs::read_to_string(&base).map_err(Error::io("read", &base))?;
        let mut table: Table = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(&text, span.start));
            Error::line(&base, line, e.message().replace('\n', "; "))
        })?;
        merge(&mut table, &self.common);
        merge(&mut table, &arm.recipe);
        let named = table
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("ablation");
        let name = format!("{named}-{}-{seed}", arm.name);
        let absolute = std::path::absolute(&base).map_err(Error::io("find", &base))?;
        let own = absolute.parent().unwrap_or(Path::new("/"));
        let folder = own.join(table.get("folder").and_then(Value::as_str).unwrap_or(""));
        let Some(folder) = folder.to_str() else {
            return Err(Error::file(
                &base,
                "the folder's name is not UTF-8; move it",
            ));
        };
        let seed = i64::try_from(seed)
            .map_err(|_| Error::file(&self.file, format!("seeds: {seed} is too large")))?;
        table.insert("name".to_owned(), Value::String(name));
        table.insert("folder".to_owned(), Value::String(folder.to_owned()));
        table.insert("seed".to_owned(), Value::Integer(seed));
        toml::to_string_pretty(&table).map_err(|e| Error::file(&base, e.to_string()))
    }
}

/// Puts `changes` over `base`.
fn merge(base: &mut Table, changes: &Table) {
    for (key, change) in changes {
        match (base.get_mut(key), change) {
            (Some(Value::Table(base)), Value::Table(change)) => merge(base, change),
            _ => drop(base.insert(key.clone(), change.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn plan(text: &str) -> Result<Plan> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        fs::write(&file, text).unwrap();
        Plan::read(&file)
    }

    const TWO: &str = "recipe = \"r.toml\"\nseeds = [1, 2]\n[common.training]\nepochs = 2\nwarmup = 0.25\n[[arms]]\nname = \"gold\"\nrecipe = { teachers = [] }\n[[arms]]\nname = \"both\"\n[arms.recipe.training]\nepochs = 3\n";

    #[test]
    fn mistakes_are_named() {
        for (from, to, why) in [
            ("seeds = [1, 2]", "seeds = []", "seeds: give at least one"),
            ("seeds = [1, 2]", "seeds = [1, 1]", "seeds: 1 stands twice"),
            ("\"both\"", "\"gold\"", "stands twice"),
            ("\"both\"", "\"a/b\"", "part of file names"),
            ("{ teachers = [] }", "{ seed = 3 }", "sets seed"),
            (
                "[[arms]]",
                "[common]\nname = \"x\"\n[[arms]]",
                "sets name, which",
            ),
            ("seeds", "sedes", "p.toml:2: unknown field"),
        ] {
            let error = plan(&TWO.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_arm_is_an_ordinary_recipe_that_lies_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("r.toml");
        fs::write(&base, crate::recipe::tests::small(folder.path())).unwrap();
        let file = folder.path().join("p.toml");
        fs::write(&file, TWO).unwrap();
        let plan = Plan::read(&file).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let read = |arm: usize| {
            let file = elsewhere.path().join("arm.toml");
            fs::write(&file, plan.recipe_of(&plan.arms[arm], 7).unwrap()).unwrap();
            Recipe::read(&file).unwrap()
        };
        let (original, gold, both) = (Recipe::read(&base).unwrap(), read(0), read(1));
        assert_eq!((gold.name.as_str(), gold.seed), ("small-gold-7", 7));
        assert!(gold.teachers.is_empty());
        let mut common = original.training.clone();
        (common.epochs, common.warmup) = (2, 0.25);
        assert_eq!(gold.training, common);
        assert_eq!(both.teachers, original.teachers);
        assert_eq!(
            (both.training.epochs, both.training.batch_documents),
            (3, 2)
        );
        assert_eq!(both.training.warmup, 0.25);
        assert!(both.resolve(&both.corpora[0].path).is_file());
        assert!(both.identity().get("folder").is_none());
    }
}
