//! The table as a page: bars with their intervals, drawn as SVG; readable without colour and without a script.

use std::fmt::Write;

use super::report::{Report, Row, Section};
use super::stats::Figure;
use crate::report::html::escaped;

const ROW: usize = 22;
const NAMES: usize = 170;
const BAR: usize = 300;
const GAP: usize = 90;

/// A self-contained page.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_html(&mut out, report);
    out
}

fn write_html(out: &mut String, report: &Report) -> std::fmt::Result {
    let title = format!("{}: how faithful its explanations are", report.model_id);
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n<style>\nbody {{ font: 15px/1.4 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }}\nsvg {{ max-width: 100%; height: auto; font: 13px system-ui, sans-serif }}\ntable {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}\ntd, th {{ padding: .1rem .7rem; text-align: right; border-bottom: 1px solid #ccc; font-weight: normal }}\nth:first-child {{ text-align: left }}\nthead th {{ border-bottom: 2px solid #111 }}\n</style>\n<h1>{0}</h1>",
        escaped(&title)
    )?;
    writeln!(
        out,
        "<p>Measured on {}. Left: what is lost without the heaviest words (long bars are good). Right: what is lost with nothing but them (short bars are good). The thin lines are 95 % intervals over texts.</p>",
        escaped(&report.corpus)
    )?;
    for section in &report.sections {
        writeln!(
            out,
            "<h2>{}</h2>\n<p>{} decisions in {} texts of {} words (median).</p>",
            escaped(&section.title()),
            section.decisions,
            section.texts,
            section.words
        )?;
        bars(out, section)?;
        table(out, section)?;
    }
    writeln!(out, "</html>")
}

fn bars(out: &mut String, section: &Section) -> std::fmt::Result {
    let panels = section.main();
    let (width, height) = (
        NAMES + 2 * BAR + 2 * GAP,
        ROW * (section.rows.len() + 1) + 8,
    );
    writeln!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"Bars of the two left columns of the table below\">"
    )?;
    for (panel, (heading, key)) in panels.into_iter().enumerate() {
        let left = NAMES + panel * (BAR + GAP);
        let figures: Vec<Option<Figure>> = section.rows.iter().map(|row| row.figure(key)).collect();
        let (low, high) = range(&figures);
        let x = |value: f64| left as f64 + (value - low) / (high - low) * BAR as f64;
        writeln!(
            out,
            "<text x=\"{left}\" y=\"15\" font-weight=\"bold\">{}</text>",
            escaped(heading)
        )?;
        for (n, (row, figure)) in section.rows.iter().zip(&figures).enumerate() {
            let y = ROW * (n + 1) + 4;
            if panel == 0 {
                writeln!(
                    out,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                    NAMES - 10,
                    y + 13,
                    escaped(&row.method)
                )?;
            }
            let Some(figure) = figure else { continue };
            let (from, to) = (x(figure.value.min(0.0)), x(figure.value.max(0.0)));
            writeln!(
                out,
                "<rect x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" fill=\"#9ab\"/><path d=\"M{:.1} {mid} H{:.1} M{:.1} {top} v8 M{:.1} {top} v8\" stroke=\"#111\" fill=\"none\"/><text x=\"{:.1}\" y=\"{}\">{:.3}</text>",
                (to - from).max(0.5),
                x(figure.low),
                x(figure.high),
                x(figure.low),
                x(figure.high),
                x(figure.high).max(to) + 6.0,
                y + 13,
                figure.value,
                mid = y + 8,
                top = y + 4,
            )?;
        }
        writeln!(
            out,
            "<path d=\"M{0:.1} {1} V{2}\" stroke=\"#111\"/>",
            x(0.0),
            ROW,
            height
        )?;
    }
    writeln!(out, "</svg>")
}

/// The scale of a panel: 0 and 1, and whatever lies outside.
fn range(figures: &[Option<Figure>]) -> (f64, f64) {
    let shown = figures.iter().flatten();
    shown.fold((0.0, 1.0), |(low, high): (f64, f64), f| {
        (low.min(f.low), high.max(f.high))
    })
}

fn table(out: &mut String, section: &Section) -> std::fmt::Result {
    let mut columns: Vec<(&str, &str, f64)> = section
        .main()
        .into_iter()
        .map(|(heading, key)| (heading, key, 1.0))
        .collect();
    columns.extend([
        ("comp ↑", "comprehensiveness", 1.0),
        ("suff ↓", "sufficiency", 1.0),
        ("tau", "tau_leave_one_out", 1.0),
        ("incomplete %, median", "completeness_error_median", 100.0),
        ("p99", "completeness_error_p99", 100.0),
        ("passes", "passes", 1.0),
        ("ms", "ms", 1.0),
    ]);
    write!(out, "<table>\n<thead><tr><th scope=\"col\">method</th>")?;
    for (heading, ..) in &columns {
        write!(out, "<th scope=\"col\">{}</th>", escaped(heading))?;
    }
    writeln!(out, "</tr></thead>")?;
    let cell = |row: &Row, (_, key, scale): &(&str, &str, f64)| {
        let digits = if ["passes", "ms"].contains(key) { 1 } else { 3 };
        row.figure(key).map_or("–".to_owned(), |x| {
            format!(
                "<span title=\"{:.digits$} to {:.digits$}\">{:.digits$}</span>",
                scale * x.low,
                scale * x.high,
                scale * x.value
            )
        })
    };
    for row in &section.rows {
        write!(out, "<tr><th scope=\"row\">{}</th>", escaped(&row.method))?;
        for column in &columns {
            write!(out, "<td>{}</td>", cell(row, column))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</table>")
}
