//! The model card that lies in a bundle (after Mitchell et al. 2019): what it finds, from what it learned, how well it does.

use std::fmt::Write;

use crate::eval::Report;
use crate::train::Run;

/// The card in Markdown.
pub fn card(run: &Run, report: Option<&Report>) -> String {
    let mut c = String::new();
    // Writing to a String cannot fail.
    let _ = write_card(&mut c, run, report);
    c
}

fn write_card(c: &mut String, run: &Run, report: Option<&Report>) -> std::fmt::Result {
    let recipe = &run.recipe;
    writeln!(c, "# {}\n", recipe.name)?;
    writeln!(
        c,
        "A student of {} layers, width {}, {:.1} million weights, made by `distill {}` for libbie.\n",
        run.config.layers,
        run.config.hidden_size,
        run.parameters.count() as f64 / 1e6,
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(c, "## What it finds\n")?;
    let entities: Vec<&str> = recipe
        .schema
        .entities
        .iter()
        .map(|e| e.name.as_str())
        .collect();
    writeln!(c, "Entities: {}.\n", entities.join(", "))?;
    for r in &recipe.schema.relations {
        let arrow = if r.symmetric { "with" } else { "to" };
        writeln!(
            c,
            "- {}: {} {arrow} {}",
            r.name,
            r.head.join(" or "),
            r.tail.join(" or ")
        )?;
    }
    writeln!(c, "\n## What it learned from\n\n{}.\n", run.data)?;
    for s in &recipe.sources {
        writeln!(
            c,
            "- **{}** ({}): {}. Licence: {}. {}",
            s.name, s.role, s.what, s.licence, s.citation
        )?;
    }
    writeln!(c, "\n## How well it does\n")?;
    match report {
        Some(r) => {
            let on = recipe
                .evaluation
                .as_ref()
                .and_then(|e| e.path.file_name())
                .unwrap_or_default()
                .to_string_lossy();
            writeln!(
                c,
                "Measured through libbie on {on} ({} documents), on which it was not trained:\n",
                r.documents
            )?;
            writeln!(c, "```\n{}```\n", r.tables())?;
        }
        None => writeln!(c, "Not measured.\n")?,
    }
    writeln!(
        c,
        "Exact span and type for entities; document level, pairs of concepts, for relations. Scores are the model's own probabilities; they are not calibrated.\n"
    )?;
    writeln!(c, "## Limits\n\n{}", recipe.limits.trim())
}
